"""Frames of `application/vnd.amazon.eventstream`, with headers of type string.

Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

import struct
import zlib
from collections.abc import Mapping

STRING = 7


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame: lengths and their checksum, headers, payload, the checksum of it all."""
    lines = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    lengths = struct.pack(">II", len(lines) + len(payload) + 16, len(lines))
    frame = lengths + struct.pack(">I", zlib.crc32(lengths)) + lines + payload
    return frame + struct.pack(">I", zlib.crc32(frame))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", STRING, len(value)) + value
