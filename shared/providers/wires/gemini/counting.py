"""Counting the tokens of a generateContent request.

Sources: https://ai.google.dev/api/tokens,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/count-tokens
"""

from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson

from shared.providers.wires.base import MalformedAnswer, UpstreamRequest
from shared.providers.wires.reading import read_json_object

# What Vertex counts; the Gemini API takes the whole request.
_COUNTED = frozenset({"contents", "systemInstruction", "tools", "generationConfig"})


def count_request(request: UpstreamRequest, *, on_vertex: bool) -> UpstreamRequest:
    """The request that counts what ``request`` would send."""
    resource = request.path.partition(":")[0]
    fields = orjson.loads(request.body)
    body: dict[str, Any]
    if on_vertex:
        body = {name: value for name, value in fields.items() if name in _COUNTED}
    else:
        body = {"generateContentRequest": {"model": unquote(resource[1:]), **fields}}
    return replace(request, path=f"{resource}:countTokens", body=orjson.dumps(body))


def read_count(body: bytes) -> int:
    """The number of tokens in the answer; a count of none is left out by protobuf's JSON.

    Raises:
        MalformedAnswer: There is none.
    """
    tokens = read_json_object(body, "the count").get("totalTokens", 0)
    if type(tokens) is not int:
        raise MalformedAnswer("the answer holds no count")
    return tokens
