"""``finops config``: check, show, compare, import and reload the configuration."""

from pathlib import Path
from typing import Any

import click

from cli import options
from cli.client.options import credentials, gateway_options
from cli.commands.config_import import command as import_command
from cli.examples import examples

# The gateway answers once successors of its API processes serve.
RELOAD_S = 150.0


@click.group(
    name="config",
    epilog=examples("finops config check --config finops.toml", "finops config show --config finops.toml"),
)
def command() -> None:
    """Check, show, import and reload the configuration."""


command.add_command(import_command)


@command.command(name="check", epilog=examples("finops config check --config finops.toml"))
@options.config_option
def check(config: Path | None) -> None:
    """Check file and environment as a start does, without starting anything; exit with 1 if they are invalid.

    Each fault is printed with its key and what to do. References to providers that are not configured are faults too.
    """
    from shared.providers.registry import configured_providers

    settings, environ = options.read_settings(config)
    providers = ", ".join(sorted(configured_providers(settings, environ))) or "none"
    click.echo(f"{environ.get('FINOPS_CONFIG') or 'environment alone'}: valid; providers: {providers}")


@command.command(name="schema", epilog=examples("finops config schema > finops.schema.json"))
def schema() -> None:
    """Print the JSON schema of the configuration file: editors check and complete settings with it.

    Name it in the first line of finops.toml, as `#:schema ./finops.schema.json`: editors with Taplo read that line.
    """
    from cli.views.output import echo_json
    from shared.settings.json_schema import file_schema

    echo_json(file_schema())


@command.command(name="diff", epilog=examples("finops config diff old.toml new.toml"))
@click.argument("old", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("new", type=click.Path(path_type=Path, dir_okay=False))
def diff(old: Path, new: Path) -> None:
    """Print the effective settings that differ between two files; secrets are masked."""
    from shared.settings.differences import differences

    changes = differences(options.read_settings(old)[0], options.read_settings(new)[0])
    click.echo("\n".join(map(str, changes)) or "no difference")


@command.command(name="reload", epilog=examples("finops config reload", "finops config reload --json"))
@gateway_options
def reload(*, url: str, key: str | None, as_json: bool, data_dir: Path) -> None:
    """Make a running gateway read its configuration again, in every process; needs the admin key.

    Prints what changes. An invalid configuration is refused, and changes nothing.
    """
    from cli.client.gateway import call_gateway
    from cli.views.output import echo_json

    def call(gateway: Any) -> Any:  # noqa: ANN401 - imported when it is called
        return gateway.administer("POST", "config/reload", timeout=RELOAD_S)

    document = call_gateway(url, credentials(url, key, data_dir), call)
    if as_json:
        echo_json(document)
        return
    lines = [f"{change['setting']}: {change['before']} -> {change['after']}" for change in document["changes"]]
    click.echo("\n".join(lines) or "nothing has changed")


@command.command(name="show", epilog=examples("finops config show --config finops.toml", "finops config show --json"))
@options.config_option
@options.redis_url_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(config: Path | None, redis_url: str | None, as_json: bool) -> None:
    """Print every effective setting: defaults, file and environment combined; secrets are masked.

    environment_providers are those that variables alone configure, such as OPENAI_API_KEY.
    """
    from cli.views.output import echo_json, out, table
    from shared.providers.registry import configured_providers
    from shared.settings.load import effective

    settings, environ = options.read_settings(config, FINOPS_REDIS_URL=redis_url)
    document = effective(settings)
    document["environment_providers"] = [
        name for name in configured_providers(settings, environ) if name not in settings.providers
    ]
    if as_json:
        echo_json(document)
        return
    out().print(table(["setting", "value"], list(_flatten(document))))


def _flatten(value: Any, path: str = "") -> list[tuple[str, str]]:  # noqa: ANN401 - any setting
    """Return settings as pairs of dotted name and value; an empty one has a pair of its own."""
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in _flatten(item, f"{path}.{key}" if path else str(key))]
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return [line for index, item in enumerate(value) for line in _flatten(item, f"{path}[{index}]")]
    return [(path, _format(value))]


def _format(value: Any) -> str:  # noqa: ANN401
    if value is None or value in ("", {}, []):
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
