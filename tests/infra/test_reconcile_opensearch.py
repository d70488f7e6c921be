"""What a killed run left of the search index: found by name, or by what it connects."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.finders import FINDERS
from tests.infra.stubbed import Stubbed

DOMAIN = "aws:opensearch/domain:Domain"
CONNECTION = "aws:opensearch/outboundConnection:OutboundConnection"
ROLE = "aws:iam/serviceLinkedRole:ServiceLinkedRole"
ARN = "arn:aws:es:us-west-2:123456789012:domain/opensearch-0badcafe"
ASKED = {"connectionAlias": "primary", "localDomainInfo": {"domainName": "opensearch-0badcafe"}}
OURS = [{"Name": "local-domain-info.domain-name", "Values": ["opensearch-0badcafe"]}]


@pytest.fixture
def there() -> Iterator[Stubbed]:
    found = Stubbed()
    yield found
    found.all_asked()


def test_a_domain_is_found_by_its_name_and_known_by_its_arn(there: Stubbed) -> None:
    status = {"DomainId": "1", "DomainName": "opensearch-0badcafe", "ARN": ARN, "ClusterConfig": {}}
    there.expect("opensearch", "describe_domain", {"DomainStatus": status}, DomainName="opensearch-0badcafe")
    assert FINDERS[DOMAIN](there, {"domainName": "opensearch-0badcafe"}) == ARN


def test_a_domain_that_never_came_is_not_found(there: Stubbed) -> None:
    there.refuse("opensearch", "describe_domain", "ResourceNotFoundException")
    assert FINDERS[DOMAIN](there, {"domainName": "opensearch-0badcafe"}) is None
    assert FINDERS[DOMAIN](there, {}) is None


def connection(id: str, alias: str, status: str) -> dict[str, Any]:
    return {"ConnectionId": id, "ConnectionAlias": alias, "ConnectionStatus": {"StatusCode": status}}


def test_a_connection_is_found_by_its_alias_among_those_that_live(there: Stubbed) -> None:
    found = [
        connection("c-deleted-1", "primary", "DELETED"),
        connection("c-other-one", "other", "ACTIVE"),
        connection("c-the-right", "primary", "PENDING_ACCEPTANCE"),
    ]
    there.expect("opensearch", "describe_outbound_connections", {"Connections": found}, Filters=OURS)
    assert FINDERS[CONNECTION](there, ASKED) == "c-the-right"


def test_a_connection_that_was_never_made_is_not_found(there: Stubbed) -> None:
    there.expect("opensearch", "describe_outbound_connections", {"Connections": []}, Filters=OURS)
    assert FINDERS[CONNECTION](there, ASKED) is None
    there.refuse("opensearch", "describe_outbound_connections", "DisabledOperationException")
    assert FINDERS[CONNECTION](there, ASKED) is None


def test_a_service_linked_role_is_found_by_its_service(there: Stubbed) -> None:
    path = "/aws-service-role/opensearchservice.amazonaws.com/"
    role = {
        "Path": path,
        "RoleName": "AWSServiceRoleForAmazonOpenSearchService",
        "RoleId": "AROA0000000000000",
        "Arn": f"arn:aws:iam::123456789012:role{path}AWSServiceRoleForAmazonOpenSearchService",
        "CreateDate": "2026-01-01T00:00:00Z",
    }
    there.expect("iam", "list_roles", {"Roles": [role]}, PathPrefix=path)
    assert FINDERS[ROLE](there, {"awsServiceName": "opensearchservice.amazonaws.com"}) == role["Arn"]


@pytest.mark.parametrize(
    ("type_", "inputs", "id"),
    [
        ("aws:cloudwatch/logResourcePolicy:LogResourcePolicy", {"policyName": "logs"}, "logs"),
        ("aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter", {"connectionId": "c-1"}, "c-1"),
    ],
)
def test_an_id_that_is_made_of_inputs_needs_no_call(
    there: Stubbed, type_: str, inputs: dict[str, Any], id: str
) -> None:
    assert FINDERS[type_](there, inputs) == id
