"""RabbitMQ: the queue between the API and the indexers, by one of two implementations.

``broker.kind`` of the stack file chooses: the RabbitMQ cluster operator on the region's Kubernetes cluster, which is
what the requirement describes (5 nodes), or Amazon MQ, which runs it for us and has 3 nodes, whatever is asked. What
the rest of the program sees of either is the same: a host, a port, and where the credentials are.

Each region has a broker of its own and nothing passes between them: neither implementation replicates queues to another
region. After a failover the messages that were not consumed are published again from the outbox in the database, which
did come across.

Known limits, of the operator's cluster: its certificate and its passwords are no resources of the program, so that no
key is ever in a state. Whoever runs the platform puts the Secret ``tls_secret`` (``tls.crt``, ``tls.key``, for
``rabbitmq.rabbitmq.svc``) into the namespace, and renews it; until it is there, pods wait for it. The operator makes
the first user and keeps it in a Secret of the cluster. Queues have three copies on five nodes in three zones: two of
the three may be in one zone, and such a queue then waits, and loses nothing, until the zone is back; ``copies=5`` does
not wait. Its alarms are Prometheus' (port 15691), not CloudWatch's.

Of Amazon MQ: its log group is named after an id that it makes up, so it makes the group itself, under its
service-linked role; retention and key of that group must be set afterwards (``log_group``). The provider never changes
a user once the broker is there: a password is changed in RabbitMQ, and then in the secret.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import pulumi_random as random
from pulumi_aws.mq import BrokerMaintenanceWindowStartTimeArgsDict
from pulumi_kubernetes.meta.v1 import ObjectMetaArgsDict

from components import rabbitmq_crd
from components.alarms import Alarms, watch
from components.controller import plan_binding, plan_deployment
from components.errors import ArgsError
from components.kms import Kms, Role
from components.network import Network
from components.pods import pod_security_labels
from components.rabbitmq_operator import (
    NAME,
    NAMESPACE,
    REPLICAS,
    operator_labels,
    plan_cluster_policies,
    plan_definition,
    plan_election_rights,
    plan_operator_pod,
    plan_operator_policies,
    plan_rights,
)
from components.rabbitmq_plan import (
    ALARMS,
    AMAZON_NODES,
    MAINTENANCE,
    PASSWORD_LENGTH,
    PORT,
    USER,
    AmazonSpec,
    ClusterSpec,
    check_broker_name,
    node_labels,
    plan_amazon_configuration,
    plan_cluster,
    plan_maintenance,
)
from components.secrets import RECOVERY_WINDOW_DAYS

#: The `RabbitmqCluster`, its Service and, in part, its Secrets are called so.
CLUSTER = "rabbitmq"
#: Encrypted volumes of the nodes; the class is the cluster's, so its name tells whose it is.
STORAGE_CLASS = "rabbitmq"

#: Three nodes behind a load balancer take Amazon MQ 20 to 30 minutes, where the provider gives up after 30.
TIMEOUTS = pulumi.CustomTimeouts(create="1h", update="2h", delete="1h")


@dataclass(frozen=True)
class Credentials:
    """Where a user's name and password are; never what they are.

    Attributes:
        store: ``secrets-manager`` (JSON with ``username`` and ``password``) or ``kubernetes`` (a Secret with these
            keys).
        name: ARN of the secret, or name of the Secret.
        namespace: Of the Secret; empty in Secrets Manager.
    """

    store: str
    name: pulumi.Output[str]
    namespace: str = ""


@dataclass(frozen=True, kw_only=True)
class RabbitMqArgs:
    """What the broker of a region needs.

    Attributes:
        role: Decides only when Amazon MQ maintains: a standby a day before its primary.
        network: Gives the data subnets and the group ``broker``, or the addresses that policies name.
        cidr: The VPC's addresses.
        keys: Class ``messages`` encrypts messages at rest, ``secrets`` the password.
        alarms: Hears the alarms.
        broker: Which implementation, and its figures.
        service_cidr: Addresses of the cluster's Services: what EKS takes unless the VPC is in it (EKS API,
            KubernetesNetworkConfigRequest).
        maintenance: When Amazon MQ maintains, ``ddd:hh:mm``, UTC, for two hours; ``None`` for the role's own.
        locked: Pulumi's ``protect``, volumes that outlive their cluster, and 30 days in which the password's secret can
            be restored. Neither product has a deletion protection of its own. Unlocked, changes of a broker of Amazon
            MQ apply at once instead of in the maintenance window.

    Raises:
        ArgsError: A plain value cannot work.
    """

    role: Role
    network: Network
    cidr: str
    keys: Kms
    alarms: Alarms
    broker: ClusterSpec | AmazonSpec
    service_cidr: str = "172.20.0.0/16"
    maintenance: str | None = None
    locked: bool = True

    def __post_init__(self) -> None:
        self.window()
        if isinstance(self.broker, AmazonSpec) and len(self.network.zones) < AMAZON_NODES:
            raise ArgsError(
                f"zones are {', '.join(self.network.zones)}",
                why=f"a cluster of Amazon MQ has {AMAZON_NODES} nodes, each in a zone of its own",
                remedy="Give the network a third zone",
            )

    def window(self) -> BrokerMaintenanceWindowStartTimeArgsDict:
        """When Amazon MQ may begin to maintain.

        Raises:
            ArgsError: ``maintenance`` is malformed.
        """
        return plan_maintenance(self.maintenance or MAINTENANCE[self.role])


class RabbitMq(pulumi.ComponentResource):
    """The broker of one region.

    Attributes:
        host: Where clients connect, with TLS.
        port: 5671.
        credentials: Where the first user's name and password are.
        log_group: Amazon MQ's log group; ``None`` on Kubernetes, where nodes log to their output.
    """

    host: pulumi.Output[str]
    port: int = PORT
    credentials: Credentials
    log_group: pulumi.Output[str] | None = None

    def __init__(self, name: str, args: RabbitMqArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:rabbitmq:RabbitMq", name, None, opts)
        self._prefix, self._args = name, args
        if isinstance(args.broker, AmazonSpec):
            self._amazon(args.broker)
        else:
            self._operator(args.broker)
            self._cluster(args.broker)
        self.register_outputs(
            {"host": self.host, "port": self.port, "credentials": self.credentials.name, "log_group": self.log_group}
        )

    def _child(self, *after: pulumi.Resource, stateful: bool = False, **more: Any) -> pulumi.ResourceOptions:
        protect = self._args.locked if stateful else None
        return pulumi.ResourceOptions(parent=self, depends_on=list(after), protect=protect, **more)

    # Amazon MQ

    def _amazon(self, spec: AmazonSpec) -> None:
        args, name = self._args, self._prefix
        check_broker_name(name)
        password = random.RandomPassword(name, length=PASSWORD_LENGTH, special=False, opts=self._child()).result
        configuration = aws.mq.Configuration(
            name,
            engine_type="RabbitMQ",
            engine_version=spec.engine_version,
            description="RabbitMQ of docsearch",
            data=plan_amazon_configuration(),
            opts=self._child(),
        )
        broker = aws.mq.Broker(
            name,
            engine_type="RabbitMQ",
            engine_version=spec.engine_version,
            host_instance_type=spec.instance_type,
            deployment_mode="CLUSTER_MULTI_AZ",
            # Amazon MQ refuses a broker without it; the provider's default is off.
            auto_minor_version_upgrade=True,
            apply_immediately=not args.locked,
            publicly_accessible=False,
            subnet_ids=args.network.subnets("data")[:AMAZON_NODES],
            security_groups=[args.network.security_group_ids["broker"]],
            encryption_options={"use_aws_owned_key": False, "kms_key_id": args.keys["messages"].arn},
            configuration={"id": configuration.id, "revision": configuration.latest_revision},
            logs={"general": True},
            maintenance_window_start_time=args.window(),
            # Exactly one: the others are made in RabbitMQ.
            users=[{"username": USER, "password": password}],
            # A new password in the state would reach the secret, and never the broker.
            opts=self._child(stateful=True, ignore_changes=["users"], custom_timeouts=TIMEOUTS),
        )
        self.host = broker.instances.apply(lambda instances: host_of((instances[0].endpoints or [""])[0]))
        self.credentials = Credentials("secrets-manager", self._secret(password))
        self.log_group = pulumi.Output.concat("/aws/amazonmq/broker/", broker.id, "/general")
        watch(
            self,
            name,
            ALARMS,
            namespace="AWS/AmazonMQ",
            dimensions={"Broker": broker.broker_name},
            topics=args.alarms.topics,
        )

    def _secret(self, password: pulumi.Output[str]) -> pulumi.Output[str]:
        args, name = self._args, self._prefix
        secret = aws.secretsmanager.Secret(
            name,
            description="First user of the broker",
            kms_key_id=args.keys["secrets"].arn,
            recovery_window_in_days=RECOVERY_WINDOW_DAYS if args.locked else 0,
            opts=self._child(stateful=True),
        )
        version = aws.secretsmanager.SecretVersion(
            name,
            secret_id=secret.id,
            secret_string=password.apply(lambda value: json.dumps({"username": USER, "password": value})),
            # Changed where the password is changed, see above.
            opts=self._child(ignore_changes=["secretString"]),
        )
        return version.secret_id

    # Kubernetes

    def _namespace(self, name: str, *, stateful: bool) -> kubernetes.core.v1.Namespace:
        return kubernetes.core.v1.Namespace(
            f"{self._prefix}-{name}",
            metadata={"name": name, "labels": pod_security_labels()},
            opts=self._child(stateful=stateful),
        )

    def _operator(self, spec: ClusterSpec) -> None:
        args = self._args
        own = self._namespace(NAMESPACE, stateful=False)
        theirs = self._namespace(spec.namespace, stateful=True)
        policies = [
            kubernetes.networking.v1.NetworkPolicy(
                f"{self._prefix}-{namespace}-{policy}",
                metadata=_named(policy, namespace),
                spec=plan,
                opts=self._child(there),
            )
            for namespace, there, plans in (
                (NAMESPACE, own, plan_operator_policies(args.cidr, args.service_cidr)),
                (
                    spec.namespace,
                    theirs,
                    plan_cluster_policies(CLUSTER, spec, cidr=args.cidr, service_cidr=args.service_cidr),
                ),
            )
            for policy, plan in plans.items()
        ]
        definition = kubernetes.apiextensions.v1.CustomResourceDefinition(
            f"{self._prefix}-definition",
            metadata={"name": f"{rabbitmq_crd.PLURAL}.{rabbitmq_crd.GROUP}"},
            spec=plan_definition(),
            # With it go all clusters.
            opts=self._child(stateful=True),
        )
        account = kubernetes.core.v1.ServiceAccount(
            f"{self._prefix}-operator",
            metadata=_named(NAME, NAMESPACE),
            automount_service_account_token=False,
            opts=self._child(own),
        )
        rights = [
            self._rights("operator", spec.namespace, plan_rights(), theirs),
            self._rights("election", NAMESPACE, plan_election_rights(), own),
        ]
        operator = kubernetes.apps.v1.Deployment(
            f"{self._prefix}-operator",
            metadata=_named(NAME, NAMESPACE, operator_labels()),
            spec=plan_deployment(
                operator_labels(),
                plan_operator_pod(spec.operator_image, namespace=spec.namespace),
                replicas=REPLICAS,
            ),
            opts=self._child(definition, account, *rights, *policies),
        )
        self._budget("operator", NAMESPACE, operator_labels(), own)
        # The operator goes last: without it nobody would finish the deletion of a cluster.
        self._there: list[pulumi.Resource] = [theirs, operator]

    def _rights(self, name: str, namespace: str, rules: Any, there: pulumi.Resource) -> pulumi.Resource:
        """Gives the operator rights in one namespace."""
        metadata = _named(f"{NAME}-{name}", namespace)
        role = kubernetes.rbac.v1.Role(
            f"{self._prefix}-{name}", metadata=metadata, rules=rules, opts=self._child(there)
        )
        return kubernetes.rbac.v1.RoleBinding(
            f"{self._prefix}-{name}",
            metadata=metadata,
            opts=self._child(role),
            **plan_binding("Role", f"{NAME}-{name}", to=NAME, namespace=NAMESPACE),
        )

    def _budget(self, name: str, namespace: str, labels: Mapping[str, str], there: pulumi.Resource) -> None:
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{self._prefix}-{name}",
            metadata=_named(name, namespace),
            # One node of five may be missing for an upgrade, and one more for a failure: three of five still vote.
            spec={"selector": {"match_labels": labels}, "max_unavailable": 1},
            opts=self._child(there),
        )

    def _cluster(self, spec: ClusterSpec) -> None:
        args = self._args
        storage = kubernetes.storage.v1.StorageClass(
            f"{self._prefix}-storage",
            metadata={"name": STORAGE_CLASS},
            provisioner="ebs.csi.aws.com",
            parameters={
                "type": "gp3",
                "encrypted": "true",
                "kmsKeyId": args.keys["messages"].arn,
                "csi.storage.k8s.io/fstype": "xfs",
            },
            # The zone of a volume is that of the node which its pod is put on, not the other way round.
            volume_binding_mode="WaitForFirstConsumer",
            allow_volume_expansion=True,
            reclaim_policy="Retain" if args.locked else "Delete",
            # Kubernetes changes none of a class; volumes that are there keep what they were made with.
            opts=self._child(replace_on_changes=["reclaimPolicy"], delete_before_replace=True),
        )
        kubernetes.apiextensions.CustomResource(
            f"{self._prefix}-cluster",
            api_version=f"{rabbitmq_crd.GROUP}/{rabbitmq_crd.VERSION}",
            kind=rabbitmq_crd.KIND,
            metadata={
                **_named(CLUSTER, spec.namespace),
                # Ours is strict about zones, the operator's own is not.
                "annotations": {"rabbitmq.com/disable-default-topology-spread-constraints": "true"},
            },
            spec=plan_cluster(CLUSTER, spec, storage_class=STORAGE_CLASS, locked=args.locked),
            opts=self._child(storage, *self._there, stateful=True),
        )
        self._budget("cluster", spec.namespace, node_labels(CLUSTER), self._there[0])
        # Written out, so that a plan shows them: both names are made by the operator of the cluster's.
        self.host = pulumi.Output.from_input(f"{CLUSTER}.{spec.namespace}.svc")
        self.credentials = Credentials(
            "kubernetes", pulumi.Output.from_input(f"{CLUSTER}-default-user"), namespace=spec.namespace
        )


def _named(name: str, namespace: str, labels: Mapping[str, str] | None = None) -> ObjectMetaArgsDict:
    return {
        "name": name,
        "namespace": namespace,
        "labels": {"app.kubernetes.io/part-of": "docsearch", **(labels or {})},
    }


def host_of(endpoint: str) -> str:
    """The host of an endpoint such as ``amqps://b-1.mq.us-east-1.on.aws:5671``.

    Raises:
        ArgsError: It is none, or not on the port that the network lets nodes reach.
    """
    match = re.fullmatch(rf"amqps://([^:/]+):{PORT}", endpoint)
    if match is None:
        raise ArgsError(f"the broker answers at {endpoint!r}", why=f"amqps://<host>:{PORT} was expected")
    return match[1]
