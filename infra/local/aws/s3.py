"""S3: buckets, and the parts of a bucket that are resources of their own."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Tagging, Type
from infra.local.resource import Failure, Props

_BUCKET = {"Bucket": "{id}"}

_WEBSITE_ZONES = {
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-east-2": "Z2O1EMRO9K5GLX",
    "us-west-1": "Z2F56UZL2M1ACD",
    "us-west-2": "Z3BJ6K6RIION7M",
    "eu-west-1": "Z1BKCTXD74EZPE",
    "eu-west-2": "Z3GKZC51ZF0DB4",
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "ap-southeast-1": "Z3O0J2DXBE1FTB",
    "ap-southeast-2": "Z1WCIGYICN2BYD",
    "ap-northeast-1": "Z2M4EHUR26P7ZW",
    "sa-east-1": "Z7KQH4QJS55SO",
}
"""Route 53's zone of S3's website endpoints (AWS general reference, "Amazon S3 website endpoints")."""


def _in_region(region: Region, props: Props) -> Props:
    """S3 takes the region as a constraint everywhere but in us-east-1, where it refuses one."""
    return props if region.name == "us-east-1" else {**props, "locationConstraint": region.name}


def _named(props: Props) -> Iterable[Failure]:
    name = props.get("bucket")
    if isinstance(name, str) and not re.fullmatch(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name):
        yield Failure("bucket", f"InvalidBucketName: The specified bucket is not valid: {name}")


def _empty(region: Region, props: Props) -> None:
    """Delete every version of every object, if the program says so; S3 deletes no bucket that holds something."""
    bucket = props["id"]
    while props.get("forceDestroy"):
        page = region.call("s3", "ListObjectVersions", Bucket=bucket, MaxKeys=1000)
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for item in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if not found:
            return
        region.call("s3", "DeleteObjects", Bucket=bucket, Delete={"Objects": found, "Quiet": True})


BUCKET = Type(
    "aws:s3/bucket:Bucket",
    "s3",
    id="{bucket}",
    prepare=_in_region,
    create=Call(
        "CreateBucket",
        ("bucket", "bucketNamespace"),
        {
            "objectLockEnabled": "ObjectLockEnabledForBucket",
            "locationConstraint": "CreateBucketConfiguration.LocationConstraint",
        },
    ),
    read=Call("HeadBucket", fixed=_BUCKET),
    before_delete=_empty,
    delete=[Call("DeleteBucket", fixed=_BUCKET)],
    recorded=frozenset({"forceDestroy"}),
    tagging=Tagging(
        add=Call("PutBucketTagging", (), fixed=_BUCKET),
        remove=Call("DeleteBucketTagging", (), fixed=_BUCKET),
        get=Call("GetBucketTagging", (), fixed=_BUCKET, at="TagSet"),
        add_tags="Tagging.TagSet",
        at_once=True,
    ),
    outputs={
        "arn": "arn:{partition}:s3:::{id}",
        "bucketRegion": "{region}",
        "bucketDomainName": "{id}.s3.amazonaws.com",
        "bucketRegionalDomainName": "{id}.s3.{region}.amazonaws.com",
        "hostedZoneId": lambda region, *_: _WEBSITE_ZONES.get(region.name),
    },
    validate=_named,
    autoname="bucket",
    autoname_limit=63,
    missing=("NoSuchBucket", "404"),
    note="settings inside the bucket (versioning, logging, ...) are deprecated and refused: use s3.Bucket* resources",
)


def _part(name: str, put: Call, get: Call, delete: Call, missing: str = "", **more: Any) -> Type:
    """A part of a bucket that has operations of its own; its id is the bucket's name."""
    return Type(
        f"aws:s3/{name[0].lower()}{name[1:]}:{name}",
        "s3",
        id="{bucket}",
        create=put,
        upsert=True,
        read=get,
        delete=[delete],
        missing=("NoSuchBucket", "404", *missing.split()),
        **more,
    )


VERSIONING = _part(
    "BucketVersioning",
    Call("PutBucketVersioning"),
    Call("GetBucketVersioning", fixed=_BUCKET),
    Call("PutBucketVersioning", (), fixed={**_BUCKET, "VersioningConfiguration": {"Status": "Suspended"}}),
    shows={"versioningConfiguration": "{Status: Status || 'Disabled', MFADelete: MFADelete}"},
    note="what was versioned stays so: deleting suspends, and a read then shows a suspended bucket",
)


