from hypothesis import given
from hypothesis import strategies as st

from policies.rule import UNKNOWN
from policies.selection import carries, selects

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))


@given(LABELS)
def test_an_empty_selector_selects_all_and_an_absent_one_none(labels: dict[str, str]) -> None:
    assert selects({}, labels) is True
    assert selects(None, labels) is False


@given(LABELS, LABELS)
def test_labels_are_selected_when_they_are_all_there(wanted: dict[str, str], labels: dict[str, str]) -> None:
    assert carries(wanted, labels) is (wanted.items() <= labels.items())
    assert selects({"matchLabels": wanted}, labels) is (wanted.items() <= labels.items())


def test_expressions_mean_what_the_api_says() -> None:
    def chosen(operator: str, *values: str) -> bool | None:
        return selects({"matchExpressions": [{"key": "a", "operator": operator, "values": list(values)}]}, {"a": "x"})

    assert [chosen("In", "x"), chosen("NotIn", "x"), chosen("Exists"), chosen("DoesNotExist")] == [
        True,
        False,
        True,
        False,
    ]
    assert chosen("Like", "x") is False


def test_what_differs_already_is_not_selected_whatever_else_comes() -> None:
    assert selects({"matchLabels": {"a": "x", "b": "y"}}, {"a": "x", "b": UNKNOWN}) is None
    assert selects({"matchLabels": {"a": "x", "b": "y"}}, {"a": "z", "b": UNKNOWN}) is False
    assert selects(UNKNOWN, {}) is None
