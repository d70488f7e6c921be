"""How users reach a region: load balancers with their target groups and listeners, and certificates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.local.aws.cloud import Region
from infra.local.aws.delivery_rules import (
    CONDITIONS,
    L7,
    certificate_rules,
    listener_rule_rules,
    listener_rules,
    load_balancer_replaces,
    load_balancer_rules,
    target_group_rules,
)
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Props

_ARNS = {"ResourceArns": ["{id}"]}

_TAGS = Tagging(
    create="Tags",
    add=Call("AddTags", (), fixed=_ARNS),
    remove=Call("RemoveTags", (), fixed=_ARNS),
    get=Call("DescribeTags", (), fixed=_ARNS, at="TagDescriptions[0].Tags"),
)


def _attributes(spelled: Mapping[str, str]) -> dict[str, str]:
    """Properties that are attributes: each names its key; a block is spread over several."""
    return {name: f"Attributes[{key}]" if key != "." else "." for name, key in spelled.items()}


def _suffix(kind: str) -> Any:
    return lambda region, props, description: props["id"].split(f":{kind}", 1)[1]


_BALANCER = {"LoadBalancerArn": "{id}"}

_COMMON = ("enableDeletionProtection", "enableZonalShift", "accessLogs")
_BY_KIND = {
    "application": (
        *_COMMON,
        "clientKeepAlive",
        "connectionLogs",
        "desyncMitigationMode",
        "dropInvalidHeaderFields",
        "enableHttp2",
        "enableTlsVersionAndCipherSuiteHeaders",
        "enableWafFailOpen",
        "enableXffClientPort",
        "idleTimeout",
        "preserveHostHeader",
        "xffHeaderProcessingMode",
    ),
    "network": (
        *_COMMON,
        "dnsRecordClientRoutingPolicy",
        "enableCrossZoneLoadBalancing",
        "secondaryIpsAutoAssignedPerSubnet",
    ),
    "gateway": ("enableDeletionProtection", "enableCrossZoneLoadBalancing"),
}
"""Attributes that a kind of load balancer has (ELB API reference, "LoadBalancerAttribute"); it refuses the others."""

_BALANCER_ATTRIBUTES = _attributes(
    {
        "clientKeepAlive": "client_keep_alive.seconds",
        "desyncMitigationMode": "routing.http.desync_mitigation_mode",
        "dnsRecordClientRoutingPolicy": "dns_record.client_routing_policy",
        "dropInvalidHeaderFields": "routing.http.drop_invalid_header_fields.enabled",
        "enableCrossZoneLoadBalancing": "load_balancing.cross_zone.enabled",
        "enableDeletionProtection": "deletion_protection.enabled",
        "enableHttp2": "routing.http2.enabled",
        "enableTlsVersionAndCipherSuiteHeaders": "routing.http.x_amzn_tls_version_and_cipher_suite.enabled",
        "enableWafFailOpen": "waf.fail_open.enabled",
        "enableXffClientPort": "routing.http.xff_client_port.enabled",
        "enableZonalShift": "zonal_shift.config.enabled",
        "idleTimeout": "idle_timeout.timeout_seconds",
        "preserveHostHeader": "routing.http.preserve_host_header.enabled",
        "secondaryIpsAutoAssignedPerSubnet": "secondary_ips.auto_assigned.per_subnet",
        "xffHeaderProcessingMode": "routing.http.xff_header_processing.mode",
        **{
            f"{block}{member}": f"{key}.s3{member}" if member else "."
            for block, key in (("accessLogs", "access_logs"), ("connectionLogs", "connection_logs"))
            for member in ("", ".bucket", ".enabled", ".prefix")
        },
    }
)
_ALL_ATTRIBUTES = {name for name in _BALANCER_ATTRIBUTES if "." not in name}


def _prepare_balancer(region: Region, props: Props) -> Props:
    """Only the attributes of its kind, and in AWS's words whether it is internal."""
    allowed = _BY_KIND.get(str(props.get("loadBalancerType", "application")), ())
    given = {name: value for name, value in props.items() if name not in _ALL_ATTRIBUTES or name in allowed}
    for block in {"accessLogs", "connectionLogs"} & {*given}:
        if isinstance(given[block], Mapping):
            given[block] = {"enabled": False, "prefix": "", **given[block]}
    return {**given, "internal": "internal" if props.get("internal") is True else "internet-facing"}


