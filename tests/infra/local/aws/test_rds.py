"""Databases: their locks, and the day that a replica takes over."""

from typing import Any

import pytest

from infra.local.aws.cloud import AwsError
from infra.local.resource import Props, ProviderError, Ref
from tests.infra.local.aws.world import Place, World, checked, make, ref

pytestmark = pytest.mark.engine

INSTANCE = "aws:rds/instance:Instance"


def head(place: Place, identifier: str, **more: Any) -> Props:
    return {
        "identifier": identifier,
        "engine": "postgres",
        "engineVersion": "18.1",
        "instanceClass": "db.m7g.large",
        "allocatedStorage": 400,
        "storageType": "gp3",
        "storageEncrypted": True,
        "kmsKeyId": place.key,
        "username": "master",
        "password": "correct-horse",
        "backupRetentionPeriod": 7,
        "dbSubnetGroupName": place.subnet_group,
        "skipFinalSnapshot": True,
        **more,
    }


def snapshots(place: Place, kind: str) -> list[str]:
    found = place.call("rds", "DescribeDBSnapshots", SnapshotType=kind)["DBSnapshots"]
    return [snapshot["DBSnapshotIdentifier"] for snapshot in found]


def test_protected_instance_is_not_deleted(world: World) -> None:
    about, session = ref(INSTANCE, "locked"), world.east.session
    id, inputs, outputs = make(world.east, about, head(world.east, "locked", deletionProtection=True))
    with pytest.raises(AwsError, match="Cannot delete protected DB Instance, please disable deletion protection"):
        session.delete(about, id, inputs, outputs)
    new = checked(world.east, about, head(world.east, "locked", deletionProtection=False), inputs)
    outputs = session.update(about, id, inputs, outputs, new, False)
    session.delete(about, id, new, outputs)
    assert session.read(about, id, new, outputs) is None


def test_final_snapshot_is_taken_and_backups_go_as_asked(world: World) -> None:
    about, session = ref(INSTANCE, "last"), world.east.session
    said = head(world.east, "last", skipFinalSnapshot=False, finalSnapshotIdentifier="last-final")
    id, inputs, outputs = make(world.east, about, said)
    assert any(name.startswith("rds:last") for name in snapshots(world.east, "automated"))
    session.delete(about, id, inputs, outputs)
    assert snapshots(world.east, "manual") == ["last-final"]
    assert not any(name.startswith("rds:last") for name in snapshots(world.east, "automated"))


def test_instance_does_not_go_without_saying_what_of_its_snapshot(world: World) -> None:
    about, session = ref(INSTANCE, "unsaid"), world.east.session
    id, inputs, outputs = make(world.east, about, head(world.east, "unsaid", skipFinalSnapshot=False))
    with pytest.raises(ProviderError, match="final_snapshot_identifier is required"):
        session.delete(about, id, inputs, outputs)
    assert session.read(about, id, inputs, outputs) is not None


def follower(world: World) -> tuple[Ref, str, Props, Props]:
    about = ref(INSTANCE, "follower")
    said = {
        "identifier": "follower",
        "replicateSourceDb": world.east.database["DBInstanceArn"],
        "engineVersion": "18.1",
        "instanceClass": "db.m7g.large",
        "storageType": "gp3",
        "storageEncrypted": True,
        "kmsKeyId": world.west.key,
        "backupRetentionPeriod": 7,
        "dbSubnetGroupName": world.west.subnet_group,
        "parameterGroupName": world.west.parameter_group,
        "skipFinalSnapshot": True,
    }
    return about, *make(world.west, about, said)


def test_a_replica_that_does_not_say_that_it_is_encrypted_would_be_replaced(world: World) -> None:
    """It took its source's encryption over, and the provider takes silence for "no" (hashicorp/aws issue 3470)."""
    session = world.east.session
    about = ref(INSTANCE, "silent")
    said = {
        "identifier": "silent",
        "replicateSourceDb": world.east.database["DBInstanceIdentifier"],
        "instanceClass": "db.m7g.large",
        "parameterGroupName": world.east.parameter_group,
        "skipFinalSnapshot": True,
    }
    id, inputs, outputs = make(world.east, about, said)
    assert outputs["storageEncrypted"] is True
    silent = session.diff(about, id, inputs, outputs, inputs)
    assert [(change.path, change.replaces) for change in silent.changes] == [("storageEncrypted", True)]
    said["storageEncrypted"] = True
    assert not session.diff(about, id, {**inputs, "storageEncrypted": True}, outputs, said).replaces
    session.delete(about, id, inputs, outputs)


def test_another_region_replaces_and_the_providers_own_written_out_does_not(world: World) -> None:
    about, said = ref(INSTANCE, "placed"), head(world.east, "placed")
    inputs = checked(world.east, about, said)
    outputs = {**inputs, "region": "us-east-1"}
    for region, replaces in (("us-east-1", False), ("us-west-2", True)):
        new = {**inputs, "region": region}
        diff = world.east.session.diff(about, "db-1", inputs, outputs, new)
        assert [change.path for change in diff.changes if change.replaces] == ["region"] * replaces
        assert bool(diff.changes) is replaces
    # The provider of the program is in another region: what it says nowhere, each resource would follow.
    assert world.west.session.diff(about, "db-1", inputs, outputs, inputs).replaces


