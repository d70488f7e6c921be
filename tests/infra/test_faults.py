"""A whole run while the cloud throttles, fails and answers late."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from infra.errors import UpdateError

pytestmark = pytest.mark.engine


class Faults:
    """The faults of a local cloud."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/docsearch/faults"

    def _ask(self, method: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self._url, body, method=method)) as answer:
            return json.load(answer)["faults"]

    def add(self, **rule: Any) -> None:
        self._ask("POST", json.dumps(rule).encode())

    def clear(self) -> int:
        """Ends them all. How many calls were hit."""
        hits = sum(sum(fault["hits"].values()) for fault in self._ask("GET"))
        self._ask("DELETE")
        return hits


@pytest.fixture
def faults(local_cloud: Any) -> Iterator[Faults]:
    found = Faults(local_cloud.cloud.aws_url)
    yield found
    found.clear()


def test_a_region_comes_up_through_throttling_errors_and_latency(local_cloud: Any, faults: Faults) -> None:
    """What botocore retries, nobody notices; nothing is made twice."""
    faults.add(seed=7, rate=0.1, kinds=["throttle", "server_error"])
    faults.add(seed=8, rate=0.05, kinds=["latency"], latency_ms=200)
    deployment = local_cloud.deployment("prod", locked=False)
    outcome = deployment.up()
    assert faults.clear() > 20
    assert outcome.plan.summary["create"] == len(outcome.plan.changes)
    assert local_cloud.holds() == local_cloud.known(deployment)
    assert deployment.preview().changing == ()
    deployment.destroy()


def test_a_service_that_stays_down_fails_the_run_by_name_and_the_next_run_finishes(
    local_cloud: Any, faults: Faults
) -> None:
    faults.add(service="sns", action="CreateTopic", kinds=["server_error"])
    deployment = local_cloud.deployment("prod", locked=False)
    with pytest.raises(UpdateError) as error:
        deployment.up()
    assert "CreateTopic" in str(error.value)
    assert faults.clear() > 0
    assert local_cloud.holds() == local_cloud.known(deployment)
    deployment.up()
    assert local_cloud.holds() == local_cloud.known(deployment)
    deployment.destroy()
    assert {kind: ids for kind, ids in local_cloud.holds().items() if ids} == {}
