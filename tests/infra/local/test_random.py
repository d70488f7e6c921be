import base64
import string
from typing import Any

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.local.random import SPECIAL, RandomPackage, coverage
from infra.local.resource import UNKNOWN, Change, Diff, Failure, ProviderError, Ref, has_unknown

PASSWORD = "random:index/randomPassword:RandomPassword"
STRING = "random:index/randomString:RandomString"
ID = "random:index/randomId:RandomId"

session = RandomPackage().configure({})


def ref(type_: str) -> Ref:
    return Ref(f"urn:pulumi:prod::docsearch::{type_}::master", type_, "master", b"seed")


def create(type_: str, **inputs: Any) -> tuple[str, dict[str, Any]]:
    checked, failures = session.check(ref(type_), {}, inputs)
    assert not failures
    return session.create(ref(type_), checked, False)


def failures(type_: str, **inputs: Any) -> list[Failure]:
    return session.check(ref(type_), {}, inputs)[1]


def test_a_password_has_the_outputs_of_the_real_provider() -> None:
    id_, outputs = create(PASSWORD, length=24)
    assert id_ == "none"
    assert {key: value for key, value in outputs.items() if key not in {"result", "bcryptHash"}} == {
        "length": 24,
        "lower": True,
        "minLower": 0,
        "minNumeric": 0,
        "minSpecial": 0,
        "minUpper": 0,
        "number": True,
        "numeric": True,
        "special": True,
        "upper": True,
    }
    assert len(outputs["result"]) == 24


def test_the_hash_is_of_the_password_as_go_writes_it() -> None:
    _, outputs = create(PASSWORD, length=12)
    assert outputs["bcryptHash"].startswith("$2a$10$")
    assert bcrypt.checkpw(outputs["result"].encode(), outputs["bcryptHash"].encode())


def test_the_hash_of_a_long_password_is_of_its_first_72_bytes() -> None:
    _, outputs = create(PASSWORD, length=100)
    assert bcrypt.checkpw(outputs["result"].encode()[:72], outputs["bcryptHash"].encode())


def test_a_string_is_its_own_id() -> None:
    id_, outputs = create(STRING, length=8, special=False)
    assert id_ == outputs["result"]
    assert "bcryptHash" not in outputs
    assert outputs["special"] is False


CLASSES = {
    "minUpper": string.ascii_uppercase,
    "minLower": string.ascii_lowercase,
    "minNumeric": string.digits,
    "minSpecial": "~^",
}
minima = st.fixed_dictionaries({}, optional={name: st.integers(0, 6) for name in CLASSES})
flags = st.fixed_dictionaries({}, optional={name: st.booleans() for name in ("upper", "lower", "numeric", "special")})


@given(minima, flags, st.integers(0, 40))
def test_text_has_the_length_the_minima_and_no_other_characters(
    minima: dict[str, int], flags: dict[str, bool], spare: int
) -> None:
    length = max(1, sum(minima.values()) + spare)
    inputs = {"length": length, "overrideSpecial": "~^", **minima, **flags}
    if failed := failures(STRING, **inputs):
        assert not any(flags.get(name, True) for name in ("upper", "lower", "numeric", "special"))
        assert [failure.property for failure in failed] == ["special"]
        return
    _, outputs = create(STRING, **inputs)
    result = outputs["result"]
    assert len(result) == length
    allowed = ""
    for minimum, pool in CLASSES.items():
        flag = minimum.removeprefix("min").lower()
        assert sum(char in pool for char in result) >= minima.get(minimum, 0)
        if flags.get(flag, True) or minima.get(minimum):
            allowed += pool
    assert set(result) <= set(allowed)


def test_required_characters_are_not_all_in_front() -> None:
    results = [create(STRING, length=40, minSpecial=1, special=False)[1]["result"] for _ in range(60)]
    places = {next(place for place, char in enumerate(result) if char in SPECIAL) for result in results}
    assert len(places) > 5


def test_no_value_comes_twice() -> None:
    assert len({create(STRING, length=20)[1]["result"] for _ in range(50)}) == 50
    assert len({create(ID, byteLength=8)[0] for _ in range(50)}) == 50


