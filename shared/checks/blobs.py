"""Checks of the object store for large bodies."""

import secrets

from shared.blobs.blob_store import BlobsMisconfigured, BlobStore, BlobStoreError
from shared.checks.findings import Finding, fail, ok, unstyled
from shared.settings.model import Settings

PROBE = b"finops doctor"


async def check_blobs(settings: Settings) -> list[Finding]:
    """Write, read and delete an object, as API and workers do."""
    blobs = settings.blobs
    if not blobs.url:
        return []
    name = f"probe/{secrets.token_hex(8)}"
    try:
        store = BlobStore(blobs.url, blobs.plain_options())
    except BlobsMisconfigured as error:
        return [fail("blobs", unstyled(str(error)), "correct [blobs] url and options; nothing starts until then")]
    try:
        await store.put(name, PROBE)
        found = await store.get(name)
        await store.delete([name])
    except BlobStoreError as error:
        fix = "allow PutObject, GetObject and DeleteObject there; until then large bodies stay in Redis"
        return [fail("blobs", unstyled(f"{blobs.url}: {error}"), fix)]
    if found != PROBE:
        return [fail("blobs", f"{blobs.url} does not give back what was written", "use a store that does")]
    return [ok("blobs", f"{blobs.url} takes bodies above {blobs.min_kb} KiB")]
