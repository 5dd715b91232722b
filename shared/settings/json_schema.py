"""The JSON schema of the configuration file, for editors that check and complete TOML."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import BaseModel

from shared.settings.descriptions import description_of
from shared.settings.model import Settings
from shared.settings.section import Section

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SHORT_FORMS: Final = frozenset({"KeySettings", "RouteTargetSettings"})
"""Tables that may be written as the text of their first setting."""
_LISTS_AS_TEXT: Final = frozenset({"encryption_key"})
"""Lists that may be written as one text with commas."""
_REFERENCE: Final = {"type": "string", "pattern": "^env\\.", "description": "the value of an environment variable"}
_SCALARS: Final = frozenset({"integer", "number", "boolean"})


def file_schema() -> dict[str, Any]:
    """Return the schema of `finops.toml`: each setting with its meaning, type, range and default.

    It accepts all that a start accepts. Rules between settings, and references to providers and variables, are what
    `finops config check` adds.
    """
    schema = Settings.model_json_schema()
    definitions = schema.pop("$defs")
    for kind in _family(Section):
        if kind.__name__ in definitions:
            _describe(kind, definitions[kind.__name__])
    for name in _SHORT_FORMS:
        definitions[name] = {"anyOf": [definitions[name], {"type": "string"}]}
    _describe(Settings, schema)
    return {"$schema": DIALECT, "title": "Configuration of FinOps", **schema, "$defs": definitions}


def _family(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def _describe(kind: type[BaseModel], section: dict[str, Any]) -> None:
    """Give each setting of a section its meaning, and let it take the value of a variable."""
    section.pop("title", None)
    for name, setting in section["properties"].items():
        setting.pop("title", None)
        described = _with_reference(setting, listed=name in _LISTS_AS_TEXT)
        meaning = description_of(kind, name)
        section["properties"][name] = {**described, "description": meaning} if meaning else described


def _with_reference(setting: dict[str, Any], *, listed: bool) -> dict[str, Any]:
    """Let a setting that is no text be the name of a variable too, as `port = "env.PORT"`."""
    if setting.get("type") in _SCALARS or listed:
        outside = {"default": setting.pop("default")} if "default" in setting else {}
        return {**outside, "anyOf": [setting, _REFERENCE]}
    if any(kind.get("type") in _SCALARS for kind in setting.get("anyOf", ())):
        return {**setting, "anyOf": [*setting["anyOf"], _REFERENCE]}
    return setting
