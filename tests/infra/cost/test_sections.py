"""What stands beside the price: charts, what to read in them, and figures."""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from infra.cost.curve import Growth
from infra.cost.levers import Lever, Way
from infra.cost.model import Range, total
from infra.cost.relief import DEMANDS, Step, Verdict
from infra.cost.requirement import OTHER, Row
from infra.cost.sections import (
    Section,
    curve_section,
    demands_section,
    levers_section,
    requirement_section,
    sections_of,
    workloads_section,
)
from infra.cost.workloads import Attribution, Workload
from tests.infra.cost.statements import statement

SVG = "{http://www.w3.org/2000/svg}"


def row(component: str = "Elasticsearch", committed: int | str = 20000, **changes: Any) -> Row:
    given: dict[str, Any] = {
        "component": component,
        "instances": "20 data nodes",
        "asked": Decimal(16000),
        "asked_at_list": Decimal(15845),
        "primary": Range.of(26000),
        "listed": Range.of(53000),
        "committed": Range.of(committed),
        "why": "section 1 asks for more",
    }
    return Row(**given | changes)


REST = row(OTHER, 9000, instances="", asked=None, asked_at_list=None)


def text_of(section: Section) -> list[str]:
    return [str(its.text) for its in ElementTree.fromstring(section.chart).iter(f"{SVG}text")]


STEP = Step(DEMANDS[0], Decimal(31000), Decimal(9000))


def verdict(*steps: Step, monthly: int = 29000) -> Verdict:
    return Verdict(Range.of(monthly), complete=True, regions=2, alone=steps)


@pytest.mark.parametrize(
    ("monthly", "said"),
    [
        (40000, "inside the $25,000 to $40,000"),
        (40001, "$1 above the $25,000 to $40,000"),
        (24900, "$100 below the $25,000 to $40,000"),
    ],
)
def test_the_requirement_is_met_or_missed_by_so_much(monthly: int, said: str) -> None:
    assert said in requirement_section([row(), REST], verdict(monthly=monthly)).text


def test_each_demand_that_keeps_it_above_shows_what_it_costs() -> None:
    its = demands_section(verdict(STEP, monthly=40001))
    assert its.sheet.rows == ((str(STEP.demand), STEP.demand.instead, "$31,000", "$9,000"),)
    assert "$31,000" in text_of(its)


def test_each_line_of_the_requirement_stands_beside_ours_with_the_reason() -> None:
    its = requirement_section([row(), REST], verdict())
    first, rest, last = its.sheet.rows
    assert first == (
        *("Elasticsearch", "20 data nodes", "$16,000", "$15,845", "$26,000", "$53,000", "$20,000"),
        "section 1 asks for more",
    )
    assert rest[2:4] == ("-", "-")
    assert last == ("total", "", "$16,000", "$15,845", "$52,000", "$106,000", "$29,000", "")
    assert all(len(cells) == len(its.sheet.titles) for cells in its.sheet.rows)
    assert {"the requirement", "ours, list", "ours, committed", "$16,000"} <= set(text_of(its))


def lever(name: str = "Spot", used: int = 70, unused: int = 100, *, counted: bool = True) -> Lever:
    def never(*given: Any) -> Any:
        raise AssertionError

    way = Way(name, "70% less", never, never, counted)
    return Lever(way, Range.of(used), Range.of(unused), Range.of(60), "6 nodes")


def test_a_lever_is_shown_with_and_without_it() -> None:
    its = levers_section([lever(), lever("off-peak scaling", 100, 90, counted=False)])
    assert its.sheet.rows == (
        ("Spot", "yes", "$70", "$100", "$30", "50% of $60", "70% less", "6 nodes"),
        ("off-peak scaling", "no", "$100", "$90", "-$10", "-17% of $60", "70% less", "6 nodes"),
    )
    assert {"$30", "-$10"} <= set(text_of(its))


