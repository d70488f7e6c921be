"""What a search answers beyond what was found: which level served it, and whether it is stale or degraded."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec
from msgspec import Struct

from app.index.model import Health, Result
from app.tenancy import ScopedQuery


class Level(StrEnum):
    """Where an answer comes from, the nearest first (requirement, section 5)."""

    MEMORY = "memory"
    REDIS = "redis"
    OPENSEARCH = "opensearch"
    FULL_TEXT = "full_text"


class Answer(Struct, frozen=True):
    """What was found, and how.

    Attributes:
        result: What was found.
        level: What served it.
        stale: Whether it is past its time to live, so that something may have been written since that it does not have.
        degraded: Whether the engine of choice did not answer, and another one did.
        age_seconds: How old the answer is, s; 0 if it was made for this request.
    """

    result: Result
    level: str
    stale: bool = False
    degraded: bool = False
    age_seconds: float = 0.0


class Cache(Protocol):
    """Keeps answers for a while. A cache that fails is a miss: none of its methods raises for a dependency."""

    async def generation(self, tenant_id: UUID) -> int:
        """What a tenant's answers are kept under. A write raises it, and the old answers are never asked for again."""

    async def advance(self, tenant_id: UUID) -> None:
        """Raises a tenant's generation."""

    async def forget(self, tenant_id: UUID) -> bool:
        """Raises a tenant's generation and drops all of its answers, here and wherever they are served.

        Returns:
            Whether that is done: not while what keeps them does not answer.
        """

    def floor(self, tenant_id: UUID) -> float:
        """When a tenant's answers were dropped last, s since 1970; 0 if never."""

    async def get(self, key: str) -> Answer | None:
        """What is kept, with ``level``, ``stale`` and ``age_seconds`` as they are by now."""

    async def put(self, key: str, answer: Answer) -> None:
        """Keeps an answer, for its time to live."""

    def last(self, key: str) -> Answer | None:
        """The last answer to a query that this process knows, however old: for when there is no other."""

    async def health(self) -> Health:
        """Whether it answers."""

    async def close(self) -> None:
        """Lets go of connections."""


class NoCache:
    """No cache at all."""

    async def generation(self, tenant_id: UUID) -> int:
        """Always the same: nothing is kept under it."""
        del tenant_id
        return 0

    async def advance(self, tenant_id: UUID) -> None:
        """Nothing to invalidate."""

    async def forget(self, tenant_id: UUID) -> bool:
        """Nothing to drop."""
        del tenant_id
        return True

    def floor(self, tenant_id: UUID) -> float:
        """Nothing was ever dropped."""
        del tenant_id
        return 0.0

    async def get(self, key: str) -> Answer | None:
        """Never anything."""
        del key
        return None

    async def put(self, key: str, answer: Answer) -> None:
        """Keeps nothing."""

    def last(self, key: str) -> Answer | None:
        """Never anything."""
        del key
        return None

    async def health(self) -> Health:
        """Always well."""
        return Health(True, {"kind": "none"})

    async def close(self) -> None:
        """Nothing to let go of."""


DIGEST = 64
"""Characters at the end of a key that say which query it is of: SHA-256, hexadecimal."""


def key_of(query: ScopedQuery, generation: int) -> str:
    """What an answer is kept under: tenant, generation, forced filters and query, all of them.

    Two queries share a key only if they are the same in every part, so no answer of one tenant, or from outside of a
    token's forced filter, is found by another.
    """
    parts = (query.forced, query.query)
    digest = hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
    return f"search:{query.tenant_id}:{generation}:{digest}"
