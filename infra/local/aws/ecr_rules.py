"""What ECR refuses and moto does not.

Sources: botocore's documentation of the operations; for lifecycle policies the ECR user guide, "Lifecycle policies". A
value that is not known yet breaks no rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from infra.local.aws import shapes
from infra.local.resource import Failure, Props

_ERROR = "InvalidParameterException: Invalid parameter at"

_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"


def repository_rules(props: Props) -> Iterator[Failure]:
    """Rules for one repository."""
    name = props.get("name")
    if isinstance(name, str) and not (2 <= len(name) <= 256 and re.fullmatch(rf"{_PART}(/{_PART})*", name)):
        yield Failure("name", f"{_ERROR} 'repositoryName' failed to satisfy constraint: '{name}' is no repository name")
    encryption = shapes.blocks(props, "encryptionConfigurations")
    if len(encryption) > 1:
        yield Failure("encryptionConfigurations", f"{_ERROR} 'encryptionConfiguration': there can be one")
    for block in encryption:
        if block.get("encryptionType", "AES256") == "AES256" and block.get("kmsKey"):
            yield Failure(
                "encryptionConfigurations",
                f"{_ERROR} 'encryptionConfiguration' failed to satisfy constraint: 'kmsKey is not allowed for AES256'",
            )
    mutability, filters = props.get("imageTagMutability"), props.get("imageTagMutabilityExclusionFilters")
    if isinstance(mutability, str) and mutability.endswith("_WITH_EXCLUSION") != bool(filters):
        yield Failure(
            "imageTagMutability",
            f"{_ERROR} 'imageTagMutabilityExclusionFilters': given with ..._WITH_EXCLUSION, and only then",
        )
    if isinstance(filters, list) and len(filters) > 5:
        yield Failure("imageTagMutabilityExclusionFilters", f"{_ERROR} 'imageTagMutabilityExclusionFilters': at most 5")


def lifecycle_rules(props: Props) -> Iterator[Failure]:
    """Rules for one lifecycle policy."""
    text = props.get("policy")
    if not isinstance(text, str):
        return
    where = f"{_ERROR} 'LifecyclePolicyText' failed to satisfy constraint:"
    if not 100 <= len(text) <= 30720:
        yield Failure("policy", f"{where} it has {len(text)} characters, but must have 100 to 30720")
    try:
        rules = json.loads(text)["rules"]
        priorities = [rule["rulePriority"] for rule in rules]
        status = {rule["rulePriority"]: rule["selection"]["tagStatus"] for rule in rules}
    except (ValueError, KeyError, TypeError) as error:
        yield Failure("policy", f"{where} 'Lifecycle policy validation failure: {error}'")
        return
    if not 1 <= len(rules) <= 50:
        yield Failure("policy", f"{where} 'a policy has 1 to 50 rules'")
    if len({*priorities}) < len(priorities):
        yield Failure("policy", f"{where} 'rulePriority must be unique'")
    every = [priority for priority in priorities if status[priority] == "any"]
    if every and (len(every) > 1 or every[0] != max(priorities)):
        yield Failure("policy", f"{where} 'the one rule with tagStatus any must have the highest rulePriority'")
    for rule in rules:
        yield from _selection(rule["selection"], where)


def _selection(selection: Mapping[str, Any], where: str) -> Iterator[Failure]:
    tagged = bool(selection.get("tagPrefixList") or selection.get("tagPatternList"))
    if (selection["tagStatus"] == "tagged") != tagged:
        yield Failure(
            "policy", f"{where} 'tagPrefixList or tagPatternList: given with tagStatus tagged, and only then'"
        )
    since = str(selection.get("countType", "")).startswith("since")
    if since != ("countUnit" in selection):
        yield Failure("policy", f"{where} 'countUnit: given with a countType of time, and only then'")
    number = selection.get("countNumber")
    if not isinstance(number, int) or number < 1:
        yield Failure("policy", f"{where} 'countNumber must be 1 or more'")


_FREQUENCIES = {"BASIC": ("SCAN_ON_PUSH", "MANUAL"), "ENHANCED": ("SCAN_ON_PUSH", "CONTINUOUS_SCAN")}


def scanning_rules(props: Props) -> Iterator[Failure]:
    """Rules for what a registry scans."""
    rules = shapes.blocks(props, "rules")
    allowed = _FREQUENCIES.get(str(props.get("scanType")), ())
    most = 2 if props.get("scanType") == "ENHANCED" else 1
    if len(rules) > most:
        yield Failure("rules", f"{_ERROR} 'rules': {props.get('scanType')} takes at most {most}")
    for rule in rules:
        frequency = rule.get("scanFrequency")
        if allowed and isinstance(frequency, str) and frequency not in allowed:
            yield Failure("rules", f"{_ERROR} 'scanFrequency': {frequency} is none of {', '.join(allowed)}")
        filters = shapes.blocks(rule, "repositoryFilters")
        if len(filters) > 100:
            yield Failure("rules", f"{_ERROR} 'repositoryFilters': at most 100")
        for each in filters:
            text = each.get("filter")
            if isinstance(text, str) and not re.fullmatch(r"[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*", text):
                yield Failure("rules", f"{_ERROR} 'filter': {text} is no filter")


def replication_rules(props: Props) -> Iterator[Failure]:
    """Rules for what a registry copies, and where."""
    configuration = props.get("replicationConfiguration")
    if not isinstance(configuration, Mapping):
        return
    rules = shapes.blocks(configuration, "rules")
    if len(rules) > 10:
        yield Failure("replicationConfiguration", f"{_ERROR} 'rules': at most 10")
    ends = [(end.get("region"), end.get("registryId")) for rule in rules for end in shapes.blocks(rule, "destinations")]
    if len({end for end in ends if all(isinstance(part, str) for part in end)}) > 25:
        yield Failure("replicationConfiguration", f"{_ERROR} 'destinations': at most 25 in all rules")
    for region, registry in ends:
        if isinstance(registry, str) and not re.fullmatch(r"\d{12}", registry):
            yield Failure("replicationConfiguration", f"{_ERROR} 'registryId': {registry} is no account")
        if isinstance(region, str) and not re.fullmatch(r"[0-9a-z-]{2,25}", region):
            yield Failure("replicationConfiguration", f"{_ERROR} 'region': {region} is no region")
    for rule in rules:
        filters = shapes.blocks(rule, "repositoryFilters")
        if len(filters) > 100:
            yield Failure("replicationConfiguration", f"{_ERROR} 'repositoryFilters': at most 100")
        for each in filters:
            text = each.get("filter")
            if isinstance(text, str) and not 2 <= len(text) <= 256:
                yield Failure("replicationConfiguration", f"{_ERROR} 'filter': {text} has not 2 to 256 characters")
