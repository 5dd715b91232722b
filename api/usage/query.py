"""Parses the query parameters of usage requests."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import get_args

from shared import clock
from shared.errors import InvalidRequest
from shared.governance.ledger.reports import Per, UsageQuery

# Public name to that of the books.
GROUPS = {
    "key": "key", "team": "team", "customer": "customer", "provider": "provider", "model": "model",
    "request_type": "type", "lane": "lane",
}  # fmt: skip
_ALIASES = {"type": "request_type"}
_DIMENSION = "dimension:"
_PERS: tuple[str, ...] = get_args(Per)
_USUAL_DAYS = {"hour": 1, "day": 30, "month": 365, "total": 30}
_CALL_FILTERS = {"status": "status", "code": "code", "job": "job", "request_id": "request_id"}
_OTHERS = frozenset({"from", "to", "per", "group_by", "format", "limit", "cursor", "content"})
_MAX_TEXT = 256
_MAX_GROUPS = 6


@dataclass(frozen=True, slots=True)
class Span:
    """From when up to before when, UTC."""

    start: datetime
    end: datetime

    @classmethod
    def read(cls, params: Mapping[str, str], usual_days: int, now: datetime) -> "Span":
        """The span of ``from`` and ``to``; a ``to`` that is a day includes it.

        Raises:
            InvalidRequest: One is no time, or they are in the wrong order.
        """
        end = _moment(params, "to", last=True) or now
        try:
            start = _moment(params, "from") or end - timedelta(days=usual_days)
        except OverflowError:
            raise InvalidRequest("to is too long ago.", param="to") from None
        if end <= start:
            raise InvalidRequest("to must be after from.", param="to")
        return cls(start, end)


@dataclass(frozen=True, slots=True)
class UsageRequest:
    """A question for sums, and how its groups are called by who asks (name of the books to public name)."""

    query: UsageQuery
    names: Mapping[str, str]


def read_usage(params: Mapping[str, str], providers: Collection[str], now: datetime) -> UsageRequest:
    """A question for sums.

    Args:
        params: The query parameters.
        providers: Configured ones, which may stand before a model's name.
        now: UTC; up to now and the period under way by default.

    Raises:
        InvalidRequest: Something is not understood; ``param`` names it.
    """
    _refuse_unknown(params, GROUPS)
    per = params.get("per") or "day"
    if per not in _PERS:
        raise InvalidRequest(f"per must be one of {', '.join(_PERS)}.", param="per")
    names: dict[str, str] = {}
    for name in (part.strip() for part in params.get("group_by", "").split(",")):
        if name:
            own, public = _group(name, "group_by")
            names[own] = public
    if len(names) > _MAX_GROUPS:
        raise InvalidRequest(f"group_by takes at most {_MAX_GROUPS} names.", param="group_by")
    span = Span.read(params, _USUAL_DAYS[per], now)
    only = _only(params, GROUPS, providers)
    query = UsageQuery(start=span.start, end=span.end, group_by=tuple(names), per=_per(per), only=only)
    return UsageRequest(query, names)


def read_calls(params: Mapping[str, str], providers: Collection[str]) -> dict[str, str]:
    """Filters of single calls.

    Raises:
        InvalidRequest: One is not understood; ``param`` names it.
    """
    known = {**GROUPS, **_CALL_FILTERS}
    _refuse_unknown(params, known)
    return _only(params, known, providers)


def read_choice(params: Mapping[str, str], name: str, allowed: Collection[str], usual: str) -> str:
    """One of a few words.

    Raises:
        InvalidRequest: The value is not one of ``allowed``.
    """
    word = params.get(name) or usual
    if word not in allowed:
        raise InvalidRequest(f"{name} must be one of {', '.join(allowed)}.", param=name)
    return word


def _per(text: str) -> Per:
    found: Per = next(per for per in get_args(Per) if per == text)
    return found


def _only(params: Mapping[str, str], known: Mapping[str, str], providers: Collection[str]) -> dict[str, str]:
    only: dict[str, str] = {}
    for name, value in params.items():
        if name in _OTHERS or not value:
            continue
        if len(value) > _MAX_TEXT:
            raise InvalidRequest(f"{name[:50]} is longer than {_MAX_TEXT} characters.", param=name[:50])
        own = known.get(_ALIASES.get(name, name))
        only[own or _group(name, name)[0]] = value
    provider, slash, model = only.get("model", "").partition("/")
    if slash and provider in providers and only.get("provider", provider) == provider:
        only.update(provider=provider, model=model)
    return only


def _refuse_unknown(params: Mapping[str, str], known: Mapping[str, str]) -> None:
    """A misspelt filter must not answer with everything."""
    for name in params:
        if name not in _OTHERS and _ALIASES.get(name, name) not in known and not name.startswith(_DIMENSION):
            raise InvalidRequest(
                f"{name[:50]!r} is no parameter here: {', '.join((*known, 'dimension:<name>'))} filter.",
                param=name[:50],
            )


def _group(name: str, param: str) -> tuple[str, str]:
    """The books' name and the public one."""
    public = _ALIASES.get(name, name)
    if public in GROUPS:
        return GROUPS[public], public
    dimension = public.removeprefix(_DIMENSION)
    if dimension == public or not 0 < len(dimension) <= _MAX_TEXT:
        raise InvalidRequest(f"{name[:50]!r} is none of {', '.join(GROUPS)}, dimension:<name>.", param=param[:50])
    return f"dim:{dimension}", public


def _moment(params: Mapping[str, str], name: str, *, last: bool = False) -> datetime | None:
    text = params.get(name)
    if not text:
        return None
    try:
        if len(text) == 10:
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
            return day + timedelta(days=1) if last else day
        # An unescaped + of a time zone arrives as a space.
        return clock.parse_rfc3339(text[:40].replace(" ", "+") if "T" in text else text[:40])
    except (ValueError, OverflowError):
        raise InvalidRequest(
            f"{name} must be a day (2026-11-22) or an RFC 3339 time (2026-11-22T21:00:00Z).", param=name
        ) from None
