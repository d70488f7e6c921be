"""What is OpenSearch's own: failures in our words, poison documents, points in time."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from opensearchpy import AsyncOpenSearch, NotFoundError, TransportError

from app.errors import InvalidQueryError, UnavailableError
from app.index import opensearch_query
from app.index.model import Bool, Entry, Match, Outcome, Position, Query, Sort, Suggest, Term, Write
from app.index.opensearch import OpenSearch, _written
from app.index.opensearch_client import connect
from app.index.opensearch_query import guard, search_body
from app.index.placement import Layout, Place, Tier, index_name, layout_of
from app.resilience.breaker import Breaker, OpenError, State
from app.search.parse import MAX_FUZZY_WORDS, MAX_WORDS, Bounds, check_filters
from app.settings import load
from app.tenancy import internal
from tests.app.services.server import free_port
from tests.app.services.servers import OpenSearch as Server

pytestmark = [pytest.mark.services, pytest.mark.anyio]

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def put(tenant_id: UUID, version: int = 1, document_id: UUID | None = None, **fields: Any) -> Write:
    entry = Entry(title="Tea", content="green", created_at=NOW, published_at=NOW, updated_at=NOW)
    entry = replace(entry, **fields)
    return Write(tenant_id=tenant_id, document_id=document_id or uuid4(), version=version, entry=entry)


@pytest.fixture
async def client(opensearch: Server) -> AsyncIterator[AsyncOpenSearch]:
    its = connect(load(**opensearch.settings()))
    yield its
    await its.close()


@pytest.fixture
async def engine(client: AsyncOpenSearch) -> AsyncIterator[OpenSearch]:
    prefix = f"test-{uuid4().hex[:8]}"
    its = OpenSearch(client, prefix=prefix)
    await its.prepare(replicas=0)
    yield its
    await client.indices.delete(index=f"{prefix}-*")


async def test_preparing_twice_changes_nothing(engine: OpenSearch) -> None:
    tenant_id = uuid4()
    await engine.write([put(tenant_id)])
    await asyncio.gather(engine.prepare(replicas=0), engine.prepare(replicas=0))
    assert len(await engine.versions(tenant_id)) == 1


async def test_a_poison_document_fails_alone(engine: OpenSearch) -> None:
    tenant_id = uuid4()
    poison = put(tenant_id, metadata={"x" * 40_000: "y"})
    outcomes = await engine.write([put(tenant_id), poison, put(tenant_id)])
    assert [one.outcome for one in outcomes] == [Outcome.APPLIED, Outcome.REFUSED, Outcome.APPLIED]
    assert "immense term" in outcomes[1].reason or "illegal_argument" in outcomes[1].reason


@pytest.mark.parametrize("block", ["read_only_allow_delete", "write"])
async def test_an_engine_that_is_full_is_no_documents_fault(
    block: str, engine: OpenSearch, client: AsyncOpenSearch
) -> None:
    """OpenSearch sets the first one itself when its disk is full and answers 429; to the other it answers 403."""
    every, name, write = f"{engine.prefix}-*", f"index.blocks.{block}", put(uuid4())
    await client.indices.put_settings(index=every, body={name: True})
    try:
        with pytest.raises(UnavailableError, match=r"takes no writes: cluster_block_exception"):
            await engine.write([write])
    finally:
        await client.indices.put_settings(index=every, body={name: None})
    assert [one.outcome for one in await engine.write([write])] == [Outcome.APPLIED]


@pytest.mark.parametrize(("status", "kind"), [(429, "rejected_execution_exception"), (503, "unavailable_shards")])
def test_an_engine_that_has_too_much_to_do_or_lacks_a_shard_is_no_documents_fault(status: int, kind: str) -> None:
    with pytest.raises(UnavailableError, match=kind):
        _written(put(uuid4()), {"status": status, "error": {"type": kind, "reason": "..."}})


async def test_a_large_batch_goes_in_several_requests_and_every_write_has_an_outcome(engine: OpenSearch) -> None:
    tenant_id = uuid4()
    batch = [put(tenant_id, content="word " * 100_000) for _ in range(25)]
    outcomes = await engine.write(batch)
    assert [one.write for one in outcomes] == batch
    assert {one.outcome for one in outcomes} == {Outcome.APPLIED}
    assert len(await engine.versions(tenant_id)) == 25


async def test_an_index_that_is_not_there_is_made_by_no_write(client: AsyncOpenSearch) -> None:
    engine = OpenSearch(client, prefix=f"test-{uuid4().hex[:8]}")
    with pytest.raises(UnavailableError, match="lacks an index"):
        await engine.write([put(uuid4())])
    with pytest.raises(UnavailableError, match="lacks an index"):
        await engine.search(internal(uuid4(), "t").query(Query()))


class Both:
    """Every tenant at two places."""

    def __init__(self, *layouts: Layout) -> None:
        self.layouts = layouts

    async def read(self, tenant_id: UUID) -> Layout:
        del tenant_id
        return self.layouts[0]

    async def written(self, tenants: Collection[UUID]) -> dict[UUID, tuple[Layout, ...]]:
        return dict.fromkeys(tenants, self.layouts)


async def test_a_tenant_of_its_own_is_spread_over_all_shards(client: AsyncOpenSearch, engine: OpenSearch) -> None:
    tenant_id = uuid4()
    layout = layout_of(Place(Tier.MEDIUM, 6), tenant_id, prefix=engine.prefix)
    own = engine.at(layout)
    await own.make(layout)
    await own.write([put(tenant_id) for _ in range(60)])
    await own.refresh()
    shards = await client.cat.shards(index=layout.alias, params={"format": "json"})
    counts = [int(shard["docs"]) for shard in shards]
    assert (len(counts), sum(counts)) == (6, 60)
    assert min(counts) > 0
    assert (await own.search(internal(tenant_id, "t").query(Query()))).total == 60


async def test_what_is_written_to_two_places_is_done_when_both_have_it(
    client: AsyncOpenSearch, engine: OpenSearch
) -> None:
    tenant_id = uuid4()
    small = layout_of(Place(), tenant_id, prefix=engine.prefix)
    medium = layout_of(Place(Tier.MEDIUM, 6), tenant_id, prefix=engine.prefix)
    both = OpenSearch(client, prefix=engine.prefix, layouts=Both(small, medium))
    first, second, poison = put(tenant_id), put(tenant_id), put(tenant_id, metadata={"x" * 40_000: "y"})
    with pytest.raises(UnavailableError, match="lacks an index"):
        await both.write([first])
    await both.make(medium)
    outcomes = await both.write([first, second, poison, second])
    assert [one.outcome for one in outcomes] == [Outcome.APPLIED, Outcome.APPLIED, Outcome.REFUSED, Outcome.STALE]
    wanted = [(one.document_id, 1) for one in sorted((first, second), key=lambda one: one.document_id)]
    for layout in (small, medium):
        there = both.at(layout)
        assert [one async for one in there.entries(tenant_id)] == wanted
        assert await there.versions_of(tenant_id, [second.document_id]) == {second.document_id: 1}
        assert await there.versions_of(uuid4(), [second.document_id]) == {}
    await both.remove(tenant_id, [second.document_id])
    assert [one.outcome for one in await both.restore([first, second])] == [Outcome.APPLIED, Outcome.APPLIED]
    await both.delete_tenant(tenant_id)
    assert [one async for one in both.at(medium).entries(tenant_id)] == []


async def test_pages_of_a_search_are_read_from_one_point_in_time(engine: OpenSearch) -> None:
    tenant_id = uuid4()
    scope = internal(tenant_id, "t")
    await engine.write([put(tenant_id) for _ in range(6)])
    await engine.refresh()
    first = await engine.search(scope.query(Query(Match("tea"), size=2)))
    after = Position(first.hits[-1].position, first.hits[-1].document_id, first.snapshot)
    second = await engine.search(scope.query(Query(Match("tea"), size=2, after=after)))
    assert second.snapshot
    await engine.delete_tenant(tenant_id)
    after = Position(second.hits[-1].position, second.hits[-1].document_id, second.snapshot)
    third = await engine.search(scope.query(Query(Match("tea"), size=2, after=after)))
    assert len({hit.document_id for page in (first, second, third) for hit in page.hits}) == 6


async def test_a_point_in_time_ends_with_the_last_page(engine: OpenSearch, client: AsyncOpenSearch) -> None:
    tenant_id = uuid4()
    scope = internal(tenant_id, "t")
    await engine.write([put(tenant_id) for _ in range(3)])
    await engine.refresh()
    found = await engine.search(scope.query(Query(Match("tea"), size=1)))
    begun = []
    while found.hits:
        after = Position(found.hits[-1].position, found.hits[-1].document_id, found.snapshot, found.snapshot_at)
        found = await engine.search(scope.query(Query(Match("tea"), size=1, after=after)))
        begun.append((found.snapshot, found.snapshot_at))
    assert len(begun) == 3
    assert begun[0][0]
    assert abs(begun[0][1] - time.time()) < 60
    assert begun[-1][0] == "", "nobody goes on from an end"
    with pytest.raises(NotFoundError):
        await client.search(body={"pit": {"id": begun[1][0]}})


class Merging:
    """In place of a client: a merge takes longer than a request may, and ends as it is told."""

    def __init__(self, end: dict[str, Any] | Exception) -> None:
        self.indices = self.tasks = self
        self.end, self.merges, self.looks = end, 0, 0

    async def put_settings(self, **_: Any) -> None:
        pass

    async def flush(self, **_: Any) -> None:
        pass

    async def forcemerge(self, *, params: dict[str, str] | None = None, **_: Any) -> Any:
        self.merges += 1
        if not params or params.get("wait_for_completion") != "false":
            await asyncio.Event().wait()
        return {"task": "node:1"}

    async def get(self, *, task_id: str) -> Any:
        assert task_id == "node:1"
        self.looks += 1
        if self.looks <= 3:
            return {"completed": False}
        if isinstance(self.end, Exception):
            raise self.end
        return {"completed": True, **self.end}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADMIN_SECONDS", "LOOK_SECONDS"):
        monkeypatch.setattr(f"app.index.opensearch.{name}", 0.1)


@pytest.mark.usefixtures("quick")
async def test_a_merge_that_takes_longer_than_a_request_may_is_made_once() -> None:
    client: Any = Merging({"response": {"_shards": {"total": 2, "successful": 2, "failed": 0}}})
    await OpenSearch(client).expunge(uuid4(), [])
    assert (client.merges, client.looks) == (1, 4)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("end", "said"),
    [
        ({"error": {"type": "es_rejected"}}, "OpenSearch has failed at a task: .*es_rejected"),
        (
            {"response": {"_shards": {"failed": 1, "failures": ["no disk"]}}},
            "OpenSearch has failed at a task: .*no disk",
        ),
        (NotFoundError(404, "resource_not_found_exception", {}), "OpenSearch has lost a task: its node has gone"),
    ],
    ids=["error", "shard", "node"],
)
async def test_a_merge_that_was_not_made_is_not_taken_for_made(end: Any, said: str) -> None:
    client: Any = Merging(end)
    with pytest.raises(UnavailableError, match=said):
        await OpenSearch(client).expunge(uuid4(), [])
    assert client.merges == 1


@pytest.mark.usefixtures("quick")
async def test_a_merge_is_waited_for_so_long_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.index.opensearch.MERGE_SECONDS", 0.05)
    client: Any = Merging({})
    with pytest.raises(UnavailableError, match=r"has been at a task for 0\.05 s"):
        await OpenSearch(client).expunge(uuid4(), [])


async def test_what_is_expunged_is_in_the_index_no_more(engine: OpenSearch) -> None:
    tenant_id = uuid4()
    gone, kept = put(tenant_id), put(tenant_id)
    await engine.write([gone, kept])
    await engine.expunge(tenant_id, [gone.document_id])
    assert await engine.versions(tenant_id) == {kept.document_id: 1}
    assert [one.outcome for one in await engine.write([gone])] == [Outcome.APPLIED], "it may be put back"


async def test_who_uses_up_all_points_in_time_reads_on_without_one_and_nobody_else_suffers(
    engine: OpenSearch, client: AsyncOpenSearch
) -> None:
    tenant_id = uuid4()
    scope = internal(tenant_id, "t")
    await engine.write([put(tenant_id) for _ in range(6)])
    await engine.refresh()
    first = await engine.search(scope.query(Query(Match("tea"), size=2)))
    after = Position(first.hits[-1].position, first.hits[-1].document_id)
    room = {"search.max_open_pit_context": 2}
    await client.cluster.put_settings(body={"transient": room})
    try:
        pages = [await engine.search(scope.query(Query(Match("tea"), size=2, after=after))) for _ in range(30)]
    finally:
        await client.delete_all_pits()
        await client.cluster.put_settings(body={"transient": dict.fromkeys(room)})
    assert {page.snapshot == "" for page in pages} == {True, False}
    assert len({tuple(hit.document_id for hit in page.hits) for page in pages}) == 1
    assert engine._breaker.state is State.CLOSED


async def test_a_point_in_time_is_of_all_shards_or_of_none(engine: OpenSearch, client: AsyncOpenSearch) -> None:
    tenant_id = uuid4()
    layout = layout_of(Place(Tier.MEDIUM, 6), tenant_id, prefix=engine.prefix)
    own = engine.at(layout)
    # More shards than this one node may hold of it: the others are nowhere.
    few = {"number_of_shards": 6, "routing.allocation.total_shards_per_node": 3}
    await client.indices.create(
        index=index_name(layout.alias),
        body={"aliases": {layout.alias: {}}, "settings": few},
        params={"wait_for_active_shards": "0"},
    )
    page = Query(sort=(), after=Position((), UUID(int=0)))
    with pytest.raises(UnavailableError):
        await own.search(internal(tenant_id, "t").query(page))


async def test_a_point_in_time_that_has_passed_is_replaced(engine: OpenSearch, client: AsyncOpenSearch) -> None:
    tenant_id = uuid4()
    scope = internal(tenant_id, "t")
    await engine.write([put(tenant_id) for _ in range(3)])
    await engine.refresh()
    first = await engine.search(scope.query(Query(Match("tea"), size=1)))
    after = Position(first.hits[-1].position, first.hits[-1].document_id, "")
    second = await engine.search(scope.query(Query(Match("tea"), size=1, after=after)))
    await client.delete_pit(body={"pit_id": [second.snapshot]})
    after = Position(second.hits[-1].position, second.hits[-1].document_id, second.snapshot)
    third = await engine.search(scope.query(Query(Match("tea"), size=1, after=after)))
    assert len({hit.document_id for page in (first, second, third) for hit in page.hits}) == 3


async def test_a_point_in_time_that_a_lost_node_had_is_replaced(
    engine: OpenSearch, client: AsyncOpenSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSearch answers 500 then (IllegalStateException), as to what is its own fault."""
    tenant_id, breaker = uuid4(), Breaker("OpenSearch")
    await engine.write([put(tenant_id) for _ in range(3)])
    await engine.refresh()
    search, asked = client.search, list[bool]()

    async def lacking_a_node(*, body: dict[str, Any], **more: Any) -> Any:
        asked.append("pit" in body)
        if "pit" in body:
            reason = {"type": "illegal_state_exception", "reason": "no node found for id: 9Yx3"}
            raise TransportError(500, "search_phase_execution_exception", {"error": {"root_cause": [reason]}})
        return await search(body=body, **more)

    monkeypatch.setattr(client, "search", lacking_a_node)
    its = OpenSearch(client, breaker=breaker, prefix=engine.prefix)
    after = Position((), UUID(int=0), "a point in time")
    page = await its.search(internal(tenant_id, "t").query(Query(sort=(), after=after)))
    assert len(page.hits) == 3
    assert asked == [True, False]
    assert not any(breaker._recent)


