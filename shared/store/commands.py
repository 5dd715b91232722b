"""The store's interface: commands and scripts, with one exception for all connection failures."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.store.errors import StoreConnectionError, StoreRefused
from shared.store.refusals import is_unavailable_command, refusal_of
from shared.store.scripts import Script

Argument = str | bytes | int | float | memoryview
Command = Sequence[Argument]

T = TypeVar("T")


class RedisCommands(Protocol):
    """Executes commands and scripts; replies are raw (bytes, integers, None, lists of them), never decoded.

    `retry_safe=True` says that executing a command twice is harmless; it is then sent once more when
    the connection is lost. Everything else fails instead, because it may have been executed. A command that
    a demoted server refused is sent once more too, to whoever answers at the address by then.

    Attributes:
        shard: Whose keys the commands name.
    """

    shard: int

    async def execute(self, *args: Argument, retry_safe: bool = False) -> Any:  # noqa: ANN401 a reply is anything
        """Execute one command.

        Raises:
            redis.exceptions.ResponseError: The server refuses it.
            redis.exceptions.DataError: An argument is not text, bytes or a number.
            StoreConnectionError: No answer; it may or may not have been executed.
            StoreRefused: The server executes nothing now; a StoreConnectionError too.
        """
        ...

    def begin(self, *args: Argument) -> asyncio.Future[Any]:
        """Start a read: it is sent with the other commands of this turn of the event loop where that is possible.

        Returns:
            A future of the reply, which may be left alone. Errors are its result, not its exception.
        """
        ...

    async def execute_many(self, commands: Sequence[Command], *, retry_safe: bool = False) -> list[Any]:
        """Execute commands in order, sent in one write (others' may come between them); reply per command.

        Raises:
            redis.exceptions.ResponseError: The first error among the replies; the other commands
                were executed all the same.
            redis.exceptions.DataError: An argument is not text, bytes or a number.
            StoreConnectionError: No answer; they may or may not have been executed.
        """
        ...

    async def script(
        self, script: Script, keys: Sequence[str | bytes], args: Sequence[Argument] = (), *, retry_safe: bool = False
    ) -> Any:  # noqa: ANN401 a reply is anything
        """Run a script, loading it first if the server does not have it.

        Raises:
            redis.exceptions.ResponseError: The script fails.
            redis.exceptions.DataError: An argument is not text, bytes or a number.
            StoreConnectionError: No answer; it may or may not have been executed.
            StoreRefused: The server executes nothing now; a StoreConnectionError too.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections; what is in flight fails with StoreConnectionError."""
        ...


class PooledCommands:
    """Commands over redis-py: one connection per command in flight. For fakeredis, and where speed does not matter.

    Args:
        redis: The client, closed with this object.
        knows_script_flags: False for a server that rejects `#!lua`: fakeredis, Redis before 7.
        shard: That of the client.
    """

    def __init__(self, redis: Redis, *, knows_script_flags: bool = True, shard: int = 0) -> None:
        self.shard = shard
        self._redis = redis
        # A second client on the same pool, without the callbacks that turn replies into dicts and booleans.
        self._raw = Redis(connection_pool=redis.connection_pool)
        self._raw.response_callbacks.clear()
        self._knows_script_flags = knows_script_flags

    async def execute(self, *args: Argument, retry_safe: bool = False) -> Any:  # noqa: ANN401
        """See `RedisCommands.execute`."""
        return await _send_once_or_twice(
            lambda: self._raw.execute_command(*args),  # type: ignore[no-untyped-call]
            retry_safe=retry_safe,
        )

    def begin(self, *args: Argument) -> asyncio.Future[Any]:
        """See `RedisCommands.begin`."""
        return asyncio.ensure_future(reply_or_error(self, args))

    async def execute_many(self, commands: Sequence[Command], *, retry_safe: bool = False) -> list[Any]:
        """See `RedisCommands.execute_many`."""
        replies = await self._exchange(commands, retry_safe=retry_safe)
        raise_first_error(replies)
        return replies

    async def exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Execute commands in one write on one connection, in which nobody's come between them; all are retry-safe.

        Returns:
            A reply per command; errors are in the list, translated as `RedisCommands` documents.

        Raises:
            StoreConnectionError: No answer.
        """
        return [_as_value(reply) for reply in await self._exchange(commands, retry_safe=True)]

    async def _exchange(self, commands: Sequence[Command], *, retry_safe: bool) -> list[Any]:
        async def send() -> list[Any]:
            async with self._raw.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                return await pipeline.execute(raise_on_error=False)

        return await _send_once_or_twice(send, retry_safe=retry_safe)

    async def script(
        self, script: Script, keys: Sequence[str | bytes], args: Sequence[Argument] = (), *, retry_safe: bool = False
    ) -> Any:  # noqa: ANN401
        """See `RedisCommands.script`."""
        known = script if self._knows_script_flags else script.without_flags()
        return await run_script(self, known, keys, args, retry_safe=retry_safe)

    async def renew(self) -> None:
        """Close the connections that are idle: the next command asks for the address again."""
        with suppress(RedisError, OSError):
            await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """See `RedisCommands.aclose`."""
        await self._raw.aclose()
        await self._redis.aclose()


async def reply_or_error(commands: RedisCommands, args: Command) -> Any:  # noqa: ANN401
    """Execute a read, and return its reply or its error."""
    try:
        return await commands.execute(*args, retry_safe=True)
    except (StoreConnectionError, ResponseError) as error:
        return error


async def run_script(
    commands: RedisCommands,
    script: Script,
    keys: Sequence[str | bytes],
    args: Sequence[Argument],
    *,
    retry_safe: bool,
) -> Any:  # noqa: ANN401
    """Run a script by its hash; load it first when the server does not have it.

    Loaded rather than sent with EVAL: servers evict scripts that came with EVAL when there are many. EVAL is what is
    left when the server has no SCRIPT, its user may not load scripts, or another client flushes them all the time.
    """
    arguments = (len(keys), *keys, *args)
    try:
        return await commands.execute("EVALSHA", script.sha1, *arguments, retry_safe=retry_safe)
    except NoScriptError:
        pass
    if await load_script(commands, script):
        try:
            return await commands.execute("EVALSHA", script.sha1, *arguments, retry_safe=retry_safe)
        except NoScriptError:
            pass
    return await commands.execute("EVAL", script.source, *arguments, retry_safe=retry_safe)


async def load_script(commands: RedisCommands, script: Script) -> bool:
    """Load a script, and tell whether the server has SCRIPT and permits it to its user.

    Raises:
        redis.exceptions.ResponseError: The script is invalid.
        StoreConnectionError: No answer.
    """
    try:
        await commands.execute("SCRIPT", "LOAD", script.source, retry_safe=True)
    except StoreRefused as error:
        if error.code != "NOPERM":
            raise
        return False
    except ResponseError as error:
        if not is_unavailable_command(error):
            raise
        return False
    return True


def raise_first_error(replies: Sequence[Any]) -> None:
    """Raise the first reply that is an error, translated as `RedisCommands` documents."""
    for reply in replies:
        if isinstance(reply, Exception):
            with translated_faults():
                raise reply


def _as_value(reply: Any) -> Any:  # noqa: ANN401
    """Return an error as its translation, anything else as it is."""
    try:
        raise_first_error([reply])
    except (StoreConnectionError, ResponseError) as error:
        return error
    return reply


@contextmanager
def translated_faults() -> Iterator[None]:
    """Translate redis-py's connection errors into `StoreConnectionError`, refusals that pass into `StoreRefused`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StoreConnectionError(f"the store does not answer: {error}") from error
    except ResponseError as error:
        if (refusal := refusal_of(error)) is None:
            raise
        raise refusal from error
    except UnicodeEncodeError as error:
        raise DataError("an argument holds text that has no UTF-8 form") from error


async def _send_once_or_twice(send: Callable[[], Awaitable[T]], *, retry_safe: bool) -> T:
    try:
        with translated_faults():
            return await send()
    except StoreRefused as error:
        if not error.moved:
            raise
    except StoreConnectionError:
        if not retry_safe:
            raise
    with translated_faults():
        return await send()
