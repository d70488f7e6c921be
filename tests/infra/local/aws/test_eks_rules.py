"""What EKS refuses of clusters, node groups and what acts in them."""

from typing import Any

import pytest

from infra.local.aws.eks import (
    ACCESS_ENTRY,
    ACCESS_POLICY_ASSOCIATION,
    ADDON,
    CLUSTER,
    LAUNCH_TEMPLATE,
    NODE_GROUP,
    POD_IDENTITY_ASSOCIATION,
)
from infra.local.aws.eks_rules import cluster_replaces
from infra.local.aws.model import Type
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.world import refusals

ROLE = "arn:aws:iam::123456789012:role/nodes"
NETWORK = {"subnetIds": ["a", "b"], "endpointPrivateAccess": True, "endpointPublicAccess": False}

TAKEN: dict[str, tuple[Type, Props]] = {
    "cluster": (
        CLUSTER,
        {
            "name": "cluster-0badcafe",
            "version": "1.35",
            "vpcConfig": {**NETWORK, "securityGroupIds": ["1", "2", "3", "4", "5"]},
            "kubernetesNetworkConfig": {"serviceIpv4Cidr": "172.20.0.0/16"},
        },
    ),
    "nodes": (
        NODE_GROUP,
        {
            "nodeGroupName": "general-a",
            "amiType": "AL2023_x86_64_STANDARD",
            "instanceTypes": ["m6i.xlarge", "c7i.xlarge"],
            "scalingConfig": {"minSize": 0, "desiredSize": 1, "maxSize": 1},
            "updateConfig": {"maxUnavailablePercentage": 33},
            "launchTemplate": {"id": "lt-1", "version": "1"},
            "taints": [{"key": "a", "value": "b", "effect": "NO_SCHEDULE"}],
        },
    ),
    "template": (
        LAUNCH_TEMPLATE,
        {
            "name": "nodes",
            "metadataOptions": {"httpPutResponseHopLimit": 1},
            "tagSpecifications": [{"resourceType": "instance"}, {"resourceType": "volume"}],
            "blockDeviceMappings": [{"ebs": {"volumeType": "gp3", "volumeSize": 100, "encrypted": "true"}}],
        },
    ),
    "addon": (ADDON, {"addonVersion": "v1.22.4-eksbuild.3", "configurationValues": "{}"}),
    "entry": (ACCESS_ENTRY, {"principalArn": ROLE, "type": "STANDARD", "kubernetesGroups": ["a"]}),
    "policy": (
        ACCESS_POLICY_ASSOCIATION,
        {
            "policyArn": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
            "accessScope": {"type": "namespace", "namespaces": ["docsearch"]},
        },
    ),
    "pods": (POD_IDENTITY_ASSOCIATION, {"roleArn": ROLE}),
}


@pytest.mark.parametrize("what", TAKEN)
def test_what_is_taken(what: str) -> None:
    type_, props = TAKEN[what]
    assert refusals(type_, props) == []
    assert refusals(type_, dict.fromkeys(props, UNKNOWN)) == []


