"""Embeddings as unit vectors, their bytes in the store, and where near ones are found."""

from array import array
from collections.abc import Sequence
from itertools import starmap
from math import isfinite, sqrt
from operator import mul
from typing import TYPE_CHECKING, NamedTuple, Protocol

MOST_DIMENSIONS = 8192

if TYPE_CHECKING:
    Vector = array[float]
    """Of length 1, 32-bit floats."""
else:
    Vector = array  # Python 3.11 takes no type of its items


def unit_vector(values: object) -> Vector | None:
    """Return an embedding with length 1; None if it is not a list of finite numbers, or has no direction.

    Args:
        values: As a provider sent it; may be anything.
    """
    if not isinstance(values, Sequence) or isinstance(values, str) or not 2 <= len(values) <= MOST_DIMENSIONS:
        return None
    try:
        numbers = array("f", values)
    except (TypeError, OverflowError):
        return None
    length = sqrt(sum(starmap(mul, zip(numbers, numbers, strict=True))))
    if not isfinite(length) or length == 0:
        return None
    return array("f", [number / length for number in numbers])


def cosine(one: Vector, other: Vector) -> float:
    """Return how similar two unit vectors are, -1 to 1; 60 us for 1,536 dimensions."""
    return float(sum(map(mul, one, other)))


class Neighbour(NamedTuple):
    """A stored vector near another one.

    Attributes:
        entry_id: Of the entry whose question it is.
        similarity: Cosine, -1 to 1.
    """

    entry_id: str
    similarity: float


class VectorIndex(Protocol):
    """Finds stored questions by their vectors, within one partition: vectors of others are never compared.

    All of its methods raise StoreConnectionError or ResponseError if it is in a store that does not answer.

    Attributes:
        name: ``vectorset``, ``search`` or ``memory``.
    """

    name: str

    async def add(self, partition: str, entry_id: str, vector: Vector, life_s: int) -> None:
        """Add or replace a question's vector.

        Args:
            partition: Of questions that may share an answer; its vectors all have as many dimensions.
            entry_id: Of the question's answer.
            vector: Of the question.
            life_s: How long it is kept at least, in seconds.
        """
        ...

    async def nearest(self, partition: str, vector: Vector, count: int) -> list[Neighbour]:
        """Return the nearest vectors, the nearest first."""
        ...

    async def remove(self, partition: str, entry_ids: Sequence[str]) -> None:
        """Remove vectors whose entries are gone."""
        ...
