"""Every executed type through its whole life, against the real provider code and moto."""

import pytest

from infra.local.aws import TYPES
from infra.local.aws.session import AwsSession
from infra.local.resource import Props, Ref, State
from tests.infra.local.aws.case import GONE, Case
from tests.infra.local.aws.cases import CASES
from tests.infra.local.aws.world import DEFAULT_TAGS, World, ref

pytestmark = pytest.mark.engine


def _checked(session: AwsSession, about: Ref, old: Props, new: Props) -> Props:
    inputs, failures = session.check(about, old, {name: value for name, value in new.items() if value is not None})
    assert failures == []
    return inputs


def _as_made(session: AwsSession, about: Ref, id: str, inputs: Props, outputs: Props) -> State:
    """The resource read back: nothing differs from what the program said, and no output moves."""
    state = session.read(about, id, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs
    assert state.outputs == outputs
    assert session.diff(about, id, state.inputs, state.outputs, inputs).changes == ()
    return state


def _differing(session: AwsSession, about: Ref, id: str, state: State, program: Props) -> set[str]:
    changes = session.diff(about, id, state.inputs, state.outputs, program).changes
    return {change.path.split(".")[0].split("[")[0] for change in changes}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_type_lives(world: World, case: Case) -> None:
    place = getattr(world, case.region)
    session, about = place.session, ref(case.token, str(case).lower())
    said = case.inputs(place, world)
    inputs = _checked(session, about, {}, said)

    _, preview = session.create(about, inputs, True)
    id, outputs = session.create(about, inputs, False)
    assert set(outputs) <= {*preview, "id"}
    if "tagsAll" in outputs:
        assert outputs["tagsAll"].items() >= DEFAULT_TAGS.items()
    state = _as_made(session, about, id, inputs, outputs)

    if case.change is not None:
        new = _checked(session, about, inputs, {**said, **case.change(place, world)})
        diff = session.diff(about, id, inputs, outputs, new)
        assert diff.changes
        assert not diff.replaces
        outputs = session.update(about, id, inputs, outputs, new, False)
        inputs = new
        state = _as_made(session, about, id, inputs, outputs)

    if case.imports:
        imported = session.read(about, id, {}, {})
        assert imported is not None
        assert _differing(session, about, id, imported, inputs) == case.unseen

    case.behind(place, state)
    found = session.read(about, id, inputs, outputs)
    if case.drifts == GONE:
        assert found is None
    else:
        assert found is not None
        assert case.drifts in _differing(session, about, id, found, inputs)

    session.delete(about, id, inputs, outputs)
    assert (session.read(about, id, inputs, outputs) is None) is not (case.remains and case.drifts != GONE)
    session.delete(about, id, inputs, outputs)


def test_every_executed_type_has_a_case() -> None:
    assert {case.token for case in CASES} == {type_.token for type_ in TYPES if type_.executed}
