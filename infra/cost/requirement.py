"""The requirement's own bill beside ours: its ten lines, what they are at today's list prices, and why ours differ.

Its figures are those of section 8 ("Cost Optimization") of the requirement, "Production Readiness Analysis"; sections
that reasons name are of the same document. A reason quotes what the estimate holds, and is made anew with each: none of
its amounts is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from components.errors import ConfigError
from components.opensearch_plan import capacity
from infra.cost.case import BROKERS, DOMAIN, GENERAL, INSTANCE, NODES, Case, Props, pool_of
from infra.cost.case import CACHE as CACHES
from infra.cost.charts import money
from infra.cost.model import HOURS, Line, Range, total
from stacks.offers import INSTANCE_SIZES

LEAST, MOST = Decimal(25_000), Decimal(40_000)
"""Dollars in a month: "Production Scale Monthly Cost: ~$25,000-$40,000" (section 8)."""

GB_OF_TB: Final = 1024


@dataclass(frozen=True)
class Part:
    """What the requirement's instances are at list price: so many units of a sku.

    Attributes:
        service: AWS's service code.
        sku: What is billed.
        units: Units in a month.
    """

    service: str
    sku: str
    units: Decimal


def _hours(service: str, sku: str, count: int) -> Part:
    return Part(service, sku, count * HOURS)


@dataclass(frozen=True)
class Asked:
    """One line of the requirement's table.

    Attributes:
        component: Its component, in its words.
        instances: Its instances, in its words.
        monthly: Dollars in a month.
        parts: The same at today's list prices, as far as the line says what it is made of.
    """

    component: str
    instances: str
    monthly: Decimal
    parts: tuple[Part, ...]


EKS, PODS, INDEX, DATABASE, CACHE, QUEUE, BALANCER, TRANSFER, OBJECTS, LOGS = (
    "Kubernetes (EKS)",
    "Application Pods",
    "Elasticsearch",
    "PostgreSQL (RDS)",
    "Redis (ElastiCache)",
    "RabbitMQ (EC2)",
    "Load Balancer (ALB)",
    "Data Transfer",
    "S3 Storage",
    "CloudWatch Logs",
)

OTHER: Final = "not in its table"
"""What the requirement asks for elsewhere, or AWS bills for, and its table leaves out."""

ASKED: Final[tuple[Asked, ...]] = (
    Asked(EKS, "3 master nodes", Decimal(219), (_hours("AmazonEKS", "cluster:standard-support", 3),)),
    Asked(
        PODS,
        "40 instances (m5.xlarge)",
        Decimal(4_800),
        (_hours("AmazonEC2", "instance:m5.xlarge:linux:on-demand", 40),),
    ),
    Asked(
        INDEX,
        "20 data nodes (r5.2xlarge)",
        Decimal(16_000),
        (
            _hours("AmazonES", "instance:r5.2xlarge.search", 20),
            # Section 1: 2 TB for each.
            Part("AmazonES", "storage:gp3", Decimal(20 * 2 * GB_OF_TB)),
        ),
    ),
    Asked(
        DATABASE,
        "1 primary + 3 replicas",
        Decimal(3_200),
        (
            # Section 1: 16 vCPU with 64 GB and 1 TB, and three of 8 vCPU with 32 GB and 500 GB; in section 8's family.
            _hours("AmazonRDS", "instance:db.m5.4xlarge:postgres:single-az", 1),
            _hours("AmazonRDS", "instance:db.m5.2xlarge:postgres:single-az", 3),
            Part("AmazonRDS", "storage:gp3:single-az", Decimal(GB_OF_TB + 3 * 500)),
        ),
    ),
    Asked(CACHE, "6 nodes (r5.large)", Decimal(1_800), (_hours("AmazonElastiCache", "node:cache.r5.large:redis", 6),)),
    Asked(QUEUE, "5 nodes (m5.large)", Decimal(600), (_hours("AmazonEC2", "instance:m5.large:linux:on-demand", 5),)),
    Asked(BALANCER, "2", Decimal(50), (_hours("AWSELB", "alb:hour", 2),)),
    Asked(
        TRANSFER,
        "10TB/month",
        Decimal(900),
        (Part("AWSDataTransfer", "internet-out:first-10TB", Decimal(10 * GB_OF_TB)),),
    ),
    Asked(OBJECTS, "50TB", Decimal(1_150), (Part("AmazonS3", "standard:storage:first-50TB", Decimal(50 * GB_OF_TB)),)),
    Asked(LOGS, "500GB", Decimal(250), (Part("AmazonCloudWatch", "logs:ingest:standard", Decimal(500)),)),
)

_BY_SERVICE: Final = {
    "AmazonEKS": EKS,
    "AmazonES": INDEX,
    "AmazonRDS": DATABASE,
    "AmazonElastiCache": CACHE,
    "AmazonMQ": QUEUE,
    "AWSELB": BALANCER,
    "AWSDataTransfer": TRANSFER,
    "AmazonS3": OBJECTS,
}


class Facts:
    """What a case holds, asked for the reasons. Amounts are of the expected month.

    Args:
        case: The service as it is planned.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self._pools = {
            (plan.stack, change.urn): pool_of(change) for plan in case.plans for change in case.held(NODES, plan.stack)
        }

    def row_of(self, line: Line) -> str:
        """The line of the requirement's table that one of ours belongs to."""
        pool = self._pools.get((line.stack, line.urn))
        if line.price.service != "AWSDataTransfer" and (pool is not None or line.type == BROKERS):
            return PODS if pool not in (None, "brokers") else QUEUE
        if line.price.service == "AmazonCloudWatch":
            return LOGS if line.price.sku.startswith("logs:") else OTHER
        return _BY_SERVICE.get(line.price.service, OTHER)

    @cached_property
    def listed(self) -> dict[str, list[Line]]:
        """Every line at list price, by line of the requirement's table."""
        return self._rows(line for one in self.case.listed for line in one.lines)

    @cached_property
    def committed(self) -> dict[str, list[Line]]:
        """The same with commitments."""
        return self._rows(self.case.lines)

    def _rows(self, lines: Iterable[Line]) -> dict[str, list[Line]]:
        found: dict[str, list[Line]] = {name: [] for name in (*(asked.component for asked in ASKED), OTHER)}
        for line in lines:
            found[self.row_of(line)].append(line)
        return found

    @property
    def primary(self) -> str:
        """The stack of the primary."""
        return self.case.plans[0].stack

    @property
    def regions(self) -> int:
        """How many regions there are."""
        return len(self.case.plans)

    def usd(self, part: Part) -> Decimal:
        """Dollars in a month of something, at list price in the primary's region.

        Raises:
            ConfigError: The snapshot has no price of it.
        """
        region = self.case.plans[0].region
        price = self.case.snapshot.find(part.service, part.sku, region)
        if price is None:
            raise ConfigError(
                f"there is no price of {part.service} {part.sku} in {region}",
                why="the requirement's own line is made of it",
                remedy="Put it into infra/cost/prices.json",
            )
        return price.usd * part.units

    def dollars(self, row: str, sku: str = "", *, what: str = "", stack: str = "") -> str:
        """Dollars of the lines of a row, at list price: `$1,234`.

        Args:
            row: Of the requirement's table.
            sku: How their skus begin.
            what: How they are called to begin with.
            stack: Whose; the primary's unless told, `*` for all.
        """
        its = stack or self.primary
        lines = (
            line
            for line in self.listed[row]
            if line.price.sku.startswith(sku) and line.what.startswith(what) and its in ("*", line.stack)
        )
        return money(total(line.monthly for line in lines).expected)

    def priced(self, service: str, sku: str, count: int = 1) -> str:
        """Dollars of hours of something that is not in the plan, at list price."""
        return money(self.usd(_hours(service, sku, count)))

    def one(self, type_: str, name: str = "") -> Props:
        """The inputs of the primary's resource of a type whose name ends like that.

        Raises:
            ConfigError: The plan has none.
        """
        for change in self.case.held(type_, self.primary):
            if change.name.endswith(name):
                return change.inputs
        raise ConfigError(
            f"the plan of {self.primary} has no {type_}",
            why="the requirement's own line is of one",
            remedy="Compare whole regions with the requirement",
        )

    def pool(self, name: str) -> tuple[int, str]:
        """How many nodes a pool of the primary has, and of which types."""
        its = [one.inputs for one in self.case.held(NODES, self.primary) if pool_of(one) == name]
        count = sum(int(one["scalingConfig"]["desiredSize"]) for one in its)
        return count, " or ".join(dict.fromkeys(type_ for one in its for type_ in one["instanceTypes"]))


