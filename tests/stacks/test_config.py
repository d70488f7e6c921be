from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stacks.config import StackConfig, divisible_by_zones
from stacks.stack_file import Problem, StackFileError
from stacks.stores import may_follow, weekly_minutes

Write = Callable[..., Path]

PROJECT = Path(__file__).resolve().parents[2]


def refused(path: Path) -> dict[str, Problem]:
    """The problems of a file by key."""
    with pytest.raises(StackFileError) as caught:
        StackConfig.parse(path)
    return {problem.key: problem for problem in caught.value.problems}


@pytest.mark.parametrize("stack", ["prod", "dr"])
def test_shipped_stack_files_are_right(stack: str) -> None:
    assert StackConfig.parse(PROJECT / f"Pulumi.{stack}.yaml").locked


def test_prod_has_the_requirements_figures() -> None:
    prod = StackConfig.parse(PROJECT / "Pulumi.prod.yaml")
    assert (prod.role, prod.region, prod.peer) == ("primary", "us-east-1", None)
    assert prod.database.primary.instance_class == "db.m7g.4xlarge"
    assert prod.database.primary.allocated_gib == 1024
    assert (prod.database.replicas.count, prod.database.replicas.instance_class) == (3, "db.m7g.2xlarge")
    assert prod.service.search.replicas.min >= 20
    assert prod.service.search.replicas.max == 50
    assert len(prod.network.zones) == 3


def test_dr_differs_in_place_and_role_and_is_no_smaller() -> None:
    prod, dr = (StackConfig.parse(PROJECT / f"Pulumi.{stack}.yaml") for stack in ("prod", "dr"))
    assert (dr.role, dr.region, dr.peer) == ("standby", "us-west-2", "prod")
    assert dr.database.primary == prod.database.primary
    for role in ("search", "document", "index"):
        assert getattr(dr.service, role) == getattr(prod.service, role)
    digests = [[(key, image.split("@")[1]) for key, image in its.images()] for its in (prod, dr)]
    assert digests[0] == digests[1]
    for group in ("hot", "warm", "coordinators", "master_type"):
        assert getattr(dr.opensearch, group) == getattr(prod.opensearch, group)


def test_tags_carry_hyphens_for_aws() -> None:
    tags = StackConfig.parse(PROJECT / "Pulumi.prod.yaml").tags.by_key()
    assert set(tags) == {"owner", "environment", "service", "tenant-class", "cost-centre"}


def test_a_config_never_changes() -> None:
    prod = StackConfig.parse(PROJECT / "Pulumi.prod.yaml")
    with pytest.raises(ValidationError, match="frozen"):
        prod.locked = False


IMAGES = {
    key: "registry.example.com/image@sha256:" + "0" * 64
    for key, _ in StackConfig.parse(PROJECT / "Pulumi.prod.yaml").images()
}
"""From nowhere in particular."""

