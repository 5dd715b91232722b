"""Responses that the gateway stores, so that any provider can continue them; for both tiers.

A response is one JSON value with its input and the id of the one before; a conversation is followed back from id to id.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.errors import BodyUndecryptable, InvalidRequest, StoreUnavailable
from shared.governance.keys.caller import Caller
from shared.governance.pricing.usage import BYTES_PER_TOKEN
from shared.inference.call import Call
from shared.inference.keys import stored_response
from shared.jobs.keys import is_job_id
from shared.jobs.records import ANONYMOUS
from shared.jobs.scripts import EngineScripts
from shared.providers.wires.bridged import Item, Recalled
from shared.store.commands import Argument, RedisCommands
from shared.store.encryption import PLAIN, BodyCipher
from shared.store.errors import StoreConnectionError
from shared.surfaces.response_ids import is_ours
from shared.surfaces.responses.items import referenced_ids, response_of, stored_input

logger = logging.getLogger("finops.inference")

VERSION = 1
TTL_S = 30 * 24 * 3600
"""OpenAI's minimum retention; counted from the last time that a response was read or continued."""
MAX_TURNS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """One stored response, used by ``previous_response_id``.

    Attributes:
        owner: Id of the virtual key that made it; empty: any caller that knows the id may use it.
        previous: Id of the response that it continues, or empty.
        items: Its own input, complete, oldest first.
        response: The final Response.
    """

    owner: str
    previous: str
    items: tuple[Item, ...]
    response: Mapping[str, Any]


class Conversations:
    """Stores responses, and recalls the conversation that a request continues.

    Args:
        commands: The store.
        cipher: Seals what is stored.
        max_stored: Most bytes of one caller's responses and jobs together; 0: no limit. A key's own limit comes first.
    """

    def __init__(self, commands: RedisCommands, cipher: BodyCipher = PLAIN, max_stored: int = 0) -> None:
        self._commands = commands
        self._scripts = EngineScripts(commands)
        self._cipher = cipher
        self._max_stored = max_stored

    async def keep(self, fields: Mapping[str, Any], response: Mapping[str, Any], caller: Caller) -> None:
        """Store a final response, unless its request has ``store: false``.

        If the store does not answer, or the caller's room in it is full, the response cannot be continued later; its
        caller gets the answer nevertheless, which was paid for.
        """
        if fields.get("store") is False:
            return
        try:
            references = await self._references(fields, caller)
            record = {
                "v": VERSION,
                "owner": caller.key_id,
                "previous": fields.get("previous_response_id") or "",
                "items": stored_input(fields, response["id"], references),
                "response": response,
            }
            key = stored_response(response["id"])
            if not await self._store(key, self._cipher.seal(orjson.dumps(record), key), caller):
                logger.warning("response not stored: no room", extra={"response_id": response["id"]})
        except (BodyUndecryptable, StoreUnavailable, AttributeError, KeyError, TypeError) as error:
            # The last three: a request or answer of a provider's own that is not of the format as we know it.
            logger.warning("response not stored: %r", error, extra={"response_id": response["id"]})

    async def find(self, response_id: str, caller: Caller) -> StoredResponse | None:
        """Return a stored response that the caller may see; None if there is none.

        Raises:
            BodyUndecryptable: It is sealed with another key, or changed.
            StoreUnavailable: No answer.
        """
        if not is_job_id(response_id):
            return None
        key = stored_response(response_id)
        found = await self._execute("GETEX", key, "EX", TTL_S)
        if found is None:
            return None
        record = orjson.loads(self._cipher.open(found, key))
        if record.get("v") != VERSION or not caller.may_see(record["owner"]):
            return None
        return StoredResponse(
            owner=record["owner"],
            previous=record["previous"],
            items=tuple(record["items"]),
            response=record["response"],
        )

    async def _store(self, key: str, body: bytes, caller: Caller) -> bool:
        """Store a response, if its caller has room."""
        most = caller.most_stored_bytes(self._max_stored)
        args = (key, caller.key_id or ANONYMOUS, body, TTL_S * 1000, most)
        return bool(await self._scripts.run("keep_response", args, retry_safe=True))

    async def delete(self, response_id: str, owner: str) -> None:
        """Delete a response; those that continued it cannot be continued either.

        Args:
            owner: Id of the virtual key that made it.

        Raises:
            StoreUnavailable: No answer.
        """
        args = (stored_response(response_id), owner or ANONYMOUS)
        await self._scripts.run("delete_response", args, retry_safe=True)

    async def input_of(self, stored: StoredResponse, caller: Caller) -> list[Item]:
        """Return all input of a response: the conversation before it, then its own input."""
        before = await self.history(stored.previous, caller) if stored.previous else ()
        return [*before, *stored.items]

    async def recall(self, fields: Mapping[str, Any], caller: Caller) -> Recalled:
        """Return the stored conversation that a request continues.

        Raises:
            InvalidRequest: A response before it is not stored, or not for this caller.
            StoreUnavailable: No answer.
        """
        previous = fields.get("previous_response_id")
        ours = isinstance(previous, str) and is_ours(previous)
        history = await self.history(previous, caller) if ours else ()
        return Recalled(tuple(history), await self._references(fields, caller))

    async def history(self, response_id: object, caller: Caller) -> tuple[Item, ...]:
        """Return all items, input and output, up to the end of a response, oldest first.

        Raises:
            InvalidRequest: A response on the way is not stored, or not for this caller.
            StoreUnavailable: No answer.
        """
        turns: list[StoredResponse] = []
        wanted = response_id
        while wanted:
            stored = await self.find(wanted, caller) if isinstance(wanted, str) else None
            if stored is None or len(turns) == MAX_TURNS:
                raise not_stored(wanted)
            turns.append(stored)
            wanted = stored.previous
        return tuple(item for stored in reversed(turns) for item in (*stored.items, *stored.response["output"]))

    async def _execute(self, *command: Argument) -> Any:  # noqa: ANN401 - a reply is anything
        """Execute one command; each of this class does no harm when it is sent twice.

        Raises:
            StoreUnavailable: No answer.
        """
        try:
            return await self._commands.execute(*command, retry_safe=True)
        except StoreConnectionError as error:
            raise StoreUnavailable("The stored responses cannot be reached.") from error

    async def _references(self, fields: Mapping[str, Any], caller: Caller) -> dict[str, Item]:
        owners = {item: response_of(item) for item in referenced_ids(fields)}
        found: dict[str, Item] = {}
        for response_id in {owner for owner in owners.values() if owner}:
            stored = await self.find(response_id, caller)
            items = (*stored.items, *stored.response["output"]) if stored else ()
            found.update({str(item["id"]): item for item in items if item.get("id") in owners})
        return found


def not_stored(response_id: object) -> InvalidRequest:
    """Return the error for an unknown response id, or one of another caller."""
    return InvalidRequest(
        f"Unknown previous response {str(response_id)[:64]!r}: it is not stored, or this provider cannot continue it. "
        "Send the conversation as input.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def continuing(call: Call, recalled: Recalled) -> Call:
    """Return the call with the size of the stored conversation that it continues, if that is stored here."""
    if not recalled.history:
        return call
    return replace(call, stored_tokens=len(orjson.dumps(recalled.history)) // BYTES_PER_TOKEN)
