"""Drift of what is no longer in the answer: AWS leaves out what was taken away, and that is a difference, too."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.local.resource import State
from tests.infra.local.aws.case import attribute
from tests.infra.local.aws.cases import CASES
from tests.infra.local.aws.world import Place, World, make, ref

pytestmark = pytest.mark.engine

Behind = Callable[[Place, State], Any]


def _redact_nothing(place: Place, state: State) -> Any:
    configuration = {
        "ResourceArn": state.id,
        "LogDestinationConfigs": state.inputs["logDestinationConfigs"],
    }
    return place.call("wafv2", "PutLoggingConfiguration", LoggingConfiguration=configuration)


def _log_nothing(place: Place, state: State) -> Any:
    setup = [{"types": state.inputs["enabledClusterLogTypes"], "enabled": False}]
    return place.call("eks", "UpdateClusterConfig", name=state.id, logging={"clusterLogging": setup})


@pytest.mark.parametrize(
    ("name", "behind", "drifts"),
    [
        ("WebAclLoggingConfiguration", _redact_nothing, "redactedFields"),
        ("Cluster", _log_nothing, "enabledClusterLogTypes"),
        (
            "LaunchTemplate",
            attribute(
                "ec2",
                "CreateLaunchTemplateVersion",
                LaunchTemplateId="{}",
                LaunchTemplateData={"Monitoring": {"Enabled": True}},
            ),
            "vpcSecurityGroupIds",
        ),
    ],
)
def test_what_was_taken_away_has_drifted(world: World, name: str, behind: Behind, drifts: str) -> None:
    case = next(case for case in CASES if str(case) == name)
    about = ref(case.token, name.lower())
    id, inputs, outputs = make(world.east, about, case.inputs(world.east, world))
    behind(world.east, State(id, inputs, outputs))
    found = world.east.session.read(about, id, inputs, outputs)
    assert found is not None
    assert found.inputs[drifts] == []
    changes = world.east.session.diff(about, id, found.inputs, found.outputs, inputs).changes
    assert drifts in {change.path.partition("[")[0] for change in changes}
