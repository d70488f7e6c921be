"""A breaker opens at half of the last 20, stays open for 60 s, and closes after 5 probes."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidQueryError, UnavailableError
from app.resilience.breaker import Breaker, OpenError, Permit, State


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def end(breaker: Breaker, *, failed: bool) -> None:
    breaker.record(breaker.permit(), failed=failed)


def state_of(breaker: Breaker) -> State:
    return breaker.state


def opened(clock: Clock) -> Breaker:
    breaker = Breaker("engine", clock=clock)
    for _ in range(20):
        end(breaker, failed=True)
    assert state_of(breaker) is State.OPEN
    return breaker


def test_it_opens_at_half_of_the_last_twenty_and_not_before() -> None:
    breaker = Breaker("engine", clock=Clock())
    for at in range(19):
        end(breaker, failed=at % 2 == 0)
    assert state_of(breaker) is State.CLOSED
    end(breaker, failed=False)
    assert state_of(breaker) is State.OPEN


def test_nine_of_twenty_are_borne() -> None:
    breaker = Breaker("engine", clock=Clock())
    for at in range(200):
        end(breaker, failed=at % 20 < 9)
    assert state_of(breaker) is State.CLOSED


def test_open_it_refuses_and_says_for_how_long() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 20
    with pytest.raises(OpenError) as refused:
        breaker.permit()
    assert refused.value.retry_after == 40


def test_half_open_it_lets_five_through_and_closes_when_they_are_well() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 60
    assert state_of(breaker) is State.HALF_OPEN
    permits = [breaker.permit() for _ in range(5)]
    with pytest.raises(OpenError, match="it is being tried"):
        breaker.permit()
    for permit in permits[:3]:
        breaker.record(permit, failed=False)
    for permit in permits[3:]:
        breaker.record(permit, failed=True)
    assert state_of(breaker) is State.CLOSED


def test_half_open_it_opens_again_when_probes_fail() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 60
    for failed in (True, False, True, False, True):
        end(breaker, failed=failed)
    assert state_of(breaker) is State.OPEN
    clock.now += 59
    assert state_of(breaker) is State.OPEN


def test_a_probe_that_is_given_up_makes_room_for_another() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 60
    permits = [breaker.permit() for _ in range(5)]
    breaker.release(permits[0])
    breaker.permit()
    with pytest.raises(OpenError):
        breaker.permit()


def test_what_began_before_it_opened_says_nothing_about_now() -> None:
    clock = Clock()
    breaker = Breaker("engine", clock=clock)
    late = [breaker.permit() for _ in range(20)]
    for _ in range(20):
        end(breaker, failed=True)
    clock.now += 60
    assert state_of(breaker) is State.HALF_OPEN
    for permit in late:
        breaker.record(permit, failed=True)
        breaker.release(permit)
    assert state_of(breaker) is State.HALF_OPEN


def test_a_refusal_shows_that_the_dependency_is_there() -> None:
    breaker = Breaker("engine", clock=Clock())
    for _ in range(40):
        with pytest.raises(InvalidQueryError), breaker.guard():
            raise InvalidQueryError("no such field")
    assert state_of(breaker) is State.CLOSED


def test_a_cancelled_call_counts_as_neither() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 60
    for _ in range(7):
        with pytest.raises(asyncio.CancelledError), breaker.guard():
            raise asyncio.CancelledError
    assert state_of(breaker) is State.HALF_OPEN


def test_changes_are_told() -> None:
    told: list[State] = []
    clock = Clock()
    breaker = Breaker("engine", clock=clock, changed=lambda _, state: told.append(state))
    for _ in range(20):
        with pytest.raises(UnavailableError), breaker.guard():
            raise UnavailableError("gone")
    clock.now += 60
    for _ in range(5):
        with breaker.guard():
            pass
    assert state_of(breaker) is State.CLOSED
    assert told == [State.OPEN, State.HALF_OPEN, State.CLOSED]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), st.just(0.0)),
        st.tuples(st.sampled_from(["well", "fails", "given up"]), st.floats(0, 1)),
        st.tuples(st.just("passes"), st.floats(0, 70)),
    ),
    max_size=200,
)


class Model:
    """A breaker beside what is known of it by counting."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.changes: list[tuple[float, State]] = [(self.clock.now, State.CLOSED)]
        self.breaker = Breaker("engine", clock=self.clock, changed=self.note)
        self.running: list[Permit] = []
        self.ended: list[bool] = []

    def note(self, _: str, state: State) -> None:
        self.changes.append((self.clock.now, state))
        self.ended.clear()

    @property
    def state(self) -> State:
        return self.changes[-1][1]

    def current(self, permit: Permit) -> bool:
        return permit.epoch == len(self.changes) - 1

    def begin(self) -> None:
        try:
            self.running.append(self.breaker.permit())
        except OpenError:
            assert self.state is not State.CLOSED
        else:
            assert self.state is not State.OPEN

    def end(self, what: str, permit: Permit) -> None:
        if what == "given up":
            self.breaker.release(permit)
            return
        state, counts = self.state, self.current(permit)
        seen = [*self.ended, what == "fails"][-20:]
        expected = state
        if counts and len(seen) >= (5 if state is State.HALF_OPEN else 20):
            expected = State.OPEN if sum(seen) * 2 >= len(seen) else State.CLOSED
        if counts:
            self.ended.append(what == "fails")
        self.breaker.record(permit, failed=what == "fails")
        assert self.state is expected


@given(STEPS)
def test_whatever_happens_it_keeps_its_promises(steps: list[tuple[str, float]]) -> None:
    model = Model()
    for what, figure in steps:
        if what == "passes":
            model.clock.now += figure
        elif what == "begin":
            model.begin()
        elif model.running:
            model.end(what, model.running.pop(int(figure * (len(model.running) - 1))))
        if model.state is State.HALF_OPEN:
            assert sum(map(model.current, model.running)) <= 5
    for (entered, state), (left, following) in pairwise(model.changes):
        if state is State.OPEN:
            assert following is State.HALF_OPEN
            assert left - entered >= 60 - 1e-6
        else:
            assert following is not state