def _encryption_keys(props: Props) -> Iterable[Failure]:
    for rule in shapes.blocks(props, "rules"):
        default = rule.get("applyServerSideEncryptionByDefault")
        if shapes.get(default, "sseAlgorithm") == "AES256" and shapes.get(default, "kmsMasterKeyId"):
            yield Failure(
                "rules",
                "InvalidArgument: a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or "
                "aws:kms:dsse",
            )


ENCRYPTION = _part(
    "BucketServerSideEncryptionConfiguration",
    Call(
        "PutBucketEncryption",
        None,
        {
            "rules": "ServerSideEncryptionConfiguration.Rules",
            "rules.blockedEncryptionTypes": "BlockedEncryptionTypes.EncryptionType",
        },
    ),
    Call("GetBucketEncryption", fixed=_BUCKET, at="ServerSideEncryptionConfiguration"),
    Call("DeleteBucketEncryption", fixed=_BUCKET),
    "ServerSideEncryptionConfigurationNotFoundError",
    validate=_encryption_keys,
)

PUBLIC_ACCESS_BLOCK = _part(
    "BucketPublicAccessBlock",
    Call(
        "PutPublicAccessBlock",
        None,
        {
            name: f"PublicAccessBlockConfiguration.{name[0].upper()}{name[1:]}"
            for name in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
        },
    ),
    Call("GetPublicAccessBlock", fixed=_BUCKET, at="PublicAccessBlockConfiguration"),
    Call("DeletePublicAccessBlock", fixed=_BUCKET),
    "NoSuchPublicAccessBlockConfiguration",
    recorded=frozenset({"skipDestroy"}),
)

OWNERSHIP_CONTROLS = _part(
    "BucketOwnershipControls",
    Call("PutBucketOwnershipControls", None, {"rule": "OwnershipControls.Rules"}),
    Call("GetBucketOwnershipControls", fixed=_BUCKET, at="OwnershipControls"),
    Call("DeleteBucketOwnershipControls", fixed=_BUCKET),
    "OwnershipControlsNotFoundError",
)

POLICY = _part(
    "BucketPolicy",
    Call("PutBucketPolicy"),
    Call("GetBucketPolicy", fixed=_BUCKET),
    Call("DeleteBucketPolicy", fixed=_BUCKET),
    "NoSuchBucketPolicy",
)

_INFREQUENT = ("STANDARD_IA", "ONEZONE_IA")
_LEAST_DAYS = 30


def _lifecycle(props: Props) -> Iterable[Failure]:
    """S3 user guide, "Transitioning objects using Amazon S3 Lifecycle" and "Lifecycle configuration elements"."""
    rules = shapes.blocks(props, "rules")
    names = [rule["id"] for rule in rules if isinstance(rule.get("id"), str)]
    if len({*names}) < len(names):
        yield Failure("rules", "InvalidArgument: Rule ID must be unique. Found same ID for more than one rule")
    for rule in rules:
        yield from _lifecycle_rule(rule)


def _lifecycle_rule(rule: Mapping[str, Any]) -> Iterable[Failure]:
    moves = [item for item in shapes.blocks(rule, "transitions") if isinstance(item.get("days"), int)]
    for item in moves:
        if item.get("storageClass") in _INFREQUENT and item["days"] < _LEAST_DAYS:
            yield Failure(
                "rules",
                "InvalidArgument: 'Days' in Transition action must be greater than or equal to 30 for storageClass "
                f"'{item['storageClass']}'",
            )
    moves.sort(key=lambda item: int(item["days"]))
    for first, then in itertools.pairwise(moves):
        if first.get("storageClass") in _INFREQUENT and then["days"] < first["days"] + _LEAST_DAYS:
            yield Failure(
                "rules",
                f"InvalidArgument: 'Days' in the 'Transition' action for StorageClass '{then.get('storageClass')}' "
                f"must be 30 days more than 'Transition' action for StorageClass '{first.get('storageClass')}'",
            )
    expire = shapes.get(rule, "expiration.days")
    if isinstance(expire, int) and moves and expire <= moves[-1]["days"]:
        yield Failure(
            "rules",
            "InvalidArgument: 'Days' in the Expiration action must be greater than 'Days' in the Transition action",
        )


