"""What each workload of the cluster costs: the part of its nodes that it requests. And what nobody requests.

A view of an estimate, and no part of its sum: the nodes are on the bill, a workload is where they go. A pool is the
node groups with the same labels and taints. A workload has as much of a pool as it requests of what is scarcer there,
CPU or memory; what is left is idle, the system's own pods included.

Where a workload may run is read as the scheduler does: required node affinity and node selectors must match a pool's
labels, its taints must be tolerated, and of several pools the preferred one is taken, else one that has no taints.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from infra.cost.model import Estimate, Range, total
from infra.cost.of_eks import GROUP, bounds
from infra.cost.of_volumes import quantity
from infra.cost.pricing import Around, NoFigureError, Resource, resource
from infra.cost.usage import Usage
from infra.plan import Plan
from stacks.offers import INSTANCE_SIZES

DEPLOYMENT: Final = "kubernetes:apps/v1:Deployment"
STATEFUL_SET: Final = "kubernetes:apps/v1:StatefulSet"
BROKERS: Final = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"
AUTOSCALER: Final = "kubernetes:autoscaling/v2:HorizontalPodAutoscaler"

_POD: Final = {DEPLOYMENT: "spec.template.spec", STATEFUL_SET: "spec.template.spec", BROKERS: "spec"}
"""Where each kind says what its pods are."""

_GIB: Final = Decimal(2**30)
_QUANTUM: Final = Decimal("0.000001")
_EFFECTS: Final = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute"}
"""How EKS writes the taints that keep pods away, and how Kubernetes does."""


@dataclass(frozen=True)
class Workload:
    """One workload, and what it costs.

    Attributes:
        urn: Its identity.
        namespace: Namespace.
        name: Name in the cluster.
        replicas: Pods.
        cpu: CPUs that they request together.
        memory_gib: Memory that they request together.
        pool: Labels of the nodes that they run on, as text.
        monthly: Its part of those nodes, in dollars.
    """

    urn: str
    namespace: str
    name: str
    replicas: Range
    cpu: Range
    memory_gib: Range
    pool: str
    monthly: Range


@dataclass(frozen=True)
class Attribution:
    """Where the nodes of a stack go.

    Attributes:
        workloads: What is requested, the dearest first.
        idle: What of a pool is not, in dollars, by its labels.
        unplaced: What cannot be attributed: workload and reason.
    """

    workloads: tuple[Workload, ...]
    idle: Mapping[str, Range]
    unplaced: tuple[tuple[str, str], ...] = ()

    @property
    def monthly(self) -> Range:
        """All of it: what the nodes cost."""
        return total((*(workload.monthly for workload in self.workloads), *self.idle.values()))


@dataclass(frozen=True)
class _Pool:
    labels: Mapping[str, str]
    taints: tuple[tuple[str, str, str], ...]
    cpu: Range
    memory_gib: Range
    monthly: Range

    @property
    def name(self) -> str:
        return ", ".join(f"{key}={value}" for key, value in sorted(self.labels.items())) or "nodes"


@dataclass(frozen=True)
class _Demand:
    its: Resource
    replicas: Range
    cpu: Range
    memory_gib: Range
    pool: _Pool


def attribute(plan: Plan, estimate: Estimate, usage: Usage) -> Attribution:
    """Spread what the nodes of a plan cost over the workloads that request them.

    Args:
        plan: The plan.
        estimate: Its estimate, with commitments or without.
        usage: The usage that the estimate was made with.
    """
    changes = [resource(change) for change in plan.changes if change.op != "delete"]
    around = Around(plan.region, changes, usage.of(plan.stack), day=estimate.snapshot_date)
    costs = estimate.by(lambda line: line.urn)
    unplaced: list[tuple[str, str]] = []
    pools = list(_pools(around, costs, unplaced))
    scalers = {_target(one): one for one in around.all(AUTOSCALER)}
    demands: list[_Demand] = []
    for kind in _POD:
        for its in around.all(kind):
            try:
                demands.append(_demand(its, scalers, pools))
            except NoFigureError as gap:
                unplaced.append((its.urn, str(gap)))
    workloads: list[Workload] = []
    idle: dict[str, Range] = {}
    for pool in pools:
        found = list(_shared(pool, [one for one in demands if one.pool is pool]))
        workloads += found
        rest = pool.monthly - total(one.monthly for one in found)
        idle[pool.name] = idle.get(pool.name, Range()) + rest
    return Attribution(
        tuple(sorted(workloads, key=lambda one: (-one.monthly.expected, one.urn))), idle, tuple(unplaced)
    )


def _pools(around: Around, costs: Mapping[str, Range], unplaced: list[tuple[str, str]]) -> Iterator[_Pool]:
    """Node groups with the same labels and taints, together."""
    found: dict[Any, list[tuple[Range, Range, Range]]] = {}
    for group in around.all(GROUP):
        try:
            labels = {str(key): str(value) for key, value in group.group("labels").items()}
            taints = tuple(
                (group.text(f"{at}.key"), group.text(f"{at}.value", "-"), _EFFECTS[effect])
                for at in group.each("taints")
                if (effect := group.text(f"{at}.effect")) in _EFFECTS
            )
            # Types of one group are as large as each other, or the autoscaler could not plan with them.
            type_ = group.text("instanceTypes[0]")
            if type_ not in INSTANCE_SIZES:
                raise NoFigureError("instanceTypes", f"is {type_[:60]}, whose size is not known")
            size, count = INSTANCE_SIZES[type_], bounds(group, around)
        except NoFigureError as gap:
            unplaced.append((group.urn, str(gap)))
            continue
        key = (tuple(sorted(labels.items())), taints)
        holds = (count * size.vcpus, count * Decimal(str(size.memory_gib)), costs.get(group.urn, Range()))
        found.setdefault(key, []).append(holds)
    for (labels, taints), groups in found.items():
        cpu, memory, monthly = (total(part) for part in zip(*groups, strict=True))
        yield _Pool(dict(labels), taints, cpu, memory, monthly)


# What workloads request


def _demand(its: Resource, scalers: Mapping[tuple[str, str, str], Resource], pools: Iterable[_Pool]) -> _Demand:
    pod = _POD[its.type]
    count = its.number("spec.replicas", 1)
    replicas = Range.of(count)
    if scaler := scalers.get(_identity(its)):
        low, high = scaler.number("spec.minReplicas", 1), scaler.number("spec.maxReplicas")
        replicas = Range(low, max(low, min(count, high)), max(low, high))
    cpu, memory = _requested(its, pod)
    return _Demand(its, replicas, replicas * cpu, replicas * (memory / _GIB), _place(its, pod, pools))


def _identity(its: Resource) -> tuple[str, str, str]:
    kind = its.type.rpartition(":")[2]
    return its.text("metadata.namespace", "default"), kind, its.text("metadata.name", its.name)


def _target(scaler: Resource) -> tuple[str, str, str]:
    try:
        at = "spec.scaleTargetRef"
        return scaler.text("metadata.namespace", "default"), scaler.text(f"{at}.kind"), scaler.text(f"{at}.name")
    except NoFigureError:
        return "", "", ""


def _requested(its: Resource, pod: str) -> tuple[Decimal, Decimal]:
    """CPUs and bytes that one pod requests."""
    # The operator of RabbitMQ takes them for its one container; its own defaults are 1 CPU and 2Gi.
    blocks = (
        [f"{pod}.resources"] if its.type == BROKERS else [f"{at}.resources" for at in its.each(f"{pod}.containers")]
    )
    usual = ("1", "2Gi") if its.type == BROKERS else ("0", "0")
    cpu = sum((quantity(_text(its, f"{at}.requests.cpu", usual[0])) for at in blocks), Decimal(0))
    memory = sum((quantity(_text(its, f"{at}.requests.memory", usual[1])) for at in blocks), Decimal(0))
    return cpu, memory


def _text(its: Resource, path: str, default: str) -> str:
    """A quantity, which may be a plain number."""
    try:
        return its.text(path, default)
    except NoFigureError:
        return format(its.number(path), "f")


# Where they run


def _place(its: Resource, pod: str, pools: Iterable[_Pool]) -> _Pool:
    fitting = [pool for pool in pools if _selected(its, pod, pool) and _tolerated(its, pod, pool)]
    if not fitting:
        raise NoFigureError(pod, "fits no node group")
    return max(fitting, key=lambda pool: (_preference(its, pod, pool), not pool.taints))


def _selected(its: Resource, pod: str, pool: _Pool) -> bool:
    if any(pool.labels.get(str(key)) != value for key, value in its.group(f"{pod}.nodeSelector").items()):
        return False
    required = f"{pod}.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
    terms = its.each(required)
    return not terms or any(_matches(its, term, pool) for term in terms)


def _matches(its: Resource, term: str, pool: _Pool) -> bool:
    """Whether a pool's labels are what a term of node affinity asks for."""
    return all(_holds(its, at, pool) for at in its.each(f"{term}.matchExpressions"))


