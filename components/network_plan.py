"""What a region's network looks like, decided before anything is built: address blocks and who may talk to whom."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal, get_args

from components.errors import ArgsError

Tier = Literal["public", "private", "data"]
TIERS: tuple[Tier, ...] = get_args(Tier)

#: Below two zones nothing survives the loss of one; the block has room for four.
MIN_ZONES, MAX_ZONES = 2, 4

INTERNET = "internet"
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True)
class Subnet:
    """One subnet to be.

    Attributes:
        tier: ``public`` (load balancer, NAT), ``private`` (nodes and pods) or ``data`` (no way out).
        zone: Its availability zone, such as ``us-east-1a``.
        block: Its addresses.
    """

    tier: Tier
    zone: str
    block: IPv4Network

    @property
    def name(self) -> str:
        """The same in every region: ``private-a``."""
        return f"{self.tier}-{self.zone[-1]}"


def plan_subnets(block: IPv4Network, zones: Sequence[str]) -> tuple[Subnet, ...]:
    """One public, one private and one data subnet per zone, keyed by zone, with room left for a fourth.

    Each zone owns the quarter of the block at its place in ``zones``, so a zone added at the end moves no other. Of a
    quarter, half is private (pods take their addresses from it: 8,187 per zone), a quarter data, an eighth public, and
    an eighth stays spare.

    Args:
        block: The region's /16.
        zones: Two to four availability zones.

    Returns:
        The subnets, zone by zone in the order given.

    Raises:
        ArgsError: The block is no /16, or the zones are too few, too many or repeated.
    """
    if block.prefixlen != 16:
        raise ArgsError(
            f"cidr is {block}",
            why=f"a region takes a /16 (the largest that a VPC can have), this is a /{block.prefixlen}",
            remedy="Give each region its own /16",
        )
    if not MIN_ZONES <= len(zones) <= MAX_ZONES:
        raise ArgsError(
            f"zones are {', '.join(zones) or 'none'}",
            why=f"a region runs in {MIN_ZONES} to {MAX_ZONES} zones, these are {len(zones)}",
            remedy="Three is the figure that the service promises",
        )
    repeated = sorted({zone for zone in zones if zones.count(zone) > 1})
    if repeated:
        raise ArgsError(f"zones name {', '.join(repeated)} more than once", why="each zone gets its own subnets")
    return tuple(
        subnet
        for zone, quarter in zip(zones, block.subnets(prefixlen_diff=2), strict=False)
        for subnet in _zone(zone, quarter)
    )


def _zone(zone: str, quarter: IPv4Network) -> Iterator[Subnet]:
    private, rest = quarter.subnets()
    data, rest = rest.subnets()
    public, _spare = rest.subnets()
    yield Subnet("public", zone, public)
    yield Subnet("private", zone, private)
    yield Subnet("data", zone, data)


#: Every security group and what is in it. AWS keeps a description for ever: changing one replaces the group.
GROUPS: dict[str, str] = {
    "load_balancer": "The public load balancer",
    "nodes": "Cluster nodes and the pods on them",
    "control_plane": "The cluster API server in the VPC",
    "database": "PostgreSQL",
    "cache": "Redis",
    "search": "OpenSearch",
    "broker": "RabbitMQ",
    "endpoints": "Private endpoints of AWS services",
}


@dataclass(frozen=True)
class Flow:
    """A connection that somebody needs.

    Attributes:
        source: The group that opens it, or ``internet``.
        target: The group that answers it, or ``internet``.
        ports: First and last TCP port; ``None`` for every protocol and port.
        why: What it is for.
    """

    source: str
    target: str
    ports: tuple[int, int] | None
    why: str


#: The whole rule set. DNS and time come from the VPC itself, which security groups do not filter.
FLOWS: tuple[Flow, ...] = (
    Flow(INTERNET, "load_balancer", (443, 443), "Requests of users"),
    Flow(INTERNET, "load_balancer", (80, 80), "Redirect to HTTPS"),
    Flow("load_balancer", "nodes", (8080, 8089), "Requests and health checks, straight to pods"),
    # Inside the cluster NetworkPolicies decide, per pod; a security group sees only nodes.
    Flow("nodes", "nodes", None, "Pod to pod, DNS, kubelet"),
    Flow("nodes", "control_plane", (443, 443), "Cluster API"),
    # AWS's recommendation: webhooks and metrics listen where their charts choose, always above 1024.
    Flow("control_plane", "nodes", (1025, 65535), "Kubelet, webhooks, metrics"),
    Flow("nodes", "database", (5432, 5432), "PostgreSQL over TLS"),
    Flow("nodes", "cache", (6379, 6379), "Redis over TLS"),
    Flow("nodes", "search", (443, 443), "OpenSearch over HTTPS"),
    Flow("nodes", "broker", (5671, 5671), "AMQP over TLS"),
    Flow("nodes", "endpoints", (443, 443), "AWS services, inside the VPC"),
    Flow("nodes", INTERNET, (443, 443), "Identity providers and AWS services without an endpoint, through NAT"),
)


@dataclass(frozen=True)
class Rule:
    """One half of a flow: what one security group lets in or out.

    Attributes:
        group: The group that the rule belongs to.
        direction: ``ingress`` or ``egress``.
        peer: The group at the other end, or ``internet``.
        ports: First and last TCP port; ``None`` for every protocol and port.
        why: What it is for.
    """

    group: str
    direction: Literal["ingress", "egress"]
    peer: str
    ports: tuple[int, int] | None
    why: str

    @property
    def name(self) -> str:
        """Unique among all rules: ``nodes-to-database-5432``."""
        preposition = "from" if self.direction == "ingress" else "to"
        port = "all" if self.ports is None else str(self.ports[0])
        return f"{self.group}-{preposition}-{self.peer}-{port}".replace("_", "-")


def plan_rules(flows: Sequence[Flow] = FLOWS) -> tuple[Rule, ...]:
    """Both halves of every flow: its source may open it, its target accepts it. All else is refused.

    Raises:
        ArgsError: A flow names a group that does not exist.
    """
    rules: list[Rule] = []
    for flow in flows:
        for end in (flow.source, flow.target):
            if end != INTERNET and end not in GROUPS:
                raise ArgsError(
                    f"a flow names the group {end!r}", why=f"the groups are {', '.join(GROUPS)}", remedy="Add it there"
                )
        if flow.source != INTERNET:
            rules.append(Rule(flow.source, "egress", flow.target, flow.ports, flow.why))
        if flow.target != INTERNET:
            rules.append(Rule(flow.target, "ingress", flow.source, flow.ports, flow.why))
    return tuple(rules)
