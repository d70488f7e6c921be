"""PostgreSQL's full text as an index: the engine of the embedded default, and what searches fall back on elsewhere."""

from __future__ import annotations

import html
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from app.errors import DeadlineExceededError, InvalidQueryError, OverloadedError
from app.index.full_text_query import Plan, plan_search
from app.index.model import (
    Bucket,
    Facet,
    Health,
    Highlight,
    Hit,
    Outcome,
    Prefix,
    Query,
    Result,
    Suggestion,
    Write,
    Written,
    suggestions,
)
from app.index.words import MAX_VARIANTS, Lookup, Variants, edits, nearest, split, words_of
from app.store.database import Connection, Database
from app.tenancy import ScopedQuery, ScopedSuggest, internal

MAX_CANDIDATES: Final = 20_000
"""Words of the vocabulary that a misspelt one is compared with, the most frequent first."""

MAX_MISSPELT: Final = 10
"""Words of a query that are looked for as misspelt. More are taken as they are: each is compared with many."""

_STEM: Final = "coalesce((ts_lexize('english_stem', {0}))[1], {0})"

STEMS: Final = f"""
WITH asked AS MATERIALIZED (
    SELECT word, {_STEM.format("word")} COLLATE "C" AS stem FROM unnest($1::text[]) AS given (word)
)
SELECT asked.word AS asked, near.word FROM asked,
LATERAL (
    SELECT word, documents FROM vocabulary
    WHERE tenant_id = current_tenant() AND stem = asked.stem AND documents > 0
    ORDER BY documents DESC, word LIMIT {MAX_VARIANTS}
) AS near
"""
"""Words with the stems of others. Stems are made first: a function that may say something of its argument (it is not
leakproof) is called row by row behind row-level security, and never by way of an index."""

_ACTOR: Final = "full_text"

_REFUSED: Final = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What PostgreSQL says of a document that it will never index, such as one with more than 1 MiB of different words."""

PAGE: Final = 5_000

_NEWER: Final = 0
_AS_NEW: Final = 1
_ANY: Final = 2**62
"""How much older a write may be than what is there, and replace it all the same, in versions."""

_PATIENCE: Final = """
SELECT set_config('lock_timeout', (extract(epoch FROM current_setting('statement_timeout')::interval) * 500)::int::text,
                  true)
