"""Replay of an engine journal: base deployment + entries -> deployment. Pure: no files, no clock.

The engine (3.250, journal version 1) does not send its whole state after each step. It sends entries: *begin* with the
operation about to run, *success* with the resource that resulted, and so on. Each entry names what it supersedes either
by its index in the base deployment (``...Old``) or by the operation that made it earlier in this journal (``...New``).
The semantics are those of ``backend/journal.go`` in the engine's source. The tests hold them to it with journals that
the engine itself replayed.

A deployment is the engine's own JSON (``DeploymentV3``), kept as plain dicts so that fields this module does not know
pass through untouched.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from infra.errors import LocalCloudError

Json = dict[str, Any]

SCHEMA_VERSION = 3
"""Deployment schema of a state that uses no feature below."""

FEATURES_SCHEMA_VERSION = 4
"""Deployment schema once a feature is used: an engine that lacks the feature then refuses the state."""

_FEATURES = {
    "refreshBeforeUpdate": "refreshBeforeUpdate",
    "viewOf": "views",
    "resourceHooks": "hooks",
    "taint": "taint",
    "replaceWith": "replaceWith",
    "extensionRef": "extensionParameterization",
}
"""Resource field that switches a deployment feature on -> the engine's name of the feature."""

_ROOT_TYPE = "pulumi:pulumi:Stack"


class StateError(LocalCloudError):
    """The state of a stack cannot be read, replayed or written."""


class JournalError(StateError):
    """A journal holds an entry that cannot be replayed."""


class Kind(IntEnum):
    """What a journal entry records (``apitype.JournalEntryKind``)."""

    BEGIN = 0
    SUCCESS = 1
    FAILURE = 2
    REFRESH_SUCCESS = 3
    OUTPUTS = 4
    WRITE = 5
    SECRETS_MANAGER = 6
    REBUILT_BASE_STATE = 7
    EXTENSION_PARAMETERIZE = 8
    SNIPPETS = 9


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """Who wrote a deployment, and when.

    Attributes:
        engine: Version of the engine, such as ``v3.250.0``; empty when unknown.
        time: RFC 3339 time.
    """

    engine: str
    time: str

    def manifest(self) -> Json:
        """The deployment's manifest; the engine refuses a state whose magic is not the hash of its version."""
        magic = hashlib.sha256(self.engine.encode()).hexdigest() if self.engine else ""
        return {"time": self.time, "magic": magic, "version": self.engine}


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """A deployment with the schema version and the features that it needs to be read."""

    deployment: Json
    version: int
    features: tuple[str, ...]


def replay(base: Json, entries: Iterable[Json], stamp: Stamp) -> Replayed:
    """Apply journal entries to a deployment.

    Entries are applied in the order of their sequence ids, each once: a client that got no answer sends a batch again.

    Args:
        base: The deployment that the journal was started on. Not modified.
        entries: Entries as the engine sends them, in any order.
        stamp: Goes to the manifest of the result.

    Raises:
        JournalError: An entry is not one that the engine can have written.
    """
    journal = Journal(base, stamp)
    unique = {_sequence_id(entry): entry for entry in entries}
    for _, entry in sorted(unique.items()):
        journal.add(entry)
    return journal.replayed()


