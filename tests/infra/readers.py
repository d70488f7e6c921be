"""Readers of every format that a check is written in: each fails on what is not in that format."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped, TestCase
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pydantic import BaseModel
from sarif_pydantic import Sarif  # type: ignore[import-untyped]
from sarif_pydantic.sarif import Notification, Suppression  # type: ignore[import-untyped]

from infra.check import Check
from infra.formats import MOST_OF_A_CELL, sarif

# What a table, Markdown, HTML, XML or a terminal could take for its own.
nasty = st.text(st.one_of(st.sampled_from("|\n\r`*_~[]<>&\\!#$@:-\x00\x1b\ufffe\ud800 "), st.characters()), max_size=60)


def normal(text: str) -> str:
    """As one line of text that every format can hold."""
    held = "".join(
        one if one in "\t\n\r" or " " <= one < "\ud800" or "\ue000" <= one <= "\ufffd" or one > "\uffff" else "\ufffd"
        for one in text
    )
    line = " ".join(held.split())
    return line if len(line) <= MOST_OF_A_CELL else f"{line[:MOST_OF_A_CELL]}…"


def tokens(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def text_of(inline: Token) -> str:
    """What a reader sees of a cell; HTML that is not ours fails."""
    seen = ""
    for token in inline.children or []:
        if token.type == "html_inline":
            assert token.content in ("<code>", "</code>")
        else:
            assert token.type in ("text", "text_special", "link_open", "link_close"), token
            seen += token.content
    return seen


def tables(text: str) -> dict[str, list[list[str]]]:
    """Rows of each table, the header first, by the title above it."""
    found: dict[str, list[list[str]]] = {}
    title, rows = "", []
    for before, token in pairwise([Token("begin", "", 0), *tokens(text)]):
        if before.type == "heading_open":
            title = token.content
        elif token.type == "html_block" and (summary := re.search(r"<summary>(.*) \(\d+\)</summary>", token.content)):
            title = summary[1]
        elif token.type == "table_open":
            rows = found.setdefault(title, [])
        elif token.type == "tr_open":
            rows.append([])
        elif before.type in ("th_open", "td_open"):
            rows[-1].append(text_of(token))
    return found


def folded(text: str) -> str:
    return "".join(re.findall(r"<details>.*?</details>", text, re.DOTALL))


def counted(text: str) -> dict[str, tuple[int, int]]:
    """How many rows each table shows, and how many more there are, by its title."""
    found: dict[str, tuple[int, int]] = {}
    title = ""
    for line in text.splitlines():
        if heading := re.search(r"^### (.*)$|<summary>(.*) \(\d+\)</summary>", line):
            title = heading[1] or heading[2]
            found[title] = (-2, 0)  # The header and the line below it are no rows.
        elif line.startswith("|"):
            found[title] = (found[title][0] + 1, 0)
        elif more := re.match(r"and (\d+) more: ", line):
            found[title] = (found[title][0], int(more[1]))
    return found


BEYOND = {
    "Run": {"columnKind"},
    "Result": {"baselineState", "suppressions"},
    "Invocation": {"exitCode", "toolExecutionNotifications"},
}
"""Properties of the standard that the model of the package does not have yet: `read` looks at them itself."""


def undeclared(model: Any, path: str = "$") -> Iterator[str]:
    """Properties that the standard's model does not have, wherever they are."""
    if isinstance(model, BaseModel):
        extra = set(model.model_extra or ()) - BEYOND.get(type(model).__name__, set())
        yield from (f"{path}.{name}" for name in extra)
        for name, value in model:
            yield from undeclared(value, f"{path}.{name}")
    elif isinstance(model, list):
        for number, value in enumerate(model):
            yield from undeclared(value, f"{path}[{number}]")


def read(text: str) -> dict[str, Any]:
    """The one run of a log that the model of the standard accepts."""
    document: dict[str, Any] = json.loads(text)
    model = Sarif.model_validate_json(text, strict=True)
    assert sorted(undeclared(model)) == []
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    for invocation in run["invocations"]:
        for one in invocation["toolExecutionNotifications"]:
            assert not Notification.model_validate(one).model_extra
    ids = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(ids)) == len(ids)
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["baselineState"] in ("new", "unchanged", "updated", "absent")
        assert (result["kind"] == "fail") == (result["level"] != "none")
        for one in result["suppressions"]:
            assert not Suppression.model_validate(one, strict=True).model_extra
            assert one["kind"] in ("inSource", "external")
            assert one["status"] in ("accepted", "underReview", "rejected")
        (location,) = result["locations"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert not location["physicalLocation"]["artifactLocation"]["uri"].startswith(("/", "."))
    return run  # type: ignore[no-any-return]


def results(its: Check) -> list[dict[str, Any]]:
    return read(sarif(its))["results"]  # type: ignore[no-any-return]


def cases(text: str) -> dict[str, dict[str, TestCase]]:
    """Cases by suite and name; the numbers that the file says are those that are in it."""
    suites = JUnitXml.fromstring(text.encode())
    found: dict[str, dict[str, TestCase]] = {}
    totals = [0, 0, 0, 0]
    for suite in suites:
        every = list(suite)
        found[suite.name] = {case.name: case for case in every}
        assert len(found[suite.name]) == len(every)
        counted = [
            len(every),
            *(sum(isinstance(its, how) for case in every for its in case.result) for how in (Failure, Error, Skipped)),
        ]
        assert [suite.tests, suite.failures, suite.errors, suite.skipped] == counted
        totals = [total + count for total, count in zip(totals, counted, strict=True)]
    assert [suites.tests, suites.failures, suites.errors, suites.skipped] == totals
    return found


def ended(case: TestCase) -> str:
    return type(case.result[0]).__name__ if case.result else "passed"
