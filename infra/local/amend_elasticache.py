"""What moto lacks of ElastiCache and a cluster in cluster mode needs: changes, ends, and global datastores.

moto creates replication groups, users and subnet groups, and can then change hardly anything; what is deleted stays,
and a member of a global datastore has nothing of its primary. Nothing is stored, copied or failed over here either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

#: What AWS puts before the ids of global datastores, by region (user guide, "Using the CLI with global datastores").
#: Regions that are not here get one of their own.
PREFIXES: Mapping[str, str] = {"us-east-1": "ldgnf", "us-east-2": "fpkhr", "us-west-1": "virxk", "us-west-2": "sgaui"}

SECONDARIES = 2
"""Regions that may follow (user guide, "Global datastores: prerequisites and limitations")."""

_INHERITED = (
    "engine",
    "engine_version",
    "cache_node_type",
    "cluster_mode",
    "cluster_enabled",
    "transit_encryption_enabled",
    "transit_encryption_mode",
    "at_rest_encryption_enabled",
)
"""What a member takes from the primary, besides the shards (API reference, CreateReplicationGroup)."""


@dataclass
class GlobalGroup:
    """A global datastore.

    Attributes:
        global_replication_group_id: Its id.
        members: Role by region and replication group, primary first.
    """

    global_replication_group_id: str
    global_replication_group_description: str
    arn: str
    primary: Any
    members: list[dict[str, str]] = field(default_factory=list)
    status: str = "available"

    @property
    def cache_node_type(self) -> str:
        return str(self.primary.cache_node_type)

    @property
    def engine(self) -> str:
        return str(self.primary.engine)

    @property
    def engine_version(self) -> str:
        return str(self.primary.engine_version)

    @property
    def cluster_enabled(self) -> bool:
        return bool(self.primary.cluster_enabled)

    @property
    def auth_token_enabled(self) -> bool:
        return bool(self.primary.auth_token_enabled)

    @property
    def transit_encryption_enabled(self) -> bool:
        return bool(self.primary.transit_encryption_enabled)

    @property
    def at_rest_encryption_enabled(self) -> bool:
        return bool(self.primary.at_rest_encryption_enabled)

    @property
    def global_node_groups(self) -> list[dict[str, str]]:
        return [
            {"global_node_group_id": f"{self.global_replication_group_id}-{group['node_group_id']}", **slots(group)}
            for group in self.primary.node_groups
        ]


def slots(group: Mapping[str, Any]) -> dict[str, str]:
    """The slots of a shard, where it has some."""
    return {"slots": group["slots"]} if "slots" in group else {}


def correct(models: Any) -> None:
    """Put the service right.

    Args:
        models: `moto.elasticache.models`.
    """
    response = import_module("moto.elasticache.responses").ElastiCacheResponse
    for owner, better in ((models.ElastiCacheBackend, _Backend), (response, _Groups), (response, _Datastores)):
        for name, method in vars(better).items():
            if not name.startswith("__"):
                setattr(owner, name, method)


# moto is imported when the service is loaded, and not before.
def _models() -> Any:
    return import_module("moto.elasticache.models")


def _errors() -> Any:
    return import_module("moto.elasticache.exceptions")


def _result(value: Any) -> Any:
    return import_module("moto.core.responses").ActionResult(value)


def _refused(code: str, message: str) -> Exception:
    error = _errors().ElastiCacheException(message)
    error.code = code
    return error  # type: ignore[no-any-return]


def _bound(group: Any) -> Exception:
    return _refused(
        "InvalidParameterValue",
        f"Cluster [{group.replication_group_id}] is part of a global cluster [{group.global_replication_group_id}]. "
        "Request rejected.",
    )


def _shape(group: Any, region: str, shards: int, replicas: int) -> None:
    """Give a cluster its shards and nodes; moto's own are all in us-east-1, and their slots fit three shards only."""
    group.node_groups, group.member_clusters = [], []
    zones = [f"{region}{zone}" for zone in "abc"]
    for number in range(shards):
        first, last = number * 16384 // shards, (number + 1) * 16384 // shards - 1
        id = f"{number + 1:04}"
        members = [
            {
                "cache_cluster_id": f"{group.replication_group_id}-{id}-{node + 1:03}",
                "cache_node_id": "0001",
                "preferred_availability_zone": zones[(number + node) % len(zones)],
            }
            for node in range(replicas + 1)
        ]
        group.node_groups.append(
            {"node_group_id": id, "status": "available", "slots": f"{first}-{last}", "node_group_members": members}
        )
        group.member_clusters += [member["cache_cluster_id"] for member in members]


def _replicas(group: Any) -> int:
    return len(group.node_groups[0]["node_group_members"]) - 1


