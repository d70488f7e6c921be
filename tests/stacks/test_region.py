"""Whole regions, from the real stack files: identities, locks, providers, tags."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pulumi_aws as aws
import pytest

from infra.parity import REASONS, compare
from stacks.fleet import read_fleet
from stacks.region import RESOURCE_TAG, STACK_TAG
from tests.recording import Recording, Registered
from tests.regions import PROJECT, STACKS, plan, region

SNAPSHOT = Path(__file__).with_name("urns.json")
LOCK = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
ROOT_TYPE = "pulumi:pulumi:Stack"

STATEFUL = {
    "aws:backup/vault:Vault",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:ec2/eip:Eip",
    "aws:ec2/vpc:Vpc",
    "aws:ecr/repository:Repository",
    "aws:eks/cluster:Cluster",
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:iam/serviceLinkedRole:ServiceLinkedRole",
    "aws:kms/key:Key",
    "aws:kms/replicaKey:ReplicaKey",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:opensearch/domain:Domain",
    "aws:rds/instance:Instance",
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication",
    "aws:route53/zone:Zone",
    "aws:s3/bucket:Bucket",
    "aws:secretsmanager/secret:Secret",
    "aws:sns/topic:Topic",
    "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster",
}
"""What holds data, or is known to others by an address that AWS makes up."""

STATEFUL_HERE = {
    # Its ARN is in the domain's own configuration: a new one would lock everybody out.
    "aws:iam/role:Role opensearch-master",
    # With them goes everything in them: the broker.
    "kubernetes:core/v1:Namespace queue-rabbitmq",
    "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition queue-definition",
}
"""Single resources of other types that are protected, too."""

AWAY = {
    "aws:backup/plan:Plan backup-copies",
    "aws:backup/selection:Selection backup-copies",
    "aws:cloudwatch/metricAlarm:MetricAlarm dns-unhealthy",
    "aws:ecr/replicationConfiguration:ReplicationConfiguration registry",
    "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter opensearch-leader",
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig storage-documents-replication",
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig storage-snapshots-replication",
}
"""What the standby has in the primary's region."""


def identities(recording: Recording) -> list[str]:
    """The part of each URN that the program decides: the types from the top down, and the logical name."""
    by_urn = {resource.urn: resource for resource in recording.resources}

    def types(resource: Registered) -> Iterator[str]:
        if resource.parent in by_urn:
            yield from types(by_urn[resource.parent])
        yield resource.type

    return sorted(f"{'$'.join(types(resource))}::{resource.name}" for resource in recording.resources)


def renamed(stack: str, before: Iterable[str], after: Iterable[str]) -> str:
    """What changed between two lists of identities, and what to do about it; empty if nothing did."""
    gone, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    if not gone and not new:
        return ""
    return "\n".join(
        [
            f"The identities of {stack} changed:",
            *(f"  gone  {identity}" for identity in gone),
            *(f"  new   {identity}" for identity in new),
            "The engine takes a new name for another resource: it creates that and deletes the old one, with its data.",
            "To rename, give an alias for the old name: pulumi.ResourceOptions(aliases=[pulumi.Alias(...)]).",
            "If all of it is meant, accept it: python -m tests.stacks.test_region",
        ]
    )


@pytest.mark.parametrize("stack", STACKS)
def test_every_resource_keeps_its_identity(stack: str) -> None:
    accepted = json.loads(SNAPSHOT.read_text(encoding="utf-8"))[stack]
    told = renamed(stack, accepted, identities(region(stack)))
    assert not told, told


@pytest.mark.parametrize("stack", STACKS)
def test_no_two_resources_share_an_identity(stack: str) -> None:
    found = identities(region(stack))
    assert len(found) == len(set(found))


def test_a_renamed_resource_is_named_with_the_way_out() -> None:
    told = renamed("prod", ["a$b::old", "a$b::kept"], ["a$b::kept", "a$b::new"])
    assert "  gone  a$b::old\n  new   a$b::new\n" in told
    assert "aliases=" in told
    assert "python -m tests.stacks.test_region" in told
    assert renamed("prod", ["a$b::kept"], ["a$b::kept"]) == ""


@pytest.mark.parametrize("stack", STACKS)
def test_no_logical_name_holds_a_place_an_environment_or_an_account(stack: str) -> None:
    fleet = read_fleet(PROJECT)
    words = {*STACKS, "primary", "standby", "production", "staging", *(config.region for config in fleet.values())}
    words |= {config.account_id for config in fleet.values()}
    words |= {zone for config in fleet.values() for zone in config.network.zones}
    word = re.compile(rf"(?<![a-z0-9])({'|'.join(map(re.escape, sorted(words)))})(?![a-z0-9])")
    assert [r.name for r in region(stack).resources if word.search(r.name)] == []