LOAD_BALANCER = Type(
    "aws:lb/loadBalancer:LoadBalancer",
    "elbv2",
    id="LoadBalancers[0].LoadBalancerArn",
    prepare=_prepare_balancer,
    create=Call(
        "CreateLoadBalancer",
        (
            "name",
            "subnets",
            "subnetMappings",
            "securityGroups",
            "ipAddressType",
            "customerOwnedIpv4Pool",
            "enablePrefixForIpv6SourceNat",
        ),
        {"loadBalancerType": "Type", "internal": "Scheme"},
    ),
    read=Call("DescribeLoadBalancers", fixed={"LoadBalancerArns": ["{id}"]}, at="LoadBalancers[0]"),
    settings=[
        Setting(
            Call("ModifyLoadBalancerAttributes", (), _BALANCER_ATTRIBUTES, _BALANCER),
            get=Call("DescribeLoadBalancerAttributes", fixed=_BALANCER),
        ),
        Setting(
            Call("SetSubnets", ("subnets", "subnetMappings", "enablePrefixForIpv6SourceNat"), fixed=_BALANCER),
            at_create=False,
        ),
        Setting(Call("SetSecurityGroups", ("securityGroups",), fixed=_BALANCER), at_create=False),
        Setting(Call("SetIpAddressType", ("ipAddressType",), fixed=_BALANCER), at_create=False),
    ],
    delete=[Call("DeleteLoadBalancer", fixed=_BALANCER)],
    shows={
        "internal": lambda balancer: balancer["Scheme"] == "internal",
        "name": "LoadBalancerName",
        "subnets": "AvailabilityZones[].SubnetId",
        # The same subnets: a program says either.
        "subnetMappings": "NotShown",
    },
    tagging=_TAGS,
    outputs={
        "arn": "LoadBalancerArn",
        "arnSuffix": _suffix("loadbalancer/"),
        "dnsName": "DNSName",
        "internal": lambda region, props, balancer: (balancer or {}).get("Scheme") == "internal",
        "name": "LoadBalancerName",
        "subnetMappings": lambda region, props, balancer: [
            {"subnetId": zone["SubnetId"]} for zone in (balancer or {}).get("AvailabilityZones", ())
        ],
        "subnets": "AvailabilityZones[].SubnetId",
        "zoneId": "CanonicalHostedZoneId",
    },
    replaces=load_balancer_replaces,
    validate=load_balancer_rules,
    autoname="name",
    missing=("LoadBalancerNotFound",),
    note="balances nothing",
)

_GROUP = {"TargetGroupArn": "{id}"}

_HEALTH_CHECK = {
    "healthCheck": ".",
    "healthCheck.enabled": "HealthCheckEnabled",
    "healthCheck.healthyThreshold": "HealthyThresholdCount",
    "healthCheck.interval": "HealthCheckIntervalSeconds",
    "healthCheck.matcher": "Matcher.HttpCode",
    "healthCheck.path": "HealthCheckPath",
    "healthCheck.port": "HealthCheckPort",
    "healthCheck.protocol": "HealthCheckProtocol",
    "healthCheck.timeout": "HealthCheckTimeoutSeconds",
    "healthCheck.unhealthyThreshold": "UnhealthyThresholdCount",
}
_HEALTH_CHECK_DEFAULTS = {
    "enabled": True,
    "healthyThreshold": 3,
    "interval": 30,
    "port": "traffic-port",
    "protocol": "HTTP",
    "unhealthyThreshold": 3,
}
"""What the provider sends where a block leaves it out (facts, `healthCheck.*` of the target group)."""

