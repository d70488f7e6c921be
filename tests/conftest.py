"""What holds for every test: unit tests open no socket, and nothing of the developer's machine leaks into a test."""

import asyncio
import os
import sys
import warnings

import hypothesis
import pytest

# A timing is never a test: what takes long on a busy machine is no failure.
hypothesis.settings.register_profile(
    "docsearch", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("docsearch")

# Containers often forbid bytecode. The tests start hundreds of processes, and each would compile the SDKs again: 12 s.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

_LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Closes the network: to all of it for unit tests, beyond this machine for those that start processes."""
    for item in items:
        if item.get_closest_marker("engine") or item.get_closest_marker("services"):
            item.add_marker(pytest.mark.allow_hosts(_LOOPBACK))
        else:
            item.add_marker(pytest.mark.disable_socket)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Gives the main thread a current event loop: Pulumi's SDK asks for it, and `asyncio.run` leaves none behind."""
    with warnings.catch_warnings():
        # From Python 3.12 on, asking where there is none is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            asyncio.get_event_loop()
        except RuntimeError:
            asyncio.set_event_loop(asyncio.new_event_loop())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests counted of mutants, wherever they ran: how many there were, and how many were killed."""
    counted: dict[str, int] = {}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in getattr(report, "user_properties", ()) if report.when == "call" else ():
            counted[name] = counted.get(name, 0) + value
    if mutants := counted.get("mutants"):
        killed = counted.get("killed", 0)
        terminalreporter.write_line(f"policy mutants: {mutants}, killed {killed} ({100 * killed / mutants:.1f}%)")
    if replacements := counted.get("replacements"):
        stopped = counted.get("stopped", 0)
        terminalreporter.write_line(f"forced replacements: {replacements}, stopped by the gate {stopped}")
