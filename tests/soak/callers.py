"""Callers of a soak: they go on in a thread while the main one, which alone may start servers, kills and restarts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

PATIENCE_SECONDS: Final = 120.0
"""A service that does not do for so long what it has to do after a kill or a restart is broken."""


class Callers:
    """Callers in a thread of their own."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    @contextmanager
    def going(self) -> Iterator[None]:
        """Calls go on meanwhile.

        Raises:
            RuntimeError: They have not: nothing that was seen meanwhile says anything.
        """
        failed: list[BaseException] = []

        def call() -> None:
            try:
                asyncio.run(self._run())
            except BaseException as error:  # noqa: BLE001 # it is raised where somebody sees it
                failed.append(error)

        thread = threading.Thread(target=call, name="callers")
        thread.start()
        try:
            try:
                yield
            finally:
                self._stopping.set()
                thread.join()
        except Exception:
            if not failed:
                raise
        if failed:
            raise RuntimeError(f"the callers have ended: {type(failed[0]).__name__}: {failed[0]}") from failed[0]

    async def _run(self) -> None:
        """Calls until it is told to stop."""
        raise NotImplementedError


def comes_true(what: Callable[[], bool]) -> bool:
    """Waits for something, and says whether it came within `PATIENCE_SECONDS`."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
