"""Drift of a whole region: one resource of every executed type changed behind the program's back, and found by name."""

from types import SimpleNamespace
from typing import Any

import pytest

from infra.local.aws import TYPES
from infra.local.aws.cloud import Clients, Region
from infra.local.resource import State
from tests.infra.local.aws.case import attribute
from tests.infra.local.aws.cases import CASES

pytestmark = pytest.mark.engine

EXECUTED = {type_.token for type_ in TYPES if type_.executed}


HERE: dict[str, Any] = {
    "aws:sns/topic:Topic": lambda place, state: place.call(
        "sns", "SetTopicAttributes", TopicArn=state.id, AttributeName="KmsMasterKeyId", AttributeValue="alias/aws/sns"
    ),
    "aws:sns/topicSubscription:TopicSubscription": lambda place, state: place.call(
        "sns", "Unsubscribe", SubscriptionArn=state.id
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": lambda place, state: place.call(
        "cloudwatch", "DeleteAlarms", AlarmNames=[state.id]
    ),
    "aws:lb/listener:Listener": lambda place, state: place.call(
        "elbv2", "ModifyListener", ListenerArn=state.id, Port=8443
    ),
    "aws:ec2/subnet:Subnet": lambda place, state: place.call(
        "ec2", "ModifySubnetAttribute", SubnetId=state.id, MapPublicIpOnLaunch={"Value": True}
    ),
    "aws:iam/rolePolicy:RolePolicy": lambda place, state: place.call(
        "iam", "DeleteRolePolicy", RoleName=state.inputs["role"], PolicyName=state.inputs["name"]
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": lambda place, state: (
        place.call("s3", "DeleteBucketEncryption", Bucket=state.inputs["bucket"])
    ),
    "aws:s3/bucketLogging:BucketLogging": lambda place, state: place.call(
        "s3", "PutBucketLogging", Bucket=state.inputs["bucket"], BucketLoggingStatus={}
    ),
    "aws:eks/cluster:Cluster": attribute("eks", "UpdateClusterConfig", name="{}", zonalShiftConfig={"enabled": False}),
    "aws:opensearch/domain:Domain": lambda place, state: place.call(
        "opensearch",
        "UpdateDomainConfig",
        DomainName=state.inputs["domainName"],
        EBSOptions={"EBSEnabled": True, "VolumeType": "gp3", "VolumeSize": 3500},
    ),
    "aws:elasticache/user:User": attribute("elasticache", "ModifyUser", UserId="{}", AccessString="on ~* +@all"),
    "aws:elasticache/replicationGroup:ReplicationGroup": attribute(
        "elasticache", "ModifyReplicationGroup", ReplicationGroupId="{}", SnapshotWindow="01:00-02:00"
    ),
    "aws:ecr/repository:Repository": attribute(
        "ecr", "PutImageTagMutability", repositoryName="{}", imageTagMutability="MUTABLE"
    ),
    # A version never changes; it can only go, with its secret.
    "aws:secretsmanager/secretVersion:SecretVersion": lambda place, state: place.call(
        "secretsmanager", "DeleteSecret", SecretId=state.inputs["secretId"], ForceDeleteWithoutRecovery=True
    ),
}
"""Where the life-cycle case changes what a region does not say, or needs what a region does not have."""


def live_place(region: Region, resource: dict[str, Any], others: list[dict[str, Any]]) -> Any:
    """What the life-cycle cases call a place, made of what a real resource refers to."""
    inputs = resource["inputs"]
    keys = [other["outputs"]["arn"] for other in others if other["type"] == "aws:kms/key:Key"]
    return SimpleNamespace(
        call=region.call,
        name=region.name,
        key=next((arn for arn in keys if arn.split("/")[-1] != inputs.get("targetKeyId")), ""),
        tables=[inputs.get("routeTableId"), *inputs.get("routeTableIds", ())][0 if inputs.get("routeTableId") else 1 :],
        groups=[inputs.get("securityGroupId")],
        role=inputs.get("role"),
        policy=inputs.get("policyArn"),
        topic=inputs.get("topic") or inputs.get("arn"),
        bucket=inputs.get("bucket"),
        cluster=inputs.get("clusterName"),
        secret=inputs.get("secretId"),
        subnets=inputs.get("subnetIds"),
        vpc=inputs.get("vpcId"),
        zone=inputs.get("zoneId"),
    )


def test_refresh_names_every_resource_that_was_changed(local_cloud: Any, capsys: pytest.CaptureFixture[str]) -> None:
    prod = local_cloud.deployment("prod")
    prod.up()
    region = Region("us-east-1", Clients(local_cloud.cloud.aws_url))
    resources = prod.state()["resources"]
    behind = {case.token: case.behind for case in reversed(CASES)}
    changed = {}
    for resource in resources:
        if resource["type"] in EXECUTED and resource["type"] not in changed:
            place = live_place(region, resource, resources)
            state = State(resource["id"], resource["inputs"], resource["outputs"])
            {**behind, **HERE}[resource["type"]](place, state)
            changed[resource["type"]] = resource["urn"]
    plan=prod.refresh(save=False)
    import pprint; print([(c.type,c.op,c.paths, c.name) for c in plan.changing], file=open("/tmp/paths.txt","w"))
    found = {change.urn for change in plan.changing}
    assert sorted({*changed.values()} - found) == []
    with capsys.disabled():
        print(f"\n{len(changed)} types changed behind the program's back, {len(found)} resources reported")  # noqa: T201
