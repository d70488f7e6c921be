"""The policy pack and the gate in the real engine, over a region that is up."""

import functools
import re
from datetime import date
from typing import Any

import pytest

from infra import packs
from infra.deploy import Deployment
from infra.errors import PolicyError
from infra.findings import rules
from infra.gate import judge
from infra.program import read_config

pytestmark = pytest.mark.engine

SHOWN = re.compile(r"\[(mandatory|advisory)\]\s+\[severity: (\w+)\]\s+([\w-]+)\s+\(([\w:/]+): ([\w-]+)\)")
"""How the engine's own display shows a finding."""


@pytest.fixture(scope="module")
def prod(local_cloud: Any) -> Deployment:
    """prod, brought up with the pack in the run."""
    found: Deployment = local_cloud.deployment("prod")
    outcome = found.up(judged=True)
    assert [one for one in outcome.findings if one.kind == "violation"] == []
    return found


def smaller(local_cloud: Any) -> Deployment:
    """prod with half the disks of its index."""
    index = read_config("prod").opensearch
    hot = index.hot.model_copy(update={"storage_gib": index.hot.storage_gib // 2})
    found: Deployment = local_cloud.deployment("prod", opensearch=index.model_copy(update={"hot": hot}))
    return found


def test_of_what_is_up_every_value_is_verified(prod: Deployment) -> None:
    assert [one for one in prod.verify() if one.kind != "waived"] == []


def test_a_finding_names_rule_resource_file_and_key(prod: Deployment, local_cloud: Any) -> None:
    [found] = [one for one in smaller(local_cloud).judged().findings if one.kind != "waived"]
    assert (found.rule, found.resource, found.place.key) == ("os-storage", "opensearch", "opensearch.hot.storage_gib")
    assert str(found.place).startswith("Pulumi.prod.yaml:")
    assert found.message == "is 1024, must be at least 2048"


def test_the_engines_own_display_shows_the_same_findings(prod: Deployment, local_cloud: Any) -> None:
    subject = smaller(local_cloud)
    ours = {(one.rule, one.resource) for one in subject.judged().findings}
    lines: list[str] = []
    show = functools.partial(subject._stack.preview, on_output=lines.append, **packs.arguments("prod"))
    with pytest.raises(Exception, match="preview failed"):
        show(color="never")
    shown = [match for line in lines if (match := SHOWN.search(line))]
    assert {(match[3], match[5]) for match in shown} == ours
    for match in shown:
        assert match[2] == rules()[match[3]].severity.value


def test_what_breaks_a_rule_is_not_made(prod: Deployment, local_cloud: Any) -> None:
    with pytest.raises(PolicyError) as caught:
        smaller(local_cloud).up(judged=True)
    assert "os-storage: opensearch:" in caught.value.why
    domains = local_cloud.client("opensearch", "us-east-1")
    [name] = [item["DomainName"] for item in domains.list_domain_names()["DomainNames"]]
    assert domains.describe_domain(DomainName=name)["DomainStatus"]["EBSOptions"]["VolumeSize"] == 2048


def test_releasing_the_locks_meets_the_gate(prod: Deployment, local_cloud: Any) -> None:
    plan = local_cloud.deployment("prod", locked=False).preview()
    stopped = {its.urn for its in judge(plan, (), today=date(2026, 1, 1)) if its.stops}
    databases = {one.urn for one in plan.changes if one.type == "aws:rds/instance:Instance"}
    assert databases
    assert databases <= stopped
    assert judge(prod.preview(), (), today=date(2026, 1, 1)) == ()
