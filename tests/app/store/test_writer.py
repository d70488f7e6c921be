"""Writes that share a transaction: each has a result of its own, and no neighbour's trouble."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.document import Document
from app.errors import ForbiddenError, OverloadedError, PreconditionFailedError, UnavailableError
from app.resilience import deadline
from app.resilience.bulkhead import Bulkhead, Size
from app.store import audit, writer
from app.store.audit import Origin
from app.store.documents import Effect, Operation, Request, Stored
from app.store.writer import Writer
from app.tenancy import Scope
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]


def writer_of(world: World) -> Writer:
    return Writer(world.app, max_bytes=world.settings.max_document_bytes)


def put(scope: Scope, title: str, document_id: UUID | None = None, **more: Any) -> Request:
    operation = Operation(kind="put", document_id=document_id, document=Document(title=title), **more)
    return Request(scope=scope, origin=Origin(correlation_id=title), operations=[operation])


async def transactions(world: World) -> int:
    """Of how many transactions the documents that there are come."""
    (row,) = await world.admin("SELECT count(DISTINCT xmin::text) AS count FROM documents")
    return int(row["count"])


async def test_writes_that_come_together_share_transactions_and_keep_their_results(world: World) -> None:
    scope = await world.tenant("a")
    requests = [put(scope, f"tea {number}") for number in range(50)]
    its = writer_of(world)
    outcomes = await asyncio.gather(*(its.write(one) for one in requests))
    assert await transactions(world) <= 2
    assert len({task_id for task_id, _ in outcomes}) == 50
    for (_, results), request in zip(outcomes, requests, strict=True):
        (stored,) = results
        assert isinstance(stored, Stored)
        (row,) = await world.admin("SELECT title FROM documents WHERE document_id = $1", stored.document_id)
        assert row["title"] == request.origin.correlation_id
    async with world.app.read(scope) as connection:
        verdict = await audit.verify(connection, scope.tenant_id)
        assert (verdict.rows, verdict.broken_at) == (50, None)
        callers = await connection.fetch("SELECT correlation_id FROM audit ORDER BY seq")
    assert [row["correlation_id"] for row in callers] == [one.origin.correlation_id for one in requests]
    assert await world.index_all() == 50
    assert [row["state"] for row in await world.admin("SELECT DISTINCT state FROM tasks")] == ["succeeded"]


async def test_writes_of_one_document_are_carried_out_in_the_order_they_came(world: World) -> None:
    scope, document_id, its = await world.tenant("a"), uuid4(), writer_of(world)
    outcomes = await asyncio.gather(*(its.write(put(scope, f"tea {number}", document_id)) for number in range(6)))
    versions = [result.version for _, (result,) in outcomes if isinstance(result, Stored)]
    assert versions == [1, 2, 3, 4, 5, 6]


async def test_the_same_document_written_twice_at_once_is_stored_once(world: World) -> None:
    scope, its = await world.tenant("a"), writer_of(world)
    both = await asyncio.gather(its.write(put(scope, "tea")), its.write(put(scope, "tea")))
    (_, (first,)), (task_id, (second,)) = both
    assert isinstance(first, Stored)
    assert (task_id, second) == (None, Stored(first.document_id, 1, Effect.DUPLICATE))


async def test_a_document_that_is_tried_again_and_replaced_at_once_gets_a_version_of_each(world: World) -> None:
    scope, its = await world.tenant("a"), writer_of(world)
    stored = await world.put(scope, Document(title="tea"))
    async with world.queue.delivery() as delivery:
        assert delivery
        await delivery.dead(delivery.batch.claims, "no answer")
    both = await asyncio.gather(its.write(put(scope, "tea")), its.write(put(scope, "coffee", stored.document_id)))
    assert [results for _, results in both] == [
        [Stored(stored.document_id, version, Effect.UPDATED)] for version in (2, 3)
    ]


async def test_a_write_that_cannot_be_done_fails_alone(world: World) -> None:
    scope, its = await world.tenant("a"), writer_of(world)
    # Nothing that is checked before lets this through: PostgreSQL itself refuses U+0000, and the whole transaction.
    requests = [put(scope, "tea"), put(scope, "cof\0fee"), put(scope, "milk", uuid4(), if_match=7)]
    first, second, third = await asyncio.gather(*(its.write(one) for one in requests), return_exceptions=True)
    assert not isinstance(first, BaseException)
    assert isinstance(first[1][0], Stored)
    assert isinstance(second, Exception)
    assert not isinstance(third, BaseException)
    assert isinstance(third[1][0], PreconditionFailedError)
    assert [row["title"] for row in await world.admin("SELECT title FROM documents")] == ["tea"]


async def test_whoever_gives_up_takes_nothing_from_the_others(world: World) -> None:
    scope, its = await world.tenant("a"), writer_of(world)
    with deadline.within(0.0):
        gone = asyncio.create_task(its.write(put(scope, "tea")))
    others = [asyncio.create_task(its.write(put(scope, f"coffee {number}"))) for number in range(3)]
    await asyncio.sleep(0)
    gone.cancel()
    results = await asyncio.gather(*others)
    assert all(isinstance(one, Stored) for _, (one,) in results)
    with suppress(asyncio.CancelledError):
        await gone


async def test_tenants_do_not_wait_for_each_other(world: World) -> None:
    scope, other, its = await world.tenant("a"), await world.tenant("b"), writer_of(world)
    async with world.app.write(scope) as connection:
        await audit.lock(connection, scope.tenant_id)
        held = asyncio.create_task(its.write(put(scope, "tea")))
        _, (stored,) = await asyncio.wait_for(its.write(put(other, "coffee")), 5)
        assert isinstance(stored, Stored)
        assert not held.done()
    await held


async def test_only_so_many_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "WAITING", 2)
    scope, its = await world.tenant("a"), writer_of(world)
    results = await asyncio.gather(*(its.write(put(scope, f"{n}")) for n in range(3)), return_exceptions=True)
    assert [isinstance(one, OverloadedError) for one in results] == [False, False, True]
    assert not isinstance(await its.write(put(scope, "later")), BaseException)


async def test_who_may_not_write_is_refused_before_anybody_waits_for_it(world: World) -> None:
    scope, its = await world.tenant("a"), writer_of(world)
    reader = replace(scope, rights=frozenset())
    bad, good = await asyncio.gather(
        its.write(put(reader, "tea")), its.write(put(scope, "coffee")), return_exceptions=True
    )
    assert isinstance(bad, ForbiddenError)
    assert not isinstance(good, BaseException)


async def test_all_of_a_group_are_told_that_the_database_does_not_answer(world: World) -> None:
    scope, its = await world.tenant("a"), writer_of(world)
    async with world.app.write(scope) as connection:
        await audit.lock(connection, scope.tenant_id)
        waiting = [asyncio.create_task(its.write(put(scope, f"{n}"))) for n in range(3)]
        await asyncio.sleep(0.2)
        await world.admin(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory' AND "
            "datname = current_database()"
        )
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in results] == [UnavailableError] * 3


async def test_beyond_its_bulkhead_it_turns_a_tenants_writes_away_and_writes_the_others(world: World) -> None:
    its = Writer(world.app, max_bytes=2**20, bulkhead=Bulkhead("writing", Size(1, 1, 1)))
    scopes = [await world.tenant(name) for name in "abcd"]
    ends = await asyncio.gather(*(its.write(put(one, "tea")) for one in scopes), return_exceptions=True)
    refused = [end for end in ends if isinstance(end, OverloadedError)]
    assert len(refused) == 2
    assert all(one.retry_after for one in refused)
    assert len(await world.admin("SELECT FROM documents")) == 2
    assert (await its.write(put(scopes[3], "tea again")))[0] is not None
