"""The buckets of a region, as the engine receives them."""

import json
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest

from components.errors import ArgsError
from components.kms import CustomerKey
from components.storage import ReplicationSource, Storage, StorageArgs
from components.storage_plan import KINDS, LIFECYCLES, REPLICATED, ReplicationEnd, plan_replication_policy

ACCOUNT = "012345678901"
KEY = f"arn:aws:kms:us-west-2:{ACCOUNT}:key/mrk-data"
PEER_KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/mrk-data"
TOPIC = f"arn:aws:sns:us-west-2:{ACCOUNT}:alarms"
REPLICATION = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"


def args(**changes: Any) -> StorageArgs:
    key = CustomerKey(arn=pulumi.Output.from_input(KEY), id=pulumi.Output.from_input("mrk-data"))
    given: dict[str, Any] = {"account_id": ACCOUNT, "region": "us-west-2", "key": key}
    return StorageArgs(**(given | changes))


def standby(**changes: Any) -> Storage:
    source = ReplicationSource(
        region="us-east-1",
        buckets={"documents": pulumi.Output.from_input("docs-prod"), "snapshots": "snaps-prod"},
        key=PEER_KEY,
        provider=aws.Provider("peer", region="us-east-1"),
    )
    return Storage("storage", args(replicate_from=source, **changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: Storage("storage", args()))


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    return recorded(standby)


@pytest.mark.parametrize("kind", KINDS)
def test_every_bucket_is_versioned_private_and_owned(run: Any, kind: str) -> None:
    name = f"storage-{kind}"
    assert run.one("aws:s3/bucketVersioning:BucketVersioning", name).inputs == {
        "bucket": name,
        "versioningConfiguration": {"status": "Enabled"},
    }
    assert run.one("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", name).inputs == {
        "bucket": name,
        "blockPublicAcls": True,
        "blockPublicPolicy": True,
        "ignorePublicAcls": True,
        "restrictPublicBuckets": True,
    }
    assert run.one("aws:s3/bucketOwnershipControls:BucketOwnershipControls", name).inputs == {
        "bucket": name,
        "rule": {"objectOwnership": "BucketOwnerEnforced"},
    }


def test_bucket_names_are_left_to_autonaming(run: Any) -> None:
    for bucket in run.of("aws:s3/bucket:Bucket"):
        assert set(bucket.inputs) == {"forceDestroy"}


@pytest.mark.parametrize("kind", ["documents", "snapshots"])
def test_data_buckets_are_encrypted_with_the_data_key(run: Any, kind: str) -> None:
    token = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    assert run.one(token, f"storage-{kind}").inputs["rules"] == [
        {
            "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": KEY},
            "bucketKeyEnabled": True,
        }
    ]


