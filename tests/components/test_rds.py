"""PostgreSQL of a region, as the engine receives it."""

import json
from typing import Any

import pulumi
import pytest

from app.aws.secrets import Login, parse_login
from components.alarms import Alarms, AlarmsArgs
from components.errors import ArgsError
from components.kms import Kms, KmsArgs
from components.network import Network, NetworkArgs
from components.rds import Rds, RdsArgs, plan_monitoring_trust
from components.rds_plan import WINDOWS, Volume, Windows, plan_alarms, plan_instances, plan_parameters

ACCOUNT = "012345678901"
REGION = "us-east-1"
SOURCE = f"arn:aws:rds:us-east-1:{ACCOUNT}:db:database-0badcafe"
INSTANCE = "aws:rds/instance:Instance"
PASSWORD = "p" * 64
OUTPUTS = {
    "random:index/randomId:RandomId": {"hex": "0badcafe"},
    INSTANCE: {
        "address": "host.rds.amazonaws.com",
        "resourceId": "db-ABC",
    },
    "random:index/randomPassword:RandomPassword": {"result": pulumi.Output.secret(PASSWORD)},
}


def args(**changes: Any) -> RdsArgs:
    keys = Kms("keys", KmsArgs(account_id=ACCOUNT, region=REGION, role="primary"))
    network = NetworkArgs(
        account_id=ACCOUNT,
        region=REGION,
        cidr="10.0.0.0/16",
        zones=("us-east-1a", "us-east-1b", "us-east-1c"),
        flow_log_key=keys["logs"],
    )
    given: dict[str, Any] = {
        "account_id": ACCOUNT,
        "role": "primary",
        "network": Network("network", network),
        "keys": keys,
        "alarms": Alarms("alarms", AlarmsArgs(account_id=ACCOUNT, key=keys["messages"])),
        "instance_class": "db.m7g.4xlarge",
        "replica_class": "db.m7g.2xlarge",
        "replicas": 3,
        "engine_version": "17.9",
        "volume": Volume(size_gib=1024, max_gib=4096),
    }
    return RdsArgs(**(given | changes))


def outputs(database: Rds) -> dict[str, Any]:
    names = ("address", "reader_addresses", "arn", "identifier", "resource_id", "master_secret_arn", "port", "database")
    return {name: getattr(database, name) for name in names}


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: outputs(Rds("database", args())), outputs=OUTPUTS)


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    def program() -> dict[str, Any]:
        return outputs(Rds("database", args(role="standby", source_arn=SOURCE, replicas=0)))

    return recorded(program, outputs=OUTPUTS)


@pytest.fixture(scope="module")
def unlocked(recorded: Any) -> Any:
    return recorded(lambda: Rds("database", args(locked=False)), outputs=OUTPUTS)


REPLICAS = ["database-replica-1", "database-replica-2", "database-replica-3"]
#: What is said of every instance, whatever its place.
SAID_OF_ALL: dict[str, Any] = {
    "engineVersion": "17.9",
    "autoMinorVersionUpgrade": False,
    "applyImmediately": False,
    "port": 5432,
    "publiclyAccessible": False,
    "vpcSecurityGroupIds": ["network-database-id"],
    "parameterGroupName": "database",
    "caCertIdentifier": "rds-ca-rsa2048-g1",
    "iamDatabaseAuthenticationEnabled": True,
    "storageType": "gp3",
    "maxAllocatedStorage": 4096,
    "iops": 12000,
    "storageThroughput": 500,
    "storageEncrypted": True,
    "copyTagsToSnapshot": True,
    "deletionProtection": True,
    "performanceInsightsEnabled": True,
    "performanceInsightsKmsKeyId": "arn:aws:kms:::keys-data",
    "performanceInsightsRetentionPeriod": 7,
    "databaseInsightsMode": "standard",
    "monitoringInterval": 15,
    "monitoringRoleArn": "arn:aws:iam:::database-monitoring",
    "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
}
#: Of the head of a region, besides: a replica beside it has its key, and names none.
SAID_OF_HEADS = SAID_OF_ALL | {"kmsKeyId": "arn:aws:kms:::keys-data"}


