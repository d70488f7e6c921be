"""Real services for tests: each is started once, by the first test that asks for it."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import hypothesis
import pytest
from hypothesis import is_hypothesis_test

from tests.app.aws.cloud import aws, moto
from tests.app.services.server import Server
from tests.app.services.servers import OpenSearch, PostgreSQL, RabbitMQ, Redis, RedisCluster
from tests.app.world import embedded, migrated, settings, world

__all__ = ["aws", "embedded", "migrated", "moto", "settings", "world"]

S = TypeVar("S", bound=Server)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With DOCSEARCH_EXAMPLES only properties are left, each with so many examples (`tests/soak/rows/fuzz.py`)."""
    if not (examples := os.environ.get("DOCSEARCH_EXAMPLES")):
        return
    chosen = [one for one in items if is_hypothesis_test(getattr(one, "obj", None))]
    config.hook.pytest_deselected(items=[one for one in items if one not in chosen])
    for its in (one.obj for one in chosen if isinstance(one, pytest.Function)):
        # The attribute that `hypothesis.settings` sets itself: applied a second time, it refuses.
        own = getattr(its, "_hypothesis_internal_use_settings", hypothesis.settings())
        its._hypothesis_internal_use_settings = hypothesis.settings(own, max_examples=int(examples))
    items[:] = chosen


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What runs tests that are coroutines (`@pytest.mark.anyio`)."""
    return "asyncio"


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of a test. A failure says its seed; with it in DOCSEARCH_SEED they are the same again."""
    seed = os.environ.get("DOCSEARCH_SEED") or str(random.SystemRandom().randrange(2**32))
    request.node.add_report_section("call", "seed", f"DOCSEARCH_SEED={seed}")
    return random.Random(seed)


@pytest.fixture(scope="session")
def services_folder() -> Iterator[Path]:
    """Where servers keep their files: short, since it holds sockets, and open to the user that PostgreSQL runs as."""
    folder = Path(tempfile.mkdtemp(prefix="docsearch-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _running(server: S) -> Iterator[S]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgresql(services_folder: Path) -> Iterator[PostgreSQL]:
    """PostgreSQL. Tests that need a database to themselves make one of their own name."""
    yield from _running(PostgreSQL(services_folder / "postgresql"))


@pytest.fixture(scope="session")
def redis(services_folder: Path) -> Iterator[Redis]:
    """Redis."""
    yield from _running(Redis(services_folder / "redis"))


@pytest.fixture(scope="session")
def redis_cluster(services_folder: Path) -> Iterator[RedisCluster]:
    """Redis as a cluster."""
    yield from _running(RedisCluster(services_folder / "redis-cluster"))


@pytest.fixture(scope="session")
def rabbitmq(services_folder: Path) -> Iterator[RabbitMQ]:
    """RabbitMQ."""
    yield from _running(RabbitMQ(services_folder / "rabbitmq"))


@pytest.fixture(scope="session")
def opensearch(services_folder: Path) -> Iterator[OpenSearch]:
    """OpenSearch."""
    yield from _running(OpenSearch(services_folder / "opensearch"))
