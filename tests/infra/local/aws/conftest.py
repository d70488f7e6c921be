"""A moto server in the test's process and sessions of the aws provider against it. Tests that use it are `engine`."""

import urllib.request
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from infra.local.amend import AMENDED, amend
from infra.local.aws import AwsPackage
from infra.local.store import Store
from tests.infra.local.aws.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An empty cloud with both regions, for all tests of a module."""
    for service in AMENDED:
        amend(service)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    store = Store(tmp_path_factory.mktemp("store") / "records.db")
    package = AwsPackage(endpoint, store)
    yield World(package, store)
    package.close()
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/reset", method="POST")) as answer:
        answer.read()
    server.stop()
    store.close()