@pytest.mark.parametrize(
    ("what", "broken", "message"),
    [
        ("cluster", {"name": "-a"}, "Cluster name must match"),
        ("cluster", {"name": "a" * 101}, "at most 100 characters"),
        ("cluster", {"version": "1.35.2"}, "unsupported Kubernetes version"),
        ("cluster", {"vpcConfig": {**NETWORK, "subnetIds": ["a"]}}, "at least two different AZs"),
        ("cluster", {"vpcConfig": {**NETWORK, "securityGroupIds": list("123456")}}, "up to five security groups"),
        ("cluster", {"vpcConfig": {**NETWORK, "endpointPrivateAccess": False}}, "endpoint access cannot be false"),
        ("cluster", {"vpcConfig": {**NETWORK, "publicAccessCidrs": ["192.0.2.0/24"]}}, "publicAccessCidrs may not"),
        ("cluster", {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "172.20.0.0/25"}}, "between /12 and /24"),
        ("cluster", {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "100.64.0.0/16"}}, "within 10.0.0.0/8"),
        ("cluster", {"computeConfig": {"enabled": True}}, "all enabled or all disabled"),
        ("nodes", {"nodeGroupName": "a" * 64}, "longer than 63 characters"),
        ("nodes", {"scalingConfig": {"minSize": 2, "desiredSize": 2, "maxSize": 1}}, "greater than maximum size 1"),
        ("nodes", {"scalingConfig": {"minSize": 1, "desiredSize": 3, "maxSize": 2}}, "from 1 to 2"),
        ("nodes", {"scalingConfig": {"minSize": 0, "desiredSize": 0, "maxSize": 0}}, "maxSize at least 1"),
        ("nodes", {"instanceTypes": ["m6i.xlarge"] * 21}, "0-20 instance types"),
        ("nodes", {"instanceTypes": ["m7g.xlarge"]}, "[m7g.xlarge] is not a valid instance type"),
        ("nodes", {"amiType": "AL2023_ARM_64_STANDARD", "instanceTypes": ["m6i.xlarge"]}, "not a valid instance type"),
        ("nodes", {"taints": [{"key": "a"}] * 51}, "at most 50 taints"),
        ("nodes", {"taints": [{"key": "a" * 64}]}, "key of 1 to 63 characters"),
        ("nodes", {"updateConfig": {}}, "exactly one of maxUnavailable"),
        ("nodes", {"updateConfig": {"maxUnavailable": 101}}, "from 1 to 100"),
        ("nodes", {"diskSize": 20}, "within the launch template"),
        ("nodes", {"remoteAccess": {"ec2SshKey": "a"}}, "Remote access configuration cannot be specified"),
        ("template", {"name": "a"}, "3 to 128"),
        ("template", {"metadataOptions": {"httpPutResponseHopLimit": 65}}, "from 1 to 64"),
        ("template", {"tagSpecifications": [{"resourceType": "volume"}] * 2}, "only once"),
        (
            "template",
            {"blockDeviceMappings": [{"ebs": {"volumeType": "gp3", "volumeSize": 65_537}}]},
            "volumeSize of gp3 must be from 1 to 65536, not 65537",
        ),
        (
            "template",
            {"blockDeviceMappings": [{"ebs": {"volumeType": "gp3", "throughput": 124}}]},
            "from 125 to 2000",
        ),
        (
            "template",
            {"blockDeviceMappings": [{"ebs": {"encrypted": "false", "kmsKeyId": "key"}}]},
            "KmsKeyId requires the parameter Encrypted",
        ),
        ("addon", {"addonVersion": "1.22.4"}, "Addon version specified is not supported"),
        ("addon", {"configurationValues": "[]"}, "not in valid JSON"),
        ("addon", {"configurationValues": "a: b"}, "not in valid JSON"),
        ("addon", {"podIdentityAssociations": [{"serviceAccount": "a"}] * 2}, "one association only"),
        ("entry", {"principalArn": "arn:aws:sts::123456789012:assumed-role/a/b"}, "invalid principal"),
        ("entry", {"principalArn": "arn:aws:iam::123456789012:root"}, "invalid principal"),
        ("entry", {"type": "EC2_LINUX"}, "takes groups and a user name"),
        ("policy", {"policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}, "format is not valid"),
        ("policy", {"accessScope": {"type": "cluster", "namespaces": ["a"]}}, "type namespace, and only then"),
        ("policy", {"accessScope": {"type": "namespace"}}, "type namespace, and only then"),
        ("pods", {"roleArn": "role"}, "does not exist"),
        ("pods", {"policy": "{}"}, "needs disableSessionTags"),
    ],
)
def test_what_is_refused(what: str, broken: dict[str, Any], message: str) -> None:
    type_, props = TAKEN[what]
    reasons = refusals(type_, {**props, **broken})
    assert len(reasons) == 1
    assert message in reasons[0]


COMPUTE = {"enabled": True, "nodePools": ["system"], "nodeRoleArn": ROLE}


@pytest.mark.parametrize(
    ("old", "new", "replaced"),
    [
        ({"nodeRoleArn": "other"}, {}, True),
        ({}, {"nodeRoleArn": None}, True),
        ({}, {"nodeRoleArn": None, "enabled": False}, False),
        ({}, {"nodeRoleArn": None, "nodePools": []}, False),
        ({"nodeRoleArn": None}, {}, False),
        ({}, {}, False),
    ],
)
def test_the_role_of_automatic_nodes_replaces_their_cluster(old: Props, new: Props, replaced: bool) -> None:
    before, after = ({"computeConfig": {**COMPUTE, **said}} for said in (old, new))
    assert [*cluster_replaces(before, after)] == ["computeConfig.nodeRoleArn"] * replaced
    assert [*cluster_replaces(before, {})] == []


def test_the_way_out_of_a_control_plane_goes_back_with_a_new_cluster_only() -> None:
    ours, theirs = ({"vpcConfig": {"controlPlaneEgressMode": mode}} for mode in ("CUSTOMER_ROUTED", "AWS_MANAGED"))
    assert [*cluster_replaces(ours, theirs)] == ["vpcConfig.controlPlaneEgressMode"]
    assert [*cluster_replaces(theirs, ours)] == []
    assert [*cluster_replaces(ours, {"vpcConfig": UNKNOWN})] == []


@pytest.mark.parametrize("block", ["172.20.0.0", "172.20.0.0/33", "services"])
def test_a_block_of_services_that_is_none(block: str) -> None:
    (message,) = refusals(CLUSTER, {"kubernetesNetworkConfig": {"serviceIpv4Cidr": block}})
    assert "must be between /12 and /24" in message
