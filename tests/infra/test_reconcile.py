"""What a killed run left behind: found, and settled without losing or doubling anything."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import ANY
from hypothesis import given
from hypothesis import strategies as st

from infra import reconcile
from infra.clouds import Cloud
from infra.errors import PendingOperationsError
from infra.finders import BY_TAG, FINDERS, WHOLE_ARN, _named
from infra.inventory import LOOKS, Region
from infra.local.aws import TYPES
from infra.plan import UNKNOWN, Change, Plan
from infra.program import read_config
from infra.reconcile import Leftover, Reconciler, _in_order
from stacks.region import RESOURCE_TAG
from tests.infra.stubbed import Believed, Stubbed, expect_tagged
from tests.regions import STACKS, region

PREFIX = "urn:pulumi:prod::docsearch::"
TOPIC = "aws:sns/topic:Topic"
VPC = "aws:ec2/vpc:Vpc"
ROLE = "aws:iam/role:Role"
PROVIDER = f"{PREFIX}pulumi:providers:aws::aws"


def urn(type_: str, name: str) -> str:
    return f"{PREFIX}{type_}::{name}"


def resource(type_: str, name: str, id: str = "", **more: Any) -> dict[str, Any]:
    found = {"urn": urn(type_, name), "type": type_, "inputs": {}, "provider": f"{PROVIDER}::p1", **more}
    return found | ({"id": id, "outputs": {}} if id else {})


STACK = {"urn": f"{PREFIX}pulumi:pulumi:Stack::docsearch-prod", "type": "pulumi:pulumi:Stack", "inputs": {}}
CLOUD = {"urn": PROVIDER, "type": "pulumi:providers:aws", "id": "p1", "inputs": {"region": "us-east-1"}}


# The order of a state


names = st.sampled_from("abcdefgh")
dependencies = st.lists(st.tuples(names, st.sets(names), st.booleans()), max_size=12)


@given(dependencies)
def test_everything_stands_after_what_it_depends_on_and_nothing_is_lost(
    given_: list[tuple[str, set[str], bool]],
) -> None:
    """Two may have one URN: a resource, and its predecessor that is still to be deleted."""
    resources: list[dict[str, Any]] = [
        {
            "urn": name,
            "id": str(index),
            "delete": old,
            "dependencies": sorted(other for other in others if other < name),
            "parent": chr(ord(name) - 1) if name > "a" else "",
            "provider": "a::p1" if name > "a" else "",
        }
        for index, (name, others, old) in enumerate(given_)
    ]
    ordered = _in_order(resources)
    assert sorted(item["id"] for item in ordered) == sorted(item["id"] for item in resources)
    there = {item["urn"] for item in resources}
    seen: set[str] = set()
    for item in ordered:
        needed = {item["parent"], item["provider"].partition("::")[0], *item["dependencies"]} & there
        assert needed <= seen | {item["urn"]}
        seen.add(item["urn"])


# Finding one resource


@pytest.fixture
def there() -> Iterator[Stubbed]:
    found = Stubbed()
    yield found
    found.all_asked()


@pytest.mark.parametrize(
    ("type_", "inputs", "id"),
    [
        (ROLE, {"name": "nodes-0a1b2c3"}, "nodes-0a1b2c3"),
        ("aws:iam/rolePolicy:RolePolicy", {"role": "nodes", "name": "read"}, "nodes:read"),
        ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", {"role": "nodes", "policyArn": "arn:p"}, "nodes/arn:p"),
        ("aws:ec2/route:Route", {"routeTableId": "rtb-1", "destinationCidrBlock": "0.0.0.0/0"}, "r-rtb-1_0.0.0.0/0"),
        ("aws:s3/bucket:Bucket", {"bucket": "logs-1"}, "logs-1"),
        ("aws:s3/bucketReplicationConfig:BucketReplicationConfig", {"bucket": "logs-1"}, "logs-1"),
        ("aws:route53/record:Record", {"zoneId": "Z1", "name": "api.x", "type": "A"}, "Z1_api.x_A"),
        (
            "aws:route53/record:Record",
            {"zoneId": "Z1", "name": "api.x", "type": "A", "setIdentifier": "us-east-1"},
            "Z1_api.x_A_us-east-1",
        ),
    ],
)
def test_an_id_that_is_made_of_inputs_needs_no_call(
    there: Stubbed, type_: str, inputs: dict[str, Any], id: str
) -> None:
    assert FINDERS[type_](there, inputs) == id


def test_a_name_that_the_inputs_do_not_hold_finds_nothing(there: Stubbed) -> None:
    assert _named("{role}:{name}")(there, {"role": "nodes"}) is None


def test_a_topic_is_found_by_the_end_of_its_arn(there: Stubbed) -> None:
    pages = ["arn:aws:sns:us-east-1:1:not-alarms-page", "arn:aws:sns:us-east-1:1:other"]
    there.expect("sns", "list_topics", {"Topics": [{"TopicArn": arn} for arn in pages], "NextToken": "more"})
    last = {"Topics": [{"TopicArn": "arn:aws:sns:us-east-1:1:alarms-page"}]}
    there.expect("sns", "list_topics", last, NextToken="more")
    assert FINDERS[TOPIC](there, {"name": "alarms-page"}) == "arn:aws:sns:us-east-1:1:alarms-page"


def test_a_database_is_found_by_its_identifier_and_known_by_its_own_id(there: Stubbed) -> None:
    answer = {"DBInstances": [{"DBInstanceIdentifier": "head", "DbiResourceId": "db-ABC"}]}
    there.expect("rds", "describe_db_instances", answer, DBInstanceIdentifier="head")
    assert FINDERS["aws:rds/instance:Instance"](there, {"identifier": "head"}) == "db-ABC"


def test_a_listener_is_found_by_its_port(there: Stubbed) -> None:
    answer = {"Listeners": [{"ListenerArn": "arn:80", "Port": 80}, {"ListenerArn": "arn:443", "Port": 443}]}
    there.expect("elbv2", "describe_listeners", answer, LoadBalancerArn="arn:lb")
    assert FINDERS["aws:lb/listener:Listener"](there, {"loadBalancerArn": "arn:lb", "port": 443}) == "arn:443"


def test_a_listener_rule_is_found_by_its_priority(there: Stubbed) -> None:
    rules = [{"RuleArn": f"arn:{priority}", "Priority": priority} for priority in ("default", "100", "10")]
    there.expect("elbv2", "describe_rules", {"Rules": rules}, ListenerArn="arn:https")
    # Numbers in a state are floating.
    inputs = {"listenerArn": "arn:https", "priority": 10.0}
    assert FINDERS["aws:lb/listenerRule:ListenerRule"](there, inputs) == "arn:10"


def test_a_global_datastore_is_found_by_what_follows_its_regions_prefix(there: Stubbed) -> None:
    ids = ("ldgnf-not-cache-1", "ldgnf-cache-10", "ldgnf-cache-1")
    answer = {"GlobalReplicationGroups": [{"GlobalReplicationGroupId": id} for id in ids]}
    there.expect("elasticache", "describe_global_replication_groups", answer)
    find = FINDERS["aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"]
    assert find(there, {"globalReplicationGroupIdSuffix": "cache-1"}) == "ldgnf-cache-1"


def test_a_zone_is_found_by_name_and_comment_and_known_by_its_bare_id(there: Stubbed) -> None:
    def zone(id: str, comment: str) -> dict[str, Any]:
        return {"Id": f"/hostedzone/{id}", "Name": "x.com.", "CallerReference": id, "Config": {"Comment": comment}}

    answer = {"HostedZones": [zone("Z1", "by hand"), zone("Z2", "docsearch")], "IsTruncated": False, "MaxItems": "100"}
    there.expect("route53", "list_hosted_zones", {**answer, "Marker": ""})
    assert FINDERS["aws:route53/zone:Zone"](there, {"name": "x.com", "comment": "docsearch"}) == "Z2"


def test_a_health_check_is_found_by_what_it_asks(there: Stubbed) -> None:
    def check(id: str, name: str) -> dict[str, Any]:
        config = {"Type": "HTTPS", "FullyQualifiedDomainName": name}
        return {"Id": id, "CallerReference": id, "HealthCheckConfig": config, "HealthCheckVersion": 1}

    checks = [check("1", "us-west-2.x.com"), check("2", "us-east-1.x.com")]
    answer = {"HealthChecks": checks, "IsTruncated": False, "MaxItems": "100", "Marker": ""}
    there.expect("route53", "list_health_checks", answer)
    assert FINDERS["aws:route53/healthCheck:HealthCheck"](there, {"fqdn": "us-east-1.x.com"}) == "2"


def test_an_association_is_found_by_its_subnet(there: Stubbed) -> None:
    associations = [{"RouteTableAssociationId": "rtbassoc-1", "SubnetId": "subnet-1"}, {"Main": True}]
    there.expect(
        "ec2", "describe_route_tables", {"RouteTables": [{"Associations": associations}]}, RouteTableIds=["rtb-1"]
    )
    find = FINDERS["aws:ec2/routeTableAssociation:RouteTableAssociation"]
    assert find(there, {"routeTableId": "rtb-1", "subnetId": "subnet-1"}) == "rtbassoc-1"


def test_the_current_version_of_a_secret_is_found(there: Stubbed) -> None:
    old, new = "1" * 32, "2" * 32
    versions = {old: ["AWSPREVIOUS"], new: ["AWSCURRENT"]}
    there.expect("secretsmanager", "describe_secret", {"VersionIdsToStages": versions}, SecretId="arn:s")
    assert FINDERS["aws:secretsmanager/secretVersion:SecretVersion"](there, {"secretId": "arn:s"}) == f"arn:s|{new}"


@pytest.mark.parametrize(
    ("type_", "service", "operation", "code", "inputs"),
    [
        ("aws:rds/instance:Instance", "rds", "describe_db_instances", "DBInstanceNotFound", {"identifier": "head"}),
        (
            "aws:ec2/routeTableAssociation:RouteTableAssociation",
            "ec2",
            "describe_route_tables",
            "InvalidRouteTableID.NotFound",
            {"routeTableId": "rtb-1", "subnetId": "subnet-1"},
        ),
        (
            "aws:secretsmanager/secretVersion:SecretVersion",
            "secretsmanager",
            "describe_secret",
            "ResourceNotFoundException",
            {"secretId": "arn:s"},
        ),
    ],
)
def test_what_the_cloud_does_not_know_is_not_found(
    there: Stubbed, type_: str, service: str, operation: str, code: str, inputs: dict[str, Any]
) -> None:
    there.refuse(service, operation, code)
    assert FINDERS[type_](there, inputs) is None


@pytest.mark.parametrize("stack", STACKS)
def test_every_aws_type_of_the_program_can_be_found(stack: str) -> None:
    harmless = {"aws:acm/certificateValidation:CertificateValidation"}  # It is no thing, and only waits for one.
    types = {item.type for item in region(stack).managed if item.type.startswith("aws:")}
    assert types - BY_TAG - FINDERS.keys() - harmless == set()
    assert not BY_TAG & FINDERS.keys()
    assert BY_TAG | FINDERS.keys() >= WHOLE_ARN
    assert {type_.removeprefix("aws:") for type_ in BY_TAG} <= LOOKS.keys()


# Finding and settling


class Fake:
    """A stack whose state is kept here; refreshing drops what the cloud does not have."""

    stack = "prod"
    cloud = Cloud("local", Path(), aws_url="http://127.0.0.1:1")

    def __init__(
        self, *resources: Mapping[str, Any], pending: list[tuple[str, Mapping[str, Any]]] | None = None
    ) -> None:
        self.config = read_config("prod")
        operations = [{"type": kind, "resource": dict(item)} for kind, item in pending or ()]
        self.kept: dict[str, Any] = {"resources": [dict(item) for item in resources], "pending_operations": operations}
        self.gone: set[str] = set()
        self.done: list[str] = []

    def state(self) -> dict[str, Any]:
        return {name: [dict(item) for item in items] for name, items in self.kept.items()}

    def unlock(self) -> None:
        self.done.append("unlock")

    def replace_state(self, state: Mapping[str, Any]) -> None:
        self.done.append("replace state")
        self.kept = {name: list(items) for name, items in state.items()}

    planned: Sequence[Change] = ()

    def preview(self) -> Plan:
        return Plan("prod", "us-east-1", "local", tuple(self.planned))

    def refresh(self) -> None:
        self.done.append("refresh")
        self.kept["resources"] = [item for item in self.kept["resources"] if item["urn"] not in self.gone]

    def destroy_only(self, urns: list[str]) -> None:
        self.done.append(f"destroy {', '.join(sorted(urns))}")

    @property
    def rows(self) -> list[tuple[str, str, bool]]:
        return [(item["urn"], item.get("id", ""), item.get("delete", False)) for item in self.kept["resources"]]


@pytest.fixture
def clouds(monkeypatch: pytest.MonkeyPatch) -> dict[str, Stubbed]:
    """The regions of the cloud, by name; all of them answer what `there` was told."""
    found: dict[str, Stubbed] = {}
    monkeypatch.setattr(reconcile, "Region", lambda name, stack, cloud: found.setdefault(name, Believed(stack)))
    return found


Reconcile = Callable[[Fake], Reconciler]


def with_tagged(clouds: dict[str, Stubbed], by_arn: Mapping[str, str], by_id: Mapping[str, str]) -> None:
    clouds["us-east-1"] = Believed()
    expect_tagged(clouds["us-east-1"], by_arn, by_id)


def test_a_stack_without_leftovers_is_clean(clouds: dict[str, Stubbed]) -> None:
    with_tagged(clouds, {}, {"vpc-1": "ec2/vpc:Vpc::network"})
    fake = Fake(STACK, CLOUD, resource(VPC, "network", "vpc-1"))
    assert Reconciler(fake).find() == []  # type: ignore[arg-type]
    assert fake.done == ["unlock"]


def test_each_unfinished_operation_gets_its_verdict(clouds: dict[str, Stubbed]) -> None:
    with_tagged(clouds, {}, {"vpc-1": "ec2/vpc:Vpc::network"})
    key = resource("aws:kms/key:Key", "keys-data", "mrk-1")
    fake = Fake(
        STACK,
        CLOUD,
        key,
        pending=[
            ("creating", resource(VPC, "network")),
            ("creating", resource(VPC, "other")),
            ("updating", key),
            ("creating", resource("random:index/randomId:RandomId", "suffix")),
            (
                "creating",
                resource("kubernetes:core/v1:Service", "s", inputs={"metadata": {"namespace": "n", "name": "s"}}),
            ),
            ("creating", resource("kubernetes:core/v1:Namespace", "n", inputs={"metadata": {"name": "n"}})),
        ],
    )
    found = Reconciler(fake).find()  # type: ignore[arg-type]
    assert [(item.operation, item.urn.rpartition("::")[2], item.id, item.verdict) for item in found] == [
        ("creating", "network", "vpc-1", "adopt"),
        ("creating", "other", "", "forget"),
        ("updating", "keys-data", "mrk-1", "refresh"),
        ("creating", "suffix", "", "forget"),
        ("creating", "s", "n/s", "adopt"),
        ("creating", "n", "n", "adopt"),
    ]
    assert fake.rows == [(item["urn"], item.get("id", ""), False) for item in (STACK, CLOUD, key)], "nothing is changed"


def test_an_operation_in_the_peer_region_is_looked_up_there(clouds: dict[str, Stubbed]) -> None:
    clouds["us-west-2"] = Believed()
    clouds["us-west-2"].expect("sns", "list_topics", {"Topics": [{"TopicArn": "arn:aws:sns:us-west-2:1:t"}]})
    clouds["us-west-2"].expect(
        "resourcegroupstaggingapi", "get_resources", {"ResourceTagMappingList": []}, TagFilters=ANY
    )
    clouds["us-west-2"].expect("ec2", "describe_tags", {"Tags": []}, Filters=ANY)
    with_tagged(clouds, {}, {})
    away = {**CLOUD, "urn": f"{PREFIX}pulumi:providers:aws::aws-peer", "inputs": {"region": "us-west-2"}}
    topic = resource(TOPIC, "t", inputs={"name": "t"}, provider=f"{away['urn']}::p1")
    (found,) = Reconciler(Fake(STACK, CLOUD, away, pending=[("creating", topic)])).find()  # type: ignore[arg-type]
    assert found.id == "arn:aws:sns:us-west-2:1:t"
    clouds["us-west-2"].all_asked()


def test_what_carries_our_tag_and_is_in_no_state_is_an_orphan(clouds: dict[str, Stubbed]) -> None:
    with_tagged(
        clouds,
        {
            "arn:aws:kms:us-east-1:1:key/mrk-1": "kms/key:Key::keys-data",
            "arn:aws:kms:us-east-1:1:key/mrk-2": "kms/key:Key::keys-logs",
            "arn:aws:sns:us-east-1:1:known-by-arn": "sns/topic:Topic::alarms",
        },
        {},
    )
    topic = resource(TOPIC, "alarms", "x", outputs={"arn": "arn:aws:sns:us-east-1:1:known-by-arn"}) | {
        "outputs": {"arn": "arn:aws:sns:us-east-1:1:known-by-arn"}
    }
    fake = Fake(STACK, CLOUD, resource("aws:kms/key:Key", "keys-data", "mrk-1"), topic)
    (found,) = Reconciler(fake).find()  # type: ignore[arg-type]
    assert (found.operation, found.type, found.id, found.arn) == (
        "orphan",
        "kms/key:Key::keys-logs",
        "mrk-2",
        "arn:aws:kms:us-east-1:1:key/mrk-2",
    )


def test_what_was_deleted_lately_is_neither_adopted_nor_an_orphan(clouds: dict[str, Stubbed]) -> None:
    """AWS shows a key's tags for 30 days after it was deleted."""
    arns = {f"arn:aws:kms:us-east-1:1:key/mrk-{i}": "kms/key:Key::keys-data" for i in range(3)}
    with_tagged(clouds, arns, {})
    clouds["us-east-1"].gone = frozenset([*arns][:2])  # type: ignore[attr-defined]
    fake = Fake(STACK, CLOUD, pending=[("creating", resource("aws:kms/key:Key", "keys-data"))])
    assert [(item.id, item.verdict) for item in Reconciler(fake).find()] == [("mrk-2", "adopt")]  # type: ignore[arg-type]


