"""Clusters: Kubernetes, OpenSearch, brokers."""

from __future__ import annotations

from typing import Any

from infra.plan import Change
from tests.infra.cost.golden import Case
from tests.infra.cost.priced import made

EKS = "aws:eks/cluster:Cluster"
GROUP = "aws:eks/nodeGroup:NodeGroup"
TEMPLATE = "aws:ec2/launchTemplate:LaunchTemplate"
EC2 = "aws:ec2/instance:Instance"
VOLUME = "aws:ebs/volume:Volume"
DOMAIN = "aws:opensearch/domain:Domain"
MQ = "aws:mq/broker:Broker"
RABBIT = "kubernetes:rabbitmq.com/v1beta1:RabbitmqCluster"
CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
EKS_PRICES = "aws.amazon.com/eks/pricing"
EC2_PRICES = "aws.amazon.com/ec2/pricing/on-demand, aws.amazon.com/ebs/pricing"
ES_PRICES = "aws.amazon.com/opensearch-service/pricing"
MQ_PRICES = "aws.amazon.com/amazon-mq/pricing"
WATCH_PRICES = "aws.amazon.com/cloudwatch/pricing"


def scaled(least: int, desired: int, most: int) -> dict[str, int]:
    return {"minSize": least, "desiredSize": desired, "maxSize": most}


def disk(gib: int, **more: Any) -> list[dict[str, Any]]:
    return [{"deviceName": "/dev/xvda", "ebs": {"volumeType": "gp3", "volumeSize": gib, **more}}]


def domain(data: dict[str, Any], ebs: dict[str, Any] | None = None, **more: Any) -> Change:
    storage = {"ebsEnabled": True, "volumeType": "gp3", **ebs} if ebs else {"ebsEnabled": False}
    return made(DOMAIN, clusterConfig=data, ebsOptions=storage, **{"engineVersion": "OpenSearch_2.19", **more})


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
]