async def test_a_query_of_too_many_words_is_its_callers_fault(engine: OpenSearch, client: AsyncOpenSearch) -> None:
    breaker = Breaker("OpenSearch")
    its = OpenSearch(client, breaker=breaker, prefix=engine.prefix)
    many = " ".join(f"w{number}" for number in range(600))
    with pytest.raises(InvalidQueryError, match="too many words"):
        await its.search(internal(uuid4(), "t").query(Query(Match(many))))
    assert not any(breaker._recent)


async def test_what_may_be_asked_is_not_too_much(engine: OpenSearch) -> None:
    """The most words that the API lets through, in an index that has many words that are like them."""
    tenant_id = uuid4()
    letters = "abcdefghijklmnopqrstuvwxyz"
    near = " ".join(f"wo{one}d{number}ab{other}" for number in range(20) for one in letters for other in letters[:10])
    await engine.write([put(tenant_id, title="Tea", content=near)])
    await engine.refresh()
    fuzzy = Match(" ".join(f"word{number}abc" for number in range(MAX_FUZZY_WORDS)), operator="or", fuzzy="auto")
    others = Match(" ".join(f"x{number}" for number in range(MAX_WORDS - MAX_FUZZY_WORDS)), operator="or")
    found = await engine.search(internal(tenant_id, "t").query(Query(Bool(should=(fuzzy, others)))))
    assert found.total == 1


