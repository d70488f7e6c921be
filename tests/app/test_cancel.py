"""A task that has not begun is taken back: the database and the index are what they would be without it."""

import asyncio
from itertools import permutations
from uuid import uuid4

import pytest
from pydantic import SecretStr

from app.document import Document
from app.errors import ConflictError, ForbiddenError, NotFoundError
from app.index.model import Query
from app.queue.rabbitmq import RabbitQueue, Relay
from app.search.model import NoCache
from app.store import documents, tasks
from app.store.audit import Origin
from app.store.cancel import cancel
from app.store.documents import Operation, Stored
from app.store.tasks import State, Task
from app.tenancy import Right, Scope
from app.worker import Worker
from tests.app.http.conftest import Api, api, problem
from tests.app.services.servers import RabbitMQ
from tests.app.world import World

__all__ = ["api"]

pytestmark = [pytest.mark.services, pytest.mark.anyio]

GREEN, BLACK, WHITE = (Document(title=f"{name} tea") for name in ("Green", "Black", "White"))


async def write(world: World, scope: Scope, *operations: Operation) -> tuple[Task, list[Stored]]:
    async with world.app.write(scope) as connection:
        task_id, results = await documents.apply(connection, scope, Origin(), operations, kind="bulk")
        assert task_id
        stored = [one for one in results if isinstance(one, Stored)]
        return await tasks.get(connection, scope.tenant_id, task_id), stored


async def changed(world: World, scope: Scope, before: Stored, document: Document) -> Task:
    task, _ = await write(world, scope, Operation(kind="put", document_id=before.document_id, document=document))
    return task


async def green(world: World) -> tuple[Scope, Stored]:
    """A tenant, and its document, which is in the index."""
    scope = await world.tenant("a")
    stored = await world.put(scope, GREEN)
    await world.index_all()
    return scope, stored


async def taken_back(world: World, scope: Scope, task: Task) -> Task:
    async with world.app.write(scope) as connection:
        return await cancel(connection, scope, Origin(), task.task_id, max_bytes=2**20)


async def state(world: World, scope: Scope, task: Task) -> Task:
    async with world.app.read(scope) as connection:
        return await tasks.get(connection, scope.tenant_id, task.task_id)


async def titles(world: World, scope: Scope) -> list[str]:
    """What is found, checked to be what is stored."""
    result = await world.index.search(scope.query(Query(size=100)))
    async with world.app.read(scope) as connection:
        stored = await documents.current_versions(connection, scope.tenant_id)
    assert await world.index.versions(scope.tenant_id) == stored
    return sorted(str(hit.fields["title"]) for hit in result.hits)


async def test_what_was_added_goes_what_was_changed_comes_back_and_deletions_are_carried_out(world: World) -> None:
    scope = await world.tenant("a")
    kept, gone = await world.put(scope, GREEN), await world.put(scope, BLACK)
    await world.index_all()
    task, _ = await write(
        world,
        scope,
        Operation(kind="put", document_id=kept.document_id, document=Document(title="Spoilt")),
        Operation(kind="delete", document_id=gone.document_id),
        Operation(kind="create", document=WHITE),
    )
    canceled = await taken_back(world, scope, task)
    assert (canceled.state, canceled.done) == (State.CANCELED, 0)
    assert canceled.finished_at
    assert (await taken_back(world, scope, task)) == canceled, "asked again, it is canceled already"
    await world.index_all()
    assert await titles(world, scope) == ["Green tea"]
    ended = await state(world, scope, task)
    assert (ended.state, ended.done, ended.finished_at) == (State.CANCELED, 1, canceled.finished_at)
    assert await world.admin("SELECT * FROM outbox") == []
    rows = await world.admin("SELECT action, detail FROM audit WHERE action = 'cancel_task'")
    assert [row["detail"] for row in rows] == [{"documents": 2}]


async def test_what_was_written_since_stands(world: World) -> None:
    scope = await world.tenant("a")
    task, (stored, _) = await write(
        world, scope, Operation(kind="create", document=GREEN), Operation(kind="create", document=WHITE)
    )
    await world.put(scope, BLACK, stored.document_id)
    assert (await taken_back(world, scope, task)).state is State.CANCELED
    await world.index_all()
    assert await titles(world, scope) == ["Black tea"]


@pytest.mark.parametrize("order", [*permutations(range(3))])
async def test_changes_that_are_taken_back_in_any_order_leave_what_was_before_all(
    order: tuple[int, ...], world: World
) -> None:
    scope, stored = await green(world)
    changes = [await changed(world, scope, stored, one) for one in (BLACK, WHITE, Document(title="Yellow tea"))]
    first, (new,) = await write(world, scope, Operation(kind="create", document=Document(title="Mate")))
    later = [await changed(world, scope, new, Document(title=title)) for title in ("Rooibos", "Cocoa")]
    added = [first, *later]
    for number in order:
        for task in (changes[number], added[number]):
            assert (await taken_back(world, scope, task)).state is State.CANCELED
    await world.index_all()
    assert await titles(world, scope) == ["Green tea"]


