"""How each AWS type of the program is found again in the cloud: by its tags, its name, or what it hangs on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.inventory import Region

Inputs = Mapping[str, Any]
Find = Callable[[Region, Inputs], str | None]


def _named(template: str) -> Find:
    """The id is made of inputs."""

    def find(region: Region, inputs: Inputs) -> str | None:
        try:
            return template.format(**inputs)
        except KeyError:
            return None

    return find


def _listed(
    service: str, operation: str, path: str, match: Callable[[Any, Inputs], bool], id: str, **given: str
) -> Find:
    """The id is found in a list of the service."""

    def find(region: Region, inputs: Inputs) -> str | None:
        try:
            params = {name: template.format(**inputs) for name, template in given.items()}
            pages = region.client(service).get_paginator(operation).paginate(**params)
            ids = [str(item[id]) for page in pages for item in page[path] if match(item, inputs)]
        except (ClientError, KeyError):
            return None
        return ids[0].removeprefix("/hostedzone/") if ids else None

    return find


def _association(region: Region, inputs: Inputs) -> str | None:
    try:
        tables = region.client("ec2").describe_route_tables(RouteTableIds=[inputs["routeTableId"]])["RouteTables"]
    except ClientError:
        return None
    for association in tables[0].get("Associations", ()) if tables else ():
        if association.get("SubnetId") == inputs.get("subnetId"):
            return str(association["RouteTableAssociationId"])
    return None


def _record(region: Region, inputs: Inputs) -> str:
    parts = [inputs["zoneId"], inputs["name"], inputs["type"]]
    return "_".join(parts + ([inputs["setIdentifier"]] if inputs.get("setIdentifier") else []))


def _version(region: Region, inputs: Inputs) -> str | None:
    secret = inputs["secretId"]
    try:
        found = region.client("secretsmanager").describe_secret(SecretId=secret).get("VersionIdsToStages", {})
    except ClientError:
        return None
    return next((f"{secret}|{version}" for version, stages in found.items() if "AWSCURRENT" in stages), None)


def _broker_configuration(region: Region, inputs: Inputs) -> str | None:
    """botocore knows no pages of configurations, though there are."""
    asked: dict[str, str] = {}
    try:
        while True:
            page = region.client("mq").list_configurations(**asked)
            for item in page["Configurations"]:
                if item["Name"] == inputs["name"]:
                    return str(item["Id"])
            if not page.get("NextToken"):
                return None
            asked = {"NextToken": page["NextToken"]}
    except (ClientError, KeyError):
        return None


def _domain(region: Region, inputs: Inputs) -> str | None:
    try:
        return str(region.client("opensearch").describe_domain(DomainName=inputs["domainName"])["DomainStatus"]["ARN"])
    except (ClientError, KeyError):
        return None


def _domain_connection(region: Region, inputs: Inputs) -> str | None:
    """A domain has 20 connections at most, which is one page; one that was deleted is shown for 15 days."""
    try:
        ours = {"Name": "local-domain-info.domain-name", "Values": [inputs["localDomainInfo"]["domainName"]]}
        found = region.client("opensearch").describe_outbound_connections(Filters=[ours])["Connections"]
    except (ClientError, KeyError):
        return None
    for item in found:
        gone = item.get("ConnectionStatus", {}).get("StatusCode") in ("DELETING", "DELETED", "REJECTED")
        if item.get("ConnectionAlias") == inputs.get("connectionAlias") and not gone:
            return str(item["ConnectionId"])
    return None


def _web_acl(region: Region, inputs: Inputs) -> str | None:
    # WAF has no paginator.
    asked = {"Scope": inputs["scope"]}
    while True:
        try:
            page = region.client("wafv2").list_web_acls(**asked)
        except ClientError:
            return None
        for item in page["WebACLs"]:
            if item["Name"] == inputs.get("name"):
                return str(item["Id"])
        if "NextMarker" not in page:
            return None
        asked["NextMarker"] = page["NextMarker"]


def _registry(region: Region, inputs: Inputs) -> str | None:
    """What is set for a whole registry has the account's id."""
    try:
        return str(region.client("ecr").describe_registry()["registryId"])
    except ClientError:
        return None


def _same(member: str, name: str) -> Callable[[Any, Inputs], bool]:
    return lambda item, inputs: bool(item.get(member) == inputs.get(name))


