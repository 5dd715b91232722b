"""GenerateContentResponses as chat completions."""

import orjson
import pytest
from google.genai import types
from openai.types.chat import ChatCompletion

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.gemini import GeminiWire
from tests.providers.wires.gemini.judge import judge_answer
from tests.providers.wires.gemini.request_cases import HI, request_of
from tests.providers.wires.gemini.stream_events import assemble, chunks_of, encode

HEAD = {"responseId": "r1", "modelVersion": "gemini-3-flash"}


def read(candidate=None, check=True, **more):
    """The completion for an answer with one candidate."""
    answer = {**HEAD, **({"candidates": [candidate]} if candidate is not None else {}), **more}
    if check:
        judge_answer(answer)
    body = GeminiWire().answer(request_of({"messages": HI}), orjson.dumps(answer), "application/json").body
    ChatCompletion.model_validate_json(body)
    return orjson.loads(body)


def choice_of(*parts, reason="STOP", **more):
    value = {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, **more}
    return read(value)["choices"][0]


def test_text_is_the_content():
    completion = read(
        {
            "content": {"role": "model", "parts": [{"text": "Hello"}, {"text": " you"}]},
            "finishReason": "STOP",
            "index": 0,
        }
    )
    assert completion["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello you", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert (completion["id"], completion["model"], completion["created"]) == ("r1", "gemini-3-flash", 1_795_360_000)
    bare = GeminiWire().answer(request_of({"messages": HI}), b'{"candidates":[{}]}', "application/json").body
    assert (orjson.loads(bare)["id"], orjson.loads(bare)["model"]) == ("chatcmpl-ours", "gemini-3-flash-preview")


def test_thoughts_are_the_reasoning_and_signatures_are_kept():
    message = choice_of(
        {"text": "Hm", "thought": True}, {"text": ".", "thought": True}, {"text": "Yes", "thoughtSignature": "c2ln"}
    )["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "Yes")
    assert message["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert choice_of({"text": "A"}, {"thoughtSignature": "c2ln"})["message"]["extra_content"]
    assert "extra_content" not in choice_of({"text": "A"}, {"thought": True}, {})["message"]


def test_a_stopped_answer_with_calls_finishes_with_tool_calls():
    choice = choice_of(
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": [1, None]}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g"}},
    )
    first, second = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert first == {
        "id": "c1",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":[1,null]}'},
        "extra_content": {"google": {"thought_signature": "c2ln"}},
    }
    assert second["function"] == {"name": "g", "arguments": "{}"}
    assert second["id"].startswith("call_")


@pytest.mark.parametrize("streamed", [False, True])
def test_further_calls_are_counted_when_the_caller_wants_one(streamed):
    calls = [{"functionCall": {"id": name, "name": name}} for name in ("f", "g", "h")]
    answer = {"candidates": [{"content": {"parts": [{"text": "Hm."}, *calls]}, "finishReason": "STOP"}]}
    request = request_of({"messages": HI, "parallel_tool_calls": False, "stream": streamed})
    if streamed:
        whole = assemble(GeminiWire().stream(request).feed(encode(list(chunks_of(answer)))))
    else:
        whole = orjson.loads(GeminiWire().answer(request, orjson.dumps(answer), "application/json").body)
    (choice,) = whole["choices"]
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["f"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("Hm.", "tool_calls")
    assert choice["message"]["extra_content"] == {"google": {"calls_left_out": 2}}


def test_ids_that_are_made_up_differ_from_call_to_call_and_answer_to_answer():
    def ids(response_id):
        parts = [{"functionCall": {"name": "f"}}] * 2
        made = read({"content": {"parts": parts}, "finishReason": "STOP"}, responseId=response_id)
        return [call["id"] for call in made["choices"][0]["message"]["tool_calls"]]

    assert len({*ids("r1"), *ids("r2")}) == 4
    assert ids("r1") == ids("r1")


@pytest.mark.parametrize("reason", [reason.value for reason in types.FinishReason])
def test_every_finish_reason_of_the_sdk_has_a_counterpart(reason):
    choice = choice_of({"text": "A"}, reason=reason)
    assert choice["finish_reason"] in {"stop", "length", "content_filter"}
    kept = choice["message"].get("extra_content", {}).get("google", {})
    assert kept.get("finish_reason") == (
        None if reason in {"STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED"} else reason
    )


def test_the_native_finish_reason_and_message_are_kept():
    choice = choice_of(reason="SAFETY", finishMessage="No.", safetyRatings=[{"category": "HARM_CATEGORY_HARASSMENT"}])
    assert (choice["finish_reason"], choice["message"]["content"]) == ("content_filter", None)
    assert choice["message"]["extra_content"]["google"] == {
        "safety_ratings": [{"category": "HARM_CATEGORY_HARASSMENT"}],
        "finish_reason": "SAFETY",
        "finish_message": "No.",
    }
    assert choice_of({"text": "A"}, reason="MAX_TOKENS")["finish_reason"] == "length"


def test_a_blocked_prompt_is_a_refusal():
    completion = read(promptFeedback={"blockReason": "SAFETY"}, usageMetadata={"promptTokenCount": 3})
    choice = completion["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["refusal"] == "The prompt was blocked: SAFETY."
    assert choice["message"]["extra_content"] == {"google": {"prompt_feedback": {"blockReason": "SAFETY"}}}
    answer = read(promptFeedback={"blockReason": "OTHER", "blockReasonMessage": "Not this."})
    assert answer["choices"][0]["message"]["refusal"] == "Not this."


def test_images_are_translated_and_parts_without_counterpart_are_kept():
    image = {"inlineData": {"mimeType": "image/png", "data": "aWNv"}, "thoughtSignature": "c2ln"}
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    sound = {"inlineData": {"mimeType": "audio/L16", "data": "AAA="}}
    sketch = {"inlineData": {"mimeType": "image/png", "data": "eA=="}, "thought": True}
    grounding = {"groundingChunks": [{"web": {"uri": "https://example.com", "title": "x"}}]}
    message = choice_of({"text": "Here."}, image, code, sound, sketch, groundingMetadata=grounding)["message"]
    assert message["images"] == [
        {
            "index": 0,
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,aWNv"},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        }
    ]
    assert message["extra_content"]["google"] == {
        "parts": [code, sound, sketch],
        "grounding_metadata": grounding,
    }


def test_usage_counts_thoughts_as_completion_and_results_of_tools_as_prompt():
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 5,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 7,
        "thoughtsTokenCount": 20,
        "totalTokenCount": 42,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}, {"modality": "AUDIO", "tokenCount": 4}],
    }
    answer = {**HEAD, "candidates": [{"content": {"parts": []}}], "usageMetadata": usage}
    judge_answer(answer)
    translated = GeminiWire().answer(request_of({"messages": HI}), orjson.dumps(answer), "application/json")
    assert translated.usage == {
        "prompt_tokens": 15,
        "completion_tokens": 27,
        "total_tokens": 42,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 0},
    }
    assert orjson.loads(translated.body)["usage"] == translated.usage


