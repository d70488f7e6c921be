"""Documents and their tasks, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct
from starlette.responses import Response

from app import document as documents
from app.document import Document
from app.errors import ApiError, InvalidDocumentError, InvalidRequestError, PreconditionFailedError, TooLargeError
from app.http.call import JSON, MERGE_PATCH, NDJSON, Call, Operation, Parameter, answer
from app.store import documents as store
from app.store import tasks
from app.store.cancel import cancel
from app.store.documents import Found, Stored, Version
from app.store.documents import Operation as Write
from app.store.tasks import State, Task
from app.tenancy import Right

_OVERHEAD: Final = 4096
"""What a document's JSON may be longer than its content, bytes: escapes of its few other parts."""


class Accepted(Struct, frozen=True):
    """A write that was taken.

    Attributes:
        document_id: The document; of a duplicate, the one that is there.
        version: Its version now.
        effect: What was done: ``created``, ``updated``, ``deleted``, ``unchanged`` or ``duplicate``.
        task_id: The task that ends when it is in the index; null if nothing has changed.
    """

    document_id: UUID
    version: int
    effect: store.Effect
    task_id: UUID | None


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """A line of a bulk request.

    Attributes:
        action: ``put`` (add or replace), ``create`` (only add), ``patch`` or ``delete``.
        id: Which document; none to add one with a new id.
        document: What it becomes; of a patch, what changes.
        version: The version that it must have.
    """

    action: Literal["put", "create", "patch", "delete"] = "put"
    id: UUID | None = None
    document: Any = None
    version: int | None = None


class LineResult(Struct, frozen=True, omit_defaults=True):
    """What became of a line.

    Attributes:
        line: Its number, from 1.
        status: As an HTTP status: 200 nothing has changed, 202 taken, from 400 on it failed.
        document_id: The document.
        version: Its version now.
        effect: What was done.
        error: What is wrong with it, as a problem.
    """

    line: int
    status: int
    document_id: UUID | None = None
    version: int | None = None
    effect: store.Effect | None = None
    error: dict[str, Any] | None = None


class BulkAnswer(Struct, frozen=True):
    """What became of a bulk request.

    Attributes:
        task_id: The task that ends when all is in the index; null if nothing has changed.
        taken: Lines that were taken.
        failed: Lines that were not.
        results: One for each line that is not empty.
    """

    task_id: UUID | None
    taken: int
    failed: int
    results: list[LineResult]


class Versions(Struct, frozen=True):
    """Versions of a document that were replaced, the newest first."""

    versions: list[Version]


class Tasks(Struct, frozen=True):
    """Tasks, the newest first."""

    tasks: list[Task]


async def post_document(call: Call) -> Response:
    """Adds a document, unless the same one is there."""
    body = await _document(call)
    return await _write(call, Write(kind="create", document=body))


async def put_document(call: Call) -> Response:
    """Replaces a document, or adds it under this id."""
    body = await _document(call)
    kind: Literal["put", "create"] = "put"
    none_match = call.request.headers.get("if-none-match")
    if none_match is not None:
        if none_match.strip() != "*":
            raise InvalidRequestError(f"If-None-Match is {none_match[:80]!r}", why="of a write it can only be *")
        kind = "create"
    operation = Write(kind=kind, document_id=call.uuid("document_id"), document=body, if_match=call.if_match())
    return await _write(call, operation, new_only=kind == "create")


async def patch_document(call: Call) -> Response:
    """Changes some of a document, by a merge patch."""
    body = await call.body(_limit(call), MERGE_PATCH, JSON)
    try:
        patch = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise documents.unreadable(error) from error
    operation = Write(kind="patch", document_id=call.uuid("document_id"), patch=patch, if_match=call.if_match())
    return await _write(call, operation)


async def delete_document(call: Call) -> Response:
    """Deletes a document and its versions."""
    return await _write(call, Write(kind="delete", document_id=call.uuid("document_id"), if_match=call.if_match()))


async def get_document(call: Call) -> Response:
    """A document as it is stored, whether or not it is in the index yet."""
    call.scope.require(Right.READ)
    _unbound(call)
    async with call.service.database.read(call.scope) as connection:
        found = await store.get(connection, call.scope.tenant_id, call.uuid("document_id"))
    etag = f'"{found.version}"'
    if call.request.headers.get("if-none-match", "").strip() == etag:
        return Response(None, 304, headers={"etag": etag})
    return answer(found, headers={"etag": etag})


async def get_versions(call: Call) -> Response:
    """The versions of a document that were replaced."""
    call.scope.require(Right.READ)
    _unbound(call)
    async with call.service.database.read(call.scope) as connection:
        found = await store.versions(connection, call.scope.tenant_id, call.uuid("document_id"))
    return answer(Versions(found))


