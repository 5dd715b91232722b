"""Chat completions, errors and lists as Anthropic's."""

import pydantic
import pytest
from anthropic.types import MessageTokensCount, ModelInfo
from anthropic.types.shared import ErrorResponse

from shared.errors import JobNotFound, QueueFull
from shared.surfaces.anthropic import (
    chat_request,
    counted,
    error_of,
    message_of,
    model_of,
    models_page,
    pending_message,
)
from shared.surfaces.token_estimate import estimate_tokens
from tests.providers.wires.anthropic.judge import judge_message

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}


def answered(message, finish="stop", **fields):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish} | fields.pop(
        "choice", {}
    )
    completion = {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [choice], "usage": USAGE} | fields
    made = message_of(completion)
    judge_message(made)
    return made


def test_a_text_is_a_message():
    assert answered({"content": "Hello"}) == {
        "id": "chatcmpl-1",
        "type": "message",
        "role": "assistant",
        "model": "gpt-4o",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 5,
        },
    }


def test_calls_thoughts_and_refusals_are_blocks():
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}}
    thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    made = answered(
        {
            "content": "So.",
            "refusal": "No.",
            "tool_calls": [call],
            "thinking_blocks": [thought],
            "reasoning_content": "Hm.",
        }
    )
    assert made["content"] == [
        thought,
        {"type": "text", "text": "So."},
        {"type": "text", "text": "No."},
        {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "sky"}},
    ]
    # Some providers say "stop" after calling a tool.
    assert made["stop_reason"] == "tool_use"
    unsigned = answered({"content": "", "reasoning": "Hm."})
    assert unsigned["content"] == [{"type": "thinking", "thinking": "Hm.", "signature": ""}]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [("", {}), ("{}", {}), ('{"a":', {"invalid_json": '{"a":'}), ("[1]", {"invalid_json": "[1]"})],
)
def test_arguments_that_are_not_an_object_are_passed_through(arguments, given):
    call = {"id": "call_1", "function": {"name": "look", "arguments": arguments}}
    assert answered({"content": None, "tool_calls": [call]}, "tool_calls")["content"][0]["input"] == given


@pytest.mark.parametrize(
    ("finish", "choice", "stop"),
    [
        ("stop", {}, ("end_turn", None)),
        ("stop", {"stop_reason": "END"}, ("stop_sequence", "END")),
        ("stop", {"stop_reason": 151_643}, ("end_turn", None)),
        ("length", {"stop_reason": "END"}, ("max_tokens", None)),
        ("tool_calls", {}, ("tool_use", None)),
        ("content_filter", {}, ("refusal", None)),
        ("something", {}, ("end_turn", None)),
    ],
)
def test_finish_reasons(finish, choice, stop):
    made = answered({"content": "x"}, finish, choice=choice)
    assert (made["stop_reason"], made["stop_sequence"]) == stop


def test_a_refusal_explains_itself():
    details = {"type": "refusal", "category": None, "explanation": "No."}
    assert answered({"content": None, "refusal": "No."}, "content_filter")["stop_details"] == details


def test_usage_leaves_caches_out_of_the_input():
    usage = {
        "prompt_tokens": 130,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 20},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    made = answered({"content": "x"}, usage=usage, service_tier="priority")["usage"]
    assert made == {
        "input_tokens": 10,
        "cache_creation_input_tokens": 20,
        "cache_read_input_tokens": 100,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
        "service_tier": "priority",
    }
    assert answered({"content": "x"}, usage=None, service_tier="flex")["usage"]["input_tokens"] == 0


def test_a_pending_job_is_a_message_without_content():
    pending = pending_message("0b6e", "anthropic/claude-x", "queued")
    assert judge_message(pending).content == []
    assert (pending["id"], pending["status"], pending["stop_reason"]) == ("0b6e", "queued", None)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, {"type": "invalid_request_error"}, "invalid_request_error"),
        (402, {"type": "insufficient_quota"}, "billing_error"),
        (404, {"type": "invalid_request_error"}, "not_found_error"),
        (409, {"type": "job_cancelled"}, "invalid_request_error"),
        (429, {"type": "rate_limit_error"}, "rate_limit_error"),
        (500, {"type": "rate_limit_error"}, "rate_limit_error"),
        (503, {"type": "overloaded_error"}, "overloaded_error"),
        (502, {"type": "upstream_error"}, "api_error"),
        (504, {"type": "upstream_timeout"}, "timeout_error"),
    ],
)
def test_errors_are_typed_by_status(status, error, kind):
    envelope = error_of(status, error | {"message": "No."}, "req_1")
    assert envelope == {"type": "error", "error": {"type": kind, "message": "No."}, "request_id": "req_1"}
    pydantic.TypeAdapter(ErrorResponse).validate_python(envelope, strict=True)


def test_a_failed_job_has_its_error():
    gone = JobNotFound("0b6e")
    assert error_of(gone.status, gone.envelope()["error"])["error"]["code"] == "job_not_found"
    full = QueueFull("Full.", param="x-bf-async")
    assert error_of(full.status, full.envelope()["error"])["error"]["param"] == "x-bf-async"
    assert error_of(500, {})["error"]["message"] == "The request failed."


def test_tokens_are_estimated_by_length_and_images_at_a_flat_rate():
    assert pydantic.TypeAdapter(MessageTokensCount).validate_python(counted(7), strict=True).input_tokens == 7
    image = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    chat = chat_request({"model": "m", "messages": [{"role": "user", "content": "12345678"}]}, counting=True)
    document = chat_request({"model": "m", "messages": [{"role": "user", "content": [image]}]}, counting=True)
    tool = {"name": "f", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}
    tooled = chat_request({"model": "m", "messages": [], "tools": [tool]}, counting=True)
    assert estimate_tokens(chat) == 3  # "user" counts too
    assert estimate_tokens(document) == 1601
    assert estimate_tokens(tooled) > estimate_tokens(chat)


MODELS = [{"id": f"m{number}", "created": 1_700_000_000 + number} for number in range(5)]


def ids(page):
    return [model["id"] for model in page["data"]]


def test_models_are_listed_in_pages_both_ways():
    first = models_page(MODELS, limit=2)
    assert (ids(first), first["first_id"], first["last_id"], first["has_more"]) == (
        ["m0", "m1"],
        "m0",
        "m1",
        True,
    )
    last = models_page(MODELS, limit=2, after_id="m3")
    assert (ids(last), last["has_more"]) == (["m4"], False)
    before = models_page(MODELS, limit=2, before_id="m3")
    assert (ids(before), before["has_more"]) == (["m1", "m2"], True)
    assert models_page(MODELS, limit=2, before_id="m1")["has_more"] is False
    assert models_page([]) == {"data": [], "has_more": False, "first_id": None, "last_id": None}


def test_a_model_is_one_to_the_sdk():
    model = pydantic.TypeAdapter(ModelInfo).validate_json(pydantic.TypeAdapter(dict).dump_json(model_of(MODELS[0])))
    assert model.created_at.year == 2023
    assert model_of({"id": "x"})["created_at"] == "1970-01-01T00:00:00Z"