@pytest.mark.parametrize("order", [*permutations(range(2))])
async def test_what_was_changed_and_changed_back_is_in_the_index_when_both_are_taken_back(
    order: tuple[int, ...], world: World
) -> None:
    scope, stored = await green(world)
    changes = [await changed(world, scope, stored, one) for one in (BLACK, GREEN)]
    for number in order:
        await taken_back(world, scope, changes[number])
    await world.index_all()
    assert await titles(world, scope) == ["Green tea"]
    assert [row["status"] for row in await world.admin("SELECT status FROM documents")] == ["INDEXED"]


async def test_what_is_there_again_is_taken_back_even_if_a_later_change_came_and_went(world: World) -> None:
    scope, stored = await green(world)
    black = await changed(world, scope, stored, BLACK)
    await taken_back(world, scope, await changed(world, scope, stored, WHITE))
    await taken_back(world, scope, await changed(world, scope, stored, Document(title="Yellow tea")))
    assert (await taken_back(world, scope, black)).state is State.CANCELED
    await world.index_all()
    assert await titles(world, scope) == ["Green tea"]


async def test_what_has_begun_has_ended_or_only_deletes_is_not_taken_back(world: World) -> None:
    scope, other = await world.tenant("a"), await world.tenant("b")
    task, (stored,) = await write(world, scope, Operation(kind="create", document=GREEN))
    async with world.queue.delivery() as delivery:
        assert delivery
        with pytest.raises(ConflictError, match="about to begin"):
            await taken_back(world, scope, task)
    await world.index_all()
    with pytest.raises(ConflictError, match="succeeded"):
        await taken_back(world, scope, task)
    deletion, _ = await write(world, scope, Operation(kind="delete", document_id=stored.document_id))
    with pytest.raises(ConflictError, match="delete"):
        await taken_back(world, scope, deletion)
    assert (await state(world, scope, deletion)).state is State.ENQUEUED
    for who in (other, Scope(tenant_id=other.tenant_id, actor="x", rights=frozenset({Right.READ}))):
        with pytest.raises((NotFoundError, ForbiddenError)):
            await taken_back(world, who, deletion)


async def test_a_batch_that_the_broker_has_already_brings_what_is_there_by_then(
    world: World, rabbitmq: RabbitMQ
) -> None:
    scope = await world.tenant("a")
    told = rabbitmq.settings() | {"broker_password": SecretStr("guest")}
    settings = world.settings.model_copy(update=told)
    broker = RabbitQueue(settings, world.work, name=f"test-{uuid4()}")
    try:
        task, _ = await write(world, scope, Operation(kind="create", document=GREEN))
        assert await Relay(world.work, broker).step() == 1
        assert (await taken_back(world, scope, task)).state is State.CANCELED
        worker = Worker(world.work, broker, (world.index,), NoCache())
        async with asyncio.timeout(20):
            while not await worker.step():
                await broker.wait(1)
        assert await titles(world, scope) == []
        assert (await state(world, scope, task)).done == 0
        await world.index_all()
        assert await titles(world, scope) == []
        assert await world.admin("SELECT * FROM outbox") == []
    finally:
        await broker.close()


async def test_many_who_cancel_and_a_worker_at_once_leave_nothing_half_done(world: World) -> None:
    scope = await world.tenant("a")
    made = [await write(world, scope, Operation(kind="create", document=Document(title=f"{n}"))) for n in range(20)]
    given = await asyncio.gather(
        world.index_all(), *(taken_back(world, scope, task) for task, _ in made), return_exceptions=True
    )
    assert not [one for one in given if isinstance(one, BaseException) and not isinstance(one, ConflictError)]
    await world.index_all()
    there = [title for title, (task, _) in enumerate(made) if (await state(world, scope, task)).state != "canceled"]
    assert await titles(world, scope) == sorted(map(str, there))


async def test_over_http_it_needs_the_right_to_write(api: Api) -> None:
    caller = await api.tenant("mine")
    written = await caller("POST", "/v1/documents", json={"title": "Tea"})
    where, which = written.headers["location"], written.json()["document_id"]
    problem(await (await api.key(caller.tenant_id, "read"))("DELETE", where), 403, "forbidden")
    answer = await caller("DELETE", where)
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    problem(await caller("GET", f"/v1/documents/{which}"), 404, "not-found")
    problem(await caller("DELETE", f"/v1/tasks/{uuid4()}"), 404, "not-found")
    written = await caller("POST", "/v1/documents", json={"title": "Tea"})
    await api.index_all()
    assert "succeeded" in problem(await caller("DELETE", written.headers["location"]), 409, "conflict")["detail"]
