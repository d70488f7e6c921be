from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from components.errors import ConfigError
from stacks.config import StackConfig
from stacks.stack_file import Problem, StackFile, StackFileError, Strict

Write = Callable[..., Path]

HEAD = "config:\n  docsearch:stack:\n"


def problems(path: Path) -> list[Problem]:
    with pytest.raises(StackFileError) as caught:
        StackFile.read(path).validated(StackConfig)
    return list(caught.value.problems)


def only(path: Path, key: str) -> Problem:
    (found,) = [problem for problem in problems(path) if problem.key == key]
    return found


def test_a_missing_file_names_the_nearest_that_exists(write: Write, tmp_path: Path) -> None:
    write("prod")
    (found,) = problems(tmp_path / "Pulumi.prd.yaml")
    assert found.file == "Pulumi.prd.yaml"
    assert "cannot be read" in found.reason
    assert found.remedy == "Perhaps `Pulumi.prod.yaml` is meant"


@pytest.mark.parametrize("text", ["", "---\n", "# only a comment\n"])
def test_an_empty_file_says_what_it_needs(write: Write, text: str) -> None:
    (found,) = problems(write("prod", text=text))
    assert found.reason == "is empty"
    assert "docsearch:stack" in found.remedy


class Entry(Strict):
    share: float = Field(description="a part of the whole", le=1)


class Entries(Strict):
    entries: tuple[Entry, ...] = Field(description="some entries")


def whole_file(tmp_path: Path, text: str) -> Entries:
    path = tmp_path / "entries.yaml"
    path.write_text(text)
    return StackFile.read(path, whole=True).validated(Entries)


def test_a_file_that_is_all_settings_is_read_as_a_whole(tmp_path: Path) -> None:
    assert whole_file(tmp_path, "entries: [{share: 0.5}]\n") == Entries(entries=(Entry(share=0.5),))


def test_a_problem_in_a_list_names_the_entry_its_line_and_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(StackFileError) as caught:
        whole_file(tmp_path, "entries:\n- share: 2\n- shore: 1\n")
    found = {problem.key: problem for problem in caught.value.problems}
    assert found["entries[0].share"].line == 2
    assert found["entries[0].share"].remedy == "Expected: a part of the whole"
    assert found["entries[1].shore"].remedy == "Perhaps `share` is meant"
    assert found["entries[1].share"].reason == "is required and missing"


@pytest.mark.parametrize(
    ("text", "reason"), [("", "is empty"), ("- 1\n", "is not a group of keys"), ("a: [", "is not YAML")]
)
def test_a_file_that_is_all_settings_and_holds_none_says_so(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StackFileError, match=reason):
        whole_file(tmp_path, text)


def test_bad_syntax_names_the_line(write: Write) -> None:
    (found,) = problems(write("prod", text="config:\n  docsearch:stack:\n    zones: [a, b\n    role: primary\n"))
    assert found.line == 4
    assert found.reason.startswith("is not YAML: while parsing a flow sequence")


def test_text_that_is_not_utf8_is_a_problem_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_bytes(b"config: \xff\xfe")
    (found,) = problems(path)
    assert "is not YAML" in found.reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a\n", "is not a group of keys"),
        ("encryptionsalt: v1\n", "has no `config:`"),
        ("config: 3\n", "is not a group of keys"),
        ("config:\n  aws:region: us-east-1\n", "has no `docsearch:stack:`"),
        ("config:\n  docsearch:stack: 3\n", "is not a group of keys"),
    ],
)
def test_a_file_without_the_object_says_where_it_stops(write: Write, text: str, reason: str) -> None:
    assert reason in [problem.reason for problem in problems(write("prod", text=text))]


def test_a_misspelt_object_is_named(write: Write) -> None:
    found = problems(write("prod", text="config:\n  docsearch:stak: {}\n"))
    assert [(p.line, p.key) for p in found] == [(2, "docsearch:stak"), (2, "")]


def test_a_key_given_twice_is_named_with_both_lines(write: Write) -> None:
    found = only(write("prod", text=HEAD + "    role: primary\n    region: us-east-1\n    role: standby\n"), "role")
    assert found.line == 5
    assert "line 3" in found.reason


def test_a_nested_key_given_twice_has_its_path(write: Write) -> None:
    path = write("prod", text=HEAD + "    network: {cidr: 10.0.0.0/16,\n      cidr: 10.1.0.0/16}\n")
    assert only(path, "network.cidr").line == 4


def test_a_merge_key_is_refused_and_not_merged(write: Write) -> None:
    path = write("prod", text=HEAD + "    tags: &t {owner: a}\n    network:\n      <<: *t\n")
    assert "merge keys" in only(path, "network.<<").remedy


def test_an_alias_that_contains_itself_ends(write: Write) -> None:
    assert only(write("prod", text=HEAD + "    tags: &t\n      owner: *t\n"), "tags.owner").reason == "contains itself"


@pytest.mark.parametrize("value", ["2026-11-23", ".nan", ".inf", "!!bool x", "!!int ''", "!!binary YQ==", "!thing x"])
def test_a_value_that_no_setting_has_is_refused_once(write: Write, value: Any) -> None:
    assert only(write("prod", text=HEAD + f"    region: {value}\n"), "region").line == 3


def test_a_misspelt_key_suggests_the_nearest(write: Write) -> None:
    found = only(write("prod", {"database.primary.alocated_gib": 1024}), "database.primary.alocated_gib")
    assert found.reason == "there is no such key"
    assert found.remedy == "Perhaps `allocated_gib` is meant"


