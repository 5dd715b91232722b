"""``/files``: the gateway stores the files of batches that it runs; all others belong to a provider."""

import asyncio
import os
from collections.abc import Mapping
from urllib.parse import quote

from api.endpoints.base import AsgiEndpoint
from api.endpoints.merged_list import GATEWAY, MergedList, Page
from api.files.stored import check_lifetime, find_file
from api.files.uploads import Upload, read_upload
from api.http.bodies import drain, replay
from api.http.disconnect import Hangup
from api.http.forwarding import check_provider, requested_provider, send_raw
from api.http.headers import forwarded_headers
from api.http.ownership import Nobody, Owner, access_of, list_owner
from api.http.query import read_limit, unknown_cursor
from api.http.request_context import Receive, Reply, RequestContext, Scope, Send, header_text, json_reply, send_reply
from api.services import Services
from shared.batches.file_scan import without_prefix
from shared.batches.files import FileStore
from shared.batches.keys import is_our_file
from shared.batches.model import StoredFile
from shared.errors import InvalidRequest
from shared.inference.passthrough import RawRequest

MAX_LIST = 10_000
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"


class FileUpload(AsgiEndpoint):
    """``POST /files``: a batch file goes to the one provider that can run all its lines; any other is stored here.

    Args:
        passthrough: Serves files of other purposes.
    """

    def __init__(self, passthrough: AsgiEndpoint) -> None:
        super().__init__("openai", "files")
        self._passthrough = passthrough

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request.

        Raises:
            GatewayError: The file is not accepted.
        """
        requested, query = requested_provider(context, scope.get("query_string", b"").decode("latin-1"))
        upload = await read_upload(receive, context, services.files, services.settings)
        if upload.lacks_file:
            await upload.spool.discard()
            raise InvalidRequest("The form must hold a file in the field 'file'.", param="file")
        if not upload.of_batch:
            await self._passthrough.take_over(services, context, scope, replay(upload.raw, receive), send)
            return
        try:
            if not upload.whole:
                raise InvalidRequest("The form must hold a file in the field 'file'.", param="file")
            requested = check_provider(requested or upload.fields.get("provider", "").strip())
            provider = _provider_of(services, context, upload, requested)
        except BaseException:
            await upload.spool.discard()
            raise
        if not provider:
            await send_reply(send, await _keep(services, context, upload))
            return
        request = await _for_provider(context, upload, provider, query)
        with Hangup(receive):
            access = await access_of(services.governance, context.caller)
            answer = await services.inference.forwarder.forward(request, context.caller, access)
            context.provider = provider
            await send_raw(send, answer)


def _provider_of(services: Services, context: RequestContext, upload: Upload, requested: str) -> str:
    """The provider that the file goes to; empty: the gateway stores it."""
    if requested:
        return "" if requested == GATEWAY and GATEWAY not in services.inference.providers else requested
    if not upload.scan.plain or not upload.scan.models or context.caller.limits or services.settings.guardrails:
        return ""  # the limits of a key, and guardrails, can only be enforced on what runs here
    return services.inference.catalogue.batch_provider(upload.scan.models, context.caller) or ""


async def _keep(services: Services, context: RequestContext, upload: Upload) -> Reply:
    try:
        ttl_s = _ttl_s(services, upload.fields)
        file = await upload.spool.keep(owner=context.caller.key_id, filename=upload.filename, ttl_s=ttl_s)
    except BaseException:
        await upload.spool.discard()
        raise
    context.provider = GATEWAY
    return json_reply(file.as_object())


def _ttl_s(services: Services, fields: Mapping[str, str]) -> int:
    """The file's lifetime in seconds: ``expires_after``, else the configured one."""
    if _ANCHOR not in fields and _SECONDS not in fields:
        return services.settings.files.ttl_s
    if fields.get(_ANCHOR, "created_at") != "created_at":
        raise InvalidRequest("expires_after[anchor] must be created_at.", param=_ANCHOR)
    return check_lifetime(fields.get(_SECONDS, ""), _SECONDS)


