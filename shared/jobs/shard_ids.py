"""In which shard a job is: by its owner when it is made, by its id from then on."""

import hashlib
import os
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from shared.surfaces.response_ids import shard_of_response

T = TypeVar("T")
_UUID_LENGTH = 36
_VERSION_AT = 14  # of a UUID's text
# Ids of shard 0 are of version 4. https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-8
_SHARDED_UUID = "8"


def shard_of(name: str, shards: int) -> int:
    """Return the shard of an owner, or of whatever else tells jobs apart: a jump hash of its name.

    https://arxiv.org/abs/1406.2294: moves no more than it must, should the number ever grow.
    """
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())
    found, jump = 0, 0
    while jump < shards:
        found = jump
        seed = (seed * 2862933555777941757 + 1) % 2**64
        jump = int((found + 1) * (2**31 / ((seed >> 33) + 1)))
    return found


def mint_job_id(shard: int) -> str:
    """Create a job's id: a UUID, of version 8 and with the shard as its first byte where it is not 0."""
    if shard == 0:
        return str(uuid.uuid4())
    digits = bytearray((shard, *os.urandom(15)))
    digits[6] = 0x80 | digits[6] & 0x0F
    digits[8] = 0x80 | digits[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(digits)))


def shard_of_id(job_id: str, shards: int) -> int:
    """Return the shard of a job; 0 for every id that names none of them."""
    if shards == 1:
        return 0
    if len(job_id) == _UUID_LENGTH and job_id[_VERSION_AT] == _SHARDED_UUID:
        with suppress(ValueError):
            return _known(int(job_id[:2], 16), shards)
    return _known(shard_of_response(job_id), shards)


def one_of(shards: Sequence[T], job_id: str) -> T:
    """Return what belongs to a job's shard.

    Args:
        shards: One of a kind for each shard, in order.
        job_id: The job's id.
    """
    return shards[shard_of_id(job_id, len(shards))]


def _known(shard: int, shards: int) -> int:
    """Return a shard of the store; 0 for any other number, as ``int`` reads ``-1`` too."""
    return shard if 0 < shard < shards else 0
