"""Chat completions as GenerateContentResponses, whole and streamed; errors, models, embeddings."""

import base64

import orjson
import pytest
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.surfaces.genai import (
    ResponseEvents,
    chat_request,
    counted,
    embedding_request,
    embedding_response,
    error_of,
    model_of,
    models_page,
    pending_embedding,
    pending_response,
    response_of,
    without_extensions,
)
from shared.surfaces.sse import DONE, EventSplitter, encode_event, event_data
from tests.examples import examples
from tests.surfaces.dialects import DIALECTS

USAGE = {
    "prompt_tokens": 12,
    "completion_tokens": 9,
    "total_tokens": 21,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


def completion_of(message, finish="stop", **more):
    choice = {"index": 0, "message": {"role": "assistant", "content": None, **message}, "finish_reason": finish, **more}
    return {"id": "chatcmpl-1", "model": "gpt-4o", "choices": [choice], "usage": USAGE}


def judged(completion):
    response = response_of(completion)
    types.GenerateContentResponse.model_validate(response)
    return response


def candidate_of(message, finish="stop", **more):
    return judged(completion_of(message, finish, **more))["candidates"][0]


def call_of(arguments, **more):
    return {"id": "c1", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def test_a_text():
    assert judged(completion_of({"content": "Hello"})) == {
        "responseId": "chatcmpl-1",
        "modelVersion": "gpt-4o",
        "candidates": [
            {"content": {"role": "model", "parts": [{"text": "Hello"}]}, "index": 0, "finishReason": "STOP"}
        ],
        "usageMetadata": {
            "promptTokenCount": 12,
            "candidatesTokenCount": 4,
            "totalTokenCount": 21,
            "thoughtsTokenCount": 5,
            "cachedContentTokenCount": 4,
        },
    }
    assert judged({**completion_of({"content": "A"}), "usage": None})["usageMetadata"]["totalTokenCount"] == 0


def test_thoughts_come_first_and_calls_last():
    message = {"content": "Yes", "reasoning_content": "Hm", "tool_calls": [call_of('{"a":1}'), call_of("")]}
    assert candidate_of(message, "tool_calls")["content"]["parts"] == [
        {"text": "Hm", "thought": True},
        {"text": "Yes"},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c1", "name": "f", "args": {}}},
    ]
    assert candidate_of(message, "tool_calls")["finishReason"] == "STOP"


@pytest.mark.parametrize("arguments", ['{"a":', "[1]"])
def test_arguments_that_are_no_object_are_not_lost(arguments):
    part = candidate_of({"tool_calls": [call_of(arguments)]})["content"]["parts"][0]
    assert part["functionCall"]["args"] == {"invalid_json": arguments}


@pytest.mark.parametrize(
    ("finish", "reason"), [("stop", "STOP"), ("length", "MAX_TOKENS"), ("content_filter", "SAFETY"), (None, "STOP")]
)
def test_reasons(finish, reason):
    assert candidate_of({"content": "A"}, finish)["finishReason"] == reason


def test_a_refusal_is_the_text_of_the_answer():
    assert candidate_of({"refusal": "No."}, "content_filter")["content"]["parts"] == [{"text": "No."}]


def test_log_probabilities():
    token = {
        "token": "A",
        "logprob": -0.5,
        "bytes": [65],
        "top_logprobs": [{"token": "B", "logprob": -1, "bytes": None}],
    }
    assert candidate_of({"content": "A"}, logprobs={"content": [token]})["logprobsResult"] == {
        "chosenCandidates": [{"token": "A", "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "B", "logProbability": -1}]}],
    }
    assert "logprobsResult" not in candidate_of({"content": "A"}, logprobs=None)


def test_googles_own_fields_come_back_unchanged():
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    google = {
        "thought_signature": "c2ln",
        "parts": [code],
        "grounding_metadata": {"webSearchQueries": ["a"]},
        "finish_reason": "RECITATION",
        "finish_message": "Copied.",
    }
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aWNv"}}
    signed = {"extra_content": {"google": {"thought_signature": "aW1n"}}}
    message = {
        "content": "Yes",
        "extra_content": {"google": google},
        "images": [image | signed],
        "tool_calls": [call_of("{}", **signed)],
    }
    candidate = candidate_of(message, "content_filter")
    assert candidate["content"]["parts"] == [
        code,
        {"text": "Yes", "thoughtSignature": "c2ln"},
        {"inlineData": {"mimeType": "image/png", "data": "aWNv"}, "thoughtSignature": "aW1n"},
        {"functionCall": {"id": "c1", "name": "f", "args": {}}, "thoughtSignature": "aW1n"},
    ]
    assert (candidate["finishReason"], candidate["finishMessage"]) == ("RECITATION", "Copied.")
    assert candidate["groundingMetadata"] == {"webSearchQueries": ["a"]}
    bare = candidate_of({"extra_content": {"google": {"thought_signature": "c2ln"}}})
    assert bare["content"]["parts"] == [{"text": "", "thoughtSignature": "c2ln"}]


def test_a_blocked_prompt_is_google_s_feedback():
    details = {"google": {"prompt_feedback": {"blockReason": "SAFETY"}}}
    response = judged(completion_of({"refusal": "No.", "extra_content": details}, "content_filter"))
    assert (response["candidates"], response["promptFeedback"]) == ([], {"blockReason": "SAFETY"})


BLOCKS = [
    {"type": "thinking", "thinking": "Hm", "signature": "sig+/="},
    {"type": "redacted_thinking", "data": "secret"},
    {"type": "thinking", "thinking": "", "signature": ""},
]


def sent_back(parts):
    """The message that the answer's parts make in the next request, spelled as the SDK spells them."""
    spelled = types.Content.model_validate({"role": "model", "parts": parts}).to_json_dict()
    chat = chat_request({"contents": [{"parts": [{"text": "Hi"}]}, orjson.loads(orjson.dumps(spelled))]}, model="m")
    return chat["messages"][1], chat


def test_thoughts_that_anthropic_signed_come_back_to_it_as_they_were():
    message = {"content": "Yes", "reasoning_content": "Hm", "thinking_blocks": BLOCKS}
    back, chat = sent_back(candidate_of(message)["content"]["parts"])
    assert back["thinking_blocks"] == BLOCKS
    assert back["content"] == "Yes"
    assert without_extensions(chat, dialect=DIALECTS["anthropic"])["messages"][1]["thinking_blocks"] == BLOCKS
    assert "thinking_blocks" not in without_extensions(chat, dialect=DIALECTS["openai"])["messages"][1]


@pytest.mark.parametrize("signature", ["a", "c2ln", "!!", base64.b64encode(b"\x00other\x00x").decode()])
def test_signatures_of_others_are_no_blocks(signature):
    parts = [{"text": "Hm", "thought": True, "thoughtSignature": signature}]
    message = chat_request({"contents": [{"role": "model", "parts": parts}]}, model="m")["messages"][0]
    assert message["extra_content"] == {"google": {"thought_signature": signature}}
    assert "thinking_blocks" not in message


def test_a_live_job_has_no_candidates_yet():
    assert pending_response("0b6e", "openai/gpt-4o") == {
        "responseId": "0b6e",
        "modelVersion": "openai/gpt-4o",
        "candidates": [],
    }
    types.GenerateContentResponse.model_validate(pending_response("0b6e", "m"))
    assert pending_embedding(batch=True) == {"embeddings": []}
    assert pending_embedding(batch=False) == {"embedding": {"values": []}}


@pytest.mark.parametrize(
    ("status", "name"),
    [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (418, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"),
     (500, "INTERNAL"), (503, "UNAVAILABLE"), (529, "INTERNAL")],
)  # fmt: skip
def test_errors_have_googles_envelope(status, name):
    error = error_of(status, {"message": "No.", "type": "t", "param": None, "code": None})["error"]
    assert error == {"code": status, "message": "No.", "status": name}


def test_errors_keep_code_and_param():
    details = {"message": "", "type": "rate_limit_error", "param": "model", "code": "queue_full", "retry_after_s": 2.5}
    error = error_of(429, details)["error"]
    assert error["message"]
    assert error["details"] == [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "queue_full",
            "domain": "finops",
            "metadata": {"type": "rate_limit_error", "param": "model"},
        },
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"},
    ]


def test_models_are_listed_page_by_page():
    models = [{"id": "openai/gpt-4o", "created": 1}, {"id": "gemini/gemini-embedding-001"}, {"id": "c"}]
    first = models_page(models, page_size="2")
    assert [model["name"] for model in first["models"]] == [
        "models/openai/gpt-4o",
        "models/gemini/gemini-embedding-001",
    ]
    assert first["models"][1]["supportedGenerationMethods"] == ["embedContent", "batchEmbedContents"]
    second = models_page(models, page_size="2", page_token=first["nextPageToken"])
    assert [model["name"] for model in second["models"]] == ["models/c"]
    assert "nextPageToken" not in second
    assert models_page([]) == {"models": []}
    assert model_of({})["name"] == "models/"
    for bad in ("-1", "x", "²", "9" * 10):
        with pytest.raises(InvalidRequest):
            models_page(models, page_size=bad)
    assert counted(7) == {"totalTokens": 7}


def test_one_text_is_embedded():
    body = {
        "model": "models/m",
        "content": {"parts": [{"text": "a"}, {"text": "b"}]},
        "taskType": "RETRIEVAL_QUERY",
        "outputDimensionality": 64,
    }
    asked = embedding_request(body, model="m")
    assert asked == {
        "model": "m",
        "input": "a\nb",
        "encoding_format": "float",
        "dimensions": 64,
        "extra_body": {"google": {"task_type": "RETRIEVAL_QUERY"}},
    }
    assert "extra_body" not in without_extensions(asked, dialect=DIALECTS["openai"])
    nested = {"content": {"parts": [{"text": "a"}]}, "embed_content_config": {"output_dimensionality": 8}}
    assert embedding_request(nested, model="m")["dimensions"] == 8


def test_a_batch_is_embedded_if_its_requests_want_the_same():
    one, other = ({"content": {"parts": [{"text": text}]}} for text in "ab")
    assert embedding_request({"requests": [one, other]}, model="m")["input"] == ["a", "b"]
    with pytest.raises(UnsupportedParameter) as caught:
        embedding_request({"requests": [one, other | {"title": "T"}]}, model="m")
    assert caught.value.param == "requests[1]"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"requests": []}, "requests"),
        ({"requests": [5]}, "requests[0]"),
        ({"content": "x"}, "content"),
        ({"content": {"parts": [{"text": 5}]}}, "content.parts[0].text"),
        ({"requests": [{"content": {"parts": [{"inlineData": {}}]}}]}, "requests[0].content.parts[0]"),
        ({"content": {"parts": []}, "sparkle": 1}, "sparkle"),
        ({"content": {"parts": []}, "embedContentConfig": {"sparkle": 1}}, "embedContentConfig.sparkle"),
    ],
)
def test_what_cannot_be_embedded_is_named(body, param):
    with pytest.raises(InvalidRequest) as caught:
        embedding_request(body, model="m")
    assert caught.value.param == param


