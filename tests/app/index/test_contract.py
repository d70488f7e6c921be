"""What holds for every engine: the same documents, asked the same questions, give the same answers."""

import asyncio
import html
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.document import Document
from app.errors import InvalidQueryError
from app.index.full_text import FullText
from app.index.model import (
    Bool,
    Bucket,
    Clause,
    Entry,
    Everything,
    Exists,
    FacetRequest,
    Filter,
    Highlight,
    Index,
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
from app.index.opensearch import OpenSearch
from app.index.opensearch_client import connect
from app.search.model import NoCache
from app.settings import Settings, load
from app.store import documents
from app.store.documents import Operation
from app.tenancy import Right, Scope
from app.worker import Worker
from tests.app.library import FILTERS, LIBRARY, day
from tests.app.services.servers import OpenSearch as Server
from tests.app.world import World, world_of

pytestmark = [pytest.mark.services, pytest.mark.anyio]


@dataclass
class Shelf:
    """One tenant's documents in one engine."""

    world: World
    engine: Index
    scope: Scope
    names: dict[UUID, str]

    async def fill(self) -> None:
        for name, document in LIBRARY.items():
            self.names[(await self.world.put(self.scope, document)).document_id] = name
        await self.index()

    async def index(self) -> None:
        await self.world.index_all()
        await self.engine.refresh()

    async def ask(self, clause: Clause | None = None, **more: object) -> Result:
        query = Query(clause=clause or Everything(), **more)  # type: ignore[arg-type]
        return await self.engine.search(self.scope.query(query))

    async def found(self, clause: Clause | None = None, *filters: Filter) -> set[str]:
        return {self.names[hit.document_id] for hit in (await self.ask(clause, filters=filters)).hits}

    def id_of(self, name: str) -> UUID:
        return next(one for one, its in self.names.items() if its == name)


@pytest.fixture
async def engines(settings: Settings, opensearch: Server) -> AsyncIterator[tuple[World, dict[str, Index]]]:
    """A database of its own, and both engines over it, fed by one worker."""
    client = connect(load(**opensearch.settings()))
    async with world_of(settings) as world:

        async def synonyms_of(tenant_id: UUID, words: object) -> dict[str, list[str]]:
            rows = await world.admin("SELECT * FROM synonyms WHERE tenant_id = $1 AND word = ANY($2)", tenant_id, words)
            return {row["word"]: row["alternatives"] for row in rows}

        prefix = f"test-{uuid4().hex[:8]}"
        search = OpenSearch(client, synonyms_of=synonyms_of, prefix=prefix)
        await search.prepare(replicas=0)
        every: dict[str, Index] = {"full_text": FullText(world.app, world.work), "opensearch": search}
        world.worker = Worker(world.work, world.queue, tuple(every.values()), NoCache())
        yield world, every
        await client.indices.delete(index=f"{prefix}-*")
        await client.close()


@pytest.fixture(params=["full_text", "opensearch"])
async def shelf(request: pytest.FixtureRequest, engines: tuple[World, dict[str, Index]]) -> Shelf:
    world, every = engines
    its = Shelf(world, every[request.param], await world.tenant("library"), {})
    await its.fill()
    return its


async def other_tenant(shelf: Shelf) -> Shelf:
    its = Shelf(shelf.world, shelf.engine, await shelf.world.tenant("other"), {})
    await its.fill()
    return its


async def test_words_phrases_and_prefixes(shelf: Shelf) -> None:
    assert await shelf.found(Match("brew")) == {"tea", "coffee"}
    assert await shelf.found(Match("Run")) == {"runner", "coffee"}
    assert await shelf.found(Match("boil water")) == {"tea", "coffee"}
    assert await shelf.found(Match("green coffee")) == set()
    assert await shelf.found(Match("green coffee", operator="or")) == {"tea", "coffee"}
    assert await shelf.found(Match("tea", fields=("title",))) == {"tea"}
    assert await shelf.found(Match("tea", fields=("content",))) == {"runner"}
    assert await shelf.found(Phrase("green tea")) == {"tea"}
    assert await shelf.found(Phrase("tea green")) == set()
    assert await shelf.found(Prefix("new yo")) == {"runner"}
    assert await shelf.found(Prefix("runni")) == {"coffee"}


async def test_a_phrase_does_not_begin_in_a_title_and_end_in_a_content(shelf: Shelf) -> None:
    placed = await shelf.world.put(shelf.scope, Document(title="A guide to green", content="Tea is made of leaves."))
    shelf.names[placed.document_id] = "guide"
    await shelf.index()
    assert await shelf.found(Phrase("green tea")) == {"tea"}
    assert await shelf.found(Phrase("to green")) == {"guide"}
    assert await shelf.found(Phrase("tea is")) == {"guide"}


async def test_words_of_all_scripts_are_found(shelf: Shelf) -> None:
    for name, text in {"hindi": "हिन्दी भाषा", "tamil": "தமிழ் மொழி", "accent": "un cafe\u0301 noir"}.items():
        placed = await shelf.world.put(shelf.scope, Document(title=name, content=text))
        shelf.names[placed.document_id] = name
    await shelf.index()
    assert await shelf.found(Match("हिन्दी")) == {"hindi"}
    assert await shelf.found(Match("தமிழ்")) == {"tamil"}
    assert await shelf.found(Match("cafe\u0301")) == {"accent"}


async def test_a_misspelt_word_finds_what_was_meant(shelf: Shelf) -> None:
    assert await shelf.found(Match("cofee")) == set()
    assert await shelf.found(Match("cofee bioling", fuzzy="auto")) == {"coffee"}
    assert await shelf.found(Match("xq", fuzzy="auto")) == set()


async def test_synonyms_are_the_tenants_own(shelf: Shelf) -> None:
    other = await other_tenant(shelf)
    await shelf.world.admin("INSERT INTO synonyms VALUES ($1, 'nyc', ARRAY['new york'])", shelf.scope.tenant_id)
    assert await shelf.found(Match("nyc")) == {"runner"}
    assert await shelf.found(Match("nyc", synonyms=False)) == set()
    assert await other.found(Match("nyc")) == set()


async def test_a_synonym_is_found_with_its_endings(shelf: Shelf) -> None:
    await shelf.world.admin("INSERT INTO synonyms VALUES ($1, 'journal', ARRAY['diaries'])", shelf.scope.tenant_id)
    assert await shelf.found(Match("journal")) == {"runner"}


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


async def test_a_filter_within_a_clause_holds_for_that_clause_alone(shelf: Shelf) -> None:
    ada, bob, drinks = (Bool(filter=(Term("author", (name,)),)) for name in ("ada", "bob", "none"))
    north, thick = Exists("metadata.shelf"), Range("metadata.pages", gt=100)
    water = Match("water")
    cases: list[tuple[Bool, set[str]]] = [
        (Bool(should=(ada, Match("coffee"))), {"tea", "runner", "coffee"}),
        (Bool(should=(bob, Bool(must=(Match("tea"),), filter=(north,)))), {"coffee", "tea"}),
        (Bool(must_not=(ada,)), {"coffee"}),
        (Bool(must=(water,), must_not=(Bool(filter=(north,)),)), {"coffee"}),
        (Bool(must_not=(Bool(must=(water,), filter=(north,)),)), {"coffee", "runner"}),
        (Bool(must=(water,), should=(ada,)), {"tea", "coffee"}),
        (Bool(must=(Bool(should=(Bool(filter=(thick,)), bob)),)), {"runner", "coffee"}),
        (Bool(should=(ada, water, Match("tea")), minimum_should_match=3), {"tea"}),
        (Bool(should=(bob,), minimum_should_match=0), {"coffee"}),
        (Bool(should=(ada, water, Match("tea")), minimum_should_match=2), {"tea", "runner"}),
        (Bool(should=(ada, drinks), minimum_should_match=3), set()),
        (Bool(should=(drinks, Match("nothing"))), set()),
        (Bool(must_not=(Bool(filter=(thick,)),)), {"tea", "coffee"}),
        (Bool(must_not=(Bool(filter=(Not(thick),)),)), {"runner"}),
        (Bool(must_not=(Bool(filter=(Range("metadata.shelf", gt=0),)),)), {"tea", "coffee", "runner"}),
        (Bool(filter=(north,), should=(bob,)), {"tea"}),
        (Bool(should=(Everything(), bob), filter=(Term("author", ("bob",)),)), {"coffee"}),
        (Bool(should=(Bool(filter=(north,), must_not=(Match("tea"),)), bob)), {"coffee"}),
        (Bool(should=(Bool(must=(Match(""),), filter=(north,)), Match("..."))), set()),
    ]
    for clause, names in cases:
        assert await shelf.found(clause) == names, clause
    ranked = await shelf.ask(Bool(should=(ada, Match("coffee"))), highlight=Highlight())
    assert shelf.names[ranked.hits[0].document_id] == "coffee"
    assert ranked.hits[0].highlights["title"] == ["Brewing <mark>coffee</mark>"]


async def test_filters(shelf: Shelf) -> None:
    for one, names in FILTERS:
        assert await shelf.found(None, one) == names, one


async def test_what_is_empty_is_nobodys_value(shelf: Shelf) -> None:
    placed = await shelf.world.put(shelf.scope, Document(title="By nobody", content="at all"))
    shelf.names[placed.document_id] = "nobody"
    await shelf.index()
    assert await shelf.found(None, Term("author", ("",))) == set()
    assert await shelf.found(None, Not(Term("author", ("",)))) == {"tea", "coffee", "runner", "nobody"}
    assert await shelf.found(None, Not(Exists("author"))) == {"nobody"}


async def test_a_bound_of_a_whole_second_ends_where_it_says(shelf: Shelf) -> None:
    half = Document(title="Half a second later", content="tick", published_at=day(2) + timedelta(milliseconds=500))
    placed = await shelf.world.put(shelf.scope, half)
    shelf.names[placed.document_id] = "half"
    await shelf.index()
    assert await shelf.found(None, Range("published_at", gt=day(2))) == {"half", "runner"}
    assert await shelf.found(None, Range("published_at", lte=day(2))) == {"tea", "coffee"}
    assert await shelf.found(None, Range("published_at", gt=day(2), lte=half.published_at)) == {"half"}


async def test_numbers_beyond_what_a_float_counts_by_ones_are_numbers(shelf: Shelf) -> None:
    for number in (1e16, 1e20, -1e300):
        placed = await shelf.world.put(shelf.scope, Document(title="Far out", content="x", metadata={"far": number}))
        shelf.names[placed.document_id] = str(number)
    await shelf.index()
    for number in (1e16, 1e20, -1e300):
        assert await shelf.found(None, Term("metadata.far", (number,))) == {str(number)}, number
    assert await shelf.found(None, Range("metadata.far", gt=1e17)) == {str(1e20)}


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
    text = " ".join(hit.highlights["content"])
    assert "<mark>Tea</mark> &amp; toast" in text
    assert "<mark>" not in html.unescape(text.replace("<mark>", "").replace("</mark>", ""))
    (tea,) = (await shelf.ask(Match("green"), highlight=Highlight(pre="[", post="]"))).hits
    assert tea.highlights["title"] == ["Brewing [green] tea"]


@pytest.mark.parametrize("sort", [(), (Sort("title"),), (Sort("published_at", True),), (Sort("score", True),)], ids=str)
async def test_pages_by_position_hold_everything_once(sort: tuple[Sort, ...], shelf: Shelf) -> None:
    same = [Document(title="Boiling water", content=f"Number {number}", published_at=day(5)) for number in range(10)]
    await shelf.world.write(shelf.scope, *(Operation(kind="create", document=one) for one in same))
    await shelf.index()
    clause = Match("water")
    whole = [hit.document_id for hit in (await shelf.ask(clause, sort=sort, size=100)).hits]
    assert len(whole) == 12
    seen: list[UUID] = []
    after = None
    while (page := await shelf.ask(clause, sort=sort, size=5, after=after)).hits:
        seen += [hit.document_id for hit in page.hits]
        after = Position(page.hits[-1].position, page.hits[-1].document_id, page.snapshot)
    assert seen == whole
    assert [hit.document_id for hit in (await shelf.ask(clause, sort=sort, size=5, offset=4)).hits] == whole[4:9]


@pytest.mark.parametrize("sort", [(Sort("title"),), (Sort("published_at", True), Sort("title", True))], ids=str)
async def test_what_one_engine_has_begun_another_one_can_end(
    sort: tuple[Sort, ...], engines: tuple[World, dict[str, Index]]
) -> None:
    """Orders of dates and titles are the same in both: `app.search.service.portable`."""
    world, every = engines
    scope = await world.tenant("library")
    titles = ["apple", "Banana", "cherry", "\u00c4pfel", "Zebra", "zebra", "\u5317\u4eac", "\U0001f34e apple"]
    dates = [day(1 + number % 2) + timedelta(milliseconds=number % 3) for number in range(len(titles))]
    made = [Document(title=one, content="x", published_at=at) for one, at in zip(titles, dates, strict=True)]
    await world.write(scope, *(Operation(kind="create", document=one) for one in made))
    await world.index_all()
    await every["opensearch"].refresh()

    async def page(engine: Index, after: Position | None) -> Result:
        return await engine.search(scope.query(Query(sort=sort, size=3, after=after)))

    for order in (("opensearch", "full_text"), ("full_text", "opensearch")):
        seen: list[UUID] = []
        after = None
        for turn in range(4):
            found = await page(every[order[turn % 2]], after)
            seen += [hit.document_id for hit in found.hits]
            after = Position(found.hits[-1].position, found.hits[-1].document_id) if found.hits else after
        whole = [hit.document_id for hit in (await every[order[0]].search(scope.query(Query(sort=sort, size=50)))).hits]
        assert seen == whole, order


async def test_a_count_may_end_early(shelf: Shelf) -> None:
    result = await shelf.ask(size=1)
    assert (result.total, result.exact) == (3, True)


async def test_fields_are_what_was_asked_for(shelf: Shelf) -> None:
    (hit,) = (await shelf.ask(Match("coffee"), fields=("title", "content", "tags", "metadata", "published_at"))).hits
    assert hit.version == 1
    assert hit.fields == {
        "title": "Brewing coffee",
        "content": LIBRARY["coffee"].content,
        "tags": ["coffee", "drinks"],
        "metadata": {"pages": 30, "printed": False},
        "published_at": "2024-01-02T00:00:00+00:00",
    }


async def test_suggestions_complete_words_and_titles(shelf: Shelf) -> None:
    found = await shelf.engine.suggest(shelf.scope.suggest(Suggest("brewing co")))
    assert [(one.kind, one.text) for one in found] == [("word", "brewing coffee"), ("title", "Brewing coffee")]
    assert await shelf.engine.suggest(shelf.scope.suggest(Suggest("..."))) == ()


async def test_a_bound_token_sees_its_documents_alone(shelf: Shelf) -> None:
    bound = Scope(
        tenant_id=shelf.scope.tenant_id,
        actor="token:x",
        rights=frozenset({Right.READ}),
        forced=(Term("author", ("ada",)),),
    )
    for text, titles in {"bre": {"Brewing green tea"}, "coff": set(), "a runner": {"A runner's diary"}}.items():
        found = await shelf.engine.suggest(bound.suggest(Suggest(text)))
        assert {one.text for one in found if one.kind == "title"} == titles
        assert not any("coffee" in one.text for one in found)
    everything = Bool(should=(Everything(), Match("coffee")), must_not=(Match("nothing"),))
    result = await shelf.engine.search(bound.query(Query(everything, facets=(FacetRequest("author"),))))
    assert (result.total, result.facets[0].buckets) == (2, [Bucket("ada", 2)])


HOSTILE = [
    "",
    "   ",
    "a'b:*",
    "!!! & | ( ) :*",
    "'",
    "\\",
    "&",
    "t" + "0" * 32,
    "%",
    "<->",
    "\u0130\u1e9e",
    "a" * 5000,
    '{"x":1}~9',
]


async def test_hostile_words_find_nothing_and_break_nothing(shelf: Shelf) -> None:
    for text in HOSTILE:
        for clause in (Match(text), Match(text, fuzzy="auto"), Phrase(text), Prefix(text), Bool(must=(Match(text),))):
            result = await shelf.ask(clause, highlight=Highlight())
            assert result.total == 0, clause
        await shelf.engine.suggest(shelf.scope.suggest(Suggest(text)))


LARGE = {
    "many alternatives of a long word": Bool(
        must=tuple(Bool(should=(Match("w" * 1_000),) * 8, minimum_should_match=4) for _ in range(7))
    ),
    "long words of two bytes a letter": Bool(should=(Match("é" * 1_000),) * 30, minimum_should_match=29),
}


@pytest.mark.parametrize("clause", LARGE.values(), ids=LARGE)
async def test_a_query_within_the_bounds_is_answered_or_too_large(shelf: Shelf, clause: Clause) -> None:
    try:
        assert (await shelf.ask(clause)).total == 0
    except InvalidQueryError as error:
        assert "Use fewer" in error.remedy  # noqa: PT017 - both engines may do either


async def test_an_older_write_changes_nothing(shelf: Shelf) -> None:
    document_id, tenant_id = shelf.id_of("tea"), shelf.scope.tenant_id

    def gone(version: int) -> Write:
        return Write(tenant_id=tenant_id, document_id=document_id, version=version, entry=None)

    assert [one.outcome for one in await shelf.engine.write([gone(1)])] == [Outcome.STALE]
    outcomes = [one.outcome for one in await shelf.engine.write([gone(9), gone(1)])]
    assert outcomes == [Outcome.APPLIED, Outcome.STALE]
    await shelf.engine.refresh()
    assert await shelf.found(Match("green")) == set()
    assert document_id not in await shelf.engine.versions(tenant_id)


async def test_whatever_order_versions_come_in_the_highest_stays(shelf: Shelf, chance: random.Random) -> None:
    tenant_id = shelf.scope.tenant_id
    template = (await _entries(shelf))[0]
    ids = [uuid4() for _ in range(5)]
    writes = [
        Write(tenant_id=tenant_id, document_id=one, version=version, entry=template if chance.random() < 0.7 else None)
        for one in ids
        for version in range(1, 9)
    ]
    writes += chance.choices(writes, k=20)
    chance.shuffle(writes)
    # Some at once, as workers do that do not know of each other.
    batches = [writes[at : at + 10] for at in range(0, len(writes), 10)]
    await asyncio.gather(*(shelf.engine.write(batch) for batch in batches))
    last = {one.document_id: one for one in sorted(writes, key=lambda one: one.version)}
    there = await shelf.engine.versions(tenant_id)
    expected = {one: write.version for one, write in last.items() if write.entry is not None}
    assert {one: version for one, version in there.items() if one in last} == expected


async def _entries(shelf: Shelf) -> list[Entry]:
    async with shelf.world.app.read(shelf.scope) as connection:
        return [one.entry() for one in await documents.many(connection, shelf.scope.tenant_id, [*shelf.names])]


async def test_a_tenant_is_taken_out_whole_and_can_come_back(shelf: Shelf) -> None:
    other = await other_tenant(shelf)
    tenant_id = shelf.scope.tenant_id
    entries = await _entries(shelf)
    assert len(await shelf.engine.versions(tenant_id)) == 3
    assert await shelf.engine.delete_tenant(tenant_id) == 3
    assert await shelf.found() == set()
    assert await shelf.engine.versions(tenant_id) == {}
    assert await other.found(Match("tea")) == {"tea", "runner"}
    again = [
        Write(tenant_id=tenant_id, document_id=one, version=1, entry=entry)
        for one, entry in zip(shelf.names, entries, strict=True)
    ]
    assert {one.outcome for one in await shelf.engine.write(again)} == {Outcome.APPLIED}
    assert len(await shelf.engine.versions(tenant_id)) == 3


async def test_no_tenant_finds_anything_of_another(shelf: Shelf, chance: random.Random) -> None:
    """Random queries over two tenants that have the same documents."""
    other = await other_tenant(shelf)
    words = "brewing green tea coffee water runs york leaves toast".split()

    def clause(depth: int) -> Clause:
        kind = chance.randrange(6 if depth < 3 else 4)
        text = " ".join(chance.sample(words, chance.randint(1, 3)))
        if kind == 0:
            return Everything()
        if kind == 1:
            return Match(text, operator=chance.choice(("and", "or")), fuzzy=chance.choice(("off", "auto")))
        if kind == 2:
            return Prefix(text[: chance.randint(2, len(text))])
        if kind == 3:
            return Phrase(text)
        parts = [clause(depth + 1) for _ in range(chance.randint(1, 3))]
        whole = tuple(parts)
        held = tuple(one for one, _ in chance.sample(FILTERS, chance.choice((0, 0, 1))))
        kinds = (Bool(must=whole, filter=held), Bool(should=whole, filter=held), Bool(must_not=whole, filter=held))
        return chance.choice(kinds)

    for _ in range(150):
        filters = tuple(one for one, _ in chance.sample(FILTERS, chance.randint(0, 2)))
        asked = Query(
            clause=clause(0),
            filters=tuple(Not(one) if chance.random() < 0.3 else one for one in filters),
            facets=(FacetRequest("author"), FacetRequest("metadata.pages")),
            sort=chance.choice(((Sort("score", True),), (Sort("title"),), (Sort("created_at", True),))),
            size=50,
        )
        for mine, theirs in ((shelf, other), (other, shelf)):
            result = await mine.engine.search(mine.scope.query(asked))
            ids = {hit.document_id for hit in result.hits}
            assert ids <= mine.names.keys(), asked
            assert not ids & theirs.names.keys()
            assert result.total == len(ids)
            assert all(bucket.count <= len(ids) for facet in result.facets for bucket in facet.buckets)
