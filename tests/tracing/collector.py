"""A collector: takes OTLP over HTTP on a real socket, and shows the spans that it received."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.serving import serving


@dataclass(frozen=True)
class Span:
    """A received span, with ids as text and attributes as plain values."""

    name: str
    kind: int
    trace_id: str
    id: str
    parent: str
    attributes: dict[str, Any]
    links: tuple[str, ...]
    failed: bool
    start_ns: int
    end_ns: int
    resource: dict[str, Any] = field(repr=False)


class Collector:
    """Receives traces.

    Attributes:
        url: The base URL, as ``telemetry.otlp_endpoint`` takes it.
        requests: Paths and headers.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.spans: list[Span] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.requests.append((scope["path"], {name.decode(): value.decode() for name, value in scope["headers"]}))
        request = ExportTraceServiceRequest.FromString(body)
        for group in request.resource_spans:
            resource = values(group.resource.attributes)
            self.spans += [span_of(span, resource) for scoped in group.scope_spans for span in scoped.spans]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Span:
        [found] = self.named(name)
        return found

    async def flushed(self, *tracings: Any) -> "Collector":
        """Wait until everything that has ended is here."""
        for tracing in tracings:
            await asyncio.to_thread(tracing.flush)
        return self


def span_of(span: Any, resource: dict[str, Any]) -> Span:
    return Span(
        name=span.name,
        kind=span.kind,
        trace_id=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        attributes=values(span.attributes),
        links=tuple(link.span_id.hex() for link in span.links),
        failed=span.status.code == 2,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        resource=resource,
    )


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: plain(one.value) for one in attributes}


def plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [plain(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    async with serving(collector) as origin:
        collector.url = origin
        yield collector
