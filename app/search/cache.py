"""Answers that are kept: first in this process, then in Redis for all of them.

An answer is fresh for its time to live, and for a while after that it is served as *stale* while a new one is made. A
write raises its tenant's generation, and what was kept under the one before is not asked for again. Generations are
times, so that one that Redis has forgotten is never given out twice. Redis may die at any moment: then each process
goes on with what it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from cachetools import LRUCache
from msgspec import Struct
from redis.exceptions import ReadOnlyError, RedisError

from app.errors import DeadlineExceededError, UnavailableError
from app.index.model import Health, Scalar
from app.redis_client import Client, Writes, failure
from app.resilience import deadline
from app.resilience.breaker import Breaker
from app.search.model import Answer, Level
from app.trace import tracing

T = TypeVar("T")

MEMORY_BYTES: Final = 64 * 2**20
ENTRY_BYTES: Final = 1024
"""What keeping an answer takes besides the answer: its keys, and its places in the tables of the cache."""

MAX_ANSWER_BYTES: Final = 2**20
"""An answer that is larger is not kept: one of it would push out hundreds of others."""

STALE_SECONDS: Final = 60.0
"""After its time to live an answer is served for so long while a new one is made, s."""

LOOK_SECONDS: Final = 1.0
"""How long a process believes in a generation that it has seen, s: how late it may learn of another's write."""

SETTLE_SECONDS: Final = 30.0
"""After a write an answer of OpenSearch may not have it yet (`app.index.lifecycle.REFRESH_SECONDS`)."""

DEGRADED_SECONDS: Final = 10.0
"""How long an answer is kept that another engine stood in for, s."""

TURNS: Final = 2
"""Turns of the event loop before Redis is told of an answer: by then it is on its way to whoever asked."""

REDIS_SECONDS: Final = 0.25
DELETE_SECONDS: Final = 60.0
"""How long Redis is waited for to find and delete an answer, s: it has to look through all of its keys, a thousand at a
time, for a tenant that has none."""

MAX_TENANTS: Final = 100_000


class _Kept(Struct, frozen=True, array_like=True):
    """An answer as it is kept.

    Attributes:
        made_at: When it was made, s since 1970.
        fresh_until: Until when it is fresh.
        answer: The answer.
    """

    made_at: float
    fresh_until: float
    answer: Answer


_DECODER: Final = msgspec.msgpack.Decoder(_Kept)

