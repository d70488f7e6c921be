"""Rules are total: whatever stands where they look, they find, doubt or pass, and never raise."""

import math
from collections.abc import Iterable
from typing import Any, Final

from hypothesis import strategies as st

from policies.rule import UNKNOWN, Resource, Stack
from tests.policies.good import PROTECT, Good
from tests.policies.plans import RULES, broken, resources
from tests.regions import STACKS

_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**1000), 2**1000)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from(["", "*", "{", "[]", '{"Statement": [1, null, {"Principal": {"AWS": [[]]}}]}', math.nan])
    | st.text(max_size=12)
    | st.just(UNKNOWN)
)

ANYTHING: Final[st.SearchStrategy[Any]] = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "value", "enabled", "AWS", "Statement", "region"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
"""What JSON can say and more: what is not known, NaN and the infinite."""


def places(good: Iterable[Good]) -> st.SearchStrategy[tuple[str, Resource, str]]:
    """Stack, resource and path of each setting of a table, and of each block around it."""
    found = []
    for stack in STACKS:
        for one in resources(stack):
            for its in good:
                if its.type == one.type and its.path not in ("", PROTECT):
                    path = its.path.replace("[*]", "[0]")
                    found += [(stack, one, path), (stack, one, path.partition(".")[0].partition("[")[0])]
    return st.sampled_from(found)


def judged(stack: str, resource: Resource, path: str, value: Any) -> list[str]:
    """What all rules that look at it say of a resource, alone and in its stack, with a value put at a path."""
    try:
        its = broken(resource, path, value)
    except (IndexError, KeyError, TypeError):
        # Not every resource of the type has the list.
        return []
    whole = [its if one.urn == its.urn else one for one in resources(stack)]
    found = []
    for rule in RULES.values():
        if its.type in rule.types:
            subject = Stack([one for one in whole if one.type in rule.types]) if rule.whole else its
            found += [str(finding) for finding in rule.judge(subject)]
    return found
