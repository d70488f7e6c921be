"""Life cycles and policies of the buckets, as plans."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import ArgsError
from components.storage_plan import (
    KINDS,
    LEDGER_PREFIX,
    LIFECYCLES,
    REPLICATED,
    Kind,
    Lifecycle,
    ReplicationEnd,
    plan_bucket_policy,
    plan_replication_policy,
)

ACCOUNT = "012345678901"
SOURCES: dict[Kind, str] = {"documents": "docs-1", "snapshots": "snaps-1"}
EAST = ReplicationEnd(region="us-east-1", buckets=("docs-1", "snaps-1"), key="arn:aws:kms:us-east-1:1:key/mrk-1")
WEST = ReplicationEnd(region="us-west-2", buckets=("docs-2", "snaps-2"), key="arn:aws:kms:us-west-2:1:key/mrk-1")


def statements(kind: Kind) -> dict[str, dict[str, Any]]:
    policy = plan_bucket_policy(kind, "bucket-1", account_id=ACCOUNT, sources=SOURCES if kind == "logs" else {})
    return {statement["Sid"]: statement for statement in policy["Statement"]}


def test_documents_get_cheaper_at_30_and_90_days_stay_readable_and_go_after_two_years() -> None:
    rule = LIFECYCLES["documents"].rule()
    assert rule["transitions"] == [
        {"days": 30, "storage_class": "STANDARD_IA"},
        {"days": 90, "storage_class": "GLACIER_IR"},
    ]
    assert rule["expiration"] == {"days": 2 * 365}
    assert rule["noncurrent_version_expiration"] == {"noncurrent_days": 35}


def test_logs_are_hot_for_30_days_warm_until_90_and_cold_until_a_year() -> None:
    rule = LIFECYCLES["logs"].rule()
    assert [step["days"] for step in rule["transitions"]] == [30, 90]
    assert rule["transitions"][1]["storage_class"] == "GLACIER"
    assert rule["expiration"] == {"days": 365}


def test_s3_never_expires_a_snapshot_file_that_opensearch_may_still_need() -> None:
    rule = LIFECYCLES["snapshots"].rule()
    assert rule["expiration"] == {"expired_object_delete_marker": True}
    assert [step["storage_class"] for step in rule["transitions"]] == ["STANDARD_IA"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_bucket_drops_old_versions_and_unfinished_uploads(kind: Kind) -> None:
    rule = LIFECYCLES[kind].rule()
    assert rule["status"] == "Enabled"
    assert rule["filter"] == {"prefix": ""}
    assert rule["noncurrent_version_expiration"]["noncurrent_days"] >= 30
    assert rule["abort_incomplete_multipart_upload"] == {"days_after_initiation": 7}


@given(st.integers(0, 200), st.none() | st.integers(0, 400), st.none() | st.integers(0, 900), st.integers(0, 60))
def test_a_life_cycle_is_either_refused_or_one_that_s3_accepts(
    warm: int, cold: int | None, expire: int | None, superseded: int
) -> None:
    acceptable = (
        warm >= 30
        and (cold is None or cold - warm >= 30)
        and (expire is None or expire > max(warm, cold or 0))
        and superseded >= 1
    )
    try:
        rule = Lifecycle(warm=warm, cold=cold, expire=expire, superseded=superseded).rule()
    except ArgsError:
        assert not acceptable
    else:
        assert acceptable
        days = [step["days"] for step in rule["transitions"]]
        assert days == sorted(days)
        assert len(rule["expiration"]) == 1, "S3 takes an age or the clearing of delete markers, not both"


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({"warm": 29, "superseded": 1}, "warm is 29 days"),
        ({"warm": 30, "cold": 59, "superseded": 1}, "cold is 59 days.*Set it to 60 or more"),
        ({"warm": 30, "cold": 90, "expire": 90, "superseded": 1}, "expire is 90 days"),
        ({"warm": 30, "expire": 30, "superseded": 1}, "expire is 30 days: .* at 30 days"),
        ({"warm": 30, "superseded": 0}, "at least 1 day"),
        ({"warm": 30, "superseded": 1, "abort_upload": 0}, "at least 1 day"),
    ],
)
def test_a_life_cycle_that_s3_would_refuse_names_the_figure(figures: dict[str, int], message: str) -> None:
    with pytest.raises(ArgsError, match=message):
        Lifecycle(**figures)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_every_bucket_refuses_plain_text_and_old_tls(kind: Kind) -> None:
    everything = ["arn:aws:s3:::bucket-1", "arn:aws:s3:::bucket-1/*"]
    for sid, condition in {
        "RefuseWithoutTls": {"Bool": {"aws:SecureTransport": "false"}},
        "RefuseOldTls": {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    }.items():
        statement = statements(kind)[sid]
        assert (statement["Effect"], statement["Action"]) == ("Deny", "s3:*")
        assert statement["Principal"] == {"AWS": "*"}
        assert statement["Resource"] == everything
        assert statement["Condition"] == condition


@pytest.mark.parametrize("kind", ["documents", "snapshots"])
def test_data_buckets_refuse_uploads_under_another_encryption_and_open_to_nobody(kind: Kind) -> None:
    refuse = statements(kind)["RefuseOtherEncryption"]
    assert refuse["Action"] == "s3:PutObject"
    # Without the Null test an upload that asks for nothing, and so gets the bucket's key, would be refused too.
    assert refuse["Condition"] == {
        "StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"},
        "Null": {"s3:x-amz-server-side-encryption": "false"},
    }
    assert {statement["Effect"] for statement in statements(kind).values()} == {"Deny"}


def test_what_was_noted_of_erasures_is_never_written_over_or_deleted() -> None:
    ledger = [f"arn:aws:s3:::bucket-1/{LEDGER_PREFIX}/*"]
    # Without a condition: also an administrator has to change the policy first.
    assert statements("snapshots")["RefuseDeletionFromLedger"] == {
        "Sid": "RefuseDeletionFromLedger",
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion"],
        "Resource": ledger,
    }
    over = statements("snapshots")["RefuseOverwriteOfLedger"]
    assert (over["Action"], over["Resource"]) == ("s3:PutObject", ledger)
    assert over["Condition"] == {"Null": {"s3:if-none-match": "true"}}
    assert LIFECYCLES["snapshots"].expire is None
    assert "snapshots" in REPLICATED, "it is in the other region, too"
    assert not {"RefuseDeletionFromLedger", "RefuseOverwriteOfLedger"} & {*statements("documents"), *statements("logs")}


def test_only_log_delivery_of_this_account_writes_to_the_logs_bucket() -> None:
    allowed = {sid: s for sid, s in statements("logs").items() if s["Effect"] == "Allow"}
    assert set(allowed) == {"AccessLogsOfDocuments", "AccessLogsOfSnapshots", "LoadBalancerLogs"}
    assert {statement["Action"] for statement in allowed.values()} == {"s3:PutObject"}
    assert allowed["LoadBalancerLogs"]["Resource"] == f"arn:aws:s3:::bucket-1/load-balancer/AWSLogs/{ACCOUNT}/*"
    documents = allowed["AccessLogsOfDocuments"]
    assert documents["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    assert documents["Resource"] == "arn:aws:s3:::bucket-1/s3-access/documents/*"
    assert documents["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": "arn:aws:s3:::docs-1"},
    }


def test_replication_reads_one_side_and_writes_the_other() -> None:
    policy = plan_replication_policy(EAST, WEST)
    reach = {
        action: json.dumps(statement["Resource"]) for statement in policy["Statement"] for action in statement["Action"]
    }
    assert all(":::docs-1" in where and "-2" not in where for action, where in reach.items() if "s3:Get" in action)
    for action in ("s3:ReplicateObject", "s3:ReplicateDelete", "s3:ReplicateTags"):
        assert reach[action] == '["arn:aws:s3:::docs-2/*", "arn:aws:s3:::snaps-2/*"]'
    assert not [action for action in reach if "*" in action]
    assert not [where for where in reach.values() if where == '"*"']


@pytest.mark.parametrize(("end", "action"), [(EAST, "kms:Decrypt"), (WEST, "kms:Encrypt")])
def test_replication_uses_each_key_only_through_s3_and_for_its_buckets(end: ReplicationEnd, action: str) -> None:
    statement = next(s for s in plan_replication_policy(EAST, WEST)["Statement"] if action in s["Action"])
    assert statement["Resource"] == end.key
    assert statement["Condition"]["StringEquals"] == {"kms:ViaService": f"s3.{end.region}.amazonaws.com"}
    contexts = statement["Condition"]["StringLike"]["kms:EncryptionContext:aws:s3:arn"]
    assert set(contexts) == {f"arn:aws:s3:::{name}{tail}" for name in end.buckets for tail in ("", "/*")}
