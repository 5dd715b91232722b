"""An upload, read as it comes: kept in memory while it is small, put into the store piece by piece when it is not."""

from contextlib import suppress

from api.http.bodies import content_type_of, too_large
from api.http.request_context import Receive, RequestContext
from shared.batches.file_scan import FileScan
from shared.batches.files import PART_BYTES, FileStore
from shared.batches.keys import mint_file_id
from shared.batches.model import StoredFile
from shared.errors import ClientGone, GatewayError, InvalidRequest, RequestTooLarge, StoreUnavailable
from shared.settings.model import Settings
from shared.surfaces.multipart import MalformedForm, StreamedForm

BATCH = "batch"
MAX_FIELDS_BYTES = 1024 * 1024
"""Limit of a form's fields beside its file."""


class Spool:
    """The content of a file on its way to the store, or to a provider.

    Args:
        memory_bytes: As much stays in memory; more goes to the store at once.
        max_bytes: The largest file, ``files.max_mb``.
    """

    def __init__(self, files: FileStore, *, memory_bytes: int, max_bytes: int) -> None:
        self.file_id = mint_file_id()
        self.size = 0
        self._files = files
        self._memory_bytes = memory_bytes
        self._max_bytes = max_bytes
        self._held = bytearray()
        self._parts = 0

    async def add(self, some: bytes) -> None:
        """Take the next piece.

        Raises:
            RequestTooLarge: The file is too large.
            StoreUnavailable: The store takes no more.
        """
        self.size += len(some)
        if self.size > self._max_bytes:
            most_mb = self._max_bytes / PART_BYTES
            raise RequestTooLarge(f"The file is larger than {most_mb:g} MB, the limit of this gateway (files.max_mb).")
        self._held += some
        if self._parts or len(self._held) > self._memory_bytes:
            await self._write_out(PART_BYTES)

    async def keep(self, *, owner: str, filename: str, ttl_s: int) -> StoredFile:
        """Make a file of it.

        Raises:
            RequestTooLarge: Its owner has no room.
            StoreUnavailable: The store takes no more.
        """
        await self._write_out(1)
        return await self._files.keep(
            self.file_id,
            owner=owner,
            filename=filename,
            purpose=BATCH,
            size=self.size,
            parts=self._parts,
            ttl_s=ttl_s,
        )

    async def content(self) -> bytes:
        """All of it.

        Raises:
            StoreUnavailable: No answer.
        """
        pieces = [await self._files.read(self.file_id, number) for number in range(self._parts)]
        return b"".join([*pieces, self._held])

    async def discard(self) -> None:
        """Leave nothing of it in the store.

        Raises:
            StoreUnavailable: No answer.
        """
        await self._files.discard(self.file_id, self._parts)

    async def _write_out(self, at_least: int) -> None:
        while len(self._held) >= at_least:
            await self._files.write_part(self.file_id, self._parts, bytes(self._held[:PART_BYTES]))
            del self._held[:PART_BYTES]
            self._parts += 1


class Upload:
    """A request that uploads a file: of a batch, or of another purpose, which is a provider's affair.

    Attributes:
        raw: The body as it came, unless the file is a batch's.
        spool: The file, if it is a batch's.
        scan: The models and endpoints that its lines name.
    """

    def __init__(self, content_type: str, spool: Spool, scan: FileScan, *, max_body_bytes: int) -> None:
        self.spool = spool
        self.scan = scan
        self._max_body_bytes = max_body_bytes
        self._seen = 0
        self._raw = bytearray()
        self._early = bytearray()
        try:
            self._form: StreamedForm | None = StreamedForm(content_type, "file")
        except MalformedForm:
            self._form = None

    @property
    def of_batch(self) -> bool:
        """Whether it is a batch's file."""
        return self._form is not None and self._form.fields.get("purpose") == BATCH

    @property
    def whole(self) -> bool:
        """Whether it is a whole form with a file in it."""
        return self._form is not None and self._form.ended and self._form.filename is not None

    @property
    def lacks_file(self) -> bool:
        """Whether it is a whole form whose field ``file`` is missing or is not a file."""
        return self._form is not None and self._form.ended and self._form.filename is None

    @property
    def raw(self) -> bytes:
        """The body as it came; empty once it was known to be of a batch."""
        return bytes(self._raw)

    @property
    def fields(self) -> dict[str, str]:
        """The form's text fields."""
        return self._form.fields if self._form else {}

    @property
    def filename(self) -> str:
        """What the file is called, without what no name should hold."""
        name = (self._form.filename if self._form else None) or ""
        return "".join(char for char in name if char.isprintable())[:255] or "batch.jsonl"

    async def feed(self, some: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            RequestTooLarge: It is too large for what it is.
            InvalidRequest: It was a batch's, and is no form any more.
            StoreUnavailable: The store takes no more.
        """
        self._seen += len(some)
        content = self._read(some)
        if not self.of_batch:
            self._raw += some
            self._early += content
            if len(self._raw) > self._max_body_bytes:
                raise too_large(self._max_body_bytes)
            return
        if self._early or self._raw:
            content = bytes(self._early) + content
            self._raw.clear()
            self._early.clear()
        self.scan.feed(content)
        await self.spool.add(content)
        if self._seen - self.spool.size > MAX_FIELDS_BYTES:
            raise RequestTooLarge("The form holds more than 1 MB beside its file.")

    def _read(self, some: bytes) -> bytes:
        if self._form is None:
            return b""
        try:
            return self._form.feed(some)
        except MalformedForm as error:
            if self.of_batch:
                raise InvalidRequest(
                    f"The request body is not valid multipart/form-data: {str(error)[:200]}."
                ) from None
            self._form = None
            return b""


async def read_upload(receive: Receive, context: RequestContext, files: FileStore, settings: Settings) -> Upload:
    """Read a request to its end, also one that is refused: its caller would not hear why before.

    Raises:
        ClientGone: The caller hung up before its end.
        RequestTooLarge, InvalidRequest, StoreUnavailable: As ``Upload.feed``.
    """
    most = settings.server.max_body_bytes
    spool = Spool(files, memory_bytes=most, max_bytes=settings.files.max_bytes)
    upload = Upload(content_type_of(context), spool, FileScan(max_line_bytes=most), max_body_bytes=most)
    try:
        await _read_to_end(receive, upload)
    except BaseException:
        with suppress(StoreUnavailable):
            await spool.discard()
        raise
    upload.scan.finish()
    return upload


async def _read_to_end(receive: Receive, upload: Upload) -> None:
    refusal: GatewayError | None = None
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone("The caller hung up before the end of its request.")
        if refusal is None:
            try:
                await upload.feed(message.get("body") or b"")
            except GatewayError as error:
                refusal = error
        if not message.get("more_body"):
            break
    if refusal is not None:
        raise refusal
