"""The database: encrypted, in more than one zone, backed up, private, and asking who comes.

Rules tell three kinds of instance apart by `replicateSourceDb`: a primary has none, a replica of another region names
an ARN, a replica of the same region an identifier. The first two are the head of their region: the one that takes the
writes, and the one that would after a promotion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Final

from policies.rule import (
    FALSE,
    GIVEN,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    Want,
    at_least,
    items,
    judge,
    look,
    must,
    number,
    one_of,
    rule,
    stack_rule,
    unverified,
)
from policies.wants import NAMED, OWN_KEY, TEXTS, different, unless

INSTANCE: Final = "aws:rds/instance:Instance"
PARAMETERS: Final = "aws:rds/parameterGroup:ParameterGroup"
SUBNETS: Final = "aws:rds/subnetGroup:SubnetGroup"
BACKUPS: Final = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"

PASSWORD: Final = "random:index/randomPassword:RandomPassword"  # noqa: S105 - a type
VERSION: Final = "aws:secretsmanager/secretVersion:SecretVersion"

SOURCE: Final = "replicateSourceDb"

GUIDE: Final = "https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide"


def local_source(instance: Resource) -> Any:
    """What a replica of the same region follows; None for the head of a region, `UNKNOWN` while it is not known."""
    source = instance.get(SOURCE)
    return None if isinstance(source, str) and source.startswith("arn:") else source


def unless_local(instance: Resource, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What a replica of the same region need not be."""
    return unless(local_source(instance), SOURCE, findings)


def unless_replica(instance: Resource, findings: Iterator[Finding]) -> Iterator[Finding]:
    """What RDS lets nobody say of a replica: it has it from its source."""
    return unless(instance.get(SOURCE), SOURCE, findings)


@rule(
    "rds-cmk",
    on=(INSTANCE, BACKUPS),
    severity=Severity.CRITICAL,
    why="A disk, a snapshot or a recorded query that leaves the account is readable unless our own key protects it",
    remedy="Pass the region's data key to Rds (components/rds.py); storage cannot be encrypted afterwards",
    reference=f"{GUIDE}/Overview.Encryption.html",
)
def cmk(its: Resource) -> Iterator[Finding]:
    """Storage, replicated backups and recorded queries are encrypted with a key of ours.

    A replica of the same region that names none has its source's, which is looked at there.
    """
    if its.type == INSTANCE:
        # Absent is off, and RDS then replaces an encrypted replica.
        yield from must(its, "storageEncrypted", TRUE)
        queries = its.get("performanceInsightsEnabled")
        off = queries is None or queries is False
        exception = UNKNOWN if queries is UNKNOWN else off or None
        yield from unless(exception, "performanceInsightsEnabled", must(its, "performanceInsightsKmsKeyId", OWN_KEY))
    key = must(its, "kmsKeyId", OWN_KEY)
    yield from unless_local(its, key) if its.type == INSTANCE and its.get("kmsKeyId") is None else key


_TLS: Final = {
    "rds.force_ssl": one_of("1"),
    "ssl_min_protocol_version": one_of("TLSv1.2", "TLSv1.3"),
}


@rule(
    "rds-force-ssl",
    on=(INSTANCE, PARAMETERS),
    severity=Severity.HIGH,
    why="Otherwise passwords and rows may cross the network in clear text",
    remedy="Set rds.force_ssl to 1 and ssl_min_protocol_version to TLSv1.2 in plan_parameters (components/rds_plan.py)",
    reference=f"{GUIDE}/PostgreSQL.Concepts.General.SSL.html",
)
def force_ssl(its: Resource) -> Iterator[Finding]:
    """The server refuses connections without TLS 1.2, and the instance has the group that says so."""
    if its.type == INSTANCE:
        own = Want(
            "a group of ours", lambda value: NAMED.holds(value) and not str(value).strip().startswith("default.")
        )
        yield from must(its, "parameterGroupName", own)
    else:
        yield from _parameters(its, _TLS)


@rule(
    "rds-scram",
    on=PARAMETERS,
    severity=Severity.HIGH,
    why="MD5 hashes of passwords are broken in hours, and serve to log in as they are",
    remedy="Set password_encryption and rds.accepted_password_auth_method as plan_parameters does "
    "(components/rds_plan.py)",
    reference=f"{GUIDE}/PostgreSQL_Password_Encryption_configuration.html",
)
def scram(group: Resource) -> Iterator[Finding]:
    """Passwords are kept, and checked, by SCRAM alone."""
    wanted = {"password_encryption": one_of("scram-sha-256"), "rds.accepted_password_auth_method": one_of("scram")}
    yield from _parameters(group, wanted)


