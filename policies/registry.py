"""The registry: what was pushed stays what it was, is scanned and encrypted, and is there when it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Final

from policies.document import parsed
from policies.links import referring
from policies.rule import (
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Stack,
    at_least,
    items,
    judge,
    look,
    must,
    one_of,
    rule,
    stack_rule,
    unverified,
)
from policies.wants import OWN_KEY

REPOSITORY: Final = "aws:ecr/repository:Repository"
SCANNING: Final = "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration"
LIFECYCLE: Final = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
REPLICATION: Final = "aws:ecr/replicationConfiguration:ReplicationConfiguration"

GUIDE: Final = "https://docs.aws.amazon.com/AmazonECR/latest/userguide"
COMPONENT: Final = "components/registry.py"


@rule(
    "ecr-immutable",
    on=REPOSITORY,
    severity=Severity.HIGH,
    why="A tag that can be moved runs in production as something that nobody reviewed",
    remedy=f"Keep image_tag_mutability IMMUTABLE: {COMPONENT}",
    reference=f"{GUIDE}/image-tag-mutability.html",
)
def immutable(repository: Resource) -> Iterator[Finding]:
    """A tag means one image for ever."""
    yield from must(repository, "imageTagMutability", one_of("IMMUTABLE"))


@rule(
    "ecr-scan",
    on=(REPOSITORY, SCANNING),
    severity=Severity.HIGH,
    why="An image with a known hole is found by its scan, or by somebody else",
    remedy=f"Keep scanning on push, for every repository: {COMPONENT}",
    reference=f"{GUIDE}/image-scanning.html",
)
def scan(resource: Resource) -> Iterator[Finding]:
    """Images are scanned when they are pushed."""
    if resource.type == REPOSITORY:
        yield from must(resource, "imageScanningConfiguration.scanOnPush", TRUE)
        return
    for path, one in items(resource, "rules"):
        frequency = one if one is UNKNOWN else look(one, "scanFrequency")
        yield from judge(frequency, f"{path}.scanFrequency", one_of("SCAN_ON_PUSH", "CONTINUOUS_SCAN"))


@stack_rule(
    "ecr-scan-all",
    on=(REPOSITORY, SCANNING),
    severity=Severity.HIGH,
    why="What the registry scans is decided by its own rules: a repository that they leave out is not scanned",
    remedy=f"Name every repository in the registry's scanning rules: {COMPONENT}",
    reference=f"{GUIDE}/image-scanning-filters.html",
)
def scan_all(stack: Stack) -> Iterator[Finding]:
    """The registry's scanning rules, where there are any, cover every repository."""
    for setting in stack.of(SCANNING):
        filters = [
            one if one is UNKNOWN else look(one, "filter")
            for path, rule_ in items(setting, "rules")
            for _where, one in ([(path, UNKNOWN)] if rule_ is UNKNOWN else items(setting, f"{path}.repositoryFilters"))
        ]
        for repository in stack.of(REPOSITORY):
            name = repository.get("name")
            if name is UNKNOWN:
                yield unverified("name", urn=repository.urn)
            elif name is not None and not any(_covers(one, name) for one in filters):
                known = UNKNOWN not in filters and setting.get("rules") is not UNKNOWN
                yield Finding("", "is covered by no scanning rule", verified=known, urn=repository.urn)


def _covers(pattern: object, name: object) -> bool:
    """Whether a filter means a repository: all, or a text that its name begins with or is."""
    if not isinstance(pattern, str) or not isinstance(name, str):
        return False
    return name == pattern or (pattern.endswith("*") and name.startswith(pattern.rstrip("*")))


