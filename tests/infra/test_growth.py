"""What grows, stays: a zone, a region, another name, another version, and nothing that holds data is made anew."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from components.kms import CustomerKey
from components.storage import Storage, StorageArgs
from components.storage_plan import Kind
from infra import deploy
from infra.deploy import Deployment
from infra.errors import UpdateError
from infra.plan import Plan
from infra.program import PROJECT, read_config
from stacks.config import StackConfig
from stacks.fleet import read_fleet
from stacks.offers import REGIONS
from stacks.region import identify, provider
from tests.regions import STACKS

pytestmark = pytest.mark.engine

OLD: Mapping[str, Any] = {
    "database": {"engine_version": "17.10"},
    "opensearch": {"engine_version": "OpenSearch_3.3"},
    "cache": {"engine_version": "8.2"},
    "kubernetes": {"version": "1.35"},
}
NEW: Mapping[str, Any] = {
    "database": {"engine_version": "17.11"},
    "opensearch": {"engine_version": "OpenSearch_3.5"},
    "cache": {"engine_version": "9.0"},  # a major version, the greatest step that a cache can take
    "kubernetes": {"version": "1.36"},
}
"""Versions that the test begins with, and the next of each."""

CACHE_PARAMETERS = "aws:elasticache/parameterGroup:ParameterGroup"
"""Made anew with a major version of the cache, on purpose: a group is of one version's family and holds no data. The
old one goes when nothing uses it any more."""


def changed(config: StackConfig, *changes: Mapping[str, Any]) -> StackConfig:
    """The configuration with other values, checked like a stack file."""

    def over(old: Any, new: Any) -> Any:
        if not isinstance(new, Mapping):
            return new
        return {**old, **{key: over(old.get(key), value) for key, value in new.items()}}

    values = config.model_dump(mode="json")
    for change in changes:
        values = over(values, change)
    return StackConfig.model_validate_json(json.dumps(values))


def four_zones(config: StackConfig) -> Mapping[str, Any]:
    """What a stack file says with a zone more: counts that zones share are those that four divide."""
    here = config.network.zones
    fourth = next(zone for zone in REGIONS[config.region].zones if zone not in here)

    def up(count: int) -> int:
        return -(-count // 4) * 4

    pools = {"general": config.kubernetes.general, "brokers": config.kubernetes.brokers}
    roles = {name: getattr(config.service, name) for name in ("search", "document", "index")}
    return {
        "network": {"zones": [*here, fourth]},
        "service": {name: {"replicas": {"min": up(role.replicas.min)}} for name, role in roles.items()},
        "kubernetes": {
            name: {"min": up(pool.min), "desired": up(pool.desired), "max": up(pool.max)}
            for name, pool in pools.items()
        },
    }


def lost(plan: Plan) -> list[str]:
    """What a plan deletes or makes anew, and why."""
    gone = [change for change in plan.changes if change.op in {"replace", "delete"}]
    return [f"{change.op} {change.type} {change.name} {', '.join(change.replaced_by)}".strip() for change in gone]


def updated(plan: Plan) -> dict[tuple[str, str], tuple[str, ...]]:
    """The paths that change, by type and name."""
    return {(change.type, change.name): change.paths for change in plan.changes if change.op == "update"}


@pytest.fixture(scope="module")
def old() -> dict[str, StackConfig]:
    """Both regions as they are to begin with, unlocked so that they go down again at once."""
    return {stack: changed(read_config(stack), OLD, {"locked": False}) for stack in STACKS}


@pytest.fixture(scope="module")
def as_configured(local_cloud: Any) -> Callable[[str, StackConfig], Deployment]:
    """A stack with a configuration of one's own."""
    return lambda stack, config: Deployment(stack, config, local_cloud.cloud, local_cloud.engine)


@pytest.fixture(scope="module")
def regions(
    old: dict[str, StackConfig], as_configured: Callable[[str, StackConfig], Deployment]
) -> Iterator[dict[str, Deployment]]:
    """Both regions up."""
    found = {stack: as_configured(stack, old[stack]) for stack in STACKS}
    for deployment in found.values():
        deployment.up()
    yield found
    for deployment in reversed(found.values()):
        deployment.destroy()


# A zone


