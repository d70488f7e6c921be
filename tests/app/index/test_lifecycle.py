"""Tenants are where their size puts them, and indexes are as the requirement has them."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.index.lifecycle import (
    GIB,
    SHARD_BYTES,
    Tier,
    first_index,
    layout_of,
    mappings,
    next_index,
    policy,
    settings,
    template,
    tier_of,
)

ORDER = [*Tier]


@pytest.mark.parametrize(
    ("documents", "size", "tier"),
    [
        (0, 0, Tier.SMALL),
        (999_999, GIB, Tier.SMALL),
        (1_000_000, GIB, Tier.MEDIUM),
        (10_000_000, 14 * GIB, Tier.MEDIUM),
        (10_000_001, 14 * GIB, Tier.LARGE),
        (1000, 91 * GIB, Tier.MEDIUM),
        (1000, 181 * GIB, Tier.LARGE),
    ],
)
def test_the_tier_of_a_tenant(documents: int, size: int, tier: Tier) -> None:
    assert tier_of(documents, size) is tier


SIZES = st.integers(0, 10**13)


@given(st.integers(0, 10**9), SIZES, st.integers(0, 10**9), SIZES)
def test_who_grows_is_never_put_into_a_smaller_tier(documents: int, size: int, more: int, larger: int) -> None:
    assert ORDER.index(tier_of(documents + more, size + larger)) >= ORDER.index(tier_of(documents, size))


@given(st.integers(0, 10**9), SIZES)
def test_no_shard_of_a_tenant_of_its_own_is_too_large(documents: int, size: int) -> None:
    tier = tier_of(documents, size)
    layout = layout_of(tier, uuid4(), size)
    assert layout.primaries >= {Tier.SMALL: 3, Tier.MEDIUM: 6, Tier.LARGE: 12}[tier]
    assert size / layout.primaries <= SHARD_BYTES


def test_small_tenants_share_an_index_and_others_have_their_own() -> None:
    one, other = uuid4(), uuid4()
    assert layout_of(Tier.SMALL, one).alias == layout_of(Tier.SMALL, other).alias
    assert layout_of(Tier.SMALL, one).routing == str(one)
    for tier in (Tier.MEDIUM, Tier.LARGE):
        assert layout_of(tier, one).alias != layout_of(tier, other).alias
        assert layout_of(tier, one).routing is None


def test_an_index_is_followed_by_the_next_number() -> None:
    assert next_index(first_index("docsearch-small")) == "docsearch-small-1-000002"


def test_settings_are_the_requirement_s() -> None:
    found = settings(6)
    assert (found["number_of_shards"], found["number_of_replicas"]) == (6, 2)
    assert (found["refresh_interval"], found["codec"], found["max_result_window"]) == (
        "30s",
        "best_compression",
        10_000,
    )
    content = mappings()["properties"]["content"]
    assert (content["type"], content["index_options"]) == ("text", "offsets")
    assert mappings()["dynamic"] == "strict"
    assert template()["index_patterns"] == ["docsearch-*"]


def test_the_policy_goes_from_hot_to_deleted_and_touches_no_index_that_is_changed() -> None:
    found = policy()["policy"]
    following = {state["name"]: state["transitions"] for state in found["states"]}
    assert [
        (one, to[0]["state_name"], to[0]["conditions"]["min_index_age"]) for one, to in following.items() if to
    ] == [
        ("hot", "warm", "30d"),
        ("warm", "cold", "90d"),
        ("cold", "delete", "730d"),
    ]
    (patterns,) = [one["index_patterns"] for one in found["ism_template"]]
    assert patterns == ["docsearch-archive-*"]
