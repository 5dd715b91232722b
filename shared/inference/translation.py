"""Which wire a call is translated by, and what it is told: the provider's own, or a bridge where it lacks the API."""

import time
import uuid
from dataclasses import replace
from typing import Any

from shared.inference.call import Call, Target
from shared.inference.conversations import not_kept
from shared.providers.wires.base import ProviderRequest, Wire
from shared.providers.wires.bridged import BridgedWire, Item, Recalled
from shared.surfaces import anthropic, genai
from shared.surfaces.dialect import Dialect
from shared.surfaces.request_types import CHAT, RESPONSES
from shared.surfaces.response_ids import is_minted, mint_response_id
from shared.surfaces.responses.items import response_of

NOTHING = Recalled()
# Surfaces whose requests may hold more than OpenAI's fields, and what makes them fit a target.
_FITTED = {"anthropic": anthropic.without_extensions, "genai": genai.without_extensions}


def supported_types(target: Target, wire: Wire) -> frozenset[str]:
    """Return the names of the request types that a target answers; chat models answer responses through a bridge."""
    native = target.provider.request_types & wire.request_types
    return native | {RESPONSES.name} if CHAT.name in native else native


def translation(call: Call, target: Target, wire: Wire, recalled: Recalled = NOTHING) -> tuple[Wire, ProviderRequest]:
    """The wire for one call to one target, and what it is asked.

    Args:
        call: As it came.
        target: Who is to answer.
        wire: What the target speaks.
        recalled: The conversation that the call goes on with.

    Raises:
        InvalidRequest: The call goes on with a response that only another provider knows.
        UnsupportedParameter: The call's surface lets it ask for something that the target does not have.
    """
    if call.request_type is RESPONSES:
        if RESPONSES.name not in target.provider.request_types & wire.request_types:
            previous = call.fields.get("previous_response_id")
            if previous and not recalled.history:
                raise not_kept(previous)
            background = is_minted(call.job_id)
            return BridgedWire(wire, recalled, background=background), _ask(call, target)
        call = _replayed(call, recalled)
    fit = _FITTED.get(call.surface)
    if fit is not None:
        fields = fit(call.fields, dialect=_dialect(wire, target))
        call = call if fields is call.fields else call.with_fields(fields, stream=call.stream)
    return wire, _ask(call, target)


def _dialect(wire: Wire, target: Target) -> Dialect:
    """The dialect of a target; servers that speak OpenAI's format often know more than OpenAI itself."""
    dialect = wire.dialect(target.model)
    return dialect if target.provider.strict else replace(dialect, top_k=True)


def _replayed(call: Call, recalled: Recalled) -> Call:
    """The call with the kept conversation as its input, for a provider that has the API but not the conversation."""
    if not recalled.history and not recalled.references:
        return call
    given = call.fields.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    known = recalled.references
    named = [known.get(str(item.get("id")), item) if isinstance(item, dict) else item for item in items]
    fields = {**call.fields, "input": [*_foreign(recalled.history), *_foreign(named)]}
    if recalled.history:
        del fields["previous_response_id"]
    return call.with_fields(fields, stream=call.stream)


def _foreign(items: tuple[Item, ...] | list[Any]) -> list[Any]:
    """Items without our ids, which the provider would look up, and without reasoning that others signed."""
    told = []
    for item in items:
        ours = isinstance(item, dict) and isinstance(item.get("id"), str) and response_of(item["id"]) is not None
        if not ours:
            told.append(item)
        elif item.get("type") != "reasoning":
            told.append({name: value for name, value in item.items() if name != "id"})
    return told


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
    )
