"""What a stack file's figures become as arguments of components: no decision, only the other shape."""

import re
from dataclasses import replace

import pulumi_aws as aws

from components.backup import BackupSource
from components.eks_plan import Pool
from components.network_plan import plan_subnets
from components.opensearch import Leader
from components.opensearch_plan import Nodes
from components.opensearch_plan import Volume as IndexVolume
from components.rabbitmq_plan import AmazonSpec, ClusterSpec
from components.rds_plan import Volume
from components.registry import RegistrySource
from components.search_service import DOCUMENT, INDEX, SEARCH, RoleSpec
from components.storage import ReplicationSource
from stacks.cluster import NodePool
from stacks.config import StackConfig
from stacks.peer import AnyPeer, Peer
from stacks.stores import OpenSearchNodes

BROKERS = "brokers"
"""The pool of nodes that the broker has to itself."""


def volume(cfg: StackConfig) -> Volume:
    """The database's storage."""
    primary = cfg.database.primary
    return Volume(
        size_gib=primary.allocated_gib,
        max_gib=primary.max_allocated_gib,
        iops=primary.iops,
        throughput_mibps=primary.throughput_mibps,
    )


def nodes(tier: OpenSearchNodes) -> Nodes:
    """Nodes of the search index."""
    return Nodes(count=tier.count, instance_type=tier.instance_type)


def index_volume(cfg: StackConfig) -> IndexVolume:
    """Storage of each data node of the search index."""
    hot = cfg.opensearch.hot
    return IndexVolume(size_gib=hot.storage_gib, iops=hot.iops, throughput_mibps=hot.throughput_mibps)


def pool(its: NodePool) -> Pool:
    """Nodes of the cluster."""
    return Pool(instance_types=its.instance_types, min=its.min, desired=its.desired, max=its.max)


def broker_pool(cfg: StackConfig) -> Pool | None:
    """The broker's nodes, if it runs in the cluster."""
    return pool(cfg.kubernetes.brokers) if cfg.broker.kind == "cluster_operator" else None


def broker(cfg: StackConfig) -> ClusterSpec | AmazonSpec:
    """Which RabbitMQ the region runs."""
    if cfg.broker.kind == "amazon_mq":
        amazon = cfg.broker.amazon
        return AmazonSpec(instance_type=amazon.instance_type, engine_version=amazon.engine_version)
    its = cfg.broker.cluster
    return ClusterSpec(
        image=its.image,
        operator_image=its.operator_image,
        nodes=its.nodes,
        copies=its.copies,
        cpus=its.cpus,
        memory_gib=its.memory_gib,
        storage_gib=its.storage_gib,
        tls_secret=its.tls_secret,
        clients=(cfg.kubernetes.namespace,),
        pool=BROKERS,
    )


def repositories(cfg: StackConfig) -> tuple[str, ...]:
    """The repositories that the region's images are in, as far as they are in the account's registry."""
    found = (re.match(rf"{cfg.account_id}\.dkr\.ecr\.[^/]+/([^@]+)@", image) for _, image in cfg.images())
    return tuple(sorted({match[1] for match in found if match}))


def public_blocks(cfg: StackConfig) -> list[str]:
    """Where the load balancer calls from."""
    subnets = plan_subnets(cfg.network.cidr, cfg.network.zones)
    return [str(subnet.block) for subnet in subnets if subnet.tier == "public"]


def roles(cfg: StackConfig) -> tuple[RoleSpec, ...]:
    """The roles of the service."""
    service = cfg.service
    own = ("CURSOR_KEY_ARN", "API_KEY_PEPPER_ARN", "TENANT_TOKEN_KEY_ARN")
    search = replace(SEARCH, port=service.http_port, secrets=own)
    return tuple(
        replace(
            role,
            min_replicas=its.replicas.min,
            max_replicas=its.replicas.max,
            cpu_millicores=its.requests.cpu_millicores,
            memory_mib=its.requests.memory_mib,
        )
        for role, its in ((search, service.search), (DOCUMENT, service.document), (INDEX, service.index))
    )


# What a standby follows: nothing, for a primary.


def bucket_source(peer: AnyPeer, away: aws.Provider | None) -> ReplicationSource | None:
    """The buckets that a standby's follow."""
    if not isinstance(peer, Peer) or away is None:
        return None
    return ReplicationSource(region=peer.region, buckets=peer.bucket_names, key=peer.key_arns["data"], provider=away)


def image_source(peer: AnyPeer, away: aws.Provider | None) -> RegistrySource | None:
    """The registry whose images a standby's copies."""
    return RegistrySource(region=peer.region, provider=away) if isinstance(peer, Peer) and away else None


def index_leader(peer: AnyPeer, away: aws.Provider | None) -> Leader | None:
    """The domain that a standby's follows."""
    if not isinstance(peer, Peer) or away is None:
        return None
    return Leader(region=peer.region, domain_name=peer.search_domain, provider=away)


def backup_source(peer: AnyPeer, away: aws.Provider | None) -> BackupSource | None:
    """What a standby keeps copies of."""
    if not isinstance(peer, Peer) or away is None:
        return None
    return BackupSource(
        vault=peer.backup_vault,
        database_arn=peer.database_arn,
        documents=peer.bucket_names["documents"],
        key_arns=peer.key_arns,
        provider=away,
    )