@pytest.mark.parametrize("stack", STACKS)
def test_everything_stateful_is_protected_and_nothing_else(stack: str) -> None:
    for resource in region(stack).managed:
        stateful = resource.type in STATEFUL or f"{resource.type} {resource.name}" in STATEFUL_HERE
        assert resource.protect == stateful, f"{resource.type} {resource.name}"


@pytest.mark.parametrize("stack", STACKS)
def test_all_locks_are_released_on_purpose(stack: str) -> None:
    unlocked = region(stack, locked=False)
    assert [r.name for r in unlocked.resources if r.protect or r.retain_on_delete] == []
    for resource in unlocked.resources:
        assert not locks(resource.inputs), f"{resource.type} {resource.name}"


@pytest.mark.parametrize("stack", STACKS)
def test_aws_itself_refuses_to_delete_what_it_can_refuse(stack: str) -> None:
    locked = {resource.type for resource in region(stack).resources if locks(resource.inputs)}
    assert locked >= {"aws:rds/instance:Instance", "aws:lb/loadBalancer:LoadBalancer", "aws:eks/cluster:Cluster"}
    for bucket in region(stack).of("aws:s3/bucket:Bucket"):
        assert not bucket.inputs.get("forceDestroy"), bucket.name
    for secret in region(stack).of("aws:secretsmanager/secret:Secret"):
        assert secret.inputs["recoveryWindowInDays"] >= 7, secret.name


def locks(inputs: Mapping[str, Any]) -> bool:
    """Whether AWS refuses to delete it."""
    names = ("deletionProtection", "deletionProtectionEnabled", "enableDeletionProtection")
    return any(inputs.get(name) for name in names)


def test_releasing_the_locks_changes_no_identity() -> None:
    for stack in STACKS:
        gone = set(identities(region(stack))) - set(identities(region(stack, locked=False)))
        # A vault's lock is a resource of its own: being released, it is gone.
        assert {identity.rpartition("$")[2].partition("::")[0] for identity in gone} == {LOCK}
        assert set(identities(region(stack))) >= set(identities(region(stack, locked=False)))


def test_the_regions_have_the_same_resources_except_for_listed_reasons() -> None:
    one_sided = [difference for difference in compare(*map(plan, STACKS)) if not difference.path]
    assert [difference.resource for difference in one_sided if not difference.reason] == []
    # Each has something of its own (keys here, replicas of them there): finding nothing would prove nothing.
    assert {difference.one for difference in one_sided} == {"present", "(absent)"}
    assert all(reason.why for reason in REASONS)


@pytest.mark.parametrize("stack", STACKS)
def test_every_resource_has_an_explicit_provider(stack: str) -> None:
    providers = {"aws": {"aws", "aws-peer"}, "kubernetes": {"kubernetes"}, "random": {"random"}}
    for resource in region(stack).managed:
        names = providers[resource.type.partition(":")[0]]
        assert provider_name(resource) in names, f"{resource.type} {resource.name}: {resource.provider}"


@pytest.mark.parametrize(("stack", "away"), [("prod", set()), ("dr", AWAY)])
def test_only_the_standby_reaches_into_the_other_region(stack: str, away: set[str]) -> None:
    found = {f"{r.type} {r.name}" for r in region(stack).managed if provider_name(r) == "aws-peer"}
    assert found == away


def provider_name(resource: Registered) -> str:
    return resource.provider.rpartition("::")[0].rpartition("::")[2]


@pytest.mark.parametrize("stack", STACKS)
def test_a_provider_keeps_to_its_account_and_region_and_tags_everything_with_its_stack(stack: str) -> None:
    fleet = read_fleet(PROJECT)
    config = fleet[stack]
    regions = {"aws": config.region} | ({"aws-peer": fleet[config.peer].region} if config.peer else {})
    providers = region(stack).of("pulumi:providers:aws")
    assert {provider.name: provider.inputs["region"] for provider in providers} == regions
    for provider in providers:
        assert json.loads(provider.inputs["allowedAccountIds"]) == [config.account_id]
        assert json.loads(provider.inputs["defaultTags"])["tags"] == {**config.tags.by_key(), STACK_TAG: stack}


