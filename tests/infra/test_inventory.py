"""What carries a stack's tag in a region, and whether it is really there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from infra.inventory import LOOKS
from tests.infra.stubbed import Believed, Stubbed, expect_tagged

KEY_ARN = "arn:aws:kms:us-east-1:1:key/mrk-1"
SECRET_ARN = "arn:aws:secretsmanager:us-east-1:1:secret:key-AbCdEf"


@pytest.fixture
def there() -> Iterator[Stubbed]:
    found = Stubbed()
    yield found
    found.all_asked()


@pytest.fixture
def believed() -> Iterator[Believed]:
    found = Believed()
    yield found
    found.all_asked()


def test_resources_are_found_by_the_identity_that_they_carry(believed: Believed) -> None:
    expect_tagged(
        believed,
        {
            "arn:aws:kms:us-east-1:1:key/mrk-1": "kms/key:Key::keys-data",
            "arn:aws:ec2:::vpc/vpc-1": "ec2/vpc:Vpc::network",
        },
        {"vpc-1": "ec2/vpc:Vpc::network", "eipalloc-1": "ec2/eip:Eip::network-a"},
    )
    assert believed.by_tag("aws:kms/key:Key", "keys-data") == ["arn:aws:kms:us-east-1:1:key/mrk-1"]
    assert believed.by_tag("aws:ec2/vpc:Vpc", "network") == ["arn:aws:ec2:::vpc/vpc-1"], "known to both, named once"
    assert believed.by_tag("aws:ec2/eip:Eip", "network-a") == ["eipalloc-1"]
    assert believed.by_tag("aws:ec2/eip:Eip", "network-b") == []


def test_a_region_without_anything_of_ours_is_asked_for_nothing_more(there: Stubbed) -> None:
    expect_tagged(there, {}, {})
    assert there.tagged() == {}


def test_many_resources_are_asked_for_in_lists_that_ec2_takes(believed: Believed) -> None:
    many = {f"subnet-{i}": f"ec2/subnet:Subnet::{i}" for i in range(450)}
    expect_tagged(believed, {}, many)
    assert len(believed.tagged()) == 450
    assert believed.by_tag("aws:ec2/subnet:Subnet", "449") == ["subnet-449"]


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:rds:us-east-1:1:snapshot:rds:database-1-2026-11-23-18-15",
        "arn:aws:rds:us-east-1:1:snapshot:database-1-final",
        "arn:aws:rds:us-east-1:1:auto-backup:ab-1",
        "arn:aws:backup:us-east-1:1:recovery-point:1",
    ],
)
def test_a_backup_carries_the_tags_of_what_it_was_made_of_and_is_not_that(believed: Believed, arn: str) -> None:
    head = "arn:aws:rds:us-east-1:1:db:database-1"
    expect_tagged(believed, {arn: "rds/instance:Instance::database", head: "rds/instance:Instance::database"}, {})
    assert [*believed.tagged()] == [head]


@pytest.mark.parametrize("token", LOOKS)
def test_every_look_is_an_operation_with_that_parameter(token: str) -> None:
    look = LOOKS[token]
    client = Stubbed().client(look.service)
    model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[look.operation])
    shape = model.input_shape.members[look.parameter]
    assert (shape.type_name == "list") == isinstance(look.ask("x/y")[look.parameter], list)
    assert look.states.removeprefix("[").split("[")[0].split(".")[0].split(" ")[0] in model.output_shape.members


def test_what_has_no_look_is_believed(there: Stubbed) -> None:
    arn = "arn:aws:sns:us-east-1:1:alarms"
    expect_tagged(there, {arn: "sns/topic:Topic::alarms"}, {})
    assert there.holds(arn)


@pytest.mark.parametrize(
    ("state", "holds"),
    [("Enabled", True), ("Disabled", True), ("PendingDeletion", False), ("PendingReplicaDeletion", False)],
)
def test_a_key_that_waits_for_its_deletion_is_gone(there: Stubbed, state: str, holds: bool) -> None:
    expect_tagged(there, {KEY_ARN: "kms/key:Key::keys-data"}, {})
    there.expect("kms", "describe_key", {"KeyMetadata": {"KeyId": "mrk-1", "KeyState": state}}, KeyId="mrk-1")
    assert there.by_tag("aws:kms/key:Key", "keys-data") == ([KEY_ARN] if holds else [])


@pytest.mark.parametrize(("more", "holds"), [({}, True), ({"DeletedDate": datetime(2026, 1, 1, tzinfo=UTC)}, False)])
def test_a_secret_that_can_still_be_restored_is_gone(there: Stubbed, more: dict[str, Any], holds: bool) -> None:
    expect_tagged(there, {SECRET_ARN: "secretsmanager/secret:Secret::secrets-key"}, {})
    there.expect("secretsmanager", "describe_secret", {"ARN": SECRET_ARN, **more}, SecretId=SECRET_ARN)
    assert there.holds(SECRET_ARN) is holds


@pytest.mark.parametrize(
    ("state", "holds"), [("available", True), ("pending", True), ("deleting", False), ("deleted", False)]
)
def test_a_gateway_shows_for_an_hour_that_it_is_gone(there: Stubbed, state: str, holds: bool) -> None:
    expect_tagged(there, {}, {"nat-1": "ec2/natGateway:NatGateway::network-a"})
    there.expect("ec2", "describe_nat_gateways", {"NatGateways": [{"State": state}]}, NatGatewayIds=["nat-1"])
    assert there.holds("nat-1") is holds


def test_what_its_service_does_not_know_is_gone(there: Stubbed) -> None:
    expect_tagged(there, {}, {"vpc-1": "ec2/vpc:Vpc::network", "fl-1": "ec2/flowLog:FlowLog::network"})
    there.refuse("ec2", "describe_vpcs", "InvalidVpcID.NotFound")
    assert not there.holds("vpc-1")
    there.expect("ec2", "describe_flow_logs", {"FlowLogs": []}, FlowLogIds=["fl-1"])
    assert not there.holds("fl-1")


def test_what_may_not_be_looked_at_is_not_passed_over(there: Stubbed) -> None:
    expect_tagged(there, {}, {"vpc-1": "ec2/vpc:Vpc::network"})
    there.refuse("ec2", "describe_vpcs", "UnauthorizedOperation")
    assert there.holds("vpc-1")
