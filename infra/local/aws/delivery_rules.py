"""What Elastic Load Balancing and ACM refuse and moto does not, and when a load balancer has to be replaced.

Sources: the Elastic Load Balancing API reference; for replacement the provider's
`internal/service/elbv2/load_balancer.go`.
A value that is not known yet breaks no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props, has_unknown

L7 = ("HTTP", "HTTPS")
"""Protocols of application load balancers."""

_NAME_LENGTH = 32


def _name(props: Props, what: str) -> Iterator[Failure]:
    name = props.get("name")
    if not isinstance(name, str):
        return
    if len(name) > _NAME_LENGTH:
        yield Failure(
            "name", f"ValidationError: {what} name '{name}' cannot be longer than '{_NAME_LENGTH}' characters"
        )
    if not re.fullmatch(r"(?!internal-)[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?", name):
        yield Failure(
            "name",
            f"ValidationError: {what} name '{name}' can only contain characters that are alphanumeric characters or "
            "hyphens(-), and must not begin or end with one",
        )


def _between(props: Any, path: str, least: int, most: int) -> Iterator[Failure]:
    value = shapes.get(props, path)
    if isinstance(value, int) and not least <= value <= most:
        yield Failure(path, f"ValidationError: {path} is {value}, but must be from {least} to {most}")


def load_balancer_rules(props: Props) -> Iterator[Failure]:
    """Rules for one load balancer."""
    yield from _name(props, "Load balancer")
    yield from _between(props, "idleTimeout", 1, 4000)
    yield from _between(props, "clientKeepAlive", 60, 604800)
    subnets = props.get("subnets", props.get("subnetMappings"))
    if subnets is None:
        yield Failure("subnets", "exactly one of `subnets` and `subnetMappings` must be given")
    if props.get("loadBalancerType") == "application" and isinstance(subnets, list) and len(subnets) < 2:
        yield Failure(
            "subnets", "ValidationError: At least two subnets in two different Availability Zones must be specified"
        )


def load_balancer_replaces(old: Props, new: Props) -> Iterator[str]:
    """The properties whose change replaces, by kind of load balancer; only asked of values that are all known."""
    if has_unknown(new):
        return
    network = new.get("loadBalancerType") == "network"
    subnets = (old.get("subnets") or [], new.get("subnets") or [])
    if network and {*subnets[0]} != {*subnets[1]} and len(subnets[1]) <= len(subnets[0]):
        yield "subnets"
    before, after = shapes.blocks(old, "subnetMappings"), shapes.blocks(new, "subnetMappings")
    if before != after:
        kept = all(mapping in after for mapping in before)
        shrunk = all(mapping in before for mapping in after)
        grows, shrinks = len(after) > len(before), len(after) < len(before)
        if not (grows and kept) and not (shrinks and shrunk and not network):
            yield "subnetMappings"
    if network and bool(old.get("securityGroups")) != bool(new.get("securityGroups")):
        yield "securityGroups"
    if network and (new.get("secondaryIpsAutoAssignedPerSubnet") or 0) < (
        old.get("secondaryIpsAutoAssignedPerSubnet") or 0
    ):
        yield "secondaryIpsAutoAssignedPerSubnet"


def target_group_rules(props: Props) -> Iterator[Failure]:
    """Rules for one target group."""
    yield from _name(props, "Target group")
    for path, least, most in (
        ("port", 1, 65535),
        ("deregistrationDelay", 0, 3600),
        ("healthCheck.healthyThreshold", 2, 10),
        ("healthCheck.unhealthyThreshold", 2, 10),
        ("healthCheck.interval", 5, 300),
        ("healthCheck.timeout", 2, 120),
    ):
        yield from _between(props, path, least, most)
    slow = props.get("slowStart")
    if isinstance(slow, int) and slow and not 30 <= slow <= 900:
        yield Failure(
            "slowStart", f"ValidationError: slow_start.duration_seconds is {slow}, but must be 0 or from 30 to 900"
        )
    interval, timeout = shapes.get(props, "healthCheck.interval"), shapes.get(props, "healthCheck.timeout")
    if isinstance(interval, int) and isinstance(timeout, int) and timeout >= interval:
        yield Failure("healthCheck.timeout", "ValidationError: Health check interval must be greater than the timeout.")
    if props.get("protocol") in L7 and shapes.get(props, "healthCheck.protocol") == "TCP":
        yield Failure(
            "healthCheck.protocol",
            "ValidationError: Health check protocol 'TCP' is not supported for target groups with protocol "
            f"{props['protocol']}",
        )


def listener_rules(props: Props) -> Iterator[Failure]:
    """Rules for one listener."""
    yield from _between(props, "port", 1, 65535)
    protocol = str(props.get("protocol", "")).upper()
    if protocol in ("HTTPS", "TLS") and "certificateArn" not in props:
        yield Failure("certificateArn", f"ValidationError: A certificate must be specified for {protocol} listeners")
    if protocol in ("HTTP", "TCP") and ("certificateArn" in props or "sslPolicy" in props):
        yield Failure(
            "protocol", f"ValidationError: Certificates and SSL policies are not supported for {protocol} listeners"
        )
    for action in shapes.blocks(props, "defaultActions"):
        yield from _action("defaultActions", action, protocol, props.get("port"))


_BLOCKS = {
    "authenticate-cognito": "authenticateCognito",
    "authenticate-oidc": "authenticateOidc",
    "fixed-response": "fixedResponse",
    "jwt-validation": "jwtValidation",
    "redirect": "redirect",
}


_FORWARD_GROUPS = 5
_MOST_WEIGHT = 999


def _action(where: str, action: Mapping[str, Any], protocol: str = "", port: Any = None) -> Iterator[Failure]:
    """Rules for one action; `protocol` and `port` are the listener's, where they are known."""
    kind = action.get("type")
    block = _BLOCKS.get(str(kind))
    if block and block not in action:
        yield Failure(where, f"ValidationError: An action of type '{kind}' must have a {block} configuration")
    if kind == "forward" and not action.get("targetGroupArn") and not action.get("forward"):
        yield Failure(where, "ValidationError: A target group ARN must be specified")
    yield from _weights(where, action.get("forward"))
    redirect = action.get("redirect")
    if kind == "redirect" and isinstance(redirect, Mapping):
        same_protocol = redirect.get("protocol", "#{protocol}") in ("#{protocol}", protocol)
        same_port = redirect.get("port", "#{port}") in ("#{port}", str(port))
        if same_protocol and same_port and not any(redirect.get(name) for name in ("host", "path", "query")):
            yield Failure(
                where,
                "InvalidLoadBalancerAction: The redirect configuration is not valid because it creates a loop.",
            )


