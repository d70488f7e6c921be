"""The search index: encrypted, in the VPC, in three zones with one to spare, and closed to whoever has no role.

A setting that OpenSearch Service itself ties to another is judged in one place: that warm, cold and coordinating nodes
need dedicated masters is `os-masters`, which asks for them always.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from policies.document import others
from policies.rule import (
    ABSENT,
    FALSE,
    TRUE,
    UNKNOWN,
    Bounds,
    Finding,
    Resource,
    Severity,
    Want,
    at_least,
    items,
    judge,
    look,
    multiple_of,
    must,
    number,
    one_of,
    rule,
    shown,
    unverified,
)
from policies.wants import NAMED, OWN_KEY, TEXTS, different, exactly, no_secret, unless

DOMAIN: Final = "aws:opensearch/domain:Domain"
DOMAIN_POLICY: Final = "aws:opensearch/domainPolicy:DomainPolicy"
OUTBOUND: Final = "aws:opensearch/outboundConnection:OutboundConnection"

GUIDE: Final = "https://docs.aws.amazon.com/opensearch-service/latest/developerguide"

_ZONES: Final = 3
_BURSTABLE: Final = ("t2.", "t3.", "t4g.")
_OLD: Final = ("m3.", "r3.", "i2.")
"""The provider's own default is m3.medium."""

_LOCAL_DISKS: Final = ("i2.", "i3.", "i4g.", "i4i.", "im4gn.", "r6gd.", "r7gd.", "i7i.", "i8g.")
"""Families with disks of their own, which take no EBS (developer guide, "Supported instance types")."""

CONFIG: Final = "clusterConfig"


@rule(
    "os-cmk",
    on=DOMAIN,
    severity=Severity.CRITICAL,
    why="The index holds every document's text: a disk or a snapshot of it must be worthless without our key",
    remedy="Pass the region's data key to OpenSearch (components/opensearch.py); another key replaces the domain",
    reference=f"{GUIDE}/encryption-at-rest.html",
)
def cmk(domain: Resource) -> Iterator[Finding]:
    """Disks are encrypted with a key of ours."""
    yield from must(domain, "encryptAtRest.enabled", TRUE)
    yield from must(domain, "encryptAtRest.kmsKeyId", OWN_KEY)


@rule(
    "os-node-to-node",
    on=DOMAIN,
    severity=Severity.CRITICAL,
    why="Documents cross the network between nodes in clear text without it",
    remedy="Keep node_to_node_encryption (components/opensearch.py)",
    reference=f"{GUIDE}/ntn.html",
)
def node_to_node(domain: Resource) -> Iterator[Finding]:
    """What nodes tell each other is encrypted."""
    yield from must(domain, "nodeToNodeEncryption.enabled", TRUE)


@rule(
    "os-tls",
    on=DOMAIN,
    severity=Severity.CRITICAL,
    why="Queries and documents could be read on the way, now or, without forward secrecy, once a key is stolen",
    remedy="Keep enforce_https and the TLS policy (components/opensearch.py)",
    reference=f"{GUIDE}/infrastructure-security.html",
)
def tls(domain: Resource) -> Iterator[Finding]:
    """Nothing but HTTPS, from TLS 1.2 on, with forward secrecy."""
    yield from must(domain, "domainEndpointOptions.enforceHttps", TRUE)
    yield from must(
        domain,
        "domainEndpointOptions.tlsSecurityPolicy",
        one_of(
            "Policy-Min-TLS-1-2-PFS-2023-10",
            "Policy-Min-TLS-1-2-RFC9151-FIPS-2024-08",
            "Policy-Min-TLS-1-2-FIPS-PQ-2026-10",
        ),
    )


@rule(
    "os-fgac",
    on=(DOMAIN, DOMAIN_POLICY),
    severity=Severity.CRITICAL,
    why="Whoever reaches the domain could read and delete every tenant's documents",
    remedy="Keep fine-grained access with an IAM role as master (components/opensearch.py), and name principals "
    "(components/opensearch_policies.py)",
    reference=f"{GUIDE}/fgac.html",
)
def fine_grained_access(its: Resource) -> Iterator[Finding]:
    """Roles of IAM alone come in, each with rights of its own; no policy lets everybody in."""
    if its.type == DOMAIN:
        options = "advancedSecurityOptions"
        yield from must(its, f"{options}.enabled", TRUE)
        # A block that is not known is one thing, not five.
        if its.get(options) is not UNKNOWN:
            yield from must(its, f"{options}.internalUserDatabaseEnabled", FALSE)
            yield from must(its, f"{options}.anonymousAuthEnabled", FALSE)
            yield from must(its, f"{options}.masterUserOptions.masterUserArn", NAMED)
            for name in ("masterUserName", "masterUserPassword"):
                yield from no_secret(its, f"{options}.masterUserOptions.{name}", why="the master is a role of IAM")
    # Absent lets nobody in who has no policy of IAM, but says nothing of who that is.
    if its.get("accessPolicies") is None:
        yield from must(its, "accessPolicies", NAMED)
    yield from others(its, "accessPolicies")


