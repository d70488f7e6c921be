"""Buckets: encrypted, versioned, private, logged, copied, and emptied no sooner than promised.

A bucket's settings are resources of their own, so each rule looks at the whole stack: one that is missing is as bad as
one that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

from policies.document import Statement, others, statements
from policies.keys import REPLICA_KEY
from policies.links import referred, referring
from policies.rule import (
    ABSENT,
    GIVEN,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    at_least,
    items,
    judge,
    look,
    must,
    number,
    one_of,
    rule,
    stack_rule,
    unverified,
)
from policies.wants import NAMED, OWN_KEY

BUCKET: Final = "aws:s3/bucket:Bucket"
ENCRYPTION: Final = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
VERSIONING: Final = "aws:s3/bucketVersioning:BucketVersioning"
PUBLIC: Final = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP: Final = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
POLICY: Final = "aws:s3/bucketPolicy:BucketPolicy"
LOGGING: Final = "aws:s3/bucketLogging:BucketLogging"
LIFECYCLE: Final = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
REPLICATION: Final = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"
LOAD_BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
RECORD: Final = "aws:route53/record:Record"

GUIDE: Final = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"
COMPONENT: Final = "components/storage.py"

ENABLED: Final = one_of("Enabled")


def _each(stack: Stack, type_: str, called: str) -> Iterator[tuple[Resource, Resource | None, Finding]]:
    """Each bucket with its setting of a type, or with what to say if it has none."""
    for bucket in stack.of(BUCKET):
        found, maybe = referring(stack, "bucket", bucket, (type_,))
        missing = Finding("", f"has no {called}", verified=not maybe, urn=bucket.urn)
        if not found:
            yield bucket, None, missing
        for setting in found:
            yield bucket, setting, missing


def _must(setting: Resource, path: str, want: Want) -> Iterator[Finding]:
    yield from judge(setting.get(path), path, want, urn=setting.urn)


def log_targets(stack: Stack) -> set[str]:
    """The URNs of the buckets that hold logs of load balancers or of other buckets, and have no log of their own."""
    targets: set[str] = set()
    for balancer in stack.of(LOAD_BALANCER):
        targets |= {one.urn for one in referred(stack, balancer, "accessLogs.bucket", BUCKET)}
        # Whoever writes at once waits for the bucket's policy, and refers to that.
        for policy in referred(stack, balancer, "accessLogs.bucket", POLICY):
            targets |= {one.urn for one in referred(stack, policy, "bucket", BUCKET)}
    for log in stack.of(LOGGING):
        targets |= {one.urn for one in referred(stack, log, "targetBucket", BUCKET)}
    return targets - {one.urn for log in stack.of(LOGGING) for one in referred(stack, log, "bucket", BUCKET)}


@stack_rule(
    "s3-kms",
    on=(BUCKET, ENCRYPTION, LOGGING, LOAD_BALANCER, POLICY),
    severity=Severity.CRITICAL,
    why="Whoever may read a bucket reads what lies under S3's own key; access logs under a key of ours never arrive",
    remedy=f"Encrypt with the region's data key, and the bucket of access logs with AES256: {COMPONENT}",
    reference=f"{GUIDE}/UsingKMSEncryption.html",
)
def kms(stack: Stack) -> Iterator[Finding]:
    """Every bucket is encrypted with a key of ours, but for the one that load balancers and S3 log into.

    Those write with S3's own keys only (Elastic Load Balancing user guide, "Access logs"; S3 user guide, "Enabling
    server access logging").
    """
    targets = log_targets(stack)
    for bucket, setting, missing in _each(stack, ENCRYPTION, "encryption"):
        if setting is None:
            yield missing
            continue
        rules = items(setting, "rules")
        if not rules:
            yield Finding("rules", "is absent, and must be given", urn=setting.urn)
        for path, one in rules:
            where = f"{path}.applyServerSideEncryptionByDefault"
            its = one if one is UNKNOWN else look(one, "applyServerSideEncryptionByDefault")
            algorithm = look(its, "sseAlgorithm")
            if bucket.urn in targets:
                yield from judge(algorithm, f"{where}.sseAlgorithm", one_of("AES256"), urn=setting.urn)
                continue
            wanted = one_of("aws:kms", "aws:kms:dsse")
            yield from judge(algorithm, f"{where}.sseAlgorithm", wanted, urn=setting.urn)
            yield from judge(look(its, "kmsMasterKeyId"), f"{where}.kmsMasterKeyId", OWN_KEY, urn=setting.urn)


@rule(
    "s3-bucket-key",
    on=ENCRYPTION,
    severity=Severity.MEDIUM,
    why="Without a bucket key every object is a request to KMS, which costs and is throttled",
    remedy=f"Keep bucket_key_enabled: {COMPONENT}",
    reference=f"{GUIDE}/bucket-key.html",
)
def bucket_key(encryption: Resource) -> Iterator[Finding]:
    """KMS is asked per bucket, not per object; with `aws:kms:dsse` S3 cannot."""
    for path, one in items(encryption, "rules"):
        algorithm = one if one is UNKNOWN else look(one, "applyServerSideEncryptionByDefault.sseAlgorithm")
        if algorithm is UNKNOWN:
            yield unverified(f"{path}.applyServerSideEncryptionByDefault.sseAlgorithm")
        elif algorithm == "aws:kms":
            yield from must(encryption, f"{path}.bucketKeyEnabled", TRUE)


@stack_rule(
    "s3-versioning",
    on=(BUCKET, VERSIONING),
    severity=Severity.CRITICAL,
    why="Without versions, an object that is overwritten or deleted by mistake is gone, here and in the copy",
    remedy=f"Keep versioning Enabled: {COMPONENT}",
    reference=f"{GUIDE}/Versioning.html",
)
def versioning(stack: Stack) -> Iterator[Finding]:
    """Every bucket keeps versions."""
    for _bucket, setting, missing in _each(stack, VERSIONING, "versioning"):
        yield from [missing] if setting is None else _must(setting, "versioningConfiguration.status", ENABLED)


@stack_rule(
    "s3-public",
    on=(BUCKET, PUBLIC),
    severity=Severity.CRITICAL,
    why="One wrong policy or ACL opens a bucket to everybody unless all four blocks are on",
    remedy=f"Keep the four settings of BucketPublicAccessBlock on: {COMPONENT}",
    reference=f"{GUIDE}/access-control-block-public-access.html",
)
def public(stack: Stack) -> Iterator[Finding]:
    """Every bucket refuses public access."""
    for _bucket, setting, missing in _each(stack, PUBLIC, "block on public access"):
        if setting is None:
            yield missing
            continue
        for path in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"):
            yield from _must(setting, path, TRUE)


@stack_rule(
    "s3-ownership",
    on=(BUCKET, OWNERSHIP),
    severity=Severity.HIGH,
    why="With ACLs an object can belong to somebody else, and the bucket's policy does not see it",
    remedy=f"Keep object_ownership BucketOwnerEnforced: {COMPONENT}",
    reference=f"{GUIDE}/about-object-ownership.html",
)
def ownership(stack: Stack) -> Iterator[Finding]:
    """Every object belongs to the bucket's owner."""
    for _bucket, setting, missing in _each(stack, OWNERSHIP, "ownership controls"):
        yield from (
            [missing] if setting is None else _must(setting, "rule.objectOwnership", one_of("BucketOwnerEnforced"))
        )


