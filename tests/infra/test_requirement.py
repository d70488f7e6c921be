"""The requirement's figures against the programs of both regions."""

from collections import Counter
from dataclasses import replace

import pytest

from infra.facts import Facts
from infra.plan import Change, Plan
from infra.requirement import ROWS, Answer, Row, answers, markdown
from tests.regions import PROJECT, plan

DOCUMENT = PROJECT / "docs/architecture/requirement.md"


@pytest.fixture(scope="module")
def facts() -> Facts:
    return Facts(plan("prod"), plan("dr"))


@pytest.mark.parametrize("row", ROWS, ids=[f"{row.section} {row.what}" for row in ROWS])
def test_a_figure_is_as_asked_or_differs_for_the_reason_that_is_given(row: Row, facts: Facts) -> None:
    answer = Answer(row, row.find(facts))
    assert answer.planned == (row.met or row.asked)


def test_the_table_is_current(facts: Facts) -> None:
    remedy = "run: docsearch requirement --local --out docs/architecture/requirement.md"
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(answers(facts)), remedy


def test_no_figure_is_asked_twice_and_every_section_is_there() -> None:
    assert max(Counter((row.section, row.what) for row in ROWS).values()) == 1
    assert {row.section for row in ROWS} >= {"1", "2", "3", "4", "6", "7"}


def test_a_figure_that_the_plan_does_not_hold_is_seen(facts: Facts) -> None:
    """One node less anywhere, and the table is no longer what the rows say."""
    domain = facts.all("aws:opensearch/domain:Domain")[0]
    fewer = {**domain.inputs, "clusterConfig": {**domain.inputs["clusterConfig"], "dedicatedMasterCount": 2}}

    def changed(change: Change) -> Change:
        return replace(change, inputs=fewer) if change.urn == domain.urn else change

    less = Plan("prod", "us-east-1", "mocks", tuple(changed(change) for change in facts.primary.changes))
    missed = [answer.row.what for answer in answers(Facts(less, facts.standby)) if not answer.holds]
    assert missed == ["OpenSearch masters"]


def test_what_a_plan_does_not_have_is_named() -> None:
    empty = Facts(Plan("prod", "us-east-1", "mocks", ()), Plan("dr", "us-west-2", "mocks", ()))
    with pytest.raises(LookupError, match="the plan has no aws:opensearch/domain:Domain"):
        empty.one("aws:opensearch/domain:Domain")
