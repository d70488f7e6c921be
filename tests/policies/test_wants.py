"""What rules of several modules ask of a value."""

from typing import Any

import pytest
from hypothesis import given

from policies.rule import UNKNOWN, Finding
from policies.wants import NAMED, OWN_KEY, TEXTS, different, exactly, unless
from tests.policies.anything import ANYTHING


@pytest.mark.parametrize("key", ["arn:aws:kms:us-east-1:123456789012:key/mrk-1", "mrk-1", "alias/ours"])
def test_a_key_of_ours_is_taken(key: str) -> None:
    assert OWN_KEY.holds(key)


@pytest.mark.parametrize("key", [None, "", " ", 1, True, "alias/aws/rds", "arn:aws:kms:us-east-1:1:alias/aws/rds"])
def test_no_other_is(key: Any) -> None:
    assert not OWN_KEY.holds(key)


def test_a_list_of_names_counts_those_that_are_not_known_yet() -> None:
    assert different(3).holds(["a", "b", UNKNOWN])
    assert not different(3).holds(["a", "a", "b"])
    assert not different(2).holds(["a", ""])
    assert TEXTS.holds([UNKNOWN])
    assert not TEXTS.holds([""])


BAD = Finding("x", "is bad")
DOUBT = Finding("y", "is not known before the update", verified=False)


def test_an_exception_that_is_not_known_leaves_doubt_and_no_more() -> None:
    assert list(unless(None, "z", [BAD, DOUBT])) == [BAD, DOUBT]
    assert list(unless("given", "z", [BAD, DOUBT])) == []
    assert list(unless(UNKNOWN, "z", [DOUBT])) == [DOUBT]
    assert list(unless(UNKNOWN, "z", [])) == []
    assert list(unless(UNKNOWN, "z", [BAD])) == [Finding("z", "is not known before the update", verified=False)]


@given(ANYTHING)
def test_wants_are_total(value: Any) -> None:
    for want in (OWN_KEY, NAMED, TEXTS, exactly(3), different(3)):
        assert want.holds(value) in (True, False)
