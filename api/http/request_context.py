"""The facts of one HTTP request that every layer shares, and the small ASGI moves that all endpoints make."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, NamedTuple

import orjson

from shared.errors import ClientGone
from shared.governance.keys.caller import ANONYMOUS, Caller

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
HeaderLine = tuple[bytes, bytes]

SCOPE_KEY = "finops"
JSON_TYPE: HeaderLine = (b"content-type", b"application/json")


class AuditEvent(NamedTuple):
    """What an administrator's call acts on, for the audit trail; nothing secret."""

    target: str
    detail: Mapping[str, Any] = {}


class RequestContext:
    """What is known of a request; in ``scope["finops"]`` from the outermost middleware on.

    Attributes:
        headers: By lower-case name; of a repeated header the last.
        repeated: Names of headers that came more than once.
        started: ``time.perf_counter()`` at its begin.
        status: Of the response, 0 before it has begun.
        surface: ``openai``, ``anthropic``, ``async``, ``api`` or empty: which door it came through.
        request_type: ``RequestType.name`` on inference routes.
        provider: Who answered.
        lines: Headers of the response, whatever becomes of it, beside those that its endpoint sends.
        act: What an administrator's call did; None: its path says it.
    """

    __slots__ = (
        "_said",
        "audit_event",
        "caller",
        "headers",
        "job_id",
        "lines",
        "model",
        "provider",
        "repeated",
        "request_id",
        "request_type",
        "started",
        "status",
        "surface",
    )

    def __init__(
        self,
        request_id: str,
        headers: dict[bytes, bytes],
        *,
        repeated: frozenset[bytes] = frozenset(),
        started: float,
        said: Iterable[HeaderLine] = (),
    ) -> None:
        self.request_id = request_id
        self._said = said  # the scope's own lines
        self.headers = headers
        self.repeated = repeated
        self.started = started
        self.status = 0
        self.surface = ""
        self.request_type = ""
        self.model = ""
        self.provider = ""
        self.job_id = ""
        self.lines: tuple[HeaderLine, ...] = ()
        self.caller: Caller = ANONYMOUS
        self.audit_event: AuditEvent | None = None

    def forget_headers(self) -> None:
        """Let go of what the request said: for a request that has been understood, and now waits for long."""
        self.headers = {}
        if isinstance(self._said, list):
            self._said.clear()


class Reply(NamedTuple):
    """A whole response; ``content-length`` is added when it is sent."""

    status: int
    body: bytes
    headers: tuple[HeaderLine, ...] = (JSON_TYPE,)


def json_reply(value: object, status: int = 200, headers: tuple[HeaderLine, ...] = ()) -> Reply:
    """A JSON response."""
    return Reply(status, orjson.dumps(value), (JSON_TYPE, *headers))


async def send_reply(send: Send, reply: Reply) -> None:
    """Send a whole response."""
    body = reply.body
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [*reply.headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


async def read_body(receive: Receive) -> bytes:
    """The request's whole body; its size is the body limit's affair.

    Raises:
        ClientGone: The caller hung up before its end.
    """
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return message.get("body") or b""
    chunks: list[bytes] = []
    while message["type"] == "http.request":
        chunks.append(message.get("body") or b"")
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()
    raise ClientGone("The caller hung up before the end of its request.")


async def drain(receive: Receive) -> None:
    """Take a body that nobody reads off the connection, without keeping it."""
    while (await receive()).get("more_body"):
        pass


def header_lines(said: Mapping[str, str], *prefixes: str) -> tuple[HeaderLine, ...]:
    """Headers as they are sent; with prefixes, those that begin so."""
    chosen = ((name, value) for name, value in said.items() if not prefixes or name.startswith(prefixes))
    return tuple([(header_text(name), header_text(value)) for name, value in chosen])


def header_text(value: str) -> bytes:
    """A header value that cannot end its line, whatever it holds."""
    return value.encode("latin-1", "replace").translate(None, b"\r\n\x00")