BAD: list[tuple[str, dict[str, Any], str, str, str]] = [
    # what, change, key, part of the reason, part of the remedy
    ("region that is none", {"region": "us-east-7"}, "region", "no such region", "us-east-"),
    ("region of another partition", {"region": "cn-north-1"}, "region", "main partition", ""),
    ("primary elsewhere",
     {"region": "us-west-2", "network.zones": ["us-west-2a", "us-west-2b", "us-west-2c"], **IMAGES}, "role",
     "Route 53 publishes the health of a region in us-east-1 only", "promoted: true"),
    ("primary that is promoted", {"promoted": True}, "promoted", "takes the writes already", "Remove it"),
    ("standby without a peer", {"role": "standby"}, "peer", "follows a primary", "peer: prod"),
    ("primary with a peer", {"peer": "dr"}, "peer", "no other region", "Remove it"),
    ("domain of one label", {"domain": "docsearch"}, "domain", "form", "DNS zone"),
    ("domain with an underscore", {"domain": "doc_search.example.com"}, "domain", "form", ""),
    ("empty tag", {"tags.owner": ""}, "tags.owner", "form", "team"),
    ("/8", {"network.cidr": "10.0.0.0/8"}, "network.cidr", "needs a /16", "10.0.0.0/16"),
    ("/24", {"network.cidr": "10.0.0.0/24"}, "network.cidr", "needs a /16", ""),
    ("public addresses", {"network.cidr": "52.0.0.0/16"}, "network.cidr", "RFC 1918", "10.0.0.0/8"),
    ("shared address space", {"network.cidr": "100.64.0.0/16"}, "network.cidr", "RFC 1918", ""),
    ("block behind 172.31", {"network.cidr": "172.32.0.0/16"}, "network.cidr", "RFC 1918", ""),
    ("zone of another region", {"network.zones": ["us-east-1a", "us-east-1b", "us-west-2a"]}, "network.zones[2]",
     "us-east-1 has no such zone", "us-east-1c"),
    ("zone letter that is none", {"network.zones": ["us-east-1a", "us-east-1b", "us-east-1z"]}, "network.zones[2]",
     "no such zone", ""),
    ("zone twice", {"network.zones": ["us-east-1a", "us-east-1b", "us-east-1a"]}, "network.zones[2]", "already",
     "once"),
    ("one zone", {"network.zones": ["us-east-1a"]}, "network.zones", "at least 3", ""),
    ("five zones", {"network.zones": [f"us-east-1{letter}" for letter in "abcde"]}, "network.zones", "at most 4", ""),
    ("unknown class", {"database.primary.instance_class": "db.m7g.4xlrge"}, "database.primary.instance_class",
     "no such class for PostgreSQL 17.11 in us-east-1", "Perhaps `db.m7g.4xlarge` is meant"),
    ("previous generation", {"database.replicas.instance_class": "db.m4.2xlarge"}, "database.replicas.instance_class",
     "no such class", "is meant"),
    ("EC2 type", {"database.primary.instance_class": "m7g.4xlarge"}, "database.primary.instance_class", "no such class",
     "db.m7g.4xlarge"),
    ("16 replicas", {"database.replicas.count": 16}, "database.replicas.count", "less than or equal to 15", ""),
    ("fewer than no replicas", {"database.replicas.count": -1}, "database.replicas.count", "equal to 0", ""),
    ("storage below the least", {"database.primary.allocated_gib": 19}, "database.primary.allocated_gib", "to 20",
     "GiB"),
    ("storage above the most", {"database.primary.max_allocated_gib": 65537}, "database.primary.max_allocated_gib",
     "to 65536", ""),
    ("no room for autoscaling", {"database.primary.max_allocated_gib": 1126}, "database.primary.max_allocated_gib",
     "by 10%", "at least 1127"),
    ("iops on a small volume", {"database.primary.allocated_gib": 399, "database.primary.iops": 12000},
     "database.primary.iops", "below 400 GiB", "allocate 400"),
    ("throughput on a small volume", {"database.primary.allocated_gib": 399, "database.primary.throughput_mibps": 500},
     "database.primary.throughput_mibps", "below 400 GiB", ""),
    ("iops over 50 per GiB", {"database.primary.allocated_gib": 400, "database.primary.iops": 20001},
     "database.primary.iops", "50 IOPS per GiB", "12000 to 20000"),
    ("iops under half per GiB",
     {"database.primary.allocated_gib": 30000, "database.primary.max_allocated_gib": 40000,
      "database.primary.iops": 14999}, "database.primary.iops", "half an IOPS", "15000 to 64000"),
    ("throughput over a quarter", {"database.primary.throughput_mibps": 3001}, "database.primary.throughput_mibps",
     "quarter of the IOPS (12000)", "at most 3000"),
    ("version out of support", {"database.engine_version": "13.23"}, "database.engine_version", "standard support",
     "is meant"),
    ("version without a minor", {"database.engine_version": "17"}, "database.engine_version", "does not create", ""),
    ("replicas older than their source", {"database.replicas.engine_version": "17.10"},
     "database.replicas.engine_version", "upgraded before it", "17.11 or a later 17.x"),
    ("replicas of another major", {"database.replicas.engine_version": "18.6"}, "database.replicas.engine_version",
     "major version of its source", ""),
    ("backup during maintenance", {"database.maintenance_window": "sun:07:30-sun:08:30"},
     "database.maintenance_window", "overlaps backup_window (07:00-08:00)", "Move"),
    ("backup past midnight during maintenance",
     {"database.backup_window": "23:30-00:30", "database.maintenance_window": "mon:00:00-mon:01:00"},
     "database.maintenance_window", "overlaps", ""),
    ("maintenance through the end of the week",
     {"database.backup_window": "00:00-00:30", "database.maintenance_window": "sun:23:45-mon:00:15"},
     "database.maintenance_window", "overlaps", ""),
    ("maintenance of all week", {"database.maintenance_window": "mon:09:00-mon:08:59"}, "database.maintenance_window",
     "overlaps", ""),
    ("short backup", {"database.backup_window": "07:00-07:29"}, "database.backup_window", "29 minutes", "longer"),
    ("short maintenance", {"database.maintenance_window": "sun:09:00-sun:09:29"}, "database.maintenance_window",
     "29 minutes", ""),
    ("window that is none", {"database.maintenance_window": "sunday 9"}, "database.maintenance_window", "form", "UTC"),
    ("window with a tail", {"database.maintenance_window": "sun:09:00-sun:10:00-"}, "database.maintenance_window",
     "form", ""),
    ("extended support", {"kubernetes.version": "1.33"}, "kubernetes.version", "extended support", "1.34"),
    ("namespace in capitals", {"kubernetes.namespace": "DocSearch"}, "kubernetes.namespace", "form", ""),
    ("address that is none", {"alarms.page": ["oncall"]}, "alarms.page[0]", "form", "e-mail"),
    ("budget without a currency", {"cost.monthly_budget": 60000}, "cost.monthly_budget", "has no currency",
     "60000 USD"),
    ("budget in text without a currency", {"cost.monthly_budget": "60,000"}, "cost.monthly_budget", "has no currency",
     "60000 USD"),
    ("budget in another currency", {"cost.monthly_budget": "60000 EUR"}, "cost.monthly_budget", "US dollars",
     "60000 USD"),
    ("budget below nothing", {"cost.monthly_increase": "-1 USD"}, "cost.monthly_increase", "US dollars", "5000 USD"),
    ("budget of a yes", {"cost.monthly_increase": True}, "cost.monthly_increase", "currency", "5000 USD"),
    ("budget under a name that is none", {"cost.budget": "1 USD"}, "cost.budget", "no such key", "monthly_budget"),
    ("image by tag", {"service.image": "docsearch/search:1.0"}, "service.image", "form", "digest"),
    ("image with a short digest", {"service.image": "docsearch/search@sha256:abc"}, "service.image", "form", ""),
    ("registry in the peer region",
     {"service.image": "123456789012.dkr.ecr.us-west-2.amazonaws.com/a@sha256:" + "0" * 64}, "service.image",
     "while that region is down", "us-east-1"),
    ("floor that zones do not divide", {"service.search.replicas.min": 20}, "service.search.replicas.min",
     "3 zones do not divide it", "18 (6 per zone) or 21 (7 per zone)"),
    ("floor below one per zone", {"service.search.replicas.min": 2}, "service.search.replicas.min", "3 zones",
     "Write 3 (1 per zone)"),
    ("ceiling below the floor", {"service.search.replicas.max": 20}, "service.search.replicas.max",
     "less than min (21)", "21"),
    ("port that needs root", {"service.http_port": 443}, "service.http_port", "equal to 1024", ""),
    ("OpenSearch version that is none", {"opensearch.engine_version": "OpenSearch_3.4"}, "opensearch.engine_version",
     "no such version in standard support", "Perhaps `OpenSearch_3."),
    ("OpenSearch version without its name", {"opensearch.engine_version": "3.3"}, "opensearch.engine_version",
     "no such version", ""),
    ("hot nodes that zones do not divide", {"opensearch.hot.count": 20}, "opensearch.hot.count", "multiple of 3", ""),
    ("index type that is none", {"opensearch.hot.instance_type": "m6g.5xlarge.search"},
     "opensearch.hot.instance_type", "OpenSearch Service offers no such type in us-east-1", "m6g"),
    ("master type that is none", {"opensearch.master_type": "m6g.2xlarge"}, "opensearch.master_type",
     "OpenSearch Service offers no such type", "m6g.2xlarge.search"),
    ("cache version that is none", {"cache.engine_version": "6.9"}, "cache.engine_version",
     "does not create this version of Valkey", ""),
    ("cache type that is none", {"cache.node_type": "cache.r7g.xxlarge"}, "cache.node_type",
     "ElastiCache offers no such type in us-east-1", "cache.r7g"),
    ("six replicas of a shard", {"cache.replicas": 6}, "cache.replicas", "equal to 5", ""),
    ("four brokers", {"broker.cluster.nodes": 4}, "broker.cluster.nodes", "3, 5 or 7", ""),
    ("broker version that is none", {"broker.amazon": {"engine_version": "4.9"}}, "broker.amazon.engine_version",
     "Amazon MQ does not create this version", ""),
    ("nodes of a type that is none", {"kubernetes.general.instance_types": ["m7i.xxlarge"]},
     "kubernetes.general.instance_types[0]", "EC2 offers no such type in us-east-1", "m7i"),
    ("nodes that zones do not divide", {"kubernetes.general.desired": 40}, "kubernetes.general.desired",
     "3 zones do not divide it", "42 (14 per zone)"),
    ("nobody administers the cluster", {"kubernetes.admin_role_arns": []}, "kubernetes.admin_role_arns",
     "at least 1", ""),
    ("controller of the peer's registry",
     {"kubernetes.load_balancer_controller": "123456789012.dkr.ecr.us-west-2.amazonaws.com/a@sha256:" + "0" * 64},
     "kubernetes.load_balancer_controller", "while that region is down", "us-east-1"),
    ("tokens for anybody", {"service.oidc": {"issuer": "https://login.example.com"}}, "service.oidc.audience",
     "for another service", "aud"),
    ("audience of nobody", {"service.oidc": {"audience": "docsearch"}}, "service.oidc.issuer", "no effect", ""),
    ("issuer in clear text", {"service.oidc": {"issuer": "http://login.example.com", "audience": "a"}},
     "service.oidc.issuer", "form", ""),
    ("issuer at a port that is closed", {"service.oidc": {"issuer": "https://login.example.com:8443", "audience": "a"}},
     "service.oidc.issuer", "form", ""),
    ("origin with a path", {"service.allowed_origins": ["https://app.example.com/"]}, "service.allowed_origins[0]",
     "form", ""),
    ("two days to open a lock", {"backup": {"compliance_after_days": 2}}, "backup.compliance_after_days",
     "equal to 3", ""),
]  # fmt: skip