def _holds(its: Resource, at: str, pool: _Pool) -> bool:
    label, operator = pool.labels.get(its.text(f"{at}.key")), its.text(f"{at}.operator")
    values = [its.text(value) for value in its.each(f"{at}.values")]
    match operator:
        case "In":
            return label in values
        case "NotIn":
            return label not in values
        case "Exists":
            return label is not None
        case "DoesNotExist":
            return label is None
    raise NoFigureError(at, f"has the operator {operator[:60]}, which cannot be placed")


def _tolerated(its: Resource, pod: str, pool: _Pool) -> bool:
    return all(any(_tolerates(its, at, taint) for at in its.each(f"{pod}.tolerations")) for taint in pool.taints)


def _tolerates(its: Resource, at: str, taint: tuple[str, str, str]) -> bool:
    key, value, effect = taint
    any_key = not its.has(f"{at}.key")
    if (not any_key and its.text(f"{at}.key") != key) or its.text(f"{at}.effect", effect) != effect:
        return False
    return its.text(f"{at}.operator", "Equal") == "Exists" or (not any_key and its.text(f"{at}.value", "-") == value)


def _preference(its: Resource, pod: str, pool: _Pool) -> Decimal:
    preferred = its.each(f"{pod}.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution")
    weights = (its.number(f"{at}.weight", 1) for at in preferred if _matches(its, f"{at}.preference", pool))
    return sum(weights, Decimal(0))