# What the bucket's policy says


@rule(
    "s3-policy",
    on=POLICY,
    severity=Severity.CRITICAL,
    why="A bucket's policy can let in other accounts, or everybody",
    remedy="Name our own account in the principal or the condition: plan_bucket_policy in components/storage_plan.py",
    reference=f"{GUIDE}/s3-bucket-user-policy-specifying-principal-intro.html",
)
def policy(bucket_policy: Resource) -> Iterator[Finding]:
    """Nobody outside our accounts is let in."""
    yield from others(bucket_policy, "policy")


@stack_rule(
    "s3-tls",
    on=(BUCKET, POLICY),
    severity=Severity.CRITICAL,
    why="S3 answers without TLS, and with TLS 1.0, unless the bucket's policy refuses",
    remedy="Keep the statements that deny them: plan_bucket_policy in components/storage_plan.py",
    reference=f"{GUIDE}/security-best-practices.html",
)
def tls(stack: Stack) -> Iterator[Finding]:
    """Every bucket refuses what does not come by TLS 1.2 or newer."""
    for _bucket, setting, missing in _each(stack, POLICY, "policy"):
        if setting is None:
            yield missing
            continue
        yield from _denied(setting, "requests without TLS", "s3:*", _without_tls, whole=True)
        yield from _denied(setting, "TLS older than 1.2", "s3:*", _old_tls, whole=True)


