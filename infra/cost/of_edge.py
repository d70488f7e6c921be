"""What names, health checks and the firewall cost."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from components.waf_plan import CAPACITY_WCU, GROUPS
from infra.cost.model import Charge, Range
from infra.cost.of_network import requests
from infra.cost.pricing import Around, Charges, Resource, UnpricedError, prices
from infra.cost.usage import SECONDS

ROUTE53: Final = "AmazonRoute53"
WAF: Final = "awswaf"

ZONE: Final = "aws:route53/zone:Zone"
CHECK: Final = "aws:route53/healthCheck:HealthCheck"
RECORD: Final = "aws:route53/record:Record"
WEB_ACL: Final = "aws:wafv2/webAcl:WebAcl"

FAST_SECONDS: Final = 10
"""A health check asks every 30 seconds; every 10 is an option (Route 53 pricing)."""

_WITHOUT_ENDPOINT: Final = ("CALCULATED", "CLOUDWATCH_METRIC", "RECOVERY_CONTROL")
_PAID_GROUPS: Final = ("BotControl", "ATPRuleSet", "ACFPRuleSet", "AntiDDoS")
"""In the names of AWS's own rule groups that cost more than the others (AWS WAF pricing)."""


@prices(ZONE, "hosted zone")
def zone(resource: Resource, around: Around) -> Charges:
    """The zone, public or private."""
    yield Charge("hosted zone", ROUTE53, "hosted-zone", Range.of(1))


@prices(ZONE, "queries")
def queries(resource: Resource, around: Around) -> Charges:
    """Questions for names that are no alias of an AWS resource; those are free."""
    asked = around.share(around.figures.dns.queries_thousands, ZONE) * (1 / Decimal(1000))
    yield Charge("queries", ROUTE53, "queries:standard", asked, "dns.queries_thousands")


@prices(CHECK, "health check")
def check(resource: Resource, around: Around) -> Charges:
    """The check. One that asks no endpoint costs as much as one of AWS."""
    yield Charge("health check", ROUTE53, f"health-check:{_endpoint(resource, around)}", Range.of(1))


@prices(CHECK, "options")
def options(resource: Resource, around: Around) -> Charges:
    """Each option is paid for: HTTPS, every 10 seconds, latency, looking for a text."""
    kind = resource.text("type")
    if kind in _WITHOUT_ENDPOINT:
        return
    endpoint = _endpoint(resource, around)
    chosen = {
        "https": kind.startswith("HTTPS"),
        "fast-interval": resource.number("requestInterval", 30) == FAST_SECONDS,
        "latency-measurement": resource.flag("measureLatency"),
        "string-match": kind.endswith("STR_MATCH"),
    }
    for option, is_on in chosen.items():
        if is_on:
            sku = f"health-check-option:{option}:{endpoint}"
            yield Charge(f"health check, {option.replace('-', ' ')}", ROUTE53, sku, Range.of(1))


def _endpoint(resource: Resource, around: Around) -> str:
    """Whether an endpoint is one of AWS: a name that this plan makes an alias of a load balancer or the like is."""
    if resource.text("type") in _WITHOUT_ENDPOINT:
        return "aws-endpoint"
    aliases: set[str] = around.kept(
        RECORD,
        lambda: {
            name for one in around.all(RECORD) if one.has("aliases") and isinstance(name := one.props.get("name"), str)
        },
    )
    ours = resource.has("fqdn") and resource.text("fqdn").rstrip(".") in aliases
    return "aws-endpoint" if ours else "non-aws-endpoint"


@prices(WEB_ACL, "web ACL and rules")
def web_acl(resource: Resource, around: Around) -> Charges:
    """The web ACL, and each rule or rule group in it."""
    yield Charge("web ACL", WAF, "web-acl", Range.of(1))
    rules = resource.each("rules")
    for at in rules:
        name, vendor = _group(resource, at)
        if vendor != "AWS" or any(part in name for part in _PAID_GROUPS):
            raise UnpricedError(f"rule group {name[:60]}", "groups for bots, fraud and of vendors cost more")
    yield Charge(f"{len(rules)} rules", WAF, "rule", Range.of(len(rules)))


@prices(WEB_ACL, "requests")
def inspected(resource: Resource, around: Around) -> Charges:
    """Every request, and more for it where the rules are more than a web ACL includes."""
    asked = around.share(requests(around), WEB_ACL) * (SECONDS / 1_000_000)
    yield Charge("requests inspected", WAF, "requests", asked, "load.searches_per_second")
    capacities = {name: wcu for name, wcu, _, _ in GROUPS.values()}
    capacity = sum(capacities.get(_group(resource, at)[0], 0) for at in resource.each("rules"))
    steps = -(-max(0, capacity - CAPACITY_WCU) // 500)
    what = f"requests inspected, {steps} x 500 WCU beyond {CAPACITY_WCU:,}"
    yield Charge(what, WAF, "requests:per-500-wcu-over-1500", asked * steps, "load.searches_per_second")


def _group(resource: Resource, at: str) -> tuple[str, str]:
    """Name and vendor of the managed rule group in a rule; a rule of ours has none, and is as good as AWS's."""
    managed = f"{at}.statement.managedRuleGroupStatement"
    if not resource.has(managed):
        return "", "AWS"
    return resource.text(f"{managed}.name"), resource.text(f"{managed}.vendorName")
