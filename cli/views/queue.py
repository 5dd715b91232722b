"""The queue on a terminal."""

from collections.abc import Mapping
from typing import Any

from cli.views.output import out, table


def print_status(queue: Mapping[str, Any]) -> None:
    """Print the queue by priority, its other counts, and the pauses in force."""
    console = out()
    priorities: Mapping[str, Mapping[str, Any]] = queue["priorities"]
    rows = [(name, row["depth"], f"{row['oldest_age_s'] or 0:.1f} s") for name, row in priorities.items()]
    console.print(table(("priority", "waiting", "oldest"), rows))
    counts = ", ".join(f"{name} {queue[name]}" for name in ("running", "deferred", "dead"))
    console.print(f"\n{counts}", markup=False)
    pauses = queue["pauses"]
    if pauses:
        console.print()
        columns = ("scope", "reason", "until")
        console.print(table(columns, [(row["scope"], row["reason"], row["until"] or "resumed") for row in pauses]))
