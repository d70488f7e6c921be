"""Live progress of a run: what is under way on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.status import Status

from infra.report import STACK_TYPE

if TYPE_CHECKING:  # The Automation API takes a second to import, and progress is shown before it is needed.
    from pulumi.automation import EngineEvent

EVERY_SECONDS: Final = 5.0
"""Between two lines where there is no terminal: CI logs stay readable, and nobody thinks that it hangs."""

_CHANGES: Final = ("create", "update", "delete", "replace")


class Progress:
    """Counts what the engine does and shows it on stderr.

    Args:
        console: Where to show it.
        title: What is going on, for example `up prod`.
    """

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._started = self._spoke = time.monotonic()
        self._under_way: dict[str, str] = {}
        self._finished = 0
        self._changed = 0
        self._status: Status | None = None
        self._told = ""

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """Show it for as long as the block runs."""
        if self._console.is_terminal:
            with self._console.status(self._line()) as self._status:
                yield self
        else:
            self._console.print(self._line(), highlight=False)
            yield self

    def hear(self, event: EngineEvent) -> None:
        """Take one event of the engine."""
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            if step.type != STACK_TYPE:
                self._under_way[step.urn] = f"{step.op.value} {step.urn.split('::', 3)[-1]}"
        elif event.res_outputs_event is not None:
            step = event.res_outputs_event.metadata
            self._under_way.pop(step.urn, None)
            self._finished += 1
            self._changed += step.op.value in _CHANGES
        elif event.res_op_failed_event is not None:
            self._under_way.pop(event.res_op_failed_event.metadata.urn, None)
        else:
            return
        self._say()

    def tell(self, line: str) -> None:
        """Show a line of something else that takes time (building the engine, starting the local cloud)."""
        if self._status is not None:
            self._status.update(f"{self._title}: {line}")
            return
        # Of lines that differ in their figures only ("replaying 7 of 870"), a log needs one every few seconds.
        kind = re.sub(r"\d+", "", line)
        if kind != self._told or time.monotonic() - self._spoke > EVERY_SECONDS:
            self._told, self._spoke = kind, time.monotonic()
            self._console.print(f"{self._title}: {line}", highlight=False)

    def _say(self) -> None:
        if self._status is not None:
            self._status.update(self._line())
        elif time.monotonic() - self._spoke > EVERY_SECONDS:
            self._spoke = time.monotonic()
            self._console.print(self._line(), highlight=False)

    def _line(self) -> str:
        seconds = time.monotonic() - self._started
        line = f"{self._title}: {self._finished} resources, {self._changed} changed, {seconds:.0f} s"
        now = [*self._under_way.values()][:3]
        return f"{line}; {', '.join(now)}" if now else line
