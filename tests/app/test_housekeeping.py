"""What the service does by itself: what it goes on with, whatever happens, and what it deletes when it is old."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app import administration
from app.document import Document
from app.errors import UnavailableError
from app.housekeeping import Housekeeping
from app.index import full_text
from app.index.full_text import FullText
from app.search.model import NoCache
from app.store import audit, tasks
from app.store.database import Connection
from app.store.tasks import State
from tests.app.household import age, erase, finish, found, house, of, run
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]


async def test_one_worker_keeps_house_at_a_time_and_large_erasures_come_in_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.housekeeping.BATCH", 2)
    scope = await world.tenant("a")
    for number in range(5):
        await world.put(scope, of("ada", f"Diary {number}"))
    await erase(world, scope, "ada")
    first, second = house(world), house(world)
    async with first._alone() as held:
        assert held
        assert await second.step() == 0
        assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 0
    await finish(world)
    assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 5


class Index(FullText):
    """Something happens at the beginning of the expunging, and at its end."""

    def __init__(self, world: World, before: Callable[[], Awaitable[Any]], error: Exception | None = None) -> None:
        super().__init__(world.app, world.work)
        self.before, self.error = before, error

    async def expunge(self, tenant_id: UUID, gone: Sequence[UUID]) -> None:
        await self.before()
        await super().expunge(tenant_id, gone)
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, UnavailableError("OpenSearch does not answer")], ids=["well", "ill"])
async def test_what_is_written_while_the_indexes_are_expunged_is_found(error: Exception | None, world: World) -> None:
    scope = await world.tenant("a")
    old = await world.put(scope, of("ada", "Old"))
    await world.index_all()
    await erase(world, scope, "ada")

    async def written() -> None:
        await world.put(scope, of("ada", "She is back"), old.document_id)
        await world.index_all()

    its = Housekeeping(world.work, (Index(world, written, error),), NoCache(), settle_seconds=0)
    assert await its.step() == 1
    await world.index_all()
    assert await its.step() == (1 if error else 0)
    assert await world.index.versions(scope.tenant_id) == {old.document_id: 3}
    assert await found(world, scope) == {old.document_id}


async def test_what_full_text_got_while_it_was_looked_through_stays_with_its_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = await world.tenant("a")
    old = await world.put(scope, of("bob", "Old"))
    await world.index_all()
    upsert = full_text._upsert

    async def late(*given: Any) -> set[UUID]:
        monkeypatch.setattr(full_text, "_upsert", upsert)
        await world.put(scope, of("bob", "New"), old.document_id)
        await world.index_all()
        return await upsert(*given)

    monkeypatch.setattr(full_text, "_upsert", late)
    await world.index.expunge(scope.tenant_id, [old.document_id])
    assert await world.index.versions(scope.tenant_id) == {old.document_id: 2}
    rows = await world.admin("SELECT word FROM vocabulary WHERE documents > 0 ORDER BY word")
    assert [row["word"] for row in rows] == ["new", "of", "words"]


async def test_an_erasure_that_cannot_go_on_holds_up_no_other_and_no_night(world: World) -> None:
    first, second = await world.tenant("a"), await world.tenant("b")
    for scope in (first, second):
        await world.put(scope, of("ada"))
        await erase(world, scope, "ada")
    await age(world, await world.put(second, Document(title="Old")), 3)

    class Half(FullText):
        async def expunge(self, tenant_id: UUID, gone: Sequence[UUID]) -> None:
            if tenant_id == first.tenant_id:
                raise UnavailableError("OpenSearch does not answer")
            await super().expunge(tenant_id, gone)

    its = Housekeeping(world.work, (Half(world.app, world.work),), NoCache(), settle_seconds=0)
    assert await its.step() == 2
    assert (await world.admin("SELECT count(*) FROM tasks WHERE kind = 'retention'"))[0][0] == 1
    await world.index_all()
    assert await its.step() == 1
    rows = await world.admin("SELECT tenant_id, finished_at IS NOT NULL AS finished FROM erasures")
    assert {row["tenant_id"]: row["finished"] for row in rows} == {first.tenant_id: False, second.tenant_id: True}


async def test_who_is_told_to_stop_does_not_wait_until_the_disk_is_clean(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, of("ada"))
    await erase(world, scope, "ada")
    begun = asyncio.Event()

    async def long() -> None:
        begun.set()
        await asyncio.Event().wait()

    its = Housekeeping(world.work, (Index(world, long),), NoCache(), settle_seconds=0)
    await its.step()
    await world.index_all()
    async with asyncio.TaskGroup() as both:
        running = both.create_task(its.step())
        await begun.wait()
        its.stop()
    assert running.result() == 1
    assert (await world.admin("SELECT finished_at FROM erasures"))[0][0] is None


# Retention


async def test_what_is_older_than_its_tenant_keeps_it_goes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.housekeeping.BATCH", 2)
    short, long = await world.tenant("short"), await world.tenant("long")
    await administration.retain(world.settings, "long", 7)
    kept = set()
    for scope in (short, long):
        for years in (0, 1.9, 2.1, 3, 6.9, 7.1):
            stored = await world.put(scope, Document(title=f"Of {years} years"))
            await age(world, stored, years)
            if years < (2 if scope is short else 7):
                kept.add(stored.document_id)
    await world.index_all()
    assert await house(world).delete_old() == 5
    assert await house(world).delete_old() == 0
    await world.index_all()
    assert await found(world, short) | await found(world, long) == kept
    rows = await world.admin("SELECT * FROM audit WHERE action = 'delete_old_documents' ORDER BY at")
    assert [row["detail"]["documents"] for row in rows if row["tenant_id"] == short.tenant_id] == [2, 2]
    assert [row["detail"] for row in rows if row["tenant_id"] == long.tenant_id] == [{"documents": 1, "years": 7}]
    for scope in (short, long):
        async with world.app.read(scope) as connection:
            assert (await audit.verify(connection, scope.tenant_id)).broken_at is None
            its = await tasks.page(connection, scope.tenant_id, state=None, size=100)
            assert {one.state for one in its} == {State.SUCCEEDED}
            assert "retention" in {one.kind for one in its}


async def test_old_documents_are_looked_for_at_once_and_then_every_night(world: World) -> None:
    now = [datetime(2026, 11, 28, 5, 0, tzinfo=UTC)]
    its = house(world, clock=lambda: now[0])
    looked = []

    async def look() -> int:
        looked.append(now[0])
        return 0

    its.delete_old = look  # type: ignore[method-assign]
    for day, hour in ((28, 5), (28, 23), (29, 1), (29, 2), (29, 3), (30, 1), (30, 4)):
        now[0] = datetime(2026, 11, day, hour, tzinfo=UTC)
        await its.step()
    assert [(one.day, one.hour) for one in looked] == [(28, 5), (29, 2), (30, 4)]


async def test_pg_cron_deletes_batch_after_batch_where_it_is(world: World) -> None:
    """What it runs, run by hand: the extension itself is no part of the PostgreSQL that is here."""
    scope = await world.tenant("a")
    for number in range(3):
        await age(world, await world.put(scope, Document(title=f"Old {number}")), 3)
    assert (await world.admin("SELECT schedule_retention()"))[0][0] is False
    await world.admin("UPDATE tasks SET finished_at = now() - interval '31 days'")
    await world.admin("CALL delete_all_old_documents()")
    assert [row["kind"] for row in await world.admin("SELECT kind FROM tasks")] == ["retention"]
    assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 3
    await run(
        world,
        "CREATE SCHEMA cron; CREATE TABLE cron.job (jobname text, active boolean); "
        "INSERT INTO cron.job VALUES ('delete-old-docs', true)",
    )
    await age(world, await world.put(scope, Document(title="Old again")), 3)
    await house(world).step()
    assert (await world.admin("SELECT count(*) FROM documents WHERE status = 'DELETED'"))[0][0] == 3


# Tasks


async def test_tasks_that_ended_a_month_ago_go_and_no_open_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.housekeeping.BATCH", 2)
    scope = await world.tenant("a")
    rows = {
        "old": ("succeeded", 31),
        "failed": ("failed", 31),
        "canceled": ("canceled", 400),
        "young": ("succeeded", 29),
        "open": ("processing", None),
        "waits": ("enqueued", None),
    }
    for kind, (state, days) in rows.items():
        await world.admin(
            """
            INSERT INTO tasks (tenant_id, task_id, kind, total, state, created_at, finished_at)
            VALUES ($1, gen_random_uuid(), $2, 1, $3, now() - interval '500 days', now() - make_interval(days => $4))
            """,
            scope.tenant_id,
            kind,
            state,
            days,
        )
    assert await house(world).delete_old() == 0
    left = {row["kind"] for row in await world.admin("SELECT kind FROM tasks")}
    assert left == {"young", "open", "waits"}


async def test_no_question_goes_through_all_tasks_of_a_tenant(world: World) -> None:
    scope = await world.tenant("a")
    stored = await world.put(scope, of("ada"))
    async with world.queue.delivery() as delivery:
        assert delivery
        await delivery.dead(delivery.batch.claims, "failed to parse")
    await world.admin(
        """
        INSERT INTO tasks (tenant_id, task_id, kind, total, done, state, created_at, finished_at)
        SELECT $1, gen_random_uuid(), 'write', 1, 1, 'succeeded', now() - interval '1 s' * n, now() - interval '1 s' * n
        FROM generate_series(1, 20000) AS n
        """,
        scope.tenant_id,
    )
    await run(world, "VACUUM ANALYZE tasks")

    async def used() -> dict[str, int]:
        await world.admin("SELECT pg_stat_clear_snapshot()")
        rows = await world.admin("SELECT indexrelname, idx_scan FROM pg_stat_user_indexes WHERE relname = 'tasks'")
        (whole,) = await world.admin("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'tasks'")
        return {row["indexrelname"]: row["idx_scan"] for row in rows} | {"": whole["seq_scan"]}

    async def asked(statement: str, *values: Any) -> set[str]:
        before = await used()
        # What a connection has done is counted when it ends.
        await world.admin(statement, *values)
        return {name for name, count in (await used()).items() if count > before[name]}

    bury = "SELECT bury_documents($1, $2, gen_random_uuid())"
    assert await asked(bury, scope.tenant_id, [stored.document_id]) == {"idx_tasks_errors"}
    assert await asked("SELECT delete_old_tasks()") == {"idx_tasks_finished"}
    async with world.app.write(scope) as connection:
        for state, index in ((State.ENQUEUED, "idx_tasks_state"), (None, "idx_tasks_created")):
            plans: list[str] = []
            await tasks.page(_Explained(connection, plans), scope.tenant_id, state=state, size=10)  # type: ignore[arg-type]
            assert index in plans[0], plans[0]


class _Explained:
    """A connection that says how a statement would be carried out, and finds nothing."""

    def __init__(self, connection: Connection, plans: list[str]) -> None:
        self.connection, self.plans = connection, plans

    async def fetch(self, statement: str, *values: Any) -> list[Any]:
        # As of a statement that is kept: without looking at the values.
        await self.connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        rows = await self.connection.fetch(f"EXPLAIN {statement}", *values)
        self.plans.append("\n".join(row[0] for row in rows))
        return []
