"""One suite for every form of the store's commands: fake, pooled, multiplexed."""

import asyncio

import pytest
from redis.exceptions import DataError, ResponseError

from shared.store.commands import RedisCommands
from shared.store.errors import StoreRefused
from shared.store.scripts import Script

MOVE = Script(
    "move",
    "#!lua flags=allow-oom\nredis.call('SET', KEYS[1], ARGV[1])\nreturn {redis.call('GET', KEYS[1]), #ARGV, false}\n",
)
BROKEN = Script("broken", "return redis.error_reply('REFUSED it is full')")


async def test_replies_are_what_the_server_said(commands: RedisCommands) -> None:
    assert await commands.execute("SET", "greeting", b"\x00\xffhello") == b"OK"
    assert await commands.execute("GET", b"greeting") == b"\x00\xffhello"
    assert await commands.execute("GET", "nothing") is None
    assert await commands.execute("INCRBY", "count", 41) == 41
    assert await commands.execute("HSET", "hash", "a", 1, "b", 2.5) == 2
    assert await commands.execute("HGETALL", "hash") == [b"a", b"1", b"b", b"2.5"]


async def test_a_refusal_is_raised_and_the_next_command_works(commands: RedisCommands) -> None:
    await commands.execute("SET", "text", memoryview(b"x"))
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await commands.execute("LPUSH", "text", "y")
    assert await commands.execute("GET", "text") == b"x"


@pytest.mark.parametrize("odd", [None, True, ["list"], object(), "lone surrogate \ud800"])
async def test_an_argument_that_has_no_form_on_the_wire_is_refused(commands: RedisCommands, odd: object) -> None:
    with pytest.raises(DataError):
        await commands.execute("SET", "key", odd)
    with pytest.raises(DataError):
        await commands.execute_many([("SET", "key", "fine"), ("SET", "key", odd)])
    assert await commands.execute("EXISTS", "key") == 0


async def test_many_commands_give_a_reply_each(commands: RedisCommands) -> None:
    sent = [("SET", "a", 1), ["INCR", "a"], ("MGET", "a", "b")]
    assert await commands.execute_many(sent) == [b"OK", 2, [b"2", None]]
    assert await commands.execute_many([]) == []


async def test_many_commands_raise_the_first_error_and_all_are_executed(commands: RedisCommands) -> None:
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await commands.execute_many([("SET", "a", 1), ("LPUSH", "a", 1), ("GET", "a", "b"), ("SET", "c", 3)])
    assert await commands.execute("GET", "c") == b"3"


async def test_many_callers_each_get_their_own_answer(commands: RedisCommands) -> None:
    async def caller(number: int) -> None:
        await commands.execute("SET", f"k{number}", number)
        both = await commands.execute_many([("GET", f"k{number}"), ("STRLEN", f"k{number}")])
        assert both == [str(number).encode(), len(str(number))]
        assert await commands.execute("GET", f"k{number}") == str(number).encode()

    await asyncio.gather(*map(caller, range(200)))


async def test_a_script_is_loaded_when_the_server_does_not_know_it(commands: RedisCommands) -> None:
    for _ in range(2):
        assert await commands.script(MOVE, ["key"], ["value", 2]) == [b"value", 2, None]
    await commands.execute("SCRIPT", "FLUSH")
    assert await commands.script(MOVE, [b"key"], [b"again"]) == [b"again", 1, None]


async def test_a_script_error_is_raised_with_its_message(commands: RedisCommands) -> None:
    for _ in range(2):
        with pytest.raises(ResponseError, match="REFUSED it is full"):
            await commands.script(BROKEN, ["key"])


async def test_a_script_that_is_not_lua_is_an_error(commands: RedisCommands) -> None:
    with pytest.raises(ResponseError):
        await commands.script(Script("not lua", "return ("), ())


async def test_large_values_arrive_whole(commands: RedisCommands) -> None:
    value = bytes(range(256)) * 20_000
    assert await commands.execute("SET", "large", value) == b"OK"
    assert await commands.execute("GET", "large") == value


@pytest.mark.parametrize("commands_kind", ["real-pooled", "real-multiplexed"], indirect=True)
async def test_a_full_store_is_a_refusal_unless_the_script_may_write_all_the_same(commands: RedisCommands) -> None:
    await commands.execute("CONFIG", "SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreRefused, match="OOM"):
            await commands.execute("SET", "a", "1")
        assert await commands.script(MOVE, ["a"], ["1"]) == [b"1", 1, None]
    finally:
        await commands.execute("CONFIG", "SET", "maxmemory", "0")
