"""Checks of the alert rules: who is notified, whether they are evaluated, and which fire."""

from collections.abc import Iterator, Sequence
from typing import Final

from shared import clock
from shared.alerts.evaluation import EVALUATE_EVERY_S
from shared.alerts.rules import AlertRules, RuleState
from shared.checks.findings import Finding, ok, warn
from shared.governance.forecasts.alerts import FIRING
from shared.settings.model import Settings
from shared.store.commands import RedisCommands

_CHECK: Final = "alerts"
_LATE_MS: Final = 6 * EVALUATE_EVERY_S * 1000


async def check_alerts(commands: RedisCommands, settings: Settings) -> list[Finding]:
    """Check the configured alert rules and their states in the store.

    Raises:
        StoreUnavailable: The store does not answer.
    """
    if not settings.alerts:
        return [ok(_CHECK, "no rules are configured")]
    states = await AlertRules(commands, settings.alerts).list()
    now_ms = clock.now().timestamp() * 1000
    findings = [*_judge_receivers(settings), *_judge_evaluation(states, now_ms), *_judge_firing(states)]
    return findings or [ok(_CHECK, f"{len(states)} rules, none fires")]


def _judge_receivers(settings: Settings) -> Iterator[Finding]:
    if any(FIRING in webhook.events for webhook in settings.webhooks.values()):
        return
    silent = [name for name, rule in settings.alerts.items() if not rule.webhooks]
    if silent:
        fix = f'give them webhooks = ["<name>"], or add "{FIRING}" and "alert.resolved" to the events of a webhook'
        yield warn(_CHECK, f"nobody is notified of {', '.join(silent)}", fix)


def _judge_evaluation(states: Sequence[RuleState], now_ms: float) -> Iterator[Finding]:
    late = [state.name for state in states if now_ms - state.at_ms > _LATE_MS]
    if late:
        fix = "start a worker with this configuration: workers evaluate the rules, every ten seconds"
        yield warn(_CHECK, f"not evaluated in the last minute: {', '.join(late)}", fix)


def _judge_firing(states: Sequence[RuleState]) -> Iterator[Finding]:
    for state in states:
        if state.status == "firing":
            muted = f", muted until {clock.rfc3339_ms(state.mute.until_ms)}" if state.mute else ""
            fix = "see its paragraph in docs/19-watch.md, or mute it with `finops alerts mute`"
            yield warn(_CHECK, f"{state.name} fires: {state.rule.condition}{muted}", fix)
