"""Cases: names and ways in."""

from typing import Any

from infra.local.resource import State
from tests.infra.local.aws.case import GONE, Case, attribute
from tests.infra.local.aws.world import Place

_ALIAS = {"name": "lb.us-east-1.elb.amazonaws.com", "zoneId": "Z35SXDOTRQ7X7K", "evaluateTargetHealth": True}


def _point_elsewhere(place: Place, state: State) -> Any:
    """Sends the record's users to another address."""
    found = place.call("route53", "ListResourceRecordSets", HostedZoneId=place.zone)["ResourceRecordSets"]
    record = next(
        record
        for record in found
        if record["Name"] == f"{state.outputs['fqdn']}." and record["Type"] not in ("NS", "SOA")
    )
    if "AliasTarget" in record:
        record["AliasTarget"]["DNSName"] = "elsewhere.elb.amazonaws.com"
    else:
        record["ResourceRecords"] = [{"Value": "192.0.2.99"}]
    change = {"Action": "UPSERT", "ResourceRecordSet": record}
    return place.call("route53", "ChangeResourceRecordSets", HostedZoneId=place.zone, ChangeBatch={"Changes": [change]})


DNS = (
    Case(
        "aws:route53/zone:Zone",
        lambda place, world: {"name": "search.example.com", "comment": "one"},
        change=lambda place, world: {"comment": "two", "tags": {"c": "d"}},
        behind=attribute("route53", "UpdateHostedZoneComment", Id="{}", Comment="changed"),
        drifts="comment",
    ),
    Case(
        "aws:route53/zone:Zone",
        lambda place, world: {"name": "inside", "comment": "one", "vpcs": [{"vpcId": place.vpc}]},
        change=lambda place, world: {
            "vpcs": [{"vpcId": place.vpc}, {"vpcId": world.west.vpc, "vpcRegion": "us-west-2"}]
        },
        behind=lambda place, state: place.call(
            "route53",
            "DisassociateVPCFromHostedZone",
            HostedZoneId=state.id,
            VPC={"VPCId": place.vpc, "VPCRegion": "us-east-1"},
        ),
        drifts="vpcs",
        unseen=frozenset({"vpcs"}),
        name="private",
    ),
    Case(
        "aws:route53/record:Record",
        lambda place, world: {
            "zoneId": place.zone,
            "name": "plain.example.com",
            "type": "A",
            "ttl": 300,
            "records": ["192.0.2.1", "192.0.2.2"],
        },
        change=lambda place, world: {"ttl": 60, "records": ["192.0.2.3"]},
        behind=_point_elsewhere,
        drifts="records",
        name="plain",
    ),
    Case(
        "aws:route53/record:Record",
        lambda place, world: {
            "zoneId": place.zone,
            "name": "read.example.com",
            "type": "A",
            "aliases": [_ALIAS],
            "setIdentifier": "us-east-1",
            "latencyRoutingPolicies": [{"region": "us-east-1"}],
            "healthCheckId": place.health_check,
        },
        change=lambda place, world: {"aliases": [{**_ALIAS, "evaluateTargetHealth": False}]},
        behind=_point_elsewhere,
        drifts="aliases",
        name="latency",
    ),
    Case(
        "aws:route53/record:Record",
        lambda place, world: {
            "zoneId": place.zone,
            "name": "write.example.com",
            "type": "A",
            "aliases": [_ALIAS],
            "setIdentifier": "us-east-1",
            "failoverRoutingPolicies": [{"type": "PRIMARY"}],
            "healthCheckId": place.health_check,
        },
        change=lambda place, world: {"failoverRoutingPolicies": [{"type": "SECONDARY"}]},
        behind=_point_elsewhere,
        drifts="aliases",
        name="failover",
    ),
    Case(
        "aws:route53/healthCheck:HealthCheck",
        lambda place, world: {
            "type": "HTTPS",
            "fqdn": "api.example.com",
            "port": 443,
            "enableSni": True,
            "resourcePath": "/health",
            "requestInterval": 10,
            "failureThreshold": 3,
            "measureLatency": True,
        },
        change=lambda place, world: {"resourcePath": "/ready", "tags": {"c": "d"}},
        behind=attribute("route53", "UpdateHealthCheck", HealthCheckId="{}", FailureThreshold=9),
        drifts="failureThreshold",
        unseen=frozenset({"invertHealthcheck"}),
    ),
)

_HEALTH_CHECK = {
    "enabled": True,
    "protocol": "HTTP",
    "port": "traffic-port",
    "path": "/health",
    "matcher": "200",
    "interval": 10,
    "timeout": 5,
    "healthyThreshold": 2,
    "unhealthyThreshold": 3,
}


def _listener(place: Place) -> str:
    """Plain HTTP on the load balancer, made when it is first asked for."""
    found = place.call("elbv2", "DescribeListeners", LoadBalancerArn=place.balancer)["Listeners"]
    arns = [listener["ListenerArn"] for listener in found if listener["Port"] == _PORT]
    return arns[0] if arns else str(_listen(place)["Listeners"][0]["ListenerArn"])


def _listen(place: Place) -> Any:
    action = {"Type": "forward", "TargetGroupArn": place.target_group}
    return place.call(
        "elbv2",
        "CreateListener",
        LoadBalancerArn=place.balancer,
        Port=_PORT,
        Protocol="HTTP",
        DefaultActions=[action],
    )


