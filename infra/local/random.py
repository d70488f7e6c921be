"""The `random` package of the local cloud: real randomness, by the rules of the real provider.

As there, the state of the stack is the only place that a value is kept in: `read` gives back what it is given, and a
lost state is a lost value. Rules and defaults are those of terraform-provider-random, which pulumi-random 4.21 is
bridged from.
"""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import bcrypt

from infra.local.resource import (
    UNKNOWN,
    Change,
    Coverage,
    Diff,
    Failure,
    Props,
    ProviderError,
    Ref,
    State,
    Tree,
    Unknown,
    has_unknown,
)

SPECIAL = "!@#$%&*()-_=+[]{}<>:?"
"""The special characters unless `overrideSpecial` names others."""

_BCRYPT_BYTES = 72
"""bcrypt reads no further; the real provider cuts there."""

_BCRYPT_COST = 10
"""Go's `bcrypt.DefaultCost`."""

_MINIMA = {"minUpper": "upper", "minLower": "lower", "minNumeric": "numeric", "minSpecial": "special"}
_TEXT_TYPES: Mapping[str, type] = {
    "keepers": dict,
    "length": int,
    "lower": bool,
    "number": bool,
    "numeric": bool,
    "special": bool,
    "upper": bool,
    "overrideSpecial": str,
    **dict.fromkeys(_MINIMA, int),
}


@dataclass(frozen=True)
class _Kind:
    """One resource type.

    Attributes:
        types: Its inputs and what each has to be.
        size: The input that is required and at least 1.
        computed: The outputs that the provider makes up.
        complete: Inputs with their defaults filled in.
        refuse: What is wrong with inputs that are all known.
        make: Makes the value: complete inputs to (id, computed outputs).
        adopt: For an import: id to (id, inputs, computed outputs).
    """

    types: Mapping[str, type]
    size: str
    computed: tuple[str, ...]
    complete: Callable[[Props], Props]
    refuse: Callable[[Props], Iterator[Failure]]
    make: Callable[[Props], tuple[str, Props]]
    adopt: Callable[[str], tuple[str, Props, Props]]


