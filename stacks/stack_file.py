"""Reading one `Pulumi.<stack>.yaml`, and saying exactly what is wrong with it.

YAML is kept close to its text: every key knows its line, and what YAML would swallow in silence (a key given twice, a
merge key, a date where text was meant) is a problem like any other. `validated` turns what pydantic finds into the same
`Problem`s, so a person who mistypes three things reads three problems at once, each with its remedy.
"""

import difflib
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Self, TypeVar, Union, cast, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from components.errors import ConfigError

OBJECT: Final = "docsearch:stack"
"""The one configuration key that holds a stack."""

KeyPath = tuple[str | int, ...]
_MISSING: Final = object()
_FAULTS: Final = "faults"


@dataclass(frozen=True)
class Unit:
    """The unit of a field, put into its annotation: `Annotated[int, Unit("GiB")]`."""

    name: str


Gib = Annotated[int, Unit("GiB")]
Mib = Annotated[int, Unit("MiB")]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$")]
Image = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.:_/-]*[a-z0-9])?@sha256:[0-9a-f]{64}$")]
"""A container image by digest, as registry/name@sha256:<64 hex digits>."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong in one place.

    Attributes:
        file: Name of the stack file, or of both where two disagree.
        line: Line of the key, from 1; None where there is no single line.
        key: Key path such as `database.primary.allocated_gib`; empty for the file as a whole.
        value: The value as written, as JSON; empty where there is none.
        reason: Why it cannot work.
        remedy: What to write instead.
    """

    file: str
    line: int | None
    key: str
    value: str
    reason: str
    remedy: str

    @property
    def what(self) -> str:
        """Place, key and value."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        said = f"{self.key} is {self.value}" if self.key and self.value else self.key
        return f"{place}: {said}" if said else place

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}. {self.remedy}."


class StackFileError(ConfigError):
    """One or more stack files hold something that cannot work.

    Attributes:
        problems: All of them, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            (only,) = self.problems
            super().__init__(only.what, why=only.reason, remedy=only.remedy)
        else:
            rows = "\n".join(f"  {problem}" for problem in self.problems)
            super().__init__(f"{len(self.problems)} problems in the configuration:\n{rows}")


@dataclass(frozen=True)
class Fault:
    """What a model finds wrong with its own fields.

    Attributes:
        key: Key path below that model, such as `primary.allocated_gib`.
        reason: Why it cannot work.
        remedy: What to write instead.
    """

    key: str
    reason: str
    remedy: str