def test_a_key_like_no_other_lists_what_there_is(write: Write) -> None:
    assert only(write("prod", {"network.xyzzy": 1}), "network.xyzzy").remedy == "Known: cidr, zones"


def test_an_encrypted_value_is_told_that_secrets_live_elsewhere(write: Write) -> None:
    assert "Secrets Manager" in only(write("prod", {"tags.secure": "AAAB"}), "tags.secure").remedy


def test_a_number_in_quotes_says_so(write: Write) -> None:
    found = only(write("prod", {"database.replicas.count": "3"}), "database.replicas.count")
    assert (found.value, found.reason, found.remedy) == ('"3"', "is text, not a number", "Remove the quotes: 3")


def test_words_instead_of_a_number_tell_what_is_expected(write: Write) -> None:
    found = only(write("prod", {"database.primary.allocated_gib": "much"}), "database.primary.allocated_gib")
    assert found.reason == "is text, not a number"
    assert found.remedy.endswith("RDS never shrinks it (in GiB)")


def test_a_truth_value_in_quotes_says_so(write: Write) -> None:
    found = only(write("prod", {"locked": "false"}), "locked")
    assert (found.reason, found.remedy) == ("is text, not true or false", "Remove the quotes: false")


def test_an_account_without_quotes_is_told_to_have_them(write: Write) -> None:
    path = write("prod")
    text = path.read_text(encoding="utf-8").replace("'123456789012'", "123456789012")
    found = only(write("prod", text=text), "account_id")
    assert found.reason == "is a number, not text"
    assert found.remedy.startswith("Put it in quotes")


def test_a_fraction_is_not_a_whole_number(write: Write) -> None:
    assert only(write("prod", {"service.search.replicas.max": 50.5}), "service.search.replicas.max").value == "50.5"


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("network", 3, "is not a group of keys"),
        ("network.zones", "us-east-1a", "must be a valid list"),
        ("region", None, "is empty"),
        ("role", "secondary", "must be 'primary' or 'standby'"),
        ("network.cidr", "10.0.0.0/40", "is not an IPv4 network"),
        ("account_id", "12345", "does not have the form that it needs"),
    ],
)
def test_a_value_of_the_wrong_shape_says_what_it_is(write: Write, key: str, value: Any, reason: str) -> None:
    assert only(write("prod", {key: value}), key).reason == reason


def test_bits_behind_the_prefix_are_corrected(write: Write) -> None:
    assert only(write("prod", {"network.cidr": "10.0.3.0/16"}), "network.cidr").remedy.endswith("write 10.0.0.0/16")


def test_a_missing_key_says_what_it_would_mean_and_where_it_belongs(write: Write) -> None:
    found = only(write("prod", {"database.maintenance_window": ...}), "database.maintenance_window")
    assert found.reason == "is required and missing"
    assert "maintenance_window: ..." in found.remedy
    assert found.line is not None


def test_every_problem_is_told_at_once_in_the_order_of_the_file(write: Write) -> None:
    found = problems(
        write("prod", {"locked": "no", "network.cidr": "x", "region": ..., "service.colour": 1, "tags.owner": 3})
    )
    assert {problem.key for problem in found} == {"locked", "network.cidr", "region", "service.colour", "tags.owner"}
    assert [problem.line for problem in found] == sorted(problem.line or 0 for problem in found)


def test_doubts_about_the_text_do_not_hide_wrong_values(write: Write) -> None:
    path = write("prod")
    text = path.read_text(encoding="utf-8").replace(
        "role: primary", "role: primary\n    role: primary\n    lokced: true"
    )
    assert {p.key for p in problems(write("prod", text=text))} == {"role", "lokced"}


def test_one_problem_reads_as_one_sentence(write: Write) -> None:
    path = write("prod", {"database.primary.allocated_gib": 10})
    with pytest.raises(ConfigError) as caught:
        StackConfig.parse(path)
    line = 1 + path.read_text(encoding="utf-8").splitlines().index("        allocated_gib: 10")
    assert str(caught.value) == (
        f"Pulumi.prod.yaml:{line}: database.primary.allocated_gib is 10: must be greater than or equal to 20. "
        "Expected: gp3 storage to start with; RDS never shrinks it (in GiB)."
    )


def test_several_problems_stand_on_a_line_each(write: Write) -> None:
    with pytest.raises(ConfigError) as caught:
        StackConfig.parse(write("prod", {"locked": "false", "role": "first"}))
    title, *rows = str(caught.value).splitlines()
    assert title == "2 problems in the configuration:"
    assert [row.split(" is ")[0].split(": ")[1] for row in rows] == ["locked", "role"]


def test_a_long_value_is_shortened(write: Write) -> None:
    assert len(only(write("prod", {"domain": "x" * 500}), "domain").value) == 80


@given(st.text(max_size=200))
def test_whatever_the_file_holds_ends_in_a_config_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("any") / "Pulumi.prod.yaml"
    path.write_text(text, encoding="utf-8", errors="replace")
    assert problems(path)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.dates()
names = st.sampled_from(["role", "network", "cidr", "zones", "database", "primary", "tags"]) | st.text(max_size=5)
trees: st.SearchStrategy[object] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4)
)


@given(trees)
def test_whatever_the_object_holds_ends_in_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, tree: object
) -> None:
    path = tmp_path_factory.mktemp("any") / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"config": {"docsearch:stack": tree}}), encoding="utf-8")
    assert problems(path)


def test_nesting_without_end_ends_in_a_config_error(write: Write) -> None:
    (found,) = problems(write("prod", text=HEAD + "    tags: " + "[" * 1000))
    assert "is not YAML" in found.reason
