"""The page: it is whole, it asks nothing of any network, and it can be read without seeing it."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.cost.page import MOST, page
from infra.cost.sections import Section, Sheet
from infra.cost.statement import Statement, grouping
from tests.infra.cost.statements import BASIS, bill, gap, line, statement

X = "{http://www.w3.org/1999/xhtml}"
S = "{http://www.w3.org/2000/svg}"
COMPONENT = grouping("component")
DR = bill(
    line(stack="dr", urn=line().urn.replace(":prod:", ":dr:")),
    stack="dr",
    region="us-west-2",
    unpriced=(gap(stack="dr"),),
)
BESIDE = Section(
    "Beside", "What is beside", "<svg xmlns='http://www.w3.org/2000/svg'/>", Sheet("x", ("a", "b"), (("1", "2"),))
)
nasty = st.text(st.one_of(st.sampled_from("<>&\"'\x00\x1b\ufffe\ud800 "), st.characters()), min_size=1, max_size=30)


def whole(*bills: Any, **more: Any) -> ElementTree.Element:
    return ElementTree.fromstring(page(statement(*bills, **more), COMPONENT, [BESIDE]))


def texts(root: ElementTree.Element, tag: str) -> list[str]:
    return ["".join(its.itertext()) for its in root.iter(tag)]


class Tags(HTMLParser):
    """Every tag with its attributes, as a browser's parser sees them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag


PAGE = page(statement(bill(), DR), COMPONENT, [BESIDE])


def test_nothing_is_loaded_from_anywhere_and_nothing_runs() -> None:
    tags = Tags(PAGE).found
    assert {tag for tag, _ in tags}.isdisjoint(
        {"script", "link", "img", "iframe", "object", "embed", "base", "form", "use", "image"}
    )
    for tag, attributes in tags:
        for name, value in attributes.items():
            assert name not in ("src", "href", "xlink:href", "srcset", "action", "style"), (tag, name)
            assert not name.startswith("on"), (tag, name)
            assert "://" not in str(value) or name == "xmlns", (tag, name, value)
    assert not re.search(r"url\(|@import|@font-face|expression\(", PAGE)


