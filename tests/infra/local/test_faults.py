"""Faults: decided by the seed, shaped as AWS shapes them, and kept away from moto."""

from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import LocalCloudError
from infra.local.calls import Call
from infra.local.faults import Faults, Rule


def call(service: str = "ec2", action: str = "CreateVpc") -> Call:
    return Call(service=service, region="us-east-1", action=action, protocol="query", reads=False)


def hit(faults: Faults, which: Call) -> bool:
    return faults.meet(which) is not None


@given(seed=st.integers(), order=st.permutations(["CreateVpc"] * 20 + ["CreateSubnet"] * 20))
def test_each_action_meets_the_same_faults_in_whatever_order_calls_arrive(seed: int, order: list[str]) -> None:
    rule = Rule(seed=seed, rate=0.5)
    mixed, alone = Faults(), Faults()
    mixed.add(rule)
    alone.add(rule)
    met: dict[str, list[bool]] = {"CreateVpc": [], "CreateSubnet": []}
    for action in order:
        met[action].append(hit(mixed, call(action=action)))
    assert met == {action: [hit(alone, call(action=action)) for _ in range(20)] for action in met}


@given(rate=st.floats(0, 1))
def test_the_rate_is_the_share_of_calls_that_fail(rate: float) -> None:
    faults = Faults()
    faults.add(Rule(rate=rate, seed=3))
    share = sum(hit(faults, call()) for _ in range(2000)) / 2000
    assert abs(share - rate) < 0.06
    assert share == rate or 0 < rate < 1


def test_different_seeds_fail_different_calls() -> None:
    patterns = set()
    for seed in range(10):
        faults = Faults()
        faults.add(Rule(seed=seed, rate=0.5))
        patterns.add(tuple(hit(faults, call()) for _ in range(30)))
    assert len(patterns) == 10


def test_a_rule_is_used_up_after_its_count() -> None:
    faults = Faults()
    faults.add(Rule(count=3))
    assert [hit(faults, call()) for _ in range(5)] == [True] * 3 + [False] * 2
    (report,) = faults.report()
    assert (report["seen"], report["hits"], report["count"]) == (5, {"throttle": 3}, 3)


def test_a_rule_matches_service_and_action() -> None:
    faults = Faults()
    faults.add(Rule(service="ec2", action="Create*"))
    matching = [call(), call(action="CreateSubnet"), call(action="DeleteVpc"), call(service="rds")]
    assert [hit(faults, one) for one in matching] == [True, True, False, False]
    faults.clear()
    assert not hit(faults, call())
    assert faults.report() == []


def test_latency_holds_calls_up_and_adds_up_but_lets_them_through() -> None:
    slept: list[float] = []
    faults = Faults(sleep=slept.append)
    faults.add(Rule(kinds=("latency",), latency_ms=200))
    faults.add(Rule(kinds=("latency",), latency_ms=50))
    assert not hit(faults, call())
    assert slept == [0.25]
    faults.add(Rule(kinds=("throttle",)))
    assert hit(faults, call())
    assert slept == [0.25, 0.25]


def test_all_kinds_of_a_rule_happen() -> None:
    faults = Faults(sleep=lambda seconds: None)
    faults.add(Rule(kinds=("throttle", "server_error", "latency"), latency_ms=1))
    for _ in range(60):
        faults.meet(call())
    hits = faults.report()[0]["hits"]
    assert set(hits) == {"throttle", "server_error", "latency"}
    assert sum(hits.values()) == 60


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "it: Input should be an object"),
        (b'{"rat": 1}', "rat: Extra inputs are not permitted"),
        (b'{"rate": 2}', "rate: Input should be less than or equal to 1"),
        (b'{"rate": "1"}', "rate: Input should be a valid number"),
        (b'{"kinds": []}', "kinds: Tuple should have at least 1 item"),
        (b'{"kinds": ["fire"]}', "kinds.0: Input should be 'throttle', 'server_error' or 'latency'"),
        (b'{"kinds": ["latency"]}', "latency_ms is given with the kind `latency`, and only then"),
        (b'{"latency_ms": 5}', "latency_ms is given with the kind `latency`, and only then"),
        (b'{"count": 0}', "count: Input should be greater than 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(text: bytes, why: str) -> None:
    with pytest.raises(LocalCloudError) as raised:
        Rule.parse(text)
    assert why in raised.value.why
    assert "seed, rate, kinds, latency_ms, service, action, count" in raised.value.remedy


CALLS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("ec2", "create_vpc", {"CidrBlock": "10.0.0.0/16"}, "RequestLimitExceeded", "InternalError"),
    ("s3", "create_bucket", {"Bucket": "some-bucket"}, "SlowDown", "InternalError"),
    ("rds", "describe_db_instances", {}, "Throttling", "InternalFailure"),
    ("iam", "list_roles", {}, "Throttling", "InternalFailure"),
    ("route53", "list_hosted_zones", {}, "Throttling", "InternalFailure"),
    ("kms", "create_key", {}, "ThrottlingException", "KMSInternalException"),
    ("secretsmanager", "list_secrets", {}, "ThrottlingException", "InternalFailure"),
    ("cloudwatch", "describe_alarms", {}, "ThrottlingException", "InternalFailure"),
    ("eks", "list_clusters", {}, "TooManyRequestsException", "InternalFailure"),
]


