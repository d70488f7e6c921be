"""The broker of a region, as the engine receives it, in both implementations."""

import json
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pulumi
import pytest

from components import rabbitmq_crd
from components.alarms import Alarms, AlarmsArgs
from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.network_plan import FLOWS
from components.rabbitmq import RabbitMq, RabbitMqArgs, host_of
from components.rabbitmq_operator import NAME, NAMESPACE
from components.rabbitmq_plan import ALARMS, PORT, AmazonSpec, ClusterSpec, plan_amazon_configuration
from infra.local.kubernetes_custom import CUSTOM
from infra.local.kubernetes_objects import Kind, wire
from infra.local.kubernetes_schema import Schemas

ACCOUNT = "012345678901"
REGION = "us-east-1"
CIDR = "10.0.0.0/16"
DIGEST = f"sha256:{'0a' * 32}"
IMAGE, OPERATOR = f"rabbitmq@{DIGEST}", f"operator@{DIGEST}"
BROKER = "aws:mq/broker:Broker"
CONFIGURATION = "aws:mq/configuration:Configuration"
SECRET = "aws:secretsmanager/secret:Secret"
VERSION = "aws:secretsmanager/secretVersion:SecretVersion"
PASSWORD = "random:index/randomPassword:RandomPassword"
CLUSTER = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"
DEFINITION = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
NAMESPACES = "kubernetes:core/v1:Namespace"
POLICY = "kubernetes:networking.k8s.io/v1:NetworkPolicy"
BUDGET = "kubernetes:policy/v1:PodDisruptionBudget"
STORAGE = "kubernetes:storage.k8s.io/v1:StorageClass"
OUTPUTS = {
    BROKER: {
        "instances": [{"endpoints": ["amqps://b-1.mq.us-east-1.on.aws:5671"]}],
        "brokerName": "broker-0a1b2c3",
    },
    CONFIGURATION: {"latestRevision": 2},
    PASSWORD: {"result": pulumi.Output.secret("canary")},
}


def on_kubernetes(**changes: Any) -> ClusterSpec:
    return ClusterSpec(image=IMAGE, operator_image=OPERATOR, **changes)


def args(**changes: Any) -> RabbitMqArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=REGION, role="primary"))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=REGION,
        cidr=CIDR,
        zones=tuple(f"us-east-1{zone}" for zone in changes.pop("zones", "abc")),
        flow_log_key=keys["logs"],
    )
    given: dict[str, Any] = {
        "role": "primary",
        "network": Network("network", network),
        "cidr": CIDR,
        "keys": keys,
        "alarms": Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
        "broker": on_kubernetes(),
    }
    return RabbitMqArgs(**(given | changes))


def broker(**changes: Any) -> dict[str, Any]:
    made = RabbitMq("broker", args(**changes))
    where = made.credentials
    return {
        "host": made.host,
        "port": made.port,
        "log_group": made.log_group,
        "credentials": {"store": where.store, "name": where.name, "namespace": where.namespace},
    }


