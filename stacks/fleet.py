"""All stacks of the project together: what no single stack file can show.

Regions that replicate to each other must agree: addresses that do not overlap, one primary, and standbys that are never
smaller or older than the primary that they would replace. Every problem names both files.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from components.opensearch_plan import may_connect
from stacks.config import StackConfig
from stacks.offers import INSTANCE_SIZES
from stacks.stack_file import Problem, StackFileError, suggest
from stacks.stores import REPLICA_VERSION_RULE, may_follow, weekly_minutes


def stack_file(folder: Path, stack: str) -> Path:
    """Where a stack's file is."""
    return folder / f"Pulumi.{stack}.yaml"


def read_fleet(folder: Path) -> dict[str, StackConfig]:
    """Every stack of a project, by name, checked together.

    Args:
        folder: Where `Pulumi.yaml` is.

    Raises:
        StackFileError: With the problems of all files; those between stacks once each file is right by itself.
    """
    configs: dict[str, StackConfig] = {}
    problems: list[Problem] = []
    for file in sorted(folder.glob("Pulumi.*.yaml")):
        try:
            configs[file.name.removeprefix("Pulumi.").removesuffix(".yaml")] = StackConfig.parse(file)
        except StackFileError as error:
            problems += error.problems
    if problems:
        raise StackFileError(problems)
    check_fleet(configs)
    return configs


def check_fleet(configs: Mapping[str, StackConfig]) -> None:
    """Check what only all stacks together can show.

    Args:
        configs: Every stack by name.

    Raises:
        StackFileError: Two regions cannot live side by side; each problem names both files.
    """
    problems = [*_one_primary(configs), *_one_successor(configs), *_one_writer(configs), *_one_role_maker(configs)]
    for (one, a), (two, b) in combinations(configs.items(), 2):
        problems += _neighbours(one, a, two, b)
    for name, config in configs.items():
        if config.role == "standby":
            problems += _follows(name, config, configs)
    if problems:
        raise StackFileError(problems)


def _between(stacks: Sequence[str], key: str, values: Sequence[object], reason: str, remedy: str) -> Problem:
    files = " and ".join(f"Pulumi.{stack}.yaml" for stack in stacks)
    return Problem(files, None, key, " and ".join(dict.fromkeys(map(str, values))), reason, remedy)


def _one_primary(configs: Mapping[str, StackConfig]) -> Iterator[Problem]:
    primaries = [name for name, config in configs.items() if config.role == "primary"]
    if not primaries:
        reason = "no stack takes the writes"
        yield _between(
            list(configs) or ["prod"], "role", ["standby"] if configs else [], reason, "Make one the primary"
        )
    if len(primaries) > 1:
        reason = "two primaries would take writes that never meet"
        yield _between(primaries, "role", ["primary"], reason, "Make all but one standby")


def _one_successor(configs: Mapping[str, StackConfig]) -> Iterator[Problem]:
    successors = [name for name, config in configs.items() if config.role == "standby" and config.failover]
    if len(successors) > 1:
        reason = "writes fail over to one standby, and a bucket is replicated to one"
        yield _between(successors, "failover", ["true"], reason, "Write `failover: false` in all but one")


def _one_writer(configs: Mapping[str, StackConfig]) -> Iterator[Problem]:
    writers = [name for name, config in configs.items() if config.takes_writes]
    promoted = [name for name in writers if configs[name].promoted]
    if promoted and len(writers) > 1:
        led = [name for name in writers if name not in promoted] or promoted
        reason = "two regions would take writes that never meet"
        remedy = f"Write `serving: false` in Pulumi.{led[0]}.yaml, or promote none"
        yield _between(writers, "promoted", ["true"], reason, remedy)


