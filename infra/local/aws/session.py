"""One configured AWS provider: the life cycle of any described type."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from botocore.validate import ParamValidator

from infra.local.aws import facts, shapes
from infra.local.aws.cloud import AwsError, Region, context_of, render
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.aws.plan import ELSEWHERE, Plan, operation, search
from infra.local.resource import (
    UNKNOWN,
    Change,
    Diff,
    Failure,
    Props,
    ProviderError,
    Ref,
    State,
    Tree,
    has_unknown,
)
from infra.local.store import Store

AUTONAME_HEX = 7
"""Digits that pulumi-aws adds to a logical name (facts: README of provider facts, "Auto-naming")."""


_Source = tuple[Call, tuple[str, ...], tuple[str, ...], Any]
"""A call, the inputs that it takes, its switches, and the answer that shows them."""


class AwsSession:
    """Answers for the resources of one region.

    Args:
        region: Where the calls go.
        default_tags: Tags of the provider, put on everything that can be tagged.
        plans: Every type that the local cloud knows, by token.
        store: Where recorded types are kept.
    """

    def __init__(
        self, region: Region, default_tags: Mapping[str, str], plans: Mapping[str, Plan], store: Store
    ) -> None:
        self.region = region
        self._default_tags = dict(default_tags)
        self._plans = plans
        self._store = store

    def _plan(self, ref: Ref) -> Plan:
        plan = self._plans.get(ref.type)
        if plan is None:
            raise ProviderError(
                f"the local cloud does not know the type {ref.type}: describe it in infra/local/aws/ "
                "(CONTRIBUTING.md, 'A new AWS type'); `docsearch local coverage` lists what it knows"
            )
        return plan

    # check

    def check(self, ref: Ref, old: Props, new: Props) -> tuple[Props, list[Failure]]:
        plan = self._plan(ref)
        type_, about = plan.type, plan.facts
        inputs = {name: value for name, value in new.items() if value is not None}
        filled = []
        for name, value in about.defaults.items():
            if name in plan.schema and name not in inputs and not _conflicts(name, inputs, about):
                inputs[name] = value
                filled.append(name)
        name = type_.autoname
        if name and name not in inputs and f"{name}Prefix" not in inputs:
            inputs[name] = self._autoname(type_, ref, old)
            filled.append(name)
        failures = [
            Failure(name, f"unknown input {name!r} of {ref.type}") for name in inputs if not self._input(plan, name)
        ]
        inputs["__defaults"] = sorted(filled)
        if not failures:
            failures = [*self._refused(plan, inputs)]
        return inputs, failures

    def _input(self, plan: Plan, name: str) -> bool:
        return name in plan.schema or name.startswith("__")

    def _autoname(self, type_: Type, ref: Ref, old: Props) -> str:
        if type_.autoname in old.get("__defaults", ()) and old.get(type_.autoname):
            return str(old[type_.autoname])
        stem = ref.name[: type_.autoname_limit - AUTONAME_HEX - 1]
        name = f"{stem}-{(ref.seed or hashlib.sha256(ref.urn.encode()).digest()).hex()[:AUTONAME_HEX]}"
        return name.lower() if type_.autoname in ("bucket", "identifier") else name

    def _refused(self, plan: Plan, inputs: Props) -> Iterator[Failure]:
        about, type_ = plan.facts, plan.type
        for name in about.required:
            if name not in inputs:
                yield Failure(name, f"missing required argument {name!r}")
        for group in about.conflicts:
            given = [name for name in group if "." not in name and name in inputs]
            if len(given) > 1:
                yield Failure(given[0], f"conflicting arguments: only one of {', '.join(given)} may be given")
        for path, allowed in about.enums.items():
            for value in _at(inputs, path.split(".")):
                if value not in allowed and not has_unknown(value):
                    yield Failure(path, f"expected {path} to be one of {list(allowed)}, got {value!r}")
        for name in inputs:
            modelled = (
                name in plan.covered or name.startswith("__") or about.defaults.get(name, UNKNOWN) == inputs[name]
            )
            if not modelled and (type_.create or type_.checked):
                yield Failure(name, f"the local cloud does not model the input {name!r} of {type_.token}")
        if type_.validate is not None:
            yield from type_.validate(inputs)
        if type_.create or type_.checked:
            yield from self._unmappable(plan, inputs)

    def _unmappable(self, plan: Plan, inputs: Props) -> Iterator[Failure]:
        """What botocore's model of the operation refuses, known before any call is made."""
        create, create_fields = plan.creation(inputs)
        try:
            given = plan.type.prepare(self.region, dict(inputs)) if plan.type.prepare else inputs
            chosen = {name: given[name] for name in create_fields if name in given}
            params = plan.mapper(create).params(chosen)
            for setting in plan.type.settings:
                if setting.apply is not None:
                    continue
                fields = plan.fields(setting.set)
                plan.mapper(setting.set).params({name: given[name] for name in fields if name in given})
        except ProviderError as error:
            yield Failure("", str(error))
            return
        if has_unknown(inputs) or create.fixed or plan.type.prepare:
            return
        report = ParamValidator().validate(params, operation(create, plan.type).input_shape)
        if report.has_errors():
            yield Failure("", f"ParamValidation: {create.operation}: {report.generate_report()}")

    # diff

    def diff(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props) -> Diff:
        plan = self._plan(ref)
        old = {key: value for key, value in old_inputs.items() if key != "tagsAll"}
        forced = [*plan.type.replaces(old, new)] if plan.type.replaces is not None else []
        changes = [
            Change(path, kind, self._replaces(plan, path, kind, old, new) or _below(path, forced))
            for path, kind in Tree().changes(old, new)
            if path != "region"
            and (
                _below(path, forced)
                or not (self._filled_in(plan, path, kind, old_outputs, new) or self._means_the_same(old, new, path))
            )
        ]
        changes += [Change(name, "delete", replaces=True) for name in self._left_out(plan, old, old_outputs, new)]
        if "region" in plan.schema and self._moves(old, old_outputs, new):
            changes.append(Change("region", "update", replaces=True))
        if plan.type.tagging is not None or "tags" in plan.schema:
            tags = self._all_tags(new)
            if not has_unknown(tags) and tags != old_outputs.get("tagsAll", tags):
                changes.append(Change("tagsAll", "update"))
        named = plan.type.autoname and plan.type.autoname not in new.get("__defaults", ())
        return Diff(tuple(changes), delete_before_replace=bool(named) or plan.type.delete_first)

    def _left_out(self, plan: Plan, old: Props, old_outputs: Props, new: Props) -> Iterator[str]:
        """What AWS has, the program never said, and the provider takes for "no": it plans to replace the resource.

        So it does with a replica that took its source's encryption over (`storageEncrypted` is optional, not computed
        and forces a new resource).
        """
        for name in sorted(plan.facts.replaces.difference(plan.facts.computed, old, new)):
            if old_outputs.get(name):
                yield name

    def _moves(self, old: Props, old_outputs: Props, new: Props) -> bool:
        """Whether the resource would be in another region: one that is not given is the provider's."""
        before = old.get("region") or old_outputs.get("region") or self.region.name
        return bool(before != (new.get("region") or self.region.name))

    def _filled_in(self, plan: Plan, path: str, kind: str, old_outputs: Props, new: Props) -> bool:
        """Whether a program that says, or no longer says, what the provider had filled in leaves it as it is."""
        if path not in plan.facts.computed:
            return False
        return kind == "delete" or (kind == "add" and path in old_outputs and _equal(old_outputs[path], new[path]))

    def _means_the_same(self, old: Props, new: Props, path: str) -> bool:
        if "." in path or "[" in path or path not in old or path not in new:
            return False
        return isinstance(old[path], str) and isinstance(new[path], str) and shapes.same_text(old[path], new[path])

    def _replaces(self, plan: Plan, path: str, kind: str, old: Props, new: Props) -> bool:
        bare, rules = _bare(path), plan.facts.replaces
        if bare in rules:
            return True
        # A block that comes or goes replaces when something in it does.
        source, block = (old if kind == "delete" else new), f"{bare}."
        inside = (rule for rule in rules if rule.startswith(block))
        return kind != "update" and any(True for rule in inside for _ in _at(source, rule.split(".")))

    # create, update, delete

    def create(self, ref: Ref, inputs: Props, preview: bool) -> tuple[str, Props]:
        plan = self._plan(ref)
        type_ = plan.type
        if preview:
            return "", self._preview(plan, inputs)
        if type_.create is None:
            return self._record(plan, ref, inputs)
        given = type_.prepare(self.region, dict(inputs)) if type_.prepare else inputs
        context = context_of(self.region, "", given)
        create, fields = plan.creation(given)
        params = plan.params(create, fields, given, context)
        tags = self._all_tags(inputs)
        if type_.tagging is not None and type_.tagging.create and tags:
            params[type_.tagging.create] = _tag_params(type_.tagging, tags)
        answer = self._call(plan, create, params, context)
        id = _id(type_, context, answer)
        context = context_of(self.region, id, given)
        if type_.tagging is not None and not type_.tagging.create and tags:
            self._write_tags(plan, type_.tagging, {}, tags, self._known(plan, id, inputs, context))
        if create is not type_.create and type_.update is not None:
            rest = tuple(name for name in plan.update_fields if name in given and name not in fields)
            if rest:
                self._call(plan, type_.update, plan.params(type_.update, rest, given, context), context)
        for setting in type_.settings:
            if setting.at_create and _wanted(plan, setting, given):
                self._set(plan, setting, {}, given, context)
        if type_.after_create is not None:
            type_.after_create(self.region, context)
        description = search(create.at, answer) if create.at else self._describe(plan, context)
        return id, self._outputs(plan, id, inputs, description)

    def update(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props, preview: bool) -> Props:
        plan = self._plan(ref)
        type_ = plan.type
        if preview:
            return {**old_outputs, **self._shown(plan, new)}
        if type_.create is None:
            return self._record(plan, ref, new, id)[1]
        given = type_.prepare(self.region, dict(new)) if type_.prepare else new
        context = context_of(self.region, id, self._from_id(type_, id), old_outputs, given)
        differences = self.diff(ref, id, old_inputs, old_outputs, new).changes
        changed = {change.path.split(".")[0].split("[")[0] for change in differences} - ELSEWHERE
        self._change(plan, changed, old_inputs, given, context)
        if type_.tagging is not None:
            old_tags, tags = old_outputs.get("tagsAll") or {}, self._all_tags(new)
            if old_tags != tags:
                self._write_tags(plan, type_.tagging, old_tags, tags, context)
        return self._outputs(plan, id, new, self._describe(plan, context))

    def _change(self, plan: Plan, changed: set[str], old: Props, given: Props, context: Mapping[str, Any]) -> None:
        type_, left = plan.type, set(changed) - plan.type.recorded
        if type_.upsert and type_.create is not None and left & {*plan.create_fields}:
            self._call(plan, type_.create, plan.params(type_.create, plan.create_fields, given, context), context)
            left -= {*plan.create_fields}
        updated = left & {*plan.update_fields}
        for setting in type_.settings:
            triggers = {*plan.triggers(setting)}
            if left & triggers:
                self._set(plan, setting, old, given, context)
                left -= triggers
        if type_.update is not None and updated:
            fields = tuple(name for name in plan.update_fields if name in updated or type_.update.whole)
            self._call(plan, type_.update, plan.params(type_.update, fields, given, context), context)
        left -= updated
        if left:
            raise ProviderError(
                f"the local cloud cannot change {', '.join(sorted(left))} of {type_.token} in place: "
                "describe the operation in infra/local/aws/"
            )

    def _set(self, plan: Plan, setting: Setting, old: Props, given: Props, context: Mapping[str, Any]) -> None:
        if setting.apply is not None:
            setting.apply(self.region, dict(context), old, given)
        elif setting.unset is not None and not _wanted(plan, setting, given):
            self._call(plan, setting.unset, plan.params(setting.unset, (), given, context), context)
        else:
            params = plan.params(setting.set, plan.fields(setting.set), given, context)
            self._call(plan, setting.set, params, context)

    def delete(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> None:
        plan = self._plan(ref)
        type_ = plan.type
        if type_.create is None:
            self._store.delete(self.region.name, ref.type, id)
            return
        given = {**self._from_id(type_, id), **outputs, **inputs}
        try:
            given = type_.prepare(self.region, given) if type_.prepare else given
            context = context_of(self.region, id, given)
            if type_.before_delete is not None:
                type_.before_delete(self.region, context)
            for call in type_.delete:
                params = plan.params(call, plan.fields(call) if call.fields or call.spelled else (), given, context)
                self._call(plan, call, params, context)
        except AwsError as error:
            if error.code not in type_.missing:
                raise

    # read

    def read(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> State | None:
        plan = self._plan(ref)
        type_ = plan.type
        if type_.create is None:
            kept = self._store.get(self.region.name, ref.type, id)
            return None if kept is None else State(id, dict(kept["inputs"]), dict(kept["outputs"]))
        # A resource that was adopted after a killed run has inputs, and no outputs yet.
        told = self._from_id(type_, id)
        known = inputs or told
        try:
            given = type_.prepare(self.region, dict(known)) if type_.prepare and known else known
        except AwsError as error:
            if error.code not in type_.missing:
                raise
            return None
        context = context_of(self.region, id, told, outputs, given)
        description = self._describe(plan, context)
        if description is None:
            return None
        live = self._live(plan, inputs, given, description, context)
        if not inputs:
            unseen = {name: value for name, value in plan.facts.defaults.items() if name in plan.schema}
            live = {**unseen, **{name: value for name, value in known.items() if name in plan.schema}, **live}
        shown = self._outputs(plan, id, live, description)
        if type_.tagging is not None:
            tags = self._tags(plan, type_.tagging, description, {**context, **shown})
            if tags is not None:
                shown["tagsAll"] = tags
                own = {key: value for key, value in tags.items() if self._default_tags.get(key) != value}
                if own != (inputs.get("tags") or {}):
                    live["tags"] = shown["tags"] = own
        return State(id, live, shown)

    def _from_id(self, type_: Type, id: str) -> Props:
        """The inputs that an import id alone tells: a template such as `{role}:{name}`, read backwards."""
        template = type_.id if isinstance(type_.id, str) else ""
        pattern = type_.import_id or re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+?)", re.escape(template))
        match = re.fullmatch(pattern, id)
        return {name: value for name, value in match.groupdict().items() if value is not None} if match else {}

    def _describe(self, plan: Plan, context: Mapping[str, Any]) -> Any:
        call = plan.type.read
        if call is None:
            return {}
        try:
            return self._answer(plan, call, plan.params(call, call.fields or (), dict(context), context), context)
        except AwsError as error:
            if error.code in plan.type.missing:
                return None
            raise

    def _known(self, plan: Plan, id: str, inputs: Props, context: Mapping[str, Any]) -> dict[str, Any]:
        """The context with the outputs that only a description tells, such as the ARN that tags are written to."""
        return {**context, **self._outputs(plan, id, inputs, self._describe(plan, context))}

    def _live(self, plan: Plan, inputs: Props, given: Props, description: Any, context: Mapping[str, Any]) -> Props:
        """The inputs as the cloud has them now: what it answers differently from what was given replaces it."""
        type_ = plan.type
        live = dict(inputs)
        for call, fields, switches, answer in self._sources(plan, inputs, description, context):
            mapper = plan.mapper(call)
            for name in (*fields, *switches):
                # Not what the program leaves out, nor what does not apply to such a resource (`prepare` takes it away).
                if name not in plan.schema or (inputs and not (name in inputs and name in given)):
                    continue
                where = type_.shows.get(name)
                if callable(where):
                    value = where(answer) if answer is not None else None
                else:
                    value = search(where, answer) if where else _shown_at(answer, mapper.target(name) or name)
                if value is None or (not inputs and value in ([], {}, "")):
                    continue
                if callable(where):
                    if name not in given or not shapes.agrees(given[name], value):
                        live[name] = value
                    continue
                if name in switches:
                    if bool(inputs.get(name)) != bool(value):
                        live[name] = bool(value)
                    continue
                sent = mapper.value(name, given[name]) if name in given else None
                if sent is None or not shapes.agrees(sent, value):
                    found = self._property(plan, mapper, call, name, value)
                    if inputs or found not in ([], {}, [{}], None):
                        live[name] = found
        return live

    def _sources(self, plan: Plan, inputs: Props, description: Any, context: Mapping[str, Any]) -> Iterator[_Source]:
        """Where each input can be read: its call, the inputs, and the answer that shows them."""
        type_ = plan.type
        if type_.create is not None:
            kept = tuple(name for name in type_.recorded if name in type_.shows)
            yield type_.create, (*plan.create_fields, *kept), (), description
        if type_.update is not None:
            rest = tuple(name for name in plan.update_fields if name not in plan.create_fields)
            yield type_.update, rest, (), description
        for name, call in type_.instead.items():
            rest = tuple(field for field in plan.instead_fields[name] if field not in plan.create_fields)
            yield call, rest, (), description
        for setting in type_.settings:
            asked = not inputs or any(name in inputs for name in plan.triggers(setting))
            if not setting.at_create or not asked:
                continue
            answer = description
            if setting.get is not None:
                try:
                    answer = self._answer(plan, setting.get, render(setting.get.fixed, context), context)
                except AwsError as error:
                    if error.code not in type_.missing:
                        raise
                    answer = None
            yield setting.set, plan.fields(setting.set), setting.switches, answer

    def _property(self, plan: Plan, mapper: shapes.Mapper, call: Call, name: str, value: Any) -> Any:
        if isinstance(value, Mapping) and mapper.takes_text(name):
            return json.dumps(value, sort_keys=True)
        return shapes.property_from(value, plan.schema[name], call.spelled, name)

    def _outputs(self, plan: Plan, id: str, inputs: Props, description: Any) -> Props:
        type_ = plan.type
        shown = self._shown(plan, inputs)
        shown["id"] = id
        if "region" in plan.schema:
            shown.setdefault("region", self.region.name)
        for name in plan.facts.computed:
            if name not in type_.outputs and name not in shown:
                value = shapes.find(description, name)
                if value is not None:
                    about = plan.schema.get(name, facts.Property(list=isinstance(value, list), object=None))
                    shown[name] = shapes.property_from(value, about, {}, name)
        for name, where in type_.outputs.items():
            if callable(where):
                value = where(self.region, {**inputs, "id": id}, description)
            elif "{" in where and "[?" not in where:
                value = render(where, context_of(self.region, id, shown))
            else:
                value = search(where, description)
            if value is not None:
                shown[name] = shapes.jsonable(value)
        return shown

    def _shown(self, plan: Plan, inputs: Props) -> Props:
        shown = {name: value for name, value in inputs.items() if not name.startswith("__")}
        if plan.type.tagging is not None or "tags" in plan.schema:
            shown["tagsAll"] = self._all_tags(inputs)
        return shown

    def _preview(self, plan: Plan, inputs: Props) -> Props:
        shown = self._shown(plan, inputs)
        if "region" in plan.schema:
            shown.setdefault("region", self.region.name)
        for name in {*plan.facts.computed, *plan.type.outputs}:
            shown.setdefault(name, UNKNOWN)
        return shown

    # tags

    def _all_tags(self, inputs: Props) -> dict[str, Any]:
        tags = inputs.get("tags") or {}
        return {**self._default_tags, **tags} if isinstance(tags, Mapping) else dict(self._default_tags)

    def _tags(self, plan: Plan, tagging: Tagging, description: Any, context: Mapping[str, Any]) -> Any:
        if tagging.get is None:
            tags = description.get("Tags", []) if isinstance(description, Mapping) else []
        else:
            try:
                tags = self._answer(plan, tagging.get, render(tagging.get.fixed, context), context) or []
            except AwsError as error:
                if error.code == "NoSuchTagSet":
                    return {}
                raise
        if isinstance(tags, Mapping):
            return dict(tags)
        return {tag[tagging.key]: tag[tagging.value] for tag in tags if not tag[tagging.key].startswith("aws:")}

    def _write_tags(
        self, plan: Plan, tagging: Tagging, old: Mapping[str, str], new: Mapping[str, str], context: Mapping[str, Any]
    ) -> None:
        gone = {key: value for key, value in old.items() if key not in new}
        if gone and not (tagging.at_once and new):
            keys = [{tagging.key: key} for key in gone] if tagging.key_objects else [*gone]
            params = render(tagging.remove.fixed, context)
            if not tagging.at_once:
                shapes.put(params, None, tagging.remove_keys, keys)
            self._call(plan, tagging.remove, params)
        if new:
            params = render(tagging.add.fixed, context)
            shapes.put(params, None, tagging.add_tags, _tag_list(tagging, new))
            self._call(plan, tagging.add, params)

    # recorded types

    def _record(self, plan: Plan, ref: Ref, inputs: Props, id: str = "") -> tuple[str, Props]:
        digest = hashlib.sha256(f"{self.region.name}{ref.urn}".encode()).hexdigest()[:17]
        context = {**context_of(self.region, id, inputs), "hex": digest}
        id = id or _id(plan.type, context, {})
        outputs = self._shown(plan, inputs)
        outputs["id"] = id
        if "region" in plan.schema:
            outputs.setdefault("region", self.region.name)
        for name, where in plan.type.outputs.items():
            outputs[name] = (
                where(self.region, outputs, {}) if callable(where) else render(where, {**context, **outputs, "id": id})
            )
        self._store.put(self.region.name, ref.type, id, {"urn": ref.urn, "inputs": inputs, "outputs": outputs})
        return id, outputs

    def _call(
        self, plan: Plan, call: Call, params: Mapping[str, Any], context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        region = self.region.peer(render(call.region, context or {})) if call.region else self.region
        return region.call(call.service or plan.type.service, call.operation, **params)

    def _answer(self, plan: Plan, call: Call, params: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
        """The part of a call's answer that its `at` points to."""
        answer = self._call(plan, call, params, context)
        return search(render(call.at, context), answer)


def _id(type_: Type, context: Props, answer: Any) -> str:
    if callable(type_.id):
        return type_.id(context, answer)
    return str(render(type_.id, context) if "{" in type_.id else search(type_.id, answer))


def _equal(old: Any, new: Any) -> bool:
    return bool(old == new) or (not isinstance(old, dict | list) and shapes.same_text(old, new))


def _wanted(plan: Plan, setting: Setting, given: Props) -> bool:
    """Whether a setting is to be made, rather than left alone or taken back."""
    if setting.switches:
        return any(given.get(name) for name in setting.switches)
    values = [given.get(name) for name in plan.fields(setting.set)]
    return any(values) if setting.unset is not None else any(value is not None for value in values)


def _tag_list(tagging: Tagging, tags: Mapping[str, str]) -> Any:
    if not tagging.key:
        return dict(tags)
    return [{tagging.key: key, tagging.value: value} for key, value in tags.items()]


def _tag_params(tagging: Tagging, tags: Mapping[str, str]) -> Any:
    listed = _tag_list(tagging, tags)
    return [{"ResourceType": tagging.resource_type, "Tags": listed}] if tagging.resource_type else listed


def _shown_at(answer: Any, path: str) -> Any:
    """The value at a parameter path in an answer, which may lack the path's outer parts."""
    if "[" in path or path == ".":
        return shapes.get(answer, path)
    parts = path.split(".")
    for start in range(len(parts)):
        value = shapes.find(answer, ".".join(parts[start:]))
        if value is not None:
            return value
    return None


def _below(path: str, fields: Iterable[str]) -> bool:
    """Whether a property path, its list indexes aside, is one of these or inside one."""
    bare = _bare(path)
    return any(bare == field or bare.startswith(f"{field}.") for field in fields)


def _bare(path: str) -> str:
    return "".join(part.split("]")[-1] for part in path.split("["))


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    """Every value at a dotted path, through lists."""
    if isinstance(value, list):
        for item in value:
            yield from _at(item, path)
    elif not path:
        if value is not None:
            yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _at(value[path[0]], path[1:])


def _conflicts(name: str, inputs: Props, about: facts.Facts) -> bool:
    return any(name in group and any(other in inputs for other in group if other != name) for group in about.conflicts)
