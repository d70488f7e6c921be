"""Pulumi properties to AWS parameters and back, led by botocore's own model of each operation.

Spelling differs only in case and punctuation for most properties (`vpcId` is `VpcId`); the rest is given as a mapping
from property path to parameter path. A property that fits nowhere is an error, never left out in silence.

A parameter path is dotted. Through a list it means the only item (for a list of scalars: one item each); `[key]` is the
item of that key in a list of keys and values; `.` alone is the structure itself, into which an object's members go.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from infra.local.aws.facts import Property, Schema
from infra.local.resource import ProviderError, Unknown

_session = botocore.session.get_session()


@cache
def service_model(service: str) -> ServiceModel:
    """botocore's model of a service."""
    return _session.get_service_model(service)


def plain(name: str) -> str:
    """A name without what spelling adds: `DBSubnetGroupName` and `dbSubnetGroupName` are one."""
    return "".join(char for char in name if char.isalnum()).lower()


@cache
def _members(shape: StructureShape) -> Mapping[str, str]:
    return {plain(member): member for member in shape.members}


def member_of(shape: Shape, name: str) -> str | None:
    """The member of a structure that a property's spelling means, singular and plural alike."""
    if not isinstance(shape, StructureShape):
        return None
    members, key = _members(shape), plain(name)
    for spelling in (key, key.removesuffix("s"), f"{key}s"):
        if spelling in members:
            return members[spelling]
    return None


def split(path: str) -> list[str]:
    """The parts of a parameter path: none for `.`; a key keeps its brackets."""
    return re.findall(r"\[[^]]+\]|[^.\[\]]+", path)


def locate(shape: Shape, path: str) -> Shape | None:
    """The shape at a parameter path (through lists and into maps), or None."""
    for step in split(path):
        if step.startswith("[") and pair(shape) is None:
            return None
        part = "Value" if step.startswith("[") else step
        while isinstance(shape, ListShape):
            shape = shape.member
        if isinstance(shape, MapShape):
            shape = shape.value
        elif isinstance(shape, StructureShape) and part in shape.members:
            shape = shape.members[part]
        else:
            return None
    return shape


def pair(shape: Shape) -> tuple[str, str] | None:
    """The two members of a list of name and value, which Pulumi writes as a map."""
    if isinstance(shape, ListShape) and isinstance(shape.member, StructureShape):
        for name in ("Name", "Key"):
            if {*shape.member.members} == {name, "Value"}:
                return name, "Value"
    return None


