"""The pack as the engine meets it: what reaches a rule, what it may show, and how its findings come back."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi_policy import EnforcementLevel, policy

from policies.catalogue import every_rule
from policies.pack import MASKED, NAME, mask, policies, server
from policies.rule import GIVEN, UNKNOWN, Finding, Resource, Rule, Severity, Stack, must
from policies.waivers import Waiver
from tests.policies.anything import ANYTHING
from tests.policies.packed import TODAY, Pack, of_stack, request
from tests.policies.plans import broken, resources

INSTANCE = "aws:rds/instance:Instance"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
PRIMARY = next(one for one in resources("prod") if one.type == INSTANCE and one.name == "database")


def waiver(expires: str = "2026-12-31", urn: str = PRIMARY.urn) -> Waiver:
    last = date.fromisoformat(expires)
    return Waiver(waives="rds-cmk", urn=urn, reason="A copy for one night", owner="a@example.com", expires=last)


def test_a_violation_says_why_what_and_what_to_do() -> None:
    [said] = Pack().of(broken(PRIMARY, "storageEncrypted", False))
    rule = Pack().rules["rds-cmk"]
    assert (said.rule, said.kind, said.urn) == ("rds-cmk", "violation", PRIMARY.urn)
    assert said.text == f"{rule.why}\nstorageEncrypted is false, must be true\n{rule.remedy}"


def test_an_unknown_value_is_unverified_and_hides_no_violation_beside_it() -> None:
    both = broken(broken(PRIMARY, "kmsKeyId", UNKNOWN), "storageEncrypted", False)
    assert [(one.rule, one.kind) for one in Pack().of(both)] == [("rds-cmk", "violation"), ("rds-cmk", "unverified")]


def test_critical_and_high_stop_and_medium_advises() -> None:
    info = Pack().server.GetAnalyzerInfo(None, None)
    levels = {one.name: one.enforcementLevel for one in info.policies}
    for rule in every_rule():
        assert levels[rule.id] == (proto.MANDATORY if rule.severity.blocks else proto.ADVISORY)


def test_the_engine_is_told_the_schema_of_every_threshold() -> None:
    info = Pack().server.GetAnalyzerInfo(None, None)
    [backups] = [one for one in info.policies if one.name == "rds-backups"]
    assert dict(backups.configSchema.properties["days"]) == {
        "type": "integer",
        "minimum": 1,
        "maximum": 35,
        "default": 7,
    }


def test_a_threshold_of_a_stack_goes_over_the_rules_own() -> None:
    shorter = broken(PRIMARY, "backupRetentionPeriod", 20)
    assert Pack().of(shorter) == []
    assert [one.rule for one in Pack(limits={"rds-backups": {"days": 35}}).of(shorter)] == ["rds-backups"]


# Waivers


@pytest.mark.parametrize(
    ("its", "kind"),
    [
        (waiver(), "waived"),
        (waiver(TODAY.isoformat()), "waived"),
        (waiver("2026-11-22"), "violation"),
        (waiver(urn=PRIMARY.urn + "-other"), "violation"),
    ],
    ids=["holds", "on its last day", "expired", "of another"],
)
def test_a_waiver_turns_a_violation_into_advice_while_it_holds(its: Waiver, kind: str) -> None:
    [said] = Pack([its]).of(broken(PRIMARY, "storageEncrypted", False))
    assert said.kind == kind
    if kind == "waived":
        assert said.text.endswith(
            f"waived {PRIMARY.urn} storageEncrypted is false, must be true "
            f"(until {its.expires}, a@example.com: A copy for one night)"
        )


# Secrets


def test_no_rule_can_show_a_secret() -> None:
    seen: list[Any] = []

    def look(resource: Resource) -> Iterator[Finding]:
        seen.append(resource.props)
        yield from must(resource, "password", GIVEN)

    rule = Rule("spy", (INSTANCE,), Severity.HIGH, "why", "remedy", "", "https://example.com", False, look)
    made = policies([rule], today=TODAY)
    its = server([rule])(NAME, "1.0.0", made, EnforcementLevel.MANDATORY)
    hidden = {"password": {**SECRET, "value": "canary"}, "deep": {**SECRET, "value": {"a": ["canary", 7]}}}
    its.Analyze(request(Resource(PRIMARY.urn, INSTANCE, {**hidden, "list": [hidden]})), None)
    assert seen == [
        {
            "password": MASKED,
            "deep": {"a": [MASKED, 7]},
            "list": [{"password": MASKED, "deep": {"a": [MASKED, 7]}}],
        }
    ]


@given(
    st.recursive(
        st.text() | st.booleans() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_is_no_secret_stays_as_it_is(value: Any) -> None:
    before, after = Struct(), Struct()
    for one in (before, after):
        one.update({"value": value})
    mask(after)
    assert after == before


# Handing over


def test_stack_rules_see_what_the_program_says_and_not_what_is_not_known_yet() -> None:
    pack = Pack()
    for one in resources("prod"):
        pack.of(one)
    # As in the first preview: what the provider would answer is not known, and behind a new cluster it is empty.
    outputs = [
        of_stack(Resource(one.urn, one.type, {}, one.protect, one.provider, one.links)) for one in resources("prod")
    ]
    assert [(one.rule, one.urn) for one in pack.of_stack(outputs) if one.kind != "waived"] == []


def test_the_switch_says_exactly_what_the_sdk_says_without_it() -> None:
    rules = [rule for rule in every_rule() if rule.id != "type-judged"]
    made = policies(rules, today=TODAY)
    # Every policy is called for every resource there, so each has to pass over the types that it does not look at.
    for each in made:
        narrow(each, next(rule for rule in rules if rule.id == each.name))
    stock = policy._PolicyAnalyzerServicer(NAME, "1.0.0", made, EnforcementLevel.MANDATORY)
    some = [broken(PRIMARY, "storageEncrypted", False), broken(PRIMARY, "kmsKeyId", UNKNOWN), *resources("dr")[:40]]
    pack = Pack()
    for one in some:
        theirs = stock.Analyze(request(one), None).diagnostics  # type: ignore[no-untyped-call]
        ours = pack.server.Analyze(request(one), None).diagnostics
        assert sorted(map(str, ours)) == sorted(map(str, theirs))


def narrow(one: Any, rule: Rule) -> None:
    whole = one.validate

    def validate(args: Any, report: Any) -> Any:
        if rule.whole or args.resource_type in rule.types:
            return whole(args, report)
        return None

    one.validate = validate


@given(ANYTHING, ANYTHING)
def test_nothing_that_the_engine_can_send_makes_a_rule_raise(one: Any, other: Any) -> None:
    values = {"storageEncrypted": one, "kmsKeyId": other, "backupRetentionPeriod": one, "multiAz": other}
    hostile = Resource(PRIMARY.urn, INSTANCE, {**PRIMARY.props, **values}, provider=PRIMARY.provider)
    Pack().rules["rds-cmk"].judge(hostile)
    for rule in every_rule():
        if INSTANCE in rule.types:
            rule.judge(Stack([hostile]) if rule.whole else hostile)
