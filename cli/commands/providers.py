"""``finops providers``: whom the gateway knows, what they offer, and which are configured here."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from cli import options
from cli.examples import examples
from cli.views.output import echo_json, out, table
from shared.providers.base import Provider
from shared.providers.registry import BY_NAME, ROWS, ProviderRow, configured_providers
from shared.surfaces.request_types import REQUEST_TYPES

# Those who may be asked with what the machine has: an account of the cloud, a server without keys.
_KEYLESS_HOSTS = frozenset({"vertex", "bedrock", "azure"})


@click.command(
    name="providers",
    epilog=examples(
        "finops providers", "finops providers --configured --config finops.toml", "finops providers --json"
    ),
)
@options.config_option
@click.option("--configured", "only_configured", is_flag=True, help="Only those that are configured here.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def command(*, config: Path | None, only_configured: bool, as_json: bool) -> None:
    """List the providers: format, host, what they offer, and whether they are configured; keys are not shown."""
    settings, environ = options.read_settings(config)
    listed = [
        each
        for each in describe(configured_providers(settings, environ), environ)
        if each["configured"] or not only_configured
    ]
    if as_json:
        echo_json(listed)
        return
    rows = [
        (each["name"], each["wire"], each["host"], _offers(each["offers"]), _word(each), ", ".join(each["missing"]))
        for each in listed
    ]
    out().print(table(("provider", "wire", "host", "offers", "configured", "needs"), rows))


def describe(configured: Mapping[str, Provider], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """What is known of each provider: those of the registry, then those of the configuration alone."""
    own = [_row_of(provider) for name, provider in configured.items() if name not in BY_NAME]
    return [_describe(row, configured.get(row.name), environ) for row in (*ROWS, *own)]


def _describe(row: ProviderRow, provider: Provider | None, environ: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": row.name,
        "title": row.title,
        "wire": provider.wire if provider else row.wire,
        "host": row.host,
        "offers": sorted(provider.request_types if provider else row.request_types),
        "configured": provider is not None,
        "keys": len(provider.keys) if provider else 0,
        "missing": [] if provider else _missing(row, environ),
        "docs": row.source,
    }


def _row_of(provider: Provider) -> ProviderRow:
    return ProviderRow(name=provider.name, title=provider.name, wire=provider.wire, host=provider.host)


def _missing(row: ProviderRow, environ: Mapping[str, str]) -> list[str]:
    """The variables that would configure it: of the sets, the one that lacks fewest."""
    sets = [[name for name in names if not environ.get(name)] for names in row.variables]
    return min(sets, key=len, default=[])


def _offers(names: Iterable[str]) -> str:
    offers = list(names)
    return "everything" if len(offers) == len(REQUEST_TYPES) else ", ".join(offers)


def _word(each: Mapping[str, Any]) -> str:
    if not each["configured"]:
        return "no"
    count = each["keys"]
    if count:
        return f"yes, {count} key{'s' if count > 1 else ''}"
    return "yes, by its account" if each["host"] in _KEYLESS_HOSTS else "yes, without a key"
