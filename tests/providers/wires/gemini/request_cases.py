"""Short ways to ask the wire."""

from typing import Any

import orjson

from shared.providers.wires.base import ProviderRequest
from shared.providers.wires.gemini import GeminiWire
from shared.surfaces.request_types import CHAT, EMBEDDINGS, RequestType
from tests.providers.wires.gemini.judge import judge_request

HI = [{"role": "user", "content": "Hi"}]
NEW = "gemini-3-flash-preview"
BUDGET = "gemini-2.5-flash"
OLD = "gemini-2.0-flash"
PIXEL = "iVBORw0KGgo="


def request_of(fields: dict[str, Any], model: str = NEW, request_type: RequestType = CHAT) -> ProviderRequest:
    return ProviderRequest(
        request_type=request_type,
        model=model,
        body=orjson.dumps(fields),
        fields=fields,
        stream=fields.get("stream") is True,
        created=1_795_360_000,
        answer_id="chatcmpl-ours",
    )


def body_of(fields: dict[str, Any], model: str = NEW) -> dict[str, Any]:
    """The provider's request, approved by its SDK's types."""
    fields = {"model": "gemini/x", "messages": HI} | fields
    body = orjson.loads(GeminiWire().request(request_of(fields, model)).body)
    judge_request(body)
    return body


def contents_of(*messages: dict[str, Any], model: str = NEW) -> list[dict[str, Any]]:
    return body_of({"messages": list(messages)}, model)["contents"]


def parts_of(content: Any, model: str = NEW) -> list[dict[str, Any]]:
    """The parts of one message of the user."""
    return contents_of({"role": "user", "content": content}, model=model)[0]["parts"]


def embed_request_of(fields: dict[str, Any], model: str = "gemini-embedding-001") -> ProviderRequest:
    return request_of({"model": "gemini/x", **fields}, model, EMBEDDINGS)


def call_of(
    call_id: str = "c1", name: str = "get_weather", arguments: str = '{"city":"Paris"}', **more: Any
) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def signed(signature: str) -> dict[str, Any]:
    return {"extra_content": {"google": {"thought_signature": signature}}}