def test_what_an_unfinished_operation_made_is_no_orphan(clouds: dict[str, Stubbed]) -> None:
    with_tagged(clouds, {"arn:aws:kms:us-east-1:1:key/mrk-1": "kms/key:Key::keys-data"}, {})
    fake = Fake(STACK, CLOUD, pending=[("creating", resource("aws:kms/key:Key", "keys-data"))])
    assert [item.verdict for item in Reconciler(fake).find()] == ["adopt"]  # type: ignore[arg-type]


def leftover(item: Mapping[str, Any], id: str, operation: str = "creating") -> Leftover:
    return Leftover(operation, item["urn"], item["type"], id, "", "adopt" if id else "forget", item)


def test_adopting_puts_what_was_found_into_the_state_where_it_belongs() -> None:
    child = resource("aws:ec2/subnet:Subnet", "a", "subnet-1", dependencies=[urn(VPC, "network")])
    made = resource(VPC, "network", inputs={"cidrBlock": "10.0.0.0/16"}, protect=True)
    fake = Fake(STACK, CLOUD, child, pending=[("creating", made)])
    Reconciler(fake).settle([leftover(made, "vpc-1")])  # type: ignore[arg-type]
    assert fake.done == ["replace state", "refresh"]
    assert [row[:2] for row in fake.rows[2:]] == [(made["urn"], "vpc-1"), (child["urn"], "subnet-1")]
    adopted = fake.kept["resources"][2]
    assert adopted["outputs"] == adopted["inputs"] == {"cidrBlock": "10.0.0.0/16"}
    assert adopted["protect"] is True
    assert fake.kept["pending_operations"] == []


