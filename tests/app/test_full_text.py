"""What PostgreSQL's full text finds, and what it never does."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.document import Document
from app.errors import InvalidQueryError
from app.index.model import (
    Bool,
    Bucket,
    Clause,
    Everything,
    Exists,
    FacetRequest,
    Filter,
    Highlight,
    Match,
    Not,
    Outcome,
    Phrase,
    Position,
    Prefix,
    Query,
    Range,
    Result,
    Sort,
    Suggest,
    Term,
    Write,
)
from app.store import documents
from app.store.documents import Operation
from app.tenancy import Right, Scope
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]


def day(number: int) -> datetime:
    return datetime(2024, 1, number, tzinfo=UTC)


LIBRARY = {
    "tea": Document(
        title="Brewing green tea",
        content="Steam the leaves. Boiling water burns green leaves.",
        author="ada",
        tags=("drinks", "tea"),
        metadata={"pages": 12, "printed": True, "shelf": "north"},
        published_at=day(1),
    ),
    "coffee": Document(
        title="Brewing coffee",
        content="Grind the beans, and pour boiling water over them while it is running through a filter.",
        author="bob",
        tags=("coffee", "drinks"),
        metadata={"pages": 30, "printed": False},
        published_at=day(2),
    ),
    "runner": Document(
        title="A runner's diary",
        content="She runs in New York every morning. 1 < 2, Tea & toast after that.",
        author="ada",
        tags=("sport",),
        language="en",
        metadata={"pages": 200},
        published_at=day(3),
    ),
}


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


async def test_phrases_and_prefixes(shelf: Shelf) -> None:
    assert await shelf.found(Phrase("green tea")) == {"tea"}
    assert await shelf.found(Phrase("tea green")) == set()
    assert await shelf.found(Prefix("new yo")) == {"runner"}
    assert await shelf.found(Prefix("runni")) == {"coffee"}


async def test_synonyms_are_the_tenants_own(shelf: Shelf) -> None:
    other = Shelf(shelf.world, *await library(shelf.world, "other"))
    await shelf.world.admin("INSERT INTO synonyms VALUES ($1, 'nyc', ARRAY['new york'])", shelf.scope.tenant_id)
    assert await shelf.found(Match("nyc")) == {"runner"}
    assert await shelf.found(Match("nyc", synonyms=False)) == set()
    assert await other.found(Match("nyc")) == set()


async def test_clauses_combine(shelf: Shelf) -> None:
    water, tea, york = Match("water"), Match("tea"), Match("york")
    assert await shelf.found(Bool(must=(water,), must_not=(tea,))) == {"coffee"}
    assert await shelf.found(Bool(should=(tea, york))) == {"tea", "runner"}
    assert await shelf.found(Bool(should=(tea, york, water), minimum_should_match=2)) == {"tea", "runner"}
    assert await shelf.found(Bool(must_not=(tea,))) == {"coffee"}
    assert await shelf.found(Bool(must=(water,), filter=(Term("author", ("bob",)),))) == {"coffee"}
    assert await shelf.found(Bool(should=(tea,), minimum_should_match=2)) == set()
    assert await shelf.found(Bool()) == {"tea", "coffee", "runner"}
    ranked = await shelf.ask(Bool(must=(water,), should=(Match("coffee"),)))
    assert [shelf.names[hit.document_id] for hit in ranked.hits] == ["coffee", "tea"]


@pytest.mark.parametrize(
    ("one", "names"),
    [
        (Term("author", ("ada",)), {"tea", "runner"}),
        (Term("author", ("ada", "bob")), {"tea", "runner", "coffee"}),
        (Term("tags", ("tea", "sport")), {"tea", "runner"}),
        (Term("metadata.printed", (True,)), {"tea"}),
        (Term("metadata.pages", (12, 200.0)), {"tea", "runner"}),
        (Term("metadata.shelf", ("north",)), {"tea"}),
        (Range("metadata.pages", gt=12, lte=200), {"coffee", "runner"}),
        (Range("metadata.shelf", gt=0), set()),
        (Range("published_at", gte=day(2)), {"coffee", "runner"}),
        (Range("published_at", lt=day(2)), {"tea"}),
        (Exists("metadata.shelf"), {"tea"}),
        (Not(Exists("metadata.shelf")), {"coffee", "runner"}),
        (Not(Term("author", ("ada",))), {"coffee"}),
        (Not(Range("metadata.shelf", gt=0)), {"tea", "coffee", "runner"}),
    ],
)
async def test_filters(one: Filter, names: set[str], shelf: Shelf) -> None:
    assert await shelf.found(None, one) == names


async def test_facets_count_all_that_matches(shelf: Shelf) -> None:
    wanted = tuple(FacetRequest(field, 1) for field in ("tags", "author", "metadata.pages", "metadata.none"))
    result = await shelf.ask(facets=wanted, size=1)
    tags, author, pages, none = result.facets
    assert result.total == 3
    assert (tags.buckets, tags.others) == ([Bucket("drinks", 2)], 3)
    assert (author.buckets, author.others) == ([Bucket("ada", 2)], 1)
    assert (pages.buckets, pages.others) == ([Bucket(12, 1)], 2)
    assert (none.buckets, none.others) == ([], 0)


async def test_what_was_found_is_marked_and_the_rest_is_escaped(shelf: Shelf) -> None:
    result = await shelf.ask(Match("tea"), highlight=Highlight(), filters=(Term("tags", ("sport",)),))
    (hit,) = result.hits
    assert "title" not in hit.highlights
    (piece,) = hit.highlights["content"]
    assert "morning. 1 &lt; 2, <mark>Tea</mark> &amp; toast" in piece
    (tea,) = (await shelf.ask(Match("green"), highlight=Highlight(pre="[", post="]"))).hits
    assert tea.highlights["title"] == ["Brewing [green] tea"]


async def test_a_text_cannot_bring_marks_of_its_own(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, Document(title="\ue000script\ue001 tea", content="x"))
    await world.index_all()
    (hit,) = (await world.index.search(scope.query(Query(clause=Match("tea"), highlight=Highlight())))).hits
    assert hit.highlights["title"] == ["script <mark>tea</mark>"]


@pytest.mark.parametrize("sort", [(), (Sort("title"),), (Sort("published_at", True),), (Sort("score", True),)])
async def test_pages_by_position_hold_everything_once(sort: tuple[Sort, ...], shelf: Shelf) -> None:
    for number in range(10):
        await shelf.world.put(
            shelf.scope, Document(title="Boiling water", content=f"Number {number}", published_at=day(5))
        )
    await shelf.world.index_all()
    clause = Match("water")
    whole = [hit.document_id for hit in (await shelf.ask(clause, sort=sort, size=100)).hits]
    assert len(whole) == 12
    seen: list[UUID] = []
    after = None
    while page := (await shelf.ask(clause, sort=sort, size=5, after=after)).hits:
        seen += [hit.document_id for hit in page]
        after = Position(page[-1].position, page[-1].document_id)
    assert seen == whole
    assert [hit.document_id for hit in (await shelf.ask(clause, sort=sort, size=5, offset=4)).hits] == whole[4:9]


async def test_fields_are_what_was_asked_for(shelf: Shelf) -> None:
    (hit,) = (await shelf.ask(Match("coffee"), fields=("title", "content", "tags", "published_at"))).hits
    assert hit.fields == {
        "title": "Brewing coffee",
        "content": LIBRARY["coffee"].content,
        "tags": ["coffee", "drinks"],
        "published_at": "2024-01-02T00:00:00+00:00",
    }


async def test_suggestions_complete_words_and_titles(shelf: Shelf) -> None:
    found = await shelf.world.index.suggest(shelf.scope.suggest(Suggest("brewing co")))
    assert [(one.kind, one.text) for one in found] == [("word", "brewing coffee"), ("title", "Brewing coffee")]
    assert await shelf.world.index.suggest(shelf.scope.suggest(Suggest("..."))) == ()


async def test_suggestions_of_a_bound_token_come_from_its_documents_alone(shelf: Shelf) -> None:
    bound = Scope(
        tenant_id=shelf.scope.tenant_id,
        actor="token:x",
        rights=frozenset({Right.READ}),
        forced=(Term("author", ("ada",)),),
    )
    for text, titles in {"bre": ["Brewing green tea"], "coff": [], "a runner": ["A runner's diary"]}.items():
        found = await shelf.world.index.suggest(bound.suggest(Suggest(text)))
        assert [(one.kind, one.text) for one in found] == [("title", title) for title in titles]
    result = await shelf.world.index.search(bound.query(Query(facets=(FacetRequest("author"),))))
    assert (result.total, result.facets[0].buckets) == (2, [Bucket("ada", 2)])


@pytest.mark.parametrize(
    "text",
    ["", "   ", "!!! & | ( ) :*", "'", "\\", "a'b:*", "&", "t" + "0" * 32, "%", "<->", "\u0130\u1e9e", "a" * 5000],
)
async def test_hostile_words_find_nothing_and_break_nothing(text: str, shelf: Shelf) -> None:
    for clause in (Match(text), Match(text, fuzzy="auto"), Phrase(text), Prefix(text), Bool(must=(Match(text),))):
        result = await shelf.ask(clause, highlight=Highlight())
        assert result.total == 0, clause
    await shelf.world.index.suggest(shelf.scope.suggest(Suggest(text)))


@pytest.mark.parametrize("one", [Term("title", ("x",)), Term("author", (1,)), Range("author", gt=1), Exists("content")])
async def test_a_field_that_cannot_be_filtered_is_refused(one: Filter, shelf: Shelf) -> None:
    with pytest.raises(InvalidQueryError):
        await shelf.found(None, one)


async def test_an_older_write_changes_nothing(shelf: Shelf) -> None:
    (document_id,) = [one for one, name in shelf.names.items() if name == "tea"]
    scope = shelf.scope
    async with shelf.world.app.read(scope) as connection:
        its = await documents.get(connection, scope.tenant_id, document_id)
    old = Write(tenant_id=scope.tenant_id, document_id=document_id, version=its.version, entry=None)
    assert [one.outcome for one in await shelf.world.index.write([old])] == [Outcome.STALE]
    newer = Write(tenant_id=scope.tenant_id, document_id=document_id, version=9, entry=None)
    outcomes = [one.outcome for one in await shelf.world.index.write([old, newer, old])]
    assert outcomes == [Outcome.STALE, Outcome.APPLIED, Outcome.STALE]
    assert await shelf.found(Match("green")) == set()


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


async def test_a_tenant_is_taken_out_whole(shelf: Shelf) -> None:
    other = Shelf(shelf.world, *await library(shelf.world, "other"))
    assert len(await shelf.world.index.versions(shelf.scope.tenant_id)) == 3
    assert await shelf.world.index.delete_tenant(shelf.scope.tenant_id) == 3
    assert await shelf.found() == set()
    assert await shelf.world.index.versions(shelf.scope.tenant_id) == {}
    assert await other.found(Match("tea")) == {"tea", "runner"}


async def test_words_are_looked_up_in_the_index_below_row_level_security(world: World) -> None:
    """The plan of a search holds the index of words: row-level security alone would read all of a tenant's rows."""
    scope = await world.tenant("a")
    async with world.app.read(scope) as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        plan = await connection.fetch(
            "EXPLAIN SELECT word FROM vocabulary WHERE tenant_id = current_tenant() AND word ^@ 'bre'"
        )
    assert any("Index Cond" in row[0] and "word" in row[0] for row in plan), [row[0] for row in plan]
