"""What is known of synonyms is never older than what is known of answers."""

from collections.abc import Callable
from uuid import UUID

import pytest

from app.store import synonyms
from app.store.database import Database
from app.store.synonyms import StoredSynonyms
from app.tenancy import Scope
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]


class Known:
    """Synonyms over a database whose questions are counted, at a time and a generation that a test sets."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked, self.now, self.generation = 0, 0.0, 7
        self.its = StoredSynonyms(world.app, self._generation, clock=lambda: self.now)
        read: Callable[..., object] = world.app.read

        def counted(scope: Scope) -> object:
            self.asked += 1
            return read(scope)

        monkeypatch.setattr(world.app, "read", counted)

    async def _generation(self, tenant_id: UUID) -> int:
        del tenant_id
        return self.generation


@pytest.fixture
def known(world: World, monkeypatch: pytest.MonkeyPatch) -> Known:
    return Known(world, monkeypatch)


async def set_synonym(database: Database, scope: Scope, word: str, *alternatives: str) -> None:
    async with database.write(scope) as connection:
        await connection.execute(
            "INSERT INTO synonyms VALUES ($1, $2, $3) ON CONFLICT (tenant_id, word) DO UPDATE SET alternatives = $3",
            scope.tenant_id,
            word,
            list(alternatives),
        )


async def test_a_tenant_is_asked_about_once_in_a_generation(world: World, known: Known) -> None:
    scope = await world.tenant("a")
    await set_synonym(world.app, scope, "tea", "cha")
    for _ in range(3):
        assert await known.its.of(scope.tenant_id, ["tea", "mug"]) == {"tea": ["cha"]}
    assert known.asked == 1
    assert await known.its.of(scope.tenant_id, ["pot"]) == {}
    assert known.asked == 1


async def test_who_has_too_many_to_keep_is_asked_about(
    world: World, known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synonyms, "WHOLE", 1)
    scope = await world.tenant("a")
    await set_synonym(world.app, scope, "tea", "cha")
    await set_synonym(world.app, scope, "mug", "cup")
    for _ in range(2):
        assert await known.its.of(scope.tenant_id, ["tea", "pot"]) == {"tea": ["cha"]}
    assert known.asked == 3


async def test_a_change_is_known_with_the_generation_that_it_raises(world: World, known: Known) -> None:
    scope = await world.tenant("a")
    assert await known.its.of(scope.tenant_id, ["tea"]) == {}
    await set_synonym(world.app, scope, "tea", "cha")
    known.generation += 1
    assert await known.its.of(scope.tenant_id, ["tea"]) == {"tea": ["cha"]}


async def test_no_tenant_has_anothers(world: World, known: Known) -> None:
    one, other = await world.tenant("a"), await world.tenant("b")
    await set_synonym(world.app, one, "tea", "cha")
    assert await known.its.of(one.tenant_id, ["tea"]) == {"tea": ["cha"]}
    assert await known.its.of(other.tenant_id, ["tea"]) == {}


async def test_little_is_kept_without_a_generation_and_nothing_for_longer_than_a_minute(
    world: World, known: Known
) -> None:
    scope = await world.tenant("a")
    known.generation = 0
    for _ in range(2):
        assert await known.its.of(scope.tenant_id, ["tea"]) == {}
    assert known.asked == 1, "each search of the tenant would ask the primary"
    await set_synonym(world.app, scope, "tea", "cha")
    known.now = synonyms.LATELY_SECONDS + 0.1
    assert await known.its.of(scope.tenant_id, ["tea"]) == {"tea": ["cha"]}
    known.generation = 7
    await known.its.of(scope.tenant_id, ["tea"])
    await set_synonym(world.app, scope, "tea", "char")
    known.now += synonyms.KEPT_SECONDS + 1
    assert await known.its.of(scope.tenant_id, ["tea"]) == {"tea": ["char"]}


async def test_what_ends_in_the_moment_that_it_is_looked_at_is_read_again(world: World, known: Known) -> None:
    scope = await world.tenant("a")
    await set_synonym(world.app, scope, "tea", "cha")
    times = iter([0.0] * 3 + [synonyms.KEPT_SECONDS - 0.001])

    def clock() -> float:
        return next(times, synonyms.KEPT_SECONDS + 1)

    its = StoredSynonyms(world.app, known._generation, clock=clock)
    for _ in range(3):
        assert await its.of(scope.tenant_id, ["tea"]) == {"tea": ["cha"]}
