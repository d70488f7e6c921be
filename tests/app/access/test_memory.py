"""What was found is used for a while, longer while nobody answers, and not once it was refused."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.access.memory import AGAIN_SECONDS, FRESH_SECONDS, STALE_SECONDS, Memory
from app.errors import ForbiddenError, UnauthenticatedError, UnavailableError

pytestmark = pytest.mark.anyio


class Source:
    """What is asked: it counts, and answers, refuses or does not answer."""

    def __init__(self) -> None:
        self.asked, self.now, self.trouble = 0, 0.0, None
        self.memory: Memory[str, int] = Memory(clock=lambda: self.now, size=3)

    trouble: Exception | None

    async def __call__(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.trouble:
            raise self.trouble
        return self.asked

    def get(self, key: str = "a") -> Awaitable[int]:
        return self.memory.get(key, self)


async def test_an_answer_is_fresh_for_a_while_and_then_asked_for_again() -> None:
    source = Source()
    assert [await source.get(), await source.get()] == [1, 1]
    source.now += FRESH_SECONDS
    assert await source.get() == 2


async def test_those_who_ask_at_once_ask_once_and_share_what_goes_wrong() -> None:
    source = Source()
    assert await asyncio.gather(*(source.get() for _ in range(9))) == [1] * 9
    source.memory.forget()
    source.trouble = UnavailableError("away")
    told = await asyncio.gather(*(source.get() for _ in range(9)), return_exceptions=True)
    assert {type(one) for one in told} == {UnavailableError}
    assert source.asked == 2


async def test_who_hangs_up_takes_the_answer_from_nobody() -> None:
    source = Source()
    first, second = asyncio.ensure_future(source.get()), asyncio.ensure_future(source.get())
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 1
    assert source.asked == 1


@pytest.mark.parametrize("refusal", [UnauthenticatedError, ForbiddenError])
async def test_a_refusal_holds_at_once_and_is_not_remembered(refusal: Callable[[str], Exception]) -> None:
    source = Source()
    await source.get()
    source.now += FRESH_SECONDS
    source.trouble = refusal("revoked")
    with pytest.raises((UnauthenticatedError, ForbiddenError)):
        await source.get()
    source.trouble = UnavailableError("away")
    with pytest.raises(UnavailableError):
        await source.get()
    source.trouble = None
    assert await source.get() == 4


async def test_without_an_answer_the_last_one_is_used_for_a_bounded_time_and_not_asked_for_each_time() -> None:
    source = Source()
    assert await source.get() == 1
    source.trouble = UnavailableError("away")
    source.now += FRESH_SECONDS
    assert [await source.get() for _ in range(5)] == [1] * 5
    assert source.asked == 2
    source.now += AGAIN_SECONDS
    assert await source.get() == 1
    assert source.asked == 3
    source.now = STALE_SECONDS
    with pytest.raises(UnavailableError):
        await source.get()
    source.trouble = None
    assert await source.get() == 5


async def test_what_is_revoked_as_the_database_goes_away_opens_for_a_bounded_time_and_never_again() -> None:
    source = Source()
    await source.get()
    source.now += 1.0
    # Revoked here, and nobody hears of it: from now on there is no answer.
    source.trouble = UnavailableError("away")
    opened = []
    while source.now < 2 * STALE_SECONDS:
        source.now += 0.7
        try:
            await source.get()
        except UnavailableError:
            continue
        opened.append(source.now)
    assert max(opened) < STALE_SECONDS, "however often it is used"
    source.trouble = UnauthenticatedError("revoked")
    with pytest.raises(UnauthenticatedError):
        await source.get()


async def test_what_was_revoked_is_out_as_soon_as_the_database_is_back() -> None:
    source = Source()
    await source.get()
    source.trouble, source.now = UnavailableError("away"), FRESH_SECONDS
    assert await source.get() == 1
    source.trouble = UnauthenticatedError("revoked")
    source.now += AGAIN_SECONDS
    with pytest.raises(UnauthenticatedError):
        await source.get()


async def test_no_more_is_remembered_than_was_said() -> None:
    source = Source()
    for key in "abcd":
        await source.get(key)
    assert await source.get("d") == 4
    assert await source.get("a") == 5