@pytest.mark.parametrize(("service", "action", "arguments", "throttled", "failed"), CALLS)
def test_boto3_sees_the_error_of_the_service_and_moto_never_sees_the_call(
    new_cloud: Callable[[], Any], service: str, action: str, arguments: dict[str, Any], throttled: str, failed: str
) -> None:
    cloud = new_cloud()
    for kind, code in (("throttle", throttled), ("server_error", failed)):
        assert cloud.http.post("/docsearch/faults", json={"kinds": [kind], "count": 1}).status_code == 200
        with pytest.raises(ClientError) as raised:
            getattr(cloud.client(service), action)(**arguments)
        assert raised.value.response["Error"]["Code"] == code
    assert cloud.journal.sequence == 0
    getattr(cloud.client(service), action)(**arguments)
    counted = cloud.http.get("/docsearch/faults").get_json()["faults"]
    assert [rule["hits"] for rule in counted] == [{"throttle": 1}, {"server_error": 1}]


@pytest.mark.parametrize(("service", "action", "arguments"), [one[:3] for one in CALLS])
@pytest.mark.parametrize("kind", ["throttle", "server_error"])
def test_boto3_retries_every_injected_fault(
    new_cloud: Callable[[], Any],
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    action: str,
    arguments: dict[str, Any],
    kind: str,
) -> None:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    cloud = new_cloud()
    cloud.http.post("/docsearch/faults", json={"kinds": [kind], "count": 2})
    answer = getattr(cloud.client(service, attempts=3), action)(**arguments)
    assert answer["ResponseMetadata"]["RetryAttempts"] == 2


def test_rules_are_added_reported_and_removed_over_http(new_cloud: Callable[[], Any]) -> None:
    http = new_cloud().http
    assert http.get("/docsearch/faults").get_json() == {"faults": []}
    http.post("/docsearch/faults", json={"service": "s3", "seed": 7})
    http.post("/docsearch/faults", json={"kinds": ["latency"], "latency_ms": 10})
    services = [rule["service"] for rule in http.get("/docsearch/faults").get_json()["faults"]]
    assert services == ["s3", "*"]
    refused = http.post("/docsearch/faults", data=b'{"rate": 7}')
    assert refused.status_code == 400
    assert "rate: Input should be less than or equal to 1" in refused.get_json()["error"]
    assert http.delete("/docsearch/faults").get_json() == {"faults": []}
    assert http.get("/docsearch/faults").get_json() == {"faults": []}


@pytest.mark.engine
def test_a_client_in_another_process_gets_through_seeded_faults(moto_process: Callable[..., Any]) -> None:
    moto = moto_process()
    moto.post("/docsearch/faults", {"seed": 11, "rate": 0.4, "kinds": ["throttle", "server_error"], "service": "ec2"})
    client = boto3.client(
        "ec2",
        region_name="us-east-1",
        endpoint_url=moto.url,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"mode": "standard", "total_max_attempts": 10}),
    )
    made = {client.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"] for _ in range(12)}
    (rule,) = moto.get("/docsearch/faults")["faults"]
    assert rule["seen"] > 12
    assert sum(rule["hits"].values()) == rule["seen"] - 12
    moto.delete("/docsearch/faults")
    found = {vpc["VpcId"] for vpc in client.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]}
    assert found == made
    assert moto.get("/docsearch/health")["sequence"] == 12