@pytest.fixture(scope="module")
def cluster(recorded: Any) -> Any:
    return recorded(broker, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def amazon(recorded: Any) -> Any:
    return recorded(lambda: broker(broker=AmazonSpec()), outputs=OUTPUTS)


def ours(run: Any, kind: str = "kubernetes:") -> list[Any]:
    return [resource for resource in run.managed if resource.type.startswith(kind)]


# Kubernetes


def test_every_object_fits_the_schema_of_kubernetes_or_our_own(cluster: Any) -> None:
    schemas = Schemas("1.35", CUSTOM)
    assert len(ours(cluster)) == 19
    for resource in ours(cluster):
        kind = Kind.of(resource.type)
        object_ = {"apiVersion": kind.api_version, "kind": kind.name, **resource.inputs}
        assert schemas.failures(kind, wire(kind, object_)) == [], resource.name
        if resource.type != CLUSTER:
            kubernetes_validate.validate(wire(kind, object_), "1.35", strict=True)


def test_the_cluster_is_five_nodes_of_the_pinned_image(cluster: Any) -> None:
    made = cluster.one(CLUSTER)
    assert made.inputs["apiVersion"] == "rabbitmq.com/v1beta1"
    assert made.inputs["metadata"]["name"] == "rabbitmq"
    assert made.inputs["metadata"]["namespace"] == "rabbitmq"
    spec = made.inputs["spec"]
    assert (spec["replicas"], spec["image"]) == (5, IMAGE)
    assert spec["persistence"] == {"storageClassName": "rabbitmq", "storage": "200Gi"}


def test_volumes_are_encrypted_with_the_customer_key_and_stay(cluster: Any) -> None:
    storage = cluster.one(STORAGE)
    assert storage.inputs["metadata"] == {"name": "rabbitmq"}
    assert storage.inputs["provisioner"] == "ebs.csi.aws.com"
    assert storage.inputs["parameters"] == {
        "type": "gp3",
        "encrypted": "true",
        "kmsKeyId": "arn:aws:kms:::keys-messages",
        "csi.storage.k8s.io/fstype": "xfs",
    }
    assert storage.inputs["reclaimPolicy"] == "Retain"
    assert storage.inputs["volumeBindingMode"] == "WaitForFirstConsumer"
    assert storage.inputs["allowVolumeExpansion"] is True


def test_no_key_and_no_password_is_in_the_state(cluster: Any) -> None:
    assert cluster.of("kubernetes:core/v1:Secret") == []
    assert cluster.of(PASSWORD) == []
    assert cluster.result == {
        "host": "rabbitmq.rabbitmq.svc",
        "port": PORT,
        "log_group": None,
        "credentials": {"store": "kubernetes", "name": "rabbitmq-default-user", "namespace": "rabbitmq"},
    }


def test_the_definition_is_the_kind_that_the_program_uses(cluster: Any) -> None:
    definition = cluster.one(DEFINITION).inputs
    assert definition["metadata"] == {"name": "rabbitmqclusters.rabbitmq.com"}
    (version,) = definition["spec"]["versions"]
    assert version["schema"] == {"openAPIV3Schema": rabbitmq_crd.SCHEMA}
    assert version["subresources"] == {"status": {}}
    assert definition["spec"]["scope"] == "Namespaced"


def test_both_namespaces_take_restricted_pods_only(cluster: Any) -> None:
    assert [made.inputs["metadata"]["name"] for made in cluster.of(NAMESPACES)] == ["rabbitmq", NAMESPACE]
    for made in cluster.of(NAMESPACES):
        for mode in ("enforce", "audit", "warn"):
            assert made.inputs["metadata"]["labels"][f"pod-security.kubernetes.io/{mode}"] == "restricted"


def test_the_operator_meets_the_restricted_standard_and_watches_one_namespace(cluster: Any) -> None:
    deployment = cluster.one(DEPLOYMENT).inputs["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["replicas"] == 2
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["image"] == OPERATOR
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
    }
    environment = {item["name"]: item["value"] for item in container["env"]}
    assert environment["OPERATOR_NAMESPACE"] == NAMESPACE
    assert environment["OPERATOR_SCOPE_NAMESPACE"] == "rabbitmq"
    assert environment["ENABLE_WEBHOOKS"] == "false"
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"]


def test_the_operator_has_rights_in_its_two_namespaces_and_nowhere_else(cluster: Any) -> None:
    roles = cluster.of("kubernetes:rbac.authorization.k8s.io/v1:Role")
    assert [role.inputs["metadata"]["namespace"] for role in roles] == [NAMESPACE, "rabbitmq"]
    assert not any("ClusterRole" in resource.type for resource in cluster.managed)
    for role in roles:
        for rule in role.inputs["rules"]:
            assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
    for binding in cluster.of("kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"):
        assert binding.inputs["subjects"] == [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
        names = {role.inputs["metadata"]["name"] for role in roles}
        assert binding.inputs["roleRef"]["name"] in names


def test_the_operator_can_give_its_clusters_the_rights_that_it_gives_them(cluster: Any) -> None:
    role = cluster.one("kubernetes:rbac.authorization.k8s.io/v1:Role", "broker-operator").inputs
    held = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert {("endpoints", "get"), ("events", "create")} <= held


def test_only_clients_and_the_nodes_themselves_reach_a_node(cluster: Any) -> None:
    policies = {
        policy.inputs["metadata"]["name"]: policy.inputs["spec"]
        for policy in cluster.of(POLICY)
        if policy.inputs["metadata"]["namespace"] == "rabbitmq"
    }
    assert set(policies) == {"deny-all", "allow-needs", "allow-nodes", "allow-clients"}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    (clients,) = policies["allow-clients"]["ingress"]
    assert clients["ports"] == [{"protocol": "TCP", "port": 5671}]
    assert clients["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "docsearch"}}}]
    (within,) = policies["allow-nodes"]["ingress"]
    assert within["from"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "rabbitmq"}}}]
    assert {port["port"] for port in within["ports"]} == {4369, 25672, 35672}
    assert policies["allow-nodes"]["egress"][0]["ports"] == within["ports"]


