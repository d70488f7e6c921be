import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.local.state.api import Api, Request
from infra.local.state.journal import StateError
from infra.local.state.service import RefusedError, Service

STACK = "stacks/organization/docsearch/prod"
Call = Callable[..., Any]


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "state")
    yield service
    service.close()


@pytest.fixture
def call(service: Service) -> Call:
    """Calls the API as the engine would; gives the decoded answer."""

    def call(
        method: str,
        path: str,
        content: object = None,
        *,
        lease: str = "",
        url: str = "http://127.0.0.1:1000",
        **query: str,
    ) -> Any:
        request = Request(
            method=method,
            parts=path.split("/"),
            query=query,
            body=b"" if content is None else json.dumps(content).encode(),
            scheme="update-token" if lease else "token",
            token=lease or service.token,
            engine="v3.250.0",
            connection=1,
        )
        answer = Api(service, url).answer(request)
        return json.loads(answer) if isinstance(answer, bytes) else answer

    return call


@pytest.fixture
def stack(call: Call) -> None:
    assert call("POST", "stacks/organization/docsearch", {"stackName": "prod", "tags": {"env": "prod"}}) == {}


def begin(call: Call, kind: str = "update", **options: bool) -> tuple[str, str]:
    proposal = {"options": options, "metadata": {"message": "why"}, "config": {"docsearch:x": {"string": "1"}}}
    update = call("POST", f"{STACK}/{kind}", proposal)["updateID"]
    started = call("POST", f"{STACK}/update/{update}", {"tags": {"env": "prod"}, "journalVersion": 1})
    return update, started["token"]


def entry(kind: int, sequence: int, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "sequenceID": sequence, "operationID": sequence, **fields}


@pytest.mark.parametrize(
    ("scheme", "token"), [("token", "wrong"), ("token", ""), ("", ""), ("Bearer", None), ("token", "ü")]
)
def test_calls_without_the_access_token_are_refused(service: Service, scheme: str, token: str | None) -> None:
    for parts in (["user"], ["stacks", "o", "p", "s", "export"], ["nothing"]):
        request = Request(
            method="GET",
            parts=parts,
            query={},
            body=b"",
            scheme=scheme,
            token=service.token if token is None else token,
            engine="",
            connection=1,
        )
        with pytest.raises(RefusedError) as caught:
            Api(service, "").answer(request)
        assert caught.value.code == 401


def test_access_token_does_not_stand_in_for_a_lease(call: Call, service: Service, stack: None) -> None:
    update, _ = begin(call)
    for path in ("journalentries", "checkpoint", "complete", "renew_lease", "events/batch"):
        with pytest.raises(RefusedError):
            call("PATCH", f"{STACK}/update/{update}/{path}", {})
    with pytest.raises(RefusedError) as caught:
        call("POST", f"{STACK}/update/{update}/complete", {"status": "succeeded"}, lease=service.token)
    assert caught.value.code == 403


def test_who_am_i_and_where(call: Call) -> None:
    assert call("GET", "user")["githubLogin"] == "docsearch"
    assert call("GET", "user")["organizations"][0]["githubLogin"] == "organization"
    assert call("GET", "user/organizations/default") == {"GitHubLogin": "organization"}
    capabilities = {entry["capability"]: entry for entry in call("GET", "capabilities")["capabilities"]}
    assert set(capabilities) == {"batch-encrypt", "deployment-schema-version"}


