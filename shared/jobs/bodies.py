"""Large bodies of jobs: written and read in parts, so that no other command waits for a whole one."""

from dataclasses import replace

from shared.jobs import keys, records
from shared.jobs.model import Job
from shared.jobs.scripts import EngineScripts

PART_BYTES = records.LARGE_BYTES
"""The largest piece of a body in one command; larger results have a key of their own, beside the record.

At 1 Gbit/s a part takes 2 ms; a body of 45 MB in one command held up all others of the process for 0.4 s, twice its
length if several callers polled it.
"""


async def write_parts(scripts: EngineScripts, key: str, body: bytes) -> None:
    """Write a body to a key that expires soon, for a script to take; written again, it is the same.

    Raises:
        StoreUnavailable: No answer.
    """
    for start in range(0, len(body), PART_BYTES):
        await scripts.run("part", [key, start, body[start : start + PART_BYTES]], retry_safe=True)


async def read_parts(scripts: EngineScripts, key: str) -> bytes | None:
    """Read a body; None when it does not exist (any more).

    Raises:
        StoreUnavailable: No answer.
    """
    parts: list[bytes] = []
    while True:
        start = len(parts) * PART_BYTES
        part: bytes = await scripts.execute("GETRANGE", key, start, start + PART_BYTES - 1, retry_safe=True)
        parts.append(part)
        if len(part) < PART_BYTES:
            break
    return b"".join(parts) or None


async def with_result(scripts: EngineScripts, job: Job) -> Job | None:
    """Return the job with its result, if that is stored beside the record; None when the job is gone meanwhile.

    Raises:
        StoreUnavailable: No answer.
    """
    if not job.result_size:
        return job
    result = await read_parts(scripts, keys.result(job.id)) or b""
    return replace(job, result=result) if len(result) == job.result_size else None
