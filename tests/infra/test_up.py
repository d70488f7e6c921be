"""Both regions, brought up for real: the engine, the program and the local cloud together."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError
from infra import clouds, engine
from infra.deploy import Deployment, Outcome
from infra.errors import UpdateError
from infra.local import daemon
from infra.program import PROJECT

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def regions(local_cloud: Any) -> dict[str, Deployment]:
    """Both regions, prod first."""
    return {stack: local_cloud.deployment(stack) for stack in ("prod", "dr")}


@pytest.fixture(scope="module")
def outcomes(regions: dict[str, Deployment]) -> dict[str, Outcome]:
    return {stack: deployment.up() for stack, deployment in regions.items()}


def cli(local_cloud: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a person would, on this test's local cloud."""
    return subprocess.run(
        [sys.executable, "-c", "from infra.cli import main; main()", *arguments],
        env={**os.environ, "DOCSEARCH_HOME": str(local_cloud.root)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_everything_is_created(outcomes: dict[str, Outcome]) -> None:
    for stack, outcome in outcomes.items():
        kept = [change.type for change in outcome.plan.changes if change.op != "create"]
        assert kept == (["pulumi:pulumi:StackReference"] if stack == "dr" else [])
        assert outcome.plan.summary["create"] > 100


def test_a_second_up_changes_nothing(outcomes: dict[str, Outcome], regions: dict[str, Deployment]) -> None:
    for deployment in regions.values():
        again = deployment.up()
        assert [change.urn for change in again.plan.changing] == []
        assert again.plan.summary["same"] == len(again.plan.changes)


def test_the_cloud_holds_what_the_states_say(
    outcomes: dict[str, Outcome], regions: dict[str, Deployment], local_cloud: Any
) -> None:
    holds, known = local_cloud.holds(), local_cloud.known(*regions.values())
    for kind, ids in known.items():
        assert holds[kind] == ids, kind
    assert sum(map(len, known.values())) > 100


def test_a_fresh_region_shows_no_drift(outcomes: dict[str, Outcome], regions: dict[str, Deployment]) -> None:
    for deployment in regions.values():
        drift = deployment.refresh(save=False)
        assert [(change.urn, change.paths) for change in drift.changing] == []


def test_the_standby_follows_the_primary(outcomes: dict[str, Outcome], local_cloud: Any) -> None:
    standby = local_cloud.client("rds", "us-west-2").describe_db_instances()["DBInstances"]
    assert [instance["ReadReplicaSourceDBInstanceIdentifier"].split(":")[3] for instance in standby] == ["us-east-1"]
    keys = local_cloud.client("kms", "us-west-2")
    replicas = {item["KeyId"] for item in keys.list_keys()["Keys"]}
    originals = {item["KeyId"] for item in local_cloud.client("kms", "us-east-1").list_keys()["Keys"]}
    shared = {id for id in replicas & originals if id.startswith("mrk-")}
    assert len(shared) == 5


def test_preview_as_json_has_one_entry_per_resource(outcomes: dict[str, Outcome], local_cloud: Any) -> None:
    done = cli(local_cloud, "preview", "prod", "--local", "--json", "--expect-no-changes")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert {*plan} == {"stack", "region", "cloud", "summary", "changes", "price"}
    assert (plan["stack"], plan["region"], plan["cloud"]) == ("prod", "us-east-1", "local")
    assert {*plan["summary"]} == {"create", "update", "replace", "delete", "same"}
    urns = [change["urn"] for change in plan["changes"]]
    assert len(urns) == len({*urns}) == sum(plan["summary"].values()) == plan["summary"]["same"]
    assert all({"urn", "type", "op", "inputs"} <= {*change} for change in plan["changes"])


def test_plain_pulumi_shows_the_same_plan(
    outcomes: dict[str, Outcome], regions: dict[str, Deployment], local_cloud: Any
) -> None:
    found = engine.ensure_engine(print)
    host = engine.ensure_language_host(print)
    path = os.pathsep.join([str(Path(sys.executable).parent), str(found.command.parent), str(host), os.environ["PATH"]])
    done = subprocess.run(
        [str(found.command), "preview", "--stack", "prod", "--json", "--non-interactive", "--show-sames"],
        cwd=PROJECT,
        env={**os.environ, **clouds.local_env(local_cloud.root), "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout[-2000:]
    theirs = {step["urn"]: step["op"] for step in json.loads(done.stdout)["steps"]}
    ours = {change.urn: change.op for change in regions["prod"].preview().changes}
    assert theirs == ours


def test_secrets_are_nowhere_in_clear(
    outcomes: dict[str, Outcome], regions: dict[str, Deployment], local_cloud: Any
) -> None:
    secrets = local_cloud.client("secretsmanager", "us-east-1")
    canaries = [
        secrets.get_secret_value(SecretId=item["ARN"])["SecretString"]
        for item in secrets.list_secrets()["SecretList"]
        if not item.get("OwningService")
    ]
    # The master user's is the primary's alone; whoever has its password has the database, with or without the braces.
    (master,) = [one for one in canaries if one.startswith("{")]
    shared = [one for one in canaries if one != master]
    assert shared
    canaries.append(json.loads(master)["password"])
    said = [
        cli(local_cloud, *command, "--json").stdout
        for command in (
            ("outputs", "prod", "--local"),
            ("preview", "dr", "--local"),
            ("refresh", "prod", "--local"),
            ("config", "prod"),
        )
    ]
    said.append(json.dumps(regions["prod"].state()))
    for canary in canaries:
        assert not any(canary in text for text in said)
        for file in local_cloud.root.rglob("*"):
            if file.is_file():
                assert canary.encode() not in file.read_bytes(), file
    shown = json.loads(cli(local_cloud, "outputs", "prod", "--local", "--json", "--show-secrets").stdout)
    assert sorted(shown["peer_secrets"].values()) == sorted(shared)


def test_a_locked_region_refuses_to_be_destroyed(
    outcomes: dict[str, Outcome], regions: dict[str, Deployment], local_cloud: Any
) -> None:
    before = local_cloud.holds()
    done = cli(local_cloud, "destroy", "dr", "--local", "--yes")
    assert done.returncode == ConfigError.exit_code
    assert "--release-locks" in done.stderr
    with pytest.raises(UpdateError, match="protect"):
        regions["dr"].destroy()
    assert local_cloud.holds() == before


def test_the_local_cloud_survives_a_kill(
    outcomes: dict[str, Outcome], regions: dict[str, Deployment], local_cloud: Any
) -> None:
    before = local_cloud.holds()
    for process in daemon.status(local_cloud.root).processes:
        os.kill(process.pid or 0, 9)
    clouds.local(regions["prod"].config.account_id, root=local_cloud.root, tell=print)
    assert local_cloud.holds() == before
    assert regions["prod"].preview().changing == ()


def test_regions_go_when_their_locks_are_released(
    outcomes: dict[str, Outcome], regions: dict[str, Deployment], local_cloud: Any
) -> None:
    for stack in ("dr", "prod"):
        unlocked = local_cloud.deployment(stack, locked=False)
        unlocked.up()
        unlocked.destroy()
    assert {kind: ids for kind, ids in local_cloud.holds().items() if ids} == {}
    assert all(not deployment.state().get("resources") for deployment in regions.values())


def test_a_standby_waits_for_its_primary(local_cloud: Any) -> None:
    done = cli(local_cloud, "up", "dr", "--local", "--yes")
    assert done.returncode == ConfigError.exit_code
    assert "docsearch up prod" in done.stderr
