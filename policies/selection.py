"""Label selectors, and who is in whose namespace: what an object of the cluster means by "these pods".

Answers have three values: None where a label, a selector or a namespace is not known before the update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.rule import UNKNOWN, Resource


def selects(selector: Any, labels: Any) -> bool | None:
    """Whether a LabelSelector selects an object with these labels; an empty one selects all, an absent one none."""
    if selector is UNKNOWN or labels is UNKNOWN:
        return None
    if not isinstance(selector, Mapping):
        return False
    answers = [carries(selector.get("matchLabels") or {}, labels)]
    expressions = selector.get("matchExpressions")
    if expressions is UNKNOWN:
        answers.append(None)
    else:
        answers += [_meets(one, labels) for one in expressions or () if isinstance(expressions, list)]
    return _all(answers)


def carries(wanted: Any, labels: Any) -> bool | None:
    """Whether an object has all of these labels."""
    if wanted is UNKNOWN or labels is UNKNOWN:
        return None
    if not isinstance(wanted, Mapping):
        return False
    has: Mapping[str, Any] = labels if isinstance(labels, Mapping) else {}
    return _all([_same(value, has.get(key)) for key, value in wanted.items()])


def namespace(resource: Resource) -> Any:
    """The namespace of an object, or `UNKNOWN`."""
    found = resource.get("metadata.namespace")
    return "default" if found in (None, "") else found


def together(one: Resource, other: Resource) -> bool | None:
    """Whether two objects are in the same namespace."""
    return _same(namespace(one), namespace(other))


def both(*answers: bool | None) -> bool | None:
    """Whether all hold."""
    return _all(list(answers))


def _meets(expression: Any, labels: Any) -> bool | None:
    if expression is UNKNOWN:
        return None
    if not isinstance(expression, Mapping):
        return False
    key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values")
    has = labels.get(key) if isinstance(labels, Mapping) and isinstance(key, str) else None
    if UNKNOWN in (key, operator, has) or values is UNKNOWN:
        return None
    among = isinstance(values, list) and has in values
    answers = {"In": among, "NotIn": not among, "Exists": has is not None, "DoesNotExist": has is None}
    return answers.get(operator, False) if isinstance(operator, str) else False


def _same(one: Any, other: Any) -> bool | None:
    if one is UNKNOWN or other is UNKNOWN:
        return None
    return bool(one is not None and one == other)


def _all(answers: list[bool | None]) -> bool | None:
    if any(answer is False for answer in answers):
        return False
    return None if any(answer is None for answer in answers) else True
