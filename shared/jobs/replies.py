"""The replies of ``claim.lua`` and ``submit.lua``, with their positions named.

The scripts answer arrays, because Lua tables with names are not replies that Redis knows.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple


class QueueForecast(NamedTuple):
    """Position in the queue (1: next, 0: not queued) and the claims per second."""

    position: int
    claims_per_s: bytes


class ClaimRow(NamedTuple):
    """A claimed job, as ``claim.lua`` answers it; what follows the payload is only there if any of it is set.

    Attributes:
        payload: The request body as it is stored; None: too large to be in the reply.
        payload_as: Its encoding (``StoredBody``).
    """

    id: bytes
    token: bytes
    priority: bytes
    attempt: bytes
    owner: bytes
    request_type: bytes
    model: bytes
    request_id: bytes
    context: bytes
    ttl_s: bytes
    created_ms: bytes
    due_ms: bytes
    payload: bytes | None
    deadline_ms: bytes = b"0"
    content_type: bytes = b""
    webhook: bytes = b""
    reason: bytes = b""
    payload_as: bytes = b""


class ClaimReply(NamedTuple):
    """The reply of ``claim.lua``.

    Attributes:
        now_ms: Redis's clock.
        next_ms: Until something falls due.
        more: 1 when more jobs are ready.
        reruns: Jobs taken from lost workers.
        rows: One ``ClaimRow`` per claimed job.
        head: With several shards, the fair tag of the caller that is next; empty: nobody waits.
        virtual: With several shards, the virtual time of this one.
    """

    now_ms: bytes
    next_ms: int
    more: int
    reruns: int
    rows: Sequence[Sequence[Any]]
    head: bytes = b""
    virtual: bytes = b""


class JobCreated(NamedTuple):
    """The reply of ``submit.lua`` for a new job."""

    outcome: bytes
    now_ms: bytes
    forecast: Sequence[Any]


class JobFound(NamedTuple):
    """The reply of ``submit.lua`` and ``repeat.lua`` for a job that the same request made before."""

    outcome: bytes
    id: bytes
    record: Sequence[bytes]
    forecast: Sequence[Any]


class JobRejected(NamedTuple):
    """The reply of ``submit.lua`` when too many jobs wait, or too many bytes are kept.

    ``scope`` is ``queue``, ``caller`` or ``bytes``; ``depth`` are the jobs or bytes.
    """

    outcome: bytes
    scope: bytes
    depth: int
    claims_per_s: bytes
