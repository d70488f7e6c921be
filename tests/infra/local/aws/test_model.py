"""Every description holds against botocore's models, the SDK's schema, and what the real provider replaces."""

import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
import pytest
from botocore.model import Shape, StructureShape
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # type: ignore[import-untyped]

from infra.local.aws import TYPES, coverage, facts, shapes
from infra.local.aws.cloud import names_in
from infra.local.aws.model import Call, Type
from infra.local.aws.plan import ELSEWHERE, Plan, operation

EVERYWHERE = {"id", "region", "account", "partition", "hex"}

MADE_INSIDE = {"stickiness.appCookieDuration"}
"""What a `prepare` adds to a block; what it adds beside the SDK's inputs needs no mention."""

every_type = pytest.mark.parametrize("type_", TYPES, ids=lambda type_: type_.token.split(":")[-1])


def calls(type_: Type) -> Iterator[Call]:
    """Every operation that a description names."""
    single = [type_.create, type_.checked, type_.read, type_.update]
    several = [*type_.instead.values(), *type_.delete]
    for setting in type_.settings:
        several += [call for call in (setting.set, setting.get, setting.unset) if call is not None]
    if type_.tagging is not None:
        several += [type_.tagging.add, type_.tagging.remove, *([type_.tagging.get] if type_.tagging.get else [])]
    yield from (call for call in (*single, *several) if call is not None)


def sdk_outputs(token: str) -> set[str]:
    """The outputs that the SDK's resource class has."""
    _, module, name = token.split(":")
    resource = getattr(importlib.import_module(f"pulumi_aws.{module.split('/')[0]}"), name)
    found = set()
    for attribute, member in vars(resource).items():
        if isinstance(member, property) and member.fget is not None:
            found.add(getattr(member.fget, "_pulumi_name", attribute))
    return found


def has_path(schema: facts.Schema, path: list[str]) -> bool:
    """Whether a property path exists in the SDK."""
    if not path:
        return True
    return path[0] in schema and has_path(schema[path[0]].fields, path[1:])


def accepts(shape: Shape, params: Mapping[str, Any]) -> bool:
    """Whether the fixed parameters exist in an operation's input."""
    for name, value in params.items():
        inner = shapes.locate(shape, name)
        if inner is None:
            return False
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping) and not accepts(inner, item):
                return False
    return True


def shape_at(call: Call, shape: Shape, path: str) -> Shape | None:
    """The shape that a spelled property goes to: its own path counts from that of the property around it."""
    parts = path.split(".")
    found: Shape | None = shape
    for depth in range(1, len(parts) + 1):
        inner = ".".join(parts[:depth])
        if found is None:
            return None
        target = call.spelled.get(inner) or shapes.member_of(_element(found), parts[depth - 1])
        found = shapes.locate(found, target) if target else None
    return found


def _element(shape: Shape) -> Shape:
    while shape.type_name == "list":
        shape = shape.member  # type: ignore[attr-defined]
    return shape


@every_type
def test_sdk_and_facts_know_the_type(type_: Type) -> None:
    assert facts.inputs(type_.token)
    assert facts.all_facts()[type_.token].source.startswith("aws_")


@every_type
def test_operations_exist(type_: Type) -> None:
    for call in calls(type_):
        assert operation(call, type_).name == call.operation


@every_type
def test_properties_exist_in_the_sdk(type_: Type) -> None:
    schema = facts.inputs(type_.token)
    named = {*type_.shows, *type_.recorded, *type_.instead, *([type_.autoname] if type_.autoname else [])}
    named |= {name for setting in type_.settings for name in setting.switches}
    for call in calls(type_):
        named |= {*(call.fields or ()), *call.spelled}
    unknown = {path for path in named if not has_path(schema, path.split("."))}
    if type_.prepare is not None:
        made = {path for path in unknown if path.split(".")[0] not in schema}
        unknown -= made - {*type_.shows, *type_.recorded, *type_.instead} | MADE_INSIDE
    assert unknown == set()


