"""What databases cost: instances, both copies of Multi-AZ, storage and what is provisioned beyond it, backups.

A replica takes its engine and its storage from its source, which may be in another region: then the other stack's plan
has it, or `peer.database` of the usage file.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from infra.cost.model import HOURS, Charge, Range
from infra.cost.of_eks import crossed
from infra.cost.pricing import Around, Charges, NoFigureError, NotKnownError, Resource, UnpricedError, plain, prices
from stacks.offers import INSTANCE_SIZES

RDS: Final = "AmazonRDS"
INSTANCE: Final = "aws:rds/instance:Instance"
BACKUPS: Final = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"

STRIPED_GIB: Final = Decimal(400)
"""From there on a gp3 volume is striped over four, and includes four times as much (RDS user guide, "gp3 storage")."""

_STRIPED_ENGINES: Final = ("postgres", "mysql", "mariadb")
_INCLUDED: Final = (Decimal(3000), Decimal(125))
_INCLUDED_STRIPED: Final = (Decimal(12_000), Decimal(500))

EXTENDED: Final[Mapping[tuple[str, str], tuple[str, str]]] = {
    ("postgres", "11"): ("2024-04-01", "2026-04-01"),
    ("postgres", "12"): ("2025-03-01", "2027-03-01"),
    ("postgres", "13"): ("2026-03-01", "2028-03-01"),
    ("postgres", "14"): ("2027-03-01", "2029-03-01"),
    ("mysql", "5.7"): ("2024-03-01", "2026-03-01"),
    ("mysql", "8.0"): ("2026-08-01", "2028-08-01"),
}
"""First day of extended support, and of its third year, by engine and major version (RDS user guide, "Amazon RDS
Extended Support", release calendars)."""


class Source(NamedTuple):
    """What a database is, or is a copy of.

    Attributes:
        engine: RDS engine.
        allocated: Storage, GiB.
        found: The instance; None where only the usage file knows it.
    """

    engine: str
    allocated: Decimal
    found: Resource | None


def source(instance: Resource, around: Around) -> Source:
    """What an instance is, or for a replica, what it follows.

    Raises:
        NoFigureError: Neither the plans nor the usage file hold what it follows.
    """
    if not instance.has("replicateSourceDb"):
        return _read(instance)
    if here := _source_here(instance, around):
        return _read(here)
    elsewhere = _leading(around.elsewhere(INSTANCE))
    known = [one for one in elsewhere if _identifier(one) == _identifier(instance, "replicateSourceDb")]
    if len(found := known or elsewhere) == 1:
        return _read(found[0])
    peer = around.figures.peer.database if around.figures.peer else None
    if peer is None:
        raise NoFigureError("replicateSourceDb", "is not in the plan, and the usage file has no peer.database")
    return Source(peer.engine, Decimal(peer.allocated_gib), None)


def _source_here(replica: Resource, around: Around) -> Resource | None:
    """What a replica follows in its own plan; None if it follows an instance of another region.

    Raises:
        NoFigureError: It follows one of this region, and it cannot be said which.
    """
    here: Mapping[str, list[Resource]] = around.kept(INSTANCE, lambda: _indexed(_leading(around.all(INSTANCE))))
    named = _identifier(replica, "replicateSourceDb")
    if named is None:
        # In a first plan no identifier is known yet. A component has one database and its replicas.
        beside = here.get(replica.parent, [])
        if len(beside) > 1:
            raise NotKnownError("replicateSourceDb")
        return beside[0] if beside else None
    if replica.text("replicateSourceDb").startswith("arn:"):
        return None
    found = here.get(named, [])
    if len(found) > 1:
        found = [one for one in here.get(replica.parent, []) if _identifier(one) == named]
    if len(found) != 1:
        raise NoFigureError("replicateSourceDb", f"is {named[:60]}, which is {len(found)} instances of the plan")
    return found[0]


def _leading(instances: list[Resource]) -> list[Resource]:
    return [one for one in instances if not one.has("replicateSourceDb")]


def _indexed(instances: list[Resource]) -> dict[str, list[Resource]]:
    """Instances by identifier, and by the URN of the component that made them."""
    found: dict[str, list[Resource]] = {}
    for one in instances:
        found.setdefault(one.parent, []).append(one)
        if identifier := _identifier(one):
            found.setdefault(identifier, []).append(one)
    return found


def _identifier(instance: Resource, path: str = "identifier") -> str | None:
    """An identifier, or the end of an ARN; None where it is not known yet."""
    try:
        return instance.text(path).rpartition(":")[2] if instance.has(path) else None
    except NotKnownError:
        return None


def _read(instance: Resource) -> Source:
    return Source(instance.text("engine"), instance.number("allocatedStorage"), instance)


def _zones(instance: Resource) -> str:
    return "multi-az" if instance.flag("multiAz") else "single-az"


@prices(INSTANCE, "instance")
def hours(instance: Resource, around: Around) -> Charges:
    """The instance; with Multi-AZ the price is of both."""
    class_, zones, engine = instance.text("instanceClass"), _zones(instance), source(instance, around).engine
    what = f"{'replica' if instance.has('replicateSourceDb') else 'instance'}, {class_}, {zones}"
    yield Charge(what, RDS, f"instance:{class_}:{engine}:{zones}", Range.of(HOURS))


@prices(INSTANCE, "storage")
def storage(instance: Resource, around: Around) -> Charges:
    """What is allocated, and at most what it may grow to by itself."""
    allocated, kind = _allocated(instance, around), _kind(instance)
    most = max(allocated, instance.number("maxAllocatedStorage", 0))
    sku = f"storage:{kind}:{_zones(instance)}"
    yield Charge(f"storage, {plain(allocated)} GiB {kind}", RDS, sku, Range(allocated, allocated, most))


@prices(INSTANCE, "IOPS and throughput")
def performance(instance: Resource, around: Around) -> Charges:
    """What is provisioned beyond what gp3 includes; all that is provisioned of io1 and io2."""
    kind, zones = _kind(instance), _zones(instance)
    if kind in ("io1", "io2"):
        yield Charge("IOPS", RDS, f"storage:{kind}:iops:{zones}", Range.of(instance.number("iops")))
    elif kind == "gp3":
        striped = source(instance, around).engine in _STRIPED_ENGINES and _allocated(instance, around) >= STRIPED_GIB
        iops, mibps = _INCLUDED_STRIPED if striped else _INCLUDED
        beyond = max(Decimal(0), instance.number("iops", iops) - iops)
        yield Charge(f"IOPS beyond {plain(iops)}", RDS, f"storage:gp3:iops:{zones}", Range.of(beyond))
        beyond = max(Decimal(0), instance.number("storageThroughput", mibps) - mibps)
        yield Charge(f"MiB/s beyond {plain(mibps)}", RDS, f"storage:gp3:throughput:{zones}", Range.of(beyond))


def _kind(instance: Resource) -> str:
    return instance.text("storageType", "io1" if instance.has("iops") else "gp2")


def _allocated(instance: Resource, around: Around) -> Decimal:
    own = instance.has("allocatedStorage")
    return instance.number("allocatedStorage") if own else source(instance, around).allocated


@prices(INSTANCE, "backups")
def backups(instance: Resource, around: Around) -> Charges:
    """Automated backups beyond what is free: as much as all databases of the region have storage."""
    if not instance.number("backupRetentionPeriod", 0):
        return
    kept, free = around.kept("database backups", lambda: _backups(around))
    beyond = (around.figures.database.backup_gb * kept).each(lambda stored: max(Decimal(0), stored - free) / kept)
    yield Charge("backups beyond the size of all databases", RDS, "backup:additional", beyond, "database.backup_gb")


def _backups(around: Around) -> tuple[Decimal, Decimal]:
    """How many instances are backed up, and how much of that is free, GB."""
    kept = [one for one in around.all(INSTANCE) if one.number("backupRetentionPeriod", 0)]
    return Decimal(len(kept)), sum((_allocated(one, around) for one in around.all(INSTANCE)), Decimal(0))


@prices(INSTANCE, "extended support")
def extended_support(instance: Resource, around: Around) -> Charges:
    """Hours of virtual CPUs once the major version is out of standard support, unless AWS may upgrade it instead."""
    origin = source(instance, around)
    disabled = "open-source-rds-extended-support-disabled"
    says = instance if instance.has("engineLifecycleSupport") or origin.found is None else origin.found
    if says.text("engineLifecycleSupport", "open-source-rds-extended-support") == disabled:
        return
    told = instance if instance.has("engineVersion") or origin.found is None else origin.found
    version = told.text("engineVersion") if told.has("engineVersion") else ""
    major = ".".join(version.split(".")[: 2 if origin.engine == "mysql" else 1])
    begins, third = EXTENDED.get((origin.engine, major), ("9999", "9999"))
    if around.day < begins:
        return
    sku = "extended-support:year3" if around.day >= third else "extended-support:year1-2"
    copies = 2 if instance.flag("multiAz") else 1
    yield Charge(f"extended support of {origin.engine} {major}", RDS, sku, Range.of(_vcpus(instance) * copies * HOURS))


@prices(INSTANCE, "Database Insights")
def insights(instance: Resource, around: Around) -> Charges:
    """Advanced Database Insights by the hour of a virtual CPU; standard is free, with seven days of history."""
    if instance.text("databaseInsightsMode", "standard") == "advanced":
        sku = "database-insights:advanced:provisioned"
        yield Charge("Database Insights, advanced", "AmazonCloudWatch", sku, Range.of(_vcpus(instance) * HOURS))
    elif instance.flag("performanceInsightsEnabled") and instance.number("performanceInsightsRetentionPeriod", 7) > 7:
        raise UnpricedError("Performance Insights beyond 7 days", "AWS sells it no more; take Database Insights")


def _vcpus(instance: Resource) -> int:
    class_ = instance.text("instanceClass")
    if class_ not in INSTANCE_SIZES:
        raise NoFigureError("instanceClass", f"is {class_[:60]}, whose virtual CPUs are not known")
    return INSTANCE_SIZES[class_].vcpus


@prices(INSTANCE, "Enhanced Monitoring")
def monitoring(instance: Resource, around: Around) -> Charges:
    """Metrics of the operating system, as logs; the shorter the interval, the more."""
    interval = instance.number("monitoringInterval", 0)
    if interval:
        written = around.figures.database.monitoring_gb * (60 / interval)
        what, sku = f"Enhanced Monitoring every {plain(interval)} s", "logs:ingest:standard"
        yield Charge(what, "AmazonCloudWatch", sku, written, "database.monitoring_gb")


@prices(INSTANCE, "master secret")
def secret(instance: Resource, around: Around) -> Charges:
    """The secret that RDS keeps for a database whose password it manages."""
    if instance.flag("manageMasterUserPassword"):
        yield Charge("secret of the master user", "AWSSecretsManager", "secret", Range.of(1))


@prices(INSTANCE, "traffic between zones")
def between_zones(instance: Resource, around: Around) -> Charges:
    """What pods and databases send to each other across zones, billed on both sides; between copies it is free."""
    moved = around.share(around.figures.traffic.database_cross_zone_gb, INSTANCE) * 2
    yield crossed("pods and databases", moved, "traffic.database_cross_zone_gb")


@prices(INSTANCE, "traffic between regions")
def between_regions(instance: Resource, around: Around) -> Charges:
    """What a replica takes from its source in another region."""
    if not instance.has("replicateSourceDb"):
        return
    if _source_here(instance, around) is None:
        yield _from_peer(
            "changes from the other region", around, around.figures.database.replicated_gb, "replicated_gb"
        )


@prices(BACKUPS, "storage")
def replicated_backups(resource: Resource, around: Around) -> Charges:
    """Automated backups that are kept in this region of a database in another one; none of it is free."""
    stored = around.figures.database.backup_gb
    yield Charge("replicated backups", RDS, "backup:additional", stored, "database.backup_gb")


@prices(BACKUPS, "traffic between regions")
def replicated(resource: Resource, around: Around) -> Charges:
    """What they bring into this region."""
    moved = around.figures.database.backups_replicated_gb
    yield _from_peer("backups from the other region", around, moved, "backups_replicated_gb")


def _from_peer(what: str, around: Around, moved: Range, key: str) -> Charge:
    peer = around.peer_region()
    return Charge(what, RDS, f"replication:{peer}->{around.region}", moved, f"database.{key}", region=peer)
