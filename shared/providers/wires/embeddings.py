"""Writes OpenAI's list of embeddings, for wires whose providers have a format of their own. Pure.

Source: https://platform.openai.com/docs/api-reference/embeddings
"""

import base64
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.errors import InvalidRequest
from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated


def check_encoding(fields: Mapping[str, Any]) -> None:
    """Check ``encoding_format``.

    Raises:
        InvalidRequest: It is neither ``float`` nor ``base64``.
    """
    if fields.get("encoding_format", "float") not in ("float", "base64"):
        raise InvalidRequest("encoding_format must be float or base64.", param="encoding_format")


def embeddings_answer(request: ProviderRequest, vectors: Sequence[Any], tokens: int) -> Translated:
    """Build the answer, with vectors as numbers or in base64, as the request asks.

    Args:
        request: What was asked.
        vectors: One list of numbers for each input.
        tokens: How many tokens the provider read.

    Raises:
        MalformedAnswer: A vector is not a list of numbers.
    """
    packed = request.fields.get("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _packed(vector) if packed else _listed(vector)}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    answer = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return Translated(body=orjson.dumps(answer), usage=usage)


def _listed(vector: object) -> list[Any]:
    if not isinstance(vector, list):
        raise MalformedAnswer("the answer holds no embeddings")
    return vector


def _packed(vector: object) -> str:
    """Little-endian floats of 32 bits in base64, as OpenAI encodes them."""
    numbers = _listed(vector)
    try:
        return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()
    except (struct.error, OverflowError) as error:
        raise MalformedAnswer("an embedding holds something that is not a number") from error