def test_update_from_proposal_to_history(call: Call, stack: None) -> None:
    update, lease = begin(call)
    assert call("GET", STACK)["activeUpdate"] == update
    assert call("GET", STACK)["currentOperation"]["kind"] == "update"
    at = f"{STACK}/update/{update}"
    state = {"urn": "urn:pulumi:prod::docsearch::t::a", "type": "t", "custom": True}
    call("PATCH", f"{at}/journalentries", {"entries": [entry(1, 1, state=state)]}, lease=lease)
    assert call("POST", f"{at}/renew_lease", {"duration": 300}, lease=lease) == {"token": lease}
    summary = {"events": [{"sequence": 1}, {"summaryEvent": {"resourceChanges": {"create": 1}}}]}
    call("POST", f"{at}/events/batch", summary, lease=lease)
    assert call("GET", at)["status"] == "running"
    assert call("POST", f"{at}/complete", {"status": "succeeded"}, lease=lease) is None
    assert call("GET", at) == {"status": "succeeded", "events": []}
    assert "currentOperation" not in call("GET", STACK)
    assert call("GET", f"{STACK}/export")["deployment"]["resources"] == [state]
    assert call("GET", f"{STACK}/export/1")["deployment"]["resources"] == [state]
    (info,) = call("GET", f"{STACK}/updates")["updates"]
    assert (info["kind"], info["result"], info["message"]) == ("update", "succeeded", "why")
    assert info["resourceChanges"] == {"create": 1}
    assert call("GET", f"{STACK}/updates/latest")["info"] == info
    assert call("GET", f"{STACK}/updates/1")["info"] == info


def test_update_that_failed_is_told_so(call: Call, stack: None) -> None:
    update, lease = begin(call, "destroy")
    call("POST", f"{STACK}/update/{update}/complete", {"status": "failed"}, lease=lease)
    (info,) = call("GET", f"{STACK}/updates")["updates"]
    assert (info["kind"], info["result"]) == ("destroy", "failed")


@pytest.mark.parametrize(
    ("kind", "options"), [("preview", {}), ("update", {"dryRun": True}), ("refresh", {"dryRun": True})]
)
def test_nothing_that_only_looks_is_kept_or_kept_out(
    call: Call, stack: None, kind: str, options: dict[str, bool]
) -> None:
    begin(call)
    update, lease = begin(call, kind, **options)
    call("POST", f"{STACK}/update/{update}/complete", {"status": "succeeded"}, lease=lease)
    assert [info["result"] for info in call("GET", f"{STACK}/updates")["updates"]] == ["in-progress"]


def test_engine_that_does_not_journal_is_served_too(call: Call, stack: None) -> None:
    update = call("POST", f"{STACK}/update", {})["updateID"]
    started = call("POST", f"{STACK}/update/{update}", {})
    assert started["journalVersion"] == 0
    at, lease = f"{STACK}/update/{update}", started["token"]
    call("PATCH", f"{at}/checkpoint", {"version": 3, "deployment": {"resources": [{"urn": "a"}]}}, lease=lease)
    assert call("GET", f"{STACK}/export")["deployment"]["resources"] == [{"urn": "a"}]
    verbatim = {"version": 3, "untypedDeployment": {"version": 3, "deployment": {"resources": [{"urn": "b"}]}}}
    call("PATCH", f"{at}/checkpointverbatim", verbatim, lease=lease)
    assert call("GET", f"{STACK}/export")["deployment"]["resources"] == [{"urn": "b"}]


def test_history_comes_in_pages_latest_first(call: Call, stack: None) -> None:
    for _ in range(3):
        call("POST", f"{STACK}/import", {"version": 3, "deployment": {}})
    assert [info["version"] for info in call("GET", f"{STACK}/updates")["updates"]] == [3, 2, 1]
    page = call("GET", f"{STACK}/updates", pageSize="2", page="2")
    assert [info["version"] for info in page["updates"]] == [1]


def test_import_replaces_the_state(call: Call, stack: None) -> None:
    state = {"version": 3, "deployment": {"manifest": {}, "resources": [{"urn": "a"}]}}
    update = call("POST", f"{STACK}/import", state)["updateId"]
    assert call("GET", f"{STACK}/update/{update}")["status"] == "succeeded"
    assert call("GET", f"{STACK}/export")["deployment"] == state["deployment"]


