"""What a stack file and the components built so far become as arguments of the next one: no decision, only the shape.

`region.py` says what there is and in which order; the figures of each are here.
"""

import re
from dataclasses import dataclass, replace

import pulumi
import pulumi_aws as aws

from components.alarms import Alarms, AlarmsArgs
from components.backup import BackupArgs, BackupSource
from components.backup_plan import VaultLock
from components.cluster_autoscaler import ClusterAutoscalerArgs
from components.dns import DnsArgs
from components.domain import Domain, DomainArgs
from components.eks import Eks, EksArgs
from components.eks_plan import Pool
from components.elasticache import ElastiCache, ElastiCacheArgs
from components.ingress import Ingress, IngressArgs
from components.kms import Kms, KmsArgs
from components.load_balancer_controller import LoadBalancerController, LoadBalancerControllerArgs
from components.network import Network, NetworkArgs
from components.network_plan import plan_subnets
from components.opensearch import Leader, OpenSearch, OpenSearchArgs
from components.opensearch_plan import Nodes
from components.opensearch_plan import Volume as IndexVolume
from components.rabbitmq import RabbitMq, RabbitMqArgs
from components.rabbitmq_plan import AmazonSpec, ClusterSpec
from components.rds import Rds, RdsArgs
from components.rds_plan import Volume, Windows
from components.registry import RegistryArgs, RegistrySource
from components.search_service import DOCUMENT, INDEX, SEARCH, Access, RoleSpec, SearchServiceArgs
from components.search_service_plan import plan_pool
from components.secrets import Secrets, SecretsArgs
from components.storage import ReplicationSource, Storage, StorageArgs
from components.waf import WafArgs
from stacks.cluster import NodePool
from stacks.config import StackConfig
from stacks.peer import AnyPeer, Peer
from stacks.stores import OpenSearchNodes

BROKER_SECRET = "broker"  # noqa: S105 - its name
"""The Secret with the login at a broker in the cluster, in the namespace of the service."""

BROKERS = "brokers"
"""The pool of nodes that the broker has to itself."""


