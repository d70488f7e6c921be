"""Caches: the datastores that span regions, and what their members may and may not."""

import pytest

from infra.local.aws.cloud import AwsError
from infra.local.resource import Props, Ref
from tests.infra.local.aws.cases_elasticache import GROUP, common, leader
from tests.infra.local.aws.world import Place, World, checked, make, ref

pytestmark = pytest.mark.engine

DATASTORE = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"

Made = tuple[Ref, str, Props, Props]


def group(place: Place, name: str, said: Props) -> Made:
    about = ref(GROUP, name)
    return about, *make(place, about, said)


def span(world: World, name: str) -> tuple[Made, Made, Made]:
    """A leader in the east, its datastore, and a follower in the west."""
    first = group(world.east, name, leader(world.east, name))
    about = ref(DATASTORE, name)
    said = {
        "globalReplicationGroupIdSuffix": name,
        "primaryReplicationGroupId": name,
        "automaticFailoverEnabled": True,
        "engineVersion": "8.1",
        "cacheNodeType": "cache.r7g.xlarge",
        "numNodeGroups": 3,
    }
    datastore = about, *make(world.east, about, said)
    follower = common(world.west, f"{name}-west", globalReplicationGroupId=datastore[1])
    return first, datastore, group(world.west, f"{name}-west", follower)


def clear(world: World, *made: tuple[Place, Made]) -> None:
    for place, (about, id, inputs, outputs) in made:
        place.session.delete(about, id, inputs, outputs)


def test_a_follower_has_what_its_leader_has(world: World) -> None:
    first, datastore, second = span(world, "shared")
    before, after = first[3], second[3]
    for name in ("engine", "nodeType", "numNodeGroups", "clusterMode", "transitEncryptionMode", "engineVersionActual"):
        assert after[name] == before[name], name
    assert after["configurationEndpointAddress"].endswith(".usw2.cache.amazonaws.com")
    assert after["configurationEndpointAddress"] != before["configurationEndpointAddress"]
    assert after["memberClusters"][0] == "shared-west-0001-001"
    assert len(after["memberClusters"]) == 6
    assert datastore[1] == "ldgnf-shared"
    assert second[3]["globalReplicationGroupId"] == "ldgnf-shared"
    clear(world, (world.west, second), (world.east, datastore), (world.east, first))


def test_what_the_datastore_changes_is_changed_in_every_region(world: World) -> None:
    first, datastore, second = span(world, "resized")
    about, id, inputs, outputs = datastore
    said = {**inputs, "cacheNodeType": "cache.r7g.2xlarge", "engineVersion": "8.2", "numNodeGroups": 2}
    new = checked(world.east, about, {name: said[name] for name in said if not name.startswith("__")}, inputs)
    outputs = world.east.session.update(about, id, inputs, outputs, new, False)
    assert outputs["numNodeGroups"] == 2
    for place, made in ((world.east, first), (world.west, second)):
        state = place.session.read(*made)
        assert state is not None
        assert state.outputs["nodeType"] == "cache.r7g.2xlarge"
        assert state.outputs["engineVersionActual"] == "8.2"
        assert state.outputs["numNodeGroups"] == 2
    clear(world, (world.west, second), (world.east, datastore), (world.east, first))


def test_they_go_in_the_order_that_aws_asks_for(world: World) -> None:
    first, datastore, second = span(world, "ordered")
    with pytest.raises(AwsError, match="part of a global cluster"):
        clear(world, (world.east, first))
    with pytest.raises(AwsError, match="still has secondaries"):
        clear(world, (world.east, datastore))
    clear(world, (world.west, second), (world.east, datastore), (world.east, first))
    for place, made in ((world.west, second), (world.east, datastore), (world.east, first)):
        assert place.session.read(*made) is None


def test_a_datastore_takes_two_followers_in_regions_of_their_own(world: World) -> None:
    first, datastore, second = span(world, "full")
    again = common(world.west, "full-again", globalReplicationGroupId=datastore[1])
    with pytest.raises(AwsError, match="has members in us-east-1, us-west-2: it takes one in a region"):
        group(world.west, "full-again", again)
    ohio, ireland = (world.west.session.region.peer(name) for name in ("us-east-2", "eu-west-1"))
    given = {"GlobalReplicationGroupId": datastore[1], "ReplicationGroupDescription": "third"}
    ohio.call("elasticache", "CreateReplicationGroup", ReplicationGroupId="full-ohio", **given)
    with pytest.raises(AwsError, match="and 2 secondaries"):
        ireland.call("elasticache", "CreateReplicationGroup", ReplicationGroupId="full-ireland", **given)
    ohio.call(
        "elasticache",
        "DisassociateGlobalReplicationGroup",
        GlobalReplicationGroupId=datastore[1],
        ReplicationGroupId="full-ohio",
        ReplicationGroupRegion="us-east-2",
    )
    clear(world, (world.west, second), (world.east, datastore), (world.east, first))


