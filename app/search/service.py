"""Searches: from the nearest level that has the answer, and from the next engine when one does not answer."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from app.errors import DeadlineExceededError, OverloadedError, UnavailableError
from app.index.model import Index, Suggestion
from app.search.model import Answer, Cache, key_of
from app.tenancy import ScopedQuery, ScopedSuggest

log = structlog.get_logger(__name__)

_DOWN = (UnavailableError, DeadlineExceededError, OverloadedError)


class SearchService:
    """Answers queries.

    Args:
        engines: The engine of choice, then those that stand in for it. What they say is *degraded*.
        cache: What is asked first, and gets every answer that is not degraded.
    """

    def __init__(self, engines: Sequence[Index], cache: Cache) -> None:
        self._engines, self._cache = engines, cache

    async def search(self, query: ScopedQuery) -> Answer:
        """What a query finds.

        Raises:
            UnavailableError: No engine answers.
        """
        key = key_of(query, await self._cache.generation(query.tenant_id))
        if kept := await self._cache.get(key):
            return kept
        for engine in self._engines:
            try:
                result = await engine.search(query)
            except _DOWN as error:
                log.warning("engine_failed", engine=engine.level, code=error.code, reason=error.detail)
                failed = error
                continue
            answer = Answer(result, engine.level, degraded=engine is not self._engines[0])
            if not answer.degraded:
                await self._cache.put(key, answer)
            return answer
        raise failed

    async def suggest(self, suggest: ScopedSuggest) -> tuple[Sequence[Suggestion], str]:
        """What a prefix may become, and the engine that said so.

        Raises:
            UnavailableError: No engine answers.
        """
        for engine in self._engines:
            try:
                return await engine.suggest(suggest), engine.level
            except _DOWN as error:
                log.warning("engine_failed", engine=engine.level, code=error.code, reason=error.detail)
                failed = error
        raise failed