@stack_rule(
    "s3-upload-kms",
    on=(BUCKET, POLICY, LOGGING, LOAD_BALANCER),
    severity=Severity.HIGH,
    why="Whoever uploads can ask for another encryption than the bucket's",
    remedy="Keep the statement that denies it: plan_bucket_policy in components/storage_plan.py",
    reference=f"{GUIDE}/UsingKMSEncryption.html#require-sse-kms",
)
def upload_kms(stack: Stack) -> Iterator[Finding]:
    """No bucket but the one of access logs takes objects with another encryption than KMS's."""
    targets = log_targets(stack)
    for bucket, setting, _missing in _each(stack, POLICY, "policy"):
        # That there is a policy is `s3-tls`'s to say.
        if setting is not None and bucket.urn not in targets:
            yield from _denied(setting, "uploads without KMS", "s3:PutObject", _without_kms, whole=False)


def _denied(
    policy: Resource, what: str, action: str, under: Callable[[Statement], bool], *, whole: bool
) -> Iterator[Finding]:
    """Says so if a policy does not deny something to everybody, for all objects and, if `whole`, the bucket itself."""
    found, problems = statements(policy, "policy")
    unknown = [one for one in problems if not one.verified]
    if unknown:
        yield from (unverified(one.path, urn=policy.urn) for one in unknown)
    elif not any(_denies(one, action, whole=whole) and under(one) for one in found):
        yield Finding("policy", f"does not deny {what}", urn=policy.urn)


def _denies(statement: Statement, action: str, *, whole: bool) -> bool:
    everybody = statement.principals == [("AWS", "*")]
    about = any(one in (action, "s3:*", "*") for one in statement.actions)
    places = [one for one in statement.resources if isinstance(one, str)]
    objects = any(one == "*" or one.endswith("/*") for one in places)
    itself = any(one == "*" or "/" not in one for one in places)
    return statement.denies and everybody and about and objects and (itself or not whole)


def _only(statement: Statement, *wanted: tuple[str, str, str]) -> bool:
    """Whether a statement has these conditions and no other that would narrow it."""
    found = {(operator, key, str(value).lower()) for operator, key, its in statement.conditions() for value in its}
    return found == set(wanted)


def _without_tls(statement: Statement) -> bool:
    return _only(statement, ("Bool", "aws:securetransport", "false"))


def _old_tls(statement: Statement) -> bool:
    its = [(operator, key) for operator, key, _values in statement.conditions()]
    values = [one for _operator, _key, some in statement.conditions() for one in some]
    return its == [("NumericLessThan", "s3:tlsversion")] and values in (["1.2"], ["1.3"], [1.2], [1.3])


def _without_kms(statement: Statement) -> bool:
    key = "s3:x-amz-server-side-encryption"
    otherwise = ("StringNotEquals", key, "aws:kms")
    # Who asks for nothing gets the bucket's own encryption.
    return _only(statement, otherwise) or _only(statement, otherwise, ("Null", key, "false"))


# Logs, copies and time


@stack_rule(
    "s3-logging",
    on=(BUCKET, LOGGING, LOAD_BALANCER, POLICY),
    severity=Severity.MEDIUM,
    why="Who read a document is known from the access log, or not at all",
    remedy=f"Keep BucketLogging into the bucket of logs: {COMPONENT}",
    reference=f"{GUIDE}/ServerLogs.html",
)
def logging(stack: Stack) -> Iterator[Finding]:
    """Every bucket but the one of logs has an access log."""
    targets = log_targets(stack)
    for bucket, setting, missing in _each(stack, LOGGING, "access log"):
        if bucket.urn in targets:
            continue
        if setting is None:
            yield missing
            continue
        yield from _must(setting, "targetBucket", NAMED)
        if bucket in referred(stack, setting, "targetBucket", BUCKET):
            yield Finding("targetBucket", "is the bucket itself", urn=setting.urn)