@rule(
    "os-vpc",
    on=DOMAIN,
    severity=Severity.CRITICAL,
    why="A domain outside of a VPC has a public endpoint, and cannot be moved into one without being made anew",
    remedy="Pass the network's data subnets and search group (components/opensearch.py)",
    reference=f"{GUIDE}/vpc.html",
)
def vpc(domain: Resource) -> Iterator[Finding]:
    """The domain is in subnets and a security group of ours."""
    yield from must(domain, "vpcOptions.subnetIds", TEXTS)
    yield from must(domain, "vpcOptions.securityGroupIds", TEXTS)


@rule(
    "os-standby",
    on=DOMAIN,
    severity=Severity.CRITICAL,
    why="With one zone lost, searches would wait for shards to be copied; with standby they do not notice",
    remedy="Keep Multi-AZ with standby in three zones (components/opensearch.py)",
    key="network.zones",
    reference=f"{GUIDE}/managedomains-multiaz.html",
)
def standby(domain: Resource) -> Iterator[Finding]:
    """Multi-AZ with standby, in three zones, by a version that has it (OpenSearch 1.3 or later)."""
    yield from must(domain, f"{CONFIG}.multiAzWithStandbyEnabled", TRUE)
    yield from must(domain, f"{CONFIG}.zoneAwarenessEnabled", TRUE)
    # Absent is 2.
    yield from must(domain, f"{CONFIG}.zoneAwarenessConfig.availabilityZoneCount", exactly(_ZONES))
    subnets = domain.get("vpcOptions.subnetIds")
    if isinstance(subnets, list) and TEXTS.holds(subnets):
        yield from judge(subnets, "vpcOptions.subnetIds", different(_ZONES))
    yield from must(domain, "engineVersion", Want("OpenSearch_1.3 or later", _has_standby))


def _has_standby(version: Any) -> bool:
    if not isinstance(version, str) or not version.startswith("OpenSearch_"):
        return False
    major, dot, minor = version.removeprefix("OpenSearch_").partition(".")
    if not (dot and all(part.isascii() and part.isdigit() and len(part) < 4 for part in (major, minor))):
        return False
    return (int(major), int(minor)) >= (1, 3)


@rule(
    "os-masters",
    on=DOMAIN,
    severity=Severity.CRITICAL,
    why="Without three steady masters a lost or busy node leaves the domain without anybody to lead it",
    remedy="Keep three dedicated masters of a type that is not burstable",
    key="opensearch.master_type",
    reference=f"{GUIDE}/managedomains-dedicatedmasternodes.html",
)
def masters(domain: Resource) -> Iterator[Finding]:
    """Dedicated masters: three with standby, else three or five (2, 4 and more than 5 are refused)."""
    yield from must(domain, f"{CONFIG}.dedicatedMasterEnabled", TRUE)
    alone = domain.get(f"{CONFIG}.multiAzWithStandbyEnabled") in (None, False)
    counts = (3, 5) if alone else (3,)
    some = Want(" or ".join(map(str, counts)), lambda value: number(value) in counts)
    yield from must(domain, f"{CONFIG}.dedicatedMasterCount", some)
    yield from must(domain, f"{CONFIG}.dedicatedMasterType", _STEADY)


_STEADY: Final = Want(
    "a type that is neither burstable nor of an old generation",
    lambda value: NAMED.holds(value) and not value.startswith((*_BURSTABLE, *_OLD)),
)


@rule(
    "os-node-types",
    on=DOMAIN,
    severity=Severity.HIGH,
    why="A burstable node runs out of CPU credits, and is refused beside a standby or warm nodes",
    remedy="Take an m, r, c or or1 type",
    key="opensearch.hot.instance_type",
    reference=f"{GUIDE}/supported-instance-types.html",
)
def node_types(domain: Resource) -> Iterator[Finding]:
    """Hot and coordinating nodes are neither burstable nor of an old generation."""
    yield from must(domain, f"{CONFIG}.instanceType", _STEADY)
    for path, option in items(domain, f"{CONFIG}.nodeOptions"):
        if option is UNKNOWN or look(option, "nodeConfig.enabled") is not False:
            yield from judge(look(option, "nodeConfig.type"), f"{path}.nodeConfig.type", _STEADY)


