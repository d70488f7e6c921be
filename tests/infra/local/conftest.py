"""A local cloud inside the test's process, spoken to with boto3 and without a socket; and one of everything for it."""

import http.client
import io
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse, HeadersDict
from botocore.config import Config
from moto.core.base_backend import BackendDict
from werkzeug.test import Client

from infra.local.chance import Chance
from infra.local.cloud import Cloud
from infra.local.daemon import DEFAULT_ACCOUNT
from infra.local.faults import Faults
from infra.local.journal import Journal
from infra.local.wsgi import Moto


class Clients(Protocol):
    """Makes a boto3 client."""

    def __call__(self, service: str, region: str = "us-east-1") -> Any: ...


class _Raw(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _forget() -> None:
    """Empties moto, as the end of its process would."""
    services = list(BackendDict._instances)  # type: ignore[misc]
    BackendDict.reset()
    for service in services:  # Some come back while others are reset.
        service.clear()


class InProcessCloud:
    """One run of the local cloud over the journal of a folder."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self.journal = Journal(folder, DEFAULT_ACCOUNT)
        self._stack.callback(self.journal.close)
        chance = Chance(bytes.fromhex(self.journal.header.salt), self.journal.header.born)
        self._stack.enter_context(chance.installed())
        self._stack.callback(_forget)
        self.faults = Faults(sleep=lambda seconds: None)
        self.told: list[str] = []
        self.failures: list[Exception] = []
        self.cloud = Cloud(Moto(chance), self.journal, chance, self.faults, give_up=self.failures.append)
        self.http = Client(self.cloud)
        self.client = cache(self._client)

    def _client(self, service: str, region: str = "us-east-1", attempts: int = 1) -> Any:
        client = boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url="http://127.0.0.1:1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
        )
        client.meta.events.register("before-send", self._send)
        return client

    def _send(self, request: AWSPreparedRequest, **_: object) -> AWSResponse:
        url = urlsplit(request.url)
        body = request.body
        answer = self.http.open(
            path=url.path,
            query_string=url.query,
            method=request.method,
            headers=[(k, _text(v)) for k, v in request.headers.items()],
            data=getattr(body, "read", lambda: body or b"")(),
        )
        return AWSResponse(request.url, answer.status_code, HeadersDict(answer.headers), _Raw(answer.data))  # type: ignore[arg-type]

    @property
    def health(self) -> dict[str, Any]:
        health: dict[str, Any] = self.http.get("/docsearch/health").get_json()
        return health

    def close(self) -> None:
        self._stack.close()


@pytest.fixture
def new_cloud(tmp_path: Path) -> Iterator[Callable[..., InProcessCloud]]:
    """Starts the local cloud of this test; again for each call, as after a kill."""
    runs: list[InProcessCloud] = []

    def run(*, replayed: bool = True) -> InProcessCloud:
        while runs:
            runs.pop().close()
        cloud = InProcessCloud(tmp_path / "moto")
        runs.append(cloud)
        if replayed:
            cloud.cloud.replay(cloud.told.append, every_s=math.inf)
        return cloud

    yield run
    while runs:
        runs.pop().close()


def _make_network(clients: Clients) -> dict[str, Any]:
    ec2 = clients("ec2")
    ec2.describe_vpc_endpoint_services()
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{n}.0/24", AvailabilityZone=f"us-east-1{zone}")["Subnet"][
            "SubnetId"
        ]
        for n, zone in enumerate("abc")
    ]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.create_nat_gateway(SubnetId=subnets[0], AllocationId=address)
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    group = ec2.create_security_group(GroupName="db", Description="db", VpcId=vpc)["GroupId"]
    ec2.create_vpc_endpoint(VpcId=vpc, ServiceName="com.amazonaws.us-east-1.kms", VpcEndpointType="Interface")
    ec2.create_tags(Resources=[vpc, *subnets], Tags=[{"Key": "Name", "Value": "docsearch"}])
    return {"vpc": vpc, "subnets": subnets, "group": group}


def _make_everything(clients: Clients) -> None:
    network = _make_network(clients)
    subnets, group = network["subnets"], network["group"]
    kms = clients("kms")
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/docsearch", TargetKeyId=key)
    kms.replicate_key(KeyId=key, ReplicaRegion="us-west-2")
    kms.describe_key(KeyId="alias/aws/s3")

    s3 = clients("s3")
    for bucket in ("docsearch-logs", "docsearch-documents"):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    delivery = {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject"}
    policy = {"Statement": [{**delivery, "Resource": "arn:aws:s3:::docsearch-logs/*"}]}
    s3.put_bucket_policy(Bucket="docsearch-logs", Policy=json.dumps(policy))
    s3.put_bucket_logging(
        Bucket="docsearch-documents",
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "docsearch-logs", "TargetPrefix": "s3/"}},
    )
    s3.put_object(Bucket="docsearch-documents", Key="a b/ü+%2F.txt", Body=b"x" * 1000, Metadata={"my_key": "v"})
    s3.get_object(Bucket="docsearch-documents", Key="a b/ü+%2F.txt")

    secrets = clients("secretsmanager")
    secrets.create_secret(Name="docsearch/db", SecretString="canary-1", KmsKeyId=key)
    secrets.put_secret_value(SecretId="docsearch/db", SecretString="canary-2")
    blob = kms.encrypt(KeyId=key, Plaintext=b"canary-3")["CiphertextBlob"]
    secrets.create_secret(Name="docsearch/blob", SecretBinary=blob)

    rds = clients("rds")
    rds.create_db_subnet_group(DBSubnetGroupName="db", DBSubnetGroupDescription="db", SubnetIds=subnets)
    database = rds.create_db_instance(
        DBInstanceIdentifier="docsearch",
        DBInstanceClass="db.r6g.large",
        Engine="postgres",
        AllocatedStorage=100,
        MasterUsername="docsearch",
        MasterUserPassword="correct-horse",
        DBSubnetGroupName="db",
        VpcSecurityGroupIds=[group],
        MultiAZ=True,
    )["DBInstance"]["DBInstanceArn"]
    clients("rds", "us-west-2").create_db_instance_read_replica(
        DBInstanceIdentifier="docsearch-dr", SourceDBInstanceIdentifier=database, DBInstanceClass="db.r6g.large"
    )

    dns = clients("route53")
    zone = dns.create_hosted_zone(Name="docsearch.example.", CallerReference="1")["HostedZone"]["Id"]
    check = dns.create_health_check(
        CallerReference="1",
        HealthCheckConfig={"Type": "HTTPS", "FullyQualifiedDomainName": "prod.docsearch.example", "Port": 443},
    )["HealthCheck"]["Id"]
    record = {
        "Name": "search.docsearch.example.",
        "Type": "CNAME",
        "TTL": 60,
        "SetIdentifier": "primary",
        "Failover": "PRIMARY",
        "HealthCheckId": check,
        "ResourceRecords": [{"Value": "prod.docsearch.example"}],
    }
    dns.change_resource_record_sets(
        HostedZoneId=zone, ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    )

    iam = clients("iam")
    iam.create_role(RoleName="nodes", AssumeRolePolicyDocument='{"Version":"2012-10-17","Statement":[]}')
    role = iam.get_role(RoleName="nodes")["Role"]["Arn"]
    clients("logs").create_log_group(logGroupName="/docsearch/flow")
    topic = clients("sns").create_topic(Name="alarms")["TopicArn"]
    clients("cloudwatch").put_metric_alarm(
        AlarmName="cpu",
        MetricName="CPUUtilization",
        Namespace="AWS/RDS",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=3,
        Period=60,
        Statistic="Average",
        Threshold=80.0,
        AlarmActions=[topic],
    )
    elb = clients("elbv2")
    balancer = elb.create_load_balancer(Name="public", Subnets=subnets, SecurityGroups=[group])
    target = elb.create_target_group(Name="api", Protocol="HTTP", Port=80, VpcId=network["vpc"], TargetType="ip")
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target["TargetGroups"][0]["TargetGroupArn"]}],
    )
    clients("eks").create_cluster(name="docsearch", roleArn=role, resourcesVpcConfig={"subnetIds": subnets})
    clients("opensearch").create_domain(DomainName="docsearch", EngineVersion="OpenSearch_2.19")
    clients("elasticache").create_replication_group(
        ReplicationGroupId="cache",
        ReplicationGroupDescription="cache",
        NumCacheClusters=2,
        CacheNodeType="cache.r7g.large",
    )
    clients("mq").create_broker(
        BrokerName="queue",
        DeploymentMode="CLUSTER_MULTI_AZ",
        EngineType="RABBITMQ",
        EngineVersion="3.13",
        HostInstanceType="mq.m5.large",
        PubliclyAccessible=False,
        AutoMinorVersionUpgrade=True,
        Users=[{"Username": "docsearch", "Password": "canary-4-abcdefgh"}],
    )
    clients("backup").create_backup_vault(BackupVaultName="vault")


_READS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("us-east-1", "ec2", "describe_vpcs", {}),
    ("us-west-2", "ec2", "describe_vpcs", {}),
    ("us-east-1", "ec2", "describe_subnets", {}),
    ("us-west-2", "ec2", "describe_subnets", {}),
    ("us-east-1", "ec2", "describe_internet_gateways", {}),
    ("us-east-1", "ec2", "describe_nat_gateways", {}),
    ("us-east-1", "ec2", "describe_route_tables", {}),
    ("us-east-1", "ec2", "describe_security_groups", {}),
    ("us-east-1", "ec2", "describe_vpc_endpoints", {}),
    ("us-east-1", "ec2", "describe_vpc_endpoint_services", {}),
    ("us-east-1", "ec2", "describe_network_interfaces", {}),
    ("us-east-1", "kms", "list_keys", {}),
    ("us-west-2", "kms", "list_keys", {}),
    ("us-east-1", "kms", "describe_key", {"KeyId": "alias/docsearch"}),
    ("us-east-1", "kms", "describe_key", {"KeyId": "alias/aws/s3"}),
    ("us-east-1", "s3", "list_buckets", {}),
    ("us-east-1", "s3", "list_object_versions", {"Bucket": "docsearch-logs"}),
    ("us-east-1", "s3", "get_bucket_policy", {"Bucket": "docsearch-logs"}),
    ("us-east-1", "secretsmanager", "list_secrets", {}),
    ("us-east-1", "secretsmanager", "get_secret_value", {"SecretId": "docsearch/db"}),
    ("us-east-1", "rds", "describe_db_subnet_groups", {}),
    ("us-east-1", "route53", "list_hosted_zones", {}),
    ("us-east-1", "route53", "list_health_checks", {}),
    ("us-east-1", "iam", "list_roles", {}),
    ("us-east-1", "logs", "describe_log_groups", {}),
    ("us-east-1", "sns", "list_topics", {}),
    ("us-east-1", "cloudwatch", "describe_alarms", {}),
    ("us-east-1", "elbv2", "describe_load_balancers", {}),
    ("us-east-1", "elbv2", "describe_target_groups", {}),
    ("us-east-1", "eks", "describe_cluster", {"name": "docsearch"}),
    ("us-east-1", "opensearch", "describe_domain", {"DomainName": "docsearch"}),
    ("us-east-1", "elasticache", "describe_replication_groups", {}),
    ("us-east-1", "mq", "list_brokers", {}),
    ("us-east-1", "backup", "list_backup_vaults", {}),
    # What RDS says of an instance ends with the current time (LatestRestorableTime).
    ("us-east-1", "rds", "describe_db_instances", {}),
    ("us-west-2", "rds", "describe_db_instances", {}),
)


def _describe_everything(clients: Clients) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for region, service, action, arguments in _READS:
        answer = getattr(clients(service, region), action)(**arguments)
        answer.pop("ResponseMetadata")
        for instance in answer.get("DBInstances", ()):
            instance.pop("LatestRestorableTime", None)
        said[f"{region} {service} {action} {arguments}"] = answer
    for balancer in clients("elbv2").describe_load_balancers()["LoadBalancers"]:
        for listener in clients("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]:
            rules = clients("elbv2").describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
            said[f"rules of {listener['ListenerArn']}"] = rules
    return said


@pytest.fixture
def make_everything() -> Callable[[Clients], None]:
    """Creates one of everything that our stacks hold, in both regions, with reads in between."""
    return _make_everything


@pytest.fixture
def describe_everything() -> Callable[[Clients], dict[str, Any]]:
    """What the local cloud tells about all of it."""
    return _describe_everything


class MotoProcess:
    """`python -m infra.local.cloud` over a folder, at a port of this machine."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.client = cache(self._client)
        command = [
            sys.executable,
            "-m",
            "infra.local.cloud",
            "--root",
            str(folder),
            "--port",
            str(self.port),
            *arguments,
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONHASHSEED": "0"})

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError):
                if self.get("/docsearch/health")["ready"]:
                    return
            time.sleep(0.05)
        raise AssertionError(f"moto is not ready: {self.end(signal.SIGKILL)}")

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, value: object) -> Any:
        return self._ask("POST", path, json.dumps(value))

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path, None)

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def _client(self, service: str, region: str = "us-east-1") -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(retries={"mode": "standard", "total_max_attempts": 1}),
        )

    def end(self, number: signal.Signals) -> str:
        """Sends a signal and waits for the end; gives what was printed."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)[1].decode()


@pytest.fixture
def moto_process(tmp_path: Path) -> Iterator[Callable[..., MotoProcess]]:
    """Runs the moto process of this test; again for each call, after the one before was killed."""
    runs: list[MotoProcess] = []

    def run(*arguments: str) -> MotoProcess:
        for earlier in runs:
            earlier.end(signal.SIGKILL)
        moto = MotoProcess(tmp_path / "moto", *arguments)
        runs.append(moto)
        moto.wait_until_ready()
        return moto

    yield run
    for moto in runs:
        moto.end(signal.SIGKILL)
