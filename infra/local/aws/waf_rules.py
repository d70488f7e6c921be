"""What AWS WAF refuses and moto does not.

Sources: botocore's documentation of the shapes; for capacities and quotas the AWS WAF developer guide ("Web ACL
capacity units", "AWS WAF quotas"). A value that is not known yet breaks no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props

_ERROR = "WAFInvalidParameterException: Error reason:"

MOST_WCU = 5000

GROUPS = {
    "AWSManagedRulesAdminProtectionRuleSet": 100,
    "AWSManagedRulesAmazonIpReputationList": 25,
    "AWSManagedRulesAnonymousIpList": 50,
    "AWSManagedRulesBotControlRuleSet": 50,
    "AWSManagedRulesCommonRuleSet": 700,
    "AWSManagedRulesKnownBadInputsRuleSet": 200,
    "AWSManagedRulesLinuxRuleSet": 200,
    "AWSManagedRulesPHPRuleSet": 100,
    "AWSManagedRulesSQLiRuleSet": 200,
    "AWSManagedRulesUnixRuleSet": 100,
    "AWSManagedRulesWindowsRuleSet": 200,
    "AWSManagedRulesWordPressRuleSet": 100,
}
"""Capacity of AWS's groups, WCU."""

_STATEMENTS = {
    "asnMatchStatement": 1,
    "byteMatchStatement": 2,
    "geoMatchStatement": 1,
    "ipSetReferenceStatement": 1,
    "labelMatchStatement": 1,
    "rateBasedStatement": 2,
    "regexMatchStatement": 3,
    "regexPatternSetReferenceStatement": 25,
    "sizeConstraintStatement": 1,
    "sqliMatchStatement": 20,
    "xssMatchStatement": 40,
}
"""What a statement takes at least, WCU."""


def capacity(statement: Any) -> int:
    """What a statement takes at least, WCU; 0 for what is not known."""
    total = 0
    for name, value in statement.items() if isinstance(statement, Mapping) else ():
        if not isinstance(value, Mapping):
            continue
        total += _STATEMENTS.get(name, 0)
        if name == "managedRuleGroupStatement":
            total += GROUPS.get(str(value.get("name")), 0)
        transformations = [block.get("type") for block in shapes.blocks(value, "textTransformations")]
        total += 10 * sum(type_ not in (None, "NONE") for type_ in transformations)
        total += sum(map(capacity, shapes.blocks(value, "statements")))
        total += capacity(value.get("scopeDownStatement")) + capacity(value.get("statement"))
    return total


def acl_rules(props: Props) -> Iterator[Failure]:
    """Rules for one web ACL."""
    name, description = props.get("name"), props.get("description")
    if isinstance(name, str) and not re.fullmatch(r"[\w\-]{1,128}", name):
        yield Failure("name", f"{_ERROR} Your request contains a name that isn't valid: {name}")
    if isinstance(description, str) and not re.fullmatch(
        r"[\w+=:#@/\-,\.][\w+=:#@/\-,\.\s]{1,254}[\w+=:#@/\-,\.]", description
    ):
        yield Failure("description", f"{_ERROR} The description isn't valid: {description}")
    yield from _visible(props.get("visibilityConfig"), "visibilityConfig")
    rules = shapes.blocks(props, "rules")
    for key, error in (("priority", "duplicate priority"), ("name", "duplicate rule name")):
        given = [rule[key] for rule in rules if isinstance(rule.get(key), str | int)]
        for value in sorted({value for value in given if given.count(value) > 1}):
            yield Failure("rules", f"{_ERROR} Your request contains a {error}: {value}")
    total = sum(capacity(rule.get("statement")) for rule in rules)
    if total > MOST_WCU:
        yield Failure(
            "rules", f"WAFLimitsExceededException: the rules take {total} web ACL capacity units of at most {MOST_WCU}"
        )
    for rule in rules:
        yield from _rule(rule)