_IN_EACH_ZONE: Final = multiple_of(_ZONES)


@rule(
    "os-tier-shape",
    on=DOMAIN,
    severity=Severity.HIGH,
    why="AWS refuses the domain, or one zone holds more than its share and its loss is no third",
    remedy="Take counts that three divides, and warm nodes wherever there is cold storage",
    key="opensearch.hot.count",
    reference=f"{GUIDE}/ultrawarm.html",
)
def tier_shape(domain: Resource) -> Iterator[Finding]:
    """Zones divide each tier's count; a tier is given wholly or not at all; cold needs warm."""
    yield from must(domain, f"{CONFIG}.instanceCount", _IN_EACH_ZONE)
    warm = domain.get(f"{CONFIG}.warmEnabled")
    if warm is UNKNOWN:
        yield unverified(f"{CONFIG}.warmEnabled")
    elif warm is True:
        yield from must(domain, f"{CONFIG}.warmCount", _IN_EACH_ZONE)
        yield from must(domain, f"{CONFIG}.warmType", one_of("ultrawarm1.medium.search", "ultrawarm1.large.search"))
    else:
        for name in ("warmCount", "warmType"):
            yield from must(domain, f"{CONFIG}.{name}", ABSENT, why="warmEnabled is not true")
        yield from must(domain, f"{CONFIG}.coldStorageOptions.enabled", FALSE, why="cold storage needs warm nodes")
    for path, option in items(domain, f"{CONFIG}.nodeOptions"):
        yield from judge(look(option, "nodeType"), f"{path}.nodeType", one_of("coordinator"))
        if option is not UNKNOWN and look(option, "nodeConfig.enabled") is not False:
            yield from judge(look(option, "nodeConfig.count"), f"{path}.nodeConfig.count", _IN_EACH_ZONE)


@rule(
    "os-cold",
    on=DOMAIN,
    severity=Severity.HIGH,
    why="Cold storage that is switched off deletes the indexes in it, and two years of documents fill warm nodes",
    remedy="Keep cold storage on (components/opensearch.py)",
    reference=f"{GUIDE}/cold-storage.html",
)
def cold(domain: Resource) -> Iterator[Finding]:
    """Where there are warm nodes there is cold storage."""
    # Without warm nodes it is `os-tier-shape` that has something to say.
    if domain.get(f"{CONFIG}.warmEnabled") is True:
        yield from must(domain, f"{CONFIG}.coldStorageOptions.enabled", TRUE)


@rule(
    "os-nodes",
    on=DOMAIN,
    severity=Severity.HIGH,
    why="With fewer nodes the rest are too slow, or too full, once a zone is lost",
    remedy="Give the tier its nodes back",
    key="opensearch.hot.count",
    reference=f"{GUIDE}/sizing-domains.html",
)
def nodes(
    domain: Resource,
    *,
    hot: Annotated[int, Bounds(3, 1002)] = 3,
    warm: Annotated[int, Bounds(0, 150)] = 3,
    coordinators: Annotated[int, Bounds(0, 1002)] = 3,
) -> Iterator[Finding]:
    """So many hot, warm and coordinating nodes, in all zones together.

    What is not known, or no number, is `os-tier-shape`'s to say.
    """
    count = domain.get(f"{CONFIG}.instanceCount")
    if number(count) is not None:
        yield from judge(count, f"{CONFIG}.instanceCount", at_least(hot))
    count, enabled = domain.get(f"{CONFIG}.warmCount"), domain.get(f"{CONFIG}.warmEnabled")
    if number(count) is not None:
        yield from judge(count, f"{CONFIG}.warmCount", at_least(warm))
    elif warm and count is None and enabled in (None, False):
        yield Finding(f"{CONFIG}.warmCount", f"is absent, must be at least {warm}")
    counts = [
        look(option, "nodeConfig.count")
        for _, option in items(domain, f"{CONFIG}.nodeOptions")
        if look(option, "nodeConfig.enabled") is not False
    ]
    known = [found for count in counts if (found := number(count)) is not None]
    if len(known) == len(counts) and sum(known) < coordinators:
        have = shown(sum(known))
        yield Finding(f"{CONFIG}.nodeOptions", f"have {have} coordinating nodes, must have {coordinators} or more")


