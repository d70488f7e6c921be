"""Whatever is sent is a query within its bounds, or refused with the place that is wrong: never anything else."""

import json
import random
import string
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ApiError, InvalidQueryError
from app.index.full_text_query import plan_search
from app.index.model import (
    MAX_WINDOW,
    Bool,
    Clause,
    Everything,
    Exists,
    FacetRequest,
    Filter,
    Highlight,
    Match,
    Not,
    Query,
    Range,
    Sort,
    Term,
)
from app.index.opensearch_query import search_body
from app.search import parse
from app.search.parse import Bounds
from app.tenancy import internal

BOUNDS = Bounds()
T = TypeVar("T")
TENANT = UUID(int=1)


def read(value: object, bounds: Bounds = BOUNDS) -> Query:
    return parse.to_query(parse.decode(json.dumps(value).encode()), bounds)


def refused(value: object, bounds: Bounds = BOUNDS) -> InvalidQueryError:
    with pytest.raises(InvalidQueryError) as found:
        read(value, bounds)
    return found.value


def test_nothing_finds_everything() -> None:
    assert parse.to_query(parse.decode(b""), BOUNDS) == Query()
    assert read({}).clause == Everything()
    assert read({"q": "  "}).clause == Everything()


def test_all_that_can_be_said() -> None:
    found = read(
        {
            "q": "green tee",
            "fuzzy": "auto",
            "filters": [
                {"kind": "term", "field": "author", "values": ["ada"]},
                {"kind": "not", "filter": {"kind": "exists", "field": "metadata.draft"}},
                {"kind": "range", "field": "published_at", "gte": "2024-01-01T01:00:00+01:00"},
            ],
            "facets": ["tags", {"field": "metadata.shelf", "size": 3}],
            "highlight": True,
            "sort": ["-published_at", "title"],
            "fields": ["title", "title", "content"],
            "size": 3,
            "from": 6,
        }
    )
    assert found == Query(
        clause=Match("green tee", fuzzy="auto"),
        filters=(
            Term("author", ("ada",)),
            Not(Exists("metadata.draft")),
            Range("published_at", gte=datetime(2024, 1, 1, tzinfo=UTC)),
        ),
        facets=(FacetRequest("tags"), FacetRequest("metadata.shelf", 3)),
        highlight=Highlight(),
        sort=(Sort("published_at", descending=True), Sort("title")),
        fields=("title", "content"),
        size=3,
        offset=6,
    )
    assert found.filters[2].gte.isoformat() == "2024-01-01T00:00:00+00:00"  # type: ignore[union-attr]


def test_an_address_says_the_same() -> None:
    pairs = [
        ("q", "tea"),
        ("filter", "author:ada"),
        ("filter", "-tags:hot"),
        ("filter", "metadata.pages>=12"),
        ("filter", "metadata.shelf:*"),
        ("filter", "published_at<2024-02-01"),
        ("facets", "tags,author"),
        ("sort", "-score,title"),
        ("highlight", "true"),
        ("size", "5"),
        ("from", "10"),
    ]
    found = parse.to_query(parse.from_parameters(pairs), BOUNDS)
    assert found.filters == (
        Term("author", ("ada",)),
        Not(Term("tags", ("hot",))),
        Range("metadata.pages", gte=12.0),
        Exists("metadata.shelf"),
        Range("published_at", lt=datetime(2024, 2, 1, tzinfo=UTC)),
    )
    assert (found.size, found.offset, found.highlight) == (5, 10, Highlight())


def test_a_value_of_an_address_may_be_a_number_of_the_metadata() -> None:
    (found,) = parse.from_parameters([("filter", "metadata.year:2024")]).filters
    assert found == Term("metadata.year", ("2024", 2024))
    (found,) = parse.from_parameters([("filter", "metadata.open:true")]).filters
    assert found == Term("metadata.open", ("true", True))


TERM = {"kind": "term", "field": "author", "values": ["a"]}
NESTED: dict[str, Any] = {"kind": "match", "text": "a"}
for _ in range(6):
    NESTED = {"kind": "bool", "must": [NESTED]}


