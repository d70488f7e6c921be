"""Where a tenant's documents are: tiers by size, names of indexes and aliases, and when a tenant moves. Pure.

Small tenants share an index; a tenant that has outgrown it gets one of its own with more shards. Whatever index holds a
tenant, it is read and written by an alias, and so a move ends in one change that nobody who searches sees.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

PREFIX: Final = "docsearch"

GIB: Final = 2**30

MILLION: Final = 1_000_000

SHARD_BYTES: Final = 30 * GIB
"""A shard that is searched has 10 to 30 GiB (Amazon OpenSearch Service Lens, AOSPERF01-BP01)."""

NEW_SHARD_BYTES: Final = 20 * GIB
"""What a shard is planned for when its index is made, so that it has room to grow."""

FEW_SHARD_BYTES: Final = 10 * GIB
"""A shard that has less is one too many."""

ROOM: Final = 0.7
"""Who becomes smaller goes back to a tier when it fills so much of it at most: one that lies at a bound stays put."""

SCHEMA: Final = 2
"""Of the fields of an index (`app.index.lifecycle.mappings`) and of what its documents are called: an index of another
number has to be filled again."""

SHARED: Final = UUID(int=0)
"""In place of a tenant: the index that small tenants share."""


class Tier(StrEnum):
    """How large a tenant is (requirement, section 1)."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


PRIMARIES: Final = {Tier.SMALL: 3, Tier.MEDIUM: 6, Tier.LARGE: 12}
"""Primary shards of an index at least (requirement, section 1)."""

MOST_DOCUMENTS: Final = {Tier.SMALL: MILLION - 1, Tier.MEDIUM: 10 * MILLION}
"""The requirement's ceilings: below 1 million, 1 to 10 million, above."""

MOST_BYTES: Final = {Tier.SMALL: NEW_SHARD_BYTES, Tier.MEDIUM: PRIMARIES[Tier.MEDIUM] * SHARD_BYTES}
"""A small tenant is on one shard of the shared index, beside others; one of its own is spread over all of them."""


@dataclass(frozen=True)
class Place:
    """Where a tenant is, or is going to.

    Attributes:
        tier: Its tier.
        primaries: Primary shards of its index.
    """

    tier: Tier = Tier.SMALL
    primaries: int = PRIMARIES[Tier.SMALL]


@dataclass(frozen=True)
class Layout:
    """How a tenant's documents are reached.

    Attributes:
        tier: Its tier.
        alias: What is read or written.
        primaries: Primary shards of the index behind it.
        routing: What its documents are put on a shard by: of a shared index one tenant needs one shard, of its own all.
    """

    tier: Tier
    alias: str
    primaries: int
    routing: str | None = None


@dataclass(frozen=True)
class Placement:
    """Where a tenant is by the database.

    Attributes:
        tenant_id: The tenant, or `SHARED`.
        place: Where it is found.
        following: Where it is being moved to: what is written is written there, too.
    """

    tenant_id: UUID
    place: Place = Place()
    following: Place | None = None


@dataclass(frozen=True)
class Size:
    """How large a tenant is.

    Attributes:
        documents: How many it has.
        size_bytes: What they take in an index, without replicas, bytes.
    """

    documents: int
    size_bytes: int


def tier_of(documents: int, size_bytes: int) -> Tier:
    """The tier of a tenant that is new: by its bytes, with the requirement's counts of documents as a ceiling.

    Args:
        documents: How many it has.
        size_bytes: What they take in an index, bytes.
    """
    return next((tier for tier in MOST_BYTES if _fits(tier, Size(documents, size_bytes))), Tier.LARGE)


def plan(now: Placement, size: Size) -> Place:
    """Where a tenant should be.

    It grows as soon as it has to, and shrinks only with room to spare, so that no size makes it go to and fro.

    Args:
        now: Where it is.
        size: How large it is.
    """
    tier = now.place.tier
    if now.tenant_id != SHARED:
        wanted = tier_of(size.documents, size.size_bytes)
        if _rank(wanted) > _rank(tier):
            tier = wanted
        else:
            roomy = (one for one in MOST_BYTES if _rank(one) < _rank(tier) and _fits(one, size, ROOM))
            tier = next(roomy, tier)
        if tier is Tier.SMALL:
            return Place()
    if tier is not now.place.tier:
        return place_of(tier, size.size_bytes)
    a_shard = size.size_bytes / now.place.primaries
    new = place_of(tier, size.size_bytes)
    if a_shard > SHARD_BYTES or (a_shard < FEW_SHARD_BYTES and new.primaries < now.place.primaries):
        return new
    return now.place


