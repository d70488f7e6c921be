import pytest
from hypothesis import given, settings

from policies import generation
from policies.eks import NODE_GROUP
from policies.network import LAUNCH_TEMPLATE
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_generation import GOOD
from tests.policies.plans import RULES, broken, everything, judge, of

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == generation.__name__]


@pytest.mark.parametrize("rule", MINE)
def test_the_plans_as_they_are_break_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


def test_the_family_decides_not_the_processor() -> None:
    group = of("prod", NODE_GROUP)[0]
    for good in ("m7g.xlarge", "m7a.xlarge", "m5.xlarge", "c7gn.large", "u-6tb1.56xlarge"):
        assert judge("cost-old-gen", broken(group, "instanceTypes", [good])) == []
    assert judge("cost-old-gen", broken(group, "instanceTypes", ["m7i.xlarge", "m4.xlarge", UNKNOWN])) == [
        Finding("instanceTypes[1]", "is m4.xlarge, must be a type of a current generation"),
        Finding("instanceTypes[2]", "is not known before the update", verified=False),
    ]


def test_gp2_is_found_wherever_there_is_a_disk() -> None:
    template = of("prod", LAUNCH_TEMPLATE)[0]
    path = "blockDeviceMappings[0].ebs.volumeType"
    assert judge("cost-old-gen", broken(template, path, "gp2")) == [Finding(path, "is gp2, must be gp3 or io2")]


@settings(max_examples=100)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
