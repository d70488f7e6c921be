"""OpenSearch as an index: the engine of choice in production."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from uuid import UUID

import orjson
from opensearchpy import AsyncHttpConnection, AsyncOpenSearch, AWSV4SignerAsyncAuth
from opensearchpy.exceptions import ConnectionError as NotReached
from opensearchpy.exceptions import NotFoundError, RequestError, SerializationError, TransportError

from app.aws.identity import identity
from app.errors import InvalidQueryError, OverloadedError, UnavailableError
from app.index import lifecycle
from app.index.lifecycle import Layout, Tier
from app.index.model import (
    DATE_FIELDS,
    METADATA,
    Bucket,
    Facet,
    Health,
    Hit,
    Outcome,
    Query,
    Result,
    Scalar,
    Suggestion,
    Write,
    Written,
)
from app.index.opensearch_query import Json, document, guard, named_value, search_body, suggest_body, words_in
from app.index.words import split
from app.resilience import deadline
from app.resilience.breaker import Breaker
from app.resilience.deadline import Budget, retrying
from app.settings import Settings
from app.tenancy import ScopedQuery, ScopedSuggest

SEARCH_SECONDS: Final = 2.0
"""A search that takes longer is answered by what stands in: the requirement's bound for p95 is 0.5 s."""

WRITE_SECONDS: Final = 30.0
ADMIN_SECONDS: Final = 60.0

CLOCK_SECONDS: Final = 0.25
"""Longer than OpenSearch's clock takes to move on: `thread_pool.estimated_time_interval` is 200 ms."""

POINT_IN_TIME: Final = "5m"
"""How long pages of one search are read from the same point in time, from one page to the next."""

MAX_BULK_BYTES: Final = 5 * 2**20
"""A bulk request has 5 to 15 MiB (OpenSearch, "Tuning for indexing speed")."""

PAGE: Final = 5_000

IDS: Final = 1_000
"""Documents that one request names."""

SynonymsOf = Callable[[UUID, Sequence[str]], Awaitable[Mapping[str, Sequence[str]]]]
LayoutOf = Callable[[UUID], Awaitable[Layout]]

_OPENING: Final = "\ue000"
_CLOSING: Final = "\ue001"
_REFUSED: Final = range(400, 500)


