"""Counting the input tokens of a Messages request.

Source: https://platform.claude.com/docs/en/api/messages-count-tokens
"""

from dataclasses import replace

import orjson

from shared.providers.wires.base import MalformedAnswer, UpstreamRequest
from shared.providers.wires.reading import read_json_object

# What an answer is limited and sampled by does not count, and is refused.
_COUNTED = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
)


def count_request(request: UpstreamRequest) -> UpstreamRequest:
    """The request that counts what ``request`` would send."""
    fields = {name: value for name, value in orjson.loads(request.body).items() if name in _COUNTED}
    return replace(request, path=f"{request.path}/count_tokens", body=orjson.dumps(fields))


def read_count(body: bytes) -> int:
    """The number of tokens in the answer.

    Raises:
        MalformedAnswer: There is none.
    """
    count = read_json_object(body, "the count").get("input_tokens")
    if type(count) is not int:
        raise MalformedAnswer("the answer holds no count")
    return count
