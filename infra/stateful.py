"""What each resource type holds, and what guards it: the tables of the destructive-change gate.

Every type of the program is in one of `STATEFUL`, `GUARDS` and `STATELESS`: somebody has decided (`tests/infra/
test_stateful.py` fails on one that is missing). A type that is in none counts as stateful.

Defaults are the real provider's (`infra/local/aws/facts.json`, with its sources).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.plan import UNKNOWN, is_secret
from policies.rule import look

Props = Mapping[str, Any]

STATEFUL: Final[Mapping[str, str]] = {
    "aws:backup/vault:Vault": "holds the recovery points of everything else",
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": "is the lock on the backups: without it they can go",
    "aws:cloudwatch/logGroup:LogGroup": "holds history that nobody can write again",
    "aws:dynamodb/table:Table": "holds data",
    "aws:ebs/snapshot:Snapshot": "holds data",
    "aws:ebs/volume:Volume": "holds data",
    "aws:ec2/eip:Eip": "is an address that others have in their allow lists; AWS gives it to somebody else",
    "aws:ec2/vpc:Vpc": "is where everything that holds data stands",
    "aws:ecr/repository:Repository": "holds the images that the nodes pull",
    "aws:efs/fileSystem:FileSystem": "holds data",
    "aws:eks/cluster:Cluster": "holds the objects of the cluster and the claims to its volumes",
    "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup": "replicates the cache to the other region",
    "aws:elasticache/replicationGroup:ReplicationGroup": "holds sessions, counters and locks",
    "aws:kms/key:Key": "is needed to read what it encrypted, backups included; nobody can make it again",
    "aws:kms/replicaKey:ReplicaKey": "is needed to read, in this region, what it encrypted",
    "aws:mq/broker:Broker": "holds messages that were accepted and not worked off",
    "aws:opensearch/domain:Domain": "holds the index; to build it again takes days",
    "aws:rds/cluster:Cluster": "holds data",
    "aws:rds/instance:Instance": "holds the tenants' data",
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": (
        "holds the database's backups in the other region"
    ),
    "aws:route53/zone:Zone": "has name servers that a registrar delegates to; a new zone gets others",
    "aws:s3/bucket:Bucket": "holds objects",
    "aws:secretsmanager/secret:Secret": "holds a secret that others were given",
    "aws:secretsmanager/secretVersion:SecretVersion": "is the value of a secret that others were given",
    "aws:sns/topic:Topic": "holds subscriptions that people confirmed",
    "aws:sqs/queue:Queue": "holds messages that were accepted and not worked off",
    "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition": "takes every object of its kind with it",
    "kubernetes:apps/v1:StatefulSet": "owns the pods and claims of what holds data",
    "kubernetes:core/v1:Namespace": "takes everything in it with it, claims to volumes included",
    "kubernetes:core/v1:PersistentVolume": "holds data",
    "kubernetes:core/v1:PersistentVolumeClaim": "holds data",
    "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster": "holds messages that were accepted and not worked off",
    "random:index/randomId:RandomId": "is part of the names of what holds data",
    "random:index/randomPassword:RandomPassword": "is a secret that others were given",
}
"""What is lost when one goes, after "It"."""

GUARDS: Final[Mapping[str, str]] = {
    "aws:backup/plan:Plan": "takes the backups",
    "aws:backup/selection:Selection": "says what is backed up",
    "aws:backup/vaultPolicy:VaultPolicy": "says who may reach the backups",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "says who may pull and push",
    "aws:kms/keyPolicy:KeyPolicy": "says who may use the key",
    "aws:opensearch/domainPolicy:DomainPolicy": "says who may reach the index",
    "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter": "lets the other region follow the index",
    "aws:opensearch/outboundConnection:OutboundConnection": "lets the other region follow the index",
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": "keeps objects from being deleted",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": "turns access lists off",
    "aws:s3/bucketPolicy:BucketPolicy": "says who may reach the objects, and refuses what is not encrypted",
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": "keeps the bucket from being public",
    "aws:s3/bucketReplicationConfig:BucketReplicationConfig": "copies objects to the other region",
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": "encrypts with our key",
    "aws:s3/bucketVersioning:BucketVersioning": "keeps what was overwritten or deleted",
    "aws:secretsmanager/secretPolicy:SecretPolicy": "says who may read the secret",
    "aws:sns/topicPolicy:TopicPolicy": "says who may write to the topic",
}
"""What holds nothing and guards what does: deleting it is destructive, replacing it puts it back. After "It"."""

STATELESS: Final = frozenset(
    """
    aws:acm/certificate:Certificate aws:acm/certificateValidation:CertificateValidation
    aws:backup/restoreTestingPlan:RestoreTestingPlan aws:backup/restoreTestingSelection:RestoreTestingSelection
    aws:backup/vaultNotifications:VaultNotifications
    aws:cloudwatch/logResourcePolicy:LogResourcePolicy aws:cloudwatch/metricAlarm:MetricAlarm
    aws:ec2/defaultSecurityGroup:DefaultSecurityGroup aws:ec2/flowLog:FlowLog aws:ec2/internetGateway:InternetGateway
    aws:ec2/launchTemplate:LaunchTemplate aws:ec2/natGateway:NatGateway aws:ec2/route:Route
    aws:ec2/routeTable:RouteTable aws:ec2/routeTableAssociation:RouteTableAssociation
    aws:ec2/securityGroup:SecurityGroup aws:ec2/subnet:Subnet aws:ec2/vpcEndpoint:VpcEndpoint
    aws:ecr/lifecyclePolicy:LifecyclePolicy aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration
    aws:ecr/replicationConfiguration:ReplicationConfiguration
    aws:eks/accessEntry:AccessEntry aws:eks/accessPolicyAssociation:AccessPolicyAssociation aws:eks/addon:Addon
    aws:eks/nodeGroup:NodeGroup aws:eks/podIdentityAssociation:PodIdentityAssociation
    aws:elasticache/parameterGroup:ParameterGroup aws:elasticache/subnetGroup:SubnetGroup aws:elasticache/user:User
    aws:elasticache/userGroup:UserGroup
    aws:iam/role:Role aws:iam/rolePolicy:RolePolicy aws:iam/rolePolicyAttachment:RolePolicyAttachment
    aws:iam/serviceLinkedRole:ServiceLinkedRole
    aws:kms/alias:Alias
    aws:lb/listener:Listener aws:lb/listenerRule:ListenerRule aws:lb/loadBalancer:LoadBalancer
    aws:lb/targetGroup:TargetGroup
    aws:mq/configuration:Configuration
    aws:rds/eventSubscription:EventSubscription aws:rds/parameterGroup:ParameterGroup aws:rds/subnetGroup:SubnetGroup
    aws:route53/healthCheck:HealthCheck aws:route53/record:Record
    aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration aws:s3/bucketLogging:BucketLogging
    aws:sns/topicSubscription:TopicSubscription
    aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule
    aws:wafv2/webAcl:WebAcl aws:wafv2/webAclAssociation:WebAclAssociation
    aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration
    kubernetes:apps/v1:Deployment kubernetes:autoscaling/v2:HorizontalPodAutoscaler
    kubernetes:batch/v1:Job kubernetes:core/v1:ConfigMap
    kubernetes:core/v1:Secret kubernetes:core/v1:Service kubernetes:core/v1:ServiceAccount
    kubernetes:elbv2.k8s.aws/v1beta1:TargetGroupBinding kubernetes:networking.k8s.io/v1:NetworkPolicy
    kubernetes:policy/v1:PodDisruptionBudget
    kubernetes:rbac.authorization.k8s.io/v1:ClusterRole kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding
    kubernetes:rbac.authorization.k8s.io/v1:Role kubernetes:rbac.authorization.k8s.io/v1:RoleBinding
    kubernetes:storage.k8s.io/v1:StorageClass
    """.split()
)
"""What can be made again from the program alone."""


def is_bookkeeping(type_: str) -> bool:
    """Whether a type is the program's own: components, providers and the stack are nothing in a cloud."""
    return type_.startswith(("docsearch:", "pulumi:"))


