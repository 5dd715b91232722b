"""Signed thoughts of other makers' models inside the signatures of this format.

A caller of this format sends parts back as they came. What a model of Anthropic signed has to come back to it as it
was, so its kind travels inside the signature, which is opaque to callers.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

_PREFIXES = {"thinking": b"\x00thinking\x00", "redacted_thinking": b"\x00redacted\x00"}
_SEALED = {"thinking": "signature", "redacted_thinking": "data"}


def sealed(block: Mapping[str, Any]) -> str:
    """The signature for a thinking block: its own, with its kind."""
    kind = "redacted_thinking" if block.get("type") == "redacted_thinking" else "thinking"
    return base64.b64encode(_PREFIXES[kind] + str(block.get(_SEALED[kind]) or "").encode()).decode()


def unsealed(signature: object, text: str) -> dict[str, Any] | None:
    """The thinking block for a signature of ours; None: it is another one."""
    if not isinstance(signature, str):
        return None
    try:
        # The SDK spells bytes in the alphabet for URLs.
        data = base64.urlsafe_b64decode(signature.replace("+", "-").replace("/", "_"))
    except (binascii.Error, ValueError):
        return None
    kind = next((kind for kind, prefix in _PREFIXES.items() if data.startswith(prefix)), None)
    if kind is None:
        return None
    value = data.removeprefix(_PREFIXES[kind]).decode("utf-8", "replace")
    thought = {"thinking": text} if kind == "thinking" else {}
    return {"type": kind, **thought, _SEALED[kind]: value}
