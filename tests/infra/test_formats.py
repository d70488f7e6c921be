"""A check in every format, read back by a reader of that format."""

import io
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from infra.check import Check
from infra.findings import Finding, Place, rules
from infra.formats import BUDGET, FORMATS, GATE, MARKER, MOST_OF_A_CELL, formatted, junit, markdown, sarif, terminal
from infra.gate import Objection
from infra.plan import OPS
from policies.rule import Severity
from tests.infra.checks import (
    DATABASE,
    MONTHLY,
    OTHER_RULE,
    RULE,
    WAIVER,
    check,
    finding,
    objection,
    plan,
    price,
    stack,
)
from tests.infra.readers import cases, counted, ended, folded, nasty, normal, read, results, tables

GITHUB_TAKES = 65_536
"""Characters of a comment's body; one more is refused ("body is too long")."""

ADVICE = finding(severity=Severity.MEDIUM, path="advised", message="is small")
OPEN = finding(kind="unverified", path="kmsKeyId", message="is not known before the update")
WAIVED = finding(kind="waived", path="waived", message="is off (until 2030-01-31, search@example.com: moves soon)")
PRICED = stack(price=price(900, 1101), budget=MONTHLY)
EVERYTHING = check(finding(), ADVICE, OPEN, WAIVED, objection(), objection(what="lock removed: protect", waiver=WAIVER))

words = nasty.filter(lambda text: text.strip() != "")


# Markdown


def test_the_comment_begins_with_its_marker_and_the_verdict() -> None:
    verdicts = {}
    ends = (
        check(),
        check(finding()),
        check(objection()),
        check(PRICED),
        check(stack(plan=None, failed="the engine stopped")),
    )
    for its in ends:
        marker, headline, *_ = markdown(its).splitlines()
        assert marker == MARKER
        verdicts[its.status] = headline
    assert all(headline.startswith("## docsearch check: ") for headline in verdicts.values())
    assert len(set(verdicts.values())) == len(verdicts) == len(ends)


def test_the_comment_counts_the_changes_of_each_stack() -> None:
    other = stack(stack="dr", region="us-west-2", plan=plan("replace", "same", stack="dr", region="us-west-2"))
    gone = stack(stack="third", region="eu-west-1", plan=None, failed="the engine stopped")
    found = tables(markdown(check(stack(), other, gone)))
    assert found["Changes"] == [
        ["stack", "region", *OPS],
        ["prod", "us-east-1", "1", "2", "0", "0", "1"],
        ["dr", "us-west-2", "0", "0", "1", "0", "1"],
        ["third", "eu-west-1", "-", "-", "-", "-", "-"],
    ]
    assert found["Without a whole plan"][1:] == [["third", "no plan: the engine stopped"]]


def test_the_comment_says_where_to_put_each_thing_right() -> None:
    found = tables(markdown(EVERYTHING))
    assert found["Findings"][1:] == [
        [
            RULE,
            "critical",
            "prod",
            "database",
            "storageEncrypted",
            "is false, must be true",
            "Pulumi.prod.yaml:42 database.replicas.count",
            "Pass the key",
        ]
    ]
    assert found["Destructive changes"][1:] == [
        ["prod", "database", "replaced by engine", "components/rds.py:1", "Put engine back as it was"]
    ]
    assert rules()[RULE].reference in markdown(EVERYTHING)


def test_only_what_stops_the_change_is_open_in_the_comment() -> None:
    old = finding(path="old")
    text = markdown(check(stack(finding(), old, ADVICE, OPEN, WAIVED, known=frozenset({old.identity})), new_only=True))
    hidden = tables(folded(text))
    assert {title: rows[1][4] for title, rows in hidden.items()} == {
        "In the base already": "old",
        "Advice": "advised",
        "Waived": "waived",
        "Not known before the update": "kmsKeyId",
    }
    shown = tables(text.replace(folded(text), ""))
    assert [row[4] for row in shown["Findings"][1:]] == ["storageEncrypted"]


def test_a_waived_destruction_is_folded_and_says_who_allowed_it() -> None:
    text = markdown(check(objection(waiver=WAIVER)))
    assert tables(folded(text))["Destructive changes that are waived"][1][-1] == (
        "until 2030-01-31, search@example.com: moves to the new cluster"
    )
    assert "Destructive changes" not in tables(text.replace(folded(text), ""))


def test_a_waiver_that_has_expired_is_named() -> None:
    its = check(objection(expired=WAIVER))
    for text in (markdown(its), sarif(its), junit(its)):
        assert "search@example.com expired on 2030-01-31" in text