@every_type
def test_properties_have_a_place_in_their_operation(type_: Type) -> None:
    for call in calls(type_):
        shape = operation(call, type_).input_shape
        for name in call.fields or ():
            assert shapes.member_of(shape, name) or name in call.spelled, f"{call.operation} takes no {name}"
        for path in call.spelled:
            assert shape_at(call, shape, path) is not None, f"{call.operation} has no place for {path}"


@every_type
def test_fixed_parameters_exist(type_: Type) -> None:
    for call in calls(type_):
        assert accepts(operation(call, type_).input_shape or StructureShape("None", {}), call.fixed), call.operation


@every_type
def test_templates_name_what_a_resource_has(type_: Type) -> None:
    known = {*facts.inputs(type_.token), *facts.all_facts()[type_.token].computed, *type_.outputs, *EVERYWHERE}
    templates: list[Any] = [type_.id if isinstance(type_.id, str) else ""]
    templates += [part for call in calls(type_) for part in (call.fixed, call.at, call.region)]
    templates += [where for where in type_.outputs.values() if isinstance(where, str)]
    if type_.prepare is None:
        assert names_in(templates) <= known


@every_type
def test_paths_into_answers_can_be_read(type_: Type) -> None:
    paths = [call.at for call in calls(type_)]
    paths += [where for where in (*type_.shows.values(), *type_.outputs.values()) if isinstance(where, str)]
    if isinstance(type_.id, str):
        paths.append(type_.id)
    for path in paths:
        if path and not (names_in(path) and "[" not in path):
            jmespath.compile(re.sub(r"\{(\w+)\}", r"\1", path))


@every_type
def test_outputs_exist_in_the_sdk(type_: Type) -> None:
    assert {*type_.outputs} <= sdk_outputs(type_.token)


@every_type
def test_whatever_can_be_created_can_be_changed(type_: Type) -> None:
    plan = Plan(type_)
    changeable = {*plan.update_fields, *type_.recorded, *(plan.create_fields if type_.upsert else ())}
    changeable |= {name for setting in type_.settings for name in plan.triggers(setting)}
    if type_.replaces is not None:
        probe = {name: object() for name in plan.schema}
        changeable |= {*type_.replaces({}, probe)}
    stuck = {name for name in plan.covered & {*plan.schema} if name not in plan.facts.replaces} - changeable - ELSEWHERE
    assert not type_.executed or stuck == set()


@every_type
def test_required_inputs_are_modelled(type_: Type) -> None:
    assert {*facts.all_facts()[type_.token].required} <= Plan(type_).covered


def test_types_are_described_once() -> None:
    tokens = [type_.token for type_ in TYPES]
    assert len({*tokens}) == len(tokens)
    assert [row.token for row in coverage()] == sorted(tokens)


