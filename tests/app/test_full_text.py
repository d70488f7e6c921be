"""What PostgreSQL's full text finds, and what it never does."""

from collections.abc import Sequence
from uuid import UUID

import pytest

from app.document import Document
from app.errors import InvalidQueryError
from app.index import full_text
from app.index.model import (
    Clause,
    Everything,
    Exists,
    Filter,
    Highlight,
    Match,
    Query,
    Range,
    Result,
    Term,
    Write,
)
from app.settings import Settings
from app.store.database import Connection
from app.store.documents import Operation
from app.tenancy import Scope
from tests.app.library import LIBRARY
from tests.app.world import World, world_of

pytestmark = [pytest.mark.services, pytest.mark.anyio]


async def library(world: World, name: str = "library") -> tuple[Scope, dict[UUID, str]]:
    scope = await world.tenant(name)
    names = {(await world.put(scope, document)).document_id: name for name, document in LIBRARY.items()}
    await world.index_all()
    return scope, names


class Shelf:
    def __init__(self, world: World, scope: Scope, names: dict[UUID, str]) -> None:
        self.world, self.scope, self.names = world, scope, names

    async def ask(self, clause: Clause | None = None, **more: object) -> Result:
        query = Query(clause=clause or Everything(), **more)  # type: ignore[arg-type]
        return await self.world.index.search(self.scope.query(query))

    async def found(self, clause: Clause | None = None, *filters: Filter) -> set[str]:
        return {self.names[hit.document_id] for hit in (await self.ask(clause, filters=filters)).hits}


@pytest.fixture
async def shelf(world: World) -> Shelf:
    return Shelf(world, *await library(world))


async def test_words_are_found_in_any_ending(shelf: Shelf) -> None:
    assert await shelf.found(Match("leaf")) == set(), "an irregular plural is another word to the stemmer"
    assert await shelf.found(Match("brew")) == {"tea", "coffee"}
    assert await shelf.found(Match("Run")) == {"runner", "coffee"}
    assert await shelf.found(Match("boil water")) == {"tea", "coffee"}
    assert await shelf.found(Match("green coffee")) == set()
    assert await shelf.found(Match("green coffee", operator="or")) == {"tea", "coffee"}
    assert await shelf.found(Match("tea", fields=("title",))) == {"tea"}
    assert await shelf.found(Match("tea", fields=("content",))) == {"runner"}


async def test_a_misspelt_word_finds_what_was_meant(shelf: Shelf) -> None:
    assert await shelf.found(Match("cofee")) == set()
    result = await shelf.ask(Match("cofee bioling", fuzzy="auto"))
    assert [shelf.names[hit.document_id] for hit in result.hits] == ["coffee"]
    assert result.corrected == {"cofee": ["coffee"], "bioling": ["boiling"]}
    assert await shelf.found(Match("xq", fuzzy="auto")) == set()


