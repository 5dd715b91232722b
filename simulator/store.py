"""Bounded storage of the simulated provider: responses, files and batches."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")

STORED_LIMIT = 10_000


class Shelf(Generic[T]):
    """A dictionary that forgets its oldest entry when it is full."""

    def __init__(self, limit: int = STORED_LIMIT) -> None:
        self._items: OrderedDict[str, T] = OrderedDict()
        self._limit = limit

    def put(self, key: str, item: T) -> None:
        """Keep an item, dropping the oldest beyond the limit."""
        self._items[key] = item
        if len(self._items) > self._limit:
            self._items.popitem(last=False)

    def get(self, key: str) -> T | None:
        """Return the item, or None."""
        return self._items.get(key)

    def drop(self, key: str) -> bool:
        """Forget an item; whether it was there."""
        return self._items.pop(key, None) is not None

    def newest_first(self) -> list[T]:
        """Return all items, the newest first."""
        return list(reversed(self._items.values()))


@dataclass(slots=True)
class StoredResponse:
    """A response with the items it read; `pending` until a background response is first polled."""

    body: dict[str, Any]
    input_items: list[dict[str, Any]]
    pending: bool = False


@dataclass(slots=True)
class StoredFile:
    """An uploaded or produced file: its public object and its bytes."""

    body: dict[str, Any]
    content: bytes


@dataclass(slots=True)
class Store:
    """Everything one simulator remembers."""

    responses: Shelf[StoredResponse] = field(default_factory=Shelf)
    files: Shelf[StoredFile] = field(default_factory=lambda: Shelf(1_000))
    batches: Shelf[dict[str, Any]] = field(default_factory=Shelf)
    videos: Shelf[dict[str, Any]] = field(default_factory=Shelf)
    faults: Shelf[dict[str, str]] = field(default_factory=Shelf)
    """How batches are to misbehave, by their ids."""
    begun: Shelf[float] = field(default_factory=Shelf)
    """When batches were created, monotonic seconds."""
    looks: Shelf[int] = field(default_factory=Shelf)
    """How often each batch was looked at while it ran."""
