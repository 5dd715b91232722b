"""Evaluates alert rules: the figure of each, and the step to its next state."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from shared import clock
from shared.alerts.figures import Figures, read_figures
from shared.alerts.rules import AlertRules, RuleStatus
from shared.governance.ledger.reports import Reports, UsageQuery
from shared.governance.limits.model import MICRO
from shared.jobs.model import Priority
from shared.jobs.store import JobStore
from shared.settings.alert_rules import ON_TIME_BOUNDS_S, AlertSettings
from shared.store.commands import RedisCommands

EVALUATE_EVERY_S: Final = 10.0

States = Callable[[], Mapping[str, Mapping[str, Any]]]
"""``Inference.states``."""


class AlertEvaluator:
    """Evaluates the rules of a deployment, once per period whichever process does it.

    Args:
        commands: The store.
        rules: The configured rules by name.
        states: The providers' health as this process knows it: that of all processes, as they share it.
        every_s: The period.
        jobs: The jobs of all shards; default: those of the store's only one.
    """

    def __init__(
        self,
        commands: RedisCommands,
        rules: Mapping[str, AlertSettings],
        states: States,
        every_s: float = EVALUATE_EVERY_S,
        *,
        jobs: JobStore | None = None,
    ) -> None:
        self._jobs = jobs or JobStore(commands)
        self._commands = commands
        self._rules = rules
        self._states = states
        self._every_s = every_s
        self._store = AlertRules(commands, rules)

    async def look(self) -> Mapping[str, RuleStatus] | None:
        """Evaluate unless another process has done so in this period.

        Returns:
            The status of each rule; None: it was another's turn.

        Raises:
            StoreUnavailable: No answer.
        """
        return await self.evaluate() if await self._store.take_turn(self._every_s) else None

    async def evaluate(self, now: datetime | None = None) -> Mapping[str, RuleStatus]:
        """Evaluate every rule and return its status; alerts of rules that were removed are resolved.

        Raises:
            StoreUnavailable: No answer.
        """
        now = now or clock.now()
        now_ms = round(now.timestamp() * 1000)
        statuses = {
            name: await self._store.step(name, await self.measure(rule, now), now_ms)
            for name, rule in self._rules.items()
        }
        await self._store.retire(now_ms)
        return statuses

    async def measure(self, rule: AlertSettings, now: datetime) -> float | None:
        """Measure a rule's figure: seconds, a share from 0 to 1, USD, or a number of circuits.

        Returns:
            The figure; None: too few jobs or calls for a share.

        Raises:
            StoreUnavailable: No answer.
        """
        match rule.metric:
            case "queue_age":
                return await self._queue_age(rule)
            case "circuit_open":
                return float(open_circuits(self._states(), rule.provider))
            case "spend":
                return await self._spend(rule, now)
            case _:
                figures = await read_figures(self._commands, rule.window_s, round(now.timestamp() * 1000))
                return error_rate(rule, figures) if rule.metric == "error_rate" else on_time_share(rule, figures)

    async def _queue_age(self, rule: AlertSettings) -> float:
        priorities = (await self._jobs.stats()).priorities
        wanted = [priorities[Priority(rule.priority)]] if rule.priority else list(priorities.values())
        return max((queue.oldest_age_s or 0.0 for queue in wanted), default=0.0)

    async def _spend(self, rule: AlertSettings, now: datetime) -> float:
        kind, _, name = (rule.scope or "").partition(":")
        start = now.replace(minute=0, second=0, microsecond=0)
        query = UsageQuery(
            start=start if rule.window == "1h" else start.replace(hour=0),
            end=now + timedelta(seconds=1),
            per="hour" if rule.window == "1h" else "day",
            only={kind: name} if kind else {},
        )
        return (await Reports(self._commands).summary(query)).total.sums["cost"] / MICRO


def open_circuits(states: Mapping[str, Mapping[str, Any]], provider: str | None) -> int:
    """Count the circuits that are not closed, of one provider or of all."""
    chosen = [state for name, state in states.items() if provider in {None, name}]
    return sum((state["circuit"] != "closed") + len(state["circuits"]) for state in chosen)


def error_rate(rule: AlertSettings, figures: Figures) -> float | None:
    """The share of requests to providers that failed; None: fewer than ``min_count``."""
    wanted = (lambda name: name == rule.provider) if rule.provider else (lambda _: True)
    sums = {"calls": 0, "failed": 0}
    for name, count in figures.items():
        kind, _, provider = name.partition(":")
        if kind in sums and wanted(provider):
            sums[kind] += count
    return sums["failed"] / sums["calls"] if sums["calls"] >= rule.min_count else None


def on_time_share(rule: AlertSettings, figures: Figures) -> float | None:
    """The share of jobs that were claimed within ``on_time_s``; None: fewer than ``min_count``."""
    last = ON_TIME_BOUNDS_S.index(rule.on_time_s)
    total = on_time = 0
    for name, count in figures.items():
        kind, _, rest = name.partition(":")
        priority, _, bucket = rest.partition(":")
        if kind == "wait" and rule.priority in {None, priority}:
            total += count
            on_time += count if int(bucket) <= last else 0
    return on_time / total if total >= rule.min_count else None
