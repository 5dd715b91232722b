"""The result of a check, and its severity."""

import re
from dataclasses import dataclass
from typing import Final, Literal

_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")

Level = Literal["OK", "WARN", "FAIL"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `finops doctor`.

    Attributes:
        check: The subject of the check.
        level: OK, WARN or FAIL.
        message: The observation.
        fix: What to do about it; empty if nothing.
    """

    check: str
    level: Level
    message: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the finding as ``finops doctor --json`` prints it, under the names that scripts know."""
        return {"check": self.check, "level": self.level, "said": self.message, "mend": self.fix}


def ok(check: str, message: str) -> Finding:
    """Return a finding without a problem."""
    return Finding(check, "OK", message)


def warn(check: str, message: str, fix: str) -> Finding:
    """Return a finding for something that works and should be improved."""
    return Finding(check, "WARN", message, fix)


def fail(check: str, message: str, fix: str) -> Finding:
    """Return a finding for something that does not work, or may lose accepted jobs."""
    return Finding(check, "FAIL", message, fix)


def unstyled(text: str) -> str:
    """Return a text of others without the escape sequences that a terminal would obey."""
    return _ANSI.sub("", text)
