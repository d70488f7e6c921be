"""Which cloud a stack runs on."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from infra import clouds
from infra.errors import LocalCloudError
from infra.local import daemon


def test_the_engines_project_is_written_once_and_never_touched_while_another_run_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "start", lambda root, **given: None)
    monkeypatch.setattr(clouds, "local_env", lambda root: {})
    monkeypatch.setattr(daemon, "endpoints", lambda root: SimpleNamespace(aws_url="http://127.0.0.1:1"))
    cloud = clouds.local("123456789012", root=tmp_path)
    project = cloud.work_dir / "Pulumi.yaml"
    assert project.read_text() == "name: docsearch\nruntime: python\n"
    project.chmod(0o400)
    before = project.stat()
    clouds.local("123456789012", root=tmp_path)
    assert (project.stat().st_ino, project.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(cloud.work_dir.iterdir()) == [project]


def test_aws_is_refused_while_the_environment_points_at_the_local_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_DEBUG_PROVIDERS", "aws:1")
    with pytest.raises(LocalCloudError, match="the engine would talk to the local cloud instead of AWS"):
        clouds.aws()
