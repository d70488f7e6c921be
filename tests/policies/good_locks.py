"""What is locked in both plans."""

from typing import Final

from tests.policies.good import GONE, PROTECT, Good

KEPT: Final = (
    "aws:backup/vault:Vault",
    "aws:cloudwatch/logGroup:LogGroup",
    "aws:ec2/eip:Eip",
    "aws:ec2/vpc:Vpc",
    "aws:ecr/repository:Repository",
    "aws:eks/cluster:Cluster",
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup",
    "aws:elasticache/replicationGroup:ReplicationGroup",
    "aws:iam/serviceLinkedRole:ServiceLinkedRole",
    "aws:kms/key:Key",
    "aws:kms/replicaKey:ReplicaKey",
    "aws:lb/loadBalancer:LoadBalancer",
    "aws:opensearch/domain:Domain",
    "aws:rds/instance:Instance",
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication",
    "aws:route53/zone:Zone",
    "aws:s3/bucket:Bucket",
    "aws:secretsmanager/secret:Secret",
    "aws:sns/topic:Topic",
    "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster",
)

HOLDERS: Final = (
    "aws:iam/role:Role",
    "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
    "kubernetes:core/v1:Namespace",
)

OFF: Final = (False, GONE)

GOOD: tuple[Good, ...] = (
    Good("aws:cloudwatch/logGroup:LogGroup", "deletionProtectionEnabled", "deletion-protection", OFF),
    Good("aws:s3/bucket:Bucket", "forceDestroy", "force-destroy", (True,)),
    Good("aws:ecr/repository:Repository", "forceDelete", "force-destroy", (True,)),
    Good("aws:route53/zone:Zone", "forceDestroy", "force-destroy", (True,)),
    Good("aws:rds/instance:Instance", "deletionProtection", "deletion-protection", OFF),
    Good("aws:eks/cluster:Cluster", "deletionProtection", "deletion-protection", OFF),
    Good("aws:lb/loadBalancer:LoadBalancer", "enableDeletionProtection", "deletion-protection", OFF),
    *(Good(type_, PROTECT, "pulumi-protect") for type_ in KEPT),
    *(Good(type_, PROTECT, "protect-holders", where=lambda one: one.protect) for type_ in HOLDERS),
)
