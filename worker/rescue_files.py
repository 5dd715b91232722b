"""The files of a rescue: the lines that the gateway runs, and the results of a batch in one place."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.batches import keys
from shared.batches.files import PART_BYTES, FileStore
from shared.batches.model import Batch
from shared.batches.reading import read_lines
from shared.governance.ledger.followed_batches import FollowedBatch
from shared.inference.provider_batch_lines import ended_files, is_providers_fault, parse_object, part_of
from shared.inference.provider_batches import ProviderBatches

OWNER = ":rescue"
"""Owner of the lines that the gateway runs: no virtual key is called so, and no caller sees them."""
INPUT_TTL_S = 3 * 86_400
MAX_LINE_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Results:
    """Results of a batch's lines by digest of the line's ``custom_id``: 16 bytes each, for up to 50,000 lines.

    Attributes:
        fine: Lines with an answer.
        failed: Lines that failed for good.
    """

    fine: set[bytes] = field(default_factory=set)
    failed: set[bytes] = field(default_factory=set)

    def has(self, line: bytes) -> bool:
        """Whether a line has a result."""
        digest = digest_of(line)
        return digest in self.fine or digest in self.failed


@dataclass(frozen=True, slots=True)
class Published:
    """The results of a batch: ids of its files, None where one would be empty, and its lines."""

    output_file: str | None
    error_file: str | None
    completed: int
    failed: int


class _FileWriter:
    """Writes a file in parts, over those of an interrupted turn."""

    def __init__(self, files: FileStore, file_id: str) -> None:
        self._files = files
        self._id = file_id
        self._held = bytearray()
        self._parts = 0
        self._size = 0
        self.lines = 0

    async def add(self, line: bytes) -> None:
        self._held += line + b"\n"
        self.lines += 1
        if len(self._held) >= PART_BYTES:
            await self._write()

    async def keep(self, owner: str, filename: str, purpose: str, ttl_s: int) -> str | None:
        """Make a file of the lines; None if there are none."""
        if not self.lines:
            return None
        if self._held:
            await self._write()
        kept = await self._files.keep(
            self._id, owner=owner, filename=filename, purpose=purpose, size=self._size, parts=self._parts, ttl_s=ttl_s
        )
        return kept.id

    async def _write(self) -> None:
        await self._files.write_part(self._id, self._parts, bytes(self._held))
        self._size += len(self._held)
        self._parts += 1
        self._held.clear()


class RescueFiles:
    """Composes the files.

    Args:
        files: Stores them, whatever its owner's files use.
        batches: Reads those of providers.
        ttl_s: Lifetime of results.
    """

    def __init__(self, files: FileStore, batches: ProviderBatches, *, ttl_s: int) -> None:
        self._files = files
        self._batches = batches
        self._ttl_s = ttl_s

    async def results(self, batch: FollowedBatch, found: Mapping[str, Any]) -> Results:
        """Return the lines for which a provider has a final result: an answer, or an error of the caller's making.

        Raises:
            GatewayError: A file cannot be read.
        """
        results = Results()
        for file_id in ended_files(found):
            async for line in self._batches.lines(batch, file_id):
                row = parse_object(line)
                if _is_fine(row):
                    results.fine.add(digest_of(line))
                elif not is_providers_fault(row):
                    results.failed.add(digest_of(line))
        return results

    async def write_input(self, batch: FollowedBatch, found: Mapping[str, Any], results: Results) -> str | None:
        """Write the lines that have no result, for the gateway to run.

        Returns:
            The id of the file; None: every line has a result.

        Raises:
            GatewayError: The provider's input file cannot be read, or the store does not answer.
        """
        writer = _FileWriter(self._files, keys.mint_file_id())
        async for line in self._batches.lines(batch, str(found.get("input_file_id"))):
            if not results.has(line):
                await writer.add(_with_provider(line, batch.provider))
        return await writer.keep(OWNER, f"{batch.batch}_rescue.jsonl", "batch", INPUT_TTL_S)

    async def publish(self, batch: FollowedBatch, found: Mapping[str, Any], own: Batch | None) -> Published:
        """Write one result a line: the provider's answer unless the gateway has run the line, else an error.

        Raises:
            GatewayError: A file cannot be read or written.
        """
        provided = await self.results(batch, found) if batch.ended else Results()
        run = await self._results_of(own)
        output = _FileWriter(self._files, batch.output_file)
        error = _FileWriter(self._files, batch.error_file)
        for file_id in ended_files(found) if batch.ended else ():
            async for line in self._batches.lines(batch, file_id):
                digest = digest_of(line)
                if digest not in run.fine and digest in provided.fine:
                    await output.add(line)
                elif not run.has(line):
                    await error.add(line)
        async for line in self._own_lines(own):
            if digest_of(line) in run.fine:
                await output.add(line)
            elif digest_of(line) not in provided.fine:
                await error.add(line)
        name = f"{batch.batch}_{{}}.jsonl"
        return Published(
            await output.keep(batch.owner, name.format("output"), "batch_output", self._ttl_s),
            await error.keep(batch.owner, name.format("error"), "batch_output", self._ttl_s),
            output.lines,
            error.lines,
        )

    async def discard(self, own: Batch | None) -> None:
        """Delete the files of the gateway's own batch.

        Raises:
            StoreUnavailable: No answer.
        """
        for file_id in () if own is None else (own.input, own.output_file, own.error_file):
            if await self._files.get(file_id) is not None:
                await self._files.delete(file_id)

    async def _results_of(self, own: Batch | None) -> Results:
        results = Results()
        async for line in self._own_lines(own):
            (results.fine if _is_fine(parse_object(line)) else results.failed).add(digest_of(line))
        return results

    async def _own_lines(self, own: Batch | None) -> AsyncIterator[bytes]:
        for file_id in () if own is None else (own.output_file, own.error_file):
            file = await self._files.get(file_id)
            if file is not None:
                async for lines in read_lines(self._files, file, max_bytes=MAX_LINE_BYTES):
                    for line in lines:
                        yield line.text


def digest_of(line: bytes) -> bytes:
    """Return a digest of a line's ``custom_id``."""
    custom_id = parse_object(line).get("custom_id")
    return hashlib.blake2b(str(custom_id).encode(errors="surrogatepass"), digest_size=16).digest()


def _is_fine(row: Mapping[str, Any]) -> bool:
    status = part_of(row, "response").get("status_code")
    return isinstance(status, int) and status < 400


def _with_provider(line: bytes, provider: str) -> bytes:
    """Return a line with its model's provider: a provider's own files name models without."""
    row = parse_object(line)
    body = part_of(row, "body")
    return orjson.dumps({**row, "body": {**body, "model": f"{provider}/{body.get('model')}"}})
