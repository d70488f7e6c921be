"""Control plane and nodes, beside the totals of test_golden.py."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from infra.cost.model import HOURS, Estimate, Range
from infra.cost.of_eks import CLUSTER, GROUP, INSTANCE, TEMPLATE, extended
from infra.cost.pricing import NoFigureError
from infra.plan import UNKNOWN, Change
from tests.infra.cost.priced import figures, made, priced

SCALING = {"minSize": 1, "desiredSize": 2, "maxSize": 3}


def group(name: str = "pool", **inputs: Any) -> Change:
    return made(GROUP, name, **{"scalingConfig": SCALING, "instanceTypes": ["m5.large"], **inputs})


def gaps(found: Estimate) -> list[str]:
    return [f"{gap.what}: {gap.why}" for gap in (*found.unknown, *found.unpriced)]


@pytest.mark.parametrize(
    ("version", "day", "is_extended"),
    [
        ("1.34", "2026-12-02", False),
        ("1.34", "2026-12-03", True),
        ("1.36", "2030-01-01", False),
        ("1.40", "2026-11-28", False),
        ("1.9", "2026-11-28", True),
        ("1.33", "2020-01-01", True),
    ],
)
def test_support_ends_with_its_last_day(version: str, day: str, is_extended: bool) -> None:
    assert extended(version, day) == is_extended


@pytest.mark.parametrize("version", ["", "1", "latest", "1.x", "1.²", "1." + "9" * 5000])
def test_what_is_no_version_is_a_gap(version: str) -> None:
    with pytest.raises(NoFigureError):
        extended(version, "2026-11-28")


def test_a_cluster_without_a_version_is_a_new_one() -> None:
    assert priced(made(CLUSTER)).monthly == Range.of(73)


def test_a_group_is_priced_with_the_type_of_its_template() -> None:
    template = made(TEMPLATE, "pool", instanceType="c5.large")
    found = priced(template, group(instanceTypes=[], launchTemplate={"id": UNKNOWN}))
    assert [line.price.sku for line in found.lines] == ["instance:c5.large:linux:on-demand"]


def test_a_group_without_any_type_has_the_one_of_eks() -> None:
    assert priced(group(instanceTypes=[])).lines[0].price.sku == "instance:t3.medium:linux:on-demand"


def test_a_template_is_the_one_that_the_group_is_named_after_most_closely() -> None:
    blocks = [{"ebs": {"volumeType": "gp3", "volumeSize": 10}}], [{"ebs": {"volumeType": "gp3", "volumeSize": 70}}]
    templates = [
        made(TEMPLATE, name, blockDeviceMappings=its) for name, its in zip(("pool", "pool-a"), blocks, strict=True)
    ]
    found = priced(*templates, group("pool-a-1", launchTemplate={"id": UNKNOWN}))
    assert "volumes of nodes, gp3, 70 GiB each" in [line.what for line in found.lines]


def test_a_template_of_another_component_is_not_taken() -> None:
    template = made(TEMPLATE, "pool", parent="urn:pulumi:prod::docsearch::x:y:Z::other", blockDeviceMappings=[])
    assert gaps(priced(template, group(launchTemplate={"id": UNKNOWN}))) == [
        "volumes: launchTemplate: it is none that the plan holds under the group's name",
        "detailed monitoring: launchTemplate: it is none that the plan holds under the group's name",
    ]


def test_bounds_out_of_order_are_a_gap() -> None:
    found = priced(group(scalingConfig={"minSize": 5, "desiredSize": 2, "maxSize": 3}))
    assert not found.lines
    assert gaps(found)[0] == "nodes: scalingConfig: it is not in order: 5 <= 2 <= 3"


def test_the_usage_file_may_say_how_many_nodes_there_are() -> None:
    told = figures(compute__nodes={"pool": Range(Decimal(0), Decimal("7.5"), Decimal(30))})
    line = priced(group(), use=told).lines[0]
    assert line.quantity == Range(Decimal(0), Decimal("7.5") * HOURS, 30 * HOURS)
    assert line.usage == "compute.nodes"


def test_nodes_with_windows_are_unpriced() -> None:
    assert gaps(priced(group(amiType="WINDOWS_CORE_2022_x86_64")))[0] == "nodes: nodes with Windows have other prices"


def test_of_spot_types_one_without_a_price_is_named_and_the_others_keep_their_share() -> None:
    found = priced(group(capacityType="SPOT", instanceTypes=["m5.xlarge", "x9.xlarge"], diskSize=0))
    assert gaps(found)[0].startswith("Spot nodes, 2 x one of 2 types: x9.xlarge: the snapshot of ")
    (line,) = found.lines
    assert line.quantity.expected == HOURS


def test_an_instance_on_dedicated_hardware_is_unpriced() -> None:
    found = priced(made(INSTANCE, instanceType="m5.large", tenancy="dedicated"))
    assert gaps(found) == ["hours: dedicated hardware has other prices"]


def test_an_instance_has_all_its_volumes_and_metrics() -> None:
    found = priced(
        made(
            INSTANCE,
            instanceType="m5.large",
            monitoring=True,
            rootBlockDevice={"volumeType": "gp3", "volumeSize": 50},
            ebsBlockDevices=[{"volumeType": "gp2", "volumeSize": 10}],
        )
    )
    assert found.monthly == Range.of(Decimal("70.08") + 4 + 1 + Decimal("2.10"))