def _all_global(account: str) -> Iterator[dict[str, GlobalGroup]]:
    """The global datastores of every region that has one."""
    for backend in list(_models().elasticache_backends[account].values()):
        if "global_groups" in backend.__dict__:
            yield backend.global_groups


def _find_global(account: str, id: str) -> GlobalGroup:
    for groups in _all_global(account):
        if id in groups:
            return groups[id]
    raise _refused("GlobalReplicationGroupNotFoundFault", f"Global Replication Group {id} not found")


def _member(account: str, entry: Mapping[str, str]) -> Any:
    backend = _models().elasticache_backends[account][entry["replication_group_region"]]
    return backend.replication_groups[entry["replication_group_id"]]


class _Backend:
    """Replaces methods of moto's backend."""

    def create_replication_group(self: Any, **given: Any) -> Any:
        models, leader = _models(), None
        if given["replication_group_id"] in self.replication_groups:
            raise _errors().ReplicationGroupAlreadyExists(given["replication_group_id"])
        if id := given.get("global_replication_group_id"):
            leader = _find_global(self.account_id, id)
            regions = [entry["replication_group_region"] for entry in leader.members]
            if len(regions) > SECONDARIES or self.region_name in regions:
                raise _refused(
                    "InvalidParameterValue",
                    f"Global Replication Group {id} has members in {', '.join(regions)}: it takes one in a region, and "
                    f"{SECONDARIES} secondaries",
                )
        group = models.ReplicationGroup(account_id=self.account_id, region_name=self.region_name, **given)
        if leader is not None:
            for name in _INHERITED:
                setattr(group, name, getattr(leader.primary, name))
            group.cache_parameter_group_name = f"global-datastore-{group.replication_group_id}"
            group.automatic_failover = "enabled"
            leader.members.append(_entry(self, group, "SECONDARY"))
        if group.cluster_mode == "enabled":
            shards = len(leader.primary.node_groups) if leader else given["num_node_groups"] or 1
            _shape(group, self.region_name, shards, given["replicas_per_node_group"] or 0)
            one, side, number = self.region_name.rsplit("-", 2)
            draw = "".join(models.random.choices(models.string.ascii_lowercase + models.string.digits, k=6))
            domain = f"{group.replication_group_id}.{draw}.{one}{side[0]}{number}.cache.amazonaws.com"
            group.configuration_endpoint = {"address": f"clustercfg.{domain}", "port": group.port}
        if given["tags"]:
            self.tagging_service.tag_resource(group.arn, given["tags"])
        self.replication_groups[group.replication_group_id] = group
        return group

    def describe_users(self: Any, user_id: str | None) -> list[Any]:
        if user_id and user_id not in self.users:
            raise _errors().UserNotFound(user_id)
        return [self.users[user_id]] if user_id else list(self.users.values())

    def delete_user(self: Any, user_id: str) -> Any:
        if user_id not in self.users:
            raise _errors().UserNotFound(user_id)
        return _forgotten(self, self.users.pop(user_id))


def _forgotten(backend: Any, thing: Any) -> Any:
    """Its tags go with it, or one of the same name would begin with them."""
    backend.tagging_service.delete_all_tags_for_resource(thing.arn)
    return thing


def _entry(backend: Any, group: Any, role: str) -> dict[str, str]:
    return {
        "replication_group_id": group.replication_group_id,
        "replication_group_region": backend.region_name,
        "role": role,
        "automatic_failover": group.automatic_failover,
        "status": "associated",
    }


_CHANGED: Mapping[str, str] = {
    "ReplicationGroupDescription": "description",
    "Engine": "engine",
    "EngineVersion": "engine_version",
    "CacheNodeType": "cache_node_type",
    "SnapshotRetentionLimit": "snapshot_retention_limit",
    "SnapshotWindow": "snapshot_window",
    "PreferredMaintenanceWindow": "preferred_maintenance_window",
    "NotificationTopicArn": "notification_topic_arn",
    "CacheParameterGroupName": "cache_parameter_group_name",
    "SecurityGroupIds": "security_group_ids",
    "AutoMinorVersionUpgrade": "auto_minor_version_upgrade",
    "TransitEncryptionEnabled": "transit_encryption_enabled",
    "TransitEncryptionMode": "transit_encryption_mode",
}
"""Parameters of ModifyReplicationGroup and what of a group they change."""


def _group_of(self: Any, params: Mapping[str, Any]) -> Any:
    return self.elasticache_backend.describe_replication_groups(params["ReplicationGroupId"])[0]


