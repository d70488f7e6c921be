"""What AWS WAF refuses."""

from typing import Any

import pytest

from infra.local.aws.waf_rules import MOST_WCU, acl_rules, capacity, logging_rules
from infra.local.resource import UNKNOWN, Props

SHOWN: Props = {"metricName": "waf", "cloudwatchMetricsEnabled": True, "sampledRequestsEnabled": True}
RATE: Props = {"limit": 2000, "aggregateKeyType": "IP", "evaluationWindowSec": 300}
LABEL: Props = {"labelMatchStatement": {"scope": "LABEL", "key": "a"}}


def rule(statement: Any, **changes: Any) -> Props:
    said = {"name": "rate", "priority": 0, "statement": statement, "action": {"block": {}}, "visibilityConfig": SHOWN}
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def acl(*rules: Props, **changes: Any) -> Props:
    return {"name": "waf-1", "scope": "REGIONAL", "visibilityConfig": SHOWN, "rules": list(rules), **changes}


def rate(**changes: Any) -> Props:
    return rule({"rateBasedStatement": {**RATE, **changes}})


GROUP = {"managedRuleGroupStatement": {"vendorName": "AWS", "name": "AWSManagedRulesCommonRuleSet"}}
GROUP_RULE = rule(GROUP, name="common", priority=1, action=None, overrideAction={"none": {}})


@pytest.mark.parametrize(
    "said",
    [
        acl(rate(), GROUP_RULE),
        acl(rules=UNKNOWN, name=UNKNOWN, visibilityConfig=UNKNOWN),
        acl(rule({"andStatement": {"statements": [LABEL, {"notStatement": {"statement": LABEL}}]}})),
        acl(rule({"andStatement": {"statements": UNKNOWN}})),
        acl(rate(aggregateKeyType="CONSTANT", scopeDownStatement=LABEL)),
        acl(description="docsearch - public load balancer"),
    ],
)
def test_web_acl_that_is_taken(said: Props) -> None:
    assert [*acl_rules(said)] == []


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (acl(name="a b"), "name that isn't valid"),
        (acl(description="(x)"), "description isn't valid"),
        (acl(visibilityConfig={**SHOWN, "metricName": "a b"}), "metric name isn't valid"),
        (acl(visibilityConfig={**SHOWN, "metricName": "Default_Action"}), "metric name isn't valid"),
        (acl(rate(), {**GROUP_RULE, "priority": 0}), "duplicate priority: 0"),
        (acl(rate(), {**GROUP_RULE, "name": "rate"}), "duplicate rule name: rate"),
        (acl(rule(LABEL, name="a.b")), "rule name that isn't valid"),
        (acl(rule(LABEL, visibilityConfig={"metricName": ""})), "metric name isn't valid"),
        (acl({**GROUP_RULE, "action": {"block": {}}}), "must have overrideAction and no action"),
        (acl(rule(LABEL, action=None)), "must have action and no overrideAction"),
        (acl(rate(limit=9)), "must be from 10 to"),
        (acl(rate(evaluationWindowSec=90)), "must be 60, 120, 300 or 600"),
        (acl(rate(aggregateKeyType="CONSTANT")), "needs a scope-down statement"),
        (acl(rule({"orStatement": {"statements": [LABEL]}})), "two statements or more"),
        (acl(rule({"notStatement": {"statements": [LABEL, LABEL]}})), "takes one statement"),
        (acl(rule({"notStatement": {"statement": {"orStatement": {"statements": []}}}})), "two statements or more"),
        (acl(rule({"regexMatchStatement": {"regexString": "a" * 513}})), "1 to 512 characters"),
        (
            acl({**GROUP_RULE, "statement": {"managedRuleGroupStatement": {"ruleActionOverrides": [{}] * 101}}}),
            "at most 100",
        ),
    ],
)
def test_web_acl_that_is_refused(said: Props, message: str) -> None:
    (failure,) = acl_rules(said)
    assert message in failure.reason


def test_capacity_is_counted_through_every_statement() -> None:
    regex = {"regexMatchStatement": {"textTransformations": [{"type": "URL_DECODE"}, {"type": "NONE"}]}}
    assert capacity(regex) == 13
    assert capacity({"andStatement": {"statements": [regex, {"notStatement": {"statement": LABEL}}]}}) == 14
    assert capacity({"rateBasedStatement": {"scopeDownStatement": regex}}) == 15
    assert capacity(GROUP) == 700
    assert capacity(UNKNOWN) == 0


def test_more_capacity_than_a_web_acl_may_have_is_refused() -> None:
    many = [{**GROUP_RULE, "name": f"common-{number}", "priority": number} for number in range(8)]
    (failure,) = acl_rules(acl(*many))
    assert failure.reason.startswith("WAFLimitsExceededException")
    assert str(MOST_WCU) in failure.reason


LOG: Props = {"resourceArn": UNKNOWN, "logDestinationConfigs": ["arn:aws:logs:us-east-1:1:log-group:aws-waf-logs-a"]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"logDestinationConfigs": ["arn:aws:logs:us-east-1:1:log-group:aws-waf-logs-a:*"]},
        {"logDestinationConfigs": ["arn:aws:firehose:us-east-1:1:deliverystream/aws-waf-logs-a"]},
        {"logDestinationConfigs": [UNKNOWN]},
        {"redactedFields": [{"singleHeader": {"name": "cookie"}}, {"method": {}}]},
    ],
)
def test_log_that_is_taken(changes: Props) -> None:
    assert [*logging_rules({**LOG, **changes})] == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"logDestinationConfigs": ["arn:aws:logs:us-east-1:1:log-group:waf"]}, "begins with aws-waf-logs-"),
        ({"logDestinationConfigs": []}, "one logging destination"),
        ({"redactedFields": [{"method": {}, "uriPath": {}}]}, "one of method"),
        ({"loggingFilter": {"filters": []}}, "one filter or more"),
    ],
)
def test_log_that_is_refused(changes: Props, message: str) -> None:
    (failure,) = logging_rules({**LOG, **changes})
    assert message in failure.reason
