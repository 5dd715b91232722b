"""Prints the tables of the documentation from the code; ``python docs/tables.py`` writes them, a test checks them."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from shared import errors
from shared.keyspace import ALL_KEYS, KEYS_BY_OWNER
from shared.providers.registry import ROWS
from shared.providers.wires import anthropic as anthropic_wire
from shared.providers.wires import bedrock as bedrock_wire
from shared.providers.wires import gemini as gemini_wire
from shared.providers.wires import ollama as ollama_wire
from shared.settings.load import ENVIRONMENT
from shared.settings.model import Settings
from shared.surfaces import anthropic, genai
from shared.surfaces.request_types import REQUEST_TYPES
from shared.surfaces.responses import request as responses

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- table: {} -->\n", "<!-- end of table -->"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def providers() -> str:
    """One row a provider: how to name it, configure it, and what it offers."""
    short = {request_type.name: request_type.name for request_type in REQUEST_TYPES}
    return table(
        ("name", "provider", "configured by", "offers"),
        (
            (
                f"`{row.name}`",
                f"[{row.title}]({row.source})",
                " or ".join(" + ".join(f"`{name}`" for name in names) for names in row.variables),
                "everything" if len(row.request_types) == len(short) else ", ".join(sorted(row.request_types)),
            )
            for row in ROWS
        ),
    )


def error_codes() -> str:
    """One row an error a caller can meet."""

    def family(kind: type[errors.GatewayError]) -> Iterable[type[errors.GatewayError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    kinds = [kind for kind in family(errors.GatewayError) if kind.code and kind is not errors.UpstreamRefused]
    kinds = [kind for kind in kinds if kind is not errors.JobFailure]
    return table(
        ("status", "code", "type", "when"),
        (
            (kind.status, f"`{kind.code}`", f"`{kind.type}`", (kind.__doc__ or "").splitlines()[0])
            for kind in sorted(kinds, key=lambda kind: (kind.status, str(kind.code)))
        ),
    )


def settings() -> str:
    """One row a setting: its key, default, and variable."""
    variables = {place: name for name, place in ENVIRONMENT.items()}
    return table(
        ("key", "default", "environment"),
        (
            (f"`{'.'.join(place)}`", f"`{default}`", f"`{variables[place]}`" if place in variables else "")
            for place, default in _settings(Settings, ())
        ),
    )


def _settings(section: type[BaseModel], place: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Any]]:
    for name, field in section.model_fields.items():
        here = (*place, name)
        inner = _inner(field.annotation)
        if inner is None:
            yield here, _default(field.default)
        else:
            yield from _settings(inner[0], (*here, *inner[1]))


def _default(value: object) -> object:
    """As the file would say it."""
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else value


def _inner(annotation: Any) -> tuple[type[BaseModel], tuple[str, ...]] | None:  # noqa: ANN401 - any type expression
    """The section inside a field, and how its members are named below it."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ()
    origin = getattr(annotation, "__origin__", None)
    for argument in getattr(annotation, "__args__", ()):
        found = _inner(argument)
        if found:
            named = ("<name>",) if origin is dict else ("[]",) if origin is tuple else ()
            return found[0], (*named, *found[1])
    return None


def redis_keys() -> str:
    """One row per Redis key, except those of governance."""
    governed = KEYS_BY_OWNER["governance"]
    return table(
        ("key", "kind", "lives", "for"),
        ((f"`{key.pattern}`", key.kind, key.lifetime, key.purpose) for key in ALL_KEYS if key not in governed),
    )


def governance_keys() -> str:
    """One row per Redis key of governance."""
    return table(
        ("key", "kind", "lives", "for"),
        ((f"`{key.pattern}`", key.kind, key.lifetime, key.purpose) for key in KEYS_BY_OWNER["governance"]),
    )


CALLERS: Mapping[str, Iterable[tuple[str, Mapping[str, str]]]] = {
    "Anthropic's Messages": (("always", anthropic.DROPPED), ("elsewhere", anthropic.DROPPED_ELSEWHERE)),
    "Google's GenAI": (("always", genai.DROPPED), ("elsewhere", genai.DROPPED_ELSEWHERE)),
    "OpenAI's Responses": (("for those who only chat", responses.DROPPED),),
}
WIRES: Mapping[str, Mapping[str, str]] = {
    "Anthropic; Claude on Vertex": anthropic_wire.DROPPED,
    "Gemini; Gemini on Vertex": gemini_wire.DROPPED,
    "Bedrock": bedrock_wire.DROPPED,
    "Ollama's own format": ollama_wire.DROPPED,
}


def dropped_of_callers() -> str:
    """One row a field that a caller's format has and that is left out."""
    return table(
        ("callers of", "field", "left out", "why"),
        (
            (name, f"`{field}`", where, why)
            for name, lists in CALLERS.items()
            for where, dropped in lists
            for field, why in dropped.items()
        ),
    )


def dropped_for_providers() -> str:
    """One row a field of OpenAI's that a provider is not told."""
    return table(
        ("provider", "field", "why"),
        ((name, f"`{field}`", why) for name, dropped in WIRES.items() for field, why in dropped.items()),
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "providers": providers,
    "dropped of callers": dropped_of_callers,
    "dropped for providers": dropped_for_providers,
    "errors": error_codes,
    "settings": settings,
    "redis keys": redis_keys,
    "governance keys": governance_keys,
}


def filled(text: str) -> str:
    """A page with its tables as the code has them now."""
    for name, render in TABLES.items():
        begin = BEGIN.format(name)
        if begin in text:
            head, _, rest = text.partition(begin)
            text = head + begin + render() + END + rest.partition(END)[2]
    return text


def pages() -> list[Path]:
    """Every page of the documentation."""
    return sorted(FOLDER.rglob("*.md"))


def main() -> int:
    """Write every page anew."""
    for page in pages():
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
