"""The picture of a region, from a state."""

from collections.abc import Mapping
from random import Random
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.graph import Node, layers, nodes, svg

PREFIX = "urn:pulumi:prod::docsearch::"
STACK = f"{PREFIX}pulumi:pulumi:Stack::docsearch-prod"
NAMES = "abcdefgh"

Needs = Mapping[str, set[str]]


def state(needs: Needs) -> list[dict[str, Any]]:
    """A component with one resource per name; the resource depends on those of the components that it needs."""
    found: list[dict[str, Any]] = [{"urn": STACK, "type": "pulumi:pulumi:Stack"}]
    for name, others in needs.items():
        component = f"{PREFIX}docsearch:x:X::{name}"
        found.append({"urn": component, "type": "docsearch:x:X", "parent": STACK})
        found.append(
            {
                "urn": f"{PREFIX}docsearch:x:X$aws:sns/topic:Topic::{name}",
                "type": "aws:sns/topic:Topic",
                "parent": component,
                "dependencies": [f"{PREFIX}docsearch:x:X$aws:sns/topic:Topic::{other}" for other in sorted(others)],
            }
        )
    return found


def reachable(needs: Needs) -> dict[str, set[str]]:
    found = {name: set(others) for name, others in needs.items()}
    for middle in found:
        for name in found:
            if middle in found[name]:
                found[name] |= found[middle]
    return found


# Without circles: each needs only names before its own.
graphs = st.fixed_dictionaries(
    {name: st.sets(st.sampled_from(NAMES[:i])) if i else st.just(set()) for i, name in enumerate(NAMES)}
)
anything = st.fixed_dictionaries({name: st.sets(st.sampled_from(NAMES)).map(set) for name in NAMES})


@given(graphs)
def test_leaving_arrows_out_keeps_who_needs_whom(needs: Needs) -> None:
    drawn = {node.name: set(node.needs) for node in nodes(state(needs))}
    assert reachable(drawn) == reachable(needs)


@given(graphs)
def test_no_arrow_says_what_a_longer_way_says(needs: Needs) -> None:
    drawn = {node.name: set(node.needs) for node in nodes(state(needs))}
    for name, others in drawn.items():
        for other in others:
            without = {**drawn, name: others - {other}}
            assert other not in reachable(without)[name]


@given(anything)
def test_everything_stands_below_what_it_needs(needs: Needs) -> None:
    rows = layers(nodes(state(needs)))
    row = {node.name: index for index, found in enumerate(rows) for node in found}
    assert sorted(row) == sorted(NAMES)
    for found in rows:
        for node in found:
            assert all(row[other] < row[node.name] for other in node.needs)


def test_a_circle_of_components_is_drawn_without_the_arrow_that_closes_it() -> None:
    found = {node.name: node.needs for node in nodes(state({"a": {"b"}, "b": {"c"}, "c": {"a"}}))}
    assert found == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_many_components_that_all_need_each_other_in_order_are_drawn_at_once() -> None:
    names = [f"n{i:02}" for i in range(60)]
    rows = layers(nodes(state({name: set(names[:i]) for i, name in enumerate(names)})))
    assert [[node.name for node in row] for row in rows] == [[name] for name in names]


def test_resources_of_inner_components_count_for_the_outer_one() -> None:
    outer, inner = f"{PREFIX}docsearch:x:X::outer", f"{PREFIX}docsearch:y:Y::inner"
    found = nodes(
        [
            {"urn": STACK, "type": "pulumi:pulumi:Stack"},
            {"urn": f"{PREFIX}pulumi:providers:aws::aws", "type": "pulumi:providers:aws", "parent": STACK},
            {"urn": outer, "type": "docsearch:x:X", "parent": STACK},
            {"urn": inner, "type": "docsearch:y:Y", "parent": outer},
            {"urn": f"{PREFIX}aws:ec2/eip:Eip::1", "type": "aws:ec2/eip:Eip", "parent": inner},
            {"urn": f"{PREFIX}aws:ec2/eip:Eip::2", "type": "aws:ec2/eip:Eip", "parent": inner},
            {
                "urn": f"{PREFIX}aws:ec2/vpc:Vpc::3",
                "type": "aws:ec2/vpc:Vpc",
                "parent": outer,
                "dependencies": [f"{PREFIX}aws:ec2/eip:Eip::1", f"{PREFIX}pulumi:providers:aws::aws"],
            },
        ]
    )
    assert found == [Node("outer", (("Eip", 2), ("Vpc", 1)), frozenset())]


def test_a_component_that_holds_nothing_is_not_drawn_and_nothing_points_at_it() -> None:
    resources = state({"a": set()})
    empty = f"{PREFIX}docsearch:x:X::empty"
    resources.append({"urn": empty, "type": "docsearch:x:X", "parent": STACK})
    resources[2]["dependencies"] = [empty]
    assert nodes(resources) == [Node("a", (("Topic", 1),), frozenset())]


@given(
    anything, st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=20)
)
def test_the_picture_is_well_formed_whatever_the_names_are(needs: Needs, text: str) -> None:
    names = {name: f"{text}<{name}>&\"'" for name in NAMES}
    given_state = state({names[name]: {names[other] for other in others} for name, others in needs.items()})
    drawn = ElementTree.fromstring(svg(text, given_state))
    said = [element.text or "" for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert said[0] == text
    assert set(names.values()) <= set(said)


@given(graphs, st.randoms(use_true_random=False))
def test_the_picture_is_the_same_in_whatever_order_the_engine_worked(needs: Needs, chance: Random) -> None:
    resources = state(needs)
    shuffled = chance.sample(resources, len(resources))
    assert svg("title", shuffled) == svg("title", resources)


@pytest.mark.parametrize("size", [0, 1, 9])
def test_everything_is_drawn_inside_the_picture(size: int) -> None:
    drawn = ElementTree.fromstring(svg("title", state({f"n{i}": set() for i in range(size)})))
    width, height = (float(side) for side in drawn.attrib["viewBox"].split()[2:])
    boxes = [element.attrib for element in drawn.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert len(boxes) == size
    for box in boxes:
        assert 0 < float(box["x"]) < float(box["x"]) + float(box["width"]) < width
        assert 0 < float(box["y"]) < float(box["y"]) + float(box["height"]) < height


def test_a_box_names_the_most_frequent_kinds_and_counts_the_rest() -> None:
    resources = state({"a": set()})
    parent = resources[1]["urn"]
    for count, kind in enumerate("ABCDE", start=2):
        resources += [
            {"urn": f"{PREFIX}aws:x/{kind}:{kind}::{i}", "type": f"aws:x/{kind}:{kind}", "parent": parent}
            for i in range(count)
        ]
    drawn = ElementTree.fromstring(svg("title", resources))
    said = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert said == ["title", "a", "21", "6 E", "5 D", "4 C", "3 B  + 3 more"]