_HEALTH = "targetGroupHealth"
_GROUP_ATTRIBUTES = _attributes(
    {
        "connectionTermination": "deregistration_delay.connection_termination.enabled",
        "deregistrationDelay": "deregistration_delay.timeout_seconds",
        "lambdaMultiValueHeadersEnabled": "lambda.multi_value_headers.enabled",
        "loadBalancingAlgorithmType": "load_balancing.algorithm.type",
        "loadBalancingAnomalyMitigation": "load_balancing.algorithm.anomaly_mitigation",
        "loadBalancingCrossZoneEnabled": "load_balancing.cross_zone.enabled",
        "preserveClientIp": "preserve_client_ip.enabled",
        "proxyProtocolV2": "proxy_protocol_v2.enabled",
        "slowStart": "slow_start.duration_seconds",
        "stickiness": ".",
        "stickiness.appCookieDuration": "stickiness.app_cookie.duration_seconds",
        "stickiness.cookieDuration": "stickiness.lb_cookie.duration_seconds",
        "stickiness.cookieName": "stickiness.app_cookie.cookie_name",
        "stickiness.enabled": "stickiness.enabled",
        "stickiness.type": "stickiness.type",
        "targetFailovers": ".",
        "targetFailovers.onDeregistration": "target_failover.on_deregistration",
        "targetFailovers.onUnhealthy": "target_failover.on_unhealthy",
        _HEALTH: ".",
        **{
            f"{_HEALTH}.{block}{member}": f"target_group_health.{key}.minimum_healthy_targets.{which}"
            if member
            else "."
            for block, key in (("dnsFailover", "dns_failover"), ("unhealthyStateRouting", "unhealthy_state_routing"))
            for member, which in (
                ("", ""),
                (".minimumHealthyTargetsCount", "count"),
                (".minimumHealthyTargetsPercentage", "percentage"),
            )
        },
        "targetHealthStates": ".",
        "targetHealthStates.enableUnhealthyConnectionTermination": (
            "target_health_state.unhealthy.connection_termination.enabled"
        ),
        "targetHealthStates.unhealthyDrainingInterval": "target_health_state.unhealthy.draining_interval_seconds",
    }
)


def _prepare_group(region: Region, props: Props) -> Props:
    """Only what its protocol has, with the defaults that the provider sends."""
    given = dict(props)
    l7, function = props.get("protocol") in L7, props.get("targetType") == "lambda"
    absent = {
        "lambdaMultiValueHeadersEnabled": not function,
        "proxyProtocolV2": l7 or function,
        "slowStart": not l7,
        "deregistrationDelay": function,
        "port": function,
        "protocol": function,
        "vpcId": function,
    }
    for name in [name for name, is_absent in absent.items() if is_absent]:
        given.pop(name, None)
    if isinstance(props.get("healthCheck"), Mapping):
        given["healthCheck"] = {**_HEALTH_CHECK_DEFAULTS, **props["healthCheck"]}
    if isinstance(props.get("stickiness"), Mapping):
        stickiness = {"enabled": True, **props["stickiness"]}
        if stickiness.get("type") == "app_cookie" and "cookieDuration" in stickiness:
            stickiness["appCookieDuration"] = stickiness.pop("cookieDuration")
        given["stickiness"] = stickiness
    return given


TARGET_GROUP = Type(
    "aws:lb/targetGroup:TargetGroup",
    "elbv2",
    id="TargetGroups[0].TargetGroupArn",
    prepare=_prepare_group,
    create=Call(
        "CreateTargetGroup",
        ("name", "port", "protocol", "protocolVersion", "vpcId", "targetType", "ipAddressType", "targetControlPort"),
        _HEALTH_CHECK,
    ),
    read=Call("DescribeTargetGroups", fixed={"TargetGroupArns": ["{id}"]}, at="TargetGroups[0]"),
    settings=[
        Setting(
            Call("ModifyTargetGroupAttributes", (), _GROUP_ATTRIBUTES, _GROUP),
            get=Call("DescribeTargetGroupAttributes", fixed=_GROUP),
        ),
        Setting(Call("ModifyTargetGroup", (), _HEALTH_CHECK, _GROUP), at_create=False),
    ],
    delete=[Call("DeleteTargetGroup", fixed=_GROUP)],
    shows={"name": "TargetGroupName"},
    tagging=_TAGS,
    outputs={
        "arn": "TargetGroupArn",
        "arnSuffix": lambda region, props, description: props["id"].split(":")[-1],
        # It fills when a listener comes; the provider, too, shows it only after a refresh.
        "loadBalancerArns": lambda *_: None,
        "name": "TargetGroupName",
    },
    validate=target_group_rules,
    autoname="name",
    missing=("TargetGroupNotFound",),
    note="has no targets",
)

