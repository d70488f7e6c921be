"""The search API under load: what it answers in a second, and how long each answer takes, against floors of one run."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import msgspec
import orjson

from app import upkeep
from app.document import Document
from app.index.model import Entry, Write
from app.index.opensearch_query import document, search_body
from app.index.placement import Layout, Tier, layout_of, place_of, tier_of
from app.search import parse
from app.search.cache import SETTLE_SECONDS
from app.search.parse import Bounds
from app.store.database import connect
from app.store.embedded import SUPERUSER
from app.tenancy import internal
from tests.app.services.server import DeadError
from tests.bench.load import Corpus, percentile, query
from tests.bench.plant import TENANT, Plant, running
from tests.bench.wire import Wire, request

Row = dict[str, Any]
Show = Callable[[str, list[Row]], None]

HIT_SHARE = 0.7
"""Of searches (requirement, section 5)."""

BULK_LINES = 500
CLIENTS = 4
KNOWN_SECONDS = 3600.0
FLOOR = "docsearch-floor-000001"
BULK = "/_bulk?filter_path=errors,items.*.status,items.*.error"

IDLE_LOOKS = 5
"""So many seconds in a row nothing may be done about written documents any more before searches are measured."""

STUCK_SECONDS = 600
"""How long what is waited for may not come one step nearer, s."""

REFUSED_SECONDS = 1.0
REFUSED_TRIES = 60
"""What OpenSearch refuses because it is busy is sent again after so long, s, and so often."""

ASTRAY = 0.01
"""Share of misses that OpenSearch does not answer in time, at most: beyond it there is nothing to compare."""


class Sizes(NamedTuple):
    """How much is measured.

    Attributes:
        documents: Documents of the tenant.
        rates: Searches per second, one run each.
        seconds: How long each run takes.
        exponents: Of Zipf's law, for the curve of hits.
        singles: Documents that are written one by one.
        queries: Queries that are asked one after the other, of the API and of OpenSearch.
        seed: Of everything that is left to chance.
        straight: Whether the documents go straight into the index by `_bulk`, and not through the API.
    """

    documents: int
    rates: list[float]
    seconds: float
    exponents: list[float]
    singles: int
    queries: int
    seed: int
    straight: bool = False


class Target(NamedTuple):
    """Where documents go, and whose they are."""

    tenant_id: UUID
    layout: Layout


def run(parts: set[str], sizes: Sizes, show: Show, tell: Callable[[str], None]) -> None:
    """Measures some parts, in their order: the documents that are written first are those that are searched."""
    # What is known has to stay so while all runs last: a hit is to be a hit.
    with running(tell, cache_seconds=KNOWN_SECONDS) as plant:
        target = asyncio.run(_placed(plant, sizes.documents, tell))
        if sizes.straight:
            show("API: documents straight into the index", asyncio.run(_straight(plant, sizes, target, tell)))
        else:
            show("API: indexing", asyncio.run(indexing(plant, sizes, target, tell, floor="indexing" in parts)))
        if "singles" in parts:
            show("API: documents one by one", asyncio.run(singles(plant, sizes, target, tell)))
        if parts & {"misses", "searches", "curve"}:
            asyncio.run(settled(plant, tell))
        if "misses" in parts:
            show("API: misses against OpenSearch", asyncio.run(misses(plant, sizes, target, tell)))
        if "searches" in parts:
            show("API: searches, open loop", searches(plant, sizes, tell))
        if "curve" in parts:
            show("API: hits by Zipf's exponent", curve(plant, sizes, tell))
        show("API: memory, MB", [_memory(plant)])


async def _placed(plant: Plant, documents: int, tell: Callable[[str], None]) -> Target:
    """Puts the tenant where one of its size is, while it has nothing yet."""
    _, said = await Wire(plant.api.port).send(request("GET", "/v1/me", key=plant.key))
    tenant_id, tier = UUID(orjson.loads(said)["tenant_id"]), tier_of(documents, 0)
    if tier is not Tier.SMALL:
        await upkeep.place(plant.settings, TENANT, tier, dry_run=False, tell=tell)
    return Target(tenant_id, layout_of(place_of(tier), tenant_id))


async def _straight(plant: Plant, sizes: Sizes, target: Target, tell: Callable[[str], None]) -> list[Row]:
    """Documents as the worker writes them, past the API: PostgreSQL has none, and so cannot stand in for OpenSearch."""
    count, made, layout = sizes.documents, Corpus(sizes.seed).documents(sizes.documents), target.layout
    # What OpenSearch's own advice for a first load says ("Tuning your cluster for indexing speed").
    await _set(plant, layout, {"refresh_interval": "-1", "translog.durability": "async"})
    tell(f"{count:,} documents straight into {layout.alias}")
    began = time.perf_counter()

    def sent() -> Iterator[bytes]:
        done = 0
        while chunk := [*itertools.islice(made, BULK_LINES)]:
            yield request("POST", BULK, _bulk(chunk, target), media="application/x-ndjson")
            done += len(chunk)
            if done % 500_000 == 0:
                tell(f"{done:,} after {time.perf_counter() - began:.0f} s")

    await _taken(plant.opensearch.port, sent())
    await _set(plant, layout, {"refresh_interval": "1s", "translog.durability": None})
    await _until_counted(plant, layout.alias, count)
    return [{"documents": count, **_shape(layout), "minutes": f"{(time.perf_counter() - began) / 60:.1f}"}]


async def indexing(
    plant: Plant, sizes: Sizes, target: Target, tell: Callable[[str], None], *, floor: bool
) -> list[Row]:
    """Documents from POST to being searchable, and the same ones by `_bulk` into the same OpenSearch.

    Args:
        plant: Where.
        sizes: How many.
        target: Where they go.
        tell: Is told what is being done.
        floor: Whether `_bulk` is measured, too: two more times as many documents.
    """
    count, layout = sizes.documents, target.layout
    into = Target(UUID(int=1), Layout(layout.tier, FLOOR, layout.primaries))
    tell(f"making {count:,} documents")
    made, bodies, raw = Corpus(sizes.seed).documents(count), list[bytes](), list[bytes]()
    while chunk := [*itertools.islice(made, BULK_LINES)]:
        bodies.append(b"\n".join(orjson.dumps({"document": one}) for one in chunk))
        if floor:
            raw.append(request("POST", "/_bulk", _bulk(chunk, into), media="application/x-ndjson"))
    if floor:
        # Once for nothing: the JVM compiles what indexes while it first does so, and neither side is to pay for that.
        tell(f"{count:,} documents by _bulk, to warm it up")
        await _by_bulk(plant, raw, into.layout, count)
    # What is measured is how fast documents come, not how long they wait for a refresh.
    await _set(plant, layout, {"refresh_interval": "1s"})
    tell(f"indexing {count:,} documents")
    began = time.perf_counter()
    sent = (request("POST", "/v1/documents/bulk", body, plant.key, "application/x-ndjson") for body in bodies)
    await _all(plant.api.port, sent, 202)
    taken = time.perf_counter() - began
    await _until_counted(plant, layout.alias, count)
    ours = time.perf_counter() - began
    row: Row = {
        "documents": count,
        **_shape(layout),
        "accepted/s": f"{count / taken:,.0f}",
        "searchable/s": f"{count / ours:,.0f}",
    }
    if floor:
        tell("the same by _bulk")
        took = await _by_bulk(plant, raw, into.layout, count)
        row |= {"raw _bulk/s": f"{count / took:,.0f}", "ratio": f"{took / ours:.2f}"}
    return [{**row, "docs per bulk": BULK_LINES, "clients": CLIENTS}]


async def _by_bulk(plant: Plant, raw: list[bytes], into: Layout, count: int) -> float:
    """How long documents take by `_bulk` until they are searchable, s."""
    settings = {"number_of_shards": into.primaries, "refresh_interval": "1s"}
    await _json(plant, "PUT", f"/{into.alias}", {"settings": settings})
    began = time.perf_counter()
    await _all(plant.opensearch.port, iter(raw), 200)
    await _until_counted(plant, into.alias, count)
    took = time.perf_counter() - began
    await _json(plant, "DELETE", f"/{into.alias}")
    return took


async def singles(plant: Plant, sizes: Sizes, target: Target, tell: Callable[[str], None]) -> list[Row]:
    """Documents that one tenant writes one by one, over more and more connections."""
    rows: list[Row] = []
    first = sizes.documents
    for clients in (1, 8, 64):
        tell(f"documents one by one over {clients} connections")
        count = max(50, sizes.singles * clients // 64)
        made = Corpus(sizes.seed).documents(count, first)
        first += count
        sent = [request("POST", "/v1/documents", orjson.dumps(one), plant.key) for one in made]
        began = time.perf_counter()
        times = sorted(await _all(plant.api.port, iter(sent), 202, clients))
        took = time.perf_counter() - began
        await _until_counted(plant, target.layout.alias, first)
        rows.append({"connections": clients, "writes/s": f"{count / took:,.0f}"} | _ms(times))
    return rows


async def settled(plant: Plant, tell: Callable[[str], None]) -> None:
    """Waits until nothing is done any more about what was written: it would share the cores with searches."""
    tell("waiting for segments to be merged, and for PostgreSQL to vacuum")
    # What is found a moment after a write counts for as long alone, since it may lack what was written.
    await asyncio.sleep(SETTLE_SECONDS + 1)
    database = await connect(plant.settings, SUPERUSER)
    idle, last, end = 0, -1, 0.0
    try:
        while idle < IDLE_LOOKS:
            (node,) = (await _json(plant, "GET", "/_nodes/stats/indices/merge"))["nodes"].values()
            merges = node["indices"]["merges"]
            vacuuming = await database.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'"
            )
            idle = 0 if vacuuming or merges["current"] else idle + 1
            if merges["total"] != last:
                last, end = merges["total"], time.monotonic() + STUCK_SECONDS
            elif time.monotonic() > end:
                tell(f"no merge has ended for {STUCK_SECONDS} s: what follows is slower for that")
                return
            await asyncio.sleep(1)
    finally:
        await database.close()


async def misses(plant: Plant, sizes: Sizes, target: Target, tell: Callable[[str], None]) -> list[Row]:
    """Queries that nobody has asked, of the API and straight of OpenSearch in turn, one after the other."""
    tell(f"{sizes.queries} misses against OpenSearch")
    scope, layout = internal(target.tenant_id, "bench"), target.layout
    routing = f"&routing={layout.routing}" if layout.routing else ""
    path = f"/{layout.alias}/_search?allow_partial_search_results=false{routing}"
    bounds = Bounds(plant.settings.max_page, plant.settings.max_clauses, plant.settings.max_depth)
    wires = Wire(plant.api.port), Wire(plant.opensearch.port)
    times: tuple[list[float], list[float]] = [], []
    warm, astray = sizes.queries // 4, 0
    for number in range(warm + sizes.queries):
        asked = orjson.dumps(query(number, sizes.seed + 1))
        compiled = search_body(scope.query(parse.to_query(parse.decode(asked), bounds)), {})
        both = request("POST", "/v1/search", asked, plant.key), request("POST", path, orjson.dumps(compiled))
        # In turn, so that what the first one has warmed up helps both alike.
        took, whole = [0.0, 0.0], True
        for which in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            status, body = await wires[which].send(both[which])
            took[which] = time.perf_counter() - began
            if status != 200:
                raise DeadError(f"no answer: {status} {body[-300:]!r}")
            whole &= which == 1 or b'"level":"opensearch"' in body
        # Another engine's time is none of this one's: such a query is left out on both sides.
        astray += not whole
        if whole and number >= warm:
            times[0].append(took[0])
            times[1].append(took[1])
    if astray > max(1, ASTRAY * (warm + sizes.queries)):
        raise DeadError(f"{astray} of {warm + sizes.queries} queries were not answered by OpenSearch")
    ours, floor = sorted(times[0]), sorted(times[1])
    rows: list[Row] = [{"asked": "API", "by another engine": astray} | _ms(ours), {"asked": "OpenSearch"} | _ms(floor)]
    shares = {"p50, ms": 0.5, "p95, ms": 0.95, "p99, ms": 0.99}
    ratios = {name: f"{percentile(ours, share) / percentile(floor, share):.2f}" for name, share in shares.items()}
    return [*rows, {"asked": "ratio", **ratios}]


def searches(plant: Plant, sizes: Sizes, tell: Callable[[str], None]) -> list[Row]:
    """Known queries by Zipf's law, and among them fresh ones that have to be misses."""
    rows: list[Row] = []
    known = plant.drive(rate=0.0, known=1000, salt=sizes.seed + 2, connections=4, whole=True)
    if known["failed"]:
        raise DeadError(f"what is to be known is not: {known['failed']}")
    for number, (rate, hits) in enumerate(itertools.product(sizes.rates, (HIT_SHARE, 1.0))):
        tell(f"{rate:g} searches/s, {hits:.0%} hits")
        # Another seed, and so other fresh queries: those of the run before are hits by now.
        found = plant.drive(
            rate=rate, seconds=sizes.seconds, fresh=1 - hits, salt=sizes.seed + 2, seed=sizes.seed + number,
            first_fresh=10**6 * (number + 1), whole=True,
        )  # fmt: skip
        rows += _searched(f"{rate:g}/s, {hits:.0%} hits", found)
    return rows


