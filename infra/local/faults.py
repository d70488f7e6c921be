"""Faults injected on purpose between callers and the local cloud, for tests.

Whether a call fails is decided by the seed, the call's name and how often that name was seen, never by the order in
which different calls happen to arrive: a parallel program meets the same faults in every run.
"""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from infra.errors import LocalCloudError
from infra.local.calls import Call, Reply, refusal

Kind = Literal["throttle", "server_error", "latency"]


class Rule(BaseModel, frozen=True, extra="forbid", strict=True):
    """Which calls go wrong, how, and how often.

    Attributes:
        seed: Decides which calls are hit.
        rate: Share of the matching calls that are hit, 0 to 1.
        kinds: What happens to a hit call; one is picked by the seed.
        latency_ms: For the kind `latency`: how long the call is held up, in milliseconds. It is then answered normally.
        service: Name in boto3, with `*` and `?`.
        action: Name of the API action, with `*` and `?`.
        count: Hits after which the rule is used up; None for no end.
    """

    seed: int = 0
    rate: float = Field(default=1.0, ge=0, le=1)
    kinds: tuple[Kind, ...] = Field(default=("throttle",), min_length=1)
    latency_ms: float = Field(default=0.0, ge=0, le=60_000)
    service: str = "*"
    action: str = "*"
    count: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _latency_belongs_to_its_kind(self) -> "Rule":
        if (self.latency_ms > 0) != ("latency" in self.kinds):
            raise ValueError("latency_ms is given with the kind `latency`, and only then")
        return self

    @classmethod
    def parse(cls, text: bytes) -> "Rule":
        """Reads a rule from JSON.

        Raises:
            LocalCloudError: It is no object, or a key or value is not known.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}" for e in error.errors())
            raise LocalCloudError(
                f"{text[:200].decode(errors='replace')!r} is no fault",
                why=wrong,
                remedy=f"Correct the body of POST /docsearch/faults; its keys are {', '.join(cls.model_fields)}",
            ) from None


class _Active:
    """A rule and what it has done so far."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.seen: Counter[str] = Counter()
        self.hits: Counter[Kind] = Counter()

    def strike(self, call: Call) -> Kind | None:
        rule = self.rule
        if not (fnmatchcase(call.service, rule.service) and fnmatchcase(call.action, rule.action)):
            return None
        self.seen[str(call)] += 1
        label = f"{rule.seed}/{call}/{self.seen[str(call)]}".encode()
        drawn = hashlib.blake2b(label, digest_size=16).digest()
        spent = rule.count is not None and self.hits.total() >= rule.count
        if spent or int.from_bytes(drawn[:8]) >= rule.rate * 2**64:
            return None
        kind = rule.kinds[int.from_bytes(drawn[8:]) % len(rule.kinds)]
        self.hits[kind] += 1
        return kind


class Faults:
    """The rules in force, in the order given: delays add up until the first refusal. Safe for threads.

    Args:
        sleep: Waits that many seconds.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._lock = threading.Lock()
        self._active: tuple[_Active, ...] = ()

    def add(self, rule: Rule) -> None:
        with self._lock:
            self._active += (_Active(rule),)

    def clear(self) -> None:
        with self._lock:
            self._active = ()

    def report(self) -> list[dict[str, Any]]:
        """Each rule with `seen` (matching calls) and `hits` (by kind)."""
        with self._lock:
            return [
                {**active.rule.model_dump(), "seen": active.seen.total(), "hits": dict(active.hits)}
                for active in self._active
            ]

    def meet(self, call: Call) -> Reply | None:
        """Holds the call up or answers it in the cloud's place, as the rules want.

        Returns:
            The refusal, or None when the call is to go through.
        """
        if not self._active:
            return None
        delay, refused = 0.0, None
        with self._lock:
            for active in self._active:
                kind = active.strike(call)
                if kind == "latency":
                    delay += active.rule.latency_ms / 1000
                elif kind is not None:
                    refused = _refuse(call, kind)
                    break
        if delay:
            self._sleep(delay)
        return refused


def _refuse(call: Call, kind: Literal["throttle", "server_error"]) -> Reply:
    if kind == "throttle":
        return refusal(call, *_throttle(call), "Rate exceeded (injected by the local cloud)")
    code = {"ec2": "InternalError", "s3": "InternalError", "kms": "KMSInternalException"}.get(call.service)
    return refusal(call, 500, code or "InternalFailure", "Injected by the local cloud")


def _throttle(call: Call) -> tuple[int, str]:
    """Status and code with which each kind of service throttles (AWS: "Common errors" of each API reference)."""
    match call.protocol:
        case "ec2":
            return 503, "RequestLimitExceeded"
        case "rest-xml" if call.service == "s3":
            return 503, "SlowDown"
        case "query" | "rest-xml":
            return 400, "Throttling"
        case "rest-json":
            return 429, "TooManyRequestsException"
        case _:
            return 400, "ThrottlingException"
