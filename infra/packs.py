"""How the engine gets the policy pack: its folder, a stack's thresholds, and what starts a pack in Python."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
from pathlib import Path
from typing import Any, Final

import jsonschema

from components.errors import ConfigError
from infra.cache import cache_folder
from infra.engine import host_folder
from infra.findings import rules
from infra.program import PROJECT

PACK: Final = PROJECT / "policies"

_LEVELS: Final = ("advisory", "mandatory", "disabled")
_STARTER: Final = "pulumi-analyzer-policy-python"


def thresholds(stack: str, *, folder: Path = PACK) -> Path | None:
    """The file with a stack's thresholds and levels, in Pulumi's own form; None if it has none.

    Raises:
        ConfigError: It is not JSON, names a rule or threshold that does not exist, or gives one out of bounds.
    """
    file = folder / f"{stack}.json"
    if not file.exists():
        return None
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file.name} is not JSON", why=str(error), remedy="Correct it") from None
    if not isinstance(said, dict):
        raise ConfigError(f"{file.name} holds no object", remedy='Write {"rule": {"threshold": number}}')
    for id_, its in said.items():
        _check(file.name, id_, its)
    return file


def _check(file: str, id_: str, its: object) -> None:
    rule = rules().get(id_)
    if rule is None:
        raise ConfigError(
            f"{file}: there is no rule {id_!r}", why="its thresholds would be ignored", remedy="docsearch policies"
        )
    schema = {
        "type": "object",
        "properties": {**rule.schema, "enforcementLevel": {"enum": list(_LEVELS)}},
        "additionalProperties": False,
    }
    found = jsonschema.Draft202012Validator(schema).iter_errors(its)
    if error := next(iter(sorted(found, key=str)), None):
        where = ".".join((id_, *map(str, error.absolute_path)))
        known = ", ".join(f"{name} {one['minimum']} to {one['maximum']}" for name, one in rule.schema.items())
        raise ConfigError(f"{file}: {where}: {error.message}", remedy=f"It has {known or 'no thresholds'}")


def arguments(stack: str) -> dict[str, Any]:
    """What the engine is told to run the pack on a stack."""
    file = thresholds(stack)
    packs: dict[str, Any] = {"policy_packs": [str(PACK)]}
    return packs | ({"policy_pack_configs": [str(file)]} if file else {})


def environment() -> dict[str, str]:
    """What the engine needs in its environment to start the pack where there is no language host.

    The official distribution starts packs by its language host, which the engine finds beside itself. Otherwise it
    looks on PATH for a starter, which here is a line of shell that runs the pack in this program's own environment.
    The host that is built for plain `pulumi` (`infra.engine`) would be preferred and cannot run packs: it is left out.
    """
    # One for each environment: the line names its interpreter.
    folder = cache_folder() / "analyzer" / hashlib.sha256(sys.executable.encode()).hexdigest()[:12]
    starter = folder / _STARTER
    if not starter.exists():
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{_STARTER}-{os.getpid()}"
        draft.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -u -m pulumi.policy "$1" "$2"\n')
        draft.chmod(0o755)
        draft.replace(starter)
    rest = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {"PATH": os.pathsep.join((str(folder), *(one for one in rest if one != str(host_folder()))))}