@pytest.mark.parametrize(
    "text",
    [
        "a | b",
        "a \\| b",
        "a\r\n| b |",
        "<b>a</b>",
        "</details><img src=x>",
        "<!-- a -->",
        "&lt;b&gt; &amp;amp; &#124;",
        "[a](https://example.com)",
        "`a | b` ``c``",
        "**a** _b_ ~~c~~",
        "m" * (MOST_OF_A_CELL + 1),
    ],
)
def test_text_is_shown_as_it_is(text: str) -> None:
    found = tables(markdown(check(finding(message=text, remedy=text), objection(what=text))))
    assert [found["Findings"][1][column] for column in (5, 7)] == [normal(text)] * 2
    assert found["Destructive changes"][1][2] == normal(text)


@given(path=words, message=words, remedy=words, name=words, file=words, key=words, what=words)
def test_tables_keep_their_columns_whatever_the_findings_hold(
    path: str, message: str, remedy: str, name: str, file: str, key: str, what: str
) -> None:
    urn = f"urn:pulumi:prod::docsearch::aws:kms/key:Key::{name}"
    its = finding(urn=urn, path=path, message=message, remedy=remedy, place=Place(file, 7, key))
    found = tables(markdown(check(its, objection(urn=urn, what=what, remedy=remedy))))
    *_, resource, property_, said, where, remedied = found["Findings"][1]
    assert len(found["Findings"]) == 2
    assert [resource, property_, said, where, remedied] == [
        normal(name),
        normal(path),
        normal(message),
        f"{normal(f'{file}:7')} {normal(key)}",
        normal(remedy),
    ]
    _, resource, said, _, remedied = found["Destructive changes"][1]
    assert [resource, said, remedied] == [normal(name), normal(what), normal(remedy)]


@given(why=words)
def test_why_there_is_no_plan_is_one_line_of_text(why: str) -> None:
    found = tables(markdown(check(stack(plan=None, failed=why))))
    assert found["Without a whole plan"] == [["stack", "why"], ["prod", normal(f"no plan: {why}")]]


@settings(max_examples=25)
@given(
    counts=st.tuples(*[st.sampled_from([0, 1, 3, 40, 700])] * 3),
    size=st.sampled_from([1, 100, 2000]),
    letter=st.sampled_from(["a", "|", "é", "𝄞"]),
)
def test_the_comment_fits_and_what_is_left_out_is_counted(counts: tuple[int, int, int], size: int, letter: str) -> None:
    findings, objections, unverified = counts
    said: list[Finding | Objection] = [
        *(finding(path=f"p{number}", message=letter * size) for number in range(findings)),
        *(objection(urn=f"{DATABASE}-{number}", what=letter * size) for number in range(objections)),
        *(finding(kind="unverified", path=f"p{number}", message=letter) for number in range(unverified)),
    ]
    text = markdown(check(*said))
    assert len(text.encode()) < GITHUB_TAKES
    found = counted(text)
    titles = {"Findings": findings, "Destructive changes": objections, "Not known before the update": unverified}
    for title, count in titles.items():
        assert sum(found.get(title, (0, 0))) == count


def test_nothing_is_left_out_while_there_is_room() -> None:
    text = markdown(check(*(finding(path=f"p{number}") for number in range(50))))
    assert [row[4] for row in tables(text)["Findings"][1:]] == [f"p{number}" for number in range(50)]
    assert counted(text)["Findings"] == (50, 0)


def test_no_more_is_left_out_than_has_to_be() -> None:
    text = markdown(check(*(finding(path=f"p{number}", message="m" * 500) for number in range(200))))
    assert counted(text)["Findings"][1] > 0
    assert GITHUB_TAKES - len(text) < 1000


# SARIF 2.1.0


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("results", 0, "level"), "critical"),
        (("results", 0, "messages"), {"text": "x"}),
        (("results", 0, "message"), "x"),
        (("results", 0, "locations", 0, "physicalLocation", "region", "startLine"), "42"),
        (("results", 0, "locations", 0, "physicalLocation", "line"), 42),
        (("results", 0, "baselineState"), "old"),
        (("results", 0, "suppressions"), [{"kind": "external", "why": "x", "status": "accepted"}]),
        (("results", 0, "ruleIndex"), 0),
        (("tool", "driver", "rules", 0, "shortDescription"), "x"),
    ],
)
def test_a_broken_log_is_found(where: tuple[str | int, ...], value: Any) -> None:
    document = json.loads(sarif(check(finding(rule=OTHER_RULE))))
    at: Any = document["runs"][0]
    *path, last = where
    for step in path:
        at = at[step]
    at[last] = value
    with pytest.raises((AssertionError, ValueError)):
        read(json.dumps(document))


