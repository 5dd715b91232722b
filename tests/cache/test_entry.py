"""A stored answer's bytes."""

import zlib
from functools import partial

import orjson
import pytest

from shared.cache.entry import COMPRESSED_FROM, CacheEntry, decode, decode_head
from shared.store.encryption import BodyCipher

MOST = 1024 * 1024


def entry(body: bytes = b'{"a":1}') -> CacheEntry:
    return CacheEntry(
        at=1000.5, ttl_s=60, provider="p", model="m/n", usage={"total_tokens": 3}, body=body, partition="k"
    )


@pytest.mark.parametrize("size", [0, 10, COMPRESSED_FROM - 1, COMPRESSED_FROM, 100_000])
def test_an_entry_is_read_as_it_was_written(size: int) -> None:
    before = entry(b"x\n" * (size // 2))
    stored = before.encode()
    assert decode(stored, most_bytes=MOST) == before
    assert (head := decode_head(stored[:2000])) is not None and (head.at, head.model) == (1000.5, "m/n")
    assert len(stored) < 5000


@pytest.mark.parametrize("size", [0, 10, COMPRESSED_FROM])
def test_a_sealed_entry_shows_neither_question_nor_answer(size: int) -> None:
    before = entry(b"secret" * (size // 6))._replace(text="wha\ud800t is secret?")
    cipher = BodyCipher((bytes(32),))
    stored = before.encode(partial(cipher.seal, purpose="a"))
    assert b"secret" not in stored
    assert decode(stored, most_bytes=MOST, unseal=partial(cipher.open, purpose="a")) == before
    assert decode(stored, most_bytes=MOST, unseal=partial(cipher.open, purpose="b")) is None
    assert decode(stored, most_bytes=MOST) is None
    assert (head := decode_head(stored)) is not None and (head.partition, head.text) == ("k", "")


def test_age_and_life_are_counted_from_the_request() -> None:
    assert entry().age_s(1010.5) == 10
    assert entry().age_s(900) == 0
    assert entry().left_s(1010.5) == 50
    assert entry().left_s(1100.5) == -40


def _head(**changes: object) -> bytes:
    head = orjson.loads(entry().encode().partition(b"\n")[0])
    return orjson.dumps({**head, **changes}) + b"\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"garbage",
        b"[]\n{}",
        b"null\n",
        b"\xff\xfe\n",
        _head(v=99) + b'{"a":1}',
        _head() + b'{"a":',
        _head() + b'{"a":1}}',
        _head() + b'{"a":2}',
        _head(size="7") + b'{"a":1}',
        _head(at="soon") + b'{"a":1}',
        _head(usage=3) + b'{"a":1}',
        _head(size=MOST + 1),
        _head(packed=True) + b"no zlib",
        _head(packed=True) + zlib.compress(b'{"a":1}')[:-6],
        _head(packed=True) + zlib.compress(b"\0" * 50_000_000),
    ],
)
def test_garbage_is_no_entry(data: bytes) -> None:
    assert decode(data, most_bytes=MOST) is None


@pytest.mark.parametrize("data", [b"", b"garbage", b"[]", _head(v=2), b'{"v":1}'])
def test_garbage_is_no_head(data: bytes) -> None:
    assert decode_head(data) is None
