"""Forwarding of requests that belong to one provider: rights and limits before, owners and a ledger entry after."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import unquote

import orjson

from shared.errors import InvalidRequest, NotFound, PassthroughBlocked
from shared.governance.keys.caller import Caller
from shared.governance.pricing.prices import NO_COST, Cost
from shared.inference.batch_answers import BatchAnswers
from shared.inference.billing import Billing
from shared.inference.call import Call
from shared.inference.call_cost import CallCost
from shared.inference.owned_ids import OwnedIds
from shared.inference.owned_lists import OwnedList
from shared.inference.passthrough import Passthrough, RawAnswer, RawRequest
from shared.inference.provider_batch_lines import batch_fields
from shared.inference.provider_batches import ProviderBatches
from shared.inference.references import made_ids, named_models, referenced_ids
from shared.surfaces.forwarded_paths import ForwardedPath, match_path
from shared.surfaces.multipart import MalformedForm, form_fields
from shared.surfaces.request_body import read_object
from shared.surfaces.request_types import PASSTHROUGH
from shared.surfaces.sse import EventSplitter, EventTooLong, event_data

Access = Literal["off", "owned", "account"]
"""Which objects in a provider's account a caller may use: none, its own, or all."""

_WRITES: Final = frozenset({"POST", "PUT", "PATCH"})
_BATCHES: Final = frozenset({"/batches", "/batches/{id}", "/batches/{id}/cancel"})
_VIDEO: Final = re.compile(r"/videos|/videos/(?:edits|extensions)|/videos/[^/]+/remix")
_CANCEL: Final = re.compile(r"/batches/([^/]+)/cancel")
# Objects whose later state names further objects: the files of a batch, the model of a fine-tuning job.
_GROWING: Final = frozenset({"/batches/{id}", "/fine_tuning/jobs/{id}"})


class Forwarder:
    """Forwards requests unread, and books them.

    Args:
        passthrough: Forwards.
        billing: Checks limits and books; None: nothing is billed.
        owned: Owners of the providers' ids; None: without a store, so that no key owns anything.

    Attributes:
        refuse: Called before a request is forwarded, to refuse it by an exception; None: none is refused so.
        batches: Batches that providers run; None: nothing is billed.
    """

    def __init__(self, passthrough: Passthrough, billing: Billing | None, owned: OwnedIds | None = None) -> None:
        self._passthrough = passthrough
        self._billing = billing
        self._owned = owned
        self.refuse: Callable[[RawRequest, Caller], None] | None = None
        self.batches = None if billing is None else ProviderBatches(passthrough, billing)
        self._batch_answers = None if billing is None else BatchAnswers(passthrough, billing.followed)

    async def forward(self, request: RawRequest, caller: Caller, access: Access = "account") -> RawAnswer:
        """Forward a request.

        A request that makes something is booked, at the price that the configuration sets. Without one it is booked as
        unpriced, unless providers do not charge for it, and refused under a budget. All others count as requests.

        Args:
            request: The request.
            caller: Who sends it.
            access: Which objects in the provider's account the caller may use.

        Raises:
            NotFound: Providers have no such path, or the object is not the caller's.
            PassthroughBlocked: The caller may not use any.
            GatewayError: A limit is spent, the caller may not use the provider or model, or the provider's own error.
        """
        self._passthrough.owner(request.provider, caller)
        if self.refuse is not None:
            self.refuse(request, caller)
        path = match_path(request.path.partition("?")[0])
        if path is None or request.method not in path.methods:
            raise NotFound(f"No provider serves {request.method} {request.path.partition('?')[0][:200]!r}.")
        if access == "off":
            raise PassthroughBlocked(
                f'The virtual key {caller.name!r} may not use objects in a provider\'s account (passthrough = "off").'
            )
        fields = read_fields(request)
        self._authorise(request, path, fields, caller)
        answer = await self._forward_for(request, path, fields, caller, access)
        if self._batch_answers is not None and path.template in _BATCHES and batch_fields(request, fields) is None:
            return await self._batch_answers.show(request.provider, answer)
        return answer

    async def _forward_for(
        self, request: RawRequest, path: ForwardedPath, fields: Mapping[str, Any], caller: Caller, access: Access
    ) -> RawAnswer:
        if access == "account" or self._owned is None:
            answer = await self._forward(request, caller)
            if caller.key_id and self._owned is not None and request.method == "POST" and not path.resource_id:
                return await _recorded(answer, self._owned, request.provider, caller)
            return answer
        return await self._forward_owned(self._owned, request, path, fields, caller)

    async def _forward_owned(
        self, owned: OwnedIds, request: RawRequest, path: ForwardedPath, fields: Mapping[str, Any], caller: Caller
    ) -> RawAnswer:
        ids = referenced_ids(fields)
        if path.resource_id and not (path.template == "/models/{id}" and request.method == "GET"):
            ids.add(path.resource_id)
        await check_owned(owned, request.provider, ids, caller)
        if request.method == "GET" and path.lists and path.template != "/models":

            async def send(page: RawRequest) -> RawAnswer:
                return await self._passthrough.forward(page, caller)

            first = await self._forward(request, caller)
            return await OwnedList(owned, request, caller, send).read(first)
        answer = await self._forward(request, caller)
        if request.method == "POST" or path.template in _GROWING:
            return await _recorded(answer, owned, request.provider, caller)
        return answer

    def _authorise(self, request: RawRequest, path: ForwardedPath, fields: Mapping[str, Any], caller: Caller) -> None:
        """Check that the caller may use every model that a request names."""
        models = named_models(fields)
        if path.template == "/models/{id}":
            models.add(path.resource_id)
        for model in models:
            name = model if model.startswith(f"{request.provider}/") else f"{request.provider}/{model}"
            self._passthrough.authorise(name, caller)

    async def _forward(self, request: RawRequest, caller: Caller) -> RawAnswer:
        if self._billing is None:
            return await self._passthrough.forward(request, caller)
        if self.batches is not None and (fields := batch_fields(request, read_fields(request))) is not None:
            return await self.batches.create(request, caller, fields)
        billing = self._billing
        cancelled = _CANCEL.fullmatch(request.path.partition("?")[0])
        if self._batch_answers is None or request.method != "POST" or cancelled is None:
            return await self._forward_billed(billing, request, caller)
        batch_id = unquote(cancelled[1])
        return await self._batch_answers.cancel(
            request, batch_id, caller, lambda: self._forward_billed(billing, request, caller)
        )

    async def _forward_billed(self, billing: Billing, request: RawRequest, caller: Caller) -> RawAnswer:
        path = request.path.partition("?")[0]
        call = Call(
            request_type=PASSTHROUGH,
            model=f"{request.provider}{path}",
            body=b"",
            fields={},
            caller=caller,
            request_id=request.request_id,
            surface="openai",
            dimensions=request.dimensions,
            run=request.run,
        )
        reads, cost = request.method not in _WRITES, _cost(billing, request)
        if self.batches is not None and _VIDEO.fullmatch(path) and not reads and cost.priced and cost.micro_usd:
            return await self.batches.create_video(request, call, cost)
        call_cost = CallCost(billing, call)
        try:
            call_cost.reservation = await billing.check_forwarded(call, request.provider, reads=reads, cost=cost)
            call_cost.sent(request.provider, "", "")
            answer = await self._passthrough.forward(request, caller)
        except BaseException as error:
            call_cost.failed(error)
            raise
        call_cost.forwarded(answer.status, cost)
        answer.headers = {**answer.headers, **call_cost.headers()}
        return answer


