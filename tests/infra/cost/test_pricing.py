"""What pricers see of a resource, and of what stands around it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from infra.cost.model import Range
from infra.cost.pricing import Around, NoFigureError, NotKnownError, Resource, plain, resource
from infra.plan import UNKNOWN
from tests.infra.cost.priced import figures, made, peer

ITS = Resource(
    "urn:pulumi:prod::docsearch::a:b/c:C::one",
    "a:b/c:C",
    {"size": 3.0, "text": "t", "on": "true", "list": [{"size": 1}, UNKNOWN], "hidden": "[secret]", "zero": 0},
    parent="parent",
)


def around(*resources: Resource) -> Around:
    return Around("us-east-1", resources, figures(), day="2026-11-28")


def test_values_are_read_as_what_they_are_asked_for() -> None:
    assert ITS.name == "one"
    assert ITS.number("size") == 3
    assert ITS.number("zero", 5) == 0
    assert ITS.number("none", 5) == 5
    assert ITS.text("text") == "t"
    assert ITS.text("none", "usual") == "usual"
    assert ITS.flag("on")
    assert not ITS.flag("none")
    assert ITS.each("list") == ["list[0]", "list[1]"]
    assert ITS.each("none") == []
    assert ITS.number("list[0].size") == 1
    assert ITS.group("list[0]") == {"size": 1}


def test_binary_fractions_are_read_as_they_are_written() -> None:
    assert Resource("u", "t", {"size": 0.1}).number("size") == Decimal("0.1")


@pytest.mark.parametrize("path", ["list[1]", "list[1].size", "list[1].size.more"])
def test_what_is_not_known_and_all_below_it_is_not_known(path: str) -> None:
    assert ITS.has(path)
    for read in (ITS.number, ITS.text, ITS.flag, ITS.each, ITS.group):
        with pytest.raises(NotKnownError, match="is not known before the update"):
            read(path)


def test_what_is_secret_is_not_read() -> None:
    with pytest.raises(NoFigureError, match="hidden is secret"):
        ITS.text("hidden")


def test_what_is_missing_says_so() -> None:
    with pytest.raises(NoFigureError, match="none is missing"):
        ITS.number("none")
    assert not ITS.has("none")


@pytest.mark.parametrize("path", ["text.size", "size.more"])
def test_what_is_below_something_that_holds_nothing_is_a_gap(path: str) -> None:
    with pytest.raises(NoFigureError, match="above it, not a group of keys"):
        ITS.number(path)


def test_a_share_is_even() -> None:
    assert around(ITS, ITS, ITS).share(Range.of(9), ITS.type) == Range.of(3)
    assert around().share(Range.of(9), ITS.type) == Range.of(9)


def test_what_belongs_to_a_resource_has_its_name_and_its_component() -> None:
    beside = Resource("urn:pulumi:prod::docsearch::a:b/d:D::one", "a:b/d:D", parent="parent")
    elsewhere = Resource(beside.urn, beside.type, parent="another")
    assert around(elsewhere, beside).beside(ITS, beside.type) is beside
    assert around(elsewhere).beside(ITS, beside.type) is None


@pytest.mark.parametrize(("zones", "crossing"), [(0, 0), (1, 0), (2, Decimal("0.5"))])
def test_what_goes_to_another_zone_follows_from_their_number(zones: int, crossing: Decimal) -> None:
    subnet = "aws:ec2/subnet:Subnet"
    subnets = [resource(made(subnet, f"{index}", availabilityZone=f"z{index % 2}")) for index in range(2 * zones)]
    assert around(*(subnets[:1] if zones == 1 else subnets)).crossing == crossing


def test_the_other_region_is_what_the_usage_file_says() -> None:
    assert Around("us-east-1", [], figures(peer=peer("eu-west-1")), day="").peer_region() == "eu-west-1"
    with pytest.raises(NoFigureError, match=r"peer\.region is missing in the usage file"):
        around().peer_region()


def test_numbers_are_plain_for_people() -> None:
    assert [plain(Decimal(text)) for text in ("21.0", "0.30", "12000", "1E+3")] == ["21", "0.3", "12,000", "1,000"]
