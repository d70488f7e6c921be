"""What is in an index beside what is in the database: document by document, in little memory, while writes go on.

Both are read in the order of their ids. What differs is looked at again until it does not, or time is over: a document
that is written meanwhile is in the index a moment later. The checksum of each side is a sum over its documents, so what
has changed since it was read is taken out of the sum and put in as it is now.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from app.index.model import Comparable
from app.store import documents
from app.store.database import Database
from app.tenancy import internal

PAGE: Final = 5_000

MOST_DIFFERENCES: Final = 100_000
"""Documents that are looked at one by one; if more differ, they are counted and no more."""

WAIT_SECONDS: Final = 30.0
"""What was written is in the index after so long, if the worker keeps up (requirement, section 5)."""

_MODULUS: Final = 2**64


@dataclass(frozen=True)
class Comparison:
    """An index beside the database, of one tenant.

    Attributes:
        tenant: Name of the tenant.
        level: The index: ``opensearch`` or ``full_text``.
        documents: Documents in the index.
        index_checksum: Over ids and versions in the index, 16 hexadecimal digits.
        stored: Documents in the database.
        database_checksum: The same over the database.
        missing: Documents that the index lacks.
        extra: Documents that the database lacks.
        other: Documents with another version.
        refused: Documents that no index takes: dead letters, left out of all of the above.
    """

    tenant: str
    level: str
    documents: int
    index_checksum: str
    stored: int
    database_checksum: str
    missing: int = 0
    extra: int = 0
    other: int = 0
    refused: int = 0

    @property
    def equal(self) -> bool:
        """Whether the index holds what the database does."""
        return (self.documents, self.index_checksum) == (self.stored, self.database_checksum)

    @property
    def differences(self) -> str:
        """What differs, in words."""
        named = {"missing": self.missing, "too many": self.extra, "of another version": self.other}
        return ", ".join(f"{number:,} {name}" for name, number in named.items() if number) or "none"


@dataclass
class Side:
    """Documents of one side, counted."""

    number: int = 0
    total: int = 0

    def add(self, document_id: UUID, version: int | None) -> None:
        """Counts a document; None is no document."""
        if version is not None:
            self.number += 1
            self.total = (self.total + digest(document_id, version)) % _MODULUS

    def take(self, document_id: UUID, version: int | None) -> None:
        """Counts a document no more."""
        if version is not None:
            self.number -= 1
            self.total = (self.total - digest(document_id, version)) % _MODULUS

    @property
    def checksum(self) -> str:
        """One figure for which documents there are at which versions, in whatever order they were counted."""
        return f"{self.total:016x}"


@dataclass
class Difference:
    """Versions of documents that differ: in the database, and in the index."""

    index: Side = field(default_factory=Side)
    stored: Side = field(default_factory=Side)
    found: dict[UUID, tuple[int | None, int | None]] = field(default_factory=dict)
    uncounted: int = 0
    refused: int = 0

    def see(self, document_id: UUID, stored: int | None, indexed: int | None) -> None:
        """Counts a document on both sides."""
        self.stored.add(document_id, stored)
        self.index.add(document_id, indexed)
        if stored == indexed:
            return
        if len(self.found) < MOST_DIFFERENCES:
            self.found[document_id] = stored, indexed
        else:
            self.uncounted += 1

    def now(self, document_id: UUID, stored: int | None, indexed: int | None, *, refused: bool) -> None:
        """What a document that differed is by now."""
        was = self.found.pop(document_id)
        self.stored.take(document_id, was[0])
        self.index.take(document_id, was[1])
        if refused and stored != indexed:
            self.refused += 1
            return
        self.see(document_id, stored, indexed)

    def verdict(self, tenant: str, level: str) -> Comparison:
        """What was found."""
        missing = sum(indexed is None for _, indexed in self.found.values())
        extra = sum(stored is None for stored, _ in self.found.values())
        return Comparison(
            tenant,
            level,
            self.index.number,
            self.index.checksum,
            self.stored.number,
            self.stored.checksum,
            missing,
            extra,
            len(self.found) + self.uncounted - missing - extra,
            self.refused,
        )


def digest(document_id: UUID, version: int) -> int:
    """A document's part of a checksum."""
    return int.from_bytes(hashlib.sha256(f"{document_id} {version}".encode()).digest()[:8], "big")


async def compare(work: Database, tenant_id: UUID, index: Comparable, *, wait: float = WAIT_SECONDS) -> Difference:
    """Compares an index with the database.

    Args:
        work: Pools of the worker's login.
        tenant_id: Whose documents.
        index: The index.
        wait: What differs is looked at again for so long, s.
    """
    difference = await _read(work, tenant_id, index)
    await settle(work, tenant_id, index, difference, wait=wait)
    return difference


async def settle(work: Database, tenant_id: UUID, index: Comparable, difference: Difference, *, wait: float) -> None:
    """Looks at what differs until it does not, or time is over."""
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + wait, 0.1
    while difference.found and not difference.uncounted:
        ids = [*difference.found]
        async with work.read(internal(tenant_id, "comparison")) as connection:
            stored = await documents.states_of(connection, tenant_id, ids)
        indexed = await index.versions_of(tenant_id, ids)
        for one in ids:
            version, status = stored.get(one, (None, ""))
            difference.now(one, version, indexed.get(one), refused=status == "FAILED")
        if loop.time() + pause > end:
            return
        if difference.found:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)


async def _read(work: Database, tenant_id: UUID, index: Comparable) -> Difference:
    difference = Difference()
    async with aclosing(_stored(work, tenant_id)) as left, aclosing(index.entries(tenant_id)) as right:
        one, other = await anext(left, None), await anext(right, None)
        while one or other:
            if other is None or (one and one[0] < other[0]):
                assert one is not None
                difference.see(one[0], one[1], None)
                one = await anext(left, None)
            elif one is None or other[0] < one[0]:
                difference.see(other[0], None, other[1])
                other = await anext(right, None)
            else:
                difference.see(one[0], one[1], other[1])
                one, other = await anext(left, None), await anext(right, None)
    return difference


async def _stored(work: Database, tenant_id: UUID) -> AsyncGenerator[tuple[UUID, int], None]:
    after: UUID | None = None
    while True:
        async with work.read(internal(tenant_id, "comparison")) as connection:
            found = await documents.versions_page(connection, tenant_id, after, PAGE)
        for one in found:
            yield one
        if len(found) < PAGE:
            return
        after = found[-1][0]
