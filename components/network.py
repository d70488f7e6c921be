"""The network of a region: one VPC over several zones, each of which can lose the others.

Everything that routes is per zone (NAT gateway, route tables), so the loss of a zone takes nothing from another. Nodes
reach AWS services by private endpoints, operators reach nodes by Session Manager over the same endpoints: there is no
bastion and no open SSH port.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from typing import Any

import pulumi
import pulumi_aws as aws

from components.errors import ArgsError
from components.kms import CustomerKey, check_account_id
from components.network_plan import ANYWHERE, GROUPS, INTERNET, TIERS, Rule, Subnet, Tier, plan_rules, plan_subnets

#: What nodes must reach while a NAT gateway is down: to pull images, prove who they are, join the cluster, decrypt,
#: report, and let an operator in. About 22 USD a month each in three zones, so what can wait for NAT is not here.
#: `ec2messages` is not needed: SSM agents from 3.3.40 use `ssmmessages`, and newer regions do not offer it.
INTERFACE_SERVICES = (
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "eks",
    "eks-auth",
    "elasticloadbalancing",
    "kms",
    "logs",
    "monitoring",
    "secretsmanager",
    "ssm",
    "ssmmessages",
    "sts",
)

#: CloudWatch Logs accepts these retention times only (days); 0 would be for ever.
RETENTION_DAYS = frozenset(
    {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
)

#: The address ranges that the internet never routes (RFC 1918).
PRIVATE_RANGES = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def check_retention(name: str, days: int) -> None:
    """Refuses a time that CloudWatch Logs does not offer.

    Args:
        name: Of the argument.
        days: How long logs are kept.

    Raises:
        ArgsError: It is not one of ``RETENTION_DAYS``.
    """
    if days not in RETENTION_DAYS:
        raise ArgsError(
            f"{name} is {days}",
            why=f"CloudWatch Logs keeps logs for {', '.join(map(str, sorted(RETENTION_DAYS)))} days",
        )


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What the network of a region needs.

    Attributes:
        account_id: The account, 12 digits.
        region: Where it is built, such as ``us-east-1``.
        cidr: The region's own /16, from a private range.
        zones: Two to four zones of the region. Add one at the end; never reorder them: a zone's place is its addresses.
        flow_log_key: The key that encrypts the flow logs (class ``logs``).
        flow_log_retention_days: The requirement keeps logs for a year (section 4).
        interface_services: The AWS services with a private endpoint in every zone.
        alarms_topic: ARN of the topic that hears the alarms; without it they only show.
        locked: Pulumi's ``protect`` on the VPC, the public addresses and the flow logs, and AWS's deletion
            protection on the flow logs.

    Raises:
        ArgsError: A plain value cannot work.
    """

    account_id: str
    region: str
    cidr: str
    zones: Sequence[str]
    flow_log_key: CustomerKey
    flow_log_retention_days: int = 365
    interface_services: Sequence[str] = INTERFACE_SERVICES
    alarms_topic: pulumi.Input[str] | None = None
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        if not any(self.block.subnet_of(private) for private in PRIVATE_RANGES):
            raise ArgsError(
                f"cidr is {self.cidr}",
                why="these are public addresses: the region could no longer reach their owners",
                remedy="Take a /16 from 10.0.0.0/8 or 172.16.0.0/12",
            )
        for zone in self.zones:
            if not re.fullmatch(rf"{re.escape(self.region)}[a-z]", zone):
                raise ArgsError(
                    f"zones name {zone!r}",
                    why=f"it is no availability zone of {self.region}",
                    remedy=f"Name them {self.region}a, {self.region}b, ...",
                )
        plan_subnets(self.block, self.zones)
        check_retention("flow_log_retention_days", self.flow_log_retention_days)

    @property
    def block(self) -> IPv4Network:
        """``cidr`` as a network.

        Raises:
            ArgsError: It is not one.
        """
        try:
            return IPv4Network(self.cidr)
        except (AddressValueError, NetmaskValueError, ValueError) as error:
            raise ArgsError(f"cidr is {self.cidr!r}", why=str(error), remedy="Write it like 10.0.0.0/16") from error