def test_a_follower_that_is_set_free_leads_without_being_replaced(world: World) -> None:
    first, datastore, second = span(world, "lost")
    about, id, inputs, outputs = second
    # The old region is lost: the follower takes over, and leaves the datastore to those who had it.
    world.west.call(
        "elasticache",
        "FailoverGlobalReplicationGroup",
        GlobalReplicationGroupId=datastore[1],
        PrimaryRegion="us-west-2",
        PrimaryReplicationGroupId=id,
    )
    found = world.east.session.read(*datastore)
    assert found is not None
    assert found.outputs["primaryReplicationGroupId"] == id
    world.east.call(
        "elasticache",
        "FailoverGlobalReplicationGroup",
        GlobalReplicationGroupId=datastore[1],
        PrimaryRegion="us-east-1",
        PrimaryReplicationGroupId=first[1],
    )
    world.west.call(
        "elasticache",
        "DisassociateGlobalReplicationGroup",
        GlobalReplicationGroupId=datastore[1],
        ReplicationGroupId=id,
        ReplicationGroupRegion="us-west-2",
    )
    new = checked(world.west, about, leader(world.west, id), inputs)
    diff = world.west.session.diff(about, id, inputs, outputs, new)
    assert not diff.replaces
    outputs = world.west.session.update(about, id, inputs, outputs, new, False)
    again = ref(DATASTORE, "again")
    begun = (
        again,
        *make(world.west, again, {"globalReplicationGroupIdSuffix": "again", "primaryReplicationGroupId": id}),
    )
    assert begun[1] == "sgaui-again"
    clear(world, (world.west, begun), (world.west, (about, id, new, outputs)))
    clear(world, (world.east, datastore), (world.east, first))


def test_a_cluster_leads_one_datastore(world: World) -> None:
    first, datastore, second = span(world, "once")
    with pytest.raises(AwsError, match=r"Cluster \[once\] is part of a global cluster \[ldgnf-once\]"):
        make(
            world.east,
            ref(DATASTORE, "twice"),
            {"globalReplicationGroupIdSuffix": "twice", "primaryReplicationGroupId": "once"},
        )
    clear(world, (world.west, second), (world.east, datastore), (world.east, first))


def test_a_final_snapshot_is_taken(world: World) -> None:
    made = group(world.east, "last", leader(world.east, "last", finalSnapshotIdentifier="last-final"))
    clear(world, (world.east, made))
    found = world.east.call("elasticache", "DescribeSnapshots", SnapshotName="last-final")["Snapshots"]
    assert [snapshot["SnapshotName"] for snapshot in found] == ["last-final"]


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        ({"engineVersion": "8.2"}, False),
        ({"engineVersion": "8.0"}, True),
        ({"engine": "redis", "engineVersion": "7.1"}, True),
        ({"numNodeGroups": 5, "replicasPerNodeGroup": 2, "nodeType": "cache.r7g.4xlarge"}, False),
        ({"kmsKeyId": "arn:other"}, True),
        ({"port": 6380}, True),
        ({"transitEncryptionMode": "preferred"}, False),
    ],
    ids=str,
)
def test_what_a_change_replaces(world: World, change: Props, replaced: bool) -> None:
    about, said = ref(GROUP, "changed"), leader(world.east, "changed")
    old = checked(world.east, about, said)
    new = checked(world.east, about, {**said, **change}, old)
    assert bool(world.east.session.diff(about, "changed", old, {}, new).replaces) is replaced


def test_a_follower_says_nothing_of_its_own(world: World) -> None:
    said = common(world.west, "greedy", globalReplicationGroupId="ldgnf-any", nodeType="cache.r7g.xlarge")
    _, failures = world.west.session.check(ref(GROUP, "greedy"), {}, said)
    assert any("only one of globalReplicationGroupId, nodeType may be given" in item.reason for item in failures)


def test_recorded_groups_are_held_against_the_operations_that_would_make_them(world: World) -> None:
    for token, said, arn in (
        (
            "aws:elasticache/userGroup:UserGroup",
            {"userGroupId": "u", "engine": "valkey", "userIds": ["a"]},
            "usergroup:u",
        ),
        (
            "aws:elasticache/parameterGroup:ParameterGroup",
            {"name": "p", "family": "valkey8", "parameters": [{"name": "cluster-enabled", "value": "yes"}]},
            "parametergroup:p",
        ),
    ):
        about = ref(token, "kept")
        id, inputs, outputs = make(world.east, about, said)
        assert outputs["arn"] == f"arn:aws:elasticache:us-east-1:123456789012:{arn}"
        state = world.east.session.read(about, id, inputs, outputs)
        assert state is not None
        assert state.inputs == inputs
        world.east.session.delete(about, id, inputs, outputs)
        assert world.east.session.read(about, id, inputs, outputs) is None
