"""EKS: clusters, their node groups, and who and what may act in them; and the launch templates of nodes.

moto has clusters and node groups. Add-ons, access entries and Pod Identity associations it does not have: they are
recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from infra.local.aws import facts, shapes
from infra.local.aws.cloud import Region
from infra.local.aws.eks_rules import (
    access_entry_rules,
    access_policy_rules,
    addon_rules,
    cluster_replaces,
    cluster_rules,
    launch_template_rules,
    node_group_rules,
    pod_identity_rules,
)
from infra.local.aws.model import Call, Setting, Tagging, Type, ec2_tags
from infra.local.resource import Props

_ARN = "arn:{partition}:eks:{region}:{account}:"
_MISSING = ("ResourceNotFoundException",)

_TAGGED = {"resourceArn": "{arn}"}
_TAGS = Tagging(
    create="tags",
    add=Call("TagResource", (), fixed=_TAGGED),
    remove=Call("UntagResource", (), fixed=_TAGGED),
    get=Call("ListTagsForResource", (), fixed=_TAGGED, at="tags"),
    add_tags="tags",
    remove_keys="tagKeys",
    key="",
)

_CLUSTER = {"name": "{id}"}


def _config(*fields: str, **spelled: str) -> Setting:
    """A kind of setting that EKS changes by itself: one update, one kind."""
    return Setting(Call("UpdateClusterConfig", fields, spelled, _CLUSTER), at_create=False)


def _access(region: Region, context: Props, old: Props, new: Props) -> None:
    """Only the mode can change; who became an administrator at the start is history."""
    mode = (new.get("accessConfig") or {}).get("authenticationMode")
    if mode:
        region.call("eks", "UpdateClusterConfig", name=context["id"], accessConfig={"authenticationMode": mode})


def _logs(region: Region, context: Props, old: Props, new: Props) -> None:
    """The types that are wanted go on, all others off."""
    wanted = list(new.get("enabledClusterLogTypes") or [])
    others = [kind for kind in old.get("enabledClusterLogTypes") or [] if kind not in wanted]
    setup = [{"types": kinds, "enabled": enabled} for kinds, enabled in ((wanted, True), (others, False)) if kinds]
    region.call("eks", "UpdateClusterConfig", name=context["id"], logging={"clusterLogging": setup})


def _network(region: Region, props: Props, description: Any) -> Props:
    """What was given, and what EKS made of it."""
    live = description.get("resourcesVpcConfig", {}) if description else {}
    made = {name: live[name] for name in ("clusterSecurityGroupId", "vpcId") if name in live}
    return {**(props.get("vpcConfig") or {}), **made}


def _as_said(*names: str) -> dict[str, Callable[[Region, Props, Any], Any]]:
    """Outputs that are shown as the program says them."""

    def said(name: str) -> Callable[[Region, Props, Any], Any]:
        return lambda region, props, found: props.get(name)

    return {name: said(name) for name in names}


CLUSTER = Type(
    "aws:eks/cluster:Cluster",
    "eks",
    id="cluster.name",
    import_id="(?P<name>.+)",
    create=Call(
        "CreateCluster",
        (
            "name",
            "version",
            "roleArn",
            "accessConfig",
            "bootstrapSelfManagedAddons",
            "controlPlaneScalingConfig",
            "deletionProtection",
            "encryptionConfig",
            "kubernetesNetworkConfig",
            "upgradePolicy",
            "zonalShiftConfig",
        ),
        {"vpcConfig": "resourcesVpcConfig", "enabledClusterLogTypes": "logging.clusterLogging.types"},
        {"logging": {"clusterLogging": [{"enabled": True}]}},
    ),
    read=Call("DescribeCluster", (), fixed=_CLUSTER, at="cluster"),
    delete=[Call("DeleteCluster", fixed=_CLUSTER)],
    settings=[
        Setting(Call("UpdateClusterVersion", ("version",), fixed=_CLUSTER), at_create=False),
        _config(vpcConfig="resourcesVpcConfig"),
        Setting(
            Call("UpdateClusterConfig", ("accessConfig",), fixed=_CLUSTER),
            at_create=False,
            apply=_access,
        ),
        _config("upgradePolicy"),
        _config("zonalShiftConfig"),
        _config("controlPlaneScalingConfig"),
        _config("kubernetesNetworkConfig"),
        _config("deletionProtection"),
        Setting(
            Call("UpdateClusterConfig", (), {"enabledClusterLogTypes": "logging.clusterLogging.types"}, _CLUSTER),
            at_create=False,
            apply=_logs,
        ),
        Setting(
            Call("AssociateEncryptionConfig", ("encryptionConfig",), fixed={"clusterName": "{id}"}), at_create=False
        ),
    ],
    recorded=frozenset({"forceUpdateVersion"}),
    shows={"enabledClusterLogTypes": "logging.clusterLogging[?enabled].types | [0] || `[]`"},
    tagging=_TAGS,
    outputs={
        "certificateAuthority": "certificateAuthority",
        "identities": lambda region, props, found: [{"oidcs": [(found or {}).get("identity", {}).get("oidc", {})]}],
        "vpcConfig": _network,
        "clusterId": lambda *_: None,
        # Blocks of which EKS tells more than a program says, or that belong to modes of EKS that are not modelled.
        **_as_said(
            "accessConfig",
            "computeConfig",
            "controlPlaneScalingConfig",
            "kubeApiServerConfig",
            "kubeControllerManagerConfig",
            "kubeSchedulerConfig",
            "kubernetesNetworkConfig",
            "storageConfig",
        ),
    },
    replaces=cluster_replaces,
    validate=cluster_rules,
    autoname="name",
    missing=_MISSING,
    note="its API server is a name that never resolves (.invalid): objects in it are recorded",
)

_GROUP = {"clusterName": "{clusterName}", "nodegroupName": "{nodeGroupName}"}


def _changed(region: Region, context: Props, old: Props, new: Props) -> None:
    """Labels and taints are taken away by name; everything else of a group's configuration is said anew."""
    before, after = old.get("labels") or {}, new.get("labels") or {}
    gone = [taint for taint in shapes.blocks(old, "taints") if taint not in shapes.blocks(new, "taints")]
    come = [taint for taint in shapes.blocks(new, "taints") if taint not in shapes.blocks(old, "taints")]
    labels = {
        "addOrUpdateLabels": {key: value for key, value in after.items() if before.get(key) != value},
        "removeLabels": [key for key in before if key not in after],
    }
    taints = {"addOrUpdateTaints": come, "removeTaints": gone}
    config = {name: dict(new[name]) for name in _CONFIG if new.get(name) is not None}
    for name, change in (("labels", labels), ("taints", taints)):
        said = {key: value for key, value in change.items() if value}
        if said:
            config[name] = said
    region.call(
        "eks",
        "UpdateNodegroupConfig",
        clusterName=context["clusterName"],
        nodegroupName=context["nodeGroupName"],
        **config,
    )


