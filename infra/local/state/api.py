"""The part of the Pulumi Cloud API that engine 3.250.0 needs, as calls on a `Service`.

Paths, fields and texts that the engine recognises are those of its ``backend/httpstate`` and ``apitype`` packages.
"""

import base64
import hmac
import json
from dataclasses import dataclass, replace

from infra.local.state.journal import FEATURES_SCHEMA_VERSION, Json
from infra.local.state.ledger import Checkpoint
from infra.local.state.service import ORGANIZATION, Proposal, RefusedError, Service, StackName

JOURNAL_VERSION = 1

_USER = {
    "id": "docsearch",
    "githubLogin": "docsearch",
    "name": "docsearch local state",
    "email": "",
    "avatarUrl": "",
    "organizations": [{"name": ORGANIZATION, "githubLogin": ORGANIZATION}],
    "identities": [],
}
_CAPABILITIES = {
    "capabilities": [
        {"capability": "batch-encrypt"},
        {
            "capability": "deployment-schema-version",
            "version": 1,
            "configuration": {"version": FEATURES_SCHEMA_VERSION},
        },
    ]
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request.

    Attributes:
        method: HTTP method.
        parts: Decoded path below ``/api/``.
        query: Query parameters, the first of each name.
        body: Uncompressed.
        scheme: What ``Authorization`` begins with: ``token`` or ``update-token``.
        token: What follows it.
        engine: Version of the client, from its ``User-Agent``.
        connection: Identifies the connection it came on.
    """

    method: str
    parts: list[str]
    query: dict[str, str]
    body: bytes
    scheme: str
    token: str
    engine: str
    connection: int

    def json(self) -> Json:
        """The body as a JSON object; an empty body is an empty object."""
        try:
            content = json.loads(self.body or b"{}")
        except ValueError as unreadable:
            raise RefusedError(400, f"Bad Request: the body is not JSON ({unreadable})") from unreadable
        if not isinstance(content, dict):
            raise RefusedError(400, "Bad Request: the body is not a JSON object")
        return content


Answer = bytes | Json | None
"""JSON as bytes, or to be encoded; None for no content."""


class Api:
    """Requests to calls on a `Service`."""

    def __init__(self, service: Service, url: str) -> None:
        self._service = service
        self._url = url

    def answer(self, request: Request) -> Answer:
        """Carry out a request.

        Raises:
            RefusedError: With the status to answer.
            StateError: The state cannot be read.
        """
        if request.scheme == "update-token":
            return self._held(request)
        if request.scheme != "token" or not hmac.compare_digest(request.token.encode(), self._service.token.encode()):
            raise RefusedError(401, "Unauthorized: this access token is not the one of this service")
        match request.method, request.parts:
            case "GET", ["user"]:
                return _USER
            case "GET", ["user", "organizations", "default"]:
                return {"GitHubLogin": ORGANIZATION}
            case "GET", ["capabilities"]:
                return _CAPABILITIES
            case "GET", ["user", "stacks"]:
                return {"stacks": self._summaries(request.query)}
            case "HEAD", ["stacks", org, project]:
                if not any(name[:2] == (org, project) for name in self._service.names()):
                    raise RefusedError(404, f"Not Found: no project {org}/{project}")
                return None
            case "POST", ["stacks", org, project]:
                wanted = request.json()
                name = StackName(org, project, wanted["stackName"])
                self._service.create(name, tags=wanted.get("tags") or {}, state=wanted.get("state"))
                return {}
            case _, ["stacks", org, project, stack, *rest]:
                return self._stack(request, StackName(org, project, stack), rest)
        raise _unknown(request)

    def _stack(self, request: Request, name: StackName, rest: list[str]) -> Answer:
        service = self._service
        match request.method, rest:
            case "GET", []:
                return self._describe(name)
            case "DELETE", []:
                service.delete(name, force=request.query.get("force") == "true")
            case "GET", ["export", *version]:
                return self._export(name, version)
            case "POST", ["import"]:
                return {"updateId": service.overwrite(name, request.json())}
            case "PATCH", ["tags"]:
                service.stack(name).tag(request.json())
            case "POST", ["encrypt" | "decrypt" | "batch-encrypt" | "batch-decrypt" as call]:
                return self._secrets(call, request.json())
            case "POST", ["decrypt", "log-decryption" | "log-batch-decryption"]:
                pass
            case "GET", ["updates", *which]:
                return self._history(name, which, request.query)
            case "POST", ["update" | "preview" | "refresh" | "destroy" as kind]:
                return {"updateID": service.propose(_proposal(name, kind, request.json()))}
            case "POST", ["update", update]:
                wanted = request.json()
                started, token = service.start(
                    update, tags=wanted.get("tags"), engine=request.engine, connection=request.connection
                )
                journal = min(JOURNAL_VERSION, wanted.get("journalVersion", 0))
                return {"version": started, "token": token, "journalVersion": journal}
            case "GET", ["update", update]:
                return self._status(name, update)
            case "POST", ["update", update, "cancel"]:
                service.cancel(name, update)
            case "GET", ["update", _, "events"]:
                return {"events": [], "continuationToken": None}
            case _:
                raise _unknown(request)
        return None

    def _secrets(self, call: str, wanted: Json) -> Json:
        encrypt, decrypt = self._service.encrypt, self._service.decrypt
        match call:
            case "encrypt":
                return {"ciphertext": _b64(encrypt(_unb64(wanted["plaintext"])))}
            case "decrypt":
                return {"plaintext": _b64(decrypt(_unb64(wanted["ciphertext"])))}
            case "batch-encrypt":
                return {"ciphertexts": [_b64(encrypt(_unb64(text))) for text in wanted["plaintexts"]]}
            case _:
                return {"plaintexts": {text: _b64(decrypt(_unb64(text))) for text in wanted["ciphertexts"]}}

    def _held(self, request: Request) -> Answer:
        """Calls that an update makes about itself, with its lease token."""
        match request.parts:
            case ["stacks", org, project, stack, "update", update, *rest]:
                name = StackName(org, project, stack)
            case _:
                raise _unknown(request)
        ledger = self._service.hold(name, update, request.token, request.connection)
        match request.method, rest:
            case "POST", ["renew_lease"]:
                return {"token": request.token}
            case "POST", ["complete"]:
                self._service.complete(name, update, succeeded=request.json().get("status") == "succeeded")
            case "POST", ["events"] | ["events", "batch"]:
                # Only the summary is kept: the rest repeats at length what the journal holds.
                if ledger and b'"summaryEvent"' in request.body:
                    for event in request.json().get("events", []):
                        if summary := event.get("summaryEvent"):
                            ledger.count(summary.get("resourceChanges") or {})
            case "PATCH", ["journalentries"] if ledger:
                ledger.append(request.body)
            case "PATCH", ["checkpoint"] if ledger:
                ledger.checkpoint(request.json())
            case "PATCH", ["checkpointverbatim"] if ledger:
                ledger.checkpoint(request.json()["untypedDeployment"])
            case _:
                raise _unknown(request)
        return None

    def _describe(self, name: StackName) -> Json:
        ledger = self._service.stack(name)
        busy = self._service.busy(ledger)
        operation = {"kind": busy.kind, "author": _USER["githubLogin"], "started": busy.started} if busy else None
        return {
            "id": "/".join(name),
            "orgName": name.org,
            "projectName": name.project,
            "stackName": name.stack,
            "activeUpdate": ledger.last_update,
            "tags": ledger.tags,
            "version": ledger.version,
            **({"currentOperation": operation} if operation else {}),
        }

    def _summaries(self, query: dict[str, str]) -> list[Json]:
        summaries = []
        for name in self._service.names():
            ledger = self._service.stack(name)
            if query.get("organization", name.org) != name.org or query.get("project", name.project) != name.project:
                continue
            if (tag := query.get("tagName")) and not _tagged(ledger.tags, tag, query.get("tagValue")):
                continue
            last = next(iter(ledger.history()), None)
            summaries.append(
                {
                    "id": "/".join(name),
                    "orgName": name.org,
                    "projectName": name.project,
                    "stackName": name.stack,
                    "resourceCount": ledger.resources(),
                    **({"lastUpdate": last["startTime"]} if last else {}),
                }
            )
        return summaries

    def _export(self, name: StackName, version: list[str]) -> bytes:
        ledger = self._service.stack(name)
        try:
            checkpoint = ledger.export(int(version[0]) if version else None)
        except (KeyError, ValueError):
            raise RefusedError(
                404,
                f"Not Found: version {version[0]} of stack '{'/'.join(name)}' is not kept",
                why="only the state after the last update and the one before it are",
            ) from None
        return self._readdressed(checkpoint).untyped()

    def _readdressed(self, checkpoint: Checkpoint) -> Checkpoint:
        """The state names the address of the service that decrypts its secrets; ours can be another since."""
        manager = b'"secrets_providers":{"type":"service"'
        if manager not in checkpoint.body or f'"url":"{self._url}"'.encode() in checkpoint.body:
            return checkpoint
        deployment = json.loads(checkpoint.body)
        state = deployment["secrets_providers"]["state"]
        if state.get("url", "").startswith("http://127.0.0.1:"):
            state["url"] = self._url
        return replace(checkpoint, body=compact(deployment))

    def _history(self, name: StackName, which: list[str], query: dict[str, str]) -> Json:
        infos = self._service.stack(name).history()
        match which:
            case []:
                size = int(query.get("pageSize", 0)) or len(infos)
                first = (max(1, int(query.get("page", 1))) - 1) * size
                return {"updates": infos[first : first + size]}
            case ["latest"]:
                found = infos[:1]
            case _:
                found = [info for info in infos if which == [str(info["version"])]]
        if not found:
            raise RefusedError(404, f"Not Found: stack '{'/'.join(name)}' has no such update")
        return {"info": found[0], "updateID": found[0]["id"]}

    def _status(self, name: StackName, update: str) -> Json:
        for info in self._service.stack(name).history():
            if info["id"] == update:
                status = "running" if info["result"] == "in-progress" else info["result"]
                return {"status": status, "events": []}
        raise RefusedError(404, f"Not Found: stack '{'/'.join(name)}' has no update {update}")


def compact(content: Json) -> bytes:
    """JSON without spaces."""
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _tagged(tags: dict[str, str], tag: str, value: str | None) -> bool:
    return tag in tags and (value is None or tags[tag] == value)


def _proposal(name: StackName, kind: str, wanted: Json) -> Proposal:
    metadata = wanted.get("metadata") or {}
    return Proposal(
        name=name,
        kind=kind,
        dry_run=kind == "preview" or bool((wanted.get("options") or {}).get("dryRun")),
        about={
            "message": metadata.get("message", ""),
            "environment": metadata.get("environment") or {},
            "config": wanted.get("config") or {},
        },
    )


def _unknown(request: Request) -> RefusedError:
    return RefusedError(
        404,
        f"Not Found: the local state service has no {request.method} /api/{'/'.join(request.parts)}",
        why="it offers what the engine needs to run updates",
    )


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _unb64(text: str | None) -> bytes:
    return base64.b64decode(text or "", validate=True)
