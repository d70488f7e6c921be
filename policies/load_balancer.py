"""The load balancer: TLS only, in every zone, and to healthy pods."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from policies.links import referred
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
from policies.wants import NAMED, different

LOAD_BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
LISTENER: Final = "aws:lb/listener:Listener"
LISTENER_RULE: Final = "aws:lb/listenerRule:ListenerRule"
TARGET_GROUP: Final = "aws:lb/targetGroup:TargetGroup"

GUIDE: Final = "https://docs.aws.amazon.com/elasticloadbalancing/latest/application"
COMPONENT: Final = "Ingress in components/ingress.py"

HSTS_SECONDS: Final = 31_536_000
"""A year, without which no browser's preload list takes a name (https://hstspreload.org)."""

_MODERN: Final = re.compile(r"ELBSecurityPolicy-(TLS13-1-[23](-Res)?(-FIPS)?(-PQ)?|FS-1-2(-Res)?)-20\d\d-\d\d")
"""TLS 1.2 or newer with forward secrecy: neither `Ext` nor `1-0` and `1-1` (user guide, "Security policies")."""

MODERN: Final = Want(
    "a policy with TLS 1.2 or newer and forward secrecy",
    lambda value: isinstance(value, str) and _MODERN.fullmatch(value) is not None,
)
_PUBLIC: Final = "HTTPS, or HTTP that redirects"


@rule(
    "lb-tls",
    on=LISTENER,
    severity=Severity.HIGH,
    why="What is sent in clear text or with an old TLS is read on the way, API keys included",
    remedy=f"Keep HTTPS with its policy and certificate, and HTTP as a redirect: {COMPONENT}",
    reference=f"{GUIDE}/describe-ssl-policies.html",
)
def tls(listener: Resource) -> Iterator[Finding]:
    """Listeners speak TLS 1.2 or newer; HTTP only redirects."""
    protocol = listener.get("protocol")
    if protocol is UNKNOWN:
        yield unverified("protocol")
    elif protocol in ("HTTPS", "TLS"):
        # Absent means ELBSecurityPolicy-2016-08, with TLS 1.0.
        yield from must(listener, "sslPolicy", MODERN)
        yield from must(listener, "certificateArn", NAMED)
    elif protocol == "HTTP":
        yield from _redirects(listener, "defaultActions")
    else:
        yield Finding("protocol", f"is {shown(protocol)}, must be {_PUBLIC}")


def _redirects(resource: Resource, path: str, *, urn: str = "") -> Iterator[Finding]:
    actions = items(resource, path)
    if not actions:
        yield Finding(path, f"is {shown(resource.get(path))}, must redirect to HTTPS", urn=urn)
    for where, action in actions:
        kind, protocol = (
            (action, action) if action is UNKNOWN else (look(action, "type"), look(action, "redirect.protocol"))
        )
        yield from judge(kind, f"{where}.type", one_of("redirect"), urn=urn)
        if kind == "redirect":
            yield from judge(protocol, f"{where}.redirect.protocol", one_of("HTTPS"), urn=urn)


@stack_rule(
    "lb-rule-tls",
    on=(LISTENER, LISTENER_RULE),
    severity=Severity.HIGH,
    why="A rule of an HTTP listener answers in clear text although the listener itself redirects",
    remedy=f"Put rules on the HTTPS listener: {COMPONENT}",
    reference=f"{GUIDE}/listener-update-rules.html",
)
def rule_tls(stack: Stack) -> Iterator[Finding]:
    """Rules of HTTP listeners redirect too."""
    for one in stack.of(LISTENER_RULE):
        for listener in referred(stack, one, "listenerArn", LISTENER):
            # What the listener itself answers is `lb-tls`'s to say.
            if listener.get("protocol") == "HTTP" and not list(_redirects(listener, "defaultActions")):
                yield from _redirects(one, "actions", urn=one.urn)


@rule(
    "lb-hsts",
    on=LISTENER,
    severity=Severity.MEDIUM,
    why="Without the header a browser asks by HTTP first, and whoever is in between answers",
    remedy=f"Keep the Strict-Transport-Security header: {COMPONENT}",
    reference=f"{GUIDE}/header-modification.html",
)
def hsts(listener: Resource) -> Iterator[Finding]:
    """Browsers are told to use HTTPS alone for a year, and not what answers."""
    if listener.get("protocol") == "HTTPS":
        header = "routingHttpResponseStrictTransportSecurityHeaderValue"
        yield from must(listener, header, Want(f"max-age of {HSTS_SECONDS} or more", _for_a_year))
        yield from must(listener, "routingHttpResponseServerEnabled", Want("false", lambda value: value is False))


def _for_a_year(value: Any) -> bool:
    found = re.search(r"max-age=(\d{1,12})\b", value) if isinstance(value, str) else None
    return found is not None and int(found[1]) >= HSTS_SECONDS


