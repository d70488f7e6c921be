"""Searches, suggestions and synonyms, over HTTP."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.responses import Response

from app.errors import ApiError, InvalidQueryError, InvalidRequestError, NotFoundError
from app.http.call import JSON, Call, Operation, Parameter, answer, take
from app.index.model import Facet, Hit, Position, Query, Suggestion
from app.index.words import split
from app.search import parse, popular
from app.search.parse import SearchRequest
from app.search.popular import Popular
from app.tenancy import Right

FOUND: Final = ("anything", "nothing")

MAX_SEARCHES: Final = 10
"""Searches of one request."""


class SearchAnswer(Struct, frozen=True):
    """What a search found.

    Attributes:
        total: How many documents match.
        exact: Whether that is all of them, or a lower bound.
        hits: The page.
        facets: What was counted.
        next: The cursor of the next page; empty if this is the last one.
        corrected: Misspelt words, and what was searched for instead.
        level: What served it: ``memory``, ``redis``, ``opensearch`` or ``full_text``.
        stale: Whether something was written since that is not in it.
        degraded: Whether the engine of choice did not answer, and another one did.
        took_ms: How long it took, ms.
    """

    total: int
    exact: bool
    hits: list[Hit]
    facets: list[Facet]
    next: str
    corrected: dict[str, list[str]]
    level: str
    stale: bool
    degraded: bool
    took_ms: float


class MultiRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """Several searches at once, 10 at most."""

    searches: tuple[SearchRequest, ...]


class OneOfMany(Struct, frozen=True, omit_defaults=True):
    """What one of several searches came to: an answer, or a problem."""

    answer: SearchAnswer | None = None
    problem: dict[str, Any] | None = None


class MultiAnswer(Struct, frozen=True):
    """What each search came to, in their order."""

    results: list[OneOfMany]


class Suggestions(Struct, frozen=True):
    """What a prefix may become, and what said so."""

    suggestions: list[Suggestion]
    level: str


class PopularQueries(Struct, frozen=True):
    """Queries, those that were asked most first."""

    queries: list[Popular]


class Synonym(Struct, frozen=True, forbid_unknown_fields=True):
    """What a word may also be called, 1 to 20 words or phrases."""

    alternatives: tuple[str, ...]


class Synonyms(Struct, frozen=True):
    """All synonyms of a tenant, by word."""

    synonyms: dict[str, list[str]]


async def post_search(call: Call) -> Response:
    """Searches, by a query in JSON."""
    body = await call.body(call.service.settings.max_query_bytes, JSON)
    return answer(await _search(call, parse.decode(body)))


async def get_search(call: Call) -> Response:
    """Searches, by parameters of the URL."""
    return answer(await _search(call, parse.from_parameters(call.request.query_params.multi_items())))


async def multi_search(call: Call) -> Response:
    """Carries out several searches, each a request of the limits; one that cannot be done leaves the others alone."""
    body = await call.body(call.service.settings.max_query_bytes, JSON)
    try:
        request = msgspec.json.decode(body, type=MultiRequest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise parse.unreadable(error) from error
    if not 1 <= len(request.searches) <= MAX_SEARCHES:
        raise InvalidQueryError(
            f"there are {len(request.searches)} searches", why=f"there are 1 to {MAX_SEARCHES}", pointer="/searches"
        )
    results: list[OneOfMany] = []
    for at, one in enumerate(request.searches):
        try:
            if at:
                await take(call.service, call.scope)
            results.append(OneOfMany(await _search(call, one)))
        except ApiError as error:
            results.append(OneOfMany(problem=error.problem()))
    return answer(MultiAnswer(results))


async def suggest(call: Call) -> Response:
    """Completes what is being typed."""
    prefix, size = parse.parameters(call.request.query_params)
    asked = call.scope.suggest(parse.to_suggest(prefix, size))
    found, level = await call.service.search.suggest(asked)
    return answer(Suggestions([*found], level))


async def get_synonyms(call: Call) -> Response:
    """All synonyms."""
    async with call.service.database.read(call.scope) as connection:
        rows = await connection.fetch("SELECT word, alternatives FROM synonyms ORDER BY word")
    return answer(Synonyms({row["word"]: row["alternatives"] for row in rows}))


async def put_synonym(call: Call) -> Response:
    """Says what a word may also be called."""
    call.primary_only()
    given: Synonym = await call.json(Synonym)
    word = _word(call)
    alternatives = [" ".join(split(one)) for one in given.alternatives]
    if not 1 <= len(alternatives) <= 20 or not all(1 <= len(one) <= 100 for one in alternatives):
        raise InvalidRequestError(
            "the alternatives cannot be used", why="there are 1 to 20 of 1 to 100 characters", pointer="/alternatives"
        )
    async with call.service.database.write(call.scope) as connection:
        await connection.execute(
            """
            INSERT INTO synonyms (tenant_id, word, alternatives) VALUES ($1, $2, $3)
            ON CONFLICT (tenant_id, word) DO UPDATE SET alternatives = excluded.alternatives
            """,
            call.scope.tenant_id,
            word,
            alternatives,
        )
        await call.record(connection, "put_synonym", f"synonym/{word}", {"alternatives": alternatives})
    await call.service.cache.advance(call.scope.tenant_id)
    return answer(Synonyms({word: alternatives}))


async def delete_synonym(call: Call) -> Response:
    """Takes a word's synonyms away."""
    call.primary_only()
    word = _word(call)
    async with call.service.database.write(call.scope) as connection:
        gone = await connection.fetchval("DELETE FROM synonyms WHERE word = $1 RETURNING word", word)
        if gone is None:
            raise NotFoundError(f"{word!r} has no synonyms")
        await call.record(connection, "delete_synonym", f"synonym/{word}")
    await call.service.cache.advance(call.scope.tenant_id)
    return Response(None, 204)