def _parameters(group: Resource, wanted: dict[str, Want]) -> Iterator[Finding]:
    """What parameters must be; where a name is given twice, each."""
    every = items(group, "parameters")
    hidden = [path for path, item in every if look(item, "name") is UNKNOWN]
    for name, want in wanted.items():
        given = [(path, item) for path, item in every if look(item, "name") == name]
        for path, item in given:
            yield from judge(look(item, "value"), f"{path}.value", want, why=name)
        if not given and hidden:
            yield unverified(hidden[0])
        elif not given:
            yield Finding("parameters", f"have no {name}, must have it: {want.text}")


@rule(
    "rds-multi-az",
    on=(INSTANCE, SUBNETS),
    severity=Severity.CRITICAL,
    why="The loss of one zone would stop the database for as long as a restore takes",
    remedy="Leave multi_az on for the head of a region (components/rds.py), and give the network three zones",
    key="network.zones",
    reference=f"{GUIDE}/Concepts.MultiAZSingleStandby.html",
)
def multi_az(its: Resource, *, zones: Annotated[int, Bounds(2, 6)] = 3) -> Iterator[Finding]:
    """The head of a region has a standby in another zone; a subnet group reaches each zone."""
    if its.type == INSTANCE:
        yield from unless_local(its, must(its, "multiAz", TRUE))
    else:
        yield from must(its, "subnetIds", different(zones))


def _followed(stack: Stack, instance: Resource) -> list[Resource]:
    """The instances of this stack that a replica follows, by link or, as a literal, by name."""
    source = local_source(instance)
    others = [other for other in stack.of(INSTANCE) if other is not instance]
    linked = [other for other in stack.linked(instance, SOURCE, INSTANCE) if other is not instance]
    if linked or not NAMED.holds(source):
        return linked
    return [other for other in others if source in (other.get("identifier"), other.get("arn"))]


@stack_rule(
    "rds-replicas",
    on=INSTANCE,
    severity=Severity.HIGH,
    why="Without read replicas every read is the primary's, and a reader's mistake is a writer's outage",
    remedy="Raise the number of replicas",
    key="database.replicas.count",
    reference=f"{GUIDE}/USER_ReadRepl.html",
)
def replicas(stack: Stack, *, replicas: Annotated[int, Bounds(0, 15)] = 1) -> Iterator[Finding]:
    """A primary has replicas in its own region; a replica there follows an instance of this stack.

    The head of a standby region is itself a replica and serves the reads. That one exists cannot be seen from the
    primary's stack: `docsearch diff` compares the two.
    """
    every = stack.of(INSTANCE)
    followed: dict[str, int] = {}
    hidden = 0
    for instance in every:
        source = local_source(instance)
        if source in (None, ""):
            continue
        heads = _followed(stack, instance)
        if heads:
            followed[heads[0].urn] = followed.get(heads[0].urn, 0) + 1
        elif source is UNKNOWN or any(other.get("identifier") is UNKNOWN for other in every):
            hidden += 1
            yield unverified(SOURCE, urn=instance.urn)
        else:
            yield Finding(SOURCE, "names no database of this stack, and no ARN of another region's", urn=instance.urn)
    for instance in every:
        if instance.get(SOURCE) in (None, "") and followed.get(instance.urn, 0) < replicas:
            found = followed.get(instance.urn, 0)
            if found + hidden >= replicas:
                yield unverified("", urn=instance.urn)
            else:
                yield Finding("", f"has {found} read replicas, must have {replicas} or more", urn=instance.urn)


@stack_rule(
    "rds-replica-zones",
    on=INSTANCE,
    severity=Severity.HIGH,
    why="With their one zone all readers are lost at once",
    remedy="Let Rds spread the replicas over the zones (components/rds.py)",
    key="network.zones",
    reference=f"{GUIDE}/USER_ReadRepl.html",
)
def replica_zones(stack: Stack, *, zones: Annotated[int, Bounds(1, 6)] = 3) -> Iterator[Finding]:
    """The replicas of a region are in so many zones, or, if they are fewer, each in a zone of its own."""
    readers = [its for its in stack.of(INSTANCE) if local_source(its) not in (None, "") and _followed(stack, its)]
    used = [its.get("availabilityZone") for its in readers]
    for its in readers:
        for finding in must(its, "availabilityZone", NAMED, why="RDS would put it anywhere"):
            yield replace(finding, urn=its.urn)
    named = {zone for zone in used if isinstance(zone, str) and zone}
    if all(NAMED.holds(zone) for zone in used) and len(named) < min(zones, len(readers)):
        for its in readers[:1]:
            yield Finding("availabilityZone", f"is one of {len(named)} for {len(readers)} replicas", urn=its.urn)