BY_TAG: Final = frozenset(
    {
        "aws:ec2/vpc:Vpc",
        "aws:ec2/subnet:Subnet",
        "aws:ec2/internetGateway:InternetGateway",
        "aws:ec2/eip:Eip",
        "aws:ec2/natGateway:NatGateway",
        "aws:ec2/routeTable:RouteTable",
        "aws:ec2/securityGroup:SecurityGroup",
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup",
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
        "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
        "aws:ec2/vpcEndpoint:VpcEndpoint",
        "aws:ec2/flowLog:FlowLog",
        "aws:kms/key:Key",
        "aws:kms/replicaKey:ReplicaKey",
        "aws:secretsmanager/secret:Secret",
        "aws:acm/certificate:Certificate",
        "aws:ec2/launchTemplate:LaunchTemplate",
    }
)
"""Types whose id the cloud makes up, and that carry tags."""

WHOLE_ARN: Final = frozenset(
    {
        "aws:secretsmanager/secret:Secret",
        "aws:acm/certificate:Certificate",
        "aws:sns/topic:Topic",
        "aws:lb/loadBalancer:LoadBalancer",
        "aws:lb/targetGroup:TargetGroup",
        "aws:lb/listener:Listener",
        "aws:lb/listenerRule:ListenerRule",
    }
)
"""Types whose id is their ARN."""