_CONFIG = ("scalingConfig", "updateConfig", "nodeRepairConfig")


def _without_name(given: Any) -> Any:
    """A launch template by what the program says of it: EKS answers with its id and its name."""
    if not given:
        return None
    return {key: str(given[key]) for key in ("id", "version") if given.get(key) is not None}


NODE_GROUP = Type(
    "aws:eks/nodeGroup:NodeGroup",
    "eks",
    id="{clusterName}:{nodeGroupName}",
    create=Call(
        "CreateNodegroup",
        (
            "amiType",
            "capacityType",
            "clusterName",
            "instanceTypes",
            "labels",
            "launchTemplate",
            "nodeGroupName",
            "nodeRepairConfig",
            "releaseVersion",
            "scalingConfig",
            "taints",
            "updateConfig",
            "version",
        ),
        {"nodeRoleArn": "nodeRole", "subnetIds": "subnets"},
    ),
    read=Call("DescribeNodegroup", (), fixed=_GROUP, at="nodegroup"),
    delete=[Call("DeleteNodegroup", fixed=_GROUP)],
    settings=[
        Setting(
            Call("UpdateNodegroupVersion", ("version", "releaseVersion", "launchTemplate"), fixed=_GROUP),
            at_create=False,
        ),
        Setting(
            Call(
                "UpdateNodegroupConfig",
                _CONFIG,
                {"labels": "labels.addOrUpdateLabels", "taints": "taints.addOrUpdateTaints"},
                _GROUP,
            ),
            at_create=False,
            apply=_changed,
        ),
    ],
    recorded=frozenset({"forceUpdateVersion"}),
    shows={"launchTemplate": lambda found: _without_name(found.get("launchTemplate"))},
    tagging=_TAGS,
    outputs={
        "arn": "nodegroupArn",
        "resources": lambda region, props, found: [
            {
                "autoscalingGroups": [
                    {"name": group["name"]} for group in (found or {}).get("resources", {}).get("autoScalingGroups", [])
                ]
            }
        ],
        "nodeGroupNamePrefix": lambda *_: None,
        **_as_said("diskSize", "nodeRepairConfig", "updateConfig"),
    },
    validate=node_group_rules,
    autoname="nodeGroupName",
    missing=_MISSING,
    note="no instances are started",
)

