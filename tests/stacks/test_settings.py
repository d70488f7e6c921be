from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stacks.config import StackConfig
from stacks.settings import Setting, provenance, reference
from stacks.stack_file import StackFileError, Strict, group_of

Write = Callable[..., Path]

PROJECT = Path(__file__).resolve().parents[2]


def by_key(file: Path) -> dict[str, Setting]:
    return {setting.key: setting for setting in provenance(file)}


def line_of(file: Path, text: str) -> int:
    return 1 + next(n for n, line in enumerate(file.read_text(encoding="utf-8").splitlines()) if text in line)


def test_a_value_names_the_line_that_it_was_read_from() -> None:
    prod = PROJECT / "Pulumi.prod.yaml"
    found = by_key(prod)["database.primary.allocated_gib"]
    assert found.source == f"Pulumi.prod.yaml:{line_of(prod, 'allocated_gib: 1024')}"
    assert (found.value, found.unit) == (1024, "GiB")
    assert found.description


def test_a_value_that_is_not_in_the_file_is_a_default() -> None:
    found = by_key(PROJECT / "Pulumi.prod.yaml")["kubernetes.namespace"]
    assert (found.value, found.source) == ("docsearch", "default")


def test_a_list_is_one_value_at_the_line_of_its_key() -> None:
    dr = PROJECT / "Pulumi.dr.yaml"
    found = by_key(dr)["network.zones"]
    assert found.value == ["us-west-2a", "us-west-2b", "us-west-2c"]
    assert found.source == f"Pulumi.dr.yaml:{line_of(dr, 'zones:')}"


def test_equal_keys_of_different_groups_keep_their_own_lines() -> None:
    found = by_key(PROJECT / "Pulumi.prod.yaml")
    primary, replicas = found["database.primary.instance_class"], found["database.replicas.instance_class"]
    assert primary.source != replicas.source
    assert (primary.value, replicas.value) == ("db.m7g.4xlarge", "db.m7g.2xlarge")


def test_values_are_what_the_config_holds() -> None:
    file = PROJECT / "Pulumi.prod.yaml"
    config = StackConfig.parse(file)
    found = by_key(file)
    assert found["network.cidr"].value == str(config.network.cidr)
    assert found["service.search.replicas.min"].value == config.service.search.replicas.min
    assert found["peer"].value is None


def test_a_file_with_problems_has_no_settings(write: Write) -> None:
    with pytest.raises(StackFileError):
        provenance(write("prod", {"role": "x"}))


def test_the_reference_is_current() -> None:
    remedy = "run: python -c 'from stacks.settings import reference; print(reference(), end=\"\")' > docs/config.md"
    assert (PROJECT / "docs/config.md").read_text(encoding="utf-8") == reference(), remedy


def test_the_reference_has_each_key_once() -> None:
    keys = [setting.key for setting in provenance(PROJECT / "Pulumi.prod.yaml")]
    rows = [line.split("`")[1] for line in reference().splitlines() if line.startswith("| `")]
    assert rows == keys


def test_the_reference_tells_defaults_from_required_keys() -> None:
    rows = {line.split("`")[1]: line for line in reference().splitlines() if line.startswith("| `")}
    assert "| whole number 20 to 65536 GiB |  |" in rows["database.primary.allocated_gib"]
    assert "| true or false | true |" in rows["locked"]
    assert "| list of text | none |" in rows["alarms.page"]


def test_every_field_is_described() -> None:
    def undescribed(model: type[Strict], above: str = "") -> Iterator[str]:
        for name, field in model.model_fields.items():
            if not field.description:
                yield above + name
            if group := group_of(field.annotation):
                yield from undescribed(group, f"{above}{name}.")

    assert not list(undescribed(StackConfig))
