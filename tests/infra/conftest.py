"""One local cloud with both regions up, for every test of a whole run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra import clouds, engine
from infra.deploy import Deployment
from infra.local import daemon
from infra.program import read_config

PLACEHOLDER = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True)
class LocalCloud:
    """A local cloud of its own, on ports of its own."""

    root: Path
    cloud: clouds.Cloud
    engine: engine.Engine

    def deployment(self, stack: str, **changes: Any) -> Deployment:
        """A stack on it; `changes` go over its configuration."""
        config = read_config(stack).model_copy(update=changes)
        return Deployment(stack, config, self.cloud, self.engine)

    def client(self, service: str, region: str) -> Any:
        """A boto3 client of it."""
        return boto3.client(service, region_name=region, endpoint_url=self.cloud.aws_url, **PLACEHOLDER)  # type: ignore[call-overload]

    def holds(self) -> dict[str, list[str]]:
        """What is in it, by kind, in both regions."""
        found: dict[str, list[str]] = {kind: [] for kind in KINDS.values()}
        for there in (_regional(self, "us-east-1"), _regional(self, "us-west-2"), _global(self)):
            for kind, ids in there.items():
                found[kind] += ids
        return {kind: sorted(ids) for kind, ids in found.items()}

    def known(self, *deployments: Deployment) -> dict[str, list[str]]:
        """What the states know, by kind: lists, so that something known twice shows."""
        found: dict[str, list[str]] = {kind: [] for kind in KINDS.values()}
        for deployment in deployments:
            for resource in deployment.state().get("resources") or ():
                kind = KINDS.get(resource["type"])
                if kind:
                    found[kind].append(resource["id"])
        return {kind: sorted(ids) for kind, ids in found.items()}


def _regional(cloud: LocalCloud, region: str) -> Mapping[str, set[str]]:
    """What is in a region of the cloud, by kind: ids as the state has them, what AWS itself makes left out."""
    ec2, kms, rds = (cloud.client(service, region) for service in ("ec2", "kms", "rds"))
    vpcs = {item["VpcId"] for item in ec2.describe_vpcs()["Vpcs"] if not item["IsDefault"]}

    def inside(answer: list[dict[str, Any]], id: str) -> set[str]:
        return {item[id] for item in answer if item.get("VpcId") in vpcs}

    groups = ec2.describe_security_groups()["SecurityGroups"]
    tables = ec2.describe_route_tables()["RouteTables"]
    keys = [kms.describe_key(KeyId=item["KeyId"])["KeyMetadata"] for item in kms.list_keys()["Keys"]]
    secrets = cloud.client("secretsmanager", region).list_secrets()["SecretList"]
    elb, eks, backup = (cloud.client(service, region) for service in ("elbv2", "eks", "backup"))
    search, caches = cloud.client("opensearch", region), cloud.client("elasticache", region)
    clusters = eks.list_clusters()["clusters"]
    domains = [item["DomainName"] for item in search.list_domain_names()["DomainNames"]]
    templates = ec2.describe_launch_templates()["LaunchTemplates"]
    return {
        "index": {search.describe_domain(DomainName=name)["DomainStatus"]["ARN"] for name in domains},
        "cache": {item["ReplicationGroupId"] for item in caches.describe_replication_groups()["ReplicationGroups"]},
        "cluster": set(clusters),
        "node group": {
            f"{name}:{group}" for name in clusters for group in eks.list_nodegroups(clusterName=name)["nodegroups"]
        },
        "launch template": {item["LaunchTemplateId"] for item in templates},
        "vault": {item["BackupVaultName"] for item in backup.list_backup_vaults()["BackupVaultList"]},
        "backup plan": {item["BackupPlanId"] for item in backup.list_backup_plans()["BackupPlansList"]},
        "repository": {
            item["repositoryName"] for item in cloud.client("ecr", region).describe_repositories()["repositories"]
        },
        "firewall": {item["Id"] for item in cloud.client("wafv2", region).list_web_acls(Scope="REGIONAL")["WebACLs"]},
        "vpc": vpcs,
        "subnet": inside(ec2.describe_subnets()["Subnets"], "SubnetId"),
        "internet gateway": {
            item["InternetGatewayId"] for item in ec2.describe_internet_gateways()["InternetGateways"]
        },
        "nat gateway": {
            item["NatGatewayId"] for item in ec2.describe_nat_gateways()["NatGateways"] if item["State"] == "available"
        },
        "address": {item["AllocationId"] for item in ec2.describe_addresses()["Addresses"]},
        "route table": {
            item["RouteTableId"]
            for item in tables
            if item["VpcId"] in vpcs and not any(each.get("Main") for each in item["Associations"])
        },
        "security group": {
            item["GroupId"]
            for item in groups
            # A cluster has a group of EKS's own.
            if item.get("VpcId") in vpcs and not re.match(r"default$|eks-cluster-sg-", item["GroupName"])
        },
        "endpoint": {
            item["VpcEndpointId"] for item in ec2.describe_vpc_endpoints()["VpcEndpoints"] if item["State"] != "deleted"
        },
        "flow log": {item["FlowLogId"] for item in ec2.describe_flow_logs()["FlowLogs"]},
        "key": {item["KeyId"] for item in keys if item["KeyManager"] == "CUSTOMER" and item["KeyState"] == "Enabled"},
        "database": {item["DbiResourceId"] for item in rds.describe_db_instances()["DBInstances"]},
        "secret": {item["ARN"] for item in secrets if "DeletedDate" not in item and not item.get("OwningService")},
        "load balancer": {item["LoadBalancerArn"] for item in elb.describe_load_balancers()["LoadBalancers"]},
        "target group": {item["TargetGroupArn"] for item in elb.describe_target_groups()["TargetGroups"]},
        "certificate": {
            item["CertificateArn"] for item in cloud.client("acm", region).list_certificates()["CertificateSummaryList"]
        },
        "topic": {item["TopicArn"] for item in cloud.client("sns", region).list_topics()["Topics"]},
        "alarm": {item["AlarmName"] for item in cloud.client("cloudwatch", region).describe_alarms()["MetricAlarms"]},
        "log group": {item["logGroupName"] for item in cloud.client("logs", region).describe_log_groups()["logGroups"]},
    }


def _global(cloud: LocalCloud) -> Mapping[str, set[str]]:
    """What belongs to no region."""
    client = cloud.client
    roles = client("iam", "us-east-1").list_roles()["Roles"]
    return {
        "bucket": {item["Name"] for item in client("s3", "us-east-1").list_buckets()["Buckets"]},
        "role": {item["RoleName"] for item in roles if not item["Path"].startswith("/aws-service-role/")},
        "service-linked role": {item["Arn"] for item in roles if item["Path"].startswith("/aws-service-role/")},
        "zone": {
            item["Id"].rpartition("/")[2] for item in client("route53", "us-east-1").list_hosted_zones()["HostedZones"]
        },
        "health check": {item["Id"] for item in client("route53", "us-east-1").list_health_checks()["HealthChecks"]},
    }


KINDS = {
    "aws:ec2/vpc:Vpc": "vpc",
    "aws:ec2/subnet:Subnet": "subnet",
    "aws:ec2/internetGateway:InternetGateway": "internet gateway",
    "aws:ec2/natGateway:NatGateway": "nat gateway",
    "aws:ec2/eip:Eip": "address",
    "aws:ec2/routeTable:RouteTable": "route table",
    "aws:ec2/securityGroup:SecurityGroup": "security group",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "endpoint",
    "aws:ec2/flowLog:FlowLog": "flow log",
    "aws:kms/key:Key": "key",
    "aws:kms/replicaKey:ReplicaKey": "key",
    "aws:rds/instance:Instance": "database",
    "aws:secretsmanager/secret:Secret": "secret",
    "aws:lb/loadBalancer:LoadBalancer": "load balancer",
    "aws:lb/targetGroup:TargetGroup": "target group",
    "aws:acm/certificate:Certificate": "certificate",
    "aws:sns/topic:Topic": "topic",
    "aws:cloudwatch/metricAlarm:MetricAlarm": "alarm",
    "aws:cloudwatch/logGroup:LogGroup": "log group",
    "aws:s3/bucket:Bucket": "bucket",
    "aws:iam/role:Role": "role",
    "aws:iam/serviceLinkedRole:ServiceLinkedRole": "service-linked role",
    "aws:opensearch/domain:Domain": "index",
    "aws:elasticache/replicationGroup:ReplicationGroup": "cache",
    "aws:eks/cluster:Cluster": "cluster",
    "aws:eks/nodeGroup:NodeGroup": "node group",
    "aws:ec2/launchTemplate:LaunchTemplate": "launch template",
    "aws:backup/vault:Vault": "vault",
    "aws:backup/plan:Plan": "backup plan",
    "aws:ecr/repository:Repository": "repository",
    "aws:wafv2/webAcl:WebAcl": "firewall",
    "aws:route53/zone:Zone": "zone",
    "aws:route53/healthCheck:HealthCheck": "health check",
}
"""Which kind of the inventory a type is."""


@pytest.fixture(scope="module")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    root = tmp_path_factory.mktemp("cloud")
    found = engine.ensure_engine(print)
    cloud = clouds.local(read_config("prod").account_id, root=root, tell=print)
    yield LocalCloud(root, cloud, found)
    daemon.stop(root)
