"""The journal: what was written is read again, and what is damaged is said."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.errors import LocalCloudError
from infra.local.journal import Entry, Journal

ACCOUNT = "123456789012"


def entry(sequence: int, body: bytes = b"canary-body") -> Entry:
    return Entry(
        sequence=sequence,
        when=1.5 * sequence,
        environ={"PATH_INFO": "/ü\n", "HTTP_X": "canary-header"},
        preserved={"HTTP_X_AMZ_META_A_B": "x-amz-meta-a_b"},
        status=200,
        digest="d",
        body=body,
    )


def write(folder: Path, bodies: list[bytes]) -> list[Entry]:
    journal = Journal(folder, ACCOUNT)
    first = len(list(journal.entries())) + 1
    entries = [entry(number, body) for number, body in enumerate(bodies, start=first)]
    for one in entries:
        journal.append(one)
    journal.close()
    return entries


def read(folder: Path) -> list[Entry]:
    journal = Journal(folder, ACCOUNT)
    try:
        return list(journal.entries())
    finally:
        journal.close()


def lines(folder: Path) -> list[bytes]:
    return (folder / "journal").read_bytes().splitlines(keepends=True)


@settings(max_examples=30)
@given(bodies=st.lists(st.binary(max_size=300), max_size=5))
def test_what_was_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes]) -> None:
    folder = tmp_path_factory.mktemp("journal")
    assert read(folder) == []
    written = write(folder, bodies)
    assert read(folder) == written


def test_a_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = write(tmp_path, [b"1", b"2"])
    second = write(tmp_path, [b"3"])
    assert [one.sequence for one in second] == [3]
    assert read(tmp_path) == first + second


def test_nothing_can_be_read_without_the_key_and_others_may_not_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    write(folder, [b"canary-body" * 50])
    for path in (folder / "journal", folder / "key"):
        assert b"canary" not in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_cut_anywhere_in_the_last_line_loses_that_line_only(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    written = write(folder, [b"1", b"2", b"3"])
    whole = lines(folder)
    cut = data.draw(st.integers(0, len(whole[-1]) - 1))
    (folder / "journal").write_bytes(b"".join(whole[:-1]) + whole[-1][:cut])
    assert read(folder) == written[:2]
    assert lines(folder) == whole[:-1]
    assert write(folder, [b"again"])[0].sequence == 3
    assert [one.body for one in read(folder)] == [b"1", b"2", b"again"]


def test_a_spoilt_last_line_is_dropped_and_its_size_told(tmp_path: Path) -> None:
    written = write(tmp_path, [b"1", b"2"])
    whole = lines(tmp_path)
    (tmp_path / "journal").write_bytes(b"".join(whole[:-1]) + b"\0" * 40 + b"\n")
    journal = Journal(tmp_path, ACCOUNT)
    assert list(journal.entries()) == written[:1]
    assert journal.dropped == 41
    journal.close()


@settings(max_examples=40)
@given(data=st.data())
def test_a_change_anywhere_before_the_last_line_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    write(folder, [b"1", b"2", b"3"])
    content = bytearray((folder / "journal").read_bytes())
    earlier = data.draw(st.integers(0, len(lines(folder)) - 3))
    start, end = (sum(map(len, lines(folder)[:n])) for n in (earlier, earlier + 1))
    # The last character of Base64 has bits that mean nothing; the line end after it does mean something.
    place = data.draw(st.integers(start, end - 5) | st.just(end - 1))
    content[place] ^= data.draw(st.integers(1, 127))
    (folder / "journal").write_bytes(content)
    with pytest.raises(LocalCloudError) as raised:
        read(folder)
    assert str(folder / "journal") in str(raised.value)
    assert "is damaged (line" in str(raised.value)
    assert "docsearch local reset" in raised.value.remedy
    assert (folder / "journal").read_bytes() == bytes(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda all_: [all_[0], *all_[2:]], "line 2 holds request 2 instead of 1"),
        (lambda all_: [all_[0], all_[2], all_[1], all_[3]], "line 2 holds request 2 instead of 1"),
        (lambda all_: [*all_, all_[1]], "line 5 holds request 1 instead of 4"),
    ],
    ids=["removed", "swapped", "repeated"],
)
def test_lines_that_are_out_of_order_are_an_error(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    write(tmp_path, [b"1", b"2", b"3"])
    (tmp_path / "journal").write_bytes(b"".join(change(lines(tmp_path))))
    with pytest.raises(LocalCloudError, match=message):
        read(tmp_path)


def test_a_lost_key_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, [b"1"])
    (tmp_path / "key").unlink()
    with pytest.raises(LocalCloudError, match=r"key is missing: .*cannot be decrypted without it"):
        read(tmp_path)
    (tmp_path / "key").write_text("no key")
    with pytest.raises(LocalCloudError, match="key holds no key"):
        read(tmp_path)


def test_a_start_that_was_killed_before_the_first_line_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    (tmp_path / "key").write_bytes(b"hal")
    assert read(tmp_path) == []
    (tmp_path / "journal").write_bytes(lines(tmp_path)[0][:-10])
    assert write(tmp_path, [b"1"]) == read(tmp_path)


def test_the_journal_of_another_account_is_refused(tmp_path: Path) -> None:
    write(tmp_path, [b"1"])
    with pytest.raises(LocalCloudError, match=f"belongs to account {ACCOUNT}, not 210987654321"):
        Journal(tmp_path, "210987654321")
    assert len(read(tmp_path)) == 1


def test_two_processes_cannot_have_it_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ACCOUNT)
    with pytest.raises(LocalCloudError, match="is in use"):
        Journal(tmp_path, ACCOUNT)
    journal.close()
    assert read(tmp_path) == []


def test_a_full_disk_leaves_nothing_of_the_entry_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write(tmp_path, [b"1"])
    journal = Journal(tmp_path, ACCOUNT)
    assert len(list(journal.entries())) == 1
    real = os.write

    def half(file: int, data: bytes) -> int:
        if len(data) < 50:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, bytes(data)[:40])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space left"):
            journal.append(entry(2))
    assert journal.sequence == 1
    journal.append(entry(2, b"2"))
    journal.close()
    assert read(tmp_path) == [*written, entry(2, b"2")]


def test_entries_are_appended_in_order_and_after_reading(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ACCOUNT)
    with pytest.raises(ValueError, match="does not follow"):
        journal.append(entry(1))
    assert list(journal.entries()) == []
    with pytest.raises(ValueError, match="request 2 does not follow 0"):
        journal.append(entry(2))
    journal.close()


def test_waiting_callers_share_one_write_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path, ACCOUNT)
    assert list(journal.entries()) == []
    reached, go = threading.Event(), threading.Event()
    calls: list[int] = []

    def slow(file: int) -> None:
        calls.append(file)
        reached.set()
        assert go.wait(10)

    monkeypatch.setattr(os, "fdatasync", slow)
    journal.append(entry(1))
    first = threading.Thread(target=journal.sync)
    first.start()
    assert reached.wait(10)
    for number in (2, 3, 4):
        journal.append(entry(number))
    others = [threading.Thread(target=journal.sync) for _ in range(3)]
    for thread in others:
        thread.start()
    go.set()
    for thread in (first, *others):
        thread.join()
    assert len(calls) == 2
    journal.close()
