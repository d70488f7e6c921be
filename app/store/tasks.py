"""Tasks: what a caller is told of work that goes on after its request was answered."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from app.errors import NotFoundError
from app.queue.model import Claim
from app.store.database import Connection

MAX_ERRORS: Final = 20
"""Errors that a task tells of; it counts all."""


class State(StrEnum):
    """Where a task is."""

    ENQUEUED = "enqueued"
    PROCESSING = "processing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class Task(Struct, frozen=True):
    """A task.

    Attributes:
        task_id: Its id.
        kind: What it does: ``write``, ``bulk``, ``erasure``, or ``cancel``, which takes another one back.
        state: Where it is. It has failed if one of its documents has. Canceled, its deletions are still counted.
        total: Documents that it is about.
        done: Of these, in the index.
        failed: Of these, given up.
        errors: What went wrong, the first 20.
        created_at: When it was asked for.
        started_at: When work began.
        finished_at: When it ended.
    """

    task_id: UUID
    kind: str
    state: State
    total: int
    done: int
    failed: int
    errors: list[dict[str, Any]]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


_COLUMNS: Final = "task_id, kind, state, total, done, failed, errors, created_at, started_at, finished_at"


@dataclass(frozen=True)
class New:
    """A task that is made.

    Attributes:
        task_id: Its id.
        kind: What it does.
        total: Documents that it is about.
    """

    task_id: UUID
    kind: str
    total: int


async def create(connection: Connection, tenant_id: UUID, task_id: UUID, *, kind: str, total: int) -> None:
    """Makes a task in the transaction of what it is about."""
    await create_all(connection, tenant_id, [New(task_id, kind, total)])


async def create_all(connection: Connection, tenant_id: UUID, new: Sequence[New]) -> None:
    """Makes tasks in the transaction of what they are about."""
    await connection.execute(
        """
        INSERT INTO tasks (tenant_id, task_id, kind, total)
        SELECT $1, task_id, kind, total FROM unnest($2::uuid[], $3::text[], $4::int[]) AS new (task_id, kind, total)
        """,
        tenant_id,
        [one.task_id for one in new],
        [one.kind for one in new],
        [one.total for one in new],
    )


async def get(connection: Connection, tenant_id: UUID, task_id: UUID) -> Task:
    """A task.

    Raises:
        NotFoundError: The tenant has no such task.
    """
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM tasks WHERE tenant_id = $1 AND task_id = $2",
        tenant_id,
        task_id,
    )
    if row is None:
        raise NotFoundError(f"there is no task {task_id}")
    return _task(row)


async def page(connection: Connection, tenant_id: UUID, *, state: State | None, size: int) -> list[Task]:
    """A tenant's tasks, the newest first."""
    # Two statements: of one for both, a plan that is kept goes through all of the tenant's tasks.
    of_state, values = ("AND state = $3", [state]) if state else ("", [])
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM tasks WHERE tenant_id = $1 {of_state} ORDER BY created_at DESC, task_id LIMIT $2",
        tenant_id,
        size,
        *values,
    )
    return [_task(row) for row in rows]


async def start(connection: Connection, tenant_id: UUID, claims: Sequence[Claim]) -> None:
    """Says that work on tasks has begun."""
    await connection.execute(
        """
        UPDATE tasks SET state = 'processing', started_at = now()
        WHERE tenant_id = $1 AND task_id IN (
            -- In order, as `count` locks them.
            SELECT task_id FROM tasks WHERE tenant_id = $1 AND task_id = ANY($2) AND state = 'enqueued'
            ORDER BY task_id FOR NO KEY UPDATE
        )
        """,
        tenant_id,
        sorted({claim.task_id for claim in claims}),
    )


async def lock(connection: Connection, tenant_id: UUID, ids: Collection[UUID]) -> None:
    """Locks tasks in the order of their ids, so that two who count the same ones do not wait for each other."""
    await connection.fetch(
        "SELECT FROM tasks WHERE tenant_id = $1 AND task_id = ANY($2) ORDER BY task_id FOR NO KEY UPDATE",
        tenant_id,
        [*ids],
    )


async def count(connection: Connection, tenant_id: UUID, claims: Sequence[Claim], *, reason: str = "") -> None:
    """Counts documents of tasks as done or, with a reason, as failed. The last one ends its task."""
    documents: dict[UUID, list[UUID]] = {}
    for claim in claims:
        documents.setdefault(claim.task_id, []).append(claim.document_id)
    ids = sorted(documents)
    await lock(connection, tenant_id, ids)
    errors = {
        str(task_id): [{"document_id": str(one), "reason": reason} for one in documents[task_id][:MAX_ERRORS]]
        for task_id in ids
        if reason
    }
    await connection.execute(
        f"""
        UPDATE tasks SET
            done = done + good,
            failed = failed + bad,
            errors = errors || CASE WHEN jsonb_array_length(errors) < {MAX_ERRORS}
                               THEN coalesce($5::jsonb -> id::text, '[]') ELSE '[]' END,
            started_at = coalesce(started_at, now()),
            state = CASE
                WHEN state = 'canceled' THEN state
                WHEN done + failed + good + bad < total THEN 'processing'
                WHEN failed + bad > 0 THEN 'failed'
                ELSE 'succeeded' END,
            finished_at = CASE
                WHEN state = 'canceled' THEN finished_at
                WHEN done + failed + good + bad < total THEN NULL
                ELSE now() END
        FROM unnest($2::uuid[], $3::int[], $4::int[]) AS counted (id, good, bad)
        WHERE tenant_id = $1 AND task_id = id
        """,
        tenant_id,
        ids,
        [0 if reason else len(documents[task_id]) for task_id in ids],
        [len(documents[task_id]) if reason else 0 for task_id in ids],
        errors,
    )


def _task(row: Any) -> Task:
    return Task(**{**dict(row), "state": State(row["state"])})