ADDON = Type(
    "aws:eks/addon:Addon",
    "eks",
    id="{clusterName}:{addonName}",
    checked=Call(
        "CreateAddon",
        (
            "addonName",
            "addonVersion",
            "clusterName",
            "configurationValues",
            "namespaceConfig",
            "podIdentityAssociations",
            "serviceAccountRoleArn",
        ),
    ),
    recorded=frozenset({"preserve", "resolveConflictsOnCreate", "resolveConflictsOnUpdate"}),
    outputs={"arn": _ARN + "addon/{clusterName}/{addonName}/{hex}"},
    validate=addon_rules,
    note="on AWS an add-on waits until its pods run, and EKS checks its version and values against the add-on's own",
)

ACCESS_ENTRY = Type(
    "aws:eks/accessEntry:AccessEntry",
    "eks",
    id="{clusterName}:{principalArn}",
    checked=Call("CreateAccessEntry", ("clusterName", "kubernetesGroups", "principalArn", "type", "userName")),
    outputs={"accessEntryArn": _ARN + "access-entry/{clusterName}/{hex}"},
    validate=access_entry_rules,
    note="nobody is let in or kept out",
)

ACCESS_POLICY_ASSOCIATION = Type(
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation",
    "eks",
    id="{clusterName}#{principalArn}#{policyArn}",
    checked=Call("AssociateAccessPolicy", ("accessScope", "clusterName", "policyArn", "principalArn")),
    validate=access_policy_rules,
    note="nobody is let in or kept out",
)

POD_IDENTITY_ASSOCIATION = Type(
    "aws:eks/podIdentityAssociation:PodIdentityAssociation",
    "eks",
    id="a-{hex}",
    checked=Call(
        "CreatePodIdentityAssociation",
        ("clusterName", "disableSessionTags", "namespace", "policy", "roleArn", "serviceAccount", "targetRoleArn"),
    ),
    outputs={"associationId": "a-{hex}", "associationArn": _ARN + "podidentityassociation/{clusterName}/a-{hex}"},
    validate=pod_identity_rules,
    note="no pod gets credentials",
)

_TEMPLATE = {"LaunchTemplateId": "{id}"}
_DATA = "LaunchTemplateData."
_TEMPLATE_SPELLED = {
    "description": "VersionDescription",
    "blockDeviceMappings": f"{_DATA}BlockDeviceMappings",
    "ebsOptimized": f"{_DATA}EbsOptimized",
    "imageId": f"{_DATA}ImageId",
    "instanceType": f"{_DATA}InstanceType",
    "keyName": f"{_DATA}KeyName",
    "metadataOptions": f"{_DATA}MetadataOptions",
    "monitoring": f"{_DATA}Monitoring",
    "tagSpecifications": f"{_DATA}TagSpecifications",
    "userData": f"{_DATA}UserData",
    "vpcSecurityGroupIds": f"{_DATA}SecurityGroupIds",
}
_VERSION = Call("CreateLaunchTemplateVersion", (), _TEMPLATE_SPELLED, _TEMPLATE)