def loss(type_: str, *, replaced: bool) -> str:
    """What goes with a resource of this type, after "It"; empty if nothing does."""
    if type_ in STATELESS or is_bookkeeping(type_):
        return ""
    if type_ in GUARDS:
        return "" if replaced else GUARDS[type_]
    return STATEFUL.get(type_) or "is of a type that nobody has decided on (infra/stateful.py)"


class UnjudgeableError(ValueError):
    """A value cannot be compared; the message says which and why."""


def known(props: Props, path: str, default: Any = None) -> Any:
    """The value at a path, or the default where there is none.

    Raises:
        UnjudgeableError: It is secret, or not known before the update.
    """
    steps = path.split(".")
    for end in range(1, len(steps) + 1):
        value = look(props, ".".join(steps[:end]))
        if is_secret(value):
            raise UnjudgeableError(f"{path} is secret")
        if value == UNKNOWN:
            raise UnjudgeableError(f"{path} is not known before the update")
    return default if value is None else value


# Locks


@dataclass(frozen=True)
class Lock:
    """A property that keeps a resource, or what it holds, from going.

    Attributes:
        path: Property path.
        on: Its value while the lock is on.
        default: Its value where it is not given.
        refuses: Whether AWS refuses to delete the resource while it is on.
    """

    path: str
    on: Any = True
    default: Any = False
    refuses: bool = False

    def holds(self, props: Props) -> bool:
        """Whether it is on. Raises `UnjudgeableError`."""
        return bool(known(props, self.path, self.default) == self.on)


