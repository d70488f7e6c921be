"""The public way in: one load balancer over every zone, straight to pods.

Each public role has a target group: searches are what no rule sends elsewhere, the other roles have a rule by path.
A role's second version (requirement, section 6) has a target group too, and weights decide how much it gets: some of
the requests (canary), all of them (blue/green), or none while its pods start.

Pods are registered in the target groups by the cluster's load balancer controller, so nothing here names one. They are
spoken to by TLS; a load balancer checks no certificate of a target (Application Load Balancer guide, "Target groups").
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pulumi
import pulumi_aws as aws

from components.alarms import Alarm, Alarms, watch
from components.domain import Domain
from components.errors import ArgsError
from components.network import Network
from components.storage import Storage

#: TLS 1.3, and 1.2 with forward secrecy and authenticated ciphers only (Application Load Balancer guide, "Security
#: policies").
TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-Res-2021-06"

#: How long a leaving pod may finish what it has, s. A pod that stops waits longer than that before it exits.
DEREGISTRATION_SECONDS = 30

#: What the network lets the load balancer reach on nodes (`components.network_plan.FLOWS`).
PORTS = range(8080, 8090)

#: Where pods answer health checks, in clear text: those by HTTPS fail with a target that speaks TLS 1.3 alone
#: (Application Load Balancer guide, "Health checks for target groups").
PROBE_PORT = 8089

#: Who answers what no route sends elsewhere.
DEFAULT_ROLE = "search"

#: Where the second version of a role gets its name from, here and in the cluster.
CANDIDATE = "candidate"

#: Longest path pattern, characters, and what it may consist of (Application Load Balancer guide, "Condition types for
#: listener rules", "Path conditions"); ``*`` and ``?`` are wildcards.
PATTERN = re.compile(r"/[A-Za-z0-9_.$/~\"'@:+&*?-]{0,127}")

#: Path patterns, and wildcards in them, that one rule may have; rules and target groups of one load balancer
#: (Application Load Balancer guide, "Quotas").
MAX_PATTERNS = 5
MAX_WILDCARDS = 5
MAX_RULES = 100
MAX_GROUPS = 100

#: A rule's priority (ELB API reference, "CreateRule").
PRIORITIES = range(1, 50_001)

#: Longest logical name of a target group, characters: AWS takes 32 (ELB API reference, "CreateTargetGroup"), of which
#: the provider needs 8 to make it unique.
MAX_GROUP_NAME = 24


@dataclass(frozen=True, kw_only=True)
class Route:
    """What is sent to another role than search.

    Attributes:
        role: Who takes it, such as ``document``: names its target group.
        port: Where its pods listen, 8080 to 8089. A change replaces the target group.
        paths: Path patterns, 1 to 5 with 5 wildcards at most: ``*`` is any number of characters, ``/`` among them, and
            ``?`` is one. Case counts.
        priority: Of several routes that match the lowest wins; 1 to 50,000.

    Raises:
        ArgsError: AWS would refuse the rule.
    """

    role: str
    port: int
    paths: tuple[str, ...]
    priority: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", self.role) or self.role.endswith(f"-{CANDIDATE}"):
            raise ArgsError(
                f"a route leads to {self.role!r}",
                why=f"it becomes a name, and what ends in -{CANDIDATE} is a second version",
            )
        _check_port(f"route {self.role} has port", self.port)
        if not 1 <= len(self.paths) <= MAX_PATTERNS:
            raise ArgsError(
                f"route {self.role} has {len(self.paths)} paths",
                why=f"a rule has 1 to {MAX_PATTERNS} values",
                remedy="Take wildcards, or a second route",
            )
        if len(set(self.paths)) < len(self.paths):
            raise ArgsError(f"route {self.role} has a path twice", why="once is enough, and each counts")
        for path in self.paths:
            if not PATTERN.fullmatch(path):
                raise ArgsError(
                    f"route {self.role} has the path {path!r}",
                    why="it starts with / and has 1 to 128 letters, digits, wildcards or any of _-.$/~\"'@:+&",
                )
        wildcards = sum(path.count("*") + path.count("?") for path in self.paths)
        if wildcards > MAX_WILDCARDS:
            raise ArgsError(f"route {self.role} has {wildcards} wildcards", why=f"a rule has {MAX_WILDCARDS} at most")
        if self.priority not in PRIORITIES:
            raise ArgsError(
                f"route {self.role} has priority {self.priority}",
                why=f"it is {PRIORITIES.start} to {PRIORITIES.stop - 1}",
            )


def _check_port(what: str, port: int) -> None:
    if port not in PORTS:
        raise ArgsError(
            f"{what} {port}",
            why=f"the security groups let the load balancer reach {PORTS.start} to {PORTS.stop - 1}",
        )
    if port == PROBE_PORT:
        raise ArgsError(f"{what} {port}", why="health checks are answered there, in clear text")


#: Documents and the tasks that they become; everything else is a search.
ROUTES = (Route(role="document", port=8081, paths=("/v1/documents", "/v1/documents/*", "/v1/tasks/*"), priority=10),)


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    """What the way into a region needs.

    Attributes:
        network: Gives the public subnets and the group ``load_balancer``.
        domain: Gives the certificate.
        storage: Keeps the access logs.
        alarms: Hears the alarms.
        port: Where pods of search listen, 8080 to 8089.
        routes: What is sent to other roles.
        candidates: Roles of which a second version runs, and how much of their requests it gets, 0 to 100%.
        target_protocol: How pods are spoken to. A change replaces the target groups, and pods have to change with it.
        health_path: What makes a pod a target: 200 is healthy. It must not fail with what all pods share.
        locked: AWS's deletion protection and Pulumi's ``protect``: users know the load balancer by its address.

    Raises:
        ArgsError: A plain value cannot work.
    """

    network: Network
    domain: Domain
    storage: Storage
    alarms: Alarms
    port: int = PORTS.start
    routes: Sequence[Route] = ROUTES
    candidates: Mapping[str, int] = field(default_factory=dict)
    target_protocol: Literal["HTTP", "HTTPS"] = "HTTPS"
    health_path: str = "/health/startup"
    locked: bool = True

    def __post_init__(self) -> None:
        _check_port("port is", self.port)
        if not re.fullmatch(r"/\S{0,1023}", self.health_path):
            raise ArgsError(
                f"health_path is {self.health_path!r}", why="it starts with / and has 1 to 1,024 characters"
            )
        self._check_routes()
        for role, percent in self.candidates.items():
            if role not in self._roles:
                raise ArgsError(
                    f"{role!r} has a candidate", why=f"the load balancer calls only {', '.join(self._roles)}"
                )
            if not 0 <= percent <= 100:
                raise ArgsError(f"the candidate of {role} gets {percent}% of requests", why="it is 0 to 100")

    @property
    def _roles(self) -> tuple[str, ...]:
        return DEFAULT_ROLE, *(route.role for route in self.routes)

    def _check_routes(self) -> None:
        if len(self.routes) > MAX_RULES:
            raise ArgsError(f"there are {len(self.routes)} routes", why=f"a load balancer has {MAX_RULES} rules")
        groups = len(self._roles) + len(self.candidates)
        if groups > MAX_GROUPS:
            raise ArgsError(
                f"roles and candidates need {groups} target groups", why=f"a load balancer has {MAX_GROUPS}"
            )
        if len(set(self._roles)) < len(self._roles):
            raise ArgsError(
                f"routes lead to {', '.join(self._roles[1:])}",
                why=f"each role has one, and {DEFAULT_ROLE} takes what is left",
            )
        priorities = [route.priority for route in self.routes]
        if len(set(priorities)) < len(priorities):
            raise ArgsError(f"routes have the priorities {priorities}", why="no two rules of a listener have the same")


@dataclass(frozen=True)
class Group:
    """One target group.

    Attributes:
        key: The role, or with ``-candidate`` behind it the role's second version.
        role: The role.
        name: The logical name.
        port: Where its pods listen.
        weight: Its part of the role's requests, %.
    """

    key: str
    role: str
    name: str
    port: int
    weight: int

    @property
    def is_candidate(self) -> bool:
        """Whether it takes the role's second version."""
        return self.key != self.role


