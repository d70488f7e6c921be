"""What is good about the plans, setting by setting: the mutation test breaks each alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from policies.rule import Resource

GONE: Final = ...
"""Breaks a setting by taking it away, or with an empty path the whole resource."""

PROTECT: Final = "(protect)"
"""The path that stands for Pulumi's own lock."""


def always(_resource: Resource) -> bool:
    """Everywhere."""
    return True


@dataclass(frozen=True)
class Good:
    """A setting that a rule protects, wherever a plan has it.

    Attributes:
        type: Type token of the resource.
        path: Property path; `[*]` is each item of a list, `PROTECT` Pulumi's lock, empty the resource itself.
        rule: The one rule that must fire, and no other.
        to: What it is broken to: values, `GONE`, or functions from the good value to a broken one.
        unknown: Whether it is also made unknown, which the rule must report as unverified.
        where: Which resources of the type have it.
        absent: Whether it is good by being absent: the plan does not have it, and it is broken by being given.
    """

    type: str
    path: str
    rule: str
    to: tuple[Any, ...] = (GONE,)
    unknown: bool = True
    where: Callable[[Resource], bool] = always
    absent: bool = False
