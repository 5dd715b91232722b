"""Encrypts bodies at rest: AES-256-GCM under configured keys, the first of which encrypts and all of which decrypt.

A sealed body is a sequence of frames of at most 256 KiB, each with a header of 41 bytes: magic, id of the key, salt,
nonce, number of the frame, whether it is the body's last, and its length. Header and purpose are authenticated: a value
that is moved to another key, cut short or put together anew does not open. Every process derives a key of its own from
the configured one and a random salt, so that its random nonces stay far below the 2^32 that one key of GCM may have:
https://csrc.nist.gov/pubs/sp/800/38/d/final
"""

import hashlib
import hmac
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from shared.errors import BodyUndecryptable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC: Final = b"\xffFINOPS\x01"
"""How a sealed body begins; no UTF-8 text has its first byte."""
FRAME_BYTES: Final = 256 * 1024
"""The most that one call of the library encrypts, 0.7 ms: it does not release the interpreter."""
KEY_BYTES: Final = 32
_HEADER: Final = struct.Struct(">8s4s8s12sI?I")
_TAG_BYTES: Final = 16
_SALTS: Final = 1024


class EncryptionUnavailable(ValueError):
    """The library for encryption is not installed; the message says what to do."""


class _Frame(NamedTuple):
    header: bytes
    key_id: bytes
    salt: bytes
    nonce: bytes
    number: int
    is_last: bool
    sealed: bytes


class BodyCipher:
    """Seals bodies before they are stored, and opens them; without keys it stores them as they are.

    Args:
        keys: 32 bytes each. The first one encrypts, all decrypt.

    Raises:
        EncryptionUnavailable: There are keys, and ``cryptography`` is not installed.
    """

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._keys = {key_id(key): key for key in keys}
        self.is_on = bool(keys)
        self._first = key_id(keys[0]) if keys else b""
        self._salt = os.urandom(8)
        self._derived = lru_cache(maxsize=_SALTS)(self._derive)
        if keys:
            self._derived(self._first, self._salt)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the keys, the one that encrypts first."""
        return tuple(each.hex() for each in self._keys)

    def seal(self, body: bytes, purpose: str) -> bytes:
        """Return a body as it is to be stored.

        Args:
            body: The body; an empty one stays as it is.
            purpose: What it is and whose, such as ``jobs/<id>/result``; needed to open it.
        """
        if not self.is_on or not body:
            return body
        cipher, bound = self._derived(self._first, self._salt), purpose.encode()
        frames: list[bytes] = []
        for number, start in enumerate(range(0, len(body), FRAME_BYTES)):
            piece = body[start : start + FRAME_BYTES]
            nonce, is_last = os.urandom(12), start + FRAME_BYTES >= len(body)
            length = len(piece) + _TAG_BYTES
            header = _HEADER.pack(MAGIC, self._first, self._salt, nonce, number, is_last, length)
            frames += (header, cipher.encrypt(nonce, piece, header + bound))
        return b"".join(frames)

    def open(self, stored: bytes, purpose: str) -> bytes:
        """Return the body of what ``seal`` returned; a plain one as it is.

        Args:
            stored: What the store holds.
            purpose: As it was given to ``seal``.

        Raises:
            BodyUndecryptable: Its key is not configured, or the bytes are damaged or another value's.
        """
        if not is_sealed(stored):
            return stored
        frames = [*_frames(stored)]
        if any(isinstance(frame, bytes) or frame.is_last != (frame is frames[-1]) for frame in frames):
            raise BodyUndecryptable("")
        return b"".join(self._opened(frames, (purpose.encode(),)))

    def open_all(self, stored: bytes, *purposes: str) -> bytes:
        """Return the bodies of a value to which others were appended, each sealed or plain.

        Args:
            stored: What the store holds.
            purposes: Those under which its bodies may have been sealed.

        Raises:
            BodyUndecryptable: As of ``open``.
        """
        begin = stored.find(MAGIC)
        if begin < 0:
            return stored
        opened = self._opened(_frames(stored[begin:]), tuple(purpose.encode() for purpose in purposes))
        return b"".join((stored[:begin], *opened))

    def _opened(self, frames: Iterable[_Frame | bytes], purposes: Sequence[bytes]) -> Iterator[bytes]:
        """Yield the pieces of bodies in a row; what is plain between two of them as it is."""
        awaited = 0
        for frame in frames:
            if isinstance(frame, bytes) and not awaited:
                yield frame
                continue
            if isinstance(frame, bytes) or frame.number != awaited:
                raise BodyUndecryptable("")
            yield _decrypted(self._derived(frame.key_id, frame.salt), frame, purposes)
            awaited = 0 if frame.is_last else awaited + 1
        if awaited:
            raise BodyUndecryptable("")

    def _derive(self, wanted: bytes, salt: bytes) -> "AESGCM":
        key = self._keys.get(wanted)
        if key is None:
            raise BodyUndecryptable(wanted.hex())
        try:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - an extra
        except ImportError:
            raise EncryptionUnavailable(
                "[store] encryption_key needs the library cryptography: pip install 'finops-gateway[encryption]'"
            ) from None
        return AESGCM(hmac.digest(key, b"finops bodies" + salt, "sha256"))


def key_id(key: bytes) -> bytes:
    """Return the 4 bytes that name a key; nothing about it can be learnt from them."""
    return hashlib.sha256(b"finops key id" + key).digest()[:4]


def is_sealed(stored: bytes) -> bool:
    """Tell whether a stored value is sealed."""
    return stored[:8] == MAGIC


def sealing_key(stored: bytes) -> str:
    """Return the id of the key with which a value is sealed; empty: it is not sealed."""
    return stored[8:12].hex() if is_sealed(stored) else ""


def _frames(stored: bytes) -> Iterator[_Frame | bytes]:
    """Split a value that begins with a frame into frames, and what is plain between them."""
    at = 0
    while at < len(stored):
        if stored[at : at + len(MAGIC)] != MAGIC:
            plain = stored[at:].partition(MAGIC)[0]
            yield plain
            at += len(plain)
            continue
        header = stored[at : at + _HEADER.size]
        if len(header) < _HEADER.size:
            raise BodyUndecryptable("")
        _, key, salt, nonce, number, is_last, length = _HEADER.unpack(header)
        at += _HEADER.size + length
        yield _Frame(header, key, salt, nonce, number, is_last, stored[at - length : at])


def _decrypted(cipher: "AESGCM", frame: _Frame, purposes: Sequence[bytes]) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - an extra

    for purpose in purposes:
        try:
            return cipher.decrypt(frame.nonce, frame.sealed, frame.header + purpose)
        except (InvalidTag, ValueError):
            continue
    raise BodyUndecryptable("")


PLAIN: Final = BodyCipher()
"""Without keys: bodies are stored as they are, and a sealed one is refused."""
