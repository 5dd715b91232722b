"""Complete answers in OpenAI's format.

Source: https://docs.ollama.com/api/chat
"""

from collections.abc import Mapping
from typing import Any

from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated
from shared.providers.wires.chunks import join_deltas, whole_answer
from shared.providers.wires.embeddings import embeddings_answer
from shared.providers.wires.ollama.decoder import ContentDecoder
from shared.providers.wires.reading import read_count, read_json_object


def read_answer(request: ProviderRequest, body: bytes) -> Translated:
    """A chat completion.

    Raises:
        MalformedAnswer: It is no answer of the format.
    """
    line = read_json_object(body, "the answer")
    decoder = ContentDecoder(request)
    deltas = decoder.decode(line)
    last, reason = decoder.finish(line)
    choice: dict[str, Any] = {"message": join_deltas([*deltas, last]), "finish_reason": reason}
    logprobs = read_logprobs(line)
    if logprobs:
        choice["logprobs"] = logprobs
    return whole_answer(request, [choice], read_usage(line), {})


def read_logprobs(line: Mapping[str, Any]) -> dict[str, Any] | None:
    """The log probabilities of a line's tokens in OpenAI's form; their items have the same fields."""
    tokens = line.get("logprobs")
    if not isinstance(tokens, list) or not tokens:
        return None
    content = [{"bytes": None, "top_logprobs": [], **token} for token in tokens if isinstance(token, Mapping)]
    return {"content": content, "refusal": None}


def read_usage(line: Mapping[str, Any]) -> dict[str, Any]:
    """Token counts in OpenAI's names; a prompt that was wholly cached may be counted as nothing.

    Raises:
        MalformedAnswer: The counts are no numbers.
    """
    prompt, completion = read_count(line, "prompt_eval_count"), read_count(line, "eval_count")
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read_count(line, "prompt_eval_cached_count")},
    }


def read_embeddings(request: ProviderRequest, body: bytes) -> Translated:
    """Embeddings, as numbers or in base64, as was asked for.

    Raises:
        MalformedAnswer: There are none in the answer.
    """
    fields = read_json_object(body, "the answer")
    vectors = fields.get("embeddings")
    if not isinstance(vectors, list) or not all(isinstance(vector, list) for vector in vectors):
        raise MalformedAnswer("the answer holds no embeddings")
    return embeddings_answer(request, vectors, read_count(fields, "prompt_eval_count"))