def curve(plant: Plant, sizes: Sizes, tell: Callable[[str], None]) -> list[Row]:
    """How many searches are hits, from an empty cache, by how unevenly queries are asked."""
    rows = []
    for number, s in enumerate(sizes.exponents):
        tell(f"hits at an exponent of {s:g}")
        found = plant.drive(
            rate=min(sizes.rates), seconds=sizes.seconds, s=s, known=100_000, salt=sizes.seed + 10 + number,
            seed=sizes.seed, whole=True,
        )  # fmt: skip
        levels = found["levels"]
        hits = sum(its["count"] for name, its in levels.items() if name.split()[0] in ("memory", "redis"))
        sent = found["sent"]
        rows.append(
            {
                "s": s,
                "searches": sent,
                "different": found["distinct"],
                "hits": f"{hits / sent:.1%}",
                "at best": f"{1 - found['distinct'] / sent:.1%}",
                "failed": sum(found["failed"].values()),
            }
        )
    return rows


def _searched(name: str, found: Row) -> Iterator[Row]:
    answered = found["all"]["count"]
    for level, its in {"all": found["all"], **found["levels"]}.items():
        whole = level == "all"
        yield {
            "load": name if whole else "",
            "served by": level,
            "answers": its["count"],
            "answers/s": f"{its['count'] / found['elapsed']:,.0f}",
            **{f"{at}, ms": f"{its[at] * 1e3:.1f}" for at in ("p50", "p95", "p99")},
            "failed": sum(found["failed"].values()) if whole else "",
            "per core/s": f"{answered / found['api_cpu']:,.0f}" if whole and found["api_cpu"] else "",
            "API, MB": f"{found['api_mb'][0]:.0f}" if whole else "",
            "driver late p99, ms": f"{found['driver_lag_p99'] * 1e3:.1f}" if whole else "",
        }


