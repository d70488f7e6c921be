"""After a killed run: what exists in the cloud and not in the state.

A killed engine leaves operations that it began and whose end it never wrote down. Each is looked up in the cloud, the
same way on AWS and locally: by the name that its inputs hold, by what it hangs on, or by the tags that the program puts
on everything (`stacks.region.identify`). Besides, everything that carries the stack's tag is listed, and what the state
does not know is an orphan: it can be adopted when the program still has a resource of its name, and deleted always.

Adopting writes a resource into the state under the id that was found, with the inputs that the killed run had sent; a
refresh then reads the rest from the cloud, and drops what turns out not to be there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from infra.deploy import Deployment
from infra.errors import PendingOperationsError
from infra.finders import BY_TAG, FINDERS, WHOLE_ARN
from infra.inventory import Region
from infra.plan import MASKED, UNKNOWN, Change
from stacks.region import RESOURCE_TAG

COPIES: Final = (":snapshot:", ":auto-backup:", ":recovery-point:")
"""Kinds of ARN that AWS makes by itself of a resource, tags and all: backups, which must outlive what they are of."""


@dataclass(frozen=True)
class Leftover:
    """Something that the state and the cloud do not agree about.

    Attributes:
        operation: What the killed run was doing, or `orphan` for a tagged resource that the state does not know.
        urn: The resource in the program; empty for an orphan, whose tag names it only in part.
        type: Its type token.
        id: Its id in the cloud; empty if it is not there.
        arn: Its ARN, for an orphan.
        verdict: `adopt`, `forget` (nothing is there), `refresh` (the state is read again), or `adopt or delete` for an
            orphan: nothing says by itself which.
        resource: The engine's record of it; of an orphan, its provider.
    """

    operation: str
    urn: str
    type: str
    id: str
    arn: str
    verdict: str
    resource: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def as_json(self) -> dict[str, str]:
        """The form that `--json` prints: without the engine's record, which no reader needs."""
        return {name: getattr(self, name) for name in ("operation", "urn", "type", "id", "arn", "verdict")}