def _neighbours(one: str, a: StackConfig, two: str, b: StackConfig) -> Iterator[Problem]:
    pair = (one, two)
    if a.network.cidr.overlaps(b.network.cidr):
        reason = "the networks overlap, so no route between the regions can tell them apart"
        yield _between(pair, "network.cidr", (a.network.cidr, b.network.cidr), reason, "Give each its own /16")
    if a.region == b.region:
        reason = "two stacks share a region, so its loss takes both"
        yield _between(pair, "region", (a.region, b.region), reason, "Give each its own region")
    if a.account_id != b.account_id:
        reason = "multi-region keys and database replicas stay within one account"
        yield _between(pair, "account_id", (a.account_id, b.account_id), reason, "Use one account")
    if a.domain != b.domain:
        reason = "failover is between records of one zone"
        yield _between(pair, "domain", (a.domain, b.domain), reason, "Use one domain")
    if weekly_minutes(a.database.maintenance_window) & weekly_minutes(b.database.maintenance_window):
        values = (a.database.maintenance_window, b.database.maintenance_window)
        reason = "AWS would take both databases into maintenance at the same time"
        yield _between(pair, "database.maintenance_window", values, reason, "Move one of them")


def _follows(name: str, config: StackConfig, configs: Mapping[str, StackConfig]) -> Iterator[Problem]:
    primary = configs.get(str(config.peer))
    if primary is None:
        others = suggest(str(config.peer), (other for other in configs if other != name))
        yield _between([name], "peer", [config.peer], f"there is no Pulumi.{config.peer}.yaml", others)
        return
    pair, mine, its = (name, str(config.peer)), config.database, primary.database
    if primary.role != "primary":
        reason = "a standby follows the primary, not another standby"
        yield _between(pair, "peer", [config.peer], reason, f"Name the primary, or make {config.peer} the primary")
        return
    versions = (mine.engine_version, its.engine_version)
    if not may_follow(*versions):
        remedy = f"Write {its.engine_version} or a later {its.engine_version.split('.')[0]}.x in Pulumi.{name}.yaml"
        yield _between(pair, "database.engine_version", versions, REPLICA_VERSION_RULE, remedy)
    for key in ("allocated_gib", "max_allocated_gib"):
        values = (getattr(mine.primary, key), getattr(its.primary, key))
        if values[0] < values[1]:
            reason = "the standby's storage would be full before the primary's"
            yield _between(
                pair, f"database.primary.{key}", values, reason, f"Write at least {values[1]} in Pulumi.{name}.yaml"
            )
    yield from _same_data(name, config, primary)
    classes = (mine.primary.instance_class, its.primary.instance_class)
    sizes = [INSTANCE_SIZES[found] for found in classes if found in INSTANCE_SIZES]
    if len(sizes) == 2 and (sizes[0].vcpus < sizes[1].vcpus or sizes[0].memory_gib < sizes[1].memory_gib):
        reason = "after promotion the standby carries all that the primary carried"
        remedy = (
            f"Write a class with at least {sizes[1].vcpus} vCPUs and {sizes[1].memory_gib} GiB in Pulumi.{name}.yaml"
        )
        yield _between(pair, "database.primary.instance_class", classes, reason, remedy)


def _same_data(name: str, config: StackConfig, primary: StackConfig) -> Iterator[Problem]:
    """What two regions that hold copies of each other must agree about."""
    pair = (name, str(config.peer))
    versions = (config.opensearch.engine_version, primary.opensearch.engine_version)
    if not may_connect(*versions):
        reason = "a follower runs the version of its leader or a later one, and is upgraded before it"
        yield _between(pair, "opensearch.engine_version", versions, reason, f"Write {versions[1]} or a later one")
    if not config.failover:  # It has a cache of its own.
        return
    for key in ("engine_version", "node_type", "shards"):
        values = (getattr(config.cache, key), getattr(primary.cache, key))
        if values[0] != values[1]:
            reason = "all members of a Global Datastore are alike"
            yield _between(pair, f"cache.{key}", values, reason, f"Write {values[1]} in Pulumi.{name}.yaml")


def _one_role_maker(configs: Mapping[str, StackConfig]) -> Iterator[Problem]:
    makers = [name for name, config in configs.items() if config.opensearch.service_linked_role]
    if len(makers) > 1:
        reason = "the account has one service-linked role for OpenSearch, and two stacks would make it"
        yield _between(makers, "opensearch.service_linked_role", ["true"], reason, "Leave it true in one")
