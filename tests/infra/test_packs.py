"""How the engine gets the pack: thresholds are judged before it starts, and a starter is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import ConfigError
from infra import packs
from infra.engine import host_folder
from infra.program import PROJECT
from stacks.fleet import read_fleet


@pytest.mark.parametrize("stack", sorted(read_fleet(PROJECT)))
def test_the_thresholds_of_our_stacks_can_be_used(stack: str) -> None:
    packs.thresholds(stack)


def test_a_stack_without_thresholds_has_the_rules_own(tmp_path: Path) -> None:
    assert packs.thresholds("prod", folder=tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "prod.json is not JSON"),
        ("[]", "prod.json holds no object"),
        ('{"no-such-rule": {}}', "prod.json: there is no rule 'no-such-rule'"),
        ('{"rds-backups": {"days": 0}}', "prod.json: rds-backups.days: 0 is less than the minimum of 1"),
        ('{"rds-backups": {"days": 36}}', "prod.json: rds-backups.days: 36 is greater than the maximum of 35"),
        ('{"rds-backups": {"days": "7"}}', "prod.json: rds-backups.days: '7' is not of type 'integer'"),
        ('{"rds-backups": {"weeks": 7}}', "('weeks' was unexpected)"),
        ('{"rds-backups": 7}', "prod.json: rds-backups: 7 is not of type 'object'"),
        ('{"rds-backups": {"enforcementLevel": "maybe"}}', "'maybe' is not one of"),
    ],
)
def test_thresholds_that_cannot_be_used_are_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "prod.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        packs.thresholds("prod", folder=tmp_path)
    assert message in str(caught.value)


def test_thresholds_go_to_the_engine_in_its_own_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "prod.json").write_text(json.dumps({"rds-backups": {"days": 30}}))
    monkeypatch.setattr(packs, "thresholds", lambda stack: tmp_path / f"{stack}.json")
    assert packs.arguments("prod") == {
        "policy_packs": [str(packs.PACK)],
        "policy_pack_configs": [str(tmp_path / "prod.json")],
    }


def test_the_starter_runs_a_pack_in_this_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCSEARCH_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", f"{host_folder()}{os.pathsep}/usr/bin{os.pathsep}/bin")
    path = packs.environment()["PATH"].split(os.pathsep)
    assert str(host_folder()) not in path
    assert path[1:] == ["/usr/bin", "/bin"]
    starter = Path(path[0]) / "pulumi-analyzer-policy-python"
    (tmp_path / "__main__.py").write_text("import sys; print(sys.executable)")
    said = subprocess.run([starter, "engine:1", str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert said.strip() == sys.executable
