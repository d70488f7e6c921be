"""Cases: clusters, their node groups, and launch templates."""

from infra.local.resource import Props
from tests.infra.local.aws.case import Case, attribute
from tests.infra.local.aws.world import Place, World

_DEVICES = [
    {
        "deviceName": "/dev/xvda",
        "ebs": {"volumeType": "gp3", "volumeSize": 100, "encrypted": "true", "deleteOnTermination": "true"},
    }
]


def _cluster(place: Place, world: World) -> Props:
    return {
        "name": "cluster-0badcafe",
        "version": "1.34",
        "roleArn": place.role,
        "vpcConfig": {
            "subnetIds": place.subnets,
            "securityGroupIds": [place.groups[0]],
            "endpointPrivateAccess": True,
            "endpointPublicAccess": False,
        },
        "kubernetesNetworkConfig": {"ipFamily": "ipv4", "serviceIpv4Cidr": "172.20.0.0/16"},
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False},
        "bootstrapSelfManagedAddons": False,
        "encryptionConfig": {"provider": {"keyArn": place.key}, "resources": ["secrets"]},
        "enabledClusterLogTypes": ["api", "audit"],
        "upgradePolicy": {"supportType": "STANDARD"},
        "zonalShiftConfig": {"enabled": True},
        "deletionProtection": True,
    }


def _node_group(place: Place, world: World) -> Props:
    return {
        "clusterName": place.cluster,
        "nodeRoleArn": place.role,
        "subnetIds": place.subnets[:1],
        "amiType": "AL2023_x86_64_STANDARD",
        "capacityType": "ON_DEMAND",
        "instanceTypes": ["m6i.xlarge", "m5.xlarge"],
        "launchTemplate": {"id": place.launch_template, "version": "1"},
        "scalingConfig": {"minSize": 8, "desiredSize": 14, "maxSize": 28},
        "updateConfig": {"maxUnavailablePercentage": 33},
        "nodeRepairConfig": {"enabled": True},
        "labels": {"docsearch/pool": "general", "old": "yes"},
        "taints": [{"key": "a", "value": "b", "effect": "NO_SCHEDULE"}],
        "version": "1.34",
    }


EKS = (
    Case(
        "aws:eks/cluster:Cluster",
        _cluster,
        change=lambda place, world: {
            "version": "1.35",
            "vpcConfig": {**_cluster(place, world)["vpcConfig"], "securityGroupIds": place.groups},
            "enabledClusterLogTypes": ["api", "scheduler"],
            "upgradePolicy": {"supportType": "EXTENDED"},
            "zonalShiftConfig": {"enabled": False},
            "deletionProtection": False,
            "tags": {"c": "d"},
        },
        behind=attribute("eks", "UpdateClusterConfig", name="{}", zonalShiftConfig={"enabled": True}),
        drifts="zonalShiftConfig",
        # EKS never tells whether its creator became an administrator, nor who installed its first add-ons; of the
        # network it tells more than a program says.
        unseen=frozenset({"accessConfig", "bootstrapSelfManagedAddons", "vpcConfig"}),
    ),
    Case(
        "aws:eks/nodeGroup:NodeGroup",
        _node_group,
        change=lambda place, world: {
            "launchTemplate": {"id": place.launch_template, "version": "2"},
            "releaseVersion": "1.34.2-20261019",
            "scalingConfig": {"minSize": 10, "desiredSize": 14, "maxSize": 30},
            "updateConfig": {"maxUnavailable": 1},
            "nodeRepairConfig": {"enabled": False},
            "labels": {"docsearch/pool": "other"},
            "taints": [{"key": "a", "value": "c", "effect": "NO_EXECUTE"}],
            "tags": {"c": "d"},
        },
        behind=lambda place, state: place.call(
            "eks",
            "UpdateNodegroupConfig",
            clusterName=place.cluster,
            nodegroupName=state.id.partition(":")[2],
            scalingConfig={"minSize": 1, "desiredSize": 1, "maxSize": 1},
        ),
        drifts="scalingConfig",
    ),
    Case(
        "aws:ec2/launchTemplate:LaunchTemplate",
        lambda place, world: {
            "description": "one",
            "blockDeviceMappings": _DEVICES,
            "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
            "monitoring": {"enabled": True},
            "vpcSecurityGroupIds": [place.groups[0]],
            "tagSpecifications": [{"resourceType": "instance", "tags": {"Name": "node", "owner": "search"}}],
            "updateDefaultVersion": True,
        },
        change=lambda place, world: {
            "description": "two",
            "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 2},
            "vpcSecurityGroupIds": place.groups,
            "tagSpecifications": [{"resourceType": "volume", "tags": {"Name": "node"}}],
            "tags": {"c": "d"},
        },
        behind=attribute(
            "ec2",
            "CreateLaunchTemplateVersion",
            LaunchTemplateId="{}",
            SourceVersion="$Latest",
            LaunchTemplateData={"Monitoring": {"Enabled": False}},
        ),
        drifts="monitoring",
        unseen=frozenset({"updateDefaultVersion"}),
    ),
)