def test_what_is_not_there_is_forgotten() -> None:
    made = resource(VPC, "network")
    fake = Fake(STACK, CLOUD, pending=[("creating", made)])
    Reconciler(fake).settle([leftover(made, "")])  # type: ignore[arg-type]
    assert fake.rows == [(STACK["urn"], "", False), (PROVIDER, "p1", False)]
    assert fake.kept["pending_operations"] == []


def test_deleting_takes_what_the_killed_run_made_and_nothing_that_was_there_before() -> None:
    updated = resource("aws:rds/instance:Instance", "database", "db-1")
    made, imagined = resource(VPC, "network"), resource(ROLE, "nodes")
    fake = Fake(STACK, CLOUD, updated, pending=[("updating", updated), ("creating", made), ("creating", imagined)])
    fake.gone = {imagined["urn"]}  # Its name was known from its inputs; the refresh found nothing by it.
    found = [leftover(updated, "db-1", "updating"), leftover(made, "vpc-1"), leftover(imagined, "nodes")]
    Reconciler(fake).settle(found, delete=True)  # type: ignore[arg-type]
    assert fake.done == ["replace state", "refresh", f"destroy {made['urn']}"]


def test_during_a_replacement_the_new_one_is_found_beside_the_old_one(clouds: dict[str, Stubbed]) -> None:
    with_tagged(clouds, {}, {"vpc-old": "ec2/vpc:Vpc::network", "vpc-new": "ec2/vpc:Vpc::network"})
    old = resource(VPC, "network", "vpc-old")
    fake = Fake(STACK, CLOUD, old, pending=[("creating", resource(VPC, "network"))])
    (found,) = Reconciler(fake).find()  # type: ignore[arg-type]
    assert (found.id, found.verdict) == ("vpc-new", "adopt")


