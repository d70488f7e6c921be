"""The records that users follow to a region, and the check that withdraws them.

Users read at ``api.<domain>``, answered by the nearest healthy region, and write at ``write.<domain>``, answered by the
primary region while it is healthy. Every answer exists from the start: when a region fails, Route 53's data plane
changes over by health checks alone, and nothing calls its control plane, which lives in us-east-1.

A changeover of ``write`` promotes no database: until somebody promotes it, the standby refuses writes. Two primaries
would be worse than none. So a region whose standby was promoted is taken out (``serving=False``): ``write`` would lead
back to it as soon as it is healthy. The standby stays SECONDARY, which Route 53 answers while there is no
healthy PRIMARY.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.alarms import Alarm, Alarms, Severity, watch
from components.domain import Domain, Hosts
from components.errors import ArgsError
from components.ingress import Ingress
from components.kms import Role

#: The only region where Route 53 publishes its metrics (Route 53 developer guide, "Monitoring health checks").
METRICS_REGION = "us-east-1"

#: A region counts as lost after 3 checks, 10 s apart: the requirement's figures, and the fastest that Route 53 has.
CHECK_SECONDS, CHECK_FAILURES = 10, 3


@dataclass(frozen=True)
class Answer:
    """One record of a region.

    Attributes:
        key: Ends the logical name.
        host: The name that it answers.
        routing: Routing policy and set identifier, as arguments of ``aws.route53.Record``.
        checked: Whether it is withdrawn while the region is unhealthy.
    """

    key: str
    host: str
    routing: dict[str, Any]
    checked: bool


def plan_answers(hosts: Hosts, *, region: str, role: Role) -> tuple[Answer, ...]:
    """The answers that a region gives, one per host name."""
    failover = "PRIMARY" if role == "primary" else "SECONDARY"
    return (
        # Never withdrawn: it is what tells whether the region is back.
        Answer("regional", hosts.regional, {}, checked=False),
        Answer(
            "read",
            hosts.read,
            {"set_identifier": region, "latency_routing_policies": [{"region": region}]},
            checked=True,
        ),
        Answer(
            "write",
            hosts.write,
            {"set_identifier": region, "failover_routing_policies": [{"type": failover}]},
            checked=True,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class DnsArgs:
    """What the records of a region need.

    Attributes:
        region: The region that answers.
        role: ``primary`` answers writes first; ``standby`` answers them when the primary is unhealthy. A zone has one
            of each: a further region takes reads only (``writes=False``).
        domain: Zone and host names.
        ingress: The load balancer that the records point to.
        alarms: Hears that the region is unhealthy. Where Route 53's metrics are not published, ``metrics_provider``
            and ``metrics_topics`` say where to watch instead.
        health_path: What the health check asks for: 2xx or 3xx within 2 s is healthy. A region
            without its database is not.
        metrics_provider: Provider of us-east-1; required in every other region.
        metrics_topics: Topic ARNs by severity in us-east-1; required in every other region.
        writes: Whether the region answers writes at all.
        serving: Whether users are sent here; False leaves the region its own name only.

    Raises:
        ArgsError: The health check could not be watched, or a primary region takes no writes.
    """

    region: str
    role: Role
    domain: Domain
    ingress: Ingress
    alarms: Alarms
    health_path: str = "/health/ready"
    metrics_provider: aws.Provider | None = None
    metrics_topics: Mapping[Severity, pulumi.Input[str]] | None = None
    writes: bool = True
    serving: bool = True

    def __post_init__(self) -> None:
        if self.region != METRICS_REGION and (self.metrics_provider is None or self.metrics_topics is None):
            raise ArgsError(
                f"the records of {self.region} have no metrics_provider or no metrics_topics",
                why=f"Route 53 publishes the health of every check in {METRICS_REGION} only",
                remedy=f"Give a provider and the alarm topics of {METRICS_REGION}",
            )
        if self.role == "primary" and not self.writes:
            raise ArgsError("a primary region takes no writes", why="nobody would", remedy="Leave writes out")
        if not re.fullmatch(r"/\S{0,254}", self.health_path):
            raise ArgsError(f"health_path is {self.health_path!r}", why="it starts with / and has 1 to 255 characters")


class Dns(pulumi.ComponentResource):
    """The answers of one region, and the check that withdraws them.

    Attributes:
        hosts: The host names.
        health_check_id: The region's health check.
    """

    hosts: Hosts
    health_check_id: pulumi.Output[str]

    def __init__(self, name: str, args: DnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:dns:Dns", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.hosts = args.domain.hosts
        check = aws.route53.HealthCheck(
            name,
            type="HTTPS",
            fqdn=self.hosts.regional,
            port=443,
            enable_sni=True,
            resource_path=args.health_path,
            request_interval=CHECK_SECONDS,
            failure_threshold=CHECK_FAILURES,
            # Latency from outside is the one proof of the promise that is not our own. It can only be switched on when
            # the check is made.
            measure_latency=True,
            opts=child,
        )
        self.health_check_id = check.id
        for answer in plan_answers(self.hosts, region=args.region, role=args.role):
            if (answer.key == "write" and not args.writes) or (answer.key != "regional" and not args.serving):
                continue
            aws.route53.Record(
                f"{name}-{answer.key}",
                zone_id=args.domain.zone_id,
                name=answer.host,
                type="A",
                aliases=[
                    {
                        "name": args.ingress.dns_name,
                        "zone_id": args.ingress.zone_id,
                        "evaluate_target_health": answer.checked,
                    }
                ],
                health_check_id=check.id if answer.checked else None,
                opts=child,
                **answer.routing,
            )
        watch(
            self,
            name,
            ALARMS,
            namespace="AWS/Route53",
            dimensions={"HealthCheckId": check.id},
            topics=args.alarms.topics if args.metrics_topics is None else args.metrics_topics,
            provider=args.metrics_provider,
        )
        self.register_outputs({"health_check_id": self.health_check_id})


ALARMS = (
    Alarm(
        name="unhealthy",
        metric="HealthCheckStatus",
        threshold=1,
        above=False,
        statistic="Minimum",
        minutes=1,
        missing="breaching",
        severity="page",
        because="The region does not answer from outside: users are being sent to the other one",
    ),
)
