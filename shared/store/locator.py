"""Finds the server to connect to: a fixed address, or the primary that Sentinels name."""

import asyncio
from collections.abc import Mapping
from typing import Any

from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError, ResponseError

from shared.store.address import Address
from shared.store.errors import StoreConnectionError


class Locator:
    """Answers where the primary is; asked before each connection.

    All Sentinels are asked at once and the newest configuration counts: after a failover, one that was cut off or has
    just started still names the old primary.

    Args:
        address: Where the store is, or its Sentinels.
        timeout_s: For all Sentinels together.
    """

    def __init__(self, address: Address, *, timeout_s: float = 0.5) -> None:
        self._address = address
        self._timeout_s = timeout_s

    @property
    def finds_primary(self) -> bool:
        """Whether the address is looked up, so that the server's role has to be checked."""
        return bool(self._address.sentinels)

    async def find(self) -> tuple[str, int]:
        """Return the host and port of the primary.

        Raises:
            StoreConnectionError: No Sentinel answers, or none knows a living primary.
        """
        address = self._address
        if not address.sentinels:
            return address.host, address.port
        sentinel = Sentinel(  # type: ignore[no-untyped-call]
            address.sentinels, sentinel_kwargs=self._sentinel_arguments()
        )
        try:
            states = await asyncio.gather(*(self._ask(client) for client in sentinel.sentinels))
        finally:
            await asyncio.gather(*(client.aclose() for client in sentinel.sentinels), return_exceptions=True)
        found = [state for state in states if not isinstance(state, str)]
        alive = [state for state in found if sentinel.check_master_state(dict(state), address.service)]
        if not alive:
            reasons = "; ".join(sorted({state for state in states if isinstance(state, str)})) or "it is down"
            raise StoreConnectionError(f"no Sentinel names a primary of {address.service!r}: {reasons}")
        newest = max(alive, key=lambda state: int(state["config-epoch"]))
        return str(newest["ip"]), int(newest["port"])

    async def _ask(self, client: Any) -> Mapping[str, Any] | str:  # noqa: ANN401 redis-py's mixin has no types
        """Return what a Sentinel knows of the primary, or why it does not say."""
        try:
            async with asyncio.timeout(self._timeout_s):
                state: Mapping[str, Any] = await client.sentinel_master(self._address.service)
        except ResponseError as error:
            return f"it answered: {error}"
        except (RedisError, OSError, TimeoutError):
            return "no answer"
        return state

    def _sentinel_arguments(self) -> dict[str, Any]:
        address = self._address
        arguments: dict[str, Any] = {"socket_timeout": self._timeout_s, "socket_connect_timeout": self._timeout_s}
        if address.sentinel_password:
            arguments |= {"username": address.sentinel_username, "password": address.sentinel_password}
        return arguments | (address.tls.arguments() if address.tls else {})


def check_role(reply: object) -> None:
    """Reject a server that is no primary; one that may not say is trusted.

    Args:
        reply: The reply of ROLE.

    Raises:
        StoreConnectionError: It is a replica: a failover is not complete.
    """
    if isinstance(reply, list) and reply and reply[0] != b"master":
        raise StoreConnectionError("the server is a replica; a failover is not complete")
