"""A Responses request as a chat request, for providers that only chat.

Source: https://platform.openai.com/docs/api-reference/responses/create and
https://platform.openai.com/docs/guides/migrate-to-responses
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.responses.content import check_keys, refuse
from shared.surfaces.responses.conversation import Conversation, DeveloperRole, Reasoning
from shared.surfaces.responses.items import is_reference
from shared.surfaces.responses.metadata import check_metadata
from shared.surfaces.responses.tools import chat_tools

LOGPROBS = "message.output_text.logprobs"

# What does not reach a provider that only chats, and why; everything else is translated or refused by name.
DROPPED: Mapping[str, str] = {
    "store": "the gateway keeps the response",
    "background": "the gateway runs the job",
    "background_options": "the gateway schedules the job",
    "previous_response_id": "the gateway keeps the conversation and sends it as messages",
    "fallbacks": "for the gateway",
    "max_tool_calls": "limits hosted tools, and there are none",
    "include": "hosted tools have nothing to include; signed reasoning is always there",
    "reasoning.summary": "what a provider tells of its reasoning is given in full",
    "stream_options.include_obfuscation": "the gateway's events are not padded",
    "truncation: disabled": "what every chat does",
    "input[].id, status, phase": "the API's own marks of an item",
    "input[].content[].annotations, logprobs": "part of an earlier answer, not for the model",
    "input[].content[].detail of files": "a rendering hint that chat has no word for",
    "input[] of type reasoning": "only reasoning that a provider behind us signed is sent again",
}

_DROPPED_FIELDS = frozenset(name for name in DROPPED if name.isidentifier())

_SAME = frozenset(
    {
        "model",
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "parallel_tool_calls",
        "metadata",
        "user",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "safety_identifier",
    }
)
_RENAMED = {"max_output_tokens": "max_completion_tokens"}
_ELSEWHERE = frozenset(
    {"input", "instructions", "tools", "tool_choice", "top_logprobs", "include", "stream", "stream_options"}
)


def responses_to_chat(
    fields: Mapping[str, Any],
    history: Iterable[Mapping[str, Any]] = (),
    *,
    references: Mapping[str, Mapping[str, Any]] | None = None,
    developer_role: DeveloperRole = "developer",
    reasoning: Reasoning = "signed",
) -> dict[str, Any]:
    """The chat request that asks the same.

    Args:
        fields: The Responses request.
        history: The items, input and output, of the responses that ``previous_response_id`` leads back to,
            oldest first; their instructions do not come with them.
        references: Kept items by id, for input items that only name one.
        developer_role: The role of instructions and developer messages; not every chat knows ``developer``.
        reasoning: ``signed``: thinking blocks go back to the provider that signed them (``thinking_blocks``,
            ``reasoning_details`` of assistant messages); ``text``: its text too (``reasoning_content``);
            ``none``.

    Raises:
        InvalidRequest: The request is not of the format.
        UnsupportedParameter: Chat cannot express a field; ``param`` names it.
    """
    check_metadata(fields.get("metadata"))
    chat: dict[str, Any] = {}
    for name, value in fields.items():
        if value is not None:
            chat.update(_translated(name, value))
    chat["messages"] = _messages(fields, history, references or {}, Conversation(developer_role, reasoning))
    chat.update(_logprobs(fields))
    chat.update(chat_tools(fields.get("tools"), fields.get("tool_choice")))
    if "tools" not in chat:
        chat.pop("parallel_tool_calls", None)
    if fields.get("stream"):
        # The usage belongs to the final Response, whether or not a caller of chats would have asked for it.
        chat.update(stream=True, stream_options={"include_usage": True})
    return chat


def _translated(name: str, value: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    if name in _SAME:
        return {name: value}
    if name in _RENAMED:
        return {_RENAMED[name]: value}
    if name in _ELSEWHERE or name in _DROPPED_FIELDS:
        return {}
    translate = _TRANSLATED.get(name)
    if translate is None:
        refuse(name, f"the field {name!r}")
    return translate(value)


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be an object.", param=name)
    return value


def _text(value: object) -> dict[str, Any]:
    text = _object(value, "text")
    check_keys(text, frozenset({"format", "verbosity"}), "text")
    chat = {"verbosity": text["verbosity"]} if text.get("verbosity") is not None else {}
    if text.get("format") is not None:
        chat.update(_format(_object(text["format"], "text.format")))
    return chat


def _format(form: Mapping[str, Any]) -> dict[str, Any]:
    kind = form.get("type")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"response_format": {"type": kind}}
    if kind != "json_schema":
        refuse("text.format.type", f"an output format of type {kind!r}")
    known = ("name", "description", "schema", "strict")
    check_keys(form, frozenset({"type", *known}), "text.format")
    if not isinstance(form.get("name"), str):
        raise InvalidRequest("text.format.name must be a string.", param="text.format.name")
    if not isinstance(form.get("schema"), dict):
        raise InvalidRequest("text.format.schema must be a JSON schema.", param="text.format.schema")
    schema = {name: form[name] for name in known if form.get(name) is not None}
    return {"response_format": {"type": kind, "json_schema": schema}}


def _reasoning(value: object) -> dict[str, Any]:
    reasoning = _object(value, "reasoning")
    usual = {"context": "auto", "mode": "standard"}
    unusual = {key: part for key, part in reasoning.items() if usual.get(key) != part}
    check_keys(unusual, frozenset({"effort", "summary", "generate_summary"}), "reasoning")
    effort = reasoning.get("effort")
    return {} if effort is None else {"reasoning_effort": effort}


def _truncation(value: object) -> dict[str, Any]:
    if value != "disabled":
        refuse("truncation", f"truncation {value!r}")
    return {}


_TRANSLATED: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "text": _text,
    "reasoning": _reasoning,
    "truncation": _truncation,
}


def _logprobs(fields: Mapping[str, Any]) -> dict[str, Any]:
    include = fields.get("include") or []
    if not isinstance(include, list):
        raise InvalidRequest("include must be a list.", param="include")
    options = fields.get("stream_options")
    if options is not None:
        check_keys(_object(options, "stream_options"), frozenset({"include_obfuscation"}), "stream_options")
    count = fields.get("top_logprobs")
    if not count and LOGPROBS not in include:
        return {}
    return {"logprobs": True} if count is None else {"logprobs": True, "top_logprobs": count}


def _messages(
    fields: Mapping[str, Any],
    history: Iterable[Mapping[str, Any]],
    references: Mapping[str, Mapping[str, Any]],
    conversation: Conversation,
) -> list[dict[str, Any]]:
    instructions = fields.get("instructions")
    if instructions is not None:
        if not isinstance(instructions, str):
            raise InvalidRequest("instructions must be a string.", param="instructions")
        conversation.instruct(instructions)
    for item in history:
        conversation.add(item, "previous_response_id")
    for index, item in enumerate(_input(fields.get("input"))):
        path = f"input[{index}]"
        conversation.add(_found(item, references, path), path)
    messages = conversation.close()
    if not messages:
        raise InvalidRequest("input is needed: a text, or a list of items.", param="input")
    return messages


def _input(value: object) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise InvalidRequest("input must be a string or a list of items.", param="input")
    return value


def _found(item: object, references: Mapping[str, Mapping[str, Any]], path: str) -> object:
    if not isinstance(item, dict) or not is_reference(item):
        return item
    kept = references.get(str(item.get("id")))
    if kept is None:
        raise InvalidRequest(
            f"{path}: no item with id {str(item.get('id'))[:64]!r} is kept here; send the item itself.",
            param=f"{path}.id",
        )
    return kept
