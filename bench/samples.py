"""What goes over the wire in the gateway bench: one request of 0.45 KB, answers of 1 KB, events of 0.2 KB."""

import json

REQUEST = {
    "messages": [
        {
            "role": "system",
            "content": "You are a helpful assistant that answers briefly and to the point at all times.",
        },
        {"role": "user", "content": "hello " * 40},
    ],
    "temperature": 0.7,
}
USAGE = {
    "prompt_tokens": 20, "completion_tokens": 100, "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 0},
}  # fmt: skip
MESSAGE = {"role": "assistant", "content": "x" * 560, "refusal": None, "annotations": []}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-abc", "object": "chat.completion", "created": 1795360000, "model": "gpt-4o",
        "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}], "usage": USAGE,
    }
).encode()  # fmt: skip
ANTHROPIC_ANSWER = json.dumps(
    {
        "id": "msg_abc", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "x" * 760}], "stop_reason": "end_turn", "stop_sequence": None,
        "usage": {"input_tokens": 20, "output_tokens": 100},
    }
).encode()  # fmt: skip
MODELS = json.dumps(
    {"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "bench"}]}
).encode()
CONFIG = """
[auth]
require_virtual_key = false
[providers.mock]
wire = "openai"
base_url = "http://127.0.0.1:{upstream}/v1"
keys = [{{ name = "m", value = "{key}" }}]
[prices."mock/*"]
input = 1.0
output = 4.0
"""
"""A configuration of ours for a simulated provider, to be formatted; it ends in the table of its price."""


def request(model: str, **more: object) -> str:
    """A chat completion to ask for."""
    return json.dumps({"model": model, **REQUEST, **more}, separators=(",", ":"))


def chunk(delta: dict[str, str] | None, finish: str | None = None, usage: object = None) -> bytes:
    """An event of a streamed chat completion."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    head = {"id": "chatcmpl-abc", "object": "chat.completion.chunk", "created": 1795360000, "model": "gpt-4o"}
    return b"data: " + json.dumps({**head, "choices": choices, "usage": usage}).encode() + b"\n\n"
