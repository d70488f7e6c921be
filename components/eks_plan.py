"""What a region's cluster looks like, decided before anything is built: nodes, add-ons, policies, alarms.

Limits are AWS's own; each names its source. "API" is the Amazon EKS API reference (`CreateCluster`, `CreateNodegroup`),
"user guide" the Amazon EKS user guide, "best practices" the Amazon EKS best practices guide.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any, Final, Literal, NamedTuple

from components.alarms import Alarm
from components.errors import ArgsError

Architecture = Literal["amd64", "arm64"]
PoolName = Literal["general", "brokers", "indexing"]

#: The image that EKS keeps for Amazon Linux 2023, per architecture (API, amiType).
AMI_TYPES: Mapping[Architecture, str] = {"amd64": "AL2023_x86_64_STANDARD", "arm64": "AL2023_ARM_64_STANDARD"}

#: Addresses of Services. AWS would choose by the VPC's own, and the answer could never be changed: so it is said. Its
#: prefix is /12 to /24, and it may not overlap the VPC (API, KubernetesNetworkConfigRequest).
SERVICE_CIDR: Final = "172.20.0.0/16"

#: Zones, the first of the region's, of what EKS puts somewhere once and for all: a control plane takes no subnet in a
#: zone that it was not created in (user guide, "Amazon EKS networking requirements for VPC and subnets"), and the
#: subnets of a node group cannot be changed (API, UpdateNodegroupConfig). Every region has these, so that one with
#: three can have a fourth.
SETTLED_ZONES: Final = 3

#: Every type of control-plane log (API, LogSetup).
LOG_TYPES: Final = ("api", "audit", "authenticator", "controllerManager", "scheduler")

#: The label that says which pool a node is of, and the key of the taint that keeps other pods off it.
POOL_LABEL: Final = "docsearch/pool"

#: Nodes of one managed node group, and groups of one cluster (user guide, "Service quotas"; both can be raised).
MAX_GROUP_NODES: Final = 450
#: Instance types of one node group (API, instanceTypes).
MAX_TYPES: Final = 20
#: Spot capacity is reclaimed by type and zone: with fewer than this a whole pool can go at once (best practices, "Be
#: flexible across instance types"; the figure is ours).
MIN_SPOT_TYPES: Final = 4

#: Size of a node's gp3 volume, GiB: from the size of the image to EC2's limit (EC2 API, EbsBlockDevice).
VOLUME_GIB: Final = (20, 65_536)


class InstanceSize(NamedTuple):
    """What an instance type has."""

    vcpus: int
    memory_gib: int
    architecture: Architecture


#: GiB of memory per vCPU, by the letter that starts a family (EC2 user guide, "Instance types").
_RATIO: Final = {"c": 2, "m": 4, "r": 8}
#: vCPUs by size. A larger node takes too many pods with it when it goes.
_VCPUS: Final = {"large": 2, "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32}
#: Current families of these sizes, and m5 and r5: still sold, and spare capacity that a Spot pool can use. Local-disk
#: and high-network variants are left out: pods here need neither.
FAMILIES: Mapping[Architecture, str] = {
    "amd64": "c6a c6i c7a c7i m5 m5a m6a m6i m7a m7i m8a m8i r5 r5a r6a r6i r7a r7i",
    "arm64": "c6g c7g c8g m6g m7g m8g r6g r7g r8g",
}


def size_of(instance_type: str) -> InstanceSize:
    """What an instance type has.

    Raises:
        ArgsError: It is not a type that this service runs nodes on.
    """
    match = re.fullmatch(r"([a-z][a-z0-9]*)\.([a-z0-9]+)", instance_type)
    if match is None:
        raise ArgsError(
            f"instance type is {instance_type!r}",
            why="an EC2 instance type is <family>.<size>",
            remedy="Write it like m7i.xlarge",
        )
    family, size = match.groups()
    for architecture, families in FAMILIES.items():
        if family in families.split() and size in _VCPUS:
            return InstanceSize(_VCPUS[size], _VCPUS[size] * _RATIO[family[0]], architecture)
    why = f"nodes come in {', '.join(_VCPUS)}"
    if not any(family in families.split() for families in FAMILIES.values()):
        why = "it is of an older generation, or has hardware that pods here make no use of"
    if family.startswith("t"):
        why = "a burstable type runs out of CPU credits under steady load"
    raise ArgsError(
        f"instance type is {instance_type}",
        why=why,
        remedy=f"Take a size of {', '.join(' '.join(FAMILIES.values()).split())}",
    )


@dataclass(frozen=True, kw_only=True)
class Pool:
    """How many nodes of which type, in all zones together.

    Attributes:
        instance_types: All of one size, so that a scheduler and an autoscaler can take one for another. On demand, the
            first that can be had is taken; Spot takes what is least likely to be reclaimed.
        min: Nodes that are always there.
        desired: Nodes to begin with; afterwards their number belongs to the autoscaler.
        max: Nodes at which autoscaling stops.

    Raises:
        ArgsError: EKS would refuse it, or an autoscaler could not work with it.
    """

    instance_types: Sequence[str]
    min: int
    desired: int
    max: int

    def __post_init__(self) -> None:
        types = list(self.instance_types)
        if not 1 <= len(types) <= MAX_TYPES:
            raise ArgsError(f"instance types are {len(types)}", why=f"a node group has 1 to {MAX_TYPES}")
        repeated = sorted({name for name in types if types.count(name) > 1})
        if repeated:
            raise ArgsError(f"instance types name {', '.join(repeated)} more than once", why="once is enough")
        shapes = {size_of(name)[:2]: name for name in reversed(types)}
        if len(shapes) > 1:
            raise ArgsError(
                f"instance types are of several sizes: {', '.join(sorted(shapes.values()))}",
                why="an autoscaler reckons with the size of the first and would start too few or too many",
                remedy="Take types with the same vCPUs and memory",
            )
        if not 0 <= self.min <= self.desired <= self.max or not self.max:
            raise ArgsError(
                f"nodes are {self.min} to {self.max}, {self.desired} at first",
                why="EKS takes 0 <= min <= desired <= max, and a max of at least 1",
            )

    @property
    def architecture(self) -> Architecture:
        """Of its first type; `plan_node_groups` sees to it that all agree."""
        return size_of(self.instance_types[0]).architecture


@dataclass(frozen=True, kw_only=True)
class NodeGroupPlan:
    """One managed node group to be.

    Attributes:
        name: ``general-a``, ``brokers-a`` (one per zone) or ``indexing``; unique, and the same in every region.
        pool: The pool that its nodes belong to.
        zones: The zones that its nodes are started in.
        instance_types: See `Pool`.
        ami_type: The image, as EKS calls it.
        spot: Whether its nodes are spare capacity, which EC2 may take back two minutes after saying so.
        min, desired, max: Nodes of this group.
        after: The group that must be there, and updated, before it; empty for none.
    """

    name: str
    pool: PoolName
    zones: tuple[str, ...]
    instance_types: tuple[str, ...]
    ami_type: str
    spot: bool
    min: int
    desired: int
    max: int
    after: str = ""

    @property
    def labels(self) -> dict[str, str]:
        """What its nodes are called, for a pod's node selector."""
        return {POOL_LABEL: self.pool}

    @property
    def taints(self) -> list[dict[str, str]]:
        """Who stays off its nodes: off all that are set apart, everybody who does not ask for them."""
        return [] if self.pool == "general" else [{"key": POOL_LABEL, "value": self.pool, "effect": "NO_SCHEDULE"}]


