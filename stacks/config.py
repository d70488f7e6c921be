"""What may differ between stacks: one `Pulumi.<stack>.yaml` as a value that is right or does not exist.

    StackConfig
    ├── role, region, peer, failover, promoted, serving, account_id, locked, domain
    ├── tags         Tags
    ├── network      NetworkConfig
    ├── alarms       AlarmsConfig
    ├── database     DatabaseConfig    ┐
    ├── opensearch   OpenSearchConfig  │ stacks/stores.py
    ├── cache        CacheConfig       │
    ├── broker       BrokerConfig      ┘
    ├── kubernetes   KubernetesConfig  ┐ stacks/cluster.py
    ├── service      ServiceConfig     ┘
    ├── backup       BackupConfig
    ├── waf          WafConfig
    └── cost         CostConfig

What is safe for every production region is a default of a component's arguments and not in here; what is the same in
each region unless somebody has a reason is a default here; what differs (role, place, sizes, versions in an upgrade) is
required and stands in the YAML. Values of secrets never come near it.

What must hold between stacks is in `stacks/fleet.py`; `stacks/settings.py` makes `docs/config.md` from these models.
"""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from stacks.cluster import KubernetesConfig, ServiceConfig
from stacks.offers import REGIONS, RegionOffer
from stacks.stack_file import Fault, StackFile, Strict, Unit, suggest
from stacks.stores import BrokerConfig, CacheConfig, DatabaseConfig, OpenSearchConfig

Role = Literal["primary", "standby"]

TagValue = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.:/=+@-]{0,254}$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", max_length=254)]


def _amount(value: Any) -> Any:
    if isinstance(value, int | float) or (isinstance(value, str) and re.fullmatch(r"[\d.,_ ]+", value)):
        raise PydanticCustomError("amount", "has no currency")
    if isinstance(value, str) and not re.fullmatch(r"(0|[1-9]\d{0,9})(\.\d{1,2})? USD", value):
        raise PydanticCustomError("amount", "is no amount of US dollars")
    return value


Dollars = Annotated[str | None, BeforeValidator(_amount)]
"""An amount such as `60000 USD`, or none: list prices are in dollars, and no rate of exchange is known here."""

PRIMARY_REGION: Final = "us-east-1"
"""Where a primary is: Route 53 publishes the health of every check there only (developer guide, "Monitoring health
checks"), and a primary reaches into no other region."""

PRIVATE_BLOCKS: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def divisible_by_zones(key: str, count: int, zones: int) -> Iterator[Fault]:
    """A count that has to be the same in each zone.

    A floor that zones share unevenly is not the floor it claims to be: the zone with the most copies is as likely to
    fail as any other, and what is left then is less than planned.

    Args:
        key: Key path of the count.
        count: How many.
        zones: Number of zones, at least 1.
    """
    if count % zones:
        below, above = count - count % zones, count - count % zones + zones
        choice = " or ".join(f"{n} ({n // zones} per zone)" for n in (below, above) if n)
        yield Fault(
            key, f"{zones} zones do not divide it, so one zone's loss takes more than its share", f"Write {choice}"
        )


class Tags(Strict):
    """Default tags of every resource."""

    owner: TagValue = Field(description="team that answers for the resources")
    environment: TagValue = Field(description="production, staging or the like")
    service: TagValue = Field(description="product that the resources belong to")
    tenant_class: TagValue = Field(description="which tenants they serve: shared or the name of a dedicated one")
    cost_centre: TagValue = Field(description="where their cost is booked")

    def by_key(self) -> dict[str, str]:
        """As AWS tags, with hyphens: `cost-centre`."""
        return {key.replace("_", "-"): value for key, value in self.model_dump().items()}


class NetworkConfig(Strict):
    """Address space and zones."""

    cidr: IPv4Network = Field(description="the region's /16 of private addresses; no two regions may overlap")
    zones: tuple[str, ...] = Field(
        min_length=3,
        max_length=4,
        description="availability zones, three or four; a fourth comes last, since addresses follow the order",
    )

    def _faults(self) -> Iterator[Fault]:
        if self.cidr.prefixlen != 16:
            remedy = f"Write {self.cidr.network_address}/16 or another /16"
            yield Fault("cidr", "the subnet plan needs a /16: three tiers for four zones", remedy)
        if not any(self.cidr.subnet_of(block) for block in PRIVATE_BLOCKS):
            yield Fault("cidr", "it is not private address space (RFC 1918)", "Write a /16 of 10.0.0.0/8")
        for index, zone in enumerate(self.zones):
            if zone in self.zones[:index]:
                yield Fault(f"zones.{index}", "the zone is already in the list", "Name each zone once")


