"""A cursor goes on for whom it was given to, with its query, for a while, and for nothing else."""

from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidCursorError
from app.index.model import Match, Position, Query, Sort, Term
from app.keyring import SETTLE_SECONDS, Keyring
from app.search.cursor import Cursors
from app.tenancy import Right, Scope, ScopedQuery, internal

OLD, NEW = b"k" * 32, b"n" * 32
RING = Keyring([OLD])
TENANT = uuid4()
QUERY = Query(clause=Match("tea"), sort=(Sort("published_at", descending=True), Sort("title")))
POSITION = Position(("2024-01-01T00:00:00+00:00", "Tea", 1.5, 3, True), uuid4(), "pit")


def scoped(query: Query = QUERY, tenant: UUID = TENANT) -> ScopedQuery:
    return internal(tenant, "test").query(query)


def test_it_holds_a_position() -> None:
    cursors = Cursors(RING)
    assert cursors.open(scoped(), cursors.seal(scoped(), POSITION)) == POSITION


def test_the_next_page_may_be_of_another_size() -> None:
    cursors = Cursors(RING)
    cursor = cursors.seal(scoped(), POSITION)
    later = msgspec.structs.replace(QUERY, size=50, after=POSITION)
    assert cursors.open(scoped(later), cursor) == POSITION


def test_it_is_of_one_tenant_one_query_and_one_forced_filter() -> None:
    cursors = Cursors(RING)
    cursor = cursors.seal(scoped(), POSITION)
    bound = Scope(tenant_id=TENANT, actor="t", rights=frozenset({Right.READ}), forced=(Term("author", ("ada",)),))
    for other in (
        scoped(tenant=uuid4()),
        scoped(msgspec.structs.replace(QUERY, clause=Match("coffee"))),
        scoped(msgspec.structs.replace(QUERY, sort=QUERY.sort[::-1])),
        bound.query(QUERY),
    ):
        with pytest.raises(InvalidCursorError, match="another query, or to somebody else"):
            cursors.open(other, cursor)


def test_it_expires() -> None:
    now = [1000.0]
    cursors = Cursors(RING, seconds=60, clock=lambda: now[0])
    cursor = cursors.seal(scoped(), POSITION)
    now[0] += 60
    cursors.open(scoped(), cursor)
    now[0] += 1
    with pytest.raises(InvalidCursorError, match="expired"):
        cursors.open(scoped(), cursor)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(InvalidCursorError, match="none that was given out"):
        Cursors(Keyring([b"x" * 32])).open(scoped(), Cursors(RING).seal(scoped(), POSITION))


def test_what_a_former_key_signed_goes_on_and_what_is_new_opens_where_only_that_is_known() -> None:
    now = [0.0]
    before, after = Cursors(RING), Cursors(Keyring([NEW, OLD], clock=lambda: now[0]))
    assert after.open(scoped(), before.seal(scoped(), POSITION)) == POSITION
    assert before.open(scoped(), after.seal(scoped(), POSITION)) == POSITION
    now[0] = SETTLE_SECONDS
    later = after.seal(scoped(), POSITION)
    assert Cursors(Keyring([NEW])).open(scoped(), later) == after.open(scoped(), later) == POSITION
    with pytest.raises(InvalidCursorError, match="none that was given out"):
        before.open(scoped(), later)


@given(st.data())
def test_no_altered_cursor_opens(data: st.DataObject) -> None:
    cursors = Cursors(RING)
    cursor = cursors.seal(scoped(), POSITION)
    at = data.draw(st.integers(0, len(cursor) - 1))
    letter = data.draw(st.characters(codec="ascii"))
    altered = cursor[:at] + letter + cursor[at + 1 :]
    try:
        assert cursors.open(scoped(), altered) == POSITION
    except InvalidCursorError:
        return
    assert altered == cursor


def test_a_cursor_has_one_spelling() -> None:
    cursors = Cursors(RING)
    cursor = next(one for size in range(1000) if "-" in (one := cursors.seal(scoped(), Position((size,), uuid4()))))
    for altered in (cursor.replace("-", "+"), cursor.replace("_", "/") + "=", f"{cursor}="):
        with pytest.raises(InvalidCursorError):
            cursors.open(scoped(), altered)


@given(st.text() | st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_="))
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        Cursors(RING).open(scoped(), text)
