import pytest
from hypothesis import given, settings

from policies import storage
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_storage import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == storage.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def of_bucket(type_: str, name: str) -> Resource:
    return next(one for one in of("prod", type_) if one.name == f"storage-{name}")


def test_a_bucket_without_a_setting_is_found_by_name() -> None:
    for type_, rule, called in (
        (storage.ENCRYPTION, "s3-kms", "encryption"),
        (storage.VERSIONING, "s3-versioning", "versioning"),
        (storage.PUBLIC, "s3-public", "block on public access"),
    ):
        gone = changed("prod", of_bucket(type_, "documents").urn, lambda _: None)
        bucket = of_bucket(storage.BUCKET, "documents")
        assert judge(rule, gone) == [Finding("", f"has no {called}", urn=bucket.urn)]


def test_the_bucket_of_access_logs_is_encrypted_by_s3_and_no_other() -> None:
    path = "rules[0].applyServerSideEncryptionByDefault.sseAlgorithm"
    logs = of_bucket(storage.ENCRYPTION, "logs")
    ours = changed("prod", logs.urn, lambda one: broken(one, path, "aws:kms"))
    assert judge("s3-kms", ours) == [Finding(path, "is aws:kms, must be AES256", urn=logs.urn)]
    documents = of_bucket(storage.ENCRYPTION, "documents")
    theirs = changed("prod", documents.urn, lambda one: broken(one, path, "AES256"))
    assert judge("s3-kms", theirs) == [Finding(path, "is AES256, must be aws:kms or aws:kms:dsse", urn=documents.urn)]


def test_a_bucket_with_a_log_of_its_own_is_no_bucket_of_logs() -> None:
    log = of_bucket(storage.LOGGING, "snapshots")
    documents = of_bucket(storage.BUCKET, "documents")
    turned = changed(
        "prod",
        log.urn,
        lambda one: Resource(one.urn, one.type, one.props, links={**one.links, "targetBucket": [documents.urn]}),
    )
    assert documents.urn not in storage.log_targets(turned)


def test_a_policy_that_is_not_known_yet_is_not_verified() -> None:
    policy = of_bucket(storage.POLICY, "documents")
    later = Finding("policy", "is not known before the update", verified=False)
    assert judge("s3-policy", broken(policy, "policy", UNKNOWN)) == [later]
    found = judge("s3-tls", changed("prod", policy.urn, lambda one: broken(one, "policy", UNKNOWN)))
    assert {(one.path, one.verified, one.urn) for one in found} == {("policy", False, policy.urn)}


def test_objects_are_kept_as_long_as_is_asked_for() -> None:
    rules = of_bucket(storage.LIFECYCLE, "documents")
    assert judge("s3-retention", rules, days=730) == []
    assert judge("s3-retention", rules, days=731) == [
        Finding("rules[0].expiration.days", "is 730, must be at least 731, or absent")
    ]
    assert [one.path for one in judge("s3-retention", rules, versions=36)] == [
        "rules[0].noncurrentVersionExpiration.noncurrentDays"
    ]


def test_a_primary_needs_no_replication_and_the_standby_of_every_bucket() -> None:
    assert judge("s3-replication", "prod") == []
    its = next(one for one in of("dr", storage.REPLICATION) if "documents" in one.name)
    bucket = next(one for one in of("dr", storage.BUCKET) if one.name == "storage-documents")
    gone = changed("dr", its.urn, lambda _: None)
    assert judge("s3-replication", gone) == [Finding("", "is no bucket's copy", urn=bucket.urn)]


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
