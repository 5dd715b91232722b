"""``/files``: those of batches that this gateway runs are kept here, all others are the affair of a provider."""

import asyncio
import os
from collections.abc import Mapping
from urllib.parse import quote

from api.files.ownership import list_owner, read_limit, read_query, unknown_cursor
from api.files.uploads import Upload, read_upload
from api.http.disconnect import Hangup
from api.http.headers import forwarded_headers
from api.http.request_context import (
    SCOPE_KEY,
    App,
    Message,
    Receive,
    Reply,
    RequestContext,
    Scope,
    Send,
    drain,
    header_text,
    json_reply,
    send_reply,
)
from api.routes.passthrough import check_provider, requested_provider, send_raw
from api.services import Services, services_of
from shared.batches.file_scan import without_prefix
from shared.batches.files import FilePage, FileStore, no_such_file
from shared.batches.keys import is_our_file
from shared.batches.model import StoredFile
from shared.errors import InvalidRequest
from shared.inference.passthrough import RawRequest
from shared.providers.registry import DEFAULT_PROVIDER

HERE = "finops"
"""What ``x-bf-provider`` says for a file that is to be kept here whatever is in it."""
MAX_LIST = 10_000
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"


async def find_file(services: Services, context: RequestContext, file_id: str) -> StoredFile:
    """A file of ours that the caller may see.

    Raises:
        NotFound: There is none, or it is not for this caller; the same answer.
    """
    file = await services.files.get(file_id)
    if file is None or not context.caller.may_see(file.owner):
        raise no_such_file(file_id)
    return file