@dataclass(frozen=True)
class Arguments:
    """The arguments of each component of a region, by the component's name.

    Attributes:
        cfg: What the stack file says.
        peer: The region that a standby follows.
        away: A provider of the peer's region; ``None`` for a primary.
    """

    cfg: StackConfig
    peer: AnyPeer
    away: aws.Provider | None

    def kms(self) -> KmsArgs:
        """Keys per class of data."""
        return KmsArgs(
            account_id=self.cfg.account_id,
            region=self.cfg.region,
            role=self.cfg.role,
            replica_of=self.peer.key_arns,
            locked=self.cfg.locked,
        )

    def alarms(self, keys: Kms) -> AlarmsArgs:
        """Who hears of trouble."""
        return AlarmsArgs(
            account_id=self.cfg.account_id,
            key=keys["messages"],
            page=self.cfg.alarms.page,
            ticket=self.cfg.alarms.ticket,
            locked=self.cfg.locked,
        )

    def network(self, keys: Kms, alarms: Alarms) -> NetworkArgs:
        """Addresses and zones."""
        return NetworkArgs(
            account_id=self.cfg.account_id,
            region=self.cfg.region,
            cidr=str(self.cfg.network.cidr),
            zones=self.cfg.network.zones,
            flow_log_key=keys["logs"],
            alarms_topic=alarms["ticket"],
            locked=self.cfg.locked,
        )

    def storage(self, keys: Kms, alarms: Alarms) -> StorageArgs:
        """Buckets; those of the standby that takes over follow the primary's."""
        return StorageArgs(
            account_id=self.cfg.account_id,
            region=self.cfg.region,
            key=keys["data"],
            replicate_from=self._bucket_source(),
            alarms_topic=alarms["ticket"],
            locked=self.cfg.locked,
        )

    def secrets(self, keys: Kms) -> SecretsArgs:
        """The application's secrets."""
        return SecretsArgs(key=keys["secrets"], role=self.cfg.role, shared=self.peer.secrets, locked=self.cfg.locked)

    def rds(self, network: Network, keys: Kms, alarms: Alarms) -> RdsArgs:
        """The database."""
        return RdsArgs(
            account_id=self.cfg.account_id,
            role=self.cfg.role,
            network=network,
            keys=keys,
            alarms=alarms,
            instance_class=self.cfg.database.primary.instance_class,
            replica_class=self.cfg.database.replicas.instance_class,
            replicas=self.cfg.database.replicas.count,
            engine_version=self.cfg.database.engine_version,
            replica_version=self.cfg.database.replicas.engine_version,
            volume=self._volume(),
            windows=self._windows(),
            source_arn=self.peer.database_arn,
            promoted=self.cfg.promoted,
            password_generation=self.cfg.database.password_generation,
            locked=self.cfg.locked,
        )

    def opensearch(self, network: Network, keys: Kms, alarms: Alarms, storage: Storage) -> OpenSearchArgs:
        """The search index."""
        return OpenSearchArgs(
            account_id=self.cfg.account_id,
            role=self.cfg.role,
            network=network,
            keys=keys,
            alarms=alarms,
            storage=storage,
            engine_version=self.cfg.opensearch.engine_version,
            hot=_nodes(self.cfg.opensearch.hot),
            master_type=self.cfg.opensearch.master_type,
            volume=self._index_volume(),
            warm=_nodes(self.cfg.opensearch.warm),
            coordinators=_nodes(self.cfg.opensearch.coordinators),
            cold=self.cfg.opensearch.cold,
            leader=self._leader(),
            off_peak_start=self.cfg.opensearch.off_peak_start,
            service_linked_role=self.cfg.opensearch.service_linked_role,
            locked=self.cfg.locked,
        )

    def elasticache(self, network: Network, keys: Kms, alarms: Alarms) -> ElastiCacheArgs:
        """The cache."""
        return ElastiCacheArgs(
            account_id=self.cfg.account_id,
            # A further standby has a cache of its own: a datastore has few members, and what is asked there is cached
            # there.
            role=self.cfg.role if self.cfg.failover else "primary",
            network=network,
            keys=keys,
            alarms=alarms,
            node_type=self.cfg.cache.node_type,
            engine_version=self.cfg.cache.engine_version,
            shards=self.cfg.cache.shards,
            replicas=self.cfg.cache.replicas,
            global_id=self.peer.cache_global_id if self.cfg.failover else None,
            events=self.cfg.alarms.ticket,
            locked=self.cfg.locked,
        )

    def registry(self, keys: Kms) -> RegistryArgs:
        """Where images are."""
        return RegistryArgs(
            account_id=self.cfg.account_id,
            region=self.cfg.region,
            key=keys["data"],
            repositories=self._repositories(),
            replicate_from=self._image_source(),
            locked=self.cfg.locked,
        )

    def eks(self, network: Network, keys: Kms, alarms: Alarms) -> EksArgs:
        """The cluster."""
        return EksArgs(
            account_id=self.cfg.account_id,
            network=network,
            keys=keys,
            alarms=alarms,
            version=self.cfg.kubernetes.version,
            admin_role_arns=self.cfg.kubernetes.admin_role_arns,
            general=_pool(self.cfg.kubernetes.general),
            brokers=self._broker_pool(),
            indexing=_pool(self.cfg.kubernetes.indexing),
            architecture=self.cfg.kubernetes.architecture,
            release_version=self.cfg.kubernetes.node_release,
            observability=self.cfg.kubernetes.container_insights,
            # Not the stack's own tag: what the cluster starts is in no state, and must not look like an orphan.
            tags=self.cfg.tags.by_key(),
            locked=self.cfg.locked,
        )

    def autoscaler(self, network: Network, cluster: Eks) -> ClusterAutoscalerArgs:
        """What adds and removes nodes."""
        return ClusterAutoscalerArgs(image=self.cfg.kubernetes.cluster_autoscaler, network=network, cluster=cluster)

    def rabbitmq(self, network: Network, keys: Kms, alarms: Alarms) -> RabbitMqArgs:
        """The broker."""
        return RabbitMqArgs(
            role=self.cfg.role,
            network=network,
            cidr=str(self.cfg.network.cidr),
            keys=keys,
            alarms=alarms,
            broker=self._broker(),
            maintenance=self.cfg.broker.maintenance,
            locked=self.cfg.locked,
        )

    def domain(self) -> DomainArgs:
        """Zone and certificates."""
        return DomainArgs(
            name=self.cfg.domain,
            region=self.cfg.region,
            role=self.cfg.role,
            zone_id=self.peer.zone_id,
            locked=self.cfg.locked,
        )

    def ingress(self, network: Network, domain: Domain, storage: Storage, alarms: Alarms) -> IngressArgs:
        """The load balancer."""
        return IngressArgs(
            network=network,
            domain=domain,
            storage=storage,
            alarms=alarms,
            port=self.cfg.service.http_port,
            locked=self.cfg.locked,
        )

    def waf(self, ingress: Ingress, keys: Kms, alarms: Alarms) -> WafArgs:
        """The web firewall."""
        return WafArgs(
            region=self.cfg.region,
            ingress=ingress,
            keys=keys,
            alarms=alarms,
            requests_per_address=self.cfg.waf.requests_per_address,
            upload_paths=self.cfg.waf.upload_paths,
            locked=self.cfg.locked,
        )

    def dns(self, domain: Domain, ingress: Ingress, alarms: Alarms) -> DnsArgs:
        """The records that users follow."""
        return DnsArgs(
            region=self.cfg.region,
            role=self.cfg.role,
            domain=domain,
            ingress=ingress,
            alarms=alarms,
            metrics_provider=self.away,
            metrics_topics=self.peer.alarm_topics,
            writes=self.cfg.failover,
            serving=self.cfg.serving,
        )

    def controller(self, network: Network, cluster: Eks, ingress: Ingress) -> LoadBalancerControllerArgs:
        """What registers pods in target groups."""
        return LoadBalancerControllerArgs(
            image=self.cfg.kubernetes.load_balancer_controller,
            network=network,
            cluster=cluster,
            target_groups=list(ingress.target_group_arns.values()),
            namespace=self.cfg.kubernetes.namespace,
        )

    def search_service(
        self,
        *,
        keys: Kms,
        storage: Storage,
        secrets: Secrets,
        database: Rds,
        index: OpenSearch,
        cache: ElastiCache,
        queue: RabbitMq,
        cluster: Eks,
        domain: Domain,
        ingress: Ingress,
        controller: LoadBalancerController,
    ) -> SearchServiceArgs:
        """The service, which is told of everything."""
        subnets = plan_subnets(self.cfg.network.cidr, self.cfg.network.zones)
        return SearchServiceArgs(
            image=self.cfg.service.image,
            cidr=str(self.cfg.network.cidr),
            namespace=self.cfg.kubernetes.namespace,
            roles=self._roles(),
            settings={
                "DATABASE_HOST": database.address,
                # Empty where there is none: the head named twice would have two pools of each pod.
                "DATABASE_READERS": pulumi.Output.all(*database.reader_addresses).apply(",".join),
                "DATABASE_POOL_MAX": str(plan_pool(self._roles(), max_connections=database.max_connections)),
                "DATABASE_NAME": database.database,
                # Roles log in by what their IAM role signs: search_service_rights.
                **{f"{store}_LOGIN": "iam" for store in ("DATABASE", "OPENSEARCH", "CACHE")},
                "AWS_REGION": self.cfg.region,
                "OPENSEARCH_HOST": index.endpoint,
                # What `migrate` registers as the domain's repository.
                "OPENSEARCH_SNAPSHOT_BUCKET": storage.snapshots.name,
                "OPENSEARCH_SNAPSHOT_ROLE_ARN": index.snapshot_role_arn,
                "OPENSEARCH_SNAPSHOT_PATH": index.snapshot_path,
                "CACHE_HOST": cache.address,
                "CACHE_PORT": str(cache.port),
                "CACHE_NAME": cache.identifier,
                "CACHE_USER": cache.user,
                "BROKER_HOST": queue.host,
                "BROKER_PORT": str(queue.port),
                "DOCSEARCH_ERASURE_LEDGER": pulumi.Output.concat(
                    "s3://", storage.snapshots.name, "/", storage.ledger_prefix
                ),
                **self.cfg.service.environment(),
                # Who takes no writes answers reads, and writes with the address of who does.
                **({} if self.cfg.takes_writes else {"DOCSEARCH_STANDBY_OF": f"https://{domain.hosts.write}"}),
            },
            secrets=self._secrets_of_pods(secrets, queue),
            access=Access(
                account_id=self.cfg.account_id,
                region=self.cfg.region,
                cluster=cluster,
                keys=keys,
                search_arn=index.arn,
                cache_arns=(cache.arn, cache.user_arn),
                ledger_arn=pulumi.Output.concat(storage.snapshots.arn, "/", storage.ledger_prefix),
                database_owner_arn=database.master_secret_arn,
                search_master_arn=index.master_role_arn,
            ),
            controller=controller,
            target_groups=ingress.target_group_arns,
            callers=[str(subnet.block) for subnet in subnets if subnet.tier == "public"],
            broker_namespace="" if self._amazon_mq else ClusterSpec.namespace,
            broker_secret="" if self._amazon_mq else BROKER_SECRET,
        )

    def backup(self, network: Network, keys: Kms, alarms: Alarms, database: Rds, storage: Storage) -> BackupArgs:
        """Backups of database and documents."""
        return BackupArgs(
            account_id=self.cfg.account_id,
            role=self.cfg.role,
            network=network,
            keys=keys,
            alarms=alarms,
            database=database,
            storage=storage,
            copies_of=self._backup_source(),
            windows=self._windows(),
            lock=VaultLock(cooling_off_days=self.cfg.backup.compliance_after_days),
            locked=self.cfg.locked,
        )

    def _windows(self) -> Windows:
        return Windows(backup=self.cfg.database.backup_window, maintenance=self.cfg.database.maintenance_window)

    def _volume(self) -> Volume:
        primary = self.cfg.database.primary
        return Volume(
            size_gib=primary.allocated_gib,
            max_gib=primary.max_allocated_gib,
            iops=primary.iops,
            throughput_mibps=primary.throughput_mibps,
        )

    def _index_volume(self) -> IndexVolume:
        hot = self.cfg.opensearch.hot
        return IndexVolume(size_gib=hot.storage_gib, iops=hot.iops, throughput_mibps=hot.throughput_mibps)

    def _broker_pool(self) -> Pool | None:
        return _pool(self.cfg.kubernetes.brokers) if self.cfg.broker.kind == "cluster_operator" else None

    def _broker(self) -> ClusterSpec | AmazonSpec:
        if self.cfg.broker.kind == "amazon_mq":
            amazon = self.cfg.broker.amazon
            return AmazonSpec(instance_type=amazon.instance_type, engine_version=amazon.engine_version)
        its = self.cfg.broker.cluster
        return ClusterSpec(
            image=its.image,
            operator_image=its.operator_image,
            nodes=its.nodes,
            copies=its.copies,
            cpus=its.cpus,
            memory_gib=its.memory_gib,
            storage_gib=its.storage_gib,
            tls_secret=its.tls_secret,
            clients=(self.cfg.kubernetes.namespace,),
            pool=BROKERS,
        )

    def _repositories(self) -> tuple[str, ...]:
        """Where the region's images are, as far as they are in the account's registry."""
        found = (re.match(rf"{self.cfg.account_id}\.dkr\.ecr\.[^/]+/([^@]+)@", image) for _, image in self.cfg.images())
        return tuple(sorted({match[1] for match in found if match}))

    @property
    def _amazon_mq(self) -> bool:
        return self.cfg.broker.kind == "amazon_mq"

    def _secrets_of_pods(self, secrets: Secrets, queue: RabbitMq) -> dict[str, pulumi.Input[str]]:
        """Where the pods' secrets are, by environment variable."""
        own = {f"{name.upper().replace('-', '_')}_ARN": arn for name, arn in secrets.arns.items()}
        return {**own, **({"BROKER_PASSWORD_ARN": queue.credentials.name} if self._amazon_mq else {})}

    def _roles(self) -> tuple[RoleSpec, ...]:
        service = self.cfg.service
        own = ("CURSOR_KEY_ARN", "API_KEY_PEPPER_ARN", "TENANT_TOKEN_KEY_ARN")
        search = replace(SEARCH, port=service.http_port, secrets=own)
        index = replace(INDEX, secrets=("BROKER_PASSWORD_ARN",) if self._amazon_mq else ())
        return tuple(
            replace(
                role,
                min_replicas=its.replicas.min,
                max_replicas=its.replicas.max,
                cpu_millicores=its.requests.cpu_millicores,
                memory_mib=its.requests.memory_mib,
            )
            for role, its in ((search, service.search), (DOCUMENT, service.document), (index, service.index))
        )

    # What a standby follows: nothing, for a primary, and no buckets or images for one that takes no writes.

    def _bucket_source(self) -> ReplicationSource | None:
        peer = self.peer
        if not isinstance(peer, Peer) or self.away is None or not self.cfg.failover:
            return None
        return ReplicationSource(
            region=peer.region, buckets=peer.bucket_names, key=peer.key_arns["data"], provider=self.away
        )

    def _image_source(self) -> RegistrySource | None:
        if not isinstance(self.peer, Peer) or self.away is None or not self.cfg.failover:
            return None
        return RegistrySource(region=self.peer.region, provider=self.away)

    def _leader(self) -> Leader | None:
        if not isinstance(self.peer, Peer) or self.away is None:
            return None
        return Leader(region=self.peer.region, domain_name=self.peer.search_domain, provider=self.away)

    def _backup_source(self) -> BackupSource | None:
        peer = self.peer
        if not isinstance(peer, Peer) or self.away is None:
            return None
        return BackupSource(
            vault=peer.backup_vault,
            database_arn=peer.database_arn,
            documents=peer.bucket_names["documents"],
            key_arns=peer.key_arns,
            provider=self.away,
        )


def _nodes(tier: OpenSearchNodes) -> Nodes:
    return Nodes(count=tier.count, instance_type=tier.instance_type)


def _pool(its: NodePool) -> Pool:
    return Pool(instance_types=its.instance_types, min=its.min, desired=its.desired, max=its.max)
