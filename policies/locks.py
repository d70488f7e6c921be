"""What holds data is not deleted by mistake: AWS refuses, and so does Pulumi.

Both are asked for always. A stack whose file says `locked: false` is about to be taken down, by
`docsearch destroy --release-locks`, which does not run the pack; nothing else may release a lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from policies.elasticache import GLOBAL, GROUP
from policies.links import referred
from policies.opensearch import DOMAIN
from policies.rabbitmq import BROKER, CLUSTER
from policies.rds import BACKUPS, INSTANCE
from policies.rule import (
    FALSE,
    TRUE,
    UNKNOWN,
    Finding,
    Resource,
    Severity,
    Stack,
    must,
    rule,
    stack_rule,
    unverified,
)

KUBERNETES: Final = "aws:eks/cluster:Cluster"
BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
NAMESPACE: Final = "kubernetes:core/v1:Namespace"
DEFINITION: Final = "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition"
ROLE: Final = "aws:iam/role:Role"
LOG: Final = "aws:cloudwatch/logGroup:LogGroup"
VAULT: Final = "aws:backup/vault:Vault"
REPOSITORY: Final = "aws:ecr/repository:Repository"
ZONE: Final = "aws:route53/zone:Zone"
BUCKET: Final = "aws:s3/bucket:Bucket"

_FLAGS: Final = {
    INSTANCE: "deletionProtection",
    KUBERNETES: "deletionProtection",
    BALANCER: "enableDeletionProtection",
    LOG: "deletionProtectionEnabled",
}
"""Where a type has a protection of AWS's own; absent is off."""

_KEPT: Final = (
    INSTANCE,
    BACKUPS,
    DOMAIN,
    GROUP,
    GLOBAL,
    BROKER,
    CLUSTER,
    KUBERNETES,
    BALANCER,
    VAULT,
    LOG,
    "aws:ec2/eip:Eip",
    "aws:ec2/vpc:Vpc",
    REPOSITORY,
    "aws:iam/serviceLinkedRole:ServiceLinkedRole",
    "aws:kms/key:Key",
    "aws:kms/replicaKey:ReplicaKey",
    ZONE,
    BUCKET,
    "aws:secretsmanager/secret:Secret",
    "aws:sns/topic:Topic",
)
"""What holds data, or a name or an address that others were given and that comes back as another."""

_REMEDY: Final = (
    "Pass locked=True, the default, to the component; to take a stack down: docsearch destroy --release-locks"
)


@rule(
    "deletion-protection",
    on=tuple(_FLAGS),
    severity=Severity.CRITICAL,
    why="One call, from any console, deletes it",
    remedy=_REMEDY,
    key="locked",
    reference="https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_DeleteInstance.html",
)
def deletion_protection(its: Resource) -> Iterator[Finding]:
    """AWS refuses to delete it."""
    if its.type in _FLAGS:
        yield from must(its, _FLAGS[its.type], TRUE)


@rule(
    "force-destroy",
    on=(BUCKET, REPOSITORY, ZONE),
    severity=Severity.CRITICAL,
    why="AWS refuses to delete what still holds something: the last lock, unless the provider empties it first",
    remedy="Leave forceDestroy (forceDelete of a repository) false; empty it by hand when it has to go",
    reference="https://docs.aws.amazon.com/AmazonS3/latest/userguide/delete-bucket.html",
)
def force_destroy(resource: Resource) -> Iterator[Finding]:
    """Nothing is emptied by deleting it."""
    yield from must(resource, "forceDelete" if resource.type == REPOSITORY else "forceDestroy", FALSE)


@rule(
    "pulumi-protect",
    on=_KEPT,
    severity=Severity.CRITICAL,
    why="A renamed or removed line of the program deletes it with its data",
    remedy=_REMEDY,
    key="locked",
    reference="https://www.pulumi.com/docs/iac/concepts/options/protect/",
)
def pulumi_protect(its: Resource) -> Iterator[Finding]:
    """Pulumi refuses to delete it."""
    yield from _protected(its)


def _protected(its: Resource) -> Iterator[Finding]:
    if not its.protect:
        yield Finding("", "is not protected, must be: Pulumi would delete it", urn=its.urn)


@stack_rule(
    "protect-holders",
    on=(CLUSTER, NAMESPACE, DEFINITION, DOMAIN, ROLE),
    severity=Severity.CRITICAL,
    why="With a namespace or a definition go all objects in it, with the master role the way into the index",
    remedy=_REMEDY,
    key="locked",
    reference="https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/",
)
def holders(stack: Stack) -> Iterator[Finding]:
    """What something stateful is in, is of, or is opened with is protected as it is itself."""
    clusters = stack.of(CLUSTER)
    homes = [cluster.get("metadata.namespace") for cluster in clusters]
    for namespace in stack.of(NAMESPACE):
        if namespace.protect:
            continue
        name = namespace.get("metadata.name")
        if name is not UNKNOWN and name is not None and name in homes:
            yield from _protected(namespace)
        elif clusters and (name is UNKNOWN or UNKNOWN in homes):
            yield unverified("metadata.name", urn=namespace.urn)
    for definition in stack.of(DEFINITION):
        kind = definition.get("spec.names.kind")
        if clusters and not definition.protect:
            if kind is UNKNOWN:
                yield unverified("spec.names.kind", urn=definition.urn)
            elif kind == "RabbitmqCluster":
                yield from _protected(definition)
    for domain in stack.of(DOMAIN):
        for role in referred(stack, domain, "advancedSecurityOptions.masterUserOptions.masterUserArn", ROLE):
            yield from _protected(role)
