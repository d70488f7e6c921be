"""The search index: what it needs before it comes, how it is upgraded, and how two are connected."""

from typing import Any

import pytest

from infra.local.aws.cloud import AwsError
from infra.local.resource import Props
from tests.infra.local.aws.cases_opensearch import domain, log_groups
from tests.infra.local.aws.world import ACCOUNT, Place, World, checked, make, ref

pytestmark = pytest.mark.engine

DOMAIN = "aws:opensearch/domain:Domain"
CONNECTION = "aws:opensearch/outboundConnection:OutboundConnection"
ACCEPTER = "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter"
SERVICE_ROLE = "aws:iam/serviceLinkedRole:ServiceLinkedRole"
SERVICE = "opensearchservice.amazonaws.com"


def logs(place: Place) -> Any:
    return place.call("opensearch", "DescribeDomain", DomainName="thing")["DomainStatus"]["LogPublishingOptions"]


@pytest.fixture
def gone(world: World) -> Any:
    """Whatever a test leaves behind goes, or the next one would find it."""
    yield
    for place in (world.east, world.west):
        for name in place.call("opensearch", "ListDomainNames")["DomainNames"]:
            place.call("opensearch", "DeleteDomain", DomainName=name["DomainName"])


def test_domain_needs_the_service_linked_role(world: World, gone: Any) -> None:
    said = domain(world.east)
    roles = world.east.call("iam", "ListRoles", PathPrefix=f"/aws-service-role/{SERVICE}/")["Roles"]
    world.east.call("iam", "DeleteServiceLinkedRole", RoleName=roles[0]["RoleName"])
    with pytest.raises(AwsError, match="Before you can proceed, you must enable a service-linked role"):
        make(world.east, ref(DOMAIN, "early"), said)
    about = ref(SERVICE_ROLE, "service")
    id, inputs, outputs = make(world.east, about, {"awsServiceName": SERVICE})
    assert outputs["name"] == "AWSServiceRoleForAmazonOpenSearchService"
    make(world.east, ref(DOMAIN, "later"), said)
    with pytest.raises(AwsError, match="domains use it"):
        world.east.session.delete(about, id, inputs, outputs)


def test_account_has_one_service_linked_role_of_a_service(world: World, gone: Any) -> None:
    log_groups(world.east)
    with pytest.raises(AwsError, match=r"Service role name AWSServiceRoleForAmazonOpenSearchService has been taken"):
        make(world.west, ref(SERVICE_ROLE, "second"), {"awsServiceName": SERVICE})


def test_domain_that_may_not_write_its_logs_is_refused(world: World, gone: Any) -> None:
    said = domain(world.east)
    world.east.call("logs", "DeleteResourcePolicy", policyName="opensearch")
    with pytest.raises(AwsError, match=r"The Resource Access Policy specified for the CloudWatch Logs log group"):
        make(world.east, ref(DOMAIN, "silent"), said)


def test_name_that_is_taken_is_refused(world: World, gone: Any) -> None:
    make(world.east, ref(DOMAIN, "one"), domain(world.east))
    with pytest.raises(AwsError, match="Domain already exists: thing") as error:
        make(world.east, ref(DOMAIN, "two"), domain(world.east))
    assert error.value.code == "ResourceAlreadyExistsException"


def test_domain_is_known_by_where_it_is(world: World, gone: Any) -> None:
    id, _, outputs = make(world.east, ref(DOMAIN, "placed"), domain(world.east))
    assert id == outputs["arn"] == f"arn:aws:es:us-east-1:{ACCOUNT}:domain/thing"
    assert outputs["domainId"] == f"{ACCOUNT}/thing"
    assert outputs["endpoint"].startswith("vpc-thing-")
    assert outputs["endpoint"].endswith(".us-east-1.es.amazonaws.com")
    assert outputs["dashboardEndpoint"] == f"{outputs['endpoint']}/_dashboards"
    found = world.east.call("opensearch", "DescribeDomain", DomainName="thing")["DomainStatus"]
    assert found["VPCOptions"]["VPCId"] == world.east.vpc
    assert found["VPCOptions"]["AvailabilityZones"] == ["us-east-1a", "us-east-1b", "us-east-1c"]


