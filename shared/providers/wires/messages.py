"""Reading of messages and tools in OpenAI's chat format that more than one wire needs. Pure.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from shared.providers.wires.reading import read_arguments
from shared.surfaces.fields import need_list, need_object, need_text, unsupported

PartEncoder = Callable[[Mapping[str, Any], str], dict[str, Any]]
"""From a content part and its path to the provider's form of it."""


class ToolCall(NamedTuple):
    """A function call of an assistant's message.

    Attributes:
        fields: All of the call, as it came.
        path: Where it stands in the request.
    """

    id: str
    name: str
    arguments: dict[str, Any]
    fields: Mapping[str, Any]
    path: str


class Function(NamedTuple):
    """A function that the model may call.

    Attributes:
        fields: The ``function`` object, as it came.
        path: Where that stands in the request.
    """

    name: str
    description: str | None
    parameters: Mapping[str, Any] | None
    fields: Mapping[str, Any]
    path: str


def encode_part(part: Mapping[str, Any], path: str, encoders: Mapping[str, PartEncoder]) -> dict[str, Any]:
    """Encode a content part by its ``type``.

    Raises:
        UnsupportedParameter: No encoder takes the type; ``param`` is its path.
    """
    kind = part.get("type")
    encode = encoders.get(kind) if isinstance(kind, str) else None
    if encode is None:
        raise unsupported(f"{path}.type", f"content of type {kind!r} cannot be sent to this provider.")
    return encode(part, path)


def refuse_audio_and_functions(message: Mapping[str, Any], path: str) -> None:
    """Refuse the fields of an assistant's message that no translated format has.

    Raises:
        UnsupportedParameter: One of them is set.
    """
    for name in ("audio", "function_call"):
        if message.get(name) is not None:
            raise unsupported(f"{path}.{name}", "it cannot be sent to this provider.")


def read_tool_calls(message: Mapping[str, Any], path: str) -> Iterator[ToolCall]:
    """Read the function calls of an assistant's message.

    Raises:
        UnsupportedParameter: A call is not of a function.
        InvalidRequest: They are not of OpenAI's format.
    """
    for index, each in enumerate(need_list(message.get("tool_calls") or [], f"{path}.tool_calls")):
        at = f"{path}.tool_calls[{index}]"
        call = need_object(each, at)
        kind = call.get("type", "function")
        if kind != "function":
            raise unsupported(f"{at}.type", f"tool calls of type {kind!r} cannot be sent to this provider.")
        function = need_object(call.get("function"), f"{at}.function")
        yield ToolCall(
            id=need_text(call.get("id"), f"{at}.id"),
            name=need_text(function.get("name"), f"{at}.function.name"),
            arguments=read_arguments(function.get("arguments"), f"{at}.function.arguments"),
            fields=call,
            path=at,
        )


def read_thoughts(message: Mapping[str, Any], path: str) -> Iterator[dict[str, str]]:
    """Read the signed thoughts (``thinking_blocks``) of an assistant's message, in Anthropic's form.

    Raises:
        UnsupportedParameter: A block of another type.
        InvalidRequest: They are not of the format.
    """
    for index, thought in enumerate(need_list(message.get("thinking_blocks") or [], f"{path}.thinking_blocks")):
        at = f"{path}.thinking_blocks[{index}]"
        fields = need_object(thought, at)
        if fields.get("type") == "redacted_thinking":
            yield {"type": "redacted_thinking", "data": need_text(fields.get("data"), f"{at}.data")}
        elif fields.get("type") == "thinking":
            text = need_text(fields.get("thinking"), f"{at}.thinking")
            signature = need_text(fields.get("signature"), f"{at}.signature")
            yield {"type": "thinking", "thinking": text, "signature": signature}
        else:
            raise unsupported(f"{at}.type", "only thinking and redacted_thinking are supported.")


def read_function(tool: Mapping[str, Any], path: str) -> Function:
    """Read a tool of the request.

    Raises:
        UnsupportedParameter: The tool is not a function.
        InvalidRequest: It is not of OpenAI's format.
    """
    if tool.get("type") != "function":
        raise unsupported(f"{path}.type", f"tools of type {tool.get('type')!r} cannot be sent to this provider.")
    at = f"{path}.function"
    fields = need_object(tool.get("function"), at)
    description, parameters = fields.get("description"), fields.get("parameters")
    return Function(
        name=need_text(fields.get("name"), f"{at}.name"),
        description=None if description is None else need_text(description, f"{at}.description"),
        parameters=None if parameters is None else need_object(parameters, f"{at}.parameters"),
        fields=fields,
        path=at,
    )
