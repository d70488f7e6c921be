"""What resources under test stand on: made once, by plain calls to the cloud."""

import json
from functools import cached_property
from typing import Any

from infra.local.aws import AwsPackage
from infra.local.aws.model import Type
from infra.local.aws.session import AwsSession
from infra.local.resource import Props, Ref
from infra.local.store import Store

ACCOUNT = "123456789012"
DEFAULT_TAGS = {"project": "docsearch"}
ZONES = "abc"


def ref(token: str, name: str = "thing") -> Ref:
    """A resource of a program."""
    return Ref(f"urn:pulumi:test::docsearch::{token}::{name}", token, name, bytes(range(20)))


def document(action: str, effect: str = "Allow", **more: Any) -> str:
    """A policy of one statement."""
    statement = {"Effect": effect, "Action": action, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


class Place:
    """One region: a session of the provider, and what resources in it refer to."""

    def __init__(self, session: AwsSession) -> None:
        self.session = session
        self.name = session.region.name

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """A call behind the provider's back."""
        return self.session.region.call(service, operation, **params)

    @cached_property
    def vpc(self) -> str:
        vpc: str = self.call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        return vpc

    @cached_property
    def subnets(self) -> list[str]:
        return [self.subnet(f"10.0.{number}.0/24", zone) for number, zone in enumerate(ZONES)]

    def subnet(self, block: str, zone: str) -> str:
        made = self.call("ec2", "CreateSubnet", VpcId=self.vpc, CidrBlock=block, AvailabilityZone=f"{self.name}{zone}")
        subnet: str = made["Subnet"]["SubnetId"]
        return subnet

    @cached_property
    def groups(self) -> list[str]:
        return [
            self.call("ec2", "CreateSecurityGroup", GroupName=name, Description=name, VpcId=self.vpc)["GroupId"]
            for name in ("one", "two")
        ]

    @cached_property
    def gateway(self) -> str:
        gateway: str = self.call("ec2", "CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
        self.call("ec2", "AttachInternetGateway", InternetGatewayId=gateway, VpcId=self.vpc)
        return gateway

    @cached_property
    def nat(self) -> str:
        address = self.call("ec2", "AllocateAddress", Domain="vpc")["AllocationId"]
        made = self.call("ec2", "CreateNatGateway", SubnetId=self.subnets[0], AllocationId=address)
        nat: str = made["NatGateway"]["NatGatewayId"]
        return nat

    @cached_property
    def tables(self) -> list[str]:
        return [self.call("ec2", "CreateRouteTable", VpcId=self.vpc)["RouteTable"]["RouteTableId"] for _ in "12"]

    @cached_property
    def key(self) -> str:
        arn: str = self.call("kms", "CreateKey", MultiRegion=True)["KeyMetadata"]["Arn"]
        return arn

    @cached_property
    def role(self) -> str:
        trust = document("sts:AssumeRole", Principal={"Service": "rds.amazonaws.com"})
        arn: str = self.call("iam", "CreateRole", RoleName=self.name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        return arn

    @cached_property
    def policy(self) -> str:
        made = self.call(
            "iam", "CreatePolicy", PolicyName="some", PolicyDocument=document("s3:GetObject", Resource="*")
        )
        arn: str = made["Policy"]["Arn"]
        return arn

    @cached_property
    def log_group(self) -> str:
        self.call("logs", "CreateLogGroup", logGroupName="flow")
        return f"arn:aws:logs:{self.name}:{ACCOUNT}:log-group:flow"

    @cached_property
    def topic(self) -> str:
        arn: str = self.call("sns", "CreateTopic", Name="alarms")["TopicArn"]
        return arn

    @cached_property
    def bucket(self) -> str:
        """Versioned, and its logs go into itself."""
        name = f"documents-{self.name}"
        where = {} if self.name == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.name}}
        self.call("s3", "CreateBucket", Bucket=name, **where)
        self.call("s3", "PutBucketVersioning", Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        delivery = document(
            "s3:PutObject", Principal={"Service": "logging.s3.amazonaws.com"}, Resource=f"arn:aws:s3:::{name}/*"
        )
        self.call("s3", "PutBucketPolicy", Bucket=name, Policy=delivery)
        return name

    @cached_property
    def locked_bucket(self) -> str:
        self.call("s3", "CreateBucket", Bucket="locked", ObjectLockEnabledForBucket=True)
        return "locked"

    @cached_property
    def secret(self) -> str:
        arn: str = self.call("secretsmanager", "CreateSecret", Name="some")["ARN"]
        return arn

    @cached_property
    def zone(self) -> str:
        made = self.call("route53", "CreateHostedZone", Name="example.com.", CallerReference="zone")
        zone: str = made["HostedZone"]["Id"].split("/")[-1]
        return zone

    @cached_property
    def health_check(self) -> str:
        config = {"Type": "TCP", "IPAddress": "192.0.2.1", "Port": 443}
        made = self.call("route53", "CreateHealthCheck", CallerReference="check", HealthCheckConfig=config)
        check: str = made["HealthCheck"]["Id"]
        return check

    @cached_property
    def certificate(self) -> str:
        arn: str = self.call("acm", "RequestCertificate", DomainName="example.com")["CertificateArn"]
        return arn

    @cached_property
    def balancer(self) -> str:
        made = self.call("elbv2", "CreateLoadBalancer", Name="some", Subnets=self.subnets)
        arn: str = made["LoadBalancers"][0]["LoadBalancerArn"]
        return arn

    @cached_property
    def target_group(self) -> str:
        made = self.call("elbv2", "CreateTargetGroup", Name="some", Protocol="HTTP", Port=80, VpcId=self.vpc)
        arn: str = made["TargetGroups"][0]["TargetGroupArn"]
        return arn

    @cached_property
    def subnet_group(self) -> str:
        self.call(
            "rds",
            "CreateDBSubnetGroup",
            DBSubnetGroupName="data",
            DBSubnetGroupDescription="data",
            SubnetIds=self.subnets,
        )
        return "data"

    @cached_property
    def cluster(self) -> str:
        network = {"subnetIds": self.subnets, "endpointPrivateAccess": True}
        self.call("eks", "CreateCluster", name="some", version="1.34", roleArn=self.role, resourcesVpcConfig=network)
        return "some"

    @cached_property
    def launch_template(self) -> str:
        """With two versions."""
        data = {"Monitoring": {"Enabled": True}}
        made = self.call("ec2", "CreateLaunchTemplate", LaunchTemplateName="nodes", LaunchTemplateData=data)
        template: str = made["LaunchTemplate"]["LaunchTemplateId"]
        self.call("ec2", "CreateLaunchTemplateVersion", LaunchTemplateId=template, LaunchTemplateData=data)
        return template

    @cached_property
    def parameter_group(self) -> str:
        self.call(
            "rds",
            "CreateDBParameterGroup",
            DBParameterGroupName="tuned",
            DBParameterGroupFamily="postgres18",
            Description="tuned",
        )
        return "tuned"

    @cached_property
    def database(self) -> dict[str, Any]:
        """An instance that replicas can follow."""
        made = self.call(
            "rds",
            "CreateDBInstance",
            DBInstanceIdentifier="source",
            DBInstanceClass="db.m7g.large",
            Engine="postgres",
            EngineVersion="18.1",
            AllocatedStorage=400,
            StorageType="gp3",
            MasterUsername="master",
            MasterUserPassword="correct-horse",
            StorageEncrypted=True,
            KmsKeyId=self.key,
            BackupRetentionPeriod=7,
            EnableCloudwatchLogsExports=["postgresql", "upgrade"],
            DBSubnetGroupName=self.subnet_group,
            DBParameterGroupName=self.parameter_group,
            DeletionProtection=True,
        )
        instance: dict[str, Any] = made["DBInstance"]
        return instance

    @cached_property
    def broker_configuration(self) -> dict[str, Any]:
        """A configuration of RabbitMQ, as a broker refers to it."""
        made = self.call("mq", "CreateConfiguration", Name="some", EngineType="RABBITMQ", EngineVersion="4.2")
        return {"id": made["Id"], "revision": made["LatestRevision"]["Revision"]}


class World:
    """A cloud with both regions.

    Attributes:
        package: The provider.
        store: Where it keeps what it only records.
        east, west: The regions.
    """

    def __init__(self, package: AwsPackage, store: Store) -> None:
        self.package = package
        self.store = store
        self.east, self.west = (Place(self._configure(region)) for region in ("us-east-1", "us-west-2"))

    def _configure(self, region: str) -> AwsSession:
        config: Props = {"region": region, "defaultTags": json.dumps({"tags": DEFAULT_TAGS})}
        return self.package.configure(config)


def checked(place: Place, about: Ref, said: Props, old: Props | None = None) -> Props:
    """A program's inputs as the provider fills them in; they must be fine."""
    inputs, failures = place.session.check(about, old or {}, said)
    assert failures == []
    return inputs


def make(place: Place, about: Ref, said: Props) -> tuple[str, Props, Props]:
    """Create a resource: its id, inputs and outputs."""
    inputs = checked(place, about, said)
    id, outputs = place.session.create(about, inputs, False)
    return id, inputs, outputs


def refusals(type_: Type, said: Props) -> list[str]:
    """What the service refuses about the inputs, as its messages."""
    assert type_.validate is not None
    return [failure.reason for failure in type_.validate(said)]
