"""A complete chat answer as a Response."""

from collections.abc import Mapping
from typing import Any

from shared.surfaces.responses.output import (
    Call,
    Ending,
    Item,
    call_item,
    ended,
    item_status,
    message_item,
    reasoning_item,
    refusal_part,
    text_part,
)
from shared.surfaces.responses.reply import (
    MalformedChat,
    ParsedMessage,
    first_choice,
    objects,
    read_function,
    read_logprobs,
    read_message,
)
from shared.surfaces.responses.skeleton import response_skeleton


def chat_to_response(
    chat_answer: Mapping[str, Any],
    request_fields: Mapping[str, Any],
    *,
    response_id: str,
    created_at: int,
    background: bool = False,
    completed_at: int | None = None,
) -> dict[str, Any]:
    """The final Response: reasoning, then the message, then function calls, of which each may be missing.

    Args:
        chat_answer: A chat completion with one choice.
        request_fields: The Responses request.
        response_id: ``resp_…``, or the job's UUID.
        created_at: Unix seconds.
        background: Whether it is a job.
        completed_at: Unix seconds; ``created_at`` when not given.

    Raises:
        MalformedChat: The answer is not of chat's format, or says what a Response cannot.
    """
    choice = first_choice(chat_answer)
    message = choice.get("message") if choice else None
    if choice is None or not isinstance(message, dict):
        raise MalformedChat("a chat answer without a message")
    ending = Ending()
    note_ending(ending, chat_answer, choice)
    skeleton = response_skeleton(request_fields, response_id=response_id, created_at=created_at, background=background)
    output = _output(response_id, choice, message)
    output[-1]["status"] = item_status(ending, last=True)
    return ended(skeleton, output, ending, created_at if completed_at is None else completed_at)


def note_ending(ending: Ending, answer: Mapping[str, Any], choice: Mapping[str, Any] | None) -> None:
    """Keep what an answer, or one chunk of a stream, says of the end."""
    usage, tier = answer.get("usage"), answer.get("service_tier")
    reason = choice.get("finish_reason") if choice else None
    if isinstance(usage, dict):
        ending.usage = usage
    if isinstance(tier, str):
        ending.service_tier = tier
    if isinstance(reason, str):
        ending.finish_reason = reason


def _output(response_id: str, choice: Mapping[str, Any], message: Mapping[str, Any]) -> list[Item]:
    parsed = read_message(message)
    output: list[Item] = []
    if parsed.reasoning or parsed.carried:
        output.append(reasoning_item(response_id, 0, parsed.reasoning, parsed.carried, "completed"))
    calls = objects(message, "tool_calls")
    parts = _parts(parsed, read_logprobs(choice))
    if parts or not (output or calls):
        # Who asked for an answer and got an empty one has an empty message, not none.
        output.append(message_item(response_id, parts or [text_part("")], "completed"))
    for ordinal, call in enumerate(calls):
        output.append(call_item(response_id, ordinal, _call(call), "completed"))
    return output


def _parts(parsed: ParsedMessage, logprobs: list[dict[str, Any]]) -> list[Item]:
    parts = [text_part(parsed.text, parsed.annotations, logprobs)] if parsed.text else []
    return [*parts, refusal_part(parsed.refusal)] if parsed.refusal else parts


def _call(call: Mapping[str, Any]) -> Call:
    function = read_function(call)
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise MalformedChat("a tool call without a name")
    return Call(str(call.get("id") or ""), name, str(function.get("arguments") or ""), call.get("extra_content") or {})
