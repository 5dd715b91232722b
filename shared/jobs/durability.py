"""Answers submits once they are on disk or on replicas, many submits per wait."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import NoScriptError, ResponseError

from shared.errors import StoreUnavailable
from shared.jobs import keys
from shared.jobs.scripts import as_caller_sees, scripts_of
from shared.store.commands import Argument, Command, PooledCommands, load_script
from shared.store.errors import StoreConnectionError

Mode = Literal["fsync", "replicated"]

SYNC_TIMEOUT_MS = 5000
REPLICA_TIMEOUT_MS = 2000
ANSWER_TIMEOUT_S = {"fsync": SYNC_TIMEOUT_MS / 1000 + 2, "replicated": REPLICA_TIMEOUT_MS / 1000 + 2}
"""For the connection that waits, by mode: longer than the server waits, so that a frozen one is left."""


class DurabilityRefused(ValueError):
    """The server cannot wait for its disk (``fsync``) or for its replicas (``replicated``)."""


@dataclass(slots=True)
class _Pending:
    """A submit that waits for its round; without a command only for what was written before."""

    command: Command | None
    answer: "asyncio.Future[Any]"


class Durability:
    """Sends submits and the wait for their durability in one write on one connection.

    On one connection, because a primary that fails between a submit and a wait on another one would answer for a job
    that it never had. The server replicates and logs writes in order: one wait serves all submits before it. Submits
    that arrive during a wait are sent together in the next round.
    https://redis.io/docs/latest/commands/waitaof/ and https://redis.io/docs/latest/commands/wait/

    Args:
        commands: A connection of its own, which blocks while the server waits; with the mode's ``ANSWER_TIMEOUT_S``.
        mode: ``fsync``: wait for the append-only file; ``replicated``: for replicas.
        min_replicas: How many replicas must have the write, with ``replicated``.
    """

    def __init__(self, commands: PooledCommands, mode: Mode = "fsync", min_replicas: int = 1) -> None:
        self._commands = commands
        self._known = scripts_of(commands)
        self._mode = mode
        self._min_replicas = min_replicas
        self._waiting: list[_Pending] = []
        self._rounds: asyncio.Task[None] | None = None

    async def check(self) -> None:
        """Check once that the server supports it.

        Raises:
            DurabilityRefused: It does not.
            StoreUnavailable: No answer, or the replicas are away now.
        """
        try:
            await self.sync()
        except ResponseError as error:
            need = (
                "Redis or Valkey 7.2 with appendonly yes" if self._mode == "fsync" else "a server with the command WAIT"
            )
            raise DurabilityRefused(
                f'jobs.durability = "{self._mode}" needs {need}; the store replied: {error}'
            ) from error

    async def sync(self) -> None:
        """Wait until all writes so far are durable.

        Raises:
            StoreUnavailable: Disk or replicas did not answer in time.
        """
        await self._add(None)

    async def run(self, name: str, args: Sequence[Argument]) -> Any:  # noqa: ANN401 a script's reply
        """Run a script and return its reply once what it wrote is durable; it may be executed twice.

        Raises:
            StoreUnavailable: No answer, or disk or replicas did not answer in time.
        """
        return await self._add(("EVALSHA", self._known[name].sha1, 0, *args), name)

    async def _add(self, command: Command | None, script: str = "") -> Any:  # noqa: ANN401
        try:
            return await self._in_round(command)
        except NoScriptError:
            command = command or ()
        try:
            if await self._load(script):
                return await self._in_round(command)
        except NoScriptError:
            pass  # the primary has moved since
        return await self._in_round(("EVAL", self._known[script].source, *command[2:]))

    async def _in_round(self, command: Command | None) -> Any:  # noqa: ANN401
        """Return the reply to a command that was sent with others."""
        pending = _Pending(command, asyncio.get_running_loop().create_future())
        self._waiting.append(pending)
        if self._rounds is None or self._rounds.done():
            self._rounds = asyncio.create_task(self._run_rounds(), name="finops-durability")
        return await pending.answer

    async def _load(self, script: str) -> bool:
        try:
            return await load_script(self._commands, self._known[script])
        except (StoreConnectionError, ResponseError) as error:
            raise as_caller_sees(error) from error

    async def _run_rounds(self) -> None:
        while self._waiting:
            round_, self._waiting = self._waiting, []
            try:
                await self._run_round([pending for pending in round_ if not pending.answer.done()])
            except Exception as error:  # noqa: BLE001 - every submit gets an answer
                for pending in round_:
                    _fail(pending, error)

    async def _run_round(self, round_: Sequence[_Pending]) -> None:
        submits = [pending.command for pending in round_ if pending.command is not None]
        # WAIT and WAITAOF wait for the last write of their connection: a submit that was there before wrote nothing.
        mark = ("HINCRBY", keys.CLOCK, "synced", 1)
        try:
            replies = await self._commands.exchange([*submits, mark, self._wait_command()])
        except StoreConnectionError as error:
            raise as_caller_sees(error) from error
        failure = self._judge(replies[-2], replies[-1])
        if failure is not None:
            await self._commands.renew()  # a primary that is cut off from its replicas: another may be elected
        answers = iter(replies)
        for pending in round_:
            reply = None if pending.command is None else next(answers)
            if isinstance(reply, StoreConnectionError | ResponseError):
                _fail(pending, reply if isinstance(reply, NoScriptError) else as_caller_sees(reply))
            elif failure is not None:
                _fail(pending, failure)
            elif not pending.answer.done():
                pending.answer.set_result(reply)

    def _wait_command(self) -> Command:
        if self._mode == "fsync":
            return ("WAITAOF", 1, 0, SYNC_TIMEOUT_MS)
        return ("WAIT", self._min_replicas, REPLICA_TIMEOUT_MS)

    def _judge(self, mark: object, reply: Any) -> Exception | None:  # noqa: ANN401
        """Return why what was written is not durable, None when it is."""
        for error in (mark, reply):
            if isinstance(error, StoreConnectionError | ResponseError):
                return as_caller_sees(error)
        if self._mode == "fsync":
            if int(reply[0]) >= 1:
                return None
            return StoreUnavailable(
                "The job store's disk is too slow.", retry_after_s=math.ceil(SYNC_TIMEOUT_MS / 1000)
            )
        if int(reply) >= self._min_replicas:
            return None
        return StoreUnavailable(
            f"Only {int(reply)} of the job store's replicas confirmed the job; {self._min_replicas} are required.",
            retry_after_s=math.ceil(REPLICA_TIMEOUT_MS / 1000),
        )


def _fail(pending: _Pending, error: Exception) -> None:
    if not pending.answer.done():
        pending.answer.set_exception(error)
