"""Ids that this gateway makes, distinguishable from those of providers by a checksum."""

import os
import zlib

_RANDOM_CHARS = 40
_CHECK_CHARS = 8
_SALT = b"finops"
_SHARD_SALT = b"finops:shard"


def mint(prefix: str, shard: int = 0) -> str:
    """A new id: the prefix and 48 hexadecimal digits, of which the first two name a shard other than 0."""
    digits = os.urandom(_RANDOM_CHARS // 2).hex()
    if shard == 0:
        return f"{prefix}{digits}{_check(digits)}"
    digits = f"{shard:02x}{digits[2:]}"
    return f"{prefix}{digits}{_check(digits, _SHARD_SALT)}"


def is_minted(prefix: str, text: str) -> bool:
    """Whether ``mint`` made it; one in two thousand million others seems so."""
    digits = text.removeprefix(prefix)
    if digits is text or len(digits) != _RANDOM_CHARS + _CHECK_CHARS or not digits.isascii():
        return False
    check = digits[_RANDOM_CHARS:]
    return check == _check(digits[:_RANDOM_CHARS]) or check == _check(digits[:_RANDOM_CHARS], _SHARD_SALT)


def shard_in(prefix: str, text: str) -> int:
    """The shard that an id names; 0 for any other text."""
    digits = text.removeprefix(prefix)
    if not is_minted(prefix, text) or digits[_RANDOM_CHARS:] == _check(digits[:_RANDOM_CHARS]):
        return 0
    try:
        return int(digits[:2], 16)
    except ValueError:  # a text with the checksum of an id, and other letters
        return 0


def _check(digits: str, salt: bytes = _SALT) -> str:
    return f"{zlib.crc32(salt + digits.encode()):0{_CHECK_CHARS}x}"
