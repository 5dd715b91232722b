"""Claims jobs over a dedicated connection that blocks until a job is ready."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from shared.errors import StoreUnavailable
from shared.jobs import keys
from shared.jobs.model import Priority
from shared.jobs.queue import ClaimBatch, JobQueue
from shared.jobs.scripts import as_caller_sees, scripts_of
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError

ANSWER_S = 5.0
UNBLOCK_RETRY_S = 0.02
BATCH = 32


class ClaimSource:
    """Claims jobs, immediately or when a submit wakes it.

    Args:
        queue: Builds the claim's arguments and reads its reply.
        redis: A client for this connection alone, without a timeout; this class enforces its own.
        commands: The store on another connection, usable while this one blocks.
        worker_id: Name of the worker that claims.
        priorities: The priorities to serve.
    """

    def __init__(
        self, queue: JobQueue, redis: Redis, commands: RedisCommands, worker_id: str, priorities: Sequence[Priority]
    ) -> None:
        self._queue = queue
        self._redis = redis
        self._commands = commands
        self._worker_id = worker_id
        self._priorities = tuple(priorities)
        self._wakes = tuple(keys.wake(priority) for priority in self._priorities)
        self._script = scripts_of(commands)["claim"]
        self._connection: AbstractConnection | None = None
        self._client_id: int | None = None
        self._blocked = False

    async def claim(self, count: int, block_ms: int, elsewhere: float | None = None) -> ClaimBatch:
        """Claim up to ``count`` jobs, after blocking until one becomes ready, ``block_ms`` at most.

        The blocking read and the claim are sent in one write: the server claims as soon as it wakes.

        Args:
            count: Most jobs.
            block_ms: Longest wait for a job; 0: none.
            elsewhere: See ``JobQueue.claim_args``.

        Raises:
            StoreUnavailable: No answer; jobs claimed by a lost answer come back when their lease ends.
        """
        try:
            reply = await self._exchange(count, block_ms, elsewhere)
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError):
                raise as_caller_sees(error) from error
            raise StoreUnavailable from error
        return await self._queue.read_claims(reply)

    async def unblock(self) -> None:
        """Unblock a claim that is waiting, as its timeout would; the claim itself is made and answered.

        Dropping the connection instead could lose jobs that were claimed at that moment until their leases end.
        """
        while self._blocked and self._client_id is not None:
            try:
                # Replies 0 when the client is not blocked yet, or no longer. https://redis.io/docs/latest/commands/client-unblock/
                await self._commands.execute("CLIENT", "UNBLOCK", self._client_id)
            except (StoreConnectionError, ResponseError):
                return  # the claim unblocks by itself soon
            await asyncio.sleep(UNBLOCK_RETRY_S)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop()
        await self._redis.aclose()

    async def _exchange(self, count: int, block_ms: int, elsewhere: float | None) -> Any:  # noqa: ANN401 - raw reply
        claim: tuple[Argument, ...] = (
            "EVALSHA",
            self._script.sha1,
            0,
            *self._queue.claim_args(self._worker_id, count, self._priorities, elsewhere),
        )
        answered = False
        try:
            async with asyncio.timeout(ANSWER_S + block_ms / 1000):
                connection = self._connection or await self._connect()
                if block_ms > 0:
                    block: tuple[Argument, ...] = ("BLPOP", *self._wakes, block_ms / 1000)
                    self._blocked = True
                    await self._send(connection, block, claim)
                    await connection.read_response(disconnect_on_error=False)
                    self._blocked = False
                else:
                    await self._send(connection, claim)
                reply = await self._read_claim(connection, claim)
            answered = True
        finally:
            self._blocked = False
            if not answered:
                await self._drop()
        return reply

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = await self._redis.connection_pool.get_connection()
        self._connection = connection
        await self._send(connection, ("CLIENT", "ID"))
        try:
            self._client_id = int(await connection.read_response(disconnect_on_error=False))
        except ResponseError:  # a server may forbid it
            self._client_id = None
        return connection

    async def _send(self, connection: AbstractConnection, *commands: tuple[Argument, ...]) -> None:
        await connection.send_packed_command(connection.pack_commands(commands), check_health=False)

    async def _read_claim(self, connection: AbstractConnection, claim: tuple[Argument, ...]) -> Any:  # noqa: ANN401
        try:
            return await connection.read_response(disconnect_on_error=False)
        except NoScriptError:
            await self._send(connection, ("SCRIPT", "LOAD", self._script.source))
        try:
            await connection.read_response(disconnect_on_error=False)
        except ResponseError:  # SCRIPT is forbidden or renamed; any other reason is EVAL's too
            claim = ("EVAL", self._script.source, *claim[2:])
        await self._send(connection, claim)
        return await connection.read_response(disconnect_on_error=False)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            await self._redis.connection_pool.release(connection)