def test_a_replacement_that_made_nothing_yet_does_not_take_the_old_one_for_the_new(clouds: dict[str, Stubbed]) -> None:
    with_tagged(clouds, {}, {})
    old = resource(ROLE, "nodes", "nodes", inputs={"name": "nodes"})
    fake = Fake(STACK, CLOUD, old, pending=[("creating", resource(ROLE, "nodes", inputs={"name": "nodes"}))])
    (found,) = Reconciler(fake).find()  # type: ignore[arg-type]
    assert (found.id, found.verdict) == ("", "forget")


@pytest.mark.parametrize(("delete", "outdated"), [(False, "vpc-old"), (True, "vpc-new")])
def test_of_a_replacement_one_stays_and_the_next_update_deletes_the_other(delete: bool, outdated: str) -> None:
    old, made = resource(VPC, "network", "vpc-old"), resource(VPC, "network")
    fake = Fake(STACK, CLOUD, old, pending=[("creating", made)])
    Reconciler(fake).settle([leftover(made, "vpc-new")], delete=delete)  # type: ignore[arg-type]
    assert sorted(fake.rows[2:]) == [(made["urn"], id, id == outdated) for id in ("vpc-new", "vpc-old")]
    assert "destroy" not in " ".join(fake.done).replace("destroy ", "", int(delete))


