"""The buckets of a region: documents, search snapshots, and the logs about both.

A standby region follows the primary's documents and snapshots. Replication is a property of the source bucket, which
the primary's program does not know how to set (it never reads a standby), so the standby sets it, with an explicit
provider for the primary's region.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.errors import ArgsError
from components.kms import CustomerKey, check_account_id
from components.storage_plan import (
    KINDS,
    LEDGER_PREFIX,
    LIFECYCLES,
    LOAD_BALANCER_PREFIX,
    REPLICATED,
    Kind,
    ReplicationEnd,
    access_log_prefix,
    bucket_arn,
    plan_bucket_policy,
    plan_replication_policy,
)

#: The requirement's RPO is 15 minutes (section 6), and S3's replication time control accepts no other figure.
REPLICATION_MINUTES = 15
#: Two thirds of the RPO: time to act before it is broken.
REPLICATION_ALARM_SECONDS = 600


@dataclass(frozen=True, kw_only=True)
class ReplicationSource:
    """The primary region's buckets, as a standby follows them.

    S3 keeps one replication configuration per bucket: only one standby may follow a primary.

    Attributes:
        region: The primary's region.
        buckets: Names of its ``documents`` and ``snapshots`` buckets.
        key: ARN of the key (class ``data``) that they are encrypted with.
        provider: A provider for the primary's region.

    Raises:
        ArgsError: A bucket is missing.
    """

    region: str
    buckets: Mapping[str, pulumi.Input[str]]
    key: pulumi.Input[str]
    provider: aws.Provider

    def __post_init__(self) -> None:
        missing = [kind for kind in REPLICATED if kind not in self.buckets]
        if missing:
            raise ArgsError(
                f"replicate_from names no bucket for {', '.join(missing)}",
                why="a standby follows every bucket that it must be able to take over",
                remedy="Bring the primary region up first, with this version of the program",
            )


@dataclass(frozen=True, kw_only=True)
class StorageArgs:
    """What the buckets of a region need.

    Attributes:
        account_id: The account, 12 digits.
        region: Where the buckets are.
        key: The key (class ``data``) for documents and snapshots.
        replicate_from: The buckets to follow; ``None`` in a primary region.
        alarms_topic: ARN of the topic that hears the alarms; without it they only show.
        locked: Pulumi's ``protect``, and S3's refusal to delete a bucket that still holds something.

    Raises:
        ArgsError: The account id is malformed, or the buckets to follow are in this region.
    """

    account_id: str
    region: str
    key: CustomerKey
    replicate_from: ReplicationSource | None = None
    alarms_topic: pulumi.Input[str] | None = None
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        if self.replicate_from is not None and self.replicate_from.region == self.region:
            raise ArgsError(
                f"replicate_from is in {self.region}",
                why="a copy in the same region is lost with the original",
                remedy="Point the standby at the primary's region",
            )


@dataclass(frozen=True)
class StoredBucket:
    """One finished bucket.

    Attributes:
        name: Its name, available once its policy is in place: who writes to it may do so at once.
        arn: Its ARN.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]


