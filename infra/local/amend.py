"""What moto gets wrong about shapes that the platform has, put right when a service is loaded.

Each correction makes an operation do what AWS says that it does; one (resetting parameters) moto does not have at all.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from infra.local import amend_backup, amend_eks, amend_elasticache
from infra.local.amend_opensearch import amend_es, amend_iam


def amend(backend: str) -> None:
    """Correct one service of moto in this process; doing it again changes nothing.

    Args:
        backend: moto's name of the service, such as `rds`. Services without corrections are left alone.
    """
    # moto answers for both of its load balancing services at one host, under the name of the first.
    backend = "elbv2" if backend == "elb" else backend
    correct = _CORRECTIONS.get(backend)
    if correct is None:
        return
    # Not before it is needed: importing all services takes seconds.
    models = import_module(f"moto.{backend}.models")
    if not getattr(models, "docsearch_amended", False):
        correct(models)
        models.docsearch_amended = True  # type: ignore[attr-defined]


def _wrap(owner: type, name: str, around: Callable[..., Any]) -> None:
    """Put a function around a method: it gets the original first."""
    original = getattr(owner, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(original, self, *args, **kwargs)

    setattr(owner, name, method)


def _rds(models: Any) -> None:
    _rds_ids(models.DBInstance)
    _rds_copies(models)
    _rds_groups(models)


def _rds_ids(instance: Any) -> None:
    # moto: one and the same DbiResourceId for all instances. On AWS it is 26 characters, and survives a rename.
    def resource_id(self: Any) -> str:
        return str(self.__dict__["_dbi_resource_id"])

    def set_resource_id(self: Any, _: str) -> None:
        digest = base64.b32encode(hashlib.sha256(self.arn.encode()).digest()).decode()
        self.__dict__["_dbi_resource_id"] = f"db-{digest[:26]}"

    instance.dbi_resource_id = property(resource_id, set_resource_id)


def _rds_copies(models: Any) -> None:
    instance, backend = models.DBInstance, models.RDSBackend

    # moto: a replica shares its source's lists, secret and backups, and its groups are looked for in the source's
    # region, since `backend` comes last; and a source whose password RDS manages has replicas, which AWS refuses (RDS
    # user guide, "Password management with Amazon RDS and AWS Secrets Manager", limitations).
    def create_replica(original: Any, self: Any, db_kwargs: Mapping[str, Any]) -> Any:
        if db_kwargs["db_instance_identifier"] in self.databases:
            raise models.DBInstanceAlreadyExists
        source = self.find_db_from_id(db_kwargs["source_db_instance_identifier"])
        if source.manage_master_user_password and not source.engine.startswith("sqlserver"):
            raise models.InvalidParameterValue(
                f"Creating read replicas for source instance with engine {source.engine} where "
                "ManageMasterUserPassword is enabled is not supported."
            )
        replica = original(self, {"backend": self, **db_kwargs})
        for name, value in replica.__dict__.items():
            if isinstance(value, list):
                setattr(replica, name, value.copy())
        replica.dbi_resource_id = ""
        if "availability_zone" not in db_kwargs and not replica.availability_zone.startswith(self.region_name):
            replica.availability_zone = f"{self.region_name}a"
        replica.manage_master_user_password = False
        replica.__dict__.pop("master_user_secret", None)
        replica.backup_retention_period = db_kwargs.get("backup_retention_period", 0)
        replica.deletion_protection = db_kwargs.get("deletion_protection", False)
        replica.enabled_cloudwatch_logs_exports = list(db_kwargs.get("enable_cloudwatch_logs_exports") or [])
        return replica

    # moto: knows a replica of another region by its ARN when it comes, and by its identifier when it goes.
    def remove_replica(original: Any, self: Any, replica: Any) -> None:
        names = (replica.db_instance_identifier, replica.db_instance_arn)
        self.replicas = [name for name in self.replicas if name not in names]

    # moto: a promoted replica still has its source.
    def promote(original: Any, self: Any, db_kwargs: Mapping[str, Any]) -> Any:
        replica = original(self, db_kwargs)
        if replica.source_db_instance_identifier:
            self.find_db_from_id(replica.source_db_instance_identifier).remove_replica(replica)
            replica.source_db_instance_identifier = None
        return replica

    _wrap(backend, "create_db_instance_read_replica", create_replica)
    _wrap(instance, "remove_replica", remove_replica)
    _wrap(backend, "promote_read_replica", promote)

    # moto: restores a lock or a setting that the call turns off.
    def restore(original: Any, self: Any, *args: Any) -> Any:
        made, overrides = original(self, *args), args[-1]
        for name in [name for name, value in overrides.items() if value is False and hasattr(made, name)]:
            setattr(made, name, False)
        return made

    _wrap(backend, "restore_db_instance_from_db_snapshot", restore)
    _wrap(backend, "restore_db_instance_to_point_in_time", restore)


def _rds_groups(models: Any) -> None:
    # moto: loses a subnet group that is changed.
    def modify_subnet_group(original: Any, self: Any, subnet_name: str, *args: Any) -> Any:
        if subnet_name not in self.subnet_groups:
            raise models.DBSubnetGroupNotFoundError(subnet_name)
        group = self.subnet_groups[subnet_name] = original(self, subnet_name, *args)
        return group

    def reset_parameters(self: Any) -> Any:
        name = self.params["DBParameterGroupName"]
        found = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})
        if not found:
            raise models.DBParameterGroupNotFoundError(name)
        for item in self.params.get("Parameters", []):
            found[0].parameters.pop(item["ParameterName"], None)
        return import_module("moto.core.responses").ActionResult({"DBParameterGroupName": name})

    import_module("moto.rds.responses").RDSResponse.reset_db_parameter_group = reset_parameters
    _wrap(models.RDSBackend, "modify_db_subnet_group", modify_subnet_group)


def _ec2(models: Any) -> None:
    errors = import_module("moto.ec2.exceptions")

    # moto: a route table that came to an endpoint later has no route to it, and for want of it the endpoint stays.
    def delete(original: Any, self: Any, vpce_ids: list[str] | None = None) -> None:
        for endpoint in [self.vpc_end_points[id] for id in vpce_ids or () if id in self.vpc_end_points]:
            for table in endpoint.route_table_ids:
                with suppress(errors.InvalidRouteError, errors.InvalidRouteTableIdError):
                    self.delete_route(table, endpoint.destination_prefix_list_id)
            endpoint.route_table_ids = []
        original(self, vpce_ids)

    _wrap(models.EC2Backend, "delete_vpc_endpoints", delete)


def _kms(models: Any) -> None:
    # moto: a replica shares its primary's aliases, which on AWS are the region's own; and what it says of itself, so
    # that who described a replica made a replica of its primary, too.
    def replicate_key(original: Any, self: Any, *args: Any) -> Any:
        replica = original(self, *args)
        replica.aliases = {}
        replica.multi_region_configuration = {**replica.multi_region_configuration, "MultiRegionKeyType": "REPLICA"}
        return replica

    _wrap(models.KmsBackend, "replicate_key", replicate_key)


def _key(record: Any) -> tuple[Any, ...]:
    return record.name.strip(".").lower(), record.type, record.set_identifier


def _route53(models: Any) -> None:
    # moto: deletes every record with the same set identifier, whatever its name; and takes a record for an existing one
    # if it ever existed.
    def change(original: Any, self: Any, zoneid: str, change_list: list[dict[str, Any]]) -> None:
        zone = self.get_hosted_zone(zoneid)
        before = list(zone.rrsets)
        there, gone = {_key(record) for record in before}, set()
        for item in change_list:
            wanted = models.RecordSet(item["ResourceRecordSet"])
            if item["Action"] == "DELETE":
                gone.add(_key(wanted))
            elif item["Action"] == "CREATE":
                if _key(wanted) in there - gone:
                    raise models.ResourceRecordAlreadyExists(wanted.name, wanted.type)
                item["Action"] = "UPSERT"
        original(self, zoneid, change_list)
        present = {_key(record) for record in zone.rrsets}
        zone.rrsets.extend(record for record in before if _key(record) not in present | gone)

    _wrap(models.Route53Backend, "change_resource_record_sets", change)


def _elbv2(models: Any) -> None:
    # moto: deletes a load balancer that is protected against it.
    def delete(original: Any, self: Any, arn: str) -> None:
        balancer = self.load_balancers.get(arn)
        if balancer is not None and balancer.attrs.get("deletion_protection.enabled") == "true":
            raise models.RESTError(
                "OperationNotPermitted",
                f"Load balancer '{arn}' cannot be deleted because deletion protection is enabled",
            )
        original(self, arn)

    # moto: the ARN of a listener's default rule is a place in memory, another one after each start.
    def rule(original: Any, self: Any, listener_arn: str, *args: Any, **kwargs: Any) -> None:
        original(self, listener_arn, *args, **kwargs)
        digest = hashlib.blake2b(listener_arn.encode(), digest_size=8).hexdigest()
        self.arn = f"{listener_arn.replace(':listener/', ':listener-rule/')}/{digest}"

    _wrap(models.ELBv2Backend, "delete_load_balancer", delete)
    _wrap(models.FakeRule, "__init__", rule)


def _mq(models: Any) -> None:
    # moto: ids without the letter that tells a broker from its configuration, and the id in place of the broker's name.
    def broker(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.id = f"b-{self.id}"
        self.arn = self.arn.replace(f":{self.id[2:]}", f":{self.name}:{self.id}")

    # moto: two brokers of one name.
    def create(original: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
        name = kwargs["broker_name"]
        if any(there.name == name for there in self.brokers.values()):
            error = import_module("moto.mq.exceptions").ConflictException
            raise error(f"Broker name [{name}] is already in use in this account.")
        return original(self, *args, **kwargs)

    # moto: a server error for the deletion of a broker that is gone.
    def delete(original: Any, self: Any, broker_id: str) -> None:
        self.describe_broker(broker_id)
        original(self, broker_id)

    _wrap(models.Broker, "__init__", broker)
    _wrap(models.MQBackend, "create_broker", create)
    _wrap(models.MQBackend, "delete_broker", delete)


_CORRECTIONS: Mapping[str, Callable[[Any], None]] = {
    "backup": amend_backup.correct,
    "ec2": _ec2,
    "eks": amend_eks.eks,
    "elasticache": amend_elasticache.correct,
    "elbv2": _elbv2,
    "es": amend_es,
    "iam": amend_iam,
    "kms": _kms,
    "mq": _mq,
    "rds": _rds,
    "route53": _route53,
}

AMENDED = tuple(_CORRECTIONS)
"""The services that have corrections."""