@stack_rule(
    "s3-replication",
    on=(BUCKET, REPLICATION, LOGGING, LOAD_BALANCER, POLICY, RECORD, REPLICA_KEY),
    severity=Severity.HIGH,
    why="A standby without the primary's objects can serve nothing",
    remedy=f"Keep the replication of every bucket into the standby: {COMPONENT}",
    key="failover",
    reference=f"{GUIDE}/replication.html",
)
def replication(stack: Stack, *, minutes: Annotated[int, Bounds(15, 15)] = 15) -> Iterator[Finding]:
    """The standby that takes over follows every bucket but the one of logs, at the pace that S3 promises.

    S3 keeps replication with the source, and a primary never reads its standby: it stands in the standby's stack. Which
    standby takes over, its SECONDARY record says, or that it replicates at all.
    """
    settings = stack.of(REPLICATION)
    for setting in settings:
        rules = items(setting, "rules")
        if not rules:
            yield Finding("rules", "is absent, and must be given", urn=setting.urn)
        for path, one in rules:
            yield from _replicates(setting, path, one, minutes)
    follows = bool(stack.of(REPLICA_KEY)) and any(failover(one) == "SECONDARY" for one in stack.of(RECORD))
    if not settings and not follows:
        return
    copied: set[str] = set()
    for setting in settings:
        copied |= {one.urn for one in referred(stack, setting, "rules", BUCKET)}
        for one in referred(stack, setting, "rules", POLICY):
            copied |= {bucket.urn for bucket in referred(stack, one, "bucket", BUCKET)}
    for bucket in stack.of(BUCKET):
        # Who copies waits for the bucket's policy and refers to that; without one `s3-tls` has more to say.
        guarded = referring(stack, "bucket", bucket, (POLICY,)).found
        if guarded and bucket.urn not in copied | log_targets(stack):
            yield Finding("", "is no bucket's copy", urn=bucket.urn)


def failover(record: Resource) -> Any:
    """PRIMARY or SECONDARY, if it is either."""
    return record.get("failoverRoutingPolicies[0].type")


def _replicates(setting: Resource, path: str, rule_: Any, minutes: int) -> Iterator[Finding]:
    soon = Want(f"{minutes}", lambda value: number(value) == minutes)
    every = Want("empty or absent", lambda value: value in (None, ""))
    wants = {
        "status": ENABLED,
        "filter.prefix": every,
        "filter.tag": ABSENT,
        "filter.and": ABSENT,
        "sourceSelectionCriteria.sseKmsEncryptedObjects.status": ENABLED,
        "deleteMarkerReplication.status": ENABLED,
        "destination.bucket": NAMED,
        "destination.encryptionConfiguration.replicaKmsKeyId": OWN_KEY,
        "destination.replicationTime.status": ENABLED,
        "destination.replicationTime.time.minutes": soon,
        "destination.metrics.status": ENABLED,
    }
    for key, want in wants.items():
        yield from judge(rule_ if rule_ is UNKNOWN else look(rule_, key), f"{path}.{key}", want, urn=setting.urn)


@stack_rule(
    "s3-lifecycle",
    on=(BUCKET, LIFECYCLE),
    severity=Severity.MEDIUM,
    why="Without it old versions and broken uploads are kept and paid for ever",
    remedy="Keep the rule for every kind of bucket: LIFECYCLES in components/storage_plan.py",
    reference=f"{GUIDE}/object-lifecycle-mgmt.html",
)
def lifecycle(stack: Stack) -> Iterator[Finding]:
    """Every bucket lets old versions and broken uploads go."""
    for _bucket, setting, missing in _each(stack, LIFECYCLE, "lifecycle"):
        if setting is None:
            yield missing
            continue
        rules = items(setting, "rules")
        if not rules:
            yield Finding("rules", "is absent, and must be given", urn=setting.urn)
        for path, one in rules:
            for key, want in (
                ("status", ENABLED),
                ("noncurrentVersionExpiration.noncurrentDays", GIVEN),
                ("abortIncompleteMultipartUpload.daysAfterInitiation", at_least(1)),
            ):
                yield from judge(one if one is UNKNOWN else look(one, key), f"{path}.{key}", want, urn=setting.urn)


@rule(
    "s3-retention",
    on=LIFECYCLE,
    severity=Severity.CRITICAL,
    why="A lifecycle deletes in silence, and no backup older than its own retention brings objects back",
    remedy="Keep objects, and versions after them, longer: LIFECYCLES in components/storage_plan.py",
    reference=f"{GUIDE}/lifecycle-expire-general-considerations.html",
)
def retention(
    setting: Resource,
    *,
    days: Annotated[int, Bounds(1, 3650)] = 365,
    versions: Annotated[int, Bounds(1, 3650)] = 30,
) -> Iterator[Finding]:
    """Objects are kept for days, and versions that were replaced or deleted for some more."""

    def kept(least: int) -> Want:
        return Want(f"at least {least}, or absent", lambda value: value is None or at_least(least).holds(value))

    for path, one in items(setting, "rules"):
        for key, want in (
            ("expiration.days", kept(days)),
            ("expiration.date", ABSENT),
            ("noncurrentVersionExpiration.noncurrentDays", kept(versions)),
        ):
            yield from judge(one if one is UNKNOWN else look(one, key), f"{path}.{key}", want)
