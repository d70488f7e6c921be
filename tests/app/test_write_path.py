"""From a write to the index: what is acknowledged is never lost, and never there twice."""

import asyncio
import random
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.document import MAX_INDEXED, Document, check
from app.errors import ApiError, ConflictError, NotFoundError, PreconditionFailedError, UnavailableError
from app.index.model import Everything, Match, Query, Scalar
from app.queue.model import PART_BYTES, Claim
from app.search.model import NoCache
from app.store import documents, outbox, tasks
from app.store.audit import Origin
from app.store.documents import Effect, Operation, Stored
from app.store.outbox import FIRST_DELAY, OUTAGE_DELAY
from app.store.tasks import State
from app.worker import Worker
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]

GREEN = Document(title="Green tea", content="Leaves that were steamed", tags=("tea",))
BLACK = Document(title="Black tea", content="Leaves that were left to oxidise", tags=("tea",))


async def found(world: World, scope: object, text: str = "") -> list[UUID]:
    clause = Match(text) if text else Everything()
    result = await world.index.search(scope.query(Query(clause=clause, size=100)))  # type: ignore[attr-defined]
    return [hit.document_id for hit in result.hits]


async def test_a_document_is_found_once_it_is_indexed(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)
    assert (stored.version, stored.effect) == (1, Effect.CREATED)
    assert await found(world, scope, "steamed") == []
    assert await world.index_all() == 1
    assert await found(world, scope, "steamed") == [stored.document_id]
    async with world.app.read(scope) as connection:
        assert (await documents.get(connection, scope.tenant_id, stored.document_id)).status == "INDEXED"


async def test_a_replaced_document_is_found_by_what_it_is_now(world: World) -> None:
    scope = await world.tenant("a")
    first = await world.put(scope, GREEN)
    await world.index_all()
    second = await world.put(scope, BLACK, first.document_id)
    assert (second.version, second.effect) == (2, Effect.UPDATED)
    await world.index_all()
    assert await found(world, scope, "steamed") == []
    assert await found(world, scope, "oxidise") == [first.document_id]
    async with world.app.read(scope) as connection:
        (old,) = await documents.versions(connection, scope.tenant_id, first.document_id)
    assert (old.version, old.document["title"]) == (1, "Green tea")


async def test_a_deleted_document_leaves_nothing_behind(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)
    await world.put(scope, BLACK, stored.document_id)
    await world.index_all()
    (gone,) = await world.write(scope, Operation(kind="delete", document_id=stored.document_id))
    assert gone == Stored(stored.document_id, 3, Effect.DELETED)
    await world.index_all()
    assert await found(world, scope) == []
    assert await world.admin("SELECT word FROM vocabulary") == []
    (row,) = await world.admin("SELECT * FROM documents")
    assert (row["title"], row["content"], row["version"]) == ("", "", 3)
    assert await world.admin("SELECT * FROM document_versions") == []


async def test_a_document_that_comes_back_is_newer_than_its_deletion(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)
    await world.write(scope, Operation(kind="delete", document_id=stored.document_id))
    again = await world.put(scope, GREEN, stored.document_id)
    assert (again.version, again.effect) == (3, Effect.CREATED)
    assert await world.index_all() == 3
    assert await found(world, scope, "steamed") == [stored.document_id]


async def test_the_same_document_is_stored_once(world: World) -> None:
    scope, other = await world.tenant("a"), await world.tenant("b")
    first, second = await world.write(
        scope, Operation(kind="create", document=GREEN), Operation(kind="create", document=GREEN)
    )
    assert isinstance(first, Stored)
    assert second == Stored(first.document_id, 1, Effect.DUPLICATE)
    assert (await world.put(scope, GREEN)).effect is Effect.DUPLICATE
    assert (await world.put(scope, GREEN, first.document_id)).effect is Effect.UNCHANGED
    assert (await world.put(other, GREEN)).effect is Effect.CREATED


@pytest.mark.parametrize("kind", ["patch", "delete"])
async def test_what_is_not_there_is_neither_changed_nor_deleted(kind: str, world: World) -> None:
    scope, other = await world.tenant("a"), await world.tenant("b")
    stored = await world.put(other, GREEN)
    for document_id in (uuid4(), stored.document_id):
        (refused,) = await world.write(scope, Operation(kind=kind, document_id=document_id, patch={}))  # type: ignore[arg-type]
        assert isinstance(refused, NotFoundError)


async def test_a_write_that_expects_another_version_is_refused(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)

    async def put(document_id: UUID, if_match: int) -> Stored | ApiError:
        operation = Operation(kind="put", document_id=document_id, document=BLACK, if_match=if_match)
        return (await world.write(scope, operation))[0]

    assert isinstance(await put(stored.document_id, 2), PreconditionFailedError)
    assert isinstance(await put(uuid4(), 0), PreconditionFailedError)
    assert await put(stored.document_id, 1) == Stored(stored.document_id, 2, Effect.UPDATED)
    assert isinstance(await put(stored.document_id, 1), PreconditionFailedError)


