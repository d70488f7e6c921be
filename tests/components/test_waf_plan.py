"""What the web firewall lets through."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.search.parse import MAX_CURSOR
from app.settings import Settings
from components.errors import ArgsError
from components.waf import WafArgs
from components.waf_plan import (
    CAPACITY_WCU,
    GROUPS,
    RATE_SECONDS,
    REGEX_LENGTH,
    SIZES,
    Rule,
    plan_below,
    plan_longer,
    plan_rules,
)
from stacks.config import WafConfig
from stacks.fleet import read_fleet
from tests.regions import PROJECT, STACKS


def rules(**changes: Any) -> dict[str, Rule]:
    given: dict[str, Any] = {"rate": 30_000, "upload_mib": 11, "upload_paths": ("/v1/documents",)}
    return {rule.name: rule for rule in plan_rules(**(given | changes))}


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_a_length_is_refused_when_it_is_greater_and_only_then(most: int, length: int) -> None:
    assert bool(re.search(plan_longer(most), str(length))) == (length > most)
    assert bool(re.search(plan_longer(most), f"00{length}")) == (length > most)


@given(st.integers(0, 10**9), st.integers(-2, 2))
def test_a_length_at_the_limit_is_let_through(most: int, more: int) -> None:
    length = max(0, most + more)
    assert bool(re.search(plan_longer(most), str(length))) == (length > most)


@given(st.integers(1, 1024))
def test_every_limit_makes_an_expression_that_waf_takes(mib: int) -> None:
    assert len(plan_longer(mib << 20)) <= REGEX_LENGTH


@pytest.mark.parametrize("text", ["", "abc", "-1", "12 000 000 000", "1e12"])
def test_what_is_no_length_is_left_to_the_load_balancer(text: str) -> None:
    assert not re.search(plan_longer(1), text)


@pytest.mark.parametrize(
    ("path", "taken"),
    [
        ("/v1/documents", True),
        ("/v1/documents/7/parts", True),
        ("/v1/documents.old", False),
        ("/v1/documentsearch", False),
        ("/other/v1/documents", False),
        ("/v2.0/files", True),
        ("/v2x0/files", False),
    ],
)
def test_only_what_is_below_a_path_takes_documents(path: str, taken: bool) -> None:
    assert bool(re.search(plan_below(("/v1/documents", "/v2.0/files")), path)) == taken


def test_cheap_rules_come_first_and_all_fit_into_what_the_price_includes() -> None:
    found = rules()
    assert [*found] == ["reputation", "rate", "size", "known-bad", "common", "bodies"]
    assert sum(rule.wcu for rule in found.values()) <= CAPACITY_WCU


def test_one_address_is_limited_and_told_so() -> None:
    rate = rules()["rate"].inputs(1, "waf")
    assert rate["statement"] == {
        "rate_based_statement": {"limit": 30_000, "aggregate_key_type": "IP", "evaluation_window_sec": 300}
    }
    told = [{"name": "Retry-After", "value": "60"}]
    assert rate["action"] == {"block": {"custom_response": {"response_code": 429, "response_headers": told}}}
    assert rate["visibility_config"] == {
        "metric_name": "waf-rate",
        "cloudwatch_metrics_enabled": True,
        "sampled_requests_enabled": True,
    }


def test_an_upload_is_measured_by_its_header_because_its_body_is_not_seen() -> None:
    size = rules()["size"].inputs(2, "waf")
    (statement,) = size["statement"].values()
    assert statement["field_to_match"] == {"single_header": {"name": "content-length"}}
    assert re.search(statement["regex_string"], str((11 << 20) + 1))
    assert not re.search(statement["regex_string"], str(11 << 20))
    assert size["action"] == {"block": {"custom_response": {"response_code": 413}}}


@pytest.mark.parametrize("name", GROUPS)
def test_a_group_of_aws_decides_by_itself_but_for_bodies_and_sizes(name: str) -> None:
    group = rules()[name].inputs(0, "waf")
    assert group["override_action"] == {"none": {}}
    assert "action" not in group
    (statement,) = group["statement"].values()
    assert "version" not in statement
    overridden = {rule["name"] for rule in statement.get("rule_action_overrides", ())}
    assert overridden == {*GROUPS[name][3], *(SIZES if name == "common" else ())}
    assert all(rule["action_to_use"] == {"count": {}} for rule in statement.get("rule_action_overrides", ()))


def test_a_body_that_looks_like_an_attack_is_refused_where_no_documents_are_taken() -> None:
    suspect, elsewhere = rules()["bodies"].statement["and_statement"]["statements"]
    labels = {label["label_match_statement"]["key"] for label in suspect["or_statement"]["statements"]}
    assert len(labels) == sum(len(bodies) for _, _, _, bodies in GROUPS.values())
    assert "awswaf:managed:aws:core-rule-set:CrossSiteScripting_Body" in labels
    assert "awswaf:managed:aws:known-bad-inputs:Log4JRCE_Body" in labels
    taken = elsewhere["not_statement"]["statement"]
    statement = taken["regex_match_statement"]
    assert statement["field_to_match"] == {"uri_path": {}}
    # Or a path that only begins like theirs would be let through.
    assert [step["type"] for step in statement["text_transformations"]] == ["URL_DECODE", "NORMALIZE_PATH"]


AWS_BODY_BYTES, AWS_QUERY_STRING_BYTES = 8192, 2048
"""What AWS's rules on sizes let through (AWS WAF developer guide, "Core rule set")."""