def plan_node_groups(
    zones: Sequence[str],
    *,
    general: Pool,
    brokers: Pool | None = None,
    indexing: Pool | None = None,
    architecture: Architecture = "amd64",
) -> tuple[NodeGroupPlan, ...]:
    """The node groups of a cluster: on demand one per zone and pool, and one on Spot for indexing.

    One group per zone, because an Auto Scaling group over several zones balances nodes and not pods: it would take
    nodes from under pods whose volumes are in that zone, and an autoscaler could not ask it for a node in a certain
    zone (best practices, "Cluster Autoscaler"). The groups follow each other, so that a bad image or template stops at
    the first zone. Indexing keeps nothing on its nodes, and Spot is best had wherever there is some: one group, in
    `SETTLED_ZONES` zones.

    Args:
        zones: The zones of the region, at least two.
        general: The pool for everything that must not be interrupted; the zones divide each of its counts.
        brokers: The pool that only the message broker runs on; ``None`` for none. The zones divide its counts, too.
        indexing: The pool that only indexing runs on; ``None`` for none.
        architecture: What container images are built for.

    Returns:
        The general groups in the order of the zones, the brokers' likewise, then indexing.

    Raises:
        ArgsError: EKS would refuse a group, or the loss of a zone could not be made up for.
    """
    if len(zones) < 2:
        raise ArgsError(f"zones are {', '.join(zones) or 'none'}", why="the control plane needs subnets in two")
    for pool_name, pool in {"general": general, "brokers": brokers, "indexing": indexing}.items():
        if pool is None:
            continue
        foreign = [name for name in pool.instance_types if size_of(name).architecture != architecture]
        if foreign:
            raise ArgsError(
                f"{pool_name} nodes name {', '.join(foreign)}",
                why=f"they do not run images built for {architecture}",
                remedy=f"Take types of {FAMILIES[architecture]}",
            )
    steady: dict[PoolName, Pool] = {"general": general, **({"brokers": brokers} if brokers else {})}
    for name, pool in steady.items():
        _check_zones(name, pool, len(zones))
    if indexing is not None and len(indexing.instance_types) < MIN_SPOT_TYPES:
        raise ArgsError(
            f"indexing nodes are of {len(indexing.instance_types)} types",
            why="EC2 takes Spot capacity back by type, and could take the whole pool at once",
            remedy=f"Name at least {MIN_SPOT_TYPES} types",
        )
    return tuple(_checked(group) for group in _node_groups(zones, steady, indexing, AMI_TYPES[architecture]))


