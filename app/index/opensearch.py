"""OpenSearch as an index: the engine of choice in production."""

from __future__ import annotations

import asyncio
import re
import time
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final
from uuid import UUID

import orjson
from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import ConnectionError as NotReached
from opensearchpy.exceptions import NotFoundError, RequestError, SerializationError, TransportError

from app.errors import ApiError, OverloadedError, UnavailableError
from app.index import lifecycle
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
    suggestions,
)
from app.index.opensearch_client import ADMIN_SECONDS, lost, translated
from app.index.opensearch_query import Json, document, guard, named_value, search_body, suggest_body, words_in
from app.index.placement import PREFIX, SHARED, Always, Layout, Layouts, Place, SmallOnes, index_name, layout_of
from app.index.words import split
from app.resilience import deadline
from app.resilience.breaker import Breaker
from app.resilience.deadline import Budget, retrying
from app.tenancy import ScopedQuery, ScopedSuggest

SEARCH_SECONDS: Final = 2.0
"""A search that takes longer is answered by what stands in: the requirement's bound for p95 is 0.5 s."""

WRITE_SECONDS: Final = 30.0

MERGE_SECONDS: Final = 3600.0
"""A merge that takes what is deleted off the disk rewrites nearly all of an index's segments."""

LOOK_SECONDS: Final = 2.0
"""How long to wait before looking whether it is done, s."""

CLOCK_SECONDS: Final = 0.25
"""Longer than OpenSearch's clock takes to move on: `thread_pool.estimated_time_interval` is 200 ms."""

POINT_IN_TIME: Final = "5m"
"""How long an index may take from one page to the next while all of it is read."""

PAGES: Final = "1m"
"""The same, of pages that a caller asks for. Who takes longer goes on at another point in time: a node of OpenSearch
has room for 300 (`search.max_open_pit_context`), and each keeps segments that are merged."""

MAX_BULK_BYTES: Final = 5 * 2**20
"""A bulk request has 5 to 15 MiB (OpenSearch, "Tuning for indexing speed")."""

PAGE: Final = 5_000

IDS: Final = 1_000
"""Documents that one request names."""

SynonymsOf = Callable[[UUID, Sequence[str]], Awaitable[Mapping[str, Sequence[str]]]]

_GZIP: Final = 31
"""Bits of zlib's window, and 16 for a header as gzip has it."""

_OPENING: Final = "\ue000"
_CLOSING: Final = "\ue001"
_REFUSED: Final = range(400, 500)