@rule(
    "ecr-kms",
    on=REPOSITORY,
    severity=Severity.HIGH,
    why="Under AWS's own key nobody sees who pulled the program, and encryption never changes afterwards",
    remedy=f"Pass the region's data key: {COMPONENT}",
    reference=f"{GUIDE}/encryption-at-rest.html",
)
def kms(repository: Resource) -> Iterator[Finding]:
    """Images are encrypted with a key of ours."""
    settings = items(repository, "encryptionConfigurations")
    if not settings:
        yield Finding("encryptionConfigurations", "is absent, and must be given")
    for path, one in settings:
        kind, key = (one, one) if one is UNKNOWN else (look(one, "encryptionType"), look(one, "kmsKey"))
        yield from judge(kind, f"{path}.encryptionType", one_of("KMS", "KMS_DSSE"))
        yield from judge(key, f"{path}.kmsKey", OWN_KEY)


@stack_rule(
    "ecr-lifecycle",
    on=(REPOSITORY, LIFECYCLE),
    severity=Severity.MEDIUM,
    why="Without it every image that was ever built is kept and paid",
    remedy=f"Keep the LifecyclePolicy of each repository: {COMPONENT}",
    reference=f"{GUIDE}/LifecyclePolicies.html",
)
def lifecycle(stack: Stack) -> Iterator[Finding]:
    """Every repository lets old images go."""
    for repository in stack.of(REPOSITORY):
        found, maybe = referring(stack, "repository", repository, (LIFECYCLE,))
        if not found:
            yield Finding("", "has no LifecyclePolicy", verified=not maybe, urn=repository.urn)


@rule(
    "ecr-retention",
    on=LIFECYCLE,
    severity=Severity.HIGH,
    why="An image that is deleted while it runs cannot be started again, and there is no way back to it",
    remedy=f"Keep more images: {COMPONENT}",
    reference=f"{GUIDE}/lifecycle_policy_parameters.html",
)
def retention(
    policy: Resource,
    *,
    images: Annotated[int, Bounds(1, 10_000)] = 50,
    days: Annotated[int, Bounds(1, 3650)] = 180,
    untagged_days: Annotated[int, Bounds(1, 3650)] = 7,
) -> Iterator[Finding]:
    """Enough images are kept: of any kind by number or days, and those without a tag for some days."""
    text = policy.get("policy")
    document = text if text is UNKNOWN else parsed(text)
    if document is UNKNOWN:
        yield unverified("policy")
        return
    rules = look(document, "rules")
    if not isinstance(rules, list):
        yield Finding("policy", "is no lifecycle policy")
        return
    for index, one in enumerate(rules):
        where = f"policy.rules[{index}].selection"
        selection = look(one, "selection")
        if selection is UNKNOWN:
            yield unverified(where)
        elif not isinstance(selection, Mapping):
            yield Finding(where, "is absent, and must be given")
        elif selection.get("countType") == "imageCountMoreThan":
            yield from judge(selection.get("countNumber"), f"{where}.countNumber", at_least(images))
        else:
            least = untagged_days if selection.get("tagStatus") == "untagged" else days
            yield from judge(selection.get("countNumber"), f"{where}.countNumber", at_least(least))


@stack_rule(
    "ecr-replication",
    on=(REPOSITORY, REPLICATION),
    severity=Severity.HIGH,
    why="A standby that pulls its images from the region that is down starts nothing",
    remedy=f"Keep the replication of the registry into the standby: {COMPONENT}",
    reference=f"{GUIDE}/replication.html",
)
def replication(stack: Stack) -> Iterator[Finding]:
    """What is copied from the primary's registry is all of it. That there is a copy is `dr-parity`'s to say."""
    for setting in stack.of(REPLICATION):
        rules = items(setting, "replicationConfiguration.rules")
        filters = [
            UNKNOWN if its is UNKNOWN else look(its, "filter")
            for path, one in rules
            for _where, its in ([("", UNKNOWN)] if one is UNKNOWN else items(setting, f"{path}.repositoryFilters"))
        ]
        for repository in stack.of(REPOSITORY):
            name = repository.get("name")
            # Without a filter everything is copied.
            if (
                filters
                and isinstance(name, str)
                and not any(isinstance(its, str) and name.startswith(its) for its in filters)
            ):
                yield Finding("", "is not copied", verified=UNKNOWN not in filters, urn=repository.urn)
