"""Filters of lists of jobs: the parameters of ``GET /v1/async/jobs`` and of bulk operations' ``filter``."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

import orjson

from shared.errors import InvalidRequest
from shared.jobs.labels import DEFAULT_PROVIDER, USUAL_TYPE, customer_line, index_of, label_line, team_line
from shared.jobs.model import Priority, State

STATUSES: Mapping[str, tuple[State, ...]] = {
    "pending": (State.QUEUED, State.DEFERRED),
    "processing": (State.RUNNING,),
    "completed": (State.COMPLETED,),
    "failed": (State.FAILED,),
    "cancelled": (State.CANCELLED,),
}
PARAMETERS = (
    "status", "type", "model", "provider", "code", "priority", "label",
    "created_after", "created_before", "min_cost_usd", "max_cost_usd",
)  # fmt: skip
ADMIN_PARAMETERS = ("key", "team", "customer")
"""Further parameters of lists of all callers' jobs."""
MAX_VALUES = 20
MAX_CHARS = 256
MAX_LABEL_CHARS = 600
MICRO = 1_000_000
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,9})?")
_USD = re.compile(r"\d{1,9}(\.\d{1,9})?")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_LOST_PLUS = re.compile(r" (\d\d:\d\d)$")  # a + that was not percent-encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """What jobs a list holds; an empty attribute excludes nothing.

    The values of one attribute are alternatives, except that a job must have every one of ``labels``.

    Attributes:
        states: States of the job.
        types: Names of request types.
        models: As requested.
        providers: Who answered, or was tried last; of a job without an attempt, who its model asks for.
        codes: Error codes of the outcome.
        labels: Names and values.
        keys: Ids of virtual keys.
        created_after_ms: Exclusive, unix milliseconds.
        created_before_ms: Exclusive, unix milliseconds.
        min_cost_micro_usd: Inclusive; a job of unknown cost has none.
        max_cost_micro_usd: Inclusive.
    """

    states: tuple[State, ...] = ()
    types: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    providers: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    priorities: tuple[Priority, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    keys: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    created_after_ms: int | None = None
    created_before_ms: int | None = None
    min_cost_micro_usd: int | None = None
    max_cost_micro_usd: int | None = None

    def created_by(self, now_ms: int) -> Self:
        """Return the filter without jobs that are created after a moment, in Unix milliseconds."""
        before = self.created_before_ms
        return replace(self, created_before_ms=now_ms + 1 if before is None else min(before, now_ms + 1))

    @property
    def cost_bounds(self) -> tuple[int, int] | None:
        """Lowest and highest cost in micro-USD, both inclusive; None: any, and also unknown ones."""
        if self.min_cost_micro_usd is None and self.max_cost_micro_usd is None:
            return None
        return self.min_cost_micro_usd or 0, 2**53 if self.max_cost_micro_usd is None else self.max_cost_micro_usd

    def as_json(self) -> bytes:
        """Return what ``list.lua`` compares with records: sets of values, and lines of labels."""
        sets = {
            "state": self.states,
            "type": self.types,
            "model": self.models,
            "priority": self.priorities,
            "owner": self.keys,
            "provider": self.providers,
            "code": self.codes,
        }
        fields: dict[str, Any] = {
            name: dict.fromkeys(map(str, values), True) for name, values in sets.items() if values
        }
        lines = {
            "labels": [_line(label_line(*label)) for label in self.labels],
            "teams": [_line(team_line(team)) for team in self.teams],
            "customers": [_line(customer_line(customer)) for customer in self.customers],
        }
        fields |= {name: texts for name, texts in lines.items() if texts}
        if self.providers:
            fields["default_provider"] = DEFAULT_PROVIDER
        if self.cost_bounds is not None:
            fields["cost"] = self.cost_bounds
        return orjson.dumps(fields)

    def index_choices(self) -> Iterator[tuple[int, ...]]:
        """Yield alternatives of index sets: the jobs of the list are all in the union of any one of them."""
        for kind, values in (("model", self.models), ("provider", self.providers)):
            if values:
                yield _numbers(kind, values)
        if self.types and USUAL_TYPE not in self.types:
            yield _numbers("type", self.types)
        if self.priorities and Priority.NORMAL not in self.priorities:
            yield _numbers("priority", self.priorities)
        for label in self.labels:
            yield _numbers("label", (label_line(*label),))
        if self.teams:
            yield _numbers("label", [team_line(team) for team in self.teams])
        if self.customers:
            yield _numbers("label", [customer_line(customer) for customer in self.customers])


EVERYTHING = JobFilter()


def _line(text: str) -> str:
    return f"\n{text}\n"


def _numbers(kind: str, values: Sequence[str]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(index_of(kind, value) for value in values))


def read_filter(params: Mapping[str, Sequence[str]], *, types: Sequence[str], admin: bool = False) -> JobFilter:
    """Parse the filter of a list or of a bulk operation.

    Args:
        params: Values by parameter.
        types: The names of the request types.
        admin: Whether the list holds all callers' jobs.

    Raises:
        InvalidRequest: A parameter is unknown or its value invalid; ``param`` names it.
    """
    known = (*PARAMETERS, *ADMIN_PARAMETERS) if admin else PARAMETERS
    for name, values in params.items():
        if name not in known:
            raise unknown_parameter(name, known)
        _check_values(name, values)
    return JobFilter(
        states=tuple(state for word in params.get("status", ()) for state in _choice("status", word, STATUSES)),
        types=tuple(_member("type", word, types) for word in params.get("type", ())),
        models=tuple(params.get("model", ())),
        providers=tuple(params.get("provider", ())),
        codes=tuple(params.get("code", ())),
        priorities=tuple(Priority(_member("priority", word, tuple(Priority))) for word in params.get("priority", ())),
        labels=tuple(_label(text) for text in params.get("label", ())),
        keys=tuple(params.get("key", ())),
        teams=tuple(params.get("team", ())),
        customers=tuple(params.get("customer", ())),
        created_after_ms=_moment_ms("created_after", params),
        created_before_ms=_moment_ms("created_before", params),
        min_cost_micro_usd=_micro_usd("min_cost_usd", params),
        max_cost_micro_usd=_micro_usd("max_cost_usd", params),
    )


def unknown_parameter(name: str, known: Sequence[str]) -> InvalidRequest:
    """Build the error of a parameter that a list does not have."""
    return InvalidRequest(f"Unknown parameter {name[:60]!r}. Known: {', '.join(known)}.", param=name[:60])


def _check_values(name: str, values: Sequence[str]) -> None:
    if len(values) > MAX_VALUES:
        raise InvalidRequest(f"{name} may be given at most {MAX_VALUES} times.", param=name)
    for value in values:
        if not value:
            raise InvalidRequest(f"{name} must not be empty.", param=name)
        longest = MAX_LABEL_CHARS if name == "label" else MAX_CHARS
        if len(value) > longest:
            raise InvalidRequest(f"{name} is longer than {longest} characters.", param=name)


def _choice(name: str, word: str, choices: Mapping[str, tuple[State, ...]]) -> tuple[State, ...]:
    return choices[_member(name, word, tuple(choices))]


def _member(name: str, word: str, words: Sequence[str]) -> str:
    if word not in words:
        raise InvalidRequest(f"{name} must be one of {', '.join(words)}.", param=name)
    return word


def _label(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not name or not colon:
        raise InvalidRequest("label must be <name>:<value>, for example app:search.", param="label")
    return name, value


def _single(name: str, params: Mapping[str, Sequence[str]]) -> str | None:
    values = params.get(name) or ()
    if len(values) > 1:
        raise InvalidRequest(f"{name} may be given once.", param=name)
    return values[0] if values else None


def _moment_ms(name: str, params: Mapping[str, Sequence[str]]) -> int | None:
    text = _single(name, params)
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return round(float(text) * 1000)
    text = _LOST_PLUS.sub(r"+\1", text)
    if _MOMENT.fullmatch(text):
        try:
            return round(datetime.fromisoformat(text.upper()).timestamp() * 1000)
        except (ValueError, OverflowError):
            pass
    raise InvalidRequest(
        f"{name} must be a time in RFC 3339, for example 2026-11-28T09:00:00Z, or Unix seconds.", param=name
    )


def _micro_usd(name: str, params: Mapping[str, Sequence[str]]) -> int | None:
    text = _single(name, params)
    if text is None:
        return None
    if not _USD.fullmatch(text):
        raise InvalidRequest(f"{name} must be an amount in USD, for example 0.25.", param=name)
    return round(float(text) * MICRO)