def _check_zones(name: PoolName, pool: Pool, zones: int) -> None:
    for what, count in {"min": pool.min, "desired": pool.desired, "max": pool.max}.items():
        if count % zones or not count:
            raise ArgsError(
                f"{name} nodes: {what} is {count}",
                why=f"{zones} zones do not divide it, and each gets as many as the others",
                remedy=f"Take {max(1, count // zones) * zones} or {(count // zones + 1) * zones}",
            )
    left = pool.max // zones * (zones - 1)
    if left < pool.desired:
        raise ArgsError(
            f"{name} nodes: max is {pool.max}",
            why=f"without one of {zones} zones the others could grow to {left}, and {pool.desired} are needed",
            remedy=f"Take at least {-(-pool.desired // (zones - 1)) * zones}",
        )


def _node_groups(
    zones: Sequence[str], steady: Mapping[PoolName, Pool], indexing: Pool | None, ami_type: str
) -> Iterator[NodeGroupPlan]:
    for pool_name, pool in steady.items():
        before = ""
        for zone in zones:
            name = f"{pool_name}-{zone[-1]}"
            yield NodeGroupPlan(
                name=name,
                pool=pool_name,
                zones=(zone,),
                instance_types=tuple(pool.instance_types),
                ami_type=ami_type,
                spot=False,
                min=pool.min // len(zones),
                desired=pool.desired // len(zones),
                max=pool.max // len(zones),
                after=before,
            )
            before = name
    if indexing is not None:
        yield NodeGroupPlan(
            name="indexing",
            pool="indexing",
            zones=tuple(zones[:SETTLED_ZONES]),
            instance_types=tuple(indexing.instance_types),
            ami_type=ami_type,
            spot=True,
            min=indexing.min,
            desired=indexing.desired,
            max=indexing.max,
        )


def _checked(group: NodeGroupPlan) -> NodeGroupPlan:
    if group.max > MAX_GROUP_NODES:
        raise ArgsError(
            f"node group {group.name} may grow to {group.max} nodes",
            why=f"a managed node group has at most {MAX_GROUP_NODES}",
            remedy="Take fewer, or larger ones",
        )
    return group


