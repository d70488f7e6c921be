"""A browser of the tests: Chromium without a window, spoken to by its own protocol over a pipe."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.app.services import machine

SECONDS = 30
"""A page shows what it is waited for by then."""


class BrowserError(Exception):
    """The browser refuses, or a page does not show what was waited for."""


class Browser:
    """One page of a browser.

    Commands and answers are JSON, each ended by NUL, at the file descriptors 3 and 4 of the process
    (``--remote-debugging-pipe``): no port is opened, and no library needed.
    """

    def __init__(self) -> None:
        self._profile = Path(tempfile.mkdtemp(prefix="docsearch-browser-"))
        theirs, self._to = os.pipe()
        self._from, answers = os.pipe()
        # Above what they are put at, so that neither is closed by putting the other one there.
        theirs, answers = os.dup2(theirs, 103), os.dup2(answers, 104)
        flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
        flags += "disable-component-update disable-sync remote-debugging-pipe window-size=1280,900"
        command = [str(machine.command("chromium")), *(f"--{flag}" for flag in flags.split())]
        script = 'exec "$@" 3<&103 4>&104 103<&- 104>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "bash", *command, f"--user-data-dir={self._profile}"],
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs)
        os.close(answers)
        self._read, self._number, self._session = b"", 0, ""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Runtime.enable")
        self._ask("Log.enable")
        self.complaints: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self._profile, ignore_errors=True)

    def open(self, url: str) -> None:
        """Opens an address."""
        self._ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """What an expression of JavaScript comes to in the page."""
        found = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise BrowserError(found["exceptionDetails"]["exception"].get("description", script))
        return found["result"].get("value")

    def wait(self, script: str) -> Any:
        """Waits until an expression comes to something that is true, and gives it."""
        end = time.monotonic() + SECONDS
        while not (found := self.run(script)):
            if time.monotonic() > end:
                raise BrowserError(f"{script} is {found!r} after {SECONDS} s; the page says {self.complaints}")
            time.sleep(0.05)
        return found

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(answer["params"])[:500])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            chunk = os.read(self._from, 65536)
            if not chunk:
                raise BrowserError("the browser has ended")
            self._read += chunk
        message, _, self._read = self._read.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found
