"""The client tries again what may work, never what was carried out, and raises what was refused."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from app.client import Client, Document, Line, ProblemError, SearchRequest, UnansweredError
from app.http.app import OPERATIONS

ONE = uuid4()
ACCEPTED = {"document_id": str(ONE), "version": 1, "effect": "created", "task_id": None}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr("app.client.time.sleep", slept.append)
    return slept


def answering(*answers: Any) -> tuple[Callable[[httpx.Request], httpx.Response], list[httpx.Request]]:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        found = answers[len(asked) - 1]
        if isinstance(found, Exception):
            raise found
        status, body, *headers = found
        return httpx.Response(status, json=body, headers=headers[0] if headers else {})

    return answer, asked


def client_of(answer: Callable[[httpx.Request], httpx.Response]) -> Client:
    return Client("http://api", "dsk_x", transport=httpx.MockTransport(answer))


def test_what_may_work_another_time_is_tried_again(pauses: list[float]) -> None:
    answer, asked = answering((503, {}, {"retry-after": "2"}), httpx.ConnectError("no"), (202, ACCEPTED))
    with client_of(answer) as client:
        assert client.add(Document(title="x")).version == 1
    assert len(asked) == 3
    assert pauses[0] == 2.0
    assert 0 <= pauses[1] <= 0.4
    assert {one.headers["authorization"] for one in asked} == {"Bearer dsk_x"}


def test_after_three_attempts_the_problem_is_raised(pauses: list[float]) -> None:
    problem = {"code": "overloaded", "detail": "too much", "remedy": "wait", "pointer": "/q", "correlation_id": "c"}
    answer, asked = answering(*[(503, problem)] * 3)
    with client_of(answer) as client, pytest.raises(ProblemError, match="503 overloaded: too much") as refused:
        client.search(SearchRequest(q="x"))
    its = refused.value
    assert (its.status, its.code, its.remedy, its.pointer, its.correlation_id) == (503, "overloaded", "wait", "/q", "c")
    assert (len(asked), len(pauses)) == (3, 2)


def test_no_answer_at_all_is_raised_in_the_end(pauses: list[float]) -> None:
    answer, _ = answering(*[httpx.ConnectError("no")] * 3)
    with client_of(answer) as client, pytest.raises(httpx.ConnectError):
        client.whoami()
    assert len(pauses) == 2


def test_a_write_that_expects_a_version_is_sent_once(pauses: list[float]) -> None:
    answer, asked = answering((503, {}))
    with client_of(answer) as client, pytest.raises(ProblemError) as refused:
        client.put(uuid4(), Document(title="x"), version=3)
    assert refused.value.may_be_done
    assert [one.headers["if-match"] for one in asked] == ['"3"']
    assert pauses == []


DONE = {"task_id": None, "taken": 1, "failed": 0, "results": [{"line": 1, "status": 202}]}
LOST = [httpx.ReadError("reset"), httpx.ReadTimeout("late"), httpx.RemoteProtocolError("closed"), httpx.WriteError("x")]

#: Lines, and whether the request is sent again when it may have been carried out.
BULKS = [
    ([Line(document={"title": "x"})], True),
    ([Line(id=ONE, document={"title": "x"}), Line(id=uuid4(), action="patch", document={})], True),
    ([Line(action="create", document={"title": "x"})], True),
    ([Line(action="create", id=ONE, document={"title": "x"})], False),
    ([Line(action="delete", id=ONE)], False),
    ([Line(id=ONE, document={"title": "x"}, version=3)], False),
    ([Line(document={"title": "x"}), Line(id=ONE, action="patch", document={}, version=3)], False),
]


@pytest.mark.parametrize(("lines", "again"), BULKS)
@pytest.mark.parametrize("lost", LOST, ids=lambda lost: type(lost).__name__)
def test_a_bulk_request_whose_answer_is_lost_is_sent_again_only_if_it_does_the_same(
    lost: Exception, lines: list[Line], again: bool, pauses: list[float]
) -> None:
    answer, asked = answering(lost, (202, DONE))
    with client_of(answer) as client:
        if again:
            assert client.bulk(iter(lines)).taken == 1
        else:
            with pytest.raises(UnansweredError, match="POST /v1/documents/bulk has no answer, and may have been"):
                client.bulk(iter(lines))
    assert [one.content for one in asked] == [b"\n".join(map(msgspec.json.encode, lines))] * (2 if again else 1)
    assert len(pauses) == again


@pytest.mark.parametrize("before", [httpx.ConnectError("no"), httpx.ConnectTimeout("late"), (429, {})])
def test_what_was_certainly_not_carried_out_is_sent_again(before: Any, pauses: list[float]) -> None:
    answer, asked = answering(before, (202, DONE), before, (202, ACCEPTED))
    with client_of(answer) as client:
        assert client.bulk([Line(action="delete", id=ONE)]).taken == 1
        assert client.put(ONE, Document(title="x"), version=3).version == 1
    assert (len(asked), len(pauses)) == (4, 2)


@pytest.mark.parametrize("lost", [*LOST, (503, {"code": "unavailable"})])
def test_a_deletion_whose_answer_was_lost_is_done_if_there_is_no_document(lost: Any, pauses: list[float]) -> None:
    answer, asked = answering(lost, (404, {"code": "not-found"}))
    with client_of(answer) as client:
        done = client.delete(ONE)
        assert client.wait(done.task_id) is None
    assert (done.document_id, done.version, done.effect, len(asked)) == (ONE, 0, "deleted", 2)


@pytest.mark.parametrize("before", [httpx.ConnectError("no"), (429, {})])
def test_a_deletion_of_what_was_never_there_is_refused(before: Any, pauses: list[float]) -> None:
    missing = (404, {"code": "not-found"})
    answer, asked = answering(missing, before, missing)
    with client_of(answer) as client:
        for _ in range(2):
            with pytest.raises(ProblemError, match="not-found") as refused:
                client.delete(ONE)
            assert not refused.value.may_be_done
    assert len(asked) == 3


def test_a_task_that_is_not_there_is_not_canceled_by_an_answer_that_was_lost(pauses: list[float]) -> None:
    answer, _ = answering(LOST[0], (404, {"code": "not-found"}))
    with client_of(answer) as client, pytest.raises(ProblemError, match="not-found"):
        client.cancel(uuid4())


def test_what_was_refused_is_not_tried_again() -> None:
    answer, asked = answering((400, {"code": "invalid-query", "detail": "no"}))
    with client_of(answer) as client, pytest.raises(ProblemError, match="invalid-query"):
        client.search(SearchRequest(size=-1))
    assert len(asked) == 1


def test_an_answer_that_is_no_problem_is_raised_by_its_status() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(502, text="<html>"))
    with (
        Client("http://api", "x", transport=transport) as its,
        pytest.raises(ProblemError, match="502 unknown: HTTP 502"),
    ):
        its.whoami()


def test_a_task_that_does_not_end_is_given_up(pauses: list[float]) -> None:
    task = {"task_id": str(uuid4()), "kind": "write", "state": "enqueued", "total": 1, "done": 0, "failed": 0}
    task |= {"errors": [], "created_at": "2026-01-01T00:00:00Z", "started_at": None, "finished_at": None}
    with client_of(lambda _: httpx.Response(200, json=task)) as client:
        assert client.wait(None) is None
        with pytest.raises(TimeoutError, match="is enqueued after 0 s"):
            client.wait(uuid4(), seconds=0)
    assert pauses == []


def test_a_deleted_synonym_has_no_answer_and_one_whose_answer_was_lost_is_deleted(pauses: list[float]) -> None:
    answer, asked = answering((204, None), httpx.ReadError("no"), (404, {}), (404, {}))
    with client_of(answer) as client:
        client.delete_synonym("a/b c")
        client.delete_synonym("a/b c")
        with pytest.raises(ProblemError, match="404"):
            client.delete_synonym("a/b c")
    assert {one.url.raw_path for one in asked} == {b"/v1/synonyms/a%2Fb%20c"}


def test_a_key_whose_answer_is_lost_is_not_made_again(pauses: list[float]) -> None:
    answer, asked = answering(httpx.ReadError("no"))
    with client_of(answer) as client, pytest.raises(UnansweredError):
        client.create_key("read", name="mine")
    assert len(asked) == 1


def test_the_trail_is_read_and_gone_through_in_parts(pauses: list[float]) -> None:
    row: dict[str, Any] = {"at": "2026-01-01T00:00:00Z", "actor": "a", "action": "write", "resource": "r"}
    row |= {"address": "::1", "user_agent": "", "correlation_id": "", "detail": {}, "hash": "00"}
    part = {"whole": True, "rows": 2, "broken_at": None, "head": "ab" * 32}
    answer, asked = answering(
        (200, {"rows": [{"seq": 3, **row}, {"seq": 2, **row}], "next": 2}),
        (200, {"rows": [{"seq": 1, **row}], "next": None}),
        (200, {**part, "ended": False}),
        (200, {**part, "rows": 3, "ended": True}),
    )
    with client_of(answer) as client:
        assert [one.seq for one in client.audit()] == [3, 2, 1]
        assert client.verify_audit().rows == 3
    paths = ["/v1/audit", "/v1/audit?before=2", "/v1/audit/verify", f"/v1/audit/verify?after=2&head={'ab' * 32}"]
    assert [one.url.raw_path.decode() for one in asked] == paths


def test_every_operation_of_the_api_is_a_method_of_the_client() -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        return httpx.Response(400, json={})

    one = uuid4()
    with client_of(answer) as client:
        for call in (
            lambda: client.search(SearchRequest()),
            lambda: client.multi_search(SearchRequest()),
            lambda: client.suggest("a"),
            lambda: client.add(Document(title="x")),
            lambda: client.put(one, Document(title="x")),
            lambda: client.patch(one, {}),
            lambda: client.delete(one),
            lambda: client.get(one),
            lambda: client.versions(one),
            lambda: client.bulk([Line(document={"title": "x"})]),
            lambda: client.task(one),
            lambda: client.cancel(one),
            lambda: client.tasks(),
            lambda: client.popular(),
            lambda: client.synonyms(),
            lambda: client.put_synonym("word", "other"),
            lambda: client.delete_synonym("word"),
            lambda: client.token("u"),
            lambda: client.whoami(),
            lambda: client.keys(),
            lambda: client.create_key("read"),
            lambda: client.revoke_key("prefix"),
            lambda: [*client.audit()],
            lambda: client.verify_audit(),
            lambda: client.erase("u"),
        ):
            with pytest.raises(ProblemError):
                call()
    values = {"document_id": one, "task_id": one, "word": "word", "prefix": "prefix"}
    known = {(its.method, its.path.format_map(values)) for its in OPERATIONS if its.right is not None}
    # What can be said in a URL can be said in a body.
    assert {*asked} == known - {("GET", "/v1/search")}


def test_files_that_hold_no_certificate_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "rubbish").write_text("no certificate")
    for name, wrong in {"nothing": FileNotFoundError, "rubbish": ssl.SSLError}.items():
        with pytest.raises(wrong):
            Client("https://api", "dsk_x", ca=tmp_path / name)
        with pytest.raises(wrong):
            Client("https://api", "dsk_x", certificate=tmp_path / name)
