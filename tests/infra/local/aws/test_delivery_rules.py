"""What Elastic Load Balancing and ACM refuse, and what replaces a load balancer."""

import pytest

from infra.local.aws.delivery_rules import (
    certificate_rules,
    listener_rule_rules,
    listener_rules,
    load_balancer_replaces,
    load_balancer_rules,
    target_group_rules,
)
from infra.local.resource import UNKNOWN, Props

BALANCER: Props = {"name": "public", "loadBalancerType": "application", "subnets": ["a", "b"], "idleTimeout": 60}


def test_load_balancer_that_is_taken() -> None:
    assert [*load_balancer_rules(BALANCER)] == []
    assert [*load_balancer_rules({**BALANCER, "subnets": UNKNOWN, "name": UNKNOWN, "idleTimeout": UNKNOWN})] == []
    assert [*load_balancer_rules({"loadBalancerType": "network", "subnetMappings": [{"subnetId": "a"}]})] == []


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"name": "x" * 33}, "cannot be longer than '32' characters"),
        ({"name": "internal-a"}, "can only contain"),
        ({"name": "a_b"}, "can only contain"),
        ({"name": "a-"}, "can only contain"),
        ({"subnets": ["a"]}, "At least two subnets in two different Availability Zones"),
        ({"subnets": None}, "exactly one of `subnets` and `subnetMappings`"),
        ({"idleTimeout": 4001}, "must be from 1 to 4000"),
        ({"clientKeepAlive": 59}, "must be from 60 to 604800"),
    ],
)
def test_load_balancer_that_is_refused(broken: Props, message: str) -> None:
    (failure,) = load_balancer_rules({**BALANCER, **broken})
    assert message in failure.reason


def network(**said: object) -> Props:
    return {"loadBalancerType": "network", **said}


def mappings(*subnets: str) -> list[Props]:
    return [{"subnetId": subnet} for subnet in subnets]


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        ({"subnets": ["a", "b"]}, {"subnets": ["c"]}, set()),
        ({"securityGroups": ["a"]}, {"securityGroups": []}, set()),
        (network(subnets=["a", "b"]), network(subnets=["a", "b", "c"]), set()),
        (network(subnets=["a", "b"]), network(subnets=["b", "a"]), set()),
        (network(subnets=["a", "b"]), network(subnets=["a"]), {"subnets"}),
        (network(subnets=["a", "b"]), network(subnets=["a", "c"]), {"subnets"}),
        (network(securityGroups=["a"]), network(securityGroups=["b"]), set()),
        (network(securityGroups=["a"]), network(), {"securityGroups"}),
        (
            network(secondaryIpsAutoAssignedPerSubnet=2),
            network(secondaryIpsAutoAssignedPerSubnet=1),
            {"secondaryIpsAutoAssignedPerSubnet"},
        ),
        (network(subnetMappings=mappings("a")), network(subnetMappings=mappings("a", "b")), set()),
        (network(subnetMappings=mappings("a")), network(subnetMappings=mappings("b", "c")), {"subnetMappings"}),
        (network(subnetMappings=mappings("a", "b")), network(subnetMappings=mappings("a")), {"subnetMappings"}),
        ({"subnetMappings": mappings("a", "b")}, {"subnetMappings": mappings("a")}, set()),
        ({"subnetMappings": mappings("a", "b")}, {"subnetMappings": mappings("a", "c")}, {"subnetMappings"}),
        (network(subnets=["a"]), network(subnets=UNKNOWN), set()),
    ],
)
def test_what_replaces_a_load_balancer(old: Props, new: Props, replaced: set[str]) -> None:
    assert {*load_balancer_replaces(old, new)} == replaced


GROUP: Props = {"port": 8080, "protocol": "HTTP", "healthCheck": {"interval": 10, "timeout": 5, "protocol": "HTTP"}}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"port": 0}, "from 1 to 65535"),
        ({"deregistrationDelay": 3601}, "from 0 to 3600"),
        ({"slowStart": 29}, "0 or from 30 to 900"),
        ({"healthCheck": {"interval": 5, "timeout": 5}}, "interval must be greater than the timeout"),
        ({"healthCheck": {"interval": 4}}, "from 5 to 300"),
        ({"healthCheck": {"healthyThreshold": 1}}, "from 2 to 10"),
        ({"healthCheck": {"protocol": "TCP"}}, "'TCP' is not supported"),
        ({"name": "x" * 33}, "cannot be longer"),
    ],
)
def test_target_group_that_is_refused(broken: Props, message: str) -> None:
    assert [*target_group_rules(GROUP)] == []
    (failure,) = target_group_rules({**GROUP, **broken})
    assert message in failure.reason


FORWARD = {"type": "forward", "targetGroupArn": UNKNOWN}
TO_HTTPS = {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}}


