"""Names: users are sent where the service answers, soon after it stops elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from policies.keys import KEY
from policies.rule import (
    FALSE,
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
    one_of,
    rule,
    shown,
    stack_rule,
    unverified,
)
from policies.storage import RECORD, REPLICATION, failover
from policies.wants import NAMED

HEALTH_CHECK: Final = "aws:route53/healthCheck:HealthCheck"
CERTIFICATE: Final = "aws:acm/certificate:Certificate"
ZONE: Final = "aws:route53/zone:Zone"

GUIDE: Final = "https://docs.aws.amazon.com/Route53/latest/DeveloperGuide"

POLICIES: Final = (
    "failoverRoutingPolicies",
    "latencyRoutingPolicies",
    "weightedRoutingPolicies",
    "geolocationRoutingPolicies",
    "geoproximityRoutingPolicy",
    "cidrRoutingPolicy",
    "multivalueAnswerRoutingPolicy",
)

ROUTED: Final = ("failoverRoutingPolicies", "latencyRoutingPolicies", "weightedRoutingPolicies")
"""Policies that send users to a region only while it is healthy."""


@stack_rule(
    "dns-failover",
    on=(RECORD, KEY, REPLICATION),
    severity=Severity.CRITICAL,
    why="Without failover, or with a check or a cache that is slow, users keep asking a region that is down",
    remedy="Keep the records of Dns with their health check: components/dns.py",
    reference=f"{GUIDE}/dns-failover-configuring.html",
)
def dns_failover(stack: Stack, *, ttl: Annotated[int, Bounds(0, 300)] = 60) -> Iterator[Finding]:
    """Each region has its half of the failover pair, and what chooses between regions looks at their health.

    The halves are in two stacks: the region that holds the keys themselves is PRIMARY, the one into which buckets are
    copied SECONDARY. A region that no name leads to by its health was taken out, with all of its records.
    """
    records = stack.of(RECORD)
    if records and not any(one.get(policy) not in (None, []) for one in records for policy in ROUTED):
        return
    kinds = [failover(one) for one in records]
    for wanted, signs in (("PRIMARY", KEY), ("SECONDARY", REPLICATION)):
        if (its := stack.of(signs)) and wanted not in kinds:
            yield Finding("", f"has no {wanted} record beside it", verified=UNKNOWN not in kinds, urn=its[0].urn)
    for one in records:
        routed = [one.get(policy) for policy in ROUTED if one.get(policy) not in (None, [])]
        if one.get("setIdentifier") is not None and all(one.get(path) in (None, [], False) for path in POLICIES):
            yield Finding("setIdentifier", "is given, and no routing policy", urn=one.urn)
        if not routed:
            continue
        if UNKNOWN in routed:
            yield from (unverified(path, urn=one.urn) for path in ROUTED if one.get(path) is UNKNOWN)
        if one.get("failoverRoutingPolicies") not in (None, [], UNKNOWN):
            kind = one_of("PRIMARY", "SECONDARY")
            yield from judge(failover(one), "failoverRoutingPolicies[0].type", kind, urn=one.urn)
        # The last resort is answered whether it is well or not.
        if failover(one) != "SECONDARY":
            yield from judge(one.get("healthCheckId"), "healthCheckId", NAMED, urn=one.urn)
        yield from _soon(one, ttl)


def _soon(record: Resource, ttl: int) -> Iterator[Finding]:
    """An alias follows the health of its target; anything else is cached for its TTL."""
    aliases = items(record, "aliases")
    for path, alias in aliases:
        where = f"{path}.evaluateTargetHealth"
        healthy = alias if alias is UNKNOWN else look(alias, "evaluateTargetHealth")
        yield from judge(healthy, where, Want("true", lambda value: value is True), urn=record.urn)
    if not aliases:
        short = Want(f"at most {ttl}", lambda value: (found := number(value)) is not None and found <= ttl)
        yield from judge(record.get("ttl"), "ttl", short, urn=record.urn)


@rule(
    "dns-recovery",
    on=ZONE,
    severity=Severity.HIGH,
    why="Changes of records go through us-east-1: while it is down, no region could be taken out by hand",
    remedy="Set enable_accelerated_recovery: components/domain.py",
    reference=f"{GUIDE}/accelerated-recovery.html",
)
def recovery(zone: Resource) -> Iterator[Finding]:
    """Public zones can be changed within an hour of us-east-1's loss."""
    if zone.get("vpcs") in (None, []):
        yield from must(zone, "enableAcceleratedRecovery", TRUE)