class Network(pulumi.ComponentResource):
    """One VPC with its subnets, ways out, private endpoints, security groups and flow logs.

    Attributes:
        vpc_id: The VPC.
        cidr: Its block.
        region: Its region.
        zones: Its zones, in order.
        subnet_ids: Subnet id by tier and zone; ``subnets(tier)`` gives them as a list.
        security_group_ids: By name: load_balancer, nodes, control_plane, database, cache, search, broker, endpoints.
        route_table_ids: ``public``, and ``private-<letter>`` and ``data-<letter>`` per zone.
        nat_addresses: The public address that each zone's traffic leaves from, in the order of the zones.
    """

    vpc_id: pulumi.Output[str]
    cidr: str
    region: str
    zones: tuple[str, ...]
    subnet_ids: Mapping[Tier, Mapping[str, pulumi.Output[str]]]
    security_group_ids: Mapping[str, pulumi.Output[str]]
    route_table_ids: Mapping[str, pulumi.Output[str]]
    nat_addresses: list[pulumi.Output[str]]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:network:Network", name, None, opts)
        self._prefix, self._args = name, args
        self.cidr, self.region, self.zones = args.cidr, args.region, tuple(args.zones)

        vpc = aws.ec2.Vpc(
            name,
            cidr_block=args.cidr,
            enable_dns_support=True,
            enable_dns_hostnames=True,
            opts=self._child(protect=args.locked),
        )
        self.vpc_id = vpc.id
        # AWS gives every VPC a group whose members may all talk to each other: what is started without a group of its
        # own gets nothing instead.
        aws.ec2.DefaultSecurityGroup(f"{name}-default", vpc_id=vpc.id, ingress=[], egress=[], opts=self._child())

        subnets = {plan.name: self._subnet(plan) for plan in plan_subnets(args.block, args.zones)}
        self.subnet_ids = {tier: {zone: subnets[f"{tier}-{zone[-1]}"].id for zone in self.zones} for tier in TIERS}
        self.nat_addresses = []
        self.route_table_ids = self._routes(subnets)
        self.security_group_ids = self._security_groups()
        self._endpoints()
        self._flow_log()
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "subnet_ids": self.subnet_ids,
                "security_group_ids": self.security_group_ids,
                "nat_addresses": self.nat_addresses,
            }
        )

    def subnets(self, tier: Tier) -> list[pulumi.Output[str]]:
        """The subnet ids of a tier, in the order of the zones."""
        return [self.subnet_ids[tier][zone] for zone in self.zones]

    def _child(self, *, protect: bool | None = None, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, protect=protect, depends_on=list(after))

    def _subnet(self, plan: Subnet) -> aws.ec2.Subnet:
        return aws.ec2.Subnet(
            f"{self._prefix}-{plan.name}",
            vpc_id=self.vpc_id,
            availability_zone=plan.zone,
            cidr_block=str(plan.block),
            # The load balancer brings its own public addresses; nothing else in a public subnet may get one.
            map_public_ip_on_launch=False,
            opts=self._child(),
        )

    def _routes(self, subnets: Mapping[str, aws.ec2.Subnet]) -> dict[str, pulumi.Output[str]]:
        gateway = aws.ec2.InternetGateway(f"{self._prefix}-internet", vpc_id=self.vpc_id, opts=self._child())
        public = self._route_table("public")
        self._default_route("public", public, gateway_id=gateway.id)
        tables = {"public": public.id}
        for zone in self.zones:
            letter = zone[-1]
            self._associate(f"public-{letter}", subnets, public)
            nat = self._nat(letter, subnets[f"public-{letter}"], gateway)
            private = self._route_table(f"private-{letter}")
            self._default_route(f"private-{letter}", private, nat_gateway_id=nat.id)
            self._associate(f"private-{letter}", subnets, private)
            # A table without a single route: data stores answer inside the VPC and start nothing.
            data = self._route_table(f"data-{letter}")
            self._associate(f"data-{letter}", subnets, data)
            tables |= {f"private-{letter}": private.id, f"data-{letter}": data.id}
        return tables

    def _nat(self, letter: str, subnet: aws.ec2.Subnet, gateway: aws.ec2.InternetGateway) -> aws.ec2.NatGateway:
        # Partners allow-list these addresses, and a released one never comes back.
        address = aws.ec2.Eip(
            f"{self._prefix}-nat-{letter}",
            domain="vpc",
            opts=self._child(protect=self._args.locked, after=[gateway]),
        )
        self.nat_addresses.append(address.public_ip)
        nat = aws.ec2.NatGateway(
            f"{self._prefix}-{letter}",
            subnet_id=subnet.id,
            allocation_id=address.id,
            connectivity_type="public",
            opts=self._child(after=[gateway]),
        )
        # A NAT gateway holds 55,000 connections to one destination; above that new ones fail silently.
        aws.cloudwatch.MetricAlarm(
            f"{self._prefix}-nat-ports-{letter}",
            alarm_description="NAT gateway refuses connections: too many to one destination",
            namespace="AWS/NATGateway",
            metric_name="ErrorPortAllocation",
            dimensions={"NatGatewayId": nat.id},
            statistic="Sum",
            period=60,
            evaluation_periods=5,
            datapoints_to_alarm=3,
            threshold=0,
            comparison_operator="GreaterThanThreshold",
            treat_missing_data="notBreaching",
            alarm_actions=[] if self._args.alarms_topic is None else [self._args.alarms_topic],
            opts=self._child(),
        )
        return nat

    def _route_table(self, name: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(f"{self._prefix}-{name}", vpc_id=self.vpc_id, opts=self._child())

    def _default_route(self, name: str, table: aws.ec2.RouteTable, **target: pulumi.Input[str]) -> None:
        aws.ec2.Route(
            f"{self._prefix}-{name}",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            opts=self._child(),
            **target,
        )

    def _associate(self, name: str, subnets: Mapping[str, aws.ec2.Subnet], table: aws.ec2.RouteTable) -> None:
        aws.ec2.RouteTableAssociation(
            f"{self._prefix}-{name}", subnet_id=subnets[name].id, route_table_id=table.id, opts=self._child()
        )

    def _security_groups(self) -> dict[str, pulumi.Output[str]]:
        groups = {
            group: aws.ec2.SecurityGroup(
                f"{self._prefix}-{group.replace('_', '-')}",
                vpc_id=self.vpc_id,
                description=description,
                opts=self._child(),
            ).id
            for group, description in GROUPS.items()
        }
        for rule in plan_rules():
            self._rule(rule, groups)
        return groups

    def _rule(self, rule: Rule, groups: Mapping[str, pulumi.Output[str]]) -> None:
        kinds = {"ingress": aws.vpc.SecurityGroupIngressRule, "egress": aws.vpc.SecurityGroupEgressRule}
        match: dict[str, Any] = {"ip_protocol": "-1"}
        if rule.ports is not None:
            match = {"ip_protocol": "tcp", "from_port": rule.ports[0], "to_port": rule.ports[1]}
        if rule.peer == INTERNET:
            match["cidr_ipv4"] = ANYWHERE
        else:
            match["referenced_security_group_id"] = groups[rule.peer]
        kinds[rule.direction](
            f"{self._prefix}-{rule.name}",
            security_group_id=groups[rule.group],
            description=rule.why,
            opts=self._child(),
            **match,
        )

    def _endpoints(self) -> None:
        # Free, and it keeps image layers, documents and backups off the NAT gateways.
        aws.ec2.VpcEndpoint(
            f"{self._prefix}-s3",
            vpc_id=self.vpc_id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{self.region}.s3",
            route_table_ids=[self.route_table_ids[f"private-{zone[-1]}"] for zone in self.zones],
            opts=self._child(),
        )
        for service in self._args.interface_services:
            aws.ec2.VpcEndpoint(
                f"{self._prefix}-{service.replace('.', '-')}",
                vpc_id=self.vpc_id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{self.region}.{service}",
                subnet_ids=self.subnets("private"),
                security_group_ids=[self.security_group_ids["endpoints"]],
                private_dns_enabled=True,
                opts=self._child(),
            )

    def _flow_log(self) -> None:
        """Every connection, accepted or refused, for a year."""
        account, region = self._args.account_id, self.region
        group = aws.cloudwatch.LogGroup(
            f"{self._prefix}-flow-logs",
            kms_key_id=self._args.flow_log_key.arn,
            retention_in_days=self._args.flow_log_retention_days,
            deletion_protection_enabled=self._args.locked,
            opts=self._child(protect=self._args.locked),
        )
        role = aws.iam.Role(
            f"{self._prefix}-flow-logs",
            description="VPC flow logs to CloudWatch Logs",
            assume_role_policy=json.dumps(plan_flow_log_trust(account_id=account, region=region), sort_keys=True),
            opts=self._child(),
        )
        policy = aws.iam.RolePolicy(
            f"{self._prefix}-flow-logs",
            role=role.id,
            policy=group.name.apply(
                lambda log_group: json.dumps(
                    plan_flow_log_policy(log_group, account_id=account, region=region), sort_keys=True
                )
            ),
            opts=self._child(),
        )
        aws.ec2.FlowLog(
            f"{self._prefix}-flow-logs",
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=600,
            opts=self._child(after=[policy]),
        )


def plan_flow_log_trust(*, account_id: str, region: str) -> dict[str, Any]:
    """Only flow logs of this account and region may act as the role (AWS VPC user guide, "IAM role for flow logs")."""
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account_id},
                    "ArnLike": {"aws:SourceArn": f"arn:aws:ec2:{region}:{account_id}:vpc-flow-log/*"},
                },
            }
        ],
    }


def plan_flow_log_policy(log_group: str, *, account_id: str, region: str) -> dict[str, Any]:
    """The role may write into its own log group, and look for it."""
    logs = f"arn:aws:logs:{region}:{account_id}:log-group"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                "Resource": [f"{logs}:{log_group}", f"{logs}:{log_group}:*"],
            },
            # Listing has no narrower resource than all groups of the region.
            {"Effect": "Allow", "Action": "logs:DescribeLogGroups", "Resource": f"{logs}:*"},
        ],
    }
