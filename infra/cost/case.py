"""The service as it is planned, or as it would be otherwise: plans and usage, changed and priced again.

Whatever is said to cost or to save is the difference of two cases, so nothing is said that the estimate does not hold.
A case is a value: each change gives another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from typing import Any, Final

from infra.cost.commitments import NONE, Commitments, apply
from infra.cost.estimate import estimate
from infra.cost.model import Estimate, Gap, Line, Range, total
from infra.cost.prices import Snapshot
from infra.cost.usage import Figures, Usage
from infra.plan import Change, Plan

DOMAIN: Final = "aws:opensearch/domain:Domain"
INSTANCE: Final = "aws:rds/instance:Instance"
CACHE: Final = "aws:elasticache/replicationGroup:ReplicationGroup"
GLOBAL_CACHE: Final = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
NODES: Final = "aws:eks/nodeGroup:NodeGroup"
BROKERS: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"
POOL: Final = "docsearch/pool"
GENERAL: Final = "general"

ZONES: Final = 3
"""What a count has to be a multiple of: with fewer copies in one zone than in another, the loss of one takes more than
a third (`stacks.config.divisible_by_zones`)."""

Props = Mapping[str, Any]
Edit = Callable[[Change, str], Props | None]
"""What becomes of the inputs of a resource, in a stack; None if it goes."""


def in_zones(count: Decimal, *, least: int = ZONES) -> int:
    """The next number of instances that all zones share evenly, at least one in each."""
    steps = (count / ZONES).to_integral_value(ROUND_CEILING)
    return max(least, int(steps) * ZONES)


@dataclass(frozen=True)
class Case:
    """The service in one form.

    Attributes:
        plans: Of each stack, the primary first.
        snapshot: The prices.
        usage: What no plan says.
        commitments: What is taken off list prices.
    """

    plans: tuple[Plan, ...]
    snapshot: Snapshot
    usage: Usage
    commitments: Commitments = NONE

    @cached_property
    def listed(self) -> tuple[Estimate, ...]:
        """The estimate of each stack at list price."""
        return tuple(estimate(plan, self.snapshot, self.usage, others=self.plans) for plan in self.plans)

    @cached_property
    def committed(self) -> tuple[Estimate, ...]:
        """The same with commitments."""
        return tuple(apply(one, self.commitments) for one in self.listed)

    @property
    def monthly(self) -> Range:
        """Dollars in a month of all stacks, with commitments."""
        return total(one.monthly for one in self.committed)

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines, with commitments."""
        return tuple(line for one in self.committed for line in one.lines)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What has no figure; then nothing that this case says is whole."""
        return tuple(gap for one in self.listed for gap in (*one.unpriced, *one.unknown))

    # What a case is changed in

    def under(self, commitments: Commitments) -> Case:
        """The same with other commitments."""
        return replace(self, commitments=commitments)

    def using(self, change: Callable[[Figures], Figures]) -> Case:
        """The same with other usage, in every stack."""
        usage = self.usage
        stacks = {stack: change(figures) for stack, figures in usage.stacks.items()}
        return replace(self, usage=usage.model_copy(update={"all": change(usage.all), "stacks": stacks}))

    def edited(self, type_: str, edit: Edit) -> Case:
        """The same with other inputs of every resource of a type, in every plan."""
        return replace(self, plans=tuple(_edited(plan, type_, edit) for plan in self.plans))

    def without(self, *types: str) -> Case:
        """The same without resources of some types."""
        changed = self
        for type_ in types:
            changed = changed.edited(type_, lambda change, stack: None)
        return changed

    def primary_alone(self) -> Case:
        """The same in one region, which then answers all searches."""
        alone = replace(
            self, plans=self.plans[:1], usage=self.usage.grown(searches=Decimal(len(self.plans)), documents=Decimal(1))
        )
        return alone.without(GLOBAL_CACHE).using(_sends_no_cache)

    # The parts of a region

    def domain(self, **changed: Any) -> Case:
        """The same with other nodes of the search domain.

        Args:
            changed: Keys of `clusterConfig`, and of `ebsOptions`, with their values, or what gives them for a stack;
                `coordinators` is a count.
        """

        def edit(change: Change, stack: str) -> Props:
            config, disks = dict(change.inputs["clusterConfig"]), dict(change.inputs["ebsOptions"])
            for key, given in changed.items():
                value = given(stack) if callable(given) else given
                if key == "coordinators":
                    config["nodeOptions"] = [_coordinators(option, value) for option in config.get("nodeOptions") or ()]
                elif key in disks:
                    disks[key] = value
                else:
                    config[key] = value
            if not config.get("warmCount"):
                # AWS refuses the keys of what is off; cold storage needs warm nodes.
                config |= {"warmEnabled": False, "coldStorageOptions": {"enabled": False}}
                config.pop("warmCount", None)
            return {**change.inputs, "clusterConfig": config, "ebsOptions": disks}

        return self.edited(DOMAIN, edit)

    def nodes(self, pool: str, **changed: Any) -> Case:
        """The same with other nodes of one pool.

        Args:
            pool: The pool, such as `general`.
            changed: `minSize`, `desiredSize` and `maxSize` of the whole pool, which its node groups share evenly;
                other inputs of a node group as they are.
        """
        sizes = {key: value for key, value in changed.items() if key.endswith("Size")}
        others = {key: value for key, value in changed.items() if key not in sizes}

        def edit(change: Change, stack: str) -> Props:
            if pool_of(change) != pool:
                return change.inputs
            groups = sum(pool_of(one) == pool for one in self.held(NODES, stack))
            scaling = {**change.inputs["scalingConfig"], **{key: value // groups for key, value in sizes.items()}}
            return {**change.inputs, **others, "scalingConfig": scaling}

        return self.edited(NODES, edit)

    def peer(self, **changed: Any) -> Case:
        """The same with other figures of the primary in the usage of those that follow it.

        Args:
            changed: Keys of `peer.database` and `peer.cache`, with their values.
        """

        def change(figures: Figures) -> Figures:
            if figures.peer is None:
                return figures
            parts = {
                name: part.model_copy(update={key: value for key, value in changed.items() if hasattr(part, key)})
                for name, part in (("database", figures.peer.database), ("cache", figures.peer.cache))
                if part is not None
            }
            return figures.model_copy(update={"peer": figures.peer.model_copy(update=parts)})

        return self.using(change)

    def held(self, type_: str, stack: str = "") -> tuple[Change, ...]:
        """The resources of a type, of one stack or of all."""
        plans = (plan for plan in self.plans if stack in ("", plan.stack))
        return tuple(change for plan in plans for change in plan.changes if change.type == type_)


def pool_of(change: Change) -> str:
    """The pool that a node group belongs to; empty for what is in none."""
    return str((change.inputs.get("labels") or {}).get(POOL, ""))


def _edited(plan: Plan, type_: str, edit: Edit) -> Plan:
    changes = []
    for change in plan.changes:
        inputs = edit(change, plan.stack) if change.type == type_ else change.inputs
        if inputs is not None:
            changes.append(replace(change, inputs=inputs))
    return replace(plan, changes=tuple(changes))


def _coordinators(option: Props, count: int) -> Props:
    if option["nodeType"] != "coordinator":
        return option
    return {**option, "nodeConfig": {**option["nodeConfig"], "count": count, "enabled": count > 0}}


def _sends_no_cache(figures: Figures) -> Figures:
    return figures.model_copy(update={"cache": figures.cache.model_copy(update={"replicated_gb": Range()})})
