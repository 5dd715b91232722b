"""Requests as wires read them, and their answers: no sockets, timing or faults."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from simulator.faults import Behaviour
from simulator.form import Form
from simulator.store import Store

Headers = tuple[tuple[bytes, bytes], ...]


class Refusal(Exception):
    """A request is answered with an error; the family of the route gives it its envelope.

    Attributes:
        status: HTTP status.
        kind: the `type` of the envelope, e.g. `invalid_request_error`.
        param: the request field that is to blame, if one is.
        code: the machine-readable code, if there is one.
        headers: extra response headers, e.g. `retry-after`.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.headers = headers


@dataclass(slots=True)
class Reply:
    """A whole answer; `tokens` is what was generated, so that tokens per second pace it too."""

    body: bytes
    status: int = 200
    content_type: bytes = b"application/json"
    headers: Headers = ()
    tokens: int = 0


@dataclass(slots=True)
class Stream:
    """An answer in frames, each one write on the socket.

    Attributes:
        frames: each with the number of the token it goes out with: 0 means at once, 1 waits for `ttft`,
            the following ones come at `tps`.
        end: what tells the client that nothing is missing, e.g. `data: [DONE]`.
        error_frame: makes the wire's error frame; takes the number of frames sent so far.
        bad_frame: bytes that no client of this wire can parse.
        when_done: called once `end` has been written.
    """

    frames: list[tuple[int, bytes]]
    end: bytes
    error_frame: Callable[[int], bytes]
    bad_frame: bytes = b'data: {"id": "broken", "choi\n\n'
    content_type: bytes = b"text/event-stream; charset=utf-8"
    when_done: Callable[[], None] | None = None


Answer = Reply | Stream


@dataclass(slots=True)
class Call:
    """One request, parsed: `body` for JSON, `form` for multipart, `params` from the path."""

    method: str
    path: str
    query_string: bytes
    raw_headers: list[tuple[bytes, bytes]]
    store: Store
    dispatch: Callable[[str, dict[str, Any]], Reply]
    params: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    form: Form | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)

    def header(self, name: bytes) -> str | None:
        """Return the first header of that lower-case name."""
        for key, value in self.raw_headers:
            if key == name:
                return value.decode("latin-1")
        return None

    def query(self, name: str) -> str | None:
        """Return the last value of a query parameter."""
        values = parse_qs(self.query_string.decode("latin-1"), keep_blank_values=True).get(name)
        return values[-1] if values else None

    def need_form(self) -> Form:
        """The multipart form of the request.

        Raises:
            Refusal: the body is something else.
        """
        if self.form is None:
            raise Refusal(400, "Expected a multipart/form-data body.", code="invalid_content_type")
        return self.form


@dataclass(frozen=True, slots=True)
class Family:
    """The routes of one wire, with their common error envelope."""

    refuse: Callable[[Refusal], Reply]


def model_in_body(call: Call) -> str | None:
    """The `model` of a JSON or multipart body; None when absent or not a string."""
    model = call.form.fields.get("model") if call.form else call.body.get("model")
    return model if isinstance(model, str) else None


@dataclass(frozen=True, slots=True)
class Route:
    """A path pattern (`/files/{id}`, `/models/{id:path}`), the wire's answer to it and its family."""

    method: str
    pattern: str
    answer: Callable[[Call], Answer]
    family: Family
    model_of: Callable[[Call], str | None] = model_in_body


class Router:
    """Finds the route of a method and a path; exact paths by dictionary, patterns in their order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: list[tuple[re.Pattern[str], Route]] = []
        for route in routes:
            if "{" in route.pattern:
                self._patterns.append((_compile(route.pattern), route))
            else:
                self._exact[route.method, route.pattern] = route
        self._paths = {path for _, path in self._exact}

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route and its path parameters, or None."""
        route = self._exact.get((method, path))
        if route is not None:
            return route, {}
        for pattern, candidate in self._patterns:
            if candidate.method == method and (match := pattern.fullmatch(path)):
                return candidate, match.groupdict()
        return None

    def knows(self, path: str) -> bool:
        """Whether the path exists for any method."""
        return path in self._paths or any(pattern.fullmatch(path) for pattern, _ in self._patterns)


def _compile(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)(:path)?\}", pattern)
    out = [re.escape(parts[0])]
    for name, rest, literal in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        out.append(f"(?P<{name}>{'.+' if rest else '[^/]+'}){re.escape(literal)}")
    return re.compile("".join(out))
