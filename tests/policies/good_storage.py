"""The buckets' good settings."""

import json
from collections.abc import Callable
from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

ENCRYPTION: Final = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
VERSIONING: Final = "aws:s3/bucketVersioning:BucketVersioning"
PUBLIC: Final = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP: Final = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
POLICY: Final = "aws:s3/bucketPolicy:BucketPolicy"
LOGGING: Final = "aws:s3/bucketLogging:BucketLogging"
LIFECYCLE: Final = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
REPLICATION: Final = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"
DEFAULT: Final = "rules[*].applyServerSideEncryptionByDefault"


def logs(resource: Resource) -> bool:
    return resource.name == "storage-logs"


def ours(resource: Resource) -> bool:
    return not logs(resource)


def without(sid: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        document = json.loads(text)
        return json.dumps({**document, "Statement": [one for one in document["Statement"] if one["Sid"] != sid]})

    return change


def said(sid: str, **members: Any) -> Callable[[str], str]:
    """The same statement with other members."""

    def change(text: str) -> str:
        document = json.loads(text)
        each = [{**one, **members} if one["Sid"] == sid else one for one in document["Statement"]]
        return json.dumps({**document, "Statement": each})

    return change


def also(**statement: Any) -> Callable[[str], str]:
    """One more statement."""

    def change(text: str) -> str:
        document = json.loads(text)
        return json.dumps({**document, "Statement": [*document["Statement"], {"Sid": "More", **statement}]})

    return change


LET_IN: Final = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}

GOOD: Final = (
    Good(ENCRYPTION, "", "s3-kms"),
    Good(ENCRYPTION, "rules", "s3-kms", ([], GONE), unknown=False),
    Good(ENCRYPTION, f"{DEFAULT}.kmsMasterKeyId", "s3-kms", ("", "alias/aws/s3", GONE)),
    Good(ENCRYPTION, f"{DEFAULT}.sseAlgorithm", "s3-kms", ("AES256", GONE), unknown=False, where=ours),
    Good(ENCRYPTION, f"{DEFAULT}.sseAlgorithm", "s3-kms", ("aws:kms:dsse", GONE), unknown=False, where=logs),
    Good(ENCRYPTION, "rules[*].bucketKeyEnabled", "s3-bucket-key", (False, GONE)),
    Good(VERSIONING, "", "s3-versioning"),
    Good(VERSIONING, "versioningConfiguration.status", "s3-versioning", ("Suspended", "Disabled", GONE)),
    Good(PUBLIC, "", "s3-public"),
    *(
        Good(PUBLIC, path, "s3-public", (False, GONE))
        for path in ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
    ),
    Good(OWNERSHIP, "", "s3-ownership"),
    Good(OWNERSHIP, "rule.objectOwnership", "s3-ownership", ("BucketOwnerPreferred", "ObjectWriter", GONE)),
    Good(
        POLICY,
        "policy",
        "s3-policy",
        (
            also(**LET_IN, Principal="*"),
            also(**LET_IN, Principal={"AWS": "*"}),
            also(**LET_IN, Principal={"AWS": ["arn:aws:iam::999999999999:root"]}),
            also(**LET_IN, Principal={"AWS": "*"}, Condition={"StringLike": {"aws:SourceArn": "arn:aws:*"}}),
            also(**LET_IN, Principal={"AWS": "*"}, Condition={"StringEquals": {"aws:SourceAccount": "999999999999"}}),
            also(
                **LET_IN,
                Principal={"AWS": "*"},
                Condition={"StringEqualsIfExists": {"aws:SourceAccount": "123456789012"}},
            ),
            also(**LET_IN, NotPrincipal={"AWS": "arn:aws:iam::123456789012:root"}),
            also(**LET_IN, Principal={"Service": "logging.s3.amazonaws.com"}),
        ),
        unknown=False,
    ),
    Good(
        POLICY,
        "policy",
        "s3-tls",
        (
            without("RefuseWithoutTls"),
            without("RefuseOldTls"),
            said("RefuseWithoutTls", Effect="Allow", Principal={"AWS": "arn:aws:iam::123456789012:root"}),
            said("RefuseWithoutTls", Condition={"Bool": {"aws:SecureTransport": "true"}}),
            said("RefuseWithoutTls", Action="s3:GetObject"),
            said("RefuseWithoutTls", Resource=["arn:aws:s3:::storage-documents"]),
            said("RefuseWithoutTls", Principal={"AWS": "arn:aws:iam::123456789012:role/somebody"}),
            said("RefuseOldTls", Condition={"NumericLessThan": {"s3:TlsVersion": "1.1"}}),
        ),
        unknown=False,
    ),
    Good(POLICY, "policy", "s3-upload-kms", (without("RefuseOtherEncryption"),), unknown=False, where=ours),
    Good(POLICY, "", "s3-tls"),
    Good(LOGGING, "", "s3-logging"),
    Good(LOGGING, "targetBucket", "s3-logging", (GONE, "")),
    Good(LIFECYCLE, "", "s3-lifecycle"),
    Good(LIFECYCLE, "rules", "s3-lifecycle", ([], GONE), unknown=False),
    Good(LIFECYCLE, "rules[*].status", "s3-lifecycle", ("Disabled", GONE)),
    Good(LIFECYCLE, "rules[*].noncurrentVersionExpiration", "s3-lifecycle", unknown=False),
    Good(LIFECYCLE, "rules[*].abortIncompleteMultipartUpload", "s3-lifecycle"),
    Good(LIFECYCLE, "rules[*].noncurrentVersionExpiration.noncurrentDays", "s3-retention", (0, 1), unknown=False),
    Good(LIFECYCLE, "rules[*].expiration.days", "s3-retention", (1, 30, 0)),
    Good(LIFECYCLE, "rules[*].expiration", "s3-retention", ({"date": "2030-01-01"},)),
    Good(REPLICATION, "", "s3-replication"),
    Good(REPLICATION, "rules", "s3-replication", ([], GONE), unknown=False),
    Good(REPLICATION, "rules[*].status", "s3-replication", ("Disabled", GONE)),
    Good(REPLICATION, "rules[*].filter.prefix", "s3-replication", ("some/",)),
    Good(
        REPLICATION,
        "rules[*].sourceSelectionCriteria.sseKmsEncryptedObjects.status",
        "s3-replication",
        ("Disabled", GONE),
    ),
    Good(REPLICATION, "rules[*].deleteMarkerReplication.status", "s3-replication", ("Disabled", GONE)),
    Good(REPLICATION, "rules[*].destination.bucket", "s3-replication", ("", GONE)),
    Good(REPLICATION, "rules[*].destination.encryptionConfiguration.replicaKmsKeyId", "s3-replication", ("", GONE)),
    Good(REPLICATION, "rules[*].destination.replicationTime.status", "s3-replication", ("Disabled", GONE)),
    Good(REPLICATION, "rules[*].destination.replicationTime.time.minutes", "s3-replication", (60, GONE)),
    Good(REPLICATION, "rules[*].destination.metrics.status", "s3-replication", ("Disabled", GONE)),
)
