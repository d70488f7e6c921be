"""The API as callers see it."""

import asyncio
import itertools
import json
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.access.memory import STALE_SECONDS
from app.errors import UnavailableError
from app.index.model import Health
from app.search.model import NoCache
from app.settings import Settings
from app.store import audit
from tests.app.http.conftest import Api, Caller, api_of, problem

pytestmark = [pytest.mark.services, pytest.mark.anyio]


@pytest.fixture
async def caller(api: Api) -> Caller:
    return await api.tenant("mine")


# Documents


async def test_a_document_goes_in_is_found_changes_and_goes(api: Api, caller: Caller) -> None:
    added = await caller("POST", "/v1/documents", json={"title": "Green tea", "content": "Steamed leaves"})
    assert added.status_code == 202
    assert added.headers["etag"] == '"1"'
    document = added.json()["document_id"]
    assert (await caller("GET", added.headers["location"])).json()["state"] == "enqueued"
    assert (await caller("GET", f"/v1/documents/{document}")).json()["status"] == "PENDING"
    await api.index_all()
    assert (await caller("GET", added.headers["location"])).json()["state"] == "succeeded"
    assert await caller.found("steam") == [document]
    changed = await caller("PATCH", f"/v1/documents/{document}", json={"content": "Roasted leaves"})
    assert (changed.status_code, changed.json()["effect"]) == (202, "updated")
    await api.index_all()
    assert await caller.found("steam") == []
    versions = (await caller("GET", f"/v1/documents/{document}/versions")).json()["versions"]
    assert [(one["version"], one["document"]["content"]) for one in versions] == [(1, "Steamed leaves")]
    assert (await caller("DELETE", f"/v1/documents/{document}")).json()["effect"] == "deleted"
    problem(await caller("GET", f"/v1/documents/{document}"), 404, "not-found")
    problem(await caller("DELETE", f"/v1/documents/{document}"), 404, "not-found")
    await api.index_all()
    assert await caller.found() == []


async def test_the_same_document_is_stored_once(caller: Caller) -> None:
    first = await caller.add(title="x")
    again = await caller("POST", "/v1/documents", json={"title": "x"})
    assert (again.status_code, again.json()) == (
        200,
        {"document_id": first, "version": 1, "effect": "duplicate", "task_id": None},
    )
    same = await caller("PUT", f"/v1/documents/{first}", json={"title": "x"})
    assert (same.status_code, same.json()["effect"]) == (200, "unchanged")


async def test_an_etag_keeps_two_writers_apart(caller: Caller) -> None:
    path = f"/v1/documents/{uuid4()}"
    assert (await caller("PUT", path, json={"title": "a"}, headers={"if-none-match": "*"})).status_code == 202
    problem(await caller("PUT", path, json={"title": "b"}, headers={"if-none-match": "*"}), 412, "precondition-failed")
    read = await caller("GET", path)
    etag = read.headers["etag"]
    assert (await caller("GET", path, headers={"if-none-match": etag})).status_code == 304
    assert (await caller("PUT", path, json={"title": "b"}, headers={"if-match": etag})).status_code == 202
    for method in ("PUT", "PATCH", "DELETE"):
        body = None if method == "DELETE" else {"title": "c"}
        lost = await caller(method, path, json=body, headers={"if-match": etag})
        assert "version 2, not 1" in problem(lost, 412, "precondition-failed")["detail"]
    assert (await caller("DELETE", path, headers={"if-match": "*"})).status_code == 202


async def test_of_many_writers_with_one_etag_one_wins(caller: Caller) -> None:
    path = f"/v1/documents/{uuid4()}"
    await caller("PUT", path, json={"title": "a"})
    answers = await asyncio.gather(
        *(caller("PUT", path, json={"title": f"b{number}"}, headers={"if-match": '"1"'}) for number in range(8))
    )
    assert sorted(one.status_code for one in answers) == [202] + [412] * 7


async def test_a_document_of_another_tenant_is_not_there(api: Api, caller: Caller) -> None:
    other = await api.tenant("theirs")
    path = f"/v1/documents/{await other.add(title='secret')}"
    task = (await other("GET", "/v1/tasks")).json()["tasks"][0]["task_id"]
    await api.index_all()
    problem(await caller("GET", path), 404, "not-found")
    problem(await caller("GET", f"{path}/versions"), 404, "not-found")
    problem(await caller("PATCH", path, json={"title": "x"}), 404, "not-found")
    problem(await caller("DELETE", path), 404, "not-found")
    problem(await caller("GET", f"/v1/tasks/{task}"), 404, "not-found")
    assert await caller.found() == []
    # The same id is another document for another tenant.
    assert (await caller("PUT", path, json={"title": "mine"})).json()["version"] == 1
    assert (await other("GET", path)).json()["title"] == "secret"


