import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import LocalCloudError
from infra.local.store import Kept, Store

CANARY = "canary-7c1f0d"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "recorded.sqlite")
    yield store
    store.close()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_keeps_a_record_by_scope_type_and_id(store: Store) -> None:
    store.put("us-east-1", "plan", "a", {"n": 1})
    store.put("us-west-2", "plan", "a", {"n": 2})
    assert store.get("us-east-1", "plan", "a") == {"n": 1}
    assert store.get("us-west-2", "plan", "a") == {"n": 2}
    assert store.get("us-east-1", "vault", "a") is None


def test_a_second_put_replaces_the_first(store: Store) -> None:
    store.put("s", "t", "i", {"old": True})
    store.put("s", "t", "i", {"new": True})
    assert store.all() == [Kept("s", "t", "i", {"new": True})]


def test_delete_tells_whether_there_was_something(store: Store) -> None:
    store.put("s", "t", "i", {})
    assert store.delete("s", "t", "i")
    assert not store.delete("s", "t", "i")


def test_all_narrows_to_scope_and_type(store: Store) -> None:
    for scope in ("b", "a"):
        for type_ in ("y", "x"):
            store.put(scope, type_, "1", {})
    assert [(kept.scope, kept.type) for kept in store.all()] == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert [kept.type for kept in store.all("a")] == ["x", "y"]
    assert [kept.scope for kept in store.all(type="y")] == ["a", "b"]
    assert store.all("c") == []


def test_another_process_finds_everything_again(tmp_path: Path) -> None:
    path = tmp_path / "recorded.sqlite"
    first = Store(path)
    first.put("s", "t", "i", {"value": CANARY})
    first.count_up("s")
    first.close()
    second = Store(path)
    assert second.get("s", "t", "i") == {"value": CANARY}
    assert second.count_up("s") == 2
    second.close()


def test_nothing_of_a_record_is_on_disk_in_the_clear(store: Store, tmp_path: Path) -> None:
    store.put("s", "t", "i", {"password": CANARY})
    files = list(tmp_path.iterdir())
    assert len(files) >= 3  # the database, its log, the key
    assert not [file for file in files if CANARY.encode() in file.read_bytes()]


def test_only_its_owner_may_read_the_files(store: Store, tmp_path: Path) -> None:
    store.put("s", "t", "i", {})
    assert {mode_of(file) for file in tmp_path.iterdir()} == {0o600}


def test_threads_count_without_gaps_and_lose_nothing(store: Store) -> None:
    def work(n: int) -> int:
        store.put("s", "t", str(n), {"n": n})
        return store.count_up("s")

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(work, range(80)))
    assert sorted(numbers) == list(range(1, 81))
    assert {kept.record["n"] for kept in store.all("s")} == set(range(80))


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    store.put("s", "t", "kept", {})

    def fail() -> None:
        with store.transaction():
            store.delete("s", "t", "kept")
            with store.transaction():
                store.put("s", "t", "new", {})
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert [kept.id for kept in store.all()] == ["kept"]


def test_a_transaction_keeps_other_threads_out(store: Store) -> None:
    with ThreadPoolExecutor(1) as pool:
        with store.transaction():
            store.put("s", "t", "1", {})
            other = pool.submit(store.all)
            store.put("s", "t", "2", {})
        assert [kept.id for kept in other.result(5)] == ["1", "2"]


WRITER = """
import sys
from pathlib import Path
from infra.local.store import Store

store = Store(Path(sys.argv[1]))
n = 0
while True:
    n += 1
    with store.transaction():
        store.put("s", "first", str(n), {"n": n, "filler": "x" * 2000})
        store.put("s", "second", str(n), {"n": n})
    print(n, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 60])
def test_a_killed_process_loses_nothing_that_it_was_told_is_kept(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "recorded.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    last = 0
    while last < acknowledged:
        last = int(writer.stdout.readline())
    os.kill(writer.pid, signal.SIGKILL)
    last = max([last, *map(int, writer.stdout.read().split())])
    writer.stdout.close()
    writer.wait()
    store = Store(path)
    first, second = ({kept.record["n"] for kept in store.all("s", type_)} for type_ in ("first", "second"))
    store.close()
    assert first == second
    assert set(range(1, last + 1)) <= first <= set(range(1, last + 2))


def test_a_process_killed_before_its_first_commit_leaves_a_usable_folder(tmp_path: Path) -> None:
    path = tmp_path / "recorded.sqlite"
    path.touch(0o600)
    path.with_name("recorded.sqlite.key").write_bytes(b"half a k")
    store = Store(path)
    store.put("s", "t", "i", {"n": 1})
    store.close()
    again = Store(path)
    assert again.get("s", "t", "i") == {"n": 1}
    again.close()


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    path = tmp_path / "recorded.sqlite"
    store = Store(path)
    store.put("s", "t", "i", {"n": 1})
    store.close()
    return path


def test_a_missing_key_is_refused_and_not_replaced(closed: Path) -> None:
    key = closed.with_name("recorded.sqlite.key")
    key.unlink()
    with pytest.raises(LocalCloudError, match=r"recorded\.sqlite\.key is missing.*Put it back; or `docsearch local"):
        Store(closed)
    assert not key.exists()


@pytest.mark.parametrize(("key", "message"), [(b"short", "holds no key"), (b"A" * 43 + b"=", "does not decrypt")])
def test_a_wrong_key_is_refused_at_once(closed: Path, key: bytes, message: str) -> None:
    closed.with_name("recorded.sqlite.key").write_bytes(key)
    with pytest.raises(LocalCloudError, match=message):
        Store(closed)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "recorded.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(LocalCloudError, match="cannot be read"):
        Store(path)
    assert path.read_bytes() == b"not a database" * 100


def test_a_later_format_is_refused(closed: Path) -> None:
    db = sqlite3.connect(closed)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LocalCloudError, match="has format 99, this docsearch reads 1"):
        Store(closed)


words = st.sampled_from(["a", "b"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(words, inner)
)
steps = st.lists(st.tuples(st.sampled_from(["put", "delete"]), words, words, words, st.dictionaries(words, values)))


@settings(max_examples=25)  # each one creates a database
@given(steps)
def test_behaves_like_a_dictionary(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    path = tmp_path_factory.mktemp("store") / "recorded.sqlite"
    store, model = Store(path), dict[tuple[str, str, str], Any]()
    for what, scope, type_, id_, record in steps:
        if what == "put":
            store.put(scope, type_, id_, record)
            model[scope, type_, id_] = record
        else:
            assert store.delete(scope, type_, id_) == (model.pop((scope, type_, id_), None) is not None)
    assert {(kept.scope, kept.type, kept.id): kept.record for kept in store.all()} == model
    store.close()
