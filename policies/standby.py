"""Whether a stack is a standby, as its resources show it."""

from __future__ import annotations

from policies.elasticache import GROUP, MEMBER
from policies.opensearch import OUTBOUND
from policies.rds import INSTANCE, SOURCE
from policies.rule import GIVEN, Resource, Stack


def stands_by(stack: Stack) -> bool:
    """Whether any of its stores follows one of another region.

    Any one is enough: where one no longer follows, and the others do, that is the mistake to find. A promotion changes
    `role`, and with it all of them.
    """
    follows = any(str(instance.get(SOURCE)).startswith("arn:") for instance in stack.of(INSTANCE))
    # Only a standby's program says it at all, so one that is not known yet is one.
    member = any(GIVEN.holds(group.get(MEMBER)) for group in stack.of(GROUP))
    return follows or member or bool(stack.of(OUTBOUND))


def region_of(its: Resource) -> str:
    """The region of the provider that makes it; empty if that is not known."""
    region = its.get("region") or its.provider.get("region")
    return region if isinstance(region, str) else ""


def region_in(arn: object) -> str:
    """The region that an ARN names; empty if it names none."""
    parts = arn.split(":") if isinstance(arn, str) else []
    return parts[3] if len(parts) > 5 and parts[0] == "arn" else ""
