"""What every test may ask for: a real store, commands on it and on the fake, and no blocking of the loop."""

import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator

import certifi
import pytest
import redis as blocking_redis
from blockbuster import BlockBuster, blockbuster_ctx
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis

from bench.redis_servers import find_redis_8, find_search_module, server
from shared.alerts.rules import alert_scripts
from shared.batches.scripts import batch_scripts
from shared.cache.store import cache_scripts
from shared.governance.limits.guard import governance_scripts
from shared.governance.pricing.prices import PriceBook
from shared.jobs.scripts import SHARD_LIBRARIES, engine_scripts
from shared.patience.scripts import patience_scripts
from shared.schedules.scripts import schedule_scripts
from shared.store.commands import PooledCommands, RedisCommands
from shared.store.connection import connect
from shared.store.embedded import EmbeddedStore
from shared.store.multiplexed import MultiplexedClient
from shared.webhooks.scripts import webhook_scripts
from tests import stores
from tests.certificates import make_certificate
from tests.examples import load_profile
from tests.served import Served, served
from tests.stores import calm_sentinels, plain_redis_7, plain_redis_8, shared_cluster  # noqa: F401 - fixtures

OURS = ["api", "cli", "shared", "simulator", "worker"]

# Bytecode is kept, here and by processes: without it each of these compiles 2 s long what it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
load_profile()
pytest_plugins = ["tests.scheduling"]

# Collection makes two million objects that stay: looking through them again and again takes 4 s of each pytest worker.
gc.disable()


def pytest_collection_finish() -> None:
    """Leave what collection made to itself, and collect what tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Clients here and in processes trust one authority: nobody asks the internet.

    Each client reads the authorities it trusts: certifi's take 65 ms of CPU, ours 0.2 ms.
    """
    file = make_certificate(tmp_path_factory.mktemp("trust")).authority
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))  # what a client reads that trusts its environment
        patch.setattr(certifi, "where", lambda: str(file))  # what httpx reads if it does not
        yield


@pytest.fixture(scope="session", autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Our code that blocks the event loop fails its test; pytest's and the test's own may.

    Once a session: the detector wraps 60 functions, which takes 3 ms a test otherwise.
    """
    with blockbuster_ctx(OURS) as detector:
        # Coverage takes a lock of its own when a thread meets a file for the first time.
        detector.functions["threading.Lock.acquire"].can_block_in("coverage/collector.py", "lock_data")
        yield detector


@pytest.fixture(scope="session", autouse=True)
def scripts() -> None:
    """A process reads its scripts before its loop runs; so do the tests."""
    engine_scripts()
    engine_scripts(SHARD_LIBRARIES)
    batch_scripts()
    governance_scripts()
    cache_scripts()
    webhook_scripts()
    alert_scripts()
    schedule_scripts()
    patience_scripts()
    PriceBook.warm()


@pytest.fixture(scope="session")
def real_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStore]:
    """A real server, one per pytest worker. Leave it running and its settings as they were."""
    store = EmbeddedStore(tmp_path_factory.mktemp("store"))
    store.start()
    yield store
    store.stop()


@pytest.fixture(scope="session")
def served_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`finops serve --demo`, one for all tests that use it and leave it running: they run in one pytest worker.

    Some of them make keys; the others go on without one.
    """
    folder = tmp_path_factory.mktemp("served") / "data"
    with served(folder, "--demo", FINOPS_REQUIRE_VIRTUAL_KEY="false") as running:
        running.wait_until_working()
        yield running


@pytest.fixture(scope="session")
def redis_8(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Redis 8 with vector sets and FT.SEARCH, one per pytest worker that wants it."""
    options = ("--save", "", "--appendonly", "no", "--loadmodule", find_search_module())
    with server(tmp_path_factory.mktemp("redis-8") / "store", *options, binary=find_redis_8()) as running:
        yield running.url


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The real store, empty; the one that ``TEST_STORE`` names if it is in the environment."""
    if stores.CHOSEN:
        return stores.empty_store(stores.CHOSEN, request)
    real_store: EmbeddedStore = request.getfixturevalue("real_store")
    with blocking_redis.Redis.from_url(real_store.url) as client:
        client.flushall()
    return real_store.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """redis-py on the real store, empty."""
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(params=["fake", "real-pooled", "real-multiplexed"])
def commands_kind(request: pytest.FixtureRequest) -> str:
    """Where `commands` go."""
    kind: str = request.param
    return kind


@pytest.fixture
def commands_url(commands_kind: str, request: pytest.FixtureRequest) -> str | None:
    """The real store if `commands` go there: tests on the fake alone start no server."""
    return None if commands_kind == "fake" else request.getfixturevalue("redis_url")


@pytest.fixture
async def commands(commands_kind: str, commands_url: str | None) -> AsyncIterator[RedisCommands]:
    """The store's commands in every form we have: the test runs once for each."""
    opened = open_commands(commands_kind, commands_url)
    yield opened
    await opened.aclose()


def open_commands(kind: str, url: str | None) -> RedisCommands:
    """Open the commands of a kind."""
    if url is None:
        return PooledCommands(FakeAsyncRedis(server=FakeServer()), knows_script_flags=False)
    if kind == "real-pooled":
        return PooledCommands(connect(url, connect_timeout_s=20))  # callers beyond 64 wait so long for a connection
    return MultiplexedClient(url)
