"""Room for what callers send: a process holds so many bytes of large bodies at once, and turns away what is beyond.

How many write at once is bounded by `app.resilience.bulkhead`, and how many wait by `app.store.writer`; both count
requests. Fifty requests of ten megabytes are as many as fifty of a kilobyte, and more than a process has memory for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from uuid import UUID

from app.errors import OverloadedError

FREE: Final = 64 * 2**10
"""Bytes of each body that take no room: a search, or a document of the usual size, is never turned away for others."""

RETRY_SECONDS: Final = 1.0


class Room:
    """Room for bodies, of which one tenant gets half at most.

    Args:
        size: Bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: Counter[UUID] = Counter()

    @property
    def held(self) -> int:
        """Bytes that are taken."""
        return self._held.total()

    @contextmanager
    def of(self, tenant_id: UUID) -> Iterator[Held]:
        """Goes around one request: what its body took is free again afterwards."""
        held = Held(self, tenant_id)
        try:
            yield held
        finally:
            held.let_go()

    def take(self, tenant_id: UUID, size: int) -> None:
        """Takes room.

        Raises:
            OverloadedError: There is not so much.
        """
        for taken, most, whose in (
            (self._held[tenant_id], self._size // 2, "bodies of this tenant"),
            (self.held, self._size, "bodies"),
        ):
            if taken + size > most:
                raise OverloadedError(
                    f"there is no room for {size:,} bytes more",
                    why=f"{taken:,} of {most:,} are taken by {whose} that are being carried out",
                    remedy="Send less at once",
                    retry_after=RETRY_SECONDS,
                )
        self._held[tenant_id] += size

    def give(self, tenant_id: UUID, size: int) -> None:
        """Gives room back."""
        self._held[tenant_id] -= size
        if not self._held[tenant_id]:
            del self._held[tenant_id]


class Held:
    """What one request holds."""

    def __init__(self, room: Room, tenant_id: UUID) -> None:
        self._room, self._tenant_id, self._taken = room, tenant_id, 0

    def grow(self, size: int) -> None:
        """Takes what a body of this size needs beyond what it has.

        Raises:
            OverloadedError: There is not so much: what it has it keeps until the request has ended.
        """
        if (more := size - FREE - self._taken) > 0:
            self._room.take(self._tenant_id, more)
            self._taken += more

    def let_go(self) -> None:
        """Gives all of it back."""
        if self._taken:
            self._room.give(self._tenant_id, self._taken)
            self._taken = 0