@rule(
    "dns-health-check",
    on=HEALTH_CHECK,
    severity=Severity.CRITICAL,
    why="DNS moves users when the health check has failed, and no sooner",
    remedy="Ask /health/ready by HTTPS every 10 seconds: components/dns.py",
    reference=f"{GUIDE}/health-checks-creating-values.html",
)
def health_check(check: Resource, *, seconds: Annotated[int, Bounds(10, 300)] = 60) -> Iterator[Finding]:
    """A region that is down is seen within seconds."""
    kind = check.get("type")
    yield from must(check, "disabled", FALSE)
    yield from must(check, "invertHealthcheck", FALSE)
    # Absent is on, for HTTPS.
    yield from must(check, "enableSni", Want("true or absent", lambda value: value in (None, True)))
    if kind in ("CALCULATED", "CLOUDWATCH_METRIC", "RECOVERY_CONTROL"):
        return
    yield from judge(kind, "type", one_of("HTTPS", "HTTPS_STR_MATCH"))
    # Absent means "/", which answers although nothing behind it does.
    real = Want("a path of its own", lambda value: NAMED.holds(value) and value != "/")
    yield from must(check, "resourcePath", real)
    interval, times = check.get("requestInterval"), check.get("failureThreshold")
    for path, value in (("requestInterval", interval), ("failureThreshold", times)):
        if value is UNKNOWN:
            yield unverified(path)
    if UNKNOWN not in (interval, times):
        # AWS's defaults (CreateHealthCheck): every 30 s, and down after 3.
        every, often = number(30 if interval is None else interval), number(3 if times is None else times)
        if every is None or often is None or not 0 < every * often <= seconds:
            yield Finding(
                "requestInterval",
                f"is {shown(interval)} with failureThreshold {shown(times)}, must see a region down in {seconds} s",
            )


@rule(
    "cert-renewal",
    on=CERTIFICATE,
    severity=Severity.HIGH,
    why="A certificate that is proved by e-mail ends after a year unless somebody answers",
    remedy="Keep validation_method DNS: components/domain.py",
    reference="https://docs.aws.amazon.com/acm/latest/userguide/managed-renewal.html",
)
def renewal(certificate: Resource) -> Iterator[Finding]:
    """Certificates renew themselves."""
    # An imported one has a private key in the state, and nobody to renew it.
    yield from must(certificate, "validationMethod", one_of("DNS"))


@stack_rule(
    "dns-caa",
    on=(ZONE, RECORD),
    severity=Severity.MEDIUM,
    why="Without a CAA record any authority in the world may issue a certificate for the name",
    remedy="Keep the CAA record that names Amazon: components/domain.py",
    reference="https://docs.aws.amazon.com/acm/latest/userguide/setup-caa.html",
)
def caa(stack: Stack) -> Iterator[Finding]:
    """Every public zone says who may issue certificates."""
    for zone in stack.of(ZONE):
        if zone.get("vpcs") not in (None, []):
            continue
        kinds = [(one.get("type"), one) for one in stack.of(RECORD)]
        said = [one for kind, one in kinds if kind == "CAA"]
        if not said:
            unknown = any(kind is UNKNOWN for kind, _one in kinds)
            yield Finding("", "has no CAA record", verified=not unknown, urn=zone.urn)
        for one in said:
            for path, text in items(one, "records") or [("records", one.get("records"))]:
                yield from judge(text, path, Want("an issuer", _issues), urn=one.urn)


def _issues(value: Any) -> bool:
    return isinstance(value, str) and any(tag in value for tag in ("issue ", "issuewild ", "iodef "))