def test_a_fourth_zone_is_added_beside_the_three(
    old: dict[str, StackConfig],
    as_configured: Callable[[str, StackConfig], Deployment],
    regions: dict[str, Deployment],
) -> None:
    config = changed(old["prod"], four_zones(old["prod"]))
    assert [config.service.search.replicas.min, config.kubernetes.general.desired] == [24, 44]
    plan = as_configured("prod", config).preview()
    assert lost(plan) == []
    letter = config.network.zones[-1][-1]
    created = [change.name for change in plan.changes if change.op == "create"]
    assert {name.rpartition("-")[2] for name in created} == {letter}
    assert {f"network-{tier}-{letter}" for tier in ("public", "private", "data")} < {*created}
    assert {f"cluster-{pool}-{letter}" for pool in ("general", "brokers")} < {*created}
    # What AWS settles for good in the zones of its beginning is not even touched.
    settled = {"aws:eks/cluster:Cluster", "aws:opensearch/domain:Domain", "aws:rds/instance:Instance"}
    assert [name for type_, name in updated(plan) if type_ in settled] == []
    # What can use the zone does.
    subnets = {type_ for (type_, _), paths in updated(plan).items() if any(path.startswith("subnet") for path in paths)}
    assert subnets == {
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "aws:elasticache/subnetGroup:SubnetGroup",
        "aws:lb/loadBalancer:LoadBalancer",
        "aws:rds/subnetGroup:SubnetGroup",
    }


# A region


@pytest.fixture
def third(tmp_path: Path) -> StackConfig:
    """Another standby: dr's file with other values, in a project of three files."""
    files = {stack: (PROJECT / f"Pulumi.{stack}.yaml").read_text() for stack in STACKS}
    text = files["dr"]
    for value, other in (
        ("us-west-2", "eu-west-1"),
        ("peer: prod", "peer: prod\n    failover: false"),
        ("10.1.0.0/16", "10.2.0.0/16"),
        ("sat:09:00-sat:10:00", "fri:09:00-fri:10:00"),
        ("maintenance: sat:11:00", "maintenance: fri:11:00"),
        ("locked: true", "locked: false"),
    ):
        assert value in text
        text = text.replace(value, other)
    for stack, written in {**files, "ireland": text}.items():
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(written)
    fleet = read_fleet(tmp_path)
    assert {*fleet} == {*STACKS, "ireland"}
    return fleet["ireland"]


@pytest.fixture
def ireland(
    third: StackConfig, as_configured: Callable[[str, StackConfig], Deployment], regions: dict[str, Deployment]
) -> Iterator[Deployment]:
    deployment = as_configured("ireland", third)
    yield deployment
    deployment.destroy()


def test_a_third_region_is_a_stack_file(
    ireland: Deployment, regions: dict[str, Deployment], old: dict[str, StackConfig], local_cloud: Any
) -> None:
    plan = ireland.up().plan
    others = [change.type for change in plan.changes if change.op != "create"]
    assert others == ["pulumi:pulumi:StackReference"]
    assert plan.summary["create"] > 400
    assert ireland.preview().changing == ()
    for deployment in regions.values():
        assert deployment.preview().changing == ()
    client = local_cloud.client("route53", "us-east-1")
    (zone,) = client.list_hosted_zones()["HostedZones"]
    records = client.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    answers = {
        host: {item["SetIdentifier"] for item in records if item["Name"].startswith(f"{host}.") and item["Type"] == "A"}
        for host in ("api", "write")
    }
    both = {config.region for config in old.values()}
    assert answers == {"api": both | {"eu-west-1"}, "write": both}
    databases = local_cloud.client("rds", "eu-west-1").describe_db_instances()["DBInstances"]
    sources = [item["ReadReplicaSourceDBInstanceIdentifier"].split(":")[3] for item in databases]
    assert sources == ["us-east-1"]


# A name


class Renamed(Storage):
    """Storage whose buckets are called otherwise."""

    def _bucket(self, kind: Kind) -> aws.s3.Bucket:
        return aws.s3.Bucket(
            f"{self._prefix}-{kind}-bucket",
            force_destroy=not self._args.locked,
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.locked, aliases=self._formerly(kind)),
        )

    def _formerly(self, kind: Kind) -> list[str | pulumi.Alias] | None:
        return None


class Aliased(Renamed):
    """The same, which knows their former names."""

    def _formerly(self, kind: Kind) -> list[str | pulumi.Alias] | None:
        return [pulumi.Alias(name=f"{self._prefix}-{kind}")]


Shelf = Callable[..., Deployment]


