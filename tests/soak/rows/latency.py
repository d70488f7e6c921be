"""A dependency is 5 s late: its breaker opens, what does without it goes on as before, and afterwards all is as it was.

Requests are sent when the schedule says, whatever the answers do. Between the service and each dependency stands a
proxy that delays (simulated: nothing is wrong with the dependency itself). When a breaker opens and closes is read from
the log of the process that answers.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import re
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from app.resilience.breaker import State
from tests.app.history import History
from tests.bench.load import Corpus, percentile, query
from tests.bench.plant import Plant, Service, running
from tests.bench.wire import Wire, request
from tests.soak.callers import Callers, comes_true
from tests.soak.model import Scale, Tell, Verdict
from tests.soak.proxy import DelayingProxy
from tests.soak.rows import kills

PROMISE: Final = (
    "a dependency 5 s late: a breaker that requests wait for opens within 10 s, each closes within 30 s of the end; "
    "what does without it has p99 <= 1.2 times that without delay; until its breaker opens it gets <= 10% more "
    "requests than usual, and the ten retries that a process may make at once; 0 acknowledged writes lost"
)

OPENS_SECONDS: Final = 10.0
CLOSES_SECONDS: Final = 30.0
SLOWER: Final = 1.2
EXTRA: Final = 1.1
AT_ONCE: Final = 10
"""Retries that a process has in reserve (`app.resilience.deadline.Budget`)."""

TURNED_AWAY: Final = (429, 503)


@dataclass(frozen=True)
class Dependency:
    """What is late.

    Attributes:
        port: The setting that says where it is.
        request: A request to it, as it is sent.
        without: What is asked for that does without it.
        breaker: What its breaker is called.
        waited_for: Whether requests wait for it; if not, the worker alone speaks to it.
    """

    port: str
    request: re.Pattern[bytes]
    without: tuple[str, ...]
    breaker: str
    waited_for: bool = True


ALL: Final = ("known", "fresh", "write")
"""Searches that a cache has the answer to, searches that nobody has asked before, and writes."""

DEPENDENCIES: Final = {
    "opensearch": Dependency(
        "opensearch_port", re.compile(rb"POST /\S*_search"), without=("known", "write"), breaker="OpenSearch"
    ),
    # Limits are counted there: until its breaker opens, everything waits for it for a moment.
    "redis": Dependency("cache_port", re.compile(rb"\*\d+\r\n\$\d+\r\n[A-Z]"), without=ALL, breaker="Redis"),
    # basic.publish: class 60, method 40 (AMQP 0-9-1).
    "rabbitmq": Dependency(
        "broker_port", re.compile(rb"\x00\x3c\x00\x28"), without=ALL, breaker="RabbitMQ", waited_for=False
    ),
}


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        victims: What is late, one after the other.
        delay_seconds: How late.
        late_seconds: For how long at least.
        calm_seconds: Before and after, each.
        rate: Requests per second, on average.
        open_seconds: How long a breaker leaves its dependency alone (`DOCSEARCH_BREAKER_OPEN_SECONDS`).
        timed: Whether times are judged.
    """

    victims: tuple[str, ...]
    delay_seconds: float
    late_seconds: float
    calm_seconds: float
    rate: float
    open_seconds: float
    timed: bool


SIZES: Final = {
    Scale.QUICK: Size(("opensearch", "redis"), 3.0, 2.0, 1.0, 40.0, open_seconds=0.5, timed=False),
    # 60 s in production: no breaker could close within 30 s. Its five probes wait, and move p99 by their share of the
    # requests: three times as often, among three times as many, they are one in six hundred, as at 50/s and 60 s.
    Scale.FULL: Size((*DEPENDENCIES,), 5.0, 60.0, 60.0, 150.0, open_seconds=20.0, timed=True),
}

KNOWN: Final = 50
"""Searches that are asked again and again."""


