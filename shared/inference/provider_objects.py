"""Ownership of what inference calls use and make in a provider's account: stored responses, conversations, files."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from shared.background import beside_loop
from shared.governance.keys.caller import Caller
from shared.inference.call import Call, Target
from shared.inference.forwarding import check_owned
from shared.inference.owned_ids import OwnedIds
from shared.inference.references import made_ids, referenced_ids
from shared.surfaces.large_json import contains
from shared.surfaces.request_types import CHAT, RESPONSES
from shared.surfaces.response_ids import is_ours
from shared.surfaces.responses.items import response_of


class ProviderObjects:
    """Checks and records the owners of a provider's objects, for calls of virtual keys.

    Args:
        owned: The owners; None: without a store, so that nothing is owned.
    """

    def __init__(self, owned: OwnedIds | None) -> None:
        self._owned = owned

    async def check(self, call: Call, target: Target) -> None:
        """Check that a call uses only its caller's objects at a target.

        A caller without a key is refused what belongs to a key; a key is refused whatever is not its own.

        Raises:
            NotFound: It names an object that is unknown or another caller's.
            StoreUnavailable: No answer.
        """
        if self._owned is None or target.provider.wire != "openai" or _has_account(call.caller):
            return
        if call.request_type is not RESPONSES and not await beside_loop(call.body, _may_refer, call.body):
            return
        named = await beside_loop(call.body, referenced_ids, call.fields)
        ids = {each for each in named if not is_ours(each) and response_of(each) is None}
        if ids:
            strict = bool(call.caller.key_id)
            await check_owned(self._owned, target.provider.name, ids, call.caller, strict=strict)

    def records(self, call: Call, target: Target) -> bool:
        """Whether the provider keeps what the call makes, for a caller that owns it."""
        if self._owned is None or not call.caller.key_id or target.provider.wire != "openai":
            return False
        store = call.fields.get("store")
        return store is not False if call.request_type is RESPONSES else store is True and call.request_type is CHAT

    async def record_made(self, call: Call, target: Target, answer: bytes | Mapping[str, Any]) -> None:
        """Record the owner of what an answer, JSON or parsed, says the provider keeps of the call.

        Raises:
            StoreUnavailable: No answer.
        """
        if self.records(call, target):
            await self.record(call, target, made_ids(orjson.loads(answer) if isinstance(answer, bytes) else answer))

    async def record(self, call: Call, target: Target, ids: Iterable[str]) -> None:
        """Record the owner of ids that a provider made for a call.

        Raises:
            StoreUnavailable: No answer.
        """
        theirs = [each for each in ids if not is_ours(each)]
        if self._owned is not None and theirs:
            await self._owned.record(target.provider.name, theirs, call.caller)


def _may_refer(body: bytes) -> bool:
    """Whether a chat's body may name a provider's file; two searches instead of a walk through every message.

    The second is for names that are written with escapes. (A regular expression took twenty times as long.)
    """
    return contains(body, b"file_id") or contains(body, b"\\u00")


def _has_account(caller: Caller) -> bool:
    return caller.admin or caller.passthrough == "account"
