"""A replica is as far behind as the primary's log says, whatever anybody's clock shows."""

from hypothesis import given
from hypothesis import strategies as st

from app.store.lag import Written


def test_who_has_reached_a_look_has_all_until_then() -> None:
    written = Written()
    for at, position in ((10.0, 100), (20.0, 200), (30.0, 200)):
        written.note(at, position)
    assert [written.reached(one) for one in (99, 100, 199, 200, 1_000)] == [None, 10.0, 10.0, 30.0, 30.0]
    assert [written.all(one) for one in (199, 200)] == [False, True]


def test_an_idle_primary_is_nobody_s_lag() -> None:
    written = Written()
    for at in range(1_000):
        written.note(float(at), 7)
        assert written.reached(7) == at


def test_after_a_fail_over_what_the_old_primary_had_written_counts_no_more() -> None:
    written = Written()
    written.note(1.0, 100)
    written.note(2.0, 90)
    assert written.reached(89) is None
    assert written.reached(90) == 2.0


@given(
    writes=st.lists(st.tuples(st.floats(0.01, 5), st.integers(0, 100)), min_size=1, max_size=60),
    looks=st.sets(st.floats(0, 100), min_size=1, max_size=40),
    replayed=st.integers(0, 60),
    remembered=st.integers(1, 50),
)
def test_nothing_that_was_written_by_then_is_missing(
    writes: list[tuple[float, int]], looks: set[float], replayed: int, remembered: int
) -> None:
    log, now, position = [(0.0, 0)], 0.0, 0
    for pause, size in writes:
        now, position = now + pause, position + size
        log.append((now, position))
    written = Written(remembered)
    for look in sorted(looks):
        written.note(look, max(position for at, position in log if at <= look))
    has = log[min(replayed, len(log) - 1)][1]
    until = written.reached(has)
    if until is not None:
        assert all(position <= has for at, position in log if at <= until)
    if written.all(has):
        assert until == max(looks)
