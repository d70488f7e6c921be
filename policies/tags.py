"""Tags: whose a resource is, and who pays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from policies.document import parsed
from policies.network import LAUNCH_TEMPLATE
from policies.rule import UNKNOWN, Finding, Resource, Severity, items, judge, look, rule, unverified
from policies.wants import NAMED

REQUIRED: Final = ("owner", "environment", "service", "tenant-class", "cost-centre")
"""The tags of `tags` in a stack file (docs/config.md), as AWS has them."""

STARTED: Final = ("instance", "volume", "network-interface")
"""What a launch template starts: EC2 gives it neither the template's tags nor the provider's."""

TAGGABLE: Final = (
    "aws:acm/certificate:Certificate",
    "aws:backup/plan:Plan",
    "aws:backup/restoreTestingPlan:RestoreTestingPlan",
    "aws:backup/vault:Vault",
    "aws:cloudwatch/compositeAlarm:CompositeAlarm",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "aws:ebs/volume:Volume",
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
    "aws:ec2/eip:Eip",
    "aws:ec2/flowLog:FlowLog",
    "aws:ec2/instance:Instance",
    "aws:ec2/internetGateway:InternetGateway",
    "aws:ec2/launchTemplate:LaunchTemplate",
    "aws:ec2/managedPrefixList:ManagedPrefixList",
    "aws:ec2/natGateway:NatGateway",
    "aws:ec2/routeTable:RouteTable",
    "aws:ec2/securityGroup:SecurityGroup",
    "aws:ec2/subnet:Subnet",
    "aws:ec2/vpc:Vpc",
    "aws:ec2/vpcEndpoint:VpcEndpoint",
    "aws:ecr/repository:Repository",
    "aws:eks/accessEntry:AccessEntry",
    "aws:eks/addon:Addon",
    "aws:eks/cluster:Cluster",
    "aws:eks/nodeGroup:NodeGroup",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation",
    "aws:elasticache/parameterGroup:ParameterGroup",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:elasticache/subnetGroup:SubnetGroup",
    "aws:elasticache/user:User",
    "aws:elasticache/userGroup:UserGroup",
    "aws:iam/policy:Policy",
    "aws:iam/role:Role",
    "aws:iam/serviceLinkedRole:ServiceLinkedRole",
    "aws:kms/key:Key",
    "aws:kms/replicaKey:ReplicaKey",
    "aws:lb/listener:Listener",
    "aws:lb/listenerRule:ListenerRule",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:lb/targetGroup:TargetGroup",
    "aws:mq/broker:Broker",
    "aws:mq/configuration:Configuration",
    "aws:opensearch/domain:Domain",
    "aws:rds/eventSubscription:EventSubscription",
    "aws:rds/instance:Instance",
    "aws:rds/parameterGroup:ParameterGroup",
    "aws:rds/proxy:Proxy",
    "aws:rds/subnetGroup:SubnetGroup",
    "aws:route53/healthCheck:HealthCheck",
    "aws:route53/zone:Zone",
    "aws:s3/bucket:Bucket",
    "aws:secretsmanager/secret:Secret",
    "aws:sns/topic:Topic",
    "aws:sqs/queue:Queue",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    "aws:wafv2/webAcl:WebAcl",
)
"""The types that have tags and that we use or may use: those with an argument `tags` in pulumi_aws."""


@rule(
    "tags-required",
    on=TAGGABLE,
    severity=Severity.HIGH,
    why="A resource without owner and cost centre is paid by everybody and looked after by nobody",
    remedy="Keep the provider's default tags (stacks/region.py) and the launch templates' own (components/eks.py)",
    key="tags",
    reference="https://docs.aws.amazon.com/whitepapers/latest/tagging-best-practices/tagging-best-practices.html",
)
def required(resource: Resource) -> Iterator[Finding]:
    """Everything has the tags, its provider's included."""
    default = _default(resource.provider)
    for key in REQUIRED:
        yield from judge(_tag(resource.get("tags"), default, key), f"tags.{key}", NAMED)
    if resource.type == LAUNCH_TEMPLATE:
        yield from _started(resource)


def _default(provider: Mapping[str, Any]) -> Any:
    """The provider's default tags; the engine hands a provider's objects over as JSON texts."""
    value = provider.get("defaultTags")
    return UNKNOWN if value is UNKNOWN else look(parsed(value), "tags")


def _tag(own: Any, default: Any, key: str) -> Any:
    its = own if own is UNKNOWN else look(own, key)
    if its is None or its is UNKNOWN:
        # A tag of the resource's own that is not known yet may or may not be this one.
        inherited = look(default, key)
        return UNKNOWN if its is UNKNOWN and inherited is None else inherited if its is None else its
    return its


def _started(template: Resource) -> Iterator[Finding]:
    tags: dict[Any, tuple[str, Any]] = {}
    for path, one in items(template, "tagSpecifications"):
        if one is UNKNOWN or look(one, "resourceType") is UNKNOWN:
            yield unverified(path)
            return
        kind = look(one, "resourceType")
        if isinstance(kind, str):
            tags[kind] = (path, look(one, "tags"))
    for kind in STARTED:
        path, its = tags.get(kind, ("tagSpecifications", None))
        if its is None:
            yield Finding(path, f"has no tags for {kind}")
            continue
        for key in REQUIRED:
            yield from judge(look(its, key), f"{path}.tags.{key}", NAMED)
