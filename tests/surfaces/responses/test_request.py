import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import GatewayError, InvalidRequest, UnsupportedParameter
from shared.surfaces.responses.answer import chat_to_response
from shared.surfaces.responses.encrypted_content import seal, unseal
from shared.surfaces.responses.request import DROPPED, responses_to_chat
from tests.surfaces.responses.chats import chat, function, messages

ADD = {"type": "function", "name": "add", "description": "Adds.", "parameters": {"type": "object"}, "strict": True}
NESTED_ADD = {
    "type": "function",
    "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}, "strict": True},
}
MUL = {"type": "function", "name": "mul"}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": "{}", "status": "completed"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "3"}


def ask(**fields):
    return responses_to_chat({"model": "m", "input": "Hi", **fields})


def turns(*items, **options):
    return responses_to_chat({"model": "m", "input": list(items)}, **options)["messages"]


def test_a_text_is_a_user_message_and_instructions_come_before_it():
    assert ask(instructions="Be brief.") == {
        "model": "m",
        "messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    }


def test_a_chat_that_knows_no_developer_is_instructed_by_the_system():
    chat = responses_to_chat(
        {"instructions": "A", "input": [{"role": "developer", "content": "B"}, {"role": "user", "content": "C"}]},
        developer_role="system",
    )
    assert [message["role"] for message in chat["messages"]] == ["system", "system", "user"]


def test_options_have_chats_names():
    fields = {
        "temperature": 0.2,
        "top_p": 0.9,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.1,
        "metadata": {"a": "b"},
        "user": "u",
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "s",
    }
    chat = ask(
        **fields,
        max_output_tokens=50,
        reasoning={"effort": "low", "summary": "auto", "context": "auto", "mode": None},
        text={"verbosity": "high", "format": {"type": "text"}},
        truncation="disabled",
        store=True,
        background=True,
        include=["reasoning.encrypted_content"],
    )

    del chat["messages"]
    assert chat == {
        "model": "m",
        **fields,
        "max_completion_tokens": 50,
        "reasoning_effort": "low",
        "verbosity": "high",
    }


def test_verbosity_needs_no_format():
    assert ask(text={"verbosity": "low"}) == {**ask(), "verbosity": "low"}


def test_a_stream_asks_for_its_usage():
    chat = ask(stream=True, stream_options={"include_obfuscation": False})
    assert (chat["stream"], chat["stream_options"]) == (True, {"include_usage": True})
    assert "stream" not in ask(stream=False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"top_logprobs": 0}, {}),
        ({"include": ["message.output_text.logprobs"]}, {"logprobs": True}),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 0}, {"logprobs": True, "top_logprobs": 0}),
    ],
)
def test_log_probabilities_are_asked_for(fields, expected):
    chat = ask(**fields)
    assert {key: chat[key] for key in ("logprobs", "top_logprobs") if key in chat} == expected


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True, "description": None},
            {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
        ),
    ],
)
def test_the_output_format_is_the_response_format(form, expected):
    assert ask(text={"format": form})["response_format"] == expected


def test_tools_are_nested():
    chat = ask(tools=[ADD, MUL], tool_choice={"type": "function", "name": "add"}, parallel_tool_calls=False)
    assert chat["tools"] == [NESTED_ADD, {"type": "function", "function": {"name": "mul"}}]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert chat["parallel_tool_calls"] is False


def test_without_tools_their_fields_are_absent():
    assert ask(tools=[], tool_choice="auto", parallel_tool_calls=True).keys() == {"model", "messages"}


@pytest.mark.parametrize("mode", ["auto", "required", "none", None])
def test_allowed_tools_are_the_only_ones_offered(mode):
    choice = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "add"}]}
    chat = ask(tools=[ADD, MUL], tool_choice=choice)
    assert (chat["tools"], chat["tool_choice"]) == ([NESTED_ADD], mode or "auto")


