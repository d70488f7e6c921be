"""What controllers in the cluster have in common, as the engine receives it."""

from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pulumi
import pulumi_kubernetes as kubernetes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.alarms import Alarms, AlarmsArgs
from components.controller import LOOK, Controller, controller_labels, plan_binding, plan_deployment, plan_pod
from components.eks import Eks, EksArgs
from components.eks_plan import Pool
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.pods import container_security, internet, pod_security

ACCOUNT = "012345678901"
NAME = "gardener"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
RULES = "kubernetes:rbac.authorization.k8s.io/v1:"
OUTPUTS = {
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    "aws:eks/cluster:Cluster": {"endpoint": "https://api.internal", "certificateAuthority": {"data": "Y2E="}},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 3},
}
NAMES = st.from_regex(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


class Gardener(pulumi.ComponentResource):
    """A controller with rights and settings of its own."""

    def __init__(self, name: str) -> None:
        super().__init__("docsearch:gardener:Gardener", name)
        keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region="us-east-1", role="primary"))
        zones = ("us-east-1a", "us-east-1b", "us-east-1c")
        network = Network(
            "network",
            NetworkArgs(
                account_id=ACCOUNT, region="us-east-1", cidr="10.0.0.0/16", zones=zones, flow_log_key=keys["logs"]
            ),
        )
        cluster = EksArgs(
            account_id=ACCOUNT,
            network=network,
            keys=keys,
            alarms=Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
            version="1.35",
            admin_role_arns=(f"arn:aws:iam::{ACCOUNT}:role/operators",),
            general=Pool(instance_types=("m6i.xlarge",), min=24, desired=42, max=84),
        )
        controller = Controller(
            self,
            name,
            NAME,
            network=network,
            cluster=Eks("cluster", cluster),
            policy='{"Statement": []}',
            rules=[{"api_groups": [""], "resources": ["nodes"], "verbs": LOOK}],
            needs=[internet()],
        )
        events: Any = [{"api_groups": [""], "resources": ["events"], "verbs": ["create"]}]
        controller.allow(name, NAME, events, labels=controller.labels)
        controller.allow(f"{name}-leader", "leader", events)
        settings = kubernetes.core.v1.ConfigMap(
            f"{name}-settings", metadata=controller.metadata("settings"), data={}, opts=controller.child()
        )
        controller.run(pod(), replicas=2, after=[settings])


def pod(**own: Any) -> Any:
    container: Any = {"name": "gardener", "image": "gardener", **own}
    return plan_pod(NAME, container, memory="64Mi", port=8080, ready="/ready", live="/live")


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: Gardener("garden").urn, outputs=OUTPUTS)


def ours(run: Any) -> list[Any]:
    return [resource for resource in run.managed if resource.parent == run.result]


def test_all_of_it_belongs_to_its_component_and_fits_the_schema_of_kubernetes(run: Any) -> None:
    objects = [resource for resource in ours(run) if resource.type.startswith("kubernetes:")]
    for resource in objects:
        kubernetes_validate.validate(resource.inputs, "1.35", strict=True)
    assert sorted((resource.type.split(":")[-1], resource.name) for resource in objects) == [
        ("ClusterRole", "garden"),
        ("ClusterRoleBinding", "garden"),
        ("ConfigMap", "garden-settings"),
        ("Deployment", "garden"),
        ("Namespace", "garden"),
        ("NetworkPolicy", "garden-allow-needs"),
        ("NetworkPolicy", "garden-deny-all"),
        ("PodDisruptionBudget", "garden"),
        ("Role", "garden"),
        ("Role", "garden-leader"),
        ("RoleBinding", "garden"),
        ("RoleBinding", "garden-leader"),
        ("ServiceAccount", "garden"),
    ]


def test_nothing_is_in_its_namespace_before_the_policies_are(run: Any) -> None:
    first = {"garden", "garden-deny-all", "garden-allow-needs"}
    inside = [resource for resource in ours(run) if resource.inputs.get("metadata", {}).get("namespace") == NAME]
    assert len(inside) == 10
    for resource in inside:
        if resource.type.endswith(":NetworkPolicy"):
            assert resource.depends_on == {"garden"}
        else:
            assert first <= resource.depends_on, resource.urn