class _Groups:
    """Operations that moto does not have, or not in full."""

    def modify_replication_group(self: Any) -> Any:
        params = self._get_params()
        group = _group_of(self, params)
        for parameter, attribute in _CHANGED.items():
            if parameter in params:
                setattr(group, attribute, params[parameter])
        for parameter, attribute in {
            "AutomaticFailoverEnabled": "automatic_failover",
            "MultiAZEnabled": "multi_az",
        }.items():
            if parameter in params:
                setattr(group, attribute, "enabled" if params[parameter] else "disabled")
        gone = set(params.get("UserGroupIdsToRemove", ()))
        kept = [id for id in group.user_group_ids if id not in gone]
        group.user_group_ids = kept + [id for id in params.get("UserGroupIdsToAdd", ()) if id not in kept]
        logs = {log["LogType"]: log for log in group.log_delivery_configurations}
        for log in params.get("LogDeliveryConfigurations", ()):
            if log.get("Enabled", True):
                logs[log["LogType"]] = {**log, "status": "active"}
            else:
                logs.pop(log["LogType"], None)
        group.log_delivery_configurations = list(logs.values())
        return _result({"ReplicationGroup": group})

    def modify_replication_group_shard_configuration(self: Any) -> Any:
        params = self._get_params()
        group = _group_of(self, params)
        if group.global_replication_group_id:
            raise _bound(group)
        _shape(group, self.region, params["NodeGroupCount"], _replicas(group))
        return _result({"ReplicationGroup": group})

    def increase_replica_count(self: Any) -> Any:
        params = self._get_params()
        group = _group_of(self, params)
        _shape(group, self.region, len(group.node_groups), params["NewReplicaCount"])
        return _result({"ReplicationGroup": group})

    decrease_replica_count = increase_replica_count

    def delete_replication_group(self: Any) -> Any:
        params, backend = self._get_params(), self.elasticache_backend
        group = _group_of(self, params)
        if group.global_replication_group_id:
            raise _refused(
                "InvalidReplicationGroupState",
                f"Replication group {group.replication_group_id} is part of a global cluster. Request rejected.",
            )
        if name := params.get("FinalSnapshotIdentifier"):
            backend.create_snapshot(name, group.replication_group_id, None, None, None)
        group.status = "deleting"
        return _result(
            {"ReplicationGroup": _forgotten(backend, backend.replication_groups.pop(group.replication_group_id))}
        )

    def describe_cache_clusters(self: Any) -> Any:
        params, backend = self._get_params(), self.elasticache_backend
        wanted = params.get("CacheClusterId")
        nodes = [
            _node(group, id)
            for group in backend.replication_groups.values()
            for id in group.member_clusters
            if wanted in (None, id)
        ]
        if not nodes or wanted is None:
            nodes += backend.describe_cache_clusters(cache_cluster_id=wanted)
        return _result({"CacheClusters": nodes})

    def modify_cache_subnet_group(self: Any) -> Any:
        params, backend = self._get_params(), self.elasticache_backend
        old = backend.describe_cache_subnet_groups(params["CacheSubnetGroupName"])[0]
        group = _models().CacheSubnetGroup(
            account_id=backend.account_id,
            region_name=backend.region_name,
            cache_subnet_group_name=old.cache_subnet_group_name,
            cache_subnet_group_description=params.get(
                "CacheSubnetGroupDescription", old.cache_subnet_group_description
            ),
            subnet_ids=params.get("SubnetIds", old.subnet_ids),
            tags=None,
        )
        backend.cache_subnet_groups[old.cache_subnet_group_name] = group
        return _result({"CacheSubnetGroup": group})

    def delete_cache_subnet_group(self: Any) -> Any:
        name, backend = self._get_params()["CacheSubnetGroupName"], self.elasticache_backend
        backend.describe_cache_subnet_groups(name)
        users = [
            group.replication_group_id
            for group in backend.replication_groups.values()
            if group.cache_subnet_group_name == name
        ]
        if users:
            message = f"Cache subnet group {name} is currently in use by a cache cluster."
            raise _refused("CacheSubnetGroupInUse", message)
        _forgotten(backend, backend.cache_subnet_groups.pop(name))
        return _result({})

    def modify_user(self: Any) -> Any:
        params, backend = self._get_params(), self.elasticache_backend
        user = backend.describe_users(params["UserId"])[0]
        user.access_string = params.get("AccessString", user.access_string)
        user.engine = params.get("Engine", user.engine)
        mode = params.get("AuthenticationMode") or {}
        user.authentication_type = mode.get("Type", user.authentication_type)
        user.passwords = mode.get("Passwords") or params.get("Passwords") or user.passwords
        return _result(user)


def _node(group: Any, id: str) -> dict[str, Any]:
    """A node of a cluster, as DescribeCacheClusters shows it."""
    return {
        "cache_cluster_id": id,
        "cache_cluster_status": "available",
        "replication_group_id": group.replication_group_id,
        "engine": group.engine,
        "engine_version": group.engine_version,
        "cache_node_type": group.cache_node_type,
        "num_cache_nodes": 1,
        "preferred_maintenance_window": group.preferred_maintenance_window,
        "cache_subnet_group_name": group.cache_subnet_group_name,
        "cache_parameter_group": {"cache_parameter_group_name": group.cache_parameter_group_name},
        "security_groups": [{"security_group_id": id, "status": "active"} for id in group.security_group_ids or ()],
        "notification_configuration": group.notification_topic_arn
        and {"topic_arn": group.notification_topic_arn, "topic_status": "active"},
    }


