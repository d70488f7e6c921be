"""A secret that changes: everything opens all the time, whichever processes know which of them."""

from hypothesis import given
from hypothesis import strategies as st

from app.keyring import SETTLE_SECONDS, Keyring


def test_a_secret_that_never_changed_signs_at_once() -> None:
    for ring in (Keyring([b"a"]), Keyring([b"a", b"a"])):
        assert ring.settled
        assert (ring.signing, ring.current, ring.keys) == (b"a", b"a", (b"a",))


def test_the_one_before_signs_until_a_rollout_is_over_unless_nobody_waits_for_that() -> None:
    now = [5.0]
    ring = Keyring([b"new", b"old", b"older"], clock=lambda: now[0])
    assert (ring.signing, ring.current, ring.settled) == (b"old", b"new", False)
    now[0] += SETTLE_SECONDS - 1
    assert ring.signing == b"old"
    now[0] += 1
    assert (ring.signing, ring.settled) == (b"new", True)
    assert Keyring([b"new", b"old"], settle_seconds=0).signing == b"new"


@given(st.integers(1, 5), st.lists(st.floats(0, SETTLE_SECONDS - 1), min_size=1, max_size=8), st.data())
def test_during_a_rollout_every_process_opens_what_any_other_signs(
    generation: int, started: list[float], data: st.DataObject
) -> None:
    """The secret changed at 0; who started before knows only the one before, who started since knows both."""
    now = [0.0]
    secret = [f"{number}".encode() for number in range(generation + 1)]
    rings = [Keyring(secret[-2:-3:-1])]
    for at in sorted(started):
        now[0] = at
        rings.append(Keyring(secret[:-3:-1], clock=lambda: now[0]))
    # The first process of the rollout is the first to sign with the new secret.
    now[0] = data.draw(st.floats(max(started), min(started) + SETTLE_SECONDS, exclude_max=True))
    assert all(signs.signing in opens.keys for signs in rings for opens in rings)
