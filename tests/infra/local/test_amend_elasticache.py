"""Where moto does of ElastiCache what AWS does because it is put right."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.local.amend import amend


@pytest.fixture
def cache() -> Iterator[Any]:
    """A client of an empty cloud in this process."""
    amend("elasticache")
    with mock_aws():
        client = boto3.client(
            "elasticache", region_name="us-west-2", aws_access_key_id="local", aws_secret_access_key="local"
        )
        yield client
        client.close()


def made(cache: Any, name: str = "cluster", **more: Any) -> dict[str, Any]:
    group: dict[str, Any] = cache.create_replication_group(
        ReplicationGroupId=name,
        ReplicationGroupDescription=name,
        ClusterMode="enabled",
        NumNodeGroups=3,
        ReplicasPerNodeGroup=1,
        **more,
    )["ReplicationGroup"]
    return group


def slots(group: dict[str, Any]) -> list[tuple[int, int]]:
    return [(int(first), int(last)) for first, last in (shard["Slots"].split("-") for shard in group["NodeGroups"])]


@pytest.mark.parametrize("shards", [1, 3, 5, 90])
def test_shards_cover_every_slot_once(cache: Any, shards: int) -> None:
    made(cache)
    changed = cache.modify_replication_group_shard_configuration(
        ReplicationGroupId="cluster", NodeGroupCount=shards, ApplyImmediately=True
    )["ReplicationGroup"]
    ranges = slots(changed)
    assert len(ranges) == shards
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 16383
    assert all(before[1] + 1 == after[0] for before, after in pairwise(ranges))


def test_nodes_are_in_the_region_and_those_of_a_shard_in_several_zones(cache: Any) -> None:
    for shard in made(cache)["NodeGroups"]:
        zones = [member["PreferredAvailabilityZone"] for member in shard["NodeGroupMembers"]]
        assert len({*zones}) == 2
        assert all(zone.startswith("us-west-2") for zone in zones)


def test_replicas_come_and_go(cache: Any) -> None:
    made(cache)
    for operation, count in ((cache.increase_replica_count, 3), (cache.decrease_replica_count, 1)):
        group = operation(ReplicationGroupId="cluster", NewReplicaCount=count, ApplyImmediately=True)
        assert len(group["ReplicationGroup"]["MemberClusters"]) == 3 * (1 + count)


def test_a_node_tells_what_its_group_does_not(cache: Any) -> None:
    made(cache, SecurityGroupIds=["sg-1"], CacheParameterGroupName="tuned", EngineVersion="8.2")
    (node,) = cache.describe_cache_clusters(CacheClusterId="cluster-0002-001")["CacheClusters"]
    assert [group["SecurityGroupId"] for group in node["SecurityGroups"]] == ["sg-1"]
    assert node["CacheParameterGroup"]["CacheParameterGroupName"] == "tuned"
    assert node["EngineVersion"] == "8.2"
    assert len(cache.describe_cache_clusters()["CacheClusters"]) == 6
    with pytest.raises(ClientError, match="CacheClusterNotFound"):
        cache.describe_cache_clusters(CacheClusterId="cluster-0004-001")


def test_what_is_deleted_is_gone_with_its_tags(cache: Any) -> None:
    tags = [{"Key": "a", "Value": "b"}]
    arn = made(cache, Tags=tags)["ARN"]
    cache.delete_replication_group(ReplicationGroupId="cluster")
    with pytest.raises(ClientError, match="ReplicationGroupNotFound"):
        cache.describe_replication_groups(ReplicationGroupId="cluster")
    user = {"UserId": "u", "UserName": "u", "Engine": "redis", "AccessString": "off"}
    cache.create_user(**user, NoPasswordRequired=True, Tags=tags)
    cache.delete_user(UserId="u")
    with pytest.raises(ClientError, match="UserNotFound"):
        cache.describe_users(UserId="u")
    assert made(cache)["ARN"] == arn
    assert cache.list_tags_for_resource(ResourceName=arn)["TagList"] == []


def test_a_group_is_made_once(cache: Any) -> None:
    made(cache)
    with pytest.raises(ClientError, match="ReplicationGroupAlreadyExists"):
        made(cache)


def test_a_group_of_subnets_stays_while_it_is_used(cache: Any) -> None:
    cache.create_cache_subnet_group(CacheSubnetGroupName="s", CacheSubnetGroupDescription="s", SubnetIds=["subnet-1"])
    made(cache, CacheSubnetGroupName="s")
    with pytest.raises(ClientError, match="CacheSubnetGroupInUse"):
        cache.delete_cache_subnet_group(CacheSubnetGroupName="s")
    cache.delete_replication_group(ReplicationGroupId="cluster")
    cache.delete_cache_subnet_group(CacheSubnetGroupName="s")
    with pytest.raises(ClientError, match="CacheSubnetGroupNotFound"):
        cache.describe_cache_subnet_groups(CacheSubnetGroupName="s")


def test_log_delivery_is_turned_off(cache: Any) -> None:
    log = {
        "LogType": "slow-log",
        "DestinationType": "cloudwatch-logs",
        "DestinationDetails": {"CloudWatchLogsDetails": {"LogGroup": "g"}},
        "LogFormat": "json",
    }
    made(cache, LogDeliveryConfigurations=[log, {**log, "LogType": "engine-log"}])
    changed = cache.modify_replication_group(
        ReplicationGroupId="cluster", LogDeliveryConfigurations=[{"LogType": "slow-log", "Enabled": False}]
    )["ReplicationGroup"]
    assert [log["LogType"] for log in changed["LogDeliveryConfigurations"]] == ["engine-log"]


def test_a_datastore_that_nobody_made_is_not_found(cache: Any) -> None:
    with pytest.raises(ClientError, match="GlobalReplicationGroupNotFound"):
        made(cache, GlobalReplicationGroupId="ldgnf-none")
    with pytest.raises(ClientError, match="GlobalReplicationGroupNotFound"):
        cache.describe_global_replication_groups(GlobalReplicationGroupId="ldgnf-none")
    assert cache.describe_global_replication_groups()["GlobalReplicationGroups"] == []


def test_who_leads_does_not_leave(cache: Any) -> None:
    made(cache)
    id = cache.create_global_replication_group(GlobalReplicationGroupIdSuffix="g", PrimaryReplicationGroupId="cluster")[
        "GlobalReplicationGroup"
    ]["GlobalReplicationGroupId"]
    where = {"GlobalReplicationGroupId": id, "ReplicationGroupRegion": "us-west-2"}
    with pytest.raises(ClientError, match="cannot be disassociated"):
        cache.disassociate_global_replication_group(**where, ReplicationGroupId="cluster")
    with pytest.raises(ClientError, match="is no member"):
        cache.disassociate_global_replication_group(**where, ReplicationGroupId="other")
    with pytest.raises(ClientError, match="is part of a global cluster"):
        cache.modify_replication_group_shard_configuration(
            ReplicationGroupId="cluster", NodeGroupCount=2, ApplyImmediately=True
        )
