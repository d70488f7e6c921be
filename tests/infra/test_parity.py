"""How two regions are compared."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import parity
from infra.parity import ABSENT, Difference, Reason, compare
from infra.plan import UNKNOWN, Change, Op, Plan

VPC = "aws:ec2/vpc:Vpc"
THING = "aws:sns/topic:Topic"
UUID = "0a1b2c3d-4e5f-6789-abcd-0123456789ab"


def region(stack: str, place: str, block: str, **things: Any) -> Plan:
    """A plan of a network and a thing per name."""
    urn = f"urn:pulumi:{stack}::docsearch::"
    changes = [Change(f"{urn}{VPC}::network", VPC, "create", {"cidrBlock": block})]
    changes += [Change(f"{urn}{THING}::{name}", THING, "create", inputs) for name, inputs in things.items()]
    return Plan(stack, place, "local", tuple(changes))


def prod(**things: Any) -> Plan:
    return region("prod", "us-east-1", "10.0.0.0/16", **things)


def dr(**things: Any) -> Plan:
    return region("dr", "us-west-2", "10.1.0.0/16", **things)


@pytest.fixture(autouse=True)
def no_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "REASONS", ())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("us-east-1", "us-west-2"),
        ("us-east-1b", "us-west-2b"),
        ("com.amazonaws.us-east-1.s3", "com.amazonaws.us-west-2.s3"),
        ("10.0.16.0/20", "10.1.16.0/20"),
        ("10.0.0.0/16", "10.1.0.0/16"),
        ("10.0.3.7", "10.1.3.7"),
        ('{"Resource":"arn:aws:s3:::storage-logs-0a1b2c3/*"}', '{"Resource":"arn:aws:s3:::storage-logs-9f8e7d6/*"}'),
        ("vpc-0123456789abcdef0", "vpc-0fedcba9876543210"),
        (UUID, UUID.replace("a", "b")),
        (
            f"arn:aws:acm:us-east-1:123456789012:certificate/{UUID}",
            f"arn:aws:acm:us-west-2:123456789012:certificate/{UUID[::-1][:8]}-4e5f-6789-abcd-0123456789ab",
        ),
        (
            "arn:aws:secretsmanager:us-east-1:1:secret:key-0a1b2c3-AbCdEf",
            "arn:aws:secretsmanager:us-west-2:1:secret:key-1a2b3c4-GhIjKl",
        ),
        ("app/ingress-4af0f11/0123456789abcdef", "app/ingress-2cd8900/fedcba9876543210"),
        ("db-ABCDEFGHIJKLMNOPQRSTUVWXYZ", "db-ZYXWVUTSRQPONMLKJIHGFEDCBA"),
    ],
)
def test_places_and_made_up_ids_are_no_difference(one: str, other: str) -> None:
    assert compare(prod(a={"x": [one]}), dr(a={"x": [other]})) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("us-east-1", "us-east-1"),  # the standby points at the primary's region
        ("us-east-1a", "us-west-2b"),
        ("10.0.16.0/20", "10.1.32.0/20"),
        ("10.0.3.7", "10.0.3.7"),  # an address of the other region
        ("storage-logs-0a1b2c3", "storage-documents-0a1b2c3"),
        ("sha256:" + "0a" * 32, "sha256:" + "0b" * 32),
        ("2012-10-17", "2008-10-17"),
        ("123456789012", "210987654321"),
        ("db.m7g.4xlarge", "db.m7g.2xlarge"),
        (3, 2),
        (True, False),
        (None, ""),
    ],
)
def test_anything_else_is_a_difference(one: Any, other: Any) -> None:
    (difference,) = compare(prod(a={"x": one}), dr(a={"x": other}))
    assert (difference.resource, difference.path, difference.reason) == (f"{THING} a", "x", "")


@pytest.mark.parametrize(
    "address", ["10.0.0.0/8", "0.0.0.0/0", "169.254.170.23/32", "300.0.0.1", "10.0.0.0/99", "1.2.3.4.5"]
)
def test_an_address_that_is_in_neither_block_is_the_same(address: str) -> None:
    assert compare(prod(a={"x": address}), dr(a={"x": address})) == []


def test_each_differing_property_is_named_by_its_path() -> None:
    one = {"tags": {"owner": "a", "same": "s"}, "rules": [{"port": 80}, {"port": 443}], "sizes": [1, 2]}
    other = {"tags": {"owner": "b", "same": "s"}, "rules": [{"port": 80}, {"port": 444}], "sizes": [1]}
    assert compare(prod(a=one), dr(a=other)) == [
        Difference(f"{THING} a", "tags.owner", "a", "b", ""),
        Difference(f"{THING} a", "rules[1].port", "443", "444", ""),
        Difference(f"{THING} a", "sizes", "[1, 2]", "[1]", ""),
    ]


def test_a_property_that_only_one_region_has_is_a_difference() -> None:
    assert compare(prod(a={"x": {"y": 1}}), dr(a={"x": {"z": 2}})) == [
        Difference(f"{THING} a", "x.y", "1", ABSENT, ""),
        Difference(f"{THING} a", "x.z", ABSENT, "2", ""),
    ]


def test_a_resource_that_only_one_region_has_is_a_difference() -> None:
    assert compare(prod(a={}), dr(b={})) == [
        Difference(f"{THING} a", "", "present", ABSENT, ""),
        Difference(f"{THING} b", "", ABSENT, "present", ""),
    ]


@pytest.mark.parametrize("known", ["vpc-1", 3, ["a"], {"a": 1}])
def test_what_is_not_known_yet_cannot_differ(known: Any) -> None:
    assert compare(prod(a={"x": UNKNOWN}), dr(a={"x": known})) == []
    assert compare(prod(a={"x": known}), dr(a={"x": UNKNOWN})) == []


@pytest.mark.parametrize(
    ("type_", "op"),
    [
        (THING, "delete"),
        ("pulumi:pulumi:Stack", "same"),
        ("pulumi:pulumi:StackReference", "same"),
        ("pulumi:providers:pulumi", "same"),
    ],
)
def test_what_goes_and_what_is_the_engines_own_is_not_compared(type_: str, op: Op) -> None:
    one = prod()
    gone = Change(f"urn:pulumi:prod::docsearch::{type_}::x", type_, op, {"a": 1})
    assert compare(Plan("prod", one.region, "local", (*one.changes, gone)), dr()) == []


def test_a_reason_explains_what_its_patterns_match_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons = (Reason("aws:sns/*", ("tags.*",), "tagged"), Reason("* b", ("",), "only here"))
    monkeypatch.setattr(parity, "REASONS", reasons)
    found = compare(prod(a={"tags": {"x": 1}, "y": 1}, b={}, c={}), dr(a={"tags": {"x": 2}, "y": 2}))
    assert [(difference.resource[-1], difference.path, difference.reason) for difference in found] == [
        ("a", "tags.x", "tagged"),
        ("a", "y", ""),
        ("b", "", "only here"),
        ("c", "", ""),
    ]


def test_the_first_reason_that_fits_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "REASONS", (Reason("*", ("x",), "first"), Reason("*", ("x",), "second")))
    assert [difference.reason for difference in compare(prod(a={"x": 1}), dr(a={"x": 2}))] == ["first"]


values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "10.0.1.0/24", "us-east-1a", UNKNOWN]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
inputs = st.dictionaries(st.sampled_from("pqr"), values, max_size=3)


@given(inputs)
def test_a_region_does_not_differ_from_itself(given_inputs: dict[str, Any]) -> None:
    assert compare(prod(a=given_inputs), prod(a=given_inputs)) == []


@given(inputs, inputs)
def test_the_other_way_round_the_same_differs(one: dict[str, Any], other: dict[str, Any]) -> None:
    there = {(item.path, item.one, item.other) for item in compare(prod(a=one), dr(a=other))}
    back = {(item.path, item.other, item.one) for item in compare(dr(a=other), prod(a=one))}
    assert there == back