_ADVANCE: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local old, floor = string.match(redis.call('GET', KEYS[1]) or '0 0', '^(%d+) ?(%d*)$')
local new = string.format('%.0f', math.max(now, tonumber(old) + 1))
if ARGV[1] == 'forget' then floor = new end
redis.call('SET', KEYS[1], floor ~= '' and new .. ' ' .. floor or new)
return new
"""


class LayeredCache:
    """The cache of a process, with Redis behind it.

    Args:
        client: Redis; None for this process alone.
        breaker: Of Redis.
        writes: Whether it takes any.
        seconds: Time to live of an answer, s.
        memory_bytes: What is kept in this process at most, bytes.
        clock: Tells the time, s since 1970.
    """

    def __init__(
        self,
        client: Client | None,
        *,
        breaker: Breaker | None = None,
        writes: Writes | None = None,
        seconds: float = 300.0,
        memory_bytes: int = MEMORY_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client, self._breaker = client, breaker or Breaker("Redis")
        self._writes = writes or Writes()
        self._seconds, self._clock = seconds, clock
        #: By query: the newest generation that there was an answer of, and the answer.
        self._memory: LRUCache[str, tuple[int, bytes]] = LRUCache(memory_bytes, getsizeof=_size)
        self._generations: LRUCache[UUID, tuple[int, float]] = LRUCache(MAX_TENANTS)
        #: By tenant: what is kept under an older generation may not be served, not even in need.
        self._floors: LRUCache[UUID, int] = LRUCache(MAX_TENANTS)
        #: Tenants whose writes Redis does not know of, because it did not answer.
        self._untold: set[UUID] = set()
        self._script: Any = client.register_script(_ADVANCE) if client is not None else None

    async def generation(self, tenant_id: UUID) -> int:
        """What a tenant's answers are kept under."""
        seen, looked_at = self._generations.get(tenant_id, (0, -LOOK_SECONDS))
        if self._client is None or self._clock() - looked_at < LOOK_SECONDS:
            return seen
        if tenant_id in self._untold:
            # While Redis does not answer, the generation of the last write stays: nothing was written since.
            told = await self._tell(tenant_id)
            # Somebody may have written meanwhile: then that generation is the newer one.
            last, _ = self._generations.get(tenant_id, (seen, 0.0))
            self._generations[tenant_id] = max(told or 0, last), self._clock()
            return self._generations[tenant_id][0]
        client = self._client
        found = await self._ask(lambda: client.get(_generation_key(tenant_id)))
        if isinstance(found, bytes):
            newest, _, floor = found.partition(b" ")
            seen = int(newest)
            if floor:
                self._drop(tenant_id, int(floor))
        self._generations[tenant_id] = seen, self._clock()
        return seen

    async def advance(self, tenant_id: UUID) -> None:
        """Raises a tenant's generation, and those that Redis was not told of before."""
        for one in {tenant_id, *self._untold}:
            seen, _ = self._generations.get(one, (0, 0.0))
            new = await self._tell(one)
            if new is None and one == tenant_id:
                new = max(int(self._clock() * 1000), seen + 1)
            if new is not None:
                self._generations[one] = new, self._clock()

    async def _tell(self, tenant_id: UUID) -> int | None:
        """Tells Redis of a write; gives the generation that comes of it, None if it does not answer."""
        if self._script is None:
            return None
        found = await self._write(partial(self._script, keys=[_generation_key(tenant_id)]))
        (self._untold.discard if found is not None else self._untold.add)(tenant_id)
        return None if found is None else int(found)

    async def forget(self, tenant_id: UUID) -> bool:
        """Raises a tenant's generation and drops all answers from before it: here, in Redis, and with it elsewhere.

        Other processes learn of it from Redis when they are asked for something of the tenant, within `LOOK_SECONDS`.
        """
        seen, _ = self._generations.get(tenant_id, (0, 0.0))
        if self._client is None:
            floor = max(int(self._clock() * 1000), seen + 1)
        else:
            found = await self._write(partial(self._script, keys=[_generation_key(tenant_id)], args=["forget"]))
            if found is None:
                return False
            self._untold.discard(tenant_id)
            floor = int(found)
        self._generations[tenant_id] = floor, self._clock()
        self._drop(tenant_id, floor)
        return self._client is None or await self._delete(self._client, tenant_id)

    def floor(self, tenant_id: UUID) -> float:
        """When a tenant's answers were dropped last, by what this process has learned, s since 1970; 0 if never."""
        return self._floors.get(tenant_id, 0) / 1000

    async def _delete(self, client: Client, tenant_id: UUID) -> bool:
        """Deletes a tenant's answers from Redis."""
        keys = aiter(client.scan_iter(match=f"search:{tenant_id}:*", count=1000))
        try:
            while True:
                async with deadline.limit("Redis", DELETE_SECONDS):
                    key = await anext(keys, None)
                    if key is None:
                        return True
                    await client.delete(key)
        except (RedisError, OSError, UnavailableError, DeadlineExceededError):
            return False

    def _drop(self, tenant_id: UUID, floor: int) -> None:
        """Drops a tenant's answers of generations before one, from this process."""
        if self._floors.get(tenant_id, 0) >= floor:
            return
        self._floors[tenant_id] = floor
        prefix = f"search:{tenant_id}:"
        for query in [query for query in self._memory if query.startswith(prefix)]:
            if self._memory[query][0] < floor:
                del self._memory[query]

    async def get(self, key: str) -> Answer | None:
        """What is kept: fresh, or stale."""
        now = self._clock()
        query, generation = _parts(key)
        held = self._memory.get(query)
        if held and held[0] == generation and (answer := self._read(held[1], Level.MEMORY, now)):
            return answer
        if self._client is None:
            return None
        client = self._client
        raw = await self._ask(lambda: client.get(key))
        if not isinstance(raw, bytes) or (answer := self._read(raw, Level.REDIS, now)) is None:
            return None
        self._remember(key, raw)
        return answer

    async def put(self, key: str, answer: Answer) -> None:
        """Keeps an answer."""
        now = self._clock()
        fresh_until = now + (DEGRADED_SECONDS if answer.degraded else self._seconds)
        settled = _parts(key)[1] / 1000 + SETTLE_SECONDS
        if answer.level == Level.OPENSEARCH and now < settled:
            # It was made a moment after a write, and may not have it: it counts until it surely would.
            fresh_until = min(fresh_until, settled)
        raw = msgspec.msgpack.encode(_Kept(now, fresh_until, answer))
        if len(raw) > MAX_ANSWER_BYTES or not self._remember(key, raw):
            return
        if self._client is not None:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            client, left = self._client, fresh_until - now + STALE_SECONDS
            await self._write(lambda: client.set(key, raw, px=max(1, int(left * 1000))))

    def last(self, key: str) -> Answer | None:
        """The last answer to a query, however old: for when there is no other."""
        held = self._memory.get(_parts(key)[0])
        if held is None:
            return None
        kept = _DECODER.decode(held[1])
        age = max(0.0, self._clock() - kept.made_at)
        return msgspec.structs.replace(kept.answer, level=Level.MEMORY, stale=True, degraded=True, age_seconds=age)

    async def health(self) -> Health:
        """Whether Redis answers, and how much this process keeps."""
        detail: dict[str, Scalar] = {
            "kind": "memory",
            "answers": len(self._memory),
            "bytes": int(self._memory.currsize),
        }
        if self._client is None:
            return Health(True, detail)
        client = self._client
        ok = await self._ask(client.ping) is not None
        detail |= {"kind": "redis", "breaker": self._breaker.state.value, "reads_only": self._writes.refused}
        return Health(ok, detail, "" if ok else "Redis does not answer")

    async def close(self) -> None:
        """Closes the connections to Redis."""
        if self._client is not None:
            await self._client.aclose()

    def _read(self, raw: bytes, level: Level, now: float) -> Answer | None:
        try:
            kept = _DECODER.decode(raw)
        except msgspec.DecodeError:
            # Another version of the service has written it.
            return None
        if now > kept.fresh_until + STALE_SECONDS:
            return None
        answer, age = kept.answer, max(0.0, now - kept.made_at)
        stale = answer.stale or now > kept.fresh_until
        return msgspec.structs.replace(answer, level=level, stale=stale, age_seconds=age)

    def _remember(self, key: str, raw: bytes) -> bool:
        """Keeps an answer here, unless its tenant's were dropped while it was made or on its way."""
        query, generation = _parts(key)
        if generation < self._floors.get(UUID(key.split(":")[1]), 0):
            return False
        held = self._memory.get(query)
        if held is None or held[0] <= generation:
            # Larger than all of the memory that there is for answers: then it is nowhere.
            with suppress(ValueError):
                self._memory[query] = generation, raw
        return True

    async def _write(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answers to a write; None if it does not, or takes none."""
        if self._writes.refused:
            return None
        try:
            found = await self._ask(call)
        except ReadOnlyError:
            self._writes.note(refused=True)
            return None
        if found is not None:
            self._writes.note(refused=False)
        return found

    async def _ask(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """What Redis answers; None if it does not, or has nothing."""
        try:
            with self._breaker.guard(), tracing.span("redis", kind="client"):
                async with deadline.limit("Redis", REDIS_SECONDS):
                    try:
                        return await call()
                    except (RedisError, OSError) as error:
                        raise failure(error) from error
        except (UnavailableError, DeadlineExceededError):
            return None


def _generation_key(tenant_id: UUID) -> str:
    return f"generation:{tenant_id}"


def _parts(key: str) -> tuple[str, int]:
    """A key without its generation, and the generation."""
    kind, tenant, generation, digest = key.split(":")
    return f"{kind}:{tenant}:{digest}", int(generation)


def _size(held: tuple[int, bytes]) -> int:
    return len(held[1]) + ENTRY_BYTES
