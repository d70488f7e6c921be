import pytest
from hypothesis import given, settings

from policies import waf
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_waf import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == waf.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


ACL = of("prod", waf.ACL)[0]


def test_a_public_load_balancer_without_a_firewall_is_found() -> None:
    its = of("prod", waf.ASSOCIATION)[0]
    balancer = of("prod", waf.LOAD_BALANCER)[0]
    found = judge("waf-present", changed("prod", its.urn, lambda _: None))
    assert found == [Finding("", "has no WebAclAssociation", urn=balancer.urn)]


def test_one_address_may_ask_as_often_as_is_said() -> None:
    assert judge("waf-rules", ACL, requests=30_000) == []
    assert judge("waf-rules", ACL, requests=29_999) == [
        Finding("rules[1].statement.rateBasedStatement.limit", "is 30000, must be at most 29999")
    ]


def test_a_group_that_only_counts_is_found() -> None:
    assert [one.path for one in judge("waf-rules", broken(ACL, "rules[0].overrideAction", {"count": {}}))] == [
        "rules[0].overrideAction"
    ]


def test_a_rule_that_is_not_known_yet_may_be_the_missing_one() -> None:
    found = judge("waf-rules", broken(ACL, "rules[0]", UNKNOWN))
    assert {one.verified for one in found} == {False}


def test_bodies_that_are_only_counted_need_a_rule_that_blocks_them() -> None:
    rules = [one for one in ACL.props["rules"] if one["name"] != "bodies"]
    assert judge("waf-rules", broken(ACL, "rules", rules)) == [
        Finding("rules", "counts attacks in bodies, and no rule blocks them by their labels")
    ]


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
