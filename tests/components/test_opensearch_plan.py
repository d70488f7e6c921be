"""Decisions about OpenSearch, without a cloud."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.opensearch_alarms import plan_alarms
from components.opensearch_plan import (
    FAMILIES,
    LAST_MINOR,
    LOGS,
    MASTER_MEMORY,
    MAX_NODES,
    OFF_PEAK,
    TLS_POLICY,
    VERSIONS,
    WARM_TYPES,
    DomainPlan,
    Nodes,
    Volume,
    capacity,
    check_name,
    may_connect,
    parse_version,
    plan_domain,
    plan_off_peak,
)
from infra.local.aws.facts import all_facts
from infra.local.aws.opensearch_rules import domain_rules

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")
TYPES = tuple(f"{family}.{size}.search" for family, (_, sizes) in FAMILIES.items() for size in sizes)
HOT = Nodes(count=21, instance_type="m6g.4xlarge.search")
WARM = Nodes(count=12, instance_type="ultrawarm1.medium.search")
COORDINATORS = Nodes(count=6, instance_type="m6g.2xlarge.search")
VOLUME = Volume(size_gib=2048)

types = st.sampled_from(TYPES)
threes = st.integers(1, 26).map(lambda count: 3 * count)


def plan(**changes: Any) -> DomainPlan:
    fields: dict[str, Any] = {
        "engine_version": "OpenSearch_3.3",
        "zones": ZONES,
        "hot": HOT,
        "master_type": "m6g.2xlarge.search",
        "volume": VOLUME,
        "warm": WARM,
        "coordinators": COORDINATORS,
        "cold": True,
    }
    return plan_domain(**(fields | changes))


def camel(value: Any) -> Any:
    """Arguments as the provider gets them."""

    def name(snake: str) -> str:
        first, *rest = snake.split("_")
        return first + "".join(part.capitalize() for part in rest)

    if isinstance(value, dict):
        return {name(key): camel(item) for key, item in value.items()}
    return [camel(item) for item in value] if isinstance(value, list) else value


def as_inputs(plan: DomainPlan) -> dict[str, Any]:
    iops, throughput = plan.volume.provisioned
    return {
        "engineVersion": plan.engine_version,
        "clusterConfig": camel(plan.cluster_config()),
        "ebsOptions": {
            "ebsEnabled": True,
            "volumeType": "gp3",
            "volumeSize": plan.volume.size_gib,
            "iops": iops,
            "throughput": throughput,
        },
    }


def test_prod_has_the_requirements_figures() -> None:
    domain = plan()
    data = capacity(domain.hot.instance_type)
    assert (data.vcpus, data.memory_gib, data.heap_gib) == (16, 64, 32)
    assert domain.volume.size_gib == 2048
    assert 20 <= domain.hot.count <= 50
    assert domain.warm is not None
    assert 10 <= domain.warm.count <= 20
    assert domain.coordinators is not None
    assert domain.coordinators.count >= 5
    assert domain.masters.count == 3
    assert domain.nodes == 42
    assert domain.volume.provisioned == (6144, 250)


def test_the_provider_gets_the_whole_plan() -> None:
    assert plan().cluster_config() == {
        "instance_type": "m6g.4xlarge.search",
        "instance_count": 21,
        "dedicated_master_enabled": True,
        "dedicated_master_type": "m6g.2xlarge.search",
        "dedicated_master_count": 3,
        "zone_awareness_enabled": True,
        "zone_awareness_config": {"availability_zone_count": 3},
        "multi_az_with_standby_enabled": True,
        "warm_enabled": True,
        "warm_type": "ultrawarm1.medium.search",
        "warm_count": 12,
        "cold_storage_options": {"enabled": True},
        "node_options": [
            {
                "node_type": "coordinator",
                "node_config": {"enabled": True, "type": "m6g.2xlarge.search", "count": 6},
            }
        ],
    }


def test_tiers_can_be_left_out() -> None:
    config = plan(warm=None, coordinators=None, cold=False).cluster_config()
    assert config["warm_enabled"] is False
    assert config["cold_storage_options"] == {"enabled": False}
    assert not {"warm_type", "warm_count", "node_options"} & config.keys()


@given(hot=types, count=threes, warm=st.none() | threes, size=st.integers(1, 30_000), master=types)
def test_what_is_planned_is_what_aws_accepts(hot: str, count: int, warm: int | None, size: int, master: str) -> None:
    """The local cloud refuses what AWS does; whatever the planner lets through, it does, too."""
    try:
        domain = plan(
            hot=Nodes(count=count, instance_type=hot),
            warm=None if warm is None else Nodes(count=warm, instance_type="ultrawarm1.large.search"),
            cold=warm is not None,
            volume=Volume(size_gib=size),
            master_type=master,
        )
    except ArgsError:
        assume(False)
    assert [*domain_rules(as_inputs(domain))] == []


@given(types)
def test_every_type_is_one_that_the_api_knows_and_has_a_heap(instance_type: str) -> None:
    found = capacity(instance_type)
    assert 1 <= found.heap_gib <= 32
    assert found.heap_gib <= found.memory_gib / 2
    assert 256 <= found.storage_gib <= 24 * 1024


def test_a_larger_size_takes_no_smaller_volume() -> None:
    for family, (_, sizes) in FAMILIES.items():
        found = [capacity(f"{family}.{size}.search") for size in sizes]
        assert found == sorted(found)
        assert [item.storage_gib for item in found] == sorted(item.storage_gib for item in found)


@given(st.integers(10, 24 * 1024))
def test_a_volume_has_what_its_size_includes(size: int) -> None:
    iops, throughput = Volume(size_gib=size).provisioned
    assert 3000 <= iops <= 16000
    assert 250 <= throughput <= 1000
    assert throughput % 250 == 0
    # To say it changes nothing.
    assert Volume(size_gib=size, iops=iops, throughput_mibps=throughput).provisioned == (iops, throughput)


def test_more_can_be_provisioned() -> None:
    assert Volume(size_gib=2048, iops=16000, throughput_mibps=1000).provisioned == (16000, 1000)
    assert Volume(size_gib=6144, iops=32000, throughput_mibps=2000).provisioned == (32000, 2000)


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(ArgsError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size_gib": 9}, "storage is 9 GiB: a data node has at least 10 GiB."),
        ({"size_gib": 2048, "iops": 6143}, "IOPS are 6143: 2048 GiB of gp3 take 6144 to 16000."),
        ({"size_gib": 2048, "iops": 16001}, "IOPS are 16001: 2048 GiB of gp3 take 6144 to 16000."),
        ({"size_gib": 10, "iops": 5001}, "IOPS are 5001: 10 GiB of gp3 take 3000 to 5000."),
        (
            {"size_gib": 2048, "throughput_mibps": 249},
            "throughput is 249 MiB/s: 2048 GiB of gp3 with 6144 IOPS take 250 to 1000.",
        ),
        (
            {"size_gib": 500, "throughput_mibps": 751},
            "throughput is 751 MiB/s: 500 GiB of gp3 with 3000 IOPS take 250 to 750.",
        ),
    ],
)
def test_a_volume_that_opensearch_would_refuse(fields: dict[str, int], message: str) -> None:
    assert refused(lambda: Volume(**fields)) == message


SPREAD = "each of 3 zones must have as many, or the loss of one takes more than its share."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"zones": ZONES[:2]},
            ("zones are us-east-1a, us-east-1b: a domain with standby lives in 3 zones. Give the network three zones."),
        ),
        (
            {"zones": ()},
            "zones are none: a domain with standby lives in 3 zones. Give the network three zones.",
        ),
        ({"hot": Nodes(count=20, instance_type=HOT.instance_type)}, f"data nodes are 20: {SPREAD} Take 21."),
        ({"hot": Nodes(count=0, instance_type=HOT.instance_type)}, f"data nodes are 0: {SPREAD} Take 3."),
        ({"warm": Nodes(count=10, instance_type=WARM.instance_type)}, f"warm nodes are 10: {SPREAD} Take 12."),
        (
            {"coordinators": Nodes(count=5, instance_type=COORDINATORS.instance_type)},
            f"coordinating nodes are 5: {SPREAD} Take 6.",
        ),
        (
            {"warm": Nodes(count=12, instance_type="ultrawarm1.xlarge.search")},
            "warm type is 'ultrawarm1.xlarge.search': AWS has ultrawarm1.medium.search, ultrawarm1.large.search.",
        ),
        ({"warm": Nodes(count=153, instance_type=WARM.instance_type)}, "warm nodes are 153: AWS allows 2 to 150."),
        ({"warm": None}, "cold storage is on without warm nodes: they are what attaches a cold index again."),
        (
            {"volume": Volume(size_gib=6145)},
            (
                "storage is 6145 GiB: m6g.4xlarge.search takes a gp3 volume of at most 6144 GiB. "
                "Take less for each of more data nodes, or a larger type."
            ),
        ),
        (
            {"hot": Nodes(count=69, instance_type=HOT.instance_type)},
            (
                "data and warm nodes are 81: AWS allows 80 in a domain until it is asked for more. "
                "Take larger nodes, or have the quota raised and then MAX_NODES."
            ),
        ),
        (
            {"master_type": "m6g.xlarge.search"},
            (
                "masters are m6g.xlarge.search with 16 GiB: they look after 39 nodes, for which AWS advises 32 GiB. "
                "Take a larger type."
            ),
        ),
        (
            {
                "hot": Nodes(count=3, instance_type="m6g.12xlarge.search"),
                "warm": Nodes(count=77, instance_type="ultrawarm1.large.search"),
            },
            f"warm nodes are 77: {SPREAD} Take 78.",
        ),
    ],
)
def test_a_domain_that_aws_would_refuse(changes: dict[str, Any], message: str) -> None:
    assert refused(lambda: plan(**changes)) == message


def test_all_storage_together_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.opensearch_plan.MAX_STORAGE_GIB", 61_000)
    assert refused(plan) == "storage is 61440 GiB in all: a domain has at most 61000 GiB (3 PiB)."


@pytest.mark.parametrize(
    ("instance_type", "message"),
    [
        (
            "m6g.4xlarge",
            (
                "instance type is 'm6g.4xlarge': an OpenSearch instance type is <family>.<size>.search. "
                "Write it like m6g.4xlarge.search."
            ),
        ),
        ("t3.medium.search", "instance type is t3.medium.search: a domain with standby takes no burstable type."),
        ("r6gd.2xlarge.search", "instance type is r6gd.2xlarge.search: it has local disks and takes no EBS volume."),
        ("ultrawarm1.medium.search", "instance type is ultrawarm1.medium.search: it serves warm indexes only."),
        (
            "m7g.4xlarge.search",
            "instance type is m7g.4xlarge.search: its limits in a domain with standby are not known here.",
        ),
        (
            "m5.8xlarge.search",
            "instance type is m5.8xlarge.search: m5 comes in large, xlarge, 2xlarge, 4xlarge, 12xlarge.",
        ),
    ],
)
def test_an_instance_type_that_is_not_taken(instance_type: str, message: str) -> None:
    assert refused(lambda: capacity(instance_type)).startswith(message)
    assert refused(lambda: plan(hot=Nodes(count=21, instance_type=instance_type))).startswith(message)


@given(st.integers(1, 26).map(lambda count: 3 * count))
def test_masters_grow_with_the_domain(count: int) -> None:
    """The smallest master that is taken is the one that AWS advises."""
    least = next(memory for most, memory in MASTER_MEMORY.items() if count <= most)
    fitting = []
    for master in TYPES:
        try:
            plan(
                hot=Nodes(count=count, instance_type="m6g.4xlarge.search"),
                warm=None,
                coordinators=None,
                cold=False,
                master_type=master,
            )
        except ArgsError:
            continue
        fitting.append(capacity(master).memory_gib)
    assert min(fitting) >= least
    assert count <= MAX_NODES


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (
            "3.3",
            "engine version is '3.3': AWS names it OpenSearch_<major>.<minor>. Write it like OpenSearch_3.5.",
        ),
        (
            "OpenSearch_2.9",
            (
                "engine version is OpenSearch_2.9: AWS creates 2.11, 2.13, 2.15, 2.17, 2.19, 3.1, 3.3, 3.5 in standard "
                "support. Take one of these."
            ),
        ),
        ("Elasticsearch_7.10", "engine version is 'Elasticsearch_7.10': AWS names it OpenSearch_<major>.<minor>."),
    ],
)
def test_a_version_that_is_not_taken(version: str, message: str) -> None:
    assert refused(lambda: plan(engine_version=version)).startswith(message)


versions = st.sampled_from([f"OpenSearch_{version}" for version in VERSIONS])


@given(versions, versions)
def test_a_follower_is_upgraded_before_its_leader(follower: str, leader: str) -> None:
    ours, theirs = parse_version(follower), parse_version(leader)
    if ours < theirs:
        assert not may_connect(follower, leader)
    if ours[0] == theirs[0]:
        assert may_connect(follower, leader) is (ours >= theirs)
    else:
        # One major apart, the leader must be at the end of its own.
        assert may_connect(follower, leader) is (ours > theirs and LAST_MINOR[theirs[0]] == theirs[1])


@pytest.mark.parametrize("name", ["a", "A-domain", "1st", "under_score", "a" * 20, ""])
def test_a_name_that_no_domain_can_have(name: str) -> None:
    assert refused(lambda: check_name(name)) == (
        f"the component is named {name!r}: its domain is named after it: 2 to 19 lower-case letters, digits and "
        "hyphens, a letter first."
    )


@pytest.mark.parametrize("name", ["opensearch", "a" * 19, "a1"])
def test_a_name_that_fits_with_its_random_part(name: str) -> None:
    check_name(name)
    assert [*domain_rules({"domainName": f"{name}-0badcafe"})] == []


@given(st.integers(0, 23), st.integers(0, 59))
def test_the_window_begins_when_it_is_said(hours: int, minutes: int) -> None:
    window = plan_off_peak(f"{hours:02}:{minutes:02}")
    assert window == {
        "enabled": True,
        "off_peak_window": {"window_start_time": {"hours": hours, "minutes": minutes}},
    }


@pytest.mark.parametrize("start", ["24:00", "3:00", "03:60", "sun:03:00", ""])
def test_a_window_that_never_begins(start: str) -> None:
    assert refused(lambda: plan_off_peak(start)) == (
        f"off-peak window begins at {start!r}: its start is written hh:mm, in UTC."
    )


def test_each_role_has_a_window() -> None:
    assert all(plan_off_peak(start) for start in OFF_PEAK.values())


def test_what_is_named_is_what_the_provider_knows() -> None:
    enums = all_facts()["aws:opensearch/domain:Domain"].enums
    assert set(LOGS.values()) == set(enums["logPublishingOptions.logType"])
    assert TLS_POLICY in enums["domainEndpointOptions.tlsSecurityPolicy"]
    assert {*WARM_TYPES} <= {*enums["clusterConfig.warmType"]}


# Alarms


def test_what_aws_advises_is_watched() -> None:
    rows = {row.metric: row for row in plan_alarms(plan(), follows=False)}
    advised = """
        ClusterStatus.red ClusterStatus.yellow FreeStorageSpace ClusterIndexWritesBlocked Nodes AutomatedSnapshotFailure
        CPUUtilization WarmCPUUtilization JVMMemoryPressure OldGenJVMMemoryPressure WarmJVMMemoryPressure
        WarmOldGenJVMMemoryPressure MasterCPUUtilization MasterJVMMemoryPressure MasterOldGenJVMMemoryPressure
        KMSKeyError KMSKeyInaccessible Shards.active 5xx MasterReachableFromNode ThreadpoolWriteQueue
        ThreadpoolSearchQueue
    """
    assert {*advised.split()} <= rows.keys()
    assert rows["FreeStorageSpace"].threshold == 2048 * 1024 / 4
    assert rows["Nodes"].threshold == 42
    assert rows["Shards.active"].threshold == 25 * 32 * 21
    assert rows["WarmFreeStorageSpace"].threshold == 12 * 1.5 * 2**20 // 10
    assert rows["5xx"].share_of == "OpenSearchRequests"
    pages = {row.metric for row in rows.values() if row.severity == "page"}
    assert {"ClusterStatus.red", "ClusterIndexWritesBlocked", "MasterReachableFromNode", "KMSKeyError"} <= pages
    assert not {"ClusterStatus.yellow", "CPUUtilization", "Nodes"} & pages


@given(st.booleans(), st.booleans(), st.booleans())
def test_only_what_is_there_is_watched(warm: bool, coordinators: bool, follows: bool) -> None:
    domain = plan(warm=WARM if warm else None, cold=warm, coordinators=COORDINATORS if coordinators else None)
    rows = plan_alarms(domain, follows=follows)
    assert len({row.name for row in rows}) == len(rows)
    assert any(row.metric.startswith("Warm") for row in rows) is warm
    assert any("ToCold" in row.metric for row in rows) is warm
    assert any(row.metric.startswith("Coordinator") for row in rows) is coordinators
    assert any("Replication" in row.metric for row in rows) is follows


def test_metrics_of_trouble_alone_are_silent_without_it() -> None:
    for row in plan_alarms(plan(), follows=True):
        assert (row.missing == "notBreaching") is (row.metric in ("KMSKeyError", "KMSKeyInaccessible", "5xx"))
