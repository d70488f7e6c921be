"""The cluster's and its nodes' good settings."""

import json
from typing import Any, Final

from policies.rule import Resource
from tests.policies.good import GONE, Good

CLUSTER: Final = "aws:eks/cluster:Cluster"
NODES: Final = "aws:eks/nodeGroup:NodeGroup"
ADDON: Final = "aws:eks/addon:Addon"
ENTRY: Final = "aws:eks/accessEntry:AccessEntry"
ENTRY_POLICY: Final = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
TEMPLATE: Final = "aws:ec2/launchTemplate:LaunchTemplate"
BALANCER: Final = "aws:lb/loadBalancer:LoadBalancer"
CLASS: Final = "kubernetes:storage.k8s.io/v1:StorageClass"


def steady(resource: Resource) -> bool:
    return "indexing" not in resource.name


def spot(resource: Resource) -> bool:
    return not steady(resource)


def addon(name: str) -> Any:
    return lambda resource: resource.props["addonName"] == name


def without(key: str) -> Any:
    return lambda text: json.dumps({its: value for its, value in json.loads(text).items() if its != key})


def shorter(some: list[Any]) -> list[Any]:
    return some[:-1]


def fewer_replicas(text: str) -> str:
    values = json.loads(text)
    return json.dumps({**values, "autoScaling": {**values["autoScaling"], "minReplicas": 1}})


def fixed_replicas(text: str) -> str:
    values = json.loads(text)
    return json.dumps({**values, "autoScaling": {**values["autoScaling"], "enabled": False}})


FOREIGN: Final = (
    "arn:aws:iam::999999999999:role/docsearch-deploy",
    "arn:aws:iam::123456789012:root",
    "arn:aws:iam::123456789012:user/somebody",
    "*",
    GONE,
)

GOOD: Final = (
    Good("kubernetes:storage.k8s.io/v1:StorageClass", "allowVolumeExpansion", "storage-class", (False, GONE)),
    Good(CLUSTER, "encryptionConfig", "eks-secrets-kms"),
    Good(CLUSTER, "encryptionConfig.resources", "eks-secrets-kms", ([], GONE)),
    Good(CLUSTER, "encryptionConfig.provider.keyArn", "eks-secrets-kms", ("", "alias/aws/eks", GONE)),
    Good(CLUSTER, "vpcConfig.endpointPrivateAccess", "eks-endpoint", (False, GONE)),
    Good(CLUSTER, "vpcConfig.endpointPublicAccess", "eks-endpoint", (True, GONE)),
    Good(CLUSTER, "vpcConfig.subnetIds", "eks-zones", (shorter, [], GONE)),
    Good(CLUSTER, "accessConfig", "eks-access-api"),
    Good(CLUSTER, "accessConfig.authenticationMode", "eks-access-api", ("CONFIG_MAP", "API_AND_CONFIG_MAP", GONE)),
    Good(CLUSTER, "accessConfig.bootstrapClusterCreatorAdminPermissions", "eks-access-api", (True, GONE)),
    Good(CLUSTER, "enabledClusterLogTypes", "eks-logs", (shorter, ["api"], [], GONE)),
    Good(CLUSTER, "upgradePolicy.supportType", "eks-standard-support", ("EXTENDED", GONE)),
    Good(CLUSTER, "version", "eks-version", (GONE, "", "latest")),
    Good(CLUSTER, "zonalShiftConfig.enabled", "zonal-shift", (False, GONE)),
    Good(BALANCER, "enableZonalShift", "zonal-shift", (False, GONE)),
    Good(NODES, "version", "eks-version", (GONE, "")),
    Good(NODES, "", "nodes-min", where=steady),
    Good(NODES, "scalingConfig.minSize", "nodes-min", (0, GONE), where=steady),
    Good(NODES, "scalingConfig.maxSize", "nodes-spare", (2, 1, 0, GONE), where=steady),
    Good(NODES, "scalingConfig.maxSize", "nodes-spare", (0, GONE), where=spot),
    Good(NODES, "subnetIds", "nodes-min", ([], GONE), unknown=False),
    Good(NODES, "subnetIds", "nodes-min", (shorter,), unknown=False, where=spot),
    Good(NODES, "capacityType", "nodes-on-demand", ("SPOT", "CAPACITY_BLOCK"), where=steady),
    Good(NODES, "updateConfig.maxUnavailablePercentage", "nodes-update", (100, 50)),
    Good(NODES, "updateConfig", "nodes-update", ({"maxUnavailable": 5},)),
    Good(NODES, "nodeRepairConfig.enabled", "nodes-repair", (False, GONE)),
    Good(NODES, "amiType", "nodes-image", ("AL2_x86_64", "CUSTOM", GONE)),
    Good(NODES, "launchTemplate.id", "eks-node-exposure", (GONE, "")),
    Good(TEMPLATE, "vpcSecurityGroupIds", "eks-node-exposure", ([], GONE)),
    Good(TEMPLATE, "metadataOptions", "imdsv2"),
    Good(TEMPLATE, "metadataOptions.httpTokens", "imdsv2", ("optional", GONE)),
    Good(TEMPLATE, "metadataOptions.httpPutResponseHopLimit", "imdsv2", (2, 64, GONE)),
    Good(TEMPLATE, "blockDeviceMappings[*].ebs.encrypted", "ebs-encrypted", ("false", False, GONE)),
    Good(TEMPLATE, "blockDeviceMappings[*].ebs.kmsKeyId", "ebs-encrypted", ("", "alias/aws/ebs", GONE)),
    Good(TEMPLATE, "blockDeviceMappings", "ebs-encrypted", ([], GONE), unknown=False),
    Good(CLASS, "parameters.encrypted", "ebs-encrypted", ("false", GONE)),
    Good(CLASS, "parameters.kmsKeyId", "ebs-encrypted", ("", GONE)),
    Good(CLASS, "reclaimPolicy", "storage-class", ("Delete", GONE)),
    Good(CLASS, "volumeBindingMode", "storage-class", ("Immediate", GONE)),
    Good(ADDON, "", "eks-addons"),
    Good(ADDON, "addonName", "eks-addons", ("adot",), unknown=False),
    Good(ADDON, "addonVersion", "eks-addon-pinned", (GONE, "", "latest")),
    Good(
        ADDON,
        "configurationValues",
        "eks-network-policy",
        (without("enableNetworkPolicy"), '{"enableNetworkPolicy": "false"}', "not JSON", GONE),
        where=addon("vpc-cni"),
    ),
    Good(
        ADDON,
        "configurationValues",
        "eks-dns",
        (without("autoScaling"), without("topologySpreadConstraints"), fewer_replicas, fixed_replicas, GONE),
        where=addon("coredns"),
    ),
    Good(ENTRY, "principalArn", "eks-access-ours", FOREIGN),
    Good(ENTRY_POLICY, "principalArn", "eks-access-ours", FOREIGN),
)
