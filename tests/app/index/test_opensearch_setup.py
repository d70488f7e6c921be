"""What of OpenSearch is code is applied once, says what it changes, and names what a domain lacks."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import NotFoundError, RequestError

from app import upkeep
from app.errors import SettingsError
from app.index import lifecycle
from app.index.opensearch import OpenSearch
from app.index.opensearch_client import connect
from app.index.opensearch_setup import SECURITY, Access, Setup, Snapshots, State, differences
from app.settings import load
from tests.app.domain import Domain, domain_of
from tests.app.services.servers import OpenSearch as Server
from tests.app.world import World

ISM = "OpenSearch has no plugin for index state management"
BUCKET = Snapshots("snapshots", "arn:aws:iam::1:role/s", "us-east-1", "us-east-1")


@pytest.fixture
async def engine(opensearch: Server) -> AsyncIterator[OpenSearch]:
    client = connect(load(**opensearch.settings()))
    its = OpenSearch(client, prefix=f"test-{uuid4().hex[:8]}")
    yield its
    await client.indices.delete_index_template(name=f"{its.prefix}*")
    await client.close()


@pytest.mark.services
@pytest.mark.anyio
async def test_it_is_applied_once_and_what_changes_is_told(engine: OpenSearch) -> None:
    name = f"index template {engine.prefix}"
    first = await Setup(engine, managed=False).apply()
    assert [(one.part, one.state) for one in first] == [
        (name, State.MADE),
        (f"policy {engine.prefix}-archive", State.LACKING),
    ]
    again = await Setup(engine, managed=False).apply()
    assert (again[0].part, again[0].state) == (name, State.CURRENT)
    changed = await Setup(engine, managed=False, replicas=1, refresh_seconds=5).apply()
    assert str(changed[0]) == (
        f"{name}: changed (template.settings.index.number_of_replicas: 2 -> 1; "
        "template.settings.index.refresh_interval: 30s -> 5s)"
    )


@pytest.mark.services
@pytest.mark.anyio
async def test_what_a_domain_lacks_is_named(engine: OpenSearch) -> None:
    applied = await Setup(engine, managed=True, snapshots=BUCKET).apply()
    assert {one.part: one.detail for one in applied if one.state is State.LACKING} == {
        "snapshot repository s3_repository": "OpenSearch has no plugin repository-s3",
        f"policy {engine.prefix}-archive": ISM,
    }


@pytest.fixture
async def domain(world: World, opensearch: Server) -> AsyncIterator[Domain]:
    async with domain_of(world, opensearch) as its:
        yield its


@pytest.mark.services
@pytest.mark.anyio
async def test_whether_lacking_something_is_a_failure_is_a_setting(domain: Domain) -> None:
    told: list[str] = []
    await upkeep.prepare(domain.settings, tell=told.append)
    assert told == [
        "OpenSearch: index template docsearch: current",
        f"OpenSearch: policy docsearch-archive: lacking ({ISM})",
    ]
    strict = domain.settings.model_copy(update={"opensearch_lacking": "fail"})
    with pytest.raises(SettingsError, match="policy docsearch-archive cannot be applied: OpenSearch has no plugin"):
        await upkeep.prepare(strict, tell=told.append)


class Managed:
    """Stands in for a domain with all plugins: answers to the paths that are asked, and keeps what is put.

    The minimal OpenSearch of the tests has no plugin; the answers have the shape of OpenSearch's documentation.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.put: list[tuple[str, dict[str, Any]]] = []
        self.transport = self.indices = self.snapshot = self
        self.refuses = ""

    async def perform_request(
        self, method: str, path: str, params: dict[str, Any] | None = None, body: Any = None
    ) -> Any:
        if method == "PUT":
            self.put.append((path, params or {}))
            if path.startswith(SECURITY):
                self.kept[path] = {path.rpartition("/")[2]: {"reserved": False, "static": False, "users": [], **body}}
            else:
                self.kept[path] = {"_seq_no": len(self.put), "_primary_term": 1, **body}
            return {}
        if path not in self.kept:
            raise NotFoundError(404, "not_found", {})
        return self.kept[path]

    async def put_index_template(self, *, name: str, body: Any) -> None:
        self.kept[f"/_index_template/{name}"] = {"index_templates": [{"index_template": body}]}

    async def create_repository(self, *, repository: str, body: Any) -> None:
        if self.refuses:
            raise RequestError(400, self.refuses, {})
        self.kept[f"/_snapshot/{repository}"] = {repository: body}