def test_every_rule_is_described_with_the_severity_that_github_sorts_by() -> None:
    described = {rule["id"]: rule for rule in read(sarif(check()))["tool"]["driver"]["rules"]}
    assert set(described) == {*rules(), GATE, BUDGET}
    # GitHub, "SARIF support for code scanning": above 9.0 critical, 7.0 to 8.9 high, 4.0 to 6.9 medium.
    for rule in rules().values():
        its = described[rule.id]
        score = float(its["properties"]["security-severity"])
        shown = "critical" if score > 9 else "high" if score >= 7 else "medium"
        assert shown == rule.severity
        assert its["defaultConfiguration"]["level"] == ("error" if rule.severity.blocks else "warning")
        assert (its["shortDescription"]["text"], its["help"]["text"], its["helpUri"]) == (
            rule.why,
            rule.remedy,
            rule.reference,
        )


def test_a_result_says_what_where_and_how_grave() -> None:
    violation, advice, unknown, waived, loss, allowed = results(EVERYTHING)
    assert violation["ruleId"] == RULE
    assert violation["message"]["text"] == "database: storageEncrypted is false, must be true. Pass the key."
    (location,) = violation["locations"]
    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "Pulumi.prod.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 42},
    }
    assert location["logicalLocations"][0]["fullyQualifiedName"] == DATABASE
    assert [one["level"] for one in (violation, advice, unknown, waived, loss)] == [
        "error",
        "warning",
        "none",
        "error",
        "error",
    ]
    assert [one["kind"] for one in (violation, unknown, loss)] == ["fail", "open", "fail"]
    assert loss["ruleId"] == GATE
    assert [bool(one["suppressions"]) for one in (violation, advice, unknown, waived, loss, allowed)] == [
        False,
        False,
        False,
        True,
        False,
        True,
    ]
    assert waived["suppressions"][0]["justification"] == WAIVED.message
    assert WAIVER.reason in allowed["suppressions"][0]["justification"]


def test_what_the_base_has_already_is_unchanged() -> None:
    old = finding(path="old")
    its = check(stack(finding(), old, objection(), known=frozenset({old.identity})))
    assert [one["baselineState"] for one in results(its)] == ["new", "unchanged", "new"]


def prints(*said: Any) -> list[str]:
    return [one["partialFingerprints"]["primaryLocationLineHash"] for one in results(check(*said))]


@given(line=st.integers(1, 9999), message=words)
def test_a_result_stays_itself_when_lines_move_or_figures_change(line: int, message: str) -> None:
    moved = finding(place=Place("Pulumi.prod.yaml", line, "a"), message=message)
    assert prints(moved, OPEN) == prints(finding(), OPEN)


def test_results_of_other_rules_resources_or_properties_are_others() -> None:
    every = prints(
        finding(),
        finding(),
        finding(rule=OTHER_RULE),
        finding(urn=f"{DATABASE}-2"),
        finding(path="kmsKeyId"),
        finding(urn=""),
        finding(urn="", stack="dr"),
        objection(),
        objection(what="lock removed: protect"),
    )
    assert len(set(every)) == len(every)


def test_a_finding_stays_itself_when_it_is_waived() -> None:
    assert prints(finding()) == prints(finding(kind="waived"))


def test_a_stack_without_a_plan_makes_the_run_unsuccessful() -> None:
    (invocation,) = read(sarif(check(stack(), stack(stack="dr", plan=None, failed="the engine stopped"))))[
        "invocations"
    ]
    assert not invocation["executionSuccessful"]
    assert invocation["exitCode"] == 12
    assert invocation["toolExecutionNotifications"][0]["message"]["text"] == "dr: no plan: the engine stopped"
    (invocation,) = read(sarif(EVERYTHING))["invocations"]
    assert invocation["executionSuccessful"]


@given(text=nasty, file=words)
@example(text="\ud800", file="\ud800\x00")
def test_any_text_makes_a_log_that_can_be_read(text: str, file: str) -> None:
    its = finding(urn=f"{DATABASE}{text}", path=text, message=text, place=Place(f"a{file}", 1, text), kind="waived")
    assert len(results(check(its, objection(urn=f"{DATABASE}{text}", what=text)))) == 2
    sarif(check(its)).encode()


# JUnit


def test_each_rule_is_a_case_of_each_stack() -> None:
    found = cases(junit(check(stack(finding()), stack(stack="dr", region="us-west-2"))))
    assert list(found) == ["prod (us-east-1)", "dr (us-west-2)"]
    assert set(found["dr (us-west-2)"]) == set(rules())
    assert {ended(case) for case in found["dr (us-west-2)"].values()} == {"passed"}
    assert {id_ for id_, case in found["prod (us-east-1)"].items() if ended(case) == "Failure"} == {RULE}
    text = found["prod (us-east-1)"][RULE].result[0].text
    assert DATABASE in text
    assert "Pulumi.prod.yaml:42 database.replicas.count" in text


