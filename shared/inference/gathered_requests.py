"""Requests about batches of gathered jobs, as their provider gets them."""

import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from shared.errors import UpstreamFailure
from shared.governance.ledger.followed_batches import FollowedBatch
from shared.inference.passthrough import RawRequest
from shared.inference.provider_batch_lines import parse_object
from shared.inference.provider_batches import ProviderBatches
from shared.patience.gathering import GatheredBatch

MARK = "finops_gathered"
"""Name of the metadata by which a batch is recognised at its provider."""
SEARCHED = 100


class GatheredRequests:
    """Uploads, creates, reads and cancels gathered batches.

    Args:
        batches: Sends requests about batches.
    """

    def __init__(self, batches: ProviderBatches) -> None:
        self._batches = batches

    async def upload(self, batch: GatheredBatch, lines: Iterable[bytes]) -> str:
        """Upload the lines, and return the provider's id of the file.

        Raises:
            GatewayError: The provider's own error.
        """
        boundary = secrets.token_hex(16)
        head = (
            f'--{boundary}\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
            f'--{boundary}\r\ncontent-disposition: form-data; name="file"; filename="{batch.id}.jsonl"\r\n'
            "content-type: application/jsonl\r\n\r\n"
        )
        body = head.encode() + b"\n".join(lines) + f"\n\r\n--{boundary}--\r\n".encode()
        found = await self._post(batch, "/files", body, f"multipart/form-data; boundary={boundary}")
        return _id_of(found)

    async def create(self, batch: GatheredBatch) -> str:
        """Create a batch of the uploaded file, and return the provider's id.

        Raises:
            GatewayError: The provider's own error.
        """
        fields = {
            "input_file_id": batch.input_file,
            "endpoint": f"/v1/{batch.group.endpoint}",
            "completion_window": "24h",
            "metadata": {MARK: batch.id},
        }
        return _id_of(await self._post(batch, "/batches", orjson.dumps(fields), "application/json"))

    async def find(self, batch: GatheredBatch) -> str:
        """Return the provider's id of a batch whose creation was not confirmed; empty: it does not have it.

        Raises:
            GatewayError: The provider's own error.
        """
        request = RawRequest(method="GET", path=f"/batches?limit={SEARCHED}", provider=batch.group.provider)
        rows = parse_object(await (await self._batches.send_own(request)).read()).get("data")
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and (row.get("metadata") or {}).get(MARK) == batch.id:
                return str(row.get("id") or "")
        return ""

    async def look(self, batch: GatheredBatch) -> dict[str, Any]:
        """Return a batch as its provider has it.

        Raises:
            GatewayError: The provider's own error.
        """
        return await self._batches.look(_followed(batch))

    async def cancel(self, batch: GatheredBatch) -> None:
        """Have the provider stop a batch.

        Raises:
            GatewayError: The provider's own error.
        """
        await self._batches.cancel(_followed(batch))

    def lines(self, batch: GatheredBatch, file_id: str) -> AsyncIterator[bytes]:
        """Yield the lines of an output or error file, which may raise the provider's own error."""
        return self._batches.lines(_followed(batch), file_id)

    async def discard(self, batch: GatheredBatch, file_id: str) -> None:
        """Delete a file at the provider.

        Raises:
            GatewayError: The provider's own error.
        """
        path = f"/files/{quote(file_id, safe='')}"
        request = RawRequest(method="DELETE", path=path, provider=batch.group.provider)
        await (await self._batches.send_own(request)).read()

    async def _post(self, batch: GatheredBatch, path: str, body: bytes, content_type: str) -> Mapping[str, Any]:
        provider = batch.group.provider
        request = RawRequest(method="POST", path=path, body=body, content_type=content_type, provider=provider)
        return parse_object(await (await self._batches.send_own(request)).read())


def _id_of(found: Mapping[str, Any]) -> str:
    if not isinstance(found.get("id"), str):
        raise UpstreamFailure("The provider sent an object without an id.")
    return str(found["id"])


def _followed(batch: GatheredBatch) -> FollowedBatch:
    return FollowedBatch(id=batch.id, provider=batch.group.provider, batch=batch.batch)