@rule(
    "rds-backups",
    on=(INSTANCE, BACKUPS),
    severity=Severity.CRITICAL,
    why="Without backups that outlive the instance, a wrong delete is final",
    remedy="Leave backups, the final snapshot and delete_automated_backups as Rds sets them (components/rds.py)",
    reference=f"{GUIDE}/USER_WorkingWithAutomatedBackups.html",
)
def backups(its: Resource, *, days: Annotated[int, Bounds(1, 35)] = 7) -> Iterator[Finding]:
    """The head of a region keeps backups for days, and they outlive it; so do their copies in another region.

    A replica of the same region has none: what it holds is its source's. RDS makes no final snapshot of a replica.
    """
    if its.type == BACKUPS:
        yield from must(its, "retentionPeriod", at_least(days))
        return
    yield from unless_local(its, must(its, "backupRetentionPeriod", at_least(days)))
    # Absent is true: they go with the instance.
    spared = Want("false", lambda value: value is False)
    yield from unless_local(its, must(its, "deleteAutomatedBackups", spared))
    yield from unless_replica(its, must(its, "skipFinalSnapshot", FALSE))
    yield from unless_replica(its, must(its, "finalSnapshotIdentifier", NAMED))


@rule(
    "rds-private",
    on=INSTANCE,
    severity=Severity.CRITICAL,
    why="A database with a public address is attacked within minutes",
    remedy="Keep publicly_accessible false, and the network's data subnets and security group (components/rds.py)",
    reference=f"{GUIDE}/USER_VPC.WorkingWithRDSInstanceinaVPC.html",
)
def private(instance: Resource) -> Iterator[Finding]:
    """No public address, and not the default VPC, subnets or security group."""
    yield from must(instance, "publiclyAccessible", FALSE)
    yield from must(instance, "vpcSecurityGroupIds", TEXTS)
    yield from unless_local(instance, must(instance, "dbSubnetGroupName", NAMED))


@stack_rule(
    "rds-managed-secret",
    on=(INSTANCE, PASSWORD, VERSION),
    severity=Severity.HIGH,
    why="A password that somebody typed is known to all who read the program, and with one that RDS manages there are "
    "no read replicas",
    remedy="Leave the master password to Rds (components/rds.py): random, and kept in Secrets Manager",
    reference=f"{GUIDE}/rds-secrets-manager.html",
)
def managed_secret(stack: Stack) -> Iterator[Finding]:
    """The master password is a random one of the stack, which keeps it in Secrets Manager itself.

    RDS makes no read replica of an instance whose password it manages.
    """
    for instance in stack.of(INSTANCE):
        for finding in _master_password(stack, instance):
            yield replace(finding, urn=instance.urn)


def _master_password(stack: Stack, instance: Resource) -> Iterator[Finding]:
    yield from must(instance, "manageMasterUserPassword", FALSE, why="RDS then makes no read replica of it")
    given = [path for path in ("password", "passwordWo") if instance.get(path) not in (None, "")]
    if not given:
        yield from unless_replica(instance, must(instance, "password", GIVEN))
    for path in given:
        made = stack.linked(instance, path, PASSWORD)
        kept = (one for version in stack.of(VERSION) for one in stack.linked(version, "secretString", PASSWORD))
        if not made and instance.get(path) is UNKNOWN:
            yield unverified(path)
        elif not made:
            # Its value is not shown.
            yield Finding(path, "is no random password of this stack: whoever reads the program knows it")
        elif not {one.urn for one in made} & {one.urn for one in kept}:
            yield Finding(path, "is in no secret of this stack: nobody could log in with it")


@rule(
    "rds-iam-auth",
    on=INSTANCE,
    severity=Severity.HIGH,
    why="Without it services log in with passwords that do not expire",
    remedy="Keep iam_database_authentication_enabled (components/rds.py)",
    reference=f"{GUIDE}/UsingWithRDS.IAMDBAuth.html",
)
def iam_auth(instance: Resource) -> Iterator[Finding]:
    """Services log in with tokens of IAM."""
    yield from must(instance, "iamDatabaseAuthenticationEnabled", TRUE)


@rule(
    "rds-class",
    on=INSTANCE,
    severity=Severity.HIGH,
    why="A burstable class runs out of CPU credits under steady load",
    remedy="Take an m or r class",
    key="database.primary.instance_class",
    reference=f"{GUIDE}/Concepts.DBInstanceClass.Types.html",
)
def instance_class(instance: Resource) -> Iterator[Finding]:
    """No instance is of a burstable class."""
    steady = Want("a class that is not burstable", lambda value: NAMED.holds(value) and not value.startswith("db.t"))
    yield from must(instance, "instanceClass", steady)


