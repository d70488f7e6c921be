"""The firewall's good settings."""

from typing import Any, Final

from tests.policies.good import GONE, Good

ACL: Final = "aws:wafv2/webAcl:WebAcl"
ASSOCIATION: Final = "aws:wafv2/webAclAssociation:WebAclAssociation"
LOGGING: Final = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"
GROUP: Final = "rules[*].statement.managedRuleGroupStatement"


def without(name: str) -> Any:
    return lambda rules: [rule for rule in rules if rule["name"] != name]


def overridden(overrides: list[Any]) -> list[Any]:
    return [*overrides, {"name": "NoUserAgent_HEADER", "actionToUse": {"count": {}}}]


def shorter(some: list[Any]) -> list[Any]:
    return some[:-1]


GOOD: Final = (
    Good(ASSOCIATION, "", "waf-present"),
    Good(ASSOCIATION, "resourceArn", "waf-present", unknown=False),
    Good(LOGGING, "", "waf-logging"),
    Good(LOGGING, "resourceArn", "waf-logging", unknown=False),
    Good(LOGGING, "logDestinationConfigs", "waf-logging", ([], GONE)),
    Good(LOGGING, "redactedFields", "waf-redaction", (shorter, [], GONE)),
    Good(ACL, "rules", "waf-rules", ([], GONE, *map(without, ("reputation", "rate", "known-bad", "common", "bodies")))),
    Good(ACL, f"{GROUP}.name", "waf-rules", ("AWSManagedRulesLinuxRuleSet",)),
    Good(ACL, f"{GROUP}.ruleActionOverrides", "waf-rules", (overridden,)),
    Good(ACL, "rules[*].overrideAction", "waf-rules", ({"count": {}}, GONE)),
    Good(ACL, "rules[*].action", "waf-rules", ({"count": {}}, {"allow": {}}, GONE)),
    Good(ACL, "rules[*].statement.rateBasedStatement.limit", "waf-rules", (2_000_000_000, GONE)),
    Good(ACL, "visibilityConfig.cloudwatchMetricsEnabled", "waf-metrics", (False, GONE)),
    Good(ACL, "rules[*].visibilityConfig.cloudwatchMetricsEnabled", "waf-metrics", (False, GONE)),
)
