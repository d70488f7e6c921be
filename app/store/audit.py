"""The audit trail: who did what, from where. A chain of hashes per tenant shows what was altered, lost or moved.

Each row's hash covers the row and the hash of the row before, so a row that is altered, deleted, inserted or moved
breaks the chain from there on. Its last hash and length are what to keep elsewhere: without them a cut at the end
cannot be seen.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.store.database import Connection
from app.tenancy import Scope

START: Final = b"\0" * 32
"""What the first row of a tenant follows."""

MAX_AGENT: Final = 256

PAGE_BYTES: Final = 2 * 2**20
"""What the details of a page may come to, bytes of JSON: a row of a bulk request names up to ten thousand documents."""

FEW: Final = 20
"""Rows that are brought at once where each may be large."""


@dataclass(frozen=True)
class Origin:
    """Where a request comes from.

    Attributes:
        address: The caller's IP address.
        user_agent: What it calls itself.
        correlation_id: The request.
    """

    address: str = ""
    user_agent: str = ""
    correlation_id: str = ""


@dataclass(frozen=True)
class Entry:
    """What a row of the trail tells of.

    Attributes:
        scope: Who did it, for which tenant.
        origin: From where.
        action: What was done.
        resource: To what.
        detail: And how.
    """

    scope: Scope
    origin: Origin
    action: str
    resource: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """Whether a tenant's trail is whole.

    Attributes:
        rows: Its rows, as far as they were looked at.
        broken_at: The number of the first row that does not follow from the one before; None if all do.
        head: The last hash, hexadecimal.
        ended: Whether that is all of it.
    """

    rows: int
    broken_at: int | None
    head: str
    ended: bool = True


def digest(previous: bytes, row: Mapping[str, Any]) -> bytes:
    """The hash of a row: SHA-256 over the hash before it and the row as canonical JSON."""
    body = orjson.dumps({name: _plain(value) for name, value in row.items()}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(previous + body).digest()


async def record(
    connection: Connection,
    scope: Scope,
    origin: Origin,
    *,
    action: str,
    resource: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds a row, in the transaction of what it tells of: what was done has a row, and the other way round.

    The writers of one tenant come one after the other from here to the end of their transactions.
    """
    await record_all(connection, [Entry(scope, origin, action, resource, detail or {})])


async def record_all(connection: Connection, entries: Sequence[Entry]) -> None:
    """Adds rows of one tenant, in this order and at once, in the transaction of what they tell of."""
    tenant_id = entries[0].scope.tenant_id
    await lock(connection, tenant_id)
    last = await connection.fetchrow(
        "SELECT seq, hash FROM audit WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1", tenant_id
    )
    seq, previous = (last["seq"], last["hash"]) if last else (0, START)
    rows = []
    for entry in entries:
        seq += 1
        row = {
            "tenant_id": tenant_id,
            "seq": seq,
            "at": datetime.now(UTC),
            "actor": entry.scope.actor,
            "action": entry.action,
            "resource": entry.resource,
            "address": entry.origin.address,
            "user_agent": entry.origin.user_agent[:MAX_AGENT].replace("\0", ""),
            "correlation_id": entry.origin.correlation_id,
            "detail": dict(entry.detail),
        }
        rows.append((*row.values(), previous, previous := digest(previous, row)))
    await connection.executemany(
        """
        INSERT INTO audit (tenant_id, seq, at, actor, action, resource, address, user_agent, correlation_id, detail,
                           previous, hash)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        """,
        rows,
    )


async def lock(connection: Connection, tenant_id: UUID) -> None:
    """Makes the writers of a tenant come one after the other, until the end of the transaction."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"docsearch write {tenant_id}")


async def verify(
    connection: Connection,
    tenant_id: UUID,
    heads: Mapping[int, str] | None = None,
    *,
    known: tuple[int, str] | None = None,
    seconds: float = math.inf,
) -> Verdict:
    """Goes through a tenant's trail, from its first row or from one whose hash is known.

    Args:
        connection: A transaction that sees the tenant.
        tenant_id: The tenant.
        heads: What was kept elsewhere of earlier verifications, `Verdict.head` by `Verdict.rows`: without them nobody
            sees a cut at the end, or a trail that was made anew.
        known: The row to begin behind, and its hash, as an earlier verdict has them: no row before it is looked at.
        seconds: After so long it stops where it is, s.
    """
    missing = dict(heads or {})
    rows, previous, broken = 0, START, None
    if known is not None:
        rows, previous = known[0], bytes.fromhex(known[1])
        there = await connection.fetchval("SELECT hash FROM audit WHERE tenant_id = $1 AND seq = $2", tenant_id, rows)
        broken = None if there == previous else rows
    ends = time.monotonic() + seconds
    query = "SELECT * FROM audit WHERE tenant_id = $1 AND (seq > $2 OR seq < 1) ORDER BY seq"
    async for found in connection.cursor(query, tenant_id, rows, prefetch=FEW):
        if time.monotonic() >= ends:
            return Verdict(rows, broken, previous.hex(), ended=False)
        rows += 1
        row = dict(found)
        said, followed = row.pop("hash"), row.pop("previous")
        whole = row["seq"] == rows and followed == previous and said == digest(previous, row)
        whole &= missing.pop(rows, said.hex()) == said.hex()
        if not whole and broken is None:
            broken = rows
        previous = said
    if missing and broken is None:
        broken = rows + 1
    return Verdict(rows, broken, previous.hex())


async def page(connection: Connection, tenant_id: UUID, *, before: int | None, size: int) -> list[dict[str, Any]]:
    """Rows of a tenant's trail, the newest first: fewer than asked for, but one, if they come to `PAGE_BYTES`.

    Args:
        connection: A transaction that sees the tenant.
        tenant_id: The tenant.
        before: Only rows with a smaller number.
        size: So many at most.
    """
    found: list[dict[str, Any]] = []
    bytes_ = 0
    async for row in connection.cursor(
        """
        SELECT seq, at, actor, action, resource, address, user_agent, correlation_id, detail, encode(hash, 'hex') hash,
               octet_length(detail::text) size
        FROM audit WHERE tenant_id = $1 AND ($2::bigint IS NULL OR seq < $2) ORDER BY seq DESC LIMIT $3
        """,
        tenant_id,
        before,
        size,
        prefetch=FEW,
    ):
        one = dict(row)
        bytes_ += one.pop("size")
        if found and bytes_ > PAGE_BYTES:
            break
        found.append(one)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value) if isinstance(value, UUID) else value
