"""The open-loop load driver, a process of its own: `python -m tests.bench.driver < orders.json`, one JSON object out.

Requests are sent when the schedule says, however slowly answers come: one that has to wait for a connection is late by
the service's fault, and its time counts from when it was meant to be sent. So a service that stalls is not asked less
while it does (coordinated omission: Gil Tene, "How NOT to Measure Latency").
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import uvloop

from tests.bench.load import Zipf, arrivals, percentile, query
from tests.bench.wire import Wire, request

UNSENT = "not sent"

LEVEL = re.compile(rb'"level":"(\w+)"')


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What to send.

    Attributes:
        port: TCP port of the API at 127.0.0.1.
        key: The API key.
        rate: Requests per second; 0 sends each query once, as fast as answers come: to warm the cache.
        seconds: For how long.
        s: The exponent of Zipf's law that known queries are chosen by.
        known: How many different ones there are.
        fresh: Share of requests that ask what nobody has asked before.
        first_fresh: The number of the first of those.
        salt: Of the queries.
        seed: Of what is chosen, and when.
        connections: Connections at most.
        patience: How long answers are waited for after the last request, s.
        whole: Whether an answer of the engine that stands in has failed.
    """

    port: int
    key: str
    rate: float
    seconds: float = 0.0
    s: float = 1.0
    known: int = 1000
    fresh: float = 0.0
    first_fresh: int = 10**6
    salt: int = 0
    seed: int = 0
    connections: int = 64
    patience: float = 10.0
    whole: bool = False

    def plan(self) -> list[tuple[float, int]]:
        """When to send which query."""
        if not self.rate:
            return [(0.0, number) for number in range(self.known)]
        chance, zipf = random.Random(self.seed), Zipf(self.known, self.s)
        fresh = itertools.count(self.first_fresh)

        def choose() -> int:
            return next(fresh) if chance.random() < self.fresh else zipf.rank(chance)

        return [(at, choose()) for at in arrivals(self.rate, self.seconds, chance)]


class Driver:
    """Sends what is planned, and notes what comes back."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._plan = orders.plan()
        self._requests = [(at, self._request(number)) for at, number in self._plan]
        self._due: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._times: dict[str, list[float]] = {}
        self._failed: Counter[str] = Counter()
        self._lag: list[float] = []

    def _request(self, number: int) -> bytes:
        body = json.dumps(query(number, self._orders.salt)).encode()
        return request("POST", "/v1/search", body, self._orders.key)

    async def run(self) -> dict[str, Any]:
        """Sends everything; what is not answered in time after the last request has failed."""
        count = min(self._orders.connections, len(self._requests))
        senders = [asyncio.create_task(self._send()) for _ in range(count)]
        began = time.perf_counter() + 0.2
        for at, sent in self._requests:
            wait = began + at - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            if self._orders.rate:
                self._lag.append(time.perf_counter() - began - at)
            self._due.put_nowait((began + at if self._orders.rate else 0.0, sent))
        unsent = 0
        if not await self._answered(self._orders.patience if self._orders.rate else 300):
            while not self._due.empty():
                self._due.get_nowait()
                self._due.task_done()
                unsent += 1
            # What was sent a moment ago has as long as what was sent before it.
            await self._answered(self._orders.patience)
        elapsed = time.perf_counter() - began
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
        return self._report(elapsed, unsent)

    async def _answered(self, seconds: float) -> bool:
        """Whether nothing is due any more, and all that was sent was answered, within a time, s."""
        try:
            async with asyncio.timeout(seconds):
                await self._due.join()
        except TimeoutError:
            return False
        return True

    async def _send(self) -> None:
        """One connection: sends the next request that is due, and reads its answer."""
        with closing(Wire(self._orders.port)) as wire:
            while True:
                due, sent = await self._due.get()
                due = due or time.perf_counter()
                try:
                    status, body = await wire.send(sent)
                except (OSError, asyncio.IncompleteReadError) as error:
                    self._failed[type(error).__name__] += 1
                else:
                    found = LEVEL.findall(body)
                    if self._orders.whole and b'"degraded":true' in body:
                        self._failed["degraded"] += 1
                    elif status == 200 and found:
                        name = found[-1].decode() + (" stale" if b'"stale":true' in body[-200:] else "")
                        self._times.setdefault(name, []).append(time.perf_counter() - due)
                    else:
                        # Who is turned away is told when to come again (RFC 9110, section 10.2.3).
                        silent = status in (429, 503) and b"\nretry-after:" not in wire.head.lower()
                        self._failed[f"{status} without Retry-After" if silent else str(status)] += 1
                self._due.task_done()

    def _report(self, elapsed: float, unsent: int) -> dict[str, Any]:
        everything = sorted(one for times in self._times.values() for one in times)
        failed = dict(self._failed)
        if unsent:
            # Every connection was waiting for an answer: nobody has turned these away, nor heard of them.
            failed[UNSENT] = unsent
        if missing := len(self._plan) - len(everything) - sum(failed.values()):
            failed["no answer"] = missing
        used = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "orders": {**asdict(self._orders), "key": ""},
            "sent": len(self._plan),
            "distinct": len({number for _, number in self._plan}),
            "elapsed": elapsed,
            "failed": failed,
            "levels": {name: dict(_summary(sorted(times))) for name, times in sorted(self._times.items())},
            "all": dict(_summary(everything)),
            "driver_lag_p99": percentile(sorted(self._lag), 0.99),
            "driver_cpu": used.ru_utime + used.ru_stime,
        }


def _summary(times: list[float]) -> Iterator[tuple[str, float]]:
    yield "count", len(times)
    for name, share in {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}.items():
        yield name, percentile(times, share)


def main() -> None:
    """Carries out the orders on stdin."""
    driver = Driver(Orders(**json.load(sys.stdin)))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(driver.run()), sys.stdout)


if __name__ == "__main__":
    main()