def _cost(billing: Billing, request: RawRequest) -> Cost:
    if request.free:
        return NO_COST
    path = request.path.partition("?")[0]
    return billing.forwarded_cost(request.provider, path, read_fields(request))


def read_fields(request: RawRequest) -> Mapping[str, Any]:
    """Return the fields of a forwarded body that rules apply to: of a JSON object or a form; empty for other bytes.

    Raises:
        InvalidRequest: The body claims to be JSON or a form and is not, or names its model twice.
    """
    if not request.body:
        return {}
    if request.fields is not None:
        return request.fields
    kind = request.content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        try:
            return form_fields(request.body, request.content_type)
        except MalformedForm as error:
            raise InvalidRequest(f"The body is not valid multipart/form-data: {str(error)[:200]}.") from None
    return read_object(request.body) if holds_json(request.content_type, request.body) else {}


def holds_json(content_type: str, body: bytes) -> bool:
    """Whether the body of a forwarded request is read as JSON."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind in {"application/json", ""} or (kind != "multipart/form-data" and body.lstrip()[:1] in {b"{", b"["})


async def check_owned(owned: OwnedIds, provider: str, ids: set[str], caller: Caller, *, strict: bool = True) -> None:
    """Check that the caller may use every id.

    Args:
        owned: The owners.
        provider: Whose ids they are.
        ids: Any texts.
        caller: Who uses them.
        strict: Whether ids that nobody owns are refused.

    Raises:
        NotFound: One is unknown or another caller's; always the same answer.
        StoreUnavailable: No answer.
    """
    owners = await owned.owners(provider, ids) if ids else {}
    for each in sorted(ids):
        if each in owners and caller.may_see(owners[each]):
            continue
        if strict or each in owners:
            raise NotFound(
                f"Unknown id {each[:64]!r}. It may have been deleted, or belong to another caller.", should_retry=False
            )


async def _recorded(answer: RawAnswer, owned: OwnedIds, provider: str, caller: Caller) -> RawAnswer:
    """Record the owner of what a provider has made."""
    if answer.content_type.startswith("text/event-stream"):
        answer.observer = _StreamedIds(owned, provider, caller).observe
        return answer
    if not answer.content_type.startswith("application/json"):
        return answer
    body = await answer.read()
    await owned.record(provider, made_ids(_parse(body)), caller)
    return answer.with_body(body)


class _StreamedIds:
    """Records what a stream says its provider has made."""

    def __init__(self, owned: OwnedIds, provider: str, caller: Caller) -> None:
        self._owned, self._provider, self._caller = owned, provider, caller
        self._splitter = EventSplitter()
        self._seen: set[str] = set()

    async def observe(self, chunk: bytes) -> None:
        try:
            events: Sequence[bytes] = self._splitter.feed(chunk)
        except EventTooLong:
            events = ()
        made = {each for event in events for each in made_ids(_parse(event_data(event)))} - self._seen
        self._seen |= made
        await self._owned.record(self._provider, made, self._caller)


def _parse(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
