"""Whether a tenant is served at all, and how much of it: asked for every request, whatever its credentials are."""

from __future__ import annotations

from uuid import UUID

from app.access.memory import Memory
from app.errors import ForbiddenError
from app.store import tenants
from app.store.database import Database
from app.store.tenants import Standing
from app.tenancy import internal


class Admission:
    """Lets tenants in.

    Args:
        database: Pools of a login that answers requests.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.known: Memory[UUID, Standing] = Memory()

    async def admit(self, tenant_id: UUID) -> Standing:
        """What holds for a tenant.

        Raises:
            ForbiddenError: There is no such tenant, or it is suspended.
            UnavailableError: The database does not answer, and the tenant has not been here for a while.
        """
        standing = await self.known.get(tenant_id, lambda: self._find(tenant_id))
        if standing.suspended_at is not None:
            raise ForbiddenError(
                "the tenant is suspended",
                why=f"since {standing.suspended_at:%Y-%m-%d}",
                remedy="Ask who runs the service",
            )
        return standing

    async def _find(self, tenant_id: UUID) -> Standing:
        # Who is let in is never asked of a replica: it may not have heard of a suspension yet.
        async with self._database.read(internal(tenant_id, "admission")) as connection:
            standing = await tenants.standing(connection, tenant_id)
        if standing is None:
            raise ForbiddenError("the credentials are of a tenant that is not served here")
        return standing
