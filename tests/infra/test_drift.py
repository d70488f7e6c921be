"""Drift of a whole region: one resource of every executed type changed behind the program's back, and found by name."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from infra.local.aws import TYPES
from infra.local.aws.cloud import Clients, Region
from infra.local.resource import State
from infra.plan import Change
from tests.infra.local.aws.case import GONE, attribute, tag
from tests.infra.local.aws.cases import CASES

pytestmark = pytest.mark.engine

EXECUTED = {type_.token for type_ in TYPES if type_.executed}


class Drift(NamedTuple):
    """What happens to a resource of a type, and the input that has to show it (or `GONE`)."""

    behind: Callable[[Any, State], Any]
    shows: str


def one_call(service: str, operation: str, shows: str, **params: Any) -> Drift:
    """One call, with `{}` for the id."""
    return Drift(attribute(service, operation, **params), shows)


CASE = {str(case): Drift(case.behind, case.drifts) for case in CASES}
"""What the life-cycle cases do, by their names."""

HERE = {
    "aws:sns/topic:Topic": one_call(
        "sns",
        "SetTopicAttributes",
        "kmsMasterKeyId",
        TopicArn="{}",
        AttributeName="KmsMasterKeyId",
        AttributeValue="alias/aws/sns",
    ),
    "aws:sns/topicSubscription:TopicSubscription": one_call("sns", "Unsubscribe", GONE, SubscriptionArn="{}"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": one_call("cloudwatch", "DeleteAlarms", GONE, AlarmNames=["{}"]),
    "aws:lb/listener:Listener": one_call("elbv2", "ModifyListener", "port", ListenerArn="{}", Port=8443),
    "aws:ec2/subnet:Subnet": one_call(
        "ec2", "ModifySubnetAttribute", "mapPublicIpOnLaunch", SubnetId="{}", MapPublicIpOnLaunch={"Value": True}
    ),
    "aws:ec2/vpcEndpoint:VpcEndpoint": Drift(tag("c"), "tags"),
    "aws:eks/cluster:Cluster": one_call(
        "eks", "UpdateClusterConfig", "zonalShiftConfig", name="{}", zonalShiftConfig={"enabled": False}
    ),
    "aws:elasticache/user:User": one_call(
        "elasticache", "ModifyUser", "accessString", UserId="{}", AccessString="on ~* +@all"
    ),
    "aws:route53/record:Record": CASE["Record-latency"],
    # Its nodes are changed with the global datastore, which would hide whether the group itself is looked at.
    "aws:elasticache/replicationGroup:ReplicationGroup": one_call(
        "elasticache", "ModifyReplicationGroup", "snapshotWindow", ReplicationGroupId="{}", SnapshotWindow="01:00-02:00"
    ),
    "aws:ecr/repository:Repository": one_call(
        "ecr", "PutImageTagMutability", "imageTagMutability", repositoryName="{}", imageTagMutability="MUTABLE"
    ),
    "aws:opensearch/domain:Domain": Drift(
        lambda place, state: place.call(
            "opensearch",
            "UpdateDomainConfig",
            DomainName=state.inputs["domainName"],
            EBSOptions={"EBSEnabled": True, "VolumeType": "gp3", "VolumeSize": 3500},
        ),
        "ebsOptions",
    ),
    "aws:iam/rolePolicy:RolePolicy": Drift(
        lambda place, state: place.call(
            "iam", "DeleteRolePolicy", RoleName=state.inputs["role"], PolicyName=state.inputs["name"]
        ),
        GONE,
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": one_call(
        "s3", "DeleteBucketEncryption", GONE, Bucket="{}"
    ),
    "aws:s3/bucketLogging:BucketLogging": one_call("s3", "PutBucketLogging", GONE, Bucket="{}", BucketLoggingStatus={}),
    # A version never changes; it can only go, with its secret.
    "aws:secretsmanager/secretVersion:SecretVersion": Drift(
        lambda place, state: place.call(
            "secretsmanager", "DeleteSecret", SecretId=state.inputs["secretId"], ForceDeleteWithoutRecovery=True
        ),
        GONE,
    ),
}
"""Where the life-cycle case changes what a region has like that already, or needs what a region does not have."""

LAST = ("aws:acm/certificateValidation:CertificateValidation", "aws:secretsmanager/secretVersion:SecretVersion")
"""Changed by themselves, after all others were found: they take along what they belong to."""


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


def resources_of(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """One resource per executed type, the same in every run."""
    ordered = sorted(state["resources"], key=lambda item: str(item["urn"]), reverse=True)
    return {item["type"]: item for item in ordered if item["type"] in EXECUTED}


def shown(drift: Drift, change: Change | None) -> bool:
    """Whether what was reported of a resource is what happened to it."""
    if change is None:
        return False
    if drift.shows == GONE:
        return change.op == "delete"
    names = {path.partition(".")[0].partition("[")[0] for path in change.paths}
    return change.op == "update" and drift.shows in names


def test_refresh_names_every_resource_that_was_changed(local_cloud: Any, capsys: pytest.CaptureFixture[str]) -> None:
    prod = local_cloud.deployment("prod")
    prod.up()
    assert prod.refresh(save=False).changing == ()
    region = Region("us-east-1", Clients(local_cloud.cloud.aws_url))
    state = prod.state()
    drifts = {case.token: Drift(case.behind, case.drifts) for case in reversed(CASES)} | HERE
    chosen = resources_of(state)
    reported = 0
    for types in (chosen.keys() - LAST, chosen.keys() & LAST):
        for type_ in sorted(types):
            resource = chosen[type_]
            place = live_place(region, resource, state["resources"])
            drifts[type_].behind(place, State(resource["id"], resource["inputs"], resource["outputs"]))
        found = {change.urn: change for change in prod.refresh(save=False).changing}
        unseen = [chosen[type_]["urn"] for type_ in types if not shown(drifts[type_], found.get(chosen[type_]["urn"]))]
        assert sorted(unseen) == []
        reported = len(found)
    with capsys.disabled():
        print(f"\n{len(chosen)} types changed behind the program's back, {reported} resources reported")  # noqa: T201
