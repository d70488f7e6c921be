"""Objects against the OpenAPI schema of one Kubernetes version, as strictly as an API server with strict validation.

The schemas come with the `kubernetes-validate` library. It stops at the first error and knows no unknown values, so it
is its data that is used here, not its validator.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from typing import Any, cast

import jsonschema
from jsonschema.validators import extend
from kubernetes_validate.utils import all_versions  # type: ignore[import-untyped]
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from infra.errors import LocalCloudError
from infra.local.kubernetes_objects import Kind
from infra.local.kubernetes_rules import failures, quantity
from infra.local.resource import Failure, Props, Unknown

Schema = Mapping[str, Any]

_METADATA = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_ASKED = frozenset({"Binding", "ComponentStatus", "Eviction", "Scale", "TokenRequest"})
"""Kinds that a server answers and does not keep, beside all that end in `Review`."""


@dataclass(frozen=True)
class CustomKind:
    """A kind that a CustomResourceDefinition adds.

    Attributes:
        schema: `openAPIV3Schema` of its version.
        namespaced: Whether its scope is `Namespaced`.
    """

    schema: Schema
    namespaced: bool


class Schemas:
    """Every kind of one Kubernetes version.

    Args:
        version: For example `1.35`, `v1.35` or `1.35.4`.
        custom: Kinds beside the built-in ones.

    Raises:
        LocalCloudError: There are no schemas of that version.
    """

    def __init__(self, version: str, custom: Mapping[Kind, CustomKind] | None = None) -> None:
        known = {".".join(item.split(".")[:2]): item for item in all_versions()}
        self.version = ".".join(version.removeprefix("v").split(".")[:2])
        self.custom = dict(custom or {})
        if self.version not in known:
            raise LocalCloudError(
                f"there are no schemas of Kubernetes {version}",
                why=f"kubernetes-validate knows {', '.join(known)}",
                remedy="Choose one of these; or update kubernetes-validate",
            )
        folder = f"v{known[self.version]}-local-strict"
        self._folder = files("kubernetes_validate") / "kubernetes-json-schema" / folder
        self._validators: dict[Kind, jsonschema.protocols.Validator] = {}

    def __contains__(self, kind: Kind) -> bool:
        return kind in self.custom or kind in self._paths

    def kinds(self) -> list[Kind]:
        """All built-in kinds that can be created, sorted."""
        return sorted(self._paths)

    def namespaced(self, kind: Kind) -> bool:
        """Whether objects of a known kind live in a namespace."""
        return self.custom[kind].namespaced if kind in self.custom else not kind.cluster_scoped

    def failures(self, kind: Kind, object: Props) -> list[Failure]:
        """What a server of this version would refuse; nothing is said of values that are not known yet."""
        errors = (leaf for error in self._validator(kind).iter_errors(object) for leaf in _leaves(error))
        found = [failure for error in errors for failure in _failures(error)]
        # The rules count on an object of the right shape.
        return sorted(found or failures(kind, object), key=lambda item: item.property)

    @cached_property
    def _definitions(self) -> Schema:
        definitions: dict[str, Any] = json.loads((self._folder / "_definitions.json").read_text())
        definitions["$defs"][_QUANTITY] = {"type": ["string", "number"], "format": "quantity"}
        return definitions

    @cached_property
    def _registry(self) -> Any:
        return Registry().with_resource(self._definitions["$id"], DRAFT202012.create_resource(self._definitions))

    @cached_property
    def _paths(self) -> dict[Kind, str]:
        """Where in the definitions each kind is."""
        paths = {}
        for name, schema in self._definitions["$defs"].items():
            match schema.get("x-kubernetes-group-version-kind"):
                case [{"group": group, "version": version, "kind": kind}]:
                    if schema["properties"].get("metadata", {}).get("$ref", "").endswith(_METADATA) and not _asked(
                        kind
                    ):
                        paths[Kind(group, version, kind)] = name
        return paths

    def _validator(self, kind: Kind) -> jsonschema.protocols.Validator:
        if kind not in self._validators:
            root = self._definitions["$id"]
            if kind in self.custom:
                schema = _custom_schema(self.custom[kind].schema, f"{root}#/$defs/{_METADATA}")
            else:
                schema = {"$ref": f"{root}#/$defs/{self._paths[kind]}"}
            self._validators[kind] = _Validator(schema, registry=self._registry, format_checker=_formats)
        return self._validators[kind]


def _asked(kind: str) -> bool:
    return kind in _ASKED or kind.endswith("Review")


def _custom_schema(schema: Schema, metadata: str) -> Schema:
    """A CustomResourceDefinition's schema as strict as those of built-in kinds."""
    properties = {
        **schema.get("properties", {}),
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {},
    }
    strict: dict[str, Any] = _strict({**schema, "type": "object", "properties": properties})
    strict["properties"]["metadata"] = {"$ref": metadata}
    return strict


