"""Stack files to break: the shipped ones, and a way to write one with a single change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]

Write = Callable[..., Path]


def changed(stack: str, changes: dict[str, Any]) -> dict[str, Any]:
    """A shipped stack file as data, with values at key paths replaced; `...` removes a key."""
    data = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    for path, value in changes.items():
        *groups, key = path.split(".")
        group = data["config"]["docsearch:stack"]
        for name in groups:
            group = group.setdefault(name, {})
        if value is ...:
            del group[key]
        else:
            group[key] = value
    return data  # type: ignore[no-any-return]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes `Pulumi.<stack>.yaml`: `write("prod", {"network.cidr": "10.0.0.0/8"})`, or with `text=`."""

    def write(stack: str, changes: dict[str, Any] | None = None, *, text: str | None = None) -> Path:
        path = tmp_path / f"Pulumi.{stack}.yaml"
        path.write_text(yaml.safe_dump(changed(stack, changes or {})) if text is None else text, encoding="utf-8")
        return path

    return write