def _datastore(self: Any, params: Mapping[str, Any]) -> GlobalGroup:
    return _find_global(self.current_account, params["GlobalReplicationGroupId"])


def _everywhere(self: Any, group: GlobalGroup) -> Iterator[tuple[str, Any]]:
    for entry in group.members:
        yield entry["replication_group_region"], _member(self.current_account, entry)


class _Datastores:
    """Operations of global datastores: moto has none."""

    def create_global_replication_group(self: Any) -> Any:
        params, backend = self._get_params(), self.elasticache_backend
        primary = backend.describe_replication_groups(params["PrimaryReplicationGroupId"])[0]
        if primary.global_replication_group_id:
            raise _bound(primary)
        prefix = PREFIXES.get(self.region, "".join(char for char in self.region if char.isalpha()))
        id = f"{prefix}-{params['GlobalReplicationGroupIdSuffix']}"
        group = GlobalGroup(
            id,
            params.get("GlobalReplicationGroupDescription", ""),
            f"arn:aws:elasticache::{self.current_account}:globalreplicationgroup:{id}",
            primary,
            [_entry(backend, primary, "PRIMARY")],
        )
        primary.global_replication_group_id, primary.global_replication_group_member_role = id, "PRIMARY"
        backend.__dict__.setdefault("global_groups", {})[id] = group
        return _result({"GlobalReplicationGroup": group})

    def describe_global_replication_groups(self: Any) -> Any:
        params = self._get_params()
        if "GlobalReplicationGroupId" in params:
            return _result({"GlobalReplicationGroups": [_datastore(self, params)]})
        groups = [group for groups in _all_global(self.current_account) for group in groups.values()]
        return _result({"GlobalReplicationGroups": groups})

    def modify_global_replication_group(self: Any) -> Any:
        params = self._get_params()
        group = _datastore(self, params)
        group.global_replication_group_description = params.get(
            "GlobalReplicationGroupDescription", group.global_replication_group_description
        )
        for _, member in _everywhere(self, group):
            for parameter in ("CacheNodeType", "Engine", "EngineVersion"):
                if parameter in params:
                    setattr(member, _CHANGED[parameter], params[parameter])
        return _result({"GlobalReplicationGroup": group})

    def increase_node_groups_in_global_replication_group(self: Any) -> Any:
        params = self._get_params()
        group = _datastore(self, params)
        for region, member in _everywhere(self, group):
            _shape(member, region, params["NodeGroupCount"], _replicas(member))
        return _result({"GlobalReplicationGroup": group})

    decrease_node_groups_in_global_replication_group = increase_node_groups_in_global_replication_group

    def disassociate_global_replication_group(self: Any) -> Any:
        params = self._get_params()
        group = _datastore(self, params)
        wanted = (params["ReplicationGroupRegion"], params["ReplicationGroupId"])
        for entry in group.members:
            if (entry["replication_group_region"], entry["replication_group_id"]) != wanted:
                continue
            if entry["role"] == "PRIMARY":
                raise _refused("InvalidParameterValue", "The primary of a global cluster cannot be disassociated.")
            _member(self.current_account, entry).global_replication_group_id = ""
            group.members.remove(entry)
            return _result({"GlobalReplicationGroup": group})
        raise _refused(
            "InvalidParameterValue", f"{wanted[1]} of {wanted[0]} is no member of {group.global_replication_group_id}"
        )

    def failover_global_replication_group(self: Any) -> Any:
        params = self._get_params()
        group = _datastore(self, params)
        chosen = (params["PrimaryRegion"], params["PrimaryReplicationGroupId"])
        for entry in group.members:
            member = _member(self.current_account, entry)
            leads = (entry["replication_group_region"], entry["replication_group_id"]) == chosen
            entry["role"] = member.global_replication_group_member_role = "PRIMARY" if leads else "SECONDARY"
            group.primary = member if leads else group.primary
        return _result({"GlobalReplicationGroup": group})

    def delete_global_replication_group(self: Any) -> Any:
        params = self._get_params()
        group = _datastore(self, params)
        if len(group.members) > 1:
            raise _refused(
                "InvalidGlobalReplicationGroupState",
                f"Global Replication Group {group.global_replication_group_id} still has secondaries",
            )
        group.primary.global_replication_group_id = ""
        for groups in _all_global(self.current_account):
            groups.pop(group.global_replication_group_id, None)
        return _result({"GlobalReplicationGroup": group})
