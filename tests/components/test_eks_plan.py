"""Node groups, add-ons and alarms, decided before anything is built."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.ec2.models.instance_types import INSTANCE_TYPES

from components.eks_plan import (
    ADDON_VERSIONS,
    AMI_TYPES,
    FAMILIES,
    MAX_GROUP_NODES,
    POOL_LABEL,
    Pool,
    check_service_cidr,
    plan_addons,
    plan_alarms,
    plan_kubeconfig,
    plan_node_groups,
    size_of,
)
from components.errors import ArgsError

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d")
SPOT = ("m5.xlarge", "m5a.xlarge", "m6a.xlarge", "m6i.xlarge", "m7i.xlarge")


def general(**changes: Any) -> Pool:
    given: dict[str, Any] = {"instance_types": ("m6i.xlarge",), "min": 24, "desired": 42, "max": 84}
    return Pool(**(given | changes))


def indexing(**changes: Any) -> Pool:
    given: dict[str, Any] = {"instance_types": SPOT, "min": 0, "desired": 3, "max": 30}
    return Pool(**(given | changes))


def test_families_are_as_ec2_has_them() -> None:
    for architecture, families in FAMILIES.items():
        for family in families.split():
            for size in ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge"):
                known = INSTANCE_TYPES[f"{family}.{size}"]
                found = size_of(f"{family}.{size}")
                assert found.vcpus == known["VCpuInfo"]["DefaultVCpus"]
                assert found.memory_gib == known["MemoryInfo"]["SizeInMiB"] / 1024
                spoken = {"amd64": "x86_64", "arm64": "arm64"}[architecture]
                assert spoken in known["ProcessorInfo"]["SupportedArchitectures"]


@st.composite
def wanted(draw: st.DrawFn) -> tuple[tuple[str, ...], Pool]:
    zones = draw(st.integers(2, 4))
    least = draw(st.integers(1, 40))
    desired = draw(st.integers(least, 60))
    most = draw(st.integers(-(-desired * zones // (zones - 1)), 450))
    return ZONES[:zones], general(min=least * zones, desired=desired * zones, max=most * zones)


@given(wanted())
def test_every_zone_gets_the_same_and_can_do_without_any_other(case: tuple[tuple[str, ...], Pool]) -> None:
    zones, pool = case
    groups = plan_node_groups(zones, general=pool)
    assert [group.zones for group in groups] == [(zone,) for zone in zones]
    assert [group.name for group in groups] == [f"general-{zone[-1]}" for zone in zones]
    assert [group.after for group in groups] == ["", *(group.name for group in groups[:-1])]
    for size in ("min", "desired", "max"):
        assert {getattr(group, size) for group in groups} == {getattr(pool, size) // len(zones)}
    for lost in groups:
        assert sum(group.max for group in groups if group is not lost) >= pool.desired
    assert all(1 <= group.min <= group.desired <= group.max <= MAX_GROUP_NODES for group in groups)


@given(st.integers(2, 4))
def test_names_hold_no_region(zones: int) -> None:
    names = [group.name for group in plan_node_groups(ZONES[:zones], general=general(min=12, desired=36, max=84))]
    assert not any("us-east" in name for name in names)


def test_a_fourth_zone_moves_nothing_that_is_settled() -> None:
    """The subnets of a node group can never be changed: with those of a fourth zone it would be replaced."""
    *steady, spot = plan_node_groups(ZONES[:4], general=general(min=24, desired=44, max=84), indexing=indexing())
    assert spot.zones == tuple(ZONES[:3])
    assert [group.zones for group in steady] == [(zone,) for zone in ZONES[:4]]


def test_brokers_have_steady_nodes_of_their_own() -> None:
    groups = plan_node_groups(ZONES[:3], general=general(), brokers=general(min=6, desired=6, max=9))
    brokers = [group for group in groups if group.pool == "brokers"]
    assert [group.name for group in brokers] == ["brokers-a", "brokers-b", "brokers-c"]
    assert {(group.min, group.desired, group.max, group.spot) for group in brokers} == {(2, 2, 3, False)}
    assert brokers[0].taints == [{"key": POOL_LABEL, "value": "brokers", "effect": "NO_SCHEDULE"}]
    # The first of each pool waits for none: a bad image stops within its pool.
    assert [group.after for group in brokers] == ["", "brokers-a", "brokers-b"]


def test_indexing_alone_runs_on_capacity_that_can_be_taken_back() -> None:
    *steady, spot = plan_node_groups(ZONES[:3], general=general(), indexing=indexing())
    assert [(group.spot, group.taints, group.labels) for group in steady] == [(False, [], {POOL_LABEL: "general"})] * 3
    assert spot.spot
    assert spot.name == "indexing"
    assert spot.zones == ZONES[:3]
    assert spot.instance_types == SPOT
    assert spot.labels == {POOL_LABEL: "indexing"}
    assert spot.taints == [{"key": POOL_LABEL, "value": "indexing", "effect": "NO_SCHEDULE"}]
    assert (spot.min, spot.desired, spot.max) == (0, 3, 30)
    assert spot.after == ""


def test_the_requirement_is_met() -> None:
    groups = plan_node_groups(ZONES[:3], general=general())
    sizes = [size_of(group.instance_types[0]) for group in groups for _ in range(group.desired)]
    assert len(sizes) >= 40
    assert all((size.vcpus, size.memory_gib) == (4, 16) for size in sizes)


def test_image_follows_the_architecture() -> None:
    arm = general(instance_types=("m7g.xlarge",))
    assert arm.architecture == "arm64"
    (group, *_) = plan_node_groups(ZONES[:3], general=arm, architecture="arm64")
    assert group.ami_type == AMI_TYPES["arm64"] == "AL2023_ARM_64_STANDARD"


@pytest.mark.parametrize(
    ("instance_type", "message"),
    [
        ("m6i", "instance type is 'm6i': an EC2 instance type is <family>.<size>. Write it like m7i.xlarge."),
        ("t3.xlarge", "instance type is t3.xlarge: a burstable type runs out of CPU credits under steady load. "),
        ("m4.xlarge", "instance type is m4.xlarge: it is of an older generation, or has hardware that pods here make "),
        ("m6i.metal", "instance type is m6i.metal: nodes come in large, xlarge, 2xlarge, 4xlarge, 8xlarge. "),
    ],
)
def test_unfit_instance_type_is_refused(instance_type: str, message: str) -> None:
    with pytest.raises(ArgsError) as error:
        size_of(instance_type)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instance_types": ()}, "instance types are 0: a node group has 1 to 20."),
        (
            {"instance_types": ("m6i.xlarge", "m6i.xlarge")},
            "instance types name m6i.xlarge more than once: once is enough.",
        ),
        (
            {"instance_types": ("m6i.xlarge", "m6i.2xlarge", "m5.xlarge")},
            (
                "instance types are of several sizes: m6i.2xlarge, m6i.xlarge: an autoscaler reckons with the size of "
                "the first and would start too few or too many. Take types with the same vCPUs and memory."
            ),
        ),
        (
            {"min": 43},
            "nodes are 43 to 84, 42 at first: EKS takes 0 <= min <= desired <= max, and a max of at least 1.",
        ),
        (
            {"min": 0, "desired": 0, "max": 0},
            "nodes are 0 to 0, 0 at first: EKS takes 0 <= min <= desired <= max, and a max of at least 1.",
        ),
    ],
)
def test_unfit_pool_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        general(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("zones", "pools", "message"),
    [
        (1, {}, "zones are us-east-1a: the control plane needs subnets in two."),
        (
            3,
            {"general": general(desired=40)},
            (
                "general nodes: desired is 40: 3 zones do not divide it, and each gets as many as the others. "
                "Take 39 or 42."
            ),
        ),
        (
            3,
            {"general": general(min=0)},
            "general nodes: min is 0: 3 zones do not divide it, and each gets as many as the others. Take 3 or 3.",
        ),
        (
            3,
            {"general": general(max=60)},
            (
                "general nodes: max is 60: without one of 3 zones the others could grow to 40, and 42 are needed. "
                "Take at least 63."
            ),
        ),
        (
            3,
            {"general": general(max=1353)},
            (
                "node group general-a may grow to 451 nodes: a managed node group has at most 450. "
                "Take fewer, or larger ones."
            ),
        ),
        (
            3,
            {"indexing": indexing(instance_types=SPOT[:3])},
            (
                "indexing nodes are of 3 types: EC2 takes Spot capacity back by type, and could take the whole pool at "
                "once. Name at least 4 types."
            ),
        ),
        (
            3,
            {"general": general(instance_types=("m7g.xlarge",))},
            (
                "general nodes name m7g.xlarge: they do not run images built for amd64. "
                f"Take types of {FAMILIES['amd64']}."
            ),
        ),
    ],
)
def test_plan_that_could_not_work_is_refused(zones: int, pools: dict[str, Pool], message: str) -> None:
    given: dict[str, Any] = {"general": general(), **pools}
    with pytest.raises(ArgsError) as error:
        plan_node_groups(ZONES[:zones], **given)
    assert str(error.value) == message


@pytest.mark.parametrize("version", ADDON_VERSIONS)
def test_addons_go_with_their_cluster(version: str) -> None:
    addons = {addon.name: addon for addon in plan_addons(version, zones=3, observability=True)}
    assert addons["kube-proxy"].version.startswith(f"v{version}.")
    assert all("-eksbuild." in addon.version for addon in addons.values())
    assert {*addons} == {*ADDON_VERSIONS[version]}


def test_what_nodes_need_comes_before_them_and_what_needs_nodes_after() -> None:
    addons = plan_addons("1.35", zones=3)
    assert [addon.name for addon in addons if addon.before_nodes] == [
        "eks-pod-identity-agent",
        "vpc-cni",
        "kube-proxy",
        "eks-node-monitoring-agent",
    ]
    assert [addon.name for addon in addons if not addon.before_nodes] == [
        "coredns",
        "aws-ebs-csi-driver",
        "metrics-server",
    ]


def test_network_policies_are_enforced() -> None:
    cni = next(addon for addon in plan_addons("1.35", zones=3) if addon.name == "vpc-cni")
    assert cni.configuration == {"enableNetworkPolicy": "true"}
    assert cni.policies == ("arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy",)


@pytest.mark.parametrize("zones", [2, 3, 4])
def test_dns_is_answered_in_every_zone(zones: int) -> None:
    dns = next(addon for addon in plan_addons("1.35", zones=zones) if addon.name == "coredns")
    assert dns.configuration["autoScaling"] == {"enabled": True, "minReplicas": zones, "maxReplicas": 10 * zones}
    (spread,) = dns.configuration["topologySpreadConstraints"]
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"


def test_volumes_of_pods_carry_our_tags() -> None:
    driver = next(
        addon for addon in plan_addons("1.35", zones=3, tags={"owner": "a"}) if addon.name == "aws-ebs-csi-driver"
    )
    assert driver.configuration == {"controller": {"extraVolumeTags": {"owner": "a"}}}
    assert driver.volumes


def test_version_without_known_addons_is_refused() -> None:
    with pytest.raises(ArgsError) as error:
        plan_addons("1.33", zones=3)
    assert str(error.value) == (
        "kubernetes version is '1.33': add-on versions are known for 1.34, 1.35, 1.36. Add its row to ADDON_VERSIONS "
        "from `aws eks describe-addon-versions --kubernetes-version`."
    )


def test_network_that_services_would_shadow_is_refused() -> None:
    check_service_cidr("172.16.0.0/16")
    with pytest.raises(ArgsError) as error:
        check_service_cidr("172.20.0.0/16")
    assert str(error.value) == (
        "the network is 172.20.0.0/16: Services have 172.20.0.0/16, and EKS refuses a cluster where the two overlap. "
        "Give the region another /16."
    )


#: EKS user guide, "Basic metrics in Amazon CloudWatch": the statistic that each metric has a meaning with.
STATISTICS = {
    "apiserver_request_total": "Sum",
    "apiserver_request_total_429": "Sum",
    "apiserver_request_total_5XX": "Sum",
    "apiserver_request_duration_seconds_POST_P99": "Average",
    "apiserver_storage_size_bytes": "Maximum",
    "scheduler_pending_pods_UNSCHEDULABLE": "Sum",
    "scheduler_schedule_attempts_ERROR": "Sum",
}


def test_alarms_look_at_metrics_that_exist_by_the_statistic_that_they_have() -> None:
    rows = plan_alarms()
    assert len({row.name for row in rows}) == len(rows)
    for row in rows:
        for metric in {row.metric, row.share_of or row.metric}:
            assert STATISTICS[metric] == row.statistic
    assert {row.name for row in rows if row.severity == "page"} == {"api-errors", "many-pods-pending"}


def test_kubeconfig_holds_no_credentials_and_asks_for_a_token() -> None:
    config = plan_kubeconfig(name="c", region="us-west-2", endpoint="https://e", certificate_authority="Y2E=")
    (cluster,), (user,), (context,) = config["clusters"], config["users"], config["contexts"]
    assert cluster == {"name": "c", "cluster": {"server": "https://e", "certificate-authority-data": "Y2E="}}
    assert context["context"] == {"cluster": "c", "user": "c"}
    assert config["current-context"] == "c"
    assert [*user["user"]] == ["exec"]
    call = user["user"]["exec"]
    assert " ".join([call["command"], *call["args"]]) == (
        "aws --region us-west-2 eks get-token --cluster-name c --output json"
    )
    json.dumps(config)
