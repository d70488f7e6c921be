"""What a broker is decided to be."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.rabbitmq_plan import (
    ALARMS,
    CONSUMER_TIMEOUT_MS,
    M7G_VCPUS,
    MAINTENANCE,
    MAX_MESSAGE_BYTES,
    PASSWORD_LENGTH,
    USER,
    AmazonSpec,
    ClusterSpec,
    check_broker_name,
    plan_amazon_configuration,
    plan_cluster,
    plan_cluster_configuration,
    plan_maintenance,
)
from infra.local.aws.mq import CONFIGURATION
from tests.infra.local.aws.world import refusals

DIGEST = f"sha256:{'0a' * 32}"


def spec(**changes: Any) -> ClusterSpec:
    given_: dict[str, Any] = {"image": f"rabbitmq@{DIGEST}", "operator_image": f"operator@{DIGEST}"}
    return ClusterSpec(**(given_ | changes))


def settings(text: str) -> dict[str, str]:
    pairs = [line.split(" = ") for line in text.splitlines()]
    assert all(len(pair) == 2 for pair in pairs)
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_a_cluster_is_by_default_what_the_requirement_asks_for() -> None:
    plan = plan_cluster("rabbitmq", spec(), storage_class="fast", locked=True)
    assert plan["replicas"] == 5
    assert plan["resources"]["requests"] == {"cpu": "8", "memory": "16Gi"}
    assert plan["resources"]["limits"] == {"memory": "16Gi"}
    said = settings(plan["rabbitmq"]["additionalConfig"])
    assert said["default_queue_type"] == "quorum"
    assert said["quorum_queue.initial_cluster_size"] == "3"
    assert said["quorum_queue.continuous_membership_reconciliation.target_group_size"] == "3"


def test_a_node_protects_itself_from_publishers_and_consumers() -> None:
    said = settings(plan_cluster_configuration(spec(memory_gib=24)))
    assert said["vm_memory_high_watermark.relative"] == "0.6"
    assert said["disk_free_limit.absolute"] == str(24 * 2**30)
    assert said["consumer_timeout"] == str(CONSUMER_TIMEOUT_MS) == "1800000"
    assert said["max_message_size"] == str(MAX_MESSAGE_BYTES)
    assert said["channel_max"] == "128"
    assert said["cluster_partition_handling"] == "pause_minority"
    assert said["default_policies.operator.delivery.delivery_limit"] == "20"
    assert said["default_policies.operator.delivery.apply_to"] == "quorum_queues"


def test_a_cluster_speaks_tls_only_and_no_old_one() -> None:
    plan = plan_cluster("rabbitmq", spec(tls_secret="certificate"), storage_class="fast", locked=True)
    assert plan["tls"] == {"secretName": "certificate", "disableNonTLSListeners": True}
    said = settings(plan["rabbitmq"]["additionalConfig"])
    assert {value for key, value in said.items() if key.startswith("ssl_options.versions")} == {"tlsv1.2", "tlsv1.3"}


def test_no_two_nodes_share_a_machine_and_zones_are_even() -> None:
    plan = plan_cluster("rabbitmq", spec(), storage_class="fast", locked=True)
    selector = {"matchLabels": {"app.kubernetes.io/name": "rabbitmq"}}
    (apart,) = plan["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert apart == {"labelSelector": selector, "topologyKey": "kubernetes.io/hostname"}
    pods = plan["override"]["statefulSet"]["spec"]["template"]["spec"]
    (spread,) = pods["topologySpreadConstraints"]
    assert spread == {
        "topologyKey": "topology.kubernetes.io/zone",
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
    }
    assert pods["containers"] == []


@pytest.mark.parametrize(("locked", "keep"), [(True, "Retain"), (False, "Delete")])
def test_volumes_outlive_a_locked_cluster(locked: bool, keep: str) -> None:
    plan = plan_cluster("rabbitmq", spec(), storage_class="fast", locked=locked)
    policy = plan["override"]["statefulSet"]["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert policy == {"whenDeleted": keep, "whenScaled": "Retain"}


@given(nodes=st.sampled_from([3, 5, 7]), copies=st.sampled_from([3, 5, 7]), memory=st.integers(4, 128))
def test_every_queue_has_a_majority_when_a_node_is_lost(nodes: int, copies: int, memory: int) -> None:
    if copies > nodes:
        with pytest.raises(ArgsError):
            spec(nodes=nodes, copies=copies)
        return
    said = settings(plan_cluster_configuration(spec(nodes=nodes, copies=copies, memory_gib=memory, storage_gib=1000)))
    members = int(said["quorum_queue.initial_cluster_size"])
    assert members - 1 > members / 2
    assert members <= nodes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"image": "rabbitmq:4"},
            (
                "the broker's image is 'rabbitmq:4': a tag can be moved: what was tested and what runs would differ. "
                "Pin it as <repository>@sha256:<64 hexadecimal digits>."
            ),
        ),
        (
            {"operator_image": ""},
            (
                "the broker's operator_image is '': a tag can be moved: what was tested and what runs would differ. "
                "Pin it as <repository>@sha256:<64 hexadecimal digits>."
            ),
        ),
        (
            {"nodes": 4},
            (
                "the broker has 4 nodes: an odd number votes without a tie, and with fewer than 3 nothing survives the "
                "loss of one. Take 3, 5 or 7."
            ),
        ),
        (
            {"copies": 7},
            (
                "queues have 7 copies on 5 nodes: an odd number votes without a tie, and a node holds one of them. "
                "Take 3, or 5 where there are as many nodes."
            ),
        ),
        (
            {"copies": 1},
            (
                "queues have 1 copies on 5 nodes: an odd number votes without a tie, and a node holds one of them. "
                "Take 3, or 5 where there are as many nodes."
            ),
        ),
        ({"cpus": 0}, "nodes of the broker have 0 vCPU: each needs one at least."),
        (
            {"memory_gib": 2},
            (
                "nodes of the broker have 2 GiB of memory: the log that quorum queues write first takes 1.5 GiB of the "
                "60% that a node may use. Take 4 or more."
            ),
        ),
        (
            {"storage_gib": 31},
            (
                "nodes of the broker have 31 GiB of storage: publishers are stopped while less than 16 GiB, a node's "
                "memory, are free. Take 32 or more."
            ),
        ),
        ({"tls_secret": "TLS"}, "the broker's tls_secret is 'TLS': it must be a DNS label."),
        ({"namespace": "a b"}, "the broker's namespace is 'a b': it must be a DNS label."),
        ({"clients": ("",)}, "the broker's clients is '': it must be a DNS label."),
        ({"scrapers": ("a.b",)}, "the broker's scrapers is 'a.b': it must be a DNS label."),
    ],
)
def test_a_cluster_that_cannot_work_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        spec(**changes)
    assert str(error.value) == message


def test_amazon_s_smallest_type_with_the_cpus_asked_for_is_the_default() -> None:
    size = AmazonSpec().instance_type.rpartition(".")[2]
    assert M7G_VCPUS[size] == 8


@pytest.mark.parametrize("version", ["4.2", "4.3"])
@pytest.mark.parametrize("size", M7G_VCPUS)
def test_what_amazon_runs_rabbitmq_4_on_is_accepted(version: str, size: str) -> None:
    AmazonSpec(instance_type=f"mq.m7g.{size}", engine_version=version)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"engine_version": "4.2.1"},
            (
                "engine version of the broker is 4.2.1: Amazon MQ chooses the patch version itself. "
                "Write major.minor, such as 4.2."
            ),
        ),
        (
            {"engine_version": "3.13"},
            (
                "engine version of the broker is 3.13: quorum queues are the default from 4 on, and Amazon MQ has "
                "4.2, 4.3. Take one of these."
            ),
        ),
        *(
            (
                {"instance_type": type_},
                (
                    f"instance type of the broker is {type_}: a cluster of RabbitMQ 4.2 runs on mq.m7g only, in the "
                    "sizes large, xlarge, 2xlarge, 4xlarge, 8xlarge, 12xlarge, 16xlarge. Take one of these sizes."
                ),
            )
            for type_ in ("mq.m5.2xlarge", "mq.m7g.medium", "mq.m7g.24xlarge", "mq.t3.micro", "large")
        ),
    ],
)
def test_what_amazon_would_refuse_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        AmazonSpec(**changes)
    assert str(error.value) == message


def test_amazon_takes_every_key_of_its_configuration() -> None:
    data = plan_amazon_configuration()
    assert "true" in data
    assert refusals(CONFIGURATION, {"engineType": "RabbitMQ", "engineVersion": "4.2", "data": data}) == []


def test_the_user_and_its_password_are_what_amazon_takes() -> None:
    assert USER != "guest"
    assert 12 <= PASSWORD_LENGTH <= 250


@pytest.mark.parametrize("name", ["broker", "a" * 42])
def test_a_name_that_amazon_takes(name: str) -> None:
    check_broker_name(name)


@pytest.mark.parametrize("name", ["a" * 43, "", "a.b"])
def test_a_name_that_would_be_too_long_is_refused(name: str) -> None:
    with pytest.raises(ArgsError) as error:
        check_broker_name(name)
    assert str(error.value) == (
        f"the broker is called {name!r}: with a suffix it has at most 50 letters, digits, dashes and underscores."
    )


def test_maintenance_is_written_as_amazon_takes_it() -> None:
    assert plan_maintenance("sun:11:00") == {"day_of_week": "SUNDAY", "time_of_day": "11:00", "time_zone": "UTC"}


def test_the_standby_is_maintained_first() -> None:
    days = [plan_maintenance(MAINTENANCE[role])["day_of_week"] for role in ("standby", "primary")]
    assert days == ["SATURDAY", "SUNDAY"]


@given(st.text())
def test_any_other_start_is_refused(start: str) -> None:
    if not re.fullmatch(r"(mon|tue|wed|thu|fri|sat|sun):([01][0-9]|2[0-3]):[0-5][0-9]", start):
        with pytest.raises(ArgsError) as error:
            plan_maintenance(start)
        assert str(error.value) == (f"maintenance of the broker starts at {start!r}: it is written ddd:hh:mm, in UTC.")


@pytest.mark.parametrize("start", ["son:11:00", "sun:24:00", "sun:11:60", "sun:1:00", "SUN:11:00", "11:00"])
def test_a_start_that_is_no_time_is_refused(start: str) -> None:
    with pytest.raises(ArgsError):
        plan_maintenance(start)


def test_what_stops_publishers_wakes_somebody_before_it_does() -> None:
    pages = {alarm.name for alarm in ALARMS if alarm.severity == "page"}
    assert pages == {"memory", "disk"}
    memory, disk = (next(alarm for alarm in ALARMS if alarm.name == name) for name in ("memory", "disk"))
    assert memory.threshold < 100
    assert disk.threshold < 100