def _new_version(region: Region, context: Props, old: Props, new: Props) -> None:
    """A template never changes: it gets another version, with all that the program says, and a default among them."""
    if any(old.get(name) != new.get(name) for name in _TEMPLATE_SPELLED):
        shape: Any = shapes.service_model("ec2").operation_model(_VERSION.operation).input_shape
        said = {name: new[name] for name in _TEMPLATE_SPELLED if name in new}
        params = {"LaunchTemplateData": {}, **shapes.Mapper(shape, _TEMPLATE_SPELLED).params(said)}
        region.call("ec2", _VERSION.operation, LaunchTemplateId=context["id"], **params)
    default = new.get("defaultVersion")
    if new.get("updateDefaultVersion"):
        default = _template(region, context["id"])["LatestVersionNumber"]
    if default is not None:
        region.call("ec2", "ModifyLaunchTemplate", LaunchTemplateId=context["id"], DefaultVersion=str(default))


def _template(region: Region, id: str) -> Props:
    found: Props = region.call("ec2", "DescribeLaunchTemplates", LaunchTemplateIds=[id])["LaunchTemplates"][0]
    return found


def _tag_specifications(found: Any) -> list[Props]:
    """What is tagged when an instance starts; moto adds the template's own tags."""
    return [
        {
            "resourceType": item["ResourceType"],
            "tags": {tag["Key"]: tag["Value"] for tag in item.get("Tags", [])},
        }
        for item in found["LaunchTemplateData"].get("TagSpecifications", [])
        if item["ResourceType"] != "launch-template"
    ]


def _devices(found: Any) -> Any:
    """Block devices as a program says them: with truth as text."""
    about = facts.inputs("aws:ec2/launchTemplate:LaunchTemplate")["blockDeviceMappings"]
    devices = shapes.property_from(
        found["LaunchTemplateData"].get("BlockDeviceMappings", []), about, {}, "blockDeviceMappings"
    )
    for volume in [device["ebs"] for device in devices if "ebs" in device]:
        for flag in ("deleteOnTermination", "encrypted"):
            if flag in volume:
                volume[flag] = str(volume[flag]).lower()
    return devices


LAUNCH_TEMPLATE = Type(
    "aws:ec2/launchTemplate:LaunchTemplate",
    "ec2",
    id="LaunchTemplate.LaunchTemplateId",
    create=Call("CreateLaunchTemplate", (), {"name": "LaunchTemplateName", **_TEMPLATE_SPELLED}),
    read=Call(
        "DescribeLaunchTemplateVersions",
        (),
        fixed={**_TEMPLATE, "Versions": ["$Latest"]},
        at="LaunchTemplateVersions[0]",
    ),
    delete=[Call("DeleteLaunchTemplate", fixed=_TEMPLATE)],
    settings=[Setting(_VERSION, switches=("updateDefaultVersion",), at_create=False, apply=_new_version)],
    recorded=frozenset({"updateDefaultVersion"}),
    shows={
        "blockDeviceMappings": _devices,
        "tagSpecifications": _tag_specifications,
        # A version that was made without them has none at all.
        "vpcSecurityGroupIds": "LaunchTemplateData.SecurityGroupIds || `[]`",
    },
    tagging=dataclasses.replace(
        ec2_tags("launch-template"),
        get=Call("DescribeTags", (), fixed={"Filters": [{"Name": "resource-id", "Values": ["{id}"]}]}, at="Tags"),
    ),
    outputs={
        "arn": "arn:{partition}:ec2:{region}:{account}:launch-template/{id}",
        "name": "LaunchTemplateName",
        "namePrefix": lambda *_: None,
        "latestVersion": "VersionNumber",
        "defaultVersion": lambda region, props, found: _template(region, props["id"])["DefaultVersionNumber"],
    },
    validate=launch_template_rules,
    autoname="name",
    autoname_limit=125,
    missing=(
        "InvalidLaunchTemplateId.NotFound",
        "InvalidLaunchTemplateId.NotFoundException",
        "InvalidLaunchTemplateName.NotFoundException",
    ),
)

TYPES = (
    CLUSTER,
    NODE_GROUP,
    ADDON,
    ACCESS_ENTRY,
    ACCESS_POLICY_ASSOCIATION,
    POD_IDENTITY_ASSOCIATION,
    LAUNCH_TEMPLATE,
)
