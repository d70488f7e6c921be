"""The cluster and its nodes: private, encrypted, and enough of them in every zone."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final

from policies.document import own_accounts, parsed
from policies.links import referred
from policies.network import ASSOCIATION, INSTANCE, LAUNCH_TEMPLATE, ROUTE, ROUTE_TABLE, SUBNET, anywhere, tiers
from policies.rule import (
    ABSENT,
    GIVEN,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    at_least,
    items,
    judge,
    look,
    must,
    number,
    one_of,
    rule,
    shown,
    stack_rule,
    unverified,
)
from policies.wants import OWN_KEY, TEXTS, different, exactly

CLUSTER: Final = "aws:eks/cluster:Cluster"
NODE_GROUP: Final = "aws:eks/nodeGroup:NodeGroup"
ADDON: Final = "aws:eks/addon:Addon"
ACCESS: Final = "aws:eks/accessEntry:AccessEntry"
ACCESS_POLICY: Final = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
VOLUME: Final = "aws:ebs/volume:Volume"
STORAGE_CLASS: Final = "kubernetes:storage.k8s.io/v1:StorageClass"

GUIDE: Final = "https://docs.aws.amazon.com/eks/latest/userguide"

LOGS: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")
"""The control plane's logs (EKS API, `ClusterLogging`)."""

ADDONS: Final = (
    "aws-ebs-csi-driver",
    "coredns",
    "eks-node-monitoring-agent",
    "eks-pod-identity-agent",
    "kube-proxy",
    "metrics-server",
    "vpc-cni",
)
"""Without any of them pods have no volumes, names, rights, network or autoscaling, or broken nodes stay."""

POOL: Final = "docsearch/pool"
"""The label that says which pool a node is of."""

SPOT: Final = ("indexing",)
"""Pools that AWS may take away at any time, and that may be empty: their work waits in queues."""


def _holds(resource: Resource, path: str, *wanted: str) -> Iterator[Finding]:
    """Says so if a list is without one of these, or may be."""
    value = resource.get(path)
    its = value if isinstance(value, list) else []
    if UNKNOWN in its and not all(one in its for one in wanted):
        yield unverified(path)
    else:
        want = Want(f"a list with {', '.join(wanted)}", lambda _: all(one in its for one in wanted))
        yield from judge(value, path, want)


YES: Final = Want("true", lambda value: value is True or value == "true")
"""True, also as the text that launch templates and storage classes take."""


# The cluster


@rule(
    "eks-secrets-kms",
    on=CLUSTER,
    severity=Severity.CRITICAL,
    why="Kubernetes Secrets lie in etcd under AWS's own key only, which we can neither audit nor revoke",
    remedy="Pass the region's key for secrets to Eks (components/eks.py)",
    reference=f"{GUIDE}/enable-kms.html",
)
def secrets_kms(cluster: Resource) -> Iterator[Finding]:
    """Secrets are encrypted with a key of ours."""
    yield from _holds(cluster, "encryptionConfig.resources", "secrets")
    yield from must(cluster, "encryptionConfig.provider.keyArn", OWN_KEY)


@rule(
    "eks-endpoint",
    on=CLUSTER,
    severity=Severity.CRITICAL,
    why="The cluster's API is open to the internet unless it is told otherwise",
    remedy="Keep endpoint_private_access on and endpoint_public_access off: Eks in components/eks.py",
    reference=f"{GUIDE}/cluster-endpoint.html",
)
def endpoint(cluster: Resource) -> Iterator[Finding]:
    """The API answers inside the VPC, and outside to known addresses at most."""
    yield from must(cluster, "vpcConfig.endpointPrivateAccess", TRUE)
    public = cluster.get("vpcConfig.endpointPublicAccess")
    if public is False:
        return
    if public is UNKNOWN:
        yield unverified("vpcConfig.endpointPublicAccess")
        return
    if not (blocks := items(cluster, "vpcConfig.publicAccessCidrs")):
        # Absent means true, and absent addresses mean everybody.
        yield Finding(
            "vpcConfig.endpointPublicAccess", f"is {shown(public)}, must be false, or publicAccessCidrs be given"
        )
    for path, block in blocks:
        yield from judge(block, path, Want("a block of known addresses", lambda value: not anywhere(value)))


