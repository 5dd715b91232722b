"""Ids that look like the real ones; random, so that two simulators never mint the same."""

import base64
import os


def opaque(prefix: str, size: int = 24) -> str:
    """A prefix and so many letters and digits, as in `chatcmpl-…`, `call_…` and `file-…`."""
    letters = base64.b32encode(os.urandom((size * 5 + 7) // 8)).decode().rstrip("=")
    return prefix + letters[:size].lower()


def hexadecimal(prefix: str, size: int = 48) -> str:
    """A prefix and so many hexadecimal digits, as in `resp_…` and `msg_…`."""
    return prefix + os.urandom(size // 2).hex()
