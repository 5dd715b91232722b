"""Watching jobs until they have ended: live lines on a terminal, one line per change elsewhere."""

import asyncio
import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli.client.gateway import LIVE, Gateway, GatewayRequestError
from cli.views.output import cell, duration, plain

# Each job is asked for in one long poll; with many of them each poll is longer, so that the gateway has its peace.
SHORTEST_POLL_S = 1.0
LONGEST_POLL_S = 20.0
JOBS_A_SECOND = 20
AWAY_PATIENCE_S = 60.0


class Watched:
    """A job being watched: its last envelope and since when its status is what it is."""

    def __init__(self, job_id: str) -> None:
        self.id = job_id
        self.envelope: dict[str, Any] = {}
        self.remark = ""
        self._since = time.monotonic()

    @property
    def status(self) -> str:
        """As the envelope says; empty before the first answer."""
        return str(self.envelope.get("status", ""))

    def take(self, envelope: dict[str, Any]) -> bool:
        """Take a newer envelope; whether it tells of a change."""
        before = (self.status, self.envelope.get("queue_position"), self.envelope.get("attempts"))
        changed = envelope.get("status") != self.status
        self.envelope, self.remark = envelope, ""
        if changed:
            self._since = time.monotonic()
        return before != (self.status, envelope.get("queue_position"), envelope.get("attempts"))

    def words(self) -> str:
        """What is to be said of it now."""
        position = self.envelope.get("queue_position")
        attempts = self.envelope.get("attempts") or 0
        parts = [
            f"position {position}" if self.status == "pending" and position else "",
            f"attempt {attempts}" if attempts > 1 else "",
            plain(self.remark),
        ]
        return ", ".join(part for part in parts if part)

    def elapsed(self) -> str:
        """For how long the status is what it is."""
        return duration(time.monotonic() - self._since)


async def wait_for(gateway: Gateway, job_ids: list[str], console: Console) -> list[dict[str, Any]]:
    """Watch jobs until each has ended, and show their progress.

    Returns:
        Their envelopes, in the order of the ids.

    Raises:
        GatewayFault: A job is unknown, or the gateway is away for too long.
    """
    watched = [Watched(job_id) for job_id in job_ids]
    poll_s = min(max(len(watched) / JOBS_A_SECOND, SHORTEST_POLL_S), LONGEST_POLL_S)
    live = Live(get_renderable=lambda: _lines(watched), console=console, refresh_per_second=8, transient=True)
    description = None if console.is_terminal else console
    try:
        if description is None:
            live.start()
        async with asyncio.TaskGroup() as tasks:
            for job in watched:
                tasks.create_task(_watch(gateway, job, poll_s, description))
    except* GatewayRequestError as faults:
        raise faults.exceptions[0] from None
    finally:
        live.stop()
    return [job.envelope for job in watched]


async def _watch(gateway: Gateway, job: Watched, poll_s: float, description: Console | None) -> None:
    wait_s = 0.0
    away_since: float | None = None
    while job.status in LIVE or not job.envelope:
        try:
            envelope = await gateway.get(job.id, wait_s)
        except GatewayRequestError as fault:
            now = time.monotonic()
            away_since = away_since or now
            # Never seen, it may not exist; seen once, the gateway may be restarting, and the job is safe.
            if not job.envelope or not fault.passing or now - away_since > AWAY_PATIENCE_S:
                raise
            job.remark = "the gateway is away"
            await asyncio.sleep(0.5)
            continue
        away_since = None
        wait_s = poll_s
        if job.take(envelope) and description is not None:
            words = job.words()
            description.print(f"{job.id} {job.status}{f' ({words})' if words else ''}", markup=False)


def _lines(watched: list[Watched]) -> Table:
    """The live picture; of many jobs those that are on their way, and a count of the rest."""
    grid = Table.grid(padding=(0, 1))
    document = [job for job in watched if job.status in LIVE or not job.envelope][:15] or watched[-1:]
    for job in document:
        running = job.status in LIVE or not job.envelope
        mark = Spinner("dots", style="cyan") if running else Text("\N{CHECK MARK}", style="green")
        grid.add_row(mark, cell(job.id), cell(job.status), job.elapsed(), job.words())
    ended = sum(job.status not in LIVE and bool(job.envelope) for job in watched)
    if len(watched) > 1:
        grid.add_row("", Text(f"{ended} of {len(watched)} ended"))
    return grid