@rule(
    "eks-access-api",
    on=CLUSTER,
    severity=Severity.HIGH,
    why="The aws-auth ConfigMap gives rights that no plan shows, and one typing error in it locks everybody out",
    remedy="Keep authentication_mode API, and admin roles in the stack file",
    key="kubernetes.admin_role_arns",
    reference=f"{GUIDE}/access-entries.html",
)
def access_api(cluster: Resource) -> Iterator[Finding]:
    """Who may do what in the cluster is decided by access entries alone."""
    yield from must(cluster, "accessConfig.authenticationMode", one_of("API"))
    yield from must(
        cluster,
        "accessConfig.bootstrapClusterCreatorAdminPermissions",
        Want("false", lambda value: value is False),
    )


@rule(
    "eks-access-ours",
    on=(ACCESS, ACCESS_POLICY),
    severity=Severity.CRITICAL,
    why="An access entry for another account, a whole account or a user hands the cluster to whoever holds it",
    remedy="Name IAM roles of this account",
    key="kubernetes.admin_role_arns",
    reference=f"{GUIDE}/creating-access-entries.html",
)
def access_ours(entry: Resource) -> Iterator[Finding]:
    """Only roles of our own account get into the cluster."""
    accounts = own_accounts(entry)
    role = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/[^*?]+")

    def ours(value: Any) -> bool:
        found = role.fullmatch(value) if isinstance(value, str) else None
        return found is not None and (accounts is None or found[1] in accounts)

    yield from must(entry, "principalArn", Want("the ARN of a role of our account", ours))
    if accounts is None:
        yield Finding("principalArn", "cannot be judged: the provider does not say which accounts are ours", False)


@rule(
    "eks-logs",
    on=CLUSTER,
    severity=Severity.MEDIUM,
    why="Who did what in the cluster is known from its audit log, or not at all",
    remedy="Keep all five log types: Eks in components/eks.py",
    reference=f"{GUIDE}/control-plane-logs.html",
)
def logs(cluster: Resource) -> Iterator[Finding]:
    """The control plane writes all its logs."""
    yield from _holds(cluster, "enabledClusterLogTypes", *LOGS)


@rule(
    "eks-standard-support",
    on=CLUSTER,
    severity=Severity.MEDIUM,
    why="Extended support, which is the default, costs six times as much and hides an overdue upgrade",
    remedy="Keep support_type STANDARD: Eks in components/eks.py",
    reference=f"{GUIDE}/view-upgrade-policy.html",
)
def standard_support(cluster: Resource) -> Iterator[Finding]:
    """The cluster is upgraded while its version is in standard support."""
    yield from must(cluster, "upgradePolicy.supportType", one_of("STANDARD"))


@rule(
    "eks-version",
    on=(CLUSTER, NODE_GROUP),
    severity=Severity.HIGH,
    why="Without a version AWS takes its newest, and the two regions no longer run the same",
    remedy="Name the Kubernetes version",
    key="kubernetes.version",
    reference=f"{GUIDE}/kubernetes-versions.html",
)
def version(resource: Resource) -> Iterator[Finding]:
    """The Kubernetes version is named."""
    named = Want("a version such as 1.35", lambda value: isinstance(value, str) and bool(_VERSION.fullmatch(value)))
    yield from must(resource, "version", named)


_VERSION: Final = re.compile(r"1\.\d{2}")


@rule(
    "eks-zones",
    on=CLUSTER,
    severity=Severity.HIGH,
    why="The control plane reaches nodes only through zones in which it has a subnet",
    remedy="Pass the private subnets of all zones: Eks in components/eks.py",
    key="network.zones",
    reference=f"{GUIDE}/network-reqs.html",
)
def cluster_zones(cluster: Resource, *, zones: Annotated[int, Bounds(2, 6)] = 3) -> Iterator[Finding]:
    """The cluster has a subnet in enough zones."""
    yield from must(cluster, "vpcConfig.subnetIds", different(zones))


