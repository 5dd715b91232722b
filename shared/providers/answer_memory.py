"""Bounds the memory of answers that are being read: each one, and all of a process together."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from shared.errors import Overloaded

MEGABYTE: Final = 1024 * 1024
UNCOUNTED_BYTES: Final = 256 * 1024
"""Answers declared smaller than this are read at once: counting costs more than they do."""


class AnswerOverLimit(ValueError):
    """An answer exceeds the limit of one."""


class Held:
    """The bytes of one answer so far."""

    __slots__ = ("_memory", "bytes")

    def __init__(self, memory: "AnswerMemory") -> None:
        self._memory = memory
        self.bytes = 0

    def add(self, count: int) -> None:
        """Count a piece in.

        Raises:
            AnswerOverLimit: The answer exceeds the limit of one.
            Overloaded: All answers together exceed theirs.
        """
        memory = self._memory
        if self.bytes + count > memory.max_answer_bytes:
            raise AnswerOverLimit
        if memory.held + count > memory.max_total_bytes:
            raise Overloaded(
                "The gateway is reading too many large answers at once (server.max_answers_mb). Try again.",
                retry_after_s=1.0,
            )
        self.bytes += count
        memory.held += count


class AnswerMemory:
    """The budget of a process.

    Args:
        max_answer_bytes: The largest answer.
        max_total_bytes: All answers that are being read at one time.

    Attributes:
        held: Bytes of answers that are being read now.
    """

    def __init__(self, max_answer_bytes: int = 32 * MEGABYTE, max_total_bytes: int = 512 * MEGABYTE) -> None:
        self.max_answer_bytes = max_answer_bytes
        self.max_total_bytes = max_total_bytes
        self.held = 0

    @contextmanager
    def answer(self) -> Iterator[Held]:
        """Count one answer while it is being read."""
        held = Held(self)
        try:
            yield held
        finally:
            self.held -= held.bytes
