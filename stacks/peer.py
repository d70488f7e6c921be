"""The other region, as a typed value: what a primary shows, and what a standby reads of it.

A primary exports `Peer(...).exports()` last; a standby begins with `Peer.read("prod")` and gets an equal value back,
through a stack reference. A primary itself has a `NoPeer`, so the region program asks nobody who it is:
`KmsArgs(replica_of=peer.key_arns)` is right for both.

    primary   Peer(...).exports()  ->  outputs `peer`, `peer_secrets`
    standby   Peer.read("prod")    <-  the same two, checked by `check_outputs`

There are two outputs because one secret value makes all that is exported beside it secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import pulumi

from components.alarms import SEVERITIES, Severity
from components.errors import ConfigError
from components.kms import DATA_CLASSES, DataClass
from components.storage_plan import REPLICATED

CONTRACT: Final = 2
"""Version of what is shared. It rises when a standby needs something that older primaries do not show."""

PLAIN: Final = "peer"
"""Stack output that holds everything but secrets."""

SECRET: Final = "peer_secrets"  # noqa: S105
"""Stack output that holds the values of secrets by name."""

_SINGLE: Final = (
    "region",
    "domain",
    "vpc_cidr",
    "zone_id",
    "database_arn",
    "database_identifier",
    "search_domain",
    "cache_global_id",
    "backup_vault",
)
_BY_NAME: Final[Mapping[str, tuple[str, ...]]] = {
    "key_arns": DATA_CLASSES,
    "bucket_names": REPLICATED,
    "alarm_topics": SEVERITIES,
}


class PeerError(ConfigError, pulumi.RunError):
    """The peer region does not show what a standby needs.

    Being a RunError, it ends a program with its message alone, also where it is raised inside an `apply`.
    """


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A primary region, as its standbys see it.

    Attributes:
        region: AWS region.
        domain: DNS zone of the service.
        vpc_cidr: Address block of its network.
        zone_id: Hosted zone that all regions answer in.
        database_arn: ARN of the database that a standby's replica follows.
        database_identifier: Its identifier.
        search_domain: Name of the OpenSearch domain that a standby's follows.
        cache_global_id: The Global Datastore that a standby's cache joins.
        backup_vault: Name of the backup vault.
        key_arns: ARN of the multi-region key by class of data.
        bucket_names: Bucket by kind.
        alarm_topics: ARN of the alarm topic by severity.
        secrets: Value by name, one secret output.
    """

    region: str
    domain: pulumi.Output[str]
    vpc_cidr: pulumi.Output[str]
    zone_id: pulumi.Output[str]
    database_arn: pulumi.Output[str]
    database_identifier: pulumi.Output[str]
    search_domain: pulumi.Output[str]
    cache_global_id: pulumi.Output[str]
    backup_vault: pulumi.Output[str]
    key_arns: Mapping[DataClass, pulumi.Output[str]]
    bucket_names: Mapping[str, pulumi.Output[str]]
    alarm_topics: Mapping[Severity, pulumi.Output[str]]
    secrets: pulumi.Output[Mapping[str, str]]

    def exports(self) -> dict[str, Any]:
        """The stack outputs that `read` takes."""
        plain = {name: getattr(self, name) for name in (*_SINGLE, *_BY_NAME)}
        return {PLAIN: {"contract": CONTRACT, **plain}, SECRET: pulumi.Output.secret(self.secrets)}

    @classmethod
    def read(cls, stack: str, *, region: str) -> Self:
        """The region of another stack of this project.

        Args:
            stack: Name of the stack, such as `prod`.
            region: Its region, as its stack file says: providers and names are made of it before any output is known.

        Returns:
            A value whose outputs fail with a PeerError when the stack does not show all that is needed. Where outputs
            can be had before the program runs, `check_outputs` says the same earlier.
        """
        reference = pulumi.StackReference(f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}")
        secrets = reference.get_output(SECRET)
        # The names of secrets are none: without this, everything that waits for the check would become secret.
        names = pulumi.Output.unsecret(secrets.apply(lambda values: dict.fromkeys(values or (), "")))
        plain = pulumi.Output.all(reference.get_output(PLAIN), names).apply(
            lambda shown: check_outputs(stack, {PLAIN: shown[0], SECRET: shown[1]})
        )
        return cls(
            region=region,
            domain=_part(plain, "domain"),
            vpc_cidr=_part(plain, "vpc_cidr"),
            zone_id=_part(plain, "zone_id"),
            database_arn=_part(plain, "database_arn"),
            database_identifier=_part(plain, "database_identifier"),
            search_domain=_part(plain, "search_domain"),
            cache_global_id=_part(plain, "cache_global_id"),
            backup_vault=_part(plain, "backup_vault"),
            key_arns={name: _part(plain, "key_arns", name) for name in DATA_CLASSES},
            bucket_names={name: _part(plain, "bucket_names", name) for name in REPLICATED},
            alarm_topics={name: _part(plain, "alarm_topics", name) for name in SEVERITIES},
            secrets=pulumi.Output.all(plain, secrets).apply(lambda both: both[1]),
        )


class NoPeer:
    """What a primary has for a peer: nothing, in the terms of `Peer`."""

    region = None
    domain = None
    vpc_cidr = None
    zone_id = None
    database_arn = None
    database_identifier = None
    search_domain = None
    cache_global_id = None
    backup_vault = None
    key_arns = None
    bucket_names = None
    alarm_topics = None
    secrets = None


AnyPeer = Peer | NoPeer


def check_outputs(stack: str, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check that a stack shows what its standbys need.

    Pure: the program uses it inside `apply`, the command before it starts the engine.

    Args:
        stack: Name of the stack.
        outputs: Its outputs by name, as plain values; empty when it was never brought up.

    Returns:
        What the output `peer` holds.

    Raises:
        PeerError: It was never brought up, speaks another version of the contract, or misses something; all that is
            missing is named.
    """
    up = f"Bring it up first: docsearch up {stack}"
    plain = outputs.get(PLAIN)
    if not isinstance(plain, Mapping):
        raise PeerError(
            f"stack {stack} shows no output `{PLAIN}`", why="it was never brought up as a primary", remedy=up
        )
    version = plain.get("contract") or 0
    if version < CONTRACT:
        raise PeerError(
            f"stack {stack} shows version {version:g} of what regions share",
            why=f"this program needs version {CONTRACT}, so it was last brought up by an older one",
            remedy=f"Bring it up with this version first: docsearch up {stack}",
        )
    if version > CONTRACT:
        raise PeerError(
            f"stack {stack} shows version {version:g} of what regions share",
            why=f"this program knows version {CONTRACT}, so it is older than what brought that region up",
            remedy="Run a checkout that is at least as new",
        )
    missing = [name for name in _SINGLE if not plain.get(name)]
    for group, names in _BY_NAME.items():
        missing += [f"{group}.{name}" for name in names if not (plain.get(group) or {}).get(name)]
    if not outputs.get(SECRET):
        missing.append(SECRET)
    if missing:
        why = "it was last brought up only in part, or by another version of the program"
        raise PeerError(f"stack {stack} does not show {', '.join(missing)}", why=why, remedy=up)
    return plain


def _part(plain: pulumi.Output[Any], *path: str) -> pulumi.Output[Any]:
    def take(value: Any) -> Any:
        for name in path:
            value = value[name]
        return value

    return plain.apply(take)
