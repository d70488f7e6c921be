"""The one place of tenant isolation.

A `Scope` says for whom a request acts: the tenant, the rights, the filters that its token forces. Everything that
reaches data is made from one: a query for an engine (`Scope.query`), a transaction (`app.store.database.Database`
takes a scope and nothing else). `ScopedQuery` cannot be made elsewhere, and engines take nothing else, so a query
without its tenant is a type error, and at run time an exception. Row-level security in PostgreSQL stands behind it and
does not trust it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec

from app.errors import ForbiddenError
from app.index.model import Filter, Position, Query, Suggest


class Right(StrEnum):
    """What a key or a token may do (requirement, section 3). None includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Role(StrEnum):
    """What somebody is for a tenant: what an identity provider says of its users."""

    READER = "reader"
    WRITER = "writer"
    TENANT_ADMIN = "tenant-admin"


ROLES: Final = {
    Role.READER: frozenset({Right.READ}),
    Role.WRITER: frozenset({Right.READ, Right.WRITE}),
    Role.TENANT_ADMIN: frozenset(Right),
}
"""What each role may do. This is the one place that says so."""


def rights_of(roles: Iterable[Role]) -> frozenset[Right]:
    """What somebody with some roles may do; nothing without any."""
    return frozenset(right for role in roles for right in ROLES[role])


_SEAL: Final = object()


@dataclass(frozen=True)
class ScopedQuery:
    """A query with its tenant: what an engine takes.

    Attributes:
        tenant_id: Only its documents may be found.
        query: What was asked for.
        forced: Filters that the caller's token carries; they hold whatever the query says.
    """

    tenant_id: UUID
    query: Query
    forced: tuple[Filter, ...]
    _seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self._seal)

    @property
    def filters(self) -> tuple[Filter, ...]:
        """All filters that have to hold: the forced ones, and those that were asked for."""
        return (*self.forced, *self.query.filters)

    def behind(self, position: Position) -> ScopedQuery:
        """The same query, from behind a position on."""
        return replace(self, query=msgspec.structs.replace(self.query, after=position))


@dataclass(frozen=True)
class ScopedSuggest:
    """A prefix with its tenant.

    Attributes:
        tenant_id: Only its documents may be suggested from.
        suggest: What was asked for.
        forced: Filters that a suggestion's document has to meet.
    """

    tenant_id: UUID
    suggest: Suggest
    forced: tuple[Filter, ...]
    _seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        _check(self._seal)


@dataclass(frozen=True, kw_only=True)
class Scope:
    """For whom a request acts.

    Attributes:
        tenant_id: The tenant.
        actor: Who it is, for the audit trail: ``key:PREFIX``, ``token:SUBJECT``, ``user:SUBJECT``,
            ``worker``.
        rights: What it may do.
        forced: Filters of its token, which every query gets.
        key_id: The API key that it comes from, if any: limits are kept by it.
        per_minute: Its limit, requests per minute; None for the tenant's.
    """

    tenant_id: UUID
    actor: str
    rights: frozenset[Right] = frozenset()
    forced: tuple[Filter, ...] = ()
    key_id: UUID | None = None
    per_minute: int | None = None

    def require(self, right: Right) -> None:
        """Checks that it may do something.

        Raises:
            ForbiddenError: It may not, or it is bound to some documents and wants to write or to administrate.
        """
        if right not in self.rights:
            held = ", ".join(sorted(self.rights)) or "none"
            raise ForbiddenError(f"this needs the scope {right.value!r}", why=f"the credentials have {held}")
        if self.forced and right is not Right.READ:
            raise ForbiddenError(
                "a token with a forced filter only reads", why="what it writes might lie outside of its filter"
            )

    def query(self, query: Query) -> ScopedQuery:
        """The query as an engine takes it.

        Raises:
            ForbiddenError: The scope may not read.
        """
        self.require(Right.READ)
        return ScopedQuery(self.tenant_id, query, self.forced, _SEAL)

    def suggest(self, suggest: Suggest) -> ScopedSuggest:
        """The prefix as an engine takes it.

        Raises:
            ForbiddenError: The scope may not read.
        """
        self.require(Right.READ)
        return ScopedSuggest(self.tenant_id, suggest, self.forced, _SEAL)


def _check(seal: object) -> None:
    if seal is not _SEAL:
        raise ForbiddenError("a query was made without a scope", why="only app.tenancy.Scope knows whose it is")


def internal(tenant_id: UUID, actor: str) -> Scope:
    """The scope of what the service itself does for a tenant: indexing, warming, erasure, the command line."""
    return Scope(tenant_id=tenant_id, actor=actor, rights=frozenset(Right))
