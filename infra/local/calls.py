"""What an HTTP request to AWS asks for, and how AWS would refuse it.

Service and region come from the signature's scope, the action from the body, a header or the path, according to the
service's protocol. Only REST services need botocore's models, and only for the action's name.
"""

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

import botocore.session
from botocore.exceptions import BotoCoreError
from botocore.model import OperationModel

Protocol = Literal["ec2", "query", "json", "cbor", "rest-xml", "rest-json"]

# Signing names that are not the service's name in boto3.
_SERVICES = {"monitoring": "cloudwatch", "elasticloadbalancing": "elbv2", "es": "opensearch", "email": "ses"}
_REST_XML = frozenset({"s3", "route53", "cloudfront", "s3control"})

# Anything else may change something, and is journalled.
_READING = re.compile(r"(Describe|List|Get|Head|BatchGet)[A-Z]")

_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
_CBOR_PATH = re.compile(r"/service/[^/]+/operation/(?P<action>\w+)$")
_ACTION = re.compile(r"(?:^|&)Action=(?P<action>\w+)")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One API call.

    Attributes:
        service: Its name in boto3 (`ec2`, `opensearch`), or `unknown`.
        region: As signed; empty when the request is not.
        action: Its name (`CreateVpc`), or verb and path where no model tells it.
        protocol: How it is encoded.
        reads: Whether it is known to change nothing.
    """

    service: str
    region: str
    action: str
    protocol: Protocol
    reads: bool

    def __str__(self) -> str:
        return f"{self.service}:{self.action}"


def identify(environ: Mapping[str, object], body: bytes) -> Call:
    """Reads service, region, action and protocol off a request.

    Args:
        environ: The WSGI environment.
        body: The whole body, as received.
    """

    def text(key: str) -> str:
        return str(environ.get(key, ""))

    method, path, query = text("REQUEST_METHOD"), text("PATH_INFO"), text("QUERY_STRING")
    scope = _SCOPE.search(text("HTTP_AUTHORIZATION") or unquote(query).replace("X-Amz-Credential", "Credential"))
    signed = scope["service"].lower() if scope else "unknown"
    service, region = _SERVICES.get(signed, signed), scope["region"] if scope else ""

    protocol: Protocol
    action: str | None
    if target := text("HTTP_X_AMZ_TARGET"):
        protocol, action = "json", target.rpartition(".")[2]
    elif cbor := _CBOR_PATH.match(path):
        protocol, action = "cbor", cbor["action"]
    elif form := _form_action(text("CONTENT_TYPE"), text("HTTP_CONTENT_ENCODING"), body, query):
        protocol, action = ("ec2" if service == "ec2" else "query"), form
    else:
        protocol = "rest-xml" if service in _REST_XML else "rest-json"
        action = _rest_action(service, method, path, environ)

    safe_verb = method in ("GET", "HEAD", "OPTIONS")
    reads = (safe_verb and protocol.startswith("rest")) or (action is not None and _READING.match(action) is not None)
    return Call(service=service, region=region, action=action or f"{method} {path}", protocol=protocol, reads=reads)


def _form_action(content_type: str, encoding: str, body: bytes, query: str) -> str | None:
    if content_type.startswith("application/x-www-form-urlencoded"):
        if encoding == "gzip":
            try:
                body = gzip.decompress(body)
            except (OSError, EOFError):
                return None
        found = _ACTION.search(body.decode("utf-8", "replace"))
    else:
        found = _ACTION.search(query)
    return found["action"] if found else None


def _rest_action(service: str, method: str, path: str, environ: Mapping[str, object]) -> str | None:
    query = parse_qs(str(environ.get("QUERY_STRING", "")), keep_blank_values=True)
    for route in _routes(service):
        if (
            route.method == method
            and route.path.fullmatch(path)
            and all(query.get(key) == [value] for key, value in route.query)
            and query.keys() >= route.parameters
            and environ.keys() >= route.headers
        ):
            return route.action
    return None


@dataclass(frozen=True, kw_only=True)
class _Route:
    """How the requests for one action of a REST service look."""

    action: str
    method: str
    path: re.Pattern[str]
    query: tuple[tuple[str, str], ...]
    parameters: frozenset[str]
    headers: frozenset[str]
    weight: tuple[int, ...]


@cache
def _routes(service: str) -> tuple[_Route, ...]:
    """The actions of a REST service, the most particular first: `PUT /bucket?policy` also looks like `PUT /bucket`."""
    try:
        model = botocore.session.get_session().get_service_model(service)
    except BotoCoreError:
        return ()
    routes = (_route(model.operation_model(name)) for name in model.operation_names)
    return tuple(sorted(routes, key=lambda route: route.weight, reverse=True))


def _route(operation: OperationModel) -> _Route:
    path, _, query = operation.http.get("requestUri", "/").partition("?")
    literals = tuple((key, values[0]) for key, values in parse_qs(query, keep_blank_values=True).items())
    pattern = "".join(
        (".+" if part.endswith("+}") else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in re.split(r"({[^}]+})", path)
    )
    required: dict[str, set[str]] = {"querystring": set(), "header": set()}
    if operation.input_shape is not None:
        for member in operation.input_shape.required_members:
            place = operation.input_shape.members[member].serialization
            required.get(place.get("location", ""), set()).add(place.get("name", member))
    headers = frozenset("HTTP_" + name.upper().replace("-", "_") for name in required["header"])
    return _Route(
        action=operation.name,
        method=operation.http["method"],
        path=re.compile(pattern + "/?"),
        query=literals,
        parameters=frozenset(required["querystring"]),
        headers=headers,
        weight=(
            len(literals) + len(required["querystring"]) + len(headers),
            len(re.sub(r"{[^}]+}", "", path)),
            not operation.deprecated,
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An HTTP answer, complete."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def refusal(call: Call, status: int, code: str, message: str) -> Reply:
    """The error as the call's protocol encodes it, so that boto3 raises a `ClientError` with this code.

    Args:
        call: What is refused.
        status: HTTP status; from 500 on it is the server's fault.
        code: AWS's name of the error, e.g. `ThrottlingException`.
        message: Human text.
    """
    kind = "text/xml"
    headers: tuple[tuple[str, str], ...] = (("x-amzn-RequestId", "docsearch-local-cloud"),)
    error = f"<Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    match call.protocol:
        case "json" | "rest-json":
            kind = "application/x-amz-json-1.1" if call.protocol == "json" else "application/json"
            headers += (("x-amzn-ErrorType", code),)
            body = json.dumps({"__type": code, "message": message}).encode()
        case "cbor":
            kind = "application/cbor"
            headers += (("smithy-protocol", "rpc-v2-cbor"),)
            body = b"\xa2" + b"".join(_cbor_text(text) for text in ("__type", code, "message", message))
        case "ec2":
            body = (
                f"<Response><Errors><Error>{error}</Error></Errors><RequestID>docsearch</RequestID></Response>".encode()
            )
        case "rest-xml" if call.service == "s3":
            body = f"<Error>{error}<RequestId>docsearch</RequestId></Error>".encode()
        case _:
            side = "Receiver" if status >= 500 else "Sender"
            body = f"<ErrorResponse><Error><Type>{side}</Type>{error}</Error></ErrorResponse>".encode()
    return Reply(status=status, headers=(("Content-Type", kind), *headers), body=body)


def _cbor_text(text: str) -> bytes:
    raw = text.encode()
    return b"\x79" + len(raw).to_bytes(2) + raw
