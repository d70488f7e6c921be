"""OpenSearch: the index that searches are answered from, followed by another region.

PostgreSQL is the truth, and the index can be built again from it; what is lost with it is time. A standby's domain
follows the primary region's by cross-cluster replication, which a program outside of this one starts: this one makes
the connection. Warm and cold indexes are not replicated by it; they come over as snapshots.

Differences from the requirement: nodes come in threes (21 data nodes for 20, 6 coordinating ones for 5), because a
domain with standby has as many in each zone; gp3 volumes for NVMe disks, because an instance with disks of its own
loses them with the instance.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.alarms import Alarms, watch
from components.errors import ArgsError
from components.kms import Kms, Role, check_account_id, check_follows
from components.network import Network, check_retention
from components.opensearch_alarms import NAMESPACE, plan_alarms
from components.opensearch_plan import (
    LOGS,
    OFF_PEAK,
    TLS_POLICY,
    ZONES,
    DomainPlan,
    Nodes,
    Volume,
    check_name,
    plan_domain,
    plan_off_peak,
)
from components.opensearch_policies import (
    domain_pattern,
    log_group_name,
    plan_access,
    plan_log_policy,
    plan_master_rights,
    plan_master_trust,
    plan_snapshot_rights,
    plan_snapshot_trust,
)
from components.storage import Storage

#: By which a follower's programs name the region that it follows (API, ConnectionAlias: 2 to 100 characters).
CONNECTION_ALIAS = "primary"

#: The role without which OpenSearch puts no domain into a VPC; an account has one (guide, "Service-linked roles").
SERVICE = "opensearchservice.amazonaws.com"

#: Forty nodes take half an hour to come. A change moves all data to new nodes, and takes as long as that takes.
TIMEOUTS = pulumi.CustomTimeouts(create="3h", update="12h", delete="3h")


@dataclass(frozen=True, kw_only=True)
class Leader:
    """The primary region's domain, as a standby follows it.

    Attributes:
        region: The primary's region.
        domain_name: Name of its domain.
        provider: A provider for the primary's region, where the connection is accepted.
    """

    region: str
    domain_name: pulumi.Input[str]
    provider: aws.Provider


@dataclass(frozen=True, kw_only=True)
class CustomEndpoint:
    """A name of our own for the domain.

    Attributes:
        host: The name; a record that points to the domain's endpoint is the caller's affair.
        certificate_arn: A certificate for it, in the domain's region.
    """

    host: str
    certificate_arn: pulumi.Input[str]


@dataclass(frozen=True, kw_only=True)
class OpenSearchArgs:
    """What the domain of a region needs.

    Attributes:
        account_id: The account, 12 digits.
        role: ``primary`` leads, ``standby`` follows the primary region.
        network: Gives three data subnets and the group ``search``.
        keys: Classes ``data`` (indexes, snapshots) and ``logs`` are used.
        alarms: Hears the alarms.
        storage: Keeps snapshots; its bucket is copied to the other region.
        engine_version: ``OpenSearch_<major>.<minor>``. A follower is upgraded before its leader.
        hot: Data nodes, a multiple of three.
        master_type: Instance type of the three masters.
        volume: Storage of each data node.
        warm: UltraWarm nodes, a multiple of three; ``None`` for none.
        coordinators: Coordinating nodes, a multiple of three; ``None`` for none.
        cold: Whether there is cold storage; it needs warm nodes.
        leader: The domain to follow; required for a standby, refused for a primary.
        endpoint: A name of our own for the domain; ``None`` for AWS's.
        off_peak_start: When AWS may begin to update and tune, ``hh:mm`` UTC, for 10 h; ``None`` for the role's own.
        log_retention_days: The requirement keeps logs for a year (section 4).
        service_linked_role: Whether this region makes the account's role for OpenSearch. One region of an account does,
            and goes on doing it when regions change roles; none where the account has had a domain before.
        locked: Pulumi's ``protect``: OpenSearch has no deletion protection of its own.

    Raises:
        ArgsError: A plain value cannot work.
    """

    account_id: str
    role: Role
    network: Network
    keys: Kms
    alarms: Alarms
    storage: Storage
    engine_version: str
    hot: Nodes
    master_type: str
    volume: Volume
    warm: Nodes | None = None
    coordinators: Nodes | None = None
    cold: bool = False
    leader: Leader | None = None
    endpoint: CustomEndpoint | None = None
    off_peak_start: str | None = None
    log_retention_days: int = 365
    service_linked_role: bool = False
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        check_follows(
            self.role,
            "leader",
            self.leader,
            leads="it follows nobody",
            follows="its domain follows the primary region's",
        )
        if self.leader is not None and self.leader.region == self.network.region:
            raise ArgsError(
                f"leader is in {self.leader.region}",
                why="a copy in the same region is lost with the original",
                remedy="Point the standby at the primary's region",
            )
        check_retention("log_retention_days", self.log_retention_days)
        self.plan()
        self.off_peak()

    def plan(self) -> DomainPlan:
        """The domain.

        Raises:
            ArgsError: AWS would refuse it.
        """
        return plan_domain(
            engine_version=self.engine_version,
            zones=self.network.zones,
            hot=self.hot,
            master_type=self.master_type,
            volume=self.volume,
            warm=self.warm,
            coordinators=self.coordinators,
            cold=self.cold,
        )

    def off_peak(self) -> dict[str, Any]:
        """The off-peak window.

        Raises:
            ArgsError: Its start is malformed.
        """
        return plan_off_peak(self.off_peak_start or OFF_PEAK[self.role])


class OpenSearch(pulumi.ComponentResource):
    """The search index of one region.

    Attributes:
        endpoint: Host of the domain, HTTPS on port 443, requests signed with IAM credentials.
        arn: ARN of the domain.
        domain_name: Its name: what a standby region takes as `Leader.domain_name`.
        master_role_arn: Who assumes this role administers the domain: maps roles, makes policies, registers snapshots.
        snapshot_role_arn: What a snapshot repository names as its role.
        snapshot_path: Where this region's domain writes in the snapshots bucket. It may read everywhere there, so it
            can restore what another region's domain saved.
        connection_alias: What replication names as its leader; ``None`` in a primary region.
    """

    endpoint: pulumi.Output[str]
    arn: pulumi.Output[str]
    domain_name: pulumi.Output[str]
    master_role_arn: pulumi.Output[str]
    snapshot_role_arn: pulumi.Output[str]
    snapshot_path: str
    connection_alias: pulumi.Output[str] | None

    def __init__(self, name: str, args: OpenSearchArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:opensearch:OpenSearch", name, None, opts)
        check_name(name)
        self._prefix, self._args = name, args
        self._pattern = domain_pattern(name, region=args.network.region, account_id=args.account_id)
        self.snapshot_path = args.network.region

        # Log groups are named after the domain and must exist before it. A random part, because a name is the state's
        # identity at AWS: it keeps a second installation, or the successor of a lost domain, from being in the way.
        suffix = random.RandomId(f"{name}-suffix", byte_length=4, opts=self._child()).hex
        self.domain_name = pulumi.Output.concat(name, "-", suffix)
        snapshots = self._snapshot_role()
        master = self._master_role(snapshots)
        domain = self._domain(master)
        # The name as the finished domain has it: who uses it waits for the domain.
        self.domain_name = domain.domain_name
        self.endpoint, self.arn = domain.endpoint, domain.arn
        self.master_role_arn, self.snapshot_role_arn = master.arn, snapshots.arn
        self.connection_alias = None if args.leader is None else self._follow(args.leader)
        watch(
            self,
            name,
            plan_alarms(args.plan(), follows=args.leader is not None),
            namespace=NAMESPACE,
            dimensions={"DomainName": self.domain_name, "ClientId": args.account_id},
            topics=args.alarms.topics,
        )
        self.register_outputs(
            {
                "endpoint": self.endpoint,
                "arn": self.arn,
                "domain_name": self.domain_name,
                "master_role_arn": self.master_role_arn,
                "snapshot_role_arn": self.snapshot_role_arn,
                "snapshot_path": self.snapshot_path,
                "connection_alias": self.connection_alias,
            }
        )

    def _child(self, *, protect: bool | None = None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, protect=protect)

    def _domain(self, master: aws.iam.Role) -> aws.opensearch.Domain:
        args = self._args
        plan = args.plan()
        iops, throughput = plan.volume.provisioned
        groups = self._log_groups()
        needed: list[pulumi.Resource] = [self._log_rights()]
        if args.service_linked_role:
            needed.append(self._service_role())
        endpoint: dict[str, Any] = {"enforce_https": True, "tls_security_policy": TLS_POLICY}
        if args.endpoint is not None:
            endpoint |= {
                "custom_endpoint_enabled": True,
                "custom_endpoint": args.endpoint.host,
                "custom_endpoint_certificate_arn": args.endpoint.certificate_arn,
            }
        config: Any = plan.cluster_config()
        window: Any = args.off_peak()
        tls: Any = endpoint
        return aws.opensearch.Domain(
            self._prefix,
            domain_name=self.domain_name,
            engine_version=plan.engine_version,
            cluster_config=config,
            ebs_options={
                "ebs_enabled": True,
                "volume_type": "gp3",
                "volume_size": plan.volume.size_gib,
                "iops": iops,
                "throughput": throughput,
            },
            encrypt_at_rest={"enabled": True, "kms_key_id": args.keys["data"].arn},
            node_to_node_encryption={"enabled": True},
            domain_endpoint_options=tls,
            vpc_options={
                "subnet_ids": args.network.subnets("data")[:ZONES],
                "security_group_ids": [args.network.security_group_ids["search"]],
            },
            access_policies=json.dumps(plan_access(self._pattern, account_id=args.account_id), sort_keys=True),
            # Nobody logs in with a password: users are roles, the first of them is the master.
            advanced_security_options={
                "enabled": True,
                "internal_user_database_enabled": False,
                "master_user_options": {"master_user_arn": master.arn},
            },
            log_publishing_options=[
                {"log_type": LOGS[log], "cloudwatch_log_group_arn": group.arn, "enabled": True}
                for log, group in groups.items()
            ],
            auto_tune_options={
                "desired_state": "ENABLED",
                "rollback_on_disable": "NO_ROLLBACK",
                "use_off_peak_window": True,
            },
            off_peak_window_options=window,
            software_update_options={"auto_software_update_enabled": True},
            opts=pulumi.ResourceOptions(parent=self, protect=args.locked, depends_on=needed, custom_timeouts=TIMEOUTS),
        )

    def _log_groups(self) -> Mapping[str, aws.cloudwatch.LogGroup]:
        return {
            log: aws.cloudwatch.LogGroup(
                f"{self._prefix}-{log}",
                name=self.domain_name.apply(lambda domain, log=log: log_group_name(domain, log)),  # type: ignore[misc]
                kms_key_id=self._args.keys["logs"].arn,
                retention_in_days=self._args.log_retention_days,
                deletion_protection_enabled=self._args.locked,
                opts=self._child(protect=self._args.locked),
            )
            for log in LOGS
        }

    def _log_rights(self) -> aws.cloudwatch.LogResourcePolicy:
        """OpenSearch writes logs with its own name, and tries at once whether it may."""
        args = self._args
        policy = plan_log_policy(self._prefix, region=args.network.region, account_id=args.account_id)
        return aws.cloudwatch.LogResourcePolicy(
            f"{self._prefix}-logs",
            policy_name=pulumi.Output.concat(self.domain_name, "-logs"),
            policy_document=json.dumps(policy, sort_keys=True),
            opts=self._child(),
        )

    def _service_role(self) -> aws.iam.ServiceLinkedRole:
        # Not kept when the stack goes: AWS itself refuses to delete it while any region has a domain.
        return aws.iam.ServiceLinkedRole(
            f"{self._prefix}-service",
            aws_service_name=SERVICE,
            description="Lets OpenSearch Service put domains into our networks",
            opts=self._child(protect=self._args.locked),
        )

    def _master_role(self, snapshots: aws.iam.Role) -> aws.iam.Role:
        role = aws.iam.Role(
            f"{self._prefix}-master",
            description="Administers the OpenSearch domain",
            assume_role_policy=json.dumps(plan_master_trust(account_id=self._args.account_id), sort_keys=True),
            # Losing the role loses the domain to everybody: its master cannot be named by a later one.
            opts=self._child(protect=self._args.locked),
        )

        def policy(snapshot_role: str) -> str:
            rights = plan_master_rights(
                self._prefix,
                region=self._args.network.region,
                account_id=self._args.account_id,
                snapshot_role=snapshot_role,
            )
            return json.dumps(rights, sort_keys=True)

        aws.iam.RolePolicy(
            f"{self._prefix}-master", role=role.id, policy=snapshots.arn.apply(policy), opts=self._child()
        )
        return role

    def _snapshot_role(self) -> aws.iam.Role:
        args = self._args
        role = aws.iam.Role(
            f"{self._prefix}-snapshots",
            description="OpenSearch snapshots to and from the snapshots bucket",
            assume_role_policy=json.dumps(
                plan_snapshot_trust(self._pattern, account_id=args.account_id), sort_keys=True
            ),
            opts=self._child(),
        )

        def policy(known: Mapping[str, str]) -> str:
            rights = plan_snapshot_rights(
                known["bucket"], path=self.snapshot_path, key=known["key"], region=args.network.region
            )
            return json.dumps(rights, sort_keys=True)

        aws.iam.RolePolicy(
            f"{self._prefix}-snapshots",
            role=role.id,
            policy=pulumi.Output.all(bucket=args.storage.snapshots.name, key=args.keys["data"].arn).apply(policy),
            opts=self._child(),
        )
        return role

    def _follow(self, leader: Leader) -> pulumi.Output[str]:
        """The connection, asked for here and accepted there; available once it is accepted."""
        args = self._args
        connection = aws.opensearch.OutboundConnection(
            f"{self._prefix}-leader",
            connection_alias=CONNECTION_ALIAS,
            connection_mode="DIRECT",
            local_domain_info={
                "owner_id": args.account_id,
                "region": args.network.region,
                "domain_name": self.domain_name,
            },
            remote_domain_info={
                "owner_id": args.account_id,
                "region": leader.region,
                "domain_name": leader.domain_name,
            },
            opts=self._child(),
        )
        accepted = aws.opensearch.InboundConnectionAccepter(
            f"{self._prefix}-leader",
            connection_id=connection.id,
            opts=pulumi.ResourceOptions(parent=self, provider=leader.provider),
        )
        return pulumi.Output.all(connection.connection_alias, accepted.id).apply(lambda known: str(known[0]))