async def test_many_documents_are_written_at_once(api: Api, caller: Caller) -> None:
    ids = [str(uuid4()) for _ in range(500)]
    lines = [json.dumps({"id": one, "document": {"title": f"Number {at}"}}) for at, one in enumerate(ids)]
    answer = await caller("POST", "/v1/documents/bulk", content="\n".join(lines).encode())
    assert (answer.status_code, answer.json()["taken"], answer.json()["failed"]) == (202, 500, 0)
    await api.index_all()
    task = (await caller("GET", answer.headers["location"])).json()
    assert (task["state"], task["done"]) == ("succeeded", 500)
    assert (await caller("POST", "/v1/search", json={"q": "number"})).json()["total"] == 500
    more = [{"action": "delete", "id": ids[0]}, {"action": "patch", "id": ids[1], "document": {"title": "Other"}}]
    more.append({"action": "put", "id": ids[2], "document": {"title": "Third"}, "version": 7})
    answer = await caller("POST", "/v1/documents/bulk", content="\n".join(map(json.dumps, more)).encode())
    assert [one["status"] for one in answer.json()["results"]] == [202, 202, 412]


async def test_tasks_are_listed_by_state(api: Api, caller: Caller) -> None:
    await caller.add(title="a")
    await api.index_all()
    await caller.add(title="b")
    for state, number in {"succeeded": 1, "enqueued": 1, "failed": 0}.items():
        assert len((await caller("GET", f"/v1/tasks?state={state}")).json()["tasks"]) == number
    assert len((await caller("GET", "/v1/tasks?size=1")).json()["tasks"]) == 1
    problem(await caller("GET", "/v1/tasks?state=lost"), 400, "invalid-request")


# Searches


async def test_pages_are_gone_through_by_cursor(api: Api, caller: Caller) -> None:
    ids = {await caller.add(title=f"Tea {number}") for number in range(7)}
    await api.index_all()
    seen: list[str] = []
    body = {"q": "tea", "size": 3, "sort": ["-created_at"]}
    while True:
        answer = (await caller("POST", "/v1/search", json=body)).json()
        seen += [hit["document_id"] for hit in answer["hits"]]
        if not answer["next"]:
            break
        body["cursor"] = answer["next"]
    assert len(seen) == 7
    assert {*seen} == ids


async def test_a_cursor_is_of_its_tenant_and_its_query(api: Api, caller: Caller) -> None:
    for number in range(3):
        await caller.add(title=f"Tea {number}")
    await api.index_all()
    cursor = (await caller("POST", "/v1/search", json={"q": "tea", "size": 1})).json()["next"]
    assert (await caller("POST", "/v1/search", json={"q": "tea", "size": 2, "cursor": cursor})).status_code == 200
    other = await api.tenant("theirs")
    for who, q, text in (
        (other, "tea", cursor),
        (caller, "coffee", cursor),
        (caller, "tea", cursor[:-4] + "AAAA"),
        (caller, "tea", "A" * 200),
        (caller, "tea", "!"),
    ):
        answer = await who("POST", "/v1/search", json={"q": q, "size": 1, "cursor": text})
        problem(answer, 400, "invalid-cursor")


async def test_a_search_by_url_is_the_same_search(api: Api, caller: Caller) -> None:
    ada = await caller.add(title="Tea", author="ada", metadata={"pages": 5})
    await caller.add(title="Tea too", author="bob", metadata={"pages": 9})
    await api.index_all()
    query = "q=tea&filter=author:ada&filter=metadata.pages<=5&filter=-tags:x&facets=author&sort=-title&fields=title"
    answer = (await caller("GET", f"/v1/search?{query}")).json()
    assert [(hit["document_id"], hit["fields"]) for hit in answer["hits"]] == [(ada, {"title": "Tea"})]
    assert (answer["level"], answer["stale"], answer["degraded"]) == ("full_text", False, False)


async def test_synonyms_are_an_administrators(api: Api, caller: Caller) -> None:
    document = await caller.add(title="New York")
    await api.index_all()
    assert await caller.found("nyc") == []
    put = await caller("PUT", "/v1/synonyms/NYC", json={"alternatives": ["New York"]})
    assert put.json() == {"synonyms": {"nyc": ["new york"]}}
    assert await caller.found("nyc") == [document]
    assert (await caller("GET", "/v1/synonyms")).json() == put.json()
    assert (await caller("DELETE", "/v1/synonyms/nyc")).status_code == 204
    problem(await caller("DELETE", "/v1/synonyms/nyc"), 404, "not-found")
    for bad in ([], [""], ["x" * 101], ["a"] * 21):
        problem(await caller("PUT", "/v1/synonyms/a", json={"alternatives": bad}), 400, "invalid-request")
    problem(await caller("PUT", "/v1/synonyms/two%20words", json={"alternatives": ["a"]}), 400, "invalid-request")


