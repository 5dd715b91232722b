"""Runs the job engine's scripts on a connection; store failures become ``StoreUnavailable``."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from redis.exceptions import ResponseError

from shared.errors import StoreUnavailable
from shared.store.commands import Argument, Command, RedisCommands
from shared.store.errors import REFUSALS, StoreConnectionError, StoreRefused
from shared.store.refusals import refusal_of
from shared.store.scripts import Script, load_scripts

# The Lua that reserves and books what jobs cost. Named, not imported: governance and jobs are independent layers in
# Python, but an outcome and its ledger entry have to be written by one script, atomically.
ACCOUNTING_LIBRARIES = ("shared.governance.limits.lua", "shared.governance.ledger.lua")
# In shards other than 0 the same functions write into a stream, which is carried to shard 0: money is there.
SHARD_LIBRARIES = ("shared.governance.bookings.lua",)


@cache
def engine_scripts(libraries: tuple[str, ...] = ACCOUNTING_LIBRARIES) -> dict[str, Script]:
    """Load the scripts of ``shared/jobs/lua``, once per process.

    Args:
        libraries: Packages whose Lua files the scripts include: ``meters.lua`` and ``books.lua``.
    """
    return dict(load_scripts("shared.jobs.lua", *libraries))


def scripts_of(commands: RedisCommands) -> dict[str, Script]:
    """Return the engine's scripts for a connection: those of its shard."""
    return engine_scripts() if commands.shard == 0 else engine_scripts(SHARD_LIBRARIES)


class EngineScripts:
    """Runs scripts and commands, and translates store failures.

    Args:
        commands: The store.
        scripts: By name; default: the engine's, for the shard of the connection.
    """

    def __init__(self, commands: RedisCommands, scripts: Mapping[str, Script] | None = None) -> None:
        self._commands = commands
        self._scripts = scripts_of(commands) if scripts is None else scripts

    async def run(self, name: str, args: Sequence[Argument], *, retry_safe: bool = False) -> Any:  # noqa: ANN401
        """Run a script and return its raw reply.

        Raises:
            StoreUnavailable: The store is unreachable or rejects writes.
        """
        try:
            return await self._commands.script(self._scripts[name], (), args, retry_safe=retry_safe)
        except (StoreConnectionError, ResponseError) as error:
            raise as_caller_sees(error) from error

    async def execute(self, *args: Argument, retry_safe: bool = False) -> Any:  # noqa: ANN401
        """Execute one command and return its raw reply.

        Raises:
            StoreUnavailable: The store is unreachable or rejects writes.
        """
        try:
            return await self._commands.execute(*args, retry_safe=retry_safe)
        except (StoreConnectionError, ResponseError) as error:
            raise as_caller_sees(error) from error

    async def execute_many(self, commands: Sequence[Command]) -> list[Any]:
        """Execute commands in one write and return their raw replies.

        Raises:
            StoreUnavailable: The store is unreachable or rejects writes.
        """
        try:
            return await self._commands.execute_many(commands)
        except (StoreConnectionError, ResponseError) as error:
            raise as_caller_sees(error) from error


def as_caller_sees(error: StoreConnectionError | ResponseError) -> Exception:
    """Translate a store failure: ``StoreUnavailable`` unless the command itself is at fault, which stays as it is."""
    refusal = error if isinstance(error, StoreConnectionError) else refusal_of(error)
    if isinstance(refusal, StoreRefused):
        detail = f" {refusal.reason}." if refusal.code == "NOPERM" else ""
        return StoreUnavailable(REFUSALS[refusal.code] + detail, refused=True)
    return error if refusal is None else StoreUnavailable()
