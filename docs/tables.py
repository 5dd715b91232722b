"""Generate the documentation's tables from the code.

``python docs/tables.py`` rewrites every page; a test checks that nothing changes.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from shared import errors
from shared.keyspace import ALL_KEYS, KEYS_BY_OWNER
from shared.providers.registry import ROWS
from shared.providers.wires import anthropic as anthropic_wire
from shared.providers.wires import bedrock as bedrock_wire
from shared.providers.wires import gemini as gemini_wire
from shared.providers.wires import ollama as ollama_wire
from shared.settings.descriptions import description_of
from shared.settings.load import ENVIRONMENT
from shared.settings.model import Settings
from shared.surfaces import anthropic, genai
from shared.surfaces.request_types import REQUEST_TYPES
from shared.surfaces.responses import request as responses
from shared.telemetry.metrics import Metrics
from shared.telemetry.provider_metrics import watch_providers

FOLDER = Path(__file__).parent
BEGIN, END = "<!-- table: {} -->\n", "<!-- end of table -->"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Render a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def providers() -> str:
    """Render one row per provider: its name, what configures it, and what it offers."""
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
    """Render one row per error that a caller can receive."""

    def family(kind: type[errors.GatewayError]) -> Iterable[type[errors.GatewayError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    unlisted = (errors.GatewayError, errors.UpstreamRefused, errors.JobFailure)  # the root, and errors of others
    kinds = [kind for kind in family(errors.GatewayError) if kind.code and kind not in unlisted]
    return table(
        ("status", "code", "type", "when"),
        (
            (kind.status, f"`{kind.code}`", f"`{kind.type}`", (kind.__doc__ or "").splitlines()[0])
            for kind in sorted(kinds, key=lambda kind: (kind.status, str(kind.code)))
        ),
    )


def settings() -> str:
    """Render one row per setting: its key, meaning, default and environment variable."""
    variables = {path: name for name, path in ENVIRONMENT.items()}
    return table(
        ("key", "meaning", "default", "environment"),
        (
            (f"`{'.'.join(path)}`", meaning, f"`{default}`", f"`{variables[path]}`" if path in variables else "")
            for path, meaning, default in setting_rows(Settings, ())
        ),
    )


def setting_rows(section: type[BaseModel], path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], str, Any]]:
    """Yield the path, the meaning and the default of every setting below a section.

    Lists of limits are left out where the single limit is a row: they hold the same fields.
    """
    for name, field in section.model_fields.items():
        here = (*path, name)
        inner = _inner(field.annotation)
        if inner is None:
            yield here, description_of(section, name), _default(field.default)
        elif name not in {"budgets", "rate_limits"}:
            yield from setting_rows(inner[0], (*here, *inner[1]))


def _default(value: object) -> object:
    """Format a default as it would be written in the file."""
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else str(value).lower() if isinstance(value, bool) else value


def _inner(annotation: Any) -> tuple[type[BaseModel], tuple[str, ...]] | None:  # noqa: ANN401 - any type expression
    """Return the section inside a field, and the path of its members below it."""
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
        ("key", "kind", "lifetime", "purpose"),
        ((f"`{key.pattern}`", key.kind, key.lifetime, key.purpose) for key in ALL_KEYS if key not in governed),
    )


def governance_keys() -> str:
    """One row per Redis key of governance."""
    return table(
        ("key", "kind", "lifetime", "purpose"),
        ((f"`{key.pattern}`", key.kind, key.lifetime, key.purpose) for key in KEYS_BY_OWNER["governance"]),
    )


CALLERS: Mapping[str, Iterable[tuple[str, Mapping[str, str]]]] = {
    "Anthropic Messages": (("always", anthropic.DROPPED), ("elsewhere", anthropic.DROPPED_ELSEWHERE)),
    "Google GenAI": (("always", genai.DROPPED), ("elsewhere", genai.DROPPED_ELSEWHERE)),
    "OpenAI Responses": (("for chat providers", responses.DROPPED),),
}
WIRES: Mapping[str, Mapping[str, str]] = {
    "Anthropic; Claude on Vertex": anthropic_wire.DROPPED,
    "Gemini; Gemini on Vertex": gemini_wire.DROPPED,
    "Bedrock": bedrock_wire.DROPPED,
    "Ollama's own format": ollama_wire.DROPPED,
}


def dropped_of_callers() -> str:
    """Render one row per field of a caller's format that is dropped."""
    return table(
        ("surface", "field", "dropped", "why"),
        (
            (name, f"`{field}`", where, why)
            for name, lists in CALLERS.items()
            for where, dropped in lists
            for field, why in dropped.items()
        ),
    )