_RETAINED = "spec.override.statefulSet.spec.persistentVolumeClaimRetentionPolicy"

LOCKS: Final[Mapping[str, tuple[Lock, ...]]] = {
    "aws:backup/vault:Vault": (Lock("forceDestroy", False),),
    "aws:cloudwatch/logGroup:LogGroup": (Lock("deletionProtectionEnabled", refuses=True), Lock("skipDestroy")),
    "aws:dynamodb/table:Table": (Lock("deletionProtectionEnabled", refuses=True),),
    "aws:ecr/repository:Repository": (Lock("forceDelete", False),),
    "aws:eks/cluster:Cluster": (Lock("deletionProtection", refuses=True),),
    "aws:kms/key:Key": (Lock("bypassPolicyLockoutSafetyCheck", False),),
    "aws:kms/replicaKey:ReplicaKey": (Lock("bypassPolicyLockoutSafetyCheck", False),),
    "aws:lb/loadBalancer:LoadBalancer": (Lock("enableDeletionProtection", refuses=True),),
    "aws:rds/cluster:Cluster": (Lock("deletionProtection", refuses=True), Lock("skipFinalSnapshot", False)),
    "aws:rds/instance:Instance": (
        Lock("deletionProtection", refuses=True),
        Lock("skipFinalSnapshot", False),
        Lock("deleteAutomatedBackups", False, default=True),
    ),
    "aws:route53/zone:Zone": (Lock("forceDestroy", False),),
    "aws:s3/bucket:Bucket": (Lock("forceDestroy", False),),
    "aws:s3/bucketVersioning:BucketVersioning": (Lock("versioningConfiguration.status", "Enabled"),),
    "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster": (
        Lock(f"{_RETAINED}.whenDeleted", "Retain"),
        Lock(f"{_RETAINED}.whenScaled", "Retain"),
    ),
    "kubernetes:storage.k8s.io/v1:StorageClass": (Lock("reclaimPolicy", "Retain", default="Delete"),),
}
"""The locks of a type, beside Pulumi's own."""

LOCKED_BY: Final[Mapping[str, tuple[tuple[str, str, str], ...]]] = {
    "aws:backup/vault:Vault": (
        ("aws:backup/vaultLockConfiguration:VaultLockConfiguration", "backupVaultName", "name"),
    ),
    "aws:s3/bucket:Bucket": (
        ("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration", "bucket", "bucket"),
    ),
}
"""Locks that are resources of their own: their type, the property that names what they lock, and what it names."""

CLOSED: Final[Mapping[str, tuple[Lock, ...]]] = {
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": (Lock("rule.objectOwnership", "BucketOwnerEnforced"),),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": tuple(
        Lock(name) for name in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    ),
}
"""What keeps a bucket closed: a policy without statements."""

POLICIES: Final[Mapping[str, str]] = {
    "aws:backup/vaultPolicy:VaultPolicy": "policy",
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": "policyDocument",
    "aws:ec2/vpcEndpoint:VpcEndpoint": "policy",
    "aws:ecr/repositoryPolicy:RepositoryPolicy": "policy",
    "aws:kms/key:Key": "policy",
    "aws:kms/keyPolicy:KeyPolicy": "policy",
    "aws:kms/replicaKey:ReplicaKey": "policy",
    "aws:opensearch/domain:Domain": "accessPolicies",
    "aws:opensearch/domainPolicy:DomainPolicy": "accessPolicies",
    "aws:s3/bucket:Bucket": "policy",
    "aws:s3/bucketPolicy:BucketPolicy": "policy",
    "aws:secretsmanager/secret:Secret": "policy",
    "aws:secretsmanager/secretPolicy:SecretPolicy": "policy",
    "aws:sns/topic:Topic": "policy",
    "aws:sns/topicPolicy:TopicPolicy": "policy",
    "aws:sqs/queue:Queue": "policy",
    "aws:sqs/queuePolicy:QueuePolicy": "policy",
}
"""The property that holds a resource's own policy. Who may do what by role is no matter of the gate."""


# Retention


@dataclass(frozen=True)
class Retention:
    """How long a type keeps what it holds.

    Attributes:
        read: The lengths by name; `math.inf` for ever. Raises `UnjudgeableError`.
        missing: The length of what is not named.
    """

    read: Callable[[Props], Mapping[str, float]]
    missing: float = 0

    def shortened(self, before: Props, after: Props) -> list[str]:
        """What is kept for less long, such as `retentionInDays 365 -> 30`. Raises `UnjudgeableError`."""
        old, new = self.read(before), self.read(after)
        pairs = {name: (old.get(name, self.missing), new.get(name, self.missing)) for name in {**old, **new}}
        return [f"{name} {_length(was)} -> {_length(now)}" for name, (was, now) in pairs.items() if now < was]


