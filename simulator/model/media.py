"""Small valid media files: a PNG of one pixel and a WAV of a tenth of a second."""

import struct
import zlib

WAV_RATE_HZ = 8_000


def tiny_png(seed: int) -> bytes:
    """A PNG of 1x1 pixel whose colour depends on the seed (PNG specification, section 5)."""
    pixel = bytes([0, seed & 255, (seed >> 8) & 255, (seed >> 16) & 255])
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(pixel)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def tiny_wav(seed: int) -> bytes:
    """A mono WAV with 16-bit samples of a triangle wave whose pitch depends on the seed."""
    period = 20 + seed % 60
    samples = [abs(at % period - period // 2) * 200 for at in range(WAV_RATE_HZ // 10)]
    data = struct.pack(f"<{len(samples)}h", *samples)
    layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, WAV_RATE_HZ, WAV_RATE_HZ * 2, 2, 16)
    body = b"WAVE" + layout + struct.pack("<4sI", b"data", len(data)) + data
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def tiny_sound(seed: int, size: int = 512) -> bytes:
    """Deterministic bytes standing for an encoded sound that nobody decodes."""
    return bytes((seed + at * 31) & 255 for at in range(size))