#: The version of every add-on, by Kubernetes version: the ones that EKS itself takes by default, as of October 2026
#: (`DescribeAddonVersions`; for agents and drivers, which serve all three, the latest). A row is added before a cluster
#: is upgraded to its version; EKS refuses a version that does not go with the cluster's.
ADDON_VERSIONS: Mapping[str, Mapping[str, str]] = {
    kubernetes: {
        "eks-pod-identity-agent": "v1.3.10-eksbuild.3",
        "vpc-cni": "v1.22.4-eksbuild.3",
        "kube-proxy": kube_proxy,
        "eks-node-monitoring-agent": "v1.7.2-eksbuild.1",
        "coredns": coredns,
        "aws-ebs-csi-driver": "v1.66.0-eksbuild.1",
        "metrics-server": "v0.9.0-eksbuild.11",
        "amazon-cloudwatch-observability": "v6.7.0-eksbuild.1",
    }
    for kubernetes, kube_proxy, coredns in (
        ("1.34", "v1.34.6-eksbuild.29", "v1.12.4-eksbuild.38"),
        ("1.35", "v1.35.3-eksbuild.29", "v1.13.2-eksbuild.31"),
        ("1.36", "v1.36.0-eksbuild.25", "v1.14.3-eksbuild.23"),
    )
}

_MANAGED: Final = "arn:aws:iam::aws:policy/"


@dataclass(frozen=True, kw_only=True)
class Addon:
    """One EKS add-on to be.

    Attributes:
        name: As EKS calls it; ends the logical name.
        version: Pinned: an add-on never changes but with this program.
        before_nodes: Whether it must be there before the first node. A node without network or proxy never becomes
            ready; what runs in pods of its own never becomes active without a node.
        service_account: The account in ``kube-system`` (or its own namespace) that acts on AWS; empty for none.
        namespace: Of that account.
        policies: ARNs of the managed policies that it acts with.
        volumes: Whether it makes volumes, and so must be able to use their key.
        configuration: Values that differ from the add-on's own, by its schema (`DescribeAddonConfiguration`).
    """

    name: str
    version: str
    before_nodes: bool
    service_account: str = ""
    namespace: str = "kube-system"
    policies: tuple[str, ...] = ()
    volumes: bool = False
    configuration: Mapping[str, Any] = field(default_factory=dict)


def plan_addons(
    version: str, *, zones: int, observability: bool = False, tags: Mapping[str, str] | None = None
) -> tuple[Addon, ...]:
    """The add-ons of a cluster, in the order in which they may come.

    Args:
        version: Kubernetes version of the cluster.
        zones: How many zones its nodes are in.
        observability: Whether Container Insights is wanted: metrics and logs of pods in CloudWatch, paid by volume.
        tags: Tags for the volumes that pods ask for.

    Returns:
        Those that nodes need first.

    Raises:
        ArgsError: No versions are pinned for this version of Kubernetes.
    """
    if version not in ADDON_VERSIONS:
        raise ArgsError(
            f"kubernetes version is {version!r}",
            why=f"add-on versions are known for {', '.join(ADDON_VERSIONS)}",
            remedy="Add its row to ADDON_VERSIONS from `aws eks describe-addon-versions --kubernetes-version`",
        )
    pinned = ADDON_VERSIONS[version]
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    rows: list[dict[str, Any]] = [
        {"name": "eks-pod-identity-agent", "before_nodes": True},
        {
            "name": "vpc-cni",
            "before_nodes": True,
            "service_account": "aws-node",
            "policies": (f"{_MANAGED}AmazonEKS_CNI_Policy",),
            # Off by default, and every NetworkPolicy would then be taken and ignored.
            "configuration": {"enableNetworkPolicy": "true"},
        },
        {"name": "kube-proxy", "before_nodes": True},
        # What node repair acts on, beyond a kubelet that falls silent.
        {"name": "eks-node-monitoring-agent", "before_nodes": True},
        {
            "name": "coredns",
            "before_nodes": False,
            # Its own default is two copies, whatever the size of the cluster, in whichever zones.
            "configuration": {
                "autoScaling": {"enabled": True, "minReplicas": max(2, zones), "maxReplicas": 10 * zones},
                "topologySpreadConstraints": [spread],
            },
        },
        {
            "name": "aws-ebs-csi-driver",
            "before_nodes": False,
            "service_account": "ebs-csi-controller-sa",
            # Version 2 reaches only volumes and snapshots that the driver itself tagged.
            "policies": (f"{_MANAGED}AmazonEBSCSIDriverPolicyV2",),
            "volumes": True,
            "configuration": {"controller": {"extraVolumeTags": dict(tags)}} if tags else {},
        },
        {"name": "metrics-server", "before_nodes": False},
    ]
    if observability:
        rows.append(
            {
                "name": "amazon-cloudwatch-observability",
                "before_nodes": False,
                "service_account": "cloudwatch-agent",
                "namespace": "amazon-cloudwatch",
                "policies": (f"{_MANAGED}CloudWatchAgentServerPolicy", f"{_MANAGED}AWSXrayWriteOnlyAccess"),
            }
        )
    return tuple(Addon(version=pinned[row["name"]], **row) for row in rows)


