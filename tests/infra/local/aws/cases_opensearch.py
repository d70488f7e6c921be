"""Cases: the search index, and what it needs of IAM and CloudWatch Logs."""

from contextlib import suppress
from typing import Any

from infra.local.aws.cloud import AwsError
from infra.local.resource import Props
from tests.infra.local.aws.case import GONE, Case, attribute
from tests.infra.local.aws.world import ACCOUNT, Place, World, document

GROUP = "/aws/opensearch/domains/thing"


def log_groups(place: Place) -> str:
    """The service-linked role, and a log group that OpenSearch may write to; gives the group's ARN."""
    with suppress(AwsError):
        place.call("iam", "CreateServiceLinkedRole", AWSServiceName="opensearchservice.amazonaws.com")
    with suppress(AwsError):
        place.call("logs", "CreateLogGroup", logGroupName=GROUP)
    arn = f"arn:aws:logs:{place.name}:{ACCOUNT}:log-group:{GROUP}"
    rights = document("logs:PutLogEvents", Principal={"Service": "es.amazonaws.com"}, Resource=f"{arn}:*")
    place.call("logs", "PutResourcePolicy", policyName="opensearch", policyDocument=rights)
    return arn


def domain(place: Place, **more: Any) -> Props:
    """A domain with all that ours has."""
    arn = log_groups(place)
    return {
        "domainName": "thing",
        "engineVersion": "OpenSearch_2.19",
        "clusterConfig": cluster(),
        "ebsOptions": {
            "ebsEnabled": True,
            "volumeType": "gp3",
            "volumeSize": 2048,
            "iops": 6144,
            "throughput": 250,
        },
        "encryptAtRest": {"enabled": True, "kmsKeyId": place.key},
        "nodeToNodeEncryption": {"enabled": True},
        "domainEndpointOptions": {"enforceHttps": True, "tlsSecurityPolicy": "Policy-Min-TLS-1-2-PFS-2023-10"},
        "vpcOptions": {"subnetIds": place.subnets, "securityGroupIds": [place.groups[0]]},
        "accessPolicies": document("es:ESHttp*", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, Resource="*"),
        "advancedSecurityOptions": {
            "enabled": True,
            "internalUserDatabaseEnabled": False,
            "masterUserOptions": {"masterUserArn": place.role},
        },
        "logPublishingOptions": [
            {"logType": kind, "cloudwatchLogGroupArn": arn, "enabled": True}
            for kind in ("SEARCH_SLOW_LOGS", "AUDIT_LOGS")
        ],
        "autoTuneOptions": {
            "desiredState": "ENABLED",
            "rollbackOnDisable": "NO_ROLLBACK",
            "useOffPeakWindow": True,
        },
        "offPeakWindowOptions": {
            "enabled": True,
            "offPeakWindow": {"windowStartTime": {"hours": 3, "minutes": 0}},
        },
        "softwareUpdateOptions": {"autoSoftwareUpdateEnabled": True},
        **more,
    }


def cluster(**more: Any) -> Props:
    """Nodes of every kind."""
    node = {"enabled": True, "type": "m6g.2xlarge.search", "count": 6}
    return {
        "instanceType": "m6g.4xlarge.search",
        "instanceCount": 21,
        "dedicatedMasterEnabled": True,
        "dedicatedMasterType": "m6g.2xlarge.search",
        "dedicatedMasterCount": 3,
        "zoneAwarenessEnabled": True,
        "zoneAwarenessConfig": {"availabilityZoneCount": 3},
        "multiAzWithStandbyEnabled": True,
        "warmEnabled": True,
        "warmType": "ultrawarm1.medium.search",
        "warmCount": 12,
        "coldStorageOptions": {"enabled": True},
        "nodeOptions": [{"nodeType": "coordinator", "nodeConfig": node}],
        **more,
    }


def _change(place: Place, world: World) -> Props:
    said = domain(place)
    return {
        "engineVersion": "OpenSearch_3.3",
        "clusterConfig": cluster(instanceCount=24),
        "ebsOptions": {**said["ebsOptions"], "volumeSize": 3000, "iops": 9000},
        "logPublishingOptions": said["logPublishingOptions"][:1],
        "offPeakWindowOptions": {
            "enabled": True,
            "offPeakWindow": {"windowStartTime": {"hours": 4, "minutes": 30}},
        },
        "tags": {"a": "b"},
    }


OPENSEARCH = (
    Case(
        "aws:opensearch/domain:Domain",
        lambda place, world: domain(place),
        change=_change,
        behind=lambda place, state: place.call(
            "opensearch",
            "UpdateDomainConfig",
            DomainName="thing",
            EBSOptions={"EBSEnabled": True, "VolumeType": "gp3", "VolumeSize": 3500},
        ),
        drifts="ebsOptions",
        # AWS, too, tells defaults that no program mentions, where in the VPC the domain is, and not who is its master.
        unseen=frozenset(
            {"advancedSecurityOptions", "autoTuneOptions", "cognitoOptions", "snapshotOptions", "vpcOptions"}
        ),
    ),
    Case(
        "aws:iam/serviceLinkedRole:ServiceLinkedRole",
        lambda place, world: {"awsServiceName": "autoscaling.amazonaws.com", "description": "one"},
        change=lambda place, world: {"description": "two", "tags": {"a": "b"}},
        behind=lambda place, state: place.call(
            "iam", "UpdateRole", RoleName=state.outputs["name"], Description="behind"
        ),
        drifts="description",
    ),
    Case(
        "aws:cloudwatch/logResourcePolicy:LogResourcePolicy",
        lambda place, world: {
            "policyName": "thing",
            "policyDocument": document("logs:PutLogEvents", Principal={"Service": "es.amazonaws.com"}, Resource="*"),
        },
        change=lambda place, world: {
            "policyDocument": document("logs:CreateLogStream", Principal={"Service": "es.amazonaws.com"}, Resource="*")
        },
        behind=attribute("logs", "DeleteResourcePolicy", policyName="{}"),
        drifts=GONE,
    ),
)
