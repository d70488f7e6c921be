"""What a stack file says, for people: each resolved value with its origin, and the reference of all keys."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin

from pydantic.fields import FieldInfo

from stacks.config import StackConfig
from stacks.stack_file import KeyPath, StackFile, Strict, dotted, group_of, unit_of


@dataclass(frozen=True)
class Setting:
    """One resolved value of a stack.

    Attributes:
        key: Key path.
        value: As JSON would hold it; None where there is no value.
        unit: Unit; empty if it has none.
        description: What it means.
        source: `Pulumi.prod.yaml:14`, or `default`.
    """

    key: str
    value: Any
    unit: str
    description: str
    source: str


def provenance(file: Path) -> list[Setting]:
    """Every resolved value of a stack file and where it came from, in the order of the models.

    Raises:
        StackFileError: As `StackConfig.parse`.
    """
    source = StackFile.read(file)
    values = source.validated(StackConfig).model_dump(mode="json")
    settings = []
    for path, field in _leaves(StackConfig):
        value: Any = values
        for part in path:
            value = value[part]
        line = source.lines.get(path)
        where = f"{file.name}:{line}" if line else "default"
        settings.append(Setting(dotted(path), value, unit_of(field), str(field.description), where))
    return settings


def _leaves(model: type[Strict], above: KeyPath = ()) -> Iterator[tuple[KeyPath, FieldInfo]]:
    for name, field in model.model_fields.items():
        if group := group_of(field.annotation):
            yield from _leaves(group, (*above, name))
        else:
            yield (*above, name), field


def reference() -> str:
    """Every key of a stack file as a Markdown table: `docs/config.md`."""
    defaults = _defaults(StackConfig)
    rows = [
        f"| `{dotted(path)}` | {_kind(field)} | {_default(defaults, path)} | {_meaning(field)} |"
        for path, field in _leaves(StackConfig)
    ]
    return "\n".join(
        [
            "# Stack files",
            "",
            "Generated from `stacks/config.py`; a test fails when it is stale. `Pulumi.<stack>.yaml` holds one object,",
            "`config: docsearch:stack:`. A key without a default is required. Unknown keys are errors, and nothing is",
            'converted: `"3"` is not 3. `docsearch config <stack>` shows each resolved value and where it came from.',
            "",
            "| key | kind | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _defaults(model: type[Strict]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if not field.is_required():
            found[name] = field.default.model_dump(mode="json") if isinstance(field.default, Strict) else field.default
        elif group := group_of(field.annotation):
            found[name] = _defaults(group)
    return found


def _default(defaults: Mapping[str, Any], path: KeyPath) -> str:
    value: Any = defaults
    for part in path:
        if part not in value:
            return ""
        value = value[part]
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind(field: FieldInfo) -> str:
    arguments = get_args(field.annotation)
    if get_origin(field.annotation) is Literal:
        return " or ".join(map(str, arguments))
    if get_origin(field.annotation) is tuple:
        return "list of text"
    plain = next((a for a in arguments if a is not type(None)), field.annotation)
    kind = {bool: "true or false", int: "whole number", str: "text", IPv4Network: "IPv4 network"}[cast(type, plain)]
    low, high = (next((getattr(m, end) for m in field.metadata if hasattr(m, end)), None) for end in ("ge", "le"))
    bounds = f" {low} to {high}" if high is not None else f" from {low}" if low is not None else ""
    unit = unit_of(field)
    return f"{kind}{bounds}{f' {unit}' if unit else ''}"


def _meaning(field: FieldInfo) -> str:
    return str(field.description).replace("|", "\\|").replace("<", "&lt;")