class Reconciler:
    """Finds and settles what a killed run left behind.

    Args:
        deployment: The stack.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._regions: dict[str, Region] = {}

    def find(self) -> list[Leftover]:
        """What is left over. Releases the killed run's lock; changes nothing else."""
        self._deployment.unlock()
        state = self._deployment.state()
        found = [self._pending(operation, state) for operation in state.get("pending_operations") or ()]
        claimed = {name for leftover in found for name in (leftover.id, *_names(leftover.resource))}
        return found + [orphan for orphan in self._orphans(state) if not claimed & _tails(orphan.arn)]

    def settle(self, found: list[Leftover], *, delete: bool = False) -> None:
        """Adopt (or delete) what was found, and drop what is not there.

        Raises:
            PendingOperationsError: An orphan is to be adopted that is not in the program.
        """
        state = self._deployment.state()
        known = {resource["urn"] for resource in state.get("resources") or ()}
        created = [leftover for leftover in found if leftover.operation == "creating" and leftover.id]
        state["resources"] = _in_order(_adopted(state.get("resources") or [], created, delete=delete))
        state["pending_operations"] = []
        self._deployment.replace_state(state)
        self._deployment.refresh()
        if delete:
            # What never came into being is gone after the refresh; what was there before is not ours to delete.
            there = {resource["urn"] for resource in self._deployment.state().get("resources") or ()}
            urns = [leftover.urn for leftover in created if leftover.urn in there - known]
            self._deployment.destroy_only(urns)
        orphans = [leftover for leftover in found if leftover.operation == "orphan"]
        if orphans:
            self._settle_orphans(orphans, delete=delete)

    def _settle_orphans(self, orphans: list[Leftover], *, delete: bool) -> None:
        if not all(orphan.resource for orphan in orphans):
            raise PendingOperationsError(
                f"the state of {self._deployment.stack} has no provider of {len(orphans)} resources that carry its tag",
                why="the state is empty, or was lost",
                remedy="Restore the state from its backup first (docs/going-to-aws.md); then reconcile",
            )
        # A plan says what the program still wants, and knows the URN and the inputs of it.
        plan = {} if delete else {_identity(change.type, change.urn): change for change in self._wanted()}
        records = [self._record(orphan, plan.get(orphan.type)) for orphan in orphans if delete or orphan.type in plan]
        state = self._deployment.state()
        state["resources"] = _in_order([*(state.get("resources") or ()), *records])
        self._deployment.replace_state(state)
        self._deployment.refresh()
        if delete:
            self._deployment.destroy_only([record["urn"] for record in records])
        strays = [orphan for orphan in orphans if not delete and orphan.type not in plan]
        if strays:
            stack = self._deployment.stack
            raise PendingOperationsError(
                f"{len(strays)} resources carry the tag of {stack} and are in no state "
                f"({', '.join(orphan.arn for orphan in strays[:3])})",
                why="the program has no resource of their name that is still to be created",
                remedy=f"Look at them, and then: docsearch reconcile {stack} --delete",
            )

    def _wanted(self) -> Iterator[Change]:
        return (change for change in self._deployment.preview().changes if change.op == "create")

    def _record(self, orphan: Leftover, change: Change | None) -> dict[str, Any]:
        """The engine's record of an orphan, as far as it can be known; a refresh reads the rest."""
        kind, _, name = orphan.type.partition("::")
        token = f"aws:{kind}"
        # One that is in no program gets a URN of its own: the state may hold its namesake.
        urn = f"urn:pulumi:{self._deployment.stack}::docsearch::{token}::orphan-{orphan.id}-{name}"
        inputs = {} if change is None else _plain(change.inputs)
        return {
            "urn": urn if change is None else change.urn,
            "custom": True,
            "type": token,
            "id": orphan.id,
            "inputs": inputs,
            "outputs": dict(inputs),
            "parent": "" if change is None else change.parent,
            "provider": orphan.resource["provider"],
            "protect": change is not None and change.protect,
        }

    def _region(self, resource: Mapping[str, Any], state: Mapping[str, Any]) -> Region:
        provider = (resource.get("provider") or "").rpartition("::")[0]
        inputs: Mapping[str, Any] = next((item["inputs"] for item in state["resources"] if item["urn"] == provider), {})
        name = inputs.get("region") or self._deployment.config.region
        return self._region_named(name)

    def _region_named(self, name: str) -> Region:
        if name not in self._regions:
            self._regions[name] = Region(name, self._deployment.stack, self._deployment.cloud)
        return self._regions[name]

    def _pending(self, operation: Mapping[str, Any], state: Mapping[str, Any]) -> Leftover:
        resource, kind = operation["resource"], operation["type"]
        urn, type_ = resource["urn"], resource["type"]
        if kind != "creating":
            return Leftover(kind, urn, type_, resource.get("id", ""), "", "refresh", resource)
        id = self._locate(resource, state, {entry.get("id") for entry in _of_type(type_, state)}) or ""
        return Leftover(kind, urn, type_, id, "", "adopt" if id else "forget", resource)

    def _locate(
        self, resource: Mapping[str, Any], state: Mapping[str, Any], known: Collection[str | None]
    ) -> str | None:
        """Its id in the cloud, if it is there and not one that the state knows."""
        type_, inputs, name = resource["type"], resource.get("inputs") or {}, resource["urn"].split("::", 3)[-1]
        if type_.startswith("kubernetes:"):
            metadata = inputs.get("metadata", {})
            return "/".join(part for part in (metadata.get("namespace"), metadata.get("name")) if part)
        if not type_.startswith("aws:"):
            return None
        region = self._region(resource, state)
        if type_ in BY_TAG:
            arns = region.by_tag(type_, name)
            ids = arns if type_ in WHOLE_ARN else [arn.rpartition("/")[2] for arn in arns]
        else:
            finder = FINDERS.get(type_)
            ids = [id for id in [finder(region, inputs)] if id] if finder else []
        return next((id for id in ids if id not in known), None)

    def _orphans(self, state: Mapping[str, Any]) -> Iterator[Leftover]:
        resources = state.get("resources") or ()
        known = {name for resource in resources for name in _names(resource)}
        seen: set[str] = set()
        providers = {item["inputs"]["region"]: item for item in _of_type("pulumi:providers:aws", state)}
        for region in {self._deployment.config.region: None, **providers}:
            there = self._region_named(region)
            for arn, tags in there.tagged().items():
                if arn in seen or any(kind in arn for kind in COPIES):
                    continue
                seen.add(arn)
                if not known & _tails(arn) and there.holds(arn):
                    type_ = tags.get(RESOURCE_TAG, "")
                    id = _id(f"aws:{type_.partition('::')[0]}", arn)
                    provider = providers.get(region)
                    record = {"provider": f"{provider['urn']}::{provider['id']}"} if provider else {}
                    yield Leftover("orphan", "", type_, id, arn, "adopt or delete", record)


