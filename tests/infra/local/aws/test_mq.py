"""Brokers: what holds on to what, and how they are found again."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.finders import FINDERS
from infra.local.aws.cloud import AwsError
from infra.local.resource import Props
from tests.infra.local.aws.cases_mq import MQ
from tests.infra.local.aws.world import Place, World, checked, make, ref
from tests.infra.stubbed import Stubbed

BROKER = "aws:mq/broker:Broker"
MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
CONFIGURATION = "aws:mq/configuration:Configuration"


def said(world: World, token: str, **more: Any) -> Props:
    case = next(case for case in MQ if case.token == token)
    return {**case.inputs(world.east, world), **more}


def gone(place: Place, token: str, made: tuple[str, Props, Props]) -> None:
    place.session.delete(ref(token), *made)


@pytest.mark.engine
def test_broker_answers_with_tls_only(world: World) -> None:
    made = make(world.east, ref(BROKER), said(world, BROKER))
    id, _, outputs = made
    (instance,) = outputs["instances"]
    assert instance["endpoints"] == ["amqps://mockmq:5671"]
    assert "ipAddress" not in instance
    assert id.startswith("b-")
    assert outputs["arn"] == f"arn:aws:mq:us-east-1:123456789012:broker:broker:{id}"
    gone(world.east, BROKER, made)


@pytest.mark.engine
def test_each_upload_is_a_revision_that_a_broker_can_take(world: World) -> None:
    session, about = world.east.session, ref(CONFIGURATION)
    id, inputs, outputs = make(world.east, about, said(world, CONFIGURATION))
    assert outputs["latestRevision"] == 2
    kept = world.east.call("mq", "DescribeConfigurationRevision", ConfigurationId=id, ConfigurationRevision="2")
    # As the API has it: base64.
    assert kept["Data"] == "Y29uc3VtZXJfdGltZW91dCA9IDE4MDAwMDAK"
    new = checked(world.east, about, said(world, CONFIGURATION, data="heartbeat = 60\n"), inputs)
    assert session.update(about, id, inputs, outputs, new, False)["latestRevision"] == 3
    gone(world.east, CONFIGURATION, (id, new, outputs))


@pytest.mark.engine
def test_another_version_replaces_a_configuration_but_not_a_broker(world: World) -> None:
    session = world.east.session
    for token, replaced in ((CONFIGURATION, True), (BROKER, False)):
        id, inputs, outputs = made = make(world.east, ref(token), said(world, token))
        new = checked(world.east, ref(token), said(world, token, engineVersion="4.3"), inputs)
        assert session.diff(ref(token), id, inputs, outputs, new).replaces is replaced
        gone(world.east, token, made)


@pytest.mark.engine
def test_two_brokers_of_one_name_are_refused(world: World) -> None:
    made = make(world.east, ref(BROKER), said(world, BROKER))
    with pytest.raises(AwsError, match="already in use"):
        make(world.east, ref(BROKER, "other"), said(world, BROKER))
    gone(world.east, BROKER, made)


@pytest.mark.engine
def test_a_configuration_in_use_stays(world: World) -> None:
    configuration = make(world.east, ref(CONFIGURATION), said(world, CONFIGURATION))
    id, _, outputs = configuration
    uses = said(world, BROKER, configuration={"id": id, "revision": outputs["latestRevision"]})
    broker = make(world.east, ref(BROKER), uses)
    with pytest.raises(AwsError, match="in use by broker"):
        gone(world.east, CONFIGURATION, configuration)
    gone(world.east, BROKER, broker)
    gone(world.east, CONFIGURATION, configuration)


def test_a_broker_is_found_by_its_name() -> None:
    there = Stubbed()
    brokers = [{"BrokerName": name, "BrokerId": f"b-{name}", "DeploymentMode": "m", "EngineType": "e"} for name in "xy"]
    there.expect("mq", "list_brokers", {"BrokerSummaries": brokers})
    assert FINDERS[BROKER](there, {"brokerName": "y"}) == "b-y"
    there.all_asked()


def test_a_configuration_is_found_on_a_later_page() -> None:
    def page(name: str, **more: str) -> dict[str, Any]:
        needed = ("Arn", "AuthenticationStrategy", "Description", "EngineType", "EngineVersion")
        revision = {"Created": MOMENT, "Revision": 1}
        item = {"Name": name, "Id": f"c-{name}", "Created": MOMENT, "LatestRevision": revision}
        return {"Configurations": [{**dict.fromkeys(needed, "x"), **item}], **more}

    there = Stubbed()
    there.expect("mq", "list_configurations", page("x", NextToken="more"))
    there.expect("mq", "list_configurations", page("y"), NextToken="more")
    assert FINDERS[CONFIGURATION](there, {"name": "y"}) == "c-y"
    there.expect("mq", "list_configurations", page("x"))
    assert FINDERS[CONFIGURATION](there, {"name": "y"}) is None
    there.refuse("mq", "list_configurations", "ForbiddenException")
    assert FINDERS[CONFIGURATION](there, {"name": "y"}) is None
    there.all_asked()