FINDERS: Final[Mapping[str, Find]] = {
    "aws:ec2/route:Route": _named("r-{routeTableId}_{destinationCidrBlock}"),
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _association,
    "aws:kms/alias:Alias": _named("{name}"),
    "aws:iam/role:Role": _named("{name}"),
    "aws:iam/rolePolicy:RolePolicy": _named("{role}:{name}"),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _named("{role}/{policyArn}"),
    "aws:cloudwatch/logGroup:LogGroup": _named("{name}"),
    "aws:cloudwatch/metricAlarm:MetricAlarm": _named("{name}"),
    "aws:sns/topic:Topic": _listed(
        "sns", "list_topics", "Topics", lambda item, inputs: item["TopicArn"].endswith(f":{inputs['name']}"), "TopicArn"
    ),
    "aws:sns/topicPolicy:TopicPolicy": _named("{arn}"),
    "aws:sns/topicSubscription:TopicSubscription": _listed(
        "sns",
        "list_subscriptions_by_topic",
        "Subscriptions",
        _same("Endpoint", "endpoint"),
        "SubscriptionArn",
        TopicArn="{topic}",
    ),
    **{
        f"aws:s3/{name[0].lower()}{name[1:]}:{name}": _named("{bucket}")
        for name in (
            "Bucket",
            "BucketVersioning",
            "BucketServerSideEncryptionConfiguration",
            "BucketPublicAccessBlock",
            "BucketOwnershipControls",
            "BucketPolicy",
            "BucketLifecycleConfiguration",
            "BucketReplicationConfig",
            "BucketLogging",
        )
    },
    "aws:secretsmanager/secretVersion:SecretVersion": _version,
    "aws:eks/cluster:Cluster": _named("{name}"),
    "aws:eks/nodeGroup:NodeGroup": _named("{clusterName}:{nodeGroupName}"),
    "aws:eks/addon:Addon": _named("{clusterName}:{addonName}"),
    "aws:eks/accessEntry:AccessEntry": _named("{clusterName}:{principalArn}"),
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": _named("{clusterName}#{principalArn}#{policyArn}"),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": _listed(
        "eks",
        "list_pod_identity_associations",
        "associations",
        _same("serviceAccount", "serviceAccount"),
        "associationId",
        clusterName="{clusterName}",
        namespace="{namespace}",
        serviceAccount="{serviceAccount}",
    ),
    "aws:rds/subnetGroup:SubnetGroup": _named("{name}"),
    "aws:rds/parameterGroup:ParameterGroup": _named("{name}"),
    "aws:rds/instance:Instance": _listed(
        "rds",
        "describe_db_instances",
        "DBInstances",
        _same("DBInstanceIdentifier", "identifier"),
        "DbiResourceId",
        DBInstanceIdentifier="{identifier}",
    ),
    "aws:rds/eventSubscription:EventSubscription": _named("{name}"),
    "aws:elasticache/subnetGroup:SubnetGroup": _named("{name}"),
    "aws:elasticache/parameterGroup:ParameterGroup": _named("{name}"),
    "aws:elasticache/user:User": _named("{userId}"),
    "aws:elasticache/userGroup:UserGroup": _named("{userGroupId}"),
    "aws:elasticache/replicationGroup:ReplicationGroup": _named("{replicationGroupId}"),
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup": _listed(
        "elasticache",
        "describe_global_replication_groups",
        "GlobalReplicationGroups",
        # Before the suffix stands what AWS has for the region, five letters.
        lambda item, inputs: (
            item["GlobalReplicationGroupId"].partition("-")[2] == inputs["globalReplicationGroupIdSuffix"]
        ),
        "GlobalReplicationGroupId",
    ),
    "aws:opensearch/domain:Domain": _domain,
    "aws:opensearch/outboundConnection:OutboundConnection": _domain_connection,
    "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter": _named("{connectionId}"),
    "aws:iam/serviceLinkedRole:ServiceLinkedRole": _listed(
        "iam",
        "list_roles",
        "Roles",
        lambda item, inputs: item["Path"] == f"/aws-service-role/{inputs['awsServiceName']}/",
        "Arn",
        PathPrefix="/aws-service-role/{awsServiceName}/",
    ),
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": _named("{policyName}"),
    "aws:mq/configuration:Configuration": _broker_configuration,
    "aws:mq/broker:Broker": _listed(
        "mq", "list_brokers", "BrokerSummaries", _same("BrokerName", "brokerName"), "BrokerId"
    ),
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": _listed(
        "rds",
        "describe_db_instance_automated_backups",
        "DBInstanceAutomatedBackups",
        _same("DBInstanceArn", "sourceDbInstanceArn"),
        "DBInstanceAutomatedBackupsArn",
    ),
    # By what they are: Route 53 tags in a second call, and the tagging API shows its tags in us-east-1 alone.
    "aws:route53/zone:Zone": _listed(
        "route53",
        "list_hosted_zones",
        "HostedZones",
        lambda item, inputs: (
            item["Name"].rstrip(".") == inputs["name"].rstrip(".")
            and item["Config"].get("Comment") == inputs.get("comment")
        ),
        "Id",
    ),
    "aws:route53/healthCheck:HealthCheck": _listed(
        "route53",
        "list_health_checks",
        "HealthChecks",
        lambda item, inputs: item["HealthCheckConfig"].get("FullyQualifiedDomainName") == inputs.get("fqdn"),
        "Id",
    ),
    "aws:route53/record:Record": _record,
    "aws:lb/loadBalancer:LoadBalancer": _listed(
        "elbv2", "describe_load_balancers", "LoadBalancers", _same("LoadBalancerName", "name"), "LoadBalancerArn"
    ),
    "aws:lb/targetGroup:TargetGroup": _listed(
        "elbv2", "describe_target_groups", "TargetGroups", _same("TargetGroupName", "name"), "TargetGroupArn"
    ),
    "aws:lb/listener:Listener": _listed(
        "elbv2",
        "describe_listeners",
        "Listeners",
        _same("Port", "port"),
        "ListenerArn",
        LoadBalancerArn="{loadBalancerArn}",
    ),
    "aws:lb/listenerRule:ListenerRule": _listed(
        "elbv2",
        "describe_rules",
        "Rules",
        # A number here, text there, with one that is called default.
        lambda item, inputs: bool(item["Priority"] == f"{inputs['priority']:g}"),
        "RuleArn",
        ListenerArn="{listenerArn}",
    ),
    "aws:backup/vault:Vault": _named("{name}"),
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": _named("{backupVaultName}"),
    "aws:backup/vaultNotifications:VaultNotifications": _named("{backupVaultName}"),
    "aws:backup/plan:Plan": _listed(
        "backup", "list_backup_plans", "BackupPlansList", _same("BackupPlanName", "name"), "BackupPlanId"
    ),
    "aws:backup/selection:Selection": _listed(
        "backup",
        "list_backup_selections",
        "BackupSelectionsList",
        _same("SelectionName", "name"),
        "SelectionId",
        BackupPlanId="{planId}",
    ),
    "aws:backup/restoreTestingPlan:RestoreTestingPlan": _named("{name}"),
    "aws:backup/restoreTestingSelection:RestoreTestingSelection": _named("{name}:{restoreTestingPlanName}"),
    "aws:ecr/repository:Repository": _named("{name}"),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _named("{repository}"),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _named("{repository}"),
    "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration": _registry,
    "aws:ecr/replicationConfiguration:ReplicationConfiguration": _registry,
    "aws:wafv2/webAcl:WebAcl": _web_acl,
    "aws:wafv2/webAclAssociation:WebAclAssociation": _named("{webAclArn},{resourceArn}"),
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": _named("{resourceArn}"),
}
"""How every other type that can exist in the cloud is found."""
