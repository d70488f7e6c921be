"""Properties as AWS parameters and back."""

import pytest
from botocore.model import Shape
from hypothesis import given
from hypothesis import strategies as st

from infra.local.aws import facts, shapes
from infra.local.aws.facts import Property
from infra.local.resource import UNKNOWN, ProviderError


def shape(service: str, operation: str) -> Shape:
    found = shapes.service_model(service).operation_model(operation).input_shape
    assert found is not None
    return found


def mapper(service: str, operation: str, **spelled: str) -> shapes.Mapper:
    return shapes.Mapper(shape(service, operation), {path.replace("__", "."): to for path, to in spelled.items()})


def test_spelling_differs_only_in_case_and_number() -> None:
    made = mapper("rds", "CreateDBSubnetGroup").params({"dbSubnetGroupName": "a", "subnetId": ["b"]})
    assert made == {"DBSubnetGroupName": "a", "SubnetIds": ["b"]}


def test_property_without_a_place_is_an_error() -> None:
    with pytest.raises(ProviderError, match="colour has no place in CreateBucketRequest"):
        mapper("s3", "CreateBucket").params({"colour": "red"})


def test_path_through_a_list_means_its_only_item() -> None:
    made = mapper("elbv2", "CreateListener", certificateArn="Certificates.CertificateArn").params(
        {"certificateArn": "arn"}
    )
    assert made == {"Certificates": [{"CertificateArn": "arn"}]}


def test_parts_of_one_item_come_together() -> None:
    base = "ChangeBatch.Changes.ResourceRecordSet"
    made = mapper("route53", "ChangeResourceRecordSets", name=f"{base}.Name", ttl=f"{base}.TTL").params(
        {"name": "a.b", "ttl": 60}
    )
    fixed = {"ChangeBatch": {"Changes": [{"Action": "CREATE"}]}}
    record = {"Name": "a.b", "TTL": 60}
    assert shapes.merge(fixed, made) == {
        "ChangeBatch": {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    }


def test_scalars_spread_over_the_items_of_a_list() -> None:
    base = "ChangeBatch.Changes.ResourceRecordSet"
    made = mapper("route53", "ChangeResourceRecordSets", records=f"{base}.ResourceRecords.Value").params(
        {"records": ["a", "b"]}
    )
    assert shapes.get(made, f"{base}.ResourceRecords") == [{"Value": "a"}, {"Value": "b"}]


def test_attributes_gather_in_one_list_of_keys_and_values() -> None:
    attributes = mapper(
        "elbv2",
        "ModifyLoadBalancerAttributes",
        idleTimeout="Attributes[idle_timeout.timeout_seconds]",
        accessLogs=".",
        accessLogs__enabled="Attributes[access_logs.s3.enabled]",
    )
    made = attributes.params({"idleTimeout": 60, "accessLogs": {"enabled": True}})
    assert made == {
        "Attributes": [
            {"Key": "idle_timeout.timeout_seconds", "Value": "60"},
            {"Key": "access_logs.s3.enabled", "Value": "true"},
        ]
    }
    assert shapes.get(made, "Attributes[access_logs.s3.enabled]") == "true"
    assert shapes.get(made, "Attributes[access_logs.s3.bucket]") is None


def test_object_spread_over_the_structure_reads_back_whole() -> None:
    schema = facts.inputs("aws:lb/targetGroup:TargetGroup")
    spelled = {
        "healthCheck": ".",
        "healthCheck.path": "HealthCheckPath",
        "healthCheck.matcher": "Matcher.HttpCode",
        "healthCheck.interval": "HealthCheckIntervalSeconds",
    }
    check = {"path": "/", "matcher": "200", "interval": 10}
    made = shapes.Mapper(shape("elbv2", "CreateTargetGroup"), spelled).params({"healthCheck": check})
    assert made == {"HealthCheckPath": "/", "Matcher": {"HttpCode": "200"}, "HealthCheckIntervalSeconds": 10}
    assert shapes.property_from(made, schema["healthCheck"], spelled, "healthCheck") == check


def test_list_for_a_structure_must_have_one_item() -> None:
    spelled = {"vpcs": "VPC", "vpcs.vpcId": "VPCId"}
    with pytest.raises(ProviderError, match="vpcs has 2 items, but AWS takes one"):
        shapes.Mapper(shape("route53", "CreateHostedZone"), spelled).params({"vpcs": [{"vpcId": "a"}, {"vpcId": "b"}]})


@pytest.mark.parametrize(
    ("scalar", "answer", "value"),
    [(int, "60", 60), (bool, "true", True), (bool, "false", False), (str, 5432, "5432"), (float, "0.5", 0.5)],
)
def test_answers_are_read_as_the_type_of_the_property(scalar: type, answer: object, value: object) -> None:
    about = Property(list=False, object=None, scalar=scalar)
    assert shapes.property_from(answer, about, {}, "x") == value


def test_schema_tells_the_resource_from_a_block_of_the_same_name() -> None:
    assert "versioningConfiguration" in facts.inputs("aws:s3/bucketVersioning:BucketVersioning")


maps = st.dictionaries(st.text("abc.", min_size=1), st.text("xyz"), min_size=1)


@given(maps)
def test_tags_are_a_map_here_and_a_list_there(tags: dict[str, str]) -> None:
    inside = shapes.Mapper(shape("s3", "PutBucketTagging"), {"tags": "Tagging.TagSet"}).params({"tags": tags})
    listed = inside["Tagging"]["TagSet"]
    assert shapes.property_from(listed, Property(list=False, object=None), {}, "tags") == tags
    assert shapes.agrees(listed, [*reversed(listed)])


@given(maps, st.sampled_from("abc"))
def test_changed_value_never_agrees(tags: dict[str, str], key: str) -> None:
    sent = [{"Key": name, "Value": value} for name, value in {**tags, key: "one"}.items()]
    live = [{"Key": name, "Value": value} for name, value in {**tags, key: "two"}.items()]
    assert not shapes.agrees(sent, live)


def test_list_that_lost_an_item_does_not_agree() -> None:
    assert not shapes.agrees(["a", "b"], ["a"])
    assert not shapes.agrees([{"Id": "a"}], [])


def test_unknown_values_are_not_sent() -> None:
    assert mapper("s3", "CreateBucket").params({"bucket": UNKNOWN}) == {}