def test_embeddings_come_back_in_order():
    data = [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]
    answer = {"data": data, "usage": {"prompt_tokens": 3}}
    usage = {"promptTokenCount": 3, "totalTokenCount": 3}
    assert embedding_response(answer, batch=True) == {
        "embeddings": [{"values": [1]}, {"values": [2]}],
        "usageMetadata": usage,
    }
    assert embedding_response(answer, batch=False) == {"embedding": {"values": [1]}, "usageMetadata": usage}
    assert embedding_response({}, batch=False)["embedding"] == {"values": []}


def chunk(delta=None, finish=None, index=0, **more):
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-1", "model": "gpt-4o", "choices": choices, **more}


def encoded(*chunks, done=True):
    return b"".join(encode_event(orjson.dumps(each)) for each in chunks) + (DONE if done else b"")


def streamed(*chunks, done=True):
    """The responses that the chunks become."""
    events = ResponseEvents()
    out = events.feed(encoded(*chunks, done=done))
    responses = [orjson.loads(event_data(event)) for event in EventSplitter().feed(out)]
    for response in responses:
        if "error" not in response:
            types.GenerateContentResponse.model_validate(response)
    return responses


def joined(responses):
    """The parts of the first candidate, neighbouring texts joined, and how it ended."""
    parts = []
    for response in responses:
        for candidate in response.get("candidates", []):
            for part in candidate["content"]["parts"] if candidate["index"] == 0 else []:
                last = parts[-1] if parts else {}
                alike = part.keys() == last.keys() and part.keys() <= {"text", "thought"} and last.keys() == part.keys()
                if alike:
                    parts[-1] = {**last, "text": last["text"] + part["text"]}
                else:
                    parts.append(part)
    return parts, responses[-1]