class Mapper:
    """Maps the properties of one type onto the parameters of one operation.

    Args:
        shape: The operation's input shape.
        spelled: Property path (dotted, without list indexes) to parameter path, where spelling alone does not tell.
    """

    def __init__(self, shape: Shape, spelled: Mapping[str, str]) -> None:
        self._shape = shape
        self._spelled = spelled

    def target(self, name: str) -> str | None:
        """The parameter path of a top-level property."""
        return self._spelled.get(name) or member_of(self._shape, name)

    def takes_text(self, name: str) -> bool:
        """Whether a property is sent as text (a policy document, for example)."""
        target = self.target(name)
        shape = locate(self._shape, target) if target else None
        return shape is not None and shape.type_name == "string"

    def value(self, name: str, value: Any) -> Any:
        """A top-level property's value as it is sent; None for what is sent nowhere."""
        target = self.target(name)
        shape = locate(self._shape, target) if target else None
        return None if shape is None or value is None else self._value(value, shape, name)

    def params(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of an operation for these properties. Raises `ProviderError` naming what does not fit."""
        return self._structure(properties, self._shape, "")

    def _structure(self, properties: Mapping[str, Any], shape: Shape, path: str) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for name, value in properties.items():
            inner = f"{path}.{name}" if path else name
            if value is None or name.startswith("__") or isinstance(value, Unknown):
                continue
            target = self._spelled.get(inner) or member_of(shape, name)
            found = locate(shape, target) if target else None
            if target is None or found is None:
                raise ProviderError(f"{inner} has no place in {shape.name} of the AWS API")
            put(params, shape, target, self._value(value, found, inner))
        return params

    def _value(self, value: Any, shape: Shape, path: str) -> Any:
        if isinstance(shape, StructureShape):
            if isinstance(value, list):
                if len(value) > 1:
                    raise ProviderError(f"{path} has {len(value)} items, but AWS takes one ({shape.name})")
                value = value[0] if value else {}
            if not isinstance(value, Mapping):
                raise ProviderError(f"{path} is {value!r}, but AWS takes an object ({shape.name})")
            return self._structure(value, shape, path)
        if isinstance(shape, ListShape):
            names = pair(shape)
            if names and isinstance(value, Mapping) and {*names} != {*value}:
                return [{names[0]: str(key), names[1]: str(item)} for key, item in value.items()]
            items = value if isinstance(value, list) else [value]
            return [self._value(item, shape.member, path) for item in items if not isinstance(item, Unknown)]
        if isinstance(shape, MapShape):
            return {str(key): self._value(item, shape.value, path) for key, item in value.items()}
        if isinstance(value, list):
            return [scalar(item, shape, path) for item in value if not isinstance(item, Unknown)]
        return scalar(value, shape, path)


def scalar(value: Any, shape: Shape, path: str) -> Any:
    """A value as the type that AWS takes. Raises `ProviderError` in AWS's words where it is not of that type."""
    kind = shape.type_name
    if kind in ("integer", "long"):
        if isinstance(value, bool) or not str(value).lstrip("-").isdigit():
            raise ProviderError(f"ValidationException: {path} is {value!r}, but AWS takes an integer")
        return int(value)
    if kind in ("float", "double"):
        return float(value)
    if kind == "boolean":
        return value.lower() == "true" if isinstance(value, str) else bool(value)
    if kind == "blob":
        return value.encode() if isinstance(value, str) else value
    if kind == "string":
        text = str(value).lower() if isinstance(value, bool) else str(value)
        allowed = shape.metadata.get("enum")
        if allowed and text not in allowed:
            raise ProviderError(
                f"ValidationException: Value '{text}' at '{path}' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{', '.join(allowed)}]"
            )
        return text
    return value


def put(params: dict[str, Any], shape: Shape | None, path: str, value: Any) -> None:
    """Set the parameter at a path, making the structures and lists on the way that the shape has."""
    merge(params, _nested(shape, split(path), value))


def _nested(shape: Shape | None, parts: list[str], value: Any) -> Any:
    """The structure that holds a value at a path."""
    if not parts:
        return value
    part, *rest = parts
    inner = locate(shape, part) if shape else None
    if not rest or inner is None or not isinstance(inner, ListShape):
        return {part: _nested(inner, rest, value)}
    if names := pair(inner) if rest[0].startswith("[") else None:
        return {part: [{names[0]: rest[0][1:-1], names[1]: value}]}
    if isinstance(value, list) and len(rest) == 1 and not isinstance(locate(inner, rest[0]), ListShape):
        return {part: [{rest[0]: item} for item in value]}
    return {part: [_nested(inner, rest, value)]}


def merge(params: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Add parameters to those that are there: into structures and single items, and behind names with values."""
    for name, value in more.items():
        there = params.get(name)
        if isinstance(there, dict) and isinstance(value, Mapping):
            merge(there, value)
        elif isinstance(there, list) and isinstance(value, list):
            if len(there) == len(value) == 1 and isinstance(there[0], dict) and _pairs(value) is None:
                merge(there[0], value[0])
            else:
                there.extend(value)
        else:
            params[name] = value
    return params


def properties_from(answer: Any, schema: Schema, spelled: Mapping[str, str], path: str = "") -> Any:
    """An AWS answer as Pulumi properties: only the members that the schema (the SDK's inputs) has a property for."""
    found = {}
    for name, about in schema.items():
        inner = f"{path}.{name}" if path else name
        target = spelled.get(inner)
        value = get(answer, target) if target else _member(answer, name)
        if value is not None:
            found[name] = property_from(value, about, spelled, inner)
    return found


def property_from(value: Any, about: Property, spelled: Mapping[str, str], path: str) -> Any:
    """One value of an AWS answer as a property's value."""
    if isinstance(value, list):
        pairs = _pairs(value)
        if pairs is not None and not about.fields and not about.list:
            return pairs
        items = [_item_from(item, about, spelled, path) for item in value]
        return items if about.list else (items[0] if items else None)
    item = _item_from(value, about, spelled, path)
    return [item] if about.list and about.fields else item


def _item_from(value: Any, about: Property, spelled: Mapping[str, str], path: str) -> Any:
    if isinstance(value, Mapping) and about.fields:
        return properties_from(value, about.fields, spelled, path)
    value = jsonable(value)
    if about.scalar is None or isinstance(value, dict | list | about.scalar):
        return value
    if about.scalar is bool:
        return str(value).lower() == "true"
    try:
        return about.scalar(value)
    except ValueError:
        return value


def _pairs(items: list[Any]) -> dict[str, Any] | None:
    """A list of names (or keys) and values as a map; None when it is something else."""
    for name in ("Name", "Key"):
        if items and all(isinstance(item, Mapping) and {*item} == {name, "Value"} for item in items):
            return {item[name]: item["Value"] for item in items}
    return None


def _member(answer: Any, name: str) -> Any:
    if not isinstance(answer, Mapping):
        return None
    key = plain(name)
    members = {plain(member): member for member in answer}
    for spelling in (key, key.removesuffix("s"), f"{key}s"):
        if spelling in members:
            return answer[members[spelling]]
    return None


def get(answer: Any, path: str) -> Any:
    """The value at a parameter path of an answer (the first item of lists on the way), or None."""
    for step in split(path):
        part = step.strip("[]")
        if step.startswith("["):
            answer = _pairs(answer) if isinstance(answer, list) else None
        if isinstance(answer, list):
            answer = answer[0] if answer else None
        if not isinstance(answer, Mapping):
            return None
        answer = answer.get(part)
    return answer


def find(answer: Any, path: str) -> Any:
    """Like `get`, where the path's spelling may differ in case and number."""
    for part in path.split("."):
        if isinstance(answer, list):
            answer = answer[0] if answer else None
        answer = _member(answer, part)
    return answer


def jsonable(value: Any) -> Any:
    """An AWS value as JSON has it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [jsonable(item) for item in value]
    return value


def agrees(sent: Any, live: Any) -> bool:
    """Whether what AWS answers is what was sent, allowing for what AWS adds, orders and spells in its own way."""
    if isinstance(sent, Mapping):
        live = live[0] if isinstance(live, list) and len(live) == 1 else live
        return isinstance(live, Mapping) and all(key not in live or agrees(sent[key], live[key]) for key in sent)
    if isinstance(sent, list):
        pairs, others = _pairs(sent), _pairs(live) if isinstance(live, list) else None
        if pairs is not None and others is not None:
            return agrees(pairs, others)
        if not isinstance(live, list) or len(sent) != len(live):
            return False
        return all(any(agrees(item, other) for other in live) for item in sent)
    live = jsonable(live)
    return same_text(sent, json.dumps(live) if isinstance(live, Mapping | list) else live)


def same_text(one: Any, other: Any) -> bool:
    """Whether two scalars mean the same; JSON documents (policies) are compared as documents."""
    if one == other:
        return True
    left, right = _text(one), _text(other)
    if left == right:
        return True
    if left[:1] in "{[" and right[:1] in "{[" and left and right:
        try:
            return bool(json.loads(left) == json.loads(right))
        except ValueError:
            return False
    return False


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def blocks(properties: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of a list property, as far as they are known."""
    items = properties.get(name)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
