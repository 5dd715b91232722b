"""Embeddings: OpenAI's request and answer over the provider's methods.

The Gemini API takes batches; on Vertex one text goes to ``embedContent``, several to ``batchEmbedContents``, and models
that are not Gemini's to ``predict``, as Google's own SDK does it.
Sources: https://ai.google.dev/api/embeddings,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.errors import InvalidRequest
from shared.providers.wires.base import MalformedAnswer, ProviderRequest, Translated, UpstreamRequest
from shared.providers.wires.embeddings import check_encoding, embeddings_answer
from shared.providers.wires.gemini.paths import method_path
from shared.providers.wires.gemini.request import native_fields
from shared.providers.wires.reading import read_json_object
from shared.surfaces.fields import encode, need_list, need_whole, present, unsupported

_READ = frozenset({"model", "input", "dimensions", "encoding_format", "user", "fallbacks", "extra_body"})
_NATIVE = {"task_type": "taskType", "title": "title"}
# The same, as ``predict`` spells it.
_PREDICT_NATIVE = {"taskType": "task_type", "title": "title"}


def embed_request(request: ProviderRequest, *, on_vertex: bool) -> UpstreamRequest:
    """The provider's request.

    Raises:
        UnsupportedParameter: A field cannot be expressed.
        InvalidRequest: A field is not of OpenAI's format.
    """
    fields = present(request.fields)
    unknown = fields.keys() - _READ
    if unknown:
        raise unsupported(min(unknown), "this provider does not know the field.")
    check_encoding(fields)
    native = native_fields(fields, _NATIVE.keys())
    config = {_NATIVE[name]: value for name, value in native.items()}
    if "dimensions" in fields:
        config["outputDimensionality"] = need_whole(fields["dimensions"], "dimensions")
    texts = _texts(fields.get("input"))
    if not on_vertex:
        return _batch(request.model, texts, config)
    return (
        _on_vertex(request.model, texts, config)
        if "gemini" in request.model
        else _predict(request.model, texts, config)
    )


def _texts(value: object) -> list[str]:
    texts = [value] if isinstance(value, str) else list(need_list(value, "input"))
    if not texts:
        raise InvalidRequest("input must not be empty.", param="input")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise unsupported(f"input[{index}]", "this provider embeds texts, not tokens.")
    return texts


def _content(text: str) -> dict[str, Any]:
    return {"parts": [{"text": text}]}


def _batch(model: str, texts: Sequence[str], config: Mapping[str, Any]) -> UpstreamRequest:
    path = method_path(model, "batchEmbedContents")
    name = path[1:].partition(":")[0]
    requests = [{"model": name, "content": _content(text), **config} for text in texts]
    return UpstreamRequest(path=path, body=encode({"requests": requests}, "body"))


def _on_vertex(model: str, texts: Sequence[str], config: Mapping[str, Any]) -> UpstreamRequest:
    asked = [{"content": _content(text)} | ({"embedContentConfig": config} if config else {}) for text in texts]
    if len(asked) == 1:
        return UpstreamRequest(path=method_path(model, "embedContent"), body=encode(asked[0], "body"))
    return UpstreamRequest(path=method_path(model, "batchEmbedContents"), body=encode({"requests": asked}, "body"))


def _predict(model: str, texts: Sequence[str], config: Mapping[str, Any]) -> UpstreamRequest:
    wishes = {_PREDICT_NATIVE[name]: value for name, value in config.items() if name in _PREDICT_NATIVE}
    body: dict[str, Any] = {"instances": [{"content": text, **wishes} for text in texts]}
    if "outputDimensionality" in config:
        body["parameters"] = {"outputDimensionality": config["outputDimensionality"]}
    return UpstreamRequest(path=method_path(model, "predict"), body=encode(body, "body"))


def read_embeddings(request: ProviderRequest, body: bytes) -> Translated:
    """OpenAI's list of embeddings.

    Raises:
        MalformedAnswer: It is no answer of an embedding method.
    """
    answer = read_json_object(body, "the answer")
    try:
        vectors, tokens = _vectors(answer)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise MalformedAnswer("the answer holds no embeddings") from error
    return embeddings_answer(request, vectors, tokens)


def _vectors(answer: Mapping[str, Any]) -> tuple[list[list[float]], int]:
    """The vectors and the tokens that were read."""
    if "predictions" in answer:
        each = [prediction["embeddings"] for prediction in answer["predictions"]]
        return [one["values"] for one in each], sum(int(one["statistics"]["token_count"]) for one in each)
    embeddings = answer["embeddings"] if "embeddings" in answer else [answer["embedding"]]
    usage = answer.get("usageMetadata") or {}
    return [one["values"] for one in embeddings], int(usage.get("promptTokenCount") or 0)