def pieces_of(message):
    """A message as deltas, texts and arguments in letters."""
    yield {"role": "assistant", "content": None}
    yield from ({"reasoning_content": letter} for letter in message.get("reasoning_content") or "")
    yield from ({"content": letter} for letter in message.get("content") or "")
    for index, call in enumerate(message.get("tool_calls", [])):
        begun = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        yield {"tool_calls": [begun]}
        yield from (
            {"tool_calls": [{"index": index, "function": {"arguments": each}}]}
            for each in call["function"]["arguments"]
        )


texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8)
messages = st.fixed_dictionaries(
    {},
    optional={
        "content": texts,
        "reasoning_content": texts,
        "tool_calls": st.lists(
            st.builds(
                lambda name, args, more: {
                    **call_of(orjson.dumps(args).decode(), **more),
                    "function": {"name": name, "arguments": orjson.dumps(args).decode()},
                },
                st.sampled_from(["f", "g"]),
                st.dictionaries(texts, texts, max_size=2),
                st.sampled_from([{}, {"extra_content": {"google": {"thought_signature": "c2ln"}}}]),
            ),
            min_size=1,
            max_size=3,
        ),
    },
)


@examples(100)
@given(messages, st.sampled_from(["stop", "length", "content_filter"]), st.lists(st.integers(1, 300), max_size=10))
def test_a_stream_put_together_is_the_whole_response(message, finish, cuts):
    chunks = [chunk(delta) for delta in pieces_of(message)] + [chunk({}, finish), chunk(usage=USAGE)]
    data, events, out = encoded(*chunks), ResponseEvents(), b""
    for cut in cuts:
        out += events.feed(data[:cut])
        data = data[cut:]
    out += events.feed(data)
    parts, last = joined([orjson.loads(event_data(event)) for event in EventSplitter().feed(out)])
    whole = judged(completion_of(message, finish))
    assert parts == whole["candidates"][0]["content"]["parts"]
    assert last["candidates"][0]["finishReason"] == whole["candidates"][0]["finishReason"]
    assert last["usageMetadata"] == whole["usageMetadata"]
    assert events.ended


