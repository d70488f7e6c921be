"""Spans by OpenTelemetry's SDK. Nothing but `app.trace` imports it, and only where traces are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from app.errors import ApiError
from app.trace import MAX_LINKS, Attributes, Span

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_KINDS: Final = {kind.name.lower(): kind for kind in SpanKind}


class _Span:
    """A span of ours over one of the SDK."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))
        if isinstance(status := attributes.get("http.response.status_code"), int) and status >= 500:
            self._span.set_status(Status(StatusCode.ERROR))
        if route := attributes.get("http.route"):
            # As OpenTelemetry's conventions have it: method and route, never the path.
            self._span.update_name(f"{attributes['http.request.method']} {route}")


class Sender:
    """Makes spans, and gives them to what sends them.

    Args:
        ratio: Share of new traces that are kept.
        release: What the process calls itself.
        processors: Where they go; by default by OTLP over HTTP, in batches, to where the environment says.
    """

    def __init__(self, ratio: float, release: str, processors: Sequence[SpanProcessor]) -> None:
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say comes first.
        ours = {"service.name": "search-service", "service.version": version("docsearch"), "docsearch.release": release}
        said = Resource.create().attributes
        named = {name: value for name, value in said.items() if value and not str(value).startswith("unknown_service")}
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)), resource=Resource({**ours, **named}), shutdown_on_exit=False
        )
        for one in processors or (_exporting(),):
            self._provider.add_span_processor(one)
        self._tracer = self._provider.get_tracer("docsearch")

    def close(self) -> None:
        """Sends what has not been sent."""
        self._provider.shutdown()

    @contextmanager
    def span(
        self, name: str, kind: str, attributes: Attributes, parent: Context | None = None, links: Sequence[Link] = ()
    ) -> Iterator[Span]:
        """A span around what happens inside."""
        with self._tracer.start_as_current_span(
            name,
            context=parent,
            kind=_KINDS[kind],
            attributes=dict(attributes),
            links=links,
            # An error's text may hold what a caller sent.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield _Span(span)
            except ApiError as error:
                span.set_attribute("error.type", error.code)
                if error.status >= 500:
                    span.set_status(Status(StatusCode.ERROR))
                raise
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(Status(StatusCode.ERROR))
                raise

    def request(self, method: str, headers: Mapping[str, str]) -> Any:
        """The span around a request."""
        return self.span("request", "server", {"http.request.method": method}, _PROPAGATOR.extract(dict(headers)))

    def batch(self, name: str, kind: str, carried: Iterable[str], attributes: Attributes) -> Any:
        """The span around work for many traces."""
        contexts = [_PROPAGATOR.extract({"traceparent": one}) for one in dict.fromkeys(carried) if one]
        found = [(one, trace.get_current_span(one).get_span_context()) for one in contexts]
        found = sorted((one for one in found if one[1].is_valid), key=lambda one: not one[1].trace_flags.sampled)
        links = [Link(context) for _, context in found[1 : MAX_LINKS + 1]]
        return self.span(name, kind, attributes, found[0][0] if found else Context(), links)

    def carry(self) -> str:
        """The context of here and now."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get("traceparent", "")

    def ids(self) -> Mapping[str, str]:
        """The ids of trace and span."""
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


def _exporting() -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - opens a session
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - starts a thread

    return BatchSpanProcessor(OTLPSpanExporter())
