"""What docsearch costs on top of the engine itself, measured in one run.

The floor is the engine with as many resources of a provider that does nothing, on the same state service, in the same
run.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pulumi.automation as auto
from rich.console import Console

from infra import clouds, engine
from infra.deploy import Deployment, EngineCommand
from infra.local import daemon
from infra.program import PROJECT, read_config
from stacks.config import StackConfig
from stacks.offers import REGIONS
from tests.app.services.server import free_port
from tests.bench import cost, floor, policies

err = Console(stderr=True, highlight=False, soft_wrap=True)
STEPS = ("preview", "up", "no-op up", "destroy")


class Floor:
    """A stack of things that cost nothing, as a `Deployment` of them."""

    def __init__(self, count: int, cloud: clouds.Cloud, found: engine.Engine) -> None:
        options = auto.LocalWorkspaceOptions(
            work_dir=str(cloud.work_dir), env_vars=dict(cloud.env), pulumi_command=EngineCommand(found)
        )
        self._stack = auto.create_or_select_stack(
            f"floor-{count}", project_name="docsearch", program=partial(floor.program, count), opts=options
        )

    def step(self, name: str) -> None:
        """Do one of `STEPS`."""
        work: dict[str, Callable[..., Any]] = {
            "preview": self._stack.preview,
            "up": self._stack.up,
            "no-op up": self._stack.up,
            "destroy": self._stack.destroy,
        }
        # The same callback as a deployment's: reading the engine's events is part of both.
        work[name](on_event=lambda event: None, color="never", suppress_progress=True)


def timed(work: Callable[[], Any]) -> float:
    """Seconds that the work takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def region_steps(subject: Deployment, unlocked: Deployment) -> dict[str, float]:
    """Seconds of each step for a real region."""
    times = {
        "preview": timed(subject.preview),
        "up": timed(subject.up),
        "no-op up": timed(subject.up),
    }
    unlocked.up()
    times["destroy"] = timed(unlocked.destroy)
    return times


def floor_steps(subject: Floor) -> dict[str, float]:
    """Seconds of each step for the floor."""
    return {name: timed(partial(subject.step, name)) for name in STEPS}


def regions(count: int) -> dict[str, StackConfig]:
    """prod, and as many standbys of it as make so many regions in all, each in a region of its own at dr's size."""
    prod, dr = read_config("prod"), read_config("dr")
    wanted = {dr.database.primary.instance_class, dr.database.replicas.instance_class}
    others = [
        (name, offer)
        for name, offer in REGIONS.items()
        if name not in {prod.region, dr.region} and len(offer.zones) >= 3 and wanted <= set(offer.db_classes)
    ]
    made = {"prod": prod, "dr": dr}
    for index, (name, offer) in enumerate(others[: max(0, count - 2)], start=2):
        network = dr.network.model_copy(
            update={"cidr": IPv4Network(f"10.{index}.0.0/16"), "zones": tuple(offer.zones[:3])}
        )
        made[f"bench-{index}"] = dr.model_copy(update={"region": name, "network": network, "failover": False})
    return dict(list(made.items())[:count])