@given(st.integers(1, 64), st.none() | st.text(max_size=5))
def test_an_id_is_spelled_in_four_ways(length: int, prefix: str | None) -> None:
    id_, outputs = create(ID, byteLength=length, prefix=prefix)
    data = base64.urlsafe_b64decode(id_ + "=" * (-len(id_) % 4))
    before = prefix or ""
    assert len(data) == length
    assert outputs["hex"] == before + data.hex()
    assert outputs["b64Std"] == before + base64.b64encode(data).decode()
    assert outputs["b64Url"] == before + id_
    assert outputs["dec"] == f"{before}{int.from_bytes(data)}"
    assert "=" not in id_


def test_check_leaves_defaults_out_of_the_inputs() -> None:
    assert session.check(ref(PASSWORD), {}, {"length": 16}) == ({"length": 16}, [])


@pytest.mark.parametrize(
    ("type_", "inputs", "property_", "reason"),
    [
        (PASSWORD, {}, "length", "is required"),
        (STRING, {"length": 0}, "length", "is 0, but has to be at least 1"),
        (ID, {"byteLength": 0}, "byteLength", "is 0, but has to be at least 1"),
        (
            PASSWORD,
            {"length": 7, "minUpper": 2, "minLower": 2, "minNumeric": 2, "minSpecial": 2},
            "length",
            "is 7, but minUpper, minLower, minNumeric and minSpecial need 8",
        ),
        (PASSWORD, {"length": 8, "minUpper": -1}, "minUpper", "is -1, but has to be at least 0"),
        (
            PASSWORD,
            {"length": 8, "special": False, "upper": False, "lower": False, "number": False},
            "special",
            "is false like upper, lower and numeric: at least one of them has to be true",
        ),
        (
            STRING,
            {"length": 8, "number": True, "numeric": False},
            "number",
            "differs from numeric, of which it is the old name; give numeric alone",
        ),
        (PASSWORD, {"length": "16"}, "length", "is '16', not of type integer"),
        (PASSWORD, {"length": True}, "length", "is True, not of type integer"),
        (ID, {"byteLength": 4, "keepers": "v1"}, "keepers", "is 'v1', not of type map of strings"),
        (ID, {"byteLength": 4, "length": 4}, "length", "is no input of this type; it has byteLength, keepers, prefix"),
    ],
)
def test_refuses_what_the_real_provider_refuses(
    type_: str, inputs: dict[str, Any], property_: str, reason: str
) -> None:
    assert failures(type_, **inputs) == [Failure(property_, reason)]


def test_unknown_inputs_pass_the_check() -> None:
    inputs = {"length": UNKNOWN, "minUpper": 4, "special": UNKNOWN, "upper": False, "lower": False, "numeric": False}
    assert session.check(ref(PASSWORD), {}, inputs) == (inputs, [])


def test_a_preview_knows_everything_but_the_value() -> None:
    id_, outputs = session.create(ref(PASSWORD), {"length": 16, "keepers": {"v": UNKNOWN}}, True)
    assert id_ == ""
    assert (outputs["result"], outputs["bcryptHash"]) == (UNKNOWN, UNKNOWN)
    assert outputs["length"] == 16
    assert outputs["upper"] is True
    assert not has_unknown(outputs["length"])


def diff(type_: str, old: dict[str, Any], new: dict[str, Any]) -> Diff:
    id_, outputs = create(type_, **old)
    return session.diff(ref(type_), id_, old, outputs, new)


@pytest.mark.parametrize("type_", [PASSWORD, STRING])
@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ({}, {"length": 17}, Change("length", "update", replaces=True)),
        ({}, {"special": False}, Change("special", "update", replaces=True)),
        ({}, {"minUpper": 1}, Change("minUpper", "update", replaces=True)),
        ({}, {"overrideSpecial": "_"}, Change("overrideSpecial", "add", replaces=True)),
        ({"overrideSpecial": "-"}, {"overrideSpecial": None}, Change("overrideSpecial", "delete", replaces=True)),
        ({"overrideSpecial": ""}, {"overrideSpecial": None}, Change("overrideSpecial", "delete", replaces=False)),
        ({}, {"keepers": {"v": "1"}}, Change("keepers", "add", replaces=True)),
        ({"keepers": {"v": "1"}}, {"keepers": {"v": "2"}}, Change("keepers.v", "update", replaces=True)),
        ({"keepers": {"v": "1"}}, {"keepers": {"v": UNKNOWN}}, Change("keepers.v", "update", replaces=True)),
    ],
)
def test_a_new_input_means_a_new_value(type_: str, old: dict[str, Any], new: dict[str, Any], change: Change) -> None:
    old = {"length": 16, **old}
    assert diff(type_, old, {**old, **new}).changes == (change,)