def _strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, Mapping):
        return schema
    strict = {
        key: {name: _strict(item) for name, item in value.items()} if key == "properties" else _strict(value)
        for key, value in schema.items()
        if key != "default"
    }
    if schema.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
    if isinstance(schema.get("properties"), Mapping) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict


# Validation that leaves out what is not known yet


def _type(validator: Any, types: Any, instance: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    if not isinstance(instance, Unknown):
        yield from jsonschema.Draft202012Validator.VALIDATORS["type"](validator, types, instance, schema)


_Validator: Any = extend(jsonschema.Draft202012Validator, {"type": _type})  # type: ignore[no-untyped-call]
_formats = jsonschema.FormatChecker(formats=())


@_formats.checks("date-time")
def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


@_formats.checks("byte")
def _is_base64(value: object) -> bool:
    if not isinstance(value, str):
        return True
    try:
        base64.b64decode("".join(value.split()), validate=True)
    except binascii.Error:
        return False
    return True


@_formats.checks("quantity")
def _is_quantity(value: object) -> bool:
    return isinstance(value, bool) or not isinstance(value, str | int | float) or quantity(value) is not None


@_formats.checks("int32")
def _is_int32(value: object) -> bool:
    return not isinstance(value, int) or -(2**31) <= value < 2**31


@_formats.checks("int64")
def _is_int64(value: object) -> bool:
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _leaves(error: jsonschema.ValidationError) -> Iterator[jsonschema.ValidationError]:
    """The error, or those inside it that say more; none where a value is not known."""
    if isinstance(error.instance, Unknown):
        return
    if error.context and error.validator in {"allOf", "anyOf"}:
        for inner in error.context:
            yield from _leaves(inner)
    else:
        yield error


def _failures(error: jsonschema.ValidationError) -> Iterator[Failure]:
    where = dotted(error.absolute_path)
    value, says, schema = cast("tuple[Any, Any, Any]", (error.instance, error.validator_value, error.schema))
    match error.validator:
        case "additionalProperties":
            known = schema.get("properties", {})
            for key in value:
                if key not in known:
                    close = difflib.get_close_matches(key, known, n=1)
                    hint = f"; did you mean {close[0]}?" if close else ""
                    yield Failure(dotted([*error.absolute_path, key]), f"unknown field{hint}")
        case "required":
            for key in says:
                if key not in value:
                    yield Failure(dotted([*error.absolute_path, key]), "required value is missing")
        case "type" | "oneOf":
            options = says if error.validator == "oneOf" else [schema]
            yield Failure(where, f"invalid type: {_kind_of(value)} {_shown(value)}, expected {_expected(options)}")
        case "enum":
            allowed = ", ".join(f'"{item}"' for item in says if item is not None)
            yield Failure(where, f"unsupported value {_shown(value)}, supported values: {allowed}")
        case "format":
            yield Failure(where, f"{_shown(value)} is no {_FORMATS.get(says, says)}")
        case _:
            yield Failure(where, error.message)


_FORMATS = {
    "byte": "base64",
    "date-time": "RFC 3339 time",
    "int32": "32-bit integer",
    "int64": "64-bit integer",
    "quantity": "quantity such as 500m, 2 or 4Gi",
}


def _expected(options: list[Any]) -> str:
    types = [kind for option in options for kind in _as_list(option.get("type")) if kind != "null"]
    return " or ".join(dict.fromkeys(types))


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _kind_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return names.get(type(value), "null")


def _shown(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, str | int | float | bool) else ""
    return text if len(text) <= 60 else f"{text[:57]}..."


def dotted(path: Any) -> str:
    """A path as the engine and API servers print it: `spec.containers[0].image`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif any(char in part for char in '."[]'):
            text += f'["{part}"]'
        else:
            text += f".{part}" if text else part
    return text
