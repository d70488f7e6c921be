"""Canceling: what a task was to bring into the index is taken back, as long as no work on it has begun.

The database stays what the index is made of. So a document that the task added is deleted again, and one that it
changed becomes what it was before, as a version of its own, which the version that it was notes (``restored_as``): if
that is taken back, too, the document still is what it is about. What somebody else has written since stands. A deletion
is never taken back: what it deleted is there no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from app.document import Document, as_given
from app.errors import ApiError, ConflictError
from app.store import audit, documents, tasks
from app.store.audit import Origin
from app.store.database import Connection
from app.store.documents import Operation, Stored
from app.store.tasks import State, Task
from app.tenancy import Right, Scope


async def cancel(connection: Connection, scope: Scope, origin: Origin, task_id: UUID, *, max_bytes: int) -> Task:
    """Cancels a task. Asked again, it is canceled already.

    Args:
        connection: A transaction on the primary that sees the tenant.
        scope: Who cancels.
        origin: From where.
        task_id: Which.
        max_bytes: The largest document, bytes.

    Raises:
        NotFoundError: The tenant has no such task.
        ConflictError: It has begun or ended, or does nothing but delete.
        ForbiddenError: The scope may not write.
    """
    scope.require(Right.WRITE)
    # Writers of a tenant come one after the other: nobody changes in between what is looked at here.
    await audit.lock(connection, scope.tenant_id)
    rows = await connection.fetch("SELECT document_id, version FROM cancel_task($1)", task_id)
    task = await tasks.get(connection, scope.tenant_id, task_id)
    if task.state is not State.CANCELED:
        raise ConflictError(
            f"task {task_id} cannot be canceled",
            why="all that it does is to delete, or work on it is about to begin"
            if task.state is State.ENQUEUED
            else f"it is {task.state}",
            remedy="Write the documents again, as they are to be",
        )
    if rows:
        withdrawn = {row["document_id"]: row["version"] for row in rows}
        operations, restores = await _undone(connection, scope.tenant_id, withdrawn)
        await _forget(connection, scope.tenant_id, withdrawn)
        if operations:
            _, results = await documents.apply(
                connection, scope, origin, operations, kind="cancel", max_bytes=max_bytes
            )
            await _note(connection, scope.tenant_id, restores, results)
        detail = {"documents": len(operations)}
        await audit.record(connection, scope, origin, action="cancel_task", resource=f"task/{task_id}", detail=detail)
    return task


async def _forget(connection: Connection, tenant_id: UUID, withdrawn: Mapping[UUID, int]) -> None:
    """Deletes versions that somebody has replaced since: if that is taken back, too, it does not lead to them."""
    await connection.execute(
        """
        DELETE FROM document_versions AS old USING unnest($2::uuid[], $3::bigint[]) AS withdrawn (id, version)
        WHERE old.tenant_id = $1 AND old.document_id = withdrawn.id AND old.version = withdrawn.version
        """,
        tenant_id,
        list(withdrawn),
        list(withdrawn.values()),
    )


async def _undone(
    connection: Connection, tenant_id: UUID, withdrawn: Mapping[UUID, int]
) -> tuple[list[Operation], dict[UUID, int]]:
    """What makes documents what they were before, and which versions of them that were."""
    rows = await connection.fetch(
        """
        SELECT its.document_id, its.version, before.version AS restores, before.body
        FROM unnest($2::uuid[], $3::bigint[]) AS withdrawn (id, version)
        JOIN documents AS its ON its.tenant_id = $1 AND its.document_id = withdrawn.id AND its.status <> 'DELETED'
        LEFT JOIN document_versions AS own
            ON own.tenant_id = $1 AND own.document_id = withdrawn.id AND own.version = withdrawn.version
        LEFT JOIN LATERAL (
            SELECT version, body FROM document_versions AS old
            WHERE old.tenant_id = $1 AND old.document_id = withdrawn.id AND old.version < withdrawn.version
            ORDER BY old.version DESC LIMIT 1
        ) AS before ON true
        WHERE its.version IN (withdrawn.version, own.restored_as)
        ORDER BY its.document_id
        """,
        tenant_id,
        list(withdrawn),
        list(withdrawn.values()),
    )
    found, restores = list[Operation](), dict[UUID, int]()
    for row in rows:
        document_id, version, body = row["document_id"], row["version"], row["body"]
        if body is None:
            found.append(Operation(kind="delete", document_id=document_id, if_match=version))
        else:
            known = {name: value for name, value in body.items() if name in Document.__struct_fields__}
            known["metadata"] = as_given(known["metadata"])
            before = msgspec.convert(known, Document)
            found.append(Operation(kind="put", document_id=document_id, document=before, if_match=version, again=True))
            restores[document_id] = row["restores"]
    return found, restores


async def _note(
    connection: Connection, tenant_id: UUID, restores: Mapping[UUID, int], results: Sequence[Stored | ApiError]
) -> None:
    """Notes of versions that they are there again, and of those that were there again as one of these."""
    now = {one.document_id: one.version for one in results if isinstance(one, Stored) and one.document_id in restores}
    await connection.execute(
        """
        UPDATE document_versions AS old SET restored_as = restored.now
        FROM unnest($2::uuid[], $3::bigint[], $4::bigint[]) AS restored (id, version, now)
        WHERE old.tenant_id = $1 AND old.document_id = restored.id
          AND restored.version IN (old.version, old.restored_as)
        """,
        tenant_id,
        list(now),
        [restores[document_id] for document_id in now],
        list(now.values()),
    )
