"""A process of ours under supervision: started, started again when it dies, and ended in order."""

import asyncio
import signal
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 10.0
# A child that lived for as long was fine; its next death starts over with the shortest wait.
SOUND_LIFE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class ChildPlan:
    """How to start a child.

    Attributes:
        name: For people: ``worker 1``.
        inherited: File descriptors that it gets.
        output: Where its standard error goes; None: to ours.
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
        say: Told, in a sentence, of every unexpected end.
    """

    def __init__(self, plan: ChildPlan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self.starts = 0
        self._say = say
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self._died = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id now; None while it does not run."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it and keep it running from now on."""
        process = await self._spawn()
        self._keeping = asyncio.create_task(self._keep(process))

    async def died(self) -> int | None:
        """Wait for its first unexpected end; its exit code."""
        await self._died.wait()
        return self._process.returncode if self._process else None

    def retire(self) -> None:
        """From now on its end is expected."""
        self._stopping.set()

    async def stop(self, grace_s: float) -> None:
        """End it with TERM, after ``grace_s`` with KILL, and wait until it is gone; a second call is harmless."""
        self.retire()
        self.send(signal.SIGTERM)
        if self._keeping is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._keeping), grace_s)
        self.send(signal.SIGKILL)
        await self._keeping

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.pid is not None and self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _keep(self, process: Process) -> None:
        backoff_s = FIRST_BACKOFF_S
        while True:
            began = time.monotonic()
            code = await process.wait()
            if self._stopping.is_set():
                return
            self._died.set()
            if time.monotonic() - began > SOUND_LIFE_S:
                backoff_s = FIRST_BACKOFF_S
            self._say(f"{self.plan.name} ended unexpectedly ({_ending(code)}); starting it again in {backoff_s:g} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff_s)
            if self._stopping.is_set():
                return
            backoff_s = min(2 * backoff_s, LONGEST_BACKOFF_S)
            process = await self._spawn()
            if self._stopping.is_set():  # asked to stop while it started: that signal met nobody
                self.send(signal.SIGTERM)

    async def _spawn(self) -> Process:
        """Start the process in a group of its own: a terminal's Ctrl-C is for us, who stop it in order."""
        plan = self.plan
        self.starts += 1
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
