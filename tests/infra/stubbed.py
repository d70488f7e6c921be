"""A region of AWS whose services answer what a test says, held against botocore's models."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
from botocore.stub import Stubber

from infra.clouds import Cloud
from infra.inventory import FILTER_VALUES, Region
from stacks.region import RESOURCE_TAG, STACK_TAG


class Stubbed(Region):
    """A region whose services answer what a test says."""

    def __init__(self, stack: str = "prod") -> None:
        super().__init__("us-east-1", stack, Cloud("local", Path(), aws_url="http://127.0.0.1:1"))
        self.stubs: dict[str, Stubber] = {}

    def client(self, service: str) -> Any:
        return self.stub(service).client

    def stub(self, service: str) -> Stubber:
        if service not in self.stubs:
            client = boto3.client(
                service,  # type: ignore[call-overload]
                region_name="us-east-1",
                aws_access_key_id="local",
                aws_secret_access_key="local",
            )
            self.stubs[service] = Stubber(client)
            self.stubs[service].client = client
            self.stubs[service].activate()
        return self.stubs[service]

    def expect(self, service: str, operation: str, answer: Mapping[str, Any], **asked: Any) -> None:
        self.stub(service).add_response(operation, dict(answer), asked)

    def refuse(self, service: str, operation: str, code: str) -> None:
        self.stub(service).add_client_error(operation, code)

    def all_asked(self) -> None:
        for stub in self.stubs.values():
            stub.assert_no_pending_responses()


class Believed(Stubbed):
    """A region where everything with a tag is there, but for what a test takes away."""

    gone: frozenset[str] = frozenset()

    def holds(self, arn: str) -> bool:
        return arn not in self.gone


def tags(**more: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in {STACK_TAG: "prod", **more}.items()]


def expect_tagged(there: Stubbed, by_arn: Mapping[str, str], by_id: Mapping[str, str]) -> None:
    """The cloud holds these, by ARN and (EC2) by id, with the identity that each carries."""
    mapped = [{"ResourceARN": arn, "Tags": tags(**{RESOURCE_TAG: identity})} for arn, identity in by_arn.items()]
    there.expect(
        "resourcegroupstaggingapi",
        "get_resources",
        {"ResourceTagMappingList": mapped},
        TagFilters=[{"Key": STACK_TAG, "Values": ["prod"]}],
    )
    ours = [{"ResourceId": id, "Key": STACK_TAG, "Value": "prod"} for id in by_id]
    mine = [{"Name": "key", "Values": [STACK_TAG]}, {"Name": "value", "Values": ["prod"]}]
    there.expect("ec2", "describe_tags", {"Tags": ours}, Filters=mine)
    ids = [*by_id]
    for start in range(0, len(ids), FILTER_VALUES):
        some = ids[start : start + FILTER_VALUES]
        found = [{"ResourceId": id, "Key": RESOURCE_TAG, "Value": by_id[id]} for id in some]
        there.expect("ec2", "describe_tags", {"Tags": found}, Filters=[{"Name": "resource-id", "Values": some}])