async def test_a_misspelt_word_is_looked_for_once_and_ten_of_a_query_at_most(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    near = full_text._near

    async def count(connection: Connection, word: str) -> list[str]:
        looked.append(word)
        return await near(connection, word)

    monkeypatch.setattr(full_text, "_near", count)
    await shelf.found(Match("cofee " * 100, fuzzy="auto"))
    assert looked == ["cofee"]
    looked.clear()
    await shelf.found(Match(" ".join(f"unknown{number}" for number in range(100)), fuzzy="auto"))
    assert len(looked) == len({*looked}) == full_text.MAX_MISSPELT


async def test_a_text_cannot_bring_marks_of_its_own(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, Document(title="\ue000script\ue001 tea", content="x"))
    await world.index_all()
    (hit,) = (await world.index.search(scope.query(Query(clause=Match("tea"), highlight=Highlight())))).hits
    assert hit.highlights["title"] == ["script <mark>tea</mark>"]


@pytest.mark.parametrize("one", [Term("title", ("x",)), Term("author", (1,)), Range("author", gt=1), Exists("content")])
async def test_a_field_that_cannot_be_filtered_is_refused(one: Filter, shelf: Shelf) -> None:
    with pytest.raises(InvalidQueryError):
        await shelf.found(None, one)


async def test_the_vocabulary_counts_documents(shelf: Shelf) -> None:
    async def words() -> dict[str, int]:
        return {row["word"]: row["documents"] for row in await shelf.world.admin("SELECT * FROM vocabulary")}

    counted = await words()
    assert (counted["brewing"], counted["tea"], counted["steam"]) == (2, 2, 1)
    by_name = {name: one for one, name in shelf.names.items()}
    await shelf.world.put(shelf.scope, Document(title="Steam", content="tea"), by_name["coffee"])
    await shelf.world.write(shelf.scope, Operation(kind="delete", document_id=by_name["tea"]))
    await shelf.world.index_all()
    counted = await words()
    assert (counted["tea"], counted["steam"]) == (2, 1)
    assert "brewing" not in counted


async def test_words_are_looked_up_in_the_index_below_row_level_security(world: World) -> None:
    """The plan of a search holds the index of words: row-level security alone would read all of a tenant's rows."""
    scope = await world.tenant("a")
    async with world.app.read(scope) as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch(
            "EXPLAIN SELECT word FROM vocabulary WHERE tenant_id = current_tenant() AND word ^@ 'bre'"
        )
        stems = await connection.fetch(f"EXPLAIN {full_text.STEMS}", ["brew"])
    assert any("Index Cond" in row[0] and "word" in row[0] for row in plan), [row[0] for row in plan]
    assert any("Index Cond" in row[0] and "stem = asked.stem" in row[0] for row in stems), [row[0] for row in stems]
    assert not any("Filter" in row[0] and "stem" in row[0] for row in stems), [row[0] for row in stems]


async def test_who_waits_too_long_for_other_writes_of_the_tenant_gives_up_as_a_whole_and_loses_no_attempt(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert, tried = full_text._upsert, list[int]()

    async def noted(connection: Connection, tenant_id: UUID, writes: Sequence[Write], slack: int) -> set[UUID]:
        tried.append(len(writes))
        return await upsert(connection, tenant_id, writes, slack)

    monkeypatch.setattr(full_text, "_upsert", noted)
    async with world_of(settings.model_copy(update={"statement_seconds": 1.0})) as world:
        scope = await world.tenant("a")
        both = [Operation(kind="create", document=Document(title=title)) for title in ("Tea", "Coffee")]
        await world.write(scope, *both)
        async with world.work.write(scope) as other:
            await upsert(other, scope.tenant_id, (), 0)
            await world.index_all()
        assert tried == [2]
        rows = await world.admin("SELECT attempts, last_error FROM outbox")
        assert {tuple(row) for row in rows} == {(0, "full_text: other documents of this tenant are being indexed")}
        await world.admin("UPDATE outbox SET available_at = now()")
        assert await world.index_all() == 2


async def test_what_is_too_much_for_one_statement_is_written_in_parts(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert, seconds = full_text._upsert, 0.05

    async def slow(connection: Connection, tenant_id: UUID, writes: Sequence[Write], slack: int) -> set[UUID]:
        """As documents are that have very many words."""
        await connection.execute("SELECT pg_sleep($1)", seconds * len(writes))
        return await upsert(connection, tenant_id, writes, slack)

    monkeypatch.setattr(full_text, "_upsert", slow)
    async with world_of(settings.model_copy(update={"statement_seconds": 1.0})) as world:
        scope = await world.tenant("a")
        many = [Document(title=f"Number {number}", content="word " * 20_000) for number in range(48)]
        await world.write(scope, *(Operation(kind="create", document=one) for one in many))
        await world.index_all()
        assert await world.admin("SELECT last_error FROM outbox") == []
        assert (await world.index.search(scope.query(Query(clause=Match("word"))))).total == 48
        # What takes too long even by itself is no document's fault: an outage, which is waited for.
        seconds = 5.0
        await world.put(scope, Document(title="Alone"))
        await world.index_all()
        (row,) = await world.admin("SELECT attempts, last_error FROM outbox")
        assert (row["attempts"], "took longer than 1 s" in row["last_error"]) == (0, True)