def _weights(where: str, forward: Any) -> Iterator[Failure]:
    """Rules for a forward action with weights (API reference, "TargetGroupTuple"; quotas of the user guide)."""
    if not isinstance(forward, Mapping):
        return
    groups = shapes.blocks(forward, "targetGroups")
    if len(groups) > _FORWARD_GROUPS:
        yield Failure(
            where,
            f"TooManyTargetGroups: A forward action can have at most '{_FORWARD_GROUPS}' target groups",
        )
    for group in groups:
        weight = group.get("weight")
        if isinstance(weight, int) and not 0 <= weight <= _MOST_WEIGHT:
            yield Failure(where, f"ValidationError: Weight is {weight}, but must be from 0 to {_MOST_WEIGHT}")


CONDITIONS = {
    "hostHeader": "host-header",
    "httpHeader": "http-header",
    "httpRequestMethod": "http-request-method",
    "pathPattern": "path-pattern",
    "queryStrings": "query-string",
    "sourceIp": "source-ip",
}
"""A condition's block, and the field that it looks at."""

_LONGEST_VALUE = 128
_VALUES = 5
_WILDCARDS = 5


def listener_rule_rules(props: Props) -> Iterator[Failure]:
    """Rules for one rule of a listener.

    Sources: the user guide's "Quotas for your Application Load Balancers" and "Condition types for listener rules"; for
    the number of blocks the provider's `internal/service/elbv2/listener_rule.go`.
    """
    yield from _between(props, "priority", 1, 50000)
    for action in shapes.blocks(props, "actions"):
        yield from _action("actions", action)
    values, seen = 0, set()
    wildcards = 0
    for condition in shapes.blocks(props, "conditions"):
        fields = [field for block, field in CONDITIONS.items() if condition.get(block)]
        if len(fields) != 1:
            yield Failure("conditions", "one and only one condition block must be set in a condition")
            continue
        field = fields[0]
        if field in seen and field not in ("http-header", "query-string"):
            yield Failure("conditions", f"ValidationError: A rule can only have one '{field}' condition")
        seen.add(field)
        compared = [*_compared(condition)]
        values += len(compared)
        wildcards += sum(value.count("*") + value.count("?") for value in compared)
        for value in compared:
            if len(value) > _LONGEST_VALUE:
                yield Failure(
                    "conditions", f"ValidationError: The '{field}' value is too long; the limit is '{_LONGEST_VALUE}'"
                )
            if field == "path-pattern" and not re.fullmatch(r"[A-Za-z0-9_.$/~\"'@:+&*?-]*", value):
                yield Failure(
                    "conditions",
                    f"ValidationError: Condition value '{value}' contains a character that is not valid",
                )
    if values > _VALUES:
        yield Failure("conditions", f"ValidationError: A rule can only have '{_VALUES}' condition values")
    if wildcards > _WILDCARDS:
        yield Failure("conditions", f"ValidationError: A rule can only have '{_WILDCARDS}' condition wildcards")


def _compared(condition: Mapping[str, Any]) -> Iterator[str]:
    """What a condition compares the request to, as far as it is known."""
    for pair in shapes.blocks(condition, "queryStrings"):
        yield "".join(text for text in (pair.get("key"), pair.get("value")) if isinstance(text, str))
    for block in CONDITIONS:
        found = shapes.get(condition, f"{block}.values")
        yield from (value for value in (found if isinstance(found, list) else []) if isinstance(value, str))


def certificate_rules(props: Props) -> Iterator[Failure]:
    """Rules for one certificate (ACM API reference, "RequestCertificate")."""
    imported = "privateKey" in props or "privateKeyWo" in props
    if imported == ("domainName" in props):
        yield Failure("domainName", "exactly one of `domainName` and `privateKey` must be given")
    if "domainName" in props and "validationMethod" not in props and "certificateAuthorityArn" not in props:
        yield Failure("domainName", "domainName needs `validationMethod` or `certificateAuthorityArn`")
    names = props.get("subjectAlternativeNames")
    for name in [props.get("domainName"), *(names if isinstance(names, list) else [])]:
        if isinstance(name, str) and not re.fullmatch(
            r"(\*\.)?(((?!-)[A-Za-z0-9-]{0,62}[A-Za-z0-9])\.)+((?!-)[A-Za-z0-9-]{1,62}[A-Za-z0-9])", name
        ):
            yield Failure(
                "domainName", f"ValidationException: Value '{name}' failed to satisfy constraint: a domain name"
            )
    first = props.get("domainName")
    if isinstance(first, str) and len(first) > 64:
        yield Failure(
            "domainName",
            "InvalidDomainValidationOptionsException: The first domain name can have no more than 64 characters.",
        )