@pytest.mark.anyio
async def test_a_domain_with_all_plugins_gets_policy_repository_and_archive() -> None:
    domain = Managed()
    client: AsyncOpenSearch = domain  # type: ignore[assignment]
    engine = OpenSearch(client)
    first = await Setup(engine, managed=True, snapshots=BUCKET).apply()
    assert {one.state for one in first} == {State.MADE}
    assert [one.part for one in first] == [
        "index template docsearch",
        "snapshot repository s3_repository",
        "policy docsearch-archive",
        "index template docsearch-archive",
    ]
    assert domain.kept["/_snapshot/s3_repository"]["s3_repository"] == {
        "type": "s3",
        "settings": {
            "bucket": "snapshots",
            "role_arn": "arn:aws:iam::1:role/s",
            "base_path": "us-east-1",
            "endpoint": "s3.amazonaws.com",
        },
    }
    assert Snapshots("snapshots", region="us-west-2").body()["settings"] == {
        "bucket": "snapshots",
        "region": "us-west-2",
    }
    assert {one.state for one in await Setup(engine, managed=True, snapshots=BUCKET).apply()} == {State.CURRENT}
    states = domain.kept["/_plugins/_ism/policies/docsearch-archive"]["policy"]["states"]
    states[0]["transitions"][0]["conditions"]["min_index_age"] = "60d"
    changed = await Setup(engine, managed=True, snapshots=BUCKET).apply()
    assert [(one.state, one.detail) for one in changed if one.state is not State.CURRENT] == [
        (State.CHANGED, "policy.states[0].transitions[0].conditions.min_index_age: 60d -> 30d")
    ]
    _, only = domain.put[-1]
    assert only == {"if_seq_no": 1, "if_primary_term": 1}, "who changed it meanwhile is not overwritten"
    domain.kept.clear()
    domain.refuses = "repository_verification_exception"
    with pytest.raises(SettingsError, match="snapshot repository s3_repository is refused: repository_verification"):
        await Setup(engine, managed=True, snapshots=BUCKET).apply()


@pytest.mark.anyio
async def test_roles_of_iam_are_let_in_to_what_they_do_and_to_no_other_index() -> None:
    domain = Managed()
    client: AsyncOpenSearch = domain  # type: ignore[assignment]
    access = Access(readers=("arn:search", "arn:document"), writers=("arn:index",))
    first = await Setup(OpenSearch(client), managed=True, access=access).apply(follows=True)
    assert [str(one) for one in first[1:]] == [
        "role docsearch-reader: made",
        "mapping of role docsearch-reader: made",
        "role docsearch-writer: made",
        "mapping of role docsearch-writer: made",
    ]
    again = await Setup(OpenSearch(client), managed=True, access=access).apply(follows=True)
    assert {one.state for one in again} == {State.CURRENT}
    for name in ("reader", "writer"):
        role = domain.kept[f"{SECURITY}/roles/docsearch-{name}"][f"docsearch-{name}"]
        (rights,) = role["index_permissions"]
        assert rights["index_patterns"] == ["docsearch-*"]
    reader = domain.kept[f"{SECURITY}/roles/docsearch-reader"]["docsearch-reader"]
    assert reader["index_permissions"][0]["allowed_actions"] == ["read"]
    other = Access(readers=("arn:another",), writers=("arn:index",))
    changed = await Setup(OpenSearch(client), managed=True, access=other).apply(follows=True)
    assert [str(one) for one in changed if one.state is not State.CURRENT] == [
        "mapping of role docsearch-reader: changed (backend_roles: ['arn:document', 'arn:search'] -> ['arn:another'])"
    ]


@pytest.mark.services
@pytest.mark.anyio
async def test_a_domain_without_the_plugin_for_security_is_said_to_lack_it(engine: OpenSearch) -> None:
    applied = await Setup(engine, managed=False, access=Access(readers=("arn:search",))).apply(follows=True)
    assert [(one.part, one.state) for one in applied[1:]] == [
        (f"role {engine.prefix}-reader", State.LACKING),
        (f"mapping of role {engine.prefix}-reader", State.LACKING),
    ]
    assert applied[1].detail == "OpenSearch has no plugin for security"


@pytest.mark.anyio
async def test_a_domain_that_follows_another_has_no_policy_that_would_move_its_indexes() -> None:
    domain = Managed()
    client: AsyncOpenSearch = domain  # type: ignore[assignment]
    applied = await Setup(OpenSearch(client), managed=True, snapshots=BUCKET).apply(follows=True)
    assert [one.part for one in applied] == ["index template docsearch", "snapshot repository s3_repository"]


def test_what_is_there_besides_does_not_matter() -> None:
    wanted = lifecycle.policy()
    assert [
        *differences(wanted, {**wanted, "_version": 3, "policy": {**wanted["policy"], "last_updated_time": 1}})
    ] == []
    assert [*differences({"a": [1, 2]}, {"a": [1]})] == ["a: [1] -> [1, 2]"]
    assert [*differences({"a": {"b": True}}, {})] == ["a: none -> {'b': True}"]