async def get_popular(call: Call) -> Response:
    """What is asked most, by callers without a forced filter: a query is forgotten 30 days after it was asked last."""
    call.no_parameters("found", "size")
    size = call.whole("size", 20, 1, 1000) or 20
    found = call.request.query_params.get("found", "anything")
    if found not in FOUND:
        raise InvalidRequestError(f"found is {found[:40]!r}", why=f"there are {' and '.join(FOUND)}")
    async with call.service.database.read(call.scope, replica=True) as connection:
        rows = await popular.top(connection, call.scope.tenant_id, nothing=found == "nothing", size=size)
    return answer(PopularQueries(rows))


async def _search(call: Call, request: SearchRequest) -> SearchAnswer:
    began = time.perf_counter()
    query: Query = parse.to_query(request, call.service.bounds)
    scoped = call.scope.query(query)
    if request.cursor:
        scoped = scoped.behind(call.service.cursors.open(scoped, request.cursor))
    found = await call.service.search.search(scoped)
    result, took = found.result, time.perf_counter() - began
    call.service.metrics.searched(call.scope.tenant_id, found, took)
    cursor = ""
    if result.hits and len(result.hits) == query.size:
        last = result.hits[-1]
        ended = Position(last.position, last.document_id, result.snapshot, result.snapshot_at, result.engine)
        cursor = call.service.cursors.seal(scoped, ended)
    hits = [msgspec.structs.replace(hit, position=()) for hit in result.hits]
    return SearchAnswer(
        total=result.total,
        exact=result.exact,
        hits=hits,
        facets=result.facets,
        next=cursor,
        corrected=result.corrected,
        level=found.level,
        stale=found.stale,
        degraded=found.degraded,
        took_ms=round(took * 1000, 2),
    )


def _word(call: Call) -> str:
    words = split(call.request.path_params["word"])
    if len(words) != 1 or len(words[0]) > 64:
        raise InvalidRequestError("synonyms are of one word", why="it has 64 characters at most")
    return words[0]


_SIZE: Final = {"type": "integer", "minimum": 0, "maximum": 100, "default": 10}

OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/v1/search",
        handler=post_search,
        right=Right.READ,
        name="search",
        summary="Search, with filters, facets, highlights, sorting and cursors",
        tag="search",
        body=SearchRequest,
        body_needed=False,
        answers={200: SearchAnswer},
    ),
    Operation(
        method="GET",
        path="/v1/search",
        handler=get_search,
        right=Right.READ,
        name="search_by_url",
        summary="Search, by parameters of the URL",
        tag="search",
        answers={200: SearchAnswer},
        parameters=(
            Parameter("q", "query", "Words to search for"),
            Parameter("fuzzy", "query", "Whether a word may be misspelt", {"type": "string", "enum": ["off", "auto"]}),
            Parameter(
                "filter",
                "query",
                "`author:ada`, `-tags:tea`, `metadata.pages>=12`; as often as needed",
                {"type": "array", "items": {"type": "string"}},
            ),
            Parameter("facets", "query", "Fields to count, by commas"),
            Parameter("highlight", "query", "Whether to mark what was found", {"type": "boolean"}),
            Parameter("sort", "query", "Fields to sort by, by commas; `-` in front for descending"),
            Parameter("fields", "query", "What each hit holds, by commas"),
            Parameter("size", "query", "Hits of a page", _SIZE),
            Parameter("from", "query", "Hits before the page", {"type": "integer", "minimum": 0, "maximum": 10_000}),
            Parameter("cursor", "query", "The `next` of the page before"),
        ),
    ),
    Operation(
        method="POST",
        path="/v1/multi-search",
        handler=multi_search,
        right=Right.READ,
        name="multi_search",
        summary="Carry out up to 10 searches at once",
        tag="search",
        body=MultiRequest,
        answers={200: MultiAnswer},
    ),
    Operation(
        method="GET",
        path="/v1/suggest",
        handler=suggest,
        right=Right.READ,
        name="suggest",
        summary="Complete what is being typed",
        tag="search",
        answers={200: Suggestions},
        parameters=(
            Parameter("q", "query", "What was typed"),
            Parameter("size", "query", "How many", {"type": "integer", "minimum": 1, "maximum": 20, "default": 5}),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/popular-queries",
        handler=get_popular,
        right=Right.ADMIN,
        name="popular_queries",
        summary="See what is asked most, or what is asked most in vain",
        tag="search",
        answers={200: PopularQueries},
        parameters=(
            Parameter("found", "query", "Only queries that at times found this", {"type": "string", "enum": [*FOUND]}),
            Parameter("size", "query", "How many", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20}),
        ),
    ),
    Operation(
        method="GET",
        path="/v1/synonyms",
        handler=get_synonyms,
        right=Right.ADMIN,
        name="list_synonyms",
        summary="List synonyms",
        tag="synonyms",
        answers={200: Synonyms},
    ),
    Operation(
        method="PUT",
        path="/v1/synonyms/{word}",
        handler=put_synonym,
        right=Right.ADMIN,
        name="put_synonym",
        summary="Say what a word may also be called",
        tag="synonyms",
        body=Synonym,
        answers={200: Synonyms},
    ),
    Operation(
        method="DELETE",
        path="/v1/synonyms/{word}",
        handler=delete_synonym,
        right=Right.ADMIN,
        name="delete_synonym",
        summary="Take a word's synonyms away",
        tag="synonyms",
        answers={204: None},
        errors=(404,),
    ),
)
