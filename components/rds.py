"""PostgreSQL: a Multi-AZ instance with read replicas, followed by another region.

A Multi-AZ *instance*, not a Multi-AZ cluster: only the instance has cross-region replicas and replicated backups. The
standby region's head is a cross-region replica with its own standby and its own backups; ``promoted`` makes it lead,
which replaces nothing. There is no way back: no instance becomes a replica again, so the former primary's is made anew.

The master user's password is ours to keep and to change: RDS could do both, and then makes no read replica of the
instance (user guide, "Password management with Amazon RDS and AWS Secrets Manager", limitations; all engines but SQL
Server). It is made at random, is a secret in the state, and lies in Secrets Manager for whoever logs in with it.

Known difference from the requirement: it gives a replica 500 GB, and RDS gives a PostgreSQL replica the size of its
source.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.alarms import Alarms, watch
from components.errors import ArgsError
from components.kms import Kms, Role, check_account_id, check_follows
from components.network import Network, check_retention
from components.rds_plan import (
    BACKUP_RETENTION_DAYS,
    DATABASE,
    INSIGHTS_DAYS,
    LOGS,
    MASTER_USER,
    PORT,
    WINDOWS,
    InstancePlan,
    Parameter,
    Volume,
    Windows,
    capacity,
    parse_version,
    plan_alarms,
    plan_instances,
    plan_parameters,
)
from components.secrets import kept_value, random_value

#: What RDS reports that no metric shows.
EVENTS = ("failover", "failure", "low storage", "read replica", "recovery")

#: Seeding a replica of a terabyte in another region takes hours, where the provider gives up after 40 minutes.
TIMEOUTS = pulumi.CustomTimeouts(create="6h", update="3h", delete="2h")


@dataclass(frozen=True, kw_only=True)
class RdsArgs:
    """What the database of a region needs.

    Attributes:
        account_id: The account, 12 digits.
        role: ``primary`` leads, ``standby`` follows the primary region.
        network: Gives the data subnets and the group ``database``.
        keys: Classes ``data`` (storage, performance data), ``secrets`` (master password) and ``logs`` are used.
        alarms: Hears the alarms and what RDS reports.
        instance_class: Class of the head, such as ``db.m7g.4xlarge`` (16 vCPU, 64 GiB).
        replica_class: Class of the read replicas.
        replicas: How many read replicas in this region, 0 to 15.
        engine_version: PostgreSQL version of the head, ``major.minor``.
        volume: Storage of every instance.
        replica_version: Version of the read replicas; ``None`` for that of the head. A minor upgrade goes replicas
            first, so there are two fields, and RDS's own minor upgrades are off: they begin with the source.
        source_arn: ARN of the primary region's head; required for a standby, refused for a primary.
        promoted: Whether a standby's head follows no more and takes writes. The role stays: keys, backups of the former
            primary and all names are as before.
        max_connections: Per instance, the same for all: of the head and of each replica every pod has a pool, which
            `components.search_service_plan.plan_pool` makes as large as fits.
        insights: Mode of Database Insights; ``advanced`` keeps 15 months of performance data and is paid per vCPU.
        monitoring_seconds: How often the operating system is measured.
        windows: When RDS backs up and maintains, UTC; ``None`` for the role's own.
        password_generation: Raise it for a new password of the master user, which RDS and the secret get in the same
            update. It means nothing in a standby, whose users are its source's.
        log_retention_days: The requirement keeps logs for a year (section 4).
        locked: Pulumi's ``protect``, AWS's deletion protection and a final snapshot. Unlocked, all three are off,
            automated backups go with their instance, and changes apply at once instead of in the maintenance window.

    Raises:
        ArgsError: A plain value cannot work.
    """

    account_id: str
    role: Role
    network: Network
    keys: Kms
    alarms: Alarms
    instance_class: str
    replica_class: str
    replicas: int
    engine_version: str
    volume: Volume
    replica_version: str | None = None
    source_arn: pulumi.Input[str] | None = None
    promoted: bool = False
    max_connections: int = 3000
    insights: Literal["standard", "advanced"] = "standard"
    monitoring_seconds: int = 15
    windows: Windows | None = None
    password_generation: int = 1
    log_retention_days: int = 365
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        check_follows(
            self.role,
            "source_arn",
            self.source_arn,
            leads="it follows nobody",
            follows="its database is a replica of the primary region's",
        )
        if self.promoted and self.role == "primary":
            raise ArgsError("a primary region is promoted", why="its database follows nobody", remedy="Leave it out")
        if self.monitoring_seconds not in MONITORING_SECONDS:
            raise ArgsError(
                f"monitoring_seconds is {self.monitoring_seconds}",
                why=f"Enhanced Monitoring measures every {', '.join(map(str, MONITORING_SECONDS))} s",
            )
        check_retention("log_retention_days", self.log_retention_days)
        if self.password_generation < 1:
            raise ArgsError(f"password_generation is {self.password_generation}", why="generations are counted from 1")
        self.plan()
        self.parameters()

    def plan(self) -> tuple[InstancePlan, ...]:
        """The instances, head first.

        Raises:
            ArgsError: RDS would refuse one.
        """
        return plan_instances(
            role="primary" if self.promoted else self.role,
            instance_class=self.instance_class,
            version=self.engine_version,
            replicas=self.replicas,
            replica_class=self.replica_class,
            replica_version=self.replica_version or self.engine_version,
            zones=self.network.zones,
            windows=self.windows or WINDOWS[self.role],
        )

    def parameters(self) -> tuple[Parameter, ...]:
        """The parameter group, which fits the smallest instance.

        Raises:
            ArgsError: The smallest instance has no room for ``max_connections``.
        """
        smallest = min(capacity(plan.instance_class).memory_gib for plan in self.plan())
        return plan_parameters(self.max_connections, smallest)


#: Granularity of Enhanced Monitoring, seconds, without 0, which is off (API, MonitoringInterval).
MONITORING_SECONDS = (1, 5, 10, 15, 30, 60)


class Rds(pulumi.ComponentResource):
    """The database of one region.

    Attributes:
        address: Host of the head: writes in the primary region, fresh reads in a standby.
        reader_addresses: Hosts of the read replicas; none where the head answers everything.
        max_connections: What each of them takes.
        port: 5432, TLS only.
        database: Name of the database.
        arn: ARN of the head: what a standby region takes as ``source_arn``.
        identifier: Identifier of the head, as operators type it.
        resource_id: ``db-...`` of the head, by which IAM policies allow a login.
        master_secret_arn: Secret of the master user, JSON with ``username`` and ``password``, available once RDS has
            taken the password; ``None`` in a standby, whose replica has the users of its source, until it is promoted.
    """

    address: pulumi.Output[str]
    reader_addresses: Sequence[pulumi.Output[str]]
    max_connections: int
    port: int = PORT
    database: str = DATABASE
    arn: pulumi.Output[str]
    identifier: pulumi.Output[str]
    resource_id: pulumi.Output[str]
    master_secret_arn: pulumi.Output[str] | None

    def __init__(self, name: str, args: RdsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:rds:Rds", name, None, opts)
        self._prefix, self._args = name, args

        # Log groups are named after the instance and must exist before it, or RDS makes them itself, unencrypted and
        # for ever. So the identifier is chosen here, and its random part keeps a second installation, or a final
        # snapshot of a former one, from being in the way.
        self._suffix = random.RandomId(f"{name}-suffix", byte_length=4, opts=self._child()).hex
        self._subnets = aws.rds.SubnetGroup(
            name,
            description="Data subnets of every zone",
            subnet_ids=args.network.subnets("data"),
            opts=self._child(),
        )
        self._parameters = self._parameter_group()
        self._monitor, self._monitor_rights = self._monitoring_role()

        head_plan, *replica_plans = args.plan()
        password = None
        if args.role == "primary" or args.promoted:
            # Of letters and digits: RDS does not take every sign (API, MasterUserPassword).
            password = random_value(self, f"{name}-master", args.password_generation)
        head = self._head(head_plan, password)
        replicas = [self._replica(plan, head) for plan in replica_plans]
        if args.source_arn is not None:
            # Point-in-time recovery that survives the primary region; the head's own backups begin with the head.
            aws.rds.InstanceAutomatedBackupsReplication(
                f"{name}-backups",
                source_db_instance_arn=args.source_arn,
                kms_key_id=args.keys["data"].arn,
                retention_period=BACKUP_RETENTION_DAYS,
                opts=self._child(protect=args.locked),
            )
        aws.rds.EventSubscription(
            f"{name}-events",
            sns_topic=args.alarms["ticket"],
            source_type="db-instance",
            source_ids=[instance.identifier for instance in (head, *replicas)],
            event_categories=list(EVENTS),
            opts=self._child(),
        )

        self.address, self.arn = head.address, head.arn
        self.identifier, self.resource_id = head.identifier, head.resource_id
        self.reader_addresses = [replica.address for replica in replicas]
        self.max_connections = args.max_connections
        self.master_secret_arn = None if password is None else self._master_secret(password, head)
        self.register_outputs(
            {
                "address": self.address,
                "reader_addresses": self.reader_addresses,
                "arn": self.arn,
                "identifier": self.identifier,
            }
        )

    def _child(self, *, protect: bool | None = None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, protect=protect)

    def _parameter_group(self) -> aws.rds.ParameterGroup:
        major, _ = parse_version(self._args.engine_version)
        return aws.rds.ParameterGroup(
            self._prefix,
            family=f"postgres{major}",
            # A change of the description would replace the group, so it says nothing that can change.
            description="PostgreSQL of docsearch",
            parameters=[
                {
                    "name": parameter.name,
                    "value": parameter.value,
                    "apply_method": "pending-reboot" if parameter.static else "immediate",
                }
                for parameter in self._args.parameters()
            ],
            opts=self._child(),
        )

    def _monitoring_role(self) -> tuple[aws.iam.Role, aws.iam.RolePolicyAttachment]:
        region, account = self._args.network.region, self._args.account_id
        role = aws.iam.Role(
            f"{self._prefix}-monitoring",
            description="RDS Enhanced Monitoring to CloudWatch Logs",
            assume_role_policy=json.dumps(plan_monitoring_trust(account_id=account, region=region), sort_keys=True),
            opts=self._child(),
        )
        rights = aws.iam.RolePolicyAttachment(
            f"{self._prefix}-monitoring",
            role=role.name,
            policy_arn="arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
            opts=self._child(),
        )
        return role, rights

    def _master_secret(self, password: pulumi.Output[str], head: aws.rds.Instance) -> pulumi.Output[str]:
        """Where the password is, in the form in which RDS itself would write it."""
        return kept_value(
            self,
            f"{self._prefix}-master",
            password.apply(lambda value: json.dumps({"username": MASTER_USER, "password": value})),
            purpose="Master user of the database",
            key=self._args.keys["secrets"],
            locked=self._args.locked,
            # After RDS has taken it: until then the one that is there opens.
            after=[head],
        )

    def _head(self, plan: InstancePlan, password: pulumi.Output[str] | None) -> aws.rds.Instance:
        """The instance that leads the region: the only one whose inputs differ by role."""
        args = self._args
        origin: dict[str, Any] = {
            "engine": "postgres",
            # Past its standard support a version would be billed per vCPU; AWS then upgrades it instead.
            "engine_lifecycle_support": "open-source-rds-extended-support-disabled",
            "allocated_storage": args.volume.size_gib,
            "db_name": DATABASE,
            "username": MASTER_USER,
            "password": password,
        }
        if args.locked:
            origin["final_snapshot_identifier"] = pulumi.Output.concat(self._identifier(plan), "-final")
        # A replica takes all of these from its source and may set none, and RDS refuses a final snapshot of one.
        if args.source_arn is not None and not args.promoted:
            origin = {"replicate_source_db": args.source_arn}
        return self._instance(
            plan,
            **origin,
            db_subnet_group_name=self._subnets.name,
            delete_automated_backups=not args.locked,
            skip_final_snapshot="final_snapshot_identifier" not in origin,
        )

    def _replica(self, plan: InstancePlan, head: aws.rds.Instance) -> aws.rds.Instance:
        # Its subnet group is that of its source: naming one would ask for the source's ARN instead of its identifier.
        return self._instance(
            plan,
            replicate_source_db=head.identifier,
            availability_zone=plan.zone,
            skip_final_snapshot=True,
        )

    def _instance(self, plan: InstancePlan, **own: Any) -> aws.rds.Instance:
        args = self._args
        name = self._logical(plan)
        identifier = self._identifier(plan)
        iops, throughput = args.volume.provisioned
        instance = aws.rds.Instance(
            name,
            identifier=identifier,
            instance_class=plan.instance_class,
            engine_version=plan.version,
            auto_minor_version_upgrade=False,
            apply_immediately=not args.locked,
            multi_az=plan.multi_az,
            port=PORT,
            publicly_accessible=False,
            vpc_security_group_ids=[args.network.security_group_ids["database"]],
            parameter_group_name=self._parameters.name,
            ca_cert_identifier="rds-ca-rsa2048-g1",
            iam_database_authentication_enabled=True,
            storage_type="gp3",
            max_allocated_storage=args.volume.max_gib,
            iops=iops,
            storage_throughput=throughput,
            # Said of replicas too: left out, the next update would read "true", miss it here, and replace the instance.
            storage_encrypted=True,
            # Beside its source a replica has that one's key. RDS refused to be told one for years ("Your request does
            # not require the KMS key parameter"); now it may be another (API, KmsKeyId). Unsaid is right in both.
            kms_key_id=None if plan.follows == "head" else args.keys["data"].arn,
            backup_retention_period=plan.backup_retention_days,
            backup_window=plan.windows.backup,
            maintenance_window=plan.windows.maintenance,
            copy_tags_to_snapshot=True,
            deletion_protection=args.locked,
            performance_insights_enabled=True,
            performance_insights_kms_key_id=args.keys["data"].arn,
            performance_insights_retention_period=INSIGHTS_DAYS[args.insights],
            database_insights_mode=args.insights,
            monitoring_interval=args.monitoring_seconds,
            monitoring_role_arn=self._monitor.arn,
            enabled_cloudwatch_logs_exports=list(LOGS),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.locked,
                # RDS tries the role at once.
                depends_on=[self._monitor_rights, *self._log_groups(plan, identifier)],
                # Where a replica is put is decided once: a zone added later must not move it.
                ignore_changes=["availabilityZone"] if plan.zone else None,
                custom_timeouts=TIMEOUTS,
            ),
            **own,
        )
        watch(
            self,
            name,
            plan_alarms(plan, volume=args.volume, max_connections=args.max_connections),
            namespace="AWS/RDS",
            dimensions={"DBInstanceIdentifier": instance.identifier},
            topics=args.alarms.topics,
        )
        return instance

    def _log_groups(self, plan: InstancePlan, identifier: pulumi.Output[str]) -> list[pulumi.Resource]:
        return [
            aws.cloudwatch.LogGroup(
                f"{self._logical(plan)}-{log}",
                name=pulumi.Output.concat("/aws/rds/instance/", identifier, "/", log),
                kms_key_id=self._args.keys["logs"].arn,
                retention_in_days=self._args.log_retention_days,
                deletion_protection_enabled=self._args.locked,
                opts=self._child(protect=self._args.locked),
            )
            for log in LOGS
        ]

    def _logical(self, plan: InstancePlan) -> str:
        return f"{self._prefix}-{plan.name}" if plan.name else self._prefix

    def _identifier(self, plan: InstancePlan) -> pulumi.Output[str]:
        return pulumi.Output.concat(self._logical(plan), "-", self._suffix)


def plan_monitoring_trust(*, account_id: str, region: str) -> dict[str, Any]:
    """Who may use the monitoring role: RDS, for instances of this account and region only.

    Source: RDS user guide, "Preventing the confused deputy problem" under "Setting up Enhanced Monitoring".
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "monitoring.rds.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "ArnLike": {"aws:SourceArn": f"arn:aws:rds:{region}:{account_id}:db:*"},
                    "StringEquals": {"aws:SourceAccount": account_id},
                },
            }
        ],
    }
