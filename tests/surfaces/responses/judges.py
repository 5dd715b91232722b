"""Who says that a body or an event is of the format: the SDK's types in strict mode, and Open Responses."""

from collections.abc import Mapping
from typing import Any

import openresponses_types as spec
import orjson
from openai._models import validate_type
from openai.types.responses import Response, ResponseStreamEvent

from shared.surfaces.sse import EventSplitter, event_data, event_name

SPEC_EVENTS = {
    "response.created": spec.ResponseCreatedStreamingEvent,
    "response.queued": spec.ResponseQueuedStreamingEvent,
    "response.in_progress": spec.ResponseInProgressStreamingEvent,
    "response.completed": spec.ResponseCompletedStreamingEvent,
    "response.incomplete": spec.ResponseIncompleteStreamingEvent,
    "response.failed": spec.ResponseFailedStreamingEvent,
    "response.output_item.added": spec.ResponseOutputItemAddedStreamingEvent,
    "response.output_item.done": spec.ResponseOutputItemDoneStreamingEvent,
    "response.content_part.added": spec.ResponseContentPartAddedStreamingEvent,
    "response.content_part.done": spec.ResponseContentPartDoneStreamingEvent,
    "response.output_text.delta": spec.ResponseOutputTextDeltaStreamingEvent,
    "response.output_text.done": spec.ResponseOutputTextDoneStreamingEvent,
    "response.output_text.annotation.added": spec.ResponseOutputTextAnnotationAddedStreamingEvent,
    "response.refusal.delta": spec.ResponseRefusalDeltaStreamingEvent,
    "response.refusal.done": spec.ResponseRefusalDoneStreamingEvent,
    "response.reasoning_summary_part.added": spec.ResponseReasoningSummaryPartAddedStreamingEvent,
    "response.reasoning_summary_part.done": spec.ResponseReasoningSummaryPartDoneStreamingEvent,
    "response.reasoning_summary_text.delta": spec.ResponseReasoningSummaryDeltaStreamingEvent,
    "response.reasoning_summary_text.done": spec.ResponseReasoningSummaryDoneStreamingEvent,
    "response.function_call_arguments.delta": spec.ResponseFunctionCallArgumentsDeltaStreamingEvent,
    "response.function_call_arguments.done": spec.ResponseFunctionCallArgumentsDoneStreamingEvent,
    "error": spec.ErrorStreamingEvent,
}


def judge_response(body: Mapping[str, Any]) -> Response:
    """The body as the SDK reads it; raises where one of the judges says no."""
    body = orjson.loads(orjson.dumps(body))
    spec.ResponseResource.model_validate(without_spec_gaps(body))
    return validate_type(type_=Response, value=body)


def judge_event(event: Mapping[str, Any]) -> Any:
    document = dict(event)
    if "response" in document:
        document["response"] = without_spec_gaps(document["response"])
    SPEC_EVENTS[event["type"]].model_validate(document)
    return validate_type(type_=ResponseStreamEvent, value=dict(event))


def without_spec_gaps(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body without what Open Responses gets wrong.

    It allows nothing but null for an echoed JSON schema, and knows neither all efforts, nor hosted tools.
    """
    body = dict(body)
    if body["text"]["format"]["type"] == "json_schema":
        body["text"] = {"format": {**body["text"]["format"], "schema": None}}
    if body["reasoning"] and body["reasoning"]["effort"] in {"minimal", "max"}:
        body["reasoning"] = {**body["reasoning"], "effort": "low"}
    body["tools"] = [tool for tool in body["tools"] if tool["type"] == "function"]
    return body


def read_events(data: bytes) -> list[dict[str, Any]]:
    """The events in a stream of ours; the ``event:`` line must say the type."""
    splitter = EventSplitter()
    events = []
    for event in splitter.feed(data):
        fields = orjson.loads(event_data(event))
        assert event_name(event).decode() == fields["type"]
        events.append(fields)
    assert splitter.rest == b""
    return events