"""
"""Half of the time of a statement: who waits for others in vain is told so, and not that it was too much at once."""

_UPSERT: Final = f"""
WITH old AS (
    SELECT document_id, words FROM full_text WHERE tenant_id = $1 AND document_id = ANY($2::uuid[])
), new AS (
    INSERT INTO full_text (tenant_id, document_id, version, deleted, words, title, author, language, tags, metadata,
                           created_at, published_at, updated_at)
    SELECT $1, document_id, version, deleted,
           CASE WHEN deleted THEN ''::tsvector ELSE
               setweight(to_tsvector('simple', title), 'A') || to_tsvector('simple', content)
               || array_to_tsvector(ARRAY[tenant_lexeme($1)]) END,
           title, author, language, ARRAY(SELECT jsonb_array_elements_text(tags::jsonb)), metadata::jsonb,
           created_at, published_at, updated_at
    FROM unnest($2::uuid[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
                $10::text[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[])
        AS given (document_id, version, deleted, title, content, author, language, tags, metadata, created_at,
                  published_at, updated_at)
    ON CONFLICT (tenant_id, document_id) DO UPDATE SET
        version = excluded.version, deleted = excluded.deleted, words = excluded.words, title = excluded.title,
        author = excluded.author, language = excluded.language, tags = excluded.tags, metadata = excluded.metadata,
        created_at = excluded.created_at, published_at = excluded.published_at, updated_at = excluded.updated_at
    WHERE full_text.version < excluded.version + $14
    RETURNING document_id, words
), delta AS (
    SELECT word, sum(change) AS change FROM (
        SELECT unnest(tsvector_to_array(words)) AS word, 1 AS change FROM new
        UNION ALL
        SELECT unnest(tsvector_to_array(old.words)), -1 FROM old JOIN new USING (document_id)
    ) AS changes WHERE word <> tenant_lexeme($1) AND length(word) <= 64 GROUP BY word HAVING sum(change) <> 0
), counted AS (
    INSERT INTO vocabulary (tenant_id, word, stem, documents)
    SELECT $1, word, {_STEM.format("word")}, change FROM delta
    ON CONFLICT (tenant_id, word) DO UPDATE SET documents = vocabulary.documents + excluded.documents
)
SELECT (SELECT array_agg(document_id) FROM new) AS applied,
       (SELECT array_agg(word) FROM delta WHERE change < 0) AS rarer
"""


class FullText:
    """PostgreSQL's full text.

    Args:
        reader: Pools of a login that answers requests.
        writer: Pools of the worker's login; None in a process that only searches.
    """

    level = "full_text"

    def __init__(self, reader: Database, writer: Database | None = None) -> None:
        self._reader, self._writer = reader, writer

    async def search(self, query: ScopedQuery) -> Result:
        """Finds documents of one tenant."""
        asked = query.query
        async with self._reader.read(internal(query.tenant_id, _ACTOR), replica=True) as connection:
            variants, corrected = await _look_up(connection, [*words_of(asked.clause)])
            plan = plan_search(query, variants)
            try:
                row = await connection.fetchrow(plan.statement, *plan.parameters)
            except asyncpg.ProgramLimitExceededError as error:
                # A query of PostgreSQL's full text holds 1 MiB of words.
                raise InvalidQueryError(
                    "the query is too large", remedy="Use fewer clauses, or fewer words", pointer="/query"
                ) from error
        assert row is not None
        return Result(
            total=row["total"],
            exact=True,
            hits=[_hit(found, asked) for found in row["hits"]],
            facets=[_facet(request.field, row[f"facet_{at}"]) for at, request in enumerate(asked.facets)],
            # The vocabulary is of all documents: who may see some of them alone is told no word of it.
            corrected={} if query.forced else corrected,
            engine=self.level,
        )

    async def suggest(self, suggest: ScopedSuggest) -> Sequence[Suggestion]:
        """Completes what is being typed: by words of the vocabulary, then by titles that hold the words.

        The vocabulary is made of all documents of a tenant, so whoever may see only some of them gets titles alone.
        """
        asked = suggest.suggest
        words = split(asked.prefix)
        if not words:
            return ()
        scope = internal(suggest.tenant_id, _ACTOR)
        async with self._reader.read(scope, replica=True) as connection:
            found: list[Suggestion] = []
            if not suggest.forced:
                rows = await connection.fetch(
                    """
                    SELECT word FROM vocabulary
                    WHERE tenant_id = current_tenant() AND word ^@ $1 AND documents > 0
                    ORDER BY documents DESC, word LIMIT $2
                    """,
                    words[-1],
                    asked.size,
                )
                found += [Suggestion(" ".join((*words[:-1], row["word"])), "word") for row in rows]
            titles = await self._titles(connection, suggest)
        return suggestions(found, titles, asked.size)

    async def _titles(self, connection: Connection, suggest: ScopedSuggest) -> list[Suggestion]:
        asked = suggest.suggest
        scope = internal(suggest.tenant_id, _ACTOR)
        clause = Prefix(asked.prefix, fields=("title",))
        query = scope.query(Query(clause=clause, filters=suggest.forced, fields=("title",), size=asked.size))
        plan = plan_search(query, {})
        row = await connection.fetchrow(plan.statement, *plan.parameters)
        assert row is not None
        return [Suggestion(hit["title"], "title", UUID(hit["document_id"])) for hit in row["hits"]]

    async def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Writes a batch, tenant by tenant, each in a transaction of its own."""
        return await self._write_all(batch, _NEWER)

    async def restore(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Writes a batch again, over what has the same versions or older ones."""
        return await self._write_all(batch, _AS_NEW)

    async def remove(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Takes documents out, whatever their versions are."""
        none = [Write(tenant_id=tenant_id, document_id=one, version=0, entry=None) for one in ids]
        await self._write_all(none, _ANY)

    async def _write_all(self, batch: Sequence[Write], slack: int) -> Sequence[Written]:
        newest: dict[tuple[UUID, UUID], Write] = {}
        for write in batch:
            key = write.tenant_id, write.document_id
            if key not in newest or newest[key].version < write.version:
                newest[key] = write
        outcomes: dict[int, Written] = {}
        by_tenant: dict[UUID, list[Write]] = {}
        for write in newest.values():
            by_tenant.setdefault(write.tenant_id, []).append(write)
        for tenant_id, writes in by_tenant.items():
            for written in await self._write(tenant_id, writes, slack):
                outcomes[id(written.write)] = written
        stale = Outcome.STALE
        return [outcomes.get(id(write)) or Written(write, stale, "a newer version came with it") for write in batch]

    async def _write(self, tenant_id: UUID, writes: Sequence[Write], slack: int) -> list[Written]:
        assert self._writer is not None, "a process that writes has the worker's login"
        try:
            async with self._writer.write(internal(tenant_id, _ACTOR)) as connection:
                applied = await _upsert(connection, tenant_id, writes, slack)
        except DeadlineExceededError:
            if len(writes) == 1:
                raise  # no document takes so long: it is PostgreSQL that has too much to do
        except _REFUSED as error:
            if len(writes) == 1:
                return [Written(writes[0], Outcome.REFUSED, str(error))]
        else:
            done = (Outcome.APPLIED if write.document_id in applied else Outcome.STALE for write in writes)
            return [Written(write, outcome) for write, outcome in zip(writes, done, strict=True)]
        # One of them is at fault, or all are too much at once: halves, until it stands alone and the others are in.
        half = len(writes) // 2
        first = await self._write(tenant_id, writes[:half], slack)
        return [*first, *await self._write(tenant_id, writes[half:], slack)]

    async def delete_tenant(self, tenant_id: UUID) -> int:
        """Takes everything of a tenant out."""
        assert self._writer is not None, "a process that writes has the worker's login"
        async with self._writer.write(internal(tenant_id, _ACTOR)) as connection:
            await connection.execute("DELETE FROM vocabulary WHERE tenant_id = $1", tenant_id)
            gone = await connection.fetch(
                "DELETE FROM full_text WHERE tenant_id = $1 RETURNING deleted AS was_deleted", tenant_id
            )
        return sum(not row["was_deleted"] for row in gone)

    async def expunge(self, tenant_id: UUID, gone: Sequence[UUID]) -> None:
        """Empties what is left of documents. Their rows' old contents go from disk when PostgreSQL vacuums."""
        assert self._writer is not None, "a process that writes has the worker's login"
        async with self._writer.write(internal(tenant_id, _ACTOR)) as connection:
            left = await connection.fetch(
                "SELECT document_id, version FROM full_text WHERE document_id = ANY($1) AND NOT deleted", list(gone)
            )
            writes = [
                Write(tenant_id=tenant_id, document_id=row["document_id"], version=row["version"] + 1, entry=None)
                for row in left
            ]
            if writes:
                # By way of an empty row, so that the vocabulary forgets the words; which then goes, since it is newer
                # than what the database may write next. What has become newer since it was looked at stays.
                applied = await _upsert(connection, tenant_id, writes, _NEWER)
                await connection.execute("DELETE FROM full_text WHERE document_id = ANY($1)", [*applied])

    async def versions(self, tenant_id: UUID) -> Mapping[UUID, int]:
        """Version by document of all that is in the index."""
        return {document_id: version async for document_id, version in self.entries(tenant_id)}

    async def entries(self, tenant_id: UUID) -> AsyncGenerator[tuple[UUID, int], None]:
        """Every document of a tenant and its version, in the order of their ids."""
        after: UUID | None = None
        while True:
            async with self._reader.read(internal(tenant_id, _ACTOR)) as connection:
                rows = await connection.fetch(
                    """
                    SELECT document_id, version FROM full_text
                    WHERE tenant_id = $1 AND NOT deleted AND ($2::uuid IS NULL OR document_id > $2)
                    ORDER BY document_id LIMIT $3
                    """,
                    tenant_id,
                    after,
                    PAGE,
                )
            for row in rows:
                yield row["document_id"], row["version"]
            if len(rows) < PAGE:
                return
            after = rows[-1]["document_id"]

    async def versions_of(self, tenant_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, int]:
        """Version by document of those of some documents that are in the index."""
        async with self._reader.read(internal(tenant_id, _ACTOR)) as connection:
            rows = await connection.fetch(
                """
                SELECT document_id, version FROM full_text
                WHERE tenant_id = $1 AND document_id = ANY($2) AND NOT deleted
                """,
                tenant_id,
                [*ids],
            )
        return {row["document_id"]: row["version"] for row in rows}

    async def refresh(self) -> None:
        """Nothing to do: what is committed is visible."""

    async def health(self) -> Health:
        """As well as PostgreSQL."""
        found = await self._reader.health()
        return Health(found.ok, {"kind": "full_text"}, found.reason)

    async def close(self) -> None:
        """The pools are not its own."""


async def _upsert(connection: Connection, tenant_id: UUID, writes: Sequence[Write], slack: int) -> set[UUID]:
    # One writer per tenant: the counts of the vocabulary are differences to what was there.
    await connection.execute(_PATIENCE)
    try:
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"docsearch index {tenant_id}"
        )
    except asyncpg.LockNotAvailableError as error:
        # Whoever waits is in the way of other tenants' documents.
        raise OverloadedError("other documents of this tenant are being indexed", retry_after=1) from error
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    entries = [write.entry for write in writes]
    row = await connection.fetchrow(
        _UPSERT,
        tenant_id,
        [write.document_id for write in writes],
        [write.version for write in writes],
        [entry is None for entry in entries],
        [entry.title if entry else "" for entry in entries],
        [entry.content if entry else "" for entry in entries],
        [entry.author if entry else "" for entry in entries],
        [entry.language if entry else "" for entry in entries],
        # As text: a list of lists would be taken for an array of two dimensions.
        [_json(entry.tags if entry else ()) for entry in entries],
        [_json(dict(entry.metadata) if entry else {}) for entry in entries],
        [entry.created_at if entry else epoch for entry in entries],
        [entry.published_at if entry else epoch for entry in entries],
        [entry.updated_at if entry else epoch for entry in entries],
        slack,
    )
    assert row is not None
    if row["rarer"]:
        await connection.execute(
            "DELETE FROM vocabulary WHERE tenant_id = $1 AND word = ANY($2) AND documents <= 0", tenant_id, row["rarer"]
        )
    return {*(row["applied"] or ())}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


async def _look_up(connection: Connection, lookups: Sequence[Lookup]) -> tuple[Variants, dict[str, list[str]]]:
    """What the words of a query may also be, and what was taken for misspelt."""
    found: dict[Lookup, tuple[str, ...]] = {}
    whole = [lookup for lookup in lookups if not lookup.prefix]
    words = sorted({lookup.word for lookup in whole})
    if not words:
        return found, {}
    synonyms: dict[str, list[str]] = {}
    if any(lookup.synonyms for lookup in whole):
        for row in await connection.fetch(
            "SELECT word, alternatives FROM synonyms WHERE tenant_id = current_tenant() AND word = ANY($1)", words
        ):
            synonyms[row["word"]] = row["alternatives"]
    # A synonym of one word is found with its endings, too. One of several is a phrase, as it is written.
    asked = {*words, *(other for alternatives in synonyms.values() for other in alternatives if " " not in other)}
    stems: dict[str, list[str]] = {word: [] for word in asked}
    for row in await connection.fetch(STEMS, sorted(asked)):
        stems[row["asked"]].append(row["word"])
    corrected: dict[str, list[str]] = {}
    for lookup in whole:
        variants = list(stems[lookup.word])
        if lookup.synonyms:
            for other in synonyms.get(lookup.word, []):
                variants += [other, *stems.get(other, [])]
        if not variants and lookup.fuzzy and edits(lookup.word):
            if lookup.word not in corrected and len(corrected) < MAX_MISSPELT:
                corrected[lookup.word] = await _near(connection, lookup.word)
            variants = corrected.get(lookup.word, [])
        found[lookup] = tuple(variants)
    return found, {word: near for word, near in corrected.items() if near}


async def _near(connection: Connection, word: str) -> list[str]:
    """Words of the vocabulary that a word may be a misspelling of, the nearest first; the first letter is right."""
    most = edits(word)
    # As two arrays: twenty thousand rows would each be an object of their own.
    found = await connection.fetchrow(
        """
        SELECT array_agg(word) AS words, array_agg(documents) AS documents FROM (
            SELECT word, documents FROM vocabulary
            WHERE tenant_id = current_tenant() AND word ^@ $1 AND length(word) BETWEEN $2 AND $3 AND documents > 0
            ORDER BY documents DESC LIMIT $4
        ) AS likely
        """,
        word[0],
        len(word) - most,
        len(word) + most,
        MAX_CANDIDATES,
    )
    assert found is not None
    return nearest(word, dict(zip(found["words"] or (), found["documents"] or (), strict=True)))


def _hit(row: Mapping[str, Any], query: Query) -> Hit:
    fields = {name: row[name] for name in query.fields}
    score = float(row["score"])
    position = tuple(score if one.field == "score" else row[f"sort_{one.field}"] for one in query.sort)
    marks = query.highlight
    highlights = {
        field: pieces
        for field in (marks.fields if marks else ())
        if marks and (pieces := _pieces(row[f"marked_{field}"], marks))
    }
    return Hit(UUID(row["document_id"]), score, row["version"], fields, highlights, position)


def _pieces(marked: str, marks: Highlight) -> list[str]:
    """What ts_headline marked, safe to put into a page: only the marks are not escaped."""
    pieces = [piece for piece in marked.split(Plan.BETWEEN) if Plan.OPEN in piece]
    return [
        html.escape(piece).replace(Plan.OPEN, marks.pre).replace(Plan.CLOSE, marks.post)
        for piece in pieces[: marks.fragments]
    ]


def _facet(field: str, found: Mapping[str, Any]) -> Facet:
    buckets = [Bucket(value, number) for value, number in found["buckets"]]
    return Facet(field, buckets, found["all"] - sum(bucket.count for bucket in buckets))
