"""Where a worker's jobs come from: a connection of its own, on which it sleeps until there is something to do."""

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
from shared.jobs.scripts import as_caller_sees, engine_scripts
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError

ANSWER_S = 5.0
ROUSE_AGAIN_S = 0.02
BATCH = 32


class ClaimSource:
    """Claims jobs, at once or when a submit wakes it.

    Args:
        queue: Whose jobs; knows what a claim says and how its reply is read.
        redis: A client for this connection alone, without a time limit on answers; this class has its own.
        commands: The store on another connection, which is free while this one sleeps.
        worker_id: Who claims.
        lanes: Priorities that are served.
    """

    def __init__(
        self, queue: JobQueue, redis: Redis, commands: RedisCommands, worker_id: str, lanes: Sequence[Priority]
    ) -> None:
        self._queue = queue
        self._redis = redis
        self._commands = commands
        self._worker_id = worker_id
        self._lanes = tuple(lanes)
        self._wakes = tuple(keys.wake(lane) for lane in self._lanes)
        self._script = engine_scripts()["claim"]
        self._connection: AbstractConnection | None = None
        self._client_id: int | None = None
        self._asleep = False

    async def claim(self, count: int, block_ms: int) -> ClaimBatch:
        """Claim up to ``count`` jobs, after sleeping until one becomes ready but ``block_ms`` at most.

        The sleep and the claim leave in one write: the server claims in the moment of the wake-up.

        Raises:
            StoreUnavailable: No answer; jobs claimed by a lost answer come back when their lease ends.
        """
        try:
            reply = await self._exchange(count, block_ms)
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError):
                raise as_caller_sees(error) from error
            raise StoreUnavailable from error
        return await self._queue.read_claims(reply)

    async def rouse(self) -> None:
        """End the sleep of a claim that is under way, as its time-out would; the claim itself is made and answered.

        Dropping the connection instead could lose jobs that were claimed at that moment until their leases end.
        """
        while self._asleep and self._client_id is not None:
            try:
                # 0: it does not sleep yet, or not any more. https://redis.io/docs/latest/commands/client-unblock/
                await self._commands.execute("CLIENT", "UNBLOCK", self._client_id)
            except (StoreConnectionError, ResponseError):
                return  # no sleep is long
            await asyncio.sleep(ROUSE_AGAIN_S)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._drop()
        await self._redis.aclose()

    async def _exchange(self, count: int, block_ms: int) -> Any:  # noqa: ANN401 - the script's raw reply
        claim: tuple[Argument, ...] = (
            "EVALSHA",
            self._script.sha1,
            0,
            *self._queue.claim_args(self._worker_id, count, self._lanes),
        )
        answered = False
        try:
            async with asyncio.timeout(ANSWER_S + block_ms / 1000):
                connection = self._connection or await self._connect()
                if block_ms > 0:
                    sleep: tuple[Argument, ...] = ("BLPOP", *self._wakes, block_ms / 1000)
                    self._asleep = True
                    await self._send(connection, sleep, claim)
                    await connection.read_response(disconnect_on_error=False)
                    self._asleep = False
                else:
                    await self._send(connection, claim)
                reply = await self._read_claim(connection, claim)
            answered = True
        finally:
            self._asleep = False
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
            await self._send(connection, ("SCRIPT", "LOAD", self._script.source), claim)
            await connection.read_response(disconnect_on_error=False)
            return await connection.read_response(disconnect_on_error=False)

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError):
                await connection.disconnect(nowait=True)
            await self._redis.connection_pool.release(connection)
