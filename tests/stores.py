"""The servers that the suite of the engine runs on: ``TEST_STORE=<name> pytest tests/jobs`` takes one of them."""

import os
import shutil
from collections.abc import Iterator

import pytest

from bench.redis_servers import Cluster, SentinelSet, Server, cluster, find_redis_8, sentinel_set, server

CHOSEN = os.environ.get("TEST_STORE", "")
NAMES = ("redis-7", "redis-8", "sentinel", "cluster")
NO_DISK = ("--save", "", "--appendonly", "no")


@pytest.fixture(scope="session")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three primaries; a machine that stands still causes no election. Leave its servers as they were."""
    with cluster(tmp_path_factory.mktemp("cluster"), timeout_ms=20_000) as made:
        yield made


@pytest.fixture(scope="session")
def calm_sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SentinelSet]:
    """A Sentinel set in which a machine that stands still causes no election. Leave its servers as they were."""
    with sentinel_set(tmp_path_factory.mktemp("sentinels"), down_after_ms=30_000) as made:
        yield made


@pytest.fixture(scope="session")
def plain_redis_7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The installed Redis 7."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    with server(tmp_path_factory.mktemp("redis-7") / "store", *NO_DISK, binary=binary) as running:
        yield running


@pytest.fixture(scope="session")
def plain_redis_8(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Redis 8 without modules."""
    with server(tmp_path_factory.mktemp("plain-redis-8") / "store", *NO_DISK, binary=find_redis_8()) as running:
        yield running


def empty_store(name: str, request: pytest.FixtureRequest) -> str:
    """Return the URL of a store of ``NAMES``, without keys."""
    fixtures = dict(zip(NAMES, ("plain_redis_7", "plain_redis_8", "calm_sentinels", "shared_cluster"), strict=True))
    made: Server | SentinelSet | Cluster = request.getfixturevalue(fixtures[name])
    (made if isinstance(made, Server) else made.primary()).ask("FLUSHALL")
    return made.url