# What that is of a pool


def _shared(pool: _Pool, demands: list[_Demand]) -> Iterator[Workload]:
    """Each workload's part of a pool, in each case: together never more than all of it."""
    parts = [[_part(pool, one, case) for one in demands] for case in ("min", "expected", "max")]
    scaled = [[part / max(Decimal(1), sum(case)) for part in case] for case in parts]
    for one, low, expected, high in zip(demands, *scaled, strict=True):
        namespace, _, name = _identity(one.its)
        monthly = Range(
            *(
                (cost * part).quantize(_QUANTUM, rounding="ROUND_DOWN")
                for cost, part in zip(
                    (pool.monthly.min, pool.monthly.expected, pool.monthly.max), (low, expected, high), strict=True
                )
            )
        )
        yield Workload(one.its.urn, namespace, name, one.replicas, one.cpu, one.memory_gib, pool.name, monthly)


def _part(pool: _Pool, demand: _Demand, case: str) -> Decimal:
    """What it requests of what is scarcer; all of a pool that has no nodes in this case."""
    have = (getattr(pool.cpu, case), getattr(pool.memory_gib, case))
    want = (getattr(demand.cpu, case), getattr(demand.memory_gib, case))
    return max((wanted / held if held else Decimal(1) for wanted, held in zip(want, have, strict=True)))