class Journal:
    """A deployment in the making: a base, and what the entries so far do to it."""

    def __init__(self, base: Json, stamp: Stamp) -> None:
        self._stamp = stamp
        self._refreshed = False
        self._rebase(dict(base))

    def _rebase(self, base: Json) -> None:
        self._base = base
        self._new: list[Json] = []
        self._index_of_operation: dict[int, int] = {}
        self._failed: set[int] = set()
        self._incomplete: dict[int, Json] = {}
        self._removed_old: set[int] = set()
        self._removed_new: set[int] = set()
        self._replaced_old: dict[int, Json] = {}
        self._deleted_old: set[int] = set()
        self._pending_replacement_old: set[int] = set()
        self._extensions: Json = {}

    def add(self, entry: Json) -> None:
        """Apply one entry.

        Raises:
            JournalError: The entry is of an unknown kind or names an operation that never happened.
        """
        try:
            kind = Kind(entry["kind"])
            operation: int = entry["operationID"]
        except (KeyError, ValueError) as broken:
            raise JournalError(
                f"journal entry {entry.get('sequenceID')} cannot be replayed",
                why=f"it has no kind or operation that engine journal version 1 knows ({broken!r})",
                remedy="Use the engine version that the project pins",
            ) from broken
        match kind:
            case Kind.BEGIN:
                self._incomplete[operation] = entry
            case Kind.SUCCESS:
                self._incomplete.pop(operation, None)
                self._succeeded(operation, entry)
            case Kind.REFRESH_SUCCESS:
                self._incomplete.pop(operation, None)
                self._refreshed = True
                self._supersede(entry)
            case Kind.FAILURE:
                self._incomplete.pop(operation, None)
                self._failed.add(operation)
            case Kind.OUTPUTS:
                if entry.get("state") is not None:
                    self._supersede(entry)
            case Kind.WRITE:
                fresh = dict(entry["newSnapshot"])
                if not fresh.get("secrets_providers") and self._base.get("secrets_providers"):
                    fresh["secrets_providers"] = self._base["secrets_providers"]
                self._base = fresh
            case Kind.SECRETS_MANAGER:
                self._base["secrets_providers"] = entry["secretsProvider"]
            case Kind.REBUILT_BASE_STATE:
                self._rebase(self.replayed().deployment)
            case Kind.EXTENSION_PARAMETERIZE:
                self._extensions[entry["extensionRef"]] = entry["extension"]
            case Kind.SNIPPETS:
                self._base["snippets"] = entry.get("snippets") or []

    def _succeeded(self, operation: int, entry: Json) -> None:
        if entry.get("state") is not None:
            self._index_of_operation[operation] = len(self._new)
            self._new.append(entry["state"])
        if (old := entry.get("removeOld")) is not None:
            self._removed_old.add(old)
        if (index := self._made_by(entry, "removeNew")) is not None:
            self._removed_new.add(index)
        if (old := entry.get("deleteOld")) is not None:
            self._deleted_old.add(old)
        if (index := self._made_by(entry, "deleteNew")) is not None:
            self._new[index] = {**self._new[index], "delete": True}
        if (old := entry.get("pendingReplacementOld")) is not None:
            self._pending_replacement_old.add(old)
        if (index := self._made_by(entry, "pendingReplacementNew")) is not None:
            self._new[index] = {**self._new[index], "pendingReplacement": True}
        if entry.get("isRefresh"):
            self._refreshed = True

    def _supersede(self, entry: Json) -> None:
        """Put the entry's state in the place of the one that it names, or drop that one if there is no state."""
        state: Json | None = entry.get("state")
        if (old := entry.get("removeOld")) is not None:
            if state is None:
                self._removed_old.add(old)
            else:
                self._replaced_old[old] = state
        if (index := self._made_by(entry, "removeNew")) is not None:
            if state is None:
                self._removed_new.add(index)
            else:
                self._new[index] = state

    def _made_by(self, entry: Json, field: str) -> int | None:
        """Index among the new resources of the one that the operation in ``field`` made; None if it made none."""
        operation: int | None = entry.get(field)
        if operation is None or operation in self._failed:
            return None
        try:
            return self._index_of_operation[operation]
        except KeyError:
            raise JournalError(
                f"journal entry {entry.get('sequenceID')} cannot be replayed",
                why=f"its {field} is operation {operation}, which no earlier entry completes",
                remedy="The journal is incomplete: go back to the checkpoint before it",
            ) from None

    def replayed(self) -> Replayed:
        """The deployment as it stands after the entries added so far."""
        resources = [state for index, state in enumerate(self._new) if index not in self._removed_new]
        resources += self._surviving_base()
        operations = [entry["operation"] for entry in self._incomplete.values() if entry.get("operation")]
        # A create that was cut off may have left something in the cloud: only a person or a reconcile may drop it.
        operations += [op for op in self._base.get("pending_operations") or [] if op["type"] == "creating"]
        features = _features(resources + [operation["resource"] for operation in operations])
        if self._refreshed:
            resources = _without_dangling_references(resources)
        deployment: Json = {
            "manifest": self._stamp.manifest(),
            "secrets_providers": self._base.get("secrets_providers"),
            "resources": resources,
            "pending_operations": operations,
            "metadata": self._base.get("metadata") or {},
            "snippets": self._base.get("snippets"),
            "extensions": {**self._extensions, **(self._base.get("extensions") or {})},
        }
        if deployment["snippets"]:
            features.add("snippets-prototype")
        kept = {key: value for key, value in deployment.items() if value or key == "metadata"}
        return Replayed(
            deployment=_normalised(kept),
            version=FEATURES_SCHEMA_VERSION if features else SCHEMA_VERSION,
            features=tuple(sorted(features)),
        )

    def _surviving_base(self) -> list[Json]:
        surviving = []
        for index, state in enumerate(self._base.get("resources") or []):
            if index in self._removed_old:
                continue
            if index in self._replaced_old:
                surviving.append(self._replaced_old[index])
                continue
            marks = {
                **({"pendingReplacement": True} if index in self._pending_replacement_old else {}),
                **({"delete": True} if index in self._deleted_old else {}),
            }
            surviving.append({**state, **marks} if marks else state)
        return surviving