@rule(
    "zonal-shift",
    on=(CLUSTER, "aws:lb/loadBalancer:LoadBalancer"),
    severity=Severity.MEDIUM,
    why="When a zone is sick but not dead, somebody must be able to move traffic out of it",
    remedy="Keep zonal shift on: components/eks.py, components/ingress.py",
    reference=f"{GUIDE}/zone-shift.html",
)
def zonal_shift(resource: Resource) -> Iterator[Finding]:
    """Traffic can be moved out of a zone."""
    yield from must(resource, "zonalShiftConfig.enabled" if resource.type == CLUSTER else "enableZonalShift", TRUE)


# Nodes


def pool(group: Resource) -> Any:
    """The pool that a group is of: its label, or else itself."""
    label = group.get(f"labels.{POOL}")
    return label if label is UNKNOWN or isinstance(label, str) else group.name


@stack_rule(
    "nodes-min",
    on=(NODE_GROUP, SUBNET),
    severity=Severity.HIGH,
    why="A pool that is not in every zone all the time does not survive the loss of one",
    remedy="Keep a group with nodes in each zone: min of the pool",
    key="kubernetes.general.min",
    reference=f"{GUIDE}/managed-node-groups.html",
)
def nodes_min(
    stack: Stack,
    *,
    nodes: Annotated[int, Bounds(1, 1800)] = 3,
    zones: Annotated[int, Bounds(1, 6)] = 3,
) -> Iterator[Finding]:
    """Each pool, over its groups, always has nodes in enough zones; one on Spot needs only the zones."""
    pools: dict[str, list[Resource]] = {}
    for group in stack.of(NODE_GROUP):
        if (name := pool(group)) is UNKNOWN:
            yield unverified(f"labels.{POOL}", urn=group.urn)
        else:
            pools.setdefault(name, []).append(group)
    if pools and not set(pools) - set(SPOT):
        yield Finding("", "is of the only pool, which AWS may take away", urn=pools[SPOT[0]][0].urn)
    for name, groups in pools.items():
        where = [_zones(stack, group) for group in groups]
        if UNKNOWN in where:
            yield from (
                unverified("subnetIds", urn=one.urn) for one, its in zip(groups, where, strict=True) if its is UNKNOWN
            )
        elif len(there := {zone for its in where for zone in its}) < zones:
            yield Finding("subnetIds", f"puts pool {name} into {len(there)} zones, not {zones}", urn=groups[0].urn)
        if name in SPOT:
            continue
        mins = [group.get("scalingConfig.minSize") for group in groups]
        for group, least in zip(groups, mins, strict=True):
            yield from judge(least, "scalingConfig.minSize", at_least(1), urn=group.urn)
        total = sum(number(least) or 0 for least in mins)
        if UNKNOWN not in mins and total < nodes and all((number(least) or 0) >= 1 for least in mins):
            yield Finding(
                "scalingConfig.minSize", f"leaves pool {name} {total:g} nodes, not {nodes}", urn=groups[0].urn
            )


def _zones(stack: Stack, group: Resource) -> Any:
    """The zones that a group is in; its subnets stand for zones where their own are not of this stack."""
    subnets = referred(stack, group, "subnetIds", SUBNET)
    ids = group.get("subnetIds")
    if subnets and all(isinstance(one.get("availabilityZone"), str) for one in subnets):
        found = {one.get("availabilityZone") for one in subnets}
        if not isinstance(ids, list):
            return found if ids is UNKNOWN else set()
        # A link is of the whole list: what was taken out of it may have left its link.
        others = {f"subnet {index}" for index in range(len(subnets), len(ids))}
        return set(sorted(found)[: len(ids)]) | others
    if ids is UNKNOWN or (isinstance(ids, list) and UNKNOWN in ids):
        return UNKNOWN
    return {one for one in ids if isinstance(one, str)} if isinstance(ids, list) else set()