def test_every_kind_of_content_has_its_place():
    content = [
        {"type": "input_text", "text": "See", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": "https://e.example/i.png", "detail": "low", "file_id": None},
        {"type": "input_image", "image_url": "data:image/png;base64,AA=="},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf", "detail": "auto"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    (message,) = turns({"type": "message", "role": "user", "content": content})

    assert message["content"] == [
        {"type": "text", "text": "See", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "image_url", "image_url": {"url": "https://e.example/i.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]


def test_a_single_text_part_is_plain_text():
    assert turns({"role": "system", "content": [{"type": "input_text", "text": "A"}]}) == [
        {"role": "system", "content": "A"}
    ]


def test_a_round_of_tools_is_one_turn_and_its_results():
    message = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "I add.", "annotations": []}],
    }
    second = {**CALL, "call_id": "c2", "extra_content": {"google": {"thought_signature": "s"}}}
    result = {**OUTPUT, "call_id": "c2", "output": [{"type": "input_text", "text": "4"}]}

    assert turns({"role": "user", "content": "?"}, message, CALL, second, OUTPUT, result) == [
        {"role": "user", "content": "?"},
        {
            "role": "assistant",
            "content": "I add.",
            "tool_calls": [
                function("add", "{}", "c1"),
                function("add", "{}", "c2", extra_content={"google": {"thought_signature": "s"}}),
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "tool", "tool_call_id": "c2", "content": "4"},
    ]


def test_a_tool_may_answer_with_an_image():
    document = {**OUTPUT, "output": [{"type": "input_image", "image_url": "https://e.example/i.png"}]}
    assert turns(CALL, document)[1]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://e.example/i.png"}}
    ]


def test_two_messages_of_the_assistant_stay_two():
    first, second = ({"role": "assistant", "content": text} for text in "AB")
    assert [message["content"] for message in turns(first, second)] == ["A", "B"]


def test_text_after_a_call_joins_its_turn():
    parts = [{"type": "output_text", "text": "B"}, {"type": "refusal", "refusal": "C"}]
    (message,) = turns({"role": "assistant", "content": "A"}, CALL, {"role": "assistant", "content": parts})
    assert message["content"] == [
        {"type": "text", "text": "A"},
        {"type": "text", "text": "B"},
        {"type": "refusal", "refusal": "C"},
    ]


def test_a_refusal_goes_back_as_one():
    (message,) = turns({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
    assert message == {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}


BLOCKS = {"thinking_blocks": [{"type": "thinking", "thinking": "Hm", "signature": "s"}]}
THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "Hm"}],
    "encrypted_content": seal(BLOCKS),
}


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [("signed", BLOCKS), ("text", {**BLOCKS, "reasoning_content": "Hm"}), ("none", {})],
)
def test_signed_reasoning_goes_back_to_who_can_read_it(reasoning, expected):
    (message,) = turns(THOUGHT, CALL, reasoning=reasoning)
    assert message == {"role": "assistant", "content": None, **expected, "tool_calls": [function("add", "{}", "c1")]}


def test_reasoning_belongs_to_the_message_after_it():
    first, second = ({"role": "assistant", "content": text} for text in "AB")
    plain, thoughtful = turns(first, THOUGHT, second)
    assert ("thinking_blocks" in plain, "thinking_blocks" in thoughtful) == (False, True)


def test_reasoning_at_the_end_of_a_turn_stays_in_it_and_reasoning_alone_has_no_place():
    user = {"role": "user", "content": "?"}
    assert (
        turns({"role": "assistant", "content": "A"}, THOUGHT, user)[0]["thinking_blocks"] == BLOCKS["thinking_blocks"]
    )
    answer = {"role": "assistant", "content": "A"}
    assert turns(THOUGHT, user, answer) == [user, answer]


def test_the_text_of_reasoning_is_its_content_where_it_has_one():
    item = {**THOUGHT, "encrypted_content": None, "content": [{"type": "reasoning_text", "text": "All of it"}]}
    assert turns(item, CALL, reasoning="text")[0]["reasoning_content"] == "All of it"
    assert "reasoning_content" not in turns({"type": "reasoning", "summary": []}, CALL, reasoning="text")[0]


@pytest.mark.parametrize(
    "text",
    [None, "gAAAAA", "finops1.", "finops1.****", "finops1.W10=", "finops1.eyJ0aGlua2luZ19ibG9ja3MiOjF9", "finops1.é"],
    ids=["absent", "foreign", "empty", "no base64", "a list", "no blocks", "not ASCII"],
)
def test_reasoning_of_others_carries_nothing(text):
    assert unseal(text) == {}


def test_the_conversation_so_far_comes_first():
    history = [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "A"}]}, CALL]
    chat = responses_to_chat({"instructions": "I", "previous_response_id": "resp_1", "input": [OUTPUT]}, history)
    assert [message["role"] for message in chat["messages"]] == ["developer", "user", "assistant", "tool"]


@pytest.mark.parametrize("named", [{"type": "item_reference", "id": "fc_1"}, {"id": "fc_1"}])
def test_a_named_item_is_the_kept_one(named):
    assert turns(named, OUTPUT, references={"fc_1": CALL}) == turns(CALL, OUTPUT)


@given(messages())
def test_a_models_message_goes_back_unchanged(message):
    message["content"] = message["content"] or None
    message.pop("annotations", None)
    response = chat_to_response(chat(message), {"model": "m"}, response_id="resp_1", created_at=1)

    again = responses_to_chat({"input": [{"role": "user", "content": "?"}, *response["output"]]})["messages"]

    expected = {"role": "assistant", "content": message["content"]}
    if message["refusal"]:
        text = [{"type": "text", "text": message["content"]}] if message["content"] else []
        expected["content"] = [*text, {"type": "refusal", "refusal": message["refusal"]}]
    expected |= {key: message[key] for key in ("thinking_blocks", "tool_calls") if key in message}
    if expected["content"] is None and len(expected) == 2:
        # An empty answer is an empty message; reasoning alone cannot go back.
        assert again[1:] in ([], [{"role": "assistant", "content": ""}])
    elif expected.keys() == {"role", "content", "thinking_blocks"} and expected["content"] is None:
        assert again[1:] == []
    else:
        assert again[1:] == [expected]


