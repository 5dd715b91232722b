"""Validation of Anthropic's Messages API, with its error messages, as far as its reference documents them.

Source: https://platform.claude.com/docs/en/api/messages and .../api/errors
"""

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Any

from simulator.calls import Call, Refusal
from simulator.model.json_schema import Json

KNOWN_FIELDS = frozenset(
    {
        "anthropic_version",
        "cache_control",
        "container",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
SAMPLING = ("temperature", "top_p", "top_k")
NO_SAMPLING_VERSION = "2026-10-21"
LEAST_BUDGET_TOKENS = 1024
# Models from 4.7 on refuse sampling parameters and budgets of thinking.
_NEW_MODEL = re.compile(r"claude-(?:opus-4-[78]|[a-z]+-[5-9](?!\d)|mythos|fable)")


def invalid(message: str) -> Refusal:
    """Return a 400 in Anthropic's form: the path, a colon, the problem."""
    return Refusal(400, message)


def check_request(call: Call) -> None:
    """Everything about a Messages request that does not need an answer.

    Raises:
        Refusal: the real service would refuse it.
    """
    body = call.body
    version = call.header(b"anthropic-version")
    if version is None and "anthropic_version" not in body:
        raise invalid("anthropic-version: header is required")
    for name in body:
        if name not in KNOWN_FIELDS:
            raise invalid(f"{name}: Extra inputs are not permitted")
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise invalid("model: Field required")
    _check_sampling(body, version or "")
    _check_tools(body)
    check_messages(body.get("messages"))


def check_limit(body: dict[str, Any]) -> int:
    """`max_tokens`, and the budget of thinking that must fit into it.

    Raises:
        Refusal: absent, no positive integer, or too small for the budget.
    """
    limit = body.get("max_tokens")
    if limit is None:
        raise invalid("max_tokens: Field required")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise invalid("max_tokens: Input should be greater than or equal to 1")
    thinking = body.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens")
        if _NEW_MODEL.search(body["model"]):
            raise invalid('"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive".')
        if not isinstance(budget, int) or budget < LEAST_BUDGET_TOKENS:
            raise invalid("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= limit:
            raise invalid("`max_tokens` must be greater than `thinking.budget_tokens`.")
    return limit


def sign(thinking: str) -> str:
    """Return the signature of a thought, which only this simulator computes."""
    return base64.b64encode(hashlib.sha256(b"simulator:" + thinking.encode()).digest()).decode()


def check_messages(messages: Json) -> None:
    """The conversation: roles, blocks, results that answer calls, signatures.

    Raises:
        Refusal: the real service would refuse it.
    """
    if not isinstance(messages, list):
        raise invalid("messages: Field required")
    if not messages:
        raise invalid("messages: at least one message is required")
    asked: set[str] = set()
    for index, message in enumerate(messages):
        place = f"messages.{index}"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in ("user", "assistant"):
            raise invalid(f"{place}.role: Input should be 'user' or 'assistant'")
        blocks = _blocks(message.get("content"), place)
        answered = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        if stray := answered - asked:
            raise invalid(f"{place}.content: unexpected `tool_use_id` found in `tool_result` blocks: {min(stray)}")
        if missing := asked - answered:
            raise invalid(f"{place}: `tool_use` ids were found without `tool_result` blocks: {min(missing)}")
        asked = {block["id"] for block in blocks if block["type"] == "tool_use"}


def _blocks(content: Json, place: str) -> list[dict[str, Any]]:
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list) or not content:
        raise invalid(f"{place}.content: all messages must have non-empty content")
    for index, block in enumerate(content):
        where = f"{place}.content.{index}"
        check = _CHECKS.get(block.get("type")) if isinstance(block, dict) else None
        if check is None:
            raise invalid(f"{where}: Input tag does not match any of the expected tags: {', '.join(_CHECKS)}")
        check(block, where)
    return content


def _check_text(block: dict[str, Any], place: str) -> None:
    if not isinstance(block.get("text"), str) or not block["text"].strip():
        raise invalid(f"{place}.text: text content blocks must contain non-whitespace text")


def _check_source(block: dict[str, Any], place: str) -> None:
    source = block.get("source")
    if not isinstance(source, dict) or source.get("type") not in ("base64", "url", "text", "content", "file"):
        raise invalid(f"{place}.source: Field required")
    if source["type"] == "base64":
        try:
            base64.b64decode(source.get("data") or "?", validate=True)
        except (ValueError, TypeError) as error:
            raise invalid(f"{place}.source.base64.data: invalid base64 data") from error


def _check_use(block: dict[str, Any], place: str) -> None:
    for name, kind in (("id", str), ("name", str), ("input", dict)):
        if not isinstance(block.get(name), kind):
            raise invalid(f"{place}.tool_use.{name}: Field required")


def _check_result(block: dict[str, Any], place: str) -> None:
    if not isinstance(block.get("tool_use_id"), str):
        raise invalid(f"{place}.tool_result.tool_use_id: Field required")


def _check_thought(block: dict[str, Any], place: str) -> None:
    thinking, signature = block.get("thinking"), block.get("signature")
    if not isinstance(thinking, str) or not isinstance(signature, str):
        raise invalid(f"{place}.thinking.signature: Field required")
    # A thought that was left out of the answer comes back empty and is known by its signature alone.
    if thinking and signature != sign(thinking):
        raise invalid(f"{place}: Invalid `signature` in `thinking` block")


def _accept(_block: dict[str, Any], _place: str) -> None:
    return


_CHECKS: dict[Any, Callable[[dict[str, Any], str], None]] = {
    "text": _check_text,
    "image": _check_source,
    "document": _check_source,
    "tool_use": _check_use,
    "tool_result": _check_result,
    "thinking": _check_thought,
    "redacted_thinking": _accept,
}


def _check_sampling(body: dict[str, Any], version: str) -> None:
    for name in SAMPLING:
        if name in body and (version >= NO_SAMPLING_VERSION or _NEW_MODEL.search(body["model"])):
            raise invalid(f"{name}: Extra inputs are not permitted")
    temperature = body.get("temperature", 1)
    if not isinstance(temperature, int | float) or not 0 <= temperature <= 1:
        raise invalid("temperature: range: 0..1")


def _check_tools(body: dict[str, Any]) -> None:
    tools = body.get("tools", [])
    if not isinstance(tools, list):
        raise invalid("tools: Input should be a valid list")
    for index, tool in enumerate(tools):
        if not isinstance(tool, dict) or not isinstance(tool.get("name"), str):
            raise invalid(f"tools.{index}.name: Field required")
        schema = tool.get("input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise invalid(f"tools.{index}.custom.input_schema.type: Field required")
    if body.get("tool_choice") and not tools:
        raise invalid("tool_choice: may only be specified while providing tools")