async def test_a_foreign_point_in_time_shows_nothing_of_its_tenant(engine: OpenSearch) -> None:
    mine, theirs = uuid4(), uuid4()
    await engine.write([*(put(theirs) for _ in range(4)), put(mine)])
    await engine.refresh()
    last = UUID(int=0)
    theirs_page = await engine.search(internal(theirs, "t").query(Query(sort=(), after=Position((), last))))
    assert theirs_page.hits
    taken = Position((), last, theirs_page.snapshot)
    found = await engine.search(internal(mine, "t").query(Query(sort=(), after=taken)))
    assert {hit.document_id for hit in found.hits} <= set(await engine.versions(mine))


@pytest.mark.parametrize("begin", [datetime(2004, 6, 1, 12, 34, 56, tzinfo=UTC), datetime(1955, 3, 4, tzinfo=UTC)])
def test_the_position_of_a_date_is_the_very_millisecond(begin: datetime) -> None:
    scope, epoch = internal(uuid4(), "t"), datetime(1970, 1, 1, tzinfo=UTC)
    for number in range(1000):
        at = begin + timedelta(milliseconds=number, microseconds=999)
        page = Query(sort=(Sort("published_at"),), after=Position((at.isoformat(),), UUID(int=0)))
        (found, _) = search_body(scope.query(page), {})["search_after"]
        assert epoch + timedelta(milliseconds=found) == at - timedelta(microseconds=999)