def test_import_takes_a_name(world: World, gone: Any) -> None:
    about = ref(DOMAIN, "imported")
    _, inputs, _ = make(world.east, about, domain(world.east))
    found = world.east.session.read(about, "thing", {}, {})
    assert found is not None
    assert found.inputs["clusterConfig"] == inputs["clusterConfig"]


def test_log_that_is_no_longer_listed_is_switched_off(world: World, gone: Any) -> None:
    about, session, said = ref(DOMAIN, "quiet"), world.east.session, domain(world.east)
    id, inputs, outputs = make(world.east, about, said)
    assert {kind: item["Enabled"] for kind, item in logs(world.east).items()} == {
        "SEARCH_SLOW_LOGS": True,
        "AUDIT_LOGS": True,
    }
    fewer = {**said, "logPublishingOptions": said["logPublishingOptions"][:1]}
    session.update(about, id, inputs, outputs, checked(world.east, about, fewer, inputs), False)
    assert logs(world.east)["AUDIT_LOGS"]["Enabled"] is False
    assert logs(world.east)["SEARCH_SLOW_LOGS"]["Enabled"] is True


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"engineVersion": "OpenSearch_3.3"}, False),
        ({"engineVersion": "OpenSearch_2.17"}, True),
        ({"nodeToNodeEncryption": {"enabled": True}}, False),
        ({"domainName": "other"}, True),
        ({"vpcOptions": None}, True),
    ],
    ids=["upgrade", "downgrade", "nothing", "name", "public"],
)
def test_what_replaces_a_domain(world: World, gone: Any, change: Props, replaces: bool) -> None:
    about, said = ref(DOMAIN, "kept"), domain(world.east)
    id, inputs, outputs = make(world.east, about, said)
    new = {name: value for name, value in {**inputs, **change}.items() if value is not None}
    assert bool(world.east.session.diff(about, id, inputs, outputs, new).replaces) is replaces


def test_subnets_and_groups_move_in_place(world: World, gone: Any) -> None:
    about, said = ref(DOMAIN, "moved"), domain(world.east)
    id, inputs, outputs = make(world.east, about, said)
    moved = {"subnetIds": world.east.subnets, "securityGroupIds": [world.east.groups[1]]}
    new = checked(world.east, about, {**said, "vpcOptions": moved}, inputs)
    diff = world.east.session.diff(about, id, inputs, outputs, new)
    assert diff.changes
    assert not diff.replaces
    world.east.session.update(about, id, inputs, outputs, new, False)
    found = world.east.call("opensearch", "DescribeDomain", DomainName="thing")["DomainStatus"]
    assert found["VPCOptions"]["SecurityGroupIds"] == [world.east.groups[1]]


def test_connection_is_asked_for_on_one_side_and_accepted_on_the_other(world: World) -> None:
    ends = {
        "localDomainInfo": {"ownerId": ACCOUNT, "region": "us-west-2", "domainName": "follower"},
        "remoteDomainInfo": {"ownerId": ACCOUNT, "region": "us-east-1", "domainName": "leader"},
    }
    said = {"connectionAlias": "primary", "connectionMode": "DIRECT", **ends}
    connection, inputs, outputs = make(world.west, ref(CONNECTION, "leader"), said)
    assert outputs["connectionStatus"] == "PENDING_ACCEPTANCE"
    accepted, _, shown = make(world.east, ref(ACCEPTER, "leader"), {"connectionId": connection})
    assert accepted == connection
    assert shown["connectionStatus"] == "ACTIVE"
    moved = {**inputs, "remoteDomainInfo": {**ends["remoteDomainInfo"], "domainName": "other"}}
    assert world.west.session.diff(ref(CONNECTION, "leader"), connection, inputs, outputs, moved).replaces