@rule(
    "lb-access-logs",
    on=LOAD_BALANCER,
    severity=Severity.MEDIUM,
    why="Who asked what is known from the access log, or not at all",
    remedy=f"Keep access_logs into the bucket of logs: {COMPONENT}",
    reference=f"{GUIDE}/load-balancer-access-logs.html",
)
def access_logs(balancer: Resource) -> Iterator[Finding]:
    """Requests are logged."""
    yield from must(balancer, "accessLogs.enabled", TRUE)
    yield from must(balancer, "accessLogs.bucket", NAMED)


@rule(
    "lb-drop-invalid-headers",
    on=LOAD_BALANCER,
    severity=Severity.HIGH,
    why="Malformed headers smuggle a second request past the firewall",
    remedy=f"Keep drop_invalid_header_fields, and desync_mitigation_mode defensive: {COMPONENT}",
    reference=f"{GUIDE}/edit-load-balancer-attributes.html",
)
def invalid_headers(balancer: Resource) -> Iterator[Finding]:
    """What is no proper request is not passed on."""
    yield from must(balancer, "dropInvalidHeaderFields", TRUE)
    # Absent means defensive.
    strict = Want("defensive, strictest or absent", lambda value: value in (None, "defensive", "strictest"))
    yield from must(balancer, "desyncMitigationMode", strict)


@rule(
    "lb-waf-closed",
    on=LOAD_BALANCER,
    severity=Severity.HIGH,
    why="When the firewall does not answer, what it would have blocked is let through",
    remedy=f"Leave enable_waf_fail_open off: {COMPONENT}",
    reference=f"{GUIDE}/load-balancer-waf.html",
)
def waf_closed(balancer: Resource) -> Iterator[Finding]:
    """No request passes the firewall because that is down."""
    yield from must(balancer, "enableWafFailOpen", FALSE)


@rule(
    "lb-zones",
    on=LOAD_BALANCER,
    severity=Severity.HIGH,
    why="A load balancer in too few zones is lost with them",
    remedy=f"Pass the public subnets of all zones: {COMPONENT}",
    key="network.zones",
    reference=f"{GUIDE}/load-balancer-subnets.html",
)
def zones(balancer: Resource, *, zones: Annotated[int, Bounds(2, 6)] = 3) -> Iterator[Finding]:
    """A load balancer has a subnet in enough zones."""
    mapped = [UNKNOWN if its is UNKNOWN else look(its, "subnetId") for _path, its in items(balancer, "subnetMappings")]
    subnets = balancer.get("subnets")
    yield from judge(mapped if subnets is None and mapped else subnets, "subnets", different(zones))


@rule(
    "lb-targets-tls",
    on=TARGET_GROUP,
    severity=Severity.HIGH,
    why="What users sent by TLS goes on in clear text inside of the VPC, API keys included",
    remedy="Keep target_protocol HTTPS, and DOCSEARCH_TLS in the pods: components/ingress.py, search_service_plan.py",
    reference=f"{GUIDE}/load-balancer-target-groups.html#target-group-routing-configuration",
)
def targets_tls(group: Resource) -> Iterator[Finding]:
    """Targets are spoken to by TLS. Health checks need none: they say nothing of anybody."""
    yield from must(group, "protocol", one_of("HTTPS", "TLS"))


@rule(
    "lb-health",
    on=TARGET_GROUP,
    severity=Severity.HIGH,
    why="Requests go on to a pod that is down until its health check has failed",
    remedy="Ask /health/startup often, and take 200 alone: components/ingress.py",
    reference=f"{GUIDE}/target-group-health-checks.html",
)
def health(group: Resource, *, seconds: Annotated[int, Bounds(10, 300)] = 60) -> Iterator[Finding]:
    """Targets are asked whether they are ready, and a sick one is out within seconds."""
    yield from must(group, "healthCheck.enabled", Want("true or absent", lambda value: value is None or value is True))
    protocol = group.get("healthCheck.protocol")
    if protocol == "TCP":
        yield Finding("healthCheck.protocol", "is TCP, must be HTTP or HTTPS: a port that opens is not ready")
    else:
        # Absent means "/", which answers although nothing behind it does.
        real = Want("a path of its own", lambda value: NAMED.holds(value) and value != "/")
        yield from must(group, "healthCheck.path", real)
        yield from must(group, "healthCheck.matcher", Want("200 or absent", lambda value: value in (None, "200")))
    # AWS's defaults (CreateTargetGroup): every 30 s, and out after 2.
    interval, times = group.get("healthCheck.interval"), group.get("healthCheck.unhealthyThreshold")
    for path, value in (("interval", interval), ("unhealthyThreshold", times)):
        if value is UNKNOWN:
            yield unverified(f"healthCheck.{path}")
    if UNKNOWN not in (interval, times):
        every, often = (number(30 if interval is None else interval), number(2 if times is None else times))
        if every is None or often is None or not 0 < every * often <= seconds:
            yield Finding(
                "healthCheck.interval",
                f"is {shown(interval)} with unhealthyThreshold {shown(times)}, must find a sick target in {seconds} s",
            )
