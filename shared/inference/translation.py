"""Choice of a call's wire and its provider request: the provider's own wire, or a bridge where it lacks the API."""

import time
import uuid
from dataclasses import replace
from functools import lru_cache
from typing import Any

from shared.inference.call import Call, Target
from shared.inference.conversations import not_stored
from shared.providers.wires.base import ProviderRequest, UpstreamRequest, Wire
from shared.providers.wires.bridged import BridgedWire, Item, Recalled
from shared.surfaces import anthropic, genai
from shared.surfaces.dialect import Dialect
from shared.surfaces.request_types import CHAT, RESPONSES
from shared.surfaces.response_ids import is_minted, mint_response_id
from shared.surfaces.responses.items import response_of

NOTHING = Recalled()
Prepared = tuple[Wire, ProviderRequest, UpstreamRequest]
# Surfaces whose requests may hold more than OpenAI's fields, and what makes them fit a target.
_FITTED = {"anthropic": anthropic.without_extensions, "genai": genai.without_extensions}


def supported_types(target: Target, wire: Wire) -> frozenset[str]:
    """Return the names of the request types that a target answers; chat models answer responses through a bridge."""
    return _common(target.provider.request_types, wire.request_types)


@lru_cache(maxsize=256)  # pairs of a provider's and a wire's types, of which there are some dozens
def _common(provided: frozenset[str], expressed: frozenset[str]) -> frozenset[str]:
    native = provided & expressed
    return native | {RESPONSES.name} if CHAT.name in native else native


def translation(call: Call, target: Target, wire: Wire, recalled: Recalled = NOTHING) -> tuple[Wire, ProviderRequest]:
    """Return the wire for one call to one target, and the provider request.

    Args:
        call: The call as received.
        target: The provider and its model.
        wire: The target's format.
        recalled: The stored conversation that the call continues.

    Raises:
        InvalidRequest: The call continues a response that only another provider knows.
        UnsupportedParameter: The call's surface allows a field that the target does not support.
    """
    if call.request_type is RESPONSES:
        if RESPONSES.name not in target.provider.request_types & wire.request_types:
            previous = call.fields.get("previous_response_id")
            if previous and not recalled.history:
                raise not_stored(previous)
            background = is_minted(call.job_id)
            return BridgedWire(wire, recalled, background=background), _ask(call, target)
        call = _replayed(call, recalled)
    fit = _FITTED.get(call.surface)
    if fit is not None:
        fields = fit(call.fields, dialect=_dialect(wire, target))
        call = call if fields is call.fields else call.with_fields(fields, stream=call.stream)
    return wire, _ask(call, target)


def prepared(call: Call, target: Target, wire: Wire, recalled: Recalled = NOTHING) -> Prepared:
    """Return ``translation``, and the upstream request that it makes.

    Raises:
        InvalidRequest, UnsupportedParameter: As ``translation``, or the wire cannot express the request.
    """
    chosen, request = translation(call, target, wire, recalled)
    return chosen, request, chosen.request(request)


def check_translation(call: Call, target: Target, wire: Wire, recalled: Recalled) -> None:
    """Check that ``prepared`` would make an upstream request, without the work of making it where that is certain.

    Raises:
        InvalidRequest, UnsupportedParameter: As ``prepared``.
    """
    chosen, request = translation(call, target, wire, recalled)
    chosen.check(request)


def _dialect(wire: Wire, target: Target) -> Dialect:
    """The dialect of a target; servers that speak OpenAI's format often know more than OpenAI itself."""
    dialect = wire.dialect(target.model)
    return dialect if target.provider.strict else replace(dialect, top_k=True)


def _replayed(call: Call, recalled: Recalled) -> Call:
    """Return the call with the stored conversation as its input, for a provider that has the API but not that."""
    if not recalled.history and not recalled.references:
        return call
    value = call.fields.get("input") or []
    items = [{"role": "user", "content": value}] if isinstance(value, str) else value
    known = recalled.references
    resolved = [known.get(str(item.get("id")), item) if isinstance(item, dict) else item for item in items]
    fields = {**call.fields, "input": [*_foreign(recalled.history), *_foreign(resolved)]}
    if recalled.history:
        del fields["previous_response_id"]
    return call.with_fields(fields, stream=call.stream)


def _foreign(items: tuple[Item, ...] | list[Any]) -> list[Any]:
    """Return items without our ids, which the provider would look up, and without reasoning signed by others."""
    foreign = []
    for item in items:
        ours = isinstance(item, dict) and isinstance(item.get("id"), str) and response_of(item["id"]) is not None
        if not ours:
            foreign.append(item)
        elif item.get("type") != "reasoning":
            foreign.append({name: value for name, value in item.items() if name != "id"})
    return foreign


def _ask(call: Call, target: Target) -> ProviderRequest:
    minted = mint_response_id() if call.request_type is RESPONSES and not call.job_id else ""
    return ProviderRequest(
        request_type=call.request_type,
        model=target.provider.deployments.get(target.model, target.model),
        body=call.body,
        fields=call.fields,
        content_type=call.content_type,
        stream=call.stream,
        created=int(time.time()),
        answer_id=minted or call.job_id or call.request_id or uuid.uuid4().hex,
        counted=call.stream and target.provider.stream_usage,
        native=call.native,
    )
