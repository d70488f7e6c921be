"""Draws and dates that depend on the request alone."""

import datetime
import importlib
import os
import random
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Iterator

import moto.core.utils
import moto.s3.models
import moto.secretsmanager.models
import pytest
from moto.moto_api._internal import mock_random

from infra.local.chance import Chance, Datetime

SOURCES: dict[str, Callable[[], object]] = {
    "moto": lambda: mock_random.get_random_hex(17),
    "moto's uuid": lambda: mock_random.uuid4(),
    "random": lambda: random.choices("abcdef", k=9),
    "uuid": lambda: uuid.uuid4(),
    "os.urandom": lambda: os.urandom(16),
    "secrets": lambda: secrets.token_hex(8),
}


@pytest.fixture
def chance() -> Iterator[Chance]:
    chance = Chance(b"salt", 1_000_000_000.0)
    with chance.installed():
        yield chance


def drawn(chance: Chance, label: str) -> list[object]:
    with chance.at(label, 0.0):
        return [draw() for draw in SOURCES.values()]


def test_a_request_draws_the_same_again(chance: Chance) -> None:
    assert drawn(chance, "1") == drawn(chance, "1")


def test_different_requests_and_different_clouds_draw_differently(chance: Chance) -> None:
    first, second = drawn(chance, "1"), drawn(chance, "2")
    other = Chance(b"other salt", 1_000_000_000.0)
    with other.installed():
        third = drawn(other, "1")
    for name, *values in zip(SOURCES, first, second, third, strict=True):
        assert len(set(map(str, values))) == 3, name


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_noticed_whether_a_request_drew(chance: Chance, source: str) -> None:
    with chance.at("1", 0.0) as drew:
        assert not drew()
        SOURCES[source]()
        assert drew()


def test_outside_of_requests_draws_stay_random(chance: Chance) -> None:
    drawn(chance, "1")
    before = [draw() for draw in SOURCES.values()]
    drawn(chance, "1")
    after = [draw() for draw in SOURCES.values()]
    for name, *values in zip(SOURCES, before, after, strict=True):
        assert values[0] != values[1], name


def test_other_threads_are_left_alone(chance: Chance) -> None:
    seen: list[tuple[bytes, float]] = []

    def look() -> None:
        seen.append((os.urandom(16), moto.core.utils.unix_time()))

    with chance.at("1", 5.0):
        for _ in range(2):
            thread = threading.Thread(target=look)
            thread.start()
            thread.join()
        assert moto.core.utils.unix_time() == 5.0
    assert seen[0][0] != seen[1][0]
    assert all(abs(now - time.time()) < 60 for _, now in seen)


def test_the_clock_of_moto_stands_still(chance: Chance) -> None:
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, 600_000, tzinfo=datetime.UTC)
    with chance.at("1", when.timestamp()):
        assert moto.core.utils.utcnow() == when.replace(tzinfo=None)
        assert moto.secretsmanager.models.time.time() == when.timestamp()
        assert moto.s3.models.datetime.datetime.now(tz=datetime.UTC) == when
        assert abs(time.time() - when.timestamp()) > 60
    assert abs(moto.core.utils.unix_time() - time.time()) < 60


def test_a_module_that_a_request_imports_gets_the_clock_too(chance: Chance) -> None:
    with chance.at("1", 7.0):
        late = importlib.import_module("moto.budgets.models")
    with chance.at("2", 7.0):
        assert late.unix_time() == 7.0
    assert isinstance(Datetime(2026, 1, 1), datetime.datetime)


def test_the_stand_in_makes_ordinary_datetimes() -> None:
    for made in (
        Datetime(2026, 1, 2),
        Datetime.now(datetime.UTC),
        Datetime.utcnow(),
        Datetime.today(),
        Datetime.fromisoformat("2026-01-02T03:04:05+00:00"),
        Datetime.strptime("2026", "%Y"),
        Datetime.fromtimestamp(0, datetime.UTC),
    ):
        assert type(made) is datetime.datetime
        assert isinstance(made, Datetime)
    assert not isinstance("2026", Datetime)


def test_what_is_made_apart_depends_on_its_name_only(chance: Chance) -> None:
    def request(first: bool) -> tuple[object, object]:
        made = None
        with chance.at("7", 3.0):
            before = mock_random.get_random_hex()
            if first:
                with chance.apart("default vpc"):
                    made = (mock_random.get_random_hex(), moto.core.utils.unix_time())
            return made, (before, mock_random.get_random_hex(), moto.core.utils.unix_time())

    (made, with_it), (_, without_it) = request(True), request(False)
    assert with_it == without_it
    with chance.apart("default vpc"):
        assert made == (mock_random.get_random_hex(), 1_000_000_000.0)


def test_nothing_changes_for_others_when_it_is_removed() -> None:
    with Chance(b"salt", 0.0).installed():
        pass
    assert os.urandom(16) != os.urandom(16)
    assert abs(moto.core.utils.unix_time() - time.time()) < 60
