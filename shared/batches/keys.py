"""The Redis keys of files and batches: their table, functions that build their names, and the ids in them."""

import hashlib

from shared.store.keyspace import Key
from shared.surfaces import minted_ids

KEYS: tuple[Key, ...] = (
    Key(
        "finops:file:<id>", "hash", "the file's own, longer while a batch reads it", "a stored file: name, size, owner"
    ),
    Key("finops:file:<id>:<part>", "string", "as the file; 10 minutes while it is uploaded", "about 1 MiB of a file"),
    Key("finops:owner:<owner>:files", "sorted set", "30 days, refreshed; 10,000 ids", "an owner's files by age"),
    Key("finops:owner:<owner>:batches", "sorted set", "30 days, refreshed; 10,000 ids", "an owner's batches by age"),
    Key("finops:batch:<id>", "hash", "30 days, refreshed at each turn", "a batch and its progress"),
    Key(
        "finops:batch:<id>:done",
        "string",
        "30 days, refreshed; until the batch ends",
        "one bit per line: its result is written",
    ),
    Key("finops:batch-request:<request>", "hash", "24 hours; 2 minutes without a key", "the batch that a request made"),
    Key("finops:batches:all", "sorted set", "30 days, refreshed; 10,000 ids", "all batches by age, for administrators"),
    Key("finops:batches:open", "sorted set", "permanent, empties itself", "open batches, by when a turn is due"),
)

OPEN = "finops:batches:open"
EVERYONE = "~all"
"""Instead of an owner: the list of all batches."""
FILE_PREFIX = "file-"
BATCH_PREFIX = "batch_"


def mint_file_id() -> str:
    """Create a file id; ``is_our_file`` tells it from a provider's."""
    return minted_ids.mint(FILE_PREFIX)


def mint_batch_id() -> str:
    """Create a batch id; ``is_our_batch`` tells it from a provider's."""
    return minted_ids.mint(BATCH_PREFIX)


def is_our_file(text: str) -> bool:
    """Tell whether ``mint_file_id`` made an id."""
    return minted_ids.is_minted(FILE_PREFIX, text)


def is_our_batch(text: str) -> bool:
    """Tell whether ``mint_batch_id`` made an id."""
    return minted_ids.is_minted(BATCH_PREFIX, text)


def line_job_id(batch_id: str, line: int) -> str:
    """Return the job id of a batch's line, the same in every process; also the id of its line in the output."""
    return f"batch_req_{batch_id.removeprefix(BATCH_PREFIX)}_{line}"


def line_of_job(job_id: str) -> int:
    """Return the line number in a job id."""
    return int(job_id.rpartition("_")[2])


def file(file_id: str) -> str:
    """The record of a file."""
    return f"finops:file:{file_id}"


def part(file_id: str, number: int) -> str:
    """A part of a file's content, from 0."""
    return f"finops:file:{file_id}:{number}"


def blob(file_id: str, number: int) -> str:
    """The object of a part in the object store; ``due_blobs.lua`` reads the part's key off it."""
    return f"files/{file_id}/{number}"


def appended(file_id: str) -> str:
    """The purpose of lines that are sealed before they are appended to a file; that of a whole part is ``blob``."""
    return f"files/{file_id}/lines"


def owner_files(owner: str) -> str:
    """An owner's files by age; those without an owner share a list."""
    return f"finops:owner:{owner or '-'}:files"


def owner_batches(owner: str) -> str:
    """An owner's batches by age; those without an owner share a list."""
    if owner == EVERYONE:
        return "finops:batches:all"
    return f"finops:owner:{owner or '-'}:batches"


def batch(batch_id: str) -> str:
    """The record of a batch."""
    return f"finops:batch:{batch_id}"


def done(batch_id: str) -> str:
    """The bitmap of lines whose result is written."""
    return f"finops:batch:{batch_id}:done"


def request(scope: str, identity: str) -> str:
    """The entry of the batch that a request made; both arguments are hashed."""
    digest = hashlib.sha256(f"{scope}\0{identity}".encode(errors="surrogatepass"))
    return f"finops:batch-request:{digest.hexdigest()[:40]}"
