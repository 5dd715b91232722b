"""Describes Redis keys: each package that owns keys lists them in a table of ``Key`` rows.

The documentation's table and the tests use the union of these tables (``docs/tables.py``).
"""

from dataclasses import dataclass
from typing import Literal

KeyType = Literal["string", "hash", "list", "set", "sorted set", "vector set", "stream", "channel"]


@dataclass(frozen=True, slots=True)
class Key:
    """One kind of key.

    Attributes:
        pattern: Its name; parts in angle brackets vary.
        kind: Redis type.
        lifetime: When it expires; the ones that start with ``permanent`` are bounded or empty themselves.
        purpose: What it stores.
    """

    pattern: str
    kind: KeyType
    lifetime: str
    purpose: str

    @property
    def permanent(self) -> bool:
        """Whether the key may exist without an expiry."""
        return self.lifetime.startswith("permanent")
