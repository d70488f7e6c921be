"""Whatever is sent, the answer is a precise 4xx: never a 5xx, never somebody else's document."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.http.app import OPERATIONS, application
from app.settings import Settings
from app.store.embedded import Embedded
from tests.app.http.conftest import Caller, api_of, problem
from tests.app.world import copy_of

pytestmark = [pytest.mark.services, pytest.mark.anyio]

DEEP = "[" * 30_000 + "]" * 30_000
LONG = "".join(map(chr, random.Random(1).choices(range(0x4E00, 0xA000), k=1_000)))
"""As many characters as there may be, of which no compression makes fewer bytes."""

LATER = "2999-01-01T00:00:00Z"


@pytest.fixture(scope="module")
async def caller(migrated: Embedded) -> AsyncIterator[Caller]:
    """One for all: what is refused leaves nothing behind."""
    async with copy_of(migrated) as its, api_of(its, key_per_minute=10**9, tenant_per_minute=10**9) as api:
        yield await api.tenant("mine")


async def test_a_body_of_millions_of_lines_is_refused_for_their_number(caller: Caller) -> None:
    found = problem(await caller("POST", "/v1/documents/bulk", content=b"1\n" * 5_000_000), 413, "too-large")
    assert "5,000,000 lines" in found["detail"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ("", ""),
        ("{", ""),
        ("[]", ""),
        (DEEP, ""),
        ('{"title": "\\ud800"}', ""),
        ("\xff", ""),
        ({}, ""),
        ({"title": 1}, "/title"),
        ({"title": ""}, "/title"),
        ({"title": "x" * 1001}, "/title"),
        ({"title": LONG}, "/title"),
        ({"title": "a\0b"}, "/title"),
        ({"title": "x", "unknown": 1}, ""),
        ({"title": "x", "tags": ["a", 1]}, "/tags/1"),
        ({"title": "x", "tags": [""]}, "/tags/0"),
        ({"title": "x", "tags": ["t"] * 51}, "/tags"),
        ({"title": "x", "language": "English!"}, "/language"),
        ({"title": "x", "metadata": {"a b": 1}}, "/metadata"),
        ({"title": "x", "metadata": {"a": [1]}}, "/metadata"),
        ({"title": "x", "metadata": {"a": 2**60}}, "/metadata/a"),
        ({"title": "x", "metadata": {"user_id": LONG}}, "/metadata/user_id"),
        ({"title": "x", "metadata": {f"k{n}": 1 for n in range(51)}}, "/metadata"),
        ({"title": "x", "published_at": LATER}, "/published_at"),
        ({"title": "x", "published_at": "2024-01-01T00:00:00"}, "/published_at"),
        ({"title": "x", "published_at": "yesterday"}, "/published_at"),
        ({"title": "x", "published_at": "0001-01-01T00:00:00+14:00"}, "/published_at"),
    ],
)
async def test_a_document_that_cannot_be_stored_is_refused_by_its_place(
    body: Any, pointer: str, caller: Caller
) -> None:
    content = body.encode("latin-1") if isinstance(body, str) else json.dumps(body).encode()
    answer = await caller("POST", "/v1/documents", content=content)
    assert problem(answer, 400, "invalid-document").get("pointer", "") == pointer
    assert (await caller("PUT", f"/v1/documents/{uuid4()}", content=content)).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        DEEP,
        {"unknown": 1},
        {"q": "x" * 1001},
        {"q": "a\0b"},
        {"q": 1},
        {"q": "a", "query": {"kind": "everything"}},
        {"query": {"kind": "nothing"}},
        {"query": {"kind": "match"}},
        {"query": {"kind": "match", "text": "a", "fields": ["tags"]}},
        {"query": {"kind": "match", "text": "a", "unknown": 1}},
        {"query": {"kind": "bool", "should": [{"kind": "everything"}], "minimum_should_match": 2}},
        {"query": {"kind": "bool", "must": [{"kind": "match", "text": "a"}] * 65}},
        {"filters": [{"kind": "term", "field": "title", "values": ["a"]}]},
        {"filters": [{"kind": "term", "field": "tenant_id", "values": ["a"]}]},
        {"filters": [{"kind": "term", "field": "tags", "values": []}]},
        {"filters": [{"kind": "term", "field": "tags", "values": [1]}]},
        {"filters": [{"kind": "term", "field": "metadata.a; DROP TABLE documents", "values": [1]}]},
        {"filters": [{"kind": "range", "field": "published_at"}]},
        {"filters": [{"kind": "range", "field": "published_at", "gte": 1}]},
        {"filters": [{"kind": "range", "field": "published_at", "gte": "2024-01-01T00:00:00"}]},
        {"filters": [{"kind": "range", "field": "metadata.n", "gte": LATER}]},
        {"facets": ["title"]},
        {"facets": ["tags", "tags"]},
        {"facets": [{"field": "tags", "size": 0}]},
        {"sort": ["tags"]},
        {"sort": ["title", "-title"]},
        {"fields": ["password"]},
        {"highlight": {"fragments": 0}},
        {"size": -1},
        {"size": 101},
        {"from": 9_995},
        {"from": -1},
        {"cursor": "x"},
        {"cursor": "x", "from": 1},
    ],
    ids=lambda body: json.dumps(body)[:60],
)
async def test_a_query_that_cannot_be_searched_is_refused(body: Any, caller: Caller) -> None:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    answer = await caller("POST", "/v1/search", content=content)
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in ("invalid-query", "invalid-cursor")
    if not isinstance(body, str):
        many = (await caller("POST", "/v1/multi-search", json={"searches": [body, {}]})).json()
        if many.get("code") is None:
            assert many["results"][0]["problem"]["status"] == 400
            assert many["results"][1]["answer"]["total"] == 0


@pytest.mark.parametrize(
    "query",
    ["size=x", "size=1&size=2", "filter=x", "filter=published_at>=x", "unknown=1", "highlight=perhaps", "fuzzy=x"],
)
async def test_a_parameter_that_cannot_be_read_is_refused(query: str, caller: Caller) -> None:
    problem(await caller("GET", f"/v1/search?{query}"), 400, "invalid-query")


async def test_a_line_that_cannot_be_read_leaves_the_others_alone(caller: Caller) -> None:
    twice, gone = str(uuid4()), str(uuid4())
    lines = [
        '{"document": {"title": "First"}}',
        "{",
        "",
        '{"document": {"title": ""}}',
        f'{{"id": "{twice}", "document": {{"title": "Twice"}}}}',
        f'{{"id": "{twice}", "document": {{"title": "Again"}}}}',
        f'{{"action": "delete", "id": "{gone}"}}',
        '{"action": "explode", "id": "x"}',
        '{"id": "no-uuid", "document": {"title": "x"}}',
        '{"action": "put"}',
        DEEP,
        '{"document": {"title": "Last"}}',
    ]
    answer = await caller("POST", "/v1/documents/bulk", content="\n".join(lines).encode())
    assert answer.status_code == 202
    body = answer.json()
    assert (body["taken"], body["failed"]) == (3, 8)
    statuses = {one["line"]: one["status"] for one in body["results"]}
    assert statuses == {1: 202, 2: 400, 4: 400, 5: 202, 6: 409, 7: 404, 8: 400, 9: 400, 10: 400, 11: 400, 12: 202}
    assert body["results"][2]["error"]["pointer"] == "/title"
    task = (await caller("GET", answer.headers["location"])).json()
    assert (task["state"], task["total"], task["kind"]) == ("enqueued", 3, "bulk")


async def test_what_is_too_large_is_refused_before_it_is_read(settings: Settings) -> None:
    async with api_of(
        settings, max_body_bytes=1000, max_document_bytes=200, max_query_bytes=100, max_bulk_lines=2
    ) as api:
        caller = await api.tenant("a")
        problem(await caller("POST", "/v1/documents/bulk", content=b"x" * 1001), 413, "too-large")
        problem(await caller("POST", "/v1/documents/bulk", content=b"{}\n{}\n{}"), 413, "too-large")
        # Not even as lines that are left out: they would all be made first.
        problem(await caller("POST", "/v1/documents/bulk", content=b"\n" * 4), 400, "invalid-request")
        problem(await caller("POST", "/v1/documents/bulk", content=b"\n" * 5), 413, "too-large")
        problem(await caller("POST", "/v1/search", content=b" " * 101), 413, "too-large")
        large = {"title": "x", "content": "y" * 201}
        problem(await caller("POST", "/v1/documents", json=large), 400, "invalid-document")
        problem(await caller("POST", "/v1/documents", content=b"x" * 10_000), 413, "too-large")

        async def endless() -> Any:
            for _ in range(100):
                yield b"x" * 100

        problem(await caller("POST", "/v1/documents/bulk", content=endless()), 413, "too-large")


async def test_bodies_that_are_more_together_than_there_is_room_for_are_turned_away(settings: Settings) -> None:
    line = b'{"document": {"title": "x", "content": "%s"}}\n' % (b"y" * 190_000)
    async with api_of(settings, max_bodies=2, max_body_bytes=200_000) as api:
        mine, hers = await api.tenant("a"), await api.tenant("b")
        arrived, end = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield line
            arrived.set()
            await end.wait()
            yield b"\n"

        first = asyncio.create_task(mine("POST", "/v1/documents/bulk", content=slow()))
        await arrived.wait()
        await asyncio.sleep(0.1)
        held = api.service.room.held
        assert held > 100_000
        refused = await mine("POST", "/v1/documents/bulk", content=line)
        assert "of this tenant" in problem(refused, 503, "overloaded")["detail"]
        assert refused.headers["retry-after"] == "1"
        # What is small goes on, and others have what is left.
        assert (await mine("POST", "/v1/search", json={"q": "x"})).status_code == 200
        assert (await hers("POST", "/v1/documents/bulk", content=line)).status_code == 202
        assert api.service.room.held == held
        end.set()
        assert (await first).json()["taken"] == 1
        assert api.service.room.held == 0


@pytest.mark.parametrize("header", [{"content-type": "text/xml"}, {"content-encoding": "gzip"}])
@pytest.mark.parametrize("path", ["/v1/documents", "/v1/documents/bulk", "/v1/search", "/v1/tokens"])
async def test_a_body_of_another_kind_is_refused(path: str, header: dict[str, str], caller: Caller) -> None:
    problem(await caller("POST", path, content=b"{}", headers=header), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "path", ["/nope", "/v1", "/v1/documents/x", "/v1/documents/x/versions", "/v1/tasks/1", "/v1/search/"]
)
async def test_what_is_not_there_is_not_found(path: str, caller: Caller) -> None:
    problem(await caller("GET", path), 404, "not-found")


async def test_a_body_that_does_not_come_is_its_senders_fault(settings: Settings) -> None:
    async def stops() -> AsyncIterator[bytes]:
        yield b'{"q": '
        await asyncio.Event().wait()

    async with api_of(settings, deadline_seconds=0.5) as api:
        caller = await api.tenant("a")
        found = problem(await caller("POST", "/v1/search", content=stops()), 408, "request-timeout")
        assert "6 bytes were" in found["detail"]


async def test_a_caller_that_goes_away_is_no_error_of_ours(settings: Settings) -> None:
    async with api_of(settings) as api:
        caller = await api.tenant("a")
        sent: list[object] = []

        async def gone() -> dict[str, str]:
            return {"type": "http.disconnect"}

        async def send(message: object) -> None:
            sent.append(message)

        credentials = (b"authorization", f"Bearer {caller.credential}".encode())
        scope = {
            "type": "http", "method": "POST", "path": "/v1/search", "raw_path": b"/v1/search", "query_string": b"",
            "headers": [credentials, (b"content-length", b"10")], "client": ("192.0.2.7", 1), "http_version": "1.1",
            "scheme": "http", "server": ("api", 80), "root_path": "",
        }  # fmt: skip
        await application(api.service)(scope, gone, send)
        assert not sent
        counted = api.service.metrics.registry.get_sample_value
        labels = {"method": "POST", "route": "/v1/search"}
        assert counted("http_requests_total", {**labels, "status": "499"}) == 1
        assert counted("http_requests_total", {**labels, "status": "500"}) is None


async def test_a_method_that_is_not_there_is_said_so(caller: Caller) -> None:
    answer = await caller("DELETE", "/v1/search")
    assert "GET, POST" in problem(answer, 405, "method-not-allowed")["detail"]
    assert answer.headers["allow"] == "GET, POST"


@pytest.mark.parametrize("value", ["x", '"x"', '""', "3", 'W/"1"', '"99999999999999999999"'])
async def test_an_etag_that_is_none_is_refused(value: str, caller: Caller) -> None:
    answer = await caller("DELETE", f"/v1/documents/{uuid4()}", headers={"if-match": value})
    problem(answer, 400, "invalid-request")


@pytest.mark.parametrize("body", ['"tea"', "[]", "null", "3"])
async def test_a_patch_that_is_no_object_is_said_before_anything_else(body: str, caller: Caller) -> None:
    answer = await caller("PATCH", f"/v1/documents/{uuid4()}", content=body, headers={"if-match": "*"})
    problem(answer, 400, "invalid-document")


NAMES = """
    q query kind match bool must should filter filters field values text fields facets sort size from cursor title
    content tags metadata published_at author language fuzzy highlight gte searches subject scopes id document action
    alternatives
