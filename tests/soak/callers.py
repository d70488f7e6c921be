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
        """Calls go on meanwhile."""
        thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="callers")
        thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            thread.join()

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
