"""Ids of responses that this gateway made, told from those of providers by a check sum in them."""

import os
import re
import zlib

_PREFIX = "resp_"
_RANDOM_CHARS = 40
_CHECK_CHARS = 8
_SALT = b"finops"
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def mint_response_id() -> str:
    """A new id: ``resp_`` and 48 hexadecimal digits, as OpenAI's."""
    digits = os.urandom(_RANDOM_CHARS // 2).hex()
    return f"{_PREFIX}{digits}{_check(digits)}"


def is_minted(response_id: str) -> bool:
    """Whether ``mint_response_id`` made it; one in four thousand million others seems so."""
    digits = response_id.removeprefix(_PREFIX)
    if digits is response_id or len(digits) != _RANDOM_CHARS + _CHECK_CHARS or not digits.isascii():
        return False
    return _check(digits[:_RANDOM_CHARS]) == digits[_RANDOM_CHARS:]


def is_ours(response_id: str) -> bool:
    """Whether an id can only be of a response that this gateway made, or of one of its jobs."""
    return is_minted(response_id) or _UUID.fullmatch(response_id) is not None


def _check(digits: str) -> str:
    return f"{zlib.crc32(_SALT + digits.encode()):0{_CHECK_CHARS}x}"