def test_what_awaits_deletion_stays_in_the_state() -> None:
    """An older replacement's remains: without them in the state, nobody would ever delete them."""
    old, new = resource(VPC, "network", "vpc-old", delete=True), resource(VPC, "network", "vpc-new")
    fake = Fake(STACK, CLOUD, new, old, pending=[("updating", new)])
    Reconciler(fake).settle([leftover(new, "vpc-new", "updating")])  # type: ignore[arg-type]
    assert fake.rows[2:] == [(new["urn"], "vpc-new", False), (old["urn"], "vpc-old", True)]


def orphans(*names: str, provider: str = f"{PROVIDER}::p1") -> list[Leftover]:
    """Keys that carry our tag."""
    record = {"provider": provider} if provider else {}
    return [
        Leftover(
            "orphan", "", f"kms/key:Key::{name}", f"mrk-{name}", f"arn:aws:kms:us-east-1:1:key/mrk-{name}", "", record
        )
        for name in names
    ]


KEY = "aws:kms/key:Key"


def test_an_orphan_that_the_program_wants_is_adopted_with_the_inputs_of_the_plan() -> None:
    fake = Fake(STACK, CLOUD)
    inputs = {"description": "data", "policy": UNKNOWN, "tags": {"Name": "data", "pin": "[secret]"}, "spans": [UNKNOWN]}
    fake.planned = [Change(urn(KEY, "data"), KEY, "create", inputs, parent=str(STACK["urn"]), protect=True)]
    Reconciler(fake).settle(orphans("data"))  # type: ignore[arg-type]
    adopted = fake.kept["resources"][-1]
    assert adopted["inputs"] == {"description": "data", "tags": {"Name": "data"}, "spans": []}
    assert (adopted["urn"], adopted["id"], adopted["protect"]) == (urn(KEY, "data"), "mrk-data", True)
    assert (adopted["parent"], adopted["provider"]) == (STACK["urn"], f"{PROVIDER}::p1")
    assert fake.done[-2:] == ["replace state", "refresh"]