def _length(value: float) -> str:
    return "unlimited" if value == math.inf else f"{value:g}"


def _number(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise UnjudgeableError(f"{path} is no number")
    return float(value)


def _days(**defaults: float) -> Retention:
    """Numbers that stand in properties of their own, with what holds where one is not given."""
    return Retention(lambda props: {path: _number(path, known(props, path, its)) for path, its in defaults.items()})


def _log_retention(props: Props) -> Mapping[str, float]:
    days = _number("retentionInDays", known(props, "retentionInDays", 0))
    return {"retentionInDays": days or math.inf}


def _expirations(props: Props) -> Mapping[str, float]:
    """When a bucket's objects expire, by rule and what it is for: a rule that takes in more is another one."""
    found: dict[str, float] = {}
    for rule in _objects(props, "rules"):
        if known(rule, "status") != "Enabled":
            continue
        which = {name: rule[name] for name in ("filter", "prefix") if rule.get(name)}
        about = f"{known(rule, 'id', 'rule')} {json.dumps(which, sort_keys=True)}"
        if "expiration" in rule:
            date, days = known(rule, "expiration.date"), known(rule, "expiration.days")
            if date is not None:
                found[f"{about} {date}"] = 0
            if days is not None:
                found[about] = _number("expiration.days", days)
        if "noncurrentVersionExpiration" in rule:
            for name in ("noncurrentDays", "newerNoncurrentVersions"):
                path = f"noncurrentVersionExpiration.{name}"
                found[f"{about} {name}"] = _number(path, known(rule, path, 0))
    return found


def _images(props: Props) -> Mapping[str, float]:
    """How many images, or for how many days, a repository keeps, by what the rule selects."""
    text = known(props, "policy", "{}")
    try:
        rules = (json.loads(text) if isinstance(text, str) else text).get("rules", [])
        return {
            json.dumps({key: value for key, value in rule["selection"].items() if key != "countNumber"}): _number(
                "countNumber", rule["selection"]["countNumber"]
            )
            for rule in rules
            if rule["action"]["type"] == "expire"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnjudgeableError("policy is no lifecycle policy") from error


def _backups(props: Props) -> Mapping[str, float]:
    """How many days each rule of a backup plan, and each copy, keeps recovery points; and whether any second does."""
    found: dict[str, float] = {}
    for rule in _objects(props, "rules"):
        name = known(rule, "ruleName", "rule")
        found[name] = _number("deleteAfter", known(rule, "lifecycle.deleteAfter", math.inf))
        found[f"{name} enableContinuousBackup"] = float(known(rule, "enableContinuousBackup", False) is True)
        for copy in _objects(rule, "copyActions"):
            where = f"{name} copy to {known(copy, 'destinationVaultArn', 'somewhere')}"
            found[where] = _number("deleteAfter", known(copy, "lifecycle.deleteAfter", math.inf))
    return found


def _objects(props: Props, path: str) -> list[Props]:
    values = known(props, path, [])
    if not isinstance(values, list) or not all(isinstance(one, Mapping) for one in values):
        raise UnjudgeableError(f"{path} is not known before the update")
    return values


RETENTION: Final[Mapping[str, Retention]] = {
    "aws:backup/plan:Plan": Retention(_backups),
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": _days(minRetentionDays=0, maxRetentionDays=math.inf),
    "aws:cloudwatch/logGroup:LogGroup": Retention(_log_retention),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": Retention(_images, missing=math.inf),
    "aws:elasticache/replicationGroup:ReplicationGroup": _days(snapshotRetentionLimit=0),
    "aws:kms/key:Key": _days(deletionWindowInDays=30),
    "aws:kms/replicaKey:ReplicaKey": _days(deletionWindowInDays=30),
    "aws:rds/cluster:Cluster": _days(backupRetentionPeriod=1),
    "aws:rds/instance:Instance": _days(backupRetentionPeriod=0, performanceInsightsRetentionPeriod=0),
    "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication": _days(retentionPeriod=7),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": Retention(_expirations, missing=math.inf),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": _days(
        **{"rule.defaultRetention.days": 0, "rule.defaultRetention.years": 0}
    ),
    "aws:secretsmanager/secret:Secret": _days(recoveryWindowInDays=30),
    "aws:sqs/queue:Queue": _days(messageRetentionSeconds=345_600),
}
"""What a type keeps, and for how long: days, unless the name says otherwise."""
