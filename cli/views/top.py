"""`finops top` on a terminal of 80 columns or more."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.text import plain
from cli.views.output import duration, fitted

PROVIDERS: Final = 10
LANES: Final = 6
_STATES: Final = {
    "depth": "waiting",
    "running": "running",
    "deferred": "deferred",
    "dead": "dead",
    "callers": "callers",
}


class Screen:
    """The whole terminal, which shows the newest reading. Use `with`: at the end the terminal is as it was.

    The last page stays below it, so that a reader keeps what they saw.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop")
        self._page: RenderableType = ""

    def __enter__(self) -> Self:
        """Take the terminal."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._live.stop()
        self._console.print(self._page)

    def update(self, reading: Mapping[str, Any]) -> None:
        """Show a reading."""
        self._page = page(reading, self._console)
        self._live.update(self._page, refresh=True)


def page(reading: Mapping[str, Any], console: Console) -> Group:
    """Return a reading as it is printed."""
    parts: list[RenderableType] = [_head(reading), Text(), _queue(reading["queue"], console), Text()]
    parts.append(_providers(reading["providers"], console))
    hidden = len(reading["providers"]) - PROVIDERS
    if hidden > 0:
        parts.append(Text(f"and {hidden} more", style="dim"))
    if reading["lanes"]:
        parts += [Text(), _lanes(reading["lanes"], console)]
    return Group(*parts)


def _head(reading: Mapping[str, Any]) -> Text:
    workers, queue, rates, spend = (reading[name] for name in ("workers", "queue", "rates", "spend"))
    needed, mean = workers["desired"], _seconds(workers["job_s"])
    states = ", ".join(f"{queue[field]} {name}" for field, name in _STATES.items())
    lines = [
        f"workers    {workers['count']}, {needed} needed",
        f"slots      {workers['running']} of {workers['slots']} in use; mean job {mean}",
        f"jobs       {states}",
        f"calls      {rates['calls_per_s']:.1f}/s, {rates['errors_per_s']:.1f}/s failed",
        f"spend      {rates['usd_per_s'] * 3600:.2f} USD an hour",
        f"today      {_sums(spend['today'])}",
        f"yesterday  {_sums(spend['yesterday'])}",
    ]
    head = Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
    if workers["failing_parts"]:
        head.append(f"\nfailing in workers: {plain(', '.join(workers['failing_parts']))}", style="red")
    if "error" in reading:
        head.append(f"\nno new reading: {plain(reading['error'])}", style="red")
    return head


def _sums(sums: Mapping[str, Any]) -> str:
    return f"{sums['calls']} calls, {sums['errors']} failed, {sums['cost_usd']:.2f} USD"


def _queue(queue: Mapping[str, Any], console: Console) -> Table:
    rows = [(name, one["depth"], _seconds(one["oldest_age_s"] or 0.0)) for name, one in queue["priorities"].items()]
    return fitted(("priority", "waiting", "oldest"), rows, console)


def _providers(providers: Sequence[Mapping[str, Any]], console: Console) -> Table:
    """Return the providers, those in trouble first, then the busiest."""
    order = sorted(providers, key=lambda one: (_healthy(one), -one["running"], one["name"]))
    rows = [
        (one["name"], _health(one), one["running"], one["waiting"], one["limit"] or "") for one in order[:PROVIDERS]
    ]
    return fitted(("provider", "health", "running", "waiting", "limit"), rows, console, ("limit", "waiting"))


def _healthy(provider: Mapping[str, Any]) -> bool:
    return provider["circuit"] == "closed" and not (provider["open_circuits"] or provider["resting_keys"])


def _health(provider: Mapping[str, Any]) -> Text:
    if _healthy(provider):
        return Text("ok", style="green")
    faults = [] if provider["circuit"] == "closed" else [f"circuit {provider['circuit']}"]
    for name, noun in (("open_circuits", "model circuit"), ("resting_keys", "cooling key")):
        if count := provider[name]:
            faults.append(f"{count} {noun}{'s' if count > 1 else ''}")
    return Text(", ".join(faults), style="red" if provider["circuit"] == "open" else "yellow")


def _lanes(lanes: Sequence[Mapping[str, Any]], console: Console) -> Table:
    busiest = sorted(lanes, key=lambda one: -one["answers"])[:LANES]
    rows = [
        (one["lane"], one["model"], one["answers"], _seconds(one["p50_s"]), _seconds(one["p95_s"])) for one in busiest
    ]
    return fitted(("lane", "model", "answers", "p50", "p95"), rows, console, ("p50",))


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)
