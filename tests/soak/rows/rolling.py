"""Two API processes are restarted in turn while they are asked: nobody notices.

Requests are sent when the schedule says, over connections that are kept, to whichever process is ready; none is sent
twice, so whatever one process drops has failed.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import UUID

from app.store.database import connect
from app.store.embedded import SUPERUSER
from tests.bench.load import Corpus
from tests.bench.plant import Plant, Process, running
from tests.bench.wire import Wire, request
from tests.soak.callers import PATIENCE_SECONDS, Callers, comes_true
from tests.soak.model import Scale, Tell, Verdict
from tests.soak.rows import capacity

PROMISE: Final = (
    "10 rolling restarts of two API processes at 0.5 C, >= 50,000 requests: 0 failed, 0 acknowledged writes lost"
)

PROBE_SECONDS: Final = 0.2
"""How often the balancer asks whether a process is ready."""

NOTICE_SECONDS: Final = 2.0
"""How long a process answers after it has said that it is not ready: ten probes."""

WRITES: Final = 0.2
"""Share of requests that write; the others search."""


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        restarts: How often each process is restarted.
        requests: How many are sent meanwhile, at least.
        rate: Requests per second, on average; 0 for half of C.
    """

    restarts: int
    requests: int
    rate: float


SIZES: Final = {Scale.QUICK: Size(1, 400, 40.0), Scale.FULL: Size(10, 50_000, 0.0)}


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Starts everything and a second API process, and restarts one after the other."""
    size, search, broken = SIZES[scale], capacity.SIZES[scale], list[str]()
    most, rate = 0.0, size.rate
    with running(tell, notice_seconds=NOTICE_SECONDS) as plant, ExitStack() as stack:
        if not rate:
            plant.load(Corpus(seed).documents(search.documents))
            # Of one process: while the other is restarted, that is what there is.
            most = capacity.find(plant, search, seed, tell)
            if not most:
                return Verdict("rolling", PROMISE, {"c_per_s": most}, (capacity.too_slow(search),), seed)
            rate = most / 2
            tell(f"rolling: {rate:.0f} requests/s")
        second = Process(plant.folder / "second", ["serve"], plant.settings)
        stack.callback(second.stop)
        second.start()
        processes = (plant.api, second)
        load = Load([one.port for one in processes], plant.key, rate, random.Random(seed))
        with load.going():
            for restart in range(1, size.restarts + 1):
                for process in processes:
                    process.stop()
                    process.start()
                    _wait(load.balancer.whole, "a restarted process is not asked again")
                _wait(partial(load.has_sent, size.requests * restart / size.restarts), "too little was sent")
                tell(f"rolling: {restart} of {size.restarts}, {load.sent:,} requests, {load.failed.total()} failed")
        broken += [f"{count} requests failed: {what}" for what, count in sorted(load.failed.items())]
        if missing := asyncio.run(_missing(plant, load.written)):
            broken.append(f"{missing} of {len(load.written)} acknowledged documents are not there")
        for process in processes:
            # One that had to be killed has not said so.
            ended = process.log.read_text(errors="replace").count('"stopped"')
            if ended != size.restarts:
                broken.append(f"the process at {process.port} ended in order {ended} of {size.restarts} times")
    figures: dict[str, float | int | str] = {
        "restarts_of_each": size.restarts,
        "requests": load.sent,
        "failed": load.failed.total(),
        "acknowledged_writes": len(load.written),
        "requests_per_second": rate,
    }
    if most:
        figures["c_per_s"] = most
    notes = (
        "the balancer is the test's own, and asks who is ready; one of AWS is told by Kubernetes",
        "C is of searches, and a fifth of these requests write",
    )
    return Verdict("rolling", PROMISE, figures, tuple(broken), seed, notes)


class Balancer:
    """Sends each request to the ready process with the fewest others, over kept connections, and never twice.

    Args:
        ports: Of the processes.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._idle: dict[int, list[Wire]] = {port: [] for port in ports}
        self._busy: Counter[int] = Counter()
        self._ready: set[int] = set()

    def whole(self) -> bool:
        """Whether all processes are asked."""
        return len(self._ready) == len(self._idle)

    async def watch(self, port: int) -> None:
        """Asks a process all the time whether it is ready."""
        while True:
            wire = Wire(port)
            try:
                async with asyncio.timeout(5):
                    status, _ = await wire.send(request("GET", "/health/ready"))
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                status = 0
            finally:
                wire.close()
            if status == 200:
                self._ready.add(port)
            else:
                self._ready.discard(port)
                while self._idle[port]:
                    self._idle[port].pop().close()
            await asyncio.sleep(PROBE_SECONDS)

    async def send(self, sent: bytes) -> tuple[int, bytes]:
        """Sends a request, and returns the status and the body of its answer.

        Raises:
            OSError: No process is ready, or there is no connection.
            asyncio.IncompleteReadError: It has ended before the answer was there.
        """
        if not self._ready:
            raise ConnectionError("no process is ready")
        port = min(self._ready, key=lambda one: self._busy[one])
        wire = self._idle[port].pop() if self._idle[port] else Wire(port)
        self._busy[port] += 1
        try:
            answer = await wire.send(sent)
        finally:
            self._busy[port] -= 1
        if port in self._ready:
            self._idle[port].append(wire)
        else:
            wire.close()
        return answer

    def close(self) -> None:
        """Ends all connections that nobody uses."""
        for wires in self._idle.values():
            while wires:
                wires.pop().close()


