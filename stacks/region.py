"""One whole region, from top to bottom as its diagram is drawn.

A primary and a standby are built by the same lines: what differs is the role, and what a standby takes from its peer.
"""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes
import pulumi_random as random

from components.alarms import Alarms, AlarmsArgs
from components.backup import Backup, BackupArgs
from components.backup_plan import VaultLock
from components.cluster_autoscaler import ClusterAutoscaler, ClusterAutoscalerArgs
from components.dns import Dns, DnsArgs
from components.domain import Domain, DomainArgs
from components.eks import Eks, EksArgs
from components.elasticache import ElastiCache, ElastiCacheArgs
from components.ingress import Ingress, IngressArgs
from components.kms import Kms, KmsArgs
from components.load_balancer_controller import LoadBalancerController, LoadBalancerControllerArgs
from components.network import Network, NetworkArgs
from components.opensearch import OpenSearch, OpenSearchArgs
from components.rabbitmq import RabbitMq, RabbitMqArgs
from components.rds import Rds, RdsArgs
from components.rds_plan import Windows
from components.registry import Registry, RegistryArgs
from components.search_service import Access, SearchService, SearchServiceArgs
from components.secrets import Secrets, SecretsArgs
from components.storage import Storage, StorageArgs
from components.waf import Waf, WafArgs
from stacks import figures
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

    windows = Windows(backup=cfg.database.backup_window, maintenance=cfg.database.maintenance_window)
    keys = Kms(
        "keys",
        KmsArgs(
            account_id=cfg.account_id, region=cfg.region, role=cfg.role, replica_of=peer.key_arns, locked=cfg.locked
        ),
        opts,
    )
    alarms = Alarms(
        "alarms",
        AlarmsArgs(
            account_id=cfg.account_id,
            key=keys["messages"],
            page=cfg.alarms.page,
            ticket=cfg.alarms.ticket,
            locked=cfg.locked,
        ),
        opts,
    )
    network = Network(
        "network",
        NetworkArgs(
            account_id=cfg.account_id,
            region=cfg.region,
            cidr=str(cfg.network.cidr),
            zones=cfg.network.zones,
            flow_log_key=keys["logs"],
            alarms_topic=alarms["ticket"],
            locked=cfg.locked,
        ),
        opts,
    )
    storage = Storage(
        "storage",
        StorageArgs(
            account_id=cfg.account_id,
            region=cfg.region,
            key=keys["data"],
            replicate_from=figures.bucket_source(peer, away) if cfg.failover else None,
            alarms_topic=alarms["ticket"],
            locked=cfg.locked,
        ),
        opts,
    )
    secrets = Secrets(
        "secrets",
        SecretsArgs(key=keys["secrets"], role=cfg.role, shared=peer.secrets, locked=cfg.locked),
        opts,
    )
    database = Rds(
        "database",
        RdsArgs(
            account_id=cfg.account_id,
            role=cfg.role,
            network=network,
            keys=keys,
            alarms=alarms,
            instance_class=cfg.database.primary.instance_class,
            replica_class=cfg.database.replicas.instance_class,
            replicas=cfg.database.replicas.count,
            engine_version=cfg.database.engine_version,
            replica_version=cfg.database.replicas.engine_version,
            volume=figures.volume(cfg),
            windows=windows,
            source_arn=peer.database_arn,
            locked=cfg.locked,
        ),
        opts,
    )
    index = OpenSearch(
        "opensearch",
        OpenSearchArgs(
            account_id=cfg.account_id,
            role=cfg.role,
            network=network,
            keys=keys,
            alarms=alarms,
            storage=storage,
            engine_version=cfg.opensearch.engine_version,
            hot=figures.nodes(cfg.opensearch.hot),
            master_type=cfg.opensearch.master_type,
            volume=figures.index_volume(cfg),
            warm=figures.nodes(cfg.opensearch.warm),
            coordinators=figures.nodes(cfg.opensearch.coordinators),
            cold=cfg.opensearch.cold,
            leader=figures.index_leader(peer, away),
            off_peak_start=cfg.opensearch.off_peak_start,
            service_linked_role=cfg.opensearch.service_linked_role,
            locked=cfg.locked,
        ),
        opts,
    )
    cache = ElastiCache(
        "cache",
        ElastiCacheArgs(
            account_id=cfg.account_id,
            # A further standby has a cache of its own: a datastore has few members, and what is asked there is cached
            # there.
            role=cfg.role if cfg.failover else "primary",
            network=network,
            keys=keys,
            alarms=alarms,
            node_type=cfg.cache.node_type,
            engine_version=cfg.cache.engine_version,
            shards=cfg.cache.shards,
            replicas=cfg.cache.replicas,
            global_id=peer.cache_global_id if cfg.failover else None,
            events=cfg.alarms.ticket,
            locked=cfg.locked,
        ),
        opts,
    )
    registry = Registry(
        "registry",
        RegistryArgs(
            account_id=cfg.account_id,
            region=cfg.region,
            key=keys["data"],
            repositories=figures.repositories(cfg),
            replicate_from=figures.image_source(peer, away) if cfg.failover else None,
            locked=cfg.locked,
        ),
        opts,
    )
    cluster = Eks(
        "cluster",
        EksArgs(
            account_id=cfg.account_id,
            network=network,
            keys=keys,
            alarms=alarms,
            version=cfg.kubernetes.version,
            admin_role_arns=cfg.kubernetes.admin_role_arns,
            general=figures.pool(cfg.kubernetes.general),
            brokers=figures.broker_pool(cfg),
            indexing=figures.pool(cfg.kubernetes.indexing),
            architecture=cfg.kubernetes.architecture,
            release_version=cfg.kubernetes.node_release,
            observability=cfg.kubernetes.container_insights,
            # Not the stack's own tag: what the cluster starts is in no state, and must not look like an orphan.
            tags=cfg.tags.by_key(),
            locked=cfg.locked,
        ),
        opts,
    )
    # Nobody can do anything in it before its administrators, nodes and add-ons are there.
    objects = kubernetes.Provider(
        "kubernetes",
        kubeconfig=cluster.kubeconfig,
        cluster_identifier=cfg.region,
        opts=pulumi.ResourceOptions(depends_on=[cluster]),
    )
    inside = pulumi.ResourceOptions(providers=[cloud, values, objects])
    ClusterAutoscaler(
        "cluster-autoscaler",
        ClusterAutoscalerArgs(image=cfg.kubernetes.cluster_autoscaler, network=network, cluster=cluster),
        inside,
    )
    queue = RabbitMq(
        "queue",
        RabbitMqArgs(
            role=cfg.role,
            network=network,
            cidr=str(cfg.network.cidr),
            keys=keys,
            alarms=alarms,
            broker=figures.broker(cfg),
            maintenance=cfg.broker.maintenance,
            locked=cfg.locked,
        ),
        inside,
    )
    domain = Domain(
        "domain",
        DomainArgs(name=cfg.domain, region=cfg.region, role=cfg.role, zone_id=peer.zone_id, locked=cfg.locked),
        opts,
    )
    ingress = Ingress(
        "ingress",
        IngressArgs(
            network=network,
            domain=domain,
            storage=storage,
            alarms=alarms,
            port=cfg.service.http_port,
            locked=cfg.locked,
        ),
        opts,
    )
    Waf(
        "waf",
        WafArgs(
            region=cfg.region,
            ingress=ingress,
            keys=keys,
            alarms=alarms,
            requests_per_address=cfg.waf.requests_per_address,
            upload_paths=cfg.waf.upload_paths,
            locked=cfg.locked,
        ),
        opts,
    )
    dns = Dns(
        "dns",
        DnsArgs(
            region=cfg.region,
            role=cfg.role,
            domain=domain,
            ingress=ingress,
            alarms=alarms,
            metrics_provider=away,
            metrics_topics=peer.alarm_topics,
            writes=cfg.failover,
        ),
        opts,
    )
    controller = LoadBalancerController(
        "load-balancer",
        LoadBalancerControllerArgs(
            image=cfg.kubernetes.load_balancer_controller,
            network=network,
            cluster=cluster,
            target_groups=list(ingress.target_group_arns.values()),
            namespace=cfg.kubernetes.namespace,
        ),
        inside,
    )
    search = SearchService(
        "search",
        SearchServiceArgs(
            image=cfg.service.image,
            cidr=str(cfg.network.cidr),
            namespace=cfg.kubernetes.namespace,
            roles=figures.roles(cfg),
            settings={
                "DATABASE_HOST": database.address,
                "DATABASE_READERS": pulumi.Output.all(*database.reader_addresses).apply(",".join),
                "DATABASE_NAME": database.database,
                "OPENSEARCH_HOST": index.endpoint,
                "CACHE_HOST": cache.address,
                "CACHE_PORT": str(cache.port),
                "CACHE_NAME": cache.identifier,
                "CACHE_USER": cache.user,
                "BROKER_HOST": queue.host,
                "BROKER_PORT": str(queue.port),
                "DOCUMENTS_BUCKET": storage.documents.name,
            },
            secrets={f"{name.upper().replace('-', '_')}_ARN": arn for name, arn in secrets.arns.items()},
            access=Access(
                account_id=cfg.account_id,
                region=cfg.region,
                cluster=cluster,
                keys=keys,
                documents=storage.documents,
                search_arn=index.arn,
                cache_arns=(cache.arn, cache.user_arn),
            ),
            controller=controller,
            target_groups=ingress.target_group_arns,
            callers=figures.public_blocks(cfg),
            broker_namespace="rabbitmq" if cfg.broker.kind == "cluster_operator" else "",
        ),
        inside,
    )
    # A standby that takes no writes has nothing of its own to back up, and no copies.
    backup = (
        Backup(
            "backup",
            BackupArgs(
                account_id=cfg.account_id,
                role=cfg.role,
                network=network,
                keys=keys,
                alarms=alarms,
                database=database,
                storage=storage,
                copies_of=figures.backup_source(peer, away),
                windows=windows,
                lock=VaultLock(cooling_off_days=cfg.backup.compliance_after_days),
                locked=cfg.locked,
            ),
            opts,
        )
        if cfg.failover
        else None
    )

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
