"""How honestly the local cloud answers."""

import pytest

from infra.local.coverage import coverage, share
from tests.regions import STACKS, region


@pytest.mark.parametrize("stack", STACKS)
def test_most_of_a_region_is_executed_and_the_rest_is_named(stack: str) -> None:
    """At least 85% of a region's AWS resources make real calls."""
    found = share(resource.type for resource in region(stack).managed)
    assert found.percent >= 85
    modes = {item.token: item.mode for item in coverage()}
    assert {modes[type_] for type_ in found.recorded} == {"recorded"}


def test_only_aws_resources_count() -> None:
    found = share(
        ["aws:ec2/vpc:Vpc", "aws:ec2/vpc:Vpc", "aws:eks/addon:Addon", "random:index/randomId:RandomId", "docsearch:x:X"]
    )
    assert (found.executed, found.recorded) == (2, {"aws:eks/addon:Addon": 1})
    assert found.percent == pytest.approx(200 / 3)


def test_of_nothing_nothing_is_missing() -> None:
    assert share([]).percent == 100


def test_every_recorded_type_of_aws_says_what_is_missing() -> None:
    assert [
        item.token for item in coverage() if item.token.startswith("aws:") and item.mode == "recorded" and not item.note
    ] == []
