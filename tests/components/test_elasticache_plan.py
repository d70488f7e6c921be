"""What a cache may be: limits of ElastiCache, and the tables of the plan."""

import json
from importlib.resources import files

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from components.elasticache_plan import (
    FAMILIES,
    GLOBAL_ALARMS,
    GROUP_ENGINE,
    MAX_NODES,
    MAX_REPLICAS,
    MAX_SHARDS,
    MAXMEMORY,
    NODE_ALARMS,
    NODE_BYTES,
    USERS,
    WINDOWS,
    Windows,
    check_name,
    check_regions,
    data_bytes,
    family,
    plan_events_policy,
    plan_nodes,
    plan_parameters,
)
from components.errors import ArgsError

ZONES = ("us-east-1a", "us-east-1b", "us-east-1c")


def refusal(call: object) -> str:
    with pytest.raises(ArgsError) as error:
        call()  # type: ignore[operator]
    return str(error.value)


@given(st.integers(1, MAX_SHARDS), st.integers(1, MAX_REPLICAS))
def test_every_node_is_named_once_or_there_are_too_many(shards: int, replicas: int) -> None:
    if shards * (1 + replicas) > MAX_NODES:
        with pytest.raises(ArgsError):
            plan_nodes(shards, replicas, zones=ZONES)
        return
    nodes = plan_nodes(shards, replicas, zones=ZONES)
    assert len({*nodes}) == len(nodes) == shards * (1 + replicas)


def test_the_required_cluster_has_six_nodes() -> None:
    assert plan_nodes(3, 1, zones=ZONES) == (
        "0001-001",
        "0001-002",
        "0002-001",
        "0002-002",
        "0003-001",
        "0003-002",
    )


@given(st.integers(1, 40), st.integers(1, 40))
def test_resharding_renames_no_node_that_stays(before: int, after: int) -> None:
    one, other = (plan_nodes(shards, 1, zones=ZONES) for shards in (before, after))
    assert one[: len(other)] == other[: len(one)]


@pytest.mark.parametrize(
    ("shards", "replicas", "zones", "message"),
    [
        (0, 1, ZONES, "shards are 0: a cluster has 1 to 90."),
        (91, 1, ZONES, "shards are 91: a cluster has 1 to 90."),
        (
            3,
            0,
            ZONES,
            "replicas are 0: a shard has up to 5, and without one Multi-AZ has nothing to fail over to.",
        ),
        (
            3,
            6,
            ZONES,
            "replicas are 6: a shard has up to 5, and without one Multi-AZ has nothing to fail over to.",
        ),
        (
            46,
            1,
            ZONES,
            (
                "shards are 46, with 1 replicas each: that makes 92 nodes, and a cluster has 90 of one type. "
                "Take larger nodes, or have the quota raised and this limit with it."
            ),
        ),
        (3, 1, ("us-east-1a",), "zones are us-east-1a: Multi-AZ needs two."),
        (3, 1, (), "zones are none: Multi-AZ needs two."),
    ],
)
def test_a_cluster_that_elasticache_refuses(shards: int, replicas: int, zones: tuple[str, ...], message: str) -> None:
    assert refusal(lambda: plan_nodes(shards, replicas, zones=zones)) == message


def test_data_has_what_the_requirement_gives_a_node_beside_what_is_reserved() -> None:
    assert data_bytes("cache.r7g.xlarge") == 28_261_849_702 * 3 // 4
    assert all(
        data_bytes(f"cache.{name}.16xlarge") > data_bytes(f"cache.{name}.2xlarge") >= NODE_BYTES for name in MAXMEMORY
    )


def test_sizes_of_a_family_grow() -> None:
    for sizes in MAXMEMORY.values():
        assert list(sizes) == sorted({*sizes})


