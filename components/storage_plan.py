"""Which buckets a region has, how long they keep what, and who may touch them; decided before anything is built."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from components.errors import ArgsError

Kind = Literal["documents", "snapshots", "logs"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: What a standby region holds a copy of. Logs stay where they were written.
REPLICATED: tuple[Kind, ...] = ("documents", "snapshots")

ColdClass = Literal["GLACIER_IR", "GLACIER"]
Policy = dict[str, Any]

#: Where load balancers write their access logs in the logs bucket.
LOAD_BALANCER_PREFIX = "load-balancer"

#: Where the service notes whom it erased, in the snapshots bucket: that one is copied to the other region, is in no
#: backup that could be restored over it, and expires nothing that is current.
LEDGER_PREFIX = "erasures"


@dataclass(frozen=True, kw_only=True)
class Lifecycle:
    """When objects of a bucket move to cheaper storage and when they go. All figures are days.

    Attributes:
        warm: Age at which an object moves to STANDARD_IA.
        cold: Age at which it moves on to ``cold_class``; ``None`` for never.
        cold_class: GLACIER_IR answers in milliseconds, GLACIER within hours.
        expire: Age at which it is deleted; ``None`` for never.
        superseded: How long an overwritten or deleted version can still be had back.
        abort_upload: Age at which an unfinished multipart upload is dropped.

    Raises:
        ArgsError: S3 would refuse the figures (S3 user guide, "Transitioning objects": 30 days before STANDARD_IA
            and 30 more before the next class).
    """

    warm: int
    cold: int | None = None
    cold_class: ColdClass = "GLACIER_IR"
    expire: int | None = None
    superseded: int
    abort_upload: int = 7

    def __post_init__(self) -> None:
        if self.warm < 30:
            raise ArgsError(f"warm is {self.warm} days", why="S3 moves nothing to STANDARD_IA before 30 days")
        if self.cold is not None and self.cold < self.warm + 30:
            raise ArgsError(
                f"cold is {self.cold} days",
                why=f"S3 wants an object to stay 30 days in STANDARD_IA, which it enters at {self.warm}",
                remedy=f"Set it to {self.warm + 30} or more",
            )
        last = self.warm if self.cold is None else self.cold
        if self.expire is not None and self.expire <= last:
            raise ArgsError(
                f"expire is {self.expire} days", why=f"S3 wants it after the last move, which is at {last} days"
            )
        if self.superseded < 1 or self.abort_upload < 1:
            raise ArgsError("superseded and abort_upload must be at least 1 day", why="S3 counts whole days")

    def rule(self) -> dict[str, Any]:
        """The one lifecycle rule of the bucket, in the provider's terms."""
        transitions = [{"days": self.warm, "storage_class": "STANDARD_IA"}]
        if self.cold is not None:
            transitions.append({"days": self.cold, "storage_class": self.cold_class})
        # S3 takes one of the two; an expiry by age also clears the delete markers that it leaves.
        expiration = {"expired_object_delete_marker": True} if self.expire is None else {"days": self.expire}
        return {
            "id": "retention",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "transitions": transitions,
            "expiration": expiration,
            "noncurrent_version_expiration": {"noncurrent_days": self.superseded},
            "abort_incomplete_multipart_upload": {"days_after_initiation": self.abort_upload},
        }


LIFECYCLES: dict[Kind, Lifecycle] = {
    # The requirement's figures: warm at 30 days and cold at 90 (section 1), gone after two years (sections 8 and 9).
    # Users open old documents, so cold must still answer at once. A superseded document stays as long as the database
    # can be restored to a moment that names it (35 days).
    "documents": Lifecycle(warm=30, cold=90, cold_class="GLACIER_IR", expire=730, superseded=35),
    # Snapshots share files, old ones included: only OpenSearch knows which are still needed, so S3 expires nothing that
    # is current. What is still referenced at 90 days belongs to cold indexes. The ledger of erasures is kept for ever.
    "snapshots": Lifecycle(warm=90, superseded=35),
    # Section 4: 30 days hot, warm until 90, cold until a year. Nobody waits for a log of last winter.
    "logs": Lifecycle(warm=30, cold=90, cold_class="GLACIER", expire=365, superseded=30),
}


def access_log_prefix(kind: Kind) -> str:
    """Where the access logs of a bucket go in the logs bucket."""
    return f"s3-access/{kind}/"


def bucket_arn(bucket: str) -> str:
    """A bucket's ARN, from its name alone: known already in a preview, so policies can be checked there."""
    return f"arn:aws:s3:::{bucket}"


