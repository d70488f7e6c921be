"""The controller that registers pods, as the engine receives it."""

import json
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pulumi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from components import target_group_crd
from components.alarms import Alarms, AlarmsArgs
from components.eks import Eks, EksArgs
from components.eks_plan import Pool as NodePool
from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.load_balancer_controller import (
    CERTIFICATE,
    LEADER,
    NAME,
    REPLICAS,
    WATCHER,
    LoadBalancerController,
    LoadBalancerControllerArgs,
    plan_definitions,
    plan_registration,
    plan_watch,
    self_signed,
)
from components.network import Network, NetworkArgs
from infra.local.kubernetes_custom import TARGET_GROUP_BINDING
from infra.local.kubernetes_schema import CustomKind, Schemas

ACCOUNT = "012345678901"
IMAGE = f"public.ecr.aws/eks/aws-load-balancer-controller@sha256:{'0a' * 32}"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
OUTPUTS = {
    "random:index/randomPassword:RandomPassword": {"result": "x" * 64},
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    "aws:eks/cluster:Cluster": {"endpoint": "https://api.internal", "certificateAuthority": {"data": "Y2E="}},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 3},
}
RULES = "kubernetes:rbac.authorization.k8s.io/v1:"


def args(**changes: Any) -> LoadBalancerControllerArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region="us-east-1", role="primary"))
    network = Network(
        "network",
        NetworkArgs(
            account_id=ACCOUNT,
            region="us-east-1",
            cidr="10.0.0.0/16",
            zones=("us-east-1a", "us-east-1b", "us-east-1c"),
            flow_log_key=keys["logs"],
        ),
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
    given: dict[str, Any] = {
        "image": IMAGE,
        "network": network,
        "cluster": Eks("cluster", cluster),
        "target_groups": [pulumi.Output.from_input("arn:b"), "arn:a"],
    }
    return LoadBalancerControllerArgs(**(given | changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    def program() -> str:
        return LoadBalancerController("controller", args()).namespace

    return recorded(program, outputs=OUTPUTS)


def shown(resource: Any) -> dict[str, Any]:
    """The inputs of an object, those of a Secret without the envelope that keeps them secret in the state."""
    return {name: value["value"] if name == "stringData" else value for name, value in resource.inputs.items()}


def pod(run: Any) -> dict[str, Any]:
    spec: dict[str, Any] = run.one(DEPLOYMENT).inputs["spec"]["template"]["spec"]
    return spec


def test_every_object_fits_the_schema_of_kubernetes(run: Any) -> None:
    seen = 0
    for resource in run.managed:
        if resource.type.startswith("kubernetes:"):
            seen += 1
            kubernetes_validate.validate(shown(resource), "1.35", strict=True)
    assert seen == 14


def test_it_registers_in_these_target_groups_and_changes_nothing_else_in_aws(run: Any) -> None:
    look, register = json.loads(run.one("aws:iam/rolePolicy:RolePolicy", "controller").inputs["policy"])["Statement"]
    assert all(":Describe" in action for action in look["Action"])
    assert register["Action"] == ["elasticloadbalancing:DeregisterTargets", "elasticloadbalancing:RegisterTargets"]
    assert sorted(register["Resource"]) == ["arn:a", "arn:b"]


@given(arns=st.lists(st.text(min_size=1), min_size=1))
def test_only_looking_is_allowed_everywhere(arns: list[str]) -> None:
    for statement in plan_registration(arns)["Statement"]:
        assert (statement["Resource"] == ["*"]) == (statement["Sid"] == "Look") or arns == ["*"]


def test_its_pods_and_no_others_take_its_role(run: Any) -> None:
    role = run.one("aws:iam/role:Role", "controller")
    (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
    tags = statement["Condition"]["StringEquals"]
    assert (tags["aws:RequestTag/kubernetes-namespace"], tags["aws:RequestTag/kubernetes-service-account"]) == (
        NAME,
        NAME,
    )
    association = run.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", "controller").inputs
    assert (association["namespace"], association["serviceAccount"]) == (NAME, NAME)
    assert association["clusterName"] == "cluster-0badcafe"


def test_it_is_told_all_that_it_would_ask_a_node_for_and_no_more_than_it_shall_do(run: Any) -> None:
    (container,) = pod(run)["containers"]
    assert container["image"] == IMAGE
    flags = container["args"]
    assert flags[:2] == ["--cluster-name=cluster-0badcafe", "--aws-vpc-id=network-id"]
    assert "--aws-region=us-east-1" in flags
    assert "--watch-namespace=docsearch" in flags
    assert f"--leader-election-id={LEADER}" in flags
    gates = next(flag for flag in flags if flag.startswith("--feature-gates="))
    assert gates.count("=false") == 4


def test_one_zone_may_be_lost_while_a_pod_is_replaced(run: Any) -> None:
    deployment = run.one(DEPLOYMENT).inputs["spec"]
    assert deployment["replicas"] == REPLICAS == 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    (zone,) = pod(run)["topologySpreadConstraints"]
    assert (zone["topologyKey"], zone["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "DoNotSchedule")
    budget = run.one("kubernetes:policy/v1:PodDisruptionBudget").inputs["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]


def test_its_pods_meet_the_restricted_standard(run: Any) -> None:
    labels = run.one("kubernetes:core/v1:Namespace").inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    spec = pod(run)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
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
    apis = policies["allow-needs"]["egress"][2]
    assert [peer["ipBlock"]["cidr"] for peer in apis["to"]] == ["10.0.0.0/16", "172.20.0.0/16"]
    assert apis["ports"] == [{"protocol": "TCP", "port": 443}]
    assert not [r for r in run.managed if "WebhookConfiguration" in r.type]


def test_what_it_writes_in_the_cluster_is_bound_to_namespaces(run: Any) -> None:
    reading = {"get", "list", "watch"}
    whole = run.one(f"{RULES}ClusterRole", "controller").inputs["rules"]
    assert {verb for rule in whole for verb in rule["verbs"]} == reading
    watcher = run.one(f"{RULES}ClusterRole", "controller-watcher").inputs
    assert watcher["metadata"]["name"] == WATCHER == plan_watch()["role_ref"]["name"]
    changed = {item for rule in watcher["rules"] if set(rule["verbs"]) - reading for item in rule["resources"]}
    assert changed == {"pods/status", "events", "targetgroupbindings", "targetgroupbindings/status"}
    assert [binding.name for binding in run.of(f"{RULES}ClusterRoleBinding")] == ["controller"]
    leader = run.one(f"{RULES}Role").inputs
    assert leader["metadata"] == {"name": LEADER, "namespace": NAME}


def test_its_rights_and_kinds_are_there_before_its_pods(run: Any) -> None:
    kinds = {urn.rsplit("$", 1)[-1].split("::")[0] for urn in run.one(DEPLOYMENT).depends_on_urns}
    assert {
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
        f"{RULES}ClusterRoleBinding",
        f"{RULES}RoleBinding",
        "aws:eks/podIdentityAssociation:PodIdentityAssociation",
        "kubernetes:core/v1:Secret",
        "kubernetes:networking.k8s.io/v1:NetworkPolicy",
    } <= kinds


def test_its_kinds_are_those_that_the_local_cloud_takes(run: Any) -> None:
    names = [
        d.inputs["metadata"]["name"] for d in run.of("kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition")
    ]
    assert names == ["ingressclassparams.elbv2.k8s.aws", "targetgroupbindings.elbv2.k8s.aws"]
    assert (TARGET_GROUP_BINDING.group, TARGET_GROUP_BINDING.name) == ("elbv2.k8s.aws", "TargetGroupBinding")
    assert set(plan_definitions()) == {"targetgroupbindings", "ingressclassparams"}


@pytest.mark.parametrize(
    ("change", "property"),
    [
        ({"targetType": "instance"}, "spec.targetType"),
        ({"targetGroupARN": "group"}, "spec.targetGroupARN"),
        ({"serviceRef": {"name": "search"}}, "spec.serviceRef.port"),
        ({"networking": {}}, "spec.networking"),
    ],
)
def test_a_binding_that_leaves_something_to_a_webhook_is_refused(change: dict[str, Any], property: str) -> None:
    schemas = Schemas("1.35", {TARGET_GROUP_BINDING: CustomKind(target_group_crd.SCHEMA, namespaced=True)})
    spec = {
        "targetGroupARN": "arn:aws:elasticloadbalancing:us-east-1:012345678901:targetgroup/a/1",
        "targetType": "ip",
        "ipAddressType": "ipv4",
        "serviceRef": {"name": "search", "port": 80},
    }
    whole = {"apiVersion": "elbv2.k8s.aws/v1beta1", "kind": "TargetGroupBinding", "metadata": {"name": "search"}}
    assert schemas.failures(TARGET_GROUP_BINDING, {**whole, "spec": spec}) == []
    (failure,) = schemas.failures(TARGET_GROUP_BINDING, {**whole, "spec": {**spec, **change}})
    assert failure.property == property


def test_the_certificate_is_the_same_whenever_it_is_made() -> None:
    made = self_signed("x" * 64)
    assert made == self_signed("x" * 64)
    assert made["tls.key"] != self_signed("y" * 64)["tls.key"]
    certificate = x509.load_pem_x509_certificate(made["tls.crt"].encode())
    key = serialization.load_pem_private_key(made["tls.key"].encode(), None)
    certificate.verify_directly_issued_by(certificate)
    assert certificate.public_key() == key.public_key()


def test_the_certificate_reaches_the_pod(run: Any) -> None:
    secret = shown(run.one("kubernetes:core/v1:Secret"))
    assert (secret["metadata"]["name"], secret["type"]) == (CERTIFICATE, "kubernetes.io/tls")
    assert secret["stringData"] == self_signed("x" * 64)
    assert pod(run)["volumes"] == [{"name": "certificate", "secret": {"secretName": CERTIFICATE}}]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": "controller:v3"}, "image is 'controller:v3': a tag can be moved"),
        ({"target_groups": []}, "target_groups are none: the controller would have nothing to do."),
        ({"namespace": "Docs"}, "namespace is 'Docs': it must be a DNS label."),
        ({"namespace": NAME}, f"namespace is '{NAME}': it is the controller's own."),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes), outputs=OUTPUTS)
    assert str(error.value).startswith(message)
