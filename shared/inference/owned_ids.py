"""The virtual keys that own what a provider keeps in the account that all keys share."""

from collections.abc import Collection, Iterable

import orjson

from shared.errors import StoreUnavailable
from shared.governance.keys.caller import Caller
from shared.inference.keys import owned_id
from shared.store.commands import Command, RedisCommands
from shared.store.errors import StoreConnectionError

TTL_S = 400 * 24 * 3600
"""Counted from the last time that the id was used; providers keep files and models for as long as they are wanted."""
_VERSION = 1


class OwnedIds:
    """Records and looks up the owners of a provider's ids."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def record(self, provider: str, ids: Iterable[str], caller: Caller) -> None:
        """Record the caller as the owner of ids that have none yet.

        Raises:
            StoreUnavailable: No answer.
        """
        record = orjson.dumps({"v": _VERSION, "owner": caller.key_id})
        await self._execute([("SET", owned_id(provider, each), record, "NX", "EX", TTL_S) for each in set(ids)])

    async def owners(self, provider: str, ids: Collection[str]) -> dict[str, str]:
        """Return the owner of each id that has one; empty: it was made without a key.

        Raises:
            StoreUnavailable: No answer.
        """
        known = list(ids)
        replies = await self._execute([("GETEX", owned_id(provider, each), "EX", TTL_S) for each in known])
        return {each: orjson.loads(reply)["owner"] for each, reply in zip(known, replies, strict=True) if reply}

    async def _execute(self, commands: list[Command]) -> list[bytes | None]:
        if not commands:
            return []
        try:
            return await self._commands.execute_many(commands, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The owners of the provider's objects cannot be read.") from error
