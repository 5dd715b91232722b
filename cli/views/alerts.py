"""Alert rules and alerts on a terminal."""

from collections.abc import Mapping
from typing import Any

from cli.views.output import age, out, table
from shared.clock import rfc3339


def print_alerts(document: Mapping[str, Any]) -> None:
    """Print the rules with their states, and what was raised last."""
    console = out()
    rules, alerts = document["rules"], document["alerts"]
    if rules:
        console.print(table(("rule", "status", "value", "condition", "since", "muted until"), list(map(_rule, rules))))
    else:
        console.print("no alert rules are configured")
    if alerts:
        console.print()
        console.print(table(("alert", "scope", "figure", "age"), list(map(_alert, alerts))))


def _rule(rule: Mapping[str, Any]) -> tuple[object, ...]:
    value = "" if rule["value"] is None else f"{rule['value']:g}"
    muted = rule["muted"]["until"] if rule["muted"] else ""
    return rule["id"], rule["status"], value, rule["condition"], age(rule["since"]), muted


def _alert(alert: Mapping[str, Any]) -> tuple[object, ...]:
    value = alert.get("value", alert.get("used_usd"))
    muted = " (muted)" if alert.get("muted") else ""
    return (
        f"{alert['type']}{muted}",
        alert["scope"],
        "" if value is None else f"{value:g}",
        age(rfc3339(alert["created_at"])),
    )
