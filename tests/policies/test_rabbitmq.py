"""Rules for the broker, in both implementations."""

from functools import cache
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.rabbitmq_plan import AmazonSpec
from policies.rule import UNKNOWN, Finding, Resource
from tests.components.test_rabbitmq import OUTPUTS, broker
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_rabbitmq import APART, CLUSTER, CONFIG, GOOD, SPREAD, setting
from tests.policies.plans import RULES, broken, everything, judge, of
from tests.recording import record

(NODES,) = of("prod", CLUSTER)
IDS = sorted({good.rule for good in GOOD})
MQ_IDS = ["mq-ha", "mq-secure", "mq-change-window"]


@cache
def amazon() -> Resource:
    """The broker of Amazon MQ, as the component makes it."""
    made = record(lambda: broker(broker=AmazonSpec()), outputs=cast(Any, OUTPUTS)).one("aws:mq/broker:Broker")
    return Resource(made.urn, made.type, made.inputs, made.protect)


@pytest.mark.parametrize("rule", IDS)
def test_the_plans_break_no_rule(rule: str) -> None:
    assert list(everything(rule)) == []


@pytest.mark.parametrize("rule", MQ_IDS)
def test_what_the_component_makes_breaks_no_rule(rule: str) -> None:
    assert judge(rule, amazon()) == []


@pytest.mark.parametrize(
    ("rule", "path", "value", "message"),
    [
        ("mq-ha", "deploymentMode", "SINGLE_INSTANCE", "is SINGLE_INSTANCE, must be CLUSTER_MULTI_AZ"),
        ("mq-ha", "deploymentMode", ..., "is absent, must be CLUSTER_MULTI_AZ"),
        ("mq-ha", "engineType", "ActiveMQ", "is ActiveMQ, must be RabbitMQ"),
        ("mq-ha", "engineVersion", "3.13", "is 3.13, must be 4.2 or later, without a patch"),
        ("mq-ha", "engineVersion", "4.2.1", "is 4.2.1, must be 4.2 or later, without a patch"),
        ("mq-ha", "hostInstanceType", "mq.m5.large", "is mq.m5.large, must be an mq.m7g, large or more"),
        ("mq-ha", "hostInstanceType", "mq.m7g.medium", "is mq.m7g.medium, must be an mq.m7g, large or more"),
        ("mq-ha", "subnetIds", ["a", "b"], "is 2 items, must be a list of 3 or more different ones"),
        ("mq-ha", "autoMinorVersionUpgrade", ..., "is absent, must be true"),
        ("mq-secure", "publiclyAccessible", True, "is true, must be false or absent"),
        ("mq-secure", "securityGroups", ..., "is absent, must be a list with an entry"),
        ("mq-secure", "encryptionOptions.useAwsOwnedKey", ..., "is absent, must be false"),
        ("mq-secure", "encryptionOptions.useAwsOwnedKey", True, "is true, must be false"),
        ("mq-secure", "encryptionOptions.kmsKeyId", "", "is something else, must be a key of ours"),
        ("mq-secure", "logs.general", False, "is false, must be true"),
        ("mq-change-window", "applyImmediately", True, "is true, must be false or absent"),
        ("mq-change-window", "maintenanceWindowStartTime.timeOfDay", ..., "is absent, must be given"),
    ],
)
def test_a_broken_setting_of_amazon_is_named(rule: str, path: str, value: Any, message: str) -> None:
    its = broken(amazon(), path, value)
    assert judge(rule, its) == [Finding(path, message)]
    assert [one for other in MQ_IDS if other != rule for one in judge(other, its)] == []
    hidden = broken(amazon(), path, UNKNOWN)
    assert judge(rule, hidden) == [Finding(path, "is not known before the update", False)]


