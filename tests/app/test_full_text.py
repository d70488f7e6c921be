"""What PostgreSQL's full text finds, and what it never does."""

from uuid import UUID

import pytest

from app.document import Document
from app.errors import InvalidQueryError
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
)
from app.store.documents import Operation
from app.tenancy import Scope
from tests.app.library import LIBRARY
from tests.app.world import World

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
    assert any("Index Cond" in row[0] and "word" in row[0] for row in plan), [row[0] for row in plan]
