"""What pydantic finds wrong with a section, in words that name the key, the reason and the nearest known name."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def fault_of(entry: Mapping[str, Any], model: type[BaseModel]) -> str:
    """One line for one finding of pydantic's, with the nearest known name for an unknown key.

    Args:
        entry: One of ``ValidationError.errors()``.
        model: What was to be read.
    """
    place = ".".join(str(part) for part in entry["loc"])
    if entry["type"] != "extra_forbidden":
        return f"{place[:200]}: {entry['msg']}"
    known = _known_names(model, entry["loc"][:-1])
    near = difflib.get_close_matches(str(entry["loc"][-1])[:100], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{place[:200]}: unknown key; {hint}"


def _known_names(model: type[BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """The keys that a table may have, found by walking the model; names chosen by the user are stepped over."""
    found: type[BaseModel] | None = model
    for part in place:
        if found is None or part not in found.model_fields:
            continue
        found = section_in(found.model_fields[str(part)].annotation)
    return list(found.model_fields) if found else []


def section_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any type expression
    """The section that a type expression holds, if any."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = section_in(inner)
        if found:
            return found
    return None
