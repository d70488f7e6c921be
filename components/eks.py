"""Kubernetes on EKS: a private control plane, managed node groups in every zone, and the add-ons that nodes need.

Nothing reaches the API server but through the VPC. Who may administer the cluster is a list of roles, whoever created
it is nobody, and pods act on AWS through EKS Pod Identity (`Eks.pod_role`), each with a role of its own: nodes answer
no pod that asks for theirs.

The requirement's 40 m5.xlarge (4 vCPU, 16 GiB) become 42, which three zones divide, and m7i.xlarge: as large, two
generations newer, 5% dearer. m7g.xlarge costs 15% less than m5.xlarge and needs images built for arm64.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.alarms import Alarms, watch
from components.eks_plan import (
    LOG_TYPES,
    SERVICE_CIDR,
    SETTLED_ZONES,
    VOLUME_GIB,
    Addon,
    Architecture,
    NodeGroupPlan,
    Pool,
    check_service_cidr,
    plan_addons,
    plan_alarms,
    plan_kubeconfig,
    plan_node_groups,
)
from components.eks_policies import (
    NODE_POLICY,
    NODE_TRUST,
    plan_cluster_trust,
    plan_pod_trust,
    plan_volume_key_policy,
)
from components.errors import ArgsError
from components.kms import VOLUME_KEYS, Kms, check_account_id
from components.network import Network, check_retention

#: What EKS lets an administrator do: everything, in every namespace.
ADMIN_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

#: What nodes do on AWS as nodes: hand pods their credentials, pull images, and let an operator in.
NODE_POLICIES = (
    "AmazonEKSWorkerNodeMinimalPolicy",
    "AmazonEC2ContainerRegistryPullOnly",
    "AmazonSSMManagedInstanceCore",
)

#: What EC2 starts for a node group, and no default tag of a provider reaches.
TAGGED_BY_TEMPLATE = ("instance", "volume", "network-interface")


@dataclass(frozen=True, kw_only=True)
class EksArgs:
    """What the cluster of a region needs.

    Attributes:
        account_id: The account, 12 digits.
        network: Gives the private subnets and the groups ``control_plane`` and ``nodes``.
        keys: Classes ``secrets`` (Kubernetes Secrets), ``data`` (volumes) and ``logs`` are used.
        alarms: Hears the alarms.
        version: Kubernetes version, such as ``1.35``. EKS goes up one minor version at a time and never back.
        admin_role_arns: IAM roles that may do everything in the cluster: operators', and the one that runs this
            program, or it could not deploy into what it made. Names of the roles are part of logical names.
        general: Nodes on demand, for everything.
        brokers: Nodes on demand, for the message broker alone; ``None`` for none.
        indexing: Nodes on Spot, for indexing alone; ``None`` for none.
        architecture: What container images are built for.
        volume_gib: Root volume of a node: the system, images, logs and emptyDirs.
        release_version: Release of the nodes' image, such as ``1.35.2-20261019``; ``None`` for the latest when a group
            is made, and its own after.
        max_unavailable_percent: Nodes of a group that an update may take at once. EKS starts their successors first.
        observability: Whether Container Insights is installed, which is paid by metric and volume.
        tags: Of instances, volumes and network interfaces, which get none of the provider's default tags.
        log_retention_days: The requirement keeps logs for a year (section 4).
        locked: Pulumi's ``protect`` on the cluster and its logs, and AWS's deletion protection on both.

    Raises:
        ArgsError: A plain value cannot work.
    """

    account_id: str
    network: Network
    keys: Kms
    alarms: Alarms
    version: str
    admin_role_arns: Sequence[str]
    general: Pool
    brokers: Pool | None = None
    indexing: Pool | None = None
    architecture: Architecture = "amd64"
    volume_gib: int = 100
    release_version: str | None = None
    max_unavailable_percent: int = 33
    observability: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    log_retention_days: int = 365
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        check_service_cidr(self.network.cidr)
        self.admins()
        if not VOLUME_GIB[0] <= self.volume_gib <= VOLUME_GIB[1]:
            raise ArgsError(
                f"volume_gib is {self.volume_gib}",
                why=f"a node's gp3 volume has {VOLUME_GIB[0]} to {VOLUME_GIB[1]} GiB",
            )
        if self.release_version is not None and not re.fullmatch(
            rf"{re.escape(self.version)}\.\d+-\d{{8}}", self.release_version
        ):
            raise ArgsError(
                f"release_version is {self.release_version!r}",
                why=f"an image for Kubernetes {self.version} is named {self.version}.<patch>-<date>",
                remedy="Take one from the releases of the EKS optimized AMI",
            )
        if not 1 <= self.max_unavailable_percent <= 100:
            raise ArgsError(f"max_unavailable_percent is {self.max_unavailable_percent}", why="EKS takes 1 to 100")
        check_retention("log_retention_days", self.log_retention_days)
        self.addons()
        self.node_groups()

    def admins(self) -> dict[str, str]:
        """The administrators' ARNs by name of their role.

        Raises:
            ArgsError: There is none, one is no role, or two have one name.
        """
        if not self.admin_role_arns:
            raise ArgsError(
                "admin_role_arns is empty",
                why="whoever creates the cluster gets no right in it, so nobody could ever enter",
                remedy="Name the operators' role and the one that deploys",
            )
        found: dict[str, str] = {}
        for arn in self.admin_role_arns:
            # Not of a session (arn:aws:sts::...:assumed-role/...), which EKS refuses, nor of the account's root.
            match = re.fullmatch(r"arn:aws:iam::\d{12}:role/(?:[\x21-\x7e]+/)?([\w+=,.@-]{1,64})", arn)
            if match is None:
                raise ArgsError(
                    f"admin_role_arns names {arn!r}",
                    why="it is not the ARN of an IAM role",
                    remedy="Write it like arn:aws:iam::123456789012:role/operators, with its path if it has one",
                )
            if match[1] in found:
                raise ArgsError(f"admin_role_arns names two roles {match[1]}", why="an access entry is named after one")
            found[match[1]] = arn
        return found

    def addons(self) -> tuple[Addon, ...]:
        """The add-ons, in order.

        Raises:
            ArgsError: None are known for this version of Kubernetes.
        """
        return plan_addons(
            self.version, zones=len(self.network.zones), observability=self.observability, tags=self.tags
        )

    def node_groups(self) -> tuple[NodeGroupPlan, ...]:
        """The node groups, in order.

        Raises:
            ArgsError: EKS would refuse one.
        """
        return plan_node_groups(
            self.network.zones,
            general=self.general,
            brokers=self.brokers,
            indexing=self.indexing,
            architecture=self.architecture,
        )


class Eks(pulumi.ComponentResource):
    """The cluster of one region.

    A provider for it depends on this component as a whole (``depends_on=[cluster]``): before its administrators, nodes
    and add-ons are there, nobody can do anything in it.

    Attributes:
        name: Name of the cluster, as operators type it.
        arn: Its ARN.
        endpoint: URL of its API server, which resolves to private addresses.
        certificate_authority_data: Its CA's certificate, base64.
        kubeconfig: For ``kubernetes.Provider``: JSON, no credentials; whoever uses it needs the AWS CLI and a way
            into the VPC.
        cluster_security_group_id: The group that EKS itself makes; only the control plane is in it.
        node_role_arn: Role of all nodes.
    """

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    endpoint: pulumi.Output[str]
    certificate_authority_data: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    cluster_security_group_id: pulumi.Output[str]
    node_role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: EksArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:eks:Eks", name, None, opts)
        self._prefix, self._args = name, args

        # The log group is named after the cluster and must exist before it, or EKS makes it itself, unencrypted and for
        # ever. So the name is chosen here, and its random part keeps a second installation out of the way.
        suffix = random.RandomId(f"{name}-suffix", byte_length=4, opts=self._child()).hex
        self._cluster = self._control_plane(pulumi.Output.concat(name, "-", suffix))
        self.name, self.arn, self.endpoint = self._cluster.name, self._cluster.arn, self._cluster.endpoint
        self.certificate_authority_data = self._cluster.certificate_authority.apply(lambda ca: ca.data or "")
        self.cluster_security_group_id = self._cluster.vpc_config.apply(
            lambda config: config.cluster_security_group_id or ""
        )
        self.kubeconfig = pulumi.Output.all(self.name, self.endpoint, self.certificate_authority_data).apply(
            lambda known: json.dumps(
                plan_kubeconfig(
                    name=known[0],
                    region=args.network.region,
                    endpoint=known[1],
                    certificate_authority=known[2],
                ),
                sort_keys=True,
            )
        )

        self._administrators()
        addons = args.addons()
        before = self._addons([addon for addon in addons if addon.before_nodes], after=[])
        nodes = self._nodes(after=before)
        self._addons([addon for addon in addons if not addon.before_nodes], after=nodes)
        watch(
            self,
            name,
            plan_alarms(),
            namespace="AWS/EKS",
            dimensions={"ClusterName": self.name},
            topics=args.alarms.topics,
        )
        self.register_outputs(
            {
                "name": self.name,
                "arn": self.arn,
                "endpoint": self.endpoint,
                "kubeconfig": self.kubeconfig,
                "node_role_arn": self.node_role_arn,
            }
        )

    def pod_role(
        self,
        name: str,
        *,
        namespace: str,
        service_account: str,
        policy: pulumi.Input[str] | None = None,
        managed_policies: Sequence[str] = (),
        parent: pulumi.Resource | None = None,
    ) -> aws.eks.PodIdentityAssociation:
        """Gives the pods of one service account a role on AWS.

        Args:
            name: Logical name of everything that is made.
            namespace: Of the service account.
            service_account: Its name. Pods get the role when they start: the association goes before them.
            policy: What they may do, as a JSON document.
            managed_policies: ARNs of policies that they get besides.
            parent: The component that the pods belong to; by default this one.

        Returns:
            The association, whose ``role_arn`` is the role's. It exists when its rights do.
        """
        owner = self if parent is None else parent
        role, rights = self._role(
            name, f"{namespace}/{service_account}", policy=policy, managed=managed_policies, parent=owner
        )
        return aws.eks.PodIdentityAssociation(
            name,
            cluster_name=self.name,
            namespace=namespace,
            service_account=service_account,
            role_arn=role.arn,
            opts=pulumi.ResourceOptions(parent=owner, depends_on=rights),
        )

    def _child(
        self, *, protect: bool | None = None, after: Sequence[pulumi.Resource] = (), **more: Any
    ) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, protect=protect, depends_on=list(after), **more)

    def _role(
        self,
        name: str,
        who: str,
        *,
        policy: pulumi.Input[str] | None,
        managed: Sequence[str],
        parent: pulumi.Resource,
    ) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        """A role for pods, and what gives it its rights."""
        namespace, _, account = who.partition("/")
        trust = plan_pod_trust(
            self._prefix,
            namespace,
            account,
            account_id=self._args.account_id,
            region=self._args.network.region,
        )
        child = pulumi.ResourceOptions(parent=parent)
        role = aws.iam.Role(
            name,
            description=f"Pods of {who}",
            assume_role_policy=json.dumps(trust, sort_keys=True),
            opts=child,
        )
        rights: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(f"{name}-{arn.rsplit('/', 1)[-1]}", role=role.name, policy_arn=arn, opts=child)
            for arn in managed
        ]
        if policy is not None:
            rights.append(aws.iam.RolePolicy(name, role=role.id, policy=policy, opts=child))
        return role, rights

    def _control_plane(self, identifier: pulumi.Output[str]) -> aws.eks.Cluster:
        args, name = self._args, self._prefix
        logs = aws.cloudwatch.LogGroup(
            f"{name}-control-plane",
            name=pulumi.Output.concat("/aws/eks/", identifier, "/cluster"),
            kms_key_id=args.keys["logs"].arn,
            retention_in_days=args.log_retention_days,
            deletion_protection_enabled=args.locked,
            opts=self._child(protect=args.locked),
        )
        trust = plan_cluster_trust(name, account_id=args.account_id, region=args.network.region)
        role = aws.iam.Role(
            f"{name}-control-plane",
            description="EKS control plane",
            assume_role_policy=json.dumps(trust, sort_keys=True),
            opts=self._child(),
        )
        rights = aws.iam.RolePolicyAttachment(
            f"{name}-control-plane",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
            opts=self._child(),
        )
        return aws.eks.Cluster(
            name,
            name=identifier,
            version=args.version,
            role_arn=role.arn,
            vpc_config={
                "subnet_ids": args.network.subnets("private")[:SETTLED_ZONES],
                "security_group_ids": [args.network.security_group_ids["control_plane"]],
                "endpoint_private_access": True,
                "endpoint_public_access": False,
            },
            kubernetes_network_config={"ip_family": "ipv4", "service_ipv4_cidr": SERVICE_CIDR},
            access_config={"authentication_mode": "API", "bootstrap_cluster_creator_admin_permissions": False},
            # Add-ons are resources below, with versions of ours; changing this later replaces the cluster.
            bootstrap_self_managed_addons=False,
            encryption_config={"provider": {"key_arn": args.keys["secrets"].arn}, "resources": ["secrets"]},
            enabled_cluster_log_types=list(LOG_TYPES),
            # At the end of standard support AWS upgrades the cluster, instead of charging six times the price.
            upgrade_policy={"support_type": "STANDARD"},
            # Lets an operator, or AWS, take traffic off the pods of a zone that fails in ways no probe sees.
            zonal_shift_config={"enabled": True},
            deletion_protection=args.locked,
            # Deleting the cluster, too, takes these rights.
            opts=self._child(protect=args.locked, after=[rights, logs]),
        )

    def _administrators(self) -> None:
        for role, arn in self._args.admins().items():
            entry = aws.eks.AccessEntry(
                f"{self._prefix}-admin-{role}",
                cluster_name=self.name,
                principal_arn=arn,
                type="STANDARD",
                opts=self._child(),
            )
            aws.eks.AccessPolicyAssociation(
                f"{self._prefix}-admin-{role}",
                cluster_name=self.name,
                principal_arn=arn,
                policy_arn=ADMIN_POLICY,
                access_scope={"type": "cluster"},
                opts=self._child(after=[entry]),
            )

    def _addons(self, addons: Sequence[Addon], *, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        made: list[pulumi.Resource] = []
        for addon in addons:
            identities: list[aws.eks.AddonPodIdentityAssociationArgs] = []
            rights: list[pulumi.Resource] = []
            name = f"{self._prefix}-{addon.name}"
            if addon.service_account:
                policy = None
                if addon.volumes:
                    keys = [self._args.keys[one].arn for one in VOLUME_KEYS]
                    policy = pulumi.Output.all(*keys).apply(
                        lambda arns: json.dumps(plan_volume_key_policy(arns), sort_keys=True)
                    )
                who = f"{addon.namespace}/{addon.service_account}"
                role, rights = self._role(name, who, policy=policy, managed=addon.policies, parent=self)
                identities.append(
                    aws.eks.AddonPodIdentityAssociationArgs(service_account=addon.service_account, role_arn=role.arn)
                )
            made.append(
                aws.eks.Addon(
                    name,
                    cluster_name=self.name,
                    addon_name=addon.name,
                    addon_version=addon.version,
                    configuration_values=(
                        json.dumps(addon.configuration, sort_keys=True) if addon.configuration else None
                    ),
                    # What somebody changed in the cluster goes back to what stands here.
                    resolve_conflicts_on_create="OVERWRITE",
                    resolve_conflicts_on_update="OVERWRITE",
                    pod_identity_associations=identities or None,
                    # The rest wait for the first of each round: the agent that gives rights, and the DNS to use them.
                    opts=self._child(after=[*after, *rights, *made[:1]]),
                )
            )
        return made

    def _nodes(self, *, after: Sequence[pulumi.Resource]) -> list[pulumi.Resource]:
        """All node groups; the ones on demand are returned, since nothing may wait for Spot capacity."""
        plans = self._args.node_groups()
        role, rights = self._node_role()
        groups: dict[str, pulumi.Resource] = {}
        templates: dict[str, aws.ec2.LaunchTemplate] = {}
        for plan in plans:
            if plan.pool not in templates:
                templates[plan.pool] = self._template(plan.pool)
            before = [groups[plan.after]] if plan.after else []
            groups[plan.name] = self._node_group(plan, role, templates[plan.pool], after=[*rights, *after, *before])
        return [groups[plan.name] for plan in plans if not plan.spot]

    def _node_role(self) -> tuple[aws.iam.Role, list[pulumi.Resource]]:
        name = f"{self._prefix}-nodes"
        role = aws.iam.Role(
            name,
            description="Nodes of the cluster",
            assume_role_policy=json.dumps(NODE_TRUST, sort_keys=True),
            opts=self._child(),
        )
        self.node_role_arn = role.arn
        attached: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy}",
                role=role.name,
                policy_arn=f"arn:aws:iam::aws:policy/{policy}",
                opts=self._child(),
            )
            for policy in NODE_POLICIES
        ]
        own = aws.iam.RolePolicy(name, role=role.id, policy=json.dumps(NODE_POLICY, sort_keys=True), opts=self._child())
        return role, [*attached, own]

    def _template(self, pool: str) -> aws.ec2.LaunchTemplate:
        """What a node is, but for what its group says: image, type, subnets and capacity."""
        args = self._args
        tags = {**args.tags, "Name": f"{self._prefix}-{pool}"}
        return aws.ec2.LaunchTemplate(
            f"{self._prefix}-{pool}",
            update_default_version=True,
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",
                    "ebs": {
                        "volume_type": "gp3",
                        "volume_size": args.volume_gib,
                        "encrypted": "true",
                        "kms_key_id": args.keys["data"].arn,
                        "delete_on_termination": "true",
                    },
                }
            ],
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # An answer with one hop dies on the way into a pod: none gets the node's role.
                "http_put_response_hop_limit": 1,
            },
            monitoring={"enabled": True},
            # With a group of ours EKS adds none of its own.
            vpc_security_group_ids=[args.network.security_group_ids["nodes"]],
            tag_specifications=[{"resource_type": kind, "tags": tags} for kind in TAGGED_BY_TEMPLATE],
            opts=self._child(),
        )

    def _node_group(
        self,
        plan: NodeGroupPlan,
        role: aws.iam.Role,
        template: aws.ec2.LaunchTemplate,
        *,
        after: Sequence[pulumi.Resource],
    ) -> aws.eks.NodeGroup:
        args = self._args
        return aws.eks.NodeGroup(
            f"{self._prefix}-{plan.name}",
            cluster_name=self.name,
            node_role_arn=role.arn,
            subnet_ids=[args.network.subnet_ids["private"][zone] for zone in plan.zones],
            version=args.version,
            release_version=args.release_version,
            ami_type=plan.ami_type,
            capacity_type="SPOT" if plan.spot else "ON_DEMAND",
            instance_types=list(plan.instance_types),
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={"min_size": plan.min, "desired_size": plan.desired, "max_size": plan.max},
            update_config={"max_unavailable_percentage": args.max_unavailable_percent},
            node_repair_config={"enabled": True},
            labels=plan.labels,
            taints=[aws.eks.NodeGroupTaintArgs(**taint) for taint in plan.taints],
            # How many nodes there are is the autoscaler's to say, after the first day.
            opts=self._child(after=after, ignore_changes=["scalingConfig.desiredSize"]),
        )