def test_spelling_out_a_default_changes_nothing() -> None:
    spelled = {"length": 16, "upper": True, "lower": True, "numeric": True, "number": True, "minUpper": 0}
    assert diff(PASSWORD, {"length": 16}, spelled).changes == ()
    assert diff(PASSWORD, {"length": 16, "number": False}, {"length": 16, "numeric": False}).changes == ()


def test_empty_keepers_and_null_keepers_are_none() -> None:
    assert diff(ID, {"byteLength": 4}, {"byteLength": 4, "keepers": {}}).changes == ()
    assert diff(ID, {"byteLength": 4}, {"byteLength": 4, "keepers": {"v": None}}).changes == ()


def test_an_id_is_replaced_for_its_prefix() -> None:
    (change,) = diff(ID, {"byteLength": 4}, {"byteLength": 4, "prefix": "a-"}).changes
    assert change == Change("prefix", "add", replaces=True)


def test_a_change_in_place_keeps_the_value() -> None:
    old = {"length": 16, "overrideSpecial": ""}
    id_, outputs = create(PASSWORD, **old)
    updated = session.update(ref(PASSWORD), id_, old, outputs, {"length": 16}, False)
    assert updated["result"] == outputs["result"]
    assert updated["bcryptHash"] == outputs["bcryptHash"]
    assert "overrideSpecial" not in updated


@pytest.mark.parametrize(
    ("type_", "inputs"), [(PASSWORD, {"length": 9}), (STRING, {"length": 9}), (ID, {"byteLength": 9})]
)
def test_read_gives_back_what_the_state_holds(type_: str, inputs: dict[str, Any]) -> None:
    id_, outputs = create(type_, **inputs)
    state = session.read(ref(type_), id_, inputs, outputs)
    assert state is not None
    assert (state.id, state.inputs, state.outputs) == (id_, inputs, outputs)


@pytest.mark.parametrize(
    ("type_", "given", "id_", "inputs"),
    [
        (PASSWORD, "hunter2hunter2", "none", {"length": 14}),
        (STRING, "abc", "abc", {"length": 3}),
        (ID, "gEtk2V_GVJQ", "gEtk2V_GVJQ", {"byteLength": 8}),
        (ID, "a,b-,gEtk2V_GVJQ", "gEtk2V_GVJQ", {"byteLength": 8, "prefix": "a,b-"}),
    ],
)
def test_an_imported_value_needs_no_change(type_: str, given: str, id_: str, inputs: dict[str, Any]) -> None:
    state = session.read(ref(type_), given, {}, {})
    assert state is not None
    assert (state.id, state.inputs) == (id_, inputs)
    assert session.diff(ref(type_), state.id, state.inputs, state.outputs, inputs).changes == ()


def test_an_imported_id_spells_out_as_the_real_provider_recorded_it() -> None:
    state = session.read(ref(ID), "gEtk2V_GVJQ", {}, {})
    assert state is not None
    assert state.outputs == {
        "byteLength": 8,
        "b64Std": "gEtk2V/GVJQ=",
        "b64Url": "gEtk2V_GVJQ",
        "dec": "9244593544885589140",
        "hex": "804b64d95fc65494",
    }


def test_importing_something_that_is_no_id_is_refused() -> None:
    with pytest.raises(ProviderError, match="is no id of a RandomId"):
        session.read(ref(ID), "not base64!", {}, {})


def test_delete_has_nothing_to_do() -> None:
    id_, outputs = create(ID, byteLength=4)
    session.delete(ref(ID), id_, {"byteLength": 4}, outputs)


def test_a_type_that_is_not_known_is_an_error_that_names_it() -> None:
    with pytest.raises(ProviderError, match=r"does not know the type random:index/randomPet:RandomPet.*RandomId"):
        session.check(ref("random:index/randomPet:RandomPet"), {}, {})


def test_coverage_lists_every_type_as_executed() -> None:
    assert {item.token for item in coverage()} == {PASSWORD, STRING, ID}
    assert {item.mode for item in coverage()} == {"executed"}


@settings(max_examples=5)  # a hash takes 50 ms
@given(st.integers(1, 90))
def test_a_password_survives_its_hash(length: int) -> None:
    _, outputs = create(PASSWORD, length=length, overrideSpecial="äß")
    assert bcrypt.checkpw(outputs["result"].encode()[:72], outputs["bcryptHash"].encode())
