"""Names' good settings."""

from typing import Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

RECORD: Final = "aws:route53/record:Record"
CHECK: Final = "aws:route53/healthCheck:HealthCheck"
CERTIFICATE: Final = "aws:acm/certificate:Certificate"


def write(resource: Resource) -> bool:
    return resource.name == "dns-write"


def read(resource: Resource) -> bool:
    return resource.name == "dns-read"


def routed(resource: Resource) -> bool:
    return write(resource) or read(resource)


def watched(resource: Resource) -> bool:
    """The SECONDARY is the last resort, whether it is well or not."""
    return read(resource) or (write(resource) and resource.get("failoverRoutingPolicies[0].type") == "PRIMARY")


def authority(resource: Resource) -> bool:
    return resource.name == "domain-authority"


def turned(kind: str) -> str:
    return "SECONDARY" if kind == "PRIMARY" else "PRIMARY"


GOOD: Final = (
    Good("aws:route53/healthCheck:HealthCheck", "enableSni", "dns-health-check", (False,)),
    Good("aws:route53/zone:Zone", "enableAcceleratedRecovery", "dns-recovery", (False, GONE)),
    Good(RECORD, "", "dns-failover", where=write),
    Good(RECORD, "failoverRoutingPolicies", "dns-failover", ([], GONE), where=write),
    Good(RECORD, "failoverRoutingPolicies[*].type", "dns-failover", (turned, GONE), where=write),
    Good(RECORD, "latencyRoutingPolicies", "dns-failover", ([], GONE), where=read),
    Good(RECORD, "healthCheckId", "dns-failover", ("", GONE), where=watched),
    Good(RECORD, "aliases[*].evaluateTargetHealth", "dns-failover", (False, GONE), where=routed),
    Good(RECORD, "", "dns-caa", where=authority),
    Good(RECORD, "type", "dns-caa", ("TXT",), where=authority),
    Good(RECORD, "records", "dns-caa", ([], GONE, ["0 none"]), where=authority),
    Good(CHECK, "type", "dns-health-check", ("HTTP", "TCP", GONE)),
    Good(CHECK, "resourcePath", "dns-health-check", ("/", "", GONE)),
    Good(CHECK, "requestInterval", "dns-health-check", (30, GONE)),
    Good(CHECK, "failureThreshold", "dns-health-check", (10,)),
    Good(CERTIFICATE, "validationMethod", "cert-renewal", ("EMAIL", GONE)),
)
