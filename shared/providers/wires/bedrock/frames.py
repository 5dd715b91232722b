"""Frames of ``application/vnd.amazon.eventstream``: a prelude, headers, a payload, each part summed.

::

    4 bytes  total length      4 bytes  length of the headers     4 bytes  CRC-32 of these eight
    headers                    payload                            4 bytes  CRC-32 of everything before

Numbers are big-endian. Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.providers.wires.base import MalformedAnswer

MAX_FRAME_BYTES = 24 * 1024 * 1024
_PRELUDE = struct.Struct(">III")
_OVERHEAD_BYTES = 16


@dataclass(frozen=True, slots=True)
class Frame:
    """One message of the stream.

    Attributes:
        headers: Of type string only: the others say nothing here.
    """

    headers: Mapping[str, str]
    payload: bytes


class FrameSplitter:
    """Cuts a stream of bytes, however it arrives, into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes.

        Raises:
            MalformedAnswer: A sum does not match, or a length cannot be.
        """
        data = self._rest + data if self._rest else data
        frames: list[Frame] = []
        start = 0
        while len(data) - start >= _PRELUDE.size:
            total = _total(data, start)
            if len(data) - start < total:
                break
            frames.append(_frame(data[start : start + total]))
            start += total
        self._rest = data[start:]
        return frames


def _total(data: bytes, start: int) -> int:
    """The length of the frame that begins at ``start``, its prelude checked."""
    total, headers, crc = _PRELUDE.unpack_from(data, start)
    if zlib.crc32(data[start : start + 8]) != crc:
        raise MalformedAnswer("the checksum of a frame's prelude is wrong")
    if not _OVERHEAD_BYTES + headers <= total <= MAX_FRAME_BYTES:
        raise MalformedAnswer(f"a frame of {total} bytes with {headers} bytes of headers")
    return int(total)


def _frame(data: bytes) -> Frame:
    if zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "big"):
        raise MalformedAnswer("the checksum of a frame is wrong")
    headers_end = _PRELUDE.size + int.from_bytes(data[4:8], "big")
    try:
        headers = _headers(data[_PRELUDE.size : headers_end])
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise MalformedAnswer("the headers of a frame are broken") from error
    return Frame(headers, data[headers_end:-4])


def _headers(data: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    at = 0
    while at < len(data):
        name_end = at + 1 + data[at]
        name = data[at + 1 : name_end].decode()
        kind = data[name_end]
        size, at = _VALUE_SIZES[kind](data, name_end + 1) if kind < len(_VALUE_SIZES) else _unknown(kind)
        if at + size > len(data):
            raise IndexError(name)
        if kind == _STRING:
            headers[name] = data[at : at + size].decode()
        at += size
    return headers


def _fixed(size: int) -> Callable[[bytes, int], tuple[int, int]]:
    return lambda _data, at: (size, at)


def _counted(data: bytes, at: int) -> tuple[int, int]:
    (size,) = struct.unpack_from(">H", data, at)
    return size, at + 2


def _unknown(kind: int) -> Any:  # noqa: ANN401 - never returns
    raise MalformedAnswer(f"a header of unknown type {kind}")


_STRING = 7
# By type: true, false, byte, short, integer, long, bytes, string, timestamp, UUID.
_VALUE_SIZES: tuple[Callable[[bytes, int], tuple[int, int]], ...] = (
    *(_fixed(0), _fixed(0), _fixed(1), _fixed(2), _fixed(4), _fixed(8)),
    *(_counted, _counted, _fixed(8), _fixed(16)),
)
