"""Lists of a provider's account, reduced to what the caller owns."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from shared.errors import UpstreamFailure
from shared.governance.keys.caller import Caller
from shared.inference.owned_ids import OwnedIds
from shared.inference.passthrough import RawAnswer, RawRequest

MAX_PAGES: Final = 10
"""Pages of the provider that are read for one page of the caller; the caller asks again for more."""
DEFAULT_LIMIT: Final = 20

Send = Callable[[RawRequest], Awaitable[RawAnswer]]


class OwnedList:
    """Reads a provider's list until a page of the caller's own objects is full.

    Args:
        owned: The owners.
        request: The caller's request for a page.
        caller: Who asks.
        send: Sends a request for another page.
    """

    def __init__(self, owned: OwnedIds, request: RawRequest, caller: Caller, send: Send) -> None:
        self._owned = owned
        self._request = request
        self._caller = caller
        self._send = send
        path, _, query = request.path.partition("?")
        self._path = path
        self._query = dict(parse_qsl(query, keep_blank_values=True))
        limit = self._query.get("limit", "")
        self._limit = int(limit) if limit.isdigit() and int(limit[:6]) > 0 else DEFAULT_LIMIT

    async def read(self, answer: RawAnswer) -> RawAnswer:
        """Return the caller's page.

        Args:
            answer: The provider's answer to the caller's request.

        Raises:
            GatewayError: A page cannot be read.
        """
        own: list[Mapping[str, Any]] = []
        document: dict[str, Any] = {}
        more = False
        page = answer
        for number in range(1, MAX_PAGES + 1):
            document = _document(await page.read(), self._request.provider)
            objects = [each for each in document["data"] if isinstance(each, dict)]
            own += await self._visible(objects)
            more = bool(document.get("has_more"))
            if len(own) >= self._limit or not more or not objects or number == MAX_PAGES:
                break
            page = await self._send(self._after(str(objects[-1].get("id", ""))))
        more = more or len(own) > self._limit
        own = own[: self._limit]
        ends = {"first_id": own[0]["id"] if own else None, "last_id": own[-1]["id"] if own else None}
        return answer.with_body(orjson.dumps({**document, "data": own, **ends, "has_more": more}))

    async def _visible(self, objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
        ids = {each["id"] for each in objects if isinstance(each.get("id"), str)}
        owners = await self._owned.owners(self._request.provider, ids)
        return [each for each in objects if each.get("id") in owners and self._caller.may_see(owners[each["id"]])]

    def _after(self, cursor: str) -> RawRequest:
        return replace(self._request, path=f"{self._path}?{urlencode({**self._query, 'after': cursor})}")


def _document(body: bytes, provider: str) -> dict[str, Any]:
    """Return a list's document.

    Raises:
        UpstreamFailure: The body is not a list: nothing of it may be passed on, as its owner is unknown.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        raise UpstreamFailure(f"Provider {provider!r} sent an unusable answer: it is not a list.")
    return document
