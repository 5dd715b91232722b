"""A complete answer and its usage in OpenAI's format.

Source: https://ai.google.dev/api/generate-content#v1beta.GenerateContentResponse
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated
from shared.providers.wires.billed import SEARCHES
from shared.providers.wires.chunks import join_deltas, whole_answer
from shared.providers.wires.gemini.decoder import ContentDecoder, blocked, logprobs_of
from shared.providers.wires.gemini.tools import wants_one_call
from shared.providers.wires.reading import read_count, read_json_object


def read_answer(request: ProviderRequest, body: bytes) -> Translated:
    """A chat completion made of a GenerateContentResponse.

    Raises:
        MalformedAnswer: The body is not an answer of the format.
    """
    answer = read_json_object(body, "the answer")
    head = head_of(answer)
    usage = read_usage(answer.get("usageMetadata"))
    candidates = candidates_of(answer)
    refusal = blocked(answer.get("promptFeedback"))
    answer_id = head.get("id", request.answer_id)
    if candidates:
        choices = [_decode_choice(request, candidate, at, answer_id) for at, candidate in enumerate(candidates)]
    elif refusal is not None:
        choices = [{"message": join_deltas([refusal]), "finish_reason": "content_filter"}]
    else:
        raise MalformedAnswer("the answer has no candidates")
    return whole_answer(request, choices, with_searches(usage, candidates, request.model), head)


def _decode_choice(
    request: ProviderRequest, candidate: Mapping[str, Any], position: int, answer_id: str
) -> dict[str, Any]:
    decoder = ContentDecoder(index_of(candidate, position), answer_id, one_call=wants_one_call(request.fields))
    delta = decoder.decode(candidate)
    return {
        "index": decoder.index,
        "message": join_deltas([delta, decoder.ending()]),
        "finish_reason": decoder.finish_reason or "stop",
        "logprobs": logprobs_of(candidate),
    }


def candidates_of(answer: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The candidates of an answer or a chunk, maybe none.

    Raises:
        MalformedAnswer: They are not objects.
    """
    candidates = answer.get("candidates") or []
    if not isinstance(candidates, list) or not all(isinstance(each, Mapping) for each in candidates):
        raise MalformedAnswer("the candidates of the answer are not objects")
    return candidates


def index_of(candidate: Mapping[str, Any], position: int) -> int:
    """Which choice the candidate is; a single one is often not numbered."""
    index = candidate.get("index")
    return index if isinstance(index, int) else position


def head_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the provider's own fields for the head of a completion and its chunks."""
    fields = {"id": answer.get("responseId"), "model": answer.get("modelVersion")}
    return {name: str(value) for name, value in fields.items() if value}


def read_usage(usage: object) -> dict[str, Any]:
    """Token counts in OpenAI's names, where thoughts are part of the completion and tools' results of the prompt.

    Raises:
        MalformedAnswer: The counts are no numbers.
    """
    counts = usage if isinstance(usage, Mapping) else {}
    prompt = read_count(counts, "promptTokenCount") + read_count(counts, "toolUsePromptTokenCount")
    thought = read_count(counts, "thoughtsTokenCount")
    completion = read_count(counts, "candidatesTokenCount") + thought
    drawn = _modality(counts, "candidatesTokensDetails", "IMAGE")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": read_count(counts, "cachedContentTokenCount"),
            "audio_tokens": _modality(counts, "promptTokensDetails", "AUDIO"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": _modality(counts, "candidatesTokensDetails", "AUDIO"),
            **({"image_tokens": drawn} if drawn else {}),
        },
    }


def with_searches(usage: Mapping[str, Any], candidates: Iterable[Mapping[str, Any]], model: str) -> Mapping[str, Any]:
    """Return the usage with the charged web searches of the candidates: all queries; before Gemini 3, one a prompt.

    Source: https://ai.google.dev/gemini-api/docs/pricing
    """
    grounded = [candidate.get("groundingMetadata") for candidate in candidates]
    found = [
        each["webSearchQueries"] for each in grounded if isinstance(each, Mapping) and each.get("webSearchQueries")
    ]
    if not found:
        return usage
    queries = sum(len(each) for each in found if isinstance(each, list))
    return {**usage, "server_tool_use": {SEARCHES: 1 if _BEFORE_3.search(model) else max(1, queries)}}


_BEFORE_3 = re.compile(r"gemini-[12]\b")


def _modality(counts: Mapping[str, Any], name: str, modality: str) -> int:
    """Count the tokens of one modality (``AUDIO``, ``IMAGE``), which have prices of their own."""
    details = counts.get(name)
    parts = [each for each in details if isinstance(each, Mapping)] if isinstance(details, list) else []
    return sum(read_count(each, "tokenCount") for each in parts if each.get("modality") == modality)