@pytest.mark.parametrize(
    ("rule", "path", "value", "message"),
    [
        ("rabbit-cluster-ha", "spec.replicas", 4, "is 4, must be odd, 3 or more"),
        ("rabbit-cluster-ha", "spec.replicas", 1, "is 1, must be odd, 3 or more"),
        ("rabbit-cluster-tls", "spec.tls.disableNonTLSListeners", ..., "is absent, must be true"),
        ("rabbit-cluster-private", "spec.service.type", "NodePort", "is NodePort, must be ClusterIP or absent"),
        ("rabbit-cluster-storage", "spec.persistence.storage", "0", "is 0, must be 8Gi or more"),
        ("rabbit-cluster-resources", "spec.resources.limits.memory", "8Gi", "is 8Gi, must be what is requested"),
        ("rabbit-cluster-image", "spec.image", "rabbitmq:4", "is rabbitmq:4, must be pinned by digest"),
        ("rabbit-cluster-grace", "spec.terminationGracePeriodSeconds", 30, "is 30, must be absent, or 600 or more"),
    ],
)
def test_a_broken_setting_of_the_cluster_is_named(rule: str, path: str, value: Any, message: str) -> None:
    assert judge(rule, broken(NODES, path, value)) == [Finding(path, message)]
    assert judge(rule, broken(NODES, path, UNKNOWN)) == [Finding(path, "is not known before the update", False)]


@pytest.mark.parametrize(
    ("path", "field"), [(APART, "topologyKey"), (SPREAD, "whenUnsatisfiable"), (SPREAD, "labelSelector")]
)
def test_nodes_are_apart(path: str, field: str) -> None:
    (found,) = judge(
        "rabbit-cluster-ha", broken(NODES, f"{path}[0].{field}", "elsewhere" if field != "labelSelector" else {})
    )
    assert (found.path, found.verified) == (path, True)
    (found,) = judge("rabbit-cluster-ha", broken(NODES, f"{path}[0].{field}", UNKNOWN))
    assert (found.path, found.verified) == (f"{path}[0].{field}", False)


@pytest.mark.parametrize(
    ("rule", "name", "value", "message"),
    [
        ("rabbit-cluster-queues", "default_queue_type", "classic", "default_queue_type is classic, must be quorum"),
        ("rabbit-cluster-queues", "default_queue_type", None, "default_queue_type is absent, must be quorum"),
        (
            "rabbit-cluster-queues",
            "quorum_queue.initial_cluster_size",
            "2",
            "quorum_queue.initial_cluster_size is 2, must be odd, 3 or more",
        ),
        (
            "rabbit-cluster-queues",
            "cluster_partition_handling",
            "autoheal",
            "cluster_partition_handling is autoheal, must be pause_minority",
        ),
        (
            "rabbit-cluster-tls",
            "ssl_options.versions.2",
            "tlsv1.1",
            "ssl_options.versions.2 is tlsv1.1, must be tlsv1.2 or tlsv1.3",
        ),
        ("rabbit-cluster-tls", "listeners.tcp.default", "5672", "listeners.tcp.default is 5672, must be none"),
    ],
)
def test_settings_of_the_server_are_read(rule: str, name: str, value: str | None, message: str) -> None:
    text = setting(name, value)(NODES.props["spec"]["rabbitmq"]["additionalConfig"])
    assert judge(rule, broken(NODES, CONFIG, text)) == [Finding(CONFIG, message)]


def test_thresholds_are_those_of_a_stack() -> None:
    assert judge("rabbit-cluster-ha", NODES, nodes=5) == []
    assert [found.path for found in judge("rabbit-cluster-ha", NODES, nodes=7)] == ["spec.replicas"]
    assert judge("rabbit-cluster-storage", NODES, gib=200) == []
    assert judge("rabbit-cluster-storage", NODES, gib=201) == [
        Finding("spec.persistence.storage", "is 200Gi, must be 201Gi or more")
    ]
    assert len(judge("rabbit-cluster-queues", NODES, copies=5)) == 2
    assert judge("rabbit-cluster-grace", NODES, seconds=3600) == []


@given(places(GOOD), ANYTHING)
def test_no_value_makes_a_rule_raise(place: tuple[str, Resource, str], value: Any) -> None:
    judged(*place, value)


@given(
    st.sampled_from(["deploymentMode", "engineVersion", "encryptionOptions", "logs", "subnetIds", "users"]), ANYTHING
)
def test_no_value_makes_a_rule_of_amazon_raise(path: str, value: Any) -> None:
    its = broken(amazon(), path, value)
    for rule in MQ_IDS:
        assert all(finding.path for finding in RULES[rule].judge(its))
