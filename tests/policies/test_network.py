import pytest
from hypothesis import given, settings

from policies import network
from policies.network import EGRESS, ENDPOINT, GROUP, INGRESS, NAT, ROUTE, SUBNET, VPC, anywhere
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.anything import ANYTHING, judged, places
from tests.policies.good_network import GOOD
from tests.policies.plans import RULES, broken, changed, everything, judge, of
from tests.regions import STACKS

MINE = [rule.id for rule in RULES.values() if rule.check.__module__ == network.__name__]


def named(type_: str, name: str) -> Resource:
    return next(one for one in of("prod", type_) if one.name == name)


FROM_INTERNET = named(INGRESS, "network-load-balancer-from-internet-443")
TO_DATABASE = named(INGRESS, "network-database-from-nodes-5432")
TO_SEARCH = named(INGRESS, "network-search-from-nodes-443")


@pytest.mark.parametrize("rule", MINE)
def test_the_network_as_it_is_breaks_nothing(rule: str) -> None:
    assert list(everything(rule)) == []


@pytest.mark.parametrize(
    "block", ["0.0.0.0/0", "::/0", "0.0.0.0/1", "128.0.0.0/1", "8.0.0.0/8", "2000::/3", "no block"]
)
def test_halves_of_the_internet_are_everybody_too(block: str) -> None:
    assert anywhere(block)


@pytest.mark.parametrize("block", ["10.0.0.0/8", "192.0.2.1/32", "198.51.100.0/24", "fd00::/8", "2001:db8::/48"])
def test_known_addresses_are_not_everybody(block: str) -> None:
    assert not anywhere(block)


def test_a_database_open_to_everybody_is_found_by_one_rule() -> None:
    mutant = broken(broken(TO_DATABASE, "referencedSecurityGroupId", ...), "cidrIpv4", "0.0.0.0/0")
    assert judge("sg-open", mutant) == [
        Finding("cidrIpv4", "is 0.0.0.0/0, and everybody may only have TCP port 80 or TCP port 443")
    ]
    assert judge("sg-public", changed("prod", mutant.urn, lambda _: mutant)) == []


def test_https_from_everybody_belongs_to_the_load_balancer_alone() -> None:
    mutant = broken(TO_SEARCH, "cidrIpv6", "::/0")
    assert judge("sg-open", mutant) == []
    assert judge("sg-public", changed("prod", mutant.urn, lambda _: mutant)) == [
        Finding("cidrIpv6", "is something else, and the group is not that of a load balancer", urn=mutant.urn)
    ]


def test_rules_inside_a_group_are_judged_like_those_of_their_own() -> None:
    group = of("prod", GROUP)[0]
    inline = {"protocol": "-1", "fromPort": 0, "toPort": 0, "cidrBlocks": ["10.0.0.0/16", "0.0.0.0/0"]}
    assert [one.path for one in judge("sg-open", broken(group, "ingress", [inline]))] == ["ingress[0].cidrBlocks[1]"]
    assert [one.path for one in judge("sg-egress", broken(group, "egress", [inline]))] == ["egress[0].cidrBlocks[1]"]


def test_one_unknown_source_does_not_hide_an_open_one() -> None:
    inline = {"protocol": "tcp", "fromPort": 22, "toPort": 22, "cidrBlocks": [UNKNOWN, "0.0.0.0/0"]}
    found = judge("sg-open", broken(of("prod", GROUP)[0], "ingress", [inline]))
    assert [(one.path, one.verified) for one in found] == [
        ("ingress[0].cidrBlocks[0]", False),
        ("ingress[0].cidrBlocks[1]", True),
    ]


def test_ports_that_are_not_known_yet_are_not_verified() -> None:
    assert judge("sg-open", broken(FROM_INTERNET, "toPort", UNKNOWN)) == [
        Finding("toPort", "is not known before the update", verified=False)
    ]


def test_everything_may_leave_by_https_only() -> None:
    way = named(EGRESS, "network-nodes-to-internet-443")
    assert len(judge("sg-egress", broken(way, "toPort", 65535))) == 1
    assert len(judge("sg-egress", broken(way, "ipProtocol", "-1"))) == 1


@pytest.mark.parametrize("stack", STACKS)
def test_a_subnet_that_shrinks_is_stopped_by_name(stack: str) -> None:
    private = next(one for one in of(stack, SUBNET) if one.name == "network-private-a")
    shrunk = changed(stack, private.urn, lambda one: broken(one, "cidrBlock", "10.0.0.0/22"))
    assert judge("subnet-size", shrunk) == [
        Finding("cidrBlock", "is 10.0.0.0/22, must be a /20 or larger: it is private", urn=private.urn)
    ]
    assert judge("subnet-size", shrunk, private=22) == []
    assert len(judge("subnet-size", stack, private=18)) == 3


def test_two_zones_are_too_few_when_three_are_asked_for() -> None:
    assert judge("subnets-zones", "prod", zones=3) == []
    assert len(judge("subnets-zones", "prod", zones=4)) == 3


def test_a_zone_that_leaves_through_another_is_found() -> None:
    gateway = next(one for one in of("prod", NAT) if one.name == "network-a")
    found = judge("nat-ha", changed("prod", gateway.urn, lambda _: None))
    assert [(one.path, one.message) for one in found] == [("natGatewayId", "leads to no NAT gateway of this stack")]
    route = next(one for one in of("prod", ROUTE) if one.name == "network-private-a")
    other = next(one for one in of("prod", NAT) if one.name == "network-b")

    def moved(one: Resource) -> Resource:
        return Resource(one.urn, one.type, one.props, links={**one.links, "natGatewayId": [other.urn]})

    crossed = judge("nat-ha", changed("prod", route.urn, moved))
    assert crossed == [Finding("natGatewayId", "leads us-east-1a through a NAT gateway in us-east-1b", urn=route.urn)]


def test_a_regional_gateway_serves_every_zone() -> None:
    gateway = next(one for one in of("prod", NAT) if one.name == "network-a")
    subnet = next(one for one in of("prod", SUBNET) if one.name == "network-public-b")

    def regional(one: Resource) -> Resource:
        links = {**one.links, "subnetId": [subnet.urn]}
        return Resource(one.urn, one.type, {**one.props, "availabilityMode": "regional"}, links=links)

    assert judge("nat-ha", changed("prod", gateway.urn, regional)) == []


def test_an_endpoint_that_is_not_known_yet_may_be_the_missing_one() -> None:
    endpoint = next(one for one in of("prod", ENDPOINT) if one.name == "network-kms")
    gone = judge("vpc-endpoints", changed("prod", endpoint.urn, lambda _: None))
    vpc = of("prod", VPC)[0]
    assert gone == [Finding("", "has no endpoint for kms", urn=vpc.urn)]
    maybe = judge("vpc-endpoints", changed("prod", endpoint.urn, lambda one: broken(one, "serviceName", UNKNOWN)))
    assert maybe == [Finding("", "has no endpoint for kms", verified=False, urn=vpc.urn)]


@settings(max_examples=150)
@given(place=places(GOOD), value=ANYTHING)
def test_no_value_breaks_a_rule(place: tuple[str, Resource, str], value: object) -> None:
    judged(*place, value)
