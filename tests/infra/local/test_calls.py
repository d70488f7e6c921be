"""Requests as botocore builds them, for every action of the services that our stacks use."""

import gzip
from typing import Any
from urllib.parse import urlencode

import botocore.parsers
import botocore.serialize
import botocore.session
import pytest
from botocore.model import OperationModel, Shape

from infra.local.calls import Call, Protocol, identify, refusal

SERVICES = (
    "acm backup cloudwatch ec2 eks elasticache elbv2 iam kms logs mq opensearch rds route53 s3 secretsmanager sns sts"
).split()

# Two actions that share one request: the newer name is told.
SHARED = {
    "GetBucketLifecycle": "GetBucketLifecycleConfiguration",
    "GetBucketNotification": "GetBucketNotificationConfiguration",
    "PutBucketLifecycle": "PutBucketLifecycleConfiguration",
    "PutBucketNotification": "PutBucketNotificationConfiguration",
    "ListDirectoryBuckets": "ListBuckets",
}

# Named otherwise, but GET requests that change nothing.
READS_BY_VERB = {"CreateSession", "TestDNSAnswer", "ExportBackupPlanTemplate"}

session = botocore.session.get_session()


def sample(shape: Shape) -> Any:
    values = {"list": ["x"], "boolean": True, "integer": 1, "long": 1, "timestamp": 1, "blob": b"x"}
    return values.get(shape.type_name, (getattr(shape, "enum", None) or ["xyz"])[0])


def request_of(operation: OperationModel, protocol: str | None = None) -> tuple[dict[str, str], bytes]:
    """WSGI environment and body of a call with its required parameters outside of the body."""
    service = operation.service_model
    parameters = {}
    if operation.input_shape:
        for name, shape in operation.input_shape.members.items():
            place = shape.serialization.get("location")
            required = name in operation.input_shape.required_members
            if (
                place == "uri"
                or shape.serialization.get("hostLabel")
                or (required and place in ("querystring", "header"))
            ):
                parameters[name] = sample(shape)
    serializer = botocore.serialize.create_serializer(protocol or service.resolved_protocol, include_validation=False)
    made = serializer.serialize_to_request(parameters, operation)
    path, _, fixed = made["url_path"].partition("?")
    query = made["query_string"]
    body = urlencode(made["body"]) if isinstance(made["body"], dict) else made["body"] or b""
    environ = {
        "REQUEST_METHOD": made["method"],
        "PATH_INFO": path,
        "QUERY_STRING": "&".join(
            filter(None, [fixed, urlencode(query, doseq=True) if isinstance(query, dict) else query])
        ),
        "HTTP_AUTHORIZATION": f"AWS4 Credential=AK/20260101/us-west-2/{service.signing_name}/aws4_request, x",
    }
    for name, value in made["headers"].items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = str(value)
    return environ, body.encode() if isinstance(body, str) else body


@pytest.mark.parametrize("service", SERVICES)
def test_every_action_of_a_service_is_recognised(service: str) -> None:
    model = session.get_service_model(service)
    for name in model.operation_names:
        call = identify(*request_of(model.operation_model(name)))
        assert (call.service, call.region, call.action) == (service, "us-west-2", SHARED.get(name, name))


@pytest.mark.parametrize("service", SERVICES)
def test_only_what_says_so_counts_as_a_read(service: str) -> None:
    model = session.get_service_model(service)
    for name in model.operation_names:
        call = identify(*request_of(model.operation_model(name)))
        named_so = name.startswith(("Describe", "List", "Get", "Head", "BatchGet")) or name in READS_BY_VERB
        assert call.reads == named_so, name


@pytest.mark.parametrize("protocol", ["smithy-rpc-v2-cbor", "json", "query"])
def test_cloudwatch_is_understood_in_all_its_protocols(protocol: str) -> None:
    operation = session.get_service_model("cloudwatch").operation_model("PutMetricAlarm")
    call = identify(*request_of(operation, protocol))
    assert (call.service, call.action, call.reads) == ("cloudwatch", "PutMetricAlarm", False)


def test_a_compressed_form_is_understood() -> None:
    environ, body = request_of(session.get_service_model("ec2").operation_model("CreateVpc"))
    call = identify(environ | {"HTTP_CONTENT_ENCODING": "gzip"}, gzip.compress(body))
    assert (call.action, call.reads) == ("CreateVpc", False)


def test_an_action_in_the_address_of_a_get_request_is_no_read() -> None:
    environ, _ = request_of(session.get_service_model("ec2").operation_model("CreateVpc"))
    call = identify(environ | {"REQUEST_METHOD": "GET", "CONTENT_TYPE": "", "QUERY_STRING": "Action=CreateVpc"}, b"")
    assert (call.action, call.reads) == ("CreateVpc", False)


def test_what_cannot_be_recognised_counts_as_a_change() -> None:
    for environ, body in [
        ({"REQUEST_METHOD": "POST", "PATH_INFO": "/"}, b"\xff\xfe"),
        ({"REQUEST_METHOD": "POST", "PATH_INFO": "/moto-api/reset"}, b""),
        (
            {
                "REQUEST_METHOD": "PUT",
                "PATH_INFO": "/x",
                "HTTP_AUTHORIZATION": "Credential=A/20260101/r/nosuch/aws4_request",
            },
            b"",
        ),
    ]:
        call = identify(environ, body)
        assert not call.reads
        assert call.action == f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


def test_a_presigned_address_tells_service_and_region() -> None:
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/bucket/key",
        "QUERY_STRING": "X-Amz-Credential=AK%2F20260101%2Fus-west-2%2Fs3%2Faws4_request&X-Amz-Expires=60",
    }
    assert identify(environ, b"") == Call(
        service="s3", region="us-west-2", action="GetObject", protocol="rest-xml", reads=True
    )


@pytest.mark.parametrize(
    ("service", "protocol", "parser"),
    [
        ("ec2", "ec2", "ec2"),
        ("rds", "query", "query"),
        ("kms", "json", "json"),
        ("cloudwatch", "cbor", "smithy-rpc-v2-cbor"),
        ("s3", "rest-xml", "rest-xml"),
        ("route53", "rest-xml", "rest-xml"),
        ("eks", "rest-json", "rest-json"),
    ],
)
def test_botocore_reads_code_and_message_of_a_refusal(service: str, protocol: Protocol, parser: str) -> None:
    call = Call(service=service, region="us-east-1", action="X", protocol=protocol, reads=False)
    reply = refusal(call, 400, "SomeCode", "because <a> & ü")
    operation = next(iter(session.get_service_model(service).operation_names))
    shape: Any = session.get_service_model(service).operation_model(operation).output_shape
    raw = {"status_code": reply.status, "headers": dict(reply.headers), "body": reply.body, "context": {}}
    parsed = botocore.parsers.create_parser(parser).parse(
        raw | {"headers": {k.lower(): v for k, v in reply.headers}}, shape
    )
    assert parsed["Error"]["Code"] == "SomeCode"
    assert parsed["Error"]["Message"] == "because <a> & ü"
