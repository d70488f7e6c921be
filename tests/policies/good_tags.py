"""Tags: they come from the provider, so what is broken is a resource's own, which go above."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good
from tests.policies.plans import resources
from tests.regions import STACKS

TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
KEYS: Final = ("owner", "environment", "service", "tenant-class", "cost-centre")
TAGGED: Final = sorted(
    {one.type for stack in STACKS for one in resources(stack) if one.type.startswith("aws:") and "tags" in one.props}
)


def unwaived(resource: Resource) -> bool:
    """ElastiCache cannot publish to an encrypted topic: what `sns-kms` says of that one stands beside."""
    return resource.name != "cache-events"


def emptied(key: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    return lambda tags: {**tags, key: ""}


GOOD: Final = (
    *(Good(type_, "tags", "tags-required", tuple(map(emptied, KEYS)), where=unwaived) for type_ in TAGGED),
    *(Good(TEMPLATE, f"tagSpecifications[*].tags.{key}", "tags-required", (GONE, "")) for key in KEYS),
    Good(TEMPLATE, "tagSpecifications", "tags-required", ([], GONE, lambda each: each[1:])),
)
