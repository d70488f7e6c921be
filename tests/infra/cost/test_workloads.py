"""Where the nodes go: parts of lines that are on the bill already."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cost.estimate import estimate
from infra.cost.model import Range, total
from infra.cost.of_eks import GROUP
from infra.cost.usage import Usage
from infra.cost.workloads import AUTOSCALER, BROKERS, DEPLOYMENT, Attribution, attribute
from infra.plan import UNKNOWN, Change
from tests.infra.cost.priced import figures, made, plan_of, shipped, snapshot
from tests.regions import STACKS, plan

M5 = Decimal("0.192") * 730 + Decimal("0.08") * 20
"""A node of type m5.xlarge: 4 CPUs, 16 GiB, and its root volume."""


@cache
def region(stack: str) -> tuple[Attribution, Range]:
    its = estimate(plan(stack), snapshot(), shipped())
    return attribute(plan(stack), its, shipped()), total(line.monthly for line in its.lines if line.type == GROUP)


def attributed(*changes: Change) -> Attribution:
    usage = Usage(all=figures())
    return attribute(plan_of(*changes), estimate(plan_of(*changes), snapshot(), usage), usage)


def group(name: str, count: int, labels: dict[str, str] | None = None, taint: str = "", most: int = 0) -> Change:
    taints = [{"key": "pool", "value": taint, "effect": "NO_SCHEDULE"}] if taint else []
    scaling = {"minSize": count, "desiredSize": count, "maxSize": most or count}
    return made(GROUP, name, instanceTypes=["m5.xlarge"], scalingConfig=scaling, labels=labels or {}, taints=taints)


def deployment(name: str, replicas: int, cpu: str, memory: str = "1Gi", **pod: Any) -> Change:
    requests = {"requests": {"cpu": cpu, "memory": memory}}
    template = {"spec": {"containers": [{"name": "it", "resources": requests}], **pod}}
    metadata = {"name": name, "namespace": "app"}
    return made(DEPLOYMENT, name, metadata=metadata, spec={"replicas": replicas, "template": template})


def tolerating(value: str) -> dict[str, Any]:
    return {"tolerations": [{"key": "pool", "operator": "Equal", "value": value, "effect": "NoSchedule"}]}


def required(value: str) -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": "pool", "operator": "In", "values": [value]}]}]
    return {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    }


def preferring(value: str) -> dict[str, Any]:
    term = {"weight": 100, "preference": {"matchExpressions": [{"key": "pool", "operator": "In", "values": [value]}]}}
    return {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}}


@pytest.mark.parametrize("stack", STACKS)
def test_workloads_and_what_is_idle_are_what_the_nodes_cost(stack: str) -> None:
    found, nodes = region(stack)
    assert found.monthly == nodes
    assert not found.unplaced


@pytest.mark.parametrize("stack", STACKS)
def test_no_part_of_a_region_is_negative(stack: str) -> None:
    found, _ = region(stack)
    for part in (*(one.monthly for one in found.workloads), *found.idle.values()):
        assert min(part.min, part.expected, part.max) >= 0


def test_the_workloads_of_a_region_are_where_they_were_meant_to_be() -> None:
    pools = {one.name: one.pool for one in region("prod")[0].workloads}
    assert pools["rabbitmq"] == "docsearch/pool=brokers"
    assert pools["index"] == "docsearch/pool=indexing"
    assert pools["search"] == pools["document"] == "docsearch/pool=general"


def test_a_workload_costs_what_it_requests_of_what_is_scarcer() -> None:
    found = attributed(group("nodes", 4), deployment("cpu", 4, "1"), deployment("memory", 4, "100m", "8Gi"))
    costs = {one.name: one.monthly.expected for one in found.workloads}
    assert costs == {"cpu": M5 * 4 * 4 / 16, "memory": M5 * 4 * 32 / 64}
    assert found.idle["nodes"].expected == M5 * 4 / 4


def test_autoscaling_gives_bounds() -> None:
    target = {"kind": "Deployment", "name": "it"}
    scaler = made(
        AUTOSCALER,
        metadata={"namespace": "app"},
        spec={"minReplicas": 2, "maxReplicas": 8, "scaleTargetRef": target},
    )
    (found,) = attributed(group("nodes", 4), deployment("it", 4, "1"), scaler).workloads
    assert found.replicas == Range(Decimal(2), Decimal(4), Decimal(8))
    assert found.monthly == Range(M5 * 4 * 2 / 16, M5 * 4 * 4 / 16, M5 * 4 * 8 / 16)


def test_more_than_there_is_is_all_of_it() -> None:
    found = attributed(group("nodes", 1), deployment("one", 9, "1"), deployment("two", 3, "1"))
    assert found.idle["nodes"].expected < Decimal("0.001")
    assert [one.name for one in found.workloads] == ["one", "two"]
    assert abs(found.workloads[0].monthly.expected - M5 * 9 / 12) < Decimal("0.001")


def test_a_taint_keeps_away_who_does_not_tolerate_it() -> None:
    pools = [group("a", 3, {"pool": "a"}), group("b", 3, {"pool": "b"}, taint="b")]
    found = attributed(*pools, deployment("plain", 1, "1"), deployment("other", 1, "1", **tolerating("c")))
    assert {one.pool for one in found.workloads} == {"pool=a"}


def test_who_tolerates_a_taint_and_prefers_its_nodes_runs_there() -> None:
    pools = [group("a", 3, {"pool": "a"}), group("b", 3, {"pool": "b"}, taint="b")]
    found = attributed(
        *pools,
        deployment("may", 1, "1", **tolerating("b")),
        deployment("prefers", 1, "1", **tolerating("b"), **preferring("b")),
        deployment("must", 1, "1", **tolerating("b"), **required("b")),
        deployment("selects", 1, "1", **tolerating("b"), nodeSelector={"pool": "b"}),
    )
    places = {one.name: one.pool for one in found.workloads}
    assert places == {"may": "pool=a", "prefers": "pool=b", "must": "pool=b", "selects": "pool=b"}


def test_groups_with_the_same_labels_are_one_pool() -> None:
    found = attributed(group("a", 1), group("b", 3), deployment("it", 4, "1"))
    assert found.workloads[0].monthly.expected == M5 * 4 * 4 / 16


def test_what_fits_nowhere_is_named() -> None:
    found = attributed(group("a", 3, {"pool": "a"}), deployment("it", 1, "1", **required("b")))
    assert [(urn.rpartition("::")[2], why) for urn, why in found.unplaced] == [
        ("it", "spec.template.spec fits no node group")
    ]
    assert found.idle["pool=a"].expected == 3 * M5


@pytest.mark.parametrize("cpu", [UNKNOWN, "much", "1Zi", ""])
def test_what_cannot_be_read_is_named(cpu: str) -> None:
    found = attributed(group("a", 3), deployment("it", 1, cpu))
    assert len(found.unplaced) == 1
    assert not found.workloads


def test_a_group_whose_nodes_are_not_known_is_named() -> None:
    its = group("a", 3)
    odd = replace(its, inputs={**its.inputs, "instanceTypes": ["x9.huge"]})
    assert "whose size is not known" in attributed(odd).unplaced[0][1]


def test_a_broker_requests_what_its_operator_gives_it() -> None:
    metadata = {"name": "rabbit"}
    (found,) = attributed(group("a", 3), made(BROKERS, metadata=metadata, spec={"replicas": 3})).workloads
    assert found.name == "rabbit"
    assert found.cpu.expected == 3
    assert found.memory_gib.expected == 6


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4000)), max_size=6), st.integers(0, 20))
def test_parts_are_the_whole_whatever_is_requested(asked: list[tuple[int, int]], count: int) -> None:
    wanted = [deployment(f"d{index}", pods, f"{cpu}m") for index, (pods, cpu) in enumerate(asked)]
    nodes = group("nodes", count, most=2 * count)
    found = attributed(nodes, *wanted)
    usage = Usage(all=figures())
    assert found.monthly == estimate(plan_of(nodes), snapshot(), usage).monthly
    assert all(part.min >= 0 and part.max >= 0 for part in found.idle.values())
