"""Options that several commands share, and how they become settings."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from shared.settings.load import load_settings
from shared.settings.model import Settings

DATA_DIR = Path(".finops")

Decorated = Callable[..., Any]

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="FINOPS_CONFIG",
    help="Configuration file; without one the environment is enough.",
)
redis_url_option = click.option(
    "--redis-url",
    metavar="URL",
    help="The job store, instead of the configured one (FINOPS_REDIS_URL).",
)
data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=DATA_DIR,
    show_default=True,
    envvar="FINOPS_DATA_DIR",
    help="Where `finops serve` keeps store and admin key.",
)


def read_settings(config: Path | None, **overrides: str | int | None) -> tuple[Settings, dict[str, str]]:
    """The effective settings, and the environment that gives them to a child process too.

    Args:
        config: The file, if any.
        overrides: ``FINOPS_*`` variables that the command line sets; None: not set.

    Raises:
        click.ClickException: The configuration was refused.
    """
    environ = dict(os.environ) | {name: str(value) for name, value in overrides.items() if value is not None}
    if config is not None:
        environ["FINOPS_CONFIG"] = str(config)
    return settings_of(environ), environ


def settings_of(environ: Mapping[str, str]) -> Settings:
    """The settings that an environment gives.

    Raises:
        click.ClickException: The configuration was refused.
    """
    from shared.providers.registry import configured_providers  # noqa: PLC0415 - not for --help
    from shared.store.address import parse_address  # noqa: PLC0415

    try:
        settings = load_settings(environ=environ)
        configured_providers(settings, environ)
        if settings.redis.url is not None:
            parse_address(settings.redis.url.get_secret_value())
    except ValueError as error:
        raise click.ClickException(f"the configuration is refused.\n{error}") from None
    return settings


def store_url(settings: Settings, data_dir: Path) -> str | None:
    """Where the store is: as configured, else the one that `finops serve` runs on the data directory."""
    if settings.redis.url is not None:
        return settings.redis.url.get_secret_value()
    from shared.store.datadir import running_store_url  # noqa: PLC0415 - only where it is asked for

    return running_store_url(data_dir)


def needed_store_url(settings: Settings, data_dir: Path) -> str:
    """As ``store_url``, for commands that cannot do without.

    Raises:
        click.ClickException: There is none.
    """
    url = store_url(settings, data_dir)
    if url is None:
        raise click.ClickException(
            f"no job store: name one with --redis-url or FINOPS_REDIS_URL (none runs in {data_dir}; "
            "`finops serve` brings its own)"
        )
    return url
