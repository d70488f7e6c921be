"""The resources of prod and dr as rules see them, from the real stack files."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from policies.catalogue import every_rule
from policies.rule import Finding, Resource, Stack
from tests.regions import STACKS, region

RULES = {rule.id: rule for rule in every_rule()}


@cache
def resources(stack: str) -> tuple[Resource, ...]:
    """Every resource that a stack's program registers, with the inputs it would be created with."""
    found = region(stack).resources
    providers = {one.urn: one.inputs for one in found if one.type.startswith("pulumi:providers:")}
    ambient = next(one.inputs for one in found if one.type == "pulumi:providers:aws" and one.name == "aws")
    return tuple(
        Resource(
            urn=one.urn,
            type=one.type,
            props=one.inputs,
            protect=one.protect,
            provider=providers.get(one.provider.rpartition("::")[0], ambient if one.type.startswith("aws:") else {}),
            links=one.links,
        )
        for one in found
    )


def of(stack: str, type_: str) -> list[Resource]:
    """The resources of a type."""
    return [one for one in resources(stack) if one.type == type_]


def judge(rule: str, subject: Resource | Stack | str, **limits: int) -> list[Finding]:
    """What a rule says of a resource, or of a whole stack (`prod`, `dr`, or a changed one)."""
    its = RULES[rule]
    if isinstance(subject, str):
        subject = Stack([one for one in resources(subject) if one.type in its.types])
    return its.judge(subject, limits)


def everything(rule: str) -> Iterator[tuple[str, Finding]]:
    """All that a rule says of both stacks as they are, with the URN or stack that it says it of."""
    for stack in STACKS:
        if RULES[rule].whole:
            yield from ((stack, finding) for finding in judge(rule, stack))
        else:
            for one in resources(stack):
                if one.type in RULES[rule].types:
                    yield from ((one.urn, finding) for finding in judge(rule, one))


def broken(resource: Resource, path: str, value: Any) -> Resource:
    """The same with another value at a path such as `vpcOptions.subnetIds[0]`; `...` takes the value away."""
    return replace(resource, props=_with(resource.props, path.replace("[", ".[").split("."), value))


def changed(stack: str, urn: str, change: Callable[[Resource], Resource | None]) -> Stack:
    """A stack in which one resource is another, or, with None, is gone."""
    found = (change(one) if one.urn == urn else one for one in resources(stack))
    return Stack([one for one in found if one is not None])


def _with(value: Any, path: list[str], new: Any) -> Any:
    step, *rest = path
    if step.startswith("["):
        index = int(step[1:-1])
        items = list(value)
        if new is ... and not rest:
            del items[index]
        else:
            items[index] = _with(items[index], rest, new) if rest else new
        return items
    inner: Mapping[str, Any] = value or {}
    if new is ... and not rest:
        return {key: its for key, its in inner.items() if key != step}
    return {**inner, step: _with(inner.get(step), rest, new) if rest else new}
