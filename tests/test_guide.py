"""What docs/going-to-aws.md tells people to type and to name exists: in the program, and at AWS."""

import re
from pathlib import Path
from textwrap import dedent

import botocore.session
import pytest
from botocore import xform_name

from policies.catalogue import every_rule
from policies.waivers import read_waivers
from tests.regions import STACKS, region

GUIDE = Path(__file__).parents[1] / "docs" / "going-to-aws.md"

EVERYWHERE = {"region"}
"""Options that each command of the AWS CLI has."""
CLI_ALONE = {"aws sso login"}
"""Commands of the AWS CLI that are no operation of a service."""


def commands(text: str) -> list[tuple[str, str, frozenset[str]]]:
    """Each command of the AWS CLI: service, operation and options."""
    found = re.findall(r"\baws ([a-z][a-z0-9-]+) ([a-z][a-z0-9-]+)((?:[ ]--[a-z-]+(?:[ ](?!--)[^\s`]+)*)*)", text)
    return [(service, name, frozenset(re.findall(r"--([a-z-]+)", options))) for service, name, options in found]


def unknown(text: str) -> list[str]:
    """What AWS's own description of its services does not have."""
    session, found = botocore.session.get_session(), []
    for service, name, options in commands(text):
        if f"aws {service} {name}" in CLI_ALONE:
            continue
        model = session.get_service_model(service)
        operations = {xform_name(its, "-"): model.operation_model(its) for its in model.operation_names}
        if name not in operations:
            found.append(f"{service} {name}")
            continue
        shape = operations[name].input_shape
        members = {xform_name(member, "-") for member in shape.members} if shape else set()
        found += [f"{service} {name} --{option}" for option in sorted(options - members - EVERYWHERE)]
    return found


@pytest.mark.parametrize("stack", STACKS)
def test_the_guide_names_the_repositories_that_the_program_makes(stack: str) -> None:
    made = {its.inputs["name"] for its in region(stack).of("aws:ecr/repository:Repository")}
    text = GUIDE.read_text(encoding="utf-8")
    assert set(re.findall(r"^ *\| `(docsearch/[a-z-]+)` \|", text, re.MULTILINE)) == made
    assert set(re.findall(r"\.amazonaws\.com/([a-z/-]+)", text)) == {"docsearch/search"}


def test_the_commands_of_the_guide_are_aws_own() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert len(commands(text)) >= 5
    assert unknown(text) == []


def test_a_command_that_aws_does_not_have_is_found() -> None:
    assert unknown("`aws ecr start-copy --region us-east-1`") == ["ecr start-copy"]
    assert unknown("aws ecr describe-registry --region us-east-1 --repository x") == [
        "ecr describe-registry --repository"
    ]


def test_images_from_before_the_replication_are_fetched_for_the_standby() -> None:
    """ECR copies what is pushed after the rule is there, and the standby's first ``up`` makes the rule."""
    [rule] = region("dr").of("aws:ecr/replicationConfiguration:ReplicationConfiguration")
    [(destination,)] = [its["destinations"] for its in rule.inputs["replicationConfiguration"]["rules"]]
    told = f"aws ecr start-replication-backfill --region us-east-1 --destination region={destination['region']},"
    assert told in GUIDE.read_text(encoding="utf-8")


def test_the_waivers_of_a_takeover_are_well_formed_and_about_the_database_that_is_promoted(tmp_path: Path) -> None:
    (written,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "waivers.yaml").write_text(dedent(written), encoding="utf-8")
    found = read_waivers(tmp_path / "waivers.yaml", rules=[rule.id for rule in every_rule()])
    head = region("dr").one("aws:rds/instance:Instance", "database").urn
    assert {waiver.waives for waiver in found} == {"backup-selection", "dr-parity", "rds-replicas"}
    assert {waiver.urn.rpartition("docsearch:rds:")[2] for waiver in found} == {head.rpartition("docsearch:rds:")[2]}
