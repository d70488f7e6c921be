"""The search service on Kubernetes: one namespace, and one Deployment per role of the service.

A role (search, document, index) is a `RoleSpec`: everything that differs between roles is a figure in it, everything
that must hold for all of them is in `SearchService`. The namespace takes only pods that meet the Pod Security Standard
``restricted`` and lets nothing in or out that a role does not ask for. What a role may do in AWS is an IAM role of its
own (`components.search_service_rights`), which its pods get from EKS Pod Identity.

Before the first pod of an image starts, a Job of the same image has brought the stores to its version
(`components.search_service_migration`).

A new version comes up in one of two ways. As a rule, by a rolling update: another ``image``. When it has to prove
itself first, as a role's ``candidate``: both versions run side by side, each with a target group, and the listener's
weights move the requests over, some of them (canary) or all (blue/green), and back at once. It is over when the role's
image is the candidate's and the candidate is gone. Names never change hands: no colour has to be remembered.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict

from components import target_group_crd
from components.eks import Eks
from components.errors import ArgsError
from components.kms import Kms, Policy, check_account_id
from components.load_balancer_controller import LoadBalancerController, plan_watch
from components.pods import DNS_LABEL, HTTPS, check_image, pod_security_labels
from components.search_service_migration import (
    DATABASE_USER,
    MADE_AGAIN,
    NAME,
    TIMEOUTS,
    plan_environment,
    plan_job,
    plan_let_in,
    plan_migrations,
    plan_network_policy,
)
from components.search_service_plan import (
    CANDIDATE,
    CONFIG_MAP,
    DOCUMENT,
    DRAIN_SECONDS,
    INDEX,
    SEARCH,
    SURGE_PERCENT,
    VPC_PORTS,
    Candidate,
    Pool,
    Release,
    RoleSpec,
    fingerprint,
    plan_network_policies,
    plan_pod,
    plan_releases,
    plan_scaling,
    release_labels,
    role_labels,
)
from components.search_service_rights import Things, plan_migration_rights, plan_rights

__all__ = [
    "DOCUMENT",
    "DRAIN_SECONDS",
    "INDEX",
    "SEARCH",
    "VPC_PORTS",
    "Access",
    "Candidate",
    "Pool",
    "RoleSpec",
    "SearchService",
    "SearchServiceArgs",
    "fingerprint",
    "plan_network_policies",
    "role_labels",
]


@dataclass(frozen=True, kw_only=True)
class Access:
    """What there is in AWS for the service's roles to have rights to.

    Attributes:
        account_id: The account, 12 digits.
        region: The region of all of it.
        cluster: Gives out the roles, by Pod Identity.
        keys: Encrypt secrets (class ``secrets``) and the ledger of erasures (class ``data``).
        search_arn: The OpenSearch domain.
        cache_arns: The cache, and the user that pods log in as.
        ledger_arn: Where erasures are noted: a bucket and a prefix, ``arn:aws:s3:::BUCKET/PREFIX``; empty if nowhere.
        database_owner_arn: The secret of the database's owner, whom only ``migrate`` logs in as; ``None`` where the
            database is a replica.
        search_master_arn: The role that administers the domain, which only ``migrate`` takes.

    Raises:
        ArgsError: The account id is malformed.
    """

    account_id: str
    region: str
    cluster: Eks
    keys: Kms
    search_arn: pulumi.Input[str] = ""
    cache_arns: Sequence[pulumi.Input[str]] = ()
    ledger_arn: pulumi.Input[str] = ""
    database_owner_arn: pulumi.Input[str] | None = None
    search_master_arn: pulumi.Input[str] = ""

    def __post_init__(self) -> None:
        check_account_id(self.account_id)


@dataclass(frozen=True, kw_only=True)
class SearchServiceArgs:
    """What the service of a region needs.

    Attributes:
        image: The service's image, pinned by digest.
        cidr: The VPC's addresses: data stores and endpoints answer there.
        settings: Environment of every pod: endpoints and figures, no secrets.
        secrets: Environment variable to ARN in Secrets Manager. A pod reads the value itself, as its service account.
        roles: The roles to run.
        namespace: Where.
        access: What the roles have rights to; without it they have none, and nothing is migrated.
        controller: Registers pods in target groups.
        target_groups: ARN by name of a public role, or of its candidate (``search-candidate``): where its pods
            register, available once a load balancer uses it. A role without one is reached from within the cluster.
        callers: Blocks that the load balancer calls from (the public subnets); without any, the whole VPC.
        broker_namespace: Where the broker is, if it runs in the cluster.
        broker_secret: Then the Secret of this namespace with ``username``, ``password`` and ``ca.crt``, put there by
            whoever runs the platform: no password passes through the program.
        metrics_namespace: Whose pods may read metrics, at `components.ingress.PROBE_PORT`.

    Raises:
        ArgsError: An image is not pinned, a variable is malformed, unknown or given twice, roles share a name, or a
            target group has no role that could use it.
    """

    image: str
    cidr: str
    settings: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    roles: Sequence[RoleSpec] = (SEARCH,)
    namespace: str = "docsearch"
    access: Access | None = None
    controller: LoadBalancerController | None = None
    target_groups: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    callers: Sequence[str] = ()
    broker_namespace: str = ""
    broker_secret: str = ""
    metrics_namespace: str = ""

    def __post_init__(self) -> None:
        check_image(self.image)
        if not re.fullmatch(DNS_LABEL, self.namespace):
            raise ArgsError(f"namespace is {self.namespace!r}", why="it must be a DNS label")
        if self.broker_secret and not re.fullmatch(DNS_LABEL, self.broker_secret):
            raise ArgsError(f"broker_secret is {self.broker_secret!r}", why="it must be a DNS label")
        self._check_variables()
        names = [role.name for role in self.roles]
        if not names or len(set(names)) < len(names):
            raise ArgsError(f"roles are {', '.join(names) or 'none'}", why="each needs a name of its own")
        if NAME in names:
            raise ArgsError(f"a role is called {NAME!r}", why="the Job that goes before all pods is")
        self._check_target_groups()

    def _check_variables(self) -> None:
        for name in (*self.settings, *self.secrets):
            if not re.fullmatch(r"[A-Z][A-Z0-9_]*", name):
                raise ArgsError(f"a setting is called {name!r}", why="it becomes an environment variable")
        both = sorted(self.settings.keys() & self.secrets.keys())
        if both:
            raise ArgsError(f"{', '.join(both)} is both a setting and a secret", why="a pod has one value of it")
        for name in self.secrets:
            if not name.endswith("_ARN"):
                raise ArgsError(
                    f"the secret {name} does not end in _ARN",
                    why="a pod gets where a secret is, never what it is",
                    remedy=f"Call it {name}_ARN, and pass the ARN",
                )
        for role in self.roles:
            for name in role.secrets or ():
                if name not in self.secrets:
                    raise ArgsError(
                        f"role {role.name} reads the secret {name}",
                        why=f"the service has {', '.join(sorted(self.secrets)) or 'none'}",
                    )

    def _check_target_groups(self) -> None:
        public = {name for role in self.roles if role.public for name in self._releases(role)}
        for name in self.target_groups:
            if name not in public:
                raise ArgsError(
                    f"a target group is for {name!r}",
                    why=f"what the load balancer calls is {', '.join(sorted(public))}",
                )
        if self.target_groups and self.controller is None:
            raise ArgsError("target_groups are given without a controller", why="nobody would register a pod in them")
        for role in self.roles:
            stable, *candidates = self._releases(role)
            for candidate in candidates:
                if (stable in self.target_groups) != (candidate in self.target_groups):
                    raise ArgsError(
                        f"of {stable} and {candidate} only one has a target group",
                        why="the listener could not move requests from one to the other",
                    )

    @staticmethod
    def _releases(role: RoleSpec) -> tuple[str, ...]:
        return (role.name, f"{role.name}-{CANDIDATE}") if role.candidate else (role.name,)


class SearchService(pulumi.ComponentResource):
    """The service in one region.

    Attributes:
        namespace: Its namespace.
        service_accounts: By role: whom Pod Identity gives rights.
        services: Name of the Service by role: what the load balancer's controller registers pods from.
        role_arns: The IAM role by role: what OpenSearch maps to a role of its own. Empty without ``access``.
    """

    namespace: pulumi.Output[str]
    service_accounts: dict[str, pulumi.Output[str]]
    services: dict[str, pulumi.Output[str]]
    role_arns: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: SearchServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:search_service:SearchService", name, None, opts)
        self._prefix, self._args = name, args
        namespace = kubernetes.core.v1.Namespace(
            name,
            metadata={"name": args.namespace, "labels": pod_security_labels()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Names are written out, not read from other objects: a plan then shows them, and policies can judge it.
        self._first: list[pulumi.Resource] = [namespace]
        policies = plan_network_policies(
            args.cidr,
            args.roles,
            callers=args.callers,
            broker_namespace=args.broker_namespace,
            metrics_namespace=args.metrics_namespace,
        )
        self._first += [
            kubernetes.networking.v1.NetworkPolicy(
                f"{name}-{policy}", metadata=self._metadata(policy), spec=spec, opts=self._child()
            )
            for policy, spec in policies.items()
        ]
        if args.controller is not None:
            # Among the first, so that it is among the last to go: a controller without rights releases no binding.
            self._first.append(
                kubernetes.rbac.v1.RoleBinding(
                    f"{name}-controller", metadata=self._metadata("controller"), opts=self._child(), **plan_watch()
                )
            )
        settings = {**args.settings, **args.secrets}
        config = kubernetes.core.v1.ConfigMap(
            name, metadata=self._metadata(CONFIG_MAP), data=settings, opts=self._child()
        )
        version = pulumi.Output.all(**settings).apply(fingerprint)
        self.service_accounts, self.services, self.role_arns = {}, {}, {}
        identities: dict[str, aws.eks.PodIdentityAssociation] = {}
        if args.access is not None:
            identities = {
                role.name: self._identity(role.name, partial(plan_rights, role), args.access) for role in args.roles
            }
            self.role_arns = {name: identity.role_arn for name, identity in identities.items()}
        migrations = {} if args.access is None else self._migrate(args.access, version, config)
        for role in args.roles:
            account = self._account(role.name, role_labels(role))
            self.service_accounts[role.name] = account.metadata.apply(lambda found: found.name or "")
            before: list[pulumi.Resource] = [account, config]
            if role.name in identities:
                before.append(identities[role.name])
            for release in plan_releases(role, image=args.image):
                done = [migrations[release.image]] if migrations else []
                self._release(release, version, [*before, *done])
        self.namespace = namespace.metadata.apply(lambda metadata: metadata.name or "")
        self.register_outputs({"namespace": self.namespace, "services": self.services, "role_arns": self.role_arns})

    def _child(self, *, after: Sequence[pulumi.Resource] = (), **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[*self._first, *after], **more)

    def _metadata(self, name: str, labels: Mapping[str, str] | None = None) -> ObjectMetaArgsDict:
        own = {"app.kubernetes.io/part-of": "docsearch"}
        return {"name": name, "namespace": self._args.namespace, "labels": own | dict(labels or {})}

    def _account(self, name: str, labels: Mapping[str, str]) -> kubernetes.core.v1.ServiceAccount:
        return kubernetes.core.v1.ServiceAccount(
            f"{self._prefix}-{name}",
            metadata=self._metadata(name, labels),
            automount_service_account_token=False,
            opts=self._child(),
        )

    def _migrate(
        self, access: Access, version: pulumi.Output[str], config: pulumi.Resource
    ) -> dict[str, kubernetes.batch.v1.Job]:
        """The Job of each image, which its pods wait for."""
        policy = kubernetes.networking.v1.NetworkPolicy(
            f"{self._prefix}-allow-{NAME}",
            metadata=self._metadata(f"allow-{NAME}"),
            spec=plan_network_policy(self._args.cidr),
            opts=self._child(),
        )
        labels = release_labels(NAME)
        identity = self._identity(NAME, partial(plan_migration_rights, DATABASE_USER), access)
        before = [policy, config, self._account(NAME, labels), identity]
        let_in = {
            variable: pulumi.Output.all(*(self.role_arns[name] for name in names)).apply(",".join)
            for variable, names in plan_let_in(self._args.roles).items()
        }
        environment = plan_environment(access.database_owner_arn, access.search_master_arn, let_in)
        return {
            migration.image: kubernetes.batch.v1.Job(
                f"{self._prefix}-{migration.key}",
                metadata={**self._metadata(migration.name, labels), "annotations": MADE_AGAIN},
                spec=plan_job(migration, environment, version),
                opts=self._child(after=before, custom_timeouts=TIMEOUTS),
            )
            for migration in plan_migrations(self._args.image, self._args.roles)
        }

    def _identity(
        self, name: str, rights: Callable[[Things], Policy], access: Access
    ) -> aws.eks.PodIdentityAssociation:
        """The IAM role of a service account's pods. It is there before a pod starts: credentials are injected then."""

        def policy(arns: Mapping[str, Any]) -> str:
            things = Things(account_id=access.account_id, region=access.region, **arns)
            return json.dumps(rights(things), sort_keys=True)

        return access.cluster.pod_role(
            f"{self._prefix}-{name}",
            namespace=self._args.namespace,
            service_account=name,
            policy=pulumi.Output.all(
                secrets=dict(self._args.secrets),
                secrets_key=access.keys["secrets"].arn,
                data_key=access.keys["data"].arn,
                search=access.search_arn,
                cache=list(access.cache_arns),
                ledger=access.ledger_arn,
                database_owner=access.database_owner_arn or "",
                search_master=access.search_master_arn,
            ).apply(policy),
            parent=self,
        )

    def _release(self, release: Release, version: pulumi.Output[str], before: Sequence[pulumi.Resource]) -> None:
        name, metadata = f"{self._prefix}-{release.name}", self._metadata(release.name, release.labels)
        target_group = self._args.target_groups.get(release.name)
        deployment = kubernetes.apps.v1.Deployment(
            name,
            metadata=metadata,
            spec={
                "replicas": release.min_replicas,
                "revision_history_limit": 5,
                "progress_deadline_seconds": 600,
                "min_ready_seconds": 10,
                "strategy": {
                    "type": "RollingUpdate",
                    "rolling_update": {"max_unavailable": 0, "max_surge": f"{SURGE_PERCENT}%"},
                },
                "selector": {"match_labels": release.labels},
                "template": {
                    "metadata": {
                        "labels": release.labels,
                        # Pods read their settings once, when they start: new settings make new pods.
                        "annotations": {"docsearch/settings": version},
                    },
                    "spec": plan_pod(
                        release,
                        gates=() if target_group is None else (release.name,),
                        broker_secret=self._args.broker_secret,
                    ),
                },
            },
            # The number of replicas is the autoscaler's from the first day on.
            opts=self._child(
                # Pods that wait for the load balancer need somebody who registers them.
                after=[*before, *self._bind(release, metadata, target_group)],
                ignore_changes=["spec.replicas"],
            ),
        )
        kubernetes.autoscaling.v2.HorizontalPodAutoscaler(
            name, metadata=metadata, spec=plan_scaling(release), opts=self._child(after=[deployment])
        )
        kubernetes.policy.v1.PodDisruptionBudget(
            name,
            metadata=metadata,
            spec={
                "selector": {"match_labels": release.labels},
                # Rounded up, so a node can always be drained; and never so many that the rest is overrun.
                "max_unavailable": "10%",
                "unhealthy_pod_eviction_policy": "AlwaysAllow",
            },
            opts=self._child(),
        )

    def _bind(
        self, release: Release, metadata: ObjectMetaArgsDict, target_group: pulumi.Input[str] | None
    ) -> list[pulumi.Resource]:
        """The Service of a release and, if the load balancer calls it, what registers its pods."""
        name = f"{self._prefix}-{release.name}"
        service = kubernetes.core.v1.Service(
            name,
            metadata=metadata,
            spec={
                "type": "ClusterIP",
                "selector": release.labels,
                "ports": [{"name": "https", "port": HTTPS, "target_port": "https", "protocol": "TCP"}],
            },
            opts=self._child(),
        )
        self.services[release.name] = service.metadata.apply(lambda found: found.name or "")
        if target_group is None or self._args.controller is None:
            return []
        return [
            kubernetes.apiextensions.CustomResource(
                name,
                api_version=f"{target_group_crd.GROUP}/{target_group_crd.VERSION}",
                kind=target_group_crd.KIND,
                metadata=metadata,
                # No `networking`: who may reach the nodes is the network's to say, not the controller's.
                spec={
                    "targetGroupARN": target_group,
                    "targetType": "ip",
                    "ipAddressType": "ipv4",
                    "serviceRef": {"name": release.name, "port": HTTPS},
                },
                opts=self._child(
                    after=[service, self._args.controller],
                    # The controller's webhook refuses another target group in place, and the name is taken.
                    replace_on_changes=["spec.targetGroupARN"],
                    delete_before_replace=True,
                ),
            )
        ]
