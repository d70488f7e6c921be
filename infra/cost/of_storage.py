"""What buckets and registries cost.

How much a bucket holds is a figure of the usage file; in which class it is follows from the plan's lifecycle rules, as
if there were as many objects of every age. S3 moves no object below 128 KB to another class (S3 user guide, "Lifecycle
transitions", since September 2024), so a part stays where it was put.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from infra.cost.model import HOURS, Charge, Range
from infra.cost.pricing import Around, Charges, NoFigureError, Resource, UnpricedError, prices
from infra.cost.usage import Bucket

S3: Final = "AmazonS3"
ECR: Final = "AmazonECR"
BUCKET: Final = "aws:s3/bucket:Bucket"
LIFECYCLE: Final = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
REPLICATION: Final = "aws:s3/bucketReplicationConfig:BucketReplicationConfig"
REPOSITORY: Final = "aws:ecr/repository:Repository"
REGISTRY_REPLICATION: Final = "aws:ecr/replicationConfiguration:ReplicationConfiguration"

DAYS: Final = HOURS / 24
"""Days of a month."""

LEAST_KB: Final = Decimal(128)
"""What is smaller is not moved to another class."""

REPLICATION_METRICS: Final = 4
"""Of a replication rule with metrics, each at the price of a custom metric: bytes and operations that wait, operations
that failed, and the delay (S3 user guide, "Using S3 Replication metrics")."""


class Class(NamedTuple):
    """A storage class.

    Attributes:
        sku: How its prices begin.
        storage: Its storage, after that.
        moved: Moving an object into it, after that; empty where it cannot be moved there.
        read: Reading a GB of it, after that; empty where it is free.
    """

    sku: str
    storage: str = "storage"
    moved: str = "lifecycle-transition"
    read: str = "retrieval"


STANDARD: Final = "STANDARD"
CLASSES: Final = {
    STANDARD: Class("standard", moved="", read=""),
    "STANDARD_IA": Class("standard-ia"),
    "ONEZONE_IA": Class("onezone-ia"),
    "GLACIER_IR": Class("glacier-ir"),
    "GLACIER": Class("glacier-flexible", moved="put-lifecycle", read="retrieval:standard"),
    "DEEP_ARCHIVE": Class("deep-archive", moved="put-lifecycle", read="retrieval:standard"),
}


class Age(NamedTuple):
    """The part of a bucket's objects that are in one class.

    Attributes:
        class_: Storage class.
        share: Of all that may move.
    """

    class_: str
    share: Decimal


@prices(BUCKET, "storage")
def storage(bucket: Resource, around: Around) -> Charges:
    """What is stored, by class."""
    figures, key = _figures(bucket, around)
    for age in _ages(bucket, around, figures):
        part = age.share * (1 - figures.small_share) + (figures.small_share if age.class_ == STANDARD else 0)
        its = CLASSES[age.class_]
        yield Charge(f"storage, {age.class_}", S3, f"{its.sku}:{its.storage}", figures.stored_gb * part, key)


@prices(BUCKET, "requests")
def requests(bucket: Resource, around: Around) -> Charges:
    """Requests."""
    figures, key = _figures(bucket, around)
    named = key.rpartition(".")[0]
    yield Charge(
        "PUT, COPY, POST and LIST requests",
        S3,
        "standard:put-copy-post-list",
        figures.puts_thousands,
        f"{named}.puts_thousands",
    )
    yield Charge("GET requests", S3, "standard:get", figures.gets_thousands, f"{named}.gets_thousands")


@prices(BUCKET, "lifecycle")
def transitions(bucket: Resource, around: Around) -> Charges:
    """Requests that move objects to another class: in a month as many as came into the bucket in one."""
    figures, key = _figures(bucket, around)
    days = _life(bucket, around, figures)
    for age in _ages(bucket, around, figures):
        its = CLASSES[age.class_]
        if its.moved:
            moving = figures.stored_gb * ((1 - figures.small_share) * min(Decimal(1), DAYS / days))
            objects = Range(
                *(
                    gb * 2**20 / max(LEAST_KB, size) / 1000
                    for gb, size in (
                        (moving.min, figures.object_kb.max),
                        (moving.expected, figures.object_kb.expected),
                        (moving.max, figures.object_kb.min),
                    )
                )
            )
            yield Charge(f"moves to {age.class_}", S3, f"{its.sku}:{its.moved}", objects, key)


@prices(BUCKET, "retrieval")
def retrieval(bucket: Resource, around: Around) -> Charges:
    """What is read of classes that charge for it."""
    figures, key = _figures(bucket, around)
    for age in _ages(bucket, around, figures):
        its = CLASSES[age.class_]
        if its.read:
            part = age.share * (1 - figures.small_share) * figures.retrieved_share
            yield Charge(f"read from {age.class_}", S3, f"{its.sku}:{its.read}", figures.stored_gb * part, key)


def _figures(bucket: Resource, around: Around) -> tuple[Bucket, str]:
    """What the usage file says of a bucket, and the key of what it stores."""
    found = around.figures.buckets.get(bucket.name)
    if found is None:
        raise NoFigureError(f"buckets.{bucket.name}", "is missing in the usage file")
    return found, f"buckets.{bucket.name}.stored_gb"


def _rules(bucket: Resource, around: Around) -> Iterator[tuple[Resource, str]]:
    """The lifecycle rules that hold for all of a bucket."""
    lifecycle = around.beside(bucket, LIFECYCLE)
    if lifecycle is None:
        return
    for at in lifecycle.each("rules"):
        if lifecycle.text(f"{at}.status") == "Enabled" and not any(lifecycle.group(f"{at}.filter").values()):
            yield lifecycle, at


def _life(bucket: Resource, around: Around, figures: Bucket) -> Decimal:
    """How old objects become, days."""
    ends = [
        lifecycle.number(f"{at}.expiration.days")
        for lifecycle, at in _rules(bucket, around)
        if lifecycle.has(f"{at}.expiration.days")
    ]
    days = min(ends, default=Decimal(figures.kept_days))
    if not days:
        raise NoFigureError("rules", "let objects expire at once")
    return days


def _ages(bucket: Resource, around: Around, figures: Bucket) -> list[Age]:
    """Which part of what may move is in which class, the youngest first."""
    life = _life(bucket, around, figures)
    moves = [(Decimal(0), STANDARD)]
    for lifecycle, at in _rules(bucket, around):
        for step in lifecycle.each(f"{at}.transitions"):
            class_ = lifecycle.text(f"{step}.storageClass")
            if class_ not in CLASSES:
                raise UnpricedError(f"storage, {class_[:60]}", "the class is not priced here")
            moves.append((min(life, lifecycle.number(f"{step}.days", 0)), class_))
    moves.sort(key=lambda move: move[0])
    ends = [*(begins for begins, _ in moves[1:]), life]
    return [
        Age(class_, (end - begins) / life)
        for (begins, class_), end in zip(moves, ends, strict=True)
        if end > begins or class_ == STANDARD
    ]


# Replication


@prices(REPLICATION, "traffic between regions")
def replication(config: Resource, around: Around) -> Charges:
    """What replication brings into a bucket of this region; with time control, more for it."""
    name, figures = _into(config, around)
    key, peer = f"buckets.{name}.replicated_gb", around.peer_region()
    sku = f"replication:cross-region:transfer:{peer}->{around.region}"
    yield Charge("replication from the other region", S3, sku, figures.replicated_gb, key, region=peer)
    if any(_enabled(config, f"{at}.destination.replicationTime") for at in config.each("rules")):
        yield Charge("replication time control", S3, "replication:rtc", figures.replicated_gb, key, region=peer)


@prices(REPLICATION, "metrics")
def replication_metrics(config: Resource, around: Around) -> Charges:
    """Metrics of each rule that has them."""
    count = sum(_enabled(config, f"{at}.destination.metrics") for at in config.each("rules"))
    yield Charge("replication metrics", "AmazonCloudWatch", "metric", Range.of(count * REPLICATION_METRICS))


def _enabled(config: Resource, at: str) -> bool:
    return config.text(f"{at}.status", "Disabled") == "Enabled"


def _into(config: Resource, around: Around) -> tuple[str, Bucket]:
    """The bucket that a configuration fills: of those of the same component, the one that its name begins with."""
    for name, figures in around.figures.buckets.items():
        if config.name == name or config.name.startswith(f"{name}-"):
            return name, figures
    raise NoFigureError(f"buckets.{config.name}", "is missing in the usage file")


# Container images


@prices(REPOSITORY, "storage")
def images(repository: Resource, around: Around) -> Charges:
    """Images, spread evenly over the repositories."""
    stored = around.share(around.figures.registry.stored_gb, REPOSITORY)
    yield Charge("images", ECR, "storage:private", stored, "registry.stored_gb")


@prices(REGISTRY_REPLICATION, "traffic between regions")
def replicated_images(config: Resource, around: Around) -> Charges:
    """What each destination is sent."""
    for rule in config.each("replicationConfiguration.rules"):
        for at in config.each(f"{rule}.destinations"):
            to = config.text(f"{at}.region")
            # A standby replicates the primary's registry to itself.
            source = around.peer_region() if to == around.region else around.region
            sku = f"replication:{source}->{to}"
            moved = around.figures.registry.replicated_gb
            yield Charge("replicated images", ECR, sku, moved, "registry.replicated_gb", region=source)


@prices("aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration", "scanning")
def scanning(config: Resource, around: Around) -> Charges:
    """Basic scanning is free; enhanced scanning is billed by Amazon Inspector."""
    if config.text("scanType") != "BASIC":
        raise UnpricedError("scanning", "Amazon Inspector, which enhanced scanning uses, is not priced here")
    return ()