def test_calls_are_sent_whole_and_the_finish_reason_last():
    responses = streamed(
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x'}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '":1}'}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
        chunk({}, "tool_calls"),
    )
    called = [response["candidates"][0]["content"]["parts"] for response in responses]
    assert called == [
        [{"functionCall": {"id": "a", "name": "f", "args": {"x": 1}}}],
        [{"functionCall": {"id": "b", "name": "g", "args": {}}}],
    ]
    assert ["finishReason" in response["candidates"][0] for response in responses] == [False, True]


def test_each_choice_is_a_candidate():
    responses = streamed(
        chunk({"content": "A"}), chunk({"content": "B"}, index=1), chunk({}, "stop"), chunk({}, "length", 1)
    )
    assert [candidate["index"] for response in responses for candidate in response["candidates"]] == [0, 1, 0, 1]
    assert [candidate["finishReason"] for candidate in responses[-1]["candidates"]] == ["STOP", "MAX_TOKENS"]


def test_googles_own_fields_come_back_in_streams():
    google = {"thought_signature": "c2ln", "grounding_metadata": {"webSearchQueries": ["a"]}, "finish_reason": "OTHER"}
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    _, last = streamed(chunk({"content": "A"}), chunk({"extra_content": {"google": google}}, "stop"))
    candidate = last["candidates"][0]
    assert candidate["content"]["parts"] == [{"text": "", "thoughtSignature": "c2ln"}]
    assert (candidate["finishReason"], candidate["groundingMetadata"]) == ("OTHER", {"webSearchQueries": ["a"]})
    first, _ = streamed(chunk({"extra_content": {"google": {"parts": [code]}}}, "stop"))
    assert first["candidates"][0]["content"]["parts"] == [code]
    details = {"refusal": "No.", "extra_content": {"google": {"prompt_feedback": {"blockReason": "SAFETY"}}}}
    (blocked,) = streamed(chunk(details, "content_filter"))
    assert blocked["promptFeedback"] == {"blockReason": "SAFETY"}
    assert not blocked.get("candidates")


