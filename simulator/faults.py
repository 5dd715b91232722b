"""Faults of an answer, read from a model name (`gpt-4o@status=429,times=2`) or from scripted rules."""

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

TOKENS_LIMIT = 100_000
COUNTED_MODELS_LIMIT = 10_000
BATCH_ENDS = ("completed", "expired", "failed", "lost", "stuck")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour of one answer; the default is an immediate, correct one.

    `cut`, `stall`, `bad_chunk` and `error_event` count the frames sent before they strike; a stream
    that is shorter is struck just before its end, so that the fault always happens. Those of `flex` are for requests in
    that service tier alone, those of `batch` for batches (of the model of its first line, or of a rule for `/batches`).
    """

    latency_s: float = 0.0
    ttft_s: float = 0.0
    tokens_per_s: float = 0.0
    tokens: int | None = None
    status: int | None = None
    times: int | None = None
    retry_after_s: float | None = None
    retry_after_ms: int | None = None
    reset: bool = False
    hang: bool = False
    cut: int | None = None
    stall: int | None = None
    bad_chunk: int | None = None
    error_event: int | None = None
    no_done: bool = False
    context_length: bool = False
    policy: bool = False
    tool: bool = False
    reasoning: bool = False
    flex_status: int | None = None
    flex_latency_s: float = 0.0
    batch_latency_s: float = 0.0
    batch_end: str = ""
    batch_answered: int | None = None


_HEALTHY: dict[str, Any] = {
    "flex_status": None,
    "status": None,
    "reset": False,
    "hang": False,
    "cut": None,
    "stall": None,
    "bad_chunk": None,
    "error_event": None,
    "no_done": False,
    "context_length": False,
    "policy": False,
}


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("a number is needed")  # noqa: TRY004 - callers report ValueError
    number = float(value)
    if not math.isfinite(number) or number < 0:
        raise ValueError("a finite number of 0 or more is needed")
    return number


def _whole(value: object, low: int, high: int) -> int:
    number = _number(value)
    if number != int(number) or not low <= number <= high:
        raise ValueError(f"a whole number from {low} to {high} is needed")
    return int(number)


def _flag(value: object) -> bool:
    words = {"": True, "1": True, "true": True, "0": False, "false": False}
    text = str(value).lower() if isinstance(value, str | bool | int) else "?"
    if text not in words:
        raise ValueError("true or false is needed")
    return words[text]


def _rate(value: object) -> float:
    number = _number(value)
    if number == 0:
        raise ValueError("more than 0 is needed")
    return number


def _count(value: object) -> int:
    return _whole(value, 0, 1_000_000_000)


def _one_of(value: object, words: tuple[str, ...]) -> str:
    if value not in words:
        raise ValueError(f"one of {', '.join(words)} is needed")
    return str(value)


_VALUES: dict[str, tuple[str, Callable[[object], Any]]] = {
    "latency": ("latency_s", _number),
    "ttft": ("ttft_s", _number),
    "tps": ("tokens_per_s", _rate),
    "tokens": ("tokens", lambda value: _whole(value, 1, TOKENS_LIMIT)),
    "status": ("status", lambda value: _whole(value, 300, 599)),
    "times": ("times", lambda value: _whole(value, 1, 1_000_000_000)),
    "retry_after": ("retry_after_s", _number),
    "retry_after_ms": ("retry_after_ms", _count),
    "cut": ("cut", _count),
    "stall": ("stall", _count),
    "bad_chunk": ("bad_chunk", _count),
    "error_event": ("error_event", _count),
    "flex_status": ("flex_status", lambda value: _whole(value, 300, 599)),
    "flex_latency": ("flex_latency_s", _number),
    "batch_latency": ("batch_latency_s", _number),
    "batch_end": ("batch_end", lambda value: _one_of(value, BATCH_ENDS)),
    "batch_answered": ("batch_answered", _count),
}
_FLAGS: dict[str, tuple[str, Callable[[object], Any]]] = {
    name: (name, _flag) for name in ("reset", "hang", "no_done", "context_length", "policy", "tool", "reasoning")
}
_KNOBS = {**_VALUES, **_FLAGS}


def read_behaviour(settings: Mapping[str, object]) -> dict[str, Any]:
    """Check settings by their public names and return them as fields of `Behaviour`.

    Raises:
        ValueError: an unknown name or a value that makes no sense.
    """
    fields: dict[str, Any] = {}
    for name, value in settings.items():
        if name not in _KNOBS:
            raise ValueError(f"unknown behaviour {name!r}; known are {', '.join(sorted(_KNOBS))}")
        attribute, read = _KNOBS[name]
        try:
            fields[attribute] = read(value)
        except ValueError as error:
            raise ValueError(f"behaviour {name}={value!r}: {error}") from error
    return fields


@lru_cache(maxsize=4_096)
def behaviour_of(model: str) -> Behaviour:
    """Read the behaviour that a model name requests after its last `@`.

    A suffix without any `=` and without a known name belongs to the name (`claude@20240620`).

    Raises:
        ValueError: the suffix is a list of modifiers, but one of them is unknown or wrong.
    """
    _, at, suffix = model.rpartition("@")
    parts = [part.strip().partition("=") for part in suffix.split(",")]
    if not at or ("=" not in suffix and not any(name in _KNOBS for name, _, _ in parts)):
        return Behaviour()
    return Behaviour(**read_behaviour({name: value for name, _, value in parts}))


def in_flex(behaviour: Behaviour) -> Behaviour:
    """Return the behaviour of a request in the service tier `flex`."""
    latency_s = behaviour.latency_s + behaviour.flex_latency_s
    return replace(behaviour, latency_s=latency_s, status=behaviour.flex_status or behaviour.status)


@dataclass(slots=True)
class Rule:
    """Scripted fields for requests whose path and model match these globs; `left` uses, None for ever."""

    path: str | None
    model: str | None
    fields: dict[str, Any]
    left: int | None
    source: dict[str, Any] = field(default_factory=dict)

    def matches(self, path: str, model: str) -> bool:
        """Whether the rule still applies; the path may leave out `/v1`."""
        if self.left == 0:
            return False
        paths = (path, path.removeprefix("/v1"))
        if self.path is not None and not any(fnmatchcase(each, self.path) for each in paths):
            return False
        return self.model is None or fnmatchcase(model, self.model)


def read_rule(source: object) -> Rule:
    """Check one rule: `{"match": {"path", "model"}, "behaviour": {...}, "times": N}`.

    Raises:
        ValueError: it has another shape.
    """
    if not isinstance(source, dict) or not source.keys() <= {"match", "behaviour", "times"}:
        raise ValueError("a rule is an object of match, behaviour and times")
    match, behaviour, times = source.get("match", {}), source.get("behaviour"), source.get("times")
    if not isinstance(match, dict) or not match.keys() <= {"path", "model"}:
        raise ValueError("match is an object of path and model")
    if not all(isinstance(glob, str | None) for glob in match.values()):
        raise ValueError("path and model of a match are text")
    if not isinstance(behaviour, dict):
        raise ValueError("behaviour must be an object")  # noqa: TRY004 - as above
    if "times" in behaviour:
        raise ValueError("times belongs to the rule, beside match and behaviour")
    left = None if times is None else _whole(times, 1, 1_000_000_000)
    return Rule(match.get("path"), match.get("model"), read_behaviour(behaviour), left, source)


class Script:
    """Decides how each request is answered: the model's modifiers, overlaid by the first matching rule."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._seen: OrderedDict[str, int] = OrderedDict()

    def add(self, rule: Rule) -> None:
        """Append a rule; earlier rules win while they last."""
        self.rules.append(rule)

    def clear(self) -> None:
        """Forget rules and the counts of `times`."""
        self.rules.clear()
        self._seen.clear()

    def decide(self, path: str, model: str) -> Behaviour:
        """Return the behaviour of the next request, and count down the rule's or the model's `times`.

        Raises:
            ValueError: the model name has wrong modifiers.
        """
        behaviour = behaviour_of(model) if "@" in model else _PLAIN
        if behaviour.times is not None and self._count(model) > behaviour.times:
            behaviour = replace(behaviour, **_HEALTHY)
        for rule in self.rules:
            if rule.matches(path, model):
                rule.left = None if rule.left is None else rule.left - 1
                return replace(behaviour, **rule.fields)
        return behaviour

    def _count(self, model: str) -> int:
        self._seen[model] = seen = self._seen.get(model, 0) + 1
        if len(self._seen) > COUNTED_MODELS_LIMIT:
            self._seen.popitem(last=False)
        return seen


_PLAIN = Behaviour()
