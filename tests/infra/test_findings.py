"""What the policy pack says is read from the engine's events, with the place where it can be put right."""

from pathlib import Path

import pytest
from pulumi.automation import EngineEvent

from infra.errors import PlanError
from infra.findings import place, read, rules
from policies.pack import NAME
from stacks.settings import reference

RULE = "rds-backups"
URN = "urn:pulumi:prod::docsearch::docsearch:rds:Rds$aws:rds/instance:Instance::database"
STACK_URN = "urn:pulumi:prod::docsearch::pulumi:pulumi:Stack::docsearch-prod"


def event(message: str, *, rule: str = RULE, urn: str = URN, pack: str = NAME) -> EngineEvent:
    said = {"policyName": rule, "message": message, "resourceUrn": urn, "policyPackName": pack}
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, "policyEvent": said})


def violation(what: str) -> str:
    return f"{rules()[RULE].why}\n{what}\n{rules()[RULE].remedy}\n"


def advice(*lines: str) -> str:
    return f"can't run policy '{RULE}' from policy pack 'docsearch@v1.0.0' during preview: " + "\n".join(lines)


def test_a_violation_has_rule_resource_property_and_message() -> None:
    [found] = read([event(violation("backupRetentionPeriod is 0, must be at least 7"))], stack="prod")
    assert (found.rule, found.kind, found.urn, found.resource) == (RULE, "violation", URN, "database")
    assert (found.path, found.message) == ("backupRetentionPeriod", "is 0, must be at least 7")
    assert (found.why, found.remedy, found.severity) == (rules()[RULE].why, rules()[RULE].remedy, "critical")
    assert found.blocks


def test_a_finding_of_a_whole_resource_has_no_property() -> None:
    [found] = read([event(violation("it has no flow log"))], stack="prod")
    assert (found.path, found.message) == ("", "has no flow log")


def test_each_unverified_value_is_one_finding_and_blocks_nothing() -> None:
    said = event(advice(f"unverified {URN} kmsKeyId", "unverified  storageEncrypted"))
    found = read([said], stack="prod")
    assert [(one.kind, one.urn, one.path) for one in found] == [
        ("unverified", URN, "kmsKeyId"),
        ("unverified", URN, "storageEncrypted"),
    ]
    assert not any(one.blocks for one in found)


def test_what_is_waived_says_until_when_and_by_whom() -> None:
    text = "is 0, must be at least 7 (until 2026-12-31, a@b.c: because)"
    [found] = read([event(advice(f"waived {URN} backupRetentionPeriod {text}"))], stack="prod")
    assert (found.kind, found.path, found.message, found.blocks) == ("waived", "backupRetentionPeriod", text, False)


def test_a_finding_of_the_stack_has_no_resource() -> None:
    [found] = read([event(violation("it has no replica"), urn=STACK_URN)], stack="prod")
    assert (found.urn, found.resource) == ("", "prod")


def test_the_same_twice_is_one_and_other_packs_are_passed_over() -> None:
    said = event(violation("backupRetentionPeriod is 0"))
    assert len(read([said, said, event("x", pack="another")], stack="prod")) == 1


def test_a_rule_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(PlanError, match="reports the rule 'no-such-rule', which does not exist"):
        read([event("x", rule="no-such-rule")], stack="prod")


def test_what_cannot_be_read_is_an_error_and_not_a_pass() -> None:
    with pytest.raises(PlanError, match=f"says of {RULE} what cannot be read"):
        read([event("")], stack="prod")


# Where to put it right

FILE = """\
config:
  docsearch:stack:
    database:
      replicas:
        count: 3
"""


def test_a_setting_of_the_stack_file_is_found_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text(FILE)
    found = place(URN, "prod", key="database.replicas.count", folder=tmp_path)
    assert str(found) == "Pulumi.prod.yaml:5 database.replicas.count"


def test_a_setting_that_the_file_leaves_out_is_found_by_what_it_belongs_to(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.prod.yaml").write_text(FILE)
    found = place(URN, "prod", key="database.replicas.instance_class", folder=tmp_path)
    assert (found.line, found.key) == (4, "database.replicas.instance_class")


def test_what_the_file_does_not_decide_is_found_in_its_component() -> None:
    assert str(place(URN, "prod")) == "components/rds.py:1"
    inner = "urn:pulumi:prod::docsearch::docsearch:eks:Eks$docsearch:kms:Kms$aws:kms/key:Key::keys"
    assert place(inner, "prod").file == "components/kms.py"
    assert place("urn:pulumi:prod::docsearch::pulumi:providers:aws::aws", "prod").file == "stacks/region.py"
    assert place("", "prod").file == "stacks/region.py"


def test_every_rule_that_names_a_key_names_one_that_stack_files_have() -> None:
    keys = {rule.key for rule in rules().values() if rule.key}
    known = reference()
    assert not [key for key in keys if f"| `{key}` |" not in known and f"| `{key}." not in known]
