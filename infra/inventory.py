"""What a region of the cloud holds for a stack, by the tags that the program puts on everything.

AWS goes on showing the tags of what was deleted: a NAT gateway for an hour, a key for the 30 days of its waiting
period. So whatever is found by a tag is looked at before it is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import boto3
import jmespath
from botocore.exceptions import ClientError

from infra import clouds
from stacks.region import RESOURCE_TAG, STACK_TAG

FILTER_VALUES: Final = 200
"""Values that EC2 takes in one filter (EC2 API reference, DescribeTags)."""

BACKUP: Final = re.compile(r":(cluster-)?(snapshot|auto-backup|recovery-point):")
"""ARNs of what AWS makes of a resource, with its tags, and keeps on purpose when that is deleted."""


@dataclass(frozen=True)
class Look:
    """How to see whether a resource is still there.

    Attributes:
        service: botocore's service name.
        operation: The client's method; that it knows no such id means that the resource is gone.
        parameter: Takes the id; as a list where its name is a plural.
        states: JMESPath to a list with its state, or anything else that an existing one has.
        gone: States in which it is as good as gone.
        whole: Whether the id is the whole ARN.
    """

    service: str
    operation: str
    parameter: str
    states: str
    gone: frozenset[str] = frozenset()
    whole: bool = False

    def ask(self, arn: str) -> dict[str, Any]:
        """The call's parameters for an ARN, or an id of EC2's."""
        id = arn if self.whole else arn.rpartition("/")[2]
        return {self.parameter: [id] if self.parameter.endswith("s") else id}


_DELETED: Final = frozenset({"deleted", "deleting", "failed"})
_DOOMED: Final = frozenset({"PendingDeletion", "PendingReplicaDeletion"})
_GROUP: Final = Look("ec2", "describe_security_groups", "GroupIds", "SecurityGroups[].GroupId")
_RULE: Final = Look(
    "ec2", "describe_security_group_rules", "SecurityGroupRuleIds", "SecurityGroupRules[].SecurityGroupRuleId"
)
_KEY: Final = Look("kms", "describe_key", "KeyId", "[KeyMetadata.KeyState]", _DOOMED)

LOOKS: Final[Mapping[str, Look]] = {
    "ec2/vpc:Vpc": Look("ec2", "describe_vpcs", "VpcIds", "Vpcs[].VpcId"),
    "ec2/subnet:Subnet": Look("ec2", "describe_subnets", "SubnetIds", "Subnets[].SubnetId"),
    "ec2/internetGateway:InternetGateway": Look(
        "ec2", "describe_internet_gateways", "InternetGatewayIds", "InternetGateways[].InternetGatewayId"
    ),
    "ec2/eip:Eip": Look("ec2", "describe_addresses", "AllocationIds", "Addresses[].AllocationId"),
    "ec2/natGateway:NatGateway": Look("ec2", "describe_nat_gateways", "NatGatewayIds", "NatGateways[].State", _DELETED),
    "ec2/routeTable:RouteTable": Look("ec2", "describe_route_tables", "RouteTableIds", "RouteTables[].RouteTableId"),
    "ec2/securityGroup:SecurityGroup": _GROUP,
    "ec2/defaultSecurityGroup:DefaultSecurityGroup": _GROUP,
    "vpc/securityGroupIngressRule:SecurityGroupIngressRule": _RULE,
    "vpc/securityGroupEgressRule:SecurityGroupEgressRule": _RULE,
    "ec2/vpcEndpoint:VpcEndpoint": Look(
        "ec2", "describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints[].State", _DELETED
    ),
    "ec2/flowLog:FlowLog": Look("ec2", "describe_flow_logs", "FlowLogIds", "FlowLogs[].FlowLogId"),
    "ec2/launchTemplate:LaunchTemplate": Look(
        "ec2", "describe_launch_templates", "LaunchTemplateIds", "LaunchTemplates[].LaunchTemplateId"
    ),
    "kms/key:Key": _KEY,
    "kms/replicaKey:ReplicaKey": _KEY,
    "secretsmanager/secret:Secret": Look(
        "secretsmanager", "describe_secret", "SecretId", "[DeletedDate && 'deleted' || 'there']", _DELETED, whole=True
    ),
    "acm/certificate:Certificate": Look(
        "acm", "describe_certificate", "CertificateArn", "[Certificate.Status]", whole=True
    ),
}
"""By type, as the identity tag names it; what is not here is gone at once when it is deleted, its tags with it."""


class Region:
    """One region, as reconciling sees it.

    Args:
        name: AWS's name of it.
        stack: The stack whose tag counts.
        cloud: Where calls go.
    """

    def __init__(self, name: str, stack: str, cloud: clouds.Cloud) -> None:
        self.name = name
        self._stack = stack
        self._session = boto3.Session(region_name=name, **dict[str, Any](clouds.credentials(cloud)))
        self._endpoint = clouds.aws_endpoint(cloud)
        self._clients: dict[str, Any] = {}
        self._tagged: dict[str, dict[str, str]] | None = None

    def client(self, service: str) -> Any:
        """A boto3 client."""
        if service not in self._clients:
            self._clients[service] = self._session.client(service, endpoint_url=self._endpoint)  # type: ignore[call-overload]
        return self._clients[service]

    def tagged(self) -> dict[str, dict[str, str]]:
        """Tags by ARN (for EC2 by id) of everything that carries the stack's tag, what was deleted lately included."""
        if self._tagged is None:
            found: dict[str, dict[str, str]] = {}
            pages = self.client("resourcegroupstaggingapi").get_paginator("get_resources")
            for page in pages.paginate(TagFilters=[{"Key": STACK_TAG, "Values": [self._stack]}]):
                for item in page["ResourceTagMappingList"]:
                    if BACKUP.search(item["ResourceARN"]):
                        continue
                    found[item["ResourceARN"]] = {tag["Key"]: tag["Value"] for tag in item["Tags"]}
            ids = [tag["ResourceId"] for tag in self._ec2_tags({"key": [STACK_TAG], "value": [self._stack]})]
            for start in range(0, len(ids), FILTER_VALUES):
                for tag in self._ec2_tags({"resource-id": ids[start : start + FILTER_VALUES]}):
                    known = next((arn for arn in found if arn.endswith(f"/{tag['ResourceId']}")), tag["ResourceId"])
                    found.setdefault(known, {})[tag["Key"]] = tag["Value"]
            self._tagged = found
        return self._tagged

    def by_tag(self, type_: str, name: str) -> list[str]:
        """ARNs (for EC2 ids) of what carries this identity: during a replacement, the old and the new resource do."""
        wanted = f"{type_.removeprefix('aws:')}::{name}"
        return [arn for arn, tags in self.tagged().items() if tags.get(RESOURCE_TAG) == wanted and self.holds(arn)]

    def holds(self, arn: str) -> bool:
        """Whether something that is `tagged` is really there."""
        look = LOOKS.get(self.tagged()[arn].get(RESOURCE_TAG, "").partition("::")[0])
        if look is None:
            return True
        try:
            answer = getattr(self.client(look.service), look.operation)(**look.ask(arn))
        except ClientError as error:
            # Anything else (a missing permission, for example) tells nothing, and what may be there is not passed over.
            return "NotFound" not in error.response["Error"]["Code"]
        return any(state not in look.gone for state in jmespath.search(look.states, answer) or ())

    def _ec2_tags(self, filters: Mapping[str, list[str]]) -> Iterator[Mapping[str, str]]:
        given = [{"Name": name, "Values": values} for name, values in filters.items()]
        for page in self.client("ec2").get_paginator("describe_tags").paginate(Filters=given):
            yield from page["Tags"]