def _memory(plant: Plant) -> Row:
    (api, api_most), (worker, worker_most) = plant.api.memory, plant.worker.memory
    return {
        "API": f"{api:.0f}",
        "API at most": f"{api_most:.0f}",
        "worker": f"{worker:.0f}",
        "worker at most": f"{worker_most:.0f}",
    }


def _shape(layout: Layout) -> Row:
    return {"tier": str(layout.tier), "primaries": layout.primaries}


def _ms(times: list[float]) -> Row:
    return {f"{name}, ms": f"{percentile(times, share) * 1e3:.1f}" for name, share in _SHARES.items()}


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


async def _all(port: int, sent: Iterator[bytes], expected: int, clients: int = CLIENTS) -> list[float]:
    """Sends requests over some connections, each as soon as the one before is answered, and says how long each took."""
    times: list[float] = []

    async def client() -> None:
        wire = Wire(port)
        for one in sent:
            began = time.perf_counter()
            status, body = await wire.send(one)
            times.append(time.perf_counter() - began)
            if status != expected:
                raise DeadError(f"HTTP {status}: {body[:300]!r}")
        wire.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return times


async def _taken(port: int, sent: Iterator[bytes]) -> None:
    """Sends requests of `_bulk`, and what is refused once more, until every document of them is taken.

    Raises:
        DeadError: One is not, for a reason that stays.
    """

    async def client() -> None:
        with closing(Wire(port)) as wire:
            for one in sent:
                for attempt in range(REFUSED_TRIES):
                    status, body = await wire.send(one)
                    reason = _refused(body) if status == 200 else f"HTTP {status}: {body[:300]!r}"
                    if not reason:
                        break
                    if status not in (200, 429, 503) or attempt == REFUSED_TRIES - 1:
                        raise DeadError(f"documents were refused: {reason}")
                    await asyncio.sleep(REFUSED_SECONDS)

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())


