"""Requests that are forwarded to one provider as they are: which provider, and its answer on the way back."""

import re
from urllib.parse import unquote

from api.http.request_context import HeaderLine, RequestContext, Send, header_text
from shared.errors import InvalidRequest
from shared.inference.passthrough import RawAnswer

_PROVIDER = re.compile(r"[A-Za-z0-9._-]{1,64}")


def requested_provider(context: RequestContext, query: str) -> tuple[str, str]:
    """Return the provider that ``x-bf-provider`` or ``?provider=`` names, and the query without that parameter.

    The provider is empty if neither names one; the header has precedence.

    Raises:
        InvalidRequest: The value cannot be a provider's name.
    """
    provider = context.headers.get(b"x-bf-provider", b"").decode("latin-1").strip()
    forwarded = []
    for pair in query.split("&") if query else ():
        name, _, value = pair.partition("=")
        if name == "provider":
            provider = provider or unquote(value)
        else:
            forwarded.append(pair)
    return check_provider(provider), "&".join(forwarded)


def check_provider(name: str) -> str:
    """Return the name if it can be a provider's, or is empty.

    Raises:
        InvalidRequest: It cannot.
    """
    if name and not _PROVIDER.fullmatch(name):
        raise InvalidRequest("The provider must be the name of a configured one.", param="provider")
    return name


async def send_raw(send: Send, answer: RawAnswer) -> None:
    """Stream a provider's answer to the caller, then close it."""
    lines: list[HeaderLine] = [(b"content-type", header_text(answer.content_type))]
    lines += [(header_text(name), header_text(value)) for name, value in answer.headers.items()]
    try:
        await send({"type": "http.response.start", "status": answer.status, "headers": lines})
        async for chunk in answer:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await answer.aclose()