""".split()

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(NAMES) | st.text(max_size=3),
            inner | st.sampled_from(["match", "term", "range", "bool", "tags", "metadata.a", "title", "auto", "put"]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


WITH_BODY = [one for one in OPERATIONS if one.body is not None]


@given(value=values, which=st.sampled_from(WITH_BODY), raw=st.none() | st.binary(max_size=40))
@examples(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_that_is_sent_is_a_server_error(
    value: Any, which: Any, raw: bytes | None, caller: Caller
) -> None:
    path = which.path.replace("{document_id}", str(uuid4())).replace("{word}", "tea")
    content = raw if raw is not None else msgspec.json.encode(_encodable(value))
    answer: httpx.Response = await caller(which.method, path, content=content, headers={"content-type": which.media[0]})
    assert answer.status_code < 500, (which.path, content, answer.text)


@given(text=st.text(max_size=30), name=st.sampled_from("q filter facets sort fields size from cursor fuzzy x".split()))
@examples(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_parameter_is_a_server_error(text: str, name: str, caller: Caller) -> None:
    for path in ("/v1/search", "/v1/suggest", "/v1/tasks", "/v1/audit"):
        answer = await caller("GET", path, params={name: text.encode("utf-8", "replace").decode()})
        assert answer.status_code < 500, (path, name, text, answer.text)


@pytest.mark.parametrize(
    "behind",
    [
        "after=1",
        f"head={'0' * 64}",
        f"after=0&head={'0' * 64}",
        f"after=x&head={'0' * 64}",
        "after=1&head=0",
        f"after=1&head={'x' * 64}",
        f"after=1&head={'0' * 64}&size=1",
    ],
)
async def test_a_trail_is_gone_through_behind_a_row_and_its_hash_or_from_the_beginning(
    behind: str, caller: Caller
) -> None:
    problem(await caller("GET", f"/v1/audit/verify?{behind}"), 400, "invalid-request")


def _encodable(value: Any) -> Any:
    """What JSON can hold: numbers of 64 bits, and text without halves of surrogates."""
    if isinstance(value, dict):
        return {_encodable(key): _encodable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_encodable(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return max(-(2**63), min(2**63 - 1, value)) if isinstance(value, int) and not isinstance(value, bool) else value