async def test_an_id_that_is_taken_is_a_conflict(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)
    twice = uuid4()
    results = await world.write(
        scope,
        Operation(kind="create", document_id=stored.document_id, document=BLACK),
        Operation(kind="put", document_id=twice, document=BLACK),
        Operation(kind="put", document_id=twice, document=GREEN),
    )
    assert [type(one) for one in results] == [ConflictError, Stored, ConflictError]


async def test_a_patch_changes_what_it_names(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, Document(title="A", content="b", author="ada", metadata={"k": 1, "l": 2}))
    patch = {"title": "B", "author": None, "metadata": {"k": None, "m": 3}}
    (changed,) = await world.write(scope, Operation(kind="patch", document_id=stored.document_id, patch=patch))
    assert isinstance(changed, Stored)
    async with world.app.read(scope) as connection:
        its = await documents.get(connection, scope.tenant_id, stored.document_id)
    assert (its.title, its.content, its.author, its.metadata) == ("B", "b", "", {"l": 2, "m": 3})
    (same,) = await world.write(scope, Operation(kind="patch", document_id=stored.document_id, patch={"title": "B"}))
    assert same == Stored(stored.document_id, 2, Effect.UNCHANGED)


async def test_a_task_goes_from_enqueued_over_processing_to_succeeded(world: World) -> None:
    scope = await world.tenant("a")
    async with world.app.write(scope) as connection:
        operations = [Operation(kind="create", document=one) for one in (GREEN, BLACK)]
        task_id, _ = await documents.apply(connection, scope, Origin(), operations, kind="bulk")
    assert task_id

    async def task() -> tasks.Task:
        async with world.app.read(scope) as connection:
            return await tasks.get(connection, scope.tenant_id, task_id)

    assert ((await task()).state, (await task()).total) == (State.ENQUEUED, 2)
    async with world.queue.delivery() as delivery:
        assert delivery
        async with world.work.write(scope) as connection:
            await tasks.start(connection, scope.tenant_id, delivery.batch.claims)
        assert (await task()).state is State.PROCESSING
    await world.index_all()
    ended = await task()
    assert (ended.state, ended.done, ended.failed) == (State.SUCCEEDED, 2, 0)
    assert ended.started_at
    assert ended.finished_at
    with pytest.raises(NotFoundError):
        async with world.app.read(await world.tenant("b")) as connection:
            await tasks.get(connection, scope.tenant_id, task_id)


async def test_a_poison_document_is_a_dead_letter_and_holds_nobody_up(world: World) -> None:
    """More than 1 MiB of different words: PostgreSQL refuses to index it, every time."""
    scope = await world.tenant("a")
    poison = Document(title="Poison", content=" ".join(f"word{number:07}" for number in range(90_000)))
    results = await world.write(
        scope, *(Operation(kind="create", document=one) for one in (GREEN, poison, BLACK)), kind="bulk"
    )
    await world.index_all()
    assert len(await found(world, scope)) == 2
    (dead,) = await world.admin("SELECT * FROM dead_letters")
    assert dead["document_id"] == results[1].document_id  # type: ignore[union-attr]
    assert "tsvector" in dead["reason"]
    async with world.app.read(scope) as connection:
        (task,) = await tasks.page(connection, scope.tenant_id, state=State.FAILED, size=10)
        assert (task.done, task.failed) == (2, 1)
        assert task.errors[0]["document_id"] == str(dead["document_id"])
        assert (await documents.get(connection, scope.tenant_id, dead["document_id"])).status == "FAILED"


async def given_up(world: World) -> None:
    """Makes all that waits dead letters."""
    async with world.queue.delivery() as delivery:
        assert delivery
        await delivery.dead(delivery.batch.claims, "no answer")


async def test_a_document_that_was_given_up_is_tried_again_when_it_is_sent_again(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)
    await given_up(world)
    assert await world.put(scope, GREEN, stored.document_id) == Stored(stored.document_id, 2, Effect.UPDATED)
    assert (await world.put(scope, GREEN, stored.document_id)).effect is Effect.UNCHANGED, "it waits already"
    await given_up(world)
    again = Operation(kind="create", document=GREEN)
    updated, duplicate = await world.write(scope, again, again)
    assert updated == Stored(stored.document_id, 3, Effect.UPDATED)
    assert duplicate == Stored(stored.document_id, 3, Effect.DUPLICATE)
    await world.index_all()
    assert await found(world, scope, "steamed") == [stored.document_id]
    assert [row["status"] for row in await world.admin("SELECT status FROM documents")] == ["INDEXED"]


