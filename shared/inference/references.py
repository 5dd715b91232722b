"""Finds the provider's ids in requests and answers: what a request refers to, and what an answer has made. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_IDS = 500

# Resources of a provider's account, by the prefixes of their ids. Calls (``call_``) and the like are no resources.
_RESOURCE_ID = re.compile(
    r"(?:file|resp|conv|vs|vsfb|asst|thread|run|batch|ftjob|upload|cntr|cfile|eval|evalrun|video|skill|vault|agent|msg|rs"
    r"|fc|ws|ig|ci|mcp|cmp|chatcmpl|voice|cons|sess)[-_][A-Za-z0-9_-]{4,250}"
)
# Fields whose values refer to resources, beside those that end in ``_id`` and ``_ids``.
_REFERRING = frozenset({"conversation", "container", "training_file", "validation_file", "file", "skill", "source"})
# What callers write freely; a resource id in it refers to nothing.
_FREE_TEXT = frozenset({"metadata", "text", "instructions", "arguments", "name", "description"})
# Fields of an answer that name further objects which the provider made for the request.
_MADE_FIELDS = ("output_file_id", "error_file_id", "fine_tuned_model", "result_files", "thread_id")


def referenced_ids(fields: Mapping[str, Any]) -> set[str]:
    """Return the ids of a provider's resources that a request's body refers to."""
    return {text for name, text in _leaves(fields, "") if _refers(name) and _RESOURCE_ID.fullmatch(text)}


def named_models(fields: Mapping[str, Any]) -> set[str]:
    """Return every model that a request's body names, at any depth."""
    return {text for name, text in _leaves(fields, "") if name == "model"}


def made_ids(answer: object) -> list[str]:
    """Return the ids of the objects that an answer says the provider has made, at most ``MAX_IDS``.

    Only fields that the provider writes are read: anything else may be an echo of the request, by which a caller could
    claim what is not theirs.
    """
    if not isinstance(answer, Mapping):
        return []
    found = [answer.get("id")]
    for name in _MADE_FIELDS:
        value = answer.get(name)
        found.extend(value if isinstance(value, list) else [value])
    for name in ("file", "conversation"):  # a completed upload's file; a response's conversation
        value = answer.get(name)
        found.append(value.get("id") if isinstance(value, Mapping) else None)
    for name in ("data", "output"):
        value = answer.get(name)
        found.extend(item.get("id") for item in (value if isinstance(value, list) else ()) if isinstance(item, Mapping))
    return [each for each in found if isinstance(each, str) and 0 < len(each) <= 256][:MAX_IDS]


def _refers(name: str) -> bool:
    return name in _REFERRING or name.endswith(("_id", "_ids"))


def _is_reference(value: Mapping[str, Any]) -> bool:
    """Whether an object stands for another one by its ``id`` alone; a whole item with an id of its own does not."""
    return "id" in value and value.get("type") in {None, "item_reference"} and not {"role", "content"} & value.keys()


def _leaves(value: object, name: str) -> Iterator[tuple[str, str]]:
    """Yield the texts of a JSON value with the name of the field that holds them; iterative, as bodies may be deep."""
    stack = [(name, value)]
    while stack:
        name, value = stack.pop()
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, Mapping):
            stack.extend((key, each) for key, each in value.items() if key not in _FREE_TEXT)
            if _is_reference(value):
                stack.append(("item_id", value["id"]))
        elif isinstance(value, list):
            stack.extend((name, each) for each in value)