def curve(*, last: str = "linear") -> Any:
    """Two sizes; the second is ten times the first and costs five times as much."""
    points = [
        SimpleNamespace(
            scale=scale,
            documents=10_000_000 * scale,
            searches_per_second=1000 * scale,
            monthly=total([Range.of(parts["nodes"]), Range.of(parts["plane"])]),
            per_million_searches=Decimal(searches),
            per_million_documents=Decimal(documents),
            parts={name: Decimal(dollars) for name, dollars in parts.items()},
        )
        for scale, searches, documents, parts in (
            (1, "0.4", "100", {"nodes": 900, "plane": 100, "none": 0}),
            (10, "0.2", "50", {"nodes": 4900, "plane": 100, "none": 0}),
        )
    ]
    powers = {"fixed": "0", "sub-linear": "0.7", "linear": "1", "more than linear": "1.2"}
    growth = (Growth(1, 10, Decimal(powers[last])),)
    parts = {"nodes": (Growth(1, 10, Decimal("0.7")),), "plane": (Growth(1, 10, Decimal(0)),)}
    return SimpleNamespace(points=points, growth=growth, by_part={**parts, "none": parts["plane"]})


def test_the_curve_shows_what_a_search_and_a_document_cost_at_each_size() -> None:
    its = curve_section(curve())
    rows = {name: cells for name, *cells in its.sheet.rows}
    assert its.sheet.titles == ("", "1x", "10x")
    assert rows["documents"] == ["10,000,000", "100,000,000"]
    assert rows["per million searches"] == ["$0.40", "$0.20"]
    assert rows["per million documents"] == ["$100.00", "$50.00"]
    assert rows["total"] == ["$1,000", "$5,000"]
    assert {"$0.40", "$50.00", "1x", "10x"} <= set(text_of(its))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("fixed", "grows hardly at all"),
        ("sub-linear", "grows less than linearly"),
        ("linear", "grows linearly"),
        ("more than linear", "grows more than linearly"),
    ],
)
def test_the_curve_says_how_the_whole_grows(word: str, said: str) -> None:
    assert f"from 1x to 10x it {said}" in curve_section(curve(last=word)).text


def test_the_curve_names_the_parts_that_grow_otherwise_and_none_that_are_nothing() -> None:
    assert "What does not simply grow less than its size: plane (fixed)." in curve_section(curve()).text


def workload(name: str, dollars: int) -> Workload:
    urn = f"urn:pulumi:prod::docsearch::kubernetes:apps/v1:Deployment::{name}"
    half = Range.of("1.5")
    return Workload(urn, "docsearch", name, Range.of(3), half, Range.of(6), "pool=general", Range.of(dollars))


NODES = {
    "prod": Attribution((workload("search", 600), workload("index", 100)), {"pool=general": Range.of(300)}),
    "dr": Attribution(
        (workload("search", 500),),
        {"pool=general": Range.of(400)},
        (("urn:pulumi:dr::docsearch::aws:x/y:Z::lost", "no nodes"),),
    ),
}


def test_workloads_and_what_is_idle_are_together_what_the_nodes_cost() -> None:
    its = workloads_section(NODES)
    assert its.sheet.rows[0] == ("docsearch/search", "prod", "pool=general", "3", "1.5", "6", "$600", "$600", "$600")
    assert its.sheet.rows[-1][-2] == "$1,900"
    assert [row[:3] for row in its.sheet.rows if "nowhere" in row[2]] == [("lost", "dr", "nowhere: no nodes")]
    assert all(len(row) == len(its.sheet.titles) for row in its.sheet.rows)
    labels = [text for text in text_of(its) if text in ("search", "idle", "index")]
    assert labels == ["search", "idle", "index"]


def test_only_what_was_asked_for_is_shown() -> None:
    assert sections_of(statement()) == ()
    beside = {"requirement": (row(),), "verdict": verdict(STEP)}
    its = sections_of(statement(**beside, levers=(lever(),), curve=curve(), workloads=NODES))
    assert len({section.title for section in its}) == 5