def test_an_orphan_that_the_program_does_not_want_is_named_and_left_alone() -> None:
    fake = Fake(STACK, CLOUD)
    fake.planned = [
        Change(urn(KEY, "logs"), KEY, "same"),  # Its namesake exists: two of them would be one too many.
        Change(urn(KEY, "data"), KEY, "create"),
    ]
    with pytest.raises(PendingOperationsError) as error:
        Reconciler(fake).settle(orphans("data", "logs", "gone"))  # type: ignore[arg-type]
    assert error.value.what.startswith("2 resources carry the tag of prod and are in no state (arn:aws:kms")
    assert error.value.remedy == "Look at them, and then: docsearch reconcile prod --delete"
    assert [row[1] for row in fake.rows[2:]] == ["mrk-data"]


def test_orphans_are_deleted_on_request_under_urns_that_nothing_else_has() -> None:
    namesake = resource(KEY, "data", "mrk-kept")
    fake = Fake(STACK, CLOUD, namesake)
    Reconciler(fake).settle(orphans("data"), delete=True)  # type: ignore[arg-type]
    assert fake.done[-1] == "destroy urn:pulumi:prod::docsearch::aws:kms/key:Key::orphan-mrk-data-data"
    assert namesake["urn"] not in fake.done[-1]


def test_orphans_of_a_lost_state_are_touched_by_nobody() -> None:
    fake = Fake()
    with pytest.raises(PendingOperationsError, match="Restore the state from its backup"):
        Reconciler(fake).settle(orphans("data", provider=""), delete=True)  # type: ignore[arg-type]
    assert fake.kept["resources"] == []