async def bulk(call: Call) -> Response:
    """Carries out many writes, a line each, in one transaction; a line that cannot be done leaves the others alone."""
    call.scope.require(Right.WRITE)
    call.primary_only()
    settings = call.service.settings
    body = await call.body(settings.max_body_bytes, NDJSON, JSON)
    # Before the split: ten million lines of a byte or none would be half a gigabyte of objects.
    if (ends := body.count(b"\n")) > 2 * settings.max_bulk_lines:
        why = f"{settings.max_bulk_lines:,} is the most, and as many empty ones"
        raise TooLargeError(f"the body has {ends:,} lines", why=why, remedy="Send it in parts")
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    if not lines:
        raise InvalidRequestError("the body is empty", why="it is one JSON object per line")
    if len(lines) > settings.max_bulk_lines:
        raise TooLargeError(f"the body has {len(lines):,} lines", why=f"{settings.max_bulk_lines:,} is the most")
    results: dict[int, Stored | ApiError] = {}
    operations: dict[int, Write] = {}
    for number, line in lines:
        try:
            operations[number] = read_line(line, settings.max_document_bytes)
        except ApiError as error:
            results[number] = error
    task_id: UUID | None = None
    if operations:
        task_id, done = await _carry_out(call, [*operations.values()], "bulk")
        results |= zip(operations, done, strict=True)
    _wake(call, [one for one in results.values() if isinstance(one, Stored)])
    shown = [_result(number, results[number]) for number, _ in lines]
    failed = sum(one.error is not None for one in shown)
    headers = {"location": f"/v1/tasks/{task_id}"} if task_id else {}
    return answer(BulkAnswer(task_id, len(shown) - failed, failed, shown), 202 if task_id else 200, headers)


async def get_task(call: Call) -> Response:
    """Where a task is."""
    _unbound(call)
    async with call.service.database.read(call.scope) as connection:
        return answer(await tasks.get(connection, call.scope.tenant_id, call.uuid("task_id")))


async def get_tasks(call: Call) -> Response:
    """The newest tasks."""
    _unbound(call)
    call.no_parameters("state", "size")
    size = call.whole("size", 20, 1, 100) or 20
    text = call.request.query_params.get("state")
    if text is not None and text not in [*State]:
        raise InvalidRequestError(f"state is {text[:40]!r}", why=f"there are {', '.join(State)}")
    async with call.service.database.read(call.scope) as connection:
        state = State(text) if text else None
        return answer(Tasks(await tasks.page(connection, call.scope.tenant_id, state=state, size=size)))


async def cancel_task(call: Call) -> Response:
    """Takes back what a task was to do: what it added goes, what it changed becomes what it was. It still deletes."""
    call.primary_only()
    async with call.service.database.write(call.scope) as connection:
        max_bytes = call.service.settings.max_document_bytes
        found = await cancel(connection, call.scope, call.origin, call.uuid("task_id"), max_bytes=max_bytes)
    _wake(call, [])
    return answer(found)


def _unbound(call: Call) -> None:
    """Whoever may see only some documents gets them by searching: an id would tell of others."""
    if call.scope.forced:
        call.scope.require(Right.ADMIN)


def _limit(call: Call) -> int:
    # In the worst case JSON writes a character as \uXXXX: six for one.
    return call.service.settings.max_document_bytes * 6 + _OVERHEAD


async def _document(call: Call) -> Document:
    body = documents.decode(await call.body(_limit(call), JSON))
    return documents.check(body, max_bytes=call.service.settings.max_document_bytes)


async def _write(call: Call, operation: Write, *, new_only: bool = False) -> Response:
    call.scope.require(Right.WRITE)
    call.primary_only()
    task_id, (result,) = await _carry_out(call, [operation])
    if isinstance(result, ApiError):
        if new_only and result.status == 409:
            raise PreconditionFailedError(result.what, why="If-None-Match asks for a new one")
        raise result
    _wake(call, [result])
    headers = {"etag": f'"{result.version}"'}
    if task_id:
        headers["location"] = f"/v1/tasks/{task_id}"
    accepted = Accepted(result.document_id, result.version, result.effect, task_id)
    return answer(accepted, 202 if task_id else 200, headers)


async def _carry_out(call: Call, operations: Sequence[Write], kind: str = "write") -> store.Outcome:
    request = store.Request(scope=call.scope, origin=call.origin, operations=operations, kind=kind)
    return await call.service.writer.write(request)


def _wake(call: Call, results: Sequence[Stored]) -> None:
    for result in results:
        call.service.metrics.written.labels(result.effect).inc()
    if call.service.queue is not None:
        call.service.queue.wake()


