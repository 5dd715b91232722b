"""Responses that the gateway itself keeps, so that any provider can go on with them; for both tiers.

A response is one JSON value with its input and the id of the one before; a conversation is followed back from id to id.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shared.errors import InvalidRequest, StoreUnavailable
from shared.governance.keys.caller import Caller
from shared.inference.keys import stored_response
from shared.jobs.keys import is_job_id
from shared.providers.wires.bridged import Item, Recalled
from shared.store.commands import Argument, RedisCommands
from shared.store.errors import StoreConnectionError
from shared.surfaces.response_ids import is_ours
from shared.surfaces.responses.items import referenced_ids, response_of, stored_input

logger = logging.getLogger("finops.inference")

VERSION = 1
TTL_S = 30 * 24 * 3600
"""As long as OpenAI keeps responses at least; from the last time that one was read or gone on with."""
MAX_TURNS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One response.

    Attributes:
        owner: Id of the virtual key that asked for it; empty: whoever knows the id may have it.
        previous: Id of the response that it goes on with, or empty.
        items: Its own input, complete, oldest first.
        response: The final Response.
    """

    owner: str
    previous: str
    items: tuple[Item, ...]
    response: Mapping[str, Any]


class Conversations:
    """Keeps responses, and finds what a request goes on with."""

    def __init__(self, commands: RedisCommands) -> None:
        self._commands = commands

    async def keep(self, fields: Mapping[str, Any], response: Mapping[str, Any], caller: Caller) -> None:
        """Keep a final response, unless its request says ``store: false``.

        A store that does not answer costs the response its future, not its caller the answer.
        """
        if fields.get("store") is False:
            return
        try:
            references = await self._references(fields, caller)
            kept = {
                "v": VERSION,
                "owner": caller.key_id,
                "previous": fields.get("previous_response_id") or "",
                "items": stored_input(fields, response["id"], references),
                "response": response,
            }
            key = stored_response(response["id"])
            await self._execute("SET", key, orjson.dumps(kept), "EX", TTL_S)
        except (StoreUnavailable, AttributeError, KeyError, TypeError) as error:
            # The last three: a request or answer of a provider's own that is not of the format as we know it.
            logger.warning("a response was not kept: %r", error, extra={"response_id": response["id"]})

    async def find(self, response_id: str, caller: Caller) -> Kept | None:
        """A kept response that the caller may see."""
        if not is_job_id(response_id):
            return None
        found = await self._execute("GETEX", stored_response(response_id), "EX", TTL_S)
        if found is None:
            return None
        said = orjson.loads(found)
        if said.get("v") != VERSION or not caller.may_see(said["owner"]):
            return None
        return Kept(
            owner=said["owner"], previous=said["previous"], items=tuple(said["items"]), response=said["response"]
        )

    async def delete(self, response_id: str) -> None:
        """Forget a response; those that went on with it cannot be gone on with either."""
        await self._execute("DEL", stored_response(response_id))

    async def input_of(self, kept: Kept, caller: Caller) -> list[Item]:
        """Everything that a response was made of: the conversation before it, then its own input."""
        before = await self.history(kept.previous, caller) if kept.previous else ()
        return [*before, *kept.items]

    async def recall(self, fields: Mapping[str, Any], caller: Caller) -> Recalled:
        """What is kept of the conversation that a request goes on with.

        Raises:
            InvalidRequest: A response before it is not kept here, or not for this caller.
        """
        previous = fields.get("previous_response_id")
        ours = isinstance(previous, str) and is_ours(previous)
        history = await self.history(previous, caller) if ours else ()
        return Recalled(tuple(history), await self._references(fields, caller))

    async def history(self, response_id: object, caller: Caller) -> tuple[Item, ...]:
        """The items, input and output, up to the end of a response, oldest first.

        Raises:
            InvalidRequest: A response on the way is not kept here, or not for this caller.
        """
        turns: list[Kept] = []
        wanted = response_id
        while wanted:
            kept = await self.find(wanted, caller) if isinstance(wanted, str) else None
            if kept is None or len(turns) == MAX_TURNS:
                raise not_kept(wanted)
            turns.append(kept)
            wanted = kept.previous
        return tuple(item for kept in reversed(turns) for item in (*kept.items, *kept.response["output"]))

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
        named = {item: response_of(item) for item in referenced_ids(fields)}
        found: dict[str, Item] = {}
        for response_id in {owner for owner in named.values() if owner}:
            kept = await self.find(response_id, caller)
            items = (*kept.items, *kept.response["output"]) if kept else ()
            found.update({str(item["id"]): item for item in items if item.get("id") in named})
        return found


def not_kept(response_id: object) -> InvalidRequest:
    """The answer to an id that leads nowhere, whosever it is."""
    return InvalidRequest(
        f"No response {str(response_id)[:64]!r} is kept here for this provider to go on with; "
        "send the conversation as input.",
        param="previous_response_id",
        code="previous_response_not_found",
    )