def test_the_logs_bucket_has_the_only_encryption_that_log_delivery_accepts(run: Any) -> None:
    token = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    assert run.one(token, "storage-logs").inputs["rules"] == [
        {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_bucket_has_its_policy_after_its_public_access_is_closed(run: Any, kind: str) -> None:
    policy = run.one("aws:s3/bucketPolicy:BucketPolicy", f"storage-{kind}")
    assert policy.inputs["bucket"] == f"storage-{kind}"
    document = json.loads(policy.inputs["policy"])
    refused = [s.get("Condition") for s in document["Statement"] if s["Effect"] == "Deny"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in refused
    assert all(f":::storage-{kind}" in json.dumps(s["Resource"]) for s in document["Statement"])
    for token in (
        "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock",
        "aws:s3/bucketOwnershipControls:BucketOwnershipControls",
    ):
        assert run.one(token, f"storage-{kind}").urn in policy.depends_on_urns


def test_the_logs_bucket_lets_in_the_access_logs_of_the_other_two(run: Any) -> None:
    document = json.loads(run.one("aws:s3/bucketPolicy:BucketPolicy", "storage-logs").inputs["policy"])
    sources = {
        s["Condition"]["ArnLike"]["aws:SourceArn"]
        for s in document["Statement"]
        if s["Principal"].get("Service") == "logging.s3.amazonaws.com"
    }
    assert sources == {"arn:aws:s3:::storage-documents", "arn:aws:s3:::storage-snapshots"}


def test_access_is_logged_once_the_logs_bucket_permits_it(run: Any) -> None:
    logging = run.of("aws:s3/bucketLogging:BucketLogging")
    assert [log.inputs for log in logging] == [
        {"bucket": f"storage-{kind}", "targetBucket": "storage-logs", "targetPrefix": f"s3-access/{kind}/"}
        for kind in ("documents", "snapshots")
    ]
    permission = run.one("aws:s3/bucketPolicy:BucketPolicy", "storage-logs")
    assert all(permission.urn in log.depends_on_urns for log in logging)


@pytest.mark.parametrize("kind", KINDS)
def test_every_bucket_has_the_planned_life_cycle(run: Any, kind: Any) -> None:
    lifecycle = run.one("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", f"storage-{kind}")
    versioning = run.one("aws:s3/bucketVersioning:BucketVersioning", f"storage-{kind}")
    assert versioning.urn in lifecycle.depends_on_urns, "S3 takes rules for old versions from versioned buckets only"
    (rule,) = lifecycle.inputs["rules"]
    plan = LIFECYCLES[kind]
    assert rule["transitions"][0] == {"days": plan.warm, "storageClass": "STANDARD_IA"}
    assert rule["noncurrentVersionExpiration"] == {"noncurrentDays": plan.superseded}
    assert rule["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}
    expected = {"expiredObjectDeleteMarker": True} if plan.expire is None else {"days": plan.expire}
    assert rule["expiration"] == expected


@pytest.mark.parametrize("locked", [True, False])
def test_buckets_survive_until_unlocked_on_purpose(recorded: Any, locked: bool) -> None:
    run = recorded(lambda: Storage("storage", args(locked=locked)))
    for bucket in run.of("aws:s3/bucket:Bucket"):
        assert bucket.protect is locked
        assert bucket.inputs["forceDestroy"] is not locked


def test_a_primary_replicates_nothing(run: Any) -> None:
    assert run.of(REPLICATION) == run.of("aws:iam/role:Role") == []
    assert run.of("aws:cloudwatch/metricAlarm:MetricAlarm") == []
    assert len(run.managed) == 23


@pytest.mark.parametrize(("kind", "source"), [("documents", "docs-prod"), ("snapshots", "snaps-prod")])
def test_a_standby_makes_the_primary_send_it_every_object_within_15_minutes(
    follower: Any, kind: str, source: str
) -> None:
    config = follower.one(REPLICATION, f"storage-{kind}-replication")
    assert config.inputs == {
        "bucket": source,
        "role": "arn:aws:iam:::storage-replication",
        "rules": [
            {
                "id": kind,
                "status": "Enabled",
                "priority": 0,
                "filter": {"prefix": ""},
                "deleteMarkerReplication": {"status": "Enabled"},
                "sourceSelectionCriteria": {"sseKmsEncryptedObjects": {"status": "Enabled"}},
                "destination": {
                    "bucket": f"arn:aws:s3:::storage-{kind}",
                    "encryptionConfiguration": {"replicaKmsKeyId": KEY},
                    "replicationTime": {"status": "Enabled", "time": {"minutes": 15}},
                    "metrics": {"status": "Enabled", "eventThreshold": {"minutes": 15}},
                },
            }
        ],
    }


def test_replication_is_set_in_the_primary_region_and_all_else_at_home(follower: Any) -> None:
    elsewhere = {resource.name for resource in follower.managed if resource.provider}
    assert (
        elsewhere
        == {"storage-documents-replication", "storage-snapshots-replication"}
        == {config.name for config in follower.of(REPLICATION) if "::peer::" in config.provider}
    )


def test_replication_waits_for_versioning_of_the_copy_and_for_its_permission(follower: Any) -> None:
    permission = follower.one("aws:iam/rolePolicy:RolePolicy")
    for kind in REPLICATED:
        config = follower.one(REPLICATION, f"storage-{kind}-replication")
        versioning = follower.one("aws:s3/bucketVersioning:BucketVersioning", f"storage-{kind}")
        assert {permission.urn, versioning.urn} <= config.depends_on_urns


def test_the_replication_role_is_for_s3_and_may_do_what_the_plan_says(follower: Any) -> None:
    trust = json.loads(follower.one("aws:iam/role:Role").inputs["assumeRolePolicy"])
    assert [s["Principal"] for s in trust["Statement"]] == [{"Service": "s3.amazonaws.com"}]
    policy = json.loads(follower.one("aws:iam/rolePolicy:RolePolicy").inputs["policy"])
    assert policy == plan_replication_policy(
        ReplicationEnd(region="us-east-1", buckets=("docs-prod", "snaps-prod"), key=PEER_KEY),
        ReplicationEnd(region="us-west-2", buckets=("storage-documents", "storage-snapshots"), key=KEY),
    )


def test_a_copy_that_falls_behind_raises_an_alarm_before_the_objective_is_broken(recorded: Any) -> None:
    run = recorded(lambda: standby(alarms_topic=TOPIC))
    alarms = run.of("aws:cloudwatch/metricAlarm:MetricAlarm")
    assert [alarm.inputs["dimensions"]["RuleId"] for alarm in alarms] == ["documents", "snapshots"]
    assert alarms[0].inputs["dimensions"] == {
        "SourceBucket": "docs-prod",
        "DestinationBucket": "storage-documents",
        "RuleId": "documents",
    }
    for alarm in alarms:
        assert alarm.inputs["metricName"] == "ReplicationLatency"
        assert alarm.inputs["threshold"] < 15 * 60
        assert alarm.inputs["treatMissingData"] == "breaching"
        assert alarm.inputs["alarmActions"] == [TOPIC]


def test_outputs_give_name_and_arn_once_the_policy_is_in_place(recorded: Any) -> None:
    def program() -> dict[str, Any]:
        storage = Storage("storage", args())
        assert storage.load_balancer_prefix == "load-balancer"
        aws.s3.BucketMetric("reader", bucket=storage.logs.name)
        return {"name": storage.documents.name, "arn": storage.snapshots.arn, "logs": storage.logs.name}

    run = recorded(program)
    assert run.result == {
        "name": "storage-documents",
        "arn": "arn:aws:s3:::storage-snapshots",
        "logs": "storage-logs",
    }
    reader = run.one("aws:s3/bucketMetric:BucketMetric")
    assert run.one("aws:s3/bucketPolicy:BucketPolicy", "storage-logs").urn in reader.depends_on_urns


def test_all_resources_are_children_of_the_component(follower: Any) -> None:
    assert {resource.parent.rsplit("::", 1)[-1] for resource in follower.managed} == {"storage"}
    assert len(follower.managed) == 29


def test_a_malformed_account_is_refused() -> None:
    with pytest.raises(ArgsError, match="account_id is '123'"):
        args(account_id="123")


def test_a_copy_in_the_same_region_is_refused(recorded: Any) -> None:
    with pytest.raises(ArgsError, match="replicate_from is in us-east-1: a copy in the same region"):
        recorded(lambda: standby(region="us-east-1"))


def test_a_standby_that_does_not_know_all_buckets_is_refused(recorded: Any) -> None:
    def program() -> None:
        ReplicationSource(
            region="us-east-1",
            buckets={"documents": "docs-prod"},
            key=PEER_KEY,
            provider=aws.Provider("peer", region="us-east-1"),
        )

    with pytest.raises(ArgsError, match=r"names no bucket for snapshots.*Bring the primary region up first"):
        recorded(program)