CLOUDFORMATION = {
    "aws:acm/certificate:Certificate": "CertificateManager::Certificate",
    "aws:backup/plan:Plan": "Backup::BackupPlan",
    "aws:backup/restoreTestingPlan:RestoreTestingPlan": "Backup::RestoreTestingPlan",
    "aws:backup/restoreTestingSelection:RestoreTestingSelection": "Backup::RestoreTestingSelection",
    "aws:backup/selection:Selection": "Backup::BackupSelection",
    "aws:backup/vault:Vault": "Backup::BackupVault",
    "aws:cloudwatch/logGroup:LogGroup": "Logs::LogGroup",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "CloudWatch::Alarm",
    "aws:ec2/eip:Eip": "EC2::EIP",
    "aws:ec2/flowLog:FlowLog": "EC2::FlowLog",
    "aws:ec2/internetGateway:InternetGateway": "EC2::InternetGateway",
    "aws:ec2/launchTemplate:LaunchTemplate": "EC2::LaunchTemplate",
    "aws:ec2/natGateway:NatGateway": "EC2::NatGateway",
    "aws:ec2/route:Route": "EC2::Route",
    "aws:ec2/routeTable:RouteTable": "EC2::RouteTable",
    "aws:ec2/routeTableAssociation:RouteTableAssociation": "EC2::SubnetRouteTableAssociation",
    "aws:ec2/securityGroup:SecurityGroup": "EC2::SecurityGroup",
    "aws:ec2/subnet:Subnet": "EC2::Subnet",
    "aws:ec2/vpc:Vpc": "EC2::VPC",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "EC2::VPCEndpoint",
    "aws:ecr/replicationConfiguration:ReplicationConfiguration": "ECR::ReplicationConfiguration",
    "aws:ecr/repository:Repository": "ECR::Repository",
    "aws:eks/accessEntry:AccessEntry": "EKS::AccessEntry",
    "aws:eks/addon:Addon": "EKS::Addon",
    "aws:eks/cluster:Cluster": "EKS::Cluster",
    "aws:eks/nodeGroup:NodeGroup": "EKS::Nodegroup",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": "EKS::PodIdentityAssociation",
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup": "ElastiCache::GlobalReplicationGroup",
    "aws:elasticache/parameterGroup:ParameterGroup": "ElastiCache::ParameterGroup",
    "aws:elasticache/replicationGroup:ReplicationGroup": "ElastiCache::ReplicationGroup",
    "aws:elasticache/subnetGroup:SubnetGroup": "ElastiCache::SubnetGroup",
    "aws:elasticache/user:User": "ElastiCache::User",
    "aws:elasticache/userGroup:UserGroup": "ElastiCache::UserGroup",
    "aws:iam/role:Role": "IAM::Role",
    "aws:iam/rolePolicy:RolePolicy": "IAM::RolePolicy",
    "aws:kms/alias:Alias": "KMS::Alias",
    "aws:kms/key:Key": "KMS::Key",
    "aws:kms/replicaKey:ReplicaKey": "KMS::ReplicaKey",
    "aws:lb/listener:Listener": "ElasticLoadBalancingV2::Listener",
    "aws:lb/listenerRule:ListenerRule": "ElasticLoadBalancingV2::ListenerRule",
    "aws:lb/loadBalancer:LoadBalancer": "ElasticLoadBalancingV2::LoadBalancer",
    "aws:lb/targetGroup:TargetGroup": "ElasticLoadBalancingV2::TargetGroup",
    "aws:opensearch/domain:Domain": "OpenSearchService::Domain",
    "aws:rds/eventSubscription:EventSubscription": "RDS::EventSubscription",
    "aws:rds/instance:Instance": "RDS::DBInstance",
    "aws:rds/parameterGroup:ParameterGroup": "RDS::DBParameterGroup",
    "aws:rds/subnetGroup:SubnetGroup": "RDS::DBSubnetGroup",
    "aws:route53/healthCheck:HealthCheck": "Route53::HealthCheck",
    "aws:route53/record:Record": "Route53::RecordSet",
    "aws:route53/zone:Zone": "Route53::HostedZone",
    "aws:s3/bucket:Bucket": "S3::Bucket",
    "aws:s3/bucketPolicy:BucketPolicy": "S3::BucketPolicy",
    "aws:secretsmanager/secret:Secret": "SecretsManager::Secret",
    "aws:secretsmanager/secretPolicy:SecretPolicy": "SecretsManager::ResourcePolicy",
    "aws:sns/topic:Topic": "SNS::Topic",
    "aws:sns/topicPolicy:TopicPolicy": "SNS::TopicPolicy",
    "aws:sns/topicSubscription:TopicSubscription": "SNS::Subscription",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": "EC2::SecurityGroupEgress",
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": "EC2::SecurityGroupIngress",
    "aws:wafv2/webAcl:WebAcl": "WAFv2::WebACL",
    "aws:wafv2/webAclAssociation:WebAclAssociation": "WAFv2::WebACLAssociation",
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": "WAFv2::LoggingConfiguration",
}
"""The CloudFormation type of those types that have one of their own; a bucket's parts are properties there."""

_RULE = "the provider calls ModifySecurityGroupRules, which is younger than CloudFormation's resource"

