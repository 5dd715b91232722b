"""Descriptions of providers, for `finops providers`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.providers.base import Provider
from shared.providers.registry import BY_NAME, ROWS, ProviderRow
from shared.surfaces.request_types import REQUEST_TYPES

# Hosts that may be called with the machine's own identity: a cloud account, or a server without keys.
_KEYLESS_HOSTS = frozenset({"vertex", "bedrock", "azure"})


def describe(configured: Mapping[str, Provider], environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """Describe every provider: those of the registry, then those of the configuration alone."""
    own = [_row_of(provider) for name, provider in configured.items() if name not in BY_NAME]
    return [_describe(row, configured.get(row.name), environ) for row in (*ROWS, *own)]


def rows_of(described: Iterable[Mapping[str, Any]]) -> list[Sequence[str]]:
    """Return described providers as rows of a table: name, wire, host, request types, state, missing variables."""
    return [
        (
            provider["name"],
            provider["wire"],
            provider["host"],
            _format_request_types(provider["offers"]),
            _format_state(provider),
            ", ".join(provider["missing"]),
        )
        for provider in described
    ]


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
    """Return the unset variables that would configure the provider: of its sets, the one that lacks fewest."""
    sets = [[name for name in names if not environ.get(name)] for names in row.variables]
    return min(sets, key=len, default=[])


def _format_request_types(names: Iterable[str]) -> str:
    supported = list(names)
    return "everything" if len(supported) == len(REQUEST_TYPES) else ", ".join(supported)


def _format_state(provider: Mapping[str, Any]) -> str:
    if not provider["configured"]:
        return "no"
    count = provider["keys"]
    if count:
        return f"yes, {count} key{'s' if count > 1 else ''}"
    return "yes, by its account" if provider["host"] in _KEYLESS_HOSTS else "yes, without a key"