def _identity(token: str, urn: str) -> str:
    """What the identity tag of a resource says (`stacks.region.identify`)."""
    return f"{token.removeprefix('aws:')}::{urn.split('::', 3)[-1]}"


def _id(type_: str, arn: str) -> str:
    """The id of a resource, by its ARN: all of it, or what follows the kind of resource. EC2 gives the bare id."""
    if type_ in WHOLE_ARN or not arn.startswith("arn:"):
        return arn
    resource = arn.split(":", 5)[5]
    name = re.sub(r"^[a-z-]+[:/]", "", resource)
    return name.rpartition("/")[2] if type_ == "aws:iam/role:Role" else name


def _plain(value: Any) -> Any:
    """Inputs of a plan without what a plan cannot show: unknown values and secrets, which a refresh reads."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if not _hidden(item)}
    if isinstance(value, list):
        return [_plain(item) for item in value if not _hidden(item)]
    return value


def _hidden(value: object) -> bool:
    return value in (UNKNOWN, MASKED)


def _names(resource: Mapping[str, Any]) -> set[str]:
    """Everything that a resource is called in the cloud."""
    called = {str(resource.get("id") or "")}
    for properties in (resource.get("inputs") or {}, resource.get("outputs") or {}):
        called |= {
            str(properties.get(name) or "")
            for name in (
                "arn",
                "allocationId",
                "identifier",
                "name",
                "bucket",
                "accessEntryArn",
                "associationArn",
            )
        }
    return called - {""}


def _tails(arn: str) -> set[str]:
    """An ARN, and all that it ends with: a name may hold slashes itself."""
    return {arn} | {arn[index + 1 :] for index, char in enumerate(arn) if char in ":/"}


def _of_type(type_: str, state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [resource for resource in state.get("resources") or () if resource["type"] == type_]


def _adopted(resources: list[dict[str, Any]], created: list[Leftover], *, delete: bool) -> list[dict[str, Any]]:
    """The state's resources together with what was created and never written down.

    Where the killed run was replacing something, the state still has the old resource under the same URN. As the engine
    itself would have done, the old one is then left for the next update to delete; or, to undo, the new one.
    """
    live = {resource["urn"] for resource in resources if not resource.get("delete")}
    new = [
        {**leftover.resource, "id": leftover.id, "outputs": dict(leftover.resource.get("inputs") or {})}
        for leftover in created
    ]
    outdated = live & {resource["urn"] for resource in new}
    loser = new if delete else resources
    for resource in loser:
        if resource["urn"] in outdated:
            resource["delete"] = True
    return [*resources, *new]


def _in_order(resources: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Resources after everything that they depend on, as the engine wants them."""
    by_urn: dict[str, list[dict[str, Any]]] = {}
    for resource in resources:  # Two under one URN: a resource, and its predecessor that is still to be deleted.
        by_urn.setdefault(resource["urn"], []).append(resource)
    ordered: list[dict[str, Any]] = []

    def add(urn: str) -> None:
        for resource in by_urn.pop(urn, ()):
            provider = (resource.get("provider") or "").rpartition("::")[0]
            for needed in (resource.get("parent") or "", provider, *(resource.get("dependencies") or ())):
                add(needed)
            ordered.append(resource)

    for urn in [*by_urn]:
        add(urn)
    return ordered