def run(runs: int, most_regions: int, resources: list[int], show: Callable[[str, list[dict[str, Any]]], None]) -> None:
    """Measures the platform.

    Args:
        runs: How often the region and the floor take turns.
        most_regions: Growth: up to this many regions; 0 skips.
        resources: Growth: floor stacks of these sizes.
        show: Is told each table.
    """
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="docsearch-bench-")))
        found = engine.ensure_engine(err.print)
        config = read_config("prod")
        cloud = clouds.local(config.account_id, root=root, tell=err.print)
        stack.callback(daemon.stop, root)
        port = free_port()
        child = subprocess.Popen([sys.executable, "-m", "tests.bench.floor", str(port)], cwd=PROJECT)
        stack.callback(child.kill)
        providers = f"{cloud.env['PULUMI_DEBUG_PROVIDERS']},floor:{port}"
        cloud = clouds.Cloud(
            cloud.name, cloud.work_dir, {**cloud.env, "PULUMI_DEBUG_PROVIDERS": providers}, cloud.aws_url
        )
        steps = against_floor(config, cloud, found, runs)
        show("region against floor", steps)
        show("memory, MB", memory(root))
        show("preview with the policy pack", policies.preview(root, max(3, runs)))
        show("growth of the rules by resources", policies.rules())
        preview = next(row for row in steps if row["step"] == "preview")
        show("growth of the estimate", cost.estimates(float(preview["region, s"]) / preview["resources"] * 1e3))
        if most_regions:
            show("growth by regions", by_regions(cloud, found, most_regions))
        if resources:
            show("growth by resources in one stack (floor)", by_resources(cloud, found, resources))


def against_floor(config: StackConfig, cloud: clouds.Cloud, found: engine.Engine, runs: int) -> list[dict[str, Any]]:
    """prod and the floor in turn, so that both see the same machine."""
    locked = Deployment("prod", config, cloud, found)
    unlocked = Deployment("prod", config.model_copy(update={"locked": False}), cloud, found)
    count = sum(not change.type.startswith("pulumi:pulumi:Stack") for change in locked.preview().changes)
    Floor(10, cloud, found).step("preview")
    pairs = []
    for run in range(runs):
        err.print(f"region and floor of {count} resources, run {run + 1} of {runs}")
        pairs.append((region_steps(locked, unlocked), floor_steps(Floor(count, cloud, found))))
    return [
        {
            "step": step,
            "resources": count,
            "region, s": f"{statistics.median(ours[step] for ours, _ in pairs):.1f}",
            "floor, s": f"{statistics.median(theirs[step] for _, theirs in pairs):.1f}",
            "ratio": f"{statistics.median(ours[step] / theirs[step] for ours, theirs in pairs):.2f}",
        }
        for step in STEPS
    ]


def by_regions(cloud: clouds.Cloud, found: engine.Engine, most: int) -> list[dict[str, Any]]:
    """One region after the other into one cloud: does a resource of the last take longer than one of the first?"""
    rows: list[dict[str, Any]] = []
    total, resources = 0.0, 0
    for index, (name, config) in enumerate(regions(most).items(), start=1):
        err.print(f"region {index} of {most}: {config.region}")
        outcome = Deployment(name, config, cloud, found).up()
        total += outcome.seconds
        resources += len(outcome.plan.changes)
        each = total / resources * 1e3
        first = float(rows[0]["ms each"]) if rows else each
        rows.append(
            {
                "regions": index,
                "resources": resources,
                "total, s": f"{total:.1f}",
                "ms each": f"{each:.1f}",
                "against linear": f"{each / first:.2f}",
            }
        )
    return rows


def by_resources(cloud: clouds.Cloud, found: engine.Engine, sizes: list[int]) -> list[dict[str, Any]]:
    """How `up` grows with the resources of one stack."""
    rows: list[dict[str, Any]] = []
    for size in sizes:
        err.print(f"floor of {size} resources")
        seconds = timed(partial(Floor(size, cloud, found).step, "up"))
        each = seconds / size * 1e3
        first = float(rows[0]["ms each"]) if rows else each
        rows.append(
            {
                "resources": size,
                "up, s": f"{seconds:.1f}",
                "ms each": f"{each:.1f}",
                "against linear": f"{each / first:.2f}",
            }
        )
    return rows


def memory(root: Path) -> list[dict[str, Any]]:
    """Peak of the engine (largest child), and what the local cloud's processes hold now."""
    rows: list[dict[str, Any]] = [
        {"process": "program", "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024},
        {"process": "engine", "MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024},
    ]
    return rows + [
        {"process": process.name, "MB": round(process.memory_mb)} for process in daemon.status(root).processes
    ]