class Strict(BaseModel):
    """Base of every model: immutable, no unknown keys, no conversion, and valid as a whole or not at all."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    def _faults(self) -> Iterator[Fault]:
        """What is wrong between fields; runs when each field is right by itself."""
        return iter(())

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if faults := tuple(self._faults()):
            listed = "; ".join(f"{fault.key}: {fault.reason}. {fault.remedy}" for fault in faults)
            raise PydanticCustomError(_FAULTS, "{listed}", {"listed": listed, _FAULTS: faults})
        return self


Model = TypeVar("Model", bound=Strict)


@dataclass(frozen=True)
class StackFile:
    """One stack file as written.

    Attributes:
        path: Where it is.
        data: The object under `docsearch:stack`.
        lines: Line, from 1, by key path; list items included.
        doubts: What is wrong with the text itself, such as a key given twice.
    """

    path: Path
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int]
    doubts: tuple[Problem, ...] = ()

    @classmethod
    def read(cls, path: Path, *, whole: bool = False) -> "StackFile":
        """Read a file without judging its values.

        Args:
            path: A `Pulumi.<stack>.yaml`, or another file of settings.
            whole: Whether the settings are the whole file, and not the object in a stack file.

        Raises:
            StackFileError: It is missing, not YAML, empty, or holds no `docsearch:stack` object.
        """
        reader = _Reader(path, whole=whole)
        data = reader.settings()
        if not reader.lines:
            raise StackFileError(reader.problems)
        return cls(path, MappingProxyType(data), MappingProxyType(reader.lines), tuple(reader.problems))

    def at(self, path: KeyPath) -> Any:
        """The value at a key path; `_MISSING` where the file has none."""
        value: Any = self.data
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return _MISSING
        return value

    def problem(self, path: KeyPath, reason: str, remedy: str) -> Problem:
        """A problem at a key path, or at the nearest parent that has a line."""
        value = self.at(path)
        near = next((self.lines[path[:n]] for n in range(len(path), -1, -1) if path[:n] in self.lines), None)
        shown = "" if value is _MISSING else json.dumps(value, ensure_ascii=False)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        return Problem(self.path.name, near, dotted(path), shown, reason, remedy)

    def validated(self, model: type[Model]) -> Model:
        """The data as a model.

        Raises:
            StackFileError: With every problem found. Checks between fields run once each field is right by itself.
        """
        found = list(self.doubts)
        try:
            valid = model.model_validate_json(json.dumps(dict(self.data)))
        except ValidationError as error:
            doubtful = {doubt.key for doubt in self.doubts}
            judged = (
                problem for detail in error.errors(include_url=False) for problem in self._problems(model, detail)
            )
            found += (problem for problem in judged if problem.key not in doubtful)
        if found:
            raise StackFileError(sorted(found, key=lambda problem: problem.line or 0))
        return valid

    def _problems(self, model: type[Strict], detail: ErrorDetails) -> Iterator[Problem]:
        path, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
        if kind == _FAULTS:
            for fault in context[_FAULTS]:
                yield self.problem((*path, *_split(fault.key)), fault.reason, fault.remedy)
        elif kind == "extra_forbidden":
            yield self.problem(path, "there is no such key", self._instead(model, path))
        elif kind == "missing":
            remedy = f"Add `{path[-1]}: ...`: {describe(field_at(model, path))}"
            yield self.problem(path, "is required and missing", remedy)
        else:
            yield self.problem(path, *_reason(detail, self.at(path), field_at(model, path)))

    def _instead(self, model: type[Strict], path: KeyPath) -> str:
        if path[-1] == "secure":
            return "Secrets never live in a stack file: they are generated, and kept in Secrets Manager"
        group = model_at(model, path[:-1])
        return suggest(str(path[-1]), group.model_fields if group else ())


class _Reader:
    """Composes YAML into plain data, remembering lines and whatever is doubtful."""

    def __init__(self, path: Path, *, whole: bool = False) -> None:
        self.path, self.whole = path, whole
        self.lines: dict[KeyPath, int] = {}
        self.problems: list[Problem] = []

    def settings(self) -> dict[str, Any]:
        """The object under `docsearch:stack`, or the whole file; what is wrong goes to `problems`."""
        try:
            root = self._root()
            if root is not None and root.tag != "tag:yaml.org,2002:null":
                return self._whole(root) if self.whole else self._stack(root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = " ".join(part for part in (error.context, error.problem) if part)
            return self._doubt(mark.line + 1 if mark else None, f"is not YAML: {said}", "Correct the syntax")
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            return self._doubt(None, f"is not YAML: {_first_line(error)}", "Write it as UTF-8 text in YAML")
        except OSError as error:
            like = "*.yaml" if self.whole else "Pulumi.*.yaml"
            others = sorted(found.name for found in self.path.parent.glob(like))
            return self._doubt(None, f"cannot be read: {error.strerror}", suggest(self.path.name, others))
        needs = "Write `key: value` lines" if self.whole else f"It needs `config:` with one object `{OBJECT}:`"
        return self._doubt(None, "is empty", needs)

    def _root(self) -> yaml.Node | None:
        self.loader = yaml.SafeLoader(self.path.read_text(encoding="utf-8"))
        return self.loader.get_single_node()

    def _whole(self, root: yaml.Node) -> dict[str, Any]:
        if not isinstance(root, yaml.MappingNode):
            return self._doubt(root.start_mark.line + 1, "is not a group of keys", "Write `key: value` lines")
        built: dict[str, Any] = self._value(root, (), ())
        return built

    def _stack(self, root: yaml.Node) -> dict[str, Any]:
        config = dict(self._entries(root, "the file")).get("config")
        if config is None:
            return self._doubt(None, "has no `config:`", f"It needs `config:` with one object `{OBJECT}:`")
        entries = dict(self._entries(config, "config"))
        for key, node in entries.items():
            if key.startswith("docsearch:") and key != OBJECT:
                remedy = f"Put it into `{OBJECT}`: everything of a stack is in that one object"
                self._doubt(node.start_mark.line + 1, "there is no such key", remedy, key)
        if OBJECT not in entries:
            return self._doubt(config.start_mark.line + 1, f"has no `{OBJECT}:`", "Put the stack's settings under it")
        if not isinstance(entries[OBJECT], yaml.MappingNode):
            return self._doubt(
                entries[OBJECT].start_mark.line + 1, "is not a group of keys", "Indent the settings below it", OBJECT
            )
        built: dict[str, Any] = self._value(entries[OBJECT], (), ())
        return built

    def _value(self, node: yaml.Node, path: KeyPath, parents: tuple[int, ...]) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in parents:
            return self._doubt(node.start_mark.line + 1, "contains itself", "Write the value out", dotted(path))
        above = (*parents, id(node))
        if isinstance(node, yaml.MappingNode):
            return {key: self._value(inner, (*path, key), above) for key, inner in self._entries(node, "", path)}
        if isinstance(node, yaml.SequenceNode):
            return [self._value(inner, (*path, index), above) for index, inner in enumerate(node.value)]
        return self._scalar(node, path)

    def _entries(self, node: yaml.Node, name: str, path: KeyPath = ()) -> Iterator[tuple[str, yaml.Node]]:
        if not isinstance(node, yaml.MappingNode):
            self._doubt(node.start_mark.line + 1, "is not a group of keys", "Write `key: value` lines", name)
            return
        first: dict[str, int] = {}
        for key_node, inner in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag != "tag:yaml.org,2002:str":
                reason, remedy = "is not a plain text key", "Write each key out as text; merge keys are not supported"
                self._doubt(line, reason, remedy, dotted((*path, _first_line(getattr(key_node, "value", "?")))))
                continue
            key = str(key_node.value)
            if key in first:
                reason = f"is already given in line {first[key]}, and YAML would silently keep only one of the two"
                self._doubt(line, reason, "Remove one", dotted((*path, key)))
                continue
            first[key] = line
            if not name:
                self.lines[(*path, key)] = line
            yield key, inner

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        line = node.start_mark.line + 1
        try:
            value = self.loader.construct_object(node, deep=True)
        # An explicit tag on text that does not fit it (`!!bool x`) makes PyYAML fail in these ways.
        except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
            return self._doubt(line, f"cannot be read: {_first_line(error)}", "Put it in quotes if text", dotted(path))
        if not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
            said = f"reads as a {type(value).__name__}, which no setting is"
            return self._doubt(line, said, "Put it in quotes if text is meant", dotted(path))
        return value

    def _doubt(self, line: int | None, reason: str, remedy: str, key: str = "") -> dict[str, Any]:
        self.problems.append(Problem(self.path.name, line, key, "", reason, remedy))
        return {}


def dotted(path: KeyPath) -> str:
    """`("network", "zones", 0)` as `network.zones[0]`."""
    joined = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return joined.removeprefix(".")


def _split(key: str) -> KeyPath:
    return tuple(int(part) if part.isdecimal() else part for part in key.split(".")) if key else ()


def suggest(word: str, known: Iterable[str]) -> str:
    """The remedy for a word that is not known: the nearest known one, else all of them if few.

    Returns:
        A sentence without its full stop.
    """
    words = sorted(known)
    if close := difflib.get_close_matches(word, words, n=1):
        return f"Perhaps `{close[0]}` is meant"
    if 0 < len(words) <= 20:
        return f"Known: {', '.join(words)}"
    return f"{len(words)} are known, none is close to it" if words else "Remove it"


def group_of(annotation: Any) -> type[Strict] | None:
    """The model that a field holds, looking through `| None` and into lists and maps; None for a plain value."""
    if get_origin(annotation) in (Union, UnionType, tuple, list, dict):
        return next((group for group in map(group_of, get_args(annotation)) if group), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Strict) else None


def model_at(model: type[Strict], path: KeyPath) -> type[Strict] | None:
    """The model at a key path below a model; None where the path leaves the models. A list's items share a model."""
    return group_of(_at(model, path)[0])


