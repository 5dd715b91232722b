"""`embedContent`, `batchEmbedContents` and Vertex's `predict`: deterministic unit vectors.

Sources: https://ai.google.dev/api/embeddings,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

import orjson

from simulator.calls import Call, Reply
from simulator.google.checks import fields_of, invalid, list_of
from simulator.model.json_schema import Json
from simulator.model.text import count_tokens, unit_vector

SIZE_LIMIT = 8192


def embed(call: Call) -> Reply:
    """Answer `embedContent`."""
    vector, tokens = _embedding(call.body, call.params["model"])
    return Reply(orjson.dumps({"embedding": {"values": vector}, "usageMetadata": {"promptTokenCount": tokens}}))


def embed_batch(call: Call) -> Reply:
    """Answer `batchEmbedContents`; on the Gemini API every request names the model again.

    Raises:
        Refusal: there are no requests, or one names another model.
    """
    model, requests = call.params["model"], [fields_of(asked) for asked in list_of(call.body.get("requests"))]
    if not requests:
        raise invalid("* BatchEmbedContentsRequest.requests: requests is not specified\n", "requests")
    on_vertex = "/publishers/" in call.path
    for asked in requests:
        if not on_vertex and asked.get("model") != f"models/{model}":
            raise invalid("model in the requests must match the model in the path.", "requests")
    made = [_embedding(asked, model) for asked in requests]
    usage = {"promptTokenCount": sum(tokens for _, tokens in made)}
    return Reply(orjson.dumps({"embeddings": [{"values": vector} for vector, _ in made], "usageMetadata": usage}))


def predict(call: Call) -> Reply:
    """Answer Vertex's `predict` of an embedding model."""
    size = _size(fields_of(call.body.get("parameters")).get("outputDimensionality"), 768)
    predictions = []
    for instance in list_of(call.body.get("instances")):
        text = str(fields_of(instance).get("content"))
        statistics = {"truncated": False, "token_count": count_tokens(text)}
        predictions.append({"embeddings": {"values": unit_vector(text, size), "statistics": statistics}})
    return Reply(orjson.dumps({"predictions": predictions}))


def _size(value: Json, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= SIZE_LIMIT:
        raise invalid("outputDimensionality is out of range.", "output_dimensionality")
    return value


def _embedding(asked: Json, model: str) -> tuple[list[float], int]:
    fields = fields_of(asked)
    parts = list_of(fields_of(fields.get("content")).get("parts"))
    if not parts:
        raise invalid("* EmbedContentRequest.content: contents is not specified\n", "content")
    text = "\n".join(str(fields_of(part).get("text", "")) for part in parts)
    size = fields.get("outputDimensionality") or fields_of(fields.get("embedContentConfig")).get("outputDimensionality")
    return unit_vector(text, _size(size, 3072 if "gemini" in model else 768)), count_tokens(text)
