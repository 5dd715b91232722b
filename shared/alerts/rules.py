"""The state of alert rules in the store: ok, pending or firing; and muting."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal

import orjson

from shared import clock
from shared.alerts import keys
from shared.errors import AlertRuleNotFound
from shared.jobs.scripts import EngineScripts
from shared.settings.alert_rules import AlertSettings
from shared.store.commands import RedisCommands
from shared.store.scripts import Script, load_scripts

STATE_TTL_MS: Final = 30 * 86_400_000
REMOVED_MS: Final = 60_000
"""A rule that no process has evaluated for so long, and that this one does not know, was removed."""
MAX_MUTE_S: Final = 90 * 86_400

RuleStatus = Literal["ok", "pending", "firing"]


@cache
def alert_scripts() -> dict[str, Script]:
    """Load the scripts of ``shared/alerts/lua``, once per process."""
    return dict(load_scripts("shared.alerts.lua"))


@dataclass(frozen=True, slots=True)
class Mute:
    """A mute in force: nothing is sent until it ends."""

    reason: str
    until_ms: int

    def to_dict(self) -> dict[str, Any]:
        """The form of the API."""
        return {"reason": self.reason or None, "until": clock.rfc3339_ms(self.until_ms)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleState:
    """A configured rule and its state.

    Attributes:
        value: The figure when the rule was last evaluated; None: it was never known.
        since_ms: Since when it has this status; 0: never evaluated.
        at_ms: When it was last evaluated; 0: never.
    """

    name: str
    rule: AlertSettings
    status: RuleStatus = "ok"
    value: float | None = None
    since_ms: int = 0
    at_ms: int = 0
    mute: Mute | None = None

    def to_dict(self) -> dict[str, Any]:
        """The form of the API."""
        return {
            "id": self.name,
            "object": "alert.rule",
            "metric": self.rule.metric,
            "condition": self.rule.condition,
            "status": self.status,
            "value": self.value,
            "threshold": self.rule.threshold,
            "since": clock.rfc3339_ms(self.since_ms) if self.since_ms else None,
            "evaluated_at": clock.rfc3339_ms(self.at_ms) if self.at_ms else None,
            "muted": self.mute.to_dict() if self.mute else None,
            "webhooks": list(self.rule.webhooks),
        }


class AlertRules:
    """Reads, advances and mutes the configured rules. Any store failure is ``StoreUnavailable``.

    Args:
        commands: The store.
        rules: The configured rules by name.
    """

    def __init__(self, commands: RedisCommands, rules: Mapping[str, AlertSettings]) -> None:
        self._scripts = EngineScripts(commands, alert_scripts())
        self._rules = rules

    async def take_turn(self, every_s: float) -> bool:
        """Whether this process is the one that evaluates now; of all processes, one is per period."""
        taken = ("SET", keys.TURN, "1", "NX", "PX", max(1, round(every_s * 900)))
        return bool(await self._scripts.execute(*taken))

    async def step(self, name: str, value: float | None, now_ms: int) -> RuleStatus:
        """Advance a rule with its figure and record what changed; two processes with the same figure record it once."""
        rule = self._rules[name]
        holds = "1" if rule.holds(value) else "0"
        text = "" if value is None else repr(value)
        for_ms, webhooks = round(rule.for_s * 1000), " ".join(rule.webhooks)
        args = (name, now_ms, holds, text, for_ms, rule.metric, repr(rule.threshold), STATE_TTL_MS, webhooks)
        status, _ = await self._scripts.run("step", args)
        found: RuleStatus = status.decode()
        return found

    async def retire(self, now_ms: int) -> None:
        """Resolve the alerts of rules that fired and are no longer configured anywhere.

        Raises:
            StoreUnavailable: No answer.
        """
        for name in await self._scripts.execute("HKEYS", keys.FIRING, retry_safe=True):
            if name.decode() not in self._rules:
                await self._scripts.run("retire", (name, now_ms, REMOVED_MS))

    async def list(self) -> list[RuleState]:
        """All configured rules in their order, with their states."""
        if not self._rules:
            return []
        commands = [
            command
            for name in self._rules
            for command in (
                ("HMGET", keys.rule(name), "status", "value", "since_ms", "at_ms"),
                ("GET", keys.mute(name)),
            )
        ]
        replies = await self._scripts.execute_many(commands)
        rows = zip(self._rules.items(), replies[::2], replies[1::2], strict=True)
        return [_state(name, rule, fields, mute) for (name, rule), fields, mute in rows]

    async def get(self, name: str) -> RuleState:
        """One rule and its state.

        Raises:
            AlertRuleNotFound: No rule of this name is configured.
        """
        self._check(name)
        return next(state for state in await self.list() if state.name == name)

    async def mute(self, name: str, mute: Mute) -> None:
        """Send nothing about a rule until a time, except the end of what was sent.

        Raises:
            AlertRuleNotFound: No rule of this name is configured.
        """
        self._check(name)
        document = orjson.dumps({"reason": mute.reason, "until_ms": mute.until_ms})
        await self._scripts.execute("SET", keys.mute(name), document, "PXAT", mute.until_ms, retry_safe=True)

    async def unmute(self, name: str) -> None:
        """End a mute; an alert that still fires is sent at the next evaluation.

        Raises:
            AlertRuleNotFound: No rule of this name is configured.
        """
        self._check(name)
        await self._scripts.execute("DEL", keys.mute(name), retry_safe=True)

    def _check(self, name: str) -> None:
        if name not in self._rules:
            raise AlertRuleNotFound(name, self._rules)


def _state(name: str, rule: AlertSettings, fields: list[bytes | None], mute: bytes | None) -> RuleState:
    status, value, since_ms, at_ms = (field.decode() if field else "" for field in fields)
    found = orjson.loads(mute) if mute else None
    known: RuleStatus = "firing" if status == "firing" else "pending" if status == "pending" else "ok"
    return RuleState(
        name=name,
        rule=rule,
        status=known,
        value=float(value) if value else None,
        since_ms=int(since_ms or 0),
        at_ms=int(at_ms or 0),
        mute=Mute(str(found["reason"]), int(found["until_ms"])) if found else None,
    )