class Load(Callers):
    """Callers of a balancer.

    Args:
        ports: Of the processes.
        key: Theirs.
        rate: Requests per second, on average.
        chance: Where chance comes from.
    """

    def __init__(self, ports: Sequence[int], key: str, rate: float, chance: random.Random) -> None:
        super().__init__()
        self.balancer = Balancer(ports)
        self._ports, self._key, self._rate, self._chance = ports, key, rate, chance
        self.sent = 0
        self.failed: Counter[str] = Counter()
        self.written: list[UUID] = []

    def has_sent(self, count: float) -> bool:
        """Whether so many requests were sent."""
        return self.sent >= count

    async def _run(self) -> None:
        watching = [asyncio.create_task(self.balancer.watch(port)) for port in self._ports]
        while not (self.balancer.whole() or self._stopping.is_set()):
            await asyncio.sleep(PROBE_SECONDS)
        due = time.monotonic()
        async with asyncio.TaskGroup() as requests:
            while not self._stopping.is_set():
                due += self._chance.expovariate(self._rate)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                requests.create_task(self._ask(self.sent, write=self._chance.random() < WRITES))
                self.sent += 1
        for one in watching:
            one.cancel()
        await asyncio.gather(*watching, return_exceptions=True)
        self.balancer.close()

    async def _ask(self, number: int, *, write: bool) -> None:
        path, body = ("/v1/documents", {"title": f"tea {number}"}) if write else ("/v1/search", {"q": "tea", "size": 5})
        try:
            async with asyncio.timeout(30):
                status, answer = await self.balancer.send(request("POST", path, json.dumps(body).encode(), self._key))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            self.failed[f"{type(error).__name__} {path}"] += 1
            return
        if status not in (200, 201, 202):
            self.failed[f"{status} {path}"] += 1
        elif write:
            self.written.append(UUID(json.loads(answer)["document_id"]))


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    if not comes_true(until):
        raise TimeoutError(f"{otherwise} after {PATIENCE_SECONDS:.0f} s")


async def _missing(plant: Plant, written: Sequence[UUID]) -> int:
    admin = await connect(plant.settings, SUPERUSER)
    try:
        there = await admin.fetchval("SELECT count(*) FROM documents WHERE document_id = ANY($1)", [*written])
    finally:
        await admin.close()
    return len(written) - int(there)
