"""Rate limits by GCRA, the generic cell rate algorithm (ITU-T I.371, annex A), kept in Redis for all processes.

A caller's requests are spread evenly: each takes an interval, and some may come ahead of their time, the burst. What is
kept of a caller is one time: when its next request would be due. When Redis does not answer, each process keeps the
limits by itself until it does: a limit then is as many times higher as there are processes, and nobody is locked out.
So it is where Redis only reads, in a standby region.

Who comes often is not asked about each time: a process takes several requests of such a caller at once, a twentieth of
what it sent in the last second, and lets them through as they come. They are paid for before, so no more ever pass;
what is not used within a second is lost, and that is a twentieth at most.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from cachetools import LRUCache
from redis.exceptions import ReadOnlyError, RedisError

from app.errors import DeadlineExceededError, RateLimitedError, UnavailableError
from app.redis_client import Client, Writes, failure
from app.resilience import deadline
from app.resilience.breaker import Breaker

MAX_LOCAL: Final = 100_000
"""Callers that a process remembers by itself; the longest unseen is forgotten first."""

REDIS_SECONDS: Final = 0.25
"""How long Redis is waited for, s: a limit may not cost more than what it protects."""

AHEAD: Final = 0.05
"""What is taken at once of a caller's requests, of those of the last second."""

MAX_AHEAD: Final = 50


