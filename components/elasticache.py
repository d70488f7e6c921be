"""The cache: Valkey in cluster mode, followed by other regions.

The primary region's cluster leads a global datastore; a standby's cluster is a member of it and takes engine, node
type, shards, parameters and encryption from there. Changes of those are made to the global datastore, which makes them
in all regions.

Known differences from the requirement:

- It asks for an append-only file. ElastiCache has none: ``appendonly`` cannot be set (user guide, "Valkey node-type
  specific parameters"), and what comes nearest, the transaction log of Valkey 9 (``durability``), cannot be in a global
  datastore (user guide, "Durability: limitations"). In its place, what a lost node held is on the replica in another
  zone, what a lost region held is in the other region, and daily snapshots keep the rest; nothing lives in the cache
  that the database cannot give again.
- Its cost table has nodes of 13 GB (r5.large) where the text asks for 16; the text counts here.

Promotion: ``aws elasticache failover-global-replication-group`` makes a standby's cluster lead; no stack changes. When
the old region is lost for good, ``disassociate-global-replication-group`` sets the cluster free. A cluster that comes
back as a standby is made anew: members are always born empty.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.alarms import Alarm, Alarms, watch
from components.elasticache_plan import (
    ENGINE,
    GLOBAL_ALARMS,
    GROUP_ENGINE,
    LOGS,
    MAX_SNAPSHOT_DAYS,
    NODE_ALARMS,
    PORT,
    USERS,
    WINDOWS,
    UserPlan,
    Windows,
    check_name,
    check_regions,
    data_bytes,
    family,
    plan_events_policy,
    plan_nodes,
    plan_parameters,
)
from components.errors import ArgsError
from components.kms import Kms, Role, check_account_id, check_follows
from components.network import Network, check_retention

#: Seeding another region and moving shards take longer than the provider's 60 and 40 minutes.
TIMEOUTS = pulumi.CustomTimeouts(create="2h", update="3h", delete="1h")

#: What is changed through the global datastore once there is one; the provider reads it back here. The parameter group
#: changes with the major version and not before it: ElastiCache refuses the group of another family.
LED_GLOBALLY = ["engineVersion", "nodeType", "numNodeGroups", "parameterGroupName"]


@dataclass(frozen=True, kw_only=True)
class ElastiCacheArgs:
    """What the cache of a region needs.

    Attributes:
        account_id: The account, 12 digits.
        role: ``primary`` leads, ``standby`` follows the primary region.
        network: Gives the data subnets and the group ``cache``.
        keys: Classes ``messages`` (data and snapshots at rest) and ``logs`` are used.
        alarms: Hears the alarms.
        node_type: Type of every node, such as ``cache.r7g.xlarge`` (26 GiB, 19.7 of them for data).
        engine_version: Version of Valkey, ``major.minor``.
        shards: Parts that the keys are spread over. Like node type and version, a standby has those of the primary and
            says the same here.
        replicas: Of each shard in this region, 1 to 5.
        global_id: Id of the primary region's global datastore; required for a standby, refused for a primary.
        regions: Every region of the global datastore, primary first, where the caller knows them.
        events: E-mail addresses that hear what ElastiCache reports, such as failovers and lost nodes.
        snapshot_days: Days that a daily snapshot is kept, 1 to 35. Never 0: the provider could not turn snapshots on
            again in cluster mode.
        windows: When ElastiCache takes snapshots and maintains, UTC; ``None`` for the role's own.
        log_retention_days: The requirement keeps logs for a year (section 4).
        locked: Pulumi's ``protect`` and a final snapshot; ElastiCache has no deletion protection of its own. Unlocked,
            changes apply at once instead of in the maintenance window.

    Raises:
        ArgsError: A plain value cannot work.
    """

    account_id: str
    role: Role
    network: Network
    keys: Kms
    alarms: Alarms
    node_type: str
    engine_version: str
    shards: int = 3
    replicas: int = 1
    global_id: pulumi.Input[str] | None = None
    regions: Sequence[str] = ()
    events: Sequence[str] = ()
    snapshot_days: int = MAX_SNAPSHOT_DAYS
    windows: Windows | None = None
    log_retention_days: int = 365
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        check_follows(
            self.role,
            "global_id",
            self.global_id,
            leads="it leads a global datastore of its own",
            follows="its cache is a member of the primary region's global datastore",
        )
        if not 1 <= self.snapshot_days <= MAX_SNAPSHOT_DAYS:
            raise ArgsError(
                f"snapshot_days is {self.snapshot_days}",
                why=f"ElastiCache keeps snapshots 1 to {MAX_SNAPSHOT_DAYS} days",
            )
        check_retention("log_retention_days", self.log_retention_days)
        for address in self.events:
            if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address):
                raise ArgsError(f"events names {address!r}", why="it is no e-mail address")
        data_bytes(self.node_type)
        family(self.engine_version)
        check_regions(self.regions)
        self.nodes()

    def nodes(self) -> tuple[str, ...]:
        """The nodes, by what follows the cluster's identifier in theirs.

        Raises:
            ArgsError: ElastiCache would refuse the cluster.
        """
        return plan_nodes(self.shards, self.replicas, zones=self.network.zones)


class ElastiCache(pulumi.ComponentResource):
    """The cache of one region.

    Attributes:
        address: Configuration endpoint: a client in cluster mode learns all nodes from it. Writes are taken in the
            primary region only.
        port: 6379, TLS only.
        identifier: Identifier of the replication group, as operators type it; an IAM login names it.
        arn: ARN of the replication group.
        global_id: Id of the global datastore: what a standby region takes as ``global_id``.
        user: Name and id of the user that applications log in as, with an IAM token instead of a password.
        user_arn: Its ARN. Who may log in has ``elasticache:Connect`` on this and on ``arn``.
    """

    address: pulumi.Output[str]
    port: int = PORT
    identifier: pulumi.Output[str]
    arn: pulumi.Output[str]
    global_id: pulumi.Output[str]
    user: pulumi.Output[str]
    user_arn: pulumi.Output[str]

    def __init__(self, name: str, args: ElastiCacheArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        check_name(name)
        super().__init__("docsearch:elasticache:ElastiCache", name, None, opts)
        self._prefix, self._args = name, args

        # Users and final snapshots are one namespace in a region and account: the random part keeps a second
        # installation, or what is left of a former one, from being in the way.
        suffix = random.RandomId(f"{name}-suffix", byte_length=4, opts=self._child()).hex
        self.identifier = pulumi.Output.concat(name, "-", suffix)
        users = {user.key: self._user(user, suffix) for user in USERS}
        group = aws.elasticache.UserGroup(
            name,
            user_group_id=self.identifier,
            engine=GROUP_ENGINE,
            user_ids=[user.user_id for user in users.values()],
            opts=self._child(),
        )
        if args.global_id is None:
            parameters = self._parameter_group()
            cluster = self._cluster(group, self._own_settings(parameters))
            self.global_id = self._lead(cluster, parameters)
        else:
            cluster = self._cluster(group, {"global_replication_group_id": args.global_id})
            self.global_id = pulumi.Output.from_input(args.global_id)
            self._watch(name, GLOBAL_ALARMS, {"ReplicationGroupId": self.identifier})
        for node in args.nodes():
            self._watch(
                f"{name}-{node}",
                NODE_ALARMS,
                {"CacheClusterId": pulumi.Output.concat(self.identifier, "-", node), "CacheNodeId": "0001"},
            )

        self.address, self.arn = cluster.configuration_endpoint_address, cluster.arn
        self.user, self.user_arn = users["app"].user_id, users["app"].arn
        self.register_outputs(
            {
                "address": self.address,
                "arn": self.arn,
                "identifier": self.identifier,
                "global_id": self.global_id,
                "user": self.user,
            }
        )

    def _child(self, *, protect: bool | None = None) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, protect=protect)

    def _user(self, plan: UserPlan, suffix: pulumi.Output[str]) -> aws.elasticache.User:
        name = f"{self._prefix}-{plan.key}"
        id = pulumi.Output.concat(name, "-", suffix)
        return aws.elasticache.User(
            name,
            user_id=id,
            user_name=plan.name or id,
            engine=plan.engine,
            access_string=plan.access,
            authentication_mode={"type": plan.login},
            opts=self._child(),
        )

    def _cluster(self, group: aws.elasticache.UserGroup, own: dict[str, Any]) -> aws.elasticache.ReplicationGroup:
        args, name = self._args, self._prefix
        windows = args.windows or WINDOWS[args.role]
        logs = {log: self._log_group(log) for log in LOGS}
        if args.locked:
            own = {**own, "final_snapshot_identifier": pulumi.Output.concat(self.identifier, "-final")}
        subnets = aws.elasticache.SubnetGroup(
            name,
            description="Data subnets of every zone",
            subnet_ids=args.network.subnets("data"),
            opts=self._child(),
        )
        return aws.elasticache.ReplicationGroup(
            name,
            replication_group_id=self.identifier,
            description="Cache of docsearch",
            replicas_per_node_group=args.replicas,
            automatic_failover_enabled=True,
            multi_az_enabled=True,
            port=PORT,
            subnet_group_name=subnets.name,
            security_group_ids=[args.network.security_group_ids["cache"]],
            user_group_ids=[group.user_group_id],
            kms_key_id=args.keys["messages"].arn,
            snapshot_retention_limit=args.snapshot_days,
            snapshot_window=windows.snapshot,
            maintenance_window=windows.maintenance,
            auto_minor_version_upgrade=True,
            apply_immediately=not args.locked,
            notification_topic_arn=self._events(),
            log_delivery_configurations=[
                {
                    "log_type": log,
                    "log_format": "json",
                    "destination_type": "cloudwatch-logs",
                    "destination": logs[log].name,
                }
                for log in LOGS
            ],
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.locked,
                ignore_changes=LED_GLOBALLY if args.role == "primary" else None,
                custom_timeouts=TIMEOUTS,
            ),
            **own,
        )

    def _parameter_group(self) -> aws.elasticache.ParameterGroup:
        return aws.elasticache.ParameterGroup(
            self._prefix,
            family=family(self._args.engine_version),
            # A change of the description would replace the group, so it says nothing that can change.
            description="Cache of docsearch",
            parameters=[{"name": name, "value": value} for name, value in plan_parameters().items()],
            opts=self._child(),
        )

    def _own_settings(self, parameters: aws.elasticache.ParameterGroup) -> dict[str, Any]:
        """What a cluster says that leads; a member of a global datastore has it from there and may say none of it."""
        args = self._args
        return {
            "engine": ENGINE,
            "engine_version": args.engine_version,
            "node_type": args.node_type,
            "cluster_mode": "enabled",
            "num_node_groups": args.shards,
            "parameter_group_name": parameters.name,
            "transit_encryption_enabled": True,
            "transit_encryption_mode": "required",
            "at_rest_encryption_enabled": True,
        }

    def _lead(
        self, cluster: aws.elasticache.ReplicationGroup, parameters: aws.elasticache.ParameterGroup
    ) -> pulumi.Output[str]:
        args = self._args
        return aws.elasticache.GlobalReplicationGroup(
            self._prefix,
            global_replication_group_id_suffix=self.identifier,
            global_replication_group_description="Cache of docsearch in all its regions",
            primary_replication_group_id=cluster.replication_group_id,
            automatic_failover_enabled=True,
            engine_version=args.engine_version,
            # Another one comes with a major version, which asks for it; the provider takes no other change of it.
            parameter_group_name=parameters.name,
            cache_node_type=args.node_type,
            num_node_groups=args.shards,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.locked,
                # It is read from whoever leads: after a failover the next update would replace the global datastore.
                ignore_changes=["primaryReplicationGroupId"],
                custom_timeouts=TIMEOUTS,
            ),
        ).global_replication_group_id

    def _log_group(self, log: str) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            f"{self._prefix}-{log}",
            # With this prefix the account's policy for log delivery, which has a limit of size, need not name it
            # (CloudWatch Logs user guide, "Enable logging from AWS services").
            name=pulumi.Output.concat("/aws/vendedlogs/elasticache/", self.identifier, "/", log),
            kms_key_id=self._args.keys["logs"].arn,
            retention_in_days=self._args.log_retention_days,
            deletion_protection_enabled=self._args.locked,
            opts=self._child(protect=self._args.locked),
        )

    def _events(self) -> pulumi.Output[str]:
        """The topic of what no metric shows.

        One of its own: ElastiCache cannot publish to a topic that is encrypted with a customer key, and drops one that
        refuses it (user guide, "Event notifications and Amazon SNS"). SNS encrypts its disks in any case, and an event
        holds the names of nodes only.
        """
        args, name = self._args, f"{self._prefix}-events"
        # A new topic would have no confirmed subscriber.
        topic = aws.sns.Topic(name, signature_version=2, opts=self._child(protect=args.locked))
        policy = aws.sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=topic.arn.apply(
                lambda arn: json.dumps(plan_events_policy(arn, account_id=args.account_id), sort_keys=True)
            ),
            opts=self._child(),
        )
        for address in args.events:
            subscriber = f"{name}-{re.sub(r'[^a-z0-9]+', '-', address.lower())}"
            aws.sns.TopicSubscription(
                subscriber, topic=topic.arn, protocol="email", endpoint=address, opts=self._child()
            )
        # Not before it may publish.
        return policy.arn

    def _watch(self, prefix: str, rows: Sequence[Alarm], dimensions: Mapping[str, pulumi.Input[str]]) -> None:
        watch(
            self,
            prefix,
            rows,
            namespace="AWS/ElastiCache",
            dimensions=dimensions,
            topics=self._args.alarms.topics,
        )
