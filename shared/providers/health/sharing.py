"""Share provider health between processes: a channel for live changes, a short-lived hash for late joiners.

No call waits for it. Without the store each process uses only what it finds out itself.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared import clock
from shared.background import keep_running
from shared.providers.health.board import HealthBoard
from shared.providers.health.changes import HealthChange, read_change, write_change
from shared.providers.health.keys import CHANNEL, HASH
from shared.store.commands import Command, RedisCommands
from shared.store.errors import StoreConnectionError

HASH_TTL_S = 24 * 3600
MAX_FIELDS = 2_000
MAX_UNSENT = 1_000
LISTEN_S = 10.0

logger = logging.getLogger("finops.providers")


class SharedHealth:
    """Carries the changes of a board to other processes, and theirs to it.

    Args:
        board: This process's.
        commands: For publishing.
        connect: Makes a client for the subscription.
    """

    def __init__(self, board: HealthBoard, commands: RedisCommands, connect: Callable[[], Redis]) -> None:
        self._board = board
        self._commands = commands
        self._connect = connect
        self._name = uuid.uuid4().hex
        self._unsent: deque[HealthChange] = deque(maxlen=MAX_UNSENT)
        self._writer: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._closed = False
        self.caught_up = asyncio.Event()
        """Set once the changes of other processes are known here."""
        board.notify = self.publish

    def start(self) -> None:
        """Begin to listen."""
        if self._reader is None and not self._closed:
            self._reader = keep_running("health", self._listen)

    def publish(self, change: HealthChange) -> None:
        """Send a change to the other processes, soon."""
        self._unsent.append(change)
        if self._writer is None and not self._closed:
            self._writer = asyncio.create_task(self._write(), name="finops-health-write")

    async def aclose(self) -> None:
        """Stop listening; changes that are not sent yet are dropped."""
        self._closed = True
        tasks = [task for task in (self._reader, self._writer) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ sending

    async def _write(self) -> None:
        try:
            while self._unsent:
                changes = list(self._unsent)
                self._unsent.clear()
                replies = await self._commands.execute_many(self._commands_of(changes))
                if replies[-1] > MAX_FIELDS:  # far more than there are keys: start over rather than grow
                    await self._commands.execute("DEL", HASH)
        except (StoreConnectionError, RedisError) as error:
            logger.debug("provider health is not shared with other processes: %s", error)
        finally:
            self._writer = None

    def _commands_of(self, changes: list[HealthChange]) -> list[Command]:
        commands: list[Command] = []
        for change in changes:
            stored = write_change(change, self._name)
            keep: Command = ("HDEL", HASH, change.subject) if change.ends else ("HSET", HASH, change.subject, stored)
            commands += [keep, ("PUBLISH", CHANNEL, stored)]
        return [*commands, ("EXPIRE", HASH, HASH_TTL_S), ("HLEN", HASH)]

    # ------------------------------------------------------------------ listening

    async def _listen(self) -> None:
        failures = 0
        while not self._closed:
            redis = self._connect()
            try:
                pubsub = redis.pubsub()
                await pubsub.subscribe(CHANNEL)
                await self._catch_up()
                failures = 0
                while not self._closed:
                    message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=LISTEN_S)
                    if message is not None:
                        self._receive(message["data"])
            except (StoreConnectionError, RedisError, OSError) as error:
                if failures == 0:
                    logger.info("other processes are not caught_up of for now: %s", error)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await redis.connection_pool.disconnect(inuse_connections=True)
                    await redis.aclose()
            await asyncio.sleep(clock.back_off_s(failures))
            failures += 1

    async def _catch_up(self) -> None:
        """Read the changes of before the subscription, and delete expired ones."""
        kept = await self._commands.execute("HGETALL", HASH, retry_safe=True)
        past = [name for name, stored in zip(kept[::2], kept[1::2], strict=True) if not self._receive(stored)]
        if past:
            await self._commands.execute("HDEL", HASH, *past, retry_safe=True)
        self.caught_up.set()

    def _receive(self, stored: bytes) -> bool:
        """Apply a change of another process; return whether it is still valid."""
        received = read_change(stored)
        if received is None:
            return False
        by, change = received
        if by != self._name:
            self._board.learn(change)
        return change.ends or change.until > time.time()