class AlarmsConfig(Strict):
    """Who hears of trouble. A paging service that subscribes itself to the topics needs no address here."""

    page: tuple[Email, ...] = Field(default=(), description="e-mail addresses that a page wakes")
    ticket: tuple[Email, ...] = Field(default=(), description="e-mail addresses that tickets go to")


class BackupConfig(Strict):
    """Backups."""

    compliance_after_days: Annotated[int | None, Unit("days")] = Field(
        default=None,
        ge=3,
        le=36500,
        description="after how long the vault's lock can never be opened again; absent means that it can "
        "(governance mode)",
    )


class WafConfig(Strict):
    """The web firewall."""

    requests_per_address: Annotated[int, Unit("requests in 5 minutes")] = Field(
        default=30_000, ge=10, le=2_000_000_000, description="what one address may ask; more is answered 429"
    )
    upload_paths: tuple[str, ...] = Field(
        default=("/v1/documents",),
        description="paths that take documents, with all below: only there may a body look like an attack",
    )


class CostConfig(Strict):
    """What it may cost. `docsearch check` stops a change that goes beyond it."""

    monthly_budget: Dollars = Field(
        default=None, description="the most that the region may cost in a month at expected use, such as `60000 USD`"
    )
    monthly_increase: Dollars = Field(
        default=None, description="the most that one change may add to the month's cost, such as `5000 USD`"
    )


