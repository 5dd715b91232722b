"""The context of one HTTP request, shared by every layer, and plain replies in ASGI."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from shared.governance.keys.caller import ANONYMOUS, Caller

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
HeaderLine = tuple[bytes, bytes]

SCOPE_KEY = "finops"
HEADERS_KEY = "finops.headers"
"""In the scope, from our server: the headers by name. ``RequestId`` takes them out."""
JSON_TYPE: HeaderLine = (b"content-type", b"application/json")
NO_STORE: HeaderLine = (b"cache-control", b"no-store")


class AuditEvent(NamedTuple):
    """Target and detail of an administrator's call, for the audit trail; never a secret."""

    target: str
    detail: Mapping[str, Any] = {}


class RequestContext:
    """The context of a request; in ``scope["finops"]`` from the outermost middleware on.

    Attributes:
        headers: By lower-case name; the last value of a repeated header.
        repeated: Names of headers that were sent more than once.
        started: ``time.perf_counter()`` when it arrived.
        status: The response's; 0 until the response has begun.
        surface: ``openai``, ``anthropic``, ``genai``, ``async``, ``api`` or empty.
        request_type: ``RequestType.name`` on inference routes.
        provider: The provider that answered.
        lines: Headers added to the response, whatever its outcome.
        audit_event: Target and detail for the audit trail; None: derived from the path.
    """

    __slots__ = (
        "_raw_headers",
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
        raw_headers: Iterable[HeaderLine] = (),
    ) -> None:
        self.request_id = request_id
        self._raw_headers = raw_headers  # the scope's own list, so that it can be cleared
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
        """Free the request's headers: for a request that has been read and now waits for long."""
        self.headers = {}
        if isinstance(self._raw_headers, list):
            self._raw_headers.clear()


class Reply(NamedTuple):
    """A whole response; ``content-length`` is added when it is sent."""

    status: int
    body: bytes
    headers: tuple[HeaderLine, ...] = (JSON_TYPE,)


def json_reply(value: object, status: int = 200, headers: tuple[HeaderLine, ...] = ()) -> Reply:
    """Make a JSON response."""
    return Reply(status, orjson.dumps(value), (JSON_TYPE, *headers))


class DirectSender:
    """What our own server offers beside ASGI's messages, which take a coroutine and a dictionary each."""

    def send_whole(self, status: int, lines: Sequence[HeaderLine], body: bytes) -> bool:
        """Send a whole response at once.

        Args:
            status: Its status.
            lines: Its headers in lower case, ``content-length`` included.
            body: Its body.

        Returns:
            False where it has to be sent as messages: it has begun, or its caller is slow or gone.

        Raises:
            RuntimeError: A header holds a control character.
        """
        raise NotImplementedError

    def send_part(self, part: bytes) -> bool:
        """Send a part of a response that has begun without a length and goes on; at once.

        Returns:
            False where it has to be sent as a message: its caller is slow or gone.
        """
        raise NotImplementedError


class ResponseSender:
    """The ``send`` of a request: adds the headers that every response to it has.

    Args:
        send: The server's.
        context: The request's, which learns the response's status.
    """

    __slots__ = ("_context", "_id_line", "_send", "_server")

    def __init__(self, send: Send, context: RequestContext) -> None:
        self._send = send
        self._context = context
        self._id_line: HeaderLine = (b"x-request-id", context.request_id.encode())
        owner = getattr(send, "__self__", None)
        self._server = owner if isinstance(owner, DirectSender) else None

    def __call__(self, message: Message) -> Awaitable[None]:
        """Send a message."""
        if message["type"] == "http.response.start":
            self._context.status = message["status"]
            message["headers"] = [*message.get("headers", ()), self._id_line, *self._context.lines]
        return self._send(message)

    def send_whole(self, reply: Reply) -> bool:
        """Send a whole response at once; False: it has to be sent as messages."""
        if self._server is None:
            return False
        context = self._context
        context.status = reply.status
        length = (b"content-length", b"%d" % len(reply.body))
        return self._server.send_whole(
            reply.status, (*reply.headers, length, self._id_line, *context.lines), reply.body
        )

    def send_part(self, part: bytes) -> bool:
        """Send a part of a response that goes on, at once; False: it has to be sent as a message."""
        return self._server is not None and self._server.send_part(part)


async def send_reply(send: Send, reply: Reply) -> None:
    """Send a whole response."""
    if isinstance(send, ResponseSender) and send.send_whole(reply):
        return
    body = reply.body
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [*reply.headers, (b"content-length", b"%d" % len(body))],
        }
    )
    await send({"type": "http.response.body", "body": body})


def header_lines(headers: Mapping[str, str], *prefixes: str) -> tuple[HeaderLine, ...]:
    """Encode headers; with prefixes, only those whose names start with one."""
    if prefixes:
        headers = {name: value for name, value in headers.items() if name.startswith(prefixes)}
    return tuple([(_header_name(name), header_text(value)) for name, value in headers.items()])


@lru_cache(maxsize=256)
def _header_name(name: str) -> bytes:
    """Encode a header's name; there are few."""
    return header_text(name)


def header_text(value: str) -> bytes:
    """Encode a header value, without the characters that would end its line."""
    if value.isascii() and value.isprintable():  # nearly all; a third of the time
        return value.encode()
    return value.encode("latin-1", "replace").translate(None, b"\r\n\x00")
