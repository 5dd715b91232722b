"""Whose jobs, files and batches a caller may list, and which objects in a provider's account it may use."""

from typing import NamedTuple

from shared.governance.keys.authenticate import Authenticator
from shared.governance.keys.caller import Caller
from shared.inference.forwarding import Access


class Owner(NamedTuple):
    """The list holds what one virtual key made."""

    key_id: str


class Everyone(NamedTuple):
    """The list holds everything that the store lists without an owner."""


class Nobody(NamedTuple):
    """The list is empty."""


ListOwner = Owner | Everyone | Nobody


async def list_owner(governance: Authenticator, caller: Caller) -> ListOwner:
    """Decide whose objects the caller's lists hold.

    Where virtual keys exist, what was made without a key is reachable by its id alone. Where none exists, whoever
    reaches the gateway is its only tenant.
    """
    if caller.admin:
        return Everyone()
    if caller.key_id:
        return Owner(caller.key_id)
    return Everyone() if await governance.serves_one_tenant() else Nobody()


async def access_of(governance: Authenticator, caller: Caller) -> Access:
    """Decide which objects in a provider's account the caller may use.

    Where no virtual key exists, whoever reaches the gateway is its only tenant.
    """
    if caller.admin:
        return "account"
    if caller.key_id:
        return caller.passthrough
    return "account" if await governance.serves_one_tenant() else "owned"
