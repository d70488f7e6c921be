"""What is done to erase a user, and what is found afterwards."""

from functools import partial
from typing import Any
from uuid import UUID

from app.access.keys import digest_of
from app.document import Document, check
from app.housekeeping import Housekeeping
from app.index.model import Everything, Query
from app.search.model import NoCache
from app.store import documents, erasures
from app.store.audit import Origin
from app.store.documents import Operation
from app.store.erasures import Erasure, Subjects
from app.tenancy import Scope
from tests.app.world import World

SUBJECTS = Subjects(partial(digest_of, b"k" * 32))


def of(user: Any, title: str = "Diary") -> Document:
    metadata = {"user_id": user} if user is not None else {}
    return check(Document(title=title, content=f"words of {title}", metadata=metadata), max_bytes=10_000)


async def erase(world: World, scope: Scope, user: str | int) -> Erasure:
    async with world.app.write(scope) as connection:
        return await erasures.ask(connection, scope, Origin("192.0.2.1", "test", "c"), SUBJECTS, user)


def house(world: World, **more: Any) -> Housekeeping:
    return Housekeeping(world.work, (world.index,), NoCache(), **{"settle_seconds": 0, **more})


async def put_as_task(world: World, scope: Scope, document: Document, document_id: UUID) -> UUID:
    put = Operation(kind="put", document_id=document_id, document=document)
    async with world.app.write(scope) as connection:
        task_id, _ = await documents.apply(connection, scope, Origin(), [put])
    assert task_id
    return task_id


async def finish(world: World, **more: Any) -> None:
    its = house(world, **more)
    assert await its.step() <= 1
    await world.index_all()
    assert await its.step() == 0


async def run(world: World, statements: str) -> None:
    for one in statements.split("; "):
        await world.admin(one)


async def found(world: World, scope: Scope) -> set[UUID]:
    result = await world.index.search(scope.query(Query(clause=Everything(), size=100)))
    return {hit.document_id for hit in result.hits}


async def age(world: World, stored: documents.Stored, years: float) -> None:
    days = int(years * 365.25)
    await world.admin(
        f"UPDATE documents SET created_at = now() - interval '{days} days' WHERE document_id = $1", stored.document_id
    )