@dataclass(frozen=True)
class Limit:
    """A limit of one caller.

    Attributes:
        key: Who. Keys of one tenant carry it in braces, which puts them on one node of a Redis cluster.
        per_minute: Requests per minute.
    """

    key: str
    per_minute: int

    @property
    def interval(self) -> float:
        """The time that a request takes, s."""
        return 60.0 / self.per_minute

    @property
    def burst(self) -> int:
        """Requests that may come at once: what is due in 10 s, but 10 at least, and never more than a minute's."""
        return min(self.per_minute, max(10, self.per_minute // 6))


@dataclass(frozen=True)
class Decision:
    """What a limit says of a request.

    Attributes:
        allowed: Whether it may be carried out.
        limit: The limit that decided: the one that is nearest to its end.
        remaining: Requests that may follow at once.
        retry_after: After how long one may be carried out, s; 0 if at once.
        reset_after: After how long the whole burst may come again, s.
    """

    allowed: bool
    limit: Limit
    remaining: int
    retry_after: float
    reset_after: float


def of_tenant(tenant_id: UUID, per_minute: int) -> Limit:
    """The limit of a tenant."""
    return Limit(f"limit:{{{tenant_id}}}", per_minute)


def of_key(tenant_id: UUID, key_id: UUID, per_minute: int) -> Limit:
    """The limit of one API key."""
    return Limit(f"limit:{{{tenant_id}}}:{key_id}", per_minute)


def of_user(tenant_id: UUID, actor: str, per_minute: int) -> Limit:
    """The limit of one user of a tenant."""
    # What a provider calls its users may be of any length, and is nobody's business in Redis.
    digest = hashlib.sha256(actor.encode()).hexdigest()[:32]
    return Limit(f"limit:{{{tenant_id}}}:{digest}", per_minute)


def decide(limits: Sequence[Limit], due: Sequence[float], now: float, count: int = 1) -> tuple[Decision, list[float]]:
    """What limits say together of requests, which take from all of them or from none. Pure.

    Args:
        limits: The limits.
        due: When the next request of each would be due, s.
        now: The time, s.
        count: How many requests: all of them, or none.

    Returns:
        The decision, and when the next requests will be due.
    """
    after = [max(one, now) + limit.interval * count for limit, one in zip(limits, due, strict=True)]
    # How long before its time the last of them would come, beyond what the burst allows.
    early = [one - limit.burst * limit.interval - now for limit, one in zip(limits, after, strict=True)]
    # Figures of time are floating-point numbers: a microsecond is no request.
    allowed = max(early) <= 1e-6
    kept = after if allowed else [*due]
    spare = [
        max(0, int(limit.burst - max(one - now, 0.0) / limit.interval + 1e-6))
        for limit, one in zip(limits, kept, strict=True)
    ]
    worst = min(range(len(limits)), key=lambda at: spare[at] if allowed else -early[at])
    decision = Decision(
        allowed=allowed,
        limit=limits[worst],
        remaining=spare[worst] if allowed else 0,
        retry_after=0.0 if allowed else early[worst],
        reset_after=max(kept[worst] - now, 0.0),
    )
    return decision, kept


_SCRIPT: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local count = tonumber(ARGV[2 * #KEYS + 1])
local answer = {0, string.format('%.6f', now)}
local due, after, allowed = {}, {}, true
for i, key in ipairs(KEYS) do
    local interval, burst = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    due[i] = tonumber(redis.call('GET', key) or 0)
    after[i] = math.max(due[i], now) + interval * count
    if after[i] - burst * interval - now > 0.000001 then allowed = false end
    answer[2 + i] = string.format('%.6f', due[i])
end
if allowed then
    answer[1] = 1
    for i, key in ipairs(KEYS) do
        redis.call('SET', key, string.format('%.6f', after[i]), 'PX', math.ceil((after[i] - now) * 1000) + 1000)
    end
end
return answer
"""


class _Pace:
    """How often one caller comes, and what was taken for it ahead.

    Attributes:
        ahead: Requests that are paid for and have not come.
        until: When they are lost, s.
        decision: What was said of them.
        taking: Whether some are being taken.
    """

    def __init__(self, now: float) -> None:
        self._since, self._count, self._last = now, 0, 0.0
        self.ahead, self.until = 0, 0.0
        self.decision: Decision | None = None
        self.taking = False

    def came(self, now: float) -> None:
        """Counts a request."""
        if now - self._since >= 1.0:
            self._last, self._count, self._since = self._count / (now - self._since), 0, now
        self._count += 1

    @property
    def share(self) -> int:
        """Requests that are taken at once."""
        return max(1, min(MAX_AHEAD, int(self._last * AHEAD)))

    def use(self, now: float) -> Decision | None:
        """What was said of a request that is paid for; None if there is none."""
        if self.decision is None or self.ahead < 1 or now >= self.until:
            return None
        self.ahead -= 1
        return replace(self.decision, remaining=self.decision.remaining + self.ahead)

    def slow(self) -> None:
        """So many are not to be had: until it has been seen for a second again, it is asked about each time."""
        self._last = 0.0

    def keep(self, decision: Decision, ahead: int, now: float) -> None:
        """Keeps what was taken."""
        self.decision, self.ahead, self.until = decision, ahead, now + 1.0


class Limiter:
    """Keeps limits.

    Args:
        client: Redis; None to keep them in this process alone.
        breaker: Of Redis.
        writes: Whether it takes any.
        clock: Tells the time where Redis does not, s.
    """

    def __init__(
        self,
        client: Client | None,
        breaker: Breaker | None = None,
        *,
        writes: Writes | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._breaker, self._clock = client, breaker or Breaker("Redis"), clock
        self._writes = writes or Writes()
        self._script = client.register_script(_SCRIPT) if client is not None else None
        self._due: LRUCache[str, float] = LRUCache(MAX_LOCAL)
        self._paces: LRUCache[tuple[Limit, ...], _Pace] = LRUCache(MAX_LOCAL)

    async def take(self, *limits: Limit) -> Decision:
        """Takes a request from all of some limits of one tenant, or from none of them.

        Raises:
            RateLimitedError: It comes too early for one of them.
        """
        decision = await self._ahead(limits)
        if decision is None:
            due = [self._due.get(limit.key, 0.0) for limit in limits]
            decision, kept = decide(limits, due, self._clock())
            for limit, one in zip(limits, kept, strict=True):
                self._due[limit.key] = one
        if not decision.allowed:
            raise RateLimitedError(
                f"more than {decision.limit.per_minute:,} requests a minute",
                why=f"{decision.limit.burst:,} may come at once",
                remedy="Wait for as long as Retry-After says",
                retry_after=decision.retry_after,
            )
        return decision

    async def _ahead(self, limits: tuple[Limit, ...]) -> Decision | None:
        """What was decided before, or is decided now with some of those to come; None if Redis does not answer."""
        if self._script is None or self._writes.refused:
            return None
        now = self._clock()
        pace = self._paces.get(limits)
        if pace is None:
            pace = self._paces[limits] = _Pace(now)
        pace.came(now)
        if decided := pace.use(now):
            return decided
        # One at a time takes several: the others of the same moment would take as many each, and use none of them.
        if (count := pace.share) > 1 and not pace.taking:
            pace.taking = True
            try:
                decision = await self._shared(limits, count)
                if decision is None:
                    return None
                if decision.allowed:
                    pace.keep(decision, count - 1, now)
                    return decision
                pace.slow()
            finally:
                pace.taking = False
        return await self._shared(limits)

    async def _shared(self, limits: Sequence[Limit], count: int = 1) -> Decision | None:
        """What Redis decides; None if it does not answer."""
        assert self._script is not None
        values = [value for limit in limits for value in (f"{limit.interval:.9f}", limit.burst)]
        try:
            with self._breaker.guard():
                async with deadline.limit("Redis", REDIS_SECONDS):
                    try:
                        allowed, now, *due = await self._script(
                            keys=[limit.key for limit in limits], args=[*values, count]
                        )
                    except (RedisError, OSError) as error:
                        raise failure(error) from error
        except (UnavailableError, DeadlineExceededError):
            return None
        except ReadOnlyError:
            self._writes.note(refused=True)
            return None
        self._writes.note(refused=False)
        # The script has decided, by the same rule: only how that is put into words happens here.
        return replace(decide(limits, [float(one) for one in due], float(now), count)[0], allowed=bool(allowed))
