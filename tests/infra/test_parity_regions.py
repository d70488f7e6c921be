"""prod and dr against each other: every difference has a reason, and every reason a difference."""

from collections.abc import Collection, Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from infra.deploy import Deployment
from infra.parity import REASONS, Difference, compare
from tests.regions import STACKS, plan


def unexplained(found: Collection[Difference]) -> list[str]:
    return [f"{item.resource} {item.path}: {item.one} / {item.other}" for item in found if not item.reason]


def test_every_difference_of_the_programs_has_a_reason() -> None:
    found = compare(*map(plan, STACKS))
    assert found
    assert unexplained(found) == []


def test_no_reason_is_left_over_from_a_difference_that_is_gone() -> None:
    found = compare(*map(plan, STACKS))
    patterns = [(reason.resource, path) for reason in REASONS for path in reason.paths]
    idle = [
        (resource, path)
        for resource, path in patterns
        if not any(fnmatchcase(item.resource, resource) and fnmatchcase(item.path, path) for item in found)
    ]
    assert idle == []


@pytest.fixture
def regions(local_cloud: Any) -> Iterator[list[Deployment]]:
    """Both regions up, unlocked so that they go down again at once."""
    found = [local_cloud.deployment(stack, locked=False) for stack in STACKS]
    for deployment in found:
        deployment.up()
    yield found
    for deployment in reversed(found):
        deployment.destroy()


@pytest.mark.engine
def test_every_difference_of_regions_that_are_up_has_a_reason(regions: list[Deployment]) -> None:
    """The engine's plans hold what the programs do not: defaults, automatic names, ids of everything."""
    found = compare(*(deployment.preview() for deployment in regions))
    assert found
    assert unexplained(found) == []
