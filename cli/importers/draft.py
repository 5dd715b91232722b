"""A configuration that is being translated: its providers, its other tables, and what has no counterpart."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cli.importers.toml_text import toml_text
from shared.providers.registry import BY_NAME, ProviderRow

CLOUDS = ("azure", "vertex", "bedrock")
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True)
class ProviderDraft:
    """One provider of the new configuration.

    Attributes:
        family: Its row in the registry, such as ``azure``.
        table: Its settings, without ``keys``.
        keys: Its credentials: the table of each by its value.
    """

    family: str
    table: dict[str, Any]
    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    name: str = ""

    def add_key(self, value: str, model: str, **more: Any) -> None:  # noqa: ANN401 - any setting
        """Add a credential, or another model to one that is known."""
        key = self.keys.setdefault(value, {"value": value, **more, "models": []})
        if model not in key["models"]:
            key["models"].append(model)

    def to_table(self) -> dict[str, Any]:
        """Return the provider's table; a single key needs no list of models."""
        keys = [dict(key) for key in self.keys.values()]
        for key in keys:
            if len(keys) == 1 or "*" in key["models"]:
                del key["models"]
        short = [key["value"] if key.keys() == {"value"} else key for key in keys]
        return {**self.table, **({"keys": short} if short else {})}


class Draft:
    """A configuration that is being translated.

    Attributes:
        tables: Tables of the new file, by name.
        notes: What was not translated, each as ``place: reason``.
    """

    def __init__(self) -> None:
        self.tables: dict[str, Any] = {}
        self.notes: list[str] = []
        self._providers: dict[tuple[Any, ...], ProviderDraft] = {}

    @property
    def providers(self) -> list[ProviderDraft]:
        """The providers, in the order in which they were found."""
        return list(self._providers.values())

    def provider(self, family: str, table: Mapping[str, Any]) -> ProviderDraft:
        """Return the provider of a family with exactly these settings, created if necessary."""
        settings = {name: value for name, value in table.items() if value not in (None, "", {})}
        identity = (family, repr(sorted(settings.items())))
        return self._providers.setdefault(identity, ProviderDraft(family, settings))

    def name_providers(self) -> None:
        """Give each provider its name: the family's for the first one at the family's own address, else another."""
        taken: set[str] = set()
        for provider in sorted(self.providers, key=lambda each: "base_url" in each.table):
            own = provider.family in BY_NAME and not (provider.family == "openai" and "base_url" in provider.table)
            if own and provider.family not in taken:
                provider.name = provider.family
            else:
                provider.name = self._another_name(provider, taken)
                _describe(provider)
            taken.add(provider.name)

    def put(self, section: str, name: str, value: Any) -> None:  # noqa: ANN401 - any setting
        """Set one setting, or one table of a section."""
        self.tables.setdefault(section, {})[name] = value

    def note(self, place: str, reason: str) -> None:
        """Record what was not translated, once."""
        line = f"{place}: {reason}"
        if line not in self.notes:
            self.notes.append(line)

    def document(self) -> dict[str, Any]:
        """Return the new configuration."""
        providers = {provider.name: provider.to_table() for provider in self.providers}
        return {**({"providers": providers} if providers else {}), **self.tables}

    def text(self) -> str:
        """Return the new configuration as TOML."""
        return toml_text(self.document())

    def _another_name(self, provider: ProviderDraft, taken: set[str]) -> str:
        base = provider.family
        if base == "openai" and "base_url" in provider.table:
            base = _slug(provider.table["base_url"])
        name, number = base, 1
        while name in taken or name in BY_NAME:
            number += 1
            name = f"{base}-{number}"
        return name


def _describe(provider: ProviderDraft) -> None:
    """Say what kind of provider a name of its own is: the host of a cloud, or a wire and an address."""
    row: ProviderRow | None = BY_NAME.get(provider.family)
    if provider.family in CLOUDS:
        provider.table = {"host": provider.family, **provider.table}
        return
    wire = row.wire if row else "openai"
    address = {"base_url": row.base_url} if row and row.base_url else {}
    provider.table = {"wire": wire, **address, **provider.table}


def _slug(url: str) -> str:
    """Return a name for the server at a URL, or for the variable that holds the URL."""
    host = url.removeprefix("env.") if url.startswith("env.") else urlsplit(url).netloc
    return _NOT_IN_A_NAME.sub("-", host.lower()).strip("-") or "custom"