def _visible(config: Any, where: str) -> Iterator[Failure]:
    metric = config.get("metricName") if isinstance(config, Mapping) else None
    if isinstance(metric, str) and (
        not re.fullmatch(r"[A-Za-z0-9_-]{1,128}", metric) or metric in ("All", "Default_Action")
    ):
        yield Failure(where, f"{_ERROR} The metric name isn't valid: {metric}")


def _rule(rule: Mapping[str, Any]) -> Iterator[Failure]:
    name = rule.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[\w\-]{1,128}", name):
        yield Failure("rules", f"{_ERROR} Your request contains a rule name that isn't valid: {name}")
    yield from _visible(rule.get("visibilityConfig"), "rules")
    statement = rule.get("statement")
    if not isinstance(statement, Mapping):
        return
    group = bool({"managedRuleGroupStatement", "ruleGroupReferenceStatement"} & {*statement})
    right, wrong = ("overrideAction", "action") if group else ("action", "overrideAction")
    if right not in rule or wrong in rule:
        yield Failure("rules", f"{_ERROR} rule {name} must have {right} and no {wrong}")
    yield from _statement(statement)


def _statement(statement: Mapping[str, Any]) -> Iterator[Failure]:
    for name, value in statement.items():
        if not isinstance(value, Mapping):
            continue
        inner = shapes.blocks(value, "statements")
        known = isinstance(value.get("statements"), list)
        if known and name in ("andStatement", "orStatement") and len(inner) < 2:
            yield Failure("rules", f"{_ERROR} {name} needs two statements or more")
        if name == "notStatement":
            negated = value.get("statement")
            if known or negated is None:
                yield Failure("rules", f"{_ERROR} {name} takes one statement")
            elif isinstance(negated, Mapping):
                yield from _statement(negated)
        if name == "rateBasedStatement":
            yield from _rate(value)
        if name == "managedRuleGroupStatement" and len(shapes.blocks(value, "ruleActionOverrides")) > 100:
            yield Failure("rules", f"{_ERROR} at most 100 rule action overrides")
        regex = value.get("regexString")
        if isinstance(regex, str) and not 1 <= len(regex) <= 512:
            yield Failure("rules", f"{_ERROR} a regular expression has 1 to 512 characters, not {len(regex)}")
        for each in inner:
            yield from _statement(each)


def _rate(statement: Mapping[str, Any]) -> Iterator[Failure]:
    limit, window = statement.get("limit"), statement.get("evaluationWindowSec")
    if isinstance(limit, int) and not 10 <= limit <= 2_000_000_000:
        yield Failure("rules", f"{_ERROR} limit is {limit}, but must be from 10 to 2000000000")
    if isinstance(window, int) and window not in (60, 120, 300, 600):
        yield Failure("rules", f"{_ERROR} evaluation window is {window}, but must be 60, 120, 300 or 600 seconds")
    if statement.get("aggregateKeyType") == "CONSTANT" and "scopeDownStatement" not in statement:
        yield Failure("rules", f"{_ERROR} aggregate key type CONSTANT needs a scope-down statement")


def logging_rules(props: Props) -> Iterator[Failure]:
    """Rules for where a web ACL logs."""
    where = props.get("logDestinationConfigs")
    if isinstance(where, list) and len(where) != 1:
        yield Failure("logDestinationConfigs", f"{_ERROR} a web ACL has one logging destination")
    for arn in where if isinstance(where, list) else ():
        name = re.split(r"[:/]", arn.removesuffix(":*"))[-1] if isinstance(arn, str) else None
        if name is not None and not name.startswith("aws-waf-logs-"):
            yield Failure(
                "logDestinationConfigs",
                f"{_ERROR} The ARN isn't valid. A valid ARN begins with arn: and includes a name that begins with "
                f"aws-waf-logs-, field: LOG_DESTINATION, parameter: {arn}",
            )
    for field in shapes.blocks(props, "redactedFields"):
        if len(field) != 1:
            yield Failure("redactedFields", f"{_ERROR} a redacted field is one of method, query, header and path")
    filter_ = props.get("loggingFilter")
    if isinstance(filter_, Mapping) and filter_.get("filters") == []:
        yield Failure("loggingFilter", f"{_ERROR} a logging filter has one filter or more")
