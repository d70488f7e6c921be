"""What EKS refuses and moto accepts, in EKS's words as far as they are known.

Limits are from the Amazon EKS API reference (`CreateCluster`, `CreateNodegroup`, `CreateAddon`, `CreateAccessEntry`,
`AssociateAccessPolicy`, `CreatePodIdentityAssociation`) and, for launch templates, the Amazon EC2 API reference
(`RequestLaunchTemplateData`) and the EKS user guide, "Customize managed nodes with launch templates".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props

INVALID = "InvalidParameterException"

_PRIVATE = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_ARM = re.compile(r"[a-z]+\d+g[a-z]*\.")
"""Instance types with AWS's own processors: a `g` behind the generation (EC2 user guide, "Instance type names")."""


def _refuse(path: str, message: str) -> Failure:
    return Failure(path, f"{INVALID}: {message}")


def _within(props: Props, path: str, least: int, most: int) -> Iterator[Failure]:
    value = shapes.get(props, path)
    if isinstance(value, int) and not isinstance(value, bool) and not least <= value <= most:
        yield _refuse(path, f"{path} is {value}, but must be from {least} to {most}")


def cluster_rules(props: Props) -> Iterator[Failure]:
    """Rules for one cluster."""
    name = props.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[0-9A-Za-z][A-Za-z0-9_-]{0,99}", name):
        yield _refuse("name", "Cluster name must match ^[0-9A-Za-z][A-Za-z0-9\\-_]* and have at most 100 characters")
    version = props.get("version")
    if isinstance(version, str) and not re.fullmatch(r"1\.\d{2}", version):
        yield _refuse("version", f"unsupported Kubernetes version {version}")
    network = props.get("vpcConfig")
    if isinstance(network, Mapping):
        yield from _network(network)
    services = shapes.get(props, "kubernetesNetworkConfig.serviceIpv4Cidr")
    if isinstance(services, str) and not _is_service_block(services):
        yield _refuse(
            "kubernetesNetworkConfig",
            f"serviceIpv4Cidr {services} must be between /12 and /24 and within 10.0.0.0/8, 172.16.0.0/12 or "
            "192.168.0.0/16",
        )
    parts = ("computeConfig.enabled", "storageConfig.blockStorage.enabled")
    if len({bool(shapes.get(props, part)) for part in parts}) > 1:
        yield _refuse("computeConfig", "compute, block storage and load balancing must be all enabled or all disabled")


def _is_service_block(text: str) -> bool:
    try:
        block = IPv4Network(text, strict=False)
    except ValueError:
        return False
    return 12 <= block.prefixlen <= 24 and any(block.subnet_of(private) for private in _PRIVATE)


def _network(network: Mapping[str, Any]) -> Iterator[Failure]:
    subnets, groups = network.get("subnetIds"), network.get("securityGroupIds")
    if isinstance(subnets, list) and len(subnets) < 2:
        yield _refuse("vpcConfig", "Subnets specified must be in at least two different AZs")
    if isinstance(groups, list) and len(groups) > 5:
        yield _refuse("vpcConfig", "You can specify up to five security groups")
    private, public = network.get("endpointPrivateAccess", False), network.get("endpointPublicAccess", True)
    if private is False and public is False:
        yield _refuse("vpcConfig", "Private and public endpoint access cannot be false")
    if public is False and network.get("publicAccessCidrs"):
        yield _refuse("vpcConfig", "publicAccessCidrs may not be given while public endpoint access is disabled")


def cluster_replaces(old: Props, new: Props) -> Iterator[str]:
    """The properties whose change replaces a cluster, by their values (provider: `cluster.go`, CustomizeDiff)."""
    # Secrets are encrypted for ever: only a new cluster can do without.
    if old.get("encryptionConfig") is not None and new.get("encryptionConfig") is None:
        yield "encryptionConfig"
    ways = tuple(shapes.get(props, "vpcConfig.controlPlaneEgressMode") for props in (old, new))
    if ways == ("CUSTOMER_ROUTED", "AWS_MANAGED"):
        yield "vpcConfig.controlPlaneEgressMode"
    before, after = (props.get("computeConfig") for props in (old, new))
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return
    role, other = before.get("nodeRoleArn"), after.get("nodeRoleArn")
    unused = not other and (after.get("enabled") is False or not after.get("nodePools"))
    if role and role != other and not unused:
        yield "computeConfig.nodeRoleArn"


def node_group_rules(props: Props) -> Iterator[Failure]:
    """Rules for one managed node group."""
    name = props.get("nodeGroupName")
    if isinstance(name, str) and not 1 <= len(name) <= 63:
        yield _refuse("nodeGroupName", "nodegroupName can't be longer than 63 characters")
    yield from _sizes(props)
    types = props.get("instanceTypes")
    if isinstance(types, list):
        if len(types) > 20:
            yield _refuse("instanceTypes", "you can specify 0-20 instance types")
        image = str(props.get("amiType", ""))
        for kind in types:
            if isinstance(kind, str) and image and image != "CUSTOM" and bool(_ARM.match(kind)) != ("ARM" in image):
                yield _refuse("instanceTypes", f"[{kind}] is not a valid instance type for requested amiType {image}")
    yield from _taints(props)
    update = props.get("updateConfig")
    if isinstance(update, Mapping):
        given = [key for key in ("maxUnavailable", "maxUnavailablePercentage") if update.get(key) is not None]
        if len(given) != 1:
            yield _refuse("updateConfig", "exactly one of maxUnavailable and maxUnavailablePercentage must be given")
        for key in given:
            yield from _within(props, f"updateConfig.{key}", 1, 100)
    if props.get("launchTemplate") is not None:
        for other, message in (
            ("diskSize", "Disk size must be specified within the launch template."),
            ("remoteAccess", "Remote access configuration cannot be specified with a launch template."),
        ):
            if props.get(other) is not None:
                yield _refuse(other, message)


