"""The public way in: one load balancer over every zone, straight to pods.

Pods are registered in the target group by the cluster's load balancer controller, so nothing here names one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, kw_only=True)
class IngressArgs:
    """What the way into a region needs.

    Attributes:
        network: Gives the public subnets and the group ``load_balancer``.
        domain: Gives the certificate.
        storage: Keeps the access logs.
        alarms: Hears the alarms.
        port: Where pods listen, 8080 to 8089.
        target_protocol: How pods are spoken to. A change replaces the target group.
        health_path: What makes a pod a target: 200 is healthy.
        locked: AWS's deletion protection and Pulumi's ``protect``: users know the load balancer by its address.

    Raises:
        ArgsError: A plain value cannot work.
    """

    network: Network
    domain: Domain
    storage: Storage
    alarms: Alarms
    port: int = PORTS.start
    target_protocol: Literal["HTTP", "HTTPS"] = "HTTP"
    health_path: str = "/health/ready"
    locked: bool = True

    def __post_init__(self) -> None:
        if self.port not in PORTS:
            raise ArgsError(
                f"port is {self.port}",
                why=f"the security groups let the load balancer reach {PORTS.start} to {PORTS.stop - 1}",
            )
        if not re.fullmatch(r"/\S{0,1023}", self.health_path):
            raise ArgsError(
                f"health_path is {self.health_path!r}", why="it starts with / and has 1 to 1,024 characters"
            )


class Ingress(pulumi.ComponentResource):
    """The public load balancer of one region.

    Attributes:
        arn: The load balancer: what a web ACL is attached to.
        arn_suffix: By which metrics know it.
        dns_name: Its own name: what alias records point to.
        zone_id: AWS's zone of that name.
        target_group_arn: Where pods register, available once users reach it.
        port: Where pods listen.
    """

    arn: pulumi.Output[str]
    arn_suffix: pulumi.Output[str]
    dns_name: pulumi.Output[str]
    zone_id: pulumi.Output[str]
    target_group_arn: pulumi.Output[str]
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
        group = aws.lb.TargetGroup(
            name,
            target_type="ip",
            vpc_id=args.network.vpc_id,
            port=args.port,
            protocol=args.target_protocol,
            # Searches differ in length by a factor of a hundred: by turns, a pod with long ones would get more.
            load_balancing_algorithm_type="least_outstanding_requests",
            deregistration_delay=DEREGISTRATION_SECONDS,
            health_check={
                "enabled": True,
                "protocol": args.target_protocol,
                "path": args.health_path,
                "matcher": "200",
                "interval": 10,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
            },
            opts=child,
        )
        listener = aws.lb.Listener(
            f"{name}-https",
            load_balancer_arn=balancer.arn,
            port=443,
            protocol="HTTPS",
            ssl_policy=TLS_POLICY,
            certificate_arn=args.domain.certificate_arn,
            default_actions=[{"type": "forward", "target_group_arn": group.arn}],
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
        self.arn, self.arn_suffix = balancer.arn, balancer.arn_suffix
        self.dns_name, self.zone_id = balancer.dns_name, balancer.zone_id
        self.port = args.port
        # Through the listener: a controller that registers pods earlier finds a group without a load balancer.
        self.target_group_arn = pulumi.Output.all(group.arn, listener.arn).apply(lambda arns: str(arns[0]))
        self._watch(name, balancer, group, args)
        self.register_outputs(
            {"dns_name": self.dns_name, "zone_id": self.zone_id, "target_group_arn": self.target_group_arn}
        )

    def _watch(self, name: str, balancer: aws.lb.LoadBalancer, group: aws.lb.TargetGroup, args: IngressArgs) -> None:
        whole: Mapping[str, pulumi.Input[str]] = {"LoadBalancer": balancer.arn_suffix}
        for rows, dimensions in (
            (BALANCER_ALARMS, whole),
            (TARGET_ALARMS, {**whole, "TargetGroup": group.arn_suffix}),
        ):
            watch(
                self,
                name,
                rows,
                namespace="AWS/ApplicationELB",
                dimensions=dimensions,
                topics=args.alarms.topics,
            )


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