@pytest.mark.parametrize(
    ("value", "pointer", "message"),
    [
        ({"qq": "a"}, "", "unknown field `qq`"),
        ([], "", "Expected `object`"),
        ({"q": 3}, "/q", "Expected `str`"),
        ({"q": "a" * 1001}, "/q", "1,001 characters"),
        ({"q": "a\0b"}, "/q", r"U\+0000"),
        ({"q": "a", "query": {"kind": "everything"}}, "/q", "both given"),
        ({"query": {"kind": "fuzzy"}}, "/query/kind", "Invalid value 'fuzzy'"),
        ({"query": {"kind": "match", "text": " "}}, "/query/text", "empty"),
        ({"query": {"kind": "match", "text": "a", "fields": ["author"]}}, "/query/fields/0", "'author' cannot be used"),
        ({"query": {"kind": "match", "text": "a", "fields": []}}, "/query/fields", "fields is 0"),
        ({"query": NESTED}, "/query/must/0/must/0/must/0/must/0/must/0", "nested too deeply"),
        ({"query": {"kind": "bool", "should": [], "minimum_should_match": 1}}, "/query/minimum_should_match", "is 1"),
        ({"filters": [TERM] * 64}, "/filters/63", "64 clauses and filters are the most"),
        ({"filters": [TERM | {"field": "autor"}]}, "/filters/0/field", "Did you mean author?"),
        ({"filters": [TERM | {"field": "tenant_id"}]}, "/filters/0/field", "'tenant_id' cannot be used"),
        ({"filters": [TERM | {"field": "metadata.a.b"}]}, "/filters/0/field", "no metadata field"),
        ({"filters": [TERM | {"values": []}]}, "/filters/0/values", "values is 0"),
        ({"filters": [TERM | {"values": ["a"] * 101}]}, "/filters/0/values", "values is 101"),
        ({"filters": [TERM | {"values": [3]}]}, "/filters/0/values/0", "compared with 3"),
        ({"filters": [TERM | {"field": "metadata.a", "values": [2**53]}]}, "/filters/0/values/0", "beyond 2"),
        ({"filters": [{"kind": "range", "field": "created_at"}]}, "/filters/0", "no bound"),
        ({"filters": [{"kind": "range", "field": "created_at", "gte": 3}]}, "/filters/0/gte", "date and time"),
        (
            {"filters": [{"kind": "range", "field": "created_at", "gte": "2024-01-01T00:00:00"}]},
            "/filters/0/gte",
            "zone",
        ),
        ({"filters": [{"kind": "range", "field": "metadata.a", "gte": 3, "lt": 1}]}, "/filters/0", "after its end"),
        ({"filters": [{"kind": "range", "field": "metadata.a", "gte": 3, "gt": 1}]}, "/filters/0", "one bound"),
        ({"filters": [{"kind": "range", "field": "author", "gte": 3}]}, "/filters/0/field", "'author'"),
        ({"facets": ["title"]}, "/facets/0", "'title' cannot be used"),
        ({"facets": ["tags", "tags"]}, "/facets/1", "two facets"),
        ({"facets": [f"metadata.a{at}" for at in range(11)]}, "/facets", "facets is 11"),
        ({"facets": [{"field": "tags", "size": 101}]}, "/facets/0/size", "size is 101"),
        ({"highlight": {"fragments": 11}}, "/highlight/fragments", "is 11"),
        ({"highlight": {"pre": "<" * 41}}, "/highlight/pre", "41 characters"),
        ({"sort": ["titel"]}, "/sort/0", "Did you mean title?"),
        ({"sort": ["title", "-title"]}, "/sort/1", "twice"),
        ({"fields": ["password"]}, "/fields/0", "'password' cannot be used"),
        ({"fields": []}, "/fields", "empty"),
        ({"size": 101}, "/size", "0 to 100"),
        ({"size": -1}, "/size", "size is -1"),
        ({"size": 10, "from": MAX_WINDOW}, "/from", "reach to 10,010"),
        ({"from": 1, "cursor": "a"}, "/from", "both given"),
        ({"size": True}, "/size", "Expected `int`"),
    ],
)
def test_what_is_wrong_is_named(value: object, pointer: str, message: str) -> None:
    found = refused(value)
    assert found.status == 400
    assert found.pointer == pointer
    with pytest.raises(InvalidQueryError, match=message.replace("?", r"\?")):
        read(value)


@pytest.mark.parametrize(
    ("pairs", "pointer"),
    [
        ([("query", "a")], "/query"),
        ([("q", "a"), ("q", "b")], "/q"),
        ([("size", "-1")], "/size"),
        ([("size", "٣")], "/size"),
        ([("size", "9" * 5000)], "/size"),
        ([("highlight", "yes")], "/highlight"),
        ([("filter", "author")], "/filter/0"),
        ([("filter", "metadata.pages>a")], "/filter/0"),
        ([("filter", "metadata.pages>inf")], "/filter/0"),
        ([("filter", "published_at>soon")], "/filter/0"),
        ([("filter", "metadata.pages>1e999")], "/filters/0/gt"),
    ],
)
def test_what_is_wrong_in_an_address_is_named(pairs: list[tuple[str, str]], pointer: str) -> None:
    with pytest.raises(InvalidQueryError) as found:
        parse.to_query(parse.from_parameters(pairs), BOUNDS)
    assert found.value.pointer == pointer


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"q": "\xed\xa0\x80"}', b"[" * 100_000, b'{"query":' * 20_000, b"1e999"]
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidQueryError, match="cannot be read"):
        parse.decode(body)


