"""What a queue of index work is, whoever keeps it.

The outbox in PostgreSQL is the truth: a row is deleted only when its document is in the index. What travels is a claim
check, which document at which version, never the document. So a queue may lose, repeat and reorder messages: what was
lost is sent again from the outbox, and versions make the rest harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from app.index.model import Health

PART_BYTES: Final = 4 * 2**20
"""Documents that are read and written at once, bytes: with its actions a bulk request of OpenSearch
(`app.index.opensearch.MAX_BULK_BYTES`), and for PostgreSQL's full text a part of what a statement has time for."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One document that has to be brought into the index.

    Attributes:
        outbox_id: The row of the outbox.
        tenant_id: Whose document.
        document_id: Which.
        version: At least this version: the worker reads what is there by then.
        task_id: The task that waits for it.
        attempts: How often it was tried before.
        written_at: When it was written: how old it is when it is found is the index's freshness.
        trace: The ``traceparent`` of the request that wrote it; empty if it has none.
    """

    outbox_id: int
    tenant_id: UUID
    document_id: UUID
    version: int
    task_id: UUID
    attempts: int
    written_at: datetime
    trace: str = ""


@dataclass(frozen=True)
class Batch:
    """What one message holds: claims of one tenant, so that a slow tenant holds up only itself."""

    tenant_id: UUID
    claims: tuple[Claim, ...]


def parts(waiting: Sequence[tuple[Claim, int]]) -> Iterator[list[Claim]]:
    """Claims, given with the sizes of documents, in parts of `PART_BYTES`; what is larger is a part by itself."""
    part: list[Claim] = []
    filled = 0
    for claim, size in waiting:
        if part and filled + size > PART_BYTES:
            yield part
            part, filled = [], 0
        part.append(claim)
        filled += size
    if part:
        yield part


@dataclass(frozen=True)
class Depth:
    """How much waits.

    Attributes:
        ready: Claims that nobody works on.
        oldest_seconds: The age of the oldest of them, s; 0 if there is none.
        dead: Claims that were given up.
    """

    ready: int
    oldest_seconds: float
    dead: int


class Delivery(Protocol):
    """A batch in the hands of one worker. Whoever takes it answers for every claim, or it comes again."""

    @property
    def batch(self) -> Batch:
        """What to do."""

    async def done(self, claims: Sequence[Claim], versions: dict[UUID, int]) -> None:
        """These are in the index at these versions: their rows of the outbox go, their tasks count them."""

    async def again(self, claims: Sequence[Claim], reason: str, *, counted: bool = True) -> None:
        """These failed and come again later; after the last attempt they are dead letters.

        Args:
            claims: What failed.
            reason: Why.
            counted: Whether it was an attempt. While an index is down it is none: an outage buries nothing.
        """

    async def dead(self, claims: Sequence[Claim], reason: str) -> None:
        """These will never work: dead letters with a reason, and their tasks fail."""


class Queue(Protocol):
    """Where work for the index waits."""

    async def publish(self, batches: Sequence[Batch]) -> None:
        """Hands batches to whoever delivers them, and returns when they are confirmed.

        Raises:
            UnavailableError: Not confirmed in time. The rows stay in the outbox and are published again.
        """

    def delivery(self) -> AbstractAsyncContextManager[Delivery | None]:
        """Takes the next batch, or None if nothing waits. What was not answered for when it closes comes again."""

    async def wait(self, seconds: float) -> None:
        """Returns when there may be something to take, at the latest after so long, s."""

    def wake(self) -> None:
        """This process has just written something: a queue that would not hear of it otherwise looks at once."""

    async def depth(self) -> Depth:
        """How much waits."""

    async def health(self) -> Health:
        """Whether it answers."""

    async def close(self) -> None:
        """Lets go of connections."""