@rule(
    "nodes-on-demand",
    on=NODE_GROUP,
    severity=Severity.HIGH,
    why="AWS takes Spot nodes back with two minutes' notice, and many at a time",
    remedy="Leave Spot to the indexing pool: components/eks_plan.py",
    reference=f"{GUIDE}/managed-node-groups.html#managed-node-group-capacity-types",
)
def on_demand(group: Resource) -> Iterator[Finding]:
    """What answers users or keeps messages runs on demand."""
    name = pool(group)
    if name is UNKNOWN:
        yield unverified(f"labels.{POOL}")
    elif name not in SPOT:
        want = Want("ON_DEMAND or absent", lambda value: value in (None, "ON_DEMAND"))
        yield from must(group, "capacityType", want)


@rule(
    "nodes-spare",
    on=NODE_GROUP,
    severity=Severity.HIGH,
    why="When a zone is lost, the others must be able to start its nodes",
    remedy="Raise max of the pool to at least its min and the share of a lost zone",
    key="kubernetes.general.max",
    reference=f"{GUIDE}/managed-node-groups.html",
)
def nodes_spare(group: Resource, *, zones: Annotated[int, Bounds(2, 6)] = 3) -> Iterator[Finding]:
    """A group can grow by its share of the nodes of a lost zone."""
    least = group.get("scalingConfig.minSize")
    # That it is not known, or cannot be, is `nodes-min`'s to say.
    some = number(least)
    # More than a million AWS refuses, and a float may not hold.
    wanted = max(1, math.ceil(some * zones / (zones - 1))) if some is not None and abs(some) < 1_000_000 else 1
    yield from must(group, "scalingConfig.maxSize", at_least(wanted), why=f"{shown(least)} are the least")


@rule(
    "nodes-update",
    on=NODE_GROUP,
    severity=Severity.HIGH,
    why="An update that takes most of a group at once is an outage",
    remedy="Keep max_unavailable_percent at a third: EksArgs in components/eks.py",
    reference=f"{GUIDE}/managed-node-update-behavior.html",
)
def nodes_update(group: Resource, *, percent: Annotated[int, Bounds(1, 100)] = 34) -> Iterator[Finding]:
    """An update takes few nodes at a time."""
    some, share = group.get("updateConfig.maxUnavailable"), group.get("updateConfig.maxUnavailablePercentage")
    if share is not None:
        few = Want(f"at most {percent}", lambda value: (found := number(value)) is not None and found <= percent)
        yield from judge(share, "updateConfig.maxUnavailablePercentage", few)
    else:
        # One at a time is what EKS does when nothing is said.
        one = Want("1 or absent", lambda value: value is None or number(value) == 1)
        yield from judge(some, "updateConfig.maxUnavailable", one)


@rule(
    "nodes-repair",
    on=NODE_GROUP,
    severity=Severity.MEDIUM,
    why="A node that answers but does not work keeps its pods",
    remedy="Keep node_repair_config on: components/eks.py",
    reference=f"{GUIDE}/node-health.html",
)
def nodes_repair(group: Resource) -> Iterator[Finding]:
    """Sick nodes are replaced."""
    yield from must(group, "nodeRepairConfig.enabled", TRUE)


@rule(
    "nodes-image",
    on=NODE_GROUP,
    severity=Severity.HIGH,
    why="Amazon Linux 2 gets no more fixes, and nobody but us would fix an image of our own",
    remedy="Take an Amazon Linux 2023 or Bottlerocket image: components/eks_plan.py",
    reference=f"{GUIDE}/eks-ami-deprecation-faqs.html",
)
def nodes_image(group: Resource) -> Iterator[Finding]:
    """Nodes start from an image that AWS maintains."""
    kept = Want(
        "an AL2023 or BOTTLEROCKET image",
        lambda value: isinstance(value, str) and value.startswith(("AL2023_", "BOTTLEROCKET_")),
    )
    yield from must(group, "amiType", kept)


