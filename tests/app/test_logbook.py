"""A logbook that is not whole, or of somebody else, is refused with its line."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import logbook
from app.errors import SettingsError

MINE, THEIRS = UUID(int=1), UUID(int=2)
ENTRIES = [{"id": str(number), "text": f"entry {number}"} for number in range(5)]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    file = tmp_path / "book.ndjson"
    assert logbook.add(file, "erasures", MINE, ENTRIES, key="id") == 5
    return file


def test_what_was_added_is_read_and_nothing_is_added_twice(book: Path) -> None:
    assert [one["text"] for one in logbook.read(book, "erasures", MINE)] == [one["text"] for one in ENTRIES]
    assert logbook.add(book, "erasures", MINE, [*ENTRIES, {"id": "5", "text": "new"}], key="id") == 1
    assert len(logbook.read(book, "erasures", MINE)) == 6


@given(at=st.integers(0, 2**16), bit=st.integers(0, 7))
def test_no_bit_can_be_flipped(at: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("flip") / "book"
    logbook.add(file, "erasures", MINE, ENTRIES, key="id")
    raw = bytearray(file.read_bytes())
    raw[at % len(raw)] ^= 1 << bit
    file.write_bytes(raw)
    with pytest.raises(SettingsError):
        logbook.read(file, "erasures", MINE)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([0, 2, 1, 3, 4], "line 2 of"),
        ([0, 2, 3, 4], "line 2 of"),
        ([0, 1, 1, 2, 3, 4], "line 3 of"),
        ([1, 2, 3, 4], "line 1 of"),
    ],
)
def test_lines_that_were_moved_lost_or_doubled_are_named(lines: list[int], said: str, book: Path) -> None:
    raw = book.read_bytes().splitlines(keepends=True)
    book.write_bytes(b"".join(raw[at] for at in lines))
    with pytest.raises(SettingsError, match=said):
        logbook.read(book, "erasures", MINE)
    with pytest.raises(SettingsError, match=said):
        logbook.add(book, "erasures", MINE, ENTRIES, key="id")


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_file_that_was_cut_off_in_a_line_is_said_so(cut: int, book: Path) -> None:
    book.write_bytes(book.read_bytes()[:-cut])
    with pytest.raises(SettingsError, match=r"line 5 of .* is broken: it is cut off in the middle"):
        logbook.read(book, "erasures", MINE)


@pytest.mark.parametrize(("line", "said"), [(b"not json\n", "no JSON"), (b"[]\n", "no entry"), (b"\n", "no JSON")])
def test_a_line_that_is_none_is_said_so(line: bytes, said: str, book: Path) -> None:
    book.write_bytes(book.read_bytes() + line)
    with pytest.raises(SettingsError, match=f"line 6 of .* is broken: it is {said}"):
        logbook.read(book, "erasures", MINE)


def test_a_foreign_logbook_is_refused(book: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is of the deployment 00000000-0000-0000-0000-000000000001"):
        logbook.read(book, "erasures", THEIRS)
    with pytest.raises(SettingsError, match="is of the deployment"):
        logbook.add(book, "erasures", THEIRS, ENTRIES, key="id")
    with pytest.raises(SettingsError, match="holds 'erasures': audit was expected"):
        logbook.read(book, "audit", MINE)
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        logbook.read(tmp_path / "nothing", "erasures", MINE)
    with pytest.raises(SettingsError, match="cannot be written"):
        logbook.add(tmp_path, "erasures", MINE, ENTRIES, key="id")