def check_service_cidr(vpc: str) -> None:
    """Refuses a VPC whose addresses Services would shadow.

    Raises:
        ArgsError: The two overlap.
    """
    if IPv4Network(vpc).overlaps(IPv4Network(SERVICE_CIDR)):
        raise ArgsError(
            f"the network is {vpc}",
            why=f"Services have {SERVICE_CIDR}, and EKS refuses a cluster where the two overlap",
            remedy="Give the region another /16",
        )


#: etcd of the standard control plane takes 8 GiB and refuses every write beyond (best practices, "etcd").
ETCD_BYTES: Final = 8 * 2**30


def plan_alarms() -> tuple[Alarm, ...]:
    """The alarms of a cluster.

    Metrics and statistics: user guide, "Basic metrics in Amazon CloudWatch" (namespace ``AWS/EKS``, clusters from 1.28
    on). They are about the control plane, which pods outlive; what nodes and pods do is not in them.
    """
    return (
        Alarm(
            name="api-errors",
            metric="apiserver_request_total_5XX",
            share_of="apiserver_request_total",
            statistic="Sum",
            threshold=5,
            minutes=10,
            severity="page",
            missing="notBreaching",
            because="The cluster API fails: pods run on, but nothing is started, moved or scaled. See the api log",
        ),
        # Kubernetes' own objective for one object, "API call latency SLI/SLO": 1 s at the 99th percentile.
        Alarm(
            name="api-latency",
            metric="apiserver_request_duration_seconds_POST_P99",
            threshold=1,
            minutes=15,
            missing="notBreaching",
            because="Writes to the cluster API take more than 1 s: look for slow webhooks and large lists",
        ),
        Alarm(
            name="api-throttled",
            metric="apiserver_request_total_429",
            statistic="Sum",
            threshold=10,
            minutes=15,
            missing="notBreaching",
            because="The cluster API turns clients away: find in the audit log who asks so often",
        ),
        # An autoscaler has a node ready within five minutes.
        Alarm(
            name="pods-pending",
            metric="scheduler_pending_pods_UNSCHEDULABLE",
            statistic="Sum",
            threshold=0,
            minutes=15,
            missing="notBreaching",
            because="Pods find no node: the pools are at their max, EC2 has no capacity, or a pod asks for too much",
        ),
        Alarm(
            name="many-pods-pending",
            metric="scheduler_pending_pods_UNSCHEDULABLE",
            statistic="Sum",
            threshold=10,
            minutes=10,
            severity="page",
            missing="notBreaching",
            because="Many pods find no node: a zone may be lost and the others at their max",
        ),
        Alarm(
            name="scheduler-errors",
            metric="scheduler_schedule_attempts_ERROR",
            statistic="Sum",
            threshold=0,
            minutes=15,
            missing="notBreaching",
            because="The scheduler fails for reasons of its own: see the scheduler log, then ask AWS",
        ),
        Alarm(
            name="storage",
            metric="apiserver_storage_size_bytes",
            statistic="Maximum",
            threshold=ETCD_BYTES * 3 // 4,
            because="The cluster's store is three quarters full, and full it takes no writes: look for what piles up",
        ),
    )


def plan_kubeconfig(*, name: str, region: str, endpoint: str, certificate_authority: str) -> dict[str, Any]:
    """How to reach a cluster, as whoever one is on AWS: it holds no credentials, and asks for a token at each use.

    Source: user guide, "Connect kubectl to an EKS cluster".
    """
    token = ["--region", region, "eks", "get-token", "--cluster-name", name, "--output", "json"]
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": endpoint, "certificate-authority-data": certificate_authority}}
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        "users": [
            {
                "name": name,
                "user": {
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1beta1",
                        "command": "aws",
                        "args": token,
                        "interactiveMode": "Never",
                    }
                },
            }
        ],
    }