class StackConfig(Strict):
    """One region, as its stack file says."""

    role: Role = Field(
        description="primary made the keys and the zone, and takes the writes; standby follows it and serves reads. "
        "Never changed: who takes over is said by `promoted` and `serving`"
    )
    region: str = Field(description="AWS region")
    peer: str | None = Field(default=None, description="the stack that a standby follows; a primary has none")
    failover: bool = Field(
        default=True,
        description="whether writes and the copies of the buckets go to this standby: a primary has one such standby, "
        "because a bucket has one replication and a DNS name one SECONDARY; any further one serves reads",
    )
    promoted: bool = Field(
        default=False,
        description="whether this standby takes the writes, in place of a primary with `serving: false`: its database "
        "follows no more, and never again",
    )
    serving: bool = Field(
        default=True,
        description="whether users are sent here and writes are taken; false takes the region out, as long as a "
        "standby is promoted",
    )
    account_id: str = Field(pattern=r"^\d{12}$", description="AWS account as 12 digits in quotes; no other is touched")
    locked: bool = Field(
        default=True, description="whether stateful resources refuse deletion; false releases every lock, on purpose"
    )
    domain: str = Field(
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$",
        max_length=200,
        description="DNS zone of the service, the same in each region",
    )
    tags: Tags = Field(description="default tags of every resource")
    network: NetworkConfig = Field(description="address space and zones")
    database: DatabaseConfig = Field(description="PostgreSQL")
    alarms: AlarmsConfig = Field(default=AlarmsConfig(), description="who hears of trouble")
    kubernetes: KubernetesConfig = Field(description="the cluster")
    opensearch: OpenSearchConfig = Field(description="the search index")
    cache: CacheConfig = Field(description="Valkey")
    broker: BrokerConfig = Field(description="the message broker")
    service: ServiceConfig = Field(description="the search service")
    backup: BackupConfig = Field(default=BackupConfig(), description="backups")
    waf: WafConfig = Field(default=WafConfig(), description="the web firewall")
    cost: CostConfig = Field(default=CostConfig(), description="what it may cost")

    @classmethod
    def parse(cls, file: Path) -> "StackConfig":
        """Read and check one stack file.

        Args:
            file: `Pulumi.<stack>.yaml`.

        Raises:
            StackFileError: A ConfigError with every problem found. Checks between fields need each field to be right by
                itself first; checks between stacks are `check_fleet`'s.
        """
        return StackFile.read(file).validated(cls)

    @property
    def takes_writes(self) -> bool:
        """Whether the region's database leads and users may write."""
        return self.serving and (self.role == "primary" or self.promoted)

    def _faults(self) -> Iterator[Fault]:
        if self.role == "primary" and self.region != PRIMARY_REGION and self.region in REGIONS:
            reason = f"Route 53 publishes the health of a region in {PRIMARY_REGION} only, and a primary has no other"
            yield Fault("role", reason, "Leave it standby: to take over, write `promoted: true`")
        if self.role == "standby" and self.peer is None:
            yield Fault("peer", "a standby follows a primary", "Name its stack: `peer: prod`")
        if self.role == "primary" and self.peer is not None:
            yield Fault("peer", "a primary depends on no other region", "Remove it, or make the role standby")
        if self.role == "primary" and not self.failover:
            yield Fault("failover", "a primary takes the writes", "Remove it, or make the role standby")
        if self.promoted and self.role == "primary":
            yield Fault("promoted", "a primary takes the writes already", "Remove it")
        if self.promoted and not (self.failover and self.serving):
            yield Fault("promoted", "no user is sent here to write", "Leave failover and serving true, or promote none")
        if offer := REGIONS.get(self.region):
            yield from self._in_region(offer)
        else:
            yield Fault("region", "AWS has no such region in its main partition", suggest(self.region, REGIONS))
        zones = len(self.network.zones)
        for role in ("search", "document", "index"):
            replicas = getattr(self.service, role).replicas
            yield from divisible_by_zones(f"service.{role}.replicas.min", replicas.min, zones)
        for pool in ("general", "brokers"):
            for key in ("min", "desired", "max"):
                count = getattr(getattr(self.kubernetes, pool), key)
                yield from divisible_by_zones(f"kubernetes.{pool}.{key}", count, zones)

    def _in_region(self, offer: RegionOffer) -> Iterator[Fault]:
        for index, zone in enumerate(self.network.zones):
            if zone not in offer.zones:
                yield Fault(
                    f"network.zones.{index}", f"{self.region} has no such zone", f"Known: {', '.join(offer.zones)}"
                )
        for key, name, offered, what in self._classes(offer):
            if name not in offered:
                yield Fault(key, f"{what} in {self.region}", suggest(name, offered))
        for key, image in self.images():
            registry = re.match(r"^\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/", image)
            if registry and registry[1] != self.region:
                reason = f"its registry is in {registry[1]}: pods could not start here while that region is down"
                yield Fault(key, reason, f"Use the registry's replica in {self.region}")

    def _classes(self, offer: RegionOffer) -> Iterator[tuple[str, str, frozenset[str], str]]:
        """Every instance class: its key, its name, what the region offers, and what is said of any other."""
        database, search = self.database, self.opensearch
        what = f"RDS offers no such class for PostgreSQL {database.engine_version}"
        yield "database.primary.instance_class", database.primary.instance_class, offer.db_classes, what
        yield "database.replicas.instance_class", database.replicas.instance_class, offer.db_classes, what
        what = "OpenSearch Service offers no such type"
        yield "opensearch.master_type", search.master_type, offer.search_classes, what
        for tier in ("hot", "warm", "coordinators"):
            type_ = getattr(search, tier).instance_type
            yield f"opensearch.{tier}.instance_type", type_, offer.search_classes, what
        yield "cache.node_type", self.cache.node_type, offer.cache_classes, "ElastiCache offers no such type"
        amazon = self.broker.amazon.instance_type
        yield "broker.amazon.instance_type", amazon, offer.broker_classes, "Amazon MQ offers no such type"
        for pool in ("general", "brokers", "indexing"):
            for index, type_ in enumerate(getattr(self.kubernetes, pool).instance_types):
                key = f"kubernetes.{pool}.instance_types.{index}"
                yield key, type_, offer.instance_types, "EC2 offers no such type"

    def images(self) -> Iterator[tuple[str, str]]:
        """Every container image, by its key."""
        yield "service.image", self.service.image
        yield "kubernetes.load_balancer_controller", self.kubernetes.load_balancer_controller
        yield "kubernetes.cluster_autoscaler", self.kubernetes.cluster_autoscaler
        yield "broker.cluster.image", self.broker.cluster.image
        yield "broker.cluster.operator_image", self.broker.cluster.operator_image
