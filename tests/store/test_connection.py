"""Clients through redis-py: limited, honest, never pickling."""

import asyncio
import time
from pathlib import Path

import pytest
from arq.jobs import Job
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.store.commands import PooledCommands
from shared.store.connection import connect, connect_arq, describe
from shared.store.embedded import EmbeddedStore
from shared.store.errors import StoreConnectionError
from tests.certificates import Certificate
from tests.store.relay import relay_tls


async def test_connect_serves_bytes(redis: Redis) -> None:
    await redis.set("a", "ä")
    assert await redis.get("a") == "ä".encode()
    assert await redis.client_getname() == "finops"


async def test_callers_beyond_the_limit_wait_for_a_connection(redis_url: str) -> None:
    async with connect(redis_url) as other, connect(redis_url, max_connections=2) as client:
        before = {each["id"] for each in await other.client_list()}  # other tests' connections may be there
        numbers = await asyncio.gather(*(client.incr("n") for _ in range(50)))
        assert sorted(numbers) == list(range(1, 51))
        assert len([each for each in await client.client_list() if each["id"] not in before]) == 2


async def test_a_cancellation_at_any_moment_ends_the_caller(redis_url: str) -> None:
    async with connect(redis_url) as client:

        async def ask_for_ever() -> None:
            while True:
                await client.ping()

        for turns in list(range(60)) * 3:
            task = asyncio.create_task(ask_for_ever())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=20)
            assert done, f"cancelled after {turns} turns of the loop, it goes on"


async def test_an_unreachable_store_fails_quickly(tmp_path: Path) -> None:
    started = time.monotonic()
    async with connect(f"unix://{tmp_path}/nothing") as client:
        with pytest.raises(RedisConnectionError):
            await client.ping()
        with pytest.raises(StoreConnectionError):
            await PooledCommands(client).execute("PING")
    assert time.monotonic() - started < 20


async def test_a_silent_server_fails_quickly(listen) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    started = time.monotonic()
    async with connect(f"redis://127.0.0.1:{await listen(say_nothing)}", timeout_s=0.1) as client:
        with pytest.raises(StoreConnectionError, match="Timeout"):
            await PooledCommands(client).execute("PING")
    assert time.monotonic() - started < 20


async def test_a_command_whose_answer_is_late_is_not_sent_again(listen) -> None:
    seen: list[bytes] = []

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            seen.append(data)
            if b"INCR" not in data:
                writer.write(b"+OK\r\n" * data.count(b"CLIENT"))

    port = await listen(swallow)
    async with connect(f"redis://127.0.0.1:{port}", timeout_s=0.1) as client:
        with pytest.raises(StoreConnectionError):
            await PooledCommands(client).execute("INCR", "n")
    assert sum(data.count(b"INCR") for data in seen) == 1


async def test_retry_safe_commands_are_sent_once_more(listen) -> None:
    seen: list[bytes] = []

    async def hang_up_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(b"+OK\r\n" * data.count(b"CLIENT"))
            if b"GET" in data:
                seen.append(data)
                if len(seen) == 1:
                    break
                writer.write(b"$1\r\n1\r\n")

    port = await listen(hang_up_first)
    async with connect(f"redis://127.0.0.1:{port}") as client:
        assert await PooledCommands(client).execute("GET", "n", retry_safe=True) == b"1"


async def test_tls_checks_the_certificate(redis_url: str, certificate: Certificate, listen) -> None:
    port = await relay_tls(listen, redis_url, certificate)
    trusted = f"rediss://localhost:{port}?ssl_ca_certs={certificate.authority}"
    async with connect(trusted) as client:
        assert await client.ping()
    for refused in (f"rediss://localhost:{port}", trusted.replace("localhost", "127.0.0.1")):
        async with connect(refused) as client:
            with pytest.raises(RedisConnectionError, match="certificate"):
                await client.ping()


async def test_arq_jobs_are_json(redis_url: str) -> None:
    async with connect_arq(redis_url, client_name="submitter") as arq:
        job = await arq.enqueue_job("run", {"prompt": "ä"}, _job_id="1")
        assert isinstance(job, Job)
        assert b'{"prompt":"\xc3\xa4"}' in await arq.get("arq:job:1")
        info = await job.info()
        assert info is not None
        assert info.args == [{"prompt": "ä"}]
        assert await arq.client_getname() == "submitter"


async def test_closing_arqs_client_closes_its_connections(redis: Redis, redis_url: str) -> None:
    async with connect_arq(redis_url, client_name="leaving") as arq:
        await arq.ping()
        assert "leaving" in {client["name"] for client in await redis.client_list()}
    assert "leaving" not in {client["name"] for client in await redis.client_list()}


async def test_describe_reports_the_servers_configuration(redis: Redis) -> None:
    facts = await describe(redis)
    assert facts.flavour == "valkey"
    assert facts.version >= (9, 1)
    assert (facts.persistent, facts.appendfsync) == (True, "everysec")
    assert facts.max_memory_bytes == int((await redis.config_get("maxmemory"))["maxmemory"])
    assert facts.eviction_policy == "noeviction"
    assert facts.used_memory_bytes is not None
    assert facts.used_memory_bytes > 0
    assert (facts.is_cluster, facts.role) == (False, "master")
    assert len(facts.latency_ms) == 5
    assert all(0 < value < 1000 for value in facts.latency_ms)


async def test_describe_tells_snapshots_and_no_persistence_apart(own_store: EmbeddedStore) -> None:
    async with connect(own_store.url) as client:
        await client.config_set("appendonly", "no")
        facts = await describe(client)
        assert (facts.persistent, facts.appendfsync) == (False, None)
        await client.config_set("save", "60 1")
        assert (await describe(client)).persistent


async def test_describe_works_where_config_is_forbidden(redis: Redis, redis_url: str) -> None:
    await redis.execute_command("ACL", "SETUSER", "guest", "on", ">pw", "~*", "+@all", "-config", "-info")
    try:
        async with connect(redis_url.replace("unix://", "unix://guest:pw@")) as client:
            facts = await describe(client)
        assert (facts.flavour, facts.version, facts.persistent, facts.role) == ("unknown", (), None, None)
        await redis.execute_command("ACL", "SETUSER", "guest", "+info")
        async with connect(redis_url.replace("unix://", "unix://guest:pw@")) as client:
            facts = await describe(client)
        assert (facts.flavour, facts.persistent, facts.appendfsync) == ("valkey", True, None)
    finally:
        await redis.execute_command("ACL", "DELUSER", "guest")


async def test_describe_works_with_fakeredis() -> None:
    async with FakeAsyncRedis(server=FakeServer()) as fake:
        assert len((await describe(fake)).latency_ms) == 5


async def test_describe_fails_without_a_server(tmp_path: Path) -> None:
    async with connect(f"unix://{tmp_path}/nothing") as client:
        with pytest.raises(StoreConnectionError):
            await describe(client)
