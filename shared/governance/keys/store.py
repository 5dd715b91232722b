"""Virtual keys created at run time: kept in the store, their values returned once and stored only as hashes."""

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from redis.exceptions import ResponseError

from shared.errors import InvalidRequest, KeyNotFound, KeyRevoked, StoreUnavailable
from shared.governance import keyspace
from shared.governance.keys.model import PREFIX, VirtualKey, digest_of, hint_of, read_key_settings
from shared.governance.limits.guard import governance_scripts
from shared.settings.model import Settings
from shared.store.commands import Argument, Command, RedisCommands
from shared.store.errors import StoreConnectionError

VALUE_BYTES = 32
MAX_GRACE_S = 30 * 86_400
MAX_PAGE = 1_000
_READ_AT_ONCE = 200
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ \-]{0,99}")


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Criteria for keys; an empty one matches every key."""

    team: str = ""
    customer: str = ""
    status: str = ""

    def fits(self, key: VirtualKey) -> bool:
        """Whether a key matches."""
        settings = key.settings
        pairs = ((self.team, settings.team), (self.customer, settings.customer), (self.status, key.status))
        return all(not wanted or wanted == found for wanted, found in pairs)


EVERY = KeyFilter()


class VirtualKeyStore:
    """Create, list, change and revoke virtual keys.

    Args:
        commands: The store.
        settings: The configured keys, which are listed and never changed here.
    """

    def __init__(self, commands: RedisCommands, settings: Settings) -> None:
        self._commands = commands
        self._scripts = governance_scripts()
        self._configured = {
            name: VirtualKey(id=name, name=name, settings=key, configured=True, hint=hint_of(key))
            for name, key in settings.virtual_keys.items()
        }

    async def create(self, name: str, settings: Mapping[str, Any]) -> tuple[VirtualKey, str]:
        """Create a key.

        Args:
            name: For people.
            settings: As in ``finops.toml``.

        Returns:
            The key, and its value, which cannot be read again.

        Raises:
            InvalidRequest: The name or a setting is wrong; the message says which.
            StoreUnavailable: No answer.
        """
        value = _new_value()
        key = VirtualKey(
            id=f"vk_{secrets.token_hex(8)}",
            name=_checked_name(name),
            settings=read_key_settings(settings),
            hint=value[-4:],
            created_at=time.time(),
        )
        entry = keyspace.key_hash(digest_of(value))
        # The value last: whatever ends this early leaves nothing that lets anybody in.
        await self._execute_many(
            [
                ("SADD", keyspace.key_values(key.id), entry),
                ("SET", keyspace.key_record(key.id), key.to_json()),
                ("ZADD", keyspace.KEY_SET, key.created_at, key.id),
                ("SET", entry, key.id),
                ("PUBLISH", keyspace.KEYS_CHANGED, key.id),
            ]
        )
        return key, value

    async def get(self, key_id: str) -> VirtualKey:
        """A key.

        Raises:
            KeyNotFound: There is none.
            StoreUnavailable: No answer.
        """
        configured = self._configured.get(key_id)
        return configured or VirtualKey.from_json(await self._stored(key_id))

    async def list(
        self, *, after: str = "", limit: int = 100, only: KeyFilter = EVERY
    ) -> tuple[list[VirtualKey], bool]:
        """Keys, the configured ones first, then by age; and whether there are more.

        Args:
            after: Id that the page before ended with.
            limit: 1 to 1000.
            only: Which.

        Raises:
            KeyNotFound: Nothing is ``after`` that id, as there is no such key (any more).
            StoreUnavailable: No answer.
        """
        limit = max(1, min(limit, MAX_PAGE))
        found: list[VirtualKey] = []
        async for key in self._all(after):
            if only.fits(key):
                if len(found) == limit:
                    return found, True
                found.append(key)
        return found, False

    async def change(self, key_id: str, changes: Mapping[str, Any], *, name: str = "") -> VirtualKey:
        """Change settings of a key; those that are not given stay.

        Args:
            key_id: Which.
            changes: As in ``finops.toml``; None removes a budget or limit.
            name: A new one; empty: it stays.

        Raises:
            KeyNotFound: There is none.
            InvalidRequest: The key is configured in the file, or a setting is wrong.
            KeyRevoked: It has ended.
            StoreUnavailable: No answer.
        """
        if name:
            _checked_name(name)

        def changed(key: VirtualKey) -> VirtualKey:
            return replace(_active(key), settings=read_key_settings(_merged(key, changes)), name=name or key.name)

        return await self._alter(key_id, changed)

    async def rotate(self, key_id: str, *, grace_s: int = 0) -> tuple[VirtualKey, str]:
        """Give a key a new value; the old ones work for ``grace_s`` more seconds.

        Also generates the value of a configured key that has none in the file.

        Raises:
            KeyNotFound, InvalidRequest, KeyRevoked, StoreUnavailable: As ``change``.
        """
        if not 0 <= grace_s <= MAX_GRACE_S:
            raise InvalidRequest(f"grace_s must be between 0 and {MAX_GRACE_S}.", param="grace_s")
        value = _new_value()
        entry = keyspace.key_hash(digest_of(value))
        configured = self._configured.get(key_id)
        if configured is not None and configured.settings.value is None:
            await self._run("replace_key", [key_id, "", "", entry, grace_s * 1000])
            return configured, value

        def rotated(key: VirtualKey) -> VirtualKey:
            return replace(_active(key), hint=value[-4:], rotated_at=time.time())

        return await self._alter(key_id, rotated, entry, grace_s * 1000), value

    async def make_missing(self) -> dict[str, str]:
        """Generate values for the configured keys that have none; returns them by the keys' names.

        Raises:
            StoreUnavailable: No answer.
        """
        made = {}
        for name, key in self._configured.items():
            if key.settings.value is None and await self._execute_once("SET", keyspace.key_made(name), 1, "NX"):
                made[name] = (await self.rotate(name))[1]
        return made

    async def revoke(self, key_id: str) -> VirtualKey:
        """Revoke a key for good; its record stays, so that reports can name it. Idempotent.

        Raises:
            KeyNotFound, InvalidRequest, StoreUnavailable: As ``change``.
        """
        return await self._alter(key_id, lambda key: key if key.revoked_at else replace(key, revoked_at=time.time()))

    async def delete(self, key_id: str) -> None:
        """Delete a key; the ledger keeps its name.

        Raises:
            KeyNotFound, InvalidRequest, StoreUnavailable: As ``change``.
        """
        self._refuse_configured(key_id)
        if not await self._run("delete_key", [key_id[:100]]):
            raise KeyNotFound(key_id)

    async def _alter(
        self, key_id: str, change: Callable[[VirtualKey], VirtualKey], entry: str = "", grace_ms: int = 0
    ) -> VirtualKey:
        """Change a key's record and notify every process. Concurrent changes are not lost: each sees the others.

        Args:
            change: From the key as it is to the key as it is to be.
            entry: Where a new value leads to the key from.
            grace_ms: How long the values before it go on.
        """
        self._refuse_configured(key_id)
        while True:
            stored = await self._stored(key_id)
            key = VirtualKey.from_json(stored)
            changed = change(key)
            if changed is key:
                return key
            if await self._run("replace_key", [key.id, stored, changed.to_json(), entry, grace_ms]):
                return changed

    async def _all(self, after: str) -> AsyncIterator[VirtualKey]:
        """Every key after that one, in the order of ``list``."""
        configured = list(self._configured)
        start = 0
        if after in self._configured:
            configured = configured[configured.index(after) + 1 :]
        elif after:
            rank = await self._execute("ZRANK", keyspace.KEY_SET, after[:100])
            if rank is None:
                raise KeyNotFound(after)
            configured, start = [], rank + 1
        for name in configured:
            yield self._configured[name]
        while ids := await self._execute("ZRANGE", keyspace.KEY_SET, start, start + _READ_AT_ONCE - 1):
            for stored in await self._execute("MGET", *(keyspace.key_record(key_id.decode()) for key_id in ids)):
                if stored:
                    yield VirtualKey.from_json(stored)
            start += len(ids)

    def _refuse_configured(self, key_id: str) -> None:
        if key_id in self._configured:
            raise InvalidRequest(f"The key {key_id!r} is configured in finops.toml; change it there.", param="id")

    async def _stored(self, key_id: str) -> bytes:
        stored: bytes | None = await self._execute("GET", keyspace.key_record(key_id[:100]))
        if stored is None:
            raise KeyNotFound(key_id)
        return stored

    async def _run(self, name: str, args: Sequence[Argument]) -> bool:
        try:
            return bool(await self._commands.script(self._scripts[name], (), args))
        except (StoreConnectionError, ResponseError) as error:
            raise StoreUnavailable(_UNAVAILABLE) from error

    async def _execute(self, *args: Argument) -> Any:  # noqa: ANN401 - a reply is anything
        try:
            return await self._commands.execute(*args, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable(_UNAVAILABLE) from error

    async def _execute_once(self, *args: Argument) -> Any:  # noqa: ANN401 - a reply is anything
        try:
            return await self._commands.execute(*args)
        except StoreConnectionError as error:
            raise StoreUnavailable(_UNAVAILABLE) from error

    async def _execute_many(self, commands: Sequence[Command]) -> None:
        try:
            await self._commands.execute_many(commands)
        except (StoreConnectionError, ResponseError) as error:
            raise StoreUnavailable(_UNAVAILABLE) from error


_UNAVAILABLE = "The store did not answer: virtual keys cannot be read or changed. Try again."


def _merged(key: VirtualKey, changes: Mapping[str, Any]) -> dict[str, Any]:
    """A key's settings with changes applied."""
    stored = key.settings.model_dump(mode="json", exclude={"value"}, exclude_defaults=True)
    # The short form and the list of the same thing must not add up.
    for short, several in (("budget", "budgets"), ("rate_limit", "rate_limits")):
        if short in changes or several in changes:
            stored.pop(short, None)
            stored.pop(several, None)
    return {**stored, **changes}


def _active(key: VirtualKey) -> VirtualKey:
    if key.revoked_at:
        raise KeyRevoked(f"The key {key.id!r} was revoked and cannot be changed. Create another key.")
    return key


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(
            "`name` must start with a letter or digit and have at most 100 letters, digits, spaces, dots or dashes.",
            param="name",
        )
    return name


def _new_value() -> str:
    return PREFIX + secrets.token_urlsafe(VALUE_BYTES)
