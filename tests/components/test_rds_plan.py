"""Decisions about PostgreSQL, without a cloud."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.rds_plan import (
    BACKUP_RETENTION_DAYS,
    FAMILIES,
    INSIGHTS_DAYS,
    LAG_SECONDS,
    MASTER_USER,
    MAX_REPLICAS,
    OLDEST_MINOR,
    WINDOWS,
    InstancePlan,
    Volume,
    Windows,
    capacity,
    connection_limit,
    parse_version,
    plan_alarms,
    plan_instances,
    plan_parameters,
)
from stacks.offers import INSTANCE_SIZES, POSTGRES_VERSIONS, REGIONS

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c", "us-east-1d")
CLASSES = tuple(f"db.{family}.{size}" for family, (_, sizes) in FAMILIES.items() for size in sizes.split())
VOLUME = Volume(size_gib=1024, max_gib=4096)

zones = st.integers(2, 4).map(lambda count: ZONES[:count])
classes = st.sampled_from(CLASSES)


def plan(**changes: Any) -> tuple[InstancePlan, ...]:
    fields: dict[str, Any] = {
        "role": "primary",
        "instance_class": "db.m7g.4xlarge",
        "version": "17.9",
        "replicas": 3,
        "replica_class": "db.m7g.2xlarge",
        "replica_version": "17.9",
        "zones": ZONES[:3],
        "windows": WINDOWS["primary"],
    }
    return plan_instances(**(fields | changes))


def message(error: pytest.ExceptionInfo[ArgsError]) -> str:
    return str(error.value)


def test_prod_has_the_requirements_figures() -> None:
    head, *replicas = plan()
    assert capacity(head.instance_class) == (16, 64)
    assert head.multi_az
    assert head.backup_retention_days == BACKUP_RETENTION_DAYS == 35
    assert [replica.name for replica in replicas] == ["replica-1", "replica-2", "replica-3"]
    assert {capacity(replica.instance_class) for replica in replicas} == {(8, 32)}
    assert {replica.zone for replica in replicas} == set(ZONES[:3])


@given(role=st.sampled_from(["primary", "standby"]), replicas=st.integers(0, MAX_REPLICAS), zones=zones)
def test_there_is_one_head_and_all_others_follow_it(role: str, replicas: int, zones: tuple[str, ...]) -> None:
    head, *rest = plan(role=role, replicas=replicas, zones=zones)
    assert len(rest) == replicas
    assert head.follows == {"primary": "nobody", "standby": "region"}[role]
    assert head.name == "", "a head keeps its name when it is promoted, or promotion would replace it"
    assert {follower.follows for follower in rest} <= {"head"}
    assert len({instance.name for instance in (head, *rest)}) == replicas + 1
    # RDS refuses a zone with Multi-AZ; backups of a replica that nobody would promote are paid for nothing.
    assert head.multi_az
    assert head.zone is None
    assert all(not follower.multi_az and follower.backup_retention_days == 0 for follower in rest)


@given(replicas=st.integers(1, MAX_REPLICAS), zones=zones)
def test_replicas_are_spread_as_evenly_as_they_can_be(replicas: int, zones: tuple[str, ...]) -> None:
    used = [instance.zone for instance in plan(replicas=replicas, zones=zones)[1:]]
    counts = [used.count(zone) for zone in zones]
    assert max(counts) - min(counts) <= 1


@given(replicas=st.integers(0, MAX_REPLICAS - 1), zones=zones)
def test_one_more_replica_changes_no_other(replicas: int, zones: tuple[str, ...]) -> None:
    assert plan(replicas=replicas + 1, zones=zones)[: replicas + 1] == plan(replicas=replicas, zones=zones)


@given(replicas=st.integers(1, MAX_REPLICAS))
def test_no_replica_is_maintained_with_its_head_nor_with_the_next(replicas: int) -> None:
    head, *rest = (instance.windows.maintenance[:3] for instance in plan(replicas=replicas))
    assert head not in rest
    assert all(one != other for one, other in pairwise(rest))


def test_a_standby_is_never_busy_while_the_primary_may_fail() -> None:
    primary, standby = WINDOWS["primary"], WINDOWS["standby"]
    assert primary.maintenance[:3] != standby.maintenance[:3]
    Windows(backup=standby.backup, maintenance=f"sun:{primary.backup[:5]}-sun:{primary.backup[6:]}")


@given(head=st.sampled_from(POSTGRES_VERSIONS), follower=st.sampled_from(POSTGRES_VERSIONS))
def test_replicas_run_the_version_of_their_source_or_a_later_minor_one(head: str, follower: str) -> None:
    one, other = parse_version(head), parse_version(follower)
    allowed = one[0] == other[0] and other[1] >= one[1]
    if allowed:
        instances = plan(version=head, replica_version=follower)
        assert [instance.version for instance in instances] == [head, *[follower] * 3]
        return
    with pytest.raises(ArgsError) as error:
        plan(version=head, replica_version=follower)
    assert message(error) == (
        f"replicas run PostgreSQL {follower} and their source runs {head}: a replica runs the same major version "
        "and no earlier minor one. Upgrade the replicas first, then their source."
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"replicas": 16}, "replicas are 16: a source has 0 to 15."),
        ({"replicas": -1}, "replicas are -1: a source has 0 to 15."),
        ({"zones": ["us-east-1a"]}, "zones are us-east-1a: a Multi-AZ instance needs two."),
    ],
)
def test_shapes_that_rds_refuses_are_refused_first(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ArgsError) as error:
        plan(**changes)
    assert message(error) == expected


def test_every_class_has_the_size_that_aws_publishes_and_is_offered_in_both_regions() -> None:
    assert len(CLASSES) > 90
    for instance_class in CLASSES:
        published = INSTANCE_SIZES[instance_class]
        assert capacity(instance_class) == (published.vcpus, published.memory_gib), instance_class
        for region in ("us-east-1", "us-west-2"):
            assert instance_class in REGIONS[region].db_classes, (instance_class, region)


@pytest.mark.parametrize(
    ("instance_class", "expected"),
    [
        (
            "m7g.4xlarge",
            (
                "instance class is 'm7g.4xlarge': an RDS instance class is db.<family>.<size>. "
                "Write it like db.m7g.4xlarge."
            ),
        ),
        (
            "db.m7g.24xlarge",
            (
                "instance class is db.m7g.24xlarge: m7g comes in large, xlarge, 2xlarge, 4xlarge, 8xlarge, 12xlarge, "
                "16xlarge. Take one of these sizes."
            ),
        ),
        (
            "db.t4g.large",
            (
                "instance class is db.t4g.large: a burstable class runs out of CPU credits under steady load. "
                f"Take one of {', '.join(FAMILIES)}."
            ),
        ),
        (
            "db.m4.large",
            (
                "instance class is db.m4.large: it is of an older generation, or has hardware that PostgreSQL "
                f"on gp3 makes no use of. Take one of {', '.join(FAMILIES)}."
            ),
        ),
    ],
)
def test_an_instance_class_is_refused_with_its_reason(instance_class: str, expected: str) -> None:
    with pytest.raises(ArgsError) as error:
        capacity(instance_class)
    assert message(error) == expected


def test_exactly_the_versions_that_rds_creates_are_taken() -> None:
    oldest = {
        major: min(minor for m, minor in map(parse_version, POSTGRES_VERSIONS) if m == major) for major in OLDEST_MINOR
    }
    assert oldest == OLDEST_MINOR
    assert {parse_version(version)[0] for version in POSTGRES_VERSIONS} == set(OLDEST_MINOR)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        (
            "17",
            (
                "engine version is '17': a replica must run its source's minor version or a later one, so both are "
                "pinned. Write major.minor, such as 17.9."
            ),
        ),
        (
            "13.22",
            (
                "engine version is 13.22: RDS has standard support for PostgreSQL 14, 15, 16, 17, 18. "
                "Take 18.1 or later."
            ),
        ),
        ("17.4", "engine version is 17.4: RDS creates PostgreSQL 17 from 17.5 on. Take a later minor version."),
    ],
)
def test_an_engine_version_is_refused_with_its_reason(version: str, expected: str) -> None:
    with pytest.raises(ArgsError) as error:
        parse_version(version)
    assert message(error) == expected


def test_a_terabyte_comes_with_the_baseline_of_a_striped_volume() -> None:
    assert VOLUME.provisioned == (12_000, 500)
    assert Volume(size_gib=399, max_gib=1024).provisioned == (None, None)


@given(
    size=st.integers(1, 70_000),
    growth=st.integers(0, 70_000),
    iops=st.none() | st.integers(1, 70_000),
    throughput=st.none() | st.integers(1, 5_000),
)
def test_a_volume_that_is_accepted_meets_every_limit_of_rds(
    size: int, growth: int, iops: int | None, throughput: int | None
) -> None:
    try:
        volume = Volume(size_gib=size, max_gib=size + growth, iops=iops, throughput_mibps=throughput)
    except ArgsError:
        return
    assert 20 <= volume.size_gib <= volume.max_gib <= 65_536
    assert volume.max_gib * 10 >= volume.size_gib * 11
    asked, rate = volume.provisioned
    if size < 400:
        assert (asked, rate) == (None, None)
        return
    assert asked is not None
    assert rate is not None
    assert 12_000 <= asked <= 64_000
    assert size <= asked * 2
    assert asked <= size * 50
    assert 500 <= rate <= 4_000
    assert rate * 4 <= asked
    assert asked == iops or iops is None
    assert rate == throughput or throughput is None


@given(size=st.integers(20, 59_578))
def test_any_size_that_can_grow_needs_no_further_figures(size: int) -> None:
    Volume(size_gib=size, max_gib=65_536)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size_gib": 19, "max_gib": 100}, "storage is 19 GiB: gp3 has 20 to 65536 GiB on RDS."),
        (
            {"size_gib": 1000, "max_gib": 1099},
            (
                "storage may grow to 1099 GiB: autoscaling needs at least 10% above 1000 GiB and at most 65536 GiB. "
                "Take 1100 or more."
            ),
        ),
        (
            {"size_gib": 200, "max_gib": 400, "iops": 3000},
            (
                "IOPS or throughput are set for 200 GiB: RDS provisions them from 400 GiB on. "
                "Leave them out, or take more storage."
            ),
        ),
        (
            {"size_gib": 1024, "max_gib": 2048, "iops": 60_000},
            "IOPS are 60000: 1024 GiB of gp3 take 12000 to 51200: between half and 50 times the GiB.",
        ),
        (
            {"size_gib": 1024, "max_gib": 2048, "throughput_mibps": 3500},
            "throughput is 3500 MiB/s: 12000 IOPS take 500 to 3000 MiB/s: at most a quarter of the IOPS.",
        ),
    ],
)
def test_a_volume_is_refused_with_its_reason(fields: dict[str, int], expected: str) -> None:
    with pytest.raises(ArgsError) as error:
        Volume(**fields)
    assert message(error) == expected


clock = st.integers(0, 24 * 60 - 1)


@given(
    backup=clock,
    backup_length=st.integers(1, 23 * 60),
    day=st.integers(0, 6),
    start=clock,
    length=st.integers(1, 2 * 24 * 60),
)
def test_windows_are_accepted_exactly_when_they_are_long_enough_and_apart(
    backup: int, backup_length: int, day: int, start: int, length: int
) -> None:
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

    def moment(minute: int) -> str:
        return f"{minute // 60 % 24:02}:{minute % 60:02}"

    first, last = day * 1440 + start, day * 1440 + start + length
    text = {
        "backup": f"{moment(backup)}-{moment(backup + backup_length)}",
        "maintenance": "-".join(f"{days[minute // 1440 % 7]}:{moment(minute % 1440)}" for minute in (first, last)),
    }
    # By brute force: every minute of a week of maintenance against every minute of a day of backup.
    busy = {minute % 1440 for minute in range(backup, backup + backup_length)}
    apart = not busy & {minute % 1440 for minute in range(first, last)}
    good = backup_length >= 30 and length >= 30 and apart
    try:
        windows = Windows(**text)
    except ArgsError:
        assert not good
    else:
        assert good
        assert windows.later(7) == windows
        assert windows.later(3).maintenance[:3] == days[(day + 3) % 7]


@pytest.mark.parametrize(
    ("backup", "maintenance", "expected"),
    [
        ("7:00-7:30", "sun:08:00-sun:08:30", "backup window is '7:00-7:30': it is written hh:mm-hh:mm, in UTC."),
        (
            "07:00-07:30",
            "Sun:08:00-Sun:08:30",
            "maintenance window is 'Sun:08:00-Sun:08:30': it is written ddd:hh:mm-ddd:hh:mm, in UTC.",
        ),
        ("07:00-07:29", "sun:08:00-sun:08:30", "backup window is 29 minutes long: RDS needs at least 30."),
        (
            "23:45-00:15",
            "sun:00:00-sun:00:30",
            (
                "backup window 23:45-00:15 overlaps maintenance window sun:00:00-sun:00:30: RDS does one at a time. "
                "Move one of them."
            ),
        ),
        (
            "00:00-00:30",
            "sun:23:50-mon:00:20",
            (
                "backup window 00:00-00:30 overlaps maintenance window sun:23:50-mon:00:20: RDS does one at a time. "
                "Move one of them."
            ),
        ),
    ],
)
def test_a_window_is_refused_with_its_reason(backup: str, maintenance: str, expected: str) -> None:
    with pytest.raises(ArgsError) as error:
        Windows(backup=backup, maintenance=maintenance)
    assert message(error) == expected


def test_parameters_force_tls_and_load_what_the_service_needs() -> None:
    values = {parameter.name: parameter.value for parameter in plan_parameters(3000, 32)}
    assert values["rds.force_ssl"] == "1"
    assert {"pg_cron", "pg_stat_statements"} == set(values["shared_preload_libraries"].split(","))
    assert values["cron.database_name"] == "docsearch"
    assert values["log_min_duration_statement"] == "500"
    assert len(values) == len(plan_parameters(3000, 32)), "a parameter is given twice"


def test_parameters_that_need_a_restart_wait_for_one() -> None:
    # RDS refuses a static parameter that is to be applied at once.
    static = {parameter.name for parameter in plan_parameters(3000, 32) if parameter.static}
    assert static == {"shared_preload_libraries", "cron.database_name", "max_connections", "max_worker_processes"}


@given(head=classes, replica=classes, connections=st.integers(100, 5000))
def test_every_instance_has_room_for_the_same_connections(head: str, replica: str, connections: int) -> None:
    smallest = min(capacity(head).memory_gib, capacity(replica).memory_gib)
    assume(connections <= connection_limit(smallest))
    values = {parameter.name: parameter.value for parameter in plan_parameters(connections, smallest)}
    # Plain numbers: a formula over the class would give a smaller replica less than its source, and stop it.
    assert values["max_connections"] == str(connections)
    assert values["max_worker_processes"].isdigit()
    assert connections <= min(connection_limit(capacity(each).memory_gib) for each in (head, replica))


def test_too_many_connections_are_refused_with_the_limit() -> None:
    assert connection_limit(32) == 3604
    with pytest.raises(ArgsError) as error:
        plan_parameters(4000, 32)
    assert message(error) == (
        "max_connections is 4000: an instance with 32 GiB takes 100 to 3604. "
        "Take fewer connections or a larger class for the smallest instance."
    )


def test_a_query_on_a_replica_is_cancelled_before_it_makes_the_lag_that_pages() -> None:
    values = {
        parameter.name: int(parameter.value) for parameter in plan_parameters(3000, 32) if parameter.value.isdigit()
    }
    assert 0 < values["max_standby_streaming_delay"] < LAG_SECONDS * 1000


def test_the_master_user_has_a_name_that_rds_takes() -> None:
    assert len(MASTER_USER) <= 16
    assert MASTER_USER not in {"admin", "rdsadmin", "postgres"}


def test_performance_data_is_kept_as_long_as_its_mode_asks() -> None:
    assert INSIGHTS_DAYS["standard"] == 7
    assert INSIGHTS_DAYS["advanced"] >= 465
    assert INSIGHTS_DAYS["advanced"] % 31 == 0


def test_alarms_follow_what_the_instance_is() -> None:
    head, replica, *_ = plan()
    standby = plan(role="standby")[0]
    names = {
        which: {row.name for row in plan_alarms(instance, volume=VOLUME, max_connections=3000)}
        for which, instance in {"head": head, "replica": replica, "standby": standby}.items()
    }
    common = {"cpu", "memory", "storage", "connections", "disk-queue"}
    assert names["head"] == common | {"transaction-ids", "replication-slots"}
    assert names["replica"] == common | {"lag"}
    assert names["standby"] == common | {"transaction-ids", "replication-slots", "lag"}


def test_lag_of_half_the_recovery_point_wakes_somebody_and_so_does_silence() -> None:
    (lag,) = (row for row in plan_alarms(plan()[1], volume=VOLUME, max_connections=3000) if row.name == "lag")
    assert (lag.metric, lag.threshold, lag.severity, lag.missing) == ("ReplicaLag", 30, "page", "breaching")
    assert lag.above
    assert lag.minutes <= 3


@given(instance_class=classes)
def test_thresholds_fit_the_class(instance_class: str) -> None:
    head = plan(instance_class=instance_class)[0]
    rows = {row.name: row for row in plan_alarms(head, volume=VOLUME, max_connections=1000)}
    assert rows["memory"].threshold == capacity(instance_class).memory_gib * 2**30 // 20
    assert not rows["memory"].above
    assert rows["storage"].threshold == 1024 * 2**30 // 20
    assert not rows["storage"].above
    assert rows["connections"].threshold == 800
