"""What of OpenSearch is code: index templates, the policy of ageing, the repository of snapshots, who may do what.

Each is compared with what is there and put in place if it differs, so that applying twice changes nothing, and every
change is told. What a domain cannot have, since a plugin is not there, is told by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from opensearchpy import AsyncOpenSearch
from opensearchpy.exceptions import TransportError

from app.errors import SettingsError
from app.index import lifecycle
from app.index.opensearch import OpenSearch
from app.index.opensearch_client import ADMIN_SECONDS

POLICIES: Final = "/_plugins/_ism/policies"
SECURITY: Final = "/_plugins/_security/api"


class State(StrEnum):
    """What became of a part."""

    MADE = "made"
    CHANGED = "changed"
    CURRENT = "current"
    LACKING = "lacking"
    """The domain lacks what it needs."""


@dataclass(frozen=True)
class Applied:
    """A part of OpenSearch that is code.

    Attributes:
        part: What it is, with its name.
        state: What became of it.
        detail: What was changed, or what is lacking.
    """

    part: str
    state: State
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.part}: {self.state}" + (f" ({self.detail})" if self.detail else "")


@dataclass(frozen=True)
class Snapshots:
    """Where snapshots are kept.

    Attributes:
        bucket: Bucket of S3.
        role_arn: The role that OpenSearch takes to get there; empty outside of AWS.
        path: Where in the bucket this domain writes.
        region: The bucket's region.
    """

    bucket: str
    role_arn: str = ""
    path: str = ""
    region: str = ""

    def body(self) -> dict[str, Any]:
        """The repository as OpenSearch is told of it."""
        # In us-east-1 the endpoint stands for the region (OpenSearch Service developer guide, "Registering a manual
        # snapshot repository").
        where = {"endpoint": "s3.amazonaws.com"} if self.region == "us-east-1" else {"region": self.region}
        optional = {"role_arn": self.role_arn, "base_path": self.path, **where}
        given = {name: value for name, value in optional.items() if value}
        # Nothing is said of encryption: the bucket's own is then used, where what OpenSearch knows by that name is
        # another one (AES256), which a bucket with a customer key refuses.
        return {"type": "s3", "settings": {"bucket": self.bucket, **given}}


@dataclass(frozen=True)
class Access:
    """Roles of IAM that are let into the domain: their rights in AWS are about methods and paths, not about indexes.

    Attributes:
        readers: ARNs of those that search.
        writers: ARNs of those that write, too.
    """

    readers: Sequence[str] = ()
    writers: Sequence[str] = ()

    def bodies(self, prefix: str) -> Mapping[str, tuple[dict[str, Any], dict[str, Any]]]:
        """Role and mapping by name, as OpenSearch is told of them (OpenSearch, "Permissions", "Default action groups").

        Args:
            prefix: What names of indexes begin with.
        """
        rights = {
            "reader": (self.readers, ["cluster_composite_ops_ro", "cluster:monitor/health"], ["read"]),
            # What deletes by a query scrolls, and closes that when it is done: `cluster_composite_ops` has the one.
            "writer": (
                self.writers,
                ["cluster_composite_ops", "cluster_monitor", "indices:data/read/scroll/clear"],
                ["indices_all"],
            ),
        }
        return {
            f"{prefix}-{name}": (
                {
                    "cluster_permissions": cluster,
                    "index_permissions": [{"index_patterns": [f"{prefix}-*"], "allowed_actions": index}],
                },
                {"backend_roles": sorted(arns)},
            )
            for name, (arns, cluster, index) in rights.items()
            if arns
        }


class Setup:
    """Applies it.

    Args:
        engine: The domain.
        managed: Whether it is Amazon's: its warm and cold storage have actions of their own.
        snapshots: Where snapshots are kept, if anywhere.
        access: Whom the domain lets in.
        replicas: Copies of each shard beside the primary.
        refresh_seconds: How soon what was written is found, s.
    """

    def __init__(
        self,
        engine: OpenSearch,
        *,
        managed: bool,
        snapshots: Snapshots | None = None,
        access: Access | None = None,
        replicas: int = 2,
        refresh_seconds: int = lifecycle.REFRESH_SECONDS,
    ) -> None:
        self._engine, self._managed, self._snapshots = engine, managed, snapshots
        self._access = access or Access()
        self._replicas, self._refresh = replicas, refresh_seconds

    async def apply(self, *, follows: bool = False) -> list[Applied]:
        """Puts everything in place.

        Args:
            follows: Whether the domain's indexes follow those of another region. Then it has no policy of their age:
                that of the leader moves and deletes them there, and a follower takes no such change.

        Raises:
            UnavailableError: OpenSearch does not answer.
            SettingsError: It refuses the repository.
        """
        prefix = self._engine.prefix
        common = lifecycle.template(prefix=prefix, replicas=self._replicas, refresh_seconds=self._refresh)
        archive = lifecycle.archive_template(prefix=prefix, replicas=self._replicas, refresh_seconds=self._refresh)
        found = [await self._template(prefix, common)]
        for name, (role, mapping) in self._access.bodies(prefix).items():
            found.append(await self._secure("role", f"{SECURITY}/roles/{name}", name, role))
            found.append(await self._secure("mapping of role", f"{SECURITY}/rolesmapping/{name}", name, mapping))
        if self._snapshots:
            found.append(await self._repository(self._snapshots))
        if follows:
            return found
        found.append(policy := await self._policy(prefix))
        if policy.state is not State.LACKING:
            # It names the policy's own setting, which a domain without the plugin does not know.
            found.append(await self._template(f"{prefix}-archive", archive))
        return found

    async def _template(self, name: str, body: dict[str, Any]) -> Applied:
        part = f"index template {name}"
        async with self._engine.call(ADMIN_SECONDS) as client:
            answer = await _get(client, f"/_index_template/{name}")
            there = answer["index_templates"][0]["index_template"] if answer else None
            changes = [*differences(_comparable(body), _comparable(there))] if there else []
            if there and not changes:
                return Applied(part, State.CURRENT)
            await client.indices.put_index_template(name=name, body=body)
        return Applied(part, State.CHANGED if there else State.MADE, "; ".join(changes))

    async def _policy(self, prefix: str) -> Applied:
        part, path = f"policy {prefix}-archive", f"{POLICIES}/{prefix}-archive"
        wanted = lifecycle.policy(prefix=prefix, managed=self._managed)
        async with self._engine.call(ADMIN_SECONDS) as client:
            try:
                there = await _get(client, path)
                changes = [*differences(wanted, there)] if there else []
                if there and not changes:
                    return Applied(part, State.CURRENT)
                only = {"if_seq_no": there["_seq_no"], "if_primary_term": there["_primary_term"]} if there else {}
                await client.transport.perform_request("PUT", path, params=only, body=wanted)
            except TransportError as error:
                if _lacks(error, "no handler found"):
                    return Applied(part, State.LACKING, "OpenSearch has no plugin for index state management")
                raise
        return Applied(part, State.CHANGED if there else State.MADE, "; ".join(changes))

    async def _secure(self, kind: str, path: str, name: str, wanted: dict[str, Any]) -> Applied:
        part = f"{kind} {name}"
        async with self._engine.call(ADMIN_SECONDS) as client:
            try:
                answer = await _get(client, path)
                there = answer.get(name) if answer else None
                changes = [*differences(wanted, there)] if there else []
                if there and not changes:
                    return Applied(part, State.CURRENT)
                await client.transport.perform_request("PUT", path, body=wanted)
            except TransportError as error:
                if _lacks(error, "no handler found"):
                    return Applied(part, State.LACKING, "OpenSearch has no plugin for security")
                raise
        return Applied(part, State.CHANGED if there else State.MADE, "; ".join(changes))

    async def _repository(self, snapshots: Snapshots) -> Applied:
        name = lifecycle.REPOSITORY
        part, wanted = f"snapshot repository {name}", snapshots.body()
        async with self._engine.call(ADMIN_SECONDS) as client:
            answer = await _get(client, f"/_snapshot/{name}")
            there = answer.get(name) if answer else None
            changes = [*differences(wanted, there)] if there else []
            if there and not changes:
                return Applied(part, State.CURRENT)
            try:
                await client.snapshot.create_repository(repository=name, body=wanted)
            except TransportError as error:
                if _lacks(error, "repository type [s3] does not exist"):
                    return Applied(part, State.LACKING, "OpenSearch has no plugin repository-s3")
                raise SettingsError(
                    f"{part} is refused",
                    why=str(error.error),
                    remedy="Check bucket and role: who migrates has to be allowed to pass it",
                ) from error
        return Applied(part, State.CHANGED if there else State.MADE, "; ".join(changes))


def differences(wanted: Any, there: Any, path: str = "") -> Iterator[str]:
    """What is not as it is wanted, as ``path: is -> wanted``; what is there besides does not matter."""
    if isinstance(wanted, Mapping) and isinstance(there, Mapping):
        for name, value in wanted.items():
            yield from differences(value, there.get(name), f"{path}.{name}" if path else str(name))
    elif isinstance(wanted, list) and isinstance(there, list) and len(wanted) == len(there):
        for at, (value, its) in enumerate(zip(wanted, there, strict=True)):
            yield from differences(value, its, f"{path}[{at}]")
    elif wanted != there:
        yield f"{path}: {_short(there)} -> {_short(wanted)}"


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _comparable(template: Mapping[str, Any]) -> dict[str, Any]:
    """A template with its settings as OpenSearch gives them back: flat, below ``index``, and all of them texts."""
    its = template["template"]
    flat = dict(_flat(its["settings"], ""))
    return {**template, "template": {"settings": flat, "mappings": its["mappings"]}}


def _flat(settings: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        whole = f"{path}.{name}" if path else name
        if isinstance(value, Mapping):
            yield from _flat(value, whole)
        else:
            text = [str(one) for one in value] if isinstance(value, list) else _text(value)
            yield whole if whole.startswith("index.") else f"index.{whole}", text


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


async def _get(client: AsyncOpenSearch, path: str) -> dict[str, Any] | None:
    """What there is; None if there is nothing."""
    try:
        found: dict[str, Any] = await client.transport.perform_request("GET", path)
    except TransportError as error:
        if error.status_code == 404:
            return None
        raise
    return found


def _lacks(error: TransportError, sign: str) -> bool:
    return sign in f"{error.error} {error.info}"