def plan_bucket_policy(kind: Kind, bucket: str, *, account_id: str, sources: Mapping[Kind, str]) -> Policy:
    """What a bucket refuses to everybody and, for logs, which services may write into it.

    Args:
        kind: What the bucket is for.
        bucket: Its name.
        account_id: The account, 12 digits.
        sources: Names of the buckets that send their access logs to the logs bucket, by kind.

    Returns:
        The policy document. Sources: S3 user guide, "Enabling server access logging"; Elastic Load Balancing user
        guide, "Enable access logs".
    """
    arn = bucket_arn(bucket)
    statements = [
        _refuse("WithoutTls", "s3:*", [arn, f"{arn}/*"], {"Bool": {"aws:SecureTransport": "false"}}),
        _refuse("OldTls", "s3:*", [arn, f"{arn}/*"], {"NumericLessThan": {"s3:TlsVersion": "1.2"}}),
    ]
    if kind == "logs":
        statements += [
            {
                "Sid": f"AccessLogsOf{source.capitalize()}",
                "Effect": "Allow",
                "Principal": {"Service": "logging.s3.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": f"{arn}/{access_log_prefix(source)}*",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account_id},
                    "ArnLike": {"aws:SourceArn": bucket_arn(name)},
                },
            }
            for source, name in sources.items()
        ]
        statements.append(
            {
                # The account id in the path is the guard: load balancers of other accounts write under their own.
                "Sid": "LoadBalancerLogs",
                "Effect": "Allow",
                "Principal": {"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
                "Action": "s3:PutObject",
                "Resource": f"{arn}/{LOAD_BALANCER_PREFIX}/AWSLogs/{account_id}/*",
            }
        )
    else:
        # An upload that asks for nothing gets the bucket's key; one that asks for something else would escape it.
        escape = {
            "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
            "Null": {"s3:x-amz-server-side-encryption": "false"},
        }
        statements.append(_refuse("OtherEncryption", "s3:PutObject", [f"{arn}/*"], escape))
    if kind == "snapshots":
        # Whoever could take an entry out of the ledger would bring an erased user back with the next restore. Copies
        # that S3 makes in the other region are no PutObject (S3 user guide, "Enforce conditional writes").
        ledger = [f"{arn}/{LEDGER_PREFIX}/*"]
        statements += [
            _refuse("OverwriteOfLedger", "s3:PutObject", ledger, {"Null": {"s3:if-none-match": "true"}}),
            _refuse("DeletionFromLedger", ["s3:DeleteObject", "s3:DeleteObjectVersion"], ledger),
        ]
    return {"Version": "2012-10-17", "Statement": statements}


def _refuse(
    what: str, action: str | list[str], resources: list[str], condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    statement = {
        "Sid": f"Refuse{what}",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": action,
        "Resource": resources,
    }
    return statement | ({"Condition": condition} if condition else {})


@dataclass(frozen=True, kw_only=True)
class ReplicationEnd:
    """One side of the replication, as its policy names it.

    Attributes:
        region: Where the buckets are.
        buckets: Their names.
        key: ARN of the key that they are encrypted with.
    """

    region: str
    buckets: tuple[str, ...]
    key: str


def plan_replication_policy(source: ReplicationEnd, target: ReplicationEnd) -> Policy:
    """What S3 may do on our behalf: read versions on one side, write replicas on the other, nothing else.

    Both encryption contexts are allowed per bucket: the bucket's ARN (with a bucket key) and the object's (without).
    Source: S3 user guide, "Setting up permissions for live replication" and "Replicating encrypted objects".
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["s3:GetReplicationConfiguration", "s3:ListBucket"],
                "Resource": [bucket_arn(name) for name in source.buckets],
            },
            {
                "Effect": "Allow",
                "Action": [
                    "s3:GetObjectVersionAcl",
                    "s3:GetObjectVersionForReplication",
                    "s3:GetObjectVersionTagging",
                ],
                "Resource": [f"{bucket_arn(name)}/*" for name in source.buckets],
            },
            {
                "Effect": "Allow",
                "Action": ["s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"],
                "Resource": [f"{bucket_arn(name)}/*" for name in target.buckets],
            },
            _use_of_key(source, ["kms:Decrypt"]),
            _use_of_key(target, ["kms:Encrypt", "kms:GenerateDataKey"]),
        ],
    }


def _use_of_key(end: ReplicationEnd, actions: list[str]) -> dict[str, Any]:
    contexts = [arn for name in end.buckets for arn in (bucket_arn(name), f"{bucket_arn(name)}/*")]
    return {
        "Effect": "Allow",
        "Action": actions,
        "Resource": end.key,
        "Condition": {
            "StringEquals": {"kms:ViaService": f"s3.{end.region}.amazonaws.com"},
            "StringLike": {"kms:EncryptionContext:aws:s3:arn": contexts},
        },
    }