def test_words_of_all_clauses_together_are_bounded() -> None:
    def many(count: int, **more: str) -> dict[str, Any]:
        return {"kind": "match", "text": " ".join("ab" for _ in range(count)), **more}

    read({"query": {"kind": "bool", "must": [many(150), many(150)]}})
    error = refused({"query": {"kind": "bool", "must": [many(150), many(151)]}})
    assert (error.pointer, error.why) == ("/query/must/1/text", "300 are the most")
    read({"q": "ab " * 20, "fuzzy": "auto"})
    error = refused({"q": "ab " * 21, "fuzzy": "auto"})
    assert (error.pointer, error.why) == ("/q", "20 are the most with fuzzy")


def test_a_page_of_whole_documents_is_smaller() -> None:
    read({"size": 100})
    read({"size": 10, "fields": ["title", "content"]})
    assert refused({"size": 11, "fields": ["title", "content"]}).pointer == "/size"


def test_a_cursor_as_long_as_one_of_many_shards_is_taken() -> None:
    read({"cursor": "x" * 20_000})


def test_a_suggestion_is_bounded() -> None:
    assert parse.to_suggest(*parse.parameters({"q": "gre"})).size == 5
    for given_ in ({"q": ""}, {"q": "a" * 101}, {"q": "a", "size": "21"}, {"q": "a", "size": "0"}, {"p": "a"}):
        with pytest.raises(InvalidQueryError):
            parse.to_suggest(*parse.parameters(given_))


def test_filters_of_a_token_are_checked_as_those_of_a_query() -> None:
    parse.check_filters((Term("author", ("ada",)),), BOUNDS)
    with pytest.raises(InvalidQueryError, match="'tenant_id' cannot be used"):
        parse.check_filters((Term("tenant_id", ("x",)),), BOUNDS)


WORDS = """
    q query fuzzy filters facets highlight sort fields size from cursor kind term range exists not match phrase prefix
    bool everything must should must_not filter minimum_should_match text operator synonyms field values gte gt lte lt
    title content author language tags metadata.a metadata. published_at created_at score -score auto off and or
    fragments length pre post tenant_id 2024-01-01T00:00:00Z 9999-12-31T23:59:59-14:00 0001-01-01T00:00:00+14:00
""".split()
TEXT = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=20),
    st.text(string.printable, max_size=30),
    st.sampled_from(
        ["a" * 1001, "\0", "(((((", 'a* b~ "c', "' OR 1=1 --", ":* & !", "\\'", "🦀" * 500, "-" * 200, "<->"]
    ),
)
LEAF = st.one_of(
    TEXT,
    st.integers(),
    st.integers(-2, 101),
    st.floats(),
    st.booleans(),
    st.none(),
    st.sampled_from([10**400, 1e16, 1e20, -1e300]),
)
JUNK = st.recursive(
    LEAF,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
FIELD = st.sampled_from(["author", "tags", "language", "metadata.a", "metadata.pages", "published_at", "nothing"])
DATE = st.sampled_from(["2024-01-01T00:00:00Z", "2024-06-01T12:00:00+02:00", "2024-01-01", "9999-12-31T23:59:59-14:00"])
FILTER = st.recursive(
    st.one_of(
        st.fixed_dictionaries({"kind": st.just("term"), "field": FIELD, "values": st.lists(LEAF, max_size=3)}),
        st.fixed_dictionaries(
            {"kind": st.just("range"), "field": FIELD}, optional={"gte": DATE | LEAF, "gt": LEAF, "lt": DATE | LEAF}
        ),
        st.fixed_dictionaries({"kind": st.just("exists"), "field": FIELD}),
    ),
    lambda inner: st.fixed_dictionaries({"kind": st.just("not"), "filter": inner}),
    max_leaves=4,
)
CLAUSE = st.recursive(
    st.one_of(
        st.just({"kind": "everything"}),
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["match", "phrase", "prefix"]), "text": TEXT},
            optional={"fields": st.lists(st.sampled_from(["title", "content"]), max_size=3)},
        ),
        st.fixed_dictionaries(
            {"kind": st.just("match"), "text": TEXT},
            optional={"operator": st.sampled_from(["and", "or"]), "fuzzy": st.sampled_from(["off", "auto"])},
        ),
    ),
    lambda inner: st.fixed_dictionaries(
        {"kind": st.just("bool")},
        optional={
            "must": st.lists(inner, max_size=3),
            "should": st.lists(inner, max_size=3),
            "must_not": st.lists(inner, max_size=2),
            "filter": st.lists(FILTER, max_size=2),
            "minimum_should_match": st.integers(-1, 4),
        },
    ),
    max_leaves=8,
)
ALMOST = st.fixed_dictionaries(
    {},
    optional={
        "q": TEXT,
        "query": CLAUSE,
        "fuzzy": st.sampled_from(["off", "auto", "on"]),
        "filters": st.lists(FILTER, max_size=4),
        "facets": st.lists(FIELD, max_size=3),
        "highlight": st.booleans() | st.fixed_dictionaries({}, optional={"length": LEAF, "pre": TEXT}),
        "sort": st.lists(st.sampled_from(["score", "-score", "title", "-published_at", "x"]), max_size=3),
        "fields": st.lists(st.sampled_from(["title", "content", "snippet", "x"]), max_size=3),
        "size": st.integers(-1, 120),
        "from": st.integers(-1, 10_100),
        "extra": JUNK,
    },
)


