import importlib
from dataclasses import replace

import pytest
from hypothesis import given, settings

from policies import tags
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_tags import GOOD
from tests.policies.plans import RULES, broken, everything, judge, of, resources
from tests.regions import STACKS

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == tags.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def test_a_provider_without_tags_leaves_everything_without() -> None:
    bucket = of("prod", "aws:s3/bucket:Bucket")[0]
    found = judge("tags-required", replace(bucket, provider={}))
    assert [one.path for one in found] == [f"tags.{key}" for key in tags.REQUIRED]
    assert found[0] == Finding("tags.owner", "is absent, must be given")


def test_what_the_provider_does_not_say_a_resource_can() -> None:
    bucket = of("prod", "aws:s3/bucket:Bucket")[0]
    own = broken(replace(bucket, provider={}), "tags", dict.fromkeys(tags.REQUIRED, "x"))
    assert judge("tags-required", own) == []


def test_tags_that_are_not_known_yet_are_not_verified() -> None:
    bucket = of("prod", "aws:s3/bucket:Bucket")[0]
    for mutant in (broken(bucket, "tags", UNKNOWN), replace(bucket, provider={"defaultTags": UNKNOWN})):
        assert [one.verified for one in judge("tags-required", mutant)] == [False] * 5


def test_every_type_with_tags_in_the_plans_is_in_the_table() -> None:
    tagged = {
        one.type for stack in STACKS for one in resources(stack) if one.type[:4] == "aws:" and "tags" in one.props
    }
    assert tagged <= set(tags.TAGGABLE)


def test_every_type_in_the_table_has_tags_in_the_sdk() -> None:
    for type_ in tags.TAGGABLE:
        _package, module, name = type_.split(":")
        of_type = getattr(importlib.import_module(f"pulumi_aws.{module.split('/')[0]}"), name)
        assert isinstance(of_type.tags, property), type_


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