async def test_an_engine_that_does_not_answer_is_stood_in_for(api: Api, caller: Caller) -> None:
    class Broken:
        level = "opensearch"

        async def search(self, query: object) -> None:
            raise UnavailableError("no answer")

        suggest = search

    document = await caller.add(title="Tea")
    await api.index_all()
    broken: Any = Broken()
    api.service.search._engines = (broken, *api.service.engines)
    answer = (await caller("POST", "/v1/search", json={"q": "tea"})).json()
    assert (answer["degraded"], answer["level"]) == (True, "full_text")
    assert [hit["document_id"] for hit in answer["hits"]] == [document]
    assert (await caller("GET", "/v1/suggest?q=te")).json()["level"] == "full_text"
    api.service.search._engines = (broken,)
    api.service.search._cache = NoCache()
    problem(await caller("POST", "/v1/search", json={"q": "tea"}), 503, "unavailable")


# The audit trail


async def test_the_trail_says_who_did_what_from_where(api: Api, caller: Caller) -> None:
    document = await caller.add(title="x")
    await caller("POST", "/v1/keys", json={"scopes": ["read"]}, headers={"user-agent": "test/1"})
    key, written = (await caller("GET", "/v1/audit")).json()["rows"]
    assert (written["seq"], written["action"], written["resource"]) == (1, "write", f"document/{document}")
    assert (key["seq"], key["action"], key["user_agent"]) == (2, "create_key", "test/1")
    assert {row["actor"] for row in (key, written)} == {f"key:{caller.prefix}"}
    assert {row["address"] for row in (key, written)} == {"192.0.2.7"}
    assert len((await caller("GET", "/v1/audit?before=2")).json()["rows"]) == 1
    assert (await caller("GET", "/v1/audit/verify")).json()["whole"] is True


