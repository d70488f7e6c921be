"""Traces: spans placed by hand where a request spends its time, sent by OTLP over HTTP when an endpoint is given.

    request -> authenticate, cache, engine, database -> (outbox, queue) -> publish, index

The standard variables of OpenTelemetry decide: without OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT), or with
OTEL_SDK_DISABLED, nothing is imported, no thread is started and a span costs a function call. A caller's context (W3C
Trace Context) is gone on with, its decision to sample included; a new trace is kept by chance. A span says what was
done and how it ended, by names of ours and ids: never a query, a document, or an error's text.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

Attributes = Mapping[str, str | int | float | bool]

MAX_LINKS: Final = 32
"""Traces that a batch of the index links to."""

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class Span(Protocol):
    """A part of the work that is timed."""

    def set(self, attributes: Attributes) -> None:
        """Says more about it: names of ours, numbers, ids."""


class _Nothing:
    """A span of a process that sends none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def set(self, attributes: Attributes) -> None:
        pass


_NOTHING: Final = _Nothing()
_NO_ATTRIBUTES: Final[Attributes] = {}


class Tracing:
    """Where the spans of this process go: nowhere, until it is told."""

    def __init__(self) -> None:
        self._sender: Any = None

    @property
    def on(self) -> bool:
        """Whether spans are made."""
        return self._sender is not None

    def start(self, ratio: float, release: str, *processors: SpanProcessor) -> None:
        """Makes spans from now on.

        Args:
            ratio: Share of new traces that are kept.
            release: What the process calls itself.
            processors: Where they go; by default to where the environment says.
        """
        # Imported by who sends traces alone: the SDK and its exporter take half a second.
        from app.trace_sender import Sender  # noqa: PLC0415

        self._sender = Sender(ratio, release, processors)

    def stop(self) -> None:
        """Sends what has not been sent, and makes no more."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()

    def span(
        self, name: str, attributes: Attributes = _NO_ATTRIBUTES, *, kind: str = "internal"
    ) -> AbstractContextManager[Span]:
        """A span around a part of the work, below the one around it; where there is none, none is made.

        Args:
            name: What is done, of a fixed set: whatever varies is an attribute.
            attributes: What to say about it.
            kind: ``internal``, or ``client`` for a call to a dependency.
        """
        sender = self._sender
        return _NOTHING if sender is None or not sender.ids() else sender.span(name, kind, attributes)

    def request(self, method: str, headers: Mapping[str, str]) -> AbstractContextManager[Span]:
        """The span around a request, below the caller's if it says so in ``traceparent``."""
        return _NOTHING if self._sender is None else self._sender.request(method, headers)

    def batch(
        self, name: str, carried: Iterable[str], attributes: Attributes = _NO_ATTRIBUTES, *, kind: str = "consumer"
    ) -> AbstractContextManager[Span]:
        """The span around work for many traces: below the first one that is kept, with links to the others.

        Args:
            name: What is done.
            carried: What `carry` gave out, as often as it did.
            attributes: What to say about it.
            kind: ``consumer`` or ``producer``.
        """
        return _NOTHING if self._sender is None else self._sender.batch(name, kind, carried, attributes)

    def carry(self) -> str:
        """The context of here and now as a ``traceparent``, to go on with elsewhere; empty if there is none."""
        return "" if self._sender is None else str(self._sender.carry())

    def ids(self) -> Mapping[str, str]:
        """The ids of trace and span, for log lines; nothing if there is none."""
        return {} if self._sender is None else self._sender.ids()


tracing: Final = Tracing()
"""This process's. There is one, as there is one of its log."""


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment says where traces go."""
    return (
        any(environment.get(name) for name in _ENDPOINTS)
        and environment.get("OTEL_SDK_DISABLED", "").lower() != "true"
        and environment.get("OTEL_TRACES_EXPORTER", "otlp").lower() != "none"
    )


def add_ids(_: Any, __: str, event: Any) -> Any:
    """Adds the ids of trace and span to a log line; a processor of structlog."""
    event.update(tracing.ids())
    return event


__all__: Sequence[str] = ["Span", "Tracing", "add_ids", "tracing", "wanted"]