def test_elasticache_offers_every_node_type_of_the_table() -> None:
    # AWS's own list, as cfn-lint 1.58 has it.
    folder = files("cfnlint") / "data" / "schemas" / "extensions" / "aws_elasticache_cachecluster"
    regions = json.loads((folder / "cachenodetype_enum.json").read_text())
    sizes = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
    for region in ("us-east-1", "us-west-2"):
        assert {f"cache.{name}.{size}" for name in MAXMEMORY for size in sizes} <= {*regions[region]["enum"]}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (
            "r7g.xlarge",
            (
                "node type is 'r7g.xlarge': an ElastiCache node type is cache.<family>.<size>. "
                "Write it like cache.r7g.xlarge."
            ),
        ),
        (
            "cache.t4g.medium",
            (
                "node type is cache.t4g.medium: a burstable type cannot be in a global datastore. "
                "Take one of m6g, m7g, m8g, r6g, r7g, r8g."
            ),
        ),
        (
            "cache.r6gd.xlarge",
            (
                "node type is cache.r6gd.xlarge: it moves data to disks, which needs data tiering and slows the cache "
                "down. Take one of m6g, m7g, m8g, r6g, r7g, r8g."
            ),
        ),
        (
            "cache.r4.2xlarge",
            (
                "node type is cache.r4.2xlarge: it is of an older generation, or has hardware that this cache makes no "
                "use of. Take one of m6g, m7g, m8g, r6g, r7g, r8g."
            ),
        ),
        (
            "cache.r7g.24xlarge",
            (
                "node type is cache.r7g.24xlarge: r7g comes in large, xlarge, 2xlarge, 4xlarge, 8xlarge, 12xlarge, "
                "16xlarge. Take one of these sizes."
            ),
        ),
        (
            "cache.r7g.large",
            (
                "node type is cache.r7g.large: it has 10.5 GB for data, and the requirement gives each node 16. "
                "Take cache.r7g.xlarge (21.2 GB) or larger."
            ),
        ),
    ],
)
def test_a_node_type_that_this_cache_is_not_run_on(node: str, message: str) -> None:
    assert refusal(lambda: data_bytes(node)) == message


def test_every_version_has_its_family() -> None:
    assert {family(version) for version in FAMILIES} == {"valkey7", "valkey8", "valkey9"}
    assert all(family(version) == f"valkey{version[0]}" for version in FAMILIES)


@pytest.mark.parametrize("version", ["7.1", "8", "8.2.1", "10.0", ""])
def test_a_version_that_elasticache_does_not_create(version: str) -> None:
    assert refusal(lambda: family(version)) == (
        f"engine version is {version!r}: ElastiCache creates Valkey 7.2, 8.0, 8.1, 8.2, 9.0, 9.1. "
        "Write major.minor, such as 8.2; ElastiCache itself chooses the patch."
    )


def test_a_global_datastore_has_three_regions() -> None:
    check_regions(())
    check_regions(("us-east-1", "us-west-2", "eu-west-1"))
    assert refusal(lambda: check_regions(("us-east-1", "us-west-2", "eu-west-1", "eu-west-2"))) == (
        "regions of the cache are us-east-1, us-west-2, eu-west-1, eu-west-2: a global datastore has a primary region "
        "and at most 2 others. Give eu-west-2 a cache of its own, with role primary."
    )
    assert refusal(lambda: check_regions(("us-east-1", "us-east-1"))) == (
        "regions of the cache are us-east-1, us-east-1: a global datastore has one member in each region."
    )