def test_the_primary_is_what_the_requirement_asks_for(run: Any) -> None:
    head = run.one(INSTANCE, "database")
    assert {name: its for name, its in head.inputs.items() if name != "password"} == SAID_OF_HEADS | {
        "identifier": "database-0badcafe",
        "instanceClass": "db.m7g.4xlarge",
        "engine": "postgres",
        "engineLifecycleSupport": "open-source-rds-extended-support-disabled",
        "allocatedStorage": 1024,
        "dbName": "docsearch",
        "username": "docsearch_admin",
        "multiAz": True,
        "dbSubnetGroupName": "database",
        "backupRetentionPeriod": 35,
        "backupWindow": "07:00-07:30",
        "maintenanceWindow": "sun:08:00-sun:08:30",
        "deleteAutomatedBackups": False,
        "skipFinalSnapshot": False,
        "finalSnapshotIdentifier": "database-0badcafe-final",
    }
    assert head.protect


def test_the_master_user_has_a_random_password_that_a_secret_keeps(run: Any) -> None:
    password = run.one("random:index/randomPassword:RandomPassword")
    assert password.name == "database-master"
    assert password.inputs == {"length": 64, "special": False, "keepers": {"generation": "1"}}
    secret = run.one("aws:secretsmanager/secret:Secret")
    assert secret.inputs == {
        "description": "Master user of the database",
        "kmsKeyId": "arn:aws:kms:::keys-secrets",
        "recoveryWindowInDays": 30,
    }
    assert secret.protect
    version, head = run.one("aws:secretsmanager/secretVersion:SecretVersion"), run.one(INSTANCE, "database")
    for marked in (head.inputs["password"], version.inputs["secretString"]):
        assert set(marked) > {"value"}, "it is not marked as a secret"
    assert head.inputs["password"]["value"] == PASSWORD
    login = parse_login("DATABASE_PASSWORD_ARN", version.inputs["secretString"]["value"])
    assert login == Login(head.inputs["username"], PASSWORD)
    assert head.urn in version.depends_on_urns, "what RDS has not taken yet opens nothing"
    assert head.links["password"] == version.links["secretString"] == (password.urn,)


def test_a_promoted_standby_makes_a_password_of_its_own(recorded: Any) -> None:
    run = recorded(lambda: Rds("database", args(role="standby", source_arn=SOURCE, promoted=True)), outputs=OUTPUTS)
    assert run.one(INSTANCE, "database").inputs["password"]["value"] == PASSWORD
    assert run.one("aws:secretsmanager/secret:Secret").name == "database-master"


def test_a_new_generation_makes_a_new_password(recorded: Any) -> None:
    run = recorded(lambda: Rds("database", args(password_generation=2)), outputs=OUTPUTS)
    assert run.one("random:index/randomPassword:RandomPassword").inputs["keepers"] == {"generation": "2"}


def test_replicas_take_from_their_source_what_they_may_not_set(run: Any) -> None:
    assert [instance.name for instance in run.of(INSTANCE)] == ["database", *REPLICAS]
    days, zones = ("mon", "tue", "wed"), ("us-east-1a", "us-east-1b", "us-east-1c")
    for name, day, zone in zip(REPLICAS, days, zones, strict=True):
        replica = run.one(INSTANCE, name)
        assert replica.inputs == SAID_OF_ALL | {
            "identifier": f"{name}-0badcafe",
            "instanceClass": "db.m7g.2xlarge",
            "replicateSourceDb": "database-0badcafe",
            "availabilityZone": zone,
            "multiAz": False,
            "backupRetentionPeriod": 0,
            "backupWindow": "07:00-07:30",
            "maintenanceWindow": f"{day}:08:00-{day}:08:30",
            "skipFinalSnapshot": True,
        }
        assert replica.protect
        assert replica.ignore_changes == ("availabilityZone",), "a zone added later would replace it"


def test_the_standby_is_a_replica_that_can_be_promoted_and_backed_up(follower: Any) -> None:
    (head,) = follower.of(INSTANCE)
    assert head.inputs == SAID_OF_HEADS | {
        "identifier": "database-0badcafe",
        "instanceClass": "db.m7g.4xlarge",
        "replicateSourceDb": SOURCE,
        "multiAz": True,
        "dbSubnetGroupName": "database",
        "backupRetentionPeriod": 35,
        "backupWindow": "09:00-09:30",
        "maintenanceWindow": "wed:10:00-wed:10:30",
        "deleteAutomatedBackups": False,
        "skipFinalSnapshot": True,
    }
    assert head.protect


def test_promotion_is_a_change_of_role_that_replaces_nothing(run: Any, follower: Any) -> None:
    # Of an instance, these replace when they change. A promoted replica has them from its source; all others must be
    # the same in both roles.
    replaces = {
        "availabilityZone",
        "dbName",
        "engine",
        "kmsKeyId",
        "storageEncrypted",
        "username",
        "snapshotIdentifier",
    }
    from_source = {"dbName", "engine", "username"}
    before, after = (which.one(INSTANCE, "database") for which in (follower, run))
    assert before.urn == after.urn
    changed = {key for key in before.inputs | after.inputs if before.inputs.get(key) != after.inputs.get(key)}
    assert changed & replaces == from_source
    assert "identifier" not in changed


