"""Alerts: budget thresholds, unusual spending, disabled webhook endpoints, and alert rules that fire and resolve."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance.keyspace import ALERTS
from shared.governance.limits.model import MICRO
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError

THRESHOLD: Final = "budget.threshold"
ANOMALY: Final = "spend.anomaly"
DISABLED: Final = "webhook.disabled"
FIRING: Final = "alert.firing"
RESOLVED: Final = "alert.resolved"
KINDS: Final = (THRESHOLD, ANOMALY, DISABLED, FIRING, RESOLVED)
MAX_SCAN = 10_000
_PAGE = 500
_ID = re.compile(r"alert_([0-9]{1,16}-[0-9]{1,9})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert.

    Attributes:
        id: The same in the API and in webhooks.
        kind: ``budget.threshold``, ``spend.anomaly``, ``webhook.disabled``, ``alert.firing`` or ``alert.resolved``.
        scope: Whose money: ``key:<id>``, ``team:<name>``, ``customer:<name>``, ``provider:<name>``, ``model:<name>``;
            of a disabled endpoint ``webhook:<name or origin>``; of a rule ``rule:<name>``.
        window: Of the budget, or of the baseline: ``1d``.
        used: Micro-USD in the window when the alert was raised.
        limit: The budget, micro-USD; 0: the alert is not about a budget.
        percent: The threshold that was passed.
        usual: The key's baseline for the window, micro-USD.
        since_ms: Since when a disabled endpoint has failed, or a rule has had its status.
        rule: Name of the rule; empty: the alert is not of a rule.
        metric: What the rule watches.
        value: The figure; None: unknown.
        threshold: What the figure is compared with.
        muted: Nobody was notified.
        webhooks: Of a rule that was removed: its webhooks.
    """

    id: str
    kind: str
    at_ms: int
    scope: str
    window: str
    used: int
    limit: int = 0
    percent: int = 0
    usual: int = 0
    since_ms: int = 0
    rule: str = ""
    metric: str = ""
    value: float | None = None
    threshold: float = 0.0
    muted: bool = False
    webhooks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The form of the API and of webhooks; money in USD."""
        base = {
            "id": self.id,
            "object": "alert",
            "created_at": self.at_ms // 1000,
            "type": self.kind,
            "scope": self.scope,
        }
        if self.rule:
            return base | {
                "rule": self.rule,
                "status": self.kind.removeprefix("alert."),
                "metric": self.metric,
                "value": self.value,
                "threshold": self.threshold,
                "muted": self.muted,
            }
        if self.kind == DISABLED:
            return base | {"failing_since": self.since_ms // 1000}
        about: dict[str, Any] = {"usual_usd": self.usual / MICRO}
        if self.kind == THRESHOLD:
            about = {"percent": self.percent, "limit_usd": self.limit / MICRO}
        return base | {"window": self.window, **about, "used_usd": self.used / MICRO}


def alert_of(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Alert:
    """Read an alert from its stream entry, of any version."""

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode(errors="replace")

    def number(name: bytes) -> int:
        return int(float(fields.get(name) or 0))

    return Alert(
        id=f"alert_{entry_id.decode()}",
        kind=text(b"kind") or THRESHOLD,
        at_ms=int(entry_id.split(b"-")[0]),
        scope=text(b"scope"),
        window=text(b"window"),
        used=number(b"used"),
        limit=number(b"limit"),
        percent=number(b"percent"),
        usual=number(b"usual"),
        since_ms=number(b"since_ms"),
        rule=text(b"rule"),
        metric=text(b"metric"),
        value=float(fields[b"value"]) if fields.get(b"value") else None,
        threshold=float(fields.get(b"threshold") or 0),
        muted=fields.get(b"muted") == b"1",
        webhooks=tuple(text(b"webhooks").split()),
    )


async def list_alerts(
    commands: RedisCommands, *, kind: str = "", scope: str = "", after: str = "", limit: int = 20
) -> tuple[list[Alert], bool]:
    """List alerts, newest first.

    Args:
        kind: Only alerts of this kind.
        scope: Only alerts of this budget or key.
        after: Id of the last alert of the previous page.
        limit: Most alerts.

    Returns:
        The alerts, and whether there are more.

    Raises:
        InvalidRequest: The cursor or the kind is invalid.
        StoreUnavailable: No answer.
    """
    if kind and kind not in KINDS:
        raise InvalidRequest(f"`type` must be one of {', '.join(KINDS)}.", param="type")
    upper = f"({_entry_id(after)}" if after else "+"
    found: list[Alert] = []
    for _ in range(MAX_SCAN // _PAGE):
        entries = await _entries(commands, upper)
        for entry_id, fields in entries:
            alert = alert_of(entry_id, dict(zip(fields[::2], fields[1::2], strict=True)))
            if (kind and alert.kind != kind) or (scope and alert.scope != scope):
                continue
            if len(found) == limit:
                return found, True
            found.append(alert)
        if len(entries) < _PAGE:
            break
        upper = f"({entries[-1][0].decode()}"
    return found, False


async def _entries(commands: RedisCommands, upper: str) -> list[tuple[bytes, list[bytes]]]:
    args: tuple[Argument, ...] = ("XREVRANGE", ALERTS, upper, "-", "COUNT", _PAGE)
    try:
        entries: list[tuple[bytes, list[bytes]]] = await commands.execute(*args, retry_safe=True)
    except StoreConnectionError as error:
        raise StoreUnavailable("The store did not answer: alerts cannot be read. Try again.") from error
    return entries


def _entry_id(cursor: str) -> str:
    found = _ID.fullmatch(cursor)
    if found is None:
        raise InvalidRequest("`after` must be the id of an alert.", param="after")
    return found[1]
