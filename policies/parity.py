"""The other region: what a primary must have for a standby to follow, and what a standby must follow.

A pack sees one stack. What can be judged here is what one stack shows: that a primary's stores can be followed, and
that each store of a standby follows. That both regions have the same resources with the same settings is compared
between two stacks by `docsearch diff`. What else it takes is asked for where it belongs: multi-region keys by
`kms-multi-region`, versioned and replicated buckets by `s3-versioning` and `s3-replication`, images by
`ecr-replication`, copies of backups by `backup-dr`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from policies.elasticache import GLOBAL, GROUP, MEMBER
from policies.links import referring, refers
from policies.opensearch import DOMAIN, OUTBOUND
from policies.rds import BACKUPS, INSTANCE, SOURCE
from policies.rule import (
    GIVEN,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    must,
    stack_rule,
)
from policies.standby import region_in, region_of, stands_by
from policies.wants import NAMED

KEY: Final = "aws:kms/key:Key"
REPLICA_KEY: Final = "aws:kms/replicaKey:ReplicaKey"
ACCEPTER: Final = "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter"


@stack_rule(
    "dr-parity",
    on=(
        INSTANCE,
        BACKUPS,
        GROUP,
        GLOBAL,
        KEY,
        REPLICA_KEY,
        DOMAIN,
        OUTBOUND,
        ACCEPTER,
    ),
    severity=Severity.HIGH,
    why="A store that the other region does not follow is lost with its region",
    remedy="Keep what ties the regions together: role and peer decide it (stacks/peer.py)",
    key="role",
    reference="https://docs.aws.amazon.com/whitepapers/latest/disaster-recovery-workloads-on-aws/"
    "disaster-recovery-options-in-the-cloud.html",
)
def dr_parity(stack: Stack) -> Iterator[Finding]:
    """A primary's stores can be followed; a standby's follow."""
    yield from _caches(stack)
    if stands_by(stack):
        yield from _keys(stack)
        yield from _databases(stack)
        yield from _indexes(stack)


def _of(its: Resource, findings: Iterator[Finding]) -> Iterator[Finding]:
    return (replace(finding, urn=its.urn) for finding in findings)


def _caches(stack: Stack) -> Iterator[Finding]:
    leads = "primaryReplicationGroupId"
    for its in stack.of(GLOBAL):
        yield from _of(its, must(its, leads, NAMED))
    for group in stack.of(GROUP):
        if GIVEN.holds(group.get(MEMBER)):
            continue
        found = referring(stack, leads, group, [GLOBAL])
        named = [its for its in stack.of(GLOBAL) if NAMED.holds(its.get(leads)) and _same(its, group)]
        if not (found.found or named or found.maybe):
            yield Finding("", "neither leads a global datastore nor is in one", urn=group.urn)


def _same(its: Resource, group: Resource) -> bool:
    return bool(its.get("primaryReplicationGroupId") == group.get("replicationGroupId"))


def _keys(stack: Stack) -> Iterator[Finding]:
    for key in stack.of(KEY):
        yield Finding("", "is a key of this region's own, must be a replica of the primary's", urn=key.urn)
    for key in stack.of(REPLICA_KEY):
        yield from _elsewhere(key, "primaryKeyArn")


def _elsewhere(its: Resource, path: str) -> Iterator[Finding]:
    """That an ARN is of another region."""
    home = region_of(its)
    other = Want("an ARN of another region", lambda value: NAMED.holds(value) and region_in(value) not in ("", home))
    yield from _of(its, must(its, path, other))


def _databases(stack: Stack) -> Iterator[Finding]:
    heads = []
    for instance in stack.of(INSTANCE):
        source = instance.get(SOURCE)
        if source in (None, ""):
            yield Finding(SOURCE, "is absent, must be the primary's: the rest of the stack follows", urn=instance.urn)
        elif isinstance(source, str) and source.startswith("arn:"):
            heads.append(instance)
            yield from _elsewhere(instance, SOURCE)
    path = "sourceDbInstanceArn"
    copies = stack.of(BACKUPS)
    for its in copies:
        yield from _elsewhere(its, path)
    for head in heads if not copies else ():
        yield Finding("", "has no replicated backups of its source beside it", urn=head.urn)


def _indexes(stack: Stack) -> Iterator[Finding]:
    for domain in stack.of(DOMAIN):
        found = [its for its in stack.of(OUTBOUND) if refers(its, "localDomainInfo.domainName", domain)]
        if not found:
            yield Finding("", "has no connection to the primary's, must have one to follow it", urn=domain.urn)
    for connection in stack.of(OUTBOUND):
        home = connection.get("localDomainInfo.region")
        other = Want("another region", lambda value, home=home: NAMED.holds(value) and value != home)  # type: ignore[misc]
        yield from _of(connection, must(connection, "remoteDomainInfo.region", other))
        if not referring(stack, "connectionId", connection, [ACCEPTER]).found:
            yield Finding("", "is accepted by nobody", urn=connection.urn)
