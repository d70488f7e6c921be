"""The Pulumi program: read the stack's file, find the peer region, build, export."""

from __future__ import annotations

from pathlib import Path

from components.errors import ConfigError
from stacks.config import StackConfig
from stacks.fleet import read_fleet, stack_file

PROJECT = Path(__file__).resolve().parent.parent
"""Where `Pulumi.yaml` and the stack files are, whatever the working directory is."""


def read_config(stack: str, *, folder: Path = PROJECT, locked: bool | None = None) -> StackConfig:
    """The configuration of one stack, checked together with all others.

    Args:
        stack: Name of the stack, for example `prod`.
        folder: Where the stack files are.
        locked: Overrides the file's `locked`, for one run that releases the locks on purpose.

    Raises:
        ConfigError: The stack has no file, or a file holds what cannot work.
    """
    fleet = read_fleet(folder)
    if stack not in fleet:
        raise ConfigError(
            f"there is no stack {stack!r}",
            why=f"{stack_file(folder, stack)} does not exist",
            remedy=f"The stacks are {', '.join(sorted(fleet)) or 'none'}",
        )
    config = fleet[stack]
    return config if locked is None else config.model_copy(update={"locked": locked})


def run(stack: str, config: StackConfig) -> None:
    """Declare everything of a stack; call it inside a Pulumi program."""
    # Here, because they bring the whole of the AWS and Kubernetes SDKs: seconds that most commands do not need.
    import pulumi  # noqa: PLC0415

    from stacks.peer import NoPeer, Peer  # noqa: PLC0415
    from stacks.region import build  # noqa: PLC0415

    peer = Peer.read(config.peer, region=read_config(config.peer).region) if config.peer else NoPeer()
    for name, value in build(config, peer, stack=stack).items():
        pulumi.export(name, value)
