"""Every switch of both plans is flipped alone, known to be good or not: a rule finds it, or it is free to be either."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from policies.unjudged import OURS
from tests.policies.plans import broken, resources
from tests.policies.test_mutants import said
from tests.regions import STACKS

LIFECYCLE: Final = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"

FREE: Final = {
    ("aws:backup/plan:Plan", "rules.enableContinuousBackup"): "Only one rule of a plan can be continuous",
    ("aws:cloudwatch/metricAlarm:MetricAlarm", "metricQueries.returnData"): "Which line of a graph is watched",
    ("aws:ec2/launchTemplate:LaunchTemplate", "monitoring.enabled"): "Metrics every minute instead of every five",
    ("aws:ec2/launchTemplate:LaunchTemplate", "updateDefaultVersion"): "Node groups name their version",
    ("aws:eks/cluster:Cluster", "bootstrapSelfManagedAddons"): "Replaces the cluster: the gate stops it",
    ("aws:lb/loadBalancer:LoadBalancer", "internal"): "Replaces the load balancer: the gate stops it",
    ("aws:rds/instance:Instance", "copyTagsToSnapshot"): "Tags of snapshots",
    ("aws:rds/instance:Instance", "multiAz"): "A read replica may be in one zone; the others are in others",
    ("aws:rds/instance:Instance", "skipFinalSnapshot"): "RDS makes no final snapshot of a replica",
    ("aws:route53/healthCheck:HealthCheck", "measureLatency"): "Graphs only; it forces replacement",
    ("aws:route53/record:Record", "aliases.evaluateTargetHealth"): "An alias to what has a health check of its own",
    (LIFECYCLE, "rules.expiration.expiredObjectDeleteMarker"): "Marks without an object behind them",
    ("aws:wafv2/webAcl:WebAcl", "rules.visibilityConfig.sampledRequestsEnabled"): "Samples in the console; logs are on",
    ("aws:wafv2/webAcl:WebAcl", "visibilityConfig.sampledRequestsEnabled"): "Samples in the console; logs are on",
    ("kubernetes:apps/v1:Deployment", "spec.template.spec.automountServiceAccountToken"): "Controllers need theirs",
    ("kubernetes:apps/v1:Deployment", "spec.template.spec.containers.volumeMounts.readOnly"): "An empty folder",
    ("kubernetes:apps/v1:Deployment", "spec.template.spec.enableServiceLinks"): "Names of services in the environment",
    ("kubernetes:batch/v1:Job", "spec.template.spec.enableServiceLinks"): "Names of services in the environment",
}
"""Switches that no rule protects, and why."""


def switches(value: Any, path: str = "", pattern: str = "") -> Iterator[tuple[str, str, bool]]:
    """Path, path without places in lists, and value of each switch in a resource."""
    if isinstance(value, bool):
        yield path, pattern, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            # Labels and annotations have dots and slashes in their names, and no switches in them.
            if not {".", "/"} & set(key):
                dot = "." if path else ""
                yield from switches(inner, f"{path}{dot}{key}", f"{pattern}{dot}{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from switches(inner, f"{path}[{index}]", pattern)


@pytest.mark.parametrize("stack", STACKS)
def test_a_flipped_switch_is_found_or_there_is_a_reason_why_not(stack: str) -> None:
    survivors: set[tuple[str, str]] = set()
    flipped = 0
    for resource in resources(stack):
        if resource.type.startswith((*OURS, "random:")) or resource.type.endswith(":CustomResourceDefinition"):
            continue
        for path, pattern, value in switches(resource.props):
            flipped += 1
            if not said(stack, resource.urn, resource.type, broken(resource, path, not value)):
                survivors.add((resource.type, pattern))
    assert survivors <= set(FREE)
    assert flipped > 100