@pytest.mark.parametrize(
    ("snapshot", "maintenance", "message"),
    [
        ("5:00-06:00", "tue:09:00-tue:10:00", "snapshot window is '5:00-06:00': it is written hh:mm-hh:mm, in UTC."),
        (
            "05:00-06:00",
            "09:00-10:00",
            "maintenance window is '09:00-10:00': it is written ddd:hh:mm-ddd:hh:mm, in UTC.",
        ),
        ("05:00-05:59", "tue:09:00-tue:10:00", "snapshot window is 59 minutes long: ElastiCache needs at least 60."),
        (
            "05:00-06:00",
            "tue:09:00-tue:09:30",
            "maintenance window is 30 minutes long: ElastiCache needs at least 60.",
        ),
        (
            "05:00-06:00",
            "tue:05:59-tue:07:00",
            (
                "snapshot window 05:00-06:00 overlaps maintenance window tue:05:59-tue:07:00: a node that is being "
                "replaced is no source of a snapshot. Move one of them."
            ),
        ),
    ],
)
def test_windows_that_are_refused(snapshot: str, maintenance: str, message: str) -> None:
    assert refusal(lambda: Windows(snapshot=snapshot, maintenance=maintenance)) == message


def test_windows_may_run_into_the_next_day_or_week() -> None:
    Windows(snapshot="23:30-00:30", maintenance="sun:22:00-sun:23:30")
    Windows(snapshot="05:00-06:00", maintenance="sun:23:30-mon:01:30")
    assert "overlaps" in refusal(lambda: Windows(snapshot="23:30-00:45", maintenance="sun:00:30-sun:01:30"))


def test_regions_are_never_maintained_together() -> None:
    assert WINDOWS["primary"].maintenance[:3] != WINDOWS["standby"].maintenance[:3]


def test_the_cache_forgets_what_was_used_least() -> None:
    parameters = plan_parameters()
    assert parameters["maxmemory-policy"] == "allkeys-lru"
    assert parameters["cluster-enabled"] == "yes"
    assert parameters["reserved-memory-percent"] == "25"


def test_nobody_logs_in_as_default_and_nobody_has_a_password() -> None:
    by_name = {user.name: user for user in USERS}
    assert by_name["default"].access.split()[0] == "off"
    assert [user.login for user in USERS if user.access.startswith("on ")] == ["iam"]
    assert "password" not in {user.login for user in USERS}
    # A group of Valkey's own would refuse the user without a password.
    assert GROUP_ENGINE == "redis"


def test_applications_administer_nothing() -> None:
    (app,) = [user for user in USERS if user.name is None]
    rules = app.access.split()
    assert rules.index("-@dangerous") > rules.index("+@all") < rules.index("-@admin")


@given(st.from_regex(r"[a-z]{1,10}(-[a-z0-9]{1,5}){0,2}", fullmatch=True))
def test_a_name_leaves_room_for_every_identifier(name: str) -> None:
    check_name(name)
    assert all(len(f"{name}-{user.key}-00000000") <= 40 for user in USERS)


@pytest.mark.parametrize("name", ["Cache", "cache-", "1cache", "ca--che", "c" * 24, ""])
def test_a_name_that_makes_no_identifiers(name: str) -> None:
    assert refusal(lambda: check_name(name)) == (
        f"the cache is named {name!r}: its identifiers begin with it: lower-case letters, digits and single hyphens, "
        "up to 23 of them."
    )


def test_events_are_taken_from_this_account_only() -> None:
    allow, deny = plan_events_policy("arn:topic", account_id="012345678901")["Statement"]
    # ElastiCache does not know SourceAccount.
    assert allow["Condition"] == {"StringEquals": {"aws:SourceOwner": "012345678901"}}
    assert allow["Resource"] == deny["Resource"] == "arn:topic"
    assert (deny["Effect"], deny["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})


def test_alarms_are_named_once_and_silence_is_judged() -> None:
    names = [row.name for row in (*NODE_ALARMS, *GLOBAL_ALARMS)]
    assert len({*names}) == len(names)
    missing = {row.name: row.missing for row in (*NODE_ALARMS, *GLOBAL_ALARMS)}
    assert missing["cpu"] == missing["global-lag"] == "breaching"
    assert missing["lag"] == "notBreaching", "the primary of a shard has no lag"


def test_the_schema_has_the_limit_of_replicas() -> None:
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", "AWS::ElastiCache::ReplicationGroup").schema
    assert schema["properties"]["NumCacheClusters"]["maximum"] == 1 + MAX_REPLICAS
