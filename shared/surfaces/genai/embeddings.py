"""``embedContent`` and ``batchEmbedContents`` over OpenAI's embeddings.

Source: https://ai.google.dev/api/embeddings
"""

import base64
import struct
from collections.abc import Mapping
from typing import Any

from shared.errors import InvalidRequest
from shared.surfaces.fields import need_list, need_text, need_whole, unsupported
from shared.surfaces.genai.spelling import read_object

_READ = frozenset({"model", "content", "taskType", "title", "outputDimensionality", "embedContentConfig"})
_OPTIONS = ("taskType", "title", "outputDimensionality")
_NATIVE = {"taskType": "task_type", "title": "title"}


def embedding_request(body: Mapping[str, Any], *, model: str) -> dict[str, Any]:
    """The embeddings request for one content, or for a batch of ``requests``.

    Task types are Google's own: they travel in ``extra_body.google``; ``without_extensions`` takes them out.

    Raises:
        UnsupportedParameter: Content that is not text, or a batch whose requests want different things.
        InvalidRequest: It is no such request.
    """
    fields = read_object(body, "body")
    if "requests" not in fields:
        text, options = _one(fields, "")
        return _asked(model, text, options)
    asked = [_one(each, f"requests[{index}].") for index, each in enumerate(need_list(fields["requests"], "requests"))]
    if not asked:
        raise InvalidRequest("requests must not be empty.", param="requests")
    texts, options = [text for text, _ in asked], asked[0][1]
    for index, (_, others) in enumerate(asked):
        if others != options:
            raise unsupported(f"requests[{index}]", "all requests of a batch must want the same of the embeddings.")
    return _asked(model, texts, options)


def _one(value: object, path: str) -> tuple[str, dict[str, Any]]:
    fields = read_object(value, path.rstrip(".") or "body")
    unknown = fields.keys() - _READ
    if unknown:
        raise unsupported(f"{path}{min(unknown)}", "the gateway does not know the field.")
    config = read_object(fields.get("embedContentConfig", {}), f"{path}embedContentConfig")
    unknown = config.keys() - set(_OPTIONS)
    if unknown:
        raise unsupported(f"{path}embedContentConfig.{min(unknown)}", "the gateway does not know the field.")
    options = {name: fields.get(name, config.get(name)) for name in _OPTIONS}
    return _text(fields.get("content"), f"{path}content"), options


def _text(content: object, path: str) -> str:
    parts = need_list(read_object(content, path).get("parts"), f"{path}.parts")
    texts = []
    for index, part in enumerate(parts):
        item_path = f"{path}.parts[{index}]"
        fields = read_object(part, item_path)
        if fields.keys() != {"text"}:
            raise unsupported(item_path, "the gateway embeds texts.")
        texts.append(need_text(fields["text"], f"{item_path}.text"))
    return "\n".join(texts)


def _asked(model: str, texts: str | list[str], options: Mapping[str, Any]) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": model, "input": texts, "encoding_format": "float"}
    if options["outputDimensionality"] is not None:
        asked["dimensions"] = need_whole(options["outputDimensionality"], "outputDimensionality")
    native = {
        ours: need_text(options[theirs], theirs) for theirs, ours in _NATIVE.items() if options[theirs] is not None
    }
    return asked | ({"extra_body": {"google": native}} if native else {})


def embedding_response(answer: Mapping[str, Any], *, batch: bool) -> dict[str, Any]:
    """OpenAI's list of embeddings in Google's form."""
    listed = sorted(answer.get("data") or [], key=lambda each: each.get("index", 0))
    embeddings = [{"values": _values(each["embedding"])} for each in listed]
    tokens = int((answer.get("usage") or {}).get("prompt_tokens") or 0)
    made: dict[str, Any] = (
        {"embeddings": embeddings} if batch else {"embedding": embeddings[0] if embeddings else {"values": []}}
    )
    return {**made, "usageMetadata": {"promptTokenCount": tokens, "totalTokenCount": tokens}}


def _values(embedding: object) -> object:
    """The numbers; a job of OpenAI's SDK may have them as base64 of little-endian floats of 32 bits."""
    if not isinstance(embedding, str):
        return embedding
    data = base64.b64decode(embedding)
    count = len(data) // 4
    return list(struct.unpack(f"<{count}f", data[: 4 * count]))


def pending_embedding(*, batch: bool) -> dict[str, Any]:
    """The answer while a job is live: nothing embedded yet; the headers say the rest."""
    return {"embeddings": []} if batch else {"embedding": {"values": []}}