def test_candidates_are_choices_with_their_log_probabilities():
    token = {"token": "é", "tokenId": 5, "logProbability": -0.5}
    candidates = [
        {
            "content": {"parts": [{"text": "é"}]},
            "finishReason": "STOP",
            "index": index,
            "logprobsResult": {"chosenCandidates": [token], "topCandidates": [{"candidates": [token]}] * index},
        }
        for index in range(2)
    ]
    first, second = read(candidates=candidates)["choices"]
    value = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert first["logprobs"] == {"content": [{**value, "top_logprobs": []}], "refusal": None}
    assert second["logprobs"] == {"content": [{**value, "top_logprobs": [value]}], "refusal": None}
    assert (first["index"], second["index"]) == (0, 1)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"candidates":[]}',
        b'{"candidates":[1]}',
        b'{"candidates":{}}',
        b'{"candidates":{"0":1}}',
        b'{"candidates":[{"content":"x"}]}',
        b'{"candidates":[{"content":{"parts":["x"]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","partialArgs":[]}}]}}]}',
        b'{"candidates":[{"logprobsResult":{"chosenCandidates":[{}]}}]}',
        b'{"candidates":[{}],"usageMetadata":{"promptTokenCount":-1}}',
        b'{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":%s1%s}}]}}]}'
        % (b'{"a":' * 500, b"}" * 500),
        b'{"candidates":[{}],"usageMetadata":{"thoughtsTokenCount":"7"}}',
    ],
)
def test_what_is_no_answer_is_malformed(body):
    with pytest.raises(MalformedAnswer):
        GeminiWire().answer(request_of({"messages": HI}), body, "application/json")