def test_what_is_not_known_yet_is_skipped_and_a_violation_weighs_more() -> None:
    found = cases(junit(check(OPEN)))["prod (us-east-1)"]
    assert ended(found[RULE]) == "Skipped"
    assert "not known before the update" in found[RULE].result[0].message
    assert ended(cases(junit(check(OPEN, finding())))["prod (us-east-1)"][RULE]) == "Failure"


def test_what_does_not_stop_the_change_passes_and_is_still_told() -> None:
    old = finding(rule=OTHER_RULE, path="old")
    its = check(stack(ADVICE, WAIVED, old, known=frozenset({old.identity})), new_only=True)
    found = cases(junit(its))["prod (us-east-1)"]
    assert {ended(case) for case in found.values()} == {"passed"}
    assert "advised" in str(found[RULE].system_out)
    assert "waived" in str(found[RULE].system_out)
    assert "old" in str(found[OTHER_RULE].system_out)


def test_each_destructive_change_is_a_case() -> None:
    its = check(objection(), objection(urn=f"{DATABASE}-2", waiver=WAIVER))
    found = cases(junit(its))["prod (us-east-1)"]
    assert ended(found[f"replaced by engine {DATABASE}"]) == "Failure"
    assert ended(found[f"replaced by engine {DATABASE}-2"]) == "Skipped"
    assert WAIVER.reason in found[f"replaced by engine {DATABASE}-2"].result[0].message


def test_without_a_whole_plan_no_rule_passes() -> None:
    its = check(stack(finding(), failed="the engine stopped"))
    found = cases(junit(its))["prod (us-east-1)"]
    assert ended(found["plan"]) == "Error"
    assert found["plan"].result[0].text == "the engine stopped"
    assert {ended(case) for name, case in found.items() if name not in ("plan", RULE)} == {"Skipped"}
    assert ended(found[RULE]) == "Failure"


@given(text=nasty)
def test_any_text_makes_xml_that_can_be_read(text: str) -> None:
    its = finding(urn=f"{DATABASE}{text}", path=text, message=text)
    found = cases(junit(check(its, objection(urn=f"{DATABASE}{text}", what=f"replaced{text}", waiver=WAIVER))))
    assert ended(found["prod (us-east-1)"][RULE]) == "Failure"
    junit(check(its)).encode()


# For a terminal


def shown(its: Check) -> str:
    console = Console(file=io.StringIO(), width=300, color_system=None)
    console.print(terminal(its))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_a_terminal_shows_everything_and_ends_with_the_summary() -> None:
    text = shown(EVERYTHING)
    for part in (
        RULE,
        "critical",
        "database: storageEncrypted is false, must be true",
        "Pulumi.prod.yaml:42 database.replicas.count",
        "Pass the key",
        DATABASE,
        "replaced by engine",
        "Put engine back as it was",
        "advised is small",
        "moves soon",
        WAIVER.reason,
        "prod (us-east-1, local): 1 create, 2 update, 1 same",
    ):
        assert part in text
    assert text.rstrip().splitlines()[-1] == EVERYTHING.summary


def test_a_terminal_shows_no_title_without_anything_below_it() -> None:
    assert shown(check()).splitlines() == ["prod (us-east-1, local): 1 create, 2 update, 1 same", check().summary]


def test_a_terminal_counts_what_is_not_known_by_rule() -> None:
    its = check(OPEN, finding(kind="unverified", path="other"), finding(kind="unverified", rule=OTHER_RULE))
    rows = [line.split() for line in shown(its).splitlines()]
    assert ["prod", RULE, "2"] in rows
    assert ["prod", OTHER_RULE, "1"] in rows


def test_a_terminal_says_why_there_is_no_plan() -> None:
    text = shown(check(stack(plan=None, failed="the [engine] stopped")))
    assert "prod (us-east-1): no plan: the [engine] stopped" in text


@given(text=words)
def test_a_terminal_takes_nothing_for_markup(text: str) -> None:
    its = finding(path="[bold]", message=f"[/red]{text}")
    assert "[bold] [/red]" in shown(check(its, objection(what="[link]")))


# All of them


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_had_by_name(name: str) -> None:
    made = formatted(EVERYTHING, name)
    assert isinstance(made, str) == (name != "terminal")
    if isinstance(made, str):
        assert made.endswith("\n")
        assert not made.endswith("\n\n")
