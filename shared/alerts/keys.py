"""The Redis keys of alert rules: their table, and functions that build their names."""

from typing import Final

from shared.store.keyspace import Key

KEYS: tuple[Key, ...] = (
    Key("finops:alert-rule:<name>", "hash", "30 days after its last evaluation", "the state of an alert rule"),
    Key("finops:alert-mute:<name>", "string", "until the mute ends, at most 90 days", "why an alert rule is muted"),
    Key("finops:alert-rules:firing", "hash", "30 days after a rule has fired", "rules that fire, and who was notified"),
    Key("finops:alert-rules:turn", "string", "9 seconds", "a worker evaluates the alert rules"),
    Key("finops:figures:<minute>", "hash", "70 minutes", "calls, failures and waits of all processes in a minute"),
)

TURN: Final = "finops:alert-rules:turn"
FIRING: Final = "finops:alert-rules:firing"


def rule(name: str) -> str:
    """The state of a rule."""
    return f"finops:alert-rule:{name}"


def mute(name: str) -> str:
    """Why a rule is muted; its expiry is the end of the mute."""
    return f"finops:alert-mute:{name}"


def figures(minute: int) -> str:
    """What all processes counted in a minute, by its number since 1970."""
    return f"finops:figures:{minute}"
