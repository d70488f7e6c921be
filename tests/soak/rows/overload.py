"""Three times what the API takes: it goes on serving what it can, and tells the rest when to come again."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.driver import UNSENT
from tests.bench.load import Corpus
from tests.bench.plant import running
from tests.soak.model import Scale, Tell, Verdict
from tests.soak.rows import capacity

PROMISE: Final = (
    "3 C for 5 min: goodput >= 80% of C, what is turned away gets 429 or 503 with Retry-After, and p99 is back to 1.2 "
    "times what it was within 30 s"
)

CONNECTIONS: Final = 400
"""More than all places and waiting places of a process together (50 and 100): fewer would wait at the sender."""

SHED: Final = {"429", "503"}

BACK: Final = 1.2
"""So many times p99 of before is as before: five seconds of searches show it no better."""
BACK_SECONDS: Final = 30.0
"""When those five seconds have to begin at the latest."""

NOTES: Final = (
    f"the sender has {CONNECTIONS} connections: while all of them wait it sends nothing, and nobody turns that away",
)


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        seconds: Of the overload.
        rate: Requests per second of it; 0 for three times C.
        timed: Whether goodput and times are judged.
    """

    seconds: float
    rate: float
    timed: bool


SIZES: Final = {Scale.QUICK: Size(4, 600, timed=False), Scale.FULL: Size(300, 0, timed=True)}


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Asks three times C, then little, and looks how soon that is answered as before."""
    size, search = SIZES[scale], capacity.SIZES[scale]
    with running(tell) as plant:
        plant.load(Corpus(seed).documents(search.documents))
        most = capacity.find(plant, search, seed, tell)
        if not most:
            return Verdict("overload", PROMISE, {"c_per_s": most}, (capacity.too_slow(search),), seed)
        rate = size.rate or 3 * most
        calm = {"rate": most / 2 if size.timed else 10.0, "seconds": 5.0, "fresh": capacity.FRESH}
        before = plant.drive(**calm, seed=seed, first_fresh=7 * 10**6)
        tell(f"overload: {rate:.0f} requests/s for {size.seconds:.0f} s")
        # All of them ask what nobody has asked before, in the quick form: an answer from memory is no load.
        over = plant.drive(
            rate=rate,
            seconds=size.seconds,
            fresh=capacity.FRESH if size.timed else 1.0,
            seed=seed,
            connections=CONNECTIONS,
            first_fresh=8 * 10**6,
        )
        ended = time.monotonic()
        back, after = 0.0, before
        for number in range(7):
            back = time.monotonic() - ended
            after = plant.drive(**calm, seed=seed + number, first_fresh=9 * 10**6 + number * 10**5)
            if _calm(after) and after["all"]["p99"] <= before["all"]["p99"] * BACK:
                break
    shed = sum(count for status, count in over["failed"].items() if status in SHED)
    goodput = over["all"]["count"] / over["elapsed"]
    figures: dict[str, float | int | str] = {
        "c_per_s": most,
        "rate_per_s": rate,
        "requests": over["sent"],
        "not_sent": over["failed"].get(UNSENT, 0),
        "sent_per_s": (over["sent"] - over["failed"].get(UNSENT, 0)) / over["elapsed"],
        "served": over["all"]["count"],
        "shed": shed,
        "goodput_per_s": goodput,
        "p99_before_ms": before["all"]["p99"] * 1000,
        "p99_after_ms": after["all"]["p99"] * 1000,
        "back_after_s": back,
    }
    broken = _broken(size, most, goodput, before, over, after, back)
    return Verdict("overload", PROMISE, figures, tuple(broken), seed, NOTES)


def _broken(
    size: Size,
    most: float,
    goodput: float,
    before: dict[str, Any],
    over: dict[str, Any],
    after: dict[str, Any],
    back: float,
) -> list[str]:
    broken: list[str] = []
    if others := {status: count for status, count in over["failed"].items() if status not in {*SHED, UNSENT}}:
        broken.append(f"what was turned away was answered {others}")
    if not SHED & over["failed"].keys() and not size.timed:
        broken.append("nothing was turned away: it was no overload")
    if not _calm(after):
        broken.append(f"afterwards: {after['failed']}")
    if size.timed and goodput < 0.8 * most:
        broken.append(f"goodput is {goodput:.0f}/s, and C {most:.0f}/s")
    if size.timed and (back > BACK_SECONDS or after["all"]["p99"] > before["all"]["p99"] * BACK):
        broken.append(f"{back:.0f} s later p99 is {after['all']['p99'] * 1000:.0f} ms")
    return broken


def _calm(found: dict[str, Any]) -> bool:
    return not found["failed"]