def test_the_standby_holds_point_in_time_recovery_of_the_primary(run: Any, follower: Any) -> None:
    token = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"
    assert run.of(token) == []
    copy = follower.one(token)
    assert copy.inputs == {
        "sourceDbInstanceArn": SOURCE,
        "kmsKeyId": "arn:aws:kms:::keys-data",
        "retentionPeriod": 35,
    }
    assert copy.protect


def test_outputs_of_the_primary(run: Any) -> None:
    assert run.result == {
        "address": "host.rds.amazonaws.com",
        "reader_addresses": ["host.rds.amazonaws.com"] * 3,
        "arn": "arn:aws:rds:::database",
        "identifier": "database-0badcafe",
        "resource_id": "db-ABC",
        "master_secret_arn": "database-master-id",
        "port": 5432,
        "database": "docsearch",
    }


def test_a_standby_without_replicas_names_no_readers_and_has_no_master_secret(follower: Any) -> None:
    assert follower.result["reader_addresses"] == []
    assert follower.result["master_secret_arn"] is None
    for kind in ("random:index/randomPassword:RandomPassword", "aws:secretsmanager/secret:Secret"):
        assert follower.of(kind) == []


def test_the_parameter_group_is_that_of_the_plan(run: Any) -> None:
    group = run.one("aws:rds/parameterGroup:ParameterGroup").inputs
    assert group["family"] == "postgres17"
    assert group["parameters"] == [
        {
            "name": parameter.name,
            "value": parameter.value,
            "applyMethod": "pending-reboot" if parameter.static else "immediate",
        }
        for parameter in plan_parameters(3000, 32)
    ]


def test_it_lives_in_the_data_subnets_of_every_zone(run: Any) -> None:
    group = run.one("aws:rds/subnetGroup:SubnetGroup").inputs
    assert group["subnetIds"] == ["network-data-a-id", "network-data-b-id", "network-data-c-id"]


def test_every_exported_log_has_an_encrypted_group_before_its_instance(run: Any) -> None:
    for instance in run.of(INSTANCE):
        for log in ("postgresql", "upgrade"):
            group = run.one("aws:cloudwatch/logGroup:LogGroup", f"{instance.name}-{log}")
            assert group.inputs == {
                "name": f"/aws/rds/instance/{instance.inputs['identifier']}/{log}",
                "kmsKeyId": "arn:aws:kms:::keys-logs",
                "retentionInDays": 365,
                "deletionProtectionEnabled": True,
            }
            assert group.protect
            assert group.urn in instance.depends_on_urns


def test_monitoring_may_be_used_by_rds_of_this_account_and_region_only(run: Any) -> None:
    role = run.one("aws:iam/role:Role", "database-monitoring")
    trust = json.loads(role.inputs["assumeRolePolicy"])
    assert trust == plan_monitoring_trust(account_id=ACCOUNT, region=REGION)
    (statement,) = trust["Statement"]
    assert statement["Principal"] == {"Service": "monitoring.rds.amazonaws.com"}
    assert statement["Condition"] == {
        "ArnLike": {"aws:SourceArn": f"arn:aws:rds:{REGION}:{ACCOUNT}:db:*"},
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
    }
    rights = run.one("aws:iam/rolePolicyAttachment:RolePolicyAttachment", "database-monitoring")
    assert rights.inputs["policyArn"].endswith(":policy/service-role/AmazonRDSEnhancedMonitoringRole")
    assert all(rights.urn in instance.depends_on_urns for instance in run.of(INSTANCE))


def test_every_instance_has_the_alarms_of_its_plan(run: Any) -> None:
    instances = plan_instances(
        role="primary",
        instance_class="db.m7g.4xlarge",
        version="17.9",
        replicas=3,
        replica_class="db.m7g.2xlarge",
        replica_version="17.9",
        zones=("us-east-1a", "us-east-1b", "us-east-1c"),
        windows=WINDOWS["primary"],
    )
    expected = {
        f"database{'-' if plan.name else ''}{plan.name}-{row.name}"
        for plan in instances
        for row in plan_alarms(plan, volume=Volume(size_gib=1024, max_gib=4096), max_connections=3000)
    }
    alarms = [
        alarm for alarm in run.of("aws:cloudwatch/metricAlarm:MetricAlarm") if alarm.inputs["namespace"] == "AWS/RDS"
    ]
    assert {alarm.name for alarm in alarms} == expected
    assert len(alarms) == 7 + 3 * 6
    for alarm in alarms:
        watched = alarm.inputs["dimensions"]["DBInstanceIdentifier"].removesuffix("-0badcafe")
        assert alarm.name.removeprefix(watched).startswith("-")
    lag = run.one("aws:cloudwatch/metricAlarm:MetricAlarm", "database-replica-2-lag")
    assert lag.inputs["alarmActions"] == ["arn:aws:sns:::alarms-page"]
    assert lag.inputs["dimensions"] == {"DBInstanceIdentifier": "database-replica-2-0badcafe"}