@rule(
    "eks-node-exposure",
    on=(NODE_GROUP, LAUNCH_TEMPLATE),
    severity=Severity.HIGH,
    why="An SSH key is a way into every node that no log ties to a person",
    remedy="Use Session Manager, and a launch template without key: components/eks.py",
    reference="https://docs.aws.amazon.com/eks/latest/best-practices/protecting-the-infrastructure.html",
)
def node_exposure(resource: Resource) -> Iterator[Finding]:
    """Nobody logs in to nodes by SSH, and none starts from a template of EKS's own making."""
    if resource.type == LAUNCH_TEMPLATE:
        yield from must(resource, "keyName", ABSENT)
        yield from must(resource, "vpcSecurityGroupIds", TEXTS)
        return
    yield from must(resource, "remoteAccess", ABSENT)
    template = resource.get("launchTemplate.id")
    yield from judge(resource.get("launchTemplate.name") if template is None else template, "launchTemplate.id", GIVEN)


@stack_rule(
    "nodes-private",
    on=(CLUSTER, NODE_GROUP, SUBNET, ROUTE, ROUTE_TABLE, ASSOCIATION),
    severity=Severity.CRITICAL,
    why="A node in a public subnet can be reached from the internet",
    remedy="Pass the private subnets: Eks in components/eks.py",
    reference="https://docs.aws.amazon.com/eks/latest/best-practices/protecting-the-infrastructure.html",
)
def nodes_private(stack: Stack) -> Iterator[Finding]:
    """Cluster and nodes are in private subnets."""
    tier = tiers(stack)
    for resource in stack.of(CLUSTER, NODE_GROUP):
        path = "vpcConfig.subnetIds" if resource.type == CLUSTER else "subnetIds"
        for subnet in referred(stack, resource, path, SUBNET):
            if tier.get(subnet.urn) == "public":
                yield Finding(path, f"holds {subnet.name}, which is public", urn=resource.urn)


@rule(
    "imdsv2",
    on=(LAUNCH_TEMPLATE, INSTANCE),
    severity=Severity.HIGH,
    why="With the old metadata service, or one that pods can reach, a forged request reads the node's credentials",
    remedy="Keep http_tokens required and a hop limit of 1: components/eks.py",
    reference="https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html",
)
def imdsv2(resource: Resource) -> Iterator[Finding]:
    """Metadata needs a token, and ends at the node."""
    yield from must(resource, "metadataOptions.httpTokens", one_of("required"))
    yield from must(resource, "metadataOptions.httpPutResponseHopLimit", exactly(1))


@rule(
    "ebs-encrypted",
    on=(VOLUME, LAUNCH_TEMPLATE, STORAGE_CLASS),
    severity=Severity.CRITICAL,
    why="A disk or a snapshot that leaves the account is readable unless our own key protects it",
    remedy="Keep encrypted and kms_key_id: components/eks.py, components/rabbitmq_operator.py",
    reference="https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption.html",
)
def ebs_encrypted(resource: Resource) -> Iterator[Finding]:
    """Volumes are encrypted with a key of ours."""
    if resource.type == LAUNCH_TEMPLATE:
        mappings = items(resource, "blockDeviceMappings")
        if not mappings:
            yield Finding("blockDeviceMappings", "is absent, and the image's own volume need not be encrypted")
        for path, mapping in mappings:
            if mapping is UNKNOWN:
                yield unverified(path)
            elif look(mapping, "ebs") is not None:
                yield from _encrypted(resource, f"{path}.ebs.")
        return
    if resource.type == VOLUME:
        yield from _encrypted(resource, "")
        return
    provisioner = resource.get("provisioner")
    if provisioner is UNKNOWN:
        yield unverified("provisioner")
    elif provisioner in ("ebs.csi.aws.com", "kubernetes.io/aws-ebs"):
        yield from _encrypted(resource, "parameters.")


def _encrypted(resource: Resource, prefix: str) -> Iterator[Finding]:
    yield from must(resource, f"{prefix}encrypted", YES)
    yield from must(resource, f"{prefix}kmsKeyId", OWN_KEY)


