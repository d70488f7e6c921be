import pytest

from policies.actions import matching
from policies.escalation import NAMED, WAYS, Grant, Way, open_ways


def test_every_action_of_the_table_exists() -> None:
    assert [action for action in NAMED if not matching(action)] == []


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "+".join(way.actions))
def test_a_way_is_open_to_who_has_all_its_actions(way: Way) -> None:
    grants = [Grant((action.lower(),), inverted=False, wide=True) for action in way.actions]
    assert way in open_ways(grants)
    assert way not in open_ways(grants[1:])


@pytest.mark.parametrize("way", [way for way in WAYS if way.pivot], ids=lambda way: "+".join(way.actions))
def test_a_way_through_named_resources_is_closed(way: Way) -> None:
    assert way not in open_ways([Grant(tuple(action.lower() for action in way.actions), inverted=False, wide=False)])


def test_all_but_one_action_opens_the_other_ways() -> None:
    found = {way.actions for way in open_ways([Grant(("iam:putrolepolicy",), inverted=True, wide=True)])}
    assert ("iam:PutRolePolicy",) not in found
    assert ("iam:AttachRolePolicy",) in found
