"""Ids that this gateway makes, distinguishable from those of providers by a checksum."""

import os
import zlib

_RANDOM_CHARS = 40
_CHECK_CHARS = 8
_SALT = b"finops"


def mint(prefix: str) -> str:
    """A new id: the prefix and 48 hexadecimal digits."""
    digits = os.urandom(_RANDOM_CHARS // 2).hex()
    return f"{prefix}{digits}{_check(digits)}"


def is_minted(prefix: str, text: str) -> bool:
    """Whether ``mint`` made it; one in four thousand million others seems so."""
    digits = text.removeprefix(prefix)
    if digits is text or len(digits) != _RANDOM_CHARS + _CHECK_CHARS or not digits.isascii():
        return False
    return _check(digits[:_RANDOM_CHARS]) == digits[_RANDOM_CHARS:]


def _check(digits: str) -> str:
    return f"{zlib.crc32(_SALT + digits.encode()):0{_CHECK_CHARS}x}"
