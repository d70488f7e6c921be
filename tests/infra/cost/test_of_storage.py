"""Buckets, their lifecycles and copies, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cost.model import Estimate
from infra.cost.of_storage import BUCKET, LIFECYCLE, REGISTRY_REPLICATION, REPLICATION
from infra.cost.usage import Bucket
from infra.plan import UNKNOWN, Change
from tests.infra.cost.priced import bucket, figures, made, peer, priced

CLASSES = ("STANDARD_IA", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")


def rule(*moves: tuple[str, int], **more: Any) -> dict[str, Any]:
    steps = [{"storageClass": class_, "days": days} for class_, days in moves]
    return {"status": "Enabled", "transitions": steps, **more}


def rules(*its: dict[str, Any]) -> Change:
    return made(LIFECYCLE, "docs", bucket=UNKNOWN, rules=list(its))


def stored(*changes: Change, its: Bucket) -> Estimate:
    return priced(made(BUCKET, "docs"), *changes, use=figures(buckets={"docs": its}))


def by_class(found: Estimate) -> dict[str, Decimal]:
    return {
        line.what.removeprefix("storage, "): line.quantity.expected
        for line in found.lines
        if line.what.startswith("storage")
    }


def gaps(found: Estimate) -> set[str]:
    return {f"{gap.what}: {gap.why}" for gap in (*found.unknown, *found.unpriced)}


def test_without_a_lifecycle_all_is_in_standard() -> None:
    assert by_class(stored(its=bucket(stored_gb=100))) == {"STANDARD": 100}


def test_objects_that_the_rules_keep_for_ever_become_as_old_as_the_usage_file_says() -> None:
    found = stored(rules(rule(("GLACIER_IR", 25))), its=bucket(stored_gb=100, kept_days=100))
    assert by_class(found) == {"STANDARD": 25, "GLACIER_IR": 75}


def test_small_objects_stay_where_they_are() -> None:
    its = bucket(stored_gb=100, kept_days=100, small_share=Decimal("0.2"))
    assert by_class(stored(rules(rule(("GLACIER_IR", 50))), its=its)) == {"STANDARD": 60, "GLACIER_IR": 40}


def test_rules_that_are_off_or_hold_for_a_part_move_nothing() -> None:
    off = rule(("GLACIER_IR", 1)) | {"status": "Disabled"}
    part = rule(("GLACIER_IR", 1), filter={"prefix": "old/"})
    assert by_class(stored(rules(off, part), its=bucket(stored_gb=100))) == {"STANDARD": 100}


def test_a_move_after_the_end_moves_nothing() -> None:
    found = stored(rules(rule(("GLACIER_IR", 90), expiration={"days": 30})), its=bucket(stored_gb=100))
    assert by_class(found) == {"STANDARD": 100}


@given(
    moves=st.lists(st.tuples(st.sampled_from(CLASSES), st.integers(0, 800)), max_size=4),
    ends=st.integers(1, 1000),
    small=st.decimals(0, 1, places=2),
)
def test_whatever_the_rules_all_that_is_stored_is_in_some_class(
    moves: list[tuple[str, int]], ends: int, small: Decimal
) -> None:
    found = stored(rules(rule(*moves, expiration={"days": ends})), its=bucket(stored_gb=1000, small_share=small))
    assert found.complete
    total = sum((line.quantity.expected for line in found.lines if line.what.startswith("storage")), Decimal(0))
    assert abs(total - 1000) < Decimal("0.001")


def test_what_is_moved_is_at_least_128_kb() -> None:
    found = stored(rules(rule(("STANDARD_IA", 50))), its=bucket(stored_gb=100, object_kb=1, kept_days=100))
    (moved,) = (line for line in found.lines if line.what == "moves to STANDARD_IA")
    assert abs(moved.quantity.expected - Decimal(100) * 730 / 24 / 100 * 2**20 / 128 / 1000) < Decimal("0.001")


def test_reading_costs_where_the_class_says_so() -> None:
    its = bucket(stored_gb=100, kept_days=100, retrieved_share=Decimal("0.1"))
    found = stored(rules(rule(("STANDARD_IA", 50))), its=its)
    assert [line.quantity.expected for line in found.lines if line.what.startswith("read")] == [5]


def test_a_class_without_a_price_here_is_unpriced() -> None:
    found = stored(rules(rule(("INTELLIGENT_TIERING", 1))), its=bucket(stored_gb=100))
    assert "storage, INTELLIGENT_TIERING: the class is not priced here" in gaps(found)


def test_a_lifecycle_that_is_not_known_is_a_gap_and_requests_are_priced() -> None:
    its = bucket(stored_gb=100, gets_thousands=10)
    found = stored(rules(rule(("STANDARD_IA", 50)) | {"transitions": UNKNOWN}), its=its)
    assert "storage: rules[0].transitions: it is not known before the update" in gaps(found)
    assert [line.what for line in found.lines] == ["GET requests"]


def test_a_bucket_that_the_usage_file_does_not_name_is_a_gap() -> None:
    found = priced(made(BUCKET, "docs"))
    assert "storage: buckets.docs: it is missing in the usage file" in gaps(found)


def test_replication_without_time_control_costs_the_transfer_alone() -> None:
    its = made(REPLICATION, "docs-replication", rules=[{"destination": {}}])
    found = priced(its, use=figures(buckets={"docs": bucket(replicated_gb=10)}, peer=peer()))
    assert [(line.price.sku, line.price.region) for line in found.lines] == [
        ("replication:cross-region:transfer:us-west-2->us-east-1", "us-west-2")
    ]


def test_each_rule_with_metrics_has_four() -> None:
    one = {"destination": {"metrics": {"status": "Enabled"}}}
    found = priced(made(REPLICATION, "docs", rules=[one, one]), use=figures(buckets={"docs": bucket()}, peer=peer()))
    assert [(line.price.sku, line.quantity.expected) for line in found.lines] == [("metric:first-10k", Decimal(8))]


@pytest.mark.parametrize(("to", "source"), [("us-west-2", "us-east-1"), ("us-east-1", "us-west-2")])
def test_images_are_sent_from_where_they_are(to: str, source: str) -> None:
    its: dict[str, Any] = {"replicationConfiguration": {"rules": [{"destinations": [{"region": to}]}]}}
    found = priced(made(REGISTRY_REPLICATION, **its), use=figures(registry__replicated_gb=10, peer=peer()))
    assert [(line.price.sku, line.price.region) for line in found.lines] == [(f"replication:{source}->{to}", source)]


def test_enhanced_scanning_is_unpriced() -> None:
    scanning = "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration"
    assert priced(made(scanning, scanType="BASIC")).complete
    assert gaps(priced(made(scanning, scanType="ENHANCED"))) == {
        "scanning: Amazon Inspector, which enhanced scanning uses, is not priced here"
    }