def plan_groups(
    name: str, *, port: int, routes: Sequence[Route] = (), candidates: Mapping[str, int] | None = None
) -> tuple[Group, ...]:
    """The target groups: one per role and candidate, search first.

    Args:
        name: The logical name of the load balancer.
        port: Where search listens.
        routes: The other roles.
        candidates: Percentage of requests per role that has a candidate.

    Raises:
        ArgsError: A logical name is too long for AWS.
    """
    groups = []
    for role, role_port in {DEFAULT_ROLE: port, **{route.role: route.port for route in routes}}.items():
        candidate = (candidates or {}).get(role)
        # Search's bears the load balancer's name: it was there before there were others.
        stable = name if role == DEFAULT_ROLE else f"{name}-{role}"
        groups.append(Group(role, role, stable, role_port, 100 - (candidate or 0)))
        if candidate is not None:
            groups.append(Group(f"{role}-{CANDIDATE}", role, f"{name}-{role}-next", role_port, candidate))
    for group in groups:
        if len(group.name) > MAX_GROUP_NAME:
            raise ArgsError(
                f"a target group is called {group.name!r}",
                why=f"of the 32 characters that AWS takes, {MAX_GROUP_NAME} are left for it",
                remedy="Take a shorter name for the role",
            )
    return tuple(groups)


