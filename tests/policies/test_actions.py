import pytest

from policies.actions import exists, matching, understood, whole


def test_patterns_stand_for_what_iam_would_match() -> None:
    assert [action.name for action in matching("KMS:ReEncrypt*")] == ["kms:ReEncryptFrom", "kms:ReEncryptTo"]
    assert matching("s3:GetObjct") == ()
    assert not exists("s4")


@pytest.mark.parametrize(
    ("pattern", "is_whole"),
    [
        ("*", True),
        ("*:*", True),
        ("s3:*", True),
        ("s3:**", True),
        ("s3:Get*", False),
        ("s3", False),
        ("rds-db:connect", False),
    ],
)
def test_a_pattern_of_every_action_is_whole(pattern: str, is_whole: bool) -> None:
    assert whole(pattern) is is_whole


def test_what_only_lists_and_what_cannot_be_limited_is_known() -> None:
    (describe,), (get,), (metrics,) = map(
        matching, ("ec2:DescribeInstances", "s3:GetObject", "cloudwatch:GetMetricData")
    )
    assert (describe.lists, get.lists) == (True, False)
    assert (get.limitable, metrics.limitable) == (True, False)


def test_condition_keys_are_those_of_the_action_or_of_all() -> None:
    (decrypt,) = matching("kms:Decrypt")
    assert understood("kms:ViaService", decrypt)
    assert understood("kms:EncryptionContext:aws:s3:arn", decrypt)
    assert understood("aws:ResourceTag/team", decrypt)
    assert not understood("aws:ResourceTag/", decrypt)
    assert not understood("s3:prefix", decrypt)