_LISTENER = {"ListenerArn": "{id}"}
_ACTION = "defaultActions"


def _acts(actions: str) -> dict[str, str]:
    """How the actions of a listener or of a rule are spelled."""
    kinds = ("authenticateCognito", "authenticateOidc", "fixedResponse", "forward", "jwtValidation", "redirect")
    return {
        **{f"{actions}.{name}": f"{name[0].upper()}{name[1:]}Config" for name in kinds},
        f"{actions}.forward.stickiness": "TargetGroupStickinessConfig",
        f"{actions}.forward.stickiness.duration": "DurationSeconds",
        f"{actions}.forward.targetGroups.arn": "TargetGroupArn",
    }


_LISTENS = {"certificateArn": "Certificates.CertificateArn", **_acts(_ACTION)}
_LISTENER_FIELDS = ("alpnPolicy", _ACTION, "mutualAuthentication", "port", "protocol", "sslPolicy")

_HEADERS = {
    "AccessControlAllowCredentials": "access_control_allow_credentials",
    "AccessControlAllowHeaders": "access_control_allow_headers",
    "AccessControlAllowMethods": "access_control_allow_methods",
    "AccessControlAllowOrigin": "access_control_allow_origin",
    "AccessControlExposeHeaders": "access_control_expose_headers",
    "AccessControlMaxAge": "access_control_max_age",
    "ContentSecurityPolicy": "content_security_policy",
    "StrictTransportSecurity": "strict_transport_security",
    "XContentTypeOptions": "x_content_type_options",
    "XFrameOptions": "x_frame_options",
}
_CLIENT_HEADERS = {
    "MtlsClientcert": "mtls_clientcert",
    "MtlsClientcertIssuer": "mtls_clientcert_issuer",
    "MtlsClientcertLeaf": "mtls_clientcert_leaf",
    "MtlsClientcertSerialNumber": "mtls_clientcert_serial_number",
    "MtlsClientcertSubject": "mtls_clientcert_subject",
    "MtlsClientcertValidity": "mtls_clientcert_validity",
    "TlsCipherSuite": "tls_cipher_suite",
    "TlsVersion": "tls_version",
}
_LISTENER_ATTRIBUTES = _attributes(
    {
        "routingHttpResponseServerEnabled": "routing.http.response.server.enabled",
        "tcpIdleTimeoutSeconds": "tcp.idle_timeout.seconds",
        **{
            f"routingHttpResponse{name}HeaderValue": f"routing.http.response.{key}.header_value"
            for name, key in _HEADERS.items()
        },
        **{
            f"routingHttpRequestXAmzn{name}HeaderName": f"routing.http.request.x_amzn_{key}.header_name"
            for name, key in _CLIENT_HEADERS.items()
        },
    }
)

_REDIRECT_DEFAULTS = {
    "host": "#{host}",
    "path": "/#{path}",
    "port": "#{port}",
    "protocol": "#{protocol}",
    "query": "#{query}",
}


def _ordered(actions: list[Any]) -> list[Any]:
    """Actions in their order, with what a redirect leaves as it was."""
    return [
        {
            "order": position,
            **action,
            **({"redirect": {**_REDIRECT_DEFAULTS, **action["redirect"]}} if action.get("redirect") else {}),
        }
        if isinstance(action, Mapping)
        else action
        for position, action in enumerate(actions, start=1)
    ]


