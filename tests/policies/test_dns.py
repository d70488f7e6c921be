from collections.abc import Callable

import pytest
from hypothesis import given, settings

from policies import dns
from policies.rule import UNKNOWN, Finding, Resource, Stack
from policies.storage import RECORD
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_dns import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of, resources

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == dns.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def record(stack: str, name: str) -> Resource:
    return next(one for one in of(stack, RECORD) if one.name == name)


def test_each_region_has_its_half_of_the_pair() -> None:
    for stack, kind in (("prod", "PRIMARY"), ("dr", "SECONDARY")):
        found = judge("dns-failover", changed(stack, record(stack, "dns-write").urn, lambda _: None))
        assert [one.message for one in found] == [f"has no {kind} record beside it"]


def test_a_region_that_was_taken_out_has_no_half() -> None:
    shared = [record("prod", name).urn for name in ("dns-read", "dns-write")]
    assert judge("dns-failover", Stack([one for one in resources("prod") if one.urn not in shared])) == []


def test_what_is_no_alias_is_not_cached_for_long() -> None:
    its = record("prod", "dns-write")

    def plain(ttl: int) -> Callable[[Resource], Resource]:
        return lambda one: broken(broken(one, "aliases", ...), "ttl", ttl)

    assert judge("dns-failover", changed("prod", its.urn, plain(60))) == []
    assert judge("dns-failover", changed("prod", its.urn, plain(61))) == [
        Finding("ttl", "is 61, must be at most 60", urn=its.urn)
    ]
    assert len(judge("dns-failover", changed("prod", its.urn, plain(60)), ttl=30)) == 1


def test_a_region_that_is_down_is_seen_as_soon_as_is_asked_for() -> None:
    check = of("prod", dns.HEALTH_CHECK)[0]
    assert judge("dns-health-check", check, seconds=30) == []
    assert judge("dns-health-check", broken(check, "failureThreshold", 10)) == [
        Finding("requestInterval", "is 10 with failureThreshold 10, must see a region down in 60 s")
    ]
    assert [one.path for one in judge("dns-health-check", broken(check, "disabled", True))] == ["disabled"]
    assert [one.verified for one in judge("dns-health-check", broken(check, "requestInterval", UNKNOWN))] == [False]


@settings(max_examples=100)
@given(place=places(GOOD).filter(lambda place: place[1].get(place[2]) is not None), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
