"""The web application firewall: in front of every public load balancer, blocking, and logging without secrets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from policies.links import referring
from policies.rule import (
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    items,
    judge,
    look,
    must,
    number,
    rule,
    stack_rule,
    unverified,
)
from policies.wants import TEXTS

ACL: Final = "aws:wafv2/webAcl:WebAcl"
ASSOCIATION: Final = "aws:wafv2/webAclAssociation:WebAclAssociation"
LOGGING: Final = "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration"
LOAD_BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"

GUIDE: Final = "https://docs.aws.amazon.com/waf/latest/developerguide"

MANAGED: Final = (
    "AWSManagedRulesAmazonIpReputationList",
    "AWSManagedRulesCommonRuleSet",
    "AWSManagedRulesKnownBadInputsRuleSet",
)
"""AWS's rule groups against known attackers, the usual attacks, and inputs that are known to be bad."""

REDACTED: Final = ("authorization", "cookie", "x-api-key")
"""Headers that carry credentials."""


@stack_rule(
    "waf-present",
    on=(LOAD_BALANCER, ASSOCIATION),
    severity=Severity.CRITICAL,
    why="Without it every attack that is known reaches the pods, and one client can take all of the service",
    remedy="Keep the WebAclAssociation of the load balancer: components/waf.py",
    reference=f"{GUIDE}/how-aws-waf-works-resources.html",
)
def present(stack: Stack) -> Iterator[Finding]:
    """A firewall stands before every application load balancer that users reach."""
    for balancer in stack.of(LOAD_BALANCER):
        internal, kind = balancer.get("internal"), balancer.get("loadBalancerType")
        if internal is True or kind in ("network", "gateway"):
            continue
        found, maybe = referring(stack, "resourceArn", balancer, (ASSOCIATION,))
        if not found:
            unknown = maybe or UNKNOWN in (internal, kind)
            yield Finding("", "has no WebAclAssociation", verified=not unknown, urn=balancer.urn)


@stack_rule(
    "waf-logging",
    on=(ACL, LOGGING),
    severity=Severity.MEDIUM,
    why="Without its log nobody can tell an attack from a rule that hits our own users",
    remedy="Keep the WebAclLoggingConfiguration: components/waf.py",
    reference=f"{GUIDE}/logging.html",
)
def logged(stack: Stack) -> Iterator[Finding]:
    """Every firewall logs what it does."""
    for acl in stack.of(ACL):
        found, maybe = referring(stack, "resourceArn", acl, (LOGGING,))
        if not found:
            yield Finding("", "has no WebAclLoggingConfiguration", verified=not maybe, urn=acl.urn)
        for log in found:
            yield from judge(log.get("logDestinationConfigs"), "logDestinationConfigs", TEXTS, urn=log.urn)


@rule(
    "waf-redaction",
    on=LOGGING,
    severity=Severity.HIGH,
    why="The log shows headers, and in them the keys of our users, to whoever reads logs",
    remedy="Keep redacted_fields: components/waf.py",
    reference=f"{GUIDE}/logging-management-configure.html",
)
def redaction(log: Resource) -> Iterator[Finding]:
    """Headers with credentials are left out of the log."""
    fields = items(log, "redactedFields")
    names = [UNKNOWN if one is UNKNOWN else look(one, "singleHeader.name") for _path, one in fields]
    if UNKNOWN in names:
        yield unverified("redactedFields")
    small = [name.lower() for name in names if isinstance(name, str)]
    for header in REDACTED:
        if header not in small and UNKNOWN not in names:
            yield Finding("redactedFields", f"is without {header}")


@rule(
    "waf-rules",
    on=ACL,
    severity=Severity.HIGH,
    why="A rule that only counts, or that was taken out, lets through what it was made for",
    remedy="Keep the managed groups and the limit for one address, and let them block: components/waf_plan.py",
    reference=f"{GUIDE}/aws-managed-rule-groups-list.html",
)
def rules(acl: Resource, *, requests: Annotated[int, Bounds(10, 2_000_000_000)] = 100_000) -> Iterator[Finding]:
    """AWS's groups and a limit for one address are there, and block: how many requests one may ask in a window."""
    each = items(acl, "rules")
    names = [one if one is UNKNOWN else look(one, _GROUP) for _path, one in each]
    unknown = UNKNOWN in names
    groups: set[str] = set()
    limited = counted = False
    for path, one in each:
        if one is UNKNOWN:
            yield unverified(path)
            continue
        name = look(one, _GROUP)
        if isinstance(name, str):
            groups.add(name)
            yield from must(acl, f"{path}.overrideAction", _NONE)
            for where, override in items(acl, f"{path}.statement.managedRuleGroupStatement.ruleActionOverrides"):
                counted = True
                yield from judge(override if override is UNKNOWN else look(override, "name"), f"{where}.name", _BODY)
        elif name is None:
            yield from must(acl, f"{path}.action", _BLOCK)
        if look(one, "statement.rateBasedStatement") is not None:
            limited = True
            few = Want(
                f"at most {requests}",
                lambda value: (found := number(value)) is not None and found <= requests,
            )
            yield from must(acl, f"{path}.statement.rateBasedStatement.limit", few)
    for group in MANAGED:
        if group not in groups:
            yield Finding("rules", f"is without {group}", verified=not unknown)
    if counted and not any(_mentions(one, "labelMatchStatement") for _path, one in each):
        yield Finding("rules", "counts attacks in bodies, and no rule blocks them by their labels")
    if not limited:
        yield Finding("rules", "is without a limit for one address", verified=not unknown)


@rule(
    "waf-metrics",
    on=ACL,
    severity=Severity.MEDIUM,
    why="The alarms count what the firewall blocks: without metrics they are silent",
    remedy="Keep cloudwatch_metrics_enabled: components/waf.py",
    reference=f"{GUIDE}/monitoring-cloudwatch.html",
)
def metrics(acl: Resource) -> Iterator[Finding]:
    """The firewall and each of its rules are counted."""
    yield from must(acl, "visibilityConfig.cloudwatchMetricsEnabled", TRUE)
    for path, one in items(acl, "rules"):
        # A rule that is not known is `waf-rules`' to say.
        if one is not UNKNOWN:
            yield from must(acl, f"{path}.visibilityConfig.cloudwatchMetricsEnabled", TRUE)


def _has(key: str, without: str) -> Want:
    def holds(value: Any) -> bool:
        return look(value, key) is not None and look(value, without) is None

    return Want(f"{{{key}: ...}}", holds)


def _mentions(value: Any, key: str) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if key in one:
                return True
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return False


_GROUP: Final = "statement.managedRuleGroupStatement.name"
_BODY: Final = Want(
    "a rule about bodies or the query string's size, which documents and cursors may break",
    lambda value: isinstance(value, str) and value.upper().endswith(("_BODY", "SIZERESTRICTIONS_QUERYSTRING")),
)
_NONE: Final = _has("none", "count")
_BLOCK: Final = _has("block", "count")
