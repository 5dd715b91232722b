"""Options that several commands share, and the settings they give.

The settings are imported when they are read: pydantic is two thirds of the time of a command that needs none.
"""

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from shared.providers.registry import Providers
    from shared.settings.model import Settings

DATA_DIR = Path(".finops")

Decorated = Callable[..., Any]

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="FINOPS_CONFIG",
    help="Configuration file. Default: environment variables only.",
)
redis_url_option = click.option(
    "--redis-url",
    metavar="URL",
    help="URL of the job store; overrides the configuration (FINOPS_REDIS_URL).",
)
allow_open_option = click.option(
    "--allow-open",
    is_flag=True,
    help="Serve callers without a key at an address that other machines reach (FINOPS_ALLOW_OPEN).",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA_DIR,
    show_default=True,
    envvar="FINOPS_DATA_DIR",
    help="Directory in which `finops serve` keeps its store and admin key.",
)


def read_settings(
    config: Path | None, also: Collection[str] = (), /, **overrides: str | int | None
) -> "tuple[Settings, dict[str, str]]":
    """Read the effective settings, and return them with the environment that gives them to a child process.

    Args:
        config: The file, if any.
        also: Names of providers that are added later, to which the configuration may refer.
        overrides: ``FINOPS_*`` variables that the command line sets; None: not set.

    Raises:
        click.ClickException: The configuration is invalid.
    """
    environ = dict(os.environ) | {name: str(value) for name, value in overrides.items() if value is not None}
    if config is not None:
        environ["FINOPS_CONFIG"] = str(config)
    return settings_of(environ, also), environ


def _check_network(providers: "Providers", environ: Mapping[str, str]) -> None:
    """Check proxies and certificates, where there are any: without, a command need not load the transport."""
    from shared.providers.base import Network

    named = any(name.upper().endswith("_PROXY") and value for name, value in environ.items())
    if named or any(provider.network != Network() for provider in providers.values()):
        from shared.providers.senders import check_senders

        check_senders(providers, environ)


def settings_of(environ: Mapping[str, str], also: Collection[str] = ()) -> "Settings":
    """Read the settings from an environment.

    Raises:
        click.ClickException: The configuration is invalid.
    """
    from shared.providers.references import check_references
    from shared.providers.registry import configured_providers
    from shared.settings.load import load_settings

    try:
        settings = load_settings(environ=environ)
        providers = configured_providers(settings, environ)
        check_references(settings, providers, also)
        _check_network(providers, environ)
        if settings.redis.url is not None:
            _check_store_url(settings.redis.url.get_secret_value(), environ)
    except ValueError as error:
        raise click.ClickException(f"invalid configuration:\n{error}") from None
    return settings


def check_exposure(settings: "Settings", admin_key: str | None = None) -> None:
    """Refuse to listen where strangers would get in.

    Args:
        settings: The effective configuration.
        admin_key: Replaces the configured one.

    Raises:
        click.ClickException: They would; the message says how, and what to do.
    """
    from shared.settings.exposure import exposures

    found = exposures(settings, admin_key)
    if found:
        raise click.ClickException("\n".join(f"{problem}; {fix}" for problem, fix in found))


def _check_store_url(url: str, environ: Mapping[str, str]) -> None:
    """Check the form of the store's URL.

    Raises:
        ValueError: It is not one; the message says where it was set.
    """
    from shared.store.address import parse_address

    try:
        parse_address(url)
    except ValueError as error:
        source = "FINOPS_REDIS_URL or --redis-url" if environ.get("FINOPS_REDIS_URL") else "redis.url"
        raise ValueError(f"{source}: {error}") from None


def store_url(settings: "Settings", data_dir: Path) -> str | None:
    """Return the store's URL: the configured one, else that of the `finops serve` running on the data directory."""
    if settings.redis.url is not None:
        return settings.redis.url.get_secret_value()
    from shared.store.datadir import running_store_url

    return running_store_url(data_dir)


def needed_store_url(settings: "Settings", data_dir: Path) -> str:
    """Return the store's URL, for commands that need a store.

    Raises:
        click.ClickException: There is none.
    """
    url = store_url(settings, data_dir)
    if url is None:
        raise click.ClickException(
            f"no job store is configured, and none runs in {data_dir}; set --redis-url or FINOPS_REDIS_URL, or start "
            "`finops serve`, which includes one"
        )
    return url
