"""What a store must be for the job engine: of the kind its URL names, no eviction, no records of a newer release."""

from collections.abc import Mapping

from redis.exceptions import ResponseError

from shared.store.commands import RedisCommands
from shared.store.errors import StoreRefused
from shared.store.schema import NewerSchema, check_schema
from shared.store.shards import ShardsChanged, check_shards

CLUSTER_MODE = "the server runs in cluster mode, and the URL does not say so"
CLUSTER_FIX = "write redis+cluster://host:port,host:port with some of its nodes"


class StoreUnsuitable(ValueError):
    """The server answers, but jobs cannot be kept on it; the message says what to change."""


async def check_server(
    commands: RedisCommands, *, allow_eviction: bool, is_cluster: bool = False, shards: int = 1
) -> None:
    """Reject a server that cannot run the engine's scripts or that deletes accepted jobs.

    Args:
        commands: The store.
        allow_eviction: Accept a policy that evicts keys when memory is full.
        is_cluster: Whether the store's URL names a cluster.
        shards: How many it is to have.

    Raises:
        StoreUnsuitable: Its mode, policy or number of shards, or a newer release has written to it.
        StoreConnectionError: No answer.
    """
    facts = {**await _read_info(commands, "cluster"), **await _read_info(commands, "memory")}
    if facts.get("cluster_enabled") == "1" and not is_cluster:
        raise StoreUnsuitable(f"{CLUSTER_MODE}: {CLUSTER_FIX}")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction" and not allow_eviction:
        raise StoreUnsuitable(
            f"the store's maxmemory-policy is {policy}: a full store would delete accepted jobs; "
            "CONFIG SET maxmemory-policy noeviction, or set [redis] allow_eviction = true"
        )
    try:
        await check_schema(commands)
        await check_shards(commands, shards)
    except (NewerSchema, ShardsChanged) as error:
        raise StoreUnsuitable(str(error)) from None


async def _read_info(commands: RedisCommands, section: str) -> Mapping[str, str]:
    """Read a section of INFO; empty when the server or the user's rights do not give it."""
    try:
        reply: bytes = await commands.execute("INFO", section, retry_safe=True)
    except ResponseError:
        return {}
    except StoreRefused as error:
        if error.code != "NOPERM":
            raise
        return {}
    lines = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value.strip() for name, separator, value in lines if separator}
