"""One tenant asks ten times what it may: it is refused what is too much, and the others do not notice."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final

from tests.bench.load import Corpus
from tests.bench.plant import running
from tests.soak.model import Scale, Tell, Verdict

PROMISE: Final = (
    "one tenant floods at 10 times its quota: 0 errors of others, their p99 <= 1.2 times that without the flood, "
    "and the flood is refused with 429 and Retry-After"
)

QUOTA: Final = 600
"""Requests per minute of the tenant that floods."""

CALM: Final = 20.0
"""Requests per second of the other one."""


@dataclass(frozen=True)
class Size:
    """How long each half lasts, and how much is searched.

    Attributes:
        seconds: Of one run.
        documents: Of the tenant that is calm.
        timed: Whether the time of answers is judged.
    """

    seconds: float
    documents: int
    timed: bool


SIZES: Final = {Scale.QUICK: Size(4, 200, timed=False), Scale.FULL: Size(300, 20_000, timed=True)}


def run(scale: Scale, seed: int, tell: Tell) -> Verdict:
    """Asks as the one that is calm, first alone, then beside the one that floods."""
    size = SIZES[scale]
    broken: list[str] = []
    # What is known is warm in both halves: a cold cache is no flood.
    with running(tell, cache_seconds=3600.0) as plant:
        plant.load(Corpus(seed).documents(size.documents))
        key = plant.tenant("flood", QUOTA)
        calm = {"rate": CALM, "seconds": size.seconds, "fresh": 0.3, "seed": seed}
        plant.drive(rate=0)
        tell("flood: the calm one alone")
        alone = plant.drive(**calm)
        tell(f"flood: beside {QUOTA * 10 / 60:.0f} requests/s of a tenant that may ask {QUOTA / 60:.0f}")
        flood: dict[str, Any] = {}
        thread = threading.Thread(
            target=lambda: flood.update(
                plant.drive(key=key, rate=QUOTA * 10 / 60, seconds=size.seconds, fresh=0.3, seed=seed + 1)
            )
        )
        thread.start()
        beside = plant.drive(**calm, first_fresh=2 * 10**6)
        thread.join()
    for name, found in {"alone": alone, "beside the flood": beside}.items():
        if found["failed"]:
            broken.append(f"the calm one, {name}: {found['failed']}")
    if not flood:
        broken.append("the flood was not sent")
    elif {*flood["failed"]} != {"429"}:
        broken.append(f"the flood was answered: {flood['failed']}")
    served = int(flood.get("all", {}).get("count", 0))
    # The bucket is full at first (GCRA): 10 s worth of requests at once, and then as they come back.
    if served > (most := QUOTA * (10 + size.seconds + 2) / 60):
        broken.append(f"{served} requests of the flood were served, and {most:.0f} are allowed")
    before, after = alone["all"]["p99"] * 1000, beside["all"]["p99"] * 1000
    if size.timed and after > before * 1.2:
        broken.append(f"p99 is {after:.1f} ms beside the flood, and {before:.1f} ms without")
    figures = {
        "calm_p99_alone_ms": before,
        "calm_p99_beside_ms": after,
        "calm_requests": beside["sent"],
        "flood_requests": int(flood.get("sent", 0)),
        "flood_served": served,
        "flood_refused": int(flood.get("failed", {}).get("429", 0)),
    }
    notes = ("the load drivers share the machine's cores with the service: part of what a flood costs is its sender's",)
    return Verdict("flood", PROMISE, figures, tuple(broken), seed, notes)
