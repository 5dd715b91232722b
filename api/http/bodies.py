"""Reading request bodies: whole, bounded, discarded, replayed."""

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from io import BytesIO
from typing import Any

from api.http.cycle import Cycle
from api.http.request_context import SCOPE_KEY, Message, Receive, RequestContext, Scope
from shared.background import LARGE_BYTES
from shared.errors import ClientGone, InvalidRequest, RequestTooLarge
from shared.governance.pricing.usage import prompt_size
from shared.surfaces.large_json import parse_large
from shared.surfaces.request_body import RequestBody, read_object, read_request
from shared.surfaces.request_types import RequestType


async def read_body(receive: Receive) -> bytes:
    """Read the whole body; its size is checked by the body limit.

    Raises:
        ClientGone: The caller hung up before the end of the body.
    """
    cycle = getattr(receive, "__self__", None)
    if isinstance(cycle, Cycle) and (whole := cycle.take_body()) is not None:
        return whole
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return message.get("body") or b""
    body = BytesIO()  # grows as it comes, and its value is no copy: joining 50 MB at the end takes 50 ms
    while message["type"] == "http.request":
        body.write(message.get("body") or b"")
        if not message.get("more_body"):
            return body.getvalue()
        message = await receive()
    raise ClientGone("The caller hung up before the end of its request.")


async def drain(receive: Receive) -> None:
    """Read a body off the connection without keeping it, for endpoints that ignore it."""
    while (await receive()).get("more_body"):
        pass


def read_plain_body(context: RequestContext, receive: Receive) -> Awaitable[bytes]:
    """Read the whole body, which must not be compressed.

    Raises:
        InvalidRequest: The body is compressed.
        ClientGone: The caller hung up before the end of the body.
    """
    encoding = context.headers.get(b"content-encoding")
    if encoding and encoding != b"identity":
        raise InvalidRequest(
            "Compressed request bodies are not supported; send the body uncompressed.", param="content-encoding"
        )
    return read_body(receive)


async def read_inference_request(request_type: RequestType, scope: Scope, receive: Receive) -> RequestBody:
    """Read and check the body of an inference request.

    Raises:
        InvalidRequest: The body is not a valid request of this type.
        ClientGone: The caller hung up before the end of the body.
    """
    context: RequestContext = scope[SCOPE_KEY]
    body = await read_plain_body(context, receive)
    large = len(body) > LARGE_BYTES and request_type.form == "json"
    fields = await parse_object(body, max_json_values(scope)) if large else None
    content_type = content_type_of(context)
    if large or len(body) <= LARGE_BYTES:
        request = read_request(request_type, body, content_type, fields)
    else:
        request = await asyncio.to_thread(read_request, request_type, body, content_type)
    context.model = request.model
    return await measured(request) if large else request


async def measured(request: RequestBody) -> RequestBody:
    """Return a request with the size of its prompt, which is measured outside the loop: 100,000 values take 0.1 s."""
    return replace(request, prompt=await asyncio.to_thread(prompt_size, request.fields, request.raw))


async def parse_object(body: bytes, max_values: int) -> dict[str, Any]:
    """Parse the JSON object that a body holds; a large one in steps, between which others are served.

    Args:
        body: The bytes as they came.
        max_values: The most values of a large body, ``server.max_json_values``.

    Raises:
        InvalidRequest: As ``read_object``; a large body has too many values.
    """
    if len(body) <= LARGE_BYTES:
        return read_object(body)
    steps = parse_large(body, max_values)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            fields: dict[str, Any] = done.value
            return fields
        await asyncio.sleep(0)


def max_json_values(scope: Scope) -> int:
    """Return ``server.max_json_values`` of the application that serves this request."""
    most: int = scope["app"].state.services.settings.server.max_json_values
    return most


def content_type_of(context: RequestContext) -> str:
    """The request's ``content-type``, empty if absent."""
    return context.headers.get(b"content-type", b"").decode("latin-1")


async def read_bounded_body(receive: Receive, max_bytes: int) -> bytes:
    """Read a body that must be small.

    Raises:
        RequestTooLarge: The body has more than ``max_bytes`` bytes.
        ClientGone: The caller hung up before the end of the body.
    """
    seen = 0

    async def receive_counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body") or b"")
        if seen > max_bytes:
            raise RequestTooLarge(f"The request body is too large: this endpoint takes at most {max_bytes} bytes.")
        return message

    return await read_body(receive_counted)


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that yields a body which was read already, then goes on with the connection's own."""
    unread = [body]

    async def receive_again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return receive_again


def too_large(limit: int) -> RequestTooLarge:
    """The refusal of a body above the limit, in bytes."""
    return RequestTooLarge(
        f"The request body is larger than {limit / 1024 / 1024:g} MB, the limit of this gateway (server.max_body_mb)."
    )
