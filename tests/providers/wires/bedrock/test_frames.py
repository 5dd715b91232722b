"""Frames against botocore's own decoder, and what is wrong with broken ones."""

import struct
import zlib

import botocore.eventstream
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.providers.wires.base import MalformedAnswer
from shared.providers.wires.bedrock.frames import MAX_FRAME_BYTES, FrameSplitter

NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)
# Type, and the bytes of a value of it (https://smithy.io/2.0/aws/amazon-eventstream.html).
VALUES = st.one_of(
    st.just((0, b"")),
    st.just((1, b"")),
    st.binary(min_size=1, max_size=1).map(lambda value: (2, value)),
    st.binary(min_size=2, max_size=2).map(lambda value: (3, value)),
    st.binary(min_size=4, max_size=4).map(lambda value: (4, value)),
    st.binary(min_size=8, max_size=8).map(lambda value: (5, value)),
    st.binary(max_size=20).map(lambda value: (6, struct.pack(">H", len(value)) + value)),
    st.text(max_size=20).map(lambda value: (7, struct.pack(">H", len(value.encode())) + value.encode())),
    st.binary(min_size=8, max_size=8).map(lambda value: (8, value)),
    st.binary(min_size=16, max_size=16).map(lambda value: (9, value)),
)


def build(headers, payload):
    lines = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">B", kind) + value
        for name, (kind, value) in headers.items()
    )
    lengths = struct.pack(">II", 16 + len(lines) + len(payload), len(lines))
    frame = lengths + struct.pack(">I", zlib.crc32(lengths)) + lines + payload
    return frame + struct.pack(">I", zlib.crc32(frame))


@given(
    frames=st.lists(st.tuples(st.dictionaries(NAMES, VALUES, max_size=4), st.binary(max_size=60)), max_size=5),
    cuts=st.lists(st.integers(1, 80), max_size=30),
)
def test_frames_are_what_botocore_reads_however_they_are_cut(frames, cuts):
    data = b"".join(build(headers, payload) for headers, payload in frames)
    buffer = botocore.eventstream.EventStreamBuffer()
    buffer.add_data(data)
    expected = [(message.headers, message.payload) for message in buffer]
    splitter, read = FrameSplitter(), []
    for cut in [*cuts, len(data)]:
        read += splitter.feed(data[:cut])
        data = data[cut:]
    assert [frame.payload for frame in read] == [payload for _, payload in expected]
    for (headers, _), frame, (written, _) in zip(frames, read, expected, strict=True):
        texts = {name for name, (kind, _) in headers.items() if kind == 7}
        assert frame.headers == {name: written[name] for name in texts}


GOOD = build({":event-type": (7, b"\x00\x05hello")}, b"{}")


@pytest.mark.parametrize("at", range(len(GOOD)))
def test_any_flipped_byte_is_noticed(at):
    broken = bytearray(GOOD)
    broken[at] ^= 1
    with pytest.raises(MalformedAnswer):
        FrameSplitter().feed(bytes(broken))


def test_a_frame_that_is_not_whole_is_waited_for():
    splitter = FrameSplitter()
    assert splitter.feed(GOOD[:-1]) == []
    assert [frame.payload for frame in splitter.feed(GOOD[-1:])] == [b"{}"]


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (MAX_FRAME_BYTES + 1, 0), (20, 5), (2**32 - 1, 2**32 - 1)])
def test_lengths_that_cannot_be_are_refused_at_once(total, headers):
    lengths = struct.pack(">II", total, headers)
    with pytest.raises(MalformedAnswer, match="bytes"):
        FrameSplitter().feed(lengths + struct.pack(">I", zlib.crc32(lengths)))


@pytest.mark.parametrize(
    "lines",
    [
        b"\x09short",
        b"\x01a",
        b"\x01a\x07\x00",
        b"\x01a\x07\x00\x09x",
        b"\x01a\x0a",
        b"\x01\xff\x00",
        b"\x01a\x07\x00\x01\xff",
        b"\x01a\x05\x00",
    ],
)
def test_broken_headers_are_malformed(lines):
    lengths = struct.pack(">II", 16 + len(lines), len(lines))
    frame = lengths + struct.pack(">I", zlib.crc32(lengths)) + lines
    with pytest.raises(MalformedAnswer, match="header"):
        FrameSplitter().feed(frame + struct.pack(">I", zlib.crc32(frame)))
