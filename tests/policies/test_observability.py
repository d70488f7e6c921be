import pytest
from hypothesis import given, settings

from policies import observability
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_observability import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == observability.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def test_logs_are_kept_as_long_as_is_asked_for_and_not_for_ever() -> None:
    group = of("prod", observability.LOG_GROUP)[0]
    assert judge("logs-retention", group, days=365) == []
    assert judge("logs-retention", group, days=400) == [Finding("retentionInDays", "is 365, must be at least 400")]
    assert judge("logs-retention", broken(group, "retentionInDays", 0))[0].message == "is 0, must be at least 365"


def test_an_alarm_that_is_switched_off_tells_nobody() -> None:
    alarm = of("prod", observability.ALARM)[0]
    assert judge("alarms-actions", broken(alarm, "actionsEnabled", False)) == [
        Finding("actionsEnabled", "is false, must be true or absent")
    ]
    assert judge("alarms-actions", broken(alarm, "alarmActions", [UNKNOWN])) == []


def test_a_topic_that_nobody_hears_is_found() -> None:
    its = of("prod", observability.SUBSCRIPTION)[0]
    found = judge("alarms-heard", changed("prod", its.urn, lambda _: None))
    assert [one.message for one in found] == ["has no subscription"]


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