def _sizes(props: Props) -> Iterator[Failure]:
    scaling = props.get("scalingConfig")
    if not isinstance(scaling, Mapping):
        return
    least, wanted, most = (scaling.get(key) for key in ("minSize", "desiredSize", "maxSize"))
    if not (isinstance(least, int) and isinstance(wanted, int) and isinstance(most, int)):
        return
    if least < 0 or most < 1:
        yield _refuse("scalingConfig", "minSize must be at least 0 and maxSize at least 1")
    if least > most:
        yield _refuse("scalingConfig", f"Minimum capacity {least} can't be greater than maximum size {most}")
    elif not least <= wanted <= most:
        yield _refuse("scalingConfig", f"desired capacity {wanted} must be from {least} to {most}")


def _taints(props: Props) -> Iterator[Failure]:
    taints = shapes.blocks(props, "taints")
    if len(taints) > 50:
        yield _refuse("taints", "a node group can have at most 50 taints")
    for taint in taints:
        if not 1 <= len(str(taint.get("key", ""))) <= 63 or len(str(taint.get("value", ""))) > 63:
            yield _refuse("taints", "a taint has a key of 1 to 63 characters and a value of at most 63")


def launch_template_rules(props: Props) -> Iterator[Failure]:
    """Rules for one launch template."""
    name = props.get("name")
    if isinstance(name, str) and not re.fullmatch(r"[a-zA-Z0-9().\-/_]{3,128}", name):
        yield Failure("name", "InvalidLaunchTemplateName.MalformedException: 3 to 128 letters, digits and -().-/_")
    hops = shapes.get(props, "metadataOptions.httpPutResponseHopLimit")
    if isinstance(hops, int) and not 1 <= hops <= 64:
        yield Failure("metadataOptions", "InvalidParameterValue: httpPutResponseHopLimit must be from 1 to 64")
    kinds = [spec.get("resourceType") for spec in shapes.blocks(props, "tagSpecifications")]
    if len({str(kind) for kind in kinds}) < len(kinds):
        yield Failure("tagSpecifications", "InvalidParameterValue: a resource type can be given only once")
    for device in shapes.blocks(props, "blockDeviceMappings"):
        volume = device.get("ebs")
        if isinstance(volume, Mapping):
            yield from _volume(volume)


def _volume(volume: Mapping[str, Any]) -> Iterator[Failure]:
    path, kind = "blockDeviceMappings", volume.get("volumeType")
    if volume.get("kmsKeyId") is not None and str(volume.get("encrypted", "")).lower() == "false":
        yield Failure(path, "InvalidParameterDependency: The parameter KmsKeyId requires the parameter Encrypted")
    if kind != "gp3":
        return
    for key, least, most in (("volumeSize", 1, 65_536), ("iops", 3_000, 80_000), ("throughput", 125, 2_000)):
        value = volume.get(key)
        if isinstance(value, int) and not least <= value <= most:
            yield Failure(path, f"InvalidParameterValue: {key} of gp3 must be from {least} to {most}, not {value}")


def addon_rules(props: Props) -> Iterator[Failure]:
    """Rules for one add-on."""
    version = props.get("addonVersion")
    if isinstance(version, str) and not re.fullmatch(r"v\d+\.\d+\.\d+-eksbuild\.\d+", version):
        yield _refuse("addonVersion", f"Addon version specified is not supported: {version}")
    values = props.get("configurationValues")
    if isinstance(values, str):
        try:
            whole = isinstance(json.loads(values), dict)
        except ValueError:
            whole = False
        if not whole:
            yield _refuse("configurationValues", "ConfigurationValue is not in valid JSON or YAML format")
    accounts = [item.get("serviceAccount") for item in shapes.blocks(props, "podIdentityAssociations")]
    if len({str(account) for account in accounts}) < len(accounts):
        yield _refuse("podIdentityAssociations", "a service account can have one association only")


def access_entry_rules(props: Props) -> Iterator[Failure]:
    """Rules for one access entry."""
    principal = props.get("principalArn")
    if isinstance(principal, str) and not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:(role|user)/.+", principal):
        yield _refuse("principalArn", f"The specified principalArn is invalid: invalid principal {principal}")
    kind = props.get("type", "STANDARD")
    if isinstance(kind, str) and kind != "STANDARD" and (props.get("kubernetesGroups") or props.get("userName")):
        yield _refuse("type", "only an access entry of type STANDARD takes groups and a user name")


def access_policy_rules(props: Props) -> Iterator[Failure]:
    """Rules for the association of an access policy."""
    policy = props.get("policyArn")
    if isinstance(policy, str) and not re.fullmatch(r"arn:aws[\w-]*:eks::aws:cluster-access-policy/\w+", policy):
        yield _refuse("policyArn", f"The policyArn parameter format is not valid: {policy}")
    scope = props.get("accessScope")
    if isinstance(scope, Mapping) and isinstance(scope.get("type"), str):
        named = bool(scope.get("namespaces"))
        if named != (scope["type"] == "namespace"):
            yield _refuse("accessScope", "namespaces are given with an access scope of type namespace, and only then")


def pod_identity_rules(props: Props) -> Iterator[Failure]:
    """Rules for one Pod Identity association."""
    role = props.get("roleArn")
    if isinstance(role, str) and not re.fullmatch(r"arn:aws[\w-]*:iam::\d{12}:role/.+", role):
        yield _refuse("roleArn", f"Role provided in the request does not exist: {role}")
    if props.get("policy") is not None and props.get("disableSessionTags") is not True:
        yield _refuse("policy", "a session policy needs disableSessionTags")