@rule(
    "rds-monitoring",
    on=INSTANCE,
    severity=Severity.MEDIUM,
    why="Without them nobody sees which query or process slows the database down",
    remedy="Keep Performance Insights and enhanced monitoring as Rds sets them (components/rds.py)",
    reference=f"{GUIDE}/USER_Monitoring.OS.html",
)
def monitoring(instance: Resource, *, seconds: Annotated[int, Bounds(1, 60)] = 60) -> Iterator[Finding]:
    """Queries are recorded, and processes measured every so many seconds or more often."""
    yield from must(instance, "performanceInsightsEnabled", TRUE)
    often = Want(f"1 to {seconds}", lambda value: (found := number(value)) is not None and 1 <= found <= seconds)
    yield from must(instance, "monitoringInterval", often)
    yield from must(instance, "monitoringRoleArn", NAMED)


_STATEMENTS: Final = {
    "log_connections": one_of("1"),
    "log_disconnections": one_of("1"),
    "log_statement": one_of("ddl", "mod", "all"),
    "log_lock_waits": one_of("1"),
}


@rule(
    "rds-logs",
    on=(INSTANCE, PARAMETERS),
    severity=Severity.MEDIUM,
    why="Without them nobody can tell afterwards who logged in, and who changed a table",
    remedy="Keep the exports (components/rds.py) and the log parameters (plan_parameters in components/rds_plan.py)",
    reference=f"{GUIDE}/USER_LogAccess.Concepts.PostgreSQL.html",
)
def logs(its: Resource) -> Iterator[Finding]:
    """The server writes down who came and what tables they changed, and its logs leave it."""
    if its.type == PARAMETERS:
        yield from _parameters(its, _STATEMENTS)
        return
    path = "enabledCloudwatchLogsExports"
    exports = [item for _, item in items(its, path)]
    for name in ("postgresql", "upgrade"):
        if name not in exports and UNKNOWN in exports:
            yield unverified(path)
        elif name not in exports:
            yield Finding(path, f"have no {name}, must have it")


@rule(
    "rds-storage-autoscaling",
    on=INSTANCE,
    severity=Severity.MEDIUM,
    why="A full disk stops the database, at any hour",
    remedy="Set the size at which storage autoscaling stops, 10% or more above the first one",
    key="database.primary.max_allocated_gib",
    reference=f"{GUIDE}/USER_PIOPS.Autoscaling.html",
)
def storage_autoscaling(instance: Resource) -> Iterator[Finding]:
    """Storage grows by itself; RDS asks for 10% above what is allocated."""
    first = instance.get("allocatedStorage")
    least = number(first) or 0
    room = Want(
        "10% or more above the first size" if least else "given",
        lambda value: (found := number(value)) is not None and found > 0 and found >= 1.1 * least,
    )
    yield from must(instance, "maxAllocatedStorage", room)
    if first is UNKNOWN:
        yield unverified("allocatedStorage")


@rule(
    "rds-extended-support",
    on=INSTANCE,
    severity=Severity.MEDIUM,
    why="After standard support AWS bills each vCPU hour, without asking, instead of refusing the old version",
    remedy="Keep engine_lifecycle_support off (components/rds.py), and upgrade in time",
    key="database.engine_version",
    reference=f"{GUIDE}/extended-support.html",
)
def extended_support(instance: Resource) -> Iterator[Finding]:
    """Extended support, the default, is off; a replica has it from its source."""
    wanted = one_of("open-source-rds-extended-support-disabled")
    yield from unless_replica(instance, must(instance, "engineLifecycleSupport", wanted))


@rule(
    "rds-change-window",
    on=INSTANCE,
    severity=Severity.MEDIUM,
    why="A change that restarts the database would do so at once, and not at night",
    remedy="Keep apply_immediately false and a maintenance window",
    key="database.maintenance_window",
    reference=f"{GUIDE}/USER_ModifyInstance.ApplyImmediately.html",
)
def change_window(instance: Resource) -> Iterator[Finding]:
    """Changes that interrupt wait for the window; AWS upgrades nothing on its own."""
    yield from must(instance, "applyImmediately", FALSE)
    yield from must(instance, "maintenanceWindow", NAMED)
    # Absent is true. A replica that AWS upgrades before its source is fine, a source before its replica is not.
    yield from must(instance, "autoMinorVersionUpgrade", Want("false", lambda value: value is False))
