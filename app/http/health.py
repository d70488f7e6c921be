"""Health: whether to restart a process, whether to send it requests, and how everything does."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any, Final

from msgspec import Struct
from starlette.responses import Response

from app.access.memory import STALE_SECONDS
from app.http.call import Call, Operation, answer
from app.index.model import Health

PROBE_SECONDS: Final = 1.5
"""A dependency has so long to answer, s: less than the 2 s of the platform's probes."""


class Live(Struct, frozen=True):
    """A process that answers."""

    status: str


class Detailed(Struct, frozen=True):
    """How everything does.

    Attributes:
        status: ``UP``; ``DEGRADED`` if something is down that requests can do without; ``DOWN``.
        components: By dependency: ``database``, ``search``, ``cache``, ``message_queue``. The last one is RabbitMQ in a
            process that indexes with it, and in all others the outbox in PostgreSQL, which is as well as that.
        release: What this process calls itself.
        uptime_seconds: How long it has been there, s.
    """

    status: str
    components: dict[str, Any]
    release: str
    uptime_seconds: float


async def live(call: Call) -> Response:
    """Whether the process answers: no dependency is asked, since a restart would heal none."""
    del call
    return answer(Live("UP"))


async def ready(call: Call) -> Response:
    """Whether to send users to this region: the database answers. What it can do without does not count."""
    if call.service.leaving:
        return answer(Live("LEAVING"), 503)
    found = await _probe(call.service.database.health())
    return answer(Live("UP" if found.ok else "DOWN"), 200 if found.ok else 503)


async def started(call: Call) -> Response:
    """Whether to send requests to this process, which answers searches from what it knows while the database is away.

    A fail-over of the database is seen by all processes at once: if it took them out, nobody would be left to answer.
    After `STALE_SECONDS` nobody is let in any more, so that there is nothing left to answer with.
    """
    service = call.service
    if service.leaving:
        return answer(Live("LEAVING"), 503)
    if (await _probe(service.database.health())).ok:
        service.seen_at = service.clock()
        return answer(Live("UP"))
    if service.clock() - service.seen_at > STALE_SECONDS:
        return answer(Live("DOWN"), 503)
    return answer(Live("DEGRADED"))


async def detailed(call: Call) -> Response:
    """How everything does."""
    service = call.service
    engine, *_ = service.engines
    asked = {
        "database": service.database.health(),
        "search": engine.health(),
        "cache": service.cache.health(),
        **({"message_queue": service.queue.health()} if service.queue else {}),
    }
    found = dict(zip(asked, await asyncio.gather(*map(_probe, asked.values())), strict=True))
    # Who has no queue writes to the outbox, and may not even get to the broker.
    found.setdefault("message_queue", replace(found["database"], detail={"kind": "outbox"}))
    components = {
        name: {"status": "UP" if one.ok else "DOWN", "detail": dict(one.detail), "reason": one.reason}
        for name, one in found.items()
    }
    down = [name for name, one in found.items() if not one.ok]
    status = "DOWN" if "database" in down else "DEGRADED" if down else "UP"
    uptime = round(time.monotonic() - service.started_at, 1)
    return answer(Detailed(status, components, service.settings.release, uptime), 503 if status == "DOWN" else 200)


async def metrics(call: Call) -> Response:
    """What is counted, for Prometheus."""
    await call.service.refresh_metrics()
    return Response(call.service.metrics.text(), media_type="text/plain; version=0.0.4")


async def _probe(asked: Any) -> Health:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            found: Health = await asked
    except TimeoutError:
        return Health(False, reason=f"no answer within {PROBE_SECONDS:g} s")
    return found


def _operation(path: str, handler: Any, name: str, summary: str, answers: dict[int, Any]) -> Operation:
    return Operation(
        method="GET", path=path, handler=handler, right=None, name=name, summary=summary, tag="health", answers=answers
    )


OPERATIONS: Final = (
    _operation("/health/live", live, "live", "See whether the process answers", {200: Live}),
    _operation(
        "/health/startup",
        started,
        "started",
        f"See whether the process takes requests, as it does for {STALE_SECONDS:g} s without the database",
        {200: Live, 503: Live},
    ),
    _operation(
        "/health/ready",
        ready,
        "ready",
        "See whether the process takes requests, and the database answers",
        {200: Live, 503: Live},
    ),
    _operation("/health", detailed, "health", "See how everything does", {200: Detailed, 503: Detailed}),
    _operation("/metrics", metrics, "metrics", "Read the metrics, in Prometheus's text format", {200: str}),
)
