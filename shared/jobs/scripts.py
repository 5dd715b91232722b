"""Runs the job engine's scripts on a connection; store failures become ``StoreUnavailable``."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from shared.errors import StoreUnavailable
from shared.store.commands import Argument, Command, RedisCommands
from shared.store.errors import StoreConnectionError
from shared.store.scripts import Script, load_scripts

# The Lua that reserves and books what jobs cost. Named, not imported: governance and jobs are independent layers in
# Python, but an outcome and its ledger entry have to be written by one script, atomically.
ACCOUNTING_LIBRARIES = ("shared.governance.limits.lua", "shared.governance.ledger.lua")


@cache
def engine_scripts(libraries: tuple[str, ...] = ACCOUNTING_LIBRARIES) -> dict[str, Script]:
    """Load the scripts of ``shared/jobs/lua``, once per process.

    Args:
        libraries: Packages whose Lua files the scripts include: ``meters.lua`` and ``books.lua``.
    """
    return dict(load_scripts("shared.jobs.lua", *libraries))


class EngineScripts:
    """Runs scripts and commands, and translates store failures.

    Args:
        commands: The store.
        scripts: By name; default: the engine's.
    """

    def __init__(self, commands: RedisCommands, scripts: Mapping[str, Script] | None = None) -> None:
        self._commands = commands
        self._scripts = engine_scripts() if scripts is None else scripts

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
    """Translate a store failure: unreachable, full, read-only or without disk is ``StoreUnavailable``; else unchanged.

    Redis names its reason in the first word of the error: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    if isinstance(error, StoreConnectionError):
        return StoreUnavailable()
    if isinstance(error, OutOfMemoryError):
        return StoreUnavailable("The job store is full.", refused=True)
    if isinstance(error, ReadOnlyError) or str(error).startswith("MISCONF"):
        return StoreUnavailable("The job store does not accept writes.", refused=True)
    return error