@pytest.mark.parametrize(
    ("token", "arn", "id"),
    [
        ("aws:kms/key:Key", "arn:aws:kms:us-east-1:1:key/mrk-1", "mrk-1"),
        ("aws:iam/role:Role", "arn:aws:iam::1:role/service/nodes", "nodes"),
        ("aws:s3/bucket:Bucket", "arn:aws:s3:::documents-1", "documents-1"),
        ("aws:cloudwatch/logGroup:LogGroup", "arn:aws:logs:us-east-1:1:log-group:/aws/rds/x", "/aws/rds/x"),
        ("aws:sns/topic:Topic", "arn:aws:sns:us-east-1:1:page", "arn:aws:sns:us-east-1:1:page"),
        ("aws:ec2/vpc:Vpc", "vpc-1", "vpc-1"),
    ],
)
def test_the_id_follows_from_the_arn(token: str, arn: str, id: str) -> None:
    assert reconcile._id(token, arn) == id


UNSEEN = frozenset(
    {
        "aws:backup/plan:Plan",
        "aws:ecr/repository:Repository",
        "aws:eks/cluster:Cluster",
        "aws:eks/nodeGroup:NodeGroup",
        "aws:iam/role:Role",
        "aws:iam/serviceLinkedRole:ServiceLinkedRole",
        "aws:lb/listener:Listener",
        "aws:lb/listenerRule:ListenerRule",
        "aws:opensearch/domain:Domain",
        "aws:rds/eventSubscription:EventSubscription",
        "aws:rds/parameterGroup:ParameterGroup",
        "aws:rds/subnetGroup:SubnetGroup",
        "aws:route53/healthCheck:HealthCheck",
        "aws:route53/zone:Zone",
        "aws:wafv2/webAcl:WebAcl",
    }
)
"""Tagged types that moto's tagging API does not show; AWS's shows most of them."""


