"""What is seen from outside: metrics under the names of the requirement, and logs as JSON with a correlation id."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from app.resilience.breaker import State
from app.search.model import Answer, Level
from app.settings import Settings
from app.trace import add_ids

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of latencies, s. 0.5 is one of them: the requirement's P95 is judged there (section 7)."""


MAX_TENANTS: Final = 50
"""Tenants that have a label of their own: each is 13 series in every process, and there may be thousands of them."""


class Metrics:
    """What one process counts, and what it takes of the machine. Requests by route, never by path: paths have no end.

    Args:
        release: What the process calls itself.
    """

    def __init__(self, release: str = "stable") -> None:
        self.registry = CollectorRegistry()
        # What the requirement calls metrics of the JVM (section 4): memory, and collections of garbage.
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=self.registry)

        self.requests = counter("http_requests", "Requests answered", "method", "route", "status")
        self.duration = Histogram(
            "http_request_duration_seconds",
            "Time to answer a request, s",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = gauge("http_requests_in_flight", "Requests that are being answered")
        self.searches = Histogram(
            "search_latency_seconds",
            "Time to find an answer, by the level that had it, s",
            ("level",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.tenants = Histogram(
            "search_tenant_latency_seconds",
            f"Time to find an answer, of the first {MAX_TENANTS} tenants that asked; of all others together, s",
            ("tenant",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._labels: dict[UUID, str] = {}
        self._waiting: tuple[Gauge, Gauge] | None = None
        self.engines = Histogram(
            "engine_query_seconds",
            "Time of an engine to answer, s",
            ("engine",),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.degraded = counter("search_degraded", "Answers of an engine that stands in for another")
        self.cache_hits = counter("cache_hit", "Answers from a cache", "type")
        self.cache_misses = counter("cache_miss", "Answers that no cache had")
        self.written = counter("documents_written", "Documents written", "effect")
        self.pool = gauge("db_pool_connections", "Connections to PostgreSQL", "state")
        self.replica_lag = gauge("db_replica_lag_seconds", "How far a replica may be behind its primary, s", "replica")
        self._breakers = gauge(
            "circuit_breaker_state", "1 of the state that a dependency's breaker is in", "dependency", "state"
        )
        gauge("docsearch_release", "Always 1", "release").labels(release).set(1)

    def expiring(self, expires_at: Callable[[], float]) -> None:
        """Shows when the certificate ends that clients are shown, s since 1970."""
        text = "When the certificate that clients are shown ends, s since 1970"
        name = "tls_certificate_expiration_timestamp_seconds"
        Gauge(name, text, registry=self.registry).set_function(expires_at)

    def waiting(self, documents: float, oldest_seconds: float) -> None:
        """Says what waits for the index. Who has no queue never does, and shows no metrics of one rather than 0.

        Args:
            documents: How many; not a number while nobody knows.
            oldest_seconds: Age of the one that waits longest, s, likewise.
        """
        if self._waiting is None:
            self._waiting = (
                Gauge("queue_depth", "Documents that wait for the index", registry=self.registry),
                Gauge("queue_oldest_seconds", "Age of the document that waits longest, s", registry=self.registry),
            )
        for one, value in zip(self._waiting, (documents, oldest_seconds), strict=True):
            one.set(value)

    def breaker(self, dependency: str, state: State) -> None:
        """Takes note of the state that a breaker is in from now on."""
        for one in State:
            self._breakers.labels(dependency, one.value).set(one is state)

    def asked(self, engine: str, seconds: float) -> None:
        """Counts an answer of an engine."""
        self.engines.labels(engine).observe(seconds)

    def searched(self, tenant_id: UUID, answer: Answer, seconds: float) -> None:
        """Counts an answer, by the level that had it and by tenant."""
        self.searches.labels(answer.level).observe(seconds)
        tenant = self._labels.get(tenant_id)
        if tenant is None:
            tenant = "other"
            if len(self._labels) < MAX_TENANTS:
                tenant = self._labels[tenant_id] = str(tenant_id)
        self.tenants.labels(tenant).observe(seconds)
        if answer.level in (Level.MEMORY, Level.REDIS):
            self.cache_hits.labels(answer.level).inc()
        else:
            self.cache_misses.inc()
        if answer.degraded:
            self.degraded.inc()

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)


def configure_logs(settings: Settings) -> None:
    """Writes log lines to stderr: JSON, or for people."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        shared += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_json)]
    else:
        shared.append(
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        )
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def _json(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
