import pytest

from shared.surfaces.responses.answer import chat_to_response
from shared.surfaces.responses.encrypted_content import merge_blocks, unseal
from shared.surfaces.responses.reply import MalformedChat
from tests.surfaces.responses.chats import USAGE, chat, function
from tests.surfaces.responses.judges import judge_response

RESPONSE_ID = "resp_" + "0f" * 24


def respond(answer, fields=None, **more):
    body = chat_to_response(
        answer, fields or {"model": "a/b"}, **{"response_id": RESPONSE_ID, "created_at": 1795360000, **more}
    )
    judge_response(body)
    return body


def test_text_is_a_message():
    body = respond(chat({"content": "Hello"}, usage=USAGE), completed_at=1795360009)

    assert (body["status"], body["completed_at"], body["model"]) == ("completed", 1795360009, "a/b")
    assert body["output"] == [
        {
            "type": "message",
            "id": f"msg_{'0f' * 24}_0",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
        }
    ]
    assert body["usage"]["input_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 2}


def test_everything_has_its_place():
    block = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    body = respond(
        chat(
            {
                "content": "I add.",
                "reasoning_content": "Hm",
                "thinking_blocks": [block],
                "tool_calls": [function("add", "{}", "c0"), function("mul", "[]", "c1")],
            },
            "tool_calls",
        )
    )

    reasoning, message, first, second = body["output"]
    assert reasoning["summary"] == [{"type": "summary_text", "text": "Hm"}]
    assert unseal(reasoning["encrypted_content"]) == {"thinking_blocks": [block]}
    assert message["content"][0]["text"] == "I add."
    assert [(call["call_id"], call["name"], call["arguments"]) for call in (first, second)] == [
        ("c0", "add", "{}"),
        ("c1", "mul", "[]"),
    ]
    assert body["status"] == "completed"


@pytest.mark.parametrize(
    ("finish_reason", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_a_cut_answer_is_incomplete_where_it_was_cut(finish_reason, reason):
    body = respond(chat({"content": "A", "tool_calls": [function("f", '{"a')]}, finish_reason))

    assert (body["status"], body["incomplete_details"], body["completed_at"]) == (
        "incomplete",
        {"reason": reason},
        None,
    )
    assert [item["status"] for item in body["output"]] == ["completed", "incomplete"]


def test_a_refusal_is_a_part_of_the_message():
    body = respond(chat({"content": None, "refusal": "No."}))
    assert body["output"][0]["content"] == [{"type": "refusal", "refusal": "No."}]


def test_an_empty_answer_is_an_empty_message():
    assert respond(chat({"content": ""}))["output"][0]["content"][0]["text"] == ""


def test_citations_and_log_probabilities_go_with_the_text():
    cited = {"url": "https://e.example", "title": "E", "start_index": 0, "end_index": 1}
    token = {
        "token": "é",
        "logprob": -0.5,
        "bytes": None,
        "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
    }
    body = respond(
        chat(
            {"content": "é", "annotations": [{"type": "url_citation", "url_citation": cited}]},
            choice={"logprobs": {"content": [token]}},
        )
    )

    (part,) = body["output"][0]["content"]
    assert part["annotations"] == [{"type": "url_citation", **cited}]
    assert part["logprobs"] == [
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [0xC3, 0xA9],
            "top_logprobs": [{"token": "e", "logprob": -1, "bytes": [101]}],
        }
    ]


def test_content_in_parts_is_read():
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m"}]},
        {"type": "thinking", "thinking": "."},
        {"type": "thinking"},
        {"type": "text", "text": "Yes"},
        {"type": "refusal", "refusal": "But no."},
    ]
    reasoning, message = respond(chat({"content": parts}))["output"]
    assert reasoning["summary"][0]["text"] == "Hm."
    assert [part.get("text", part.get("refusal")) for part in message["content"]] == ["Yes", "But no."]


@pytest.mark.parametrize(
    ("asked", "served", "reported"),
    [("auto", None, "default"), ("flex", None, "flex"), ("auto", "priority", "priority"), ("flex", "odd", "flex")],
)
def test_the_service_tier_is_the_one_that_served(asked, served, reported):
    assert respond(chat({"content": "A"}, service_tier=served), {"service_tier": asked})["service_tier"] == reported


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": "many", "completion_tokens": 3, "prompt_tokens_details": 7},
        {"completion_tokens": 3, "total_tokens": True},
    ],
)
def test_odd_counts_are_none(usage):
    reported = respond(chat({"content": "A"}, usage=usage))["usage"]
    assert (reported["input_tokens"], reported["output_tokens"], reported["total_tokens"]) == (0, 3, 3)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": []},
        {"choices": None},
        {"choices": [{"message": "x"}]},
        {"choices": [{"index": 1, "message": {}}]},
        chat({"content": [{"type": "image"}]}),
        chat({"content": ["x"]}),
        chat({"content": {}}),
        chat({"content": None, "audio": {"id": "a"}}),
        chat({"content": None, "tool_calls": [{"id": "c", "type": "function", "function": {}}]}),
        chat({"content": None, "tool_calls": [{"id": "c", "type": "custom", "custom": {}}]}),
        chat({"content": None, "tool_calls": {}}),
        chat({"content": "A", "annotations": [{"type": "file_citation"}]}),
        chat({"content": "A", "thinking_blocks": ["x"]}),
    ],
)
def test_what_is_no_chat_answer_is_malformed(answer):
    with pytest.raises(MalformedChat):
        chat_to_response(answer, {}, response_id=RESPONSE_ID, created_at=1)


def test_pieces_of_blocks_without_numbers_continue_the_open_one():
    blocks = []
    for piece in [
        {"type": "thinking", "thinking": "H"},
        {"type": "thinking", "thinking": "m"},
        {"type": "thinking", "signature": "s"},
        {"type": "thinking", "thinking": "Next", "signature": "t"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "redacted_thinking", "data": "y"},
    ]:
        merge_blocks(blocks, [piece])
    assert blocks == [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "thinking", "thinking": "Next", "signature": "t"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "redacted_thinking", "data": "y"},
    ]


def test_pieces_of_numbered_blocks_find_theirs():
    blocks = []
    merge_blocks(
        blocks, [{"index": 0, "type": "reasoning.text", "text": "a", "format": "f"}, {"index": 1, "data": "x"}]
    )
    merge_blocks(blocks, [{"index": 0, "type": "reasoning.text", "text": "b", "format": "f", "signature": None}])
    assert blocks == [
        {"index": 0, "type": "reasoning.text", "text": "ab", "format": "f", "signature": None},
        {"index": 1, "data": "x"},
    ]
