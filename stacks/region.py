"""One whole region, from top to bottom as its diagram is drawn.

A primary and a standby are built by the same lines: what differs is the role, and what a standby takes from its peer.
"""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import pulumi_random as random

from components.alarms import Alarms
from components.backup import Backup
from components.cluster_autoscaler import ClusterAutoscaler
from components.dns import Dns
from components.domain import Domain
from components.eks import Eks
from components.elasticache import ElastiCache
from components.ingress import Ingress
from components.kms import Kms
from components.load_balancer_controller import LoadBalancerController
from components.network import Network
from components.opensearch import OpenSearch
from components.rabbitmq import RabbitMq
from components.rds import Rds
from components.registry import Registry
from components.search_service import SearchService
from components.secrets import Secrets
from components.storage import Storage
from components.waf import Waf
from stacks.arguments import Arguments
from stacks.config import StackConfig
from stacks.peer import AnyPeer, Peer

STACK_TAG = "docsearch:stack"
RESOURCE_TAG = "docsearch:resource"
"""The tags by which a resource in the cloud is found again when the state does not know it (`docsearch reconcile`)."""


def build(cfg: StackConfig, peer: AnyPeer, *, stack: str) -> Mapping[str, pulumi.Input[Any]]:
    """Build a region.

    Args:
        cfg: What its stack file says.
        peer: The region that a standby follows; a `NoPeer` for a primary.
        stack: Name of the stack, which everything is tagged with.

    Returns:
        The stack's outputs by name.
    """
    pulumi.runtime.register_stack_transformation(identify)
    cloud = provider("aws", cfg, stack, region=cfg.region)
    away = provider("aws-peer", cfg, stack, region=peer.region) if isinstance(peer, Peer) else None
    values = random.Provider("random")
    opts = pulumi.ResourceOptions(providers=[cloud, values])

    give = Arguments(cfg, peer, away)

    keys = Kms("keys", give.kms(), opts)
    alarms = Alarms("alarms", give.alarms(keys), opts)
    network = Network("network", give.network(keys, alarms), opts)

    storage = Storage("storage", give.storage(keys, alarms), opts)
    secrets = Secrets("secrets", give.secrets(keys), opts)
    database = Rds("database", give.rds(network, keys, alarms), opts)
    index = OpenSearch("opensearch", give.opensearch(network, keys, alarms, storage), opts)
    cache = ElastiCache("cache", give.elasticache(network, keys, alarms), opts)

    registry = Registry("registry", give.registry(keys), opts)
    cluster = Eks("cluster", give.eks(network, keys, alarms), opts)
    # Nobody can do anything in it before its administrators, nodes and add-ons are there.
    objects = kubernetes.Provider(
        "kubernetes",
        kubeconfig=cluster.kubeconfig,
        cluster_identifier=cfg.region,
        opts=pulumi.ResourceOptions(depends_on=[cluster]),
    )
    inside = pulumi.ResourceOptions(providers=[cloud, values, objects])
    ClusterAutoscaler("cluster-autoscaler", give.autoscaler(network, cluster), inside)
    queue = RabbitMq("queue", give.rabbitmq(network, keys, alarms), inside)

    domain = Domain("domain", give.domain(), opts)
    ingress = Ingress("ingress", give.ingress(network, domain, storage, alarms), opts)
    Waf("waf", give.waf(ingress, keys, alarms), opts)
    dns = Dns("dns", give.dns(domain, ingress, alarms), opts)

    controller = LoadBalancerController("load-balancer", give.controller(network, cluster, ingress), inside)
    search = SearchService(
        "search",
        give.search_service(
            keys=keys,
            storage=storage,
            secrets=secrets,
            database=database,
            index=index,
            cache=cache,
            queue=queue,
            cluster=cluster,
            domain=domain,
            ingress=ingress,
            controller=controller,
        ),
        inside,
    )
    # A standby that takes no writes has nothing of its own to back up, and no copies.
    backup = Backup("backup", give.backup(network, keys, alarms, database, storage), opts) if cfg.failover else None

    shared = Peer(
        region=cfg.region,
        domain=pulumi.Output.from_input(cfg.domain),
        vpc_cidr=pulumi.Output.from_input(str(cfg.network.cidr)),
        zone_id=domain.zone_id,
        database_arn=database.arn,
        database_identifier=database.identifier,
        search_domain=index.domain_name,
        cache_global_id=cache.global_id,
        backup_vault=backup.vault if backup else pulumi.Output.from_input(""),
        key_arns=keys.arns,
        bucket_names={"documents": storage.documents.name, "snapshots": storage.snapshots.name},
        alarm_topics=alarms.topics,
        secrets=secrets.values,
    )
    return {
        "region": cfg.region,
        "role": cfg.role,
        "read_host": domain.hosts.read,
        "write_host": domain.hosts.write,
        "regional_host": domain.hosts.regional,
        "name_servers": domain.name_servers,
        "load_balancer": ingress.dns_name,
        "database": database.address,
        "search_index": index.endpoint,
        "cache": cache.address,
        "queue": queue.host,
        "registry": registry.urls,
        "cluster": cluster.name,
        "health_check_id": dns.health_check_id,
        "namespace": search.namespace,
        **(shared.exports() if cfg.role == "primary" else {}),
    }


def provider(name: str, cfg: StackConfig, stack: str, *, region: pulumi.Input[str]) -> aws.Provider:
    """The provider of one region: it refuses every other account, and tags what it makes."""
    tags = {**cfg.tags.by_key(), STACK_TAG: stack}
    return aws.Provider(
        name,
        region=region,
        allowed_account_ids=[cfg.account_id],
        default_tags=aws.ProviderDefaultTagsArgs(tags=tags),
    )


def identify(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
    """Tag each AWS resource with its logical name, which no name in the cloud can be relied on to be."""
    if not args.type_.startswith("aws:") or "tags" not in args.props:
        return None
    identity = {"Name": args.name, RESOURCE_TAG: f"{args.type_.removeprefix('aws:')}::{args.name}"}
    # Components give plain tags or none.
    own = cast("Mapping[str, Any]", args.props["tags"] or {})
    return pulumi.ResourceTransformationResult({**args.props, "tags": {**own, **identity}}, args.opts)