def _another_group(place: Place) -> str:
    made = place.call("elbv2", "CreateTargetGroup", Name="another", Protocol="HTTP", Port=80, VpcId=place.vpc)
    return str(made["TargetGroups"][0]["TargetGroupArn"])


_PORT = 8000

DELIVERY = (
    Case(
        "aws:lb/loadBalancer:LoadBalancer",
        lambda place, world: {
            "subnets": place.subnets[:2],
            "securityGroups": place.groups[:1],
            "dropInvalidHeaderFields": True,
            "accessLogs": {"enabled": True, "bucket": "logs", "prefix": "one"},
        },
        change=lambda place, world: {
            "subnets": place.subnets,
            "securityGroups": place.groups,
            "idleTimeout": 90,
            "accessLogs": {"enabled": True, "bucket": "logs", "prefix": "two"},
            "tags": {"c": "d"},
        },
        behind=attribute(
            "elbv2",
            "ModifyLoadBalancerAttributes",
            LoadBalancerArn="{}",
            Attributes=[{"Key": "access_logs.s3.enabled", "Value": "false"}],
        ),
        drifts="accessLogs",
    ),
    Case(
        "aws:lb/targetGroup:TargetGroup",
        lambda place, world: {
            "targetType": "ip",
            "vpcId": place.vpc,
            "port": 8080,
            "protocol": "HTTP",
            "deregistrationDelay": 30,
            "healthCheck": _HEALTH_CHECK,
        },
        change=lambda place, world: {"deregistrationDelay": 60, "healthCheck": {**_HEALTH_CHECK, "path": "/ready"}},
        behind=attribute("elbv2", "ModifyTargetGroup", TargetGroupArn="{}", HealthCheckPath="/changed"),
        drifts="healthCheck",
    ),
    Case(
        "aws:lb/listener:Listener",
        lambda place, world: {
            "loadBalancerArn": place.balancer,
            "port": 443,
            "protocol": "HTTPS",
            "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
            "certificateArn": place.certificate,
            "defaultActions": [{"type": "forward", "targetGroupArn": place.target_group, "order": 1}],
            "routingHttpResponseServerEnabled": False,
        },
        change=lambda place, world: {
            "sslPolicy": "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
            "routingHttpResponseServerEnabled": True,
        },
        behind=attribute(
            "elbv2",
            "ModifyListenerAttributes",
            ListenerArn="{}",
            Attributes=[{"Key": "routing.http.response.server.enabled", "Value": "false"}],
        ),
        drifts="routingHttpResponseServerEnabled",
    ),
    Case(
        "aws:lb/listenerRule:ListenerRule",
        lambda place, world: {
            "listenerArn": _listener(place),
            "priority": 10,
            "conditions": [{"pathPattern": {"values": ["/v1/documents", "/v1/documents/*"]}}],
            "actions": [{"type": "forward", "targetGroupArn": place.target_group}],
        },
        change=lambda place, world: {
            "priority": 20,
            "conditions": [
                {"pathPattern": {"values": ["/v1/tasks/*"]}},
                {"httpHeader": {"httpHeaderName": "x-version", "values": ["2"]}},
                {"queryStrings": [{"key": "dry", "value": "1"}]},
            ],
            "actions": [
                {
                    "type": "forward",
                    "forward": {
                        "targetGroups": [
                            {"arn": place.target_group, "weight": 90},
                            {"arn": _another_group(place), "weight": 10},
                        ]
                    },
                }
            ],
            "tags": {"c": "d"},
        },
        behind=attribute(
            "elbv2",
            "ModifyRule",
            RuleArn="{}",
            Conditions=[{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/changed"]}}],
        ),
        drifts="conditions",
        # Order and stickiness are told, which a program leaves out.
        unseen=frozenset({"actions"}),
    ),
    Case(
        "aws:lb/listenerRule:ListenerRule",
        lambda place, world: {
            "listenerArn": _listener(place),
            "priority": 30,
            "conditions": [{"hostHeader": {"values": ["old.example.com"]}}],
            "actions": [
                {"type": "redirect", "redirect": {"host": "new.example.com", "statusCode": "HTTP_301"}},
            ],
        },
        change=lambda place, world: {"conditions": [{"sourceIp": {"values": ["192.0.2.0/24"]}}]},
        behind=attribute("elbv2", "SetRulePriorities", RulePriorities=[{"RuleArn": "{}", "Priority": 31}]),
        drifts="priority",
        unseen=frozenset({"actions"}),
        name="redirect",
    ),
    Case(
        "aws:acm/certificate:Certificate",
        lambda place, world: {
            "domainName": "search.example.com",
            "subjectAlternativeNames": ["api.example.com"],
            "validationMethod": "DNS",
            "keyAlgorithm": "EC_prime256v1",
        },
        change=lambda place, world: {"tags": {"c": "d"}},
        behind=attribute("acm", "AddTagsToCertificate", CertificateArn="{}", Tags=[{"Key": "c", "Value": "changed"}]),
        drifts="tags",
        unseen=frozenset({"keyAlgorithm"}),
    ),
    Case(
        "aws:acm/certificateValidation:CertificateValidation",
        lambda place, world: {
            "certificateArn": place.call("acm", "RequestCertificate", DomainName="other.example.com")["CertificateArn"]
        },
        behind=lambda place, state: place.call(
            "acm", "DeleteCertificate", CertificateArn=state.inputs["certificateArn"]
        ),
        drifts=GONE,
        imports=False,
    ),
)
