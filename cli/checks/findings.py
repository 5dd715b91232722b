"""What a check finds, and how grave it is."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `finops doctor`.

    Attributes:
        check: What was looked at.
        said: What was found.
        mend: What to do about it; empty when nothing.
    """

    check: str
    level: Level
    said: str
    fix: str = ""


def ok(check: str, said: str) -> Finding:
    """All is well."""
    return Finding(check, "OK", said)


def warn(check: str, said: str, fix: str) -> Finding:
    """It works, and should be better."""
    return Finding(check, "WARN", said, fix)


def fail(check: str, said: str, fix: str) -> Finding:
    """It does not work, or loses what was promised to be kept."""
    return Finding(check, "FAIL", said, fix)
