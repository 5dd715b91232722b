"""`POST /embeddings`: deterministic unit vectors, as floats or as base64 of little-endian float32."""

import base64
import struct
from collections.abc import Callable

import orjson

from simulator.calls import Call, Refusal, Reply, Route
from simulator.model.json_schema import Json
from simulator.model.text import unit_vector
from simulator.openai.completions import read_inputs
from simulator.openai.errors import OPENAI, missing, need_model, whole_number

DEFAULT_DIMENSIONS = 1536
LARGE_DIMENSIONS = 3072
INPUTS_LIMIT = 2048


def answer_embeddings(call: Call) -> Reply:
    """Embed every input.

    Raises:
        Refusal: a required field is absent, mistyped or out of bounds.
    """
    model = need_model(call)
    value = call.body.get("input")
    if value is None:
        raise missing("input")
    inputs = read_inputs(value, "input")
    if len(inputs) > INPUTS_LIMIT:
        raise Refusal(400, f"'input' may have at most {INPUTS_LIMIT} entries.", param="input")
    size = whole_number(call, "dimensions", 1, 8192)
    if size is None:
        size = LARGE_DIMENSIONS if "large" in model else DEFAULT_DIMENSIONS
    encode = _encoder(call.body.get("encoding_format"))
    data = [
        {"object": "embedding", "index": index, "embedding": encode(unit_vector(text, size))}
        for index, (text, _) in enumerate(inputs)
    ]
    tokens = sum(count for _, count in inputs)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return Reply(orjson.dumps({"object": "list", "data": data, "model": model, "usage": usage}))


def _encoder(encoding: Json) -> Callable[[list[float]], list[float] | str]:
    if encoding in (None, "float"):
        return list
    if encoding == "base64":
        return _as_base64
    raise Refusal(400, "Invalid 'encoding_format': use float or base64.", param="encoding_format")


def _as_base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


ROUTES = (Route("POST", "/embeddings", answer_embeddings, OPENAI),)
