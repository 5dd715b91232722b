"""Configuration errors as a line for the operator: the key, what is wrong with its value, the nearest known name."""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

TOML: Final = {"object": "a table", "array": "an array", "boolean": "true or false"}
JSON: Final = {"object": "an object", "array": "an array", "boolean": "true or false"}

# pydantic's type of an error to the rule that was broken. Names in braces are the error's facts, or the notation's.
_RULES: Mapping[str, str] = {
    "missing": "is required",
    "model_type": "must be {object}",
    "model_attributes_type": "must be {object}",
    "dict_type": "must be {object}",
    "tuple_type": "must be {array}",
    "list_type": "must be {array}",
    "too_long": "must have {max_length} or fewer entries, not {actual_length}",
    "too_short": "must have {min_length} or more entries, not {actual_length}",
    "string_type": "must be a string",
    "string_sub_type": "must be a string",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be {boolean}",
    "bool_parsing": "must be {boolean}",
    "greater_than": "must be greater than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
    "datetime_type": "must be a date and time (RFC 3339)",
    "datetime_parsing": "must be a date and time (RFC 3339)",
    "datetime_from_date_parsing": "must be a date and time (RFC 3339)",
    "date_from_datetime_parsing": "must be a date (RFC 3339)",
}
_MAX_KEY = 200
# Errors of settings that are numbers, switches or choices: never secrets.
_NEVER_SECRET = frozenset(
    {"int_parsing", "int_from_float", "float_parsing", "bool_parsing", "literal_error", "enum"}
    | {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
)
# What people type at first, by what it is called here.
_SYNONYMS: Mapping[str, str] = {
    "api_key": "keys",
    "apikey": "keys",
    "key": "keys",
    "token": "keys",
    "api_base": "base_url",
    "endpoint": "base_url",
    "type": "wire",
    "master_key": "admin_key",
}
_EXAMPLES: Mapping[str, str] = {"keys": ', as in keys = ["env.OPENAI_API_KEY"]'}


def fault_of(entry: Mapping[str, Any], model: type[BaseModel], notation: Mapping[str, str] = TOML) -> str:
    """Describe one error of pydantic's in a line: ``jobs.max_attempts: must be greater than 0``.

    Args:
        entry: One of ``ValidationError.errors()``.
        model: The section that was validated.
        notation: What the notation that the value was written in calls its parts: ``TOML`` or ``JSON``.
    """
    path = ".".join(str(part) for part in entry["loc"])[:_MAX_KEY]
    if entry["type"] != "extra_forbidden":
        rule = _RULES.get(entry["type"])
        text = rule.format_map({**notation, **entry.get("ctx", {})}) if rule else "is not valid"
        return f"{path}: {text}{_value_of(entry)}"
    known = _known_names(model, entry["loc"][:-1])
    name = str(entry["loc"][-1])[:100]
    meant = _SYNONYMS.get(name, "")
    near = [meant] if meant in known else difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}{_EXAMPLES.get(meant, '')}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{path}: unknown key; {hint}"


def _value_of(entry: Mapping[str, Any]) -> str:
    """The refused value, where no secret can stand."""
    value = entry.get("input")
    if entry["type"] not in _NEVER_SECRET or not isinstance(value, str | int | float):
        return ""
    return f", not {str(value)[:40]!r}" if isinstance(value, str) else f", not {value}"


def _known_names(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that a table may have, found by walking the model; names chosen by the user are stepped over."""
    section: type[BaseModel] | None = model
    for part in path:
        if section is None or part not in section.model_fields:
            continue
        section = section_in(section.model_fields[str(part)].annotation)
    return list(section.model_fields) if section else []


def section_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type expression
    """The section that a type expression holds, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        section = section_in(inner)
        if section:
            return section
    return None
