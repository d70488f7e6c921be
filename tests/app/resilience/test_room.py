"""Large bodies take room, which is there again afterwards; one tenant gets half, and small ones take none."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import OverloadedError
from app.resilience.room import FREE, Room

MINE, HERS, HIS = uuid4(), uuid4(), uuid4()
SIZE = 10 * FREE


def test_a_small_body_takes_no_room() -> None:
    room = Room(SIZE)
    with room.of(MINE) as held:
        held.grow(FREE)
        assert room.held == 0


def test_what_a_body_has_taken_is_free_when_its_request_has_ended_however_it_did() -> None:
    room = Room(SIZE)

    def fails() -> None:
        with room.of(MINE) as held:
            held.grow(FREE + 10)
            held.grow(FREE + 15)
            assert room.held == 15
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert room.held == 0


def test_a_tenant_gets_half_and_others_the_rest() -> None:
    room = Room(SIZE)
    half = SIZE // 2
    with room.of(MINE) as mine, room.of(HERS) as hers, room.of(HIS) as his:
        with pytest.raises(OverloadedError, match="of this tenant") as refused:
            mine.grow(FREE + half + 1)
        assert refused.value.retry_after
        mine.grow(FREE + half)
        with room.of(MINE) as more, pytest.raises(OverloadedError):
            more.grow(FREE + 1)
        hers.grow(FREE + half)
        with pytest.raises(OverloadedError, match=f"{SIZE:,} of {SIZE:,} are taken by bodies that"):
            his.grow(FREE + 1)
    assert room.held == 0


@given(st.lists(st.tuples(st.sampled_from([MINE, HERS, HIS]), st.lists(st.integers(0, SIZE), max_size=5)), max_size=9))
def test_however_bodies_grow_no_more_is_held_than_there_is(bodies: list[tuple[UUID, list[int]]]) -> None:
    room = Room(SIZE)
    open_ = []
    for tenant, sizes in bodies:
        around = room.of(tenant)
        held, largest = around.__enter__(), 0
        open_.append(around)
        for size in sorted(sizes):
            before = room.held
            try:
                held.grow(size)
            except OverloadedError:
                assert room.held == before
            else:
                assert room.held - before == max(0, size - FREE) - max(0, largest - FREE)
                largest = size
            assert room.held <= SIZE
    for around in open_:
        around.__exit__(None, None, None)
    assert room.held == 0
