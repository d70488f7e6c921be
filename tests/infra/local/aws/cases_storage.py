"""Cases: buckets and secrets."""

import json
from typing import Any

from infra.local.resource import Props, State
from tests.infra.local.aws.case import Case, attribute
from tests.infra.local.aws.world import Place, World, document


def _encryption(algorithm: str, **more: Any) -> list[Props]:
    return [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": algorithm, **more}, "bucketKeyEnabled": bool(more)}]


def _lifecycle(days: int) -> list[Props]:
    return [
        {
            "id": "retention",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "transitions": [{"days": 30, "storageClass": "STANDARD_IA"}, {"days": 90, "storageClass": "GLACIER_IR"}],
            "expiration": {"days": days},
            "noncurrentVersionExpiration": {"noncurrentDays": 35},
            "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
        }
    ]


def _replication(place: Place, world: World, priority: int) -> list[Props]:
    return [
        {
            "id": "documents",
            "status": "Enabled",
            "priority": priority,
            "filter": {"prefix": ""},
            "deleteMarkerReplication": {"status": "Enabled"},
            "sourceSelectionCriteria": {"sseKmsEncryptedObjects": {"status": "Enabled"}},
            "destination": {
                "bucket": f"arn:aws:s3:::{world.west.bucket}",
                "encryptionConfiguration": {"replicaKmsKeyId": world.west.key},
                "replicationTime": {"status": "Enabled", "time": {"minutes": 15}},
                "metrics": {"status": "Enabled", "eventThreshold": {"minutes": 15}},
            },
        }
    ]


def _other_replication(place: Place, state: State) -> Any:
    rule = place.call("s3", "GetBucketReplication", Bucket=place.bucket)["ReplicationConfiguration"]
    rule["Rules"][0]["Status"] = "Disabled"
    return place.call("s3", "PutBucketReplication", Bucket=place.bucket, ReplicationConfiguration=rule)


STORAGE = (
    Case(
        "aws:s3/bucket:Bucket",
        lambda place, world: {"tags": {"a": "b"}},
        change=lambda place, world: {"tags": {"c": "d"}, "forceDestroy": True},
        behind=attribute("s3", "PutBucketTagging", Bucket="{}", Tagging={"TagSet": [{"Key": "c", "Value": "changed"}]}),
        drifts="tags",
        unseen=frozenset({"forceDestroy"}),
        region="west",
    ),
    Case(
        "aws:s3/bucketVersioning:BucketVersioning",
        lambda place, world: {"bucket": place.bucket, "versioningConfiguration": {"status": "Suspended"}},
        change=lambda place, world: {"versioningConfiguration": {"status": "Enabled"}},
        behind=attribute("s3", "PutBucketVersioning", Bucket="{}", VersioningConfiguration={"Status": "Suspended"}),
        drifts="versioningConfiguration",
        remains=True,
        region="west",
    ),
    Case(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        lambda place, world: {"bucket": place.bucket, "rules": _encryption("AES256")},
        change=lambda place, world: {"rules": _encryption("aws:kms", kmsMasterKeyId=place.key)},
        behind=attribute(
            "s3",
            "PutBucketEncryption",
            Bucket="{}",
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        ),
        drifts="rules",
    ),
    Case(
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        lambda place, world: {"bucket": place.bucket, "blockPublicAcls": True},
        change=lambda place, world: {"blockPublicPolicy": True},
        behind=attribute(
            "s3", "PutPublicAccessBlock", Bucket="{}", PublicAccessBlockConfiguration={"BlockPublicAcls": False}
        ),
        drifts="blockPublicAcls",
    ),
    Case(
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
        lambda place, world: {"bucket": place.bucket, "rule": {"objectOwnership": "ObjectWriter"}},
        change=lambda place, world: {"rule": {"objectOwnership": "BucketOwnerEnforced"}},
        behind=attribute(
            "s3",
            "PutBucketOwnershipControls",
            Bucket="{}",
            OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
        ),
        drifts="rule",
    ),
    Case(
        "aws:s3/bucketPolicy:BucketPolicy",
        lambda place, world: {"bucket": place.bucket, "policy": document("s3:*", "Deny", Principal="*", Resource="*")},
        change=lambda place, world: {"policy": document("s3:PutObject", "Deny", Principal="*", Resource="*")},
        behind=attribute(
            "s3", "PutBucketPolicy", Bucket="{}", Policy=document("s3:GetObject", "Deny", Principal="*", Resource="*")
        ),
        drifts="policy",
        region="west",
    ),
    Case(
        "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration",
        lambda place, world: {"bucket": place.bucket, "rules": _lifecycle(730)},
        change=lambda place, world: {"rules": _lifecycle(365)},
        behind=attribute(
            "s3",
            "PutBucketLifecycleConfiguration",
            Bucket="{}",
            LifecycleConfiguration={
                "Rules": [
                    {"ID": "retention", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 31}}
                ]
            },
        ),
        drifts="rules",
    ),
    Case(
        "aws:s3/bucketReplicationConfig:BucketReplicationConfig",
        lambda place, world: {
            "bucket": place.bucket,
            "role": place.role,
            "rules": _replication(place, world, 0),
        },
        change=lambda place, world: {"rules": _replication(place, world, 1)},
        behind=_other_replication,
        drifts="rules",
        unseen=frozenset({"rules"}),
    ),
    Case(
        "aws:s3/bucketLogging:BucketLogging",
        lambda place, world: {"bucket": place.bucket, "targetBucket": place.bucket, "targetPrefix": "one/"},
        change=lambda place, world: {"targetPrefix": "two/"},
        behind=lambda place, state: place.call(
            "s3",
            "PutBucketLogging",
            Bucket=place.bucket,
            BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": place.bucket, "TargetPrefix": "changed/"}},
        ),
        drifts="targetPrefix",
    ),
    Case(
        "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration",
        lambda place, world: {
            "bucket": place.locked_bucket,
            "rule": {"defaultRetention": {"mode": "GOVERNANCE", "days": 3}},
        },
        change=lambda place, world: {"rule": {"defaultRetention": {"mode": "GOVERNANCE", "days": 4}}},
        behind=attribute(
            "s3",
            "PutObjectLockConfiguration",
            Bucket="{}",
            ObjectLockConfiguration={
                "ObjectLockEnabled": "Enabled",
                "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 5}},
            },
        ),
        drifts="rule",
        # moto adds a retention of 0 years.
        unseen=frozenset({"rule"}),
        remains=True,
    ),
    Case(
        "aws:secretsmanager/secret:Secret",
        lambda place, world: {"description": "one", "recoveryWindowInDays": 7, "replicas": [{"region": "us-west-2"}]},
        change=lambda place, world: {
            "description": "two",
            "policy": document("secretsmanager:GetSecretValue", Principal="*", Resource="*"),
            "replicas": [{"region": "eu-west-1"}],
            "tags": {"c": "d"},
        },
        behind=attribute("secretsmanager", "UpdateSecret", SecretId="{}", Description="changed"),
        drifts="description",
        unseen=frozenset({"recoveryWindowInDays", "replicas"}),
    ),
    Case(
        "aws:secretsmanager/secretVersion:SecretVersion",
        lambda place, world: {"secretId": place.secret, "secretString": "value"},
        change=lambda place, world: {"versionStages": ["AWSCURRENT", "blue"]},
        behind=lambda place, state: place.call(
            "secretsmanager",
            "UpdateSecretVersionStage",
            SecretId=place.secret,
            VersionStage="blue",
            RemoveFromVersionId=state.outputs["versionId"],
        ),
        drifts="versionStages",
        remains=True,
    ),
    Case(
        "aws:secretsmanager/secretPolicy:SecretPolicy",
        lambda place, world: {"secretArn": place.secret, "policy": document("*", "Deny", Principal="*", Resource="*")},
        change=lambda place, world: {"policy": document("*", Principal="*", Resource="*")},
        behind=attribute("secretsmanager", "PutResourcePolicy", SecretId="{}", ResourcePolicy=json.dumps({})),
        drifts="policy",
    ),
)
