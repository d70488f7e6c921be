"""Every good setting of prod's and dr's plans is broken alone: exactly the rule that protects it must fire."""

import importlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from pulumi.runtime.proto import analyzer_pb2 as proto

from policies.rule import UNKNOWN, Resource, look
from policies.waivers import read_waivers
from tests.policies.good import GONE, PROTECT, Good
from tests.policies.packed import Pack, of_stack
from tests.policies.plans import RULES, broken, of, resources
from tests.regions import STACKS

TABLES = sorted(path.stem for path in Path(__file__).parent.glob("good_*.py"))
GOOD: list[Good] = [good for table in TABLES for good in importlib.import_module(f"tests.policies.{table}").GOOD]


@cache
def pack(stack: str) -> Pack:
    file = Path(__file__).resolve().parents[2] / "policies" / f"{stack}.json"
    limits = json.loads(file.read_text()) if file.exists() else {}
    # The recorded plans call their stack `test`.
    waivers = [
        waiver.model_copy(update={"urn": waiver.urn.replace(f"urn:pulumi:{stack}::", "urn:pulumi:test::")})
        for waiver in read_waivers(rules=list(RULES))
    ]
    return Pack(waivers, limits=limits)


@cache
def messages(stack: str) -> dict[str, proto.AnalyzerResource]:
    return {one.urn: of_stack(one) for one in resources(stack)}


def said(stack: str, urn: str, type_: str, mutant: Resource | None) -> list[tuple[str, str]]:
    """Rule and kind of all that the pack says of a stack in which one resource is another, or gone."""
    found = pack(stack).of(mutant) if mutant else []
    rest = {**messages(stack)}
    if mutant is None:
        del rest[urn]
    else:
        rest[urn] = of_stack(mutant)
    found += pack(stack).of_stack(rest.values(), type_=type_)
    return sorted({(one.rule, one.kind) for one in found if one.kind != "waived"})


def paths(resource: Resource, path: str, *, absent: bool = False) -> Iterator[str]:
    """The paths that a pattern stands for in a resource; none where it has no such value, but for the absent."""
    before, star, after = path.partition("[*]")
    if not star:
        if path in ("", PROTECT) or (look(resource.props, path) is None) == absent:
            yield path
        return
    for index in range(len(look(resource.props, before) or [])):
        yield from paths(resource, f"{before}[{index}]{after}", absent=absent)


def mutants(good: Good, resource: Resource, path: str) -> Iterator[tuple[str, Resource | None, str]]:
    """What a setting is broken to, the broken resource, and the kind of finding that must follow."""
    for value in good.to:
        if path == "":
            assert value is GONE, "a whole resource can only be taken away"
            yield "gone", None, "violation"
        elif path == PROTECT:
            yield "unprotected", replace(resource, protect=False), "violation"
        else:
            new = value(look(resource.props, path)) if callable(value) else value
            yield ("gone" if value is GONE else repr(new)[:60]), broken(resource, path, new), "violation"
    if good.unknown and path not in ("", PROTECT):
        yield "unknown", broken(resource, path, UNKNOWN), "unverified"


@pytest.mark.parametrize("stack", STACKS)
def test_the_plan_as_it_is_has_no_findings(stack: str) -> None:
    found = [one for resource in resources(stack) for one in pack(stack).of(resource)]
    found += pack(stack).of_stack(messages(stack).values())
    assert [(one.rule, one.kind, one.urn, one.text) for one in found if one.kind != "waived"] == []


@pytest.mark.parametrize("table", TABLES)
def test_every_broken_setting_is_found_by_its_rule_and_no_other(
    table: str, record_property: Callable[[str, object], None]
) -> None:
    counted: Counter[str] = Counter()
    survivors = []
    unused = []
    for good in importlib.import_module(f"tests.policies.{table}").GOOD:
        settings = 0
        for stack in STACKS:
            for resource in resources(stack):
                if resource.type != good.type or not good.where(resource):
                    continue
                for path in paths(resource, good.path, absent=good.absent):
                    settings += 1
                    for what, mutant, kind in mutants(good, resource, path):
                        counted["mutants"] += 1
                        found = said(stack, resource.urn, resource.type, mutant)
                        if found == [(good.rule, kind)]:
                            counted["killed"] += 1
                        else:
                            survivors.append((stack, resource.name, path, what, good.rule, found))
        if not settings:
            unused.append(good)
    # The run's summary adds them up: tests/conftest.py.
    record_property("mutants", counted["mutants"])
    record_property("killed", counted["killed"])
    assert not survivors[:20]
    assert not unused


MOVED = {"lb-rule-tls", "nodes-private"}
"""Rules of how resources hang together, which no single value breaks; their own tests move a link."""


def test_every_rule_that_looks_at_something_of_ours_is_in_the_table() -> None:
    planned = {id_ for id_, rule in RULES.items() if any(of(stack, type_) for stack in STACKS for type_ in rule.types)}
    assert {good.rule for good in GOOD} == planned - MOVED