async def _for_provider(context: RequestContext, upload: Upload, provider: str, query: str) -> RawRequest:
    """Build the upload of a batch file to its provider, with the models named as they are there."""
    try:
        content = await upload.spool.content()
    finally:
        await upload.spool.discard()
    content = await asyncio.to_thread(without_prefix, content, provider)
    fields = {name: value for name, value in upload.fields.items() if name not in {"file", "provider"}}
    boundary = os.urandom(16).hex()
    return RawRequest(
        method="POST",
        path=f"/files?{query}" if query else "/files",
        body=_form(fields, upload.filename, content, boundary),
        content_type=f"multipart/form-data; boundary={boundary}",
        headers=forwarded_headers(context.headers),
        provider=provider,
    )


def _form(fields: Mapping[str, str], filename: str, content: bytes, boundary: str) -> bytes:
    """Encode a form with a file; names are escaped as the HTML standard asks (form-data, section 4.10.21.8)."""
    border = f"--{boundary}\r\n"
    head = "".join(
        f'{border}content-disposition: form-data; name="{name.translate(_ESCAPED)}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    field = f'name="file"; filename="{filename.translate(_ESCAPED)}"'
    head += f"{border}content-disposition: form-data; {field}\r\ncontent-type: application/jsonl\r\n\r\n"
    return b"".join((head.encode(), content, f"\r\n--{boundary}--\r\n".encode()))


class FileList(MergedList):
    """``GET /files``: the gateway's, and after the last of them the default provider's."""

    def __init__(self, passthrough: AsgiEndpoint) -> None:
        super().__init__("files", passthrough)

    def is_ours(self, cursor: str) -> bool:
        """Whether the gateway made this id."""
        return is_our_file(cursor)

    async def page(self, services: Services, context: RequestContext, query: Mapping[str, str]) -> Page:
        """Read a page of the caller's files.

        Raises:
            InvalidRequest: ``order``, ``limit`` or ``after`` is invalid.
        """
        order = query.get("order", "desc")
        if order not in {"asc", "desc"}:
            raise InvalidRequest("order must be asc or desc.", param="order")
        limit = read_limit(query.get("limit"), most=MAX_LIST, default=MAX_LIST)
        owner = await list_owner(services.governance, context.caller)
        if isinstance(owner, Nobody):
            return [], False
        # The store has no list of everyone's files: an administrator's and a single tenant's are those without a key.
        page = await services.files.page(
            owner.key_id if isinstance(owner, Owner) else "",
            purpose=query.get("purpose", ""),
            after=query.get("after", ""),
            limit=limit,
            newest_first=order == "desc",
        )
        if page is None:
            raise unknown_cursor()
        return [file.as_object() for file in page.files], page.has_more


class FileById(AsgiEndpoint):
    """``/files/{id}``, with ``DELETE``, and ``/files/{id}/content``.

    Args:
        action: ``retrieve``, ``delete`` or ``content``.
        passthrough: Serves ids that the gateway did not make.
    """

    administrable = "always"

    def __init__(self, action: str, passthrough: AsgiEndpoint) -> None:
        super().__init__("openai", "files")
        self._action = action
        self._passthrough = passthrough

    async def handle(
        self, services: Services, context: RequestContext, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request.

        Raises:
            NotFound: The gateway's id is unknown, expired or another caller's.
            Conflict: The file to be deleted is being read by a batch.
        """
        file_id: str = scope["path_params"]["file_id"]
        if not is_our_file(file_id):
            await self._passthrough.take_over(services, context, scope, receive, send)
            return
        await drain(receive)
        file = await find_file(services, context.caller, file_id)
        if self._action == "content":
            await _send_content(send, services.files, file)
        elif self._action == "delete":
            await services.files.delete(file_id)
            await send_reply(send, json_reply({"id": file_id, "object": "file", "deleted": True}))
        else:
            await send_reply(send, json_reply(file.as_object()))


async def _send_content(send: Send, files: FileStore, file: StoredFile) -> None:
    pieces = files.content(file)
    first = await anext(pieces, b"")  # before the head is sent: an unreachable store is an error, not half a file
    disposition = f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}"
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % file.size),
        (b"content-disposition", header_text(disposition)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": first, "more_body": True})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
