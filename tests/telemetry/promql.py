"""A small PromQL evaluator over scrapes: as much of the language as boards and alert rules use."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import promql_parser as promql
from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Scrape = Mapping[str, Vector]
"""By a sample's name: values by labels."""

SCRAPE_S = 60.0
_OPERATORS: Mapping[str, Callable[[float, float], float | bool]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else float("nan"),
    ">": lambda a, b: a > b, "<": lambda a, b: a < b, "==": lambda a, b: a == b,
}  # fmt: skip


def scrape_of(exposition: str) -> Scrape:
    """Read an exposition."""
    found: dict[str, Vector] = {}
    for family in text_string_to_metric_families(exposition):
        for sample in family.samples:
            found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
    return found


def parse(text: str) -> promql.Expr:
    """Parse an expression; Grafana's interval becomes one."""
    return promql.parse(text.replace("$__rate_interval", "5m"))


def selectors(expression: Any) -> Iterator[promql.VectorSelector]:
    """Every selector of an expression."""
    if isinstance(expression, promql.VectorSelector):
        yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(expression, name, None)
        if child is not None:
            yield from selectors(child)
    for child in getattr(expression, "args", ()):
        yield from selectors(child)


def groupings(expression: Any) -> Iterator[tuple[list[str], list[promql.VectorSelector]]]:
    """The labels that each aggregation keeps, with the selectors inside it."""
    if isinstance(expression, promql.AggregateExpr) and expression.modifier:
        yield list(expression.modifier.labels), list(selectors(expression.expr))
    for name in ("expr", "lhs", "rhs"):
        child = getattr(expression, name, None)
        if child is not None:
            yield from groupings(child)
    for child in getattr(expression, "args", ()):
        yield from groupings(child)


class Evaluator:
    """Evaluates between two scrapes that are ``SCRAPE_S`` apart; every range and offset reaches the first."""

    def __init__(self, before: Scrape, now: Scrape) -> None:
        self._before, self._now = before, now

    def __call__(self, text: str) -> Vector:
        """The vector that an expression has now."""
        found = self._of(parse(text))
        return found if isinstance(found, dict) else {frozenset(): found}

    def _of(self, one: Any) -> Vector | float:
        match one:
            case promql.NumberLiteral():
                return float(one.val)
            case promql.ParenExpr():
                return self._of(one.expr)
            case promql.VectorSelector():
                return _select(self._before if one.offset else self._now, one)
            case promql.Call():
                return self._call(one)
            case promql.AggregateExpr():
                return _aggregate(str(one.op), list(one.modifier.labels) if one.modifier else [], self._of(one.expr))
            case promql.BinaryExpr():
                return _combine(str(one.op), self._of(one.lhs), self._of(one.rhs))
        raise NotImplementedError(type(one).__name__)

    def _call(self, one: promql.Call) -> Vector:
        name = one.func.name
        if name == "absent":
            found = self._of(one.args[0])
            return {} if found else {frozenset(): 1.0}
        selector = one.args[0].vector_selector
        scale = {"rate": SCRAPE_S, "increase": 1.0}[name]
        before = _select(self._before, selector)
        now = _select(self._now, selector)
        return {labels: (value - before.get(labels, 0.0)) / scale for labels, value in now.items()}


def _select(scrape: Scrape, selector: promql.VectorSelector) -> Vector:
    wanted = selector.matchers.matchers
    return {
        labels: value for labels, value in scrape.get(selector.name, {}).items() if all(map(_matcher(labels), wanted))
    }


def _matcher(labels: Labels) -> Callable[[promql.Matcher], bool]:
    import re

    found = dict(labels)

    def matches(one: promql.Matcher) -> bool:
        value = found.get(one.name, "")
        if one.op == promql.MatchOp.Equal:
            return value == one.value
        assert one.op == promql.MatchOp.Re
        return re.fullmatch(one.value, value) is not None

    return matches


def _aggregate(op: str, by: list[str], vector: Vector | float) -> Vector:
    assert isinstance(vector, dict)
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(value)
    merge = {"sum": sum, "max": max, "min": min}[op]
    return {labels: merge(values) for labels, values in groups.items()}


def _combine(op: str, left: Vector | float, right: Vector | float) -> Vector | float:
    if op == "and":
        assert isinstance(left, dict)
        return left if right else {}
    function = _OPERATORS[op]
    if isinstance(left, dict) and isinstance(right, dict):
        pairs = {labels: (value, right[labels]) for labels, value in left.items() if labels in right}
    elif isinstance(left, dict):
        pairs = {labels: (value, right) for labels, value in left.items()}  # type: ignore[dict-item]
    elif isinstance(right, dict):
        pairs = {labels: (left, value) for labels, value in right.items()}
    else:
        return float(function(left, right))
    if op in {">", "<", "=="}:
        return {labels: one for labels, (one, other) in pairs.items() if function(one, other)}
    return {labels: float(function(one, other)) for labels, (one, other) in pairs.items()}