def place_of(tier: Tier, size_bytes: int = 0) -> Place:
    """A place of a tier: 3, 6 or 12 primaries, and more where a shard would become too large."""
    least = PRIMARIES[tier]
    enough = -(-size_bytes // NEW_SHARD_BYTES)
    # A tenant that just fits into a tier has shards as large as may be, rather than another number of them.
    return Place(tier, enough if enough > least and size_bytes > least * SHARD_BYTES else least)


def layout_of(place: Place, tenant_id: UUID, *, prefix: str = PREFIX) -> Layout:
    """How the documents of a tenant are reached at a place."""
    if place.tier is Tier.SMALL:
        routing = None if tenant_id == SHARED else str(tenant_id)
        return Layout(place.tier, f"{prefix}-small", place.primaries, routing)
    return Layout(place.tier, f"{prefix}-tenant-{tenant_id}", place.primaries)


def next_layout(place: Place, tenant_id: UUID, *, prefix: str = PREFIX) -> Layout:
    """How the place that a tenant moves to is reached until it is there.

    A small one goes into the shared index, which is there; another one, and the shared index itself, into a new index.
    """
    found = layout_of(place, tenant_id, prefix=prefix)
    if place.tier is Tier.SMALL and tenant_id != SHARED:
        return found
    return following(found)


def following(layout: Layout) -> Layout:
    """The layout of the index that is to take another one's place."""
    return Layout(layout.tier, f"{layout.alias}-next", layout.primaries, layout.routing)


def written(one: Placement, shared: Placement, *, prefix: str = PREFIX) -> tuple[Layout, ...]:
    """All that a tenant's documents are written to: where it is found first, then where it is going."""
    found = [layout_of(one.place, one.tenant_id, prefix=prefix)]
    if one.following:
        found.append(next_layout(one.following, one.tenant_id, prefix=prefix))
    if shared.following:
        found += [following(layout) for layout in found if layout.tier is Tier.SMALL]
    return tuple(found)


def index_name(alias: str, taken: Iterable[str] = ()) -> str:
    """The index that comes next behind an alias.

    Args:
        alias: The alias.
        taken: The indexes that there are; others than this alias's do not matter.
    """
    pattern = re.compile(rf"{re.escape(alias)}-\d+-(\d+)")
    numbers = [int(match[1]) for name in taken if (match := pattern.fullmatch(name))]
    return f"{alias}-{SCHEMA}-{max(numbers, default=0) + 1:06}"


def outdated(names: Iterable[str], *, prefix: str = PREFIX) -> list[str]:
    """Those indexes that were made by another schema: what is written now and what is there do not go together."""
    pattern = re.compile(rf"{re.escape(prefix)}(?:-[\w-]+)?-(\d+)-\d{{6}}")
    return [name for name in names if (match := pattern.fullmatch(name)) and int(match[1]) != SCHEMA]


class Layouts(Protocol):
    """Where tenants' documents are."""

    async def read(self, tenant_id: UUID) -> Layout:
        """Where a tenant is found."""

    async def written(self, tenants: Collection[UUID]) -> Mapping[UUID, Sequence[Layout]]:
        """Where what belongs to tenants is written: one place, or two while one moves."""


class Always:
    """Every tenant is at one place."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    async def read(self, tenant_id: UUID) -> Layout:
        """There."""
        del tenant_id
        return self._layout

    async def written(self, tenants: Collection[UUID]) -> Mapping[UUID, Sequence[Layout]]:
        """There."""
        return dict.fromkeys(tenants, (self._layout,))


class SmallOnes:
    """Every tenant is small."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    async def read(self, tenant_id: UUID) -> Layout:
        """In the shared index."""
        return layout_of(Place(), tenant_id, prefix=self._prefix)

    async def written(self, tenants: Collection[UUID]) -> Mapping[UUID, Sequence[Layout]]:
        """In the shared index."""
        return {tenant_id: (await self.read(tenant_id),) for tenant_id in tenants}


def _fits(tier: Tier, size: Size, share: float = 1.0) -> bool:
    return size.documents <= share * MOST_DOCUMENTS[tier] and size.size_bytes <= share * MOST_BYTES[tier]


def _rank(tier: Tier) -> int:
    return [*Tier].index(tier)
