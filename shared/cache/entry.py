"""A stored answer, and its bytes in the store. Pure.

One line of JSON, then the body: small ones as they are, others compressed (22 us for 6.8 KB, a third of its size).
Where bodies are encrypted, the question is not in the line but before the body, and both are sealed.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

from shared.errors import BodyUndecryptable

VERSION = 1
COMPRESSED_FROM = 4096


class CacheEntry(NamedTuple):
    """A stored answer.

    Attributes:
        at: When its request was sent, Unix seconds.
        ttl_s: How long it is served, in seconds.
        provider: The provider that answered.
        model: As the provider calls it.
        usage: As the provider reported it, OpenAI's names.
        body: The whole answer, or the events of a stream.
        content_type: Of the body.
        events: Whether the body is a stream's events.
        partition: ``CachePolicy.partition`` of its request.
        text: The question of its request; empty: only equal requests are served.
        list_micro_usd: What the call cost at list prices, 0 without a price; None: nobody looked.
    """

    at: float
    ttl_s: int
    provider: str
    model: str
    usage: Mapping[str, Any]
    body: bytes
    content_type: str = "application/json"
    events: bool = False
    partition: str = ""
    text: str = ""
    list_micro_usd: int | None = None

    def age_s(self, now: float) -> float:
        """Return its age in seconds."""
        return max(0.0, now - self.at)

    def left_s(self, now: float) -> float:
        """Return how long it is still served, in seconds; negative: it is stale."""
        return self.at + self.ttl_s - now

    def encode(self, seal: Callable[[bytes], bytes] | None = None) -> bytes:
        """Return the bytes that are stored.

        Args:
            seal: Encrypts the question and the answer; None: they are stored as they are.
        """
        packed = len(self.body) >= COMPRESSED_FROM
        head: dict[str, Any] = {
            "v": VERSION,
            "at": self.at,
            "ttl": self.ttl_s,
            "provider": self.provider,
            "model": self.model,
            "usage": dict(self.usage),
            "type": self.content_type,
            "events": self.events,
            "partition": self.partition,
            "size": len(self.body),
            "packed": packed,
            "list": self.list_micro_usd,
        }
        body = zlib.compress(self.body, 1) if packed else self.body
        if seal is not None:
            text = self.text.encode("utf-8", "surrogatepass")
            head["sealed"] = len(text)
            return b"%b\n%b" % (orjson.dumps(head), seal(text + body))
        if self.text:
            head["text"] = self.text
        head["crc"] = zlib.crc32(self.body)
        return b"%b\n%b" % (orjson.dumps(head), body)


def decode(data: bytes, *, most_bytes: int, unseal: Callable[[bytes], bytes] | None = None) -> CacheEntry | None:
    """Read a stored entry.

    Args:
        data: What the store holds; may be anything.
        most_bytes: The largest body that is unpacked.
        unseal: Decrypts what ``seal`` of ``CacheEntry.encode`` returned; None: sealed entries are not read.

    Returns:
        None if it is not an entry of this version, whole, within the limit and readable with the configured keys.
    """
    line, _, body = data.partition(b"\n")
    try:
        head = orjson.loads(line)
        if head["v"] != VERSION or head["size"] > most_bytes:
            return None
        text_bytes = head.get("sealed")
        if text_bytes is not None:
            if unseal is None:
                return None
            body = unseal(body)
            head["text"], body = body[:text_bytes].decode("utf-8", "surrogatepass"), body[text_bytes:]
        if head["packed"]:
            body = zlib.decompressobj().decompress(body, most_bytes)
        whole = len(body) == head["size"] and (text_bytes is not None or zlib.crc32(body) == head["crc"])
        return _entry(head, body) if whole else None
    except (ValueError, TypeError, KeyError, zlib.error, BodyUndecryptable):
        return None


def decode_head(data: bytes) -> CacheEntry | None:
    """Read an entry's first bytes, without its body; None if they are not an entry's of this version."""
    try:
        head = orjson.loads(data.partition(b"\n")[0])
        return _entry(head, b"") if head["v"] == VERSION else None
    except (ValueError, TypeError, KeyError):
        return None


def _entry(head: Mapping[str, Any], body: bytes) -> CacheEntry:
    return CacheEntry(
        float(head["at"]),
        int(head["ttl"]),
        str(head["provider"]),
        str(head["model"]),
        dict(head["usage"]),
        body,
        str(head["type"]),
        bool(head["events"]),
        str(head["partition"]),
        str(head.get("text", "")),
        None if (price := head.get("list")) is None else int(price),
    )
