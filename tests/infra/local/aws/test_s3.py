"""Buckets: what happens to their content, and what S3 refuses."""

import pytest

from infra.local.aws import s3
from infra.local.aws.cloud import AwsError
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.world import Place, World, checked, make, ref, refusals

BUCKET = ref("aws:s3/bucket:Bucket", "documents")


def filled(place: Place, force: bool) -> tuple[str, Props, Props]:
    made = make(place, BUCKET, {"forceDestroy": force})
    place.call("s3", "PutBucketVersioning", Bucket=made[0], VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        place.call("s3", "PutObject", Bucket=made[0], Key="a", Body=body)
    place.call("s3", "DeleteObject", Bucket=made[0], Key="a")
    return made


@pytest.mark.engine
def test_forced_bucket_goes_with_every_version_and_marker(world: World) -> None:
    id, inputs, outputs = filled(world.west, True)
    world.west.session.delete(BUCKET, id, inputs, outputs)
    assert world.west.session.read(BUCKET, id, inputs, outputs) is None


@pytest.mark.engine
def test_bucket_that_holds_something_stays(world: World) -> None:
    id, inputs, outputs = filled(world.east, False)
    with pytest.raises(AwsError, match="BucketNotEmpty"):
        world.east.session.delete(BUCKET, id, inputs, outputs)
    assert world.east.session.read(BUCKET, id, inputs, outputs) is not None


@pytest.mark.engine
def test_automatic_name_fits_a_bucket_and_lasts(world: World) -> None:
    about = ref("aws:s3/bucket:Bucket", "Documents-" + "x" * 80)
    inputs = checked(world.east, about, {})
    assert len(inputs["bucket"]) == 63
    assert inputs["bucket"] == inputs["bucket"].lower()
    assert checked(world.east, about, {}, inputs)["bucket"] == inputs["bucket"]


@pytest.mark.engine
def test_new_name_replaces_and_a_named_bucket_goes_first(world: World) -> None:
    session = world.east.session
    old = checked(world.east, BUCKET, {"bucket": "one"})
    diff = session.diff(BUCKET, "one", old, old, checked(world.east, BUCKET, {"bucket": "two"}))
    assert [(change.path, change.replaces) for change in diff.changes] == [("bucket", True)]
    assert diff.delete_before_replace


def rule(**more: object) -> Props:
    return {"rules": [{"id": "a", "status": "Enabled", **more}]}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (rule(transitions=[{"days": 29, "storageClass": "STANDARD_IA"}]), "greater than or equal to 30"),
        (
            rule(transitions=[{"days": 40, "storageClass": "STANDARD_IA"}, {"days": 60, "storageClass": "GLACIER"}]),
            "30 days more than 'Transition' action for StorageClass 'STANDARD_IA'",
        ),
        (
            rule(transitions=[{"days": 90, "storageClass": "GLACIER"}], expiration={"days": 90}),
            "greater than 'Days' in the Transition action",
        ),
        ({"rules": [*rule()["rules"], *rule()["rules"]]}, "Rule ID must be unique"),
    ],
)
def test_lifecycle_that_s3_refuses(said: Props, message: str) -> None:
    (reason,) = refusals(s3.LIFECYCLE, said)
    assert message in reason


@pytest.mark.parametrize(
    "said",
    [
        rule(
            transitions=[{"days": 60, "storageClass": "GLACIER"}, {"days": 30, "storageClass": "STANDARD_IA"}],
            expiration={"days": 61},
        ),
        rule(transitions=[{"days": UNKNOWN, "storageClass": "STANDARD_IA"}], expiration=UNKNOWN),
        {"rules": UNKNOWN},
    ],
)
def test_lifecycle_that_s3_takes(said: Props) -> None:
    assert refusals(s3.LIFECYCLE, said) == []


GOOD: Props = {
    "filter": {"prefix": ""},
    "priority": 0,
    "deleteMarkerReplication": {"status": "Enabled"},
    "sourceSelectionCriteria": {"sseKmsEncryptedObjects": {"status": "Enabled"}},
    "destination": {
        "bucket": UNKNOWN,
        "encryptionConfiguration": {"replicaKmsKeyId": UNKNOWN},
        "replicationTime": {"status": "Enabled", "time": {"minutes": 15}},
        "metrics": {"status": "Enabled", "eventThreshold": {"minutes": 15}},
    },
}


def test_replication_that_s3_takes() -> None:
    assert refusals(s3.REPLICATION, {"rules": [GOOD]}) == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"priority": None}, "Priority must be specified"),
        ({"deleteMarkerReplication": None}, "DeleteMarkerReplication must be specified"),
        ({"sourceSelectionCriteria": {}}, "SseKmsEncryptedObjects must be specified"),
        ({"destination": {**GOOD["destination"], "encryptionConfiguration": None}}, "SseKmsEncryptedObjects"),
        ({"destination": {**GOOD["destination"], "metrics": None}}, "both ReplicationTime and Metrics"),
        (
            {"destination": {**GOOD["destination"], "metrics": {"eventThreshold": {"minutes": 5}}}},
            "metrics.eventThreshold.minutes is 5, and S3 takes only 15",
        ),
    ],
)
def test_replication_that_s3_refuses(broken: Props, message: str) -> None:
    (reason,) = refusals(s3.REPLICATION, {"rules": [{**GOOD, **broken}]})
    assert message in reason


@pytest.mark.parametrize("name", ["Ab", "a", "a..b", "-ab", "x" * 64, "a_b"])
def test_bucket_name_that_s3_refuses(name: str) -> None:
    assert "InvalidBucketName" in refusals(s3.BUCKET, {"bucket": name})[0]


def test_customer_key_needs_kms_encryption() -> None:
    default = {"sseAlgorithm": "AES256", "kmsMasterKeyId": UNKNOWN}
    said = {"rules": [{"applyServerSideEncryptionByDefault": default}]}
    assert "KMSMasterKeyID is not applicable" in refusals(s3.ENCRYPTION, said)[0]
    default["sseAlgorithm"] = "aws:kms"
    assert refusals(s3.ENCRYPTION, said) == []
