"""Both API processes are restarted once: the quick form of the row."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.soak.model import Scale
from tests.soak.rows import rolling


@pytest.mark.services
def test_no_request_fails_while_processes_are_restarted_in_turn() -> None:
    verdict = rolling.run(Scale.QUICK, 20_261_128, print)
    assert verdict.held, "\n".join(verdict.broken)
    assert int(verdict.figures["requests"]) >= 400
    assert int(verdict.figures["acknowledged_writes"]) > 0


class BegunError(Exception):
    """The load begins."""


class Plant:
    """A plant that takes so many requests per second."""

    key, settings = "", None

    def __init__(self, most: float, folder: Any) -> None:
        self._most, self.folder, self.loaded = most, folder, 0
        self.api = self

    port = 0

    def load(self, documents: Any) -> None:
        self.loaded = sum(1 for _ in documents)

    def drive(self, *, rate: float, **_: Any) -> dict[str, Any]:
        return {"failed": {}, "all": {"p99": 0.01 if rate <= self._most else 1.0}}


@pytest.mark.parametrize("most", [100.0, 800.0])
def test_the_full_form_asks_half_of_what_the_machine_takes(
    most: float, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, rates = Plant(most, tmp_path), list[float]()

    @contextmanager
    def running(*_: Any, **__: Any) -> Iterator[Plant]:
        yield plant

    class Second:
        port = 0

        def __init__(self, *_: Any) -> None: ...
        def start(self) -> None: ...
        def stop(self) -> None: ...

    def load(_: Any, __: str, rate: float, ___: Any) -> None:
        rates.append(rate)
        raise BegunError

    monkeypatch.setattr(rolling, "running", running)
    monkeypatch.setattr(rolling, "Process", Second)
    monkeypatch.setattr(rolling, "Load", load)
    with pytest.raises(BegunError):
        rolling.run(Scale.FULL, 1, lambda _: None)
    assert plant.loaded
    assert most / 1.1 / 2 <= rates[0] <= most / 2


def test_where_not_even_few_are_taken_nothing_is_restarted(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def running(*_: Any, **__: Any) -> Iterator[Plant]:
        yield Plant(1.0, tmp_path)

    monkeypatch.setattr(rolling, "running", running)
    verdict = rolling.run(Scale.FULL, 1, lambda _: None)
    assert not verdict.held
    assert "no rate held" in verdict.broken[0]
