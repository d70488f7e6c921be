"""Volumes, those of Kubernetes included, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.cost.model import Estimate, Range
from infra.cost.of_volumes import STORAGE_CLASS, quantity
from infra.cost.pricing import NoFigureError
from infra.plan import Change
from tests.infra.cost.priced import made, priced

SET = "kubernetes:apps/v1:StatefulSet"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
VOLUME = "aws:ebs/volume:Volume"


def storage_class(name: str = "fast", provisioner: str = "ebs.csi.aws.com", **parameters: str) -> Change:
    return made(STORAGE_CLASS, name, metadata={"name": name}, provisioner=provisioner, parameters=parameters)


def claim(size: str = "10Gi", **spec: Any) -> dict[str, Any]:
    return {"spec": {"resources": {"requests": {"storage": size}}, "storageClassName": "fast", **spec}}


def gaps(found: Estimate) -> list[str]:
    return [f"{gap.what}: {gap.why}" for gap in (*found.unknown, *found.unpriced)]


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("7", "7"), ("1.5", "1.5"), ("200Gi", 200 * 2**30), ("1G", 10**9), ("128Mi", 128 * 2**20)],
)
def test_quantities_are_those_of_kubernetes(text: str, number: Any) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "-1", "1gi", "1e3", "1 Gi", "٣Gi" + "x", "9" * 400, "1.5.2"])
def test_what_is_no_quantity_is_a_gap(text: str) -> None:
    with pytest.raises(NoFigureError):
        quantity(text)


def test_a_claim_is_a_volume_of_its_class() -> None:
    found = priced(storage_class(type="gp3", throughput="225"), made(CLAIM, **claim("100Gi")))
    assert found.monthly == Range.of(8 + 4)


def test_a_volume_has_whole_gib() -> None:
    assert priced(storage_class(), made(CLAIM, **claim("1G"))).lines[0].quantity == Range.of(1)


def test_a_set_has_a_volume_for_each_template_and_replica() -> None:
    its = made(SET, spec={"replicas": 3, "volumeClaimTemplates": [claim("10Gi"), claim("20Gi")]})
    found = priced(storage_class(), its)
    assert [line.quantity.expected for line in found.lines] == [30, 60]


def test_a_class_that_the_plan_does_not_hold_is_a_gap() -> None:
    assert gaps(priced(made(CLAIM, **claim()))) == [
        "volume: storageClassName: it is fast, which the plan does not hold"
    ]
    default: dict[str, Any] = {"spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    assert gaps(priced(storage_class(), made(CLAIM, **default))) == [
        "volume: storageClassName: it is the default, which the plan does not hold"
    ]


def test_a_class_of_another_driver_is_unpriced() -> None:
    found = priced(storage_class(provisioner="efs.csi.aws.com"), made(CLAIM, **claim()))
    assert gaps(found) == ["volumes of storage class fast: only ebs.csi.aws.com is priced here"]


def test_a_type_that_is_none_is_unpriced() -> None:
    assert gaps(priced(made(VOLUME, size=1, type="gp9"))) == [
        "volume: gp9 is no type of EBS volume that is priced here"
    ]


def test_io2_is_priced_for_its_first_iops_alone() -> None:
    assert priced(made(VOLUME, size=30, type="io2", iops=300)).monthly == Range.of(Decimal("23.25"))
    assert gaps(priced(made(VOLUME, size=30, type="io2", iops=40000))) == [
        "volume: 40,000 IOPS are more than the first 32,000"
    ]


def test_a_snapshot_is_a_gap_and_not_free() -> None:
    assert gaps(priced(made("aws:ebs/snapshot:Snapshot", volumeId="vol-1"))) == [
        "storage: volumeId: it does not say how much of the volume is in use"
    ]