@rule(
    "os-storage",
    on=DOMAIN,
    severity=Severity.HIGH,
    why="gp2 is slower and dearer than gp3, and a type without disks of its own has nowhere to put an index",
    remedy="Keep gp3 volumes (components/opensearch.py)",
    key="opensearch.hot.storage_gib",
    reference=f"{GUIDE}/sizing-domains.html",
)
def storage(domain: Resource, *, gib: Annotated[int, Bounds(10, 24576)] = 10) -> Iterator[Finding]:
    """Each hot node has a gp3 volume of so many GiB, or disks of its own and none."""
    type_ = domain.get(f"{CONFIG}.instanceType")
    if isinstance(type_, str) and type_.startswith(_LOCAL_DISKS):
        yield from must(domain, "ebsOptions.ebsEnabled", FALSE, why="the type has disks of its own")
        return
    yield from unless(UNKNOWN if type_ is UNKNOWN else None, f"{CONFIG}.instanceType", _volumes(domain, gib))


def _volumes(domain: Resource, gib: int) -> Iterator[Finding]:
    yield from must(domain, "ebsOptions.ebsEnabled", TRUE)
    if domain.get("ebsOptions") is not UNKNOWN:
        # Absent is gp2.
        yield from must(domain, "ebsOptions.volumeType", one_of("gp3"))
        yield from must(domain, "ebsOptions.volumeSize", at_least(gib))


@rule(
    "os-logs",
    on=DOMAIN,
    severity=Severity.MEDIUM,
    why="Without them nobody can tell who read what, or which query was slow",
    remedy="Keep the four logs (components/opensearch.py)",
    reference=f"{GUIDE}/createdomain-configure-slow-logs.html",
)
def logs(domain: Resource) -> Iterator[Finding]:
    """Audit, error and slow logs go to log groups."""
    path = "logPublishingOptions"
    every = items(domain, path)
    hidden = [where for where, option in every if look(option, "logType") is UNKNOWN]
    for kind in ("AUDIT_LOGS", "ES_APPLICATION_LOGS", "INDEX_SLOW_LOGS", "SEARCH_SLOW_LOGS"):
        given = [(where, option) for where, option in every if look(option, "logType") == kind]
        for where, option in given:
            on = Want("true or absent", lambda value: value is None or value is True)
            yield from judge(look(option, "enabled"), f"{where}.enabled", on)
            yield from judge(look(option, "cloudwatchLogGroupArn"), f"{where}.cloudwatchLogGroupArn", NAMED)
        if not given and hidden:
            yield unverified(hidden[0])
        elif not given:
            yield Finding(path, f"have no {kind}, must have them")


@rule(
    "os-auto-tune",
    on=DOMAIN,
    severity=Severity.MEDIUM,
    why="Caches and queues stay at figures for nobody's load, and AWS refuses a standby without it",
    remedy="Keep Auto-Tune on, in the off-peak window (components/opensearch.py)",
    key="opensearch.off_peak_start",
    reference=f"{GUIDE}/auto-tune.html",
)
def auto_tune(domain: Resource) -> Iterator[Finding]:
    """OpenSearch Service tunes the nodes, and only at night."""
    yield from must(domain, "autoTuneOptions.desiredState", one_of("ENABLED"))
    if domain.get("autoTuneOptions") is not UNKNOWN:
        yield from must(domain, "autoTuneOptions.useOffPeakWindow", TRUE)


@rule(
    "os-off-peak",
    on=DOMAIN,
    severity=Severity.MEDIUM,
    why="Updates would come in the hours with the most searches, or, with their security fixes, never",
    remedy="Keep the off-peak window and automatic updates (components/opensearch.py)",
    key="opensearch.off_peak_start",
    reference=f"{GUIDE}/off-peak.html",
)
def off_peak(domain: Resource) -> Iterator[Finding]:
    """Service software is updated, in a window of ours."""
    yield from must(domain, "softwareUpdateOptions.autoSoftwareUpdateEnabled", TRUE)
    yield from must(domain, "offPeakWindowOptions.enabled", TRUE)
    if domain.get("offPeakWindowOptions") is not UNKNOWN:
        hour = Want("an hour", lambda value: (found := number(value)) is not None and 0 <= found <= 23)
        yield from must(domain, "offPeakWindowOptions.offPeakWindow.windowStartTime.hours", hour)
