"""The autoscaler of the nodes, as the engine receives it."""

import json
import re
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pulumi
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.alarms import Alarms, AlarmsArgs
from components.cluster_autoscaler import (
    FIRST,
    LEAVE_SECONDS,
    NAME,
    PRIORITIES,
    REPLICAS,
    STATUS,
    ClusterAutoscaler,
    ClusterAutoscalerArgs,
    plan_flags,
    plan_priorities,
    plan_scaling,
    plan_tags,
)
from components.eks import Eks, EksArgs
from components.eks_plan import POOL_LABEL, NodeGroupPlan, plan_alarms, plan_node_groups
from components.eks_plan import Pool as NodePool
from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.network import INTERFACE_SERVICES, Network, NetworkArgs
from components.rabbitmq_plan import ClusterSpec, plan_cluster
from components.search_service_plan import INDEX, plan_releases
from components.search_service_plan import plan_pod as plan_service_pod

ACCOUNT = "012345678901"
IMAGE = f"registry.k8s.io/autoscaling/cluster-autoscaler@sha256:{'0a' * 32}"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
OUTPUTS = {
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    "aws:eks/cluster:Cluster": {"endpoint": "https://api.internal", "certificateAuthority": {"data": "Y2E="}},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 3},
}
RULES = "kubernetes:rbac.authorization.k8s.io/v1:"
ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
NAMES = st.from_regex(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}", fullmatch=True)


