"""One connection for all: shared fairly, remade when lost, never hanging, never mixing answers up."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from shared.store.embedded import EmbeddedStore
from shared.store.errors import StoreConnectionError
from shared.store.multiplexed import MultiplexedClient
from tests.certificates import Certificate
from tests.store.relay import relay_tls
from tests.waiting import wait_until

OWN_TIMEOUT_S = 1.0  # what a server that runs needs to answer on a busy machine is less


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[MultiplexedClient]:
    opened = MultiplexedClient(redis_url)
    yield opened
    await opened.aclose()


@pytest.fixture
async def own_client(own_store: EmbeddedStore) -> AsyncIterator[MultiplexedClient]:
    opened = MultiplexedClient(own_store.url, timeout_s=OWN_TIMEOUT_S)
    yield opened
    await opened.aclose()


async def test_all_callers_share_one_connection(client: MultiplexedClient, redis: Redis) -> None:
    await asyncio.gather(*(client.execute("INCR", "n") for _ in range(500)))
    assert await redis.get("n") == b"500"
    named = [entry for entry in await redis.client_list() if entry["name"] == "finops"]
    assert len(named) == 2  # redis-py's and ours


async def test_several_keys_are_read_alike_before_and_after_it_has_connected(client: MultiplexedClient) -> None:
    others = ("ä" * 40, "b")
    assert await client.begin_mget("1", others) == [None, None, None]
    for key in ("1", *others):
        await client.execute("SET", key, f"of {key}")
    assert await client.begin_mget("1", others) == [b"of 1", f"of {others[0]}".encode(), b"of b"]
    assert await client.begin_mget("2", others) == [None, f"of {others[0]}".encode(), b"of b"]
    assert await client.begin_mget("1", ()) == [b"of 1"]


async def test_commands_of_one_turn_leave_in_one_write(listen) -> None:
    chunks: list[bytes] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 20):
            chunks.append(data)
            writer.write(b"+OK\r\n" * data.count(b"*"))

    client = MultiplexedClient(f"redis://127.0.0.1:{await listen(count)}")
    await client.execute("PING")
    chunks.clear()
    await asyncio.gather(*(client.execute("PING") for _ in range(100)))
    assert [chunk.count(b"PING") for chunk in chunks] == [100]
    await client.aclose()


async def test_a_cancelled_caller_does_not_disturb_the_order(client: MultiplexedClient) -> None:
    await client.execute("SET", "a", "A")
    callers = [asyncio.create_task(client.execute("GET", "a")) for _ in range(10)]
    echoes = [asyncio.create_task(client.execute("ECHO", str(number))) for number in range(10)]
    await asyncio.sleep(0)
    for caller in callers[::2]:
        caller.cancel()
    assert await asyncio.gather(*echoes) == [str(number).encode() for number in range(10)]
    assert await asyncio.gather(*callers[1::2]) == [b"A"] * 5


async def test_a_cancelled_caller_does_not_stop_the_connecting_of_others(client: MultiplexedClient) -> None:
    first, second = (asyncio.create_task(client.execute("PING")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == b"PONG"
    assert first.cancelled()


@pytest.mark.parametrize(
    "command",
    [
        ("BLPOP", "q", 0),
        (b"subscribe", "c"),
        ("multi",),
        ("SELECT", 1),
        ("XREAD", "COUNT", 1, "block", 0, "STREAMS", "s", "$"),
        ("XREADGROUP", "GROUP", "g", "c", b"BLOCK", 0, "STREAMS", "s", ">"),
    ],
)
async def test_commands_that_would_hold_up_or_confuse_others_are_refused(client: MultiplexedClient, command) -> None:
    with pytest.raises(ValueError, match="connection of its own"):
        await client.execute(*command)
    with pytest.raises(ValueError, match="connection of its own"):
        await client.execute_many([("PING",), command])


async def test_a_non_blocking_stream_read_is_allowed(client: MultiplexedClient) -> None:
    await client.execute("XADD", "block", "1-1", "f", "v")
    assert await client.execute("XREAD", "COUNT", 1, "STREAMS", "block", 0) == [[b"block", [[b"1-1", [b"f", b"v"]]]]]


async def test_it_connects_again_after_the_server_was_restarted(
    own_store: EmbeddedStore, own_client: MultiplexedClient
) -> None:
    assert await own_client.execute("SET", "a", "1") == b"OK"
    await asyncio.to_thread(own_store.stop)
    for _ in range(2):
        with pytest.raises(StoreConnectionError, match="store"):
            await own_client.execute("GET", "a")
    await asyncio.to_thread(own_store.start)
    assert await own_client.execute("GET", "a") == b"1"


async def test_what_is_in_flight_when_the_server_dies_fails(
    own_store: EmbeddedStore, own_client: MultiplexedClient
) -> None:
    await own_client.execute("PING")
    os.kill(own_store.pid, signal.SIGSTOP)
    flying = [asyncio.create_task(own_client.execute("INCR", "n")) for _ in range(5)]
    flying.append(asyncio.create_task(own_client.execute_many([("INCR", "n"), ("INCR", "n")])))
    await asyncio.sleep(0)
    os.kill(own_store.pid, signal.SIGKILL)
    outcomes = await asyncio.gather(*flying, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreConnectionError] * 6
    assert len({id(outcome) for outcome in outcomes}) == 6


async def test_a_stalled_server_times_out_and_recovers(own_store: EmbeddedStore, own_client: MultiplexedClient) -> None:
    await own_client.execute("PING")
    os.kill(own_store.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        outcomes = await asyncio.gather(*(own_client.execute("PING") for _ in range(50)), return_exceptions=True)
        assert time.monotonic() - started >= OWN_TIMEOUT_S
        assert {str(outcome) for outcome in outcomes} == {f"the store did not answer within {OWN_TIMEOUT_S:g} s"}
    finally:
        os.kill(own_store.pid, signal.SIGCONT)
    assert await own_client.execute("PING") == b"PONG"


async def test_a_silent_server_times_out(own_store: EmbeddedStore) -> None:
    client = MultiplexedClient(own_store.url, connect_timeout_s=OWN_TIMEOUT_S)
    os.kill(own_store.pid, signal.SIGSTOP)
    try:
        outcomes = await asyncio.gather(*(client.execute("PING") for _ in range(3)), return_exceptions=True)
        assert all(f"did not answer within {OWN_TIMEOUT_S:g} s" in str(outcome) for outcome in outcomes)
    finally:
        os.kill(own_store.pid, signal.SIGCONT)
    assert await client.execute("PING") == b"PONG"
    await client.aclose()


async def test_timeouts_are_per_command(redis_url: str) -> None:
    client = MultiplexedClient(redis_url, timeout_s=OWN_TIMEOUT_S)
    for _ in range(8):
        assert await client.execute("PING") == b"PONG"
        await asyncio.sleep(OWN_TIMEOUT_S / 5)
    await client.aclose()


@pytest.mark.parametrize("turns", [1, 2])  # held up before, and after, the command was written
async def test_a_loop_that_was_held_up_does_not_blame_the_store(redis_url: str, turns: int) -> None:
    client = MultiplexedClient(redis_url, timeout_s=OWN_TIMEOUT_S)
    await client.execute("PING")
    asked = asyncio.create_task(client.execute("PING"))
    for _ in range(turns):
        await asyncio.sleep(0)
    time.sleep(1.5 * OWN_TIMEOUT_S)  # noqa: ASYNC251 the point of the test
    assert await asked == b"PONG"
    await wait_until(lambda: client._link._timer is None)
    assert client._link.fault is None
    await client.aclose()


async def test_retry_safe_is_sent_once_more_and_only_once(listen) -> None:
    seen: list[bytes] = []
    hang_ups = 1

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if b"GET" in data:
                seen.append(data)
                if len(seen) <= hang_ups:
                    break
                writer.write(b"$1\r\n1\r\n" * data.count(b"GET"))
            else:
                writer.write(b"+OK\r\n")

    client = MultiplexedClient(f"redis://127.0.0.1:{await listen(hang_up)}")
    assert await client.execute("GET", "a", retry_safe=True) == b"1"
    seen.clear()
    assert await client.execute_many([("GET", "a"), ("GET", "b")], retry_safe=True) == [b"1", b"1"]
    seen.clear()
    with pytest.raises(StoreConnectionError, match="closed the connection"):
        await client.execute("GET", "a")
    assert len(seen) == 1
    seen.clear()
    hang_ups = 5
    with pytest.raises(StoreConnectionError):
        await client.execute("GET", "a", retry_safe=True)
    assert len(seen) == 2
    await client.aclose()


async def test_an_answer_in_another_protocol_ends_the_connection(listen) -> None:
    async def speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    client = MultiplexedClient(f"redis://127.0.0.1:{await listen(speak_http)}")
    with pytest.raises(StoreConnectionError, match="does not speak the Redis protocol"):
        await client.execute("PING")
    await client.aclose()


async def test_an_answer_nobody_asked_for_ends_the_connection(listen, redis_url: str) -> None:
    connections = 0

    async def say_too_much(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(65536):
            writer.write(b"+OK\r\n" if connections > 1 else b"+OK\r\n+OK\r\n")

    client = MultiplexedClient(f"redis://127.0.0.1:{await listen(say_too_much)}")
    with suppress(StoreConnectionError):
        await client.execute("PING")
    assert await client.execute("PING") == b"OK"
    assert connections == 2
    await client.aclose()


async def test_a_refused_connection_fails_without_the_password(tmp_path: Path) -> None:
    client = MultiplexedClient(f"unix://:hunter2@{tmp_path}/nothing")
    with pytest.raises(StoreConnectionError, match=r"no connection to the store at unix://:\*\*\*@"):
        await client.execute("PING")
    await client.aclose()


async def test_a_host_name_that_cannot_be_one_is_a_fault() -> None:
    client = MultiplexedClient(f"redis://{'x' * 70}.invalid")
    with pytest.raises(StoreConnectionError, match="no connection"):
        await client.execute("PING")
    await client.aclose()


async def test_name_password_and_database_are_used(redis: Redis, redis_url: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "guest", "on", ">p@ss", "~*", "+@all", "-client")
    try:
        client = MultiplexedClient(redis_url.replace("unix://", "unix://guest:p%40ss@").replace("db=0", "db=3"))
        await client.execute("SET", "where", "here")
        assert await client.execute("ACL", "WHOAMI") == b"guest"
        assert await redis.get("where") is None
        assert await client.execute("DBSIZE") == 1
        await client.aclose()
    finally:
        await redis.execute_command("ACL", "DELUSER", "guest")


@pytest.mark.parametrize(
    ("user", "db", "refusal"), [("guest:wrong@", 0, "AUTH was refused"), (":wrong@", 0, "AUTH"), ("", 99, "SELECT was")]
)
async def test_a_rejected_login_is_an_error(redis_url: str, user: str, db: int, refusal: str) -> None:
    client = MultiplexedClient(redis_url.replace("unix://", f"unix://{user}").replace("db=0", f"db={db}"))
    with pytest.raises(StoreConnectionError, match=refusal) as raised:
        await client.execute("PING")
    assert "wrong@" not in str(raised.value)
    await client.aclose()


async def test_a_missing_password_is_an_error(own_store: EmbeddedStore) -> None:
    client = MultiplexedClient(own_store.url)
    await client.execute("CONFIG", "SET", "requirepass", "pw")
    await client.aclose()
    client = MultiplexedClient(own_store.url)
    with pytest.raises(StoreConnectionError, match="Authentication required"):
        await client.execute("PING")
    await client.aclose()
    client = MultiplexedClient(own_store.url.replace("unix://", "unix://:pw@"))
    assert await client.execute("CONFIG", "SET", "requirepass", "") == b"OK"
    await client.aclose()


async def test_tls_checks_the_certificate(redis_url: str, certificate: Certificate, listen) -> None:
    port = await relay_tls(listen, redis_url, certificate)
    trusted = f"rediss://localhost:{port}?ssl_ca_certs={certificate.authority}"
    client = MultiplexedClient(trusted)
    assert await client.execute("PING") == b"PONG"
    await client.aclose()
    for refused in (f"rediss://localhost:{port}", trusted.replace("localhost", "127.0.0.1")):
        client = MultiplexedClient(refused)
        with pytest.raises(StoreConnectionError, match=r"(?i)certificate"):
            await client.execute("PING")
        await client.aclose()


def test_a_client_certificate_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        MultiplexedClient(f"rediss://h?ssl_certfile={tmp_path}/nothing")


async def test_callers_beyond_the_limit_wait_for_room(redis_url: str) -> None:
    client = MultiplexedClient(redis_url, max_in_flight=4)
    numbers = await asyncio.gather(*(client.execute("INCR", "n") for _ in range(100)))
    assert sorted(numbers) == list(range(1, 101))
    await client.aclose()


async def test_callers_that_wait_for_room_fail_with_the_connection(
    own_store: EmbeddedStore,
) -> None:
    client = MultiplexedClient(own_store.url, timeout_s=OWN_TIMEOUT_S, max_in_flight=2)
    await client.execute("PING")
    os.kill(own_store.pid, signal.SIGSTOP)
    try:
        outcomes = await asyncio.gather(*(client.execute("PING") for _ in range(10)), return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {StoreConnectionError}
    finally:
        os.kill(own_store.pid, signal.SIGCONT)
    await client.aclose()


async def test_a_server_that_does_not_read_holds_writers_back(own_store: EmbeddedStore) -> None:
    client = MultiplexedClient(own_store.url, timeout_s=5)
    await client.execute("PING")
    value = b"x" * 400_000
    os.kill(own_store.pid, signal.SIGSTOP)
    writers = [asyncio.create_task(client.execute("SET", f"k{number}", value)) for number in range(10)]
    await wait_until(lambda: not client._link.open)
    late = [asyncio.create_task(client.execute("SET", f"late{number}", value)) for number in range(10)]
    await asyncio.sleep(0)
    in_flight = len(client._link._pending)
    os.kill(own_store.pid, signal.SIGCONT)
    assert in_flight < 20
    assert await asyncio.gather(*writers, *late) == [b"OK"] * 20
    await client.aclose()


async def test_closing_ends_what_is_in_flight_and_stays_closed(own_store: EmbeddedStore) -> None:
    client = MultiplexedClient(own_store.url)
    await client.execute("PING")
    os.kill(own_store.pid, signal.SIGSTOP)
    flying = asyncio.create_task(client.execute("PING"))
    await asyncio.sleep(0)
    await client.aclose()
    os.kill(own_store.pid, signal.SIGCONT)
    with pytest.raises(StoreConnectionError, match="closed"):
        await flying
    with pytest.raises(StoreConnectionError, match="closed"):
        await client.execute("PING")
    await client.aclose()


async def test_closing_while_connecting_gives_up(own_store: EmbeddedStore) -> None:
    client = MultiplexedClient(own_store.url)
    os.kill(own_store.pid, signal.SIGSTOP)
    waiting = asyncio.create_task(client.execute("PING"))
    await wait_until(lambda: client._opening is not None)
    await client.aclose()
    os.kill(own_store.pid, signal.SIGCONT)
    with pytest.raises(StoreConnectionError, match="was closed"):
        await waiting


async def test_a_client_that_was_never_used_closes() -> None:
    await MultiplexedClient("redis://127.0.0.1:1").aclose()


async def test_a_loading_server_is_an_error(listen) -> None:
    async def loading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"+OK\r\n" if b"SETNAME" in data else b"-LOADING Redis is loading the dataset in memory\r\n")

    client = MultiplexedClient(f"redis://127.0.0.1:{await listen(loading)}")
    with pytest.raises(StoreConnectionError, match="loading the dataset"):
        await client.execute("GET", "a")
    await client.aclose()


async def test_a_retired_connection_takes_no_more_commands(redis_url: str) -> None:
    client = MultiplexedClient(redis_url)
    await client.execute("PING")
    link = client._link
    assert link is not None
    answer = link.send(b"PING\r\n")
    link.retire("the primary has moved")
    with pytest.raises(StoreConnectionError, match="has moved"):
        await link.until_open()
    assert await answer == b"PONG"
    assert link.fault == "the primary has moved"
    await client.execute("PING")
    again = client._link
    assert again is not None
    again.retire("once more")
    assert again.fault == "once more"
    await client.aclose()


class Connecting:
    """A locator, and its watch, that finds the primary while the client is being closed."""

    finds_primary = False

    def __init__(self) -> None:
        self.watch = self
        self.asked, self.closing = asyncio.Event(), asyncio.Event()
        self.followers: list[Any] = []

    async def find(self) -> tuple[str, int]:
        self.asked.set()
        await self.closing.wait()
        return "127.0.0.1", 1

    def follow(self, leave: Any) -> None:
        self.followers.append(leave)

    async def aclose(self) -> None:
        self.followers.clear()
        self.closing.set()
        for _ in range(10):  # turns of the loop, in which a connection that is still being made goes on
            await asyncio.sleep(0)


async def test_a_client_that_is_closed_while_it_connects_follows_no_primary() -> None:
    client, locator = MultiplexedClient("redis://127.0.0.1:1"), Connecting()
    client._locator = locator
    asking = asyncio.create_task(client.execute("PING"))
    await locator.asked.wait()
    await client.aclose()
    assert locator.followers == []
    with pytest.raises(StoreConnectionError):
        await asking