@dataclass(frozen=True)
class Asked:
    """A request, and what came of it.

    Attributes:
        at: When it was due, s since 1970.
        kind: One of `ALL`.
        status: Of the answer; 0 if there was none.
        seconds: From when it was due until its answer was there.
        degraded: Whether the answer says that another engine gave it.
        told: Whether it says when to come again.
    """

    at: float
    kind: str
    status: int
    seconds: float
    degraded: bool = False
    told: bool = False


class Load(Callers):
    """Callers of the API: one tenant's search, the other one's write, so that no write makes what is known old.

    Args:
        port: Of the API.
        reader: Key of the tenant that searches.
        writer: Key of the tenant that writes.
        rate: Requests per second, on average.
        chance: Where chance comes from.
        fresh: Numbers of queries that nobody has asked.
    """

    def __init__(
        self, port: int, reader: str, writer: str, rate: float, chance: random.Random, fresh: Iterator[int]
    ) -> None:
        super().__init__()
        self._port, self._reader, self._writer = port, reader, writer
        self._rate, self._chance, self._fresh = rate, chance, fresh
        # The one that has waited longest is next: none waits until the service closes it.
        self._idle: deque[Wire] = deque()
        self.asked: list[Asked] = []
        self.history = History()

    def between(self, first: float, last: float, *kinds: str) -> list[Asked]:
        """What was due between two times."""
        return [one for one in self.asked if first <= one.at < last and one.kind in (kinds or ALL)]

    async def _run(self) -> None:
        due = time.time()
        async with asyncio.TaskGroup() as requests:
            while not self._stopping.is_set():
                due += self._chance.expovariate(self._rate)
                await asyncio.sleep(max(0.0, due - time.time()))
                kind = self._chance.choices(ALL, (3, 1, 1))[0]
                requests.create_task(self._write(due) if kind == "write" else self._search(due, kind))
        for wire in self._idle:
            wire.close()

    async def _search(self, due: float, kind: str) -> None:
        number = next(self._fresh) if kind == "fresh" else self._chance.randrange(KNOWN)
        body = json.dumps(query(number, 0)).encode()
        await self._ask(due, kind, request("POST", "/v1/search", body, self._reader))

    async def _write(self, due: float) -> None:
        name = UUID(int=self._chance.getrandbits(128), version=4)
        text = f"tea {name}"
        body = json.dumps({"title": text}).encode()
        status, answer = await self._ask(
            due, "write", request("PUT", f"/v1/documents/{name}", body, self._writer), good=(202,)
        )
        self.history.note(name, text, json.loads(answer)["version"] if status == 202 else None)

    async def _ask(self, due: float, kind: str, sent: bytes, good: tuple[int, ...] = (200,)) -> tuple[int, bytes]:
        wire = self._idle.popleft() if self._idle else Wire(self._port)
        status, answer, told = 0, b"", False
        try:
            async with asyncio.timeout(30):
                status, answer = await wire.send(sent)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            wire.close()
        else:
            # Who is turned away is told when to come again (RFC 9110, section 10.2.3).
            told = status in TURNED_AWAY and b"\nretry-after:" in wire.head.lower()
            self._idle.append(wire)
        degraded = status in good and b'"degraded":true' in answer
        self.asked.append(Asked(due, kind, status, time.time() - due, degraded, told))
        return status, answer