@rule(
    "storage-class",
    on=STORAGE_CLASS,
    severity=Severity.HIGH,
    why="A volume that goes with its claim takes the messages with it; bound too early it is in the wrong zone",
    remedy="Keep reclaimPolicy Retain, volumeBindingMode WaitForFirstConsumer and allowVolumeExpansion",
    reference="https://kubernetes.io/docs/concepts/storage/storage-classes/",
)
def storage_class(resource: Resource) -> Iterator[Finding]:
    """Volumes outlive their claims and are made where the pod is."""
    yield from must(resource, "reclaimPolicy", one_of("Retain"))
    yield from must(resource, "volumeBindingMode", one_of("WaitForFirstConsumer"))
    yield from must(resource, "allowVolumeExpansion", TRUE)


# Add-ons


@rule(
    "eks-addon-pinned",
    on=ADDON,
    severity=Severity.HIGH,
    why="Without a version AWS takes its default of the day, and the two regions no longer run the same",
    remedy="Name the version: components/eks_plan.py",
    reference=f"{GUIDE}/managing-add-ons.html",
)
def addon_pinned(addon: Resource) -> Iterator[Finding]:
    """Add-ons have a version."""
    pinned = Want(
        "a version such as v1.3.10-eksbuild.3", lambda value: isinstance(value, str) and bool(_BUILD.fullmatch(value))
    )
    yield from must(addon, "addonVersion", pinned)


_BUILD: Final = re.compile(r"v\d+\.\d+\.\d+-eksbuild\.\d+")


@stack_rule(
    "eks-addons",
    on=(CLUSTER, ADDON),
    severity=Severity.HIGH,
    why="Without them pods have no network, names, volumes, rights or autoscaling",
    remedy="Keep the add-on: components/eks_plan.py",
    reference=f"{GUIDE}/eks-add-ons.html",
)
def addons(stack: Stack) -> Iterator[Finding]:
    """Every cluster has the add-ons that everything else counts on."""
    for cluster in stack.of(CLUSTER):
        names = [addon.get("addonName") for addon in stack.of(ADDON)]
        for wanted in ADDONS:
            if wanted not in names:
                yield Finding("", f"has no add-on {wanted}", verified=UNKNOWN not in names, urn=cluster.urn)


@rule(
    "eks-network-policy",
    on=ADDON,
    severity=Severity.CRITICAL,
    why="The CNI ignores every NetworkPolicy until it is told to enforce them, and says nothing",
    remedy="Keep enableNetworkPolicy in the configuration of vpc-cni: components/eks_plan.py",
    reference=f"{GUIDE}/cni-network-policy.html",
)
def network_policy(addon: Resource) -> Iterator[Finding]:
    """NetworkPolicies are enforced."""
    yield from _configured(addon, "vpc-cni", {"enableNetworkPolicy": YES})


@rule(
    "eks-dns",
    on=ADDON,
    severity=Severity.HIGH,
    why="When the cluster's DNS is in one zone, or does not grow, every service stops with it",
    remedy="Keep autoScaling with three replicas at least in the configuration of coredns: components/eks_plan.py",
    reference="https://docs.aws.amazon.com/eks/latest/userguide/coredns-autoscaling.html",
)
def dns(addon: Resource, *, replicas: Annotated[int, Bounds(2, 100)] = 3) -> Iterator[Finding]:
    """The cluster's DNS runs in every zone."""
    wants = {
        "autoScaling.enabled": YES,
        "autoScaling.minReplicas": at_least(replicas),
        "topologySpreadConstraints": Want("a list with one for zones", _spread),
    }
    yield from _configured(addon, "coredns", wants)


def _spread(value: Any) -> bool:
    each = value if isinstance(value, list) else []
    return any(look(one, "topologyKey") == "topology.kubernetes.io/zone" for one in each)


def _configured(addon: Resource, name: str, wants: dict[str, Want]) -> Iterator[Finding]:
    its = addon.get("addonName")
    if its is UNKNOWN:
        yield unverified("addonName")
    if its != name:
        return
    text = addon.get("configurationValues")
    values = text if text is UNKNOWN else parsed(text)
    if text is not None and values is None:
        yield Finding("configurationValues", "is no JSON")
        return
    if values is UNKNOWN:
        yield unverified("configurationValues")
        return
    for path, want in wants.items():
        # A key with a dot in it would be two: no setting of these add-ons has one.
        yield from judge(look(values, path), f"configurationValues.{path}", want)