def test_signed_thoughts_of_anthropic_in_streams_come_back_as_blocks():
    responses = streamed(
        chunk({"reasoning_content": "H"}),
        chunk({"reasoning_content": "m"}),
        chunk({"thinking_blocks": [{"index": 0, **BLOCKS[0]}]}),
        chunk({"thinking_blocks": [{"index": 1, **BLOCKS[1]}]}),
        chunk({"content": "Yes"}, "stop"),
    )
    parts = [part for response in responses for part in response["candidates"][0]["content"]["parts"]]
    assert sent_back(parts)[0]["thinking_blocks"] == BLOCKS[:2]


def test_log_probabilities_are_streamed():
    details = {"content": [{"token": "A", "logprob": -1, "top_logprobs": []}]}
    description = {"id": "x", "choices": [{"index": 0, "delta": {"content": "A"}, "logprobs": details}]}
    assert streamed(description)[0]["candidates"][0]["logprobsResult"]["chosenCandidates"][0]["token"] == "A"


@pytest.mark.parametrize(
    ("error", "status"), [({"message": "Cut.", "status": 502}, 502), ({"message": "Cut."}, 500), ("Cut.", 500)]
)
def test_an_error_ends_a_stream(error, status):
    *_, last = streamed(chunk({"content": "A"}), {"error": error}, chunk({"content": "B"}))
    assert (last["error"]["code"], last["error"]["message"]) == (status, "Cut.")


def test_comments_say_nothing_and_an_empty_stream_ends_too():
    events = ResponseEvents()
    assert events.feed(b": keep-alive\n\n") == b""
    assert b'"candidates":[]' in events.feed(DONE)
    assert events.ended
    assert events.feed(encoded(chunk({"content": "A"}))) == b""


def test_without_events_a_stream_is_one_json_array():
    def array(*chunks):
        events = ResponseEvents(as_array=True)
        return orjson.loads(events.feed(encoded(*chunks)))

    assert len(array(chunk({"content": "A"}), chunk({"content": "B"}), chunk({}, "stop"))) == 3
    assert len(array()) == 1
    assert array(chunk({"content": "A"}), {"error": {"message": "Cut."}})[-1]["error"]["code"] == 500
    events = ResponseEvents(as_array=True)
    assert orjson.loads(events.fail(503, {"message": "Busy."}))[0]["error"]["status"] == "UNAVAILABLE"


def test_embeddings_of_a_job_of_openais_sdk_are_numbers_too():
    answer = {"data": [{"index": 0, "embedding": "AACAPwAAAMA="}]}
    assert embedding_response(answer, batch=False)["embedding"] == {"values": [1.0, -2.0]}
