"""Progress of jobs until they have ended: live lines on a terminal, one line per change elsewhere."""

import asyncio
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.client.gateway import LIVE, Gateway, GatewayRequestError
from cli.text import plain
from cli.views.output import between, cell, duration

# Each job is one long poll; with many jobs each poll is longer, to limit the load on the gateway.
SHORTEST_POLL_S = 1.0
LONGEST_POLL_S = 20.0
POLLS_PER_S = 20
OUTAGE_PATIENCE_S = 60.0


class WatchedJob:
    """A job being watched: its last envelope, and the time of its last change of status."""

    def __init__(self, job_id: str) -> None:
        self.id = job_id
        self.envelope: dict[str, Any] = {}
        self.remark = ""
        self._since = time.monotonic()

    @property
    def status(self) -> str:
        """The status of the envelope; empty before the first answer."""
        return str(self.envelope.get("status", ""))

    def update(self, envelope: dict[str, Any]) -> bool:
        """Take a newer envelope; return whether it differs in what is displayed."""
        before = (self.status, self.envelope.get("queue_position"), self.envelope.get("attempts"))
        changed = envelope.get("status") != self.status
        self.envelope, self.remark = envelope, ""
        if changed:
            self._since = time.monotonic()
        return before != (self.status, envelope.get("queue_position"), envelope.get("attempts"))

    def details(self) -> str:
        """Return queue position, attempt and remark in one line."""
        position = self.envelope.get("queue_position")
        attempts = self.envelope.get("attempts") or 0
        parts = [
            f"position {position}" if self.status == "pending" and position else "",
            f"attempt {attempts}" if attempts > 1 else "",
            plain(self.remark),
        ]
        return ", ".join(part for part in parts if part)

    def mark(self) -> Spinner | Text:
        """Return the sign before its line: turning while it has not ended, else by its outcome."""
        if self.status in LIVE or not self.envelope:
            return Spinner("dots", style="cyan")
        return Text(*(("\N{CHECK MARK}", "green") if self.status == "completed" else ("\N{BALLOT X}", "red")))

    def elapsed(self) -> str:
        """Return the time since the last change of status; of an ended job, how long it ran."""
        if self.envelope.get("completed_at"):
            return between(self.envelope.get("started_at"), self.envelope["completed_at"]) or "not run"
        return duration(time.monotonic() - self._since)


async def wait_for(gateway: Gateway, job_ids: list[str], console: Console) -> list[dict[str, Any]]:
    """Poll jobs until each has ended, and show their progress.

    Returns:
        Their envelopes, in the order of the ids.

    Raises:
        GatewayRequestError: A job is unknown, or the gateway is unavailable for too long.
    """
    watched = [WatchedJob(job_id) for job_id in job_ids]
    poll_s = min(max(len(watched) / POLLS_PER_S, SHORTEST_POLL_S), LONGEST_POLL_S)
    live = Live(get_renderable=lambda: _lines(watched), console=console, refresh_per_second=8, transient=True)
    plain_console = None if console.is_terminal else console
    try:
        if plain_console is None:
            live.start()
        async with asyncio.TaskGroup() as tasks:
            for job in watched:
                tasks.create_task(_watch(gateway, job, poll_s, plain_console))
    except* GatewayRequestError as errors:
        raise errors.exceptions[0] from None
    finally:
        live.stop()
    return [job.envelope for job in watched]


async def _watch(gateway: Gateway, job: WatchedJob, poll_s: float, console: Console | None) -> None:
    wait_s = 0.0
    unavailable_since: float | None = None
    while job.status in LIVE or not job.envelope:
        try:
            envelope = await gateway.get(job.id, wait_s)
        except GatewayRequestError as error:
            now = time.monotonic()
            unavailable_since = unavailable_since or now
            # A job never seen may not exist; one seen before is safe while the gateway restarts.
            if not job.envelope or not error.transient or now - unavailable_since > OUTAGE_PATIENCE_S:
                raise
            job.remark = "the gateway is unavailable"
            await asyncio.sleep(0.5)
            continue
        unavailable_since = None
        wait_s = poll_s
        if job.update(envelope) and console is not None:
            details = job.details()
            console.print(f"{job.id} {job.status}{f' ({details})' if details else ''}", markup=False)


def _lines(watched: list[WatchedJob]) -> Table:
    """Return the live lines: jobs that have not ended, 15 at most, and a count of the ended ones."""
    grid = Table.grid(padding=(0, 1))
    displayed = [job for job in watched if job.status in LIVE or not job.envelope][:15] or watched[-1:]
    for job in displayed:
        grid.add_row(job.mark(), cell(job.id), cell(job.status), job.elapsed(), job.details())
    ended = sum(job.status not in LIVE and bool(job.envelope) for job in watched)
    if len(watched) > 1:
        grid.add_row("", Text(f"{ended} of {len(watched)} ended"))
    return grid
