"""Process-wide cache of the store's virtual keys: looked up once, invalidated when one changes."""

import asyncio
import contextlib
import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from shared import clock
from shared.background import keep_running
from shared.errors import StoreUnavailable
from shared.governance import keyspace
from shared.governance.keys.caller import Caller
from shared.governance.keys.model import VirtualKey, caller_of_key, digest_of
from shared.settings.model import Settings
from shared.store.commands import RedisCommands
from shared.store.errors import StoreConnectionError

FRESH_S = 1.0  # longest delay until a change takes effect
PING_S = 0.4
GRACE_S = 300.0  # how long cached keys stay valid while the store does not answer
REMEMBERED = 50_000

logger = logging.getLogger("finops.governance")


@dataclass(slots=True)
class _Known:
    caller: Caller | None
    since: float
    epoch: int
    until: float


class VirtualKeyCache:
    """Callers by the value of their key, and by their id.

    An entry is valid while the subscription to changes is alive, and for a second without it.

    Args:
        commands: The store.
        settings: For the limits of teams and customers.
        connect: Creates a client for the subscription, without a time limit on answers; None: no subscription.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        commands: RedisCommands,
        settings: Settings,
        connect: Callable[[], Redis] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._commands = commands
        self._settings = settings
        self._connect = connect
        self._clock = clock
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._epoch = 0
        self._heard = float("-inf")
        self._listener: asyncio.Task[None] | None = None

    async def by_value(self, value: bytes) -> Caller | None:
        """The caller whose key has that value, or None.

        Raises:
            StoreUnavailable: The store did not answer, and the key is not cached.
        """
        return await self._find(f"#{digest_of(value)}")

    async def by_id(self, key_id: str) -> Caller | None:
        """The caller with that id, or None.

        Raises:
            StoreUnavailable: As ``by_value``.
        """
        return await self._find(key_id)

    async def any(self) -> bool:
        """Whether keys were ever created in the store: revoked, expired and deleted ones count.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            return bool(
                await self._commands.execute("EXISTS", keyspace.KEY_SET, keyspace.KEYS_DELETED, retry_safe=True)
            )
        except StoreConnectionError as error:
            raise StoreUnavailable("The store did not answer: virtual keys cannot be checked. Try again.") from error

    def known(self) -> Iterator[Caller]:
        """The callers that are cached, the last ones looked up first."""
        return (known.caller for known in reversed(list(self._known.values())) if known.caller is not None)

    async def aclose(self) -> None:
        """End the subscription."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])

    async def _find(self, name: str) -> Caller | None:
        known = self._known.get(name)
        if known is not None and self._is_fresh(known):
            return known.caller
        if self._listener is None and self._connect is not None:
            self._listener = keep_running("keys", partial(self._listen, self._connect))
        epoch = self._epoch
        try:
            caller, ends_in_s = await self._look_up(name)
        except StoreConnectionError as error:
            if known is not None and known.caller is not None and self._may_outlive_store(known):
                return known.caller
            raise StoreUnavailable("The store did not answer: the virtual key cannot be checked. Try again.") from error
        now = self._clock()
        self._known[name] = _Known(caller, now, epoch, now + ends_in_s)
        self._known.move_to_end(name)
        if len(self._known) > REMEMBERED:  # values come from strangers
            self._known.popitem(last=False)
        return caller

    def _is_fresh(self, known: _Known) -> bool:
        now = self._clock()
        if known.epoch != self._epoch or now >= known.until:
            return False
        return now - self._heard < FRESH_S or now - known.since < FRESH_S

    def _may_outlive_store(self, known: _Known) -> bool:
        """Whether a cached entry may be used although the store does not answer."""
        sure = max(known.since, self._heard) if known.epoch == self._epoch else known.since
        now = self._clock()
        return now - sure < GRACE_S and now < known.until

    async def _look_up(self, name: str) -> tuple[Caller | None, float]:
        """The caller, and the seconds until the value expires: no event announces the end of a grace period."""
        key_id, ends_in_s = name, math.inf
        if name.startswith("#"):
            entry = keyspace.key_hash(name[1:])
            found, left_ms = await self._commands.execute_many([("GET", entry), ("PTTL", entry)], retry_safe=True)
            if found is None:
                return None, math.inf
            key_id = found.decode()
            ends_in_s = left_ms / 1000 if left_ms >= 0 else math.inf
        configured = self._settings.virtual_keys.get(key_id)
        if configured is not None and configured.value is None:  # its value was generated, as the file has none
            key = VirtualKey(id=key_id, name=key_id, settings=configured, configured=True)
            return caller_of_key(key, self._settings), ends_in_s
        stored = await self._commands.execute("GET", keyspace.key_record(key_id), retry_safe=True)
        return None if stored is None else caller_of_key(VirtualKey.from_json(stored), self._settings), ends_in_s

    async def _listen(self, connect: Callable[[], Redis]) -> None:
        failures = 0
        while True:
            redis = connect()
            try:
                async with redis.pubsub() as subscription:
                    await subscription.subscribe(keyspace.KEYS_CHANGED)
                    await self._follow(subscription)
            except (RedisError, OSError, TimeoutError) as error:
                if failures == 0:
                    logger.warning("the subscription to virtual keys was lost: %s", error)
            finally:
                with contextlib.suppress(RedisError, OSError):
                    await redis.aclose()
            await asyncio.sleep(clock.back_off_s(failures))
            failures += 1

    async def _follow(self, subscription: PubSub) -> None:
        """Process change events; raise ConnectionError when pings stay unanswered."""
        unanswered = 0
        while True:
            message = await subscription.get_message(timeout=PING_S)
            if message is None:
                unanswered += 1
                if unanswered > 2:
                    raise ConnectionError("no answer to a ping")
                await subscription.ping()
                continue
            unanswered = 0
            kind = message["type"]
            if kind in {"subscribe", "message"}:
                # Changes while nobody listened were missed: with a new subscription, nothing known is good any more.
                self._epoch += 1
            self._heard = self._clock()