def _refused(body: bytes) -> str:
    """Why a document is not there; nothing if all are. One that has its version already was taken before."""
    said = orjson.loads(body)
    if not said["errors"]:
        return ""
    items = (next(iter(item.values())) for item in said["items"])
    return next((str(one.get("error", one)) for one in items if one["status"] not in (200, 201, 409)), "")


def _bulk(chunk: list[dict[str, object]], into: Target) -> bytes:
    """Documents as the worker writes them."""
    now, lines = datetime.now(UTC), []
    routing = {"routing": into.layout.routing} if into.layout.routing else {}
    for one in chunk:
        its, document_id = msgspec.convert(one, Document), uuid4()
        entry = Entry(
            title=its.title, content=its.content, author=its.author, language=its.language, tags=its.tags,
            metadata=its.metadata, created_at=now, published_at=now, updated_at=now,
        )  # fmt: skip
        write = Write(tenant_id=into.tenant_id, document_id=document_id, version=1, entry=entry)
        action = {"_index": into.layout.alias, "_id": f"{into.tenant_id}:{document_id}"}
        version = {"version": 1, "version_type": "external"}
        lines += [orjson.dumps({"index": action | version | routing}), orjson.dumps(document(write))]
    return b"\n".join(lines) + b"\n"


async def _set(plant: Plant, layout: Layout, settings: Row) -> None:
    await _json(plant, "PUT", f"/{layout.alias}/_settings", {"index": settings})


async def _until_counted(plant: Plant, index: str, count: int) -> None:
    """Returns when so many documents are searchable, however long they take, unless they stop coming."""
    last, end = -1, 0.0
    while (found := (await _json(plant, "GET", f"/{index}/_count"))["count"]) < count:
        if found > last:
            last, end = found, time.monotonic() + STUCK_SECONDS
        elif time.monotonic() > end:
            raise DeadError(f"{found:,} of {count:,} documents are searchable, and no more for {STUCK_SECONDS} s")
        await asyncio.sleep(0.1)


async def _json(plant: Plant, method: str, path: str, body: object = None) -> Any:
    wire = Wire(plant.opensearch.port)
    status, found = await wire.send(request(method, path, orjson.dumps(body) if body else b""))
    wire.close()
    if status >= 300:
        raise DeadError(f"{method} {path}: HTTP {status}: {found[:300]!r}")
    return orjson.loads(found)
