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
from components.dns import Dns, DnsArgs
from components.domain import Domain, DomainArgs
from components.ingress import Ingress, IngressArgs
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.rds import Rds, RdsArgs
from components.rds_plan import Volume, Windows
from components.search_service import RoleSpec, SearchService, SearchServiceArgs
from components.secrets import Secrets, SecretsArgs
from components.storage import ReplicationSource, Storage, StorageArgs
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
    # Until the region has a cluster of its own: the one that the kubeconfig calls by the region's name.
    cluster = kubernetes.Provider("kubernetes", context=cfg.region, cluster_identifier=cfg.region)
    opts = pulumi.ResourceOptions(providers=[cloud, cluster, random.Provider("random")])

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
            replicate_from=source(peer, away) if cfg.failover else None,
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
            volume=volume(cfg),
            windows=Windows(backup=cfg.database.backup_window, maintenance=cfg.database.maintenance_window),
            source_arn=peer.database_arn,
            locked=cfg.locked,
        ),
        opts,
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
            port=cfg.search.http_port,
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
    search = SearchService(
        "search",
        SearchServiceArgs(
            image=cfg.search.image,
            cidr=str(cfg.network.cidr),
            namespace=cfg.kubernetes.namespace,
            roles=(search_role(cfg),),
            settings={
                "DATABASE_HOST": database.address,
                "DATABASE_READERS": pulumi.Output.all(*database.reader_addresses).apply(",".join),
                "DATABASE_NAME": database.database,
            },
            secrets={f"{name.upper().replace('-', '_')}_ARN": arn for name, arn in secrets.arns.items()},
        ),
        opts,
    )

    shared = Peer(
        region=cfg.region,
        domain=pulumi.Output.from_input(cfg.domain),
        vpc_cidr=pulumi.Output.from_input(str(cfg.network.cidr)),
        zone_id=domain.zone_id,
        database_arn=database.arn,
        database_identifier=database.identifier,
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


def source(peer: AnyPeer, away: aws.Provider | None) -> ReplicationSource | None:
    """The buckets that a standby's follow."""
    if not isinstance(peer, Peer) or away is None:
        return None
    return ReplicationSource(region=peer.region, buckets=peer.bucket_names, key=peer.key_arns["data"], provider=away)


def volume(cfg: StackConfig) -> Volume:
    """The database's storage."""
    primary = cfg.database.primary
    return Volume(
        size_gib=primary.allocated_gib,
        max_gib=primary.max_allocated_gib,
        iops=primary.iops,
        throughput_mibps=primary.throughput_mibps,
    )


def search_role(cfg: StackConfig) -> RoleSpec:
    """The role of the service that answers searches."""
    search = cfg.search
    return RoleSpec(
        name="search",
        min_replicas=search.replicas.min,
        max_replicas=search.replicas.max,
        cpu_millicores=search.requests.cpu_millicores,
        memory_mib=search.requests.memory_mib,
        port=search.http_port,
        internet=True,
    )
