"""What the plans of a primary and of its standby hold, asked by type: the requirement's figures are looked up there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from infra.plan import Change, Plan

Props = Mapping[str, Any]


class Facts:
    """What the plans of a primary and of its standby hold, asked by type.

    Args:
        primary: Plan of the primary.
        standby: Plan of the standby.
    """

    def __init__(self, primary: Plan, standby: Plan) -> None:
        self.primary, self.standby = primary, standby

    def all(self, type_: str, *, plan: Plan | None = None) -> list[Change]:
        """The resources of a type, in the primary unless said otherwise."""
        found = (change for change in (plan or self.primary).changes if change.type == type_)
        return [replace(change, inputs=_whole(change.inputs)) for change in found]

    def one(self, type_: str, name: str = "", *, plan: Plan | None = None) -> Props:
        """The inputs of the first resource of a type whose logical name ends like that.

        Raises:
            LookupError: There is none.
        """
        for change in self.all(type_, plan=plan):
            if change.name.endswith(name):
                return change.inputs
        raise LookupError(f"the plan has no {type_} {name}".rstrip())


def _whole(value: Any) -> Any:
    """Values with whole numbers as such: a mocked engine gives every number as a float."""
    if isinstance(value, Mapping):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
