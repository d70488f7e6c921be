"""The checker of histories finds what was lost, doubled or made up."""

from uuid import uuid4

from tests.app.history import History

A, B = uuid4(), uuid4()


def written(*attempts: tuple[str | None, int | None]) -> History:
    history = History()
    for text, version in attempts:
        history.note(A, text, version)
    return history


def test_what_was_acknowledged_last_is_there() -> None:
    history = written(("a", 1), ("b", 2))
    assert history.violations({A: "b"}, {A: 2}) == []
    assert history.acknowledged == 2


def test_a_lost_write_is_found() -> None:
    assert "may only be one of ['a']" in written(("a", 1)).violations({}, {})[0]
    assert "is 'a'" in written(("a", 1), ("b", 2)).violations({A: "a"}, {A: 2})[0]


def test_a_deleted_document_that_is_back_is_found() -> None:
    assert written(("a", 1), (None, 2)).violations({}, {}) == []
    assert "is 'a'" in written(("a", 1), (None, 2)).violations({A: "a"}, {A: 1})[0]


def test_what_was_not_acknowledged_may_be_there_or_not() -> None:
    history = written(("a", 1), ("b", None))
    assert history.violations({A: "a"}, {A: 1}) == []
    assert history.violations({A: "b"}, {A: 2}) == []
    assert written(("a", None)).violations({}, {}) == []


def test_what_an_acknowledged_write_has_replaced_may_not_be_back() -> None:
    assert written(("a", None), ("b", 2)).violations({A: "a"}, {A: 1}) != []


def test_an_invented_document_is_found() -> None:
    assert "nobody wrote it" in written(("a", 1)).violations({A: "a", B: "x"}, {A: 1, B: 1})[0]


def test_two_writes_of_one_version_are_found() -> None:
    assert "two writes had one version" in written(("a", 1), ("b", 1)).violations({A: "b"}, {A: 1})[0]


def test_an_older_version_than_promised_is_found() -> None:
    assert "3 was promised" in written(("a", 3)).violations({A: "a"}, {A: 2})[0]
