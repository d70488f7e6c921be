"""What is done to indexes of OpenSearch as a whole, and by an operator only: aliases moved, indexes dropped, sizes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from opensearchpy.exceptions import NotFoundError

from app.errors import ConflictError
from app.index.opensearch import OpenSearch
from app.index.opensearch_client import ADMIN_SECONDS


class Indexes:
    """The indexes of a domain whose names begin with the engine's prefix.

    Args:
        engine: Its connections.
    """

    def __init__(self, engine: OpenSearch) -> None:
        self._engine = engine
        self.prefix = engine.prefix

    async def behind(self, alias: str) -> str:
        """The index that an alias stands for; empty if there is none.

        Raises:
            ConflictError: There are several.
        """
        async with self._engine.call(ADMIN_SECONDS) as client:
            try:
                found = sorted(await client.indices.get_alias(name=alias))
            except NotFoundError:
                return ""
        if len(found) > 1:
            raise ConflictError(
                f"the alias {alias} stands for {', '.join(found)}",
                why="documents would be found twice",
                remedy="Remove it from all but one",
            )
        return str(found[0])

    async def every(self) -> Collection[str]:
        """Names of all indexes."""
        async with self._engine.call(ADMIN_SECONDS) as client:
            found: Collection[str] = await client.indices.get(index=f"{self.prefix}-*")
        return sorted(found)

    async def swap(self, alias: str, index: str) -> None:
        """From one moment to the next an alias stands for an index, and for no other."""
        before = await self.behind(alias)
        if before == index:
            return
        actions = [{"add": {"index": index, "alias": alias}}]
        if before:
            actions.insert(0, {"remove": {"index": before, "alias": alias}})
        async with self._engine.call(ADMIN_SECONDS) as client:
            await client.indices.refresh(index=index)
            await client.indices.update_aliases(body={"actions": actions})

    async def forget(self, alias: str) -> None:
        """There is no such alias any more."""
        index = await self.behind(alias)
        if index:
            async with self._engine.call(ADMIN_SECONDS) as client:
                await client.indices.delete_alias(index=index, name=alias)

    async def drop(self, index: str, *, alias: str) -> None:
        """Deletes an index, unless it is what an alias stands for."""
        if await self.behind(alias) == index:
            raise ConflictError(f"{index} is not dropped", why=f"{alias} stands for it")
        async with self._engine.call(ADMIN_SECONDS) as client:
            await client.indices.delete(index=index, params={"ignore_unavailable": "true"})

    async def sizes(self) -> Mapping[str, int]:
        """What each alias takes on its primary shards, bytes."""
        async with self._engine.call(ADMIN_SECONDS) as client:
            aliases = await client.indices.get_alias(index=f"{self.prefix}-*")
            stats = await client.indices.stats(index=f"{self.prefix}-*", metric="store")
        found: dict[str, int] = {}
        for index, its in stats["indices"].items():
            for alias in aliases.get(index, {}).get("aliases", ()):
                found[alias] = its["primaries"]["store"]["size_in_bytes"]
        return found