@pytest.fixture
def shelf(as_configured: Callable[[str, StackConfig], Deployment], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A stack with the storage of a region and nothing else, up; called, the same with another storage."""

    def with_storage(kind: type[Storage], *, locked: bool = True) -> Deployment:
        def program(stack: str, config: StackConfig) -> None:
            pulumi.runtime.register_stack_transformation(identify)
            here = provider("aws", config, stack, region=config.region)
            id = "mrk-0badcafe"
            key = CustomerKey(
                arn=pulumi.Output.from_input(f"arn:aws:kms:{config.region}:{config.account_id}:key/{id}"),
                id=pulumi.Output.from_input(id),
            )
            args = StorageArgs(account_id=config.account_id, region=config.region, key=key, locked=config.locked)
            kind("storage", args, pulumi.ResourceOptions(providers=[here]))

        monkeypatch.setattr(deploy, "run", program)
        return as_configured("shelf", changed(read_config("prod"), {"locked": locked}))

    with_storage(Storage).up()
    yield with_storage
    kind = Renamed if any("-bucket" in name for name in buckets(with_storage(Storage))) else Storage
    with_storage(kind, locked=False).up()
    with_storage(kind, locked=False).destroy()


def buckets(deployment: Deployment) -> dict[str, str]:
    """The name in the cloud, by logical name."""
    state = deployment.state().get("resources") or ()
    return {item["urn"].split("::")[-1]: item["id"] for item in state if item["type"] == "aws:s3/bucket:Bucket"}


def only_their_names_change(plan: Plan) -> bool:
    """Whether the three buckets are told their new logical names, by their tags, and nothing else happens."""
    assert plan.summary == {**dict.fromkeys(plan.summary, 0), "update": 3, "same": len(plan.changes) - 3}
    return all(path.startswith("tags") for paths in updated(plan).values() for path in paths)


def test_a_name_that_changes_without_an_alias_is_refused(shelf: Shelf) -> None:
    """Otherwise the two tests below would prove nothing: the name is the identity, and the lock holds."""
    with pytest.raises(UpdateError, match="protect"):
        shelf(Renamed).preview()


def test_a_resource_is_renamed_by_an_alias(shelf: Shelf) -> None:
    before = buckets(shelf(Storage))
    deployment = shelf(Aliased)
    assert only_their_names_change(deployment.preview())
    assert only_their_names_change(deployment.up().plan)
    assert buckets(deployment) == {f"{name}-bucket": id for name, id in before.items()}
    # From then on it does without.
    assert shelf(Renamed).preview().changing == ()


def test_a_resource_is_renamed_in_the_state(shelf: Shelf) -> None:
    before = buckets(shelf(Storage))
    deployment = shelf(Renamed)
    text = json.dumps(deployment.state())
    for name in before:
        urn = f"$aws:s3/bucket:Bucket::{name}"
        assert f'{urn}"' in text
        text = text.replace(f'{urn}"', f'{urn}-bucket"')
    deployment.replace_state(json.loads(text))
    assert only_their_names_change(deployment.preview())
    assert only_their_names_change(deployment.up().plan)
    assert buckets(deployment) == {f"{name}-bucket": id for name, id in before.items()}
    assert deployment.preview().changing == ()


# A version; the last test, since regions stay upgraded


def test_versions_are_upgraded_in_place(
    old: dict[str, StackConfig],
    as_configured: Callable[[str, StackConfig], Deployment],
    regions: dict[str, Deployment],
    local_cloud: Any,
) -> None:
    versions = {
        ("aws:opensearch/domain:Domain", "opensearch"): ("engineVersion",),
        ("aws:eks/cluster:Cluster", "cluster"): ("version",),
        ("aws:rds/instance:Instance", "database"): ("engineVersion",),
    }
    # The standby first, then the primary's replicas, then all: whoever follows is never older than whom it follows.
    plan = as_configured("dr", changed(old["dr"], NEW)).up().plan
    assert lost(plan) == []
    assert versions.items() <= updated(plan).items()

    replicas = {"database": {"replicas": {"engine_version": NEW["database"]["engine_version"]}}}
    plan = as_configured("prod", changed(old["prod"], replicas)).up().plan
    readers = [("aws:rds/instance:Instance", f"database-replica-{number}") for number in (1, 2, 3)]
    assert updated(plan) == dict.fromkeys(readers, ("engineVersion",))
    assert plan.summary["same"] == len(plan.changes) - len(readers)

    deployment = as_configured("prod", changed(old["prod"], replicas, NEW))
    plan = deployment.up().plan
    assert lost(plan) == [f"replace {CACHE_PARAMETERS} cache family"]
    cache = {("aws:elasticache/globalReplicationGroup:GlobalReplicationGroup", "cache")}
    found = updated(plan)
    assert versions.items() <= found.items()
    assert cache < found.keys()
    # ElastiCache would refuse the new family's group before it has the new version.
    assert ("aws:elasticache/replicationGroup:ReplicationGroup", "cache") not in found
    groups = {name: paths for (type_, name), paths in found.items() if type_ == "aws:eks/nodeGroup:NodeGroup"}
    assert groups == dict.fromkeys(groups, ("version",))
    assert len(groups) == 7
    # Nodes are never newer than the control plane.
    order = [change.name for change in plan.changes if change.type.startswith("aws:eks/") and change.op == "update"]
    assert order[0] == "cluster"
    assert deployment.preview().changing == ()
    client = local_cloud.client("elasticache", "us-east-1")
    (store,) = client.describe_global_replication_groups()["GlobalReplicationGroups"]
    assert store["EngineVersion"] == NEW["cache"]["engine_version"]
