"""Zones, records and health checks."""

from typing import Any

import pytest

from infra.local.aws import route53
from infra.local.aws.cloud import AwsError
from infra.local.resource import UNKNOWN, Props
from tests.infra.local.aws.world import World, checked, make, ref, refusals

ZONE, RECORD = "aws:route53/zone:Zone", "aws:route53/record:Record"


def a_record(world: World, name: str, **more: Any) -> Props:
    return {"zoneId": world.east.zone, "name": name, "type": "A", "ttl": 60, "records": ["192.0.2.1"], **more}


def live(world: World, name: str) -> list[dict[str, Any]]:
    found = world.east.call("route53", "ListResourceRecordSets", HostedZoneId=world.east.zone)
    return [record for record in found["ResourceRecordSets"] if record["Name"] == f"{name}.example.com."]


@pytest.mark.engine
def test_zone_that_holds_records_stays_unless_forced(world: World) -> None:
    about, session = ref(ZONE, "held"), world.east.session
    said: Props = {"name": "held.org", "comment": "", "forceDestroy": False}
    id, inputs, outputs = make(world.east, about, said)
    make(world.east, ref(RECORD, "held"), {**a_record(world, "a.held.org"), "zoneId": id})
    with pytest.raises(AwsError, match="HostedZoneNotEmpty"):
        session.delete(about, id, inputs, outputs)
    new = checked(world.east, about, {**said, "forceDestroy": True}, inputs)
    outputs = session.update(about, id, inputs, outputs, new, False)
    session.delete(about, id, new, outputs)
    assert session.read(about, id, new, outputs) is None


@pytest.mark.engine
def test_two_zones_of_one_name_are_two(world: World) -> None:
    said = {"name": "twice.org", "comment": ""}
    one, other = make(world.east, ref(ZONE, "one"), said), make(world.east, ref(ZONE, "other"), said)
    assert one[0] != other[0]
    assert one[2]["nameServers"] == sorted(one[2]["nameServers"])


@pytest.mark.engine
def test_record_may_leave_out_the_zone(world: World) -> None:
    about = ref(RECORD, "short")
    id, inputs, outputs = make(world.east, about, a_record(world, "Short"))
    assert outputs["fqdn"] == "short.example.com"
    assert id == f"{world.east.zone}_short.example.com_A"
    state = world.east.session.read(about, id, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


@pytest.mark.engine
def test_text_is_quoted_for_route53_and_not_for_the_program(world: World) -> None:
    about = ref(RECORD, "text")
    id, inputs, outputs = make(world.east, about, a_record(world, "text", type="TXT", records=["v=spf1 -all"]))
    assert live(world, "text")[0]["ResourceRecords"] == [{"Value": '"v=spf1 -all"'}]
    state = world.east.session.read(about, id, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


@pytest.mark.engine
def test_another_type_takes_the_place_of_the_record(world: World) -> None:
    about, session = ref(RECORD, "turns"), world.east.session
    id, inputs, outputs = make(world.east, about, a_record(world, "turns"))
    new = checked(world.east, about, a_record(world, "turns", type="CNAME", records=["a.b"]), inputs)
    assert not session.diff(about, id, inputs, outputs, new).replaces
    outputs = session.update(about, id, inputs, outputs, new, False)
    assert [record["Type"] for record in live(world, "turns")] == ["CNAME"]
    session.delete(about, id, new, outputs)
    assert live(world, "turns") == []


@pytest.mark.engine
def test_regions_answer_one_name_side_by_side(world: World) -> None:
    made = []
    for region in ("us-east-1", "us-west-2"):
        said = a_record(world, "both", setIdentifier=region, latencyRoutingPolicies=[{"region": region}])
        about = ref(RECORD, region)
        made.append((about, *make(world.east, about, said)))
    assert {record["SetIdentifier"] for record in live(world, "both")} == {"us-east-1", "us-west-2"}
    world.east.session.delete(*made[0])
    assert [record["SetIdentifier"] for record in live(world, "both")] == ["us-west-2"]
    state = world.west.session.read(*made[1])
    assert state is not None
    assert state.inputs == made[1][2]


@pytest.mark.engine
def test_record_of_somebody_else_is_not_overwritten_unless_asked(world: World) -> None:
    make(world.east, ref(RECORD, "mine"), a_record(world, "taken"))
    with pytest.raises(AwsError, match="but it already exists"):
        make(world.east, ref(RECORD, "yours"), a_record(world, "taken", ttl=30))
    make(world.east, ref(RECORD, "yours"), a_record(world, "taken", ttl=30, allowOverwrite=True))
    assert live(world, "taken")[0]["TTL"] == 30


@pytest.mark.engine
def test_record_goes_with_its_zone(world: World) -> None:
    zone = make(world.east, ref(ZONE, "gone"), {"name": "gone.org", "comment": "", "forceDestroy": True})
    about = ref(RECORD, "gone")
    record = make(world.east, about, {**a_record(world, "a.gone.org"), "zoneId": zone[0]})
    world.east.session.delete(ref(ZONE, "gone"), *zone)
    assert world.east.session.read(about, *record) is None
    world.east.session.delete(about, *record)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"type": "A"}, "exactly one of `aliases` and `records`"),
        ({"records": ["a"], "ttl": 1, "aliases": [{}]}, "exactly one of `aliases` and `records`"),
        ({"records": ["a"]}, "all of [TTL, and ResourceRecords]"),
        (
            {"aliases": [{}], "latencyRoutingPolicies": [{"region": "a"}]},
            "all of `latencyRoutingPolicies,setIdentifier`",
        ),
        ({"aliases": [{}], "setIdentifier": "a"}, "no routing policy"),
    ],
)
def test_record_that_is_refused(said: Props, message: str) -> None:
    (reason,) = refusals(route53.RECORD, said)
    assert message in reason


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"type": "HTTPS"}, "Either IP address or fully qualified domain name"),
        ({"type": "HTTP_STR_MATCH", "fqdn": "a"}, "searchString is needed"),
        ({"type": "CALCULATED"}, "childHealthChecks is needed"),
        ({"type": "CLOUDWATCH_METRIC"}, "alarmIdentifier is needed"),
        ({"type": "TCP", "ipAddress": "192.0.2.1", "failureThreshold": 11}, "from 1 to 10"),
    ],
)
def test_health_check_that_is_refused(said: Props, message: str) -> None:
    (reason,) = refusals(route53.HEALTH_CHECK, said)
    assert message in reason


def test_health_check_that_is_taken() -> None:
    said = {"type": "HTTPS", "fqdn": UNKNOWN, "failureThreshold": UNKNOWN}
    assert refusals(route53.HEALTH_CHECK, said) == []