@pytest.mark.parametrize(("change", "key", "reason", "remedy"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_cannot_work_is_refused_at_its_key(
    write: Write, change: dict[str, Any], key: str, reason: str, remedy: str
) -> None:
    found = refused(write("prod", change))
    assert list(found) == [key]
    assert reason in found[key].reason
    assert remedy in found[key].remedy


@pytest.mark.parametrize(
    "change",
    [
        {"network.cidr": "192.168.0.0/16"},
        {"network.cidr": "172.31.0.0/16"},
        {"network.zones": ["us-east-1a", "us-east-1f", "us-east-1c"]},
        {"database.primary.max_allocated_gib": 1127},
        {"database.primary.allocated_gib": 400, "database.primary.iops": 20000},
        {"database.primary.allocated_gib": 20, "database.primary.max_allocated_gib": 22},
        {"database.primary.iops": 16000, "database.primary.throughput_mibps": 4000},
        {"database.maintenance_window": "sun:08:00-sun:08:30"},
        {"database.replicas.engine_version": "17.11"},
        {"database.replicas.count": 0},
        {"service.search.replicas.min": 48},
        {"service.image": "registry.example.com/team/search@sha256:" + "a" * 64},
        {"locked": False},
    ],
)
def test_what_is_at_the_limit_is_accepted(write: Write, change: dict[str, Any]) -> None:
    StackConfig.parse(write("prod", change))


def test_faults_of_several_groups_are_told_together(write: Write) -> None:
    found = refused(
        write("prod", {"network.cidr": "10.0.0.0/20", "service.search.replicas.max": 1, "database.replicas.count": 99})
    )
    assert set(found) == {"network.cidr", "service.search.replicas.max", "database.replicas.count"}


@given(count=st.integers(1, 500), zones=st.integers(1, 6))
def test_a_count_is_refused_exactly_when_zones_leave_a_rest(count: int, zones: int) -> None:
    faults = list(divisible_by_zones("hot.count", count, zones))
    assert bool(faults) == (count % zones != 0)
    for fault in faults:
        assert fault.key == "hot.count"
        proposed = [int(word) for word in fault.remedy.replace("(", " ").split() if word.isdecimal()][::2]
        assert proposed
        assert all(n % zones == 0 and abs(n - count) < zones and n > 0 for n in proposed)


clock = st.integers(0, 24 * 60 - 1)
days = st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"])


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@given(start=clock, length=st.integers(1, 24 * 60 - 1))
def test_a_daily_window_takes_its_length_on_each_day(start: int, length: int) -> None:
    minutes = weekly_minutes(f"{_clock(start)}-{_clock((start + length) % 1440)}")
    assert len(minutes) == 7 * length
    assert {minute % 1440 for minute in minutes} == {(start + n) % 1440 for n in range(length)}


@given(day=days, start=clock, length=st.integers(1, 1439))
def test_a_weekly_window_takes_its_length_once(day: str, start: int, length: int) -> None:
    names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    last = names[(names.index(day) + (start + length) // 1440) % 7]
    minutes = weekly_minutes(f"{day}:{_clock(start)}-{last}:{_clock((start + length) % 1440)}")
    assert len(minutes) == length
    assert names.index(day) * 1440 + start in minutes


def test_versions_compare_as_numbers() -> None:
    assert may_follow("17.11", "17.9")
    assert may_follow("17.9", "17.9")
    assert not may_follow("17.9", "17.11")
    assert not may_follow("18.1", "17.11")