async def test_a_page_of_the_trail_ends_where_its_rows_are_large(
    api: Api, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await caller.add(title=f"Document {number}")
    first = (await caller("GET", "/v1/audit?size=3")).json()
    assert ([row["seq"] for row in first["rows"]], first["next"]) == ([4, 3, 2], 2)
    last = (await caller("GET", f"/v1/audit?before={first['next']}")).json()
    assert ([row["seq"] for row in last["rows"]], last["next"]) == ([1], None)
    # A row is on a page however large it is.
    for most, seen in {1: [4], len(json.dumps(first["rows"][0]["detail"])) * 2 + 5: [4, 3]}.items():
        monkeypatch.setattr(audit, "PAGE_BYTES", most)
        page = (await caller("GET", "/v1/audit")).json()
        assert ([row["seq"] for row in page["rows"]], page["next"]) == (seen, seen[-1])


async def test_a_long_trail_is_gone_through_in_parts(api: Api, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        await caller.add(title=f"Document {number}")
    whole = (await caller("GET", "/v1/audit/verify")).json()
    assert (whole["whole"], whole["rows"], whole["ended"]) == (True, 5, True)
    ticks = itertools.count()
    monkeypatch.setattr(audit, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    known, parts = "", 0
    while True:
        part = (await caller("GET", f"/v1/audit/verify{known}")).json()
        assert part["whole"]
        known, parts = f"?after={part['rows']}&head={part['head']}", parts + 1
        if part["ended"]:
            break
    assert parts > 1
    assert part["head"] == whole["head"]
    monkeypatch.undo()
    # Behind what is known, a row that is another one shows, as does one that is not there any more.
    behind = f"?after=3&head={(await caller('GET', '/v1/audit?before=4')).json()['rows'][0]['hash']}"
    assert (await caller("GET", f"/v1/audit/verify{behind}")).json()["whole"]
    await api.world.admin("UPDATE audit SET actor = 'nobody' WHERE seq = 5")
    assert (await caller("GET", f"/v1/audit/verify{behind}")).json()["broken_at"] == 5
    await api.world.admin("DELETE FROM audit WHERE seq >= 3")
    assert (await caller("GET", f"/v1/audit/verify{behind}")).json()["broken_at"] == 3


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE audit SET actor = 'nobody' WHERE seq = 3",
        "UPDATE audit SET detail = '{}' WHERE seq = 3",
        "UPDATE audit SET at = at + interval '1 microsecond' WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3",
        "DELETE FROM audit WHERE seq = 3; UPDATE audit SET seq = seq - 1 WHERE seq > 3",
        "UPDATE audit SET seq = -seq WHERE seq IN (3, 4); UPDATE audit SET seq = 7 + seq WHERE seq < 0",
        "UPDATE audit SET hash = sha256('x') WHERE seq = 3",
    ],
)
async def test_whoever_alters_the_trail_is_found_out(tampering: str, api: Api, caller: Caller) -> None:
    for number in range(5):
        await caller.add(title=f"Document {number}")
    before = (await caller("GET", "/v1/audit/verify")).json()
    assert (before["whole"], before["rows"]) == (True, 5)
    for statement in tampering.split("; "):
        await api.world.admin(statement)
    after = (await caller("GET", "/v1/audit/verify")).json()
    assert after["whole"] is False
    assert after["broken_at"] == 3 or after["broken_at"] == 4


async def test_many_writers_make_one_chain(caller: Caller) -> None:
    await asyncio.gather(*(caller.add(title=f"Document {number}") for number in range(12)))
    assert (await caller("GET", "/v1/audit/verify")).json()["rows"] == 12
    assert (await caller("GET", "/v1/audit/verify")).json()["whole"] is True


# Around every request


async def test_every_answer_has_its_headers(api: Api, caller: Caller) -> None:
    for answer in (await caller("GET", "/v1/me"), await api.http.get("/nope"), await api.http.get("/health/live")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["strict-transport-security"].startswith("max-age=63072000")
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    mine = await api.http.get("/health/live", headers={"x-correlation-id": "my-request-1"})
    assert mine.headers["x-correlation-id"] == "my-request-1"
    forged = await api.http.get("/health/live", headers={"x-correlation-id": "a\tb" * 9})
    assert UUID(forged.headers["x-correlation-id"]).version == 4


async def test_browsers_of_other_origins_are_kept_out_unless_they_are_listed(settings: Settings) -> None:
    async with api_of(settings, allowed_origins="https://good.example") as api:
        asked = {"access-control-request-method": "GET"}
        for origin, status in {"https://good.example": 204, "https://evil.example": 403, "null": 403}.items():
            answer = await api.http.options("/v1/search", headers={"origin": origin, **asked})
            assert answer.status_code == status
            simple = await api.http.get("/health/live", headers={"origin": origin})
            allowed = origin if status == 204 else None
            for one in (answer, simple):
                assert one.headers.get("access-control-allow-origin") == allowed
                assert "access-control-allow-credentials" not in one.headers


async def test_an_answer_that_takes_too_long_is_given_up(settings: Settings) -> None:
    async with api_of(settings, deadline_seconds=0.2) as api:
        caller = await api.tenant("mine")
        assert (await caller("GET", "/v1/me")).status_code == 200

        async def forever(query: object) -> None:
            await asyncio.sleep(60)

        api.service.search.search = forever  # type: ignore[assignment,method-assign]
        problem(await caller("POST", "/v1/search", json={}), 504, "deadline-exceeded")


async def test_what_nobody_expected_is_told_without_reasons(api: Api, caller: Caller) -> None:
    async def broken(query: object) -> None:
        raise RuntimeError("password=hunter2")

    api.service.search.search = broken  # type: ignore[assignment,method-assign]
    answer = await caller("POST", "/v1/search", json={})
    problem(answer, 500, "internal")
    assert "hunter2" not in answer.text


async def test_a_standby_reads_and_names_the_primary_for_writes(settings: Settings) -> None:
    async with api_of(settings, standby_of="https://primary.example") as api:
        caller = await api.tenant("mine")
        assert await caller.found() == []
        answer = await caller("POST", "/v1/documents", json={"title": "x"})
        assert "https://primary.example" in problem(answer, 307, "standby")["remedy"]
        assert answer.headers["location"] == "https://primary.example/v1/documents"
        document = "/v1/documents/00000000-0000-0000-0000-000000000001"
        answer = await caller("DELETE", f"{document}?x=%2F", headers={"host": "standby.example"})
        assert answer.headers["location"] == f"https://primary.example{document}?x=%2F"
        # Its name leads here while it is away: who is sent there would come back for ever.
        answer = await caller("POST", "/v1/documents", json={"title": "x"}, headers={"host": "primary.example"})
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "30"


async def test_health_says_what_is_down(api: Api) -> None:
    for path in ("/health/live", "/health/ready", "/health/startup"):
        assert (await api.http.get(path)).json() == {"status": "UP"}
    found = (await api.http.get("/health")).json()
    assert {name: one["status"] for name, one in found["components"].items()} == dict.fromkeys(
        ["database", "search", "cache", "message_queue"], "UP"
    )
    problem(await api.http.get("/health", headers={"x-forwarded-for": "192.0.2.1"}), 404, "not-found")
    problem(await api.http.get("/metrics", headers={"x-forwarded-for": "192.0.2.1"}), 404, "not-found")

    async def down() -> Health:
        return Health(False, reason="no answer")

    api.service.cache.health = down  # type: ignore[method-assign]
    assert (await api.http.get("/health")).json()["status"] == "DEGRADED"
    assert (await api.http.get("/health/ready")).status_code == 200
    api.service.database.health = down  # type: ignore[method-assign]
    assert (await api.http.get("/health")).status_code == 503
    assert (await api.http.get("/health/ready")).status_code == 503
    assert (await api.http.get("/health/live")).status_code == 200


async def test_a_failover_of_the_database_takes_no_process_out_until_what_is_known_is_too_old(
    api: Api, caller: Caller
) -> None:
    await caller.add(title="Green tea")
    await api.index_all()
    assert await caller.found("tea") == await caller.found("tea")

    async def down() -> Health:
        return Health(False, reason="no answer")

    def away(*_: object, **__: object) -> Any:
        raise UnavailableError("PostgreSQL does not answer")

    now = api.service.clock()
    api.service.clock = lambda: now
    assert (await api.http.get("/health/startup")).json() == {"status": "UP"}
    api.service.database.health = down  # type: ignore[method-assign]
    for name in ("read", "write", "find_key"):
        setattr(api.service.database, name, away)
    now += 100
    answer = await api.http.get("/health/startup")
    assert (answer.status_code, answer.json()) == (200, {"status": "DEGRADED"})
    assert (await api.http.get("/health/ready")).status_code == 503, "a region has to see it at once"
    assert len(await caller.found("tea")) == 1
    now += STALE_SECONDS
    answer = await api.http.get("/health/startup")
    assert (answer.status_code, answer.json()) == (503, {"status": "DOWN"})
    now -= STALE_SECONDS
    api.service.leaving = True
    assert (await api.http.get("/health/startup")).status_code == 503


async def test_who_has_no_queue_says_that_it_writes_to_the_outbox_and_shows_no_depth(api: Api) -> None:
    api.service.queue = None
    found = (await api.http.get("/health")).json()["components"]
    assert found["message_queue"] == {"status": "UP", "detail": {"kind": "outbox"}, "reason": ""}
    assert "queue_" not in (await api.http.get("/metrics")).text

    async def down() -> Health:
        return Health(False, reason="no answer")

    api.service.database.health = down  # type: ignore[method-assign]
    found = (await api.http.get("/health")).json()["components"]
    assert (found["message_queue"]["status"], found["message_queue"]["reason"]) == ("DOWN", "no answer")


async def test_metrics_have_the_names_that_are_asked_for(api: Api, caller: Caller) -> None:
    await caller.add(title="x")
    await caller.found()
    await api.http.get("/secret-path-of-somebody")
    text = (await api.http.get("/metrics")).text
    for line in (
        'http_requests_total{method="POST",route="/v1/search",status="200"} 1.0',
        'http_request_duration_seconds_bucket{le="0.5",method="POST",route="/v1/search"} 1.0',
        'search_latency_seconds_count{level="full_text"} 1.0',
        'documents_written_total{effect="created"} 1.0',
        'engine_query_seconds_count{engine="full_text"} 1.0',
        f'search_tenant_latency_seconds_count{{tenant="{caller.tenant_id}"}} 1.0',
        "queue_depth 1.0",
        "cache_miss_total 1.0",
    ):
        assert line in text
    assert "db_pool_connections" in text
    assert "secret-path" not in text


async def test_pages_come_from_here_alone(api: Api) -> None:
    page = await api.http.get("/")
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for path in ("/", "/docs", "/page/search.js", "/page/style.css"):
        answer = await api.http.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
        assert (await api.http.get(path, headers={"if-none-match": answer.headers["etag"]})).status_code == 304
    for inline in ("<style", " style=", "<script>", " onclick=", "javascript:"):
        assert inline not in page.text + (await api.http.get("/docs")).text


async def test_a_request_without_a_body_is_no_surprise(api: Api, caller: Caller) -> None:
    answer: httpx.Response = await caller("POST", "/v1/search")
    assert answer.json()["total"] == 0
    head = await api.http.head("/")
    assert head.status_code == 200