def plan_alarms(group: Group) -> tuple[Alarm, ...]:
    """What is watched of a target group: search's promise of latency is not that of uploads, which take longer."""
    rows = [row for row in TARGET_ALARMS if group.role == DEFAULT_ROLE or row.name != "latency"]
    if group.is_candidate and not group.weight:
        rows = [row for row in rows if row.name != "no-pods"]
    if group.key == DEFAULT_ROLE:
        return tuple(rows)
    return tuple(replace(row, because=f"{group.key}: {BECAUSE.get(row.name, row.because)}") for row in rows)


class Ingress(pulumi.ComponentResource):
    """The public load balancer of one region.

    Attributes:
        arn: The load balancer: what a web ACL is attached to.
        arn_suffix: By which metrics know it.
        dns_name: Its own name: what alias records point to.
        zone_id: AWS's zone of that name.
        target_group_arn: Where pods of search register, available once users reach it.
        target_group_arns: The same for each public role by its name, and for a candidate by ``<role>-candidate``.
        port: Where pods of search listen.
    """

    arn: pulumi.Output[str]
    arn_suffix: pulumi.Output[str]
    dns_name: pulumi.Output[str]
    zone_id: pulumi.Output[str]
    target_group_arn: pulumi.Output[str]
    target_group_arns: Mapping[str, pulumi.Output[str]]
    port: int

    def __init__(self, name: str, args: IngressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:ingress:Ingress", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        balancer = aws.lb.LoadBalancer(
            name,
            load_balancer_type="application",
            internal=False,
            subnets=args.network.subnets("public"),
            security_groups=[args.network.security_group_ids["load_balancer"]],
            enable_deletion_protection=args.locked,
            drop_invalid_header_fields=True,
            desync_mitigation_mode="defensive",
            # An operator can take a zone out of the answers at once, before its health checks notice.
            enable_zonal_shift=True,
            idle_timeout=60,
            access_logs={
                "enabled": True,
                "bucket": args.storage.logs.name,
                "prefix": args.storage.load_balancer_prefix,
            },
            opts=pulumi.ResourceOptions(parent=self, protect=args.locked),
        )
        planned = plan_groups(name, port=args.port, routes=args.routes, candidates=args.candidates)
        groups = {group.key: self._group(group, args) for group in planned}
        listener = aws.lb.Listener(
            f"{name}-https",
            load_balancer_arn=balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=args.domain.certificate_arn,
            default_actions=[_forward(DEFAULT_ROLE, planned, groups)],
            # A year: browsers then never ask in clear text again.
            routing_http_response_strict_transport_security_header_value="max-age=31536000; includeSubDomains",
            routing_http_response_server_enabled=False,
            opts=child,
        )
        aws.lb.Listener(
            f"{name}-http",
            load_balancer_arn=balancer.arn,
            port=80,
            protocol="HTTP",
            default_actions=[
                {"type": "redirect", "redirect": {"protocol": "HTTPS", "port": "443", "status_code": "HTTP_301"}}
            ],
            opts=child,
        )
        # What of the load balancer must be there before a group has users: the listener, or a role's own rule.
        ways: dict[str, pulumi.Output[str]] = {DEFAULT_ROLE: listener.arn}
        for route in args.routes:
            rule = aws.lb.ListenerRule(
                f"{name}-{route.role}",
                listener_arn=listener.arn,
                priority=route.priority,
                conditions=[{"path_pattern": {"values": list(route.paths)}}],
                actions=[_forward(route.role, planned, groups)],
                opts=child,
            )
            ways[route.role] = rule.arn
        self.arn, self.arn_suffix = balancer.arn, balancer.arn_suffix
        self.dns_name, self.zone_id = balancer.dns_name, balancer.zone_id
        self.port = args.port
        # Through the listener: a controller that registers pods earlier finds a group without a load balancer.
        self.target_group_arns = {
            group.key: pulumi.Output.all(groups[group.key].arn, ways[group.role]).apply(lambda arns: str(arns[0]))
            for group in planned
        }
        self.target_group_arn = self.target_group_arns[DEFAULT_ROLE]
        whole: Mapping[str, pulumi.Input[str]] = {"LoadBalancer": balancer.arn_suffix}
        self._watch(name, BALANCER_ALARMS, whole, args)
        for group in planned:
            one = {**whole, "TargetGroup": groups[group.key].arn_suffix}
            self._watch(group.name, plan_alarms(group), one, args)
        self.register_outputs(
            {
                "dns_name": self.dns_name,
                "zone_id": self.zone_id,
                "target_group_arn": self.target_group_arn,
                "target_group_arns": dict(self.target_group_arns),
            }
        )

    def _group(self, group: Group, args: IngressArgs) -> aws.lb.TargetGroup:
        return aws.lb.TargetGroup(
            group.name,
            target_type="ip",
            vpc_id=args.network.vpc_id,
            port=group.port,
            protocol=args.target_protocol,
            # Searches differ in length by a factor of a hundred: by turns, a pod with long ones would get more.
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=DEREGISTRATION_SECONDS,
            health_check={
                "enabled": True,
                "protocol": "HTTP",
                "port": str(PROBE_PORT),
                "path": args.health_path,
                "matcher": "200",
                "interval": 10,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _watch(
        self, prefix: str, rows: Sequence[Alarm], dimensions: Mapping[str, pulumi.Input[str]], args: IngressArgs
    ) -> None:
        watch(self, prefix, rows, namespace="AWS/ApplicationELB", dimensions=dimensions, topics=args.alarms.topics)


def _forward(role: str, planned: Sequence[Group], groups: Mapping[str, aws.lb.TargetGroup]) -> Any:
    """The action that sends a role's requests on: by weight while it has a candidate."""
    ours = [group for group in planned if group.role == role]
    if len(ours) == 1:
        return {"type": "forward", "target_group_arn": groups[role].arn}
    weighted = [{"arn": groups[group.key].arn, "weight": group.weight} for group in ours]
    return {"type": "forward", "forward": {"target_groups": weighted}}


BALANCER_ALARMS = (
    # Counted, not as a share: RequestCount leaves out requests that found no pod, the very ones that this is about.
    Alarm(
        name="errors",
        metric="HTTPCode_ELB_5XX_Count",
        threshold=50,
        statistic="Sum",
        missing="notBreaching",
        severity="page",
        minutes=5,
        of=3,
        because="The load balancer itself refuses requests: no healthy pod, or connections to pods fail",
    ),
    Alarm(
        name="rejected",
        metric="RejectedConnectionCount",
        threshold=0,
        statistic="Sum",
        missing="notBreaching",
        because="The load balancer is at its limit of connections",
    ),
)

TARGET_ALARMS = (
    # The requirement's HighErrorRate and HighLatency (section 4). The burn-rate alerts of the 99.95% are the
    # application's own.
    Alarm(
        name="target-errors",
        metric="HTTPCode_Target_5XX_Count",
        share_of="RequestCount",
        threshold=5,
        statistic="Sum",
        missing="notBreaching",
        severity="page",
        because="More than 5% of requests fail in the application",
    ),
    Alarm(
        name="latency",
        metric="TargetResponseTime",
        threshold=1,
        statistic="p95",
        minutes=10,
        missing="notBreaching",
        because="The slowest 5% of requests take longer than 1 s; 500 ms is promised",
    ),
    Alarm(
        name="unhealthy",
        metric="UnHealthyHostCount",
        threshold=0,
        statistic="Maximum",
        minutes=10,
        missing="notBreaching",
        because="A pod stays unhealthy: its readiness names the dependency",
    ),
    Alarm(
        name="no-pods",
        metric="HealthyHostCount",
        threshold=1,
        above=False,
        statistic="Maximum",
        minutes=2,
        missing="breaching",
        severity="page",
        because="No pod takes requests: the region is down",
    ),
)

#: What it means where it is not search.
BECAUSE: Mapping[str, str] = {"no-pods": "No pod takes its requests: they are all refused"}
