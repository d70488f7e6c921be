"""Runs that are killed: nothing is lost, nothing is made twice."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import pytest

from infra.errors import PendingOperationsError
from infra.reconcile import Reconciler

pytestmark = pytest.mark.engine

KILLS = 20
SEED = 20261123


UP = "import sys\nfrom infra import console\nwith console.deployment(sys.argv[1], True, 'up') as it: it.up()"
"""What `docsearch up` does once rules and gate let it pass."""


def killed_up(local_cloud: Any, stack: str, after_s: float) -> bool:
    """Kills an update, program and engine, so long after its first change. Whether it was still running."""
    # Every request that changes the cloud is in its journal, before it is answered.
    journal = local_cloud.root / "local" / "data" / "moto" / "journal"
    before = journal.stat().st_size
    with subprocess.Popen(
        [sys.executable, "-c", UP, stack],
        env={**os.environ, "DOCSEARCH_HOME": str(local_cloud.root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            while process.poll() is None and journal.stat().st_size == before:
                time.sleep(0.01)
            time.sleep(after_s)
            return process.poll() is None
        finally:
            # With its engine, and whatever else went wrong: nothing of it may outlive the test.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_twenty_kills_leave_no_orphan_and_no_duplicate(local_cloud: Any, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    kills = pending = refused = adopted = 0
    while kills < KILLS:
        if not killed_up(local_cloud, "prod", chance.uniform(0.0, 4.0)):
            unlocked = local_cloud.deployment("prod", locked=False)
            unlocked.up()
            unlocked.destroy()
            continue
        kills += 1
        deployment = local_cloud.deployment("prod")
        reconciler = Reconciler(deployment)
        found = reconciler.find()
        if deployment.pending():
            pending += 1
            with pytest.raises(PendingOperationsError, match="pending operations"):
                deployment.up()
            refused += 1
        reconciler.settle(found)
        adopted += sum(item.verdict == "adopt" for item in found)
        assert deployment.pending() == []
        assert local_cloud.holds() == local_cloud.known(deployment), f"kill {kills}"
    deployment = local_cloud.deployment("prod")
    deployment.up()
    assert local_cloud.holds() == local_cloud.known(deployment)
    assert deployment.preview().changing == ()
    with capsys.disabled():
        sys.stdout.write(
            f"\n{kills} kills (seed {SEED}): {pending} left operations open, {adopted} resources adopted, 0 orphans\n"
        )
    assert pending > 0
    unlocked = local_cloud.deployment("prod", locked=False)
    unlocked.up()
    unlocked.destroy()
    assert {kind: ids for kind, ids in local_cloud.holds().items() if ids} == {}
