"""What a plan cannot know of a bill: requests, bytes, what is stored. `stacks/usage.yaml` says it.

    all:       every stack, unless it says otherwise
    stacks:    by stack, only what differs there

Each figure is a number, or `{min, expected, max}`. A month is 730 hours, a GB is 2**30 bytes: so AWS counts both.
Figures are of a stack that has run for long: logs and backups fill their retention, keys were rotated twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, PlainValidator, StringConstraints
from pydantic_core import PydanticCustomError

from infra.cost.model import HOURS, Range
from stacks.stack_file import Fault, StackFile, Strict, Unit

DEFAULT: Final = Path(__file__).resolve().parents[2] / "stacks" / "usage.yaml"

SECONDS: Final = HOURS * 3600
"""Seconds of a month."""

_CASES: Final = ("min", "expected", "max")


class Grows(StrEnum):
    """What a figure grows with, put into its annotation; a figure without one stays as it is."""

    SEARCHES = "searches"
    DOCUMENTS = "documents"


def _number(value: Any, most: Decimal) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        raise PydanticCustomError("figure", "is not a number, or `min`, `expected` and `max`")
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    if exact < 0:
        raise PydanticCustomError("figure", "is negative")
    if exact > most:
        raise PydanticCustomError("figure", "is more than {most}, which nothing here comes to", {"most": f"{most:,f}"})
    return exact


def _range(most: str) -> PlainValidator:
    def read(value: Any) -> Range:
        if isinstance(value, Range):
            return value
        if not isinstance(value, Mapping):
            exact = _number(value, Decimal(most))
            return Range(exact, exact, exact)
        if set(value) != set(_CASES):
            raise PydanticCustomError("figure", "has other keys than `min`, `expected` and `max`, or not all of them")
        low, expected, high = (_number(value[case], Decimal(most)) for case in _CASES)
        if not low <= expected <= high:
            raise PydanticCustomError("figure", "is not in order: min <= expected <= max")
        return Range(low, expected, high)

    return PlainValidator(read)


def _share(value: Any) -> Decimal:
    return _number(value, Decimal(1))


Gb = Annotated[Range, Unit("GB"), _range("100_000_000")]
"""At most 100 PB."""
GbMonth = Annotated[Range, Unit("GB a month"), _range("100_000_000")]
Kb = Annotated[Range, Unit("KB"), _range("10_000_000")]
"""At most 10 GB."""
PerSecond = Annotated[Range, Unit("per second"), _range("10_000_000")]
"""A hundred times what is asked for in the end."""
Thousands = Annotated[Range, Unit("thousands a month"), _range("1_000_000_000")]
"""At most a million million."""
Count = Annotated[Range, Unit("number"), _range("10_000_000_000")]
Share = Annotated[Decimal, Unit("share from 0 to 1"), PlainValidator(_share)]
RegionName = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]


class Load(Strict):
    """What users do."""

    searches_per_second: Annotated[PerSecond, Grows.SEARCHES] = Field(
        description="searches that a region answers, on average over a month"
    )
    documents_per_second: Annotated[PerSecond, Grows.DOCUMENTS] = Field(
        description="documents that are taken in, on average over a month"
    )
    document_kb: Kb = Field(description="size of a document as it is sent, and stored")
    cache_hit_rate: Share = Field(description="searches that the cache answers")
    cache_answer_kb: Kb = Field(description="what the cache sends or is given for a search")
    engine_answer_kb: Kb = Field(
        description="what the search engine sends for a search that the cache has no answer to"
    )


class Traffic(Strict):
    """Data that moves."""

    internet_out_gb: Annotated[GbMonth, Grows.SEARCHES] = Field(description="answers sent to users")
    nat_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(description="data through all NAT gateways, both ways")
    nat_out_gb: GbMonth = Field(description="what of it leaves for the internet")
    endpoints_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(description="data through all interface endpoints")
    pods_cross_zone_gb: Annotated[GbMonth, Grows.SEARCHES] = Field(description="between pods in different zones")
    database_cross_zone_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(
        description="between pods and databases in different zones"
    )
    broker_cross_zone_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(
        description="between brokers, and pods and brokers, in different zones"
    )


class LoadBalancer(Strict):
    """What load balancer capacity units are counted from, beside requests and bytes."""

    connections_per_second: Annotated[PerSecond, Grows.SEARCHES] = Field(description="new connections")
    connections: Annotated[Count, Grows.SEARCHES] = Field(description="connections that are open, counted each minute")


class Dns(Strict):
    """Questions to Route 53."""

    queries_thousands: Annotated[Thousands, Grows.SEARCHES] = Field(
        description="questions for names that are no alias of an AWS resource (those are free)"
    )


class Bucket(Strict):
    """One S3 bucket. Which classes its objects are in follows from its lifecycle rules in the plan."""

    stored_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(description="all that is stored, earlier versions included")
    object_kb: Kb = Field(description="average size of an object, for the requests that move it to another class")
    kept_days: Annotated[int, Unit("days"), Field(ge=1, le=36500)] = Field(
        description="how old objects become where no lifecycle rule ends them"
    )
    small_share: Share = Field(
        description="part of stored_gb in objects below 128 KB, which S3 does not move to another class"
    )
    puts_thousands: Annotated[Thousands, Grows.DOCUMENTS] = Field(description="PUT, COPY, POST and LIST requests")
    gets_thousands: Annotated[Thousands, Grows.SEARCHES] = Field(description="GET requests")
    retrieved_share: Share = Field(
        description="part of what is in a class with a retrieval fee that is read in a month"
    )
    replicated_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(
        description="what replication brings into it from the other region"
    )


class Registry(Strict):
    """Container images."""

    stored_gb: Gb = Field(description="all images of all repositories of a region")
    replicated_gb: GbMonth = Field(description="what is copied to the other region")


class Logs(Strict):
    """CloudWatch Logs."""

    ingested_gb: dict[str, Annotated[GbMonth, Grows.SEARCHES]] = Field(
        description="what is written, by the log group's logical name; `*` stands for any text"
    )
    stored_share: Share = Field(description="what is left of a GB once it is compressed and stored")

    def of(self, group: str) -> Range | None:
        """What a log group takes in; None where nobody says."""
        exact = self.ingested_gb.get(group)
        like = (figure for name, figure in self.ingested_gb.items() if fnmatchcase(group, name))
        return next(like, None) if exact is None else exact


class Search(Strict):
    """OpenSearch."""

    warm_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(description="indexes in warm storage, primary shards alone")
    cold_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(description="indexes in cold storage, primary shards alone")
    followed_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(
        description="what a domain that follows another one takes from it"
    )


class Database(Strict):
    """RDS."""

    backup_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(
        description="automated backups of one instance over its whole retention"
    )
    replicated_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(
        description="what a replica takes from its source in another region"
    )
    backups_replicated_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(
        description="what replicated automated backups bring into a region"
    )
    monitoring_gb: GbMonth = Field(
        description="what Enhanced Monitoring writes for one instance at an interval of 60 s; shorter ones write more"
    )


class Broker(Strict):
    """Amazon MQ."""

    stored_gb: Gb = Field(description="volume of one node")


class Cache(Strict):
    """ElastiCache."""

    snapshot_gb: Gb = Field(description="one snapshot of a whole replication group")
    replicated_gb: Annotated[GbMonth, Grows.SEARCHES] = Field(
        description="what a Global Datastore sends to one other region"
    )


class Compute(Strict):
    """Nodes."""

    spot_saving: Share = Field(description="what Spot saves of the price on demand")
    nodes: dict[str, Count] = Field(
        default={},
        description="average number of nodes, by the node group's logical name, where it is not the plan's own: "
        "minSize, desiredSize and maxSize",
    )


class Requests(Strict):
    """Requests to services that bill for little else."""

    kms_thousands: Annotated[Thousands, Grows.DOCUMENTS] = Field(description="requests to all KMS keys of a region")
    secrets_thousands: Thousands = Field(description="requests to Secrets Manager")
    notifications_thousands: Thousands = Field(description="messages published to all topics")
    emails_thousands: Thousands = Field(description="e-mails to all subscribers")


class BackupPlan(Strict):
    """One plan of AWS Backup."""

    rds_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(description="snapshots of databases kept by its own rules")
    s3_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(description="backups of buckets kept by its own rules")
    rds_copies_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(default=Range(), description="the same, of its copies")
    s3_copies_gb: Annotated[Gb, Grows.DOCUMENTS] = Field(default=Range(), description="the same, of its copies")
    copied_gb: Annotated[GbMonth, Grows.DOCUMENTS] = Field(default=Range(), description="data that the copies move")
    runs_in: RegionName | None = Field(default=None, description="region of the plan, if it is not the stack's own")


class Backup(Strict):
    """AWS Backup."""

    plans: dict[str, BackupPlan] = Field(description="by the plan's logical name")
    restored_gb: dict[str, Annotated[Gb, Grows.DOCUMENTS]] = Field(
        description="what one restore test restores, by the selection's logical name"
    )


class PeerDatabase(Strict):
    """The database that a replica follows from another region."""

    engine: str = Field(description="RDS engine, such as postgres")
    allocated_gib: Annotated[int, Unit("GiB"), Field(ge=5, le=65536)] = Field(description="allocated storage")


class PeerCache(Strict):
    """The cache that leads a Global Datastore."""

    engine: str = Field(description="engine, such as valkey")
    node_type: str = Field(description="node type, such as cache.r7g.xlarge")
    shards: Annotated[int, Field(ge=1, le=500)] = Field(description="number of shards")


class Peer(Strict):
    """The other region: what a stack takes from it, and its own plan does not hold."""

    region: RegionName = Field(description="region that data is replicated with")
    database: PeerDatabase | None = Field(default=None, description="what the replica here follows")
    cache: PeerCache | None = Field(default=None, description="what the cache here is a member of")


class Figures(Strict):
    """All figures of one stack."""

    load: Load = Field(description="what users do")
    traffic: Traffic = Field(description="data that moves")
    load_balancer: LoadBalancer = Field(description="connections")
    dns: Dns = Field(description="Route 53")
    buckets: dict[str, Bucket] = Field(description="S3, by the bucket's logical name")
    registry: Registry = Field(description="ECR")
    logs: Logs = Field(description="CloudWatch Logs")
    search: Search = Field(description="OpenSearch")
    database: Database = Field(description="RDS")
    cache: Cache = Field(description="ElastiCache")
    broker: Broker = Field(description="Amazon MQ")
    compute: Compute = Field(description="nodes")
    requests: Requests = Field(description="requests")
    backup: Backup = Field(description="AWS Backup")
    peer: Peer | None = Field(default=None, description="the other region")

    def _faults(self) -> Iterator[Fault]:
        if (self.traffic.nat_out_gb - self.traffic.nat_gb).max > 0:
            yield Fault("traffic.nat_out_gb", "is more than goes through the NAT gateways", "Raise traffic.nat_gb")

    def grown(self, *, searches: Decimal, documents: Decimal) -> Figures:
        """The figures at so many times the searches and documents."""
        return _grown(self, {Grows.SEARCHES: searches, Grows.DOCUMENTS: documents})


class Usage(Strict):
    """The figures of every stack."""

    all: Figures = Field(description="what holds in every stack")
    stacks: dict[str, Figures] = Field(default={}, description="by stack, what differs there")

    def of(self, stack: str) -> Figures:
        """The figures of a stack."""
        return self.stacks.get(stack, self.all)

    def grown(self, *, searches: Decimal, documents: Decimal) -> Usage:
        """The usage at so many times the searches and documents."""
        return _grown(self, {Grows.SEARCHES: searches, Grows.DOCUMENTS: documents})


def load(file: Path = DEFAULT) -> Usage:
    """Read a usage file.

    Raises:
        StackFileError: With every problem, each with file, line, key path, value and remedy.
    """
    read = StackFile.read(file, whole=True)
    every, stacks = read.data.get("all"), read.data.get("stacks")
    if not isinstance(every, Mapping) or not isinstance(stacks, Mapping | None):
        return read.validated(Usage)
    # What is wrong for all stacks is said once.
    replace(read, data={**read.data, "stacks": {}}).validated(Usage)
    merged = {stack: _merged(every, its) for stack, its in (stacks or {}).items()}
    return replace(read, data={**read.data, "stacks": merged}).validated(Usage)


def _merged(every: Any, its: Any) -> Any:
    """A group of keys with what differs in it; a figure, or anything else that is no group in both, is replaced."""
    if not isinstance(every, Mapping) or not isinstance(its, Mapping) or set(its) >= {"min", "max"}:
        return its
    return {**every, **{key: _merged(every.get(key), value) for key, value in its.items()}}


Model = TypeVar("Model", bound=Strict)


def _grown(model: Model, times: Mapping[Grows, Decimal]) -> Model:
    """A copy with each figure as many times as what it grows with."""
    changed: dict[str, Any] = {}
    for name, field in type(model).model_fields.items():
        notes = (note for note in (*field.metadata, *_inner(field.annotation)) if isinstance(note, Grows))
        changed[name] = _times(getattr(model, name), next((times[note] for note in notes), Decimal(1)), times)
    return model.model_copy(update=changed)


def _inner(annotation: Any) -> tuple[Any, ...]:
    """What is annotated of the values of a map."""
    values = getattr(annotation, "__args__", ())
    return tuple(note for value in values for note in getattr(value, "__metadata__", ()))


def _times(value: Any, by: Decimal, times: Mapping[Grows, Decimal]) -> Any:
    if isinstance(value, Range):
        return value * by
    if isinstance(value, Strict):
        return _grown(value, times)
    if isinstance(value, Mapping):
        return {key: _times(item, by, times) for key, item in value.items()}
    return value