def test_what_no_metric_shows_is_reported_for_every_instance(run: Any) -> None:
    events = run.one("aws:rds/eventSubscription:EventSubscription").inputs
    assert events["snsTopic"] == "arn:aws:sns:::alarms-ticket"
    assert events["sourceType"] == "db-instance"
    assert events["sourceIds"] == [f"{name}-0badcafe" for name in ("database", *REPLICAS)]
    assert {"failover", "failure"} <= set(events["eventCategories"])


def test_all_locks_are_released_on_purpose_and_together(unlocked: Any) -> None:
    for instance in unlocked.of(INSTANCE):
        assert not instance.protect
        assert instance.inputs["deletionProtection"] is False
        assert instance.inputs["skipFinalSnapshot"] is True
        assert instance.inputs["applyImmediately"] is True
        assert "finalSnapshotIdentifier" not in instance.inputs
    assert unlocked.one(INSTANCE, "database").inputs["deleteAutomatedBackups"] is True
    secret = unlocked.one("aws:secretsmanager/secret:Secret")
    assert not secret.protect
    assert secret.inputs["recoveryWindowInDays"] == 0
    assert not any(
        group.protect for group in unlocked.of("aws:cloudwatch/logGroup:LogGroup") if "database" in group.name
    )


def test_sizes_windows_and_insights_come_from_the_arguments(recorded: Any) -> None:
    changes: dict[str, Any] = {
        "insights": "advanced",
        "monitoring_seconds": 60,
        "windows": Windows(backup="01:00-02:00", maintenance="tue:03:00-tue:04:00"),
        "volume": Volume(size_gib=100, max_gib=200),
        "replicas": 1,
        "replica_version": "17.10",
        "max_connections": 500,
    }
    run = recorded(lambda: Rds("database", args(**changes)), outputs=OUTPUTS)
    head, replica = run.of(INSTANCE)
    assert head.inputs["performanceInsightsRetentionPeriod"] == 465
    assert head.inputs["databaseInsightsMode"] == "advanced"
    assert head.inputs["monitoringInterval"] == 60
    assert head.inputs["backupWindow"] == "01:00-02:00"
    assert (head.inputs["engineVersion"], replica.inputs["engineVersion"]) == ("17.9", "17.10")
    assert replica.inputs["maintenanceWindow"] == "wed:03:00-wed:04:00"
    assert not {"iops", "storageThroughput"} & (head.inputs.keys() | replica.inputs.keys())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source_arn": SOURCE},
            "source_arn is given to a primary region: it follows nobody. Set role to standby, or leave source_arn out.",
        ),
        (
            {"promoted": True},
            "a primary region is promoted: its database follows nobody. Leave it out.",
        ),
        (
            {"role": "standby"},
            (
                "source_arn is not given to a standby region: its database is a replica of the primary region's. "
                "Bring the primary region up first."
            ),
        ),
        (
            {"monitoring_seconds": 20},
            "monitoring_seconds is 20: Enhanced Monitoring measures every 1, 5, 10, 15, 30, 60 s.",
        ),
        (
            {"max_connections": 4000},
            (
                "max_connections is 4000: an instance with 32 GiB takes 100 to 3604. "
                "Take fewer connections or a larger class for the smallest instance."
            ),
        ),
        ({"replicas": 16}, "replicas are 16: a source has 0 to 15."),
        ({"password_generation": 0}, "password_generation is 0: generations are counted from 1."),
    ],
)
def test_bad_input_is_refused_with_its_reason(recorded: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        recorded(lambda: args(**changes))
    assert str(error.value) == message


def test_logs_are_kept_as_long_as_cloudwatch_can(recorded: Any) -> None:
    with pytest.raises(ArgsError, match=r"^log_retention_days is 100: CloudWatch Logs keeps logs for 1, 3, 5, "):
        recorded(lambda: args(log_retention_days=100))