@dataclass(frozen=True)
class Row:
    """One line, theirs and ours.

    Attributes:
        component: The requirement's component.
        instances: Its instances; empty for what it leaves out.
        asked: Its dollars in a month; None for what it leaves out.
        asked_at_list: What it says, at today's list prices; None for what it leaves out.
        primary: Ours in the primary's region alone, at list price.
        listed: Ours in all regions, at list price.
        committed: The same with commitments.
        why: Why ours differ.
    """

    component: str
    instances: str
    asked: Decimal | None
    asked_at_list: Decimal | None
    primary: Range
    listed: Range
    committed: Range
    why: str

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""
        return {
            "component": self.component,
            "instances": self.instances,
            "asked": None if self.asked is None else str(self.asked),
            "asked_at_list": None if self.asked_at_list is None else format(self.asked_at_list, "f"),
            "primary": self.primary.as_json(),
            "list": self.listed.as_json(),
            "committed": self.committed.as_json(),
            "why": self.why,
        }


def rows(case: Case) -> tuple[Row, ...]:
    """The requirement's lines and what it leaves out; together they are the whole of ours.

    Raises:
        ConfigError: The snapshot has no price of what the requirement's own lines are made of.
    """
    facts = Facts(case)
    return (*(_row(facts, asked.component, asked) for asked in ASKED), _row(facts, OTHER))