def read_line(line: bytes, max_bytes: int) -> Write:
    """Reads a line of a bulk request.

    Raises:
        InvalidDocumentError: It cannot be read, or holds what cannot be stored.
    """
    try:
        found = msgspec.json.decode(line, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise documents.unreadable(error) from error
    if found.version is not None and found.version < 1:
        raise InvalidDocumentError(f"version is {found.version}", why="versions count from 1", pointer="/version")
    if found.action in ("patch", "delete"):
        if found.id is None:
            raise InvalidDocumentError(f"a {found.action} has no id", pointer="/id")
        if found.action == "delete" and found.document is not None:
            raise InvalidDocumentError("a delete has a document", pointer="/document")
        return Write(kind=found.action, document_id=found.id, patch=found.document, if_match=found.version)
    if found.document is None:
        raise InvalidDocumentError(f"a {found.action} has no document", pointer="/document")
    body = documents.check(documents.convert(found.document), max_bytes=max_bytes)
    kind: Literal["put", "create"] = "create" if found.action == "create" else "put"
    return Write(kind=kind, document_id=found.id, document=body, if_match=found.version)


def _result(number: int, result: Stored | ApiError) -> LineResult:
    if isinstance(result, ApiError):
        return LineResult(number, result.status, error=result.problem())
    status = 202 if result.changed else 200
    return LineResult(number, status, result.document_id, result.version, result.effect)


_IF_MATCH: Final = Parameter("If-Match", "header", 'The ETag that the document must have, such as `"3"`, or `*`')
_WRITES: Final = {200: Accepted, 202: Accepted}

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/documents",
        handler=post_document,
        right=Right.WRITE,
        name="add_document",
        summary="Add a document; the same one is stored once",
        tag="documents",
        body=Document,
        answers=_WRITES,
    ),
    Operation(
        method="POST",
        path="/v1/documents/bulk",
        handler=bulk,
        right=Right.WRITE,
        name="write_documents",
        summary="Write many documents: a JSON object per line, a result per line",
        tag="documents",
        body=Line,
        media=(NDJSON,),
        answers={200: BulkAnswer, 202: BulkAnswer},
    ),
    Operation(
        method="GET",
        path="/v1/documents/{document_id}",
        handler=get_document,
        right=Right.READ,
        name="get_document",
        summary="Read a document, as it is stored",
        tag="documents",
        answers={200: Found, 304: None},
        parameters=(Parameter("If-None-Match", "header", "An ETag: 304 if the document still has it"),),
        errors=(404,),
    ),
    Operation(
        method="PUT",
        path="/v1/documents/{document_id}",
        handler=put_document,
        right=Right.WRITE,
        name="put_document",
        summary="Replace a document, or add it under an id of yours",
        tag="documents",
        body=Document,
        answers=_WRITES,
        parameters=(_IF_MATCH, Parameter("If-None-Match", "header", "`*`: only if there is none")),
        errors=(404, 412),
    ),
    Operation(
        method="PATCH",
        path="/v1/documents/{document_id}",
        handler=patch_document,
        right=Right.WRITE,
        name="patch_document",
        summary="Change some of a document, by a merge patch (RFC 7396)",
        tag="documents",
        body=dict[str, Any],
        media=(MERGE_PATCH, JSON),
        answers=_WRITES,
        parameters=(_IF_MATCH,),
        errors=(404, 412),
    ),
    Operation(
        method="DELETE",
        path="/v1/documents/{document_id}",
        handler=delete_document,
        right=Right.WRITE,
        name="delete_document",
        summary="Delete a document, with its versions",
        tag="documents",
        answers={202: Accepted},
        parameters=(_IF_MATCH,),
        errors=(404, 412),
    ),
    Operation(
        method="GET",
        path="/v1/documents/{document_id}/versions",
        handler=get_versions,
        right=Right.READ,
        name="get_versions",
        summary="Read the versions of a document that were replaced, 100 at most",
        tag="documents",
        answers={200: Versions},
        errors=(404,),
    ),
    Operation(
        method="GET",
        path="/v1/tasks",
        handler=get_tasks,
        right=Right.READ,
        name="list_tasks",
        summary="List tasks, the newest first",
        tag="tasks",
        answers={200: Tasks},
        parameters=(
            Parameter("state", "query", "Only those in this state", {"type": "string", "enum": [*State]}),
            Parameter("size", "query", "How many", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/tasks/{task_id}",
        handler=get_task,
        right=Right.READ,
        name="get_task",
        summary="See where a task is",
        tag="tasks",
        answers={200: Task},
        errors=(404,),
    ),
    Operation(
        method="DELETE",
        path="/v1/tasks/{task_id}",
        handler=cancel_task,
        right=Right.WRITE,
        name="cancel_task",
        summary="Cancel a task, as long as work on it has not begun",
        tag="tasks",
        answers={200: Task},
        errors=(404, 409),
    ),
)