def spoil(value: Any, chance: random.Random) -> Any:
    """A value of which some parts are replaced."""
    if chance.random() < 0.05:
        return chance.choice([None, -1, 10**30, "x", [], {}, True, [[[]]], {"kind": "bool"}])
    if isinstance(value, dict):
        return {key: spoil(one, chance) for key, one in value.items()}
    return [spoil(one, chance) for one in value] if isinstance(value, list) else value


def survey(part: Clause | Filter, depth: int = 1) -> tuple[int, int]:
    """Clauses and filters of a clause, and how deep they are nested."""
    inner: list[tuple[Clause | Filter, int]] = []
    if isinstance(part, Not):
        inner = [(part.filter, depth + 1)]
    elif isinstance(part, Bool):
        inner = [(one, depth + 1) for one in (*part.must, *part.should, *part.must_not, *part.filter)]
    found = [survey(one, below) for one, below in inner]
    return 1 + sum(count for count, _ in found), max([depth, *(deep for _, deep in found)])


def attempt(act: Callable[[], T]) -> T | ApiError:
    """What comes of something that may be refused, but only precisely."""
    try:
        return act()
    except InvalidQueryError as error:
        refusal = error
    assert refusal.status == 400
    assert refusal.detail
    assert refusal.pointer == "" or refusal.pointer.startswith("/")
    assert len(str(refusal)) < 1000
    json.dumps(refusal.problem())
    return refusal


def holds(body: bytes) -> None:
    """A body is a query that every engine takes, or refused with a precise 4xx."""
    found = attempt(lambda: parse.to_query(parse.decode(body), BOUNDS))
    if isinstance(found, ApiError):
        return
    surveyed = [survey(part) for part in (found.clause, *found.filters)]
    assert sum(count for count, _ in surveyed) <= BOUNDS.clauses
    assert max(depth for _, depth in surveyed) <= BOUNDS.depth
    assert 0 <= found.size <= BOUNDS.page
    assert found.offset + found.size <= MAX_WINDOW
    scoped = internal(TENANT, "test").query(found)
    attempt(lambda: plan_search(scoped, {}))
    attempt(lambda: orjson.dumps(search_body(scoped, {})))


@settings(max_examples=6000)
@given(ALMOST, st.integers(0, 2**32))
def test_almost_a_query_is_one_or_is_refused(value: dict[str, Any], seed: int) -> None:
    chance = random.Random(seed)
    holds(json.dumps(spoil(value, chance) if chance.random() < 0.7 else value).encode())


@settings(max_examples=3000)
@given(JUNK)
def test_junk_is_a_query_or_is_refused(value: object) -> None:
    holds(json.dumps(value).encode("utf-8", "surrogatepass"))


@settings(max_examples=1500)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_query_or_are_refused(body: bytes) -> None:
    holds(body)


@settings(max_examples=1000)
@given(st.lists(st.tuples(TEXT, TEXT | st.builds("{}{}{}".format, FIELD, st.sampled_from(": <= > >=".split()), TEXT))))
def test_any_address_is_a_query_or_is_refused(pairs: list[tuple[str, str]]) -> None:
    found = attempt(lambda: parse.to_query(parse.from_parameters(pairs), BOUNDS))
    assert isinstance(found, Query) or found.pointer
