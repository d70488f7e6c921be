"""What is derived from the description of a type: which property goes to which call."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import jmespath

from infra.local.aws import facts, shapes
from infra.local.aws.cloud import render
from infra.local.aws.model import Call, Setting, Type
from infra.local.resource import Props

ELSEWHERE = frozenset({"tags", "tagsAll", "region", "timeouts"})
"""Inputs that every type may have and no operation's mapping covers."""


class Plan:
    """What is derived once from a type's description: which property goes to which call."""

    def __init__(self, type_: Type) -> None:
        self.type = type_
        self.facts = facts.all_facts().get(type_.token, facts.Facts(source=""))
        self.schema = facts.inputs(type_.token)
        own = {name for setting in type_.settings for name in self.triggers(setting) if setting.at_create}
        settable = {name for setting in type_.settings for name in self.triggers(setting)}
        self.create_fields = self._own_fields(type_.create or type_.checked, own)
        self.update_fields = self._own_fields(type_.update, settable)
        self.instead_fields = {name: self._own_fields(call, own) for name, call in type_.instead.items()}
        self.covered = {*self.create_fields, *self.update_fields, *settable, *type_.recorded, *ELSEWHERE}
        self.covered.update(*self.instead_fields.values())

    def _own_fields(self, call: Call | None, elsewhere: set[str]) -> tuple[str, ...]:
        """What a call takes; where spelling alone decides, not what has an operation of its own."""
        if call is None:
            return ()
        named, other = {path.split(".")[0] for path in call.spelled}, {*elsewhere, *self.type.recorded}
        return tuple(
            name for name in self.fields(call) if call.fields is not None or name in named or name not in other
        )

    def creation(self, properties: Props) -> tuple[Call, tuple[str, ...]]:
        """The create operation for these inputs, and what it takes."""
        for name, call in self.type.instead.items():
            if properties.get(name) is not None:
                return call, self.instead_fields[name]
        create = self.type.create or self.type.checked
        if create is None:
            raise ValueError(f"{self.type.token} is only recorded")
        return create, self.create_fields

    def mapper(self, call: Call) -> shapes.Mapper:
        return shapes.Mapper(operation(call, self.type).input_shape, call.spelled)

    def fields(self, call: Call) -> tuple[str, ...]:
        """The top-level inputs that an operation takes."""
        spelled = {path.split(".")[0] for path in call.spelled}
        if call.fields is not None:
            return (*call.fields, *sorted(spelled - {*call.fields}))
        mapper = self.mapper(call)
        return tuple(name for name in self.schema if name in spelled or (name not in ELSEWHERE and mapper.target(name)))

    def triggers(self, setting: Setting) -> tuple[str, ...]:
        """The properties whose change calls for a setting."""
        return (*setting.switches, *self.fields(setting.set))

    def params(self, call: Call, fields: tuple[str, ...], properties: Props, context: Mapping[str, Any]) -> Props:
        chosen = {name: properties[name] for name in fields if name in properties}
        return shapes.merge(render(call.fixed, context), self.mapper(call).params(chosen))


def operation(call: Call, type_: Type) -> Any:
    """botocore's model of a call's operation."""
    return shapes.service_model(call.service or type_.service).operation_model(call.operation)


@cache
def _jmespath(expression: str) -> Any:
    return jmespath.compile(expression)


def search(expression: str, answer: Any) -> Any:
    """The part of an answer at a JMESPath."""
    return _jmespath(expression).search(answer) if expression else answer
