"""Which cloud answers the providers: AWS, or the local cloud. Everything else is the same for both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from infra.engine import ENVIRONMENT
from infra.errors import LocalCloudError
from infra.local import daemon
from infra.local.state import Access, client_env
from infra.program import PROJECT

ROOT: Final = Path(os.environ.get("DOCSEARCH_HOME") or PROJECT / ".docsearch")
"""Where everything local lives, never in git; `DOCSEARCH_HOME` moves it, so that two local clouds can run at once."""

QUIET: Final = {
    **ENVIRONMENT,
    "PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK": "true",
}


@dataclass(frozen=True)
class Cloud:
    """Where a stack runs.

    Attributes:
        name: `aws` or `local`.
        env: What the engine's environment gets on top of this process's.
        work_dir: The engine's project folder. The local cloud has its own, so that nothing that the engine writes
            about a stack (encryption settings, for example) reaches the stack files that go to AWS.
        aws_url: Where AWS calls go; empty for AWS itself.
    """

    name: Literal["aws", "local"]
    work_dir: Path
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    aws_url: str = ""


def aws() -> Cloud:
    """AWS, with the credentials and the state backend of the environment.

    Raises:
        LocalCloudError: The environment still points at the local cloud.
    """
    if "PULUMI_DEBUG_PROVIDERS" in os.environ:
        raise LocalCloudError(
            "PULUMI_DEBUG_PROVIDERS is set",
            why="the engine would talk to the local cloud instead of AWS",
            remedy="Open a shell without `docsearch local env`, or add --local",
        )
    return Cloud("aws", PROJECT, QUIET)


def local(account: str, *, root: Path = ROOT, tell: Callable[[str], None] = lambda line: None) -> Cloud:
    """The local cloud, started if it does not run.

    Args:
        account: The account id that it answers as: that of the stack files.
        root: Where its files are.
        tell: Takes lines of progress.
    """
    daemon.start(root, account=account, tell=tell)
    # The Kubernetes SDK reads it, and a developer's own cluster is not the local cloud's.
    os.environ.pop("KUBECONFIG", None)
    work_dir = root / "work"
    work_dir.mkdir(parents=True, exist_ok=True)
    project = work_dir / "Pulumi.yaml"
    if not project.exists():
        # Another run's engine may read it at this moment: it is there wholly or not at all.
        draft = work_dir / f"Pulumi.yaml.{os.getpid()}"
        draft.write_text("name: docsearch\nruntime: python\n")
        draft.replace(project)
    return Cloud("local", work_dir, local_env(root), daemon.endpoints(root).aws_url)


def local_env(root: Path = ROOT) -> dict[str, str]:
    """The environment in which the engine, plain `pulumi` included, works on the local cloud.

    Raises:
        LocalCloudError: It does not run.
    """
    at = daemon.endpoints(root)
    return {
        **QUIET,
        # The providers are here. The engine would look for those of the state's resources in the network all the same,
        # five times each.
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_HOME": str(root / "pulumi"),
        **client_env(Access(root, at.state_url, at.state_token)),
        "PULUMI_DEBUG_PROVIDERS": f"aws:{at.aws_port},kubernetes:{at.kubernetes_port},random:{at.random_port}",
    }


def aws_endpoint(cloud: Cloud) -> str | None:
    """Where AWS calls go; None for AWS itself."""
    return cloud.aws_url or None


def credentials(cloud: Cloud) -> dict[str, str]:
    """What boto3 needs besides a region: nothing on AWS, where the environment has it."""
    return {"aws_access_key_id": "local", "aws_secret_access_key": "local"} if cloud.name == "local" else {}