class Storage(pulumi.ComponentResource):
    """The buckets of one region.

    Attributes:
        documents: Encrypted storage of documents (requirement, section 3). The service keeps them in PostgreSQL and has
            no rights here: its roles get them with the first thing that it stores here.
        snapshots: What OpenSearch saved of its indexes, and what the service notes of erasures, for after a restore.
        logs: Access logs of load balancers and buckets. AWS delivers those into a bucket with S3's own keys (SSE-S3)
            only, so this is the one bucket without a customer key.
        load_balancer_prefix: Where a load balancer may write in ``logs``.
        ledger_prefix: Where in ``snapshots`` the erasures are: written once, and never deleted by anybody.
    """

    documents: StoredBucket
    snapshots: StoredBucket
    logs: StoredBucket
    load_balancer_prefix: str = LOAD_BALANCER_PREFIX
    ledger_prefix: str = LEDGER_PREFIX

    def __init__(self, name: str, args: StorageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:storage:Storage", name, None, opts)
        self._prefix, self._args = name, args

        buckets = {kind: self._bucket(kind) for kind in KINDS}
        versioning = {kind: self._versioning(kind, bucket) for kind, bucket in buckets.items()}
        policies = {kind: self._guards(kind, bucket, buckets) for kind, bucket in buckets.items()}
        for kind, bucket in buckets.items():
            self._encryption(kind, bucket)
            self._lifecycle(kind, bucket, versioning[kind])
            if kind != "logs":
                # S3 checks at once that it may write there. The logs bucket has no log of its own: it would log itself.
                self._access_log(kind, bucket, buckets["logs"], policies["logs"])
        finished = {
            kind: StoredBucket(name=policy.bucket, arn=policy.bucket.apply(bucket_arn))
            for kind, policy in policies.items()
        }
        self.documents, self.snapshots, self.logs = (finished[kind] for kind in KINDS)
        if args.replicate_from is not None:
            self._replicate(args.replicate_from, finished, versioning)
        self.register_outputs({kind: bucket.name for kind, bucket in finished.items()})

    def _child(self, *, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=list(after))

    def _bucket(self, kind: Kind) -> aws.s3.Bucket:
        return aws.s3.Bucket(
            f"{self._prefix}-{kind}",
            force_destroy=not self._args.locked,
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.locked),
        )

    def _versioning(self, kind: Kind, bucket: aws.s3.Bucket) -> aws.s3.BucketVersioning:
        return aws.s3.BucketVersioning(
            f"{self._prefix}-{kind}",
            bucket=bucket.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=self._child(),
        )

    def _guards(self, kind: Kind, bucket: aws.s3.Bucket, buckets: Mapping[Kind, aws.s3.Bucket]) -> aws.s3.BucketPolicy:
        """No public access, no ACLs, and the policy."""
        public = aws.s3.BucketPublicAccessBlock(
            f"{self._prefix}-{kind}",
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child(),
        )
        ownership = aws.s3.BucketOwnershipControls(
            f"{self._prefix}-{kind}",
            bucket=bucket.bucket,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=self._child(),
        )

        def policy(names: Mapping[str, Any]) -> str:
            plan = plan_bucket_policy(kind, names["bucket"], account_id=self._args.account_id, sources=names["sources"])
            return json.dumps(plan, sort_keys=True)

        sources = {source: buckets[source].bucket for source in KINDS if source != "logs"} if kind == "logs" else {}
        return aws.s3.BucketPolicy(
            f"{self._prefix}-{kind}",
            bucket=bucket.bucket,
            policy=pulumi.Output.all(bucket=bucket.bucket, sources=pulumi.Output.all(**sources)).apply(policy),
            # S3 refuses two changes of one bucket's access at the same time.
            opts=self._child(after=[public, ownership]),
        )

    def _encryption(self, kind: Kind, bucket: aws.s3.Bucket) -> None:
        rule: Any = {
            "apply_server_side_encryption_by_default": {
                "sse_algorithm": "aws:kms",
                "kms_master_key_id": self._args.key.arn,
            },
            # One request to KMS per bucket and hour instead of one per object.
            "bucket_key_enabled": True,
        }
        if kind == "logs":
            rule = {"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{self._prefix}-{kind}", bucket=bucket.bucket, rules=[rule], opts=self._child()
        )

    def _lifecycle(self, kind: Kind, bucket: aws.s3.Bucket, versioning: aws.s3.BucketVersioning) -> None:
        rule: Any = LIFECYCLES[kind].rule()
        aws.s3.BucketLifecycleConfiguration(
            f"{self._prefix}-{kind}",
            bucket=bucket.bucket,
            rules=[rule],
            opts=self._child(after=[versioning]),
        )

    def _access_log(
        self, kind: Kind, bucket: aws.s3.Bucket, logs: aws.s3.Bucket, permission: aws.s3.BucketPolicy
    ) -> None:
        aws.s3.BucketLogging(
            f"{self._prefix}-{kind}",
            bucket=bucket.bucket,
            target_bucket=logs.bucket,
            target_prefix=access_log_prefix(kind),
            opts=self._child(after=[permission]),
        )

    def _replicate(
        self,
        source: ReplicationSource,
        targets: Mapping[Kind, StoredBucket],
        versioning: Mapping[Kind, aws.s3.BucketVersioning],
    ) -> None:
        role = aws.iam.Role(
            f"{self._prefix}-replication",
            description="S3 replication from the primary region",
            assume_role_policy=json.dumps(
                {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Principal": {"Service": "s3.amazonaws.com"},
                            "Action": "sts:AssumeRole",
                        }
                    ],
                },
                sort_keys=True,
            ),
            opts=self._child(),
        )

        def policy(ends: Mapping[str, Any]) -> str:
            plan = plan_replication_policy(
                ReplicationEnd(region=source.region, buckets=tuple(ends["sources"]), key=ends["source_key"]),
                ReplicationEnd(region=self._args.region, buckets=tuple(ends["targets"]), key=ends["target_key"]),
            )
            return json.dumps(plan, sort_keys=True)

        permission = aws.iam.RolePolicy(
            f"{self._prefix}-replication",
            role=role.id,
            policy=pulumi.Output.all(
                sources=[source.buckets[kind] for kind in REPLICATED],
                source_key=source.key,
                targets=[targets[kind].name for kind in REPLICATED],
                target_key=self._args.key.arn,
            ).apply(policy),
            opts=self._child(),
        )
        for kind in REPLICATED:
            aws.s3.BucketReplicationConfig(
                f"{self._prefix}-{kind}-replication",
                bucket=source.buckets[kind],
                role=role.arn,
                rules=[self._rule(kind, targets[kind].arn)],
                opts=pulumi.ResourceOptions(
                    parent=self, provider=source.provider, depends_on=[permission, versioning[kind]]
                ),
            )
            self._replication_alarm(kind, source.buckets[kind], targets[kind].name)

    def _rule(self, kind: Kind, target: pulumi.Output[str]) -> Any:
        minutes = {"minutes": REPLICATION_MINUTES}
        return {
            "id": kind,
            "status": "Enabled",
            "priority": 0,
            "filter": {"prefix": ""},
            "delete_marker_replication": {"status": "Enabled"},
            "source_selection_criteria": {"sse_kms_encrypted_objects": {"status": "Enabled"}},
            "destination": {
                "bucket": target,
                "encryption_configuration": {"replica_kms_key_id": self._args.key.arn},
                "replication_time": {"status": "Enabled", "time": minutes},
                "metrics": {"status": "Enabled", "event_threshold": minutes},
            },
        }

    def _replication_alarm(self, kind: Kind, source: pulumi.Input[str], target: pulumi.Input[str]) -> None:
        aws.cloudwatch.MetricAlarm(
            f"{self._prefix}-{kind}-replication",
            alarm_description=f"The copy of {kind} falls behind: the recovery point objective is 15 minutes",
            # S3 publishes this metric in the region of the copy, where it can still be seen when the primary is gone.
            namespace="AWS/S3",
            metric_name="ReplicationLatency",
            dimensions={"SourceBucket": source, "DestinationBucket": target, "RuleId": kind},
            statistic="Maximum",
            period=60,
            evaluation_periods=5,
            datapoints_to_alarm=3,
            threshold=REPLICATION_ALARM_SECONDS,
            comparison_operator="GreaterThanThreshold",
            # It is published even when nothing is written: silence means that nobody replicates.
            treat_missing_data="breaching",
            alarm_actions=[] if self._args.alarms_topic is None else [self._args.alarms_topic],
            opts=self._child(),
        )
