"""The command: which rows it does, what it says of them, and what it ends with."""

import json
from pathlib import Path

import pytest

from tests.soak import __main__ as soak
from tests.soak.model import Scale, Tell, Verdict


class Promise:
    """A row that finds what it is told to."""

    PROMISE = "nothing is lost"

    def __init__(self, name: str) -> None:
        self.name = name
        self.broken: tuple[str, ...] = ()
        self.error: BaseException | None = None
        self.asked: list[tuple[Scale, int]] = []

    def run(self, scale: Scale, seed: int, tell: Tell) -> Verdict:
        self.asked.append((scale, seed))
        tell("looking")
        if self.error:
            raise self.error
        return Verdict(self.name, self.PROMISE, {"writes": 10_000, "p99_ms": 12.3456}, self.broken, seed)


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, Promise]:
    its = {"steady": Promise("steady"), "shaky": Promise("shaky")}
    monkeypatch.setattr(soak, "rows", lambda: its)
    return its


def test_every_module_of_the_folder_with_a_promise_is_a_row_and_is_tested_in_its_quick_form() -> None:
    found = soak.rows()
    assert found
    for name, row in found.items():
        assert row.PROMISE
        assert Path(soak.ROWS, f"test_{name}.py").exists(), f"the quick form of {name} is in no test"


def test_rows_that_hold_end_with_0_and_say_what_was_counted(
    known: dict[str, Promise], capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak.main(["--seed", "7"]) == 0
    assert known["steady"].asked == known["shaky"].asked == [(Scale.FULL, 7)]
    said = capsys.readouterr().out
    assert "10,000" in said
    assert "12.3" in said
    assert "nothing is lost" in said


def test_a_promise_that_is_broken_ends_with_1_and_its_reason(
    known: dict[str, Promise], capsys: pytest.CaptureFixture[str]
) -> None:
    known["shaky"].broken = ("document [7] is there twice",)
    assert soak.main(["--quick", "shaky"]) == soak.BROKEN
    assert known["shaky"].asked[0][0] is Scale.QUICK
    assert known["steady"].asked == []
    assert "broken: document [7] is there twice" in capsys.readouterr().out


def test_a_row_that_cannot_be_done_keeps_no_other_from_being_done(
    known: dict[str, Promise], capsys: pytest.CaptureFixture[str]
) -> None:
    known["steady"].error = OSError("no disk")
    assert soak.main(["--json"]) == soak.BROKEN
    done = {one["row"]: one for one in json.loads(capsys.readouterr().out)["rows"]}
    assert done["steady"]["broken"] == ["it could not be done: OSError: no disk"]
    assert known["shaky"].asked


def test_an_interrupt_ends_it_with_130_and_what_was_done(
    known: dict[str, Promise], capsys: pytest.CaptureFixture[str]
) -> None:
    known["shaky"].error = KeyboardInterrupt()
    assert soak.main(["--json"]) == soak.INTERRUPTED
    said = json.loads(capsys.readouterr().out)
    assert said["interrupted"]
    assert [one["row"] for one in said["rows"]] == ["steady"]


def test_a_row_that_is_not_there_is_a_wrong_command_line(
    known: dict[str, Promise], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        soak.main(["steadfast"])
    assert ended.value.code == 2
    assert "there is no row steadfast: there are steady, shaky" in capsys.readouterr().err


def test_the_rows_are_listed_without_being_done(known: dict[str, Promise], capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--list"]) == 0
    assert "nothing is lost" in capsys.readouterr().out
    assert not known["steady"].asked
