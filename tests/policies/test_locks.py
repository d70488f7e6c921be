"""Rules for what is not deleted by mistake."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_locks import GOOD, HOLDERS, KEPT
from tests.policies.plans import RULES, broken, changed, everything, judge, of, resources
from tests.regions import STACKS

FLAGS = [(good.type, good.path) for good in GOOD if good.rule == "deletion-protection"]
MESSAGE = "is not protected, must be: Pulumi would delete it"


def released(resource: Resource) -> Resource:
    """Without Pulumi's lock."""
    return replace(resource, protect=False)


@pytest.mark.parametrize("rule", ["deletion-protection", "force-destroy", "pulumi-protect", "protect-holders"])
def test_the_plans_break_no_rule(rule: str) -> None:
    assert list(everything(rule)) == []


@pytest.mark.parametrize(("type_", "path"), FLAGS)
def test_the_cloud_refuses_to_delete(type_: str, path: str) -> None:
    for its in of("prod", type_):
        assert judge("deletion-protection", broken(its, path, False)) == [Finding(path, "is false, must be true")]
        assert judge("deletion-protection", broken(its, path, ...)) == [Finding(path, "is absent, must be true")]
        unknown = judge("deletion-protection", broken(its, path, UNKNOWN))
        assert unknown == [Finding(path, "is not known before the update", False)]


@pytest.mark.parametrize(("type_", "path"), [(good.type, good.path) for good in GOOD if good.rule == "force-destroy"])
def test_nothing_is_emptied_by_deleting_it(type_: str, path: str) -> None:
    for its in of("prod", type_):
        message = "is true, must be false or absent"
        assert judge("force-destroy", broken(its, path, True)) == [Finding(path, message)]
        assert not judge("force-destroy", broken(its, path, UNKNOWN))[0].verified


@pytest.mark.parametrize("type_", KEPT)
def test_pulumi_refuses_to_delete(type_: str) -> None:
    every = [its for stack in STACKS for its in of(stack, type_)]
    assert every
    for its in every:
        assert judge("pulumi-protect", released(its)) == [Finding("", MESSAGE, urn=its.urn)]


@pytest.mark.parametrize("type_", HOLDERS)
def test_what_holds_something_stateful_is_protected_with_it(type_: str) -> None:
    (its,) = (one for one in of("prod", type_) if one.protect)
    assert judge("protect-holders", changed("prod", its.urn, released)) == [Finding("", MESSAGE, urn=its.urn)]


def test_a_namespace_of_unknown_name_may_be_the_one() -> None:
    (its,) = (one for one in of("prod", "kubernetes:core/v1:Namespace") if one.protect)
    hidden = changed("prod", its.urn, lambda one: released(broken(one, "metadata.name", UNKNOWN)))
    assert judge("protect-holders", hidden) == [
        Finding("metadata.name", "is not known before the update", False, its.urn)
    ]


def test_everything_that_the_plans_lock_stays_locked() -> None:
    held = {*RULES["pulumi-protect"].types, *HOLDERS}
    assert {one.type for stack in STACKS for one in resources(stack) if one.protect} <= held


@given(places(GOOD), ANYTHING)
def test_no_value_makes_a_rule_raise(place: tuple[str, Resource, str], value: Any) -> None:
    judged(*place, value)