def _prepare_listener(region: Region, props: Props) -> Props:
    given = dict(props)
    if isinstance(props.get("protocol"), str):
        given["protocol"] = props["protocol"].upper()
    if isinstance(props.get(_ACTION), list):
        given[_ACTION] = _ordered(props[_ACTION])
    return given


LISTENER = Type(
    "aws:lb/listener:Listener",
    "elbv2",
    id="Listeners[0].ListenerArn",
    prepare=_prepare_listener,
    create=Call("CreateListener", ("loadBalancerArn", *_LISTENER_FIELDS), _LISTENS),
    read=Call("DescribeListeners", fixed={"ListenerArns": ["{id}"]}, at="Listeners[0]"),
    update=Call("ModifyListener", _LISTENER_FIELDS, _LISTENS, _LISTENER),
    settings=[
        Setting(
            Call("ModifyListenerAttributes", (), _LISTENER_ATTRIBUTES, _LISTENER),
            get=Call("DescribeListenerAttributes", fixed=_LISTENER),
        )
    ],
    delete=[Call("DeleteListener", fixed=_LISTENER)],
    tagging=_TAGS,
    outputs={"arn": "ListenerArn"},
    validate=listener_rules,
    missing=("ListenerNotFound", "LoadBalancerNotFound"),
)

_RULE = {"RuleArn": "{id}"}

_DECIDES = {
    **_acts("actions"),
    **{f"conditions.{name}": f"{name[0].upper()}{name[1:]}Config" for name in CONDITIONS if name != "queryStrings"},
    "conditions.queryStrings": "QueryStringConfig.Values",
}


def _prepare_rule(region: Region, props: Props) -> Props:
    """Conditions with the field that they look at, and without a priority the one behind the last."""
    given = dict(props)
    if isinstance(props.get("actions"), list):
        given["actions"] = _ordered(props["actions"])
    if isinstance(props.get("conditions"), list):
        given["conditions"] = [
            {"field": next((field for block, field in CONDITIONS.items() if condition.get(block)), None), **condition}
            if isinstance(condition, Mapping)
            else condition
            for condition in props["conditions"]
        ]
    listener = props.get("listenerArn")
    if "priority" not in props and isinstance(listener, str) and listener:
        rules = region.call("elbv2", "DescribeRules", ListenerArn=listener)["Rules"]
        given["priority"] = 1 + max(
            (int(rule["Priority"]) for rule in rules if rule["Priority"] != "default"), default=0
        )
    return given


LISTENER_RULE = Type(
    "aws:lb/listenerRule:ListenerRule",
    "elbv2",
    id="Rules[0].RuleArn",
    prepare=_prepare_rule,
    create=Call("CreateRule", ("listenerArn", "priority"), _DECIDES),
    read=Call("DescribeRules", fixed={"RuleArns": ["{id}"]}, at="Rules[0]"),
    update=Call("ModifyRule", (), _DECIDES, _RULE),
    settings=[
        Setting(
            Call("SetRulePriorities", (), {"priority": "RulePriorities.Priority"}, {"RulePriorities": [_RULE]}),
            at_create=False,
        )
    ],
    delete=[Call("DeleteRule", fixed=_RULE)],
    # moto keeps none.
    recorded=frozenset({"transforms"}),
    shows={
        # A rule does not say whose it is, but its ARN does.
        "listenerArn": lambda rule: rule["RuleArn"].replace(":listener-rule/", ":listener/").rpartition("/")[0],
        "priority": "Priority",
        "transforms": "NotShown",
    },
    tagging=_TAGS,
    outputs={"arn": "RuleArn"},
    validate=listener_rule_rules,
    missing=("RuleNotFound", "ListenerNotFound", "LoadBalancerNotFound"),
    note="sends no request anywhere",
)

_CERTIFICATE = {"CertificateArn": "{id}"}
_IMPORT = Call(
    "ImportCertificate",
    (),
    {
        "certificateBody": "Certificate",
        "certificateChain": "CertificateChain",
        "privateKey": "PrivateKey",
        "privateKeyWo": "PrivateKey",
    },
)


