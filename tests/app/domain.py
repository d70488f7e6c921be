"""A database and all indexes of a domain of OpenSearch, for tests of what is done to them as a whole."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from opensearchpy import AsyncOpenSearch

from app import upkeep
from app.index.opensearch import OpenSearch
from app.index.opensearch_client import connect
from app.search.model import NoCache
from app.settings import Settings
from app.store.placements import StoredLayouts
from app.worker import Worker
from tests.app.services.servers import OpenSearch as Server
from tests.app.world import World

LAYOUT_SECONDS = 0.2
GRACE_SECONDS = 1.0
"""An old place is kept for so long in tests: longer than any of their writes takes, and than a search remembers."""


class Domain:
    """The indexes, and a worker that fills them."""

    def __init__(self, world: World, settings: Settings, client: AsyncOpenSearch) -> None:
        self.world, self.settings, self.client = world, settings, client
        self.search = OpenSearch(client, layouts=StoredLayouts(world.work, seconds=LAYOUT_SECONDS))
        world.worker = Worker(world.work, world.queue, (self.search, world.index), NoCache())

    async def indexes(self) -> set[str]:
        """Names of all that there are."""
        return {*await self.client.indices.get(index="docsearch-*")}

    async def behind(self, alias: str) -> set[str]:
        """What an alias stands for."""
        return {*await self.client.indices.get_alias(name=alias)}

    async def settle(self) -> None:
        """Returns when nothing waits any more."""
        async with asyncio.timeout(60):
            while (await self.world.queue.depth()).ready:
                await asyncio.sleep(0.05)

    async def clear(self) -> None:
        """Deletes everything."""
        await self.client.indices.delete(index="docsearch-*")


@asynccontextmanager
async def domain_of(world: World, server: Server) -> AsyncIterator[Domain]:
    """A domain with nothing in it but what a migration makes."""
    settings = world.settings.model_copy(update=server.settings())
    client = connect(settings)
    domain = Domain(world, settings, client)
    await domain.clear()
    await upkeep.prepare(settings, tell=print)
    try:
        yield domain
    finally:
        await domain.clear()
        await client.close()