def args(**changes: Any) -> ClusterAutoscalerArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region="us-east-1", role="primary"))
    network = Network(
        "network",
        NetworkArgs(account_id=ACCOUNT, region="us-east-1", cidr="10.0.0.0/16", zones=ZONES, flow_log_key=keys["logs"]),
    )
    cluster = EksArgs(
        account_id=ACCOUNT,
        network=network,
        keys=keys,
        alarms=Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
        version="1.35",
        admin_role_arns=(f"arn:aws:iam::{ACCOUNT}:role/operators",),
        general=NodePool(instance_types=("m6i.xlarge",), min=24, desired=42, max=84),
    )
    given: dict[str, Any] = {"image": IMAGE, "network": network, "cluster": Eks("cluster", cluster)}
    return ClusterAutoscalerArgs(**(given | changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    def program() -> str:
        return ClusterAutoscaler("autoscaler", args(), pulumi.ResourceOptions()).namespace

    return recorded(program, outputs=OUTPUTS)


def pod(run: Any) -> dict[str, Any]:
    spec: dict[str, Any] = run.one(DEPLOYMENT).inputs["spec"]["template"]["spec"]
    return spec


def groups() -> tuple[NodeGroupPlan, ...]:
    return plan_node_groups(
        ZONES,
        general=NodePool(instance_types=("m6i.xlarge",), min=24, desired=42, max=84),
        brokers=NodePool(instance_types=("m6i.2xlarge",), min=3, desired=3, max=6),
        indexing=NodePool(
            instance_types=("m5.xlarge", "m5a.xlarge", "m6a.xlarge", "m6i.xlarge"), min=0, desired=3, max=9
        ),
    )


def indexer() -> Any:
    (release,) = plan_releases(INDEX, image=IMAGE)
    return plan_service_pod(release)


def flags(run: Any) -> dict[str, str]:
    (container,) = pod(run)["containers"]
    pairs = [flag.partition("=") for flag in container["args"]]
    assert all(equals for _, equals, _ in pairs)
    found = {name: value for name, _, value in pairs}
    assert len(found) == len(pairs)
    return found


def test_every_object_fits_the_schema_of_kubernetes(run: Any) -> None:
    objects = [resource for resource in run.managed if resource.type.startswith("kubernetes:")]
    for resource in objects:
        kubernetes_validate.validate(resource.inputs, "1.35", strict=True)
    assert len(objects) == 11


def test_it_scales_the_groups_of_its_cluster_and_changes_nothing_else_in_aws(run: Any) -> None:
    policy = json.loads(run.one("aws:iam/rolePolicy:RolePolicy", "autoscaler").inputs["policy"])
    look, groups, scale = policy["Statement"]
    assert all(":Describe" in action for action in look["Action"] + groups["Action"])
    assert groups["Resource"] == ["arn:aws:eks:us-east-1:*:nodegroup/cluster-0badcafe/*/*"]
    assert scale["Action"] == ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    assert scale["Resource"] == ["arn:aws:autoscaling:us-east-1:*:autoScalingGroup:*:autoScalingGroupName/eks-*"]
    assert scale["Condition"]["StringEquals"] == {
        "aws:ResourceTag/k8s.io/cluster-autoscaler/enabled": "true",
        "aws:ResourceTag/k8s.io/cluster-autoscaler/cluster-0badcafe": "owned",
    }


@given(cluster=NAMES, other=NAMES)
def test_no_two_clusters_scale_each_others_groups(cluster: str, other: str) -> None:
    *_, scale = plan_scaling(cluster, region="us-east-1")["Statement"]
    wanted = {key.removeprefix("aws:ResourceTag/"): value for key, value in scale["Condition"]["StringEquals"].items()}
    assert wanted.items() <= plan_tags(cluster).items()
    assert (wanted.items() <= plan_tags(other).items()) == (cluster == other)


@given(cluster=NAMES)
def test_only_looking_is_allowed_everywhere(cluster: str) -> None:
    for statement in plan_scaling(cluster, region="us-east-1")["Statement"]:
        assert (statement["Resource"] == ["*"]) == (statement["Sid"] == "Look")
        assert (statement["Sid"] == "Scale") == ("Condition" in statement)


def test_it_finds_the_groups_that_its_role_may_scale(run: Any) -> None:
    found = flags(run)
    assert found["--cloud-provider"] == "aws"
    assert found["--cluster-name"] == "cluster-0badcafe"
    kind, _, tags = found["--node-group-auto-discovery"].partition("=")
    assert kind == "asg:tag"
    assert tags.split(",") == list(plan_tags("cluster-0badcafe"))


def test_its_pods_and_no_others_take_its_role(run: Any) -> None:
    role = run.one("aws:iam/role:Role", "autoscaler")
    (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
    tags = statement["Condition"]["StringEquals"]
    assert (tags["aws:RequestTag/kubernetes-namespace"], tags["aws:RequestTag/kubernetes-service-account"]) == (
        NAME,
        NAME,
    )
    association = run.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", "autoscaler").inputs
    assert (association["namespace"], association["serviceAccount"]) == (NAME, NAME)
    assert pod(run)["serviceAccountName"] == NAME


def test_it_is_told_what_it_would_ask_a_node_for(run: Any) -> None:
    (container,) = pod(run)["containers"]
    assert container["image"] == IMAGE
    assert container["command"] == ["/cluster-autoscaler"]
    assert container["env"] == [{"name": "AWS_REGION", "value": "us-east-1"}]


def test_zones_of_a_pool_grow_evenly_whatever_their_nodes_are(run: Any) -> None:
    assert flags(run)["--balance-similar-node-groups"] == "true"
    label = flags(run)["--balancing-label"]
    assert label == POOL_LABEL
    pools = {group.name: group.labels[label] for group in groups()}
    assert [name for name, pool in pools.items() if pool == "general"] == ["general-a", "general-b", "general-c"]
    assert "--balancing-ignore-label" not in flags(run)


def test_spot_nodes_are_tried_first_and_no_group_is_left_out(run: Any) -> None:
    assert flags(run)["--expander"] == "priority,least-waste"
    config = run.one("kubernetes:core/v1:ConfigMap").inputs
    assert config["metadata"]["name"] == PRIORITIES
    assert config["metadata"]["namespace"] == NAME == flags(run)["--namespace"]
    priorities = yaml.safe_load(config["data"]["priorities"])
    ranks = {
        group.name: max(
            rank
            for rank, patterns in priorities.items()
            if any(re.search(pattern, f"eks-cluster-{group.name}-1a2b3c4-5cc9dae8-63f0") for pattern in patterns)
        )
        for group in groups()
    }
    best = {name for name, rank in ranks.items() if rank == max(ranks.values())}
    assert best == {group.name for group in groups() if group.spot}
    assert {group.pool for group in groups() if group.spot} == set(FIRST)


@given(pools=st.lists(st.sampled_from(["general", "brokers", "indexing"]), unique=True))
def test_priorities_are_whole_numbers_with_patterns(pools: list[str]) -> None:
    priorities = yaml.safe_load(plan_priorities(pools))
    assert all(type(rank) is int for rank in priorities)
    assert priorities[min(priorities)] == ["."]
    assert priorities.get(20, []) == [f"-{pool}-" for pool in pools]


def test_nodes_go_five_minutes_after_their_pods(run: Any) -> None:
    told = flags(run)
    assert told["--scale-down-unneeded-time"] == told["--scale-down-delay-after-add"] == "300s"


def test_another_group_is_tried_before_waiting_pods_raise_an_alarm(run: Any) -> None:
    waiting = next(alarm for alarm in plan_alarms() if alarm.name == "pods-pending")
    assert int(flags(run)["--max-node-provision-time"].removesuffix("s")) < waiting.minutes * 60


def test_pods_leave_a_node_in_their_own_time(run: Any) -> None:
    assert flags(run)["--max-graceful-termination-sec"] == str(LEAVE_SECONDS)
    broker = plan_cluster("rabbitmq", ClusterSpec(image=IMAGE, operator_image=IMAGE), storage_class="fast", locked=True)
    assert broker["terminationGracePeriodSeconds"] == LEAVE_SECONDS
    assert indexer()["termination_grace_period_seconds"] <= LEAVE_SECONDS


def test_an_empty_dir_keeps_no_node(run: Any) -> None:
    assert any("empty_dir" in volume for volume in indexer()["volumes"])
    assert flags(run)["--skip-nodes-with-local-storage"] == "false"
    assert flags(run)["--skip-nodes-with-system-pods"] == "true"


def test_flags_hold_nothing_of_one_region_or_cluster(run: Any) -> None:
    (container,) = pod(run)["containers"]
    assert container["args"][2:] == plan_flags()
    assert not re.search(r"us-east-1|cluster-0badcafe|\d{12}", " ".join(plan_flags()))


def test_one_takes_over_from_the_other_in_another_zone(run: Any) -> None:
    deployment = run.one(DEPLOYMENT).inputs["spec"]
    assert deployment["replicas"] == REPLICAS == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (zone,) = pod(run)["topologySpreadConstraints"]
    assert (zone["topologyKey"], zone["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "DoNotSchedule")
    budget = run.one("kubernetes:policy/v1:PodDisruptionBudget").inputs["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]


def test_it_finds_a_place_on_a_full_cluster(run: Any) -> None:
    assert pod(run)["priorityClassName"] == "system-cluster-critical"


def test_its_pods_meet_the_restricted_standard(run: Any) -> None:
    labels = run.one("kubernetes:core/v1:Namespace").inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    spec = pod(run)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "volumes" not in spec
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "cpu" not in container["resources"]["limits"]


def test_nothing_connects_to_it_and_it_reaches_what_it_works_with(run: Any) -> None:
    policies = {
        policy.inputs["metadata"]["name"]: policy.inputs["spec"]
        for policy in run.of("kubernetes:networking.k8s.io/v1:NetworkPolicy")
    }
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert policies["allow-needs"]["policyTypes"] == ["Egress"]
    _, agent, inside, outside = policies["allow-needs"]["egress"]
    assert agent["to"] == [{"ipBlock": {"cidr": "169.254.170.23/32"}}]
    assert [peer["ipBlock"]["cidr"] for peer in inside["to"]] == ["10.0.0.0/16", "172.20.0.0/16"]
    assert "169.254.0.0/16" in outside["to"][0]["ipBlock"]["except"]
    assert inside["ports"] == outside["ports"] == [{"protocol": "TCP", "port": 443}]


def test_it_leaves_the_network_only_for_want_of_a_private_endpoint() -> None:
    # With one for Auto Scaling, the last rule of its network policy can go.
    assert "autoscaling" not in INTERFACE_SERVICES
    assert {"ec2", "eks"} <= set(INTERFACE_SERVICES)


def test_in_the_cluster_it_closes_nodes_and_asks_pods_to_leave(run: Any) -> None:
    reading = {"get", "list", "watch"}
    whole = run.one(f"{RULES}ClusterRole").inputs["rules"]
    changed = {item: set(rule["verbs"]) - reading for rule in whole for item in rule["resources"]}
    assert {item: verbs for item, verbs in changed.items() if verbs} == {
        "nodes": {"update"},
        "pods/eviction": {"create"},
        "events": {"create", "patch"},
    }
    assert not {"secrets", "configmaps", "serviceaccounts"} & {item for rule in whole for item in rule["resources"]}
    assert "*" not in json.dumps(whole)


def test_its_lock_and_its_report_are_in_its_own_namespace(run: Any) -> None:
    role = run.one(f"{RULES}Role").inputs
    assert role["metadata"]["namespace"] == NAME
    named = [rule["resourceNames"] for rule in role["rules"] if "update" in rule["verbs"]]
    assert named == [[NAME], [STATUS]]


def test_its_rights_and_priorities_are_there_before_its_pods(run: Any) -> None:
    kinds = {urn.rsplit("$", 1)[-1].split("::")[0] for urn in run.one(DEPLOYMENT).depends_on_urns}
    assert {
        f"{RULES}ClusterRoleBinding",
        f"{RULES}RoleBinding",
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "kubernetes:core/v1:ConfigMap",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        "kubernetes:core/v1:ServiceAccount",
    } <= kinds


def test_an_image_that_is_not_pinned_is_refused(recorded: Any) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(image="cluster-autoscaler:v1.35.2"), outputs=OUTPUTS)
    assert str(error.value) == (
        "image is 'cluster-autoscaler:v1.35.2': a tag can be moved: what was tested and what runs would differ. "
        "Pin it as <repository>@sha256:<64 hexadecimal digits>."
    )