def _sequence_id(entry: Json) -> int:
    match entry.get("sequenceID"):
        case int(number) if number > 0:
            return number
        case other:
            raise JournalError(
                f"journal entry of operation {entry.get('operationID')} cannot be replayed",
                why=f"its sequence id is {other!r}, not a positive number",
                remedy="Use the engine version that the project pins",
            )


def _features(states: Iterable[Json]) -> set[str]:
    return {feature for state in states for field, feature in _FEATURES.items() if state.get(field)}


def _without_dangling_references(states: list[Json]) -> list[Json]:
    """Drop references to resources that a refresh found gone; a reference may only point backwards."""
    seen: set[str] = set()
    parent_of: dict[str, str] = {}
    repaired: list[Json] = []
    for state in states:
        fixed = dict(state)
        _keep(fixed, "dependencies", [urn for urn in state.get("dependencies") or [] if urn in seen])
        by_property = state.get("propertyDependencies") or {}
        present = {key: [urn for urn in urns or [] if urn in seen] for key, urns in by_property.items()}
        _keep(fixed, "propertyDependencies", {key: urns for key, urns in present.items() if urns})
        _keep(fixed, "replaceWith", [urn for urn in state.get("replaceWith") or [] if urn in seen])
        if state.get("deletedWith") not in seen:
            fixed.pop("deletedWith", None)
        seen.add(state["urn"])
        repaired.append(fixed)
    for fixed in repaired:
        parent = fixed.get("parent", "")
        if parent not in seen:
            _keep(fixed, "parent", parent_of.get(parent, ""))
        parent_of[fixed["urn"]] = parent
    return repaired


def _keep(state: Json, key: str, value: object) -> None:
    """Set a field, or remove it when it became empty, as the engine's encoder does."""
    if value:
        state[key] = value
    else:
        state.pop(key, None)


def _normalised(deployment: Json) -> Json:
    """Rewrite references that go through an alias to the present URN, then forget the aliases."""
    resources: list[Json] = deployment.get("resources", [])
    if not any(state.get("aliases") for state in resources):
        return deployment
    current = _aliases(resources)
    normalised = [_with_current_urns(state, current) for state in resources]
    snippets = [
        {**snippet, "references": {name: current.get(urn, urn) for name, urn in snippet["references"].items()}}
        if snippet.get("references")
        else snippet
        for snippet in deployment.get("snippets", [])
    ]
    return {**deployment, "resources": normalised, **({"snippets": snippets} if snippets else {})}


def _aliases(resources: Iterable[Json]) -> dict[str, str]:
    current: dict[str, str] = {}
    for state in resources:
        urn: str = state["urn"]
        for alias in state.get("aliases") or []:
            if current.get(alias, urn) != urn:
                raise JournalError(
                    f"{alias} is an alias of two resources",
                    why=f"both {current[alias]} and {urn} claim it, so a reference to it is ambiguous",
                    remedy="Remove the alias from one of them",
                )
            current[alias] = urn
        parent = current.get(state.get("parent", ""), "")
        if parent and _qualified_type(parent) != _ROOT_TYPE:
            stack, project, own_type, name = urn.removeprefix("urn:pulumi:").split("::", 3)
            typ = f"{_qualified_type(parent)}${own_type.rpartition('$')[2]}"
            current[urn] = f"urn:pulumi:{stack}::{project}::{typ}::{name}"
    return current


def _with_current_urns(state: Json, current: Mapping[str, str]) -> Json:
    fixed = {key: value for key, value in state.items() if key != "aliases"}
    for field in ("urn", "parent", "deletedWith", "viewOf"):
        if fixed.get(field):
            fixed[field] = current.get(fixed[field], fixed[field])
    if fixed.get("provider"):
        urn, _, provider_id = fixed["provider"].rpartition("::")
        fixed["provider"] = f"{current.get(urn, urn)}::{provider_id}"
    if fixed.get("dependencies"):
        fixed["dependencies"] = [current.get(urn, urn) for urn in fixed["dependencies"]]
    if fixed.get("propertyDependencies"):
        fixed["propertyDependencies"] = {
            key: [current.get(urn, urn) for urn in urns] if urns else urns
            for key, urns in fixed["propertyDependencies"].items()
        }
    return fixed


def _qualified_type(urn: str) -> str:
    return urn.split("::", 3)[2]
