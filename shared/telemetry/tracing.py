"""OpenTelemetry traces: spans of requests, attempts, jobs and webhooks, exported over OTLP/HTTP.

The SDK belongs to the extra ``otel``. It is imported when a ``Tracing`` is made, and one is made only where
``telemetry.otlp_endpoint`` is set: without it no part of this is on the path of a call. What is traced is made of the
classes in ``shared/inference/traced.py``, ``api/middleware/traced.py`` and ``worker/traced.py`` then, in place of the
plain ones.

Whether a request is sampled is decided once, before anything is made: an unsampled one costs a look at a context
variable for each span that it does not have.
"""

import importlib
import importlib.util
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, Protocol

TRACEPARENT: Final = "traceparent"
EXTRA: Final = "finops-gateway[otel]"
FLUSH_S: Final = 5.0
EXPORT_EVERY_MS: Final = 1000
# https://www.w3.org/TR/trace-context/#traceparent-header: later versions may append fields.
_TRACEPARENT: Final = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_MAX_TRACESTATE: Final = 512
MAX_CODE: Final = 100
_LOW_64: Final = 2**64 - 1

Kind = Literal["internal", "server", "client", "producer", "consumer"]
Value = str | bool | int | float | Sequence[str]

_current: ContextVar[Any] = ContextVar("finops.span", default=None)


def current_trace_id() -> str:
    """Return the id of the current trace; empty: the call is not traced."""
    span = _current.get()
    return "" if span is None else f"{span.get_span_context().trace_id:032x}"


class TracingOptions(Protocol):
    """The options of ``[telemetry]`` that matter here."""

    @property
    def otlp_endpoint(self) -> str | None:
        """URL of the collector."""

    @property
    def sample_ratio(self) -> float:
        """Share of the traces that begin here, from 0 to 1."""

    @property
    def service_name(self) -> str:
        """``service.name`` of the resource."""

    @property
    def propagate_to(self) -> Sequence[str]:
        """Providers that are sent ``traceparent``."""

    def header_values(self) -> dict[str, str]:
        """Headers of each export, such as a collector's credentials."""


class Root:
    """In place of a remote parent: the trace begins here."""


ROOT: Final = Root()


def exemplar_source(options: TracingOptions) -> Callable[[], str] | None:
    """Return what names the current trace; None: nothing is traced."""
    return current_trace_id if options.otlp_endpoint else None