async def test_a_document_that_was_given_up_is_a_duplicate_of_one_that_was_not(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, GREEN)
    await given_up(world)
    twin = await world.put(scope, GREEN, uuid4())
    await world.index_all()
    assert await world.put(scope, GREEN) == Stored(twin.document_id, 1, Effect.DUPLICATE)


async def test_the_longest_title_and_user_are_written_and_replaced(world: World, chance: random.Random) -> None:
    scope, document_id = await world.tenant("a"), uuid4()
    for _ in range(2):
        # By chance, so that no compression makes them shorter.
        title, user = (
            "".join(map(chr, chance.choices(range(0x4E00, 0xA000), k=MAX_INDEXED // 3))) + "a" * (MAX_INDEXED % 3)
            for _ in range(2)
        )
        its = check(Document(title=title, metadata={"user_id": user}), max_bytes=10_000)
        await world.put(scope, its, document_id)
        await world.index_all()
        assert await found(world, scope) == [document_id]
    (kept,) = await world.admin("SELECT body ->> 'title' AS title FROM document_versions")
    assert len(kept["title"].encode()) == MAX_INDEXED


async def test_a_number_beyond_what_is_safe_is_read_as_it_was_sent(world: World) -> None:
    scope = await world.tenant("a")
    numbers: dict[str, Scalar] = {"a": 1e16, "b": -12345678901234567.0, "c": 1e300, "d": 3, "e": 0.5, "f": True}
    stored = await world.put(scope, check(Document(title="A", metadata=numbers), max_bytes=10_000))
    for title, effect in (("A", Effect.UNCHANGED), ("B", Effect.UPDATED)):
        (patched,) = await world.write(
            scope, Operation(kind="patch", document_id=stored.document_id, patch={"title": title})
        )
        assert isinstance(patched, Stored), patched
        assert patched.effect is effect
    async with world.app.read(scope) as connection:
        its = await documents.get(connection, scope.tenant_id, stored.document_id)
    assert its.metadata == numbers
    assert [type(one) for one in its.metadata.values()] == [float, float, float, int, float, bool]


async def test_large_documents_are_read_and_written_a_few_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = await world.tenant("a")
    large = [Document(title=f"Number {number}", content="word " * 200_000) for number in range(9)]
    await world.write(scope, *(Operation(kind="create", document=one) for one in large), kind="bulk")
    written, write = list[int](), world.index.write

    async def noted(batch: Any) -> Any:
        written.append(sum(len(one.entry.content) for one in batch))
        return await write(batch)

    monkeypatch.setattr(world.index, "write", noted)
    assert await world.index_all() == 9
    assert len(await found(world, scope, "word")) == 9
    assert len(written) == 3
    assert max(written) <= PART_BYTES
    async with world.app.read(scope) as connection:
        (task,) = await tasks.page(connection, scope.tenant_id, state=State.SUCCEEDED, size=10)
    assert task.done == 9


async def test_whoever_writes_documents_waits_for_no_other_part_of_them_to_be_indexed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.queue.model.PART_BYTES", 1)
    scope = await world.tenant("a")
    ids = sorted((uuid4(), uuid4()))
    await world.write(scope, *(Operation(kind="put", document_id=one, document=GREEN) for one in reversed(ids)))
    indexed, write = list[int](), world.index.write

    async def replaced_meanwhile(batch: Any) -> Any:
        indexed.append(len(batch))
        if len(indexed) == 2:
            await world.write(scope, *(Operation(kind="put", document_id=one, document=BLACK) for one in ids))
        return await write(batch)

    monkeypatch.setattr(world.index, "write", replaced_meanwhile)
    await world.index_all()
    assert {*indexed} == {1}
    assert sorted(await found(world, scope, "oxidise")) == ids
    assert {row["status"] for row in await world.admin("SELECT status FROM documents")} == {"INDEXED"}


async def test_answers_for_documents_in_no_order_block_no_writer_of_these(world: World) -> None:
    scope = await world.tenant("a")
    low, high = sorted((uuid4(), uuid4()))
    both = [Operation(kind="put", document_id=one, document=GREEN) for one in (low, high)]
    await world.write(scope, *both)
    async with world.queue.delivery() as delivery:
        assert delivery
        first, last = sorted(delivery.batch.claims, key=lambda claim: claim.document_id)
        await delivery.done([last], {high: 1})
        changed = [Operation(kind="put", document_id=one, document=BLACK) for one in (low, high)]
        writing = asyncio.create_task(world.write(scope, *changed))
        while not await world.admin(
            "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            assert not writing.done()
            await asyncio.sleep(0.01)
        await delivery.dead([first], "no")
    assert [one.version for one in await writing if isinstance(one, Stored)] == [2, 2]
    assert await world.index_all() == 2
    assert sorted(await found(world, scope, "oxidise")) == [low, high]


async def test_tenants_take_turns(world: World) -> None:
    scopes = [await world.tenant(name) for name in "abc"]
    for scope in scopes:
        for number in range(3):
            await world.put(scope, Document(title=f"Number {number}"))
    world.queue._batch = 1
    turns = []
    for _ in range(9):
        async with world.queue.delivery() as delivery:
            assert delivery
            turns.append(delivery.batch.tenant_id)
            await delivery.done(delivery.batch.claims, {})
    for at in (0, 3, 6):
        assert len({*turns[at : at + 3]}) == 3


async def test_what_was_not_answered_for_comes_again(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, GREEN)
    with pytest.raises(RuntimeError):
        async with world.queue.delivery():
            raise RuntimeError("the worker died")
    assert (await world.queue.depth()).ready == 1
    async with world.queue.delivery() as held:
        assert held
        async with world.queue.delivery() as other:
            assert other is None
    assert await world.index_all() == 1
    assert (await world.queue.depth()).ready == 0


async def test_what_fails_again_and_again_is_given_up(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, GREEN)
    for attempt in range(world.settings.worker_attempts):
        assert await world.admin("SELECT * FROM dead_letters") == []
        async with world.queue.delivery() as delivery:
            assert delivery, attempt
            await delivery.again(delivery.batch.claims, "no answer")
        async with world.queue.delivery() as delivery:
            assert delivery is None
        await world.admin("UPDATE outbox SET available_at = now()")
    (dead,) = await world.admin("SELECT * FROM dead_letters")
    assert dead["reason"] == "given up after 5 attempts: no answer"


@pytest.mark.parametrize(("counted", "longest"), [(True, FIRST_DELAY), (False, OUTAGE_DELAY)])
async def test_batches_that_fail_at_once_come_again_one_after_the_other_each_as_a_whole(
    world: World, counted: bool, longest: float
) -> None:
    scope = await world.tenant("a")
    await world.write(scope, *(Operation(kind="create", document=Document(title=f"{n}")) for n in range(16)))
    async with world.work.write(scope) as connection:
        rows = await connection.fetch(
            "SELECT outbox_id, tenant_id, document_id, version, task_id, attempts, written_at FROM outbox ORDER BY 1"
        )
        claims = [Claim(**dict(row)) for row in rows]
        for at in range(0, 16, 2):
            await outbox.postpone(connection, claims[at : at + 2], "no answer", attempts=5, counted=counted)
        rows = await connection.fetch(
            "SELECT extract(epoch FROM available_at - now())::float8 AS delay FROM outbox ORDER BY outbox_id"
        )
    delays = [row["delay"] for row in rows]
    assert delays[::2] == delays[1::2]
    assert len({*delays}) == 8
    assert longest / 2 <= min(delays) < max(delays) <= longest


async def test_an_outage_of_an_index_buries_nothing_and_the_other_one_goes_on(world: World) -> None:
    class Down:
        level = "opensearch"

        async def write(self, batch: object) -> None:
            raise UnavailableError("no answer")

    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)
    down: Any = Down()
    worker = Worker(world.work, world.queue, (down, world.index), NoCache())
    for _ in range(world.settings.worker_attempts + 2):
        assert await worker.step() == 1
        assert await worker.step() == 0, "it waits a while"
        await world.admin("UPDATE outbox SET available_at = now()")
    assert await found(world, scope, "steamed") == [stored.document_id]
    (row,) = await world.admin("SELECT * FROM outbox")
    assert (row["attempts"], row["last_error"]) == (0, "opensearch: no answer")
    assert await world.index_all() == 1
    assert await world.admin("SELECT * FROM outbox") == []
    async with world.app.read(scope) as connection:
        (task,) = await tasks.page(connection, scope.tenant_id, state=State.SUCCEEDED, size=1)
        assert (task.done, task.failed) == (1, 0)


async def test_a_writer_and_a_worker_with_the_same_documents_never_block_each_other(
    world: World, chance: random.Random
) -> None:
    scope = await world.tenant("a")
    ids = [uuid4() for _ in range(40)]
    writing = True

    async def write() -> None:
        nonlocal writing
        for turn in range(60):
            chance.shuffle(ids)
            changed = [Operation(kind="put", document_id=one, document=Document(title=f"{one} {turn}")) for one in ids]
            await world.write(scope, *changed)
        writing = False

    async def work() -> None:
        while writing:
            await world.worker.step()

    async with asyncio.TaskGroup() as both:
        both.create_task(write())
        both.create_task(work())
    await world.index_all()
    assert {row["status"] for row in await world.admin("SELECT status FROM documents")} == {"INDEXED"}
    assert {row["state"] for row in await world.admin("SELECT state FROM tasks")} == {"succeeded"}
