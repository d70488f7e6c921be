"""What is drawn is where its figure is, and is told to those who do not see it."""

from decimal import Decimal
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.cost.charts import LABEL, VALUE, WIDTH, Bar, bars, curves, money, safe, short
from infra.cost.model import Range

SVG = "{http://www.w3.org/2000/svg}"
dollars = st.decimals(min_value=0, max_value=10**7, places=2)


def drawing(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def all_of(root: ElementTree.Element, tag: str, **attributes: str) -> list[dict[str, Any]]:
    found = (its for its in root.iter(SVG + tag) if all(its.get(name) == value for name, value in attributes.items()))
    return [{**its.attrib, "text": its.text} for its in found]


def stack(*rows: Bar, series: tuple[str, ...] = ("prod", "dr"), stacked: bool = True) -> ElementTree.Element:
    return drawing(bars("name", "A title", "What it is about", rows, series, stacked=stacked))


@pytest.mark.parametrize(
    ("value", "shown"), [("12345.5", "$12,346"), ("0", "$0"), ("-3", "-$3"), ("-0.2", "$0"), ("999999.4", "$999,999")]
)
def test_money_is_dollars_with_thousands(value: str, shown: str) -> None:
    assert money(Decimal(value)) == shown


def test_money_has_cents_where_they_are_asked_for() -> None:
    assert (money(Decimal("1234.5"), 2), money(Decimal("-0.004"), 2)) == ("$1,234.50", "$0.00")


@pytest.mark.parametrize(
    ("value", "shown"), [("20000", "$20k"), ("2500000", "$2.5M"), ("0.05", "$0.05"), ("0", "$0"), ("-1500", "-$1.5k")]
)
def test_an_axis_is_short(value: str, shown: str) -> None:
    assert short(Decimal(value)) == shown


def test_a_drawing_is_told_to_those_who_do_not_see_it() -> None:
    root = stack(Bar("a", (Decimal(1), Decimal(2))))
    first, second, *_ = root
    assert (first.tag, first.text, second.tag, second.text) == (
        f"{SVG}title",
        "A title",
        f"{SVG}desc",
        "What it is about",
    )
    assert root.get("role") == "img"
    assert str(root.get("aria-labelledby")).split() == [first.get("id"), second.get("id")]


@given(rows=st.lists(st.tuples(dollars, dollars), min_size=1, max_size=12))
def test_parts_stand_next_to_each_other_and_are_as_long_as_their_figure(rows: list[tuple[Decimal, Decimal]]) -> None:
    root = stack(*(Bar(f"row {number}", row) for number, row in enumerate(rows)), series=("prod",))
    found = [rect for rect in all_of(root, "rect") if rect["height"] == "18"]
    assert len(found) == sum(part > 0 for row in rows for part in row)
    longest = max(sum(row) for row in rows)
    for rect in found:
        assert float(rect["x"]) >= LABEL - 0.1
        assert float(rect["x"]) + float(rect["width"]) <= WIDTH - VALUE + 1
    for first, second in rows:
        if first > longest / 100 and second > longest / 100:
            left, right = found[0], found[1]
            assert float(left["x"]) + float(left["width"]) == pytest.approx(float(right["x"]), abs=0.2)
        del found[: (first > 0) + (second > 0)]
    figures = [its["text"] for its in all_of(root, "text", **{"class": "figure"})]
    assert figures == [money(sum(row, start=Decimal(0))) for row in rows]


def test_bounds_go_from_the_least_to_the_most() -> None:
    bounds = Range(Decimal(50), Decimal(100), Decimal(200))
    (path,) = all_of(stack(Bar("a", (Decimal(100),), bounds)), "path", **{"class": "bounds"})
    assert f"M{LABEL + (WIDTH - LABEL - VALUE) / 4:.1f}," in path["d"]
    assert f"H{WIDTH - VALUE:.1f} " in path["d"]


def test_what_has_no_bounds_has_no_line_across_it() -> None:
    assert all_of(stack(Bar("a", (Decimal(1),), Range.of(1))), "path") == []


def test_figures_to_be_compared_stand_below_each_other_and_one_that_is_missing_is_left_out() -> None:
    root = stack(Bar("a", (Decimal(10), None, Decimal(20))), series=("theirs", "list", "ours"), stacked=False)
    one, other = [rect for rect in all_of(root, "rect") if rect["height"] == "12" and rect["width"] != "12"]
    assert one["x"] == other["x"]
    assert float(other["y"]) - float(one["y"]) == 28
    assert float(other["width"]) == pytest.approx(2 * float(one["width"]), abs=0.2)
    assert [one["class"], other["class"]] == ["s0", "s2"]


def test_what_saves_goes_to_the_left() -> None:
    minus, plus = [
        rect
        for rect in all_of(stack(Bar("a", (Decimal(-5),)), Bar("b", (Decimal(5),))), "rect")
        if rect["height"] == "18"
    ]
    assert float(minus["x"]) + float(minus["width"]) == pytest.approx(float(plus["x"]))


@pytest.mark.parametrize("rows", [(), (Bar("a", (Decimal(0), Decimal(0))),), (Bar("a", (None, None)),)])
def test_nothing_can_be_drawn(rows: tuple[Bar, ...]) -> None:
    assert stack(*rows).tag == f"{SVG}svg"


@given(low=dollars, high=dollars)
def test_an_axis_has_a_few_round_figures(low: Decimal, high: Decimal) -> None:
    root = stack(Bar("a", (-low,)), Bar("b", (high,)))
    ticks = all_of(root, "text", **{"class": "tick"})
    assert 2 <= len(ticks) <= 9
    assert len({tick["text"] for tick in ticks}) == len(ticks)


@given(label=st.text(min_size=1, max_size=26))
def test_any_label_is_drawn_as_it_is(label: str) -> None:
    root = stack(Bar(label, (Decimal(1),)), series=("other", "another"))
    shown = [its["text"] for its in all_of(root, "text", **{"class": "label"})]
    # What reads XML makes one kind of line end of all.
    assert shown[-1] in (label, _held(label))


def _held(label: str) -> str:
    return unescape(safe(label)).replace("\r\n", "\n").replace("\r", "\n")


def test_a_long_label_is_cut() -> None:
    (label,) = all_of(stack(Bar("m" * 40, (Decimal(1),)), series=("one",)), "text", **{"class": "label"})
    assert label["text"] == "m" * 25 + "…"


# Curves


def curve(**series: list[tuple[str, str]]) -> ElementTree.Element:
    points = {name: [(Decimal(x), Decimal(y)) for x, y in its] for name, its in series.items()}
    return drawing(curves("curve", "A title", "What", points, across=lambda x: f"{x}x", below="scale"))


def test_what_grows_evenly_is_a_straight_line() -> None:
    root = curve(a=[("1", "1000"), ("10", "100"), ("100", "10")])
    places = [(float(its["cx"]), float(its["cy"])) for its in all_of(root, "circle")]
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.2) != 0
    assert y1 < y3


def test_each_curve_has_its_points_its_figures_and_a_name() -> None:
    root = curve(searches=[("1", "40"), ("10", "20")], documents=[("1", "900"), ("10", "90")])
    assert len(all_of(root, "circle")) == 4
    texts = [its["text"] for its in all_of(root, "text")]
    assert {"searches", "documents", "$40.00", "$900.00", "1x", "10x", "scale", "$100"} <= set(texts)


@given(points=st.lists(st.decimals("0.0001", "1000000", places=4), min_size=1, max_size=5))
def test_every_point_is_within_the_drawing(points: list[Decimal]) -> None:
    root = curve(a=[(str(10**index), str(value)) for index, value in enumerate(points)])
    height = float(str(root.get("viewBox")).split()[3])
    for its in all_of(root, "circle"):
        assert 0 < float(its["cx"]) < WIDTH
        assert 0 < float(its["cy"]) < height