def _untold(deployment: Any, state: Mapping[str, Any]) -> set[str]:
    """Executed types of which a resource has tags, and is not found by them."""
    executed = {type_.token for type_ in TYPES if type_.executed}
    regions = {item["inputs"]["region"] for item in state["resources"] if item["type"] == "pulumi:providers:aws"}
    answers = [Region(name, deployment.stack, deployment.cloud).tagged() for name in regions]
    told = {tags.get(RESOURCE_TAG) for answer in answers for tags in answer.values()}
    return {
        item["type"]
        for item in state["resources"]
        if item["type"] in executed
        and "tagsAll" in item["outputs"]
        and f"{item['type'].removeprefix('aws:')}::{item['urn'].rpartition('::')[2]}" not in told
    }


@pytest.mark.engine
def test_what_the_state_lost_is_adopted_or_deleted_on_request(local_cloud: Any) -> None:
    """Through the real engine, with a region that is up: one resource of each tagged kind goes out of the state."""
    deployment = local_cloud.deployment("prod", locked=False)
    deployment.up()
    there = local_cloud.holds()
    state = deployment.state()
    assert sorted(_untold(deployment, state)) == sorted(UNSEEN)
    lost: dict[str, dict[str, Any]] = {}
    needed = {urn for item in state["resources"] for urn in (*item.get("dependencies", ()), item.get("parent", ""))}
    for item in state["resources"]:
        tagged = item["type"].startswith("aws:") and "tagsAll" in item.get("outputs", {})
        if tagged and item["type"] not in UNSEEN and item["urn"] not in needed:
            lost.setdefault(item["type"], item)
    assert len(lost) > 5
    deployment.replace_state({**state, "resources": [item for item in state["resources"] if item not in lost.values()]})

    reconciler = Reconciler(deployment)
    found = reconciler.find()
    assert sorted(item.type.partition("::")[0] for item in found) == sorted(t.removeprefix("aws:") for t in lost)
    reconciler.settle(found)
    assert Reconciler(deployment).find() == []
    assert deployment.preview().summary["create"] == 0
    deployment.up()
    assert deployment.preview().changing == ()
    assert local_cloud.holds() == there == local_cloud.known(deployment)

    again = deployment.state()
    deployment.replace_state(
        {
            **again,
            "resources": [item for item in again["resources"] if item["urn"] not in {x["urn"] for x in lost.values()}],
        }
    )
    Reconciler(deployment).settle(Reconciler(deployment).find(), delete=True)
    assert local_cloud.holds() == local_cloud.known(deployment)
    assert deployment.preview().summary["create"] == len(lost)
    deployment.destroy()


def test_a_leftover_as_json_keeps_the_engines_record_to_itself() -> None:
    made = resource(VPC, "network", inputs={"password": "canary-7f3a"})
    assert leftover(made, "vpc-1").as_json() == {
        "operation": "creating",
        "urn": made["urn"],
        "type": VPC,
        "id": "vpc-1",
        "arn": "",
        "verdict": "adopt",
    }
    assert "canary" not in repr(leftover(made, "vpc-1"))
