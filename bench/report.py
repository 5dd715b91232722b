"""Print tables of figures with their ratios as markdown, and make them the current ones in RESULTS.md."""

import datetime
import math
import subprocess
from collections.abc import Sequence

from bench import results_file


def number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "all of it"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio(value: float | None, ours: float | None) -> str:
    """How many times ours, for a column beside the figure."""
    if not value or not ours or math.isnan(value) or math.isinf(value):
        return ""
    return f" ({value / ours:.3g}x)"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)]) + "\n"


class Report:
    """Sections in order; each is printed when it is there."""

    def __init__(self, title: str, context: Sequence[str]) -> None:
        self._title = title
        self._run = f"{run_line()}; {'; '.join(context)}."
        self._parts: list[str] = []
        print(f"## {title}\n\n{self._run}\n", flush=True)

    def say(self, text: str) -> None:
        print(text, flush=True)
        self._parts.append(text)

    def section(self, name: str, text: str) -> None:
        self.say(f"### {name}\n\n{text}")

    def keep(self) -> None:
        """Make the tables the current ones in RESULTS.md."""
        results_file.keep(self._title, self._run, "\n".join(self._parts))


def run_line() -> str:
    """When, and of which commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=results_file.HERE, capture_output=True, text=True, check=False
    ).stdout.strip()
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{now}, commit {commit}"
