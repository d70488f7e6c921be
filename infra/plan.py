"""What the engine is going to do, or did: its events as one typed value.

Everything that judges a change (the gate, the report, the price) reads a `Plan`, so that none of them can disagree
about what is going to happen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:  # Reports and prices read plans, too, and need no engine for it.
    from pulumi.automation import EngineEvent

Op = Literal["create", "update", "replace", "delete", "same"]
OPS: Final[tuple[Op, ...]] = ("create", "update", "replace", "delete", "same")

_OPS: Final[Mapping[str, Op]] = {
    "create": "create",
    "import": "create",
    "update": "update",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "discard-replaced": "replace",
    "remove-pending-replace": "replace",
    "import-replacement": "replace",
    "read-replacement": "replace",
    "delete": "delete",
    "discard": "delete",
    "read-discard": "delete",
    "same": "same",
    "read": "same",
    "refresh": "same",
}
"""The engine's operations in five words; the steps of a replacement are one."""

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine shows a value that it does not know yet (pulumi sdk, `plugin.UnknownStringValue`)."""

MASKED: Final = "[secret]"
"""How the engine shows a secret."""

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
"""The key of what is no plain value: here, a secret as it stands in the state (pulumi sdk, `resource.SigKey`)."""

_RANK: Final[Mapping[Op, int]] = {"replace": 4, "delete": 3, "create": 2, "update": 1, "same": 0}


def is_secret(value: Any) -> bool:
    """Whether a value stands for a secret: the engine masks it in inputs of the program and of the state alike."""
    return bool(value == MASKED) or (isinstance(value, Mapping) and _SIGNATURE in value)


@dataclass(frozen=True)
class Change:
    """What happens to one resource.

    Attributes:
        urn: Its identity.
        type: Its type token.
        op: What happens.
        inputs: Its inputs afterwards (before, for a delete); secrets are masked by the engine.
        paths: Property paths that differ.
        replaced_by: Property paths that force the replacement.
        parent: URN of its parent; empty at the top.
        protect: Whether Pulumi refuses to delete it afterwards (before, for a delete).
        before: Its inputs before, as far as the engine shows them; empty for what is new.
        protected_before: Whether Pulumi refused to delete it before.
    """

    urn: str
    type: str
    op: Op
    inputs: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    replaced_by: tuple[str, ...] = ()
    parent: str = ""
    protect: bool = False
    before: Mapping[str, Any] = field(default_factory=dict)
    protected_before: bool = False

    @property
    def name(self) -> str:
        """The logical name."""
        return self.urn.split("::", 3)[-1]


@dataclass(frozen=True)
class Plan:
    """All that happens to a stack, one change per resource, in the engine's order.

    Attributes:
        stack: Name of the stack.
        region: Its region.
        cloud: Which cloud answered: `local` or `aws`.
        changes: One per resource, those that stay the same included.
    """

    stack: str
    region: str
    cloud: str
    changes: tuple[Change, ...]

    @property
    def summary(self) -> dict[Op, int]:
        """Resources by what happens to them."""
        counted = Counter(change.op for change in self.changes)
        return {op: counted[op] for op in OPS}

    @property
    def changing(self) -> tuple[Change, ...]:
        """The changes that are one."""
        return tuple(change for change in self.changes if change.op != "same")

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        changes = [
            {"urn": change.urn, "type": change.type, "op": change.op, "inputs": dict(change.inputs)}
            | ({"paths": list(change.paths)} if change.paths else {})
            # What goes has the same inputs before, and what stays, too.
            | ({"before": dict(change.before)} if change.before and change.op in ("update", "replace") else {})
            for change in self.changes
        ]
        return {
            "stack": self.stack,
            "region": self.region,
            "cloud": self.cloud,
            "summary": self.summary,
            "changes": changes,
        }


def read(events: Iterable[EngineEvent], *, stack: str, region: str, cloud: str) -> Plan:
    """Make a plan of the engine's events.

    A resource may pass several times (a replacement is made of steps; a refresh says afterwards what it found): the
    gravest operation counts, and of inputs and protection the newest are kept, before and after.
    """
    found: dict[str, Change] = {}
    for event in events:
        step = event.resource_pre_event or event.res_outputs_event
        if step is None:
            continue
        change = _change(step.metadata)
        if change is None:
            continue
        known = found.get(change.urn)
        found[change.urn] = change if known is None else _merged(known, change, says=step.metadata.new is not None)
    return Plan(stack, region, cloud, tuple(found.values()))


def _change(step: Any) -> Change | None:
    op = _OPS.get(step.op)
    if op is None:
        return None
    state = step.new or step.old
    detailed = step.detailed_diff or {}
    return Change(
        urn=step.urn,
        type=step.type,
        op=op,
        # What goes is the old resource, whether it goes before or after the new one comes: its inputs say nothing.
        inputs=(state.inputs or {}) if state and (step.new or op != "replace") else {},
        paths=tuple(detailed) or tuple(step.diffs or ()),
        replaced_by=tuple(path for path, diff in detailed.items() if diff.diff_kind.value.endswith("-replace"))
        or tuple(step.keys or ()),
        parent=(state.parent or "") if state else "",
        protect=bool(state.protect) if state else False,
        before=(step.old.inputs or {}) if step.old else {},
        protected_before=bool(step.old.protect) if step.old else False,
    )


def _merged(known: Change, change: Change, *, says: bool) -> Change:
    """One change of two; `says` if the later one tells what comes after it."""
    return Change(
        urn=change.urn,
        type=change.type,
        op=max(known.op, change.op, key=lambda op: _RANK[op]),
        inputs=change.inputs or known.inputs,
        paths=change.paths or known.paths,
        replaced_by=change.replaced_by or known.replaced_by,
        parent=change.parent or known.parent,
        protect=change.protect if says else known.protect,
        before=change.before or known.before,
        protected_before=change.protected_before or known.protected_before,
    )