def test_the_policy_allows_the_one_style_and_nothing_else() -> None:
    (policy,) = [
        str(attributes["content"])
        for tag, attributes in Tags(PAGE).found
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    (style,) = re.findall(r"<style>(.*?)</style>", PAGE, re.DOTALL)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_policy_comes_before_anything_that_it_governs() -> None:
    assert PAGE.index("Content-Security-Policy") < PAGE.index("<style>")


def test_it_is_read_in_dark_and_in_light() -> None:
    assert "color-scheme: light dark" in PAGE
    light, dark = re.findall(r":root \{(.*?)\}", PAGE, re.DOTALL)
    colours = [set(re.findall(r"(--\w+): #", its)) for its in (light, dark)]
    assert colours[0] == colours[1]
    used = set(re.findall(r"var\((--\w+)\)", PAGE))
    assert used == colours[0]


def luminance(colour: str) -> float:
    parts = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("index", [0, 1], ids=["light", "dark"])
def test_text_and_bars_stand_out_from_the_ground(index: int) -> None:
    """WCAG 2.2: 4.5 to 1 for text (1.4.3), 3 to 1 for what has to be seen of a drawing (1.4.11)."""
    values = dict(re.findall(r"--(\w+): (#\w{6})", re.findall(r":root \{(.*?)\}", PAGE, re.DOTALL)[index]))

    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(values[one]), luminance(values[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    for ground in ("ground", "panel"):
        assert all(contrast(ink, ground) >= 4.5 for ink in ("ink", "soft", "good", "bad"))
        assert [bar for bar in ("s0", "s1", "s2", "s3") if contrast(bar, ground) < 3] == []


def test_each_drawing_is_told_and_has_its_figures_beside_it() -> None:
    root = ElementTree.fromstring(PAGE)
    figures = list(root.iter(f"{X}figure"))
    assert len(figures) == 4
    for figure in figures:
        assert len(list(figure.iter(f"{S}svg"))) == 1
        assert len(list(figure.iter(f"{X}table"))) == 1
    for drawing in (its for its in root.iter(f"{S}svg") if its.get("role")):
        title, about = drawing[0], drawing[1]
        assert (title.tag, about.tag) == (f"{S}title", f"{S}desc")
        assert title.text
        assert about.text
        assert drawing.get("aria-labelledby") == f"{title.get('id')} {about.get('id')}"
    ids = [its.get("id") for its in root.iter() if its.get("id")]
    assert len(set(ids)) == len(ids)
    for table in root.iter(f"{X}table"):
        assert table.find(f"{X}caption") is not None
        assert all(its.get("scope") for its in table.iter(f"{X}th"))
    assert root.get("lang") == "en"


def test_tables_hold_the_figures_of_the_statement() -> None:
    root = whole(bill(), DR)
    (first, *_) = root.iter(f"{X}tbody")
    found = [["".join(cell.itertext()) for cell in row] for row in first]
    assert found == [
        ["search", "$14,907", "$15,652", "$16,397", "$31,304"],
        ["database", "$985", "$985", "$985", "$1,970"],
        ["total", "$15,891", "$16,637", "$17,382", "$33,273"],
    ]


def test_bars_are_stacked_by_region() -> None:
    (first, *_) = whole(bill(), DR).iter(f"{S}svg")
    assert [its.text for its in first.iter(f"{S}text") if its.get("class") == "label"][:2] == ["prod", "dr"]
    assert {its.get("class") for its in first.iter(f"{S}rect")} == {"s0", "s1"}


def test_every_line_is_listed_with_the_source_of_its_price() -> None:
    root = whole(bill(), DR)
    (details,) = root.iter(f"{X}details")
    assert texts(details, f"{X}summary") == ["Every line (3)"]
    (body,) = details.iter(f"{X}tbody")
    assert len(body) == 3
    assert all("source-exact: aws-price-list (2026-10)" in texts(row, f"{X}td") for row in body)


def test_how_it_ended_and_what_has_no_figure_stand_on_it() -> None:
    root = whole(bill(), DR, basis=replace(BASIS, age_days=99))
    assert "Without a figure" in texts(root, f"{X}h2")
    bad = [its for its in root.iter(f"{X}p") if its.get("class") == "bad"]
    assert [str(its.text).startswith("incomplete: prod, dr") for its in bad] == [True]
    assert any("99 days old, which is stale" in text for text in texts(root, f"{X}p"))
    assert "Without a figure" not in texts(whole(bill()), f"{X}h2")


def test_more_groups_than_bars_are_all_in_the_table() -> None:
    many = [line(component=f"component {number}") for number in range(MOST + 3)]
    root = whole(bill(*many))
    (first, *_) = root.iter(f"{S}svg")
    labels = [its.text for its in first.iter(f"{S}text") if its.get("class") == "label"]
    assert len(labels) == MOST + 1
    assert labels[-1] == "3 more"
    (body, *_) = root.iter(f"{X}tbody")
    assert len(body) == MOST + 3 + 1


@pytest.mark.parametrize("name", ["component", "service", "resource", "tag=owner"])
def test_every_grouping_makes_a_page(name: str) -> None:
    root = ElementTree.fromstring(page(statement(bill(), DR), grouping(name)))
    assert f"By {name}" in texts(root, f"{X}h2")


@settings(max_examples=40)
@given(text=nasty)
def test_any_text_makes_a_page_that_can_be_read_and_holds_nothing_else(text: str) -> None:
    its: Statement = statement(bill(line(component=text, what=text), unpriced=(gap(what=text, why=text),)))
    written = page(its, COMPONENT)
    ElementTree.fromstring(written)
    written.encode()
    assert [tag for tag, _ in Tags(written).found] == [
        tag for tag, _ in Tags(page(statement(bill(line(), unpriced=(gap(),))), COMPONENT)).found
    ]
