"""Validation of Converse requests.

Sources: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ContentBlock.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import re
from itertools import pairwise
from typing import Any

from simulator.calls import Call, Refusal
from simulator.model.json_schema import Json

_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<day>\d{8})/[a-z0-9-]+/bedrock/aws4_request, "
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), Signature=[0-9a-f]{64}"
)
_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_BLOCKS = {
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
}


def check_signature(call: Call) -> None:
    """Check for a bearer token or a well-formed signature for this service; the identity is not checked.

    Raises:
        Refusal: there is a broken one.
    """
    header = call.header(b"authorization")
    if header is None or header[:7].lower() == "bearer ":
        return
    match = _SIGNATURE.fullmatch(header)
    stamp = call.header(b"x-amz-date") or ""
    if match is None or not stamp.startswith(match["day"]):
        raise Refusal(403, "The request signature we calculated does not match the signature you provided.")
    if not {"host", "x-amz-date"} <= set(match["headers"].split(";")):
        raise Refusal(403, "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    if "invalid" in match["key"].lower():
        raise Refusal(403, "The security token included in the request is invalid.")


def check_request(body: dict[str, Any]) -> None:
    """Validate a request before a model runs.

    Raises:
        Refusal: a ValidationException.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "The value at messages is empty: a conversation must have a message.")
    for index, message in enumerate(messages):
        _check_message(message, f"messages.{index}")
    roles = [message["role"] for message in messages]
    if roles[0] != "user":
        raise Refusal(400, "A conversation must start with a user message. Try again with a conversation that does.")
    if any(role == following for role, following in pairwise(roles)):
        raise Refusal(400, "A conversation must alternate between user and assistant roles.")
    for index, block in enumerate(body.get("system") or []):
        _check_text(block, f"system.{index}")
    _check_tools(body, messages)


def _check_message(message: Json, path: str) -> None:
    if not isinstance(message, dict) or message.get("role") not in {"user", "assistant"}:
        raise Refusal(400, f"The value at {path}.role must be one of user, assistant.")
    content = message.get("content")
    if not isinstance(content, list) or not content:
        raise Refusal(400, f"The content field in the Message object at {path} is empty.")
    for index, block in enumerate(content):
        place = f"{path}.content.{index}"
        if not isinstance(block, dict) or len(block) != 1 or not block.keys() <= _BLOCKS:
            raise Refusal(400, f"The ContentBlock object at {place} must set exactly one known member.")
        _check_text(block, place)
        _check_ids(block, place)


def _check_text(block: dict[str, Any], path: str) -> None:
    if "text" in block and not str(block["text"]).strip():
        raise Refusal(400, f"The text field in the ContentBlock object at {path} is blank.")


def _check_ids(block: dict[str, Any], path: str) -> None:
    for name in ("toolUse", "toolResult"):
        if name in block and not _TOOL_USE_ID.fullmatch(str(block[name].get("toolUseId"))):
            raise Refusal(400, f"Value at '{path}.member.{name}.toolUseId' failed to satisfy constraint.")


def _check_tools(body: dict[str, Any], messages: list[dict[str, Any]]) -> None:
    kinds = {kind for message in messages for block in message["content"] for kind in block}
    config = body.get("toolConfig")
    if kinds & {"toolUse", "toolResult"} and not config:
        raise Refusal(400, "The toolConfig field must be defined when using toolUse and toolResult content blocks.")
    if config is not None and not (isinstance(config, dict) and config.get("tools")):
        raise Refusal(400, "The value at toolConfig.tools failed to satisfy constraint: length at least 1.")
    for before, after in pairwise(messages):
        asked = {block["toolUse"]["toolUseId"] for block in before["content"] if "toolUse" in block}
        given = {block["toolResult"]["toolUseId"] for block in after["content"] if "toolResult" in block}
        if asked != given:
            raise Refusal(400, "Expected toolResult blocks for exactly the toolUse blocks of the turn before.")
