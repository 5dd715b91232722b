"""Short ways to ask the wire."""

from typing import Any

import orjson

from shared.providers.wires.anthropic import AnthropicWire
from shared.providers.wires.base import ProviderRequest
from shared.surfaces.request_types import CHAT
from tests.providers.wires.anthropic.judge import judge_request

HI = [{"role": "user", "content": "Hi"}]
NEWEST = "claude-opus-5"
MIDDLE = "claude-sonnet-4-6"
BUDGET = "claude-opus-4-5"
OLD = "claude-3-5-haiku-20241022"
OTHER = "minimax-m2"


def request_of(fields: dict[str, Any], model: str = MIDDLE) -> ProviderRequest:
    return ProviderRequest(
        request_type=CHAT,
        model=model,
        body=orjson.dumps(fields),
        fields=fields,
        stream=fields.get("stream") is True,
        created=1_795_360_000,
        answer_id="chatcmpl-ours",
    )


def body_of(fields: dict[str, Any], model: str = MIDDLE) -> dict[str, Any]:
    """The provider's request, approved by its SDK's types."""
    fields = {"model": "anthropic/x", "messages": HI} | fields
    body = orjson.loads(AnthropicWire().request(request_of(fields, model)).body)
    judge_request(body)
    return body


def blocks_of(content: Any, role: str = "user", **more: Any) -> list[dict[str, Any]]:
    """The blocks of one message."""
    return body_of({"messages": [{"role": role, "content": content, **more}]})["messages"][0]["content"]