_NAMES = "subjectAlternativeNames"


def _other_names(region: Region, props: Props) -> Props:
    """ACM counts the domain itself among the alternative names, whether a program says it or not."""
    if not isinstance(props.get(_NAMES), list):
        return props
    others = [name for name in props[_NAMES] if name != props.get("domainName")]
    return {**{name: value for name, value in props.items() if name != _NAMES}, **({_NAMES: others} if others else {})}


def _proofs(region: Region, props: Props, certificate: Any) -> list[dict[str, Any]]:
    """The records that prove who owns the names, in the order of the names."""
    options = sorted((certificate or {}).get("DomainValidationOptions", ()), key=lambda option: option["DomainName"])
    return [
        {
            "domainName": option["DomainName"],
            "resourceRecordName": option["ResourceRecord"]["Name"],
            "resourceRecordType": option["ResourceRecord"]["Type"],
            "resourceRecordValue": option["ResourceRecord"]["Value"],
        }
        for option in options
        if "ResourceRecord" in option
    ]


CERTIFICATE = Type(
    "aws:acm/certificate:Certificate",
    "acm",
    id="CertificateArn",
    prepare=_other_names,
    create=Call(
        "RequestCertificate",
        (
            "certificateAuthorityArn",
            "domainName",
            "keyAlgorithm",
            "options",
            _NAMES,
            "validationMethod",
        ),
        {"validationOptions": "DomainValidationOptions"},
    ),
    instead={"privateKey": _IMPORT, "privateKeyWo": _IMPORT},
    read=Call("DescribeCertificate", fixed=_CERTIFICATE, at="Certificate"),
    update=Call(_IMPORT.operation, (), _IMPORT.spelled, _CERTIFICATE, whole=True),
    delete=[Call("DeleteCertificate", fixed=_CERTIFICATE)],
    # moto has no operation that changes the options.
    recorded=frozenset({"earlyRenewalDuration", "options", "privateKeyWoVersion"}),
    shows={
        # moto makes an RSA key whatever it is asked for.
        "keyAlgorithm": "NotShown",
        "options": "NotShown",
        _NAMES: lambda certificate: [
            name for name in certificate["SubjectAlternativeNames"] if name != certificate["DomainName"]
        ],
        "validationMethod": "DomainValidationOptions[0].ValidationMethod",
        "validationOptions": "NotShown",
    },
    tagging=Tagging(
        create="Tags",
        add=Call("AddTagsToCertificate", (), fixed=_CERTIFICATE),
        remove=Call("RemoveTagsFromCertificate", (), fixed=_CERTIFICATE),
        get=Call("ListTagsForCertificate", (), fixed=_CERTIFICATE, at="Tags"),
        remove_keys="Tags",
        key_objects=True,
    ),
    outputs={
        "arn": "CertificateArn",
        "domainValidationOptions": _proofs,
        # Issued some time after it is made: a refresh would show a change that nobody made.
        "status": lambda *_: None,
        _NAMES: "sort(SubjectAlternativeNames)",
    },
    validate=certificate_rules,
    missing=("ResourceNotFoundException",),
    note="issued without looking at any record; the key is RSA whatever keyAlgorithm says",
)

CERTIFICATE_VALIDATION = Type(
    "aws:acm/certificateValidation:CertificateValidation",
    "acm",
    # The time of issue before the wait, in the provider's own notation: not issued yet.
    id="'0001-01-01 00:00:00 +0000 UTC'",
    create=Call("DescribeCertificate", ("certificateArn",), at="Certificate"),
    read=Call("DescribeCertificate", ("certificateArn",), at="Certificate"),
    recorded=frozenset({"validationRecordFqdns"}),
    missing=("ResourceNotFoundException",),
    note="asks for the certificate, waits for nothing",
)

TYPES = (LOAD_BALANCER, TARGET_GROUP, LISTENER, LISTENER_RULE, CERTIFICATE, CERTIFICATE_VALIDATION)