class RandomSession:
    """Answers for every random resource; there is nothing to configure."""

    def check(self, ref: Ref, old: Props, new: Props) -> tuple[Props, list[Failure]]:
        """Refuse what cannot work. Like the real provider, leave defaults out of the inputs."""
        kind = _kind(ref)
        given = _given(new)
        failures = [*_mistyped(kind, given)]
        if not failures:
            failures = [*_too_small(kind, given), *kind.refuse(kind.complete(given))]
        return new, failures

    def diff(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props) -> Diff:
        """Compare with what is kept. Nearly every change makes a new value, so replaces."""
        kind = _kind(ref)
        kept = {**kind.complete(_given(old_inputs)), **_given({name: old_outputs.get(name) for name in kind.types})}
        changes = Tree().changes(kept, kind.complete(_given(new)))
        # An empty text for no text at all is the one change that the real provider makes in place.
        in_place = ("overrideSpecial", "delete") if kept.get("overrideSpecial") == "" else None
        return Diff(tuple(Change(path, how, replaces=(path, how) != in_place) for path, how in changes))

    def create(self, ref: Ref, inputs: Props, preview: bool) -> tuple[str, Props]:
        """Make the value."""
        kind = _kind(ref)
        complete = kind.complete(_given(inputs))
        if preview:
            return "", {**complete, **dict.fromkeys(kind.computed, UNKNOWN)}
        id, computed = kind.make(complete)
        return id, {**complete, **computed}

    def read(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> State | None:
        """What the state holds; for an import, what the id tells."""
        kind = _kind(ref)
        if outputs:
            return State(id, inputs, outputs)
        id, adopted, computed = kind.adopt(id)
        return State(id, adopted, {**kind.complete(adopted), **computed})

    def update(
        self,
        ref: Ref,
        id: str,
        old_inputs: Props,
        old_outputs: Props,
        new: Props,
        preview: bool,
    ) -> Props:
        """Keep the value under the new inputs."""
        kind = _kind(ref)
        return {**kind.complete(_given(new)), **{name: old_outputs.get(name) for name in kind.computed}}

    def delete(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> None:
        """Nothing to do: only the state held the value."""


class RandomPackage:
    """The `random` provider."""

    name = "random"
    version = version("pulumi-random")

    def configure(self, config: Props) -> RandomSession:
        """Open a session."""
        return RandomSession()


def coverage() -> list[Coverage]:
    """Which types there are; all of them are really random."""
    return [
        Coverage(token, "executed", "from the operating system's source of randomness; kept in the state only")
        for token in sorted(_KINDS)
    ]


def _kind(ref: Ref) -> _Kind:
    if (kind := _KINDS.get(ref.type)) is None:
        raise ProviderError(
            f"the local cloud does not know the type {ref.type}: describe it in infra/local/random.py, or use one of "
            + ", ".join(sorted(_KINDS))
        )
    return kind


def _given(inputs: Mapping[str, Any]) -> Props:
    """The inputs that are there: neither null nor, for keepers, an empty map or a null in the map."""
    given = {name: value for name, value in inputs.items() if value is not None and not name.startswith("__")}
    if isinstance(keepers := given.pop("keepers", None), Mapping):
        keepers = {name: value for name, value in keepers.items() if value is not None}
    return {**given, "keepers": keepers} if keepers else given


def _mistyped(kind: _Kind, given: Props) -> Iterator[Failure]:
    if kind.size not in given:
        yield Failure(kind.size, "is required")
    for name, value in given.items():
        wanted = kind.types.get(name)
        if wanted is None:
            yield Failure(name, f"is no input of this type; it has {', '.join(sorted(kind.types))}")
        elif not isinstance(value, Unknown) and type(value) is not wanted:
            yield Failure(name, f"is {value!r}, not of type {_NAMES[wanted]}")


_NAMES = {int: "integer", bool: "boolean", str: "string", dict: "map of strings"}


def _too_small(kind: _Kind, given: Props) -> Iterator[Failure]:
    value = given[kind.size]
    if not isinstance(value, Unknown) and value < 1:
        yield Failure(kind.size, f"is {value}, but has to be at least 1")


# RandomPassword and RandomString


def _complete_text(given: Props) -> Props:
    numeric = given.get("numeric", given.get("number", True))
    return {
        "lower": True,
        "special": True,
        "upper": True,
        **dict.fromkeys(_MINIMA, 0),
        **given,
        "number": given.get("number", numeric),
        "numeric": numeric,
    }


def _refuse_text(complete: Props) -> Iterator[Failure]:
    known = {name: value for name, value in complete.items() if not has_unknown(value)}
    if "number" in known and "numeric" in known and known["number"] is not known["numeric"]:
        yield Failure("number", "differs from numeric, of which it is the old name; give numeric alone")
    for name in _MINIMA:
        if known.get(name, 0) < 0:
            yield Failure(name, f"is {known[name]}, but has to be at least 0")
    needed = sum(known.get(name, 0) for name in _MINIMA)
    if known.get("length", needed) < needed:
        yield Failure(
            "length", f"is {known['length']}, but minUpper, minLower, minNumeric and minSpecial need {needed}"
        )
    if not any(complete[name] for name in _MINIMA.values()):
        yield Failure("special", "is false like upper, lower and numeric: at least one of them has to be true")


def _text(complete: Props) -> str:
    pools = {
        "upper": string.ascii_uppercase,
        "lower": string.ascii_lowercase,
        "numeric": string.digits,
        "special": complete.get("overrideSpecial") or SPECIAL,
    }
    allowed = "".join(pool for name, pool in pools.items() if complete[name])
    chosen = [secrets.choice(pools[name]) for minimum, name in _MINIMA.items() for _ in range(complete[minimum])]
    chosen += [secrets.choice(allowed) for _ in range(complete["length"] - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


def _password(complete: Props) -> tuple[str, Props]:
    result = _text(complete)
    return "none", {"result": result, "bcryptHash": _bcrypt(result)}


def _bcrypt(text: str) -> str:
    salt = bcrypt.gensalt(_BCRYPT_COST, prefix=b"2a")
    return bcrypt.hashpw(text.encode()[:_BCRYPT_BYTES], salt).decode()


def _adopt_password(id: str) -> tuple[str, Props, Props]:
    return "none", {"length": len(id)}, {"result": id, "bcryptHash": _bcrypt(id)}


def _string(complete: Props) -> tuple[str, Props]:
    result = _text(complete)
    return result, {"result": result}


def _adopt_string(id: str) -> tuple[str, Props, Props]:
    return id, {"length": len(id)}, {"result": id}


# RandomId


def _spelled(data: bytes, prefix: str) -> tuple[str, Props]:
    id = base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    return id, {
        "b64Url": prefix + id,
        "b64Std": prefix + base64.b64encode(data).decode(),
        "hex": prefix + data.hex(),
        "dec": f"{prefix}{int.from_bytes(data)}",
    }


def _id(complete: Props) -> tuple[str, Props]:
    return _spelled(secrets.token_bytes(complete["byteLength"]), complete.get("prefix", ""))


def _adopt_id(given: str) -> tuple[str, Props, Props]:
    prefix, _, id = given.rpartition(",")
    try:
        data = base64.b64decode(id + "=" * (-len(id) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise ProviderError(f"{given} is no id of a RandomId ({error}): give [prefix,]b64Url") from error
    id, computed = _spelled(data, prefix)
    return id, {"byteLength": len(data), **({"prefix": prefix} if prefix else {})}, computed


_KINDS = {
    "random:index/randomPassword:RandomPassword": _Kind(
        _TEXT_TYPES, "length", ("result", "bcryptHash"), _complete_text, _refuse_text, _password, _adopt_password
    ),
    "random:index/randomString:RandomString": _Kind(
        _TEXT_TYPES, "length", ("result",), _complete_text, _refuse_text, _string, _adopt_string
    ),
    "random:index/randomId:RandomId": _Kind(
        {"byteLength": int, "keepers": dict, "prefix": str},
        "byteLength",
        ("b64Url", "b64Std", "hex", "dec"),
        dict,
        lambda _: iter(()),
        _id,
        _adopt_id,
    ),
}
