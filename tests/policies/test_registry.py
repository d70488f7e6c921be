import pytest
from hypothesis import given, settings

from policies import registry
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_registry import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == registry.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def test_images_are_kept_as_is_asked_for() -> None:
    policy = of("prod", registry.LIFECYCLE)[0]
    assert judge("ecr-retention", policy, images=200, untagged_days=14) == []
    assert judge("ecr-retention", policy, images=201) == [
        Finding("policy.rules[1].selection.countNumber", "is 200, must be at least 201")
    ]
    assert len(judge("ecr-retention", policy, untagged_days=15)) == 1
    assert judge("ecr-retention", broken(policy, "policy", "{")) == [Finding("policy", "is no lifecycle policy")]
    assert [one.verified for one in judge("ecr-retention", broken(policy, "policy", UNKNOWN))] == [False]


def test_a_repository_that_the_scan_leaves_out_is_found() -> None:
    its = of("prod", registry.SCANNING)[0]
    found = judge("ecr-scan-all", changed("prod", its.urn, lambda one: broken(one, "rules[0].repositoryFilters", [])))
    assert [one.message for one in found] == ["is covered by no scanning rule"] * 5


def test_a_tag_that_can_be_moved_is_found() -> None:
    found = judge("ecr-immutable", broken(of("prod", registry.REPOSITORY)[0], "imageTagMutability", ...))
    assert found == [Finding("imageTagMutability", "is absent, must be IMMUTABLE")]


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
