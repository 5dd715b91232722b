"""A supervised process: started, restarted when it dies, and stopped with a grace period."""

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from cli.supervisor.ahead import StartedAhead

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
# A child that lived for this long was healthy: after its next death the back-off starts over.
HEALTHY_AFTER_S = 30.0


@dataclass(frozen=True, kw_only=True)
class ChildPlan:
    """How to start a child.

    Attributes:
        name: Its name in messages, e.g. ``worker 1``.
        inherited: File descriptors that it inherits.
        output: File for its output; None: our own.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    inherited: tuple[int, ...] = ()
    output: IO[str] | None = None


class Child:
    """A supervised process.

    Args:
        plan: How to start it.
        report: Called with a sentence for people after every unexpected end.
        ahead: Already runs, and gets its orders by the plan when it is first started; None: the plan starts it.
    """

    def __init__(self, plan: ChildPlan, report: Callable[[str], None], ahead: StartedAhead | None = None) -> None:
        self.plan = plan
        self.starts = 0
        self._report = report
        self._process: Process | StartedAhead | None = None
        self._ahead = ahead
        self._stopping = asyncio.Event()
        self._died = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its current process id; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it, and restart it whenever it dies."""
        process = await self._spawn()
        self._keeping = asyncio.create_task(self._keep(process))

    async def died(self) -> int | None:
        """Wait for its first unexpected end, and return its exit code."""
        await self._died.wait()
        return self._process.returncode if self._process else None

    def retire(self) -> None:
        """Mark its end as expected from now on."""
        self._stopping.set()

    async def stop(self, grace_s: float) -> None:
        """Send TERM, after ``grace_s`` KILL, and wait until it has ended; a second call is harmless."""
        self.retire()
        self.send(signal.SIGTERM)
        if self._keeping is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await asyncio.shield(self._keeping)
        self.send(signal.SIGKILL)
        await self._keeping

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.pid is not None and self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _keep(self, process: Process | StartedAhead) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            began = time.monotonic()
            code = await process.wait()
            if self._stopping.is_set():
                return
            self._died.set()
            if time.monotonic() - began > HEALTHY_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            self._report(f"{self.plan.name} ended unexpectedly ({_ending(code)}); restarting it in {backoff_s:g} s")
            with suppress(TimeoutError):
                async with asyncio.timeout(backoff_s):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
            process = await self._spawn()
            if self._stopping.is_set():  # stopped while it started: that signal reached nothing
                self.send(signal.SIGTERM)

    async def _spawn(self) -> Process | StartedAhead:
        """Start the process in a group of its own: Ctrl-C reaches only the supervisor, which stops it in order."""
        plan = self.plan
        self.starts += 1
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            with suppress(OSError):  # it has ended: one that is started now says why
                await asyncio.to_thread(ahead.order, plan.command, plan.environ, plan.inherited)
                self._process = ahead
                return ahead
        self._process = await asyncio.create_subprocess_exec(
            *plan.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=plan.output,
            stderr=plan.output,
            env=plan.environ,
            pass_fds=plan.inherited,
            process_group=0,
        )
        return self._process


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
