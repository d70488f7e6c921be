"""Machines and disks of a good generation."""

from typing import Final

from tests.policies.good import GONE, Good

TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
NODES: Final = "aws:eks/nodeGroup:NodeGroup"
DATABASE: Final = "aws:rds/instance:Instance"
CLASS: Final = "kubernetes:storage.k8s.io/v1:StorageClass"

GOOD: Final = (
    Good(TEMPLATE, "blockDeviceMappings[*].ebs.volumeType", "cost-old-gen", ("gp2", "io1", "standard", GONE)),
    Good(NODES, "instanceTypes[*]", "cost-old-gen", ("m4.xlarge", "c3.large", "t2.micro", "r4.16xlarge")),
    Good(DATABASE, "storageType", "cost-old-gen", ("gp2", "standard", "io1")),
    Good(CLASS, "parameters.type", "cost-old-gen", ("gp2", "standard")),
)
