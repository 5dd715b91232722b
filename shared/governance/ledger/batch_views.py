"""What callers see of a provider's batch while the gateway rescues its lines, and after that; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import orjson

RESCUING: Final = "rescuing"
WATCHED: Final = "watched"
DONE: Final = "done"
ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
_UNTIL_THE_END: Final = ("output_file_id", "error_file_id", *(f"{status}_at" for status in sorted(ENDED)))


@dataclass(frozen=True, slots=True)
class BatchView:
    """How a provider's batch is presented.

    Attributes:
        followed: Id of the followed batch.
        state: ``watched``, ``rescuing`` or ``done``.
        stopped: Whether its caller has cancelled it.
        final: Fields that replace the provider's, once it is done.
    """

    followed: str
    state: str
    stopped: bool
    final: Mapping[str, Any]

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> Self:
        """Read the stored form."""
        return cls(
            followed=fields.get(b"followed", b"").decode(),
            state=fields.get(b"state", b"").decode(),
            stopped=fields.get(b"stopped") == b"1",
            final=orjson.loads(fields.get(b"final") or b"{}"),
        )

    def apply(self, found: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the batch as callers see it.

        Until the gateway knows whether lines are to be rescued, a batch that has ended is ``finalizing``, or
        ``cancelling`` for the caller who cancelled it, and has no files.

        Args:
            found: The batch as its provider has it.
        """
        if self.state == DONE:
            return {**found, **self.final}
        ended = found.get("status") in ENDED
        if not ended and (self.stopped or self.state == WATCHED):
            return found
        hidden: dict[str, Any] = dict.fromkeys(_UNTIL_THE_END)
        if self.stopped:
            return {**found, **hidden, "status": "cancelling"}
        return {**found, **hidden, "status": "finalizing", "cancelling_at": None, "errors": None}
