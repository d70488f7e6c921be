"""What holds for every test: unit tests open no socket, and nothing of the developer's machine leaks into a test."""

import pytest

_LOOPBACK = ["127.0.0.1", "::1", "localhost"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Closes the network: to all of it for unit tests, beyond this machine for tests marked ``engine``."""
    for item in items:
        if item.get_closest_marker("engine"):
            item.add_marker(pytest.mark.allow_hosts(_LOOPBACK))
        else:
            item.add_marker(pytest.mark.disable_socket)