LIFECYCLE = _part(
    "BucketLifecycleConfiguration",
    Call("PutBucketLifecycleConfiguration", None, {"rules": "LifecycleConfiguration.Rules"}),
    Call("GetBucketLifecycleConfiguration", fixed=_BUCKET),
    Call("DeleteBucketLifecycle", fixed=_BUCKET),
    "NoSuchLifecycleConfiguration",
    validate=_lifecycle,
)

_REPLICATION_MINUTES = 15


def _replication(props: Props) -> Iterable[Failure]:
    """S3 API reference, "PutBucketReplication" and the types that it takes."""
    for rule in shapes.blocks(props, "rules"):
        for member in ("priority", "deleteMarkerReplication"):
            if rule.get("filter") is not None and rule.get(member) is None:
                yield Failure(
                    "rules",
                    f"InvalidRequest: {member[0].upper()}{member[1:]} must be specified for this version of Cross "
                    "Region Replication configuration schema.",
                )
        target = rule.get("destination")
        if shapes.get(target, "replicationTime") is not None and shapes.get(target, "metrics") is None:
            yield Failure(
                "rules",
                "InvalidRequest: Replication destination must contain both ReplicationTime and Metrics or neither.",
            )
        for path in ("replicationTime.time.minutes", "metrics.eventThreshold.minutes"):
            if isinstance(shapes.get(target, path), int) and shapes.get(target, path) != _REPLICATION_MINUTES:
                yield Failure("rules", f"MalformedXML: {path} is {shapes.get(target, path)}, and S3 takes only 15")
        encrypted = shapes.get(rule, "sourceSelectionCriteria.sseKmsEncryptedObjects") is not None
        if encrypted != (shapes.get(target, "encryptionConfiguration") is not None):
            yield Failure(
                "rules",
                "InvalidRequest: SseKmsEncryptedObjects must be specified if EncryptionConfiguration is present, and "
                "the reverse",
            )


REPLICATION = _part(
    "BucketReplicationConfig",
    Call(
        "PutBucketReplication",
        None,
        {"role": "ReplicationConfiguration.Role", "rules": "ReplicationConfiguration.Rules"},
    ),
    Call("GetBucketReplication", fixed=_BUCKET, at="ReplicationConfiguration"),
    Call("DeleteBucketReplication", fixed=_BUCKET),
    "ReplicationConfigurationNotFoundError",
    validate=_replication,
    # moto keeps all of a rule but answers made-up values for the rest.
    shows={"rules": "Rules[].{ID: ID, Priority: Priority, Status: Status, Destination: Destination}"},
    note="replicates no object",
)

_LOGGED = "BucketLoggingStatus.LoggingEnabled"

LOGGING = _part(
    "BucketLogging",
    Call(
        "PutBucketLogging",
        None,
        {
            name: f"{_LOGGED}.{name[0].upper()}{name[1:]}"
            for name in ("targetBucket", "targetPrefix", "targetGrants", "targetObjectKeyFormat")
        },
    ),
    Call("GetBucketLogging", fixed=_BUCKET, at="LoggingEnabled"),
    Call("PutBucketLogging", (), fixed={**_BUCKET, "BucketLoggingStatus": {}}),
    note="writes no log",
)

OBJECT_LOCK = _part(
    "BucketObjectLockConfiguration",
    Call(
        "PutObjectLockConfiguration",
        None,
        {"objectLockEnabled": "ObjectLockConfiguration.ObjectLockEnabled", "rule": "ObjectLockConfiguration.Rule"},
    ),
    Call("GetObjectLockConfiguration", fixed=_BUCKET, at="ObjectLockConfiguration"),
    Call(
        "PutObjectLockConfiguration", (), fixed={**_BUCKET, "ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}}
    ),
    "ObjectLockConfigurationNotFoundError",
    note="object lock stays on for ever: deleting takes away the default retention",
)

TYPES = (
    BUCKET,
    VERSIONING,
    ENCRYPTION,
    PUBLIC_ACCESS_BLOCK,
    OWNERSHIP_CONTROLS,
    POLICY,
    LIFECYCLE,
    REPLICATION,
    LOGGING,
    OBJECT_LOCK,
)
