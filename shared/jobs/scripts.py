"""The engine's scripts on a connection, with the faults of the store told as callers are told of them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError

from shared.errors import StoreUnavailable
from shared.store.commands import Argument, Command, RedisCommands
from shared.store.errors import StoreConnectionError
from shared.store.scripts import Script, load_scripts


@cache
def engine_scripts() -> dict[str, Script]:
    """The scripts of ``shared/jobs/lua``, read once per process when first wanted."""
    return dict(load_scripts("shared.jobs.lua", "shared.store.lua"))


class EngineScripts:
    """Runs scripts and commands.

    Args:
        commands: The store.
        scripts: By name; default: the engine's.
    """

    def __init__(self, commands: RedisCommands, scripts: Mapping[str, Script] | None = None) -> None:
        self._commands = commands
        self._scripts = engine_scripts() if scripts is None else scripts

    async def run(self, name: str, args: Sequence[Argument], *, retry_safe: bool = False) -> Any:  # noqa: ANN401
        """Run one of the scripts and give its raw reply.

        Raises:
            StoreUnavailable: The store cannot be reached, or takes no writes now.
        """
        try:
            return await self._commands.script(self._scripts[name], (), args, retry_safe=retry_safe)
        except (StoreConnectionError, ResponseError) as error:
            raise as_caller_sees(error) from error

    async def execute(self, *args: Argument, retry_safe: bool = False) -> Any:  # noqa: ANN401
        """Execute one command and give its raw reply.

        Raises:
            StoreUnavailable: The store cannot be reached, or takes no writes now.
        """
        try:
            return await self._commands.execute(*args, retry_safe=retry_safe)
        except (StoreConnectionError, ResponseError) as error:
            raise as_caller_sees(error) from error

    async def execute_many(self, commands: Sequence[Command]) -> list[Any]:
        """Execute commands in one write and give their raw replies.

        Raises:
            StoreUnavailable: The store cannot be reached, or takes no writes now.
        """
        try:
            return await self._commands.execute_many(commands)
        except (StoreConnectionError, ResponseError) as error:
            raise as_caller_sees(error) from error


def as_caller_sees(error: StoreConnectionError | ResponseError) -> Exception:
    """A store that is away, full, read-only or cannot write its file is unavailable; other errors are faults of ours.

    Redis names its reason in the first word of the error: https://redis.io/docs/latest/develop/reference/protocol-spec/
    """
    if isinstance(error, StoreConnectionError):
        return StoreUnavailable()
    if isinstance(error, OutOfMemoryError):
        return StoreUnavailable("The job store is full.")
    if isinstance(error, ReadOnlyError) or str(error).startswith("MISCONF"):
        return StoreUnavailable("The job store takes no writes.")
    return error
