"""What adds nodes when pods find none and takes away those that nobody needs: the Kubernetes Cluster Autoscaler.

It changes one thing, the desired capacity of the Auto Scaling groups behind the cluster's node groups, between the
bounds that they have (`components.eks_plan`). EKS tags these groups with the name of the cluster: by that tag the
autoscaler finds them, and by that tag its role is held to them.

It does not know how many nodes there should be, only which pods wait and which nodes are idle. It reckons as the
scheduler of its own minor version does: its image is upgraded together with the cluster.

Whether it works is seen from outside: pods that wait for a node raise the alarms of the cluster (`eks_plan`).

"Source" is that of Cluster Autoscaler 1.35, "FAQ" its FAQ, "best practices" the Amazon EKS best practices guide.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import ContainerArgsDict
from pulumi_kubernetes.rbac.v1 import PolicyRuleArgsDict

from components.controller import LOOK, Controller, plan_pod
from components.eks import Eks
from components.eks_plan import POOL_LABEL, PoolName
from components.kms import Policy
from components.network import Network
from components.pods import check_image, internet

#: Its namespace, and its objects in it; also the lock by which one pod of it works at a time (source, main.go).
NAME = "cluster-autoscaler"
#: Where it says what it sees and does; the name is its default (source, flags.go).
STATUS = f"{NAME}-status"
#: Where it reads which groups to try first; the name is fixed (source, expander/priority).
PRIORITIES = f"{NAME}-priority-expander"

#: One works, and the other takes over 15 s after it falls silent. Without either, pods stay where they are.
REPLICAS = 2

#: Where it answers probes and gives its metrics (source, flags.go).
PORT = 8085

#: How long a node must be idle, and no node been added, before it goes, s: as long as the requirement (section 8) waits
#: before it takes pods away. Their nodes would otherwise stay for ten minutes.
SCALE_DOWN_SECONDS = 300

#: After this a group that gives no node is left alone for a while and another is tried, s: twice as long as a node
#: takes at worst, and before the cluster's alarm about waiting pods, which comes after 15 minutes.
PROVISION_SECONDS = 600

#: How long a pod may take to leave a node that goes, s: what the longest asks for, a broker (`rabbitmq_plan`). Less
#: would cut it short.
LEAVE_SECONDS = 3600

#: Pools that are tried before all others. Pods only prefer these nodes, and the autoscaler ignores preferences (FAQ):
#: of its own accord it would as soon start nodes on demand for work that Spot does at 30% of the price (requirement,
#: section 8).
FIRST: tuple[PoolName, ...] = ("indexing",)


@dataclass(frozen=True, kw_only=True)
class ClusterAutoscalerArgs:
    """What the autoscaler of a region needs.

    Attributes:
        image: Its image, of the cluster's minor version, pinned by digest.
        network: Gives the region and the addresses of private endpoints.
        cluster: Whose nodes it adds and takes away, where it runs, and who gives it its role.

    Raises:
        ArgsError: The image is not pinned.
    """

    image: str
    network: Network
    cluster: Eks

    def __post_init__(self) -> None:
        check_image(self.image)


class ClusterAutoscaler(pulumi.ComponentResource):
    """The autoscaler of one cluster.

    Attributes:
        namespace: Where it runs.
    """

    namespace: str = NAME

    def __init__(self, name: str, args: ClusterAutoscalerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:cluster_autoscaler:ClusterAutoscaler", name, None, opts)
        cluster, region = args.cluster, args.network.region
        controller = Controller(
            self,
            name,
            NAME,
            network=args.network,
            cluster=cluster,
            policy=cluster.name.apply(lambda known: json.dumps(plan_scaling(known, region=region), sort_keys=True)),
            rules=CLUSTER_RULES,
            # The network has no private endpoint for EC2 Auto Scaling, which is asked once a minute.
            needs=[internet()],
        )
        controller.allow(name, NAME, OWN_RULES, labels=controller.labels)
        priorities = kubernetes.core.v1.ConfigMap(
            f"{name}-priorities",
            metadata=controller.metadata(PRIORITIES),
            data={"priorities": plan_priorities(FIRST)},
            opts=controller.child(),
        )
        flags: list[pulumi.Input[str]] = [
            pulumi.Output.concat("--cluster-name=", cluster.name),
            cluster.name.apply(lambda known: f"--node-group-auto-discovery=asg:tag={','.join(plan_tags(known))}"),
            *plan_flags(),
        ]
        container: ContainerArgsDict = {
            "name": "autoscaler",
            "image": args.image,
            # The image has no entry point, which arguments alone would be given to.
            "command": [f"/{NAME}"],
            "args": flags,
            # Without it, it would ask the metadata of its node, which answers no pod.
            "env": [{"name": "AWS_REGION", "value": region}],
        }
        # It holds every pod and node, and every instance type that EC2 has. It is not alive when its loop has stood
        # still for ten minutes, or failed for 15.
        probe = "/health-check"
        pod = plan_pod(NAME, container, memory="600Mi", port=PORT, ready=probe, live=probe)
        controller.run(pod, replicas=REPLICAS, after=[priorities])
        self.register_outputs({"namespace": self.namespace})


#: In the whole cluster. What it may look at is what its scheduler weighs: it waits for all of it before it starts, so
#: one right too few and it does nothing at all (source, utils/kubernetes/listers.go, simulator/framework).
CLUSTER_RULES: list[PolicyRuleArgsDict] = [
    {
        "api_groups": [""],
        "resources": [
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "replicationcontrollers",
            "services",
        ],
        "verbs": LOOK,
    },
    {"api_groups": ["apps"], "resources": ["daemonsets", "replicasets", "statefulsets"], "verbs": LOOK},
    {"api_groups": ["batch"], "resources": ["jobs"], "verbs": LOOK},
    {"api_groups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": LOOK},
    # Nobody here asks for devices; since 1.35 it reads them all the same.
    {
        "api_groups": ["resource.k8s.io"],
        "resources": ["deviceclasses", "resourceclaims", "resourceslices"],
        "verbs": LOOK,
    },
    {
        "api_groups": ["storage.k8s.io"],
        "resources": ["csidrivers", "csinodes", "csistoragecapacities", "storageclasses", "volumeattachments"],
        "verbs": LOOK,
    },
    # Before a node goes it is closed to new pods, and those on it are asked to leave, as far as their budgets let them.
    {"api_groups": [""], "resources": ["nodes"], "verbs": ["update"]},
    {"api_groups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    {"api_groups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
]

CHANGE = ["get", "update"]

#: In its own namespace: who of its pods works, what it was told, and what it reports.
OWN_RULES: list[PolicyRuleArgsDict] = [
    {"api_groups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
    {"api_groups": ["coordination.k8s.io"], "resources": ["leases"], "resource_names": [NAME], "verbs": CHANGE},
    # A list cannot be limited to a name; nobody else keeps anything here.
    {"api_groups": [""], "resources": ["configmaps"], "verbs": ["create", "list", "watch"]},
    {"api_groups": [""], "resources": ["configmaps"], "resource_names": [STATUS], "verbs": CHANGE},
]


def plan_tags(cluster: str) -> dict[str, str]:
    """The tags by which EKS marks the Auto Scaling groups of a cluster's node groups.

    Source: best practices, "Cluster Autoscaler".

    Args:
        cluster: Name of the cluster.
    """
    return {"k8s.io/cluster-autoscaler/enabled": "true", f"k8s.io/cluster-autoscaler/{cluster}": "owned"}


def plan_scaling(cluster: str, *, region: str) -> Policy:
    """What it may do in AWS: set the size of this cluster's groups, and look at what it needs for that.

    Describing groups, templates and instance types cannot be limited to a resource (Service authorization reference,
    "EC2 Auto Scaling", "EC2"). EKS calls an Auto Scaling group ``eks-<node group>-<id>``. What the autoscaler would
    read of launch configurations, images and attribute-based types is left out: node groups here have none of them.

    Args:
        cluster: Name of the cluster.
        region: Its region.
    """
    look = [
        "autoscaling:DescribeAutoScalingGroups",
        # By these it learns that EC2 has no capacity, instead of waiting for it.
        "autoscaling:DescribeScalingActivities",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeLaunchTemplateVersions",
    ]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "Look", "Effect": "Allow", "Action": look, "Resource": ["*"]},
            {
                # Labels and taints of a group without nodes.
                "Sid": "Groups",
                "Effect": "Allow",
                "Action": ["eks:DescribeNodegroup"],
                "Resource": [f"arn:aws:eks:{region}:*:nodegroup/{cluster}/*/*"],
            },
            {
                "Sid": "Scale",
                "Effect": "Allow",
                "Action": ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"],
                "Resource": [f"arn:aws:autoscaling:{region}:*:autoScalingGroup:*:autoScalingGroupName/eks-*"],
                "Condition": {
                    "StringEquals": {f"aws:ResourceTag/{tag}": value for tag, value in plan_tags(cluster).items()}
                },
            },
        ],
    }


def plan_priorities(first: Sequence[str]) -> str:
    """Which groups to try first: YAML, patterns of their names by priority.

    Every group must match, or it would not be used at all. What is left of equals is for the next expander.

    Args:
        first: Pools to try before all others. A group's name has its pool's in it, between hyphens.
    """
    ranks = {20: [f"-{pool}-" for pool in first], 10: ["."]}
    lines: list[str] = []
    for rank, patterns in ranks.items():
        lines += [f"{rank}:", *(f'- "{pattern}"' for pattern in patterns)] if patterns else []
    return "\n".join(lines) + "\n"


def plan_flags() -> list[str]:
    """What it is told, beside its cluster and the tags of its groups; the rest are its defaults (source, flags.go)."""
    return [
        "--cloud-provider=aws",
        f"--namespace={NAME}",
        # Nodes are added to the zones of a pool evenly. By default groups are alike if their nodes are: not while an
        # update has reached one of them, nor where one got the second of its instance types.
        "--balance-similar-node-groups=true",
        f"--balancing-label={POOL_LABEL}",
        "--expander=priority,least-waste",
        f"--max-node-provision-time={PROVISION_SECONDS}s",
        f"--scale-down-unneeded-time={SCALE_DOWN_SECONDS}s",
        f"--scale-down-delay-after-add={SCALE_DOWN_SECONDS}s",
        f"--max-graceful-termination-sec={LEAVE_SECONDS}",
        # Every pod of ours has an emptyDir to write to, which may be lost; by default no node with one would ever go.
        "--skip-nodes-with-local-storage=false",
        # The cluster's own pods have budgets; one that has none keeps its node for an hour.
        "--skip-nodes-with-system-pods=true",
        # Why a node came or went, and no more.
        "--v=1",
    ]