IN_PLACE_FOR_THE_PROVIDER = {
    ("Cluster", "encryptionConfig"): "added later by AssociateEncryptionConfig",
    ("Cluster", "outpostConfig"): "not modelled",
    ("Instance", "dbSubnetGroupName"): "ModifyDBInstance moves a single-AZ instance",
    ("Instance", "identifier"): "renamed in place since version 5 of the provider",
    ("EventSubscription", "snsTopic"): "ModifyEventSubscription takes a topic",
    ("ReplicationGroup", "preferredCacheClusterAzs"): "ignored on update",
    (
        "RouteTableAssociation",
        "routeTableId",
    ): "the provider calls ReplaceRouteTableAssociation (the local cloud replaces)",
    **{
        (f"SecurityGroup{direction}Rule", name): _RULE
        for direction in ("Ingress", "Egress")
        for name in ("cidrIpv6", "fromPort", "ipProtocol", "toPort")
    },
}
"""What CloudFormation replaces and the provider does not."""

IN_PLACE_FOR_CLOUDFORMATION = {
    (
        "Bucket",
        "objectLockEnabled",
    ): "S3 can turn it on later; the provider leaves that to BucketObjectLockConfiguration",
    ("Certificate", "validationMethod"): "missing in the schema: the user guide says replacement",
    ("Domain", "vpcOptions"): "only a block that comes or goes replaces: AWS refuses to move a domain into a VPC",
    ("Eip", "domain"): "an address is allocated for a domain",
    ("Eip", "publicIpv4Pool"): "an address is allocated from a pool",
    (
        "GlobalReplicationGroup",
        "globalReplicationGroupIdSuffix",
    ): "missing in the schema: the API has no such change",
    ("Key", "keyUsage"): "CloudFormation refuses the update",
    ("Key", "multiRegion"): "CloudFormation refuses the update",
    ("LogGroup", "logGroupClass"): "CloudFormation refuses the update",
    ("ParameterGroup", "description"): "missing in the schema: the API has no such change",
    ("ParameterGroup", "name"): "missing in the schema, where a name is read only: the API has no such change",
    ("Record", "name"): "missing in the schema: the user guide says replacement",
    ("Secret", "type"): "CloudFormation refuses the update",
    ("TargetGroup", "targetControlPort"): "ModifyTargetGroup takes no such port",
    (
        "WebAclLoggingConfiguration",
        "logDestinationConfigs",
    ): "PutLoggingConfiguration takes others; the provider replaces",
}
"""What the provider replaces and CloudFormation does not."""


def spelled_names(plan: Plan) -> dict[str, str]:
    """Inputs by the plain spelling of their parameters: what CloudFormation calls them, too."""
    names: dict[str, str] = {}
    for call in calls(plan.type):
        for path, target in call.spelled.items():
            if path in plan.schema:
                names.setdefault(shapes.plain(target.split(".")[-1]), path)
    return names | {shapes.plain(name): name for name in plan.schema}


def test_replacement_agrees_with_cloudformation() -> None:
    theirs, ours = set(), set()
    for type_ in TYPES:
        if type_.token not in CLOUDFORMATION:
            continue
        plan, name = Plan(type_), type_.token.split(":")[-1]
        found = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", f"AWS::{CLOUDFORMATION[type_.token]}")
        schema = found.schema
        fixed = {path.split("/")[2] for path in schema.get("createOnlyProperties", ()) if path.count("/") == 2}
        sometimes = {path.split("/")[2] for path in schema.get("conditionalCreateOnlyProperties", ())}
        names = spelled_names(plan)
        for property_ in schema["properties"]:
            input_ = names.get(shapes.plain(property_))
            if input_ is None:
                continue
            if property_ in fixed and input_ not in plan.facts.replaces:
                theirs.add((name, input_))
            if input_ in plan.facts.replaces and property_ not in fixed | sometimes:
                ours.add((name, input_))
    assert theirs == {*IN_PLACE_FOR_THE_PROVIDER}
    assert ours == {*IN_PLACE_FOR_CLOUDFORMATION}