def dropped_for_providers() -> str:
    """Render one row per field of OpenAI's format that is not sent to a provider."""
    return table(
        ("provider", "field", "why"),
        ((name, f"`{field}`", why) for name, dropped in WIRES.items() for field, why in dropped.items()),
    )


@dataclass(frozen=True)
class _Waiting:
    depth: int = 1
    oldest_age_s: float = 1.0


@dataclass(frozen=True)
class _Queue:
    priorities: Mapping[str, _Waiting] = field(default_factory=lambda: {"high": _Waiting()})
    deferred: int = 0
    running: int = 0
    dead: int = 0
    pauses: int = 0
    callers: Mapping[str, int] = field(default_factory=lambda: {"key": 1})


def every_metric() -> list[Metric]:
    """Return all metrics of the gateway, each with a sample, so that its labels are known."""
    registry = CollectorRegistry()
    one = Metrics("api", registry)
    one.request("openai", "chat.completions", 200, "openai", 1)
    one.attempt("openai", 500, 1)
    one.spent("team", "openai", "gpt-4o", 1, (1, 1, 1))
    one.spent("team", "openai", "gpt-4o", None, (0, 0, 0))
    one.refused("reason")
    one.submitted("chat.completions", created=True)
    one.overflowed("reason")
    one.claimed(1, "high")
    one.waited(1, "high")
    one.ran(1, "completed", "chat.completions")
    one.rerun("high")
    one.deferred("reason")
    one.schedule_fired("fired", 1)
    one.schedule_fired("missed", 1)
    one.cache.looked_up("hit", "exact", "chat.completions", 0.001)
    one.cache.saved("team", "openai", "gpt-4o", 1)
    one.cache.stored("stored")
    one.alerted("budget.threshold")
    one.delivery_attempted(1, "delivered")
    one.observe_queue(_Queue())
    one.observe_rules({"rule": True})
    one.observe_parked({"budget": 1})
    one.observe_limits([("budget", "team:search", "1d", 1.0)])
    state = {
        "circuit": "closed",
        "circuits": [],
        "resting_keys": [],
        "concurrency": dict.fromkeys(("limit", "inside", "waiting"), 0),
    }
    watch_providers(registry, lambda: {"openai": state})
    return sorted(registry.collect(), key=lambda metric: metric.name)


def metrics() -> str:
    """Render one row per metric: name, type, labels and meaning."""

    def labels(metric: Metric) -> str:
        names = {name: None for sample in metric.samples for name in sample.labels if name != "le"}
        return ", ".join(f"`{name}`" for name in names)

    def name(metric: Metric) -> str:
        return f"{metric.name}_total" if metric.type == "counter" else metric.name

    return table(
        ("metric", "type", "labels", "meaning"),
        ((f"`{name(metric)}`", metric.type, labels(metric), metric.documentation) for metric in every_metric()),
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "providers": providers,
    "dropped of callers": dropped_of_callers,
    "dropped for providers": dropped_for_providers,
    "errors": error_codes,
    "settings": settings,
    "redis keys": redis_keys,
    "governance keys": governance_keys,
    "metrics": metrics,
}


def filled(text: str) -> str:
    """Return a page with its tables regenerated."""
    for name, render in TABLES.items():
        begin = BEGIN.format(name)
        if begin in text:
            head, _, rest = text.partition(begin)
            text = head + begin + render() + END + rest.partition(END)[2]
    return text


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted(FOLDER.rglob("*.md"))


def main() -> int:
    """Rewrite every page."""
    for page in pages():
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
