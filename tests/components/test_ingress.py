"""The public load balancer, as the engine receives it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import ingress, search_service_plan
from components.alarms import Alarms, AlarmsArgs
from components.domain import Domain, DomainArgs
from components.errors import ArgsError
from components.ingress import (
    CANDIDATE,
    MAX_GROUP_NAME,
    PORTS,
    ROUTES,
    Ingress,
    IngressArgs,
    Route,
    plan_alarms,
    plan_groups,
)
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.network_plan import FLOWS
from components.storage import Storage, StorageArgs

ACCOUNT = "012345678901"
REGION = "us-east-1"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:lb/listener:Listener"
RULE = "aws:lb/listenerRule:ListenerRule"
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


def route(**changes: Any) -> Route:
    said: dict[str, Any] = {"role": "document", "port": 8081, "paths": ("/v1/documents",), "priority": 10}
    return Route(**(said | changes))


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
        made = Ingress("ingress", args())
        names = ("arn", "arn_suffix", "dns_name", "zone_id", "target_group_arn", "target_group_arns", "port")
        return {name: getattr(made, name) for name in names}

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


@pytest.mark.parametrize(("name", "port"), [("ingress", 8080), ("ingress-document", 8081)])
def test_pods_are_targets_by_address_when_they_are_ready(run: Any, name: str, port: int) -> None:
    assert run.one(GROUP, name).inputs == {
        "targetType": "ip",
        "vpcId": "network-id",
        "port": port,
        "protocol": "HTTPS",
        "loadBalancingAlgorithmType": "least_outstanding_requests",
        "deregistrationDelay": 30,
        "healthCheck": {
            "enabled": True,
            "protocol": "HTTP",
            "port": "8089",
            "path": "/health/startup",
            "matcher": "200",
            "interval": 10,
            "timeout": 5,
            "healthyThreshold": 2,
            "unhealthyThreshold": 3,
        },
    }


def test_documents_go_to_their_own_role_and_all_else_to_search(run: Any) -> None:
    (rule,) = run.of(RULE)
    assert rule.inputs == {
        "listenerArn": "arn:aws:lb:::ingress-https",
        "priority": 10,
        "conditions": [{"pathPattern": {"values": ["/v1/documents", "/v1/documents/*", "/v1/tasks/*"]}}],
        "actions": [{"type": "forward", "targetGroupArn": "arn:aws:lb:::ingress-document"}],
    }


def test_routes_lead_where_the_pods_of_public_roles_listen() -> None:
    public = {
        role.name: role.port
        for role in (search_service_plan.SEARCH, search_service_plan.DOCUMENT, search_service_plan.INDEX)
        if role.public
    }
    groups = plan_groups("ingress", port=PORTS.start, routes=ROUTES)
    assert {group.role: group.port for group in groups} == public


def test_a_candidate_is_called_as_the_cluster_calls_it() -> None:
    assert CANDIDATE == search_service_plan.CANDIDATE


def test_a_candidate_gets_its_share_of_the_requests_of_its_role(recorded: Any) -> None:
    def program() -> Any:
        return Ingress("ingress", args(candidates={"search": 10, "document": 100})).target_group_arns

    run = recorded(program, outputs=OUTPUTS)
    assert run.result == {
        "search": "arn:aws:lb:::ingress",
        "search-candidate": "arn:aws:lb:::ingress-search-next",
        "document": "arn:aws:lb:::ingress-document",
        "document-candidate": "arn:aws:lb:::ingress-document-next",
    }
    (default,) = run.one(LISTENER, "ingress-https").inputs["defaultActions"]
    assert default == {
        "type": "forward",
        "forward": {
            "targetGroups": [
                {"arn": "arn:aws:lb:::ingress", "weight": 90},
                {"arn": "arn:aws:lb:::ingress-search-next", "weight": 10},
            ]
        },
    }
    (action,) = run.one(RULE).inputs["actions"]
    assert [group["weight"] for group in action["forward"]["targetGroups"]] == [0, 100]
    (one, other) = (run.one(GROUP, name).inputs for name in ("ingress-document", "ingress-document-next"))
    assert one == other


PERCENT = st.one_of(st.none(), st.integers(0, 100))


@given(port=st.sampled_from(PORTS), searches=PERCENT, documents=PERCENT)
def test_every_role_gives_away_all_of_its_requests(port: int, searches: int | None, documents: int | None) -> None:
    shares = {"search": searches, "document": documents}
    candidates = {role: share for role, share in shares.items() if share is not None}
    groups = plan_groups("ingress", port=port, routes=ROUTES, candidates=candidates)
    assert len({group.key for group in groups}) == len({group.name for group in groups}) == 2 + len(candidates)
    for role in ("search", "document"):
        ours = [group for group in groups if group.role == role]
        assert sum(group.weight for group in ours) == 100
        assert len({group.port for group in ours}) == 1
        assert {group.key: group.weight for group in ours if group.is_candidate} == (
            {f"{role}-candidate": candidates[role]} if role in candidates else {}
        )
    assert groups[0].name == "ingress"
    assert all(len(group.name) <= MAX_GROUP_NAME for group in groups)


def test_a_name_that_aws_would_refuse_is_refused_before() -> None:
    with pytest.raises(ArgsError) as error:
        plan_groups("ingress", port=8080, routes=[route(role="administration-pages")])
    assert str(error.value) == (
        "a target group is called 'ingress-administration-pages': of the 32 characters that AWS takes, 24 are left for "
        "it. Take a shorter name for the role."
    )


@pytest.mark.parametrize(
    ("key", "weight", "watched"),
    [
        ("search", 100, {"target-errors", "latency", "unhealthy", "no-pods"}),
        ("search-candidate", 10, {"target-errors", "latency", "unhealthy", "no-pods"}),
        ("search-candidate", 0, {"target-errors", "latency", "unhealthy"}),
        ("document", 100, {"target-errors", "unhealthy", "no-pods"}),
        ("document-candidate", 0, {"target-errors", "unhealthy"}),
    ],
)
def test_each_target_group_is_watched_for_what_it_promises(key: str, weight: int, watched: set[str]) -> None:
    group = ingress.Group(key, key.removesuffix("-candidate"), "ingress", 8080, weight)
    rows = plan_alarms(group)
    assert {row.name for row in rows} == watched
    assert all(row.because.startswith(f"{key}: ") is (key != "search") for row in rows)


def test_outputs(run: Any) -> None:
    assert run.result == {
        "arn": "arn:aws:lb:::ingress",
        "arn_suffix": "app/ingress/1",
        "dns_name": "ingress.elb.amazonaws.com",
        "zone_id": "ZELB",
        "target_group_arn": "arn:aws:lb:::ingress",
        "target_group_arns": {"search": "arn:aws:lb:::ingress", "document": "arn:aws:lb:::ingress-document"},
        "port": 8080,
    }


def test_the_ports_are_those_that_the_network_opens() -> None:
    (flow,) = (flow for flow in FLOWS if (flow.source, flow.target) == ("load_balancer", "nodes"))
    assert flow.ports == (PORTS.start, PORTS.stop - 1)


def test_the_requirements_alarms_are_there(run: Any) -> None:
    alarms = {
        alarm.name.removeprefix("ingress-"): alarm.inputs for alarm in run.of(ALARM) if alarm.parent.endswith("ingress")
    }
    assert set(alarms) == {
        *("errors", "rejected", "target-errors", "latency", "unhealthy", "no-pods"),
        *("document-target-errors", "document-unhealthy", "document-no-pods"),
    }
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
        ({"candidates": {"index": 5}}, "'index' has a candidate: the load balancer calls only search, document."),
        ({"candidates": {"search": 101}}, "the candidate of search gets 101% of requests: it is 0 to 100."),
        ({"candidates": {"search": -1}}, "the candidate of search gets -1% of requests: it is 0 to 100."),
        (
            {"routes": [route(), route(priority=11)]},
            "routes lead to document, document: each role has one, and search takes what is left.",
        ),
        (
            {"routes": [route(role="search")]},
            "routes lead to search: each role has one, and search takes what is left.",
        ),
        (
            {"routes": [route(), route(role="admin")]},
            "routes have the priorities [10, 10]: no two rules of a listener have the same.",
        ),
        (
            {"routes": [route(role=f"r{number}", priority=number) for number in range(1, 102)]},
            "there are 101 routes: a load balancer has 100 rules.",
        ),
        (
            {"routes": [route(role=f"r{number}", priority=number) for number in range(1, 101)]},
            "roles and candidates need 101 target groups: a load balancer has 100.",
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes), outputs=OUTPUTS)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"role": "Documents"},
            "a route leads to 'Documents': it becomes a name, and what ends in -candidate is a second version.",
        ),
        (
            {"role": "search-candidate"},
            "a route leads to 'search-candidate': it becomes a name, and what ends in -candidate is a second version.",
        ),
        (
            {"port": 8090},
            "route document has port 8090: the security groups let the load balancer reach 8080 to 8089.",
        ),
        (
            {"paths": ()},
            "route document has 0 paths: a rule has 1 to 5 values. Take wildcards, or a second route.",
        ),
        (
            {"paths": tuple(f"/{number}" for number in range(6))},
            "route document has 6 paths: a rule has 1 to 5 values. Take wildcards, or a second route.",
        ),
        ({"paths": ("/a", "/a")}, "route document has a path twice: once is enough, and each counts."),
        ({"paths": ("/*/*/*", "/*/?/*")}, "route document has 6 wildcards: a rule has 5 at most."),
        ({"priority": 0}, "route document has priority 0: it is 1 to 50000."),
        ({"priority": 50_001}, "route document has priority 50001: it is 1 to 50000."),
    ],
)
def test_a_route_that_aws_would_refuse_is_refused_before(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        route(**changes)
    assert str(error.value) == message


@pytest.mark.parametrize("path", ["v1", "/a b", "/ä", "/a,b", "/" + "a" * 128])
def test_a_path_that_aws_would_refuse_is_refused_before(path: str) -> None:
    with pytest.raises(ArgsError, match="it starts with / and has 1 to 128 letters"):
        route(paths=(path,))


def test_the_limits_themselves_are_taken() -> None:
    route(paths=("/", "/*/*/*", "/*/?", "/" + "a" * 127, "/_-.$/~\"'@:+&"), priority=50_000)
    route(priority=1)
