"""A channel on which a process asks all others to read their configuration again."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared import clock
from shared.store.commands import RedisCommands
from shared.store.keyspace import Key

CHANNEL = "finops:config:reload"
LISTEN_S = 30.0

KEYS: tuple[Key, ...] = (Key(CHANNEL, "channel", "none", "requests to read the configuration again"),)

logger = logging.getLogger("finops.config")


async def announce_reload(commands: RedisCommands, origin: str) -> int:
    """Ask the other processes to read their configuration again.

    Args:
        origin: Names the sender, which ignores its own announcement.

    Returns:
        How many processes listened, the sender included.
    """
    return int(await commands.execute("PUBLISH", CHANNEL, origin))


class ReloadListener:
    """Listens to announcements, on a connection of its own, through outages of the store.

    Args:
        connect: Makes a client for the subscription, without a time limit on answers.
        origin: Announcements of this name are the process's own.
        reload: Called for each announcement of another process; it handles its own errors.

    Attributes:
        listening: Set while announcements are heard.
    """

    def __init__(self, connect: Callable[[], Redis], origin: str, reload: Callable[[], Awaitable[None]]) -> None:
        self._connect = connect
        self._origin = origin.encode()
        self._reload = reload
        self._task: asyncio.Task[None] | None = None
        self.listening = asyncio.Event()

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen(), name="finops-reloads")

    async def aclose(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _listen(self) -> None:
        failures = 0
        while True:
            redis = self._connect()
            try:
                async with redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(CHANNEL)
                    self.listening.set()
                    failures = 0
                    while True:
                        message = await subscription.get_message(timeout=LISTEN_S)
                        if message is not None and message["data"] != self._origin:
                            await self._reload()
            except (RedisError, OSError, TimeoutError) as error:
                logger.debug("requests to reload are not heard for now: %s", error)
            finally:
                self.listening.clear()
                with contextlib.suppress(RedisError, OSError):
                    await redis.aclose()
            await asyncio.sleep(clock.back_off_s(failures))
            failures += 1
