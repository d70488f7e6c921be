"""The load balancer's good settings."""

from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
LISTENER: Final = "aws:lb/listener:Listener"
TARGETS: Final = "aws:lb/targetGroup:TargetGroup"
HSTS: Final = "routingHttpResponseStrictTransportSecurityHeaderValue"


def https(resource: Resource) -> bool:
    return bool(resource.props["protocol"] == "HTTPS")


def http(resource: Resource) -> bool:
    return not https(resource)


def shorter(some: list[Any]) -> list[Any]:
    return some[:-1]


GOOD: Final = (
    Good(LISTENER, "protocol", "lb-tls", ("HTTP", "TCP", GONE), where=https),
    Good(
        LISTENER,
        "sslPolicy",
        "lb-tls",
        (
            "ELBSecurityPolicy-2016-08",
            "ELBSecurityPolicy-TLS-1-1-2017-01",
            "ELBSecurityPolicy-TLS13-1-0-2021-06",
            "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
            GONE,
        ),
        where=https,
    ),
    Good(LISTENER, "certificateArn", "lb-tls", ("", GONE), where=https),
    Good(LISTENER, "protocol", "lb-tls", ("TCP", GONE), where=http),
    Good(LISTENER, "defaultActions", "lb-tls", ([], GONE), where=http),
    Good(LISTENER, "defaultActions[*].type", "lb-tls", ("forward", "fixed-response", GONE), where=http),
    Good(LISTENER, "defaultActions[*].redirect.protocol", "lb-tls", ("HTTP", "#{protocol}", GONE), where=http),
    Good(LISTENER, HSTS, "lb-hsts", ("max-age=60", "", GONE), where=https),
    Good(LISTENER, "routingHttpResponseServerEnabled", "lb-hsts", (True, GONE), where=https),
    Good(BALANCER, "accessLogs.enabled", "lb-access-logs", (False, GONE)),
    Good(BALANCER, "accessLogs.bucket", "lb-access-logs", ("", GONE)),
    Good(BALANCER, "accessLogs", "lb-access-logs"),
    Good(BALANCER, "dropInvalidHeaderFields", "lb-drop-invalid-headers", (False, GONE)),
    Good(BALANCER, "desyncMitigationMode", "lb-drop-invalid-headers", ("monitor",)),
    Good(BALANCER, "securityGroups", "sg-public", ([], GONE), unknown=False),
    Good(BALANCER, "subnets", "lb-zones", (shorter, [], GONE)),
    Good(TARGETS, "protocol", "lb-targets-tls", ("HTTP", "TCP", GONE)),
    Good(TARGETS, "healthCheck", "lb-health"),
    Good(TARGETS, "healthCheck.enabled", "lb-health", (False,)),
    Good(TARGETS, "healthCheck.path", "lb-health", ("/", "", GONE)),
    Good(TARGETS, "healthCheck.matcher", "lb-health", ("200-499", "200-299")),
    Good(TARGETS, "healthCheck.protocol", "lb-health", ("TCP",), unknown=False),
    Good(TARGETS, "healthCheck.interval", "lb-health", (60, 300, GONE)),
    Good(TARGETS, "healthCheck.unhealthyThreshold", "lb-health", (10,)),
    Good(BALANCER, "enableWafFailOpen", "lb-waf-closed", (True,), absent=True),
)
