import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.state.files import (
    CorruptFileError,
    Log,
    lock_folder,
    read_log,
    read_seal,
    read_sealed,
    read_secret,
    write_sealed,
    write_secret,
)
from infra.local.state.journal import StateError

RECORDS = st.lists(st.binary(max_size=30).filter(lambda record: b"\n" not in record), max_size=6)
SHARES_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def write(path: Path, records: list[bytes]) -> None:
    path.unlink(missing_ok=True)
    log = Log.open(path, remedy="none")
    for record in records:
        log.append(record)
    log.close()


def test_sealed_file_gives_back_what_was_written(tmp_path: Path) -> None:
    write_sealed(tmp_path / "f", b"line one\nline two", version=7)
    sealed = read_sealed(tmp_path / "f", remedy="none")
    assert sealed.body == b"line one\nline two"
    assert sealed.facts["version"] == 7
    assert read_seal(tmp_path / "f", remedy="none")["sha256"] == sealed.sha256


@given(position=st.integers(0), value=st.integers(0, 255))
@SHARES_FOLDER
def test_no_changed_byte_of_a_sealed_file_goes_unnoticed(tmp_path: Path, position: int, value: int) -> None:
    path = tmp_path / "f"
    body = b'{"resources": [1, 2, 3]}'
    write_sealed(path, body, version=7)
    content = bytearray(path.read_bytes())
    before = content[position % len(content)]
    content[position % len(content)] = value
    path.write_bytes(content)
    try:
        assert read_sealed(path, remedy="none").body == body
    except CorruptFileError:
        assert value != before


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda content: content[:-3], "has 21 bytes after its first line, which says 24"),
        (lambda content: content.replace(b"[1", b"[9"), "its first line says"),
        (lambda content: content[1:], "not the seal that every state file begins with"),
        (lambda content: b"", "not the seal that every state file begins with"),
        (lambda content: b'{"sha256": "x"}\n', "not the seal that every state file begins with"),
        (lambda content: b"\xff\xfe\n", "not the seal that every state file begins with"),
    ],
)
def test_damage_to_a_sealed_file_is_an_error_with_file_reason_and_remedy(
    tmp_path: Path, damage: Callable[[bytes], bytes], why: str
) -> None:
    path = tmp_path / "f"
    write_sealed(path, b'{"resources": [1, 2, 3]}')
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CorruptFileError, match="Ask the expert") as caught:
        read_sealed(path, remedy="Ask the expert")
    assert f"state file {path} is corrupt" in str(caught.value)
    assert why in str(caught.value)


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sealed(tmp_path / "f", b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_sealed(tmp_path / "f", b"new")
    assert read_sealed(tmp_path / "f", remedy="none").body == b"old"


@given(records=RECORDS)
@SHARES_FOLDER
def test_log_gives_back_its_records_in_order(tmp_path: Path, records: list[bytes]) -> None:
    write(tmp_path / "log", records)
    assert read_log(tmp_path / "log", remedy="none") == records


@given(records=RECORDS, cut=st.integers(0))
@SHARES_FOLDER
def test_log_cut_anywhere_keeps_every_whole_record_and_takes_more(
    tmp_path: Path, records: list[bytes], cut: int
) -> None:
    path = tmp_path / "log"
    write(path, records)
    content = path.read_bytes()[: cut % (path.stat().st_size + 1)]
    path.write_bytes(content)
    kept = records[: content.count(b"\n")]
    assert read_log(path, remedy="none") == kept
    log = Log.open(path, remedy="none")
    log.append(b"after the crash")
    log.close()
    assert read_log(path, remedy="none") == [*kept, b"after the crash"]


def test_damage_inside_a_log_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, [b"one", b"two", b"three"])
    path.write_bytes(path.read_bytes().replace(b"two", b"tWo"))
    with pytest.raises(CorruptFileError, match=r"line 2 of 3 does not match its checksum\. Ask the expert"):
        read_log(path, remedy="Ask the expert")
    with pytest.raises(CorruptFileError):
        Log.open(path, remedy="none")


def test_append_that_fails_leaves_no_part_of_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    log = Log.open(path, remedy="none")
    log.append(b"one")
    really = os.write
    calls: list[bytes] = []

    def full(descriptor: int, data: bytes) -> int:
        calls.append(data)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return really(descriptor, data[:4])

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space left"):
        log.append(b"two")
    monkeypatch.undo()
    log.append(b"three")
    assert read_log(path, remedy="none") == [b"one", b"three"]


def test_a_record_is_one_line(tmp_path: Path) -> None:
    log = Log.open(tmp_path / "log", remedy="none")
    with pytest.raises(ValueError, match="one line"):
        log.append(b"a\nb")
    log.close()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    write_sealed(tmp_path / "sealed", b"x")
    write(tmp_path / "log", [b"x"])
    write_secret(tmp_path / "secret", b"x")
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_secret_is_written_once(tmp_path: Path) -> None:
    write_secret(tmp_path / "secret", b"first")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "secret", b"second")
    assert read_secret(tmp_path / "secret") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    write_secret(tmp_path / "secret", b"x")
    (tmp_path / "secret").chmod(0o644)
    with pytest.raises(StateError, match=r"mode 0644.*chmod 600"):
        read_secret(tmp_path / "secret")


def test_a_folder_is_served_by_one_process(tmp_path: Path) -> None:
    held = lock_folder(tmp_path)
    with pytest.raises(StateError, match=r"is in use: another state service serves it.*stop it first"):
        lock_folder(tmp_path)
    os.close(held)
    os.close(lock_folder(tmp_path))


def test_seal_is_readable_without_the_program(tmp_path: Path) -> None:
    write_sealed(tmp_path / "f", b"{}", version=3)
    first, body = (tmp_path / "f").read_text().split("\n")
    assert json.loads(first)["version"] == 3
    assert body == "{}"
