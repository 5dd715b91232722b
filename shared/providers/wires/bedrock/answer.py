"""A complete answer, its usage, and errors, in OpenAI's format.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_ResponseSyntax,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors
"""

from collections.abc import Mapping
from typing import Any

import orjson

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated
from shared.providers.wires.bedrock.decoder import ContentDecoder
from shared.providers.wires.chunks import join_deltas, whole_answer
from shared.providers.wires.reading import plain_text, read_count, read_json_object

# The body of an error has its message only; its name is in a header, and follows from the status.
_NAMES: Mapping[int, str] = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
MODEL_ERROR_STATUS = 424


def read_answer(request: ProviderRequest, body: bytes, *, answer_by_tool: bool) -> Translated:
    """A chat completion made of a Converse answer.

    Raises:
        MalformedAnswer: The body is not an answer of the format.
    """
    fields = read_json_object(body, "the answer")
    output = fields.get("output")
    message = output.get("message") if isinstance(output, Mapping) else None
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list) or not all(isinstance(block, Mapping) for block in content):
        raise MalformedAnswer("the answer holds no message")
    decoder = ContentDecoder(answer_by_tool=answer_by_tool)
    deltas = [delta for index, block in enumerate(content) for delta in decoder.decode_block(index, block)]
    last, reason = decoder.finish(fields.get("stopReason"))
    choice = {"message": join_deltas([*deltas, last]), "finish_reason": reason}
    return whole_answer(request, [choice], read_usage(fields.get("usage")), {})


def read_usage(usage: object) -> dict[str, Any]:
    """Token counts in OpenAI's names, where the prompt counts what was read from and written to caches too.

    Raises:
        MalformedAnswer: There are no counts.
    """
    if not isinstance(usage, Mapping):
        raise MalformedAnswer("the answer has no usage")
    read, written = read_count(usage, "cacheReadInputTokens"), read_count(usage, "cacheWriteInputTokens")
    prompt = read_count(usage, "inputTokens") + read + written
    completion = read_count(usage, "outputTokens")
    written_1h = _written_for_an_hour(usage.get("cacheDetails"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            **({"cache_write_1h_tokens": written_1h} if written_1h else {}),
        },
    }


def _written_for_an_hour(details: object) -> int:
    rows = [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    return sum(read_count(each, "inputTokens") for each in rows if each.get("ttl") == "1h")


def read_error(status: int, body: bytes) -> tuple[int, Mapping[str, Any]]:
    """Return the status to pass on and OpenAI's error object, with the beginning of a body that is not JSON.

    424 (the model failed) is this provider's own and may be tried again; OpenAI's clients know 502 for that.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = {"message": plain_text(body)}
    kind = _NAMES.get(status)
    if isinstance(fields, Mapping) and isinstance(fields.get("__type"), str):
        kind = fields["__type"].rpartition("#")[2]
    passed_on = 502 if status == MODEL_ERROR_STATUS else status
    return passed_on, error_object(kind, fields)


def error_object(kind: str | None, fields: object) -> dict[str, Any]:
    """OpenAI's error object for one of the provider's exceptions."""
    error = fields if isinstance(fields, Mapping) else {}
    message = error.get("message") or error.get("Message") or ""
    return {"message": str(message)[:2000], "type": kind, "param": None, "code": kind}