def test_what_the_service_takes_by_its_size_the_firewall_does_not_refuse() -> None:
    service, found = Settings.model_fields, rules()
    counted = {
        rule["name"]
        for group in GROUPS
        for rule in found[group].statement["managed_rule_group_statement"].get("rule_action_overrides", ())
    }
    refused = json.dumps(found["bodies"].statement)
    assert service["max_query_bytes"].default > AWS_BODY_BYTES
    assert MAX_CURSOR > AWS_QUERY_STRING_BYTES
    for name in ("SizeRestrictions_BODY", "SizeRestrictions_QUERYSTRING"):
        assert name in counted
    assert "SizeRestrictions" not in refused
    (statement,) = rules(upload_mib=WafArgs.upload_mib)["size"].statement.values()
    assert not re.search(statement["regex_string"], str(service["max_body_bytes"].default))


@pytest.mark.parametrize("stack", STACKS)
def test_one_address_may_ask_as_often_as_one_key(stack: str) -> None:
    granted = Settings.model_fields["key_per_minute"].default * RATE_SECONDS // 60
    assert read_fleet(PROJECT)[stack].waf.requests_per_address >= granted
    assert WafConfig().requests_per_address >= granted
    assert WafArgs.requests_per_address >= granted


def test_without_paths_for_documents_no_body_may_look_like_an_attack() -> None:
    assert [*rules(upload_paths=())["bodies"].statement] == ["or_statement"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 9}, "requests_per_address is 9: AWS WAF takes 10 to 2,000,000,000."),
        ({"upload_mib": 0}, "upload_mib is 0: an upload is 1 MiB to 1 GiB: the service reads it whole."),
        (
            {"upload_paths": ("/a/",)},
            "upload path is '/a/': it is /a/b, of letters, digits and _.-, without a slash at its end.",
        ),
        (
            {"upload_paths": tuple(f"/{'a' * 60}{number}" for number in range(9))},
            (
                "9 upload paths make a regular expression of 574 characters: AWS WAF takes 512. Name a path that they "
                "have in common."
            ),
        ),
    ],
)
def test_what_waf_would_refuse_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        rules(**changes)
    assert str(error.value) == message


def test_rules_that_aws_would_bill_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.waf_plan.CAPACITY_WCU", 900)
    with pytest.raises(ArgsError, match="a web ACL includes 900"):
        rules()