async def no_synonyms(tenant_id: UUID, words: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """No word has any."""
    del tenant_id, words
    return {}


class OpenSearch:
    """OpenSearch.

    Args:
        client: The connections.
        breaker: Of this domain.
        layouts: Where tenants' documents are; by default all are small.
        synonyms_of: A tenant's synonyms of some words.
        prefix: What names of indexes begin with.
    """

    level = "opensearch"

    def __init__(
        self,
        client: AsyncOpenSearch,
        *,
        breaker: Breaker | None = None,
        layouts: Layouts | None = None,
        synonyms_of: SynonymsOf = no_synonyms,
        prefix: str = PREFIX,
    ) -> None:
        self._client, self._breaker, self.prefix = client, breaker or Breaker("OpenSearch"), prefix
        self._layouts, self._synonyms_of = layouts or SmallOnes(prefix), synonyms_of
        self._budget = Budget()

    def at(self, layout: Layout) -> OpenSearch:
        """The same domain for one tenant, at a place that it need not be found at."""
        return OpenSearch(
            self._client,
            breaker=self._breaker,
            layouts=Always(layout),
            synonyms_of=self._synonyms_of,
            prefix=self.prefix,
        )

    async def prepare(self, *, replicas: int = 2, refresh_seconds: int = lifecycle.REFRESH_SECONDS) -> None:
        """Puts the template in place, and the index that small tenants share. Safe to do twice."""
        template = lifecycle.template(prefix=self.prefix, replicas=replicas, refresh_seconds=refresh_seconds)
        async with self.call(ADMIN_SECONDS) as client:
            await client.indices.put_index_template(name=self.prefix, body=template)
        await self.make(layout_of(Place(), SHARED, prefix=self.prefix))

    async def make(self, layout: Layout) -> None:
        """Makes the first index of a layout with its alias, unless there is one."""
        async with self.call(ADMIN_SECONDS) as client:
            if await client.indices.exists_alias(name=layout.alias):
                return
        await self.make_index(index_name(layout.alias), layout)

    async def make_index(self, name: str, layout: Layout) -> bool:
        """Makes an index behind the alias of a layout.

        Returns:
            Whether it was not there.
        """
        body = {"aliases": {layout.alias: {}}, "settings": {"number_of_shards": layout.primaries}}
        async with self.call(ADMIN_SECONDS) as client:
            try:
                await client.indices.create(index=name, body=body)
            except RequestError as error:
                # Another process was faster.
                if error.error != "resource_already_exists_exception":
                    raise
                return False
        return True

    async def search(self, query: ScopedQuery) -> Result:
        """Finds documents of one tenant."""
        asked = query.query
        layout = await self._layouts.read(query.tenant_id)
        words = sorted({*words_in(asked.clause)})
        synonyms = await self._synonyms_of(query.tenant_id, words) if words else {}
        body = search_body(query, synonyms)
        snapshot, at = (asked.after.snapshot, asked.after.snapshot_at) if asked.after else ("", 0.0)
        if asked.after and not snapshot:
            snapshot, at = await self._begin(layout)
        found = await self._search(layout, body, snapshot)
        if found is None:
            # The point in time has passed: this page is read without one, and the next one begins another.
            snapshot, at = "", 0.0
            found = await self._search(layout, body, snapshot)
        total = found["hits"]["total"]
        if snapshot and len(found["hits"]["hits"]) < asked.size:
            await self._end(found.get("pit_id", snapshot))
            snapshot = ""
        return Result(
            total=total["value"],
            exact=total["relation"] == "eq",
            hits=[_hit(one, asked) for one in found["hits"]["hits"]],
            facets=[_facet(one.field, found["aggregations"][f"facet_{at}"]) for at, one in enumerate(asked.facets)],
            engine=self.level,
            snapshot=found.get("pit_id", snapshot) if snapshot else "",
            snapshot_at=at,
        )

    async def suggest(self, suggest: ScopedSuggest) -> Sequence[Suggestion]:
        """Completes what is being typed, by words and titles of documents that hold it and are within the filters."""
        words = split(suggest.suggest.prefix)
        if not words:
            return ()
        layout = await self._layouts.read(suggest.tenant_id)
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
                titles.append(Suggestion(hit["_source"]["title"], "title", _id(hit)))
        ranked = sorted(begun.items(), key=lambda item: (-item[1], item[0]))
        completed = [Suggestion(" ".join((*words[:-1], word)), "word") for word, _ in ranked]
        return suggestions(completed, titles, suggest.suggest.size)

    async def write(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Writes a batch, in requests of 5 MiB at most. Each document keeps the highest version that was written.

        Raises:
            UnavailableError: OpenSearch does not answer, or lacks an index: that is nobody's document's fault.
        """
        return await self._write(batch, await self._layouts.written({one.tenant_id for one in batch}), "external")

    async def restore(self, batch: Sequence[Write]) -> Sequence[Written]:
        """Writes a batch again, over what has the same versions."""
        return await self._write(batch, await self._layouts.written({one.tenant_id for one in batch}), "external_gte")

    async def _write(
        self, batch: Sequence[Write], layouts: Mapping[UUID, Sequence[Layout]], version_type: str
    ) -> Sequence[Written]:
        outcomes: list[Written] = []
        lines: list[bytes] = []
        sent: list[Write] = []
        size = 0
        for one in batch:
            try:
                body = orjson.dumps(document(one))
            except (TypeError, ValueError) as error:
                # Whatever it is, it is this one document's: others go on, and it is told where it ended.
                outcomes.append(Written(one, Outcome.REFUSED, f"it cannot be written as JSON: {error}"[:500]))
                continue
            pairs = [part for layout in layouts[one.tenant_id] for part in (_action(one, layout, version_type), body)]
            length = sum(map(len, pairs))
            if sent and size + length > MAX_BULK_BYTES:
                outcomes += await self._bulk(sent, lines, layouts)
                lines, sent, size = [], [], 0
            lines += pairs
            sent.append(one)
            size += length
        return outcomes + (await self._bulk(sent, lines, layouts) if sent else [])

    async def delete_tenant(self, tenant_id: UUID) -> int:
        """Takes everything of a tenant out, wherever it is."""
        there = len(await self.versions(tenant_id))
        for layout in (await self._layouts.written({tenant_id}))[tenant_id]:
            await self._delete({"term": {"tenant_id": str(tenant_id)}}, layout)
        return there

    async def remove(self, tenant_id: UUID, ids: Collection[UUID]) -> None:
        """Takes documents of a tenant out, with all that is known of their versions."""
        every = sorted(map(str, ids))
        for layout in (await self._layouts.written({tenant_id}))[tenant_id]:
            for at in range(0, len(every), IDS):
                mine = guard(tenant_id, (), {"terms": {"document_id": every[at : at + IDS]}})
                await self._delete(mine, layout)

    async def _delete(self, what: Json, layout: Layout) -> None:
        """Deletes over and over, until nothing is left that a write has put in between."""
        where = {"index": layout.alias, "routing": layout.routing} if layout.routing else {"index": layout.alias}
        gone = False
        while True:
            async with self.call(ADMIN_SECONDS) as client:
                await client.indices.refresh(index=layout.alias)
                left = await client.count(body={"query": what}, **where)
                if not left["count"]:
                    break
                gone = True
                # A document that changes meanwhile is skipped, and found the next time.
                await client.delete_by_query(body={"query": what}, conflicts="proceed", refresh=True, **where)
        if gone:
            # What was deleted is remembered with its version, and would refuse the same document at an older one,
            # until a refresh that its clock can tell from the deletion.
            await asyncio.sleep(CLOCK_SECONDS)
            async with self.call(ADMIN_SECONDS) as client:
                await client.indices.refresh(index=layout.alias)

    async def expunge(self, tenant_id: UUID, gone: Sequence[UUID]) -> None:
        """Takes out what is left of documents, over and over until that is nothing, and then all that was deleted.

        What is deleted stays in its segment until that is merged: by default (10%) only if much of it is. Deletions of
        the last 30 s are kept for replicas that may ask for them (`IndexService`, retention_lease.sync_interval).
        """
        await self.remove(tenant_id, gone)
        for layout in (await self._layouts.written({tenant_id}))[tenant_id]:
            async with self.call(ADMIN_SECONDS) as client:
                every_segment = {"index.merge.policy.expunge_deletes_allowed": 0}
                await client.indices.put_settings(index=layout.alias, body=every_segment)
                await client.indices.flush(index=layout.alias)
                # As a task: who waits for an answer, and is cut off, begins the same merge again and again.
                only = {"only_expunge_deletes": "true", "wait_for_completion": "false"}
                task = (await client.indices.forcemerge(index=layout.alias, params=only))["task"]
            await self._ended(task)

    async def _ended(self, task: str) -> None:
        """Waits until a task of OpenSearch has ended, and done all that it was to do."""

        async def once() -> Any:
            async with self.call(ADMIN_SECONDS) as client:
                try:
                    return await client.tasks.get(task_id=task)
                except NotFoundError as error:
                    raise UnavailableError("OpenSearch has lost a task", why="its node has gone") from error

        ends = time.monotonic() + MERGE_SECONDS
        while time.monotonic() < ends:
            found = await retrying(once, budget=self._budget, first=LOOK_SECONDS)
            if found["completed"]:
                failures = found.get("error") or found["response"]["_shards"].get("failures")
                if failures:
                    raise UnavailableError("OpenSearch has failed at a task", why=str(failures)[:500])
                return
            await asyncio.sleep(LOOK_SECONDS)
        raise UnavailableError(f"OpenSearch has been at a task for {MERGE_SECONDS:g} s", why="it may still be")

    async def versions(self, tenant_id: UUID) -> Mapping[UUID, int]:
        """Version by document of all that is in the index, as of now."""
        return {document_id: version async for document_id, version in self.entries(tenant_id)}

    async def entries(self, tenant_id: UUID) -> AsyncGenerator[tuple[UUID, int], None]:
        """Every document of a tenant and its version, as of now, in the order of their ids."""
        layout = await self._layouts.read(tenant_id)
        async with self.call(ADMIN_SECONDS) as client:
            await client.indices.refresh(index=layout.alias)
            snapshot = str((await self._point_in_time(layout, POINT_IN_TIME))["pit_id"])
        body = {**_versions(guard(tenant_id, ())), "sort": [{"document_id": "asc"}]}
        try:
            while True:
                page = await self._search(layout, body, snapshot, seconds=ADMIN_SECONDS)
                if page is None:
                    raise UnavailableError("the index was moved while it was read", remedy="Read it again")
                hits = page["hits"]["hits"]
                for hit in hits:
                    yield _version(hit)
                if len(hits) < PAGE:
                    return
                body["search_after"] = hits[-1]["sort"]
        finally:
            await self._end(snapshot)

    async def versions_of(self, tenant_id: UUID, ids: Collection[UUID]) -> Mapping[UUID, int]:
        """Version by document of those of some documents that are in the index, as of now."""
        layout = await self._layouts.read(tenant_id)
        async with self.call(ADMIN_SECONDS) as client:
            await client.indices.refresh(index=layout.alias)
        found: dict[UUID, int] = {}
        every = sorted(map(str, ids))
        for at in range(0, len(every), PAGE):
            body = _versions(guard(tenant_id, (), {"terms": {"document_id": every[at : at + PAGE]}}))
            page = await self._search(layout, body, "", seconds=ADMIN_SECONDS)
            found |= dict(_version(hit) for hit in page["hits"]["hits"])
        return found

    async def refresh(self) -> None:
        """Makes all that was written visible to searches."""
        async with self.call(ADMIN_SECONDS):
            await self._client.indices.refresh(index=f"{self.prefix}-*", params={"expand_wildcards": "open"})

    async def health(self) -> Health:
        """Whether all primaries of its indexes can be searched."""
        try:
            async with self.call(SEARCH_SECONDS):
                found = await self._client.cluster.health(index=f"{self.prefix}-*", params={"level": "cluster"})
        except (UnavailableError, OverloadedError) as error:
            return Health(False, {"kind": self.level, "breaker": self._breaker.state.value}, error.detail)
        detail: dict[str, Scalar] = {name: found[name] for name in ("status", "number_of_data_nodes", "active_shards")}
        red = found["status"] == "red"
        return Health(not red, {"kind": self.level, **detail}, "a primary shard is not there" if red else "")

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def _begin(self, layout: Layout) -> tuple[str, float]:
        """A point in time for the pages of a search, and when it began, s since 1970; none if there are too many.

        Then pages are read from the index as it is. That a caller has used them all up is no failure of OpenSearch.
        """
        async with self.call(SEARCH_SECONDS):
            try:
                found = await self._point_in_time(layout, PAGES)
            except TransportError as error:
                if error.status_code != 429:
                    raise
                return "", 0.0
        return str(found["pit_id"]), found["creation_time"] / 1000

    async def _end(self, snapshot: str) -> None:
        """Closes a point in time. It ends by itself if OpenSearch does not answer."""
        with suppress(ApiError):
            async with self.call(SEARCH_SECONDS) as client:
                await client.delete_pit(body={"pit_id": [snapshot]})

    async def _point_in_time(self, layout: Layout, keep_alive: str) -> Any:
        # Of some shards alone it would be whole for whoever reads it.
        params: dict[str, Any] = {"keep_alive": keep_alive, "allow_partial_pit_creation": "false"}
        params |= {"routing": layout.routing} if layout.routing else {}
        return await self._client.create_pit(index=layout.alias, params=params)

    async def _search(self, layout: Layout, body: Json, snapshot: str, *, seconds: float = SEARCH_SECONDS) -> Any:
        """What a search finds; None if its point in time has passed."""
        # Half of what there is is no answer: either all shards say what they have, or another engine is asked.
        params: dict[str, Any] = {"allow_partial_search_results": "false"}

        async def once() -> Any:
            async with self.call(seconds):
                if snapshot:
                    pit = {"id": snapshot, "keep_alive": PAGES if seconds == SEARCH_SECONDS else POINT_IN_TIME}
                    try:
                        return await self._client.search(body={**body, "pit": pit}, params=params)
                    except TransportError as error:
                        if lost(error):
                            return None
                        raise
                routing = {"routing": layout.routing} if layout.routing else {}
                return await self._client.search(index=layout.alias, body=body, params={**params, **routing})

        return await retrying(once, budget=self._budget, first=0.1)

    async def _bulk(
        self, writes: Sequence[Write], lines: Sequence[bytes], layouts: Mapping[UUID, Sequence[Layout]]
    ) -> list[Written]:
        async with self.call(WRITE_SECONDS):
            answer = await self._client.transport.perform_request(
                "POST",
                "/_bulk",
                params={"require_alias": "true", "filter_path": "items.*.status,items.*.error"},
                headers={"content-type": "application/x-ndjson", "content-encoding": "gzip"},
                # At its fastest: a third of the time of zlib's usual level, for a tenth more of bytes.
                body=zlib.compress(b"\n".join((*lines, b"")), 1, wbits=_GZIP),
            )
        items = iter(answer["items"])
        found = [[_written(one, next(items)["index"]) for _ in layouts[one.tenant_id]] for one in writes]
        return [min(written, key=lambda one: _SURENESS[one.outcome]) for written in found]

    @asynccontextmanager
    async def call(self, seconds: float) -> AsyncIterator[AsyncOpenSearch]:
        """Goes around one request: within its time, under the breaker, with errors in our own words."""
        with self._breaker.guard():
            async with deadline.limit("OpenSearch", seconds):
                try:
                    yield self._client
                except (NotReached, SerializationError, OSError) as error:
                    raise UnavailableError("OpenSearch does not answer", why=type(error).__name__) from error
                except TransportError as error:
                    raise translated(error) from error


def _action(write: Write, layout: Layout, version_type: str) -> bytes:
    action: Json = {
        "_index": layout.alias,
        # In the index that small tenants share, documents of two of them may have the same id: callers choose it.
        "_id": f"{write.tenant_id}:{write.document_id}",
        "version": write.version,
        "version_type": version_type,
    }
    if layout.routing:
        action["routing"] = layout.routing
    return orjson.dumps({"index": action})


def _written(write: Write, item: Mapping[str, Any]) -> Written:
    status = item["status"]
    if status in (200, 201):
        return Written(write, Outcome.APPLIED)
    reason = f"{item['error']['type']}: {item['error']['reason']}"[:500]
    if status == 409:
        return Written(write, Outcome.STALE)
    if status in (429, 503) or item["error"]["type"] == "cluster_block_exception":
        # It has as much to do as it can, lacks a shard, or is full: no attempt of the document's.
        raise UnavailableError("OpenSearch takes no writes", why=reason, retry_after=1)
    if status == 404:
        # It is not there yet, or was moved a moment ago. Whatever else was in the request is written.
        raise UnavailableError("OpenSearch lacks an index", why=reason, remedy="Run docsearch-api migrate")
    refused = status in _REFUSED and status != 408
    return Written(write, Outcome.REFUSED if refused else Outcome.FAILED, reason)


_SURENESS: Final = {Outcome.REFUSED: 0, Outcome.FAILED: 1, Outcome.APPLIED: 2, Outcome.STALE: 3}
"""What became of a document that was written to two places: the worst of both, and applied if one has taken it."""


def _versions(query: Json) -> Json:
    return {
        "query": query,
        "size": PAGE,
        "_source": False,
        "docvalue_fields": ["version"],
        "track_total_hits": False,
    }


def _id(hit: Mapping[str, Any]) -> UUID:
    return UUID(hit["_id"].rpartition(":")[2])


def _version(hit: Mapping[str, Any]) -> tuple[UUID, int]:
    return _id(hit), hit["fields"]["version"][0]


def _hit(found: Mapping[str, Any], query: Query) -> Hit:
    source = found["_source"]
    empty: dict[str, Any] = {"author": "", "tags": [], "metadata": {}}
    position = tuple(
        found["_score"] if one.field == "score" else source[one.field] if one.field in DATE_FIELDS else value
        for one, value in zip(query.sort, found["sort"][:-1], strict=True)
    )
    return Hit(
        document_id=_id(found),
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
