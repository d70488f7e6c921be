import pytest
from hypothesis import given, settings

from policies import load_balancer
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_load_balancer import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == load_balancer.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def listener(name: str) -> Resource:
    return next(one for one in of("prod", load_balancer.LISTENER) if one.name == f"ingress-{name}")


@pytest.mark.parametrize(
    ("policy", "good"),
    [
        ("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", True),
        ("ELBSecurityPolicy-TLS13-1-3-2021-06", True),
        ("ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04", True),
        ("ELBSecurityPolicy-FS-1-2-Res-2020-10", True),
        ("ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06", False),
        ("ELBSecurityPolicy-TLS13-1-0-2021-06", False),
        ("ELBSecurityPolicy-2016-08", False),
    ],
)
def test_only_policies_with_forward_secrecy_from_tls_1_2_on_pass(policy: str, good: bool) -> None:
    assert (judge("lb-tls", broken(listener("https"), "sslPolicy", policy)) == []) is good


def test_http_may_only_redirect() -> None:
    assert judge("lb-tls", broken(listener("http"), "defaultActions[0].type", "forward")) == [
        Finding("defaultActions[0].type", "is forward, must be redirect")
    ]
    assert judge("lb-tls", broken(listener("http"), "protocol", UNKNOWN)) == [
        Finding("protocol", "is not known before the update", verified=False)
    ]


def test_a_rule_of_the_http_listener_may_not_forward() -> None:
    its = of("prod", load_balancer.LISTENER_RULE)[0]
    http = listener("http")

    def moved(one: Resource) -> Resource:
        return Resource(one.urn, one.type, one.props, links={**one.links, "listenerArn": [http.urn]})

    assert judge("lb-rule-tls", changed("prod", its.urn, moved)) == [
        Finding("actions[0].type", "is forward, must be redirect", urn=its.urn)
    ]


def test_the_firewall_may_not_be_passed_when_it_is_down() -> None:
    balancer = of("prod", load_balancer.LOAD_BALANCER)[0]
    assert [one.path for one in judge("lb-waf-closed", broken(balancer, "enableWafFailOpen", True))] == [
        "enableWafFailOpen"
    ]


def test_a_sick_target_is_out_as_soon_as_is_asked_for() -> None:
    targets = of("prod", load_balancer.TARGET_GROUP)[0]
    assert judge("lb-health", targets, seconds=30) == []
    assert [one.path for one in judge("lb-health", targets, seconds=29)] == ["healthCheck.interval"]
    assert [one.verified for one in judge("lb-health", broken(targets, "healthCheck.interval", UNKNOWN))] == [False]


def test_a_load_balancer_is_in_as_many_zones_as_is_asked_for() -> None:
    balancer = of("prod", load_balancer.LOAD_BALANCER)[0]
    assert judge("lb-zones", balancer, zones=3) == []
    assert [one.path for one in judge("lb-zones", balancer, zones=4)] == ["subnets"]


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