def is_installed() -> bool:
    """Whether the extra is installed."""
    try:
        return all(map(importlib.util.find_spec, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")))
    except ModuleNotFoundError:
        return False


def traces_url(endpoint: str) -> str:
    """Return where traces are sent: below the collector's base URL, as OTLP/HTTP has it, or the URL that names it."""
    endpoint = endpoint.rstrip("/")
    return endpoint if endpoint.endswith("/v1/traces") else f"{endpoint}/v1/traces"


class Tracing:
    """Makes spans and exports them in the background.

    Args:
        options: Where to and how many.
        tier: ``api`` or ``worker``, an attribute of the resource.
        version: ``service.version`` of the resource.
        redact: Removes secrets from contents; None: contents are not recorded.
    """

    def __init__(
        self, options: TracingOptions, tier: str, version: str, redact: Callable[[str], str] | None = None
    ) -> None:
        self.redact = redact
        self._trace: Any = importlib.import_module("opentelemetry.trace")
        sdk: Any = importlib.import_module("opentelemetry.sdk.trace")
        export: Any = importlib.import_module("opentelemetry.sdk.trace.export")
        resources: Any = importlib.import_module("opentelemetry.sdk.resources")
        exporter: Any = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        self._propagator: Any = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
        self._empty: Any = importlib.import_module("opentelemetry.context").Context()
        # Not `create`, which looks for detectors in the files of every installed package.
        resource = resources.Resource(
            {"service.name": options.service_name, "service.version": version, "finops.tier": tier}
        )
        # Sampling is decided in `incoming`: what gets here is exported.
        self._provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
        sender = exporter.OTLPSpanExporter(
            endpoint=traces_url(options.otlp_endpoint or ""), headers=options.header_values(), timeout=FLUSH_S
        )
        self._provider.add_span_processor(export.BatchSpanProcessor(sender, schedule_delay_millis=EXPORT_EVERY_MS))
        self._tracer = self._provider.get_tracer("finops", version)
        self._bound = round(options.sample_ratio * 2**64)
        self._draw = random.Random().getrandbits  # noqa: S311 - chooses what is looked at, guards nothing
        self._propagate_to = frozenset(options.propagate_to)

    def incoming(self, headers: Mapping[bytes, bytes]) -> Any:  # noqa: ANN401 - an OpenTelemetry span context, or ROOT
        """Decide whether a request is traced.

        A caller may leave its trace out, but cannot have more traced than the configured share: what it sampled is
        sampled again, by its trace's id, so that all processes decide alike.

        Returns:
            The caller's span; ``ROOT``: the trace begins here; None: not traced.
        """
        given = headers.get(b"traceparent")
        found = _TRACEPARENT.fullmatch(given.decode("latin-1").strip()) if given else None
        if found is None:
            return ROOT if self._draw(64) < self._bound else None
        if not int(found[2], 16) & 1 or int(found[1], 16) & _LOW_64 >= self._bound:
            return None
        carrier = {TRACEPARENT: found[0]}
        state = headers.get(b"tracestate")
        if state and len(state) <= _MAX_TRACESTATE:
            carrier["tracestate"] = state.decode("latin-1")
        return self._extract(carrier)

    def remote(self, traceparent: object) -> Any:  # noqa: ANN401 - an OpenTelemetry span
        """Return the span that a stored ``traceparent`` names; None if the text is not a valid one."""
        if not isinstance(traceparent, str) or not _TRACEPARENT.fullmatch(traceparent):
            return None
        return self._extract({TRACEPARENT: traceparent})

    def _extract(self, carrier: Mapping[str, str]) -> Any:  # noqa: ANN401
        context = self._propagator.TraceContextTextMapPropagator().extract(carrier, context=self._empty)
        return self._trace.get_current_span(context)

    @property
    def active(self) -> bool:
        """Whether the current call is traced."""
        return _current.get() is not None

    def current_traceparent(self) -> str:
        """The ``traceparent`` of the current span; empty: the call is not traced."""
        span = _current.get()
        return "" if span is None else traceparent_of(span)

    def current_start_ns(self) -> int:
        """When the current span began, nanoseconds since 1970; the call must be traced."""
        began: int = _current.get().start_time
        return began

    def propagates_to(self, provider: str) -> bool:
        """Whether the current span may be propagated to a provider."""
        return self.active and not self._propagate_to.isdisjoint({provider, "*"})

    def start(
        self,
        name: str,
        kind: Kind = "internal",
        attributes: Mapping[str, Value] | None = None,
        *,
        parent: Any = None,  # noqa: ANN401
        links: Sequence[Any] = (),
        start_ns: int | None = None,
    ) -> Any:  # noqa: ANN401
        """Start a span, whose ``end`` the caller calls.

        Args:
            parent: The span above it; None: the current one; ``ROOT``: none.
            links: Spans that caused it.
            start_ns: When it began, nanoseconds since 1970; None: now.
        """
        above = _current.get() if parent is None else parent
        context = self._empty if above is None or above is ROOT else self._trace.set_span_in_context(above, self._empty)
        return self._tracer.start_span(
            name,
            context=context,
            kind=self._trace.SpanKind[kind.upper()],
            attributes=attributes,
            links=[self._trace.Link(span.get_span_context()) for span in links],
            start_time=start_ns,
        )

    @contextmanager
    def span(
        self,
        name: str,
        kind: Kind = "internal",
        attributes: Mapping[str, Value] | None = None,
        *,
        parent: Any = None,  # noqa: ANN401
        links: Sequence[Any] = (),
    ) -> Iterator[Any]:
        """Make a span the current one for a block; it ends with the block, as failed if that raises."""
        span = self.start(name, kind, attributes, parent=parent, links=links)
        token = _current.set(span)
        try:
            yield span
        except BaseException as error:
            self.fail(span, error)
            raise
        finally:
            _current.reset(token)
            span.end()

    def fail(self, span: Any, error: BaseException | str) -> None:  # noqa: ANN401
        """Mark a span as failed: by an error's code, never by its text, which may quote what a caller sent."""
        if not isinstance(error, str):
            error = str(getattr(error, "code", None) or getattr(error, "status", None) or type(error).__name__)
        span.set_attribute("error.type", error[:MAX_CODE])
        span.set_status(self._trace.StatusCode.ERROR, error[:MAX_CODE])

    def flush(self) -> None:
        """Export what is waiting; it blocks, for some seconds at most."""
        self._provider.force_flush(round(FLUSH_S * 1000))

    def close(self) -> None:
        """Export what is waiting and end; it blocks, for some seconds at most."""
        self._provider.shutdown()


def traceparent_of(span: Any) -> str:  # noqa: ANN401
    """Return the ``traceparent`` by which others become children of a span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
