"""botocore as a judge: its validator and its serialiser of the requests, its decoder of the frames."""

import base64
import functools
from typing import Any

import botocore.eventstream
import botocore.loaders
import botocore.model
import botocore.serialize
import botocore.validate
import orjson

from shared.providers.wires.base import UpstreamRequest
from shared.providers.wires.bedrock import BedrockWire
from tests.providers.wires.chat_chunks import HI, request_of

MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OLD = "anthropic.claude-3-haiku-20240307-v1:0"
BUDGET = "anthropic.claude-opus-4-5-20251101-v1:0"
ADAPTIVE = "anthropic.claude-opus-4-6-v1"
NEWEST = "anthropic.claude-opus-4-8-v1"
NOVA = "amazon.nova-2-lite-v1:0"
OSS = "openai.gpt-oss-120b-1:0"
LLAMA = "meta.llama3-3-70b-instruct-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123"


@functools.cache
def service() -> botocore.model.ServiceModel:
    return botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("bedrock-runtime", "service-2"))


def judge_request(upstream: UpstreamRequest, model: str, *, stream: bool = False) -> None:
    """Raises unless botocore takes every field, and would itself send these very bytes to this very path."""
    operation = service().operation_model("ConverseStream" if stream else "Converse")
    params = _decoded({**orjson.loads(upstream.body), "modelId": model})
    report = botocore.validate.ParamValidator().validate(params, operation.input_shape)
    assert not report.has_errors(), report.generate_report()
    sent = botocore.serialize.create_serializer("rest-json").serialize_to_request(params, operation)
    assert orjson.loads(sent["body"]) == orjson.loads(upstream.body)
    assert sent["url_path"] == upstream.path


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        blobs = {"bytes", "redactedContent"}
        return {name: base64.b64decode(each) if name in blobs else _decoded(each) for name, each in value.items()}
    return [_decoded(each) for each in value] if isinstance(value, list) else value


def body_of(fields: dict[str, Any], model: str = MODEL) -> dict[str, Any]:
    """The provider's request, approved by botocore."""
    upstream = BedrockWire().request(request_of({"model": "bedrock/x", "messages": HI} | fields, model))
    judge_request(upstream, model, stream=fields.get("stream") is True)
    return orjson.loads(upstream.body)


def blocks_of(content: Any, role: str = "user", **more: Any) -> list[dict[str, Any]]:
    """The blocks of one message."""
    return body_of({"messages": [{"role": role, "content": content, **more}]})["messages"][0]["content"]