class FileUpload:
    """``POST /files``: a batch's file whose lines one provider can run as its own batch goes there, any other is kept.

    Args:
        elsewhere: Serves files of other purposes.
    """

    def __init__(self, elsewhere: App) -> None:
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            GatewayError: The file is not taken.
        """
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "openai", "files"
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        said, query = requested_provider(context, scope.get("query_string", b"").decode("latin-1"))
        upload = await read_upload(receive, context, services.files, services.settings)
        if not upload.of_batch:
            await self._elsewhere(scope, replayed(upload.raw, receive), send)
            return
        try:
            if not upload.whole:
                raise InvalidRequest("The form must hold a file in the field 'file'.", param="file")
            home = _home(services, context, upload, check_provider(said or upload.fields.get("provider", "").strip()))
        except BaseException:
            await upload.spool.discard()
            raise
        if not home:
            await send_reply(send, await _keep(services, context, upload))
            return
        request = await _for_provider(context, upload, home, query)
        with Hangup(receive):
            answer = await services.inference.forwarder.forward(request, context.caller)
            context.provider = home
            await send_raw(send, answer)


def _home(services: Services, context: RequestContext, upload: Upload, said: str) -> str:
    """The provider that the file goes to; empty: it stays here."""
    if said:
        return "" if said == HERE and HERE not in services.inference.providers else said
    if not upload.scan_file.plain or not upload.scan_file.models or context.caller.limits:
        return ""  # the limits of a key reach what is run here alone
    return services.inference.catalogue.batch_provider(upload.scan_file.models, context.caller) or ""


async def _keep(services: Services, context: RequestContext, upload: Upload) -> Reply:
    try:
        ttl_s = _ttl_s(services, upload.fields)
        file = await upload.spool.keep(owner=context.caller.key_id, filename=upload.filename, ttl_s=ttl_s)
    except BaseException:
        await upload.spool.discard()
        raise
    context.provider = HERE
    return json_reply(file.as_object())


def _ttl_s(services: Services, fields: Mapping[str, str]) -> int:
    """How long the file lives: OpenAI takes an hour to thirty days from its creation."""
    if _ANCHOR not in fields and _SECONDS not in fields:
        return services.settings.files.ttl_s
    if fields.get(_ANCHOR, "created_at") != "created_at":
        raise InvalidRequest("expires_after[anchor] must be created_at.", param=_ANCHOR)
    return check_lifetime(fields.get(_SECONDS, ""), _SECONDS)


def check_lifetime(said: object, param: str) -> int:
    """Seconds that a file is to live.

    Raises:
        InvalidRequest: They are no number from an hour to thirty days.
    """
    text = str(said) if isinstance(said, int | str) and not isinstance(said, bool) else ""
    if text.isascii() and text.isdigit() and len(text) <= 7 and 3600 <= int(text) <= 30 * 86_400:
        return int(text)
    raise InvalidRequest(f"{param} must be a whole number from 3600 to {30 * 86_400}.", param=param)


async def _for_provider(context: RequestContext, upload: Upload, provider: str, query: str) -> RawRequest:
    """The upload of a batch's file to the provider that is to run it, its models named as they are there."""
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
    """A form with a file, names escaped as the HTML standard says (form-data, section 4.10.21.8)."""
    border = f"--{boundary}\r\n"
    head = "".join(
        f'{border}content-disposition: form-data; name="{name.translate(_ESCAPED)}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    named = f'name="file"; filename="{filename.translate(_ESCAPED)}"'
    head += f"{border}content-disposition: form-data; {named}\r\ncontent-type: application/jsonl\r\n\r\n"
    return b"".join((head.encode(), content, f"\r\n--{boundary}--\r\n".encode()))


def replayed(body: bytes, receive: Receive) -> Receive:
    """A request that was read, to be read again."""
    waiting = [body]

    async def again() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return again


class FileList:
    """``GET /files``: ours, and after the last of them the default provider's."""

    def __init__(self, elsewhere: App) -> None:
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            InvalidRequest: A parameter is not understood.
        """
        context: RequestContext = scope[SCOPE_KEY]
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        said = read_query(scope.get("query_string", b""))
        after = said.get("after", "")
        if names_provider(context, said) or (after and not is_our_file(after)):
            await self._elsewhere(scope, receive, send)
            return
        context.surface, context.request_type = "openai", "files"
        page = await _page(services, context, said)
        others = has_batches(services, DEFAULT_PROVIDER)
        if others and not page.files:
            await self._elsewhere(without_cursor(scope), receive, send)
            return
        await drain(receive)
        await send_reply(send, list_reply([file.as_object() for file in page.files], more=page.has_more or others))


async def _page(services: Services, context: RequestContext, said: Mapping[str, str]) -> FilePage:
    order = said.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise InvalidRequest("order must be asc or desc.", param="order")
    limit = read_limit(said.get("limit"), most=MAX_LIST, default=MAX_LIST)
    owner = await list_owner(services, context.caller)
    if owner is None:
        return FilePage((), has_more=False)
    page = await services.files.page(
        owner,
        purpose=said.get("purpose", ""),
        after=said.get("after", ""),
        limit=limit,
        newest_first=order == "desc",
    )
    if page is None:
        raise unknown_cursor()
    return page


def names_provider(context: RequestContext, query: Mapping[str, str]) -> bool:
    """Whether a request says which provider's things it is about."""
    said = context.headers.get(b"x-bf-provider", b"").decode("latin-1").strip() or query.get("provider", "")
    return bool(said) and said != HERE


def has_batches(services: Services, provider: str) -> bool:
    """Whether a provider is there and has files and batches itself."""
    found = services.inference.providers.get(provider)
    return found is not None and found.batches


def without_cursor(scope: Scope) -> Scope:
    """The same request for the first page of a list: a cursor of ours means nothing to others."""
    pairs = scope.get("query_string", b"").split(b"&")
    return {**scope, "query_string": b"&".join(pair for pair in pairs if not pair.startswith(b"after="))}


def list_reply(objects: list[dict[str, object]], *, more: bool) -> Reply:
    """A page of a list."""
    return json_reply(
        {
            "object": "list",
            "data": objects,
            "first_id": objects[0]["id"] if objects else None,
            "last_id": objects[-1]["id"] if objects else None,
            "has_more": more,
        }
    )


class FileById:
    """``/files/{id}``, with ``DELETE``, and ``/files/{id}/content``.

    Args:
        action: ``retrieve``, ``delete`` or ``content``.
        elsewhere: Serves ids that are not ours.
    """

    def __init__(self, action: str, elsewhere: App) -> None:
        self._action = action
        self._elsewhere = elsewhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request.

        Raises:
            NotFound: An id of ours that is unknown, expired or another caller's.
            Conflict: A file is to be deleted that a batch reads.
        """
        file_id: str = scope["path_params"]["file_id"]
        if not is_our_file(file_id):
            await self._elsewhere(scope, receive, send)
            return
        context: RequestContext = scope[SCOPE_KEY]
        context.surface, context.request_type = "openai", "files"
        services = services_of(scope)
        context.caller = await services.governance.identify(context.headers)
        await drain(receive)
        file = await find_file(services, context, file_id)
        if self._action == "content":
            await _send_content(send, services.files, file)
        elif self._action == "delete":
            await services.files.delete(file_id)
            await send_reply(send, json_reply({"id": file_id, "object": "file", "deleted": True}))
        else:
            await send_reply(send, json_reply(file.as_object()))


async def _send_content(send: Send, files: FileStore, file: StoredFile) -> None:
    pieces = files.content(file)
    first = await anext(pieces, b"")  # before the head is sent: a store that is away is an error, not half a file
    named = f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}"
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", b"%d" % file.size),
        (b"content-disposition", header_text(named)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": first, "more_body": True})
    async for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
