"""A complete answer and its usage in OpenAI's format.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated
from shared.providers.wires.gemini.decoder import ContentDecoder, blocked, join_deltas, logprobs_of
from shared.providers.wires.gemini.tools import wants_one_call
from shared.providers.wires.reading import read_json_object


def read_answer(request: ProviderRequest, body: bytes) -> Translated:
    """A chat completion made of a GenerateContentResponse.

    Raises:
        MalformedAnswer: It is none.
    """
    answer = read_json_object(body, "the answer")
    head = head_of(request, answer) | {"object": "chat.completion"}
    usage = read_usage(answer.get("usageMetadata"))
    candidates = candidates_of(answer)
    refusal = blocked(answer.get("promptFeedback"))
    if candidates:
        choices = [_choice(request, candidate, place, head["id"]) for place, candidate in enumerate(candidates)]
    elif refusal is not None:
        choices = [choice_of(0, "message", join_deltas(refusal), "content_filter")]
    else:
        raise MalformedAnswer("the answer has no candidates")
    return Translated(body=orjson.dumps(head | {"choices": choices, "usage": usage}), usage=usage)


def _choice(request: ProviderRequest, candidate: Mapping[str, Any], place: int, answer_id: str) -> dict[str, Any]:
    saying = ContentDecoder(index_of(candidate, place), answer_id, one_call=wants_one_call(request.fields))
    delta = saying.read(candidate)
    message = join_deltas(delta, saying.ending())
    return choice_of(saying.index, "message", message, saying.finish_reason or "stop", logprobs_of(candidate))


def choice_of(
    index: int, name: str, said: Mapping[str, Any], reason: str | None, logprobs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A choice with its ``message`` or ``delta``."""
    return {"index": index, name: said, "logprobs": logprobs, "finish_reason": reason}


def candidates_of(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The candidates of an answer or a chunk, maybe none.

    Raises:
        MalformedAnswer: They are not objects.
    """
    candidates = answer.get("candidates") or []
    if not isinstance(candidates, list) or not all(isinstance(each, Mapping) for each in candidates):
        raise MalformedAnswer("the candidates of the answer are not objects")
    return candidates


def index_of(candidate: Mapping[str, Any], place: int) -> int:
    """Which choice the candidate is; a single one is often not numbered."""
    index = candidate.get("index")
    return index if isinstance(index, int) else place


def head_of(request: ProviderRequest, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a completion and every chunk of it begin with."""
    return {
        "id": str(answer.get("responseId") or request.answer_id),
        "object": "chat.completion.chunk",
        "created": request.created,
        "model": str(answer.get("modelVersion") or request.model),
        "system_fingerprint": None,
    }


def read_usage(usage: object) -> dict[str, Any]:
    """Token counts in OpenAI's names, where thoughts are part of the completion and tools' results of the prompt.

    Raises:
        MalformedAnswer: The counts are no numbers.
    """
    counts = usage if isinstance(usage, Mapping) else {}
    prompt = _count(counts, "promptTokenCount") + _count(counts, "toolUsePromptTokenCount")
    thought = _count(counts, "thoughtsTokenCount")
    completion = _count(counts, "candidatesTokenCount") + thought
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": _count(counts, "cachedContentTokenCount"),
            "audio_tokens": _audio(counts, "promptTokensDetails"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": _audio(counts, "candidatesTokensDetails"),
        },
    }


def _audio(counts: Mapping[str, Any], name: str) -> int:
    details = counts.get(name)
    heard = [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    return sum(_count(each, "tokenCount") for each in heard if each.get("modality") == "AUDIO")


def _count(counts: Mapping[str, Any], name: str) -> int:
    value = counts.get(name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MalformedAnswer(f"{name} is not a count")
    return value