async def test_a_document_that_cannot_be_written_is_refused_by_itself(
    engine: OpenSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant_id = uuid4()
    batch = [put(tenant_id), put(tenant_id, metadata={"x": 2**70}), put(tenant_id)]
    monkeypatch.setattr(opensearch_query, "_named", lambda field, value: f"{field}={value}")
    outcomes = {one.write.document_id: one.outcome for one in await engine.write(batch)}
    assert [outcomes[one.document_id] for one in batch] == [Outcome.APPLIED, Outcome.REFUSED, Outcome.APPLIED]


async def test_nobody_there_is_unavailable_and_opens_the_breaker() -> None:
    client = connect(load(opensearch_host="127.0.0.1", opensearch_port=free_port(), opensearch_tls=False))
    breaker = Breaker("OpenSearch")
    engine = OpenSearch(client, breaker=breaker)
    scope = internal(uuid4(), "t")
    assert not (await engine.health()).ok
    for _ in range(20):
        with pytest.raises(UnavailableError):
            await engine.search(scope.query(Query()))
    assert breaker.state is State.OPEN
    with pytest.raises(OpenError):
        await engine.search(scope.query(Query()))
    with pytest.raises(OpenError):
        await engine.write([put(scope.tenant_id)])
    await client.close()


async def test_health_tells_of_its_indexes(engine: OpenSearch) -> None:
    health = await engine.health()
    assert health.ok
    assert health.detail["status"] == "green"


def test_every_request_is_guarded() -> None:
    tenant_id = uuid4()
    forced = Term("author", ("ada",))
    check_filters((forced,), Bounds())
    body = search_body(internal(tenant_id, "t").query(Query(Match("tea"))), {})
    assert {"term": {"tenant_id": str(tenant_id)}} in body["query"]["bool"]["filter"]
    assert {"terms": {"author": ["ada"]}} in guard(tenant_id, (forced,))["bool"]["filter"]


async def test_tenants_of_one_shard_may_have_documents_of_the_same_id(
    client: AsyncOpenSearch, engine: OpenSearch
) -> None:
    """Ids are the callers': those of an address, say, or of a table that two of them have."""
    one, other, same = uuid4(), uuid4(), uuid4()
    layout = Layout(Tier.SMALL, f"{engine.prefix}-one", 1)
    shared = engine.at(layout)
    await shared.make(layout)
    written = await shared.write([put(one, 5, same, title="Teapots"), put(other, 1, same, title="Teak")])
    assert [its.outcome for its in written] == [Outcome.APPLIED, Outcome.APPLIED]
    await client.indices.refresh(index=layout.alias)
    for tenant_id, title in ((one, "Teapots"), (other, "Teak")):
        (hit,) = (await shared.search(internal(tenant_id, "t").query(Query()))).hits
        assert (hit.document_id, hit.fields["title"]) == (same, title)
    gone = Write(tenant_id=other, document_id=same, version=9, entry=None)
    assert [its.outcome for its in await shared.write([gone])] == [Outcome.APPLIED]
    assert await shared.versions(one) == {same: 5}
    assert await shared.versions(other) == {}


async def test_nothing_is_suggested_from_another_tenant(engine: OpenSearch) -> None:
    mine, theirs = uuid4(), uuid4()
    await engine.write([put(theirs, title="Teapots"), put(mine, title="Teak")])
    await engine.refresh()
    found = await engine.suggest(internal(mine, "t").suggest(Suggest("tea")))
    assert {one.text for one in found} == {"teak", "Teak"}
