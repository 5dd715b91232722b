import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.surfaces.responses.metadata import check_metadata
from shared.surfaces.responses.skeleton import response_error, response_skeleton
from tests.surfaces.responses.judges import judge_response

REQUIRED = [
    "id",
    "object",
    "created_at",
    "completed_at",
    "status",
    "incomplete_details",
    "model",
    "previous_response_id",
    "instructions",
    "output",
    "error",
    "tools",
    "tool_choice",
    "truncation",
    "parallel_tool_calls",
    "text",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "top_logprobs",
    "temperature",
    "reasoning",
    "usage",
    "max_output_tokens",
    "max_tool_calls",
    "store",
    "background",
    "service_tier",
    "metadata",
    "safety_identifier",
    "prompt_cache_key",
]

FULL_REQUEST = {
    "model": "anthropic/claude-x",
    "input": "Hello",
    "instructions": "Be brief.",
    "previous_response_id": "resp_1",
    "tools": [
        {"type": "function", "name": "add", "parameters": {"type": "object"}},
        {
            "type": "mcp",
            "server_label": "notes",
            "server_url": "https://n.example",
            "authorization": "secret",
        },
    ],
    "tool_choice": {"type": "function", "name": "add"},
    "truncation": "auto",
    "parallel_tool_calls": False,
    "text": {
        "format": {"type": "json_schema", "name": "sum", "schema": {"type": "object"}},
        "verbosity": "low",
    },
    "top_p": 0.5,
    "presence_penalty": 0.25,
    "frequency_penalty": 0.75,
    "top_logprobs": 2,
    "temperature": 0,
    "reasoning": {"effort": "minimal", "summary": "auto"},
    "max_output_tokens": 100,
    "max_tool_calls": 3,
    "store": False,
    "service_tier": "flex",
    "metadata": {"team": "a"},
    "safety_identifier": "u1",
    "prompt_cache_key": "k1",
    "user": "u",
}


def skeleton(fields, **changes):
    return response_skeleton(fields, **{"response_id": "resp_9", "created_at": 1795360000, **changes})


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "failed", "completed", "incomplete"])
def test_an_almost_empty_request_has_a_complete_body_in_every_status(status):
    body = skeleton({"model": "m"}, status=status, background=True)

    assert set(REQUIRED) <= body.keys()
    response = judge_response(body)
    assert (response.id, response.status, response.output_text, response.background) == (
        "resp_9",
        status,
        "",
        True,
    )


@pytest.mark.parametrize("field", REQUIRED)
def test_the_judges_refuse_a_body_that_lacks_a_field(field):
    body = skeleton({"model": "m"})
    del body[field]
    with pytest.raises((ValueError, KeyError)):
        judge_response(body)


def test_the_body_repeats_what_was_asked_for():
    body = skeleton(FULL_REQUEST)

    judge_response(body)
    same = FULL_REQUEST.keys() - {"input", "tools", "text"}
    assert {key: body[key] for key in same} == {key: FULL_REQUEST[key] for key in same}
    assert body["text"]["verbosity"] == "low"
    assert body["text"]["format"] == {
        "type": "json_schema",
        "name": "sum",
        "description": None,
        "schema": {"type": "object"},
        "strict": False,
    }


def test_an_echoed_function_has_all_its_fields_and_a_remote_tool_loses_its_credentials():
    function, remote = skeleton(FULL_REQUEST)["tools"]

    assert function == {
        "type": "function",
        "name": "add",
        "description": None,
        "parameters": {"type": "object"},
        "strict": None,
    }
    assert remote == {"type": "mcp", "server_label": "notes", "server_url": "https://n.example"}


def test_invalid_tools_are_left_out():
    assert skeleton({"tools": [1, {"type": None}, {"type": "function"}, {"name": "add"}]})["tools"] == []


def test_json_mode_is_echoed():
    assert skeleton({"text": {"format": {"type": "json_object"}}})["text"] == {"format": {"type": "json_object"}}


def test_the_older_name_of_the_summary_is_understood():
    assert skeleton({"reasoning": {"generate_summary": "concise"}})["reasoning"] == {
        "effort": None,
        "summary": "concise",
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
HOSTILE = st.sampled_from(
    [
        {"type": 1},
        [
            {"type": None},
            3,
            {"type": "function"},
            {"type": "function", "name": "f", "strict": 1, "parameters": 2},
        ],
        {"format": {"type": "json_schema", "name": 1}},
        {"format": 3, "verbosity": []},
        True,
        [],
    ]
)
# Their inner form belongs to OpenAI's newest types, which nobody but OpenAI reads.
UNREAD = {"instructions", "tool_choice", "reasoning"}


@given(st.dictionaries(st.sampled_from(sorted(FULL_REQUEST.keys() - UNREAD)), JSON | HOSTILE))
def test_whatever_the_request_holds_the_body_is_of_its_format(fields):
    judge_response(skeleton(fields))


@pytest.mark.parametrize("form", [{"type": "json_schema", "name": "n"}, {"type": "json_schema", "schema": {}}, 3])
def test_a_format_that_is_none_is_text(form):
    assert skeleton({"text": {"format": form}})["text"] == {"format": {"type": "text"}}


def test_a_choice_that_is_none_becomes_the_default():
    assert skeleton({"tool_choice": {"name": "x"}})["tool_choice"] == "auto"
    assert skeleton({"instructions": 5})["instructions"] is None
    assert skeleton({"reasoning": "high"})["reasoning"] is None


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"message": "slow down", "type": "rate_limit_error", "code": "tokens"}, "rate_limit_exceeded"),
        (
            {"message": "bad", "type": "invalid_request_error", "code": None, "param": "input[0]"},
            "invalid_prompt",
        ),
        ({"message": "bad image", "type": "invalid_request_error", "code": "invalid_image"}, "invalid_image"),
        ({"message": "broken", "type": "api_error", "code": [500]}, "server_error"),
        ({}, "server_error"),
    ],
)
def test_a_failure_has_one_of_the_known_codes(error, code):
    body = skeleton({"model": "m"}, status="failed", error=error)

    response = judge_response(body)
    assert response.error.code == code
    assert response.error.message
    assert response.error.param == error.get("param")
    assert response_error(error) == body["error"]


@pytest.mark.parametrize("metadata", [None, {}, {"k" * 64: "v" * 512}, {str(n): "" for n in range(16)}])
def test_metadata_within_the_limits_is_taken(metadata):
    check_metadata(metadata)


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ([], "metadata"),
        ({str(n): "" for n in range(17)}, "metadata"),
        ({"k" * 65: ""}, "metadata"),
        ({"k": "v" * 513}, "metadata.k"),
        ({"k": 1}, "metadata.k"),
    ],
)
def test_metadata_beyond_the_limits_is_refused_by_name(metadata, param):
    with pytest.raises(InvalidRequest) as refusal:
        check_metadata(metadata)
    assert refusal.value.param == param