@pytest.mark.parametrize(
    "said",
    [
        {"port": 443, "protocol": "HTTPS", "certificateArn": UNKNOWN, "sslPolicy": "x", "defaultActions": [FORWARD]},
        {"port": 80, "protocol": "HTTP", "defaultActions": [TO_HTTPS]},
        {"port": UNKNOWN, "protocol": UNKNOWN, "defaultActions": UNKNOWN},
    ],
)
def test_listener_that_is_taken(said: Props) -> None:
    assert [*listener_rules(said)] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"protocol": "HTTPS"}, "A certificate must be specified for HTTPS listeners"),
        ({"protocol": "http", "certificateArn": "a"}, "not supported for HTTP listeners"),
        ({"protocol": "HTTP", "sslPolicy": "a"}, "not supported for HTTP listeners"),
        ({"port": 65536}, "from 1 to 65535"),
        ({"defaultActions": [{"type": "forward"}]}, "A target group ARN must be specified"),
        (
            {"defaultActions": [{"type": "forward", "forward": {"targetGroups": [{"arn": "a", "weight": 1000}]}}]},
            "must be from 0 to 999",
        ),
        (
            {"defaultActions": [{"type": "forward", "forward": {"targetGroups": [{"arn": UNKNOWN}] * 6}}]},
            "at most '5' target groups",
        ),
        ({"defaultActions": [{"type": "redirect"}]}, "must have a redirect configuration"),
        ({"defaultActions": [{"type": "fixed-response"}]}, "must have a fixedResponse configuration"),
        (
            {"port": 80, "protocol": "HTTP", "defaultActions": [{"type": "redirect", "redirect": {"port": "80"}}]},
            "creates a loop",
        ),
    ],
)
def test_listener_that_is_refused(said: Props, message: str) -> None:
    (failure,) = listener_rules(said)
    assert message in failure.reason


def paths(*values: object) -> Props:
    return {"pathPattern": {"values": [*values]}}


RULE: Props = {"listenerArn": UNKNOWN, "priority": 10, "conditions": [paths("/v1/*")], "actions": [FORWARD]}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"priority": 50000, "conditions": [paths(UNKNOWN, "/*/*/*/*/?"), {"sourceIp": {"values": UNKNOWN}}]},
        {"conditions": [{"httpHeader": {"httpHeaderName": "a", "values": ["1"]}}] * 5},
        {"conditions": UNKNOWN, "actions": UNKNOWN, "priority": UNKNOWN},
        {"actions": [{"type": "forward", "forward": {"targetGroups": [{"arn": UNKNOWN, "weight": 0}]}}]},
    ],
)
def test_rule_that_is_taken(said: Props) -> None:
    assert [*listener_rule_rules({**RULE, **said})] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"priority": 0}, "from 1 to 50000"),
        ({"priority": 50001}, "from 1 to 50000"),
        ({"actions": [{"type": "forward"}]}, "A target group ARN must be specified"),
        ({"conditions": [{}]}, "one and only one condition block"),
        ({"conditions": [{**paths("/a"), "sourceIp": {"values": ["192.0.2.0/24"]}}]}, "one and only one"),
        ({"conditions": [paths("/a"), paths("/b")]}, "only have one 'path-pattern' condition"),
        ({"conditions": [paths("/" + "a" * 128)]}, "the limit is '128'"),
        ({"conditions": [paths("/a b")]}, "a character that is not valid"),
        ({"conditions": [paths(*"abcdef")]}, "'5' condition values"),
        (
            {"conditions": [paths("/a", "/b", "/c"), {"queryStrings": [{"value": value} for value in "abc"]}]},
            "'5' condition values",
        ),
        ({"conditions": [paths("/*/*/*", "/?/?/?")]}, "'5' condition wildcards"),
    ],
)
def test_rule_that_is_refused(said: Props, message: str) -> None:
    (failure,) = listener_rule_rules({**RULE, **said})
    assert message in failure.reason


CERTIFICATE: Props = {"domainName": "a.example.com", "validationMethod": "DNS"}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"domainName": None}, "a domain name"),
        ({"privateKey": "k"}, "exactly one of `domainName` and `privateKey`"),
        ({"validationMethod": None}, "needs `validationMethod`"),
        ({"domainName": "a_b.example.com"}, "a domain name"),
        ({"subjectAlternativeNames": ["*.a.example.com", "-a.example.com"]}, "'-a.example.com'"),
        ({"domainName": f"{'a' * 60}.example.com"}, "no more than 64 characters"),
    ],
)
def test_certificate_that_is_refused(broken: Props, message: str) -> None:
    said = {name: value for name, value in {**CERTIFICATE, **broken}.items() if value is not None}
    reasons = [failure.reason for failure in certificate_rules(said)]
    if broken == {"domainName": None}:
        message = "exactly one of `domainName` and `privateKey`"
    assert any(message in reason for reason in reasons)


def test_certificate_that_is_taken() -> None:
    assert [*certificate_rules(CERTIFICATE)] == []
    assert [*certificate_rules({**CERTIFICATE, "subjectAlternativeNames": ["*.example.com", UNKNOWN]})] == []
