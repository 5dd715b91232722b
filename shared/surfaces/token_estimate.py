"""How many tokens a chat request has, roughly: for callers whose provider cannot count. Pure."""

from collections.abc import Mapping
from typing import Any

_CHARS_PER_TOKEN = 4
_TOKENS_PER_IMAGE = 1600


def estimate_tokens(chat: Mapping[str, Any]) -> int:
    """Roughly how many tokens a chat request has, for providers that cannot count: 4 characters each."""
    texts, images = _measure([chat.get("messages"), chat.get("tools"), chat.get("response_format")])
    return -(-texts // _CHARS_PER_TOKEN) + images * _TOKENS_PER_IMAGE


def _measure(value: object) -> tuple[int, int]:
    """Characters and images below a JSON value, without recursion: the nesting is the caller's."""
    chars, images, left = 0, 0, [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            chars += len(each)
        elif isinstance(each, Mapping) and each.get("type") in ("image_url", "file"):
            images += 1
        elif isinstance(each, Mapping):
            left += each.values()
            chars += sum(len(name) for name in each) if "properties" in each else 0
        elif isinstance(each, list):
            left += each
    return chars, images