def test_stacks_are_listed_by_project_organization_and_tag(call: Call, stack: None) -> None:
    call("POST", "stacks/organization/other", {"stackName": "dev", "tags": {"env": "dev"}})

    def listed(**query: str) -> list[str]:
        return [summary["stackName"] for summary in call("GET", "user/stacks", **query)["stacks"]]

    assert listed() == ["prod", "dev"]
    assert listed(project="docsearch") == ["prod"]
    assert listed(organization="nobody") == []
    assert listed(tagName="env", tagValue="dev") == ["dev"]
    assert listed(tagName="team") == []
    assert listed(tagName="env") == ["prod", "dev"]


def test_tags_are_replaced_by_each_update(call: Call, stack: None) -> None:
    call("PATCH", f"{STACK}/tags", {"a": "b"})
    assert call("GET", STACK)["tags"] == {"a": "b"}
    begin(call)
    assert call("GET", STACK)["tags"] == {"env": "prod"}


def test_projects_exist_while_they_have_stacks(call: Call, stack: None) -> None:
    assert call("HEAD", "stacks/organization/docsearch") is None
    assert call("DELETE", STACK, force="false") is None
    with pytest.raises(RefusedError) as caught:
        call("HEAD", "stacks/organization/docsearch")
    assert caught.value.code == 404


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_secrets_one_by_one_and_many_at_once(call: Call, stack: None) -> None:
    ciphertext = call("POST", f"{STACK}/encrypt", {"plaintext": b64("canary")})["ciphertext"]
    assert call("POST", f"{STACK}/decrypt", {"ciphertext": ciphertext}) == {"plaintext": b64("canary")}
    several = call("POST", f"{STACK}/batch-encrypt", {"plaintexts": [b64("one"), b64("two"), ""]})["ciphertexts"]
    plaintexts = call("POST", f"{STACK}/batch-decrypt", {"ciphertexts": several})["plaintexts"]
    assert [plaintexts[text] for text in several] == [b64("one"), b64("two"), ""]
    assert call("POST", f"{STACK}/decrypt/log-batch-decryption", {"commandName": "x"}) is None


def test_secrets_stay_readable_when_the_service_moves_to_another_port(call: Call, stack: None) -> None:
    manager = {"type": "service", "state": {"url": "http://127.0.0.1:1000", "stack": "prod"}}
    call("POST", f"{STACK}/import", {"version": 3, "deployment": {"secrets_providers": manager, "resources": []}})
    for url in ("http://127.0.0.1:1000", "http://127.0.0.1:2000"):
        state = call("GET", f"{STACK}/export", url=url)["deployment"]["secrets_providers"]["state"]
        assert state == {"url": url, "stack": "prod"}


def test_secrets_of_another_service_keep_its_address(call: Call, stack: None) -> None:
    manager = {"type": "service", "state": {"url": "https://state.example", "stack": "prod"}}
    call("POST", f"{STACK}/import", {"version": 3, "deployment": {"secrets_providers": manager}})
    assert call("GET", f"{STACK}/export")["deployment"]["secrets_providers"] == manager


def test_version_that_is_not_kept_is_told_so(call: Call, stack: None) -> None:
    for version in ("7", "x"):
        with pytest.raises(RefusedError, match=r"is not kept.*the one before it") as caught:
            call("GET", f"{STACK}/export/{version}")
        assert caught.value.code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "orgs/organization/teams"), ("POST", f"{STACK}/rename"), ("GET", f"{STACK}/updates/9"), ("PUT", "user")],
)
def test_what_the_service_does_not_offer_is_not_found(call: Call, stack: None, method: str, path: str) -> None:
    with pytest.raises(RefusedError, match="Not Found") as caught:
        call(method, path)
    assert caught.value.code == 404


def test_corrupt_state_is_told_to_whoever_asks_for_it(call: Call, stack: None, service: Service) -> None:
    call("POST", f"{STACK}/import", {"version": 3, "deployment": {"resources": [{"urn": "a"}]}})
    (service.root / "organization/docsearch/prod/state.json").write_bytes(b"damaged")
    with pytest.raises(StateError, match=r"state\.json is corrupt.*--restore organization/docsearch/prod"):
        call("GET", f"{STACK}/export")
    with pytest.raises(StateError, match="is corrupt"):
        begin(call)