@pytest.mark.parametrize("stack", STACKS)
def test_everything_that_takes_tags_carries_its_name_and_its_identity(stack: str) -> None:
    tagged = 0
    for resource in region(stack).managed:
        if not resource.type.startswith("aws:") or not takes_tags(resource.type):
            assert "tags" not in resource.inputs, resource.name
            continue
        tagged += 1
        tags = resource.inputs["tags"]
        assert tags["Name"] == resource.name
        assert tags[RESOURCE_TAG] == f"{resource.type.removeprefix('aws:')}::{resource.name}"
    assert tagged > 100


def takes_tags(token: str) -> bool:
    """Whether the SDK's class of an AWS type has tags."""
    module, _, name = token.removeprefix("aws:").replace("/", ":").split(":")
    return hasattr(getattr(getattr(aws, module), name), "tags")


@pytest.mark.parametrize("stack", STACKS)
def test_who_needs_the_broker_may_reach_the_namespace_in_which_it_runs(stack: str) -> None:
    [broker] = region(stack).of("kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster")
    where = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": broker.inputs["metadata"]["namespace"]}}
    }
    for name, needed in {"index": True, "document": False, "search": False}.items():
        its = region(stack).one("kubernetes:networking.k8s.io/v1:NetworkPolicy", f"search-allow-{name}-stores")
        peers = [peer for rule in its.inputs["spec"]["egress"] for peer in rule["to"]]
        assert (where in peers) == needed


def test_a_primary_shows_what_its_standbys_read_and_a_standby_does_not() -> None:
    prod, dr = (region(stack).result for stack in STACKS)
    assert set(prod) - set(dr) == {"peer", "peer_secrets"}
    assert set(dr) <= set(prod)
    assert prod["role"] == "primary"
    assert dr["role"] == "standby"


INSTANCE = "aws:rds/instance:Instance"


def settings_of(recording: Recording) -> Mapping[str, str]:
    return next(
        its.inputs["data"]
        for its in recording.of("kubernetes:core/v1:ConfigMap")
        if "DATABASE_HOST" in its.inputs.get("data", {})
    )


def test_a_standby_that_is_promoted_keeps_all_that_it_has() -> None:
    before, after = (region("dr", promoted=promoted) for promoted in (False, True))
    gone = [its for its in identities(before) if its not in identities(after)]
    # It had the users of its source, and makes its owner a password of its own.
    come = [its for its in identities(after) if its not in identities(before)]
    assert {its.rpartition("::")[2] for its in come} == {"database-master"}
    # A head that follows nobody is behind nobody.
    assert gone
    assert all("MetricAlarm::database" in its and "lag" in its for its in gone), gone


def test_a_standby_that_is_promoted_takes_the_writes() -> None:
    before, after = (region("dr", promoted=promoted) for promoted in (False, True))
    head = [run.one(INSTANCE, "database").inputs for run in (before, after)]
    assert "replicateSourceDb" in head[0]
    assert "replicateSourceDb" not in head[1]
    # What its source gave it, and RDS would not change in place, is said as it is there.
    prod = region("prod").one(INSTANCE, "database").inputs
    for key in ("engine", "dbName", "username", "storageEncrypted"):
        assert head[1][key] == prod[key]
    assert head[1]["kmsKeyId"] == head[0]["kmsKeyId"]
    assert "DOCSEARCH_STANDBY_OF" in settings_of(before)
    assert "DOCSEARCH_STANDBY_OF" not in settings_of(after)
    for run in (before, after):
        assert run.one("aws:route53/record:Record", "dns-write").inputs["failoverRoutingPolicies"] == [
            {"type": "SECONDARY"}
        ]


def test_a_primary_that_is_out_takes_no_writes_and_no_user_is_sent_to_it() -> None:
    out = region("prod", serving=False)
    gone = {*identities(region("prod"))} ^ {*identities(out)}
    assert {its.rpartition("::")[2] for its in gone} == {"dns-read", "dns-write"}
    assert settings_of(out)["DOCSEARCH_STANDBY_OF"] == f"https://write.{read_fleet(PROJECT)['prod'].domain}"
    assert "DOCSEARCH_STANDBY_OF" not in settings_of(region("prod"))


def main() -> None:
    """Accept the identities as they are now."""
    accepted = {stack: identities(region(stack)) for stack in STACKS}
    SNAPSHOT.write_text(json.dumps(accepted, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write("".join(f"{stack}: {len(found)} identities\n" for stack, found in accepted.items()))


if __name__ == "__main__":
    main()