UNSUPPORTED = [
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [ADD, {"type": "mcp", "server_label": "x"}]}, "tools[1].type"),
    ({"tools": [{"type": "custom", "name": "x"}]}, "tools[0].type"),
    ({"tools": [{**ADD, "defer_loading": True}]}, "tools[0].defer_loading"),
    ({"tools": [ADD], "tool_choice": {"type": "file_search"}}, "tool_choice.type"),
    (
        {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}},
        "tool_choice.tools[0].type",
    ),
    ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "odd": 1}}}, "text.format.odd"),
    ({"text": {"odd": 1}}, "text.odd"),
    ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    ({"truncation": "auto"}, "truncation"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"context_management": [{}]}, "context_management"),
    ({"stream_options": {"odd": True}}, "stream_options.odd"),
    ({"truncation: disabled": 1}, "truncation: disabled"),
    ({"input": [{"type": "web_search_call"}]}, "input[0].type"),
    ({"input": [{"type": ["message"]}]}, "input[0].type"),
    ({"input": [{"type": "message", "role": "user", "content": "", "odd": 1}]}, "input[0].odd"),
    ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "user", "content": [{"type": "output_text", "text": ""}]}]}, "input[0].content[0].type"),
    (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input[0].content[0].file_id",
    ),
    (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "u"}]}]},
        "input[0].content[0].file_url",
    ),
    ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ({"input": [{**CALL, "namespace": "n"}]}, "input[0].namespace"),
    ({"input": [CALL, {**OUTPUT, "output": [{"type": "input_audio"}]}]}, "input[1].output[0].type"),
]
INVALID = [
    ({"input": None}, "input"),
    ({"input": 1}, "input"),
    ({"input": []}, "input"),
    ({"input": [1]}, "input[0]"),
    ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": [], "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user"}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [1]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
    ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
    ({"input": [{"role": "user", "content": [{"type": "input_file", "filename": "f"}]}]}, "input[0].content[0]"),
    ({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input[0].content[0].input_audio"),
    ({"input": [{**CALL, "name": None}]}, "input[0].name"),
    ({"input": [{**CALL, "arguments": {}}]}, "input[0].arguments"),
    ({"input": [OUTPUT]}, "input[0].call_id"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].id"),
    ({"instructions": ["x"]}, "instructions"),
    ({"metadata": {"a": 1}}, "metadata.a"),
    ({"include": "x"}, "include"),
    ({"stream_options": 1}, "stream_options"),
    ({"text": 1}, "text"),
    ({"text": {"format": 1}}, "text.format"),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"reasoning": "high"}, "reasoning"),
    ({"tools": {}}, "tools"),
    ({"tools": [1]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].name"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"tool_choice": "some"}, "tool_choice"),
    ({"tool_choice": 1}, "tool_choice"),
    ({"tools": [ADD], "tool_choice": {"type": "function", "name": "sub"}}, "tool_choice.name"),
    ({"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": []}}, "tool_choice.tools"),
    (
        {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": [MUL], "mode": "auto"}},
        "tool_choice.tools[0].name",
    ),
    (
        {"tools": [ADD], "tool_choice": {"type": "allowed_tools", "tools": [ADD], "mode": []}},
        "tool_choice.mode",
    ),
]


@pytest.mark.parametrize(("fields", "param"), UNSUPPORTED)
def test_what_chat_cannot_say_is_refused_by_name(fields, param):
    with pytest.raises(UnsupportedParameter) as refusal:
        ask(**fields)
    assert refusal.value.param == param


@pytest.mark.parametrize(("fields", "param"), INVALID)
def test_what_is_no_request_is_refused_by_name(fields, param):
    with pytest.raises(InvalidRequest) as refusal:
        ask(**fields)
    assert refusal.value.param == param
    assert not isinstance(refusal.value, UnsupportedParameter)


def test_every_dropped_field_has_its_reason():
    fields = [name for name in DROPPED if name.isidentifier()]
    values = {"background_options": {}, "include": [], "fallbacks": ["a/b"]}
    chat = ask(**{name: values.get(name, "x") for name in fields})
    assert chat == ask()
    assert all(DROPPED.values())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.sampled_from(["", "message", "user", "function", "auto", "input_text"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "role", "content", "name", "text", "tools", "format", "call_id", "id", "output"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "input",
                "tools",
                "tool_choice",
                "text",
                "reasoning",
                "include",
                "instructions",
                "metadata",
                "stream_options",
            ]
        ),
        JSON,
    )
)
def test_whatever_is_asked_is_answered_or_refused_and_left_as_it_is(fields):
    before = copy.deepcopy(fields)
    refused = None
    try:
        responses_to_chat(fields)
    except GatewayError as refusal:
        refused = refusal
    assert refused is None or (refused.status == 400 and refused.param)
    assert fields == before