def test_its_pods_come_after_all_that_they_need(run: Any) -> None:
    before = {urn.rsplit("$", 1)[-1] for urn in run.one(DEPLOYMENT).depends_on_urns}
    assert before >= {
        f"{RULES}ClusterRole::garden",
        f"{RULES}ClusterRoleBinding::garden",
        f"{RULES}Role::garden-leader",
        f"{RULES}RoleBinding::garden-leader",
        "aws:eks/podIdentityAssociation:PodIdentityAssociation::garden",
        "kubernetes:core/v1:ConfigMap::garden-settings",
        "kubernetes:core/v1:ServiceAccount::garden",
    }


def test_its_account_alone_gets_its_rights(run: Any) -> None:
    account = run.one("kubernetes:core/v1:ServiceAccount").inputs
    assert (account["metadata"]["name"], account["metadata"]["namespace"]) == (NAME, NAME)
    assert account["automountServiceAccountToken"] is False
    for kind, name in (("ClusterRole", "garden"), ("Role", "garden"), ("Role", "garden-leader")):
        role, binding = run.one(f"{RULES}{kind}", name).inputs, run.one(f"{RULES}{kind}Binding", name).inputs
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (kind, role["metadata"]["name"])
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}]
        assert binding["metadata"] == role["metadata"]
    association = run.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", "garden").inputs
    assert (association["namespace"], association["serviceAccount"]) == (NAME, NAME)
    assert run.one("aws:iam/rolePolicy:RolePolicy", "garden").inputs["policy"] == '{"Statement": []}'


def test_its_own_role_is_labelled_as_it_is_told(run: Any) -> None:
    plain = {"name": "leader", "namespace": NAME}
    assert run.one(f"{RULES}Role", "garden-leader").inputs["metadata"] == plain
    labelled = {"name": NAME, "namespace": NAME, "labels": controller_labels(NAME)}
    assert run.one(f"{RULES}Role", "garden").inputs["metadata"] == labelled


def test_it_reaches_the_apis_and_what_it_asks_for_beside_them(run: Any) -> None:
    egress = run.one("kubernetes:networking.k8s.io/v1:NetworkPolicy", "garden-allow-needs").inputs["spec"]["egress"]
    _, agent, apis, outside = egress
    assert agent["to"] == [{"ipBlock": {"cidr": "169.254.170.23/32"}}]
    assert [peer["ipBlock"]["cidr"] for peer in apis["to"]] == ["10.0.0.0/16", "172.20.0.0/16"]
    assert outside["to"][0]["ipBlock"]["cidr"] == "0.0.0.0/0"


def test_one_pod_at_a_time_leaves_even_one_that_is_not_ready(run: Any) -> None:
    deployment = run.one(DEPLOYMENT).inputs["spec"]
    budget = run.one("kubernetes:policy/v1:PodDisruptionBudget").inputs["spec"]
    assert budget == {
        "selector": deployment["selector"],
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }
    assert deployment["selector"] == {"matchLabels": controller_labels(NAME)}


@given(labels=st.dictionaries(NAMES, NAMES, min_size=1), replicas=st.integers(1, 10))
def test_a_pod_goes_when_its_successor_is_there(labels: dict[str, str], replicas: int) -> None:
    found: Any = plan_deployment(labels, pod(), replicas=replicas)
    assert found["replicas"] == replicas
    assert found["strategy"]["rolling_update"] == {"max_unavailable": 0, "max_surge": 1}
    assert found["selector"]["match_labels"] == found["template"]["metadata"]["labels"] == labels


@given(name=NAMES, namespace=NAMES)
def test_an_account_is_in_the_namespace_called_like_it_unless_told(name: str, namespace: str) -> None:
    told, not_told = plan_binding("Role", "r", to=name, namespace=namespace), plan_binding("Role", "r", to=name)
    assert told["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]
    assert not_told == plan_binding("Role", "r", to=name, namespace=name)


def test_a_pod_keeps_to_the_restricted_standard_whatever_its_container_says() -> None:
    spec = pod(security_context={"privileged": True}, resources={}, args=["--dig"])
    assert spec["security_context"].items() >= pod_security(65534).items()
    (container,) = spec["containers"]
    assert container["security_context"] == container_security()
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}}
    assert container["args"] == ["--dig"]


def test_a_pod_finds_a_place_on_a_full_cluster_and_answers_probes() -> None:
    spec = pod()
    assert spec["priority_class_name"] == "system-cluster-critical"
    assert spec["service_account_name"] == NAME
    (container,) = spec["containers"]
    assert container["ports"] == [{"name": "probes", "container_port": 8080, "protocol": "TCP"}]
    assert container["readiness_probe"]["http_get"] == {"path": "/ready", "port": "probes"}
    assert container["liveness_probe"]["http_get"] == {"path": "/live", "port": "probes"}