def test_promotion_replaces_nothing(world: World) -> None:
    session = world.west.session
    about, id, inputs, outputs = follower(world)
    said = head(world.west, "follower", parameterGroupName=world.west.parameter_group)
    new = checked(world.west, about, said, inputs)
    diff = session.diff(about, id, inputs, outputs, new)
    assert not diff.replaces
    assert {change.path for change in diff.changes} == {"password", "replicateSourceDb"}
    outputs = session.update(about, id, inputs, outputs, new, False)
    state = session.read(about, id, new, outputs)
    assert state is not None
    assert state.inputs == new
    session.delete(about, id, new, outputs)


def test_a_password_that_rds_managed_becomes_ours_in_place_and_then_there_are_replicas(world: World) -> None:
    session, about = world.east.session, ref(INSTANCE, "managed")
    said = head(world.east, "managed", manageMasterUserPassword=True)
    del said["password"]
    id, inputs, outputs = make(world.east, about, said)
    assert outputs["masterUserSecrets"][0]["secretArn"].startswith("arn:aws:secretsmanager:us-east-1:")
    follows = {name: said[name] for name in ("instanceClass", "storageEncrypted", "skipFinalSnapshot")}
    follows |= {"identifier": "follows", "replicateSourceDb": "managed"}
    with pytest.raises(AwsError, match="where ManageMasterUserPassword is enabled is not supported"):
        make(world.east, ref(INSTANCE, "follows"), follows)
    new = checked(world.east, about, head(world.east, "managed"), inputs)
    diff = session.diff(about, id, inputs, outputs, new)
    assert not diff.replaces
    outputs = session.update(about, id, inputs, outputs, new, False)
    assert outputs["masterUserSecrets"] == []
    reader = make(world.east, ref(INSTANCE, "follows"), follows)
    session.delete(ref(INSTANCE, "follows"), *reader)
    session.delete(about, id, new, outputs)


def test_replica_cannot_choose_another_source(world: World) -> None:
    session = world.west.session
    about, id, inputs, outputs = follower(world)
    other = {**inputs, "replicateSourceDb": "arn:aws:rds:us-east-1:123456789012:db:other"}
    with pytest.raises(ProviderError, match="cannot elect new source database for replication"):
        session.update(about, id, inputs, outputs, other, False)
    session.delete(about, id, inputs, outputs)


def test_restored_instance_has_what_the_snapshot_had(world: World) -> None:
    about = ref(INSTANCE, "restored")
    source = world.east.database["DBInstanceIdentifier"]
    world.east.call("rds", "CreateDBSnapshot", DBInstanceIdentifier=source, DBSnapshotIdentifier="before")
    said = {
        "identifier": "restored",
        "snapshotIdentifier": "before",
        "instanceClass": "db.m7g.xlarge",
        "storageEncrypted": True,
        "backupRetentionPeriod": 3,
        "dbSubnetGroupName": world.east.subnet_group,
        "deletionProtection": False,
        "skipFinalSnapshot": True,
    }
    id, inputs, outputs = make(world.east, about, said)
    assert outputs["engine"] == "postgres"
    assert outputs["allocatedStorage"] == 400
    state = world.east.session.read(about, id, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


def test_many_parameters_are_set_and_taken_back(world: World) -> None:
    about, session = ref("aws:rds/parameterGroup:ParameterGroup", "many"), world.east.session

    def group(count: int) -> Props:
        parameters = [{"name": f"custom.p{n}", "value": str(n), "applyMethod": "immediate"} for n in range(count)]
        return {"family": "postgres18", "description": "many", "parameters": parameters}

    id, inputs, outputs = make(world.east, about, group(45))
    found = world.east.call("rds", "DescribeDBParameters", DBParameterGroupName=id)["Parameters"]
    assert len(found) == 45
    new = checked(world.east, about, group(3), inputs)
    session.update(about, id, inputs, outputs, new, False)
    found = world.east.call("rds", "DescribeDBParameters", DBParameterGroupName=id)["Parameters"]
    assert sorted(parameter["ParameterName"] for parameter in found) == ["custom.p0", "custom.p1", "custom.p2"]


def test_replicated_backups_are_recorded_where_they_lie(world: World) -> None:
    token = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"
    about, session = ref(token, "backups"), world.west.session
    said = {"sourceDbInstanceArn": world.east.database["DBInstanceArn"], "kmsKeyId": world.west.key}
    id, inputs, outputs = make(world.west, about, said)
    assert id.startswith("arn:aws:rds:us-west-2:123456789012:auto-backup:ab-")
    state = session.read(about, id, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs
    assert session.diff(about, id, inputs, outputs, {**inputs, "retentionPeriod": 35}).replaces
    session.delete(about, id, inputs, outputs)
    assert session.read(about, id, inputs, outputs) is None


def test_recorded_type_is_held_against_the_operation_that_would_make_it(world: World) -> None:
    token = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"
    said = {"sourceDbInstanceArn": "arn", "retentionPeriod": "a week"}
    _, (failure,) = world.west.session.check(ref(token), {}, said)
    assert "retentionPeriod is 'a week', but AWS takes an integer" in failure.reason
