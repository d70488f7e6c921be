"""What is shown while a run goes on."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pulumi.automation import EngineEvent
from rich.console import Console

from infra import progress
from infra.progress import EVERY_SECONDS, Progress

PREFIX = "urn:pulumi:prod::docsearch::"


def event(kind: str, op: str, name: str, type_: str = "aws:ec2/eip:Eip") -> EngineEvent:
    metadata = {"op": op, "urn": f"{PREFIX}{type_}::{name}", "type": type_}
    return EngineEvent.from_json({"sequence": 1, "timestamp": 1, kind: {"metadata": metadata}})


def begins(op: str, name: str, **more: str) -> EngineEvent:
    return event("resourcePreEvent", op, name, **more)


def ends(op: str, name: str, **more: str) -> EngineEvent:
    return event("resOutputsEvent", op, name, **more)


class Clock:
    """Time that only the test moves, in seconds."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(progress, "time", found)
    return found


def console(**more: Any) -> Console:
    return Console(file=io.StringIO(), width=200, **more)


def lines(shown: Console) -> list[str]:
    return shown.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


def test_without_a_terminal_a_line_comes_every_few_seconds(clock: Clock) -> None:
    shown = console()
    with Progress(shown, "up prod").shown() as seen:
        seen.hear(begins("create", "a"))
        clock.now += EVERY_SECONDS - 1
        seen.hear(ends("create", "a"))
        clock.now += 2
        seen.hear(begins("update", "b"))
        seen.hear(begins("create", "c"))
    assert lines(shown) == [
        "up prod: 0 resources, 0 changed, 0 s",
        "up prod: 1 resources, 1 changed, 6 s; update b",
    ]


def test_what_stays_the_same_is_finished_and_not_changed(clock: Clock) -> None:
    shown = console()
    with Progress(shown, "up prod").shown() as seen:
        for op in ("same", "read", "create", "update", "delete", "replace", "create-replacement", "delete-replaced"):
            seen.hear(begins(op, op))
            seen.hear(ends(op, op))
        clock.now += EVERY_SECONDS + 1
        seen.hear(ends("same", "last"))
    assert lines(shown)[-1] == "up prod: 9 resources, 4 changed, 6 s"


def test_a_failed_step_is_no_longer_under_way(clock: Clock) -> None:
    shown = console()
    with Progress(shown, "up prod").shown() as seen:
        seen.hear(begins("create", "a"))
        clock.now += EVERY_SECONDS + 1
        seen.hear(event("resOpFailedEvent", "create", "a"))
    assert lines(shown)[-1] == "up prod: 0 resources, 0 changed, 6 s"


def test_the_stack_itself_and_other_events_are_not_under_way(clock: Clock) -> None:
    shown = console()
    with Progress(shown, "up prod").shown() as seen:
        clock.now += EVERY_SECONDS + 1
        said = {"diagnosticEvent": {"message": "m", "color": "never", "severity": "info"}}
        seen.hear(EngineEvent.from_json({"sequence": 1, "timestamp": 1, **said}))
        assert len(lines(shown)) == 1
        seen.hear(begins("create", "docsearch-prod", type_="pulumi:pulumi:Stack"))
    assert lines(shown)[-1] == "up prod: 0 resources, 0 changed, 6 s"


def test_at_most_three_steps_are_named(clock: Clock) -> None:
    shown = console()
    with Progress(shown, "up prod").shown() as seen:
        for name in "abcd":
            seen.hear(begins("create", name))
        clock.now += EVERY_SECONDS + 1
        seen.hear(begins("create", "e"))
    assert lines(shown)[-1].endswith("; create a, create b, create c")


def test_other_work_is_told_as_it_comes(clock: Clock) -> None:
    shown = console()
    with Progress(shown, "up prod").shown() as seen:
        seen.tell("building the engine: 10 s")
    assert lines(shown)[-1] == "up prod: building the engine: 10 s"


def test_on_a_terminal_one_line_is_kept_up_to_date(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    status = Status()
    shown = console(force_terminal=True)
    monkeypatch.setattr(shown, "status", lambda line: status.show(line))
    with Progress(shown, "up prod").shown() as seen:
        seen.tell("building")
        seen.hear(begins("create", "a"))
        clock.now += 1
        seen.hear(ends("create", "a"))
    assert status.lines == [
        "up prod: 0 resources, 0 changed, 0 s",
        "up prod: building",
        "up prod: 0 resources, 0 changed, 0 s; create a",
        "up prod: 1 resources, 1 changed, 1 s",
    ]
    assert lines(shown) == []


class Status:
    """The line at the bottom of a terminal."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def update(self, line: str) -> None:
        self.lines.append(line)

    @contextmanager
    def show(self, line: str) -> Iterator["Status"]:
        self.update(line)
        yield self


def test_lines_that_only_count_are_told_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("infra.progress.time.monotonic", lambda: now[0])
    console = Console(file=io.StringIO(), force_terminal=False)
    with Progress(console, "check").shown() as shown:
        for count in range(20):
            now[0] += 1
            shown.tell(f"replaying {count} of 20")
        shown.tell("starting")
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in lines if "replaying" in line] == [
        f"check: replaying {count} of 20" for count in (0, 6, 12, 18)
    ]
    assert lines[-1] == "check: starting"