def whole(rows: Iterable[Row]) -> Row:
    """The sum of some rows."""
    every = tuple(rows)
    return Row(
        component="total",
        instances="",
        asked=sum((row.asked for row in every if row.asked is not None), start=Decimal(0)),
        asked_at_list=sum((row.asked_at_list for row in every if row.asked_at_list is not None), start=Decimal(0)),
        primary=total(row.primary for row in every),
        listed=total(row.listed for row in every),
        committed=total(row.committed for row in every),
        why="",
    )


def at_list(facts: Facts, asked: Asked) -> Decimal:
    """What a line of the requirement is at today's list prices."""
    return sum((facts.usd(part) for part in asked.parts), start=Decimal(0))


def _row(facts: Facts, name: str, asked: Asked | None = None) -> Row:
    listed = facts.listed[name]
    return Row(
        component=name,
        instances=asked.instances if asked else "",
        asked=asked.monthly if asked else None,
        asked_at_list=at_list(facts, asked) if asked else None,
        primary=total(line.monthly for line in listed if line.stack == facts.primary),
        listed=total(line.monthly for line in listed),
        committed=total(line.monthly for line in facts.committed[name]),
        why=WHY[name](facts),
    )


# Why ours differ


def _control_plane(facts: Facts) -> str:
    one = facts.priced("AmazonEKS", "cluster:standard-support")
    return (
        f"AWS bills a control plane by the cluster, {one}, and not by its nodes; theirs is the price of three. We have "
        f"one in each of {facts.regions} regions"
    )


def _applications(facts: Facts) -> str:
    count, type_ = facts.pool(GENERAL)
    nodes = facts.dollars(PODS, "instance:", what="nodes")
    return (
        f"{count} {type_}, which three zones share evenly, are {nodes}, their disks {facts.dollars(PODS, 'ebs:')}, and "
        f"Spot nodes for indexing {facts.dollars(PODS, 'instance:', what='Spot')}; their 40 are {_today(facts, PODS)} "
        f"today. {_again(facts, PODS)}"
    )


def _index(facts: Facts) -> str:
    config = facts.one(DOMAIN)["clusterConfig"]
    size, theirs = (capacity(type_).vcpus for type_ in (config["instanceType"], "r5.2xlarge.search"))
    return (
        f"theirs are nodes of {theirs} vCPU with 2 TB each ({_today(facts, INDEX)} today); section 1 asks for 16 to "
        f"32: {int(config['instanceCount'])} of {size} vCPU are {facts.dollars(INDEX, what='hot nodes')}, their disks "
        f"{facts.dollars(INDEX, 'storage:gp3')}. Section 1 asks for more that their table leaves out: masters "
        f"{facts.dollars(INDEX, what='masters')}, coordinators {facts.dollars(INDEX, what='coordinators')}, warm nodes "
        f"{facts.dollars(INDEX, what='warm nodes')}. {_again(facts, INDEX)}"
    )


def _databases(facts: Facts) -> str:
    class_ = facts.one(INSTANCE, "database")["instanceClass"]
    alone = facts.priced("AmazonRDS", f"instance:{class_}:postgres:single-az")
    return (
        f"the primary has a standby in another zone (section 7: multi-AZ): "
        f"{facts.dollars(DATABASE, what='instance')}, where one alone would be {alone}; three replicas are "
        f"{facts.dollars(DATABASE, what='replica')}, disks {facts.dollars(DATABASE, 'storage:')}. The sizes of section "
        f"1, without a standby, are {_today(facts, DATABASE)} today. {_again(facts, DATABASE)}"
    )


def _caches(facts: Facts) -> str:
    type_ = facts.one(CACHES)["nodeType"]
    theirs, ours = (INSTANCE_SIZES[one].memory_gib for one in ("cache.r5.large", type_))
    return (
        f"section 1 asks for 16 GB a node, and r5.large has {theirs:.0f} for data: {type_} with {ours:.0f} are "
        f"{facts.dollars(CACHE, 'node:')}, snapshots {facts.dollars(CACHE, 'backup:')}; their six are "
        f"{_today(facts, CACHE)} today. {_again(facts, CACHE)}"
    )