def field_at(model: type[Strict], path: KeyPath) -> FieldInfo | None:
    """The field at a key path below a model; an item answers for its list, and a value for its map."""
    return _at(model, path)[1]


def _at(model: type[Strict], path: KeyPath) -> tuple[Any, FieldInfo | None]:
    """The type at a key path, and the last field that the path names; nothing where it leaves the models."""
    current, field = cast(Any, model), None
    for part in path:
        kind, items = get_origin(current), get_args(current)
        if kind is dict:
            current = items[1]
        elif isinstance(part, int):
            current = items[0] if kind in (tuple, list) else current
        elif (group := group_of(current)) and part in group.model_fields:
            field = group.model_fields[part]
            current = field.annotation
        else:
            return None, None
    return current, field


def unit_of(field: FieldInfo | None) -> str:
    """The unit in a field's annotation; empty if it has none."""
    return next((found.name for found in field.metadata if isinstance(found, Unit)), "") if field else ""


def describe(field: FieldInfo | None) -> str:
    """What a field means, with its unit."""
    if field is None:
        return ""
    unit = unit_of(field)
    return f"{field.description} (in {unit})" if unit else str(field.description)


def _reason(detail: ErrorDetails, value: Any, field: FieldInfo | None) -> tuple[str, str]:
    kind, context, expected = detail["type"], detail.get("ctx", {}), f"Expected: {describe(field)}"
    said = detail["msg"][:1].lower() + detail["msg"][1:]
    if value is None:
        return "is empty", expected
    if kind in ("int_type", "bool_type") and isinstance(value, str):
        wanted, name = (int, "a number") if kind == "int_type" else (bool, "true or false")
        meant = type(_reread(value)) is wanted
        return f"is text, not {name}", f"Remove the quotes: {value}" if meant else expected
    if kind == "string_type" and isinstance(value, int | float):
        return (
            f"is {'true or false' if isinstance(value, bool) else 'a number'}, not text",
            f"Put it in quotes, as a number loses leading zeros. {expected}",
        )
    if kind in ("model_type", "model_attributes_type"):
        return "is not a group of keys", f"Indent its keys below it. {expected}"
    if kind == "string_pattern_mismatch":
        return "does not have the form that it needs", expected
    if kind == "literal_error":
        return f"must be {context['expected']}", expected
    if isinstance(value, str) and field is not None and field.annotation is IPv4Network:
        return "is not an IPv4 network", _network_remedy(value)
    said = said.replace("input should", "must").replace("string should", "must").replace("array", "list")
    return said, expected


def _reread(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _network_remedy(value: str) -> str:
    try:
        return f"Bits are set behind the prefix: write {IPv4Network(value, strict=False)}"
    except ValueError:
        return "Write it as 10.0.0.0/16"


def _first_line(error: object) -> str:
    return (str(error).splitlines() or [""])[0][:200]
