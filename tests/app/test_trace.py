"""A trace goes from caller over outbox to index, holds nothing of a tenant's, and costs nothing while it is off."""

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.errors import UnavailableError
from app.queue.model import Claim
from app.settings import Settings
from app.trace import add_ids, tracing, wanted
from tests.app.http.conftest import Api, Caller, api_of

pytestmark = [pytest.mark.services, pytest.mark.anyio]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
KEPT = f"00-{TRACE}-00f067aa0ba902b7-01"
LEFT = f"00-{TRACE}-00f067aa0ba902b7-00"
CANARY = "xylophone"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    tracing.start(1.0, "test", SimpleSpanProcessor(exporter))
    yield exporter
    tracing.stop()


@pytest.fixture
async def caller(settings: Settings) -> AsyncIterator[Caller]:
    async with api_of(settings) as api:
        yield await api.tenant("mine")


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        found.setdefault(span.name, []).append(span)
    return found


def traces(spans: list[ReadableSpan]) -> set[str]:
    return {f"{span.context.trace_id:032x}" for span in spans if span.context}


async def test_one_trace_goes_from_the_caller_to_the_index(caller: Caller, spans: InMemorySpanExporter) -> None:
    written = await caller("POST", "/v1/documents", json={"title": "Tea"}, headers={"traceparent": KEPT})
    (row,) = await caller.api.world.admin("SELECT trace FROM outbox")
    assert row["trace"].split("-")[1] == TRACE
    await caller.api.index_all()
    found = by_name(spans)
    (request,), (index,) = found["POST /v1/documents"], found["index"]
    assert traces([request, index, *found["authenticate"], *found["database"], *found["engine"]]) == {TRACE}
    assert request.parent
    assert request.context
    assert f"{request.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert index.parent
    assert index.parent.span_id == request.context.span_id
    assert dict(request.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "/v1/documents",
        "http.response.status_code": 202,
        "docsearch.correlation_id": written.headers["x-correlation-id"],
        "docsearch.tenant_id": str(caller.tenant_id),
    }


async def test_a_search_shows_the_levels_that_were_asked(caller: Caller, spans: InMemorySpanExporter) -> None:
    for _ in range(2):
        await caller.found("tea")
    found = by_name(spans)
    assert [(span.attributes or {})["cache.level"] for span in found["cache"]] == ["none", "memory"]
    assert [(span.attributes or {})["engine.name"] for span in found["engine"]] == ["full_text"]
    assert len(found["POST /v1/search"]) == 2


async def test_a_batch_of_many_requests_links_to_all_of_them(caller: Caller, spans: InMemorySpanExporter) -> None:
    for number in range(3):
        await caller("POST", "/v1/documents", json={"title": f"Tea {number}"})
    await caller.api.index_all()
    found = by_name(spans)
    (index,) = found["index"]
    requests = traces(found["POST /v1/documents"])
    linked = {f"{link.context.trace_id:032x}" for link in index.links} | traces([index])
    assert (len(requests), linked) == (3, requests)


async def test_a_caller_that_keeps_nothing_is_followed_and_of_new_traces_a_share_is_kept(caller: Caller) -> None:
    exporter = InMemorySpanExporter()
    tracing.start(0.1, "test", SimpleSpanProcessor(exporter))
    try:
        await caller("GET", "/v1/me", headers={"traceparent": LEFT})
        assert exporter.get_finished_spans() == ()
        await caller("GET", "/v1/me", headers={"traceparent": KEPT})
        assert by_name(exporter)["GET /v1/me"]
        exporter.clear()
        for number in range(600):
            with tracing.request("GET", {"traceparent": "nonsense" * number}):
                pass
        assert 25 < len(exporter.get_finished_spans()) < 110
    finally:
        tracing.stop()


async def test_nothing_of_a_tenant_is_in_a_span(caller: Caller, spans: InMemorySpanExporter) -> None:
    api: Api = caller.api
    document = await caller.add(title=CANARY, content=CANARY, author=CANARY, tags=[CANARY], metadata={CANARY: CANARY})
    await api.index_all()
    await caller.found(CANARY, filters=[{"kind": "term", "field": "author", "values": [CANARY]}])
    await caller("GET", "/v1/search", params={"q": CANARY, CANARY: CANARY})
    await caller("GET", "/v1/suggest", params={"q": CANARY})
    await caller("PUT", f"/v1/synonyms/{CANARY}", json={"alternatives": [CANARY]})
    await caller("PATCH", f"/v1/documents/{document}", json={"title": CANARY * 200})
    await caller(CANARY, f"/v1/{CANARY}")

    async def fails(query: object) -> None:
        raise UnavailableError(f"{CANARY} is away")

    api.service.engines[0].search = fails  # type: ignore[method-assign, assignment]
    assert (await caller("POST", "/v1/search", json={"q": f"new {CANARY}"})).status_code == 503
    finished = spans.get_finished_spans()
    assert len(finished) > 20
    for span in finished:
        text = span.to_json()
        assert CANARY not in text, text
        assert caller.credential not in text
    failed = [span for span in finished if (span.attributes or {}).get("error.type") == "unavailable"]
    assert {span.name for span in failed} >= {"engine"}


async def test_log_lines_carry_trace_and_correlation_id(
    caller: Caller, spans: InMemorySpanExporter, capsys: pytest.CaptureFixture[str]
) -> None:
    from app.observe import configure_logs  # noqa: PLC0415 - undone below

    configure_logs(caller.api.service.settings)
    try:
        await caller("GET", "/v1/me", headers={"traceparent": KEPT, "x-correlation-id": "my-correlation"})
    finally:
        structlog.reset_defaults()
    line = json.loads(capsys.readouterr().err.splitlines()[-1])
    (request,) = by_name(spans)["GET /v1/me"]
    assert request.context
    assert (line["trace_id"], line["span_id"]) == (TRACE, f"{request.context.span_id:016x}")
    assert line["correlation_id"] == "my-correlation"


def test_while_it_is_off_there_is_nothing() -> None:
    assert not tracing.on
    assert tracing.carry() == ""
    assert add_ids(None, "", {"event": "x"}) == {"event": "x"}
    assert Claim.__dataclass_fields__["trace"].default == ""
    with tracing.request("GET", {"traceparent": KEPT}), tracing.span("x") as span:
        span.set({"a": 1})


@pytest.mark.parametrize(
    ("environment", "on"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_standard_variables_decide(environment: dict[str, str], on: bool) -> None:
    assert wanted(environment) is on


def test_without_an_endpoint_the_command_imports_no_sender_and_starts_no_thread() -> None:
    # The client of Redis imports some of the SDK by itself wherever it is installed.
    script = (
        "import sys, threading, app.cli, app.http.app; "
        "print([n for n in ('app.trace_sender', 'opentelemetry.exporter', 'requests') if n in sys.modules],"
        " threading.active_count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1"


def test_spans_arrive_at_the_endpoint_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    posted: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            monkeypatch.setenv("OTEL_SERVICE_NAME", "named-by-the-environment")
            tracing.start(1.0, "test")
            with tracing.request("GET", {}), tracing.span("a-part-of-it"):
                pass
        finally:
            tracing.stop()
            server.shutdown()
            thread.join()
    ((path, body),) = posted
    assert path == "/v1/traces"
    assert b"a-part-of-it" in body
    assert b"named-by-the-environment" in body
