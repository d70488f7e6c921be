"""No tenant ever sees another's documents: not by any query, and not when the code forgets to ask for its own."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.document import Document
from app.errors import InvalidQueryError
from app.index.model import (
    Bool,
    Clause,
    Everything,
    Exists,
    FacetRequest,
    Filter,
    Highlight,
    Match,
    Not,
    Phrase,
    Prefix,
    Query,
    Range,
    Sort,
    Suggest,
    Term,
)
from app.store.database import connect
from app.store.embedded import Embedded
from app.tenancy import Scope
from tests.app.world import World, copy_of, fill_every_table, world_of

pytestmark = [pytest.mark.services, pytest.mark.anyio]

WORDS = ["alpha", "beta", "gamma", "delta", "running", "tea"]
TABLES = (
    "tenants", "api_keys", "documents", "document_versions", "tasks", "outbox", "dead_letters", "audit", "erasures",
    "synonyms", "popular_queries", "full_text", "vocabulary",
)  # fmt: skip

words = st.sampled_from(WORDS)
texts = st.lists(words, min_size=1, max_size=3).map(" ".join)
leaves: st.SearchStrategy[Clause] = st.one_of(
    st.just(Everything()),
    st.builds(Match, texts, operator=st.sampled_from(["and", "or"]), fuzzy=st.sampled_from(["off", "auto"])),
    st.builds(Phrase, texts),
    st.builds(Prefix, st.sampled_from(["a", "be", "run"])),
)
filters: st.SearchStrategy[Filter] = st.recursive(
    st.one_of(
        st.builds(Term, st.just("author"), st.tuples(words)),
        st.builds(Term, st.just("metadata.n"), st.tuples(st.integers(0, 3))),
        st.builds(Range, st.just("metadata.n"), gte=st.integers(0, 3)),
        st.builds(Exists, st.sampled_from(["author", "tags", "metadata.n", "created_at"])),
    ),
    lambda inner: st.builds(Not, inner),
    max_leaves=3,
)
few = st.lists(filters, max_size=2).map(tuple)
clauses: st.SearchStrategy[Clause] = st.recursive(
    leaves,
    lambda inner: st.builds(
        Bool,
        must=st.lists(inner, max_size=2).map(tuple),
        should=st.lists(inner, max_size=3).map(tuple),
        must_not=st.lists(inner, max_size=2).map(tuple),
        filter=few,
        minimum_should_match=st.sampled_from([None, 0, 1, 2]),
    ),
    max_leaves=8,
)
queries = st.builds(
    Query,
    clause=clauses,
    filters=few,
    facets=st.sampled_from([(), (FacetRequest("metadata.owner"),), (FacetRequest("tags"), FacetRequest("author"))]),
    highlight=st.sampled_from([None, Highlight()]),
    sort=st.sampled_from([(Sort("score", True),), (Sort("title"),), (Sort("created_at", True), Sort("title"))]),
    size=st.sampled_from([1, 10, 100]),
    offset=st.sampled_from([0, 3]),
)


async def fill(world: World, scope: Scope, owner: str) -> set[UUID]:
    """Documents that say whose they are, made of the same words for every tenant."""
    documents = [
        Document(
            title=f"{WORDS[at % 6]} {WORDS[(at + 1) % 6]}",
            content=f"{WORDS[(at * 5) % 6]} secret{owner} {at}",
            author=WORDS[at % 4],
            tags=(f"of-{owner}", WORDS[at % 3]),
            metadata={"owner": owner, "n": at % 4},
        )
        for at in range(12)
    ]
    return {(await world.put(scope, document)).document_id for document in documents}


@pytest.fixture(scope="module")
async def tenants(migrated: Embedded) -> AsyncIterator[tuple[World, dict[str, Scope], dict[str, set[UUID]]]]:
    async with copy_of(migrated) as its, world_of(its) as world:
        scopes = {name: await world.tenant(name) for name in ("one", "two", "three")}
        owned = {name: await fill(world, scope, name) for name, scope in scopes.items()}
        await world.index_all()
        yield world, scopes, owned


@given(query=queries, name=st.sampled_from(["one", "two", "three"]))
@examples(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_query_finds_anything_foreign(
    query: Query, name: str, tenants: tuple[World, dict[str, Scope], dict[str, set[UUID]]]
) -> None:
    world, scopes, owned = tenants
    try:
        result = await world.index.search(scopes[name].query(query))
    except InvalidQueryError:
        return  # a filter inside of should or must_not, where this engine takes none
    assert {hit.document_id for hit in result.hits} <= owned[name]
    assert result.total <= len(owned[name])
    for facet in result.facets:
        values = {bucket.value for bucket in facet.buckets}
        foreign = {*scopes} - {name}
        assert not values & (foreign | {f"of-{other}" for other in foreign})


@pytest.mark.parametrize("text", ["secret", "secrettwo", "sec"])
async def test_no_suggestion_is_made_of_foreign_words(
    text: str, tenants: tuple[World, dict[str, Scope], dict[str, set[UUID]]]
) -> None:
    world, scopes, _ = tenants
    found = await world.index.suggest(scopes["one"].suggest(Suggest(text, 20)))
    assert {one.text for one in found} <= {"secretone"}


@pytest.mark.parametrize("table", TABLES)
async def test_a_statement_that_forgets_the_tenant_sees_its_own_rows_alone(table: str, world: World) -> None:
    """Row-level security by itself: statements without any condition, as a tenant, as another, and as nobody."""
    mine, theirs = await world.tenant("mine"), await world.tenant("theirs")
    await fill_every_table(world, mine, "mine")
    await fill_every_table(world, theirs, "theirs")
    all_of = {row[0] for row in await world.admin(f"SELECT DISTINCT tenant_id FROM {table}")}
    assert all_of == {mine.tenant_id, theirs.tenant_id}
    for scope in (mine, theirs):
        database = world.work if table in ("outbox", "vocabulary") else world.app
        if table == "outbox":
            continue
        async with database.read(scope) as connection:
            rows = await connection.fetch(f"SELECT DISTINCT tenant_id FROM {table}")
            assert [row[0] for row in rows] == [scope.tenant_id]
    async with world.app.find_key("nothing") as connection:
        if table != "outbox":
            assert await connection.fetch(f"SELECT * FROM {table}") == []


async def test_a_login_reads_no_partition_and_no_outbox_and_alters_no_trail(world: World) -> None:
    scope = await world.tenant("a")
    await world.put(scope, Document(title="x"))
    for statement in (
        "SELECT * FROM documents_p0",
        "SELECT * FROM outbox",
        "DELETE FROM audit",
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM documents",
        "UPDATE tenants SET per_minute = 1",
        "ALTER TABLE documents NO FORCE ROW LEVEL SECURITY",
        "SET ROLE docsearch_admin",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with world.app.write(scope) as connection:
                await connection.execute(statement)


async def test_a_row_of_another_tenant_cannot_be_written(world: World) -> None:
    mine, theirs = await world.tenant("mine"), await world.tenant("theirs")
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with world.app.write(mine) as connection:
            await connection.execute("INSERT INTO synonyms VALUES ($1, 'a', '{b}')", theirs.tenant_id)


async def test_nothing_of_a_tenant_stays_on_a_connection(world: World) -> None:
    """Pools hand connections on: the next transaction sees what it names itself, whatever became of the last one."""
    scope = await world.tenant("a")
    await world.put(scope, Document(title="x"))
    for end in (None, RuntimeError, asyncio.CancelledError):
        try:
            async with world.app.write(scope) as connection:
                assert await connection.fetchval("SELECT count(*) FROM documents") == 1
                if end:
                    raise end
        except (RuntimeError, asyncio.CancelledError):
            pass
        async with world.app.find_key("none") as connection:
            assert await connection.fetchval("SELECT count(*) FROM documents") == 0
            assert not await connection.fetchval("SELECT current_setting('docsearch.tenant_id', true)")


async def test_nobody_bypasses_row_level_security(world: World) -> None:
    rows = await world.admin(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'docsearch%' AND (rolbypassrls OR rolsuper OR rolcreaterole)"
    )
    assert rows == []
    open_tables = await world.admin(
        """
        SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
        AND relname <> 'alembic_version' AND NOT (relrowsecurity AND relforcerowsecurity)
        """
    )
    assert open_tables == []
    connection = await connect(world.settings, "docsearch_search")
    try:
        assert await connection.fetch("SELECT * FROM documents") == []
        await connection.execute(f"SET docsearch.tenant_id = '{uuid4()}'")
        assert await connection.fetch("SELECT * FROM documents") == []
    finally:
        await connection.close()
