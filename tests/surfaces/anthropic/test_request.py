"""Messages requests as chat requests."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import InvalidRequest, UnsupportedParameter
from shared.surfaces.anthropic import DROPPED, DROPPED_ELSEWHERE, chat_request, without_extensions
from tests.providers.wires.anthropic.request_cases import body_of
from tests.surfaces.dialects import DIALECTS

HI = [{"role": "user", "content": "Hi"}]
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}}
MARK = {"type": "ephemeral"}


def chat_of(**fields):
    return chat_request({"model": "anthropic/claude-sonnet-4-6", "max_tokens": 100, "messages": HI} | fields)


def messages_of(content, role="user"):
    """The chat messages of one turn."""
    return chat_of(messages=[{"role": role, "content": content}])["messages"]


def test_the_smallest_request():
    assert chat_of() == {
        "model": "anthropic/claude-sonnet-4-6",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 100,
    }
    assert "max_completion_tokens" not in chat_request({"model": "m", "messages": HI}, counting=True)


def test_options_have_their_counterparts():
    chat = chat_of(
        system="Be brief.",
        stop_sequences=["END"],
        temperature=0.5,
        top_p=0.9,
        top_k=4,
        metadata={"user_id": "u"},
        service_tier="standard_only",
        stream=True,
        cache_control=MARK,
        thinking={"type": "adaptive"},
        output_config={"effort": "max", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        context_management={"edits": []},
        betas=["x"],
        container=None,
    )
    assert chat["messages"][0] == {"role": "system", "content": "Be brief."}
    del chat["messages"], chat["model"], chat["max_completion_tokens"]
    named = {"name": "output", "schema": {"type": "object"}, "strict": True}
    assert chat == {
        "stop": ["END"],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 4,
        "user": "u",
        "service_tier": "default",
        "stream": True,
        "stream_options": {"include_usage": True},
        "cache_control": MARK,
        "thinking": {"type": "adaptive"},
        "reasoning_effort": "max",
        "response_format": {"type": "json_schema", "json_schema": named},
    }


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
        ({"anyOf": [{"type": "object", "properties": {"a": {}}, "required": ["a"]}]}, False),
    ],
)
def test_schemas_are_strict_where_openai_takes_them_so(schema, strict):
    chat = chat_of(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert chat["response_format"]["json_schema"]["strict"] is strict


@pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (4096, "medium"), (16_384, "high"), (60_000, "high")])
def test_a_budget_of_thinking_is_an_effort(budget, effort):
    chat = chat_of(thinking={"type": "enabled", "budget_tokens": budget})
    assert chat["reasoning_effort"] == effort
    assert "reasoning_effort" not in without_extensions(
        chat_of(thinking={"type": "disabled"}), dialect=DIALECTS["openai"]
    )


def test_results_of_tools_come_first_and_their_images_with_the_users_words():
    messages = messages_of(
        [
            {"type": "text", "text": "And?"},
            {"type": "tool_result", "tool_use_id": "t1", "content": "blue", "is_error": True},
            {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "See:"}, PNG]},
            {"type": "tool_result", "tool_use_id": "t3", "cache_control": MARK},
        ]
    )
    assert messages == [
        {"role": "tool", "tool_call_id": "t1", "content": "blue", "is_error": True},
        {"role": "tool", "tool_call_id": "t2", "content": "See:"},
        {"role": "tool", "tool_call_id": "t3", "content": "", "cache_control": MARK},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                {"type": "text", "text": "And?"},
            ],
        },
    ]
    assert len(messages_of([{"type": "tool_result", "tool_use_id": "t1", "content": "x"}])) == 1


def test_an_assistants_turn_keeps_calls_and_signed_thoughts():
    content = [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "thinking", "thinking": "Unsigned.", "signature": ""},
        {"type": "redacted_thinking", "data": "xyz"},
        {"type": "text", "text": "So.", "citations": None},
        {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sky"}, "cache_control": MARK},
    ]
    function = {"name": "look", "arguments": '{"at":"sky"}'}
    assert messages_of(content, "assistant") == [
        {
            "role": "assistant",
            "content": "So.",
            "reasoning_content": "Hm.Unsigned.",
            "thinking_blocks": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "xyz"},
            ],
            "tool_calls": [{"id": "t1", "type": "function", "function": function, "cache_control": MARK}],
        }
    ]
    assert messages_of("So.", "assistant") == [{"role": "assistant", "content": "So."}]
    assert messages_of(content[4:], "assistant")[0]["content"] is None
    assert messages_of([content[2]], "assistant")[0]["content"] == ""


@pytest.mark.parametrize(
    ("block", "parts"),
    [
        (
            {"type": "text", "text": "Hi", "cache_control": MARK},
            [{"type": "text", "text": "Hi", "cache_control": MARK}],
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}],
        ),
        (
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
            },
            [
                {
                    "type": "file",
                    "file": {"filename": "document.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                }
            ],
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "f"}, "context": "From Ada."},
            [{"type": "text", "text": "From Ada."}, {"type": "file", "file": {"file_id": "f"}}],
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "Body"},
                "title": "T",
            },
            "T\n\nBody",
        ),
        (
            {
                "type": "document",
                "source": {"type": "content", "content": "Body"},
                "citations": {"enabled": False},
            },
            "Body",
        ),
        (
            {"type": "document", "title": "T", "source": {"type": "content", "content": [PNG]}},
            [
                {"type": "text", "text": "T"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        ),
        ({"type": "document", "source": {"type": "content", "content": []}, "cache_control": MARK}, None),
    ],
)
def test_blocks_become_parts(block, parts):
    assert messages_of([block]) == ([] if parts is None else [{"role": "user", "content": parts}])


def test_system_text_may_stand_anywhere():
    chat = chat_of(
        system=[{"type": "text", "text": "One.", "cache_control": MARK}, {"type": "text", "text": "Two."}],
        messages=[*HI, {"role": "system", "content": "Three."}],
    )
    assert chat["messages"][0]["content"] == [
        {"type": "text", "text": "One.", "cache_control": MARK},
        {"type": "text", "text": "Two."},
    ]
    assert chat["messages"][2] == {"role": "system", "content": "Three."}


@pytest.mark.parametrize(
    ("choice", "asked"),
    [
        (None, {}),
        ({"type": "auto"}, {"tool_choice": "auto"}),
        (
            {"type": "any", "disable_parallel_tool_use": True},
            {"tool_choice": "required", "parallel_tool_calls": False},
        ),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "look"},
            {"tool_choice": {"type": "function", "function": {"name": "look"}}},
        ),
    ],
)
def test_tools_and_choices(choice, asked):
    tool = TOOL | {
        "type": "custom",
        "description": "Looks.",
        "strict": True,
        "cache_control": MARK,
        "eager_input_streaming": True,
        "allowed_callers": ["direct"],
        "defer_loading": False,
    }
    chat = chat_of(tools=[tool], tool_choice=choice)
    function = {"name": "look", "parameters": TOOL["input_schema"], "description": "Looks.", "strict": True}
    assert chat["tools"] == [{"type": "function", "function": function, "cache_control": MARK}]
    assert {name: chat[name] for name in ("tool_choice", "parallel_tool_calls") if name in chat} == asked
    assert "tool_choice" not in chat_of(tool_choice=choice)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"mcp_servers": [{}]}, "mcp_servers"),
        ({"container": "c"}, "container"),
        ({"output_config": {"task_budget": {}}}, "output_config.task_budget"),
        ({"output_config": {"format": {"type": "grammar"}}}, "output_config.format.type"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [TOOL | {"defer_loading": True}]}, "tools[0].defer_loading"),
        ({"tools": [TOOL | {"new": 1}]}, "tools[0].new"),
        ({"system": [PNG]}, "system[0].type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "search_result"}]}]},
            "messages[0].content[0].type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": []}]}]}, "messages[0].content[0].type"),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "server_tool_use"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "url"}}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "citations": {"enabled": True}}]}]},
            "messages[0].content[0].citations",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "document",
                                "source": {"type": "content", "content": [{"type": "document"}]},
                            }
                        ],
                    }
                ]
            },
            "messages[0].content[0].source.content[0].type",
        ),
    ],
)
def test_what_has_no_counterpart_is_named(fields, param):
    with pytest.raises(UnsupportedParameter) as caught:
        chat_of(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": ["Hi"]}, "messages[0]"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"service_tier": "gold"}, "service_tier"),
        ({"tools": [TOOL], "tool_choice": {"type": "all"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": []}}, "tool_choice.type"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
    ],
)
def test_what_is_no_messages_request_is_named(fields, param):
    with pytest.raises(InvalidRequest) as caught:
        chat_of(**fields)
    assert caught.value.param == param


def test_without_extensions_nothing_is_left_that_openai_does_not_know():
    chat = chat_of(
        thinking={"type": "enabled", "budget_tokens": 2000},
        cache_control=MARK,
        tools=[TOOL | {"cache_control": MARK}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": MARK}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "s"},
                    {"type": "tool_use", "id": "t", "name": "look", "input": {}, "cache_control": MARK},
                ],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": True}]},
        ],
    )
    plain = without_extensions(chat, dialect=DIALECTS["openai"])
    assert plain["reasoning_effort"] == "low"
    text = orjson.dumps(plain).decode()
    assert not [name for name in ("cache_control", "thinking", "top_k", "is_error", "reasoning_c") if name in text]
    assert [message["role"] for message in plain["messages"]] == ["user", "assistant", "tool"]
    assert "tools" not in without_extensions(chat_of(), dialect=DIALECTS["openai"])


def test_every_dropped_field_has_its_reason():
    for name, reason in DROPPED.items():
        assert reason
        if name.isidentifier():
            assert chat_of(**{name: "anything"}) == chat_of()


WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=10).filter(str.strip)
SIGNED = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "c2ln"}, WORDS)
TEXTS = st.builds(lambda text: {"type": "text", "text": text}, WORDS)
TURNS = st.lists(st.tuples(st.lists(SIGNED, max_size=2), TEXTS, st.integers(0, 3), TEXTS | st.just(PNG)), max_size=4)


@settings(deadline=None)  # the machine may be busy
@given(turns=TURNS)
def test_a_conversation_survives_the_way_through_openais_format(turns):
    """Anthropic's callers of Anthropic's models lose nothing between the surface and the wire."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "Begin."}]}]
    for number, (thoughts, text, uses, reply) in enumerate(turns):
        ids = [f"toolu_{number}_{index}" for index in range(uses)]
        calls = [{"type": "tool_use", "id": each, "name": "look", "input": {"n": number}} for each in ids]
        results = [{"type": "tool_result", "tool_use_id": each, "content": "seen"} for each in ids]
        messages.append({"role": "assistant", "content": [*thoughts, text, *calls]})
        messages.append({"role": "user", "content": [*results, reply]})
    chat = chat_of(messages=messages, system=[{"type": "text", "text": "Be."}], thinking={"type": "adaptive"})
    body = body_of(chat)
    assert body["messages"] == messages
    assert body["thinking"] == {"type": "adaptive"}
    assert body["max_tokens"] == 100


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"top_k": 3}, "openai"),
        ({"inference_geo": "us"}, "openai like"),
        ({"speed": "fast"}, "gemini"),
        ({"speed": "fast"}, "bedrock claude"),
    ],
)
def test_what_another_model_cannot_do_is_refused_by_name(fields, target):
    assert without_extensions(chat_of(**fields), dialect=DIALECTS["anthropic"]) == chat_of(**fields)
    with pytest.raises(UnsupportedParameter) as caught:
        without_extensions(chat_of(**fields), dialect=DIALECTS[target])
    assert caught.value.param == next(iter(fields))


def test_each_target_keeps_what_it_understands():
    marked = [{"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": MARK}]}]
    chat = chat_of(
        top_k=3,
        thinking={"type": "adaptive"},
        cache_control=MARK,
        speed="standard",
        inference_geo="global",
        messages=marked,
    )
    on_bedrock = without_extensions(chat, dialect=DIALECTS["bedrock claude"])
    assert on_bedrock.keys() == {"model", "max_completion_tokens", "messages", "top_k", "thinking"}
    assert on_bedrock["messages"] == chat["messages"]
    for target in ("gemini", "ollama", "bedrock", "openai like"):
        plain = without_extensions(chat, dialect=DIALECTS[target])
        assert plain["top_k"] == 3
        assert not {"thinking", "cache_control", "speed", "inference_geo"} & plain.keys()
        assert b"cache_control" not in orjson.dumps(plain)
    assert all(DROPPED_ELSEWHERE.values())