def test_nobody_reaches_the_operator_and_it_reaches_the_api_server(cluster: Any) -> None:
    policies = [policy.inputs for policy in cluster.of(POLICY) if policy.inputs["metadata"]["namespace"] == NAMESPACE]
    assert {policy["metadata"]["name"] for policy in policies} == {"deny-all", "allow-needs"}
    assert not any(policy["spec"].get("ingress") for policy in policies)
    (needs,) = (policy["spec"] for policy in policies if policy["metadata"]["name"] == "allow-needs")
    _dns, server = needs["egress"]
    assert [peer["ipBlock"]["cidr"] for peer in server["to"]] == [CIDR, "172.20.0.0/16"]
    assert server["ports"] == [{"protocol": "TCP", "port": 443}]


def test_metrics_are_read_from_the_namespaces_that_are_named(recorded: Any) -> None:
    run = recorded(lambda: broker(broker=on_kubernetes(scrapers=("monitoring",))), outputs=OUTPUTS)
    metrics = run.one(POLICY, "broker-rabbitmq-allow-metrics").inputs["spec"]
    (rule,) = metrics["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 15691}]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]


def test_one_node_at_a_time_leaves(cluster: Any) -> None:
    budget = cluster.one(BUDGET, "broker-cluster").inputs
    assert budget["metadata"]["namespace"] == "rabbitmq"
    assert budget["spec"] == {
        "selector": {"matchLabels": {"app.kubernetes.io/name": "rabbitmq"}},
        "maxUnavailable": 1,
    }
    operator = cluster.one(BUDGET, "broker-operator").inputs["spec"]
    assert operator["selector"] == cluster.one(DEPLOYMENT).inputs["spec"]["selector"]


def test_the_operator_is_there_before_its_cluster_and_goes_after_it(cluster: Any) -> None:
    deployment = cluster.one(DEPLOYMENT)
    assert deployment.urn in cluster.one(CLUSTER).depends_on_urns
    needed = {resource.urn for resource in (*cluster.of(POLICY), cluster.one(DEFINITION))}
    assert needed <= deployment.depends_on_urns


def test_what_holds_messages_is_protected(cluster: Any, recorded: Any) -> None:
    held = [cluster.one(CLUSTER), cluster.one(DEFINITION), cluster.one(NAMESPACES, "broker-rabbitmq")]
    assert all(resource.protect for resource in held)
    assert [resource for resource in ours(cluster) if resource.protect] != []
    open_ = recorded(lambda: broker(locked=False), outputs=OUTPUTS)
    assert not any(resource.protect for resource in ours(open_))
    assert open_.one(STORAGE).inputs["reclaimPolicy"] == "Delete"


def test_a_cluster_needs_nothing_of_amazon(cluster: Any) -> None:
    assert cluster.of(BROKER) == []
    assert [alarm for alarm in cluster.of("aws:cloudwatch/metricAlarm:MetricAlarm") if alarm.name[:6] == "broker"] == []


# Amazon MQ


def test_amazon_runs_three_private_nodes_with_the_customer_key(amazon: Any) -> None:
    made = amazon.one(BROKER)
    assert {key: value for key, value in made.inputs.items() if key != "users"} == {
        "engineType": "RabbitMQ",
        "engineVersion": "4.2",
        "hostInstanceType": "mq.m7g.2xlarge",
        "deploymentMode": "CLUSTER_MULTI_AZ",
        "autoMinorVersionUpgrade": True,
        "applyImmediately": False,
        "publiclyAccessible": False,
        "subnetIds": ["network-data-a-id", "network-data-b-id", "network-data-c-id"],
        "securityGroups": ["network-broker-id"],
        "encryptionOptions": {"useAwsOwnedKey": False, "kmsKeyId": "arn:aws:kms:::keys-messages"},
        "configuration": {"id": "broker-id", "revision": 2},
        "logs": {"general": True},
        "maintenanceWindowStartTime": {"dayOfWeek": "SUNDAY", "timeOfDay": "11:00", "timeZone": "UTC"},
    }
    assert made.protect
    assert made.ignore_changes == ("users",), "the provider would never send them"


def test_a_fourth_zone_gets_no_node(recorded: Any) -> None:
    run = recorded(lambda: broker(broker=AmazonSpec(), zones="abcd"), outputs=OUTPUTS)
    assert len(run.one(BROKER).inputs["subnetIds"]) == 3


def test_the_configuration_is_that_of_the_plan_and_of_the_broker_s_version(amazon: Any) -> None:
    assert amazon.one(CONFIGURATION).inputs == {
        "engineType": "RabbitMQ",
        "engineVersion": "4.2",
        "description": "RabbitMQ of docsearch",
        "data": plan_amazon_configuration(),
    }


def test_the_password_is_in_secrets_manager_and_nowhere_in_plain(amazon: Any) -> None:
    assert amazon.one(PASSWORD).inputs == {"length": 64, "special": False}
    secret, version = amazon.one(SECRET, "broker"), amazon.one(VERSION, "broker")
    assert secret.inputs["kmsKeyId"] == "arn:aws:kms:::keys-secrets"
    assert secret.inputs["recoveryWindowInDays"] == 30
    assert secret.protect
    assert "name" not in secret.inputs
    text = version.inputs["secretString"]
    assert set(text) > {"value"}, "it is not marked as a secret"
    assert json.loads(text["value"]) == {"username": "docsearch", "password": "canary"}
    assert version.ignore_changes == ("secretString",)
    # The secret mark is on the whole list: no part of it is ever shown.
    users = amazon.one(BROKER).inputs["users"]
    assert set(users) > {"value"}
    assert users["value"] == [{"username": "docsearch", "password": "canary"}]


def test_outputs_of_amazon(amazon: Any) -> None:
    assert amazon.result == {
        "host": "b-1.mq.us-east-1.on.aws",
        "port": PORT,
        "log_group": "/aws/amazonmq/broker/broker-id/general",
        "credentials": {"store": "secrets-manager", "name": "broker-id", "namespace": ""},
    }


def test_the_broker_has_the_alarms_of_its_plan(amazon: Any) -> None:
    alarms = [made for made in amazon.of("aws:cloudwatch/metricAlarm:MetricAlarm") if made.name.startswith("broker-")]
    assert {made.name for made in alarms} == {f"broker-{row.name}" for row in ALARMS}
    cpu = amazon.one("aws:cloudwatch/metricAlarm:MetricAlarm", "broker-cpu").inputs
    assert cpu["namespace"] == "AWS/AmazonMQ"
    assert cpu["dimensions"] == {"Broker": "broker-0a1b2c3"}
    assert cpu["alarmActions"] == ["arn:aws:sns:::alarms-ticket"]


def test_a_standby_is_maintained_a_day_earlier_unless_told(recorded: Any) -> None:
    for changes, day in (({}, "SATURDAY"), ({"maintenance": "tue:03:00"}, "TUESDAY")):
        run = recorded(lambda: broker(role="standby", broker=AmazonSpec(), **changes), outputs=OUTPUTS)  # noqa: B023
        assert run.one(BROKER).inputs["maintenanceWindowStartTime"]["dayOfWeek"] == day


def test_locks_of_amazon_are_released_on_purpose(recorded: Any) -> None:
    run = recorded(lambda: broker(broker=AmazonSpec(), locked=False), outputs=OUTPUTS)
    assert not run.one(BROKER).protect
    assert run.one(BROKER).inputs["applyImmediately"] is True
    assert run.one(SECRET, "broker").inputs["recoveryWindowInDays"] == 0


def test_amazon_needs_nothing_of_kubernetes(amazon: Any) -> None:
    assert ours(amazon) == []


# Both


def test_the_network_lets_nodes_reach_the_port_of_either() -> None:
    assert [flow.ports for flow in FLOWS if flow.target == "broker"] == [(PORT, PORT)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"broker": AmazonSpec(), "zones": "ab"},
            (
                "zones are us-east-1a, us-east-1b: a cluster of Amazon MQ has 3 nodes, each in a zone of its own. "
                "Give the network a third zone."
            ),
        ),
        (
            {"maintenance": "sunday"},
            "maintenance of the broker starts at 'sunday': it is written ddd:hh:mm, in UTC.",
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    def program() -> str:
        with pytest.raises(ArgsError) as error:
            args(**changes)
        return str(error.value)

    assert recorded(program).result == message


def test_a_host_is_taken_from_an_endpoint() -> None:
    assert host_of("amqps://b-1.mq.us-east-1.on.aws:5671") == "b-1.mq.us-east-1.on.aws"


@pytest.mark.parametrize("endpoint", ["", "amqp://host:5672", "amqps://host:5672"])
def test_an_endpoint_that_nobody_could_reach_is_refused(endpoint: str) -> None:
    with pytest.raises(ArgsError) as error:
        host_of(endpoint)
    assert str(error.value) == f"the broker answers at {endpoint!r}: amqps://<host>:5671 was expected."