async def no_synonyms(tenant_id: UUID, words: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """No word has any."""
    del tenant_id, words
    return {}


def connect(settings: Settings) -> AsyncOpenSearch:
    """A client with as many connections as searches run at once; whether to try again is not its to decide."""
    signed: dict[str, Any] = {}
    if settings.opensearch_login == "iam":
        who = identity(settings.aws_region)
        # Of the connection, not of the client, which takes any that is no pair of words for one.
        signed = {"connection_class": Signed, "http_auth": AWSV4SignerAsyncAuth(who, who.region, "es")}
    return AsyncOpenSearch(
        hosts=[{"host": settings.opensearch_host, "port": settings.opensearch_port}],
        use_ssl=settings.opensearch_tls,
        verify_certs=settings.opensearch_tls,
        maxsize=100,
        max_retries=0,
        timeout=ADMIN_SECONDS,
        http_compress=True,
        **signed,
    )


class Signed(AsyncHttpConnection):
    """A connection whose requests are signed: credentials are waited for before, since the signer itself cannot."""

    async def perform_request(self, *args: Any, **more: Any) -> Any:
        """Sends a request."""
        await identity(self._http_auth.signer.region).credentials()
        return await super().perform_request(*args, **more)


class OpenSearch:
    """OpenSearch.

    Args:
        client: The connections.
        breaker: Of this domain.
        layout_of: Where a tenant's documents are; by default with all small ones.
        synonyms_of: A tenant's synonyms of some words.
        prefix: What names of indexes begin with.
    """

    level = "opensearch"

    def __init__(
        self,
        client: AsyncOpenSearch,
        *,
        breaker: Breaker | None = None,
        layout_of: LayoutOf | None = None,
        synonyms_of: SynonymsOf = no_synonyms,
        prefix: str = lifecycle.PREFIX,
    ) -> None:
        self._client, self._breaker, self._prefix = client, breaker or Breaker("OpenSearch"), prefix
        self._layout_of, self._synonyms_of = layout_of or self._small, synonyms_of
        self._budget = Budget()

    async def prepare(self, *, replicas: int = 2, refresh_seconds: int = lifecycle.REFRESH_SECONDS) -> None:
        """Puts the template, the policy and the first index of small tenants in place. Safe to do twice."""
        template = lifecycle.template(prefix=self._prefix, replicas=replicas, refresh_seconds=refresh_seconds)
        async with self._call(ADMIN_SECONDS):
            await self._client.indices.put_index_template(name=self._prefix, body=template)
        await self.make(await self._small(UUID(int=0)))

    async def make(self, layout: Layout) -> None:
        """Makes the index of a layout with its alias, unless there is one."""
        async with self._call(ADMIN_SECONDS):
            if await self._client.indices.exists_alias(name=layout.alias):
                return
            body = {"aliases": {layout.alias: {}}, "settings": {"number_of_shards": layout.primaries}}
            name = lifecycle.first_index(layout.alias)
            try:
                await self._client.indices.create(index=name, body=body)
            except RequestError as error:
                # Another process was faster.
                if error.error != "resource_already_exists_exception":
                    raise

    async def search(self, query: ScopedQuery) -> Result:
        """Finds documents of one tenant."""
        asked = query.query
        layout = await self._layout_of(query.tenant_id)
        words = sorted({*words_in(asked.clause)})
        synonyms = await self._synonyms_of(query.tenant_id, words) if words else {}
        body = search_body(query, synonyms)
        snapshot = ""
        if asked.after is not None:
            snapshot = asked.after.snapshot or await self._point_in_time(layout)
        found = await self._search(layout, body, snapshot)
        if found is None:
            # The point in time has passed: from here on pages are read from another one.
            snapshot = await self._point_in_time(layout)
            found = await self._search(layout, body, snapshot) or {}
        total = found["hits"]["total"]
        return Result(
            total=total["value"],
            exact=total["relation"] == "eq",
            hits=[_hit(one, asked) for one in found["hits"]["hits"]],
            facets=[_facet(one.field, found["aggregations"][f"facet_{at}"]) for at, one in enumerate(asked.facets)],
            snapshot=found.get("pit_id", snapshot),
        )

    async def suggest(self, suggest: ScopedSuggest) -> Sequence[Suggestion]:
        """Completes what is being typed, by words and titles of documents that hold it and are within the filters."""
        words = split(suggest.suggest.prefix)
        if not words:
            return ()
        layout = await self._layout_of(suggest.tenant_id)
        found = await self._search(layout, suggest_body(suggest, opening=_OPENING, closing=_CLOSING), "") or {}
        hits = found["hits"]["hits"]
        begun: Counter[str] = Counter()
        titles: list[Suggestion] = []
        for hit in hits:
            marks = hit.get("highlight", {})
            pieces = [piece for field in ("title", "content") for piece in marks.get(field, ())]
            marked = {word.lower() for piece in pieces for word in re.findall(f"{_OPENING}(.*?){_CLOSING}", piece)}
            begun.update(word for word in marked if word.startswith(words[-1]))
            if "title" in marks:
                titles.append(Suggestion(hit["_source"]["title"], "title", UUID(hit["_id"])))
        ranked = sorted(begun.items(), key=lambda item: (-item[1], item[0]))
        completed = [Suggestion(" ".join((*words[:-1], word)), "word") for word, _ in ranked]
        size = suggest.suggest.size
        kept = max(1, size - max(1, size // 2)) if titles else size
        return [*completed[:kept], *titles][:size]

    async def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Writes a batch, in requests of 5 MiB at most. Each document keeps the highest version that was written."""
        layouts = {tenant_id: await self._layout_of(tenant_id) for tenant_id in {one.tenant_id for one in batch}}
        outcomes: list[Written] = []
        lines: list[bytes] = []
        sent: list[Write] = []
        size = 0
        for one in batch:
            action, body = _lines(one, layouts[one.tenant_id])
            if sent and size + len(body) > MAX_BULK_BYTES:
                outcomes += await self._bulk(sent, lines)
                lines, sent, size = [], [], 0
            lines += [action, body]
            sent.append(one)
            size += len(action) + len(body)
        return outcomes + (await self._bulk(sent, lines) if sent else [])

    async def delete_tenant(self, tenant_id: UUID) -> int:
        """Takes everything of a tenant out: over and over, until nothing is left that a write has put in between."""
        layout = await self._layout_of(tenant_id)
        there = len(await self.versions(tenant_id))
        every = {"query": {"term": {"tenant_id": str(tenant_id)}}}
        where = {"index": layout.alias, "routing": layout.routing} if layout.routing else {"index": layout.alias}
        while True:
            async with self._call(ADMIN_SECONDS):
                await self._client.indices.refresh(index=layout.alias)
                left = await self._client.count(body=every, **where)
                if not left["count"]:
                    break
                # A document that changes meanwhile is skipped, and found the next time.
                await self._client.delete_by_query(body=every, conflicts="proceed", refresh=True, **where)
        if there:
            # What was deleted is remembered with its version, and would refuse the same document at an older one,
            # until a refresh that its clock can tell from the deletion.
            await asyncio.sleep(CLOCK_SECONDS)
            async with self._call(ADMIN_SECONDS):
                await self._client.indices.refresh(index=layout.alias)
        return there

    async def expunge(self, tenant_id: UUID, gone: Sequence[UUID]) -> None:
        """Takes out what is left of documents, over and over until that is nothing, and then all that was deleted.

        What is deleted stays in its segment until that is merged: by default (10%) only if much of it is. Deletions of
        the last `index.soft_deletes.retention_lease.sync_interval` (30 s) are kept for replicas that may ask for them.
        """
        layout = await self._layout_of(tenant_id)
        where = {"index": layout.alias, "routing": layout.routing} if layout.routing else {"index": layout.alias}
        for at in range(0, len(gone), IDS):
            ids = [str(one) for one in gone[at : at + IDS]]
            left = {"query": guard(tenant_id, (), {"terms": {"document_id": ids}})}
            while True:
                async with self._call(ADMIN_SECONDS):
                    await self._client.indices.refresh(index=layout.alias)
                    if not (await self._client.count(body=left, **where))["count"]:
                        break
                    # A document that changes meanwhile is skipped, and found the next time.
                    await self._client.delete_by_query(body=left, conflicts="proceed", refresh=True, **where)
        async with self._call(ADMIN_SECONDS):
            every_segment = {"index.merge.policy.expunge_deletes_allowed": 0}
            await self._client.indices.put_settings(index=layout.alias, body=every_segment)
            await self._client.indices.flush(index=layout.alias)
            await self._client.indices.forcemerge(index=layout.alias, only_expunge_deletes=True)

    async def versions(self, tenant_id: UUID) -> Mapping[UUID, int]:
        """Version by document of all that is in the index, as of now."""
        layout = await self._layout_of(tenant_id)
        async with self._call(ADMIN_SECONDS):
            await self._client.indices.refresh(index=layout.alias)
        snapshot = await self._point_in_time(layout)
        body: Json = {
            "query": guard(tenant_id, ()),
            "size": PAGE,
            "_source": False,
            "docvalue_fields": ["version"],
            "sort": [{"document_id": "asc"}],
            "track_total_hits": False,
        }
        found: dict[UUID, int] = {}
        try:
            while True:
                page = await self._search(layout, body, snapshot, seconds=ADMIN_SECONDS)
                hits = page["hits"]["hits"] if page else []
                found |= {UUID(hit["_id"]): hit["fields"]["version"][0] for hit in hits}
                if len(hits) < PAGE:
                    return found
                body["search_after"] = hits[-1]["sort"]
        finally:
            async with self._call(ADMIN_SECONDS):
                await self._client.delete_pit(body={"pit_id": [snapshot]})

    async def refresh(self) -> None:
        """Makes all that was written visible to searches."""
        async with self._call(ADMIN_SECONDS):
            await self._client.indices.refresh(index=f"{self._prefix}-*", params={"expand_wildcards": "open"})

    async def health(self) -> Health:
        """Whether all primaries of its indexes can be searched."""
        try:
            async with self._call(SEARCH_SECONDS):
                found = await self._client.cluster.health(index=f"{self._prefix}-*", params={"level": "cluster"})
        except (UnavailableError, OverloadedError) as error:
            return Health(False, {"kind": self.level, "breaker": self._breaker.state.value}, error.detail)
        detail: dict[str, Scalar] = {name: found[name] for name in ("status", "number_of_data_nodes", "active_shards")}
        red = found["status"] == "red"
        return Health(not red, {"kind": self.level, **detail}, "a primary shard is not there" if red else "")

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _small(self, tenant_id: UUID) -> Layout:
        return lifecycle.layout_of(Tier.SMALL, tenant_id, prefix=self._prefix)

    async def _point_in_time(self, layout: Layout) -> str:
        async with self._call(SEARCH_SECONDS):
            params = {"keep_alive": POINT_IN_TIME} | ({"routing": layout.routing} if layout.routing else {})
            found = await self._client.create_pit(index=layout.alias, params=params)
        return str(found["pit_id"])

    async def _search(self, layout: Layout, body: Json, snapshot: str, *, seconds: float = SEARCH_SECONDS) -> Any:
        """What a search finds; None if its point in time has passed."""
        # Half of what there is is no answer: either all shards say what they have, or another engine is asked.
        params: dict[str, Any] = {"allow_partial_search_results": "false"}

        async def once() -> Any:
            async with self._call(seconds):
                if snapshot:
                    pit = {"id": snapshot, "keep_alive": POINT_IN_TIME}
                    try:
                        return await self._client.search(body={**body, "pit": pit}, params=params)
                    except NotFoundError:
                        return None
                routing = {"routing": layout.routing} if layout.routing else {}
                return await self._client.search(index=layout.alias, body=body, params={**params, **routing})

        return await retrying(once, budget=self._budget, first=0.1)

    async def _bulk(self, writes: Sequence[Write], lines: Sequence[bytes]) -> list[Written]:
        async with self._call(WRITE_SECONDS):
            answer = await self._client.bulk(body=b"\n".join(lines) + b"\n", params={"require_alias": "true"})
        return [_written(one, item["index"]) for one, item in zip(writes, answer["items"], strict=True)]

    @asynccontextmanager
    async def _call(self, seconds: float) -> AsyncIterator[None]:
        """Goes around one request: within its time, under the breaker, with errors in our own words."""
        with self._breaker.guard():
            async with deadline.limit("OpenSearch", seconds):
                try:
                    yield
                except (NotReached, SerializationError, OSError) as error:
                    raise UnavailableError("OpenSearch does not answer", why=type(error).__name__) from error
                except TransportError as error:
                    raise _translated(error) from error


def _translated(error: TransportError) -> Exception:
    status = error.status_code if isinstance(error.status_code, int) else 0
    if status == 429:
        return OverloadedError("OpenSearch has as much to do as it can", retry_after=1)
    if status == 404:
        return UnavailableError("OpenSearch lacks an index", why=str(error.error), remedy="Run docsearch-api migrate")
    if status == 400:
        # What is in an answer may hold names of others' indexes: it is for the log, as this one's cause.
        return InvalidQueryError("OpenSearch does not take the query", remedy="Ask for less at once", pointer="/query")
    return UnavailableError("OpenSearch does not answer as it should", why=f"HTTP {status}", retry_after=1)


def _lines(write: Write, layout: Layout) -> tuple[bytes, bytes]:
    action: Json = {
        "_index": layout.alias,
        "_id": str(write.document_id),
        "version": write.version,
        "version_type": "external",
    }
    if layout.routing:
        action["routing"] = layout.routing
    return orjson.dumps({"index": action}), orjson.dumps(document(write))


def _written(write: Write, item: Mapping[str, Any]) -> Written:
    status = item["status"]
    if status in (200, 201):
        return Written(write, Outcome.APPLIED)
    reason = f"{item['error']['type']}: {item['error']['reason']}"[:500]
    if status == 409:
        return Written(write, Outcome.STALE)
    # 404: the index is not there yet, or is being moved.
    refused = status in _REFUSED and status not in (404, 408, 429)
    return Written(write, Outcome.REFUSED if refused else Outcome.FAILED, reason)


def _hit(found: Mapping[str, Any], query: Query) -> Hit:
    source = found["_source"]
    empty: dict[str, Any] = {"author": "", "tags": [], "metadata": {}}
    position = tuple(
        found["_score"] if one.field == "score" else source[one.field] if one.field in DATE_FIELDS else value
        for one, value in zip(query.sort, found["sort"][:-1], strict=True)
    )
    return Hit(
        document_id=UUID(found["_id"]),
        score=found["_score"] or 0.0,
        version=source["version"],
        fields={name: source.get(name, empty.get(name)) for name in query.fields},
        highlights=_highlights(found.get("highlight", {}), query),
        position=position,
    )


def _highlights(found: Mapping[str, list[str]], query: Query) -> dict[str, list[str]]:
    return {name: found[name] for name in (query.highlight.fields if query.highlight else ()) if name in found}


def _facet(field: str, found: Mapping[str, Any]) -> Facet:
    named = field.startswith(METADATA)
    buckets = [Bucket(named_value(one["key"]) if named else one["key"], one["doc_count"]) for one in found["buckets"]]
    return Facet(field, buckets, found["sum_other_doc_count"])