class Changes:
    """What a breaker did, as a process has logged it.

    Args:
        log: The process's.
        breaker: What it is called.
    """

    def __init__(self, log: Path, breaker: str) -> None:
        self._log, self._breaker = log, breaker
        self._read = log.stat().st_size
        self._found: list[tuple[float, str]] = []

    def seen(self, state: State, since: float) -> float | None:
        """When it first became so after some time, s since 1970."""
        with self._log.open("rb") as log:
            log.seek(self._read)
            for line in iter(log.readline, b""):
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                if b'"breaker_changed"' in line and (said := json.loads(line))["dependency"] == self._breaker:
                    self._found.append((datetime.fromisoformat(said["timestamp"]).timestamp(), said["state"]))
        return next((at for at, what in self._found if what == state and at >= since), None)


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Starts everything behind proxies, and delays one dependency after the other."""
    size, proxies = SIZES[scale], dict[str, DelayingProxy]()
    figures: dict[str, float | int | str] = {"delay_s": size.delay_seconds, "breaker_open_s": size.open_seconds}
    broken: list[str] = []
    with ExitStack() as stack:

        def reached(service: Service) -> Mapping[str, Any]:
            for name in size.victims:
                its = DEPENDENCIES[name]
                if its.port in (told := service.settings()):
                    proxies[name] = DelayingProxy(service.port, its.request)
                    stack.callback(proxies[name].stop)
                    return told | {its.port: proxies[name].port}
            return service.settings()

        plant = stack.enter_context(running(tell, reached, breaker_open_seconds=size.open_seconds))
        plant.load(Corpus(seed).documents(200))
        fresh = itertools.count(10**6)
        for name in size.victims:
            # What is known is in memory at first: it is not what is late.
            plant.drive(rate=0, known=KNOWN)
            found, wrong = _delay(plant, proxies[name], name, size, random.Random(f"{seed} {name}"), fresh, tell)
            figures |= {f"{name}_{what}": value for what, value in found.items()}
            broken += [f"{name}: {one}" for one in wrong]
    notes = (
        "the delay is simulated by a proxy before the dependency; its answers come back at once",
        f"breakers stay open for {size.open_seconds:g} s, not for the 60 s of production",
        "no request waits for RabbitMQ: when the worker's breaker of it opens is not judged, only that it closes",
        "PostgreSQL has no breaker: nothing does without it",
    )
    return Verdict("latency", PROMISE, figures, tuple(broken), seed, notes)


def _delay(
    plant: Plant,
    proxy: DelayingProxy,
    name: str,
    size: Size,
    chance: random.Random,
    fresh: Iterator[int],
    tell: Tell,
) -> tuple[dict[str, float | int], list[str]]:
    """Delays one dependency for a while, and says what was seen and what is wrong with it."""
    its, tenant, wrong = DEPENDENCIES[name], f"latency-{name}", list[str]()
    load = Load(plant.api.port, plant.key, plant.tenant(tenant), size.rate, chance, fresh)
    changes = Changes((plant.api if its.waited_for else plant.worker).log, its.breaker)
    # What is asked for that waits for it: of that its own requests are a multiple.
    askers = tuple(kind for kind in ALL if kind not in its.without) or ALL if its.waited_for else ()
    with load.going():
        time.sleep(1)
        began, sent = time.time(), proxy.requests
        time.sleep(size.calm_seconds)
        late, sent_before = time.time(), proxy.requests - sent
        proxy.delay = size.delay_seconds
        tell(f"latency: {name} is {size.delay_seconds:g} s late")
        if its.waited_for and not comes_true(lambda: changes.seen(State.OPEN, late) is not None):
            wrong.append("its breaker did not open")
        # Of those that wait for it until then: afterwards it gets next to nothing, which would hide what it got before.
        until, sent_late = time.time(), proxy.requests - sent - sent_before
        # Long enough to see it open, and what it does when it has tried again.
        time.sleep(max(size.late_seconds + late - time.time(), 2 * size.open_seconds, 2.0))
        proxy.delay = 0.0
        ended = time.time()
        tell(f"latency: {name} is as quick as before")
        # What is held still comes through.
        time.sleep(size.delay_seconds + 1)
        opened = changes.seen(State.OPEN, late)
        if opened and not comes_true(lambda: changes.seen(State.CLOSED, ended) is not None):
            wrong.append("its breaker did not close")
        closed = changes.seen(State.CLOSED, ended)
        back = time.time()
        time.sleep(size.calm_seconds)
    calm = [*load.between(began, late), *load.between(back, time.time())]
    during = load.between(late, ended)
    # Of what asks for limits, none can be judged until the breaker is open.
    first = opened if name == "redis" and opened else late
    wrong += [f"when nothing was late: {one}" for one in _strange(calm)]
    wrong += [f"when it was late: {one}" for one in _strange(load.between(late, first), askers)]
    may_not = askers if name != "redis" else ()
    wrong += [f"when it was late: {one}" for one in _strange(load.between(first, back), may_not)]
    if name == "opensearch" and opened:
        wrong += _degraded(load, opened, ended, back)
    figures: dict[str, float | int] = {
        "requests": len(load.asked),
        "requests_while_late": len(during),
        "turned_away": sum(one.status in TURNED_AWAY for one in load.asked),
        "degraded": sum(one.degraded for one in load.asked),
    }
    if opened:
        figures["opened_after_s"] = opened - late
    if closed:
        figures["closed_after_s"] = closed - ended
    for kind in its.without:
        # Afterwards is no measure: what waited for the index is brought there.
        before, after = _p99(load.between(began, late), kind), _p99(load.between(first, ended), kind)
        figures |= {f"{kind}_p99_ms": before, f"{kind}_p99_late_ms": after}
        if size.timed and not after <= before * SLOWER:
            wrong.append(f"p99 of {kind} is {after:.1f} ms, and {before:.1f} ms before")
    figures["acknowledged_writes"] = load.history.acknowledged
    if its.waited_for:
        asked_before, asked = len(load.between(began, late, *askers)), len(load.between(late, until, *askers))
        usual = asked * sent_before / max(asked_before, 1)
        figures |= {"gets_until_open": sent_late, "usually": usual}
        if size.timed and sent_late > usual * EXTRA + AT_ONCE:
            wrong.append(f"it got {sent_late} requests until its breaker opened, and usually it gets {usual:.0f}")
    if size.timed and its.waited_for and opened and opened - late > OPENS_SECONDS:
        wrong.append(f"its breaker opened after {opened - late:.1f} s")
    if size.timed and closed and closed - ended > CLOSES_SECONDS:
        wrong.append(f"its breaker closed after {closed - ended:.1f} s")
    tell(f"latency: {name}: {load.history.acknowledged:,} acknowledged writes are looked for")
    return figures, wrong + asyncio.run(kills.check(plant, tenant, load.history))


def _strange(asked: list[Asked], turned_away: tuple[str, ...] = ()) -> list[str]:
    """Answers that are neither what was asked for nor, of what may be turned away, a request to come again later."""
    found: Counter[str] = Counter()
    for one in asked:
        good = one.status == (202 if one.kind == "write" else 200)
        if not good and not (one.told and one.kind in turned_away):
            found[f"{one.kind} was answered {one.status or 'not at all'}"] += 1
    return [f"{count} times {what}" for what, count in sorted(found.items())]


def _degraded(load: Load, opened: float, ended: float, back: float) -> list[str]:
    """What is wrong with how answers of the engine that stands in are marked."""
    # One that still waits at the end of the delay may be answered by OpenSearch when it is asked again.
    asked = load.between(opened, ended, "fresh")
    found = [one for one in asked if one.status == 200 and one.at + one.seconds < ended]
    wrong = [] if found else ["no new search was answered while its breaker was open"]
    if silent := sum(not one.degraded for one in found):
        wrong.append(f"{silent} of {len(found)} answers to new searches do not say that they are degraded")
    if late := sum(one.degraded for one in load.between(back, time.time(), "fresh")):
        wrong.append(f"{late} answers to new searches were degraded afterwards")
    return wrong


def _p99(asked: list[Asked], kind: str) -> float:
    """Of what was answered as it was asked for, ms."""
    times = sorted(one.seconds for one in asked if one.kind == kind and one.status in (200, 202))
    return 1000 * percentile(times, 0.99)
