"""Where moto does what AWS does because it is put right."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from infra.local.amend import AMENDED, amend


@pytest.fixture
def aws() -> Iterator[Any]:
    """Clients of an empty cloud in this process."""
    for service in AMENDED:
        amend(service)
    clients: list[Any] = []

    def client(service: str, region: str = "us-east-1") -> Any:
        made = boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )
        clients.append(made)
        return made

    with mock_aws():
        yield client
        for made in clients:
            made.close()


def instance(rds: Any, name: str = "source", *, engine: str = "postgres", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = rds.create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.m7g.large",
        Engine=engine,
        AllocatedStorage=100,
        MasterUsername="master",
        **more,
    )["DBInstance"]
    return made


def test_instances_have_ids_of_their_own(aws: Any) -> None:
    rds = aws("rds")
    one, other = instance(rds, "one"), instance(rds, "other")
    assert one["DbiResourceId"] != other["DbiResourceId"]
    assert len(one["DbiResourceId"]) == len("db-") + 26
    renamed = rds.modify_db_instance(DBInstanceIdentifier="one", NewDBInstanceIdentifier="uno")["DBInstance"]
    assert renamed["DbiResourceId"] == one["DbiResourceId"]


def test_replica_shares_nothing_with_its_source(aws: Any) -> None:
    rds = aws("rds")
    source = instance(rds, MasterUserPassword="correct-horse", DeletionProtection=True, BackupRetentionPeriod=7)
    replica = rds.create_db_instance_read_replica(DBInstanceIdentifier="r", SourceDBInstanceIdentifier="source")
    assert replica["DBInstance"]["DbiResourceId"] != source["DbiResourceId"]
    assert replica["DBInstance"]["BackupRetentionPeriod"] == 0
    assert replica["DBInstance"]["DeletionProtection"] is False
    rds.add_tags_to_resource(ResourceName=replica["DBInstance"]["DBInstanceArn"], Tags=[{"Key": "a", "Value": "b"}])
    assert rds.describe_db_instances(DBInstanceIdentifier="source")["DBInstances"][0]["TagList"] == []


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_source_whose_password_rds_manages_has_no_replica(aws: Any, region: str) -> None:
    rds, there = aws("rds"), aws("rds", region)
    source = instance(rds, ManageMasterUserPassword=True)
    name = "source" if region == "us-east-1" else source["DBInstanceArn"]
    with pytest.raises(
        ClientError, match="with engine postgres where ManageMasterUserPassword is enabled is not"
    ) as it:
        there.create_db_instance_read_replica(DBInstanceIdentifier="r", SourceDBInstanceIdentifier=name)
    assert it.value.response["Error"]["Code"] == "InvalidParameterValue"
    # It has one once the password is its owner's.
    rds.modify_db_instance(
        DBInstanceIdentifier="source", ManageMasterUserPassword=False, MasterUserPassword="correct-horse"
    )
    made = there.create_db_instance_read_replica(DBInstanceIdentifier="r", SourceDBInstanceIdentifier=name)
    assert "MasterUserSecret" not in made["DBInstance"]


def test_source_of_sql_server_has_replicas_all_the_same_and_its_secret_to_itself(aws: Any) -> None:
    rds = aws("rds")
    source = instance(rds, engine="sqlserver-ee", ManageMasterUserPassword=True)
    made = rds.create_db_instance_read_replica(DBInstanceIdentifier="r", SourceDBInstanceIdentifier="source")
    assert "MasterUserSecret" not in made["DBInstance"]
    rds.delete_db_instance(DBInstanceIdentifier="r", SkipFinalSnapshot=True)
    secret = source["MasterUserSecret"]["SecretArn"]
    assert aws("secretsmanager").describe_secret(SecretId=secret)["ARN"] == secret


def test_replica_of_another_region_lives_there(aws: Any) -> None:
    east, west = aws("rds"), aws("rds", "us-west-2")
    ec2 = aws("ec2", "us-west-2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    west.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="data", SubnetIds=subnets)
    source = instance(east)
    replica = west.create_db_instance_read_replica(
        DBInstanceIdentifier="r", SourceDBInstanceIdentifier=source["DBInstanceArn"], DBSubnetGroupName="data"
    )["DBInstance"]
    assert replica["AvailabilityZone"] == "us-west-2a"
    assert {subnet["SubnetIdentifier"] for subnet in replica["DBSubnetGroup"]["Subnets"]} == {*subnets}
    west.delete_db_instance(DBInstanceIdentifier="r", SkipFinalSnapshot=True)
    left = east.describe_db_instances(DBInstanceIdentifier="source")["DBInstances"][0]
    assert left["ReadReplicaDBInstanceIdentifiers"] == []


def test_identifier_of_a_replica_must_be_free(aws: Any) -> None:
    rds = aws("rds")
    instance(rds)
    with pytest.raises(ClientError, match="DBInstanceAlreadyExists"):
        rds.create_db_instance_read_replica(DBInstanceIdentifier="source", SourceDBInstanceIdentifier="source")


def test_promoted_replica_follows_nobody(aws: Any) -> None:
    rds = aws("rds")
    instance(rds)
    rds.create_db_instance_read_replica(DBInstanceIdentifier="r", SourceDBInstanceIdentifier="source")
    rds.promote_read_replica(DBInstanceIdentifier="r")
    found = {i["DBInstanceIdentifier"]: i for i in rds.describe_db_instances()["DBInstances"]}
    assert "ReadReplicaSourceDBInstanceIdentifier" not in found["r"]
    assert found["source"]["ReadReplicaDBInstanceIdentifiers"] == []


def test_restored_instance_is_not_locked_unless_asked(aws: Any) -> None:
    rds = aws("rds")
    instance(rds, DeletionProtection=True)
    rds.create_db_snapshot(DBInstanceIdentifier="source", DBSnapshotIdentifier="s")
    restored = rds.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="r", DBSnapshotIdentifier="s", DeletionProtection=False
    )["DBInstance"]
    assert restored["DeletionProtection"] is False
    again = rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier="source",
        TargetDBInstanceIdentifier="p",
        UseLatestRestorableTime=True,
        DeletionProtection=False,
    )["DBInstance"]
    assert again["DeletionProtection"] is False


def test_changed_subnet_group_is_still_there(aws: Any) -> None:
    rds, ec2 = aws("rds"), aws("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:3]]
    rds.create_db_subnet_group(DBSubnetGroupName="data", DBSubnetGroupDescription="data", SubnetIds=subnets[:2])
    rds.modify_db_subnet_group(DBSubnetGroupName="data", SubnetIds=subnets)
    group = rds.describe_db_subnet_groups(DBSubnetGroupName="data")["DBSubnetGroups"][0]
    assert len(group["Subnets"]) == 3
    with pytest.raises(ClientError, match="DBSubnetGroupNotFound"):
        rds.modify_db_subnet_group(DBSubnetGroupName="none", SubnetIds=subnets)


def test_parameters_can_be_reset(aws: Any) -> None:
    rds = aws("rds")
    rds.create_db_parameter_group(DBParameterGroupName="p", DBParameterGroupFamily="postgres18", Description="p")
    change = {"ParameterValue": "1", "ApplyMethod": "immediate"}
    for name in ("a", "b"):
        rds.modify_db_parameter_group(DBParameterGroupName="p", Parameters=[{"ParameterName": name, **change}])
    rds.reset_db_parameter_group(DBParameterGroupName="p", Parameters=[{"ParameterName": "a", **change}])
    left = rds.describe_db_parameters(DBParameterGroupName="p")["Parameters"]
    assert [parameter["ParameterName"] for parameter in left] == ["b"]


def record(name: str, set_identifier: str | None = None, **more: Any) -> dict[str, Any]:
    weighted = {"SetIdentifier": set_identifier, "Weight": 1} if set_identifier else {}
    answers = [{"Value": "192.0.2.1"}]
    return {"Name": f"{name}.example.com.", "Type": "A", "TTL": 60, "ResourceRecords": answers, **weighted, **more}


def change(dns: Any, zone: str, *changes: tuple[str, dict[str, Any]]) -> None:
    batch = [{"Action": action, "ResourceRecordSet": one} for action, one in changes]
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": batch})


def names(dns: Any, zone: str) -> list[str]:
    records = dns.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return [record["Name"].split(".")[0] for record in records if record["Type"] == "A"]


@pytest.fixture
def zone(aws: Any) -> tuple[Any, str]:
    dns = aws("route53")
    return dns, dns.create_hosted_zone(Name="example.com.", CallerReference="1")["HostedZone"]["Id"]


def test_record_that_goes_takes_no_other_along(zone: tuple[Any, str]) -> None:
    dns, id = zone
    change(dns, id, ("CREATE", record("read", "us-east-1")), ("CREATE", record("write", "us-east-1")))
    change(dns, id, ("DELETE", record("read", "us-east-1")))
    assert names(dns, id) == ["write"]


def test_record_is_created_once(zone: tuple[Any, str]) -> None:
    dns, id = zone
    change(dns, id, ("CREATE", record("read")))
    with pytest.raises(ClientError, match="but it already exists"):
        change(dns, id, ("CREATE", record("read", TTL=30)))


def test_deleted_record_can_come_again(zone: tuple[Any, str]) -> None:
    dns, id = zone
    change(dns, id, ("CREATE", record("read")), ("CREATE", record("zzz")))
    change(dns, id, ("DELETE", record("read")))
    change(dns, id, ("CREATE", record("read")))
    assert sorted(names(dns, id)) == ["read", "zzz"]


def test_record_can_be_exchanged_in_one_batch(zone: tuple[Any, str]) -> None:
    dns, id = zone
    change(dns, id, ("CREATE", record("read")))
    change(dns, id, ("DELETE", record("read")), ("CREATE", record("read", TTL=30)))
    assert names(dns, id) == ["read"]


def test_replica_of_a_key_is_one_and_its_primary_is_none(aws: Any) -> None:
    here, there = aws("kms"), aws("kms", "us-west-2")
    key = here.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    here.replicate_key(KeyId=key, ReplicaRegion="us-west-2")

    def kind(client: Any) -> str:
        return str(client.describe_key(KeyId=key)["KeyMetadata"]["MultiRegionConfiguration"]["MultiRegionKeyType"])

    assert [kind(there), kind(here)] == ["REPLICA", "PRIMARY"]


def test_default_rule_of_a_listener_is_named_by_it_alone(aws: Any) -> None:
    elb, ec2 = aws("elbv2"), aws("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    balancer = elb.create_load_balancer(Name="a", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    reply = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}]
    listeners = [
        elb.create_listener(LoadBalancerArn=balancer, Protocol="HTTP", Port=port, DefaultActions=reply)
        for port in (80, 81)
    ]
    arns = [one["Listeners"][0]["ListenerArn"] for one in listeners]
    rules = [elb.describe_rules(ListenerArn=arn)["Rules"][0]["RuleArn"] for arn in arns]
    assert len({*rules}) == 2
    for arn, rule in zip(arns, rules, strict=True):
        assert rule.startswith(arn.replace(":listener/", ":listener-rule/") + "/")
    models = import_module("moto.elbv2.models")
    again = models.FakeRule(listener_arn=arns[0], conditions=[], priority="default", actions=[], is_default=True)
    assert again.arn == rules[0]


def test_protected_load_balancer_stays(aws: Any) -> None:
    elb, ec2 = aws("elbv2"), aws("ec2")
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"][:2]]
    arn = elb.create_load_balancer(Name="a", Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]

    def protect(value: str) -> None:
        lock = {"Key": "deletion_protection.enabled", "Value": value}
        elb.modify_load_balancer_attributes(LoadBalancerArn=arn, Attributes=[lock])

    protect("true")
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        elb.delete_load_balancer(LoadBalancerArn=arn)
    protect("false")
    elb.delete_load_balancer(LoadBalancerArn=arn)
    assert elb.describe_load_balancers()["LoadBalancers"] == []


def test_endpoint_goes_with_route_tables_that_came_later(aws: Any) -> None:
    ec2 = aws("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    one, other = (ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in "12")
    service = "com.amazonaws.us-east-1.s3"
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=service, VpcEndpointType="Gateway", RouteTableIds=[one])
    id = made["VpcEndpoint"]["VpcEndpointId"]
    ec2.modify_vpc_endpoint(VpcEndpointId=id, AddRouteTableIds=[other])
    ec2.delete_vpc_endpoints(VpcEndpointIds=[id])
    assert [e["State"] for e in ec2.describe_vpc_endpoints(VpcEndpointIds=[id])["VpcEndpoints"]] == ["deleted"]


def test_amending_twice_is_amending_once(aws: Any, zone: tuple[Any, str]) -> None:
    for service in (*AMENDED, "s3"):
        amend(service)
    dns, id = zone
    change(dns, id, ("CREATE", record("read")))
    assert names(dns, id) == ["read"]
