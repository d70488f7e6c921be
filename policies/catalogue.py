"""All rules, in the order in which people read them."""

from __future__ import annotations

from typing import Final

from policies import (
    backup,
    cluster_objects,
    dns,
    eks,
    elasticache,
    generation,
    iam,
    keys,
    load_balancer,
    locks,
    network,
    observability,
    opensearch,
    parity,
    pods,
    rabbitmq,
    rds,
    registry,
    storage,
    tags,
    trust,
    unjudged,
    waf,
    workloads,
)
from policies.rule import RULES, Rule

MODULES: Final = (
    backup,
    cluster_objects,
    dns,
    eks,
    elasticache,
    generation,
    iam,
    keys,
    load_balancer,
    locks,
    network,
    observability,
    opensearch,
    parity,
    pods,
    rabbitmq,
    rds,
    registry,
    storage,
    tags,
    trust,
    unjudged,
    waf,
    workloads,
)
"""Importing them fills `RULES`."""


def every_rule() -> tuple[Rule, ...]:
    """Every rule, module by module."""
    place = {module.__name__: index for index, module in enumerate(MODULES)}
    return tuple(sorted(RULES.values(), key=lambda rule: place[rule.check.__module__]))