def _brokers(facts: Facts) -> str:
    count, type_ = facts.pool("brokers")
    theirs, ours = (INSTANCE_SIZES[one] for one in ("m5.large", type_))
    return (
        f"section 1 asks for 8 vCPU and 16 GB a node, and m5.large has {theirs.vcpus} and {theirs.memory_gib:.0f}: "
        f"{count} {type_} with {ours.vcpus} and {ours.memory_gib:.0f}, as many in each zone and so one to spare, are "
        f"{facts.dollars(QUEUE, 'instance:')}, disks {facts.dollars(QUEUE, 'ebs:')}; their five are "
        f"{_today(facts, QUEUE)} today. {_again(facts, QUEUE)}"
    )


def _balancers(facts: Facts) -> str:
    return (
        f"one in each of {facts.regions} regions: hours {facts.dollars(BALANCER, 'alb:hour', stack='*')}, and what "
        f"goes through them {facts.dollars(BALANCER, 'alb:lcu', stack='*')}, which AWS bills by capacity units; the "
        f"hours of two are {_today(facts, BALANCER)} today"
    )


def _transfers(facts: Facts) -> str:
    return (
        f"what leaves for the internet, over {facts.regions} regions, is "
        f"{facts.dollars(TRANSFER, 'internet-out:', stack='*')} (their 10 TB are {_today(facts, TRANSFER)} today); "
        f"between zones it is {facts.dollars(TRANSFER, 'inter-az:', stack='*')}, which theirs leaves out"
    )


def _stored(facts: Facts) -> str:
    buckets = facts.case.usage.of(facts.primary).buckets.values()
    stored = sum((one.stored_gb.expected for one in buckets), start=Decimal(0)) / GB_OF_TB
    kept = total(line.monthly for line in facts.listed[OBJECTS] if _is_kept(line) and line.stack == facts.primary)
    return (
        f"{stored:.0f} TB with snapshots and logs, by age in cheaper classes, are {money(kept.expected)} in "
        f"{facts.primary}; their 50 TB in Standard are {_today(facts, OBJECTS)} today. The rest are requests, moves "
        f"between classes and replication. {_again(facts, OBJECTS)}"
    )


def _is_kept(line: Line) -> bool:
    return line.price.unit == "GB-Mo"


def _written(facts: Facts) -> str:
    return (
        f"what is written, over {facts.regions} regions, is "
        f"{_sum(facts, LOGS, lambda line: not _is_kept(line))} (their 500 GB are {_today(facts, LOGS)} today), and "
        f"what is kept of it {_sum(facts, LOGS, _is_kept)}, which theirs leaves out"
    )


NAMES: Final[Mapping[str, str]] = {
    "AWSBackup": "backups and their restore tests (section 6)",
    "AWSSecretsManager": "secrets",
    "AmazonCloudWatch": "alarms and metrics (section 4)",
    "AmazonECR": "images",
    "AmazonSNS": "notifications",
    "AmazonRoute53": "names and health checks (section 2)",
    "AmazonVPC": "NAT gateways, endpoints and addresses",
    "awskms": "keys (section 3)",
    "awswaf": "the web firewall",
}
"""What a service is for, of those that the requirement's table has no line for."""

OTHERS: Final = "others"


def service_name(line: Line) -> str:
    """What the service of a line is for, where the requirement's table has no line for it."""
    return NAMES.get(line.price.service, OTHERS)


def _other(facts: Facts) -> str:
    found: dict[str, Decimal] = {}
    for line in facts.listed[OTHER]:
        name = service_name(line)
        found[name] = found.get(name, Decimal(0)) + line.monthly.expected
    rising = sorted(found.items(), key=lambda item: -item[1])
    listed = ", ".join(f"{name} {money(dollars)}" for name, dollars in rising)
    return f"asked for in other sections, or billed whether asked for or not: {listed}" if listed else "nothing"


def _sum(facts: Facts, row: str, which: Callable[[Line], bool]) -> str:
    return money(total(line.monthly for line in facts.listed[row] if which(line)).expected)


def _today(facts: Facts, row: str) -> str:
    return money(at_list(facts, next(asked for asked in ASKED if asked.component == row)))


def _again(facts: Facts, row: str) -> str:
    """What the other regions have of a row."""
    others = [plan.stack for plan in facts.case.plans if plan.stack != facts.primary]
    if not others:
        return "There is no second region"
    has = "has" if len(others) == 1 else "have"
    dollars = _sum(facts, row, lambda line: line.stack in others)
    return f"{' and '.join(others)} {has} {dollars} more (section 2: full stack in a second region)"


WHY: Final[Mapping[str, Callable[[Facts], str]]] = {
    EKS: _control_plane,
    PODS: _applications,
    INDEX: _index,
    DATABASE: _databases,
    CACHE: _caches,
    QUEUE: _brokers,
    BALANCER: _balancers,
    TRANSFER: _transfers,
    OBJECTS: _stored,
    LOGS: _written,
    OTHER: _other,
}
"""Why our line differs from the requirement's, by line."""
