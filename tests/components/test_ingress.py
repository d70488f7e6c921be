"""The public load balancer, as the engine receives it."""

from typing import Any

import pytest

from components.alarms import Alarms, AlarmsArgs
from components.domain import Domain, DomainArgs
from components.errors import ArgsError
from components.ingress import PORTS, Ingress, IngressArgs
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.network_plan import FLOWS
from components.storage import Storage, StorageArgs

ACCOUNT = "012345678901"
REGION = "us-east-1"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
OUTPUTS: dict[str, dict[str, Any]] = {
    "aws:acm/certificate:Certificate": {
        "domainValidationOptions": [
            {"domainName": f"{host}.example.com", "resourceRecordName": "_n", "resourceRecordValue": "_v"}
            for host in ("api", "write", REGION)
        ]
    },
    BALANCER: {"dnsName": "ingress.elb.amazonaws.com", "zoneId": "ZELB", "arnSuffix": "app/ingress/1"},
    GROUP: {"arnSuffix": "targetgroup/ingress/2"},
}


def args(**changes: Any) -> IngressArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=REGION, role="primary"))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=REGION,
        cidr="10.0.0.0/16",
        zones=("us-east-1a", "us-east-1b", "us-east-1c"),
        flow_log_key=keys["logs"],
    )
    given: dict[str, Any] = {
        "network": Network("network", network),
        "domain": Domain("domain", DomainArgs(name="example.com", region=REGION, role="primary")),
        "storage": Storage("storage", StorageArgs(account_id=ACCOUNT, region=REGION, key=keys["data"])),
        "alarms": Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
    }
    return IngressArgs(**(given | changes))


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    def program() -> dict[str, Any]:
        ingress = Ingress("ingress", args())
        names = ("arn", "arn_suffix", "dns_name", "zone_id", "target_group_arn", "port")
        return {name: getattr(ingress, name) for name in names}

    return recorded(program, outputs=OUTPUTS)


def test_it_is_public_in_every_zone_logged_and_locked(run: Any) -> None:
    balancer = run.one(BALANCER)
    assert balancer.inputs == {
        "loadBalancerType": "application",
        "internal": False,
        "subnets": ["network-public-a-id", "network-public-b-id", "network-public-c-id"],
        "securityGroups": ["network-load-balancer-id"],
        "enableDeletionProtection": True,
        "dropInvalidHeaderFields": True,
        "desyncMitigationMode": "defensive",
        "enableZonalShift": True,
        "idleTimeout": 60,
        "accessLogs": {"enabled": True, "bucket": "storage-logs", "prefix": "load-balancer"},
    }
    assert balancer.protect
    # It tries to write there when it is made.
    assert "storage-logs" in {urn.rsplit("::", 1)[-1] for urn in balancer.depends_on_urns}


def test_clear_text_is_sent_to_tls_which_is_1_2_with_forward_secrecy_or_better(run: Any) -> None:
    secure = run.one(LISTENER, "ingress-https").inputs
    assert (secure["port"], secure["protocol"]) == (443, "HTTPS")
    assert secure["sslPolicy"] == "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"
    assert secure["certificateArn"] == "arn:aws:acm:::domain"
    assert secure["defaultActions"] == [{"type": "forward", "targetGroupArn": "arn:aws:lb:::ingress"}]
    assert secure["routingHttpResponseStrictTransportSecurityHeaderValue"].startswith("max-age=31536000")
    assert secure["routingHttpResponseServerEnabled"] is False
    clear = run.one(LISTENER, "ingress-http").inputs
    assert (clear["port"], clear["protocol"]) == (80, "HTTP")
    assert clear["defaultActions"] == [
        {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"}}
    ]


def test_the_certificate_is_issued_before_the_listener_takes_it(run: Any) -> None:
    token = "aws:acm/certificateValidation:CertificateValidation"
    assert run.one(token).urn in run.one(LISTENER, "ingress-https").depends_on_urns


def test_pods_are_targets_by_address_when_they_are_ready(run: Any) -> None:
    assert run.one(GROUP).inputs == {
        "targetType": "ip",
        "vpcId": "network-id",
        "port": 8080,
        "protocol": "HTTP",
        "loadBalancingAlgorithmType": "least_outstanding_requests",
        "deregistrationDelay": 30,
        "healthCheck": {
            "enabled": True,
            "protocol": "HTTP",
            "path": "/health/ready",
            "matcher": "200",
            "interval": 10,
            "timeout": 5,
            "healthyThreshold": 2,
            "unhealthyThreshold": 3,
        },
    }


def test_outputs(run: Any) -> None:
    assert run.result == {
        "arn": "arn:aws:lb:::ingress",
        "arn_suffix": "app/ingress/1",
        "dns_name": "ingress.elb.amazonaws.com",
        "zone_id": "ZELB",
        "target_group_arn": "arn:aws:lb:::ingress",
        "port": 8080,
    }


def test_the_ports_are_those_that_the_network_opens() -> None:
    (flow,) = (flow for flow in FLOWS if (flow.source, flow.target) == ("load_balancer", "nodes"))
    assert flow.ports == (PORTS.start, PORTS.stop - 1)


def test_the_requirements_alarms_are_there(run: Any) -> None:
    alarms = {
        alarm.name.removeprefix("ingress-"): alarm.inputs for alarm in run.of(ALARM) if alarm.parent.endswith("ingress")
    }
    assert set(alarms) == {"errors", "rejected", "target-errors", "latency", "unhealthy", "no-pods"}
    errors = alarms["target-errors"]
    assert (errors["threshold"], errors["evaluationPeriods"]) == (5, 5)
    assert errors["alarmActions"] == ["arn:aws:sns:::alarms-page"]
    assert errors["metricQueries"][0]["metric"]["dimensions"] == {
        "LoadBalancer": "app/ingress/1",
        "TargetGroup": "targetgroup/ingress/2",
    }
    latency = alarms["latency"]
    assert (latency["extendedStatistic"], latency["threshold"], latency["evaluationPeriods"]) == ("p95", 1, 10)
    assert latency["alarmActions"] == ["arn:aws:sns:::alarms-ticket"]
    down = alarms["no-pods"]
    assert (down["comparisonOperator"], down["threshold"]) == ("LessThanThreshold", 1)
    assert down["treatMissingData"] == "breaching"
    assert alarms["errors"]["dimensions"] == {"LoadBalancer": "app/ingress/1"}


def test_locks_are_released_on_purpose(recorded: Any) -> None:
    balancer = recorded(lambda: Ingress("ingress", args(locked=False)), outputs=OUTPUTS).one(BALANCER)
    assert not balancer.protect
    assert balancer.inputs["enableDeletionProtection"] is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 9000}, "port is 9000: the security groups let the load balancer reach 8080 to 8089."),
        ({"health_path": "ready"}, "health_path is 'ready': it starts with / and has 1 to 1,024 characters."),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes), outputs=OUTPUTS)
    assert str(error.value) == message
