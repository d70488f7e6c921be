"""What is counted has the names that the requirement's queries and its list ask for, and never labels without end."""

import re
from pathlib import Path
from uuid import uuid4

import pytest

from app.index.model import Result
from app.observe import MAX_TENANTS, Metrics
from app.resilience.breaker import State
from app.search.model import Answer, Level

ROOT = Path(__file__).parents[2]

#: The requirement's PromQL (section 7), and its list of metrics (section 4), by what they are called here.
REQUIRED = {
    'http_requests_total{status=~"5.."}': "http_requests_total",
    "http_request_duration_seconds_bucket": "http_request_duration_seconds_bucket",
    "search latency": "search_latency_seconds_bucket",
    "search latency by tenant": "search_tenant_latency_seconds_bucket",
    "cache hits by type": "cache_hit_total",
    "cache misses": "cache_miss_total",
    "engine query time": "engine_query_seconds_bucket",
    "queue depth": "queue_depth",
    "connection pool": "db_pool_connections",
    "heap": "process_resident_memory_bytes",
    "collections of garbage": "python_gc_collections_total",
}


def used() -> Metrics:
    metrics = Metrics()
    metrics.requests.labels("GET", "/v1/search", "200").inc()
    metrics.duration.labels("GET", "/v1/search").observe(0.01)
    metrics.pool.labels("idle").set(1)
    metrics.asked("opensearch", 0.01)
    metrics.waiting(1, 0.5)
    for level in Level:
        metrics.searched(uuid4(), Answer(Result(1, True, [], []), level), 0.01)
    return metrics


@pytest.mark.parametrize("asked", REQUIRED)
def test_what_the_requirement_asks_for_is_counted(asked: str) -> None:
    names = {line.split("{")[0].split(" ")[0] for line in used().text().decode().splitlines() if line[0] != "#"}
    assert REQUIRED[asked] in names


def test_errors_are_told_by_endpoint_and_status() -> None:
    assert 'http_requests_total{method="GET",route="/v1/search",status="200"} 1.0' in used().text().decode()


def test_the_percentile_of_the_requirement_has_a_bucket_at_its_bound() -> None:
    assert (
        'http_request_duration_seconds_bucket{le="0.5",method="GET",route="/v1/search"} 1.0' in used().text().decode()
    )


def test_every_metric_of_ours_that_the_platform_names_is_there() -> None:
    """Names in rules of the platform are text: one that is misspelt would be silent for ever."""
    names = {sample.name for family in used().registry.collect() for sample in family.samples}
    ours = re.compile(r"\b(?:http_request|search_|cache_(?:hit|miss)_total|queue_|db_pool_|engine_query_)\w*")
    rules = [
        match[0]
        for folder in ("components", "stacks", "policies")
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in (".py", ".yaml", ".json") and "expr" in (text := file.read_text(encoding="utf-8"))
        for expression in re.findall(r"""["']?expr["']?\s*[:=]\s*(.+)""", text)
        for match in ours.finditer(expression)
    ]
    assert {*rules} <= names


def test_who_has_no_queue_shows_none_instead_of_an_empty_one() -> None:
    metrics = Metrics()
    assert "queue_" not in metrics.text().decode()
    metrics.waiting(3, 1.5)
    metrics.waiting(2, 0.5)
    assert {"queue_depth 2.0", "queue_oldest_seconds 0.5"} <= {*metrics.text().decode().splitlines()}


def test_a_breaker_is_in_one_state_at_a_time() -> None:
    metrics = Metrics()
    for state in (State.CLOSED, State.OPEN, State.HALF_OPEN):
        metrics.breaker("Redis", state)
        lines = re.findall(
            r'^circuit_breaker_state{dependency="Redis",state="(\w+)"} 1.0$', metrics.text().decode(), re.MULTILINE
        )
        assert lines == [state.value]


def test_thousands_of_tenants_have_a_bounded_number_of_labels() -> None:
    metrics = Metrics()
    tenants = [uuid4() for _ in range(3000)]
    for tenant in tenants * 2:
        metrics.searched(tenant, Answer(Result(1, True, [], []), Level.MEMORY), 0.01)
    text = metrics.text().decode()
    labels = set(re.findall(r'search_tenant_latency_seconds_count{tenant="([^"]+)"}', text))
    assert len(labels) == MAX_TENANTS + 1
    assert f'search_tenant_latency_seconds_count{{tenant="{tenants[0]}"}} 2.0' in text
    rest = 2.0 * (len(tenants) - MAX_TENANTS)
    assert f'search_tenant_latency_seconds_count{{tenant="other"}} {rest}' in text
