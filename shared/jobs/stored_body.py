"""How a body is stored: as it is, compressed, or in the object store; pure."""

import sys
from dataclasses import dataclass

if sys.version_info >= (3, 14):  # pragma: no cover - the tests run on 3.11
    from compression import zstd
else:
    from backports import zstd

ZSTD = "z"
BLOB = "b:"
SEALED = "e"
"""Before the encoding of what was sealed: ``e``, or ``ez`` for a compressed body."""
LEVEL = 1
"""Measured on chat answers of 5 KB: level 1 leaves 43 % in 29 us, level 3 leaves 42 % in 58 us."""


@dataclass(frozen=True, slots=True)
class StoredBody:
    """What Redis keeps of a body.

    Attributes:
        data: The bytes in Redis; empty for a body in the object store.
        encoding: Empty: ``data`` is the body; ``z``: it is compressed with zstd; ``e`` or ``ez``: it is sealed, after
            that; ``b:<name>``: the body, possibly sealed, is that object.
        size: Bytes of the body itself, which quotas count.
    """

    data: bytes
    encoding: str
    size: int


def stored_as_is(body: bytes) -> StoredBody:
    """Return the form of a body that is stored unchanged."""
    return StoredBody(body, "", len(body))


def blob_name(encoding: str) -> str:
    """Return the name of the object that holds a body; empty: Redis holds it."""
    return encoding.removeprefix(BLOB) if encoding.startswith(BLOB) else ""


def compress(body: bytes) -> StoredBody:
    """Compress a body; one that does not shrink stays as it is."""
    packed = zstd.compress(body, LEVEL)
    return StoredBody(packed, ZSTD, len(body)) if len(packed) < len(body) else stored_as_is(body)


def decompress(data: bytes) -> bytes:
    """Return the body of ``compress``.

    Raises:
        ValueError: It is not what ``compress`` made.
    """
    try:
        return zstd.decompress(data)
    except zstd.ZstdError as error:
        raise ValueError(f"a stored body is damaged: {error}") from error
