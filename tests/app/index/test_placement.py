"""Tenants are where their size puts them, and go nowhere for nothing."""

from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.index.placement import (
    GIB,
    PRIMARIES,
    SCHEMA,
    SHARD_BYTES,
    SHARED,
    Place,
    Placement,
    Size,
    Tier,
    index_name,
    layout_of,
    next_layout,
    outdated,
    plan,
    tier_of,
    written,
)

ORDER = [*Tier]
TENANT = uuid4()


@pytest.mark.parametrize(
    ("documents", "size", "tier"),
    [
        (0, 0, Tier.SMALL),
        (999_999, GIB, Tier.SMALL),
        (1_000_000, GIB, Tier.MEDIUM),
        (10_000_000, 14 * GIB, Tier.MEDIUM),
        (10_000_001, 14 * GIB, Tier.LARGE),
        (1000, 20 * GIB, Tier.SMALL),
        (1000, 20 * GIB + 1, Tier.MEDIUM),
        (1000, 180 * GIB, Tier.MEDIUM),
        (1000, 181 * GIB, Tier.LARGE),
    ],
)
def test_the_tier_of_a_tenant(documents: int, size: int, tier: Tier) -> None:
    assert tier_of(documents, size) is tier
    assert plan(Placement(TENANT), Size(documents, size)).tier is tier


SIZES = st.builds(Size, st.integers(0, 10**9), st.integers(0, 10**13))
PLACES = st.one_of(
    st.just(Place()),
    st.just(Place(Tier.MEDIUM, 6)),
    st.builds(Place, st.just(Tier.LARGE), st.integers(12, 1000)),
)


@given(SIZES, SIZES)
def test_who_grows_is_never_put_into_a_smaller_tier(size: Size, more: Size) -> None:
    grown = tier_of(size.documents + more.documents, size.size_bytes + more.size_bytes)
    assert ORDER.index(grown) >= ORDER.index(tier_of(size.documents, size.size_bytes))


@given(PLACES, SIZES)
def test_wherever_a_tenant_is_its_plan_has_room_for_it_and_holds(place: Place, size: Size) -> None:
    found = plan(Placement(TENANT, place), size)
    assert found.primaries >= PRIMARIES[found.tier]
    shards = 1 if found.tier is Tier.SMALL else found.primaries
    assert size.size_bytes / shards <= SHARD_BYTES
    assert ORDER.index(found.tier) >= ORDER.index(tier_of(size.documents, size.size_bytes))
    assert plan(Placement(TENANT, found), size) == found, "who has moved is moved again"


@given(PLACES, SIZES, st.lists(st.floats(0.85, 1.15), min_size=2, max_size=12))
def test_a_size_that_wavers_moves_a_tenant_once_at_most(place: Place, size: Size, waves: list[float]) -> None:
    place = plan(Placement(TENANT, place), size)
    seen = [place]
    for wave in waves:
        now = Size(int(size.documents * wave), int(size.size_bytes * wave))
        seen.append(plan(Placement(TENANT, seen[-1]), now))
    moves = sum(one != other for one, other in pairwise(seen))
    assert moves <= 1, seen


@given(st.integers(3, 1000), SIZES)
def test_the_shared_index_stays_shared_and_gets_shards_as_it_grows(primaries: int, size: Size) -> None:
    found = plan(Placement(SHARED, Place(Tier.SMALL, primaries)), size)
    assert found.tier is Tier.SMALL
    assert size.size_bytes / found.primaries <= SHARD_BYTES
    assert found.primaries >= 3
    assert plan(Placement(SHARED, found), size) == found


def test_small_tenants_share_an_index_and_others_have_their_own() -> None:
    one, other = uuid4(), uuid4()
    small, medium, large = Place(), Place(Tier.MEDIUM, 6), Place(Tier.LARGE, 12)
    assert layout_of(small, one).alias == layout_of(small, other).alias == layout_of(small, SHARED).alias
    assert layout_of(small, one).routing == str(one)
    for place in (medium, large):
        assert layout_of(place, one).alias != layout_of(place, other).alias
        assert layout_of(place, one).routing is None


def test_what_is_written_while_a_tenant_moves_goes_to_both_places() -> None:
    medium = Place(Tier.MEDIUM, 6)
    still, moving = Placement(SHARED), Placement(SHARED, following=Place(Tier.SMALL, 5))
    assert [one.alias for one in written(Placement(TENANT), still)] == ["docsearch-small"]
    own = f"docsearch-tenant-{TENANT}"
    grows = Placement(TENANT, following=medium)
    assert [one.alias for one in written(grows, still)] == ["docsearch-small", f"{own}-next"]
    shrinks = Placement(TENANT, medium, Place())
    assert [one.alias for one in written(shrinks, still)] == [own, "docsearch-small"]
    assert [one.alias for one in written(Placement(TENANT), moving)] == ["docsearch-small", "docsearch-small-next"]
    assert [one.alias for one in written(shrinks, moving)] == [own, "docsearch-small", "docsearch-small-next"]
    assert [one.alias for one in written(Placement(TENANT, medium), moving)] == [own]
    assert {one.routing for one in written(Placement(TENANT), moving)} == {str(TENANT)}
    assert next_layout(medium, TENANT).alias == f"{own}-next"
    assert next_layout(Place(), TENANT).alias == "docsearch-small"


def test_an_index_is_followed_by_the_next_number() -> None:
    assert index_name("docsearch-small") == f"docsearch-small-{SCHEMA}-000001"
    taken = ["docsearch-small-1-000001", "docsearch-small-0-000007", "docsearch-small-x", "docsearch-smaller-1-000009"]
    assert index_name("docsearch-small", taken) == f"docsearch-small-{SCHEMA}-000008"


def test_an_index_of_another_schema_is_known_by_its_name() -> None:
    new = index_name("docsearch-small")
    own = index_name(f"docsearch-tenant-{TENANT}")
    names = [
        "docsearch-small-1-000001",
        new,
        own,
        f"docsearch-tenant-{TENANT}-0-000003",
        "docsearch-archive-x",
        "other-1-000001",
    ]
    assert outdated(names) == ["docsearch-small-1-000001", f"docsearch-tenant-{TENANT}-0-000003"]
    assert outdated(names, prefix="other") == ["other-1-000001"]
