"""Route 53: hosted zones, records and health checks. All are global: every region sees the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from infra.local.aws import shapes
from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Failure, Props, Unknown


def _tags(kind: str) -> Tagging:
    resource = {"ResourceType": kind, "ResourceId": "{id}"}
    change = Call("ChangeTagsForResource", (), fixed=resource)
    return Tagging(
        add=change,
        remove=change,
        get=Call("ListTagsForResource", (), fixed=resource, at="ResourceTagSet.Tags"),
        add_tags="AddTags",
        remove_keys="RemoveTagKeys",
    )


def _once(region: Region, props: Props) -> Props:
    """What tells one request from a repetition of another."""
    return {**props, "callerReference": str(uuid.uuid4())}


def _bare(name: str) -> str:
    return name.rstrip(".").lower()


def _lower(name: Any) -> Any:
    return _bare(name) if isinstance(name, str) else name


_ZONE = {"Id": "{id}"}


def _prepare_zone(region: Region, props: Props) -> Props:
    """A zone is made with one VPC at most; the others are associated after it."""
    vpcs = [{"vpcRegion": region.name, **vpc} for vpc in shapes.blocks(props, "vpcs")]
    return {**_once(region, props), **({"vpcs": vpcs, "firstVpc": vpcs[0], "private": True} if vpcs else {})}


def _associate(region: Region, context: Props, old: Props, new: Props) -> None:
    before = {vpc["vpcId"]: vpc for vpc in _prepare_zone(region, old).get("vpcs", ())}
    after = {vpc["vpcId"]: vpc for vpc in new.get("vpcs") or ()}
    if not old and after:
        before = dict([next(iter(after.items()))])
    for operation, found, other in (
        ("AssociateVPCWithHostedZone", after, before),
        ("DisassociateVPCFromHostedZone", before, after),
    ):
        for vpc in [vpc for id, vpc in found.items() if id not in other]:
            region.call(
                "route53",
                operation,
                HostedZoneId=context["id"],
                VPC={"VPCRegion": vpc["vpcRegion"], "VPCId": vpc["vpcId"]},
            )


def _clear(region: Region, props: Props) -> None:
    """Delete all records but those that the zone was born with, if the program says so."""
    if not props.get("forceDestroy"):
        return
    zone = region.call("route53", "GetHostedZone", Id=props["id"])["HostedZone"]["Name"]
    records = _records(region, props["id"])
    own = [record for record in records if not (record["Type"] in ("NS", "SOA") and record["Name"] == zone)]
    for start in range(0, len(own), 100):
        changes = [{"Action": "DELETE", "ResourceRecordSet": record} for record in own[start : start + 100]]
        region.call("route53", "ChangeResourceRecordSets", HostedZoneId=props["id"], ChangeBatch={"Changes": changes})


def _records(region: Region, zone: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    start: dict[str, Any] = {}
    while True:
        page = region.call("route53", "ListResourceRecordSets", HostedZoneId=zone, **start)
        found += page["ResourceRecordSets"]
        if not page.get("IsTruncated"):
            return found
        start = {"StartRecordName": page["NextRecordName"], "StartRecordType": page["NextRecordType"]}


ZONE = Type(
    "aws:route53/zone:Zone",
    "route53",
    id=lambda _, answer: str(answer["HostedZone"]["Id"]).split("/")[-1],
    prepare=_prepare_zone,
    create=Call(
        "CreateHostedZone",
        (),
        {
            "name": "Name",
            "comment": "HostedZoneConfig.Comment",
            "delegationSetId": "DelegationSetId",
            "callerReference": "CallerReference",
            "firstVpc": "VPC",
            "private": "HostedZoneConfig.PrivateZone",
        },
    ),
    read=Call("GetHostedZone", fixed=_ZONE),
    update=Call("UpdateHostedZoneComment", ("comment",), fixed=_ZONE),
    settings=[
        Setting(
            Call("AssociateVPCWithHostedZone", (), {"vpcs": "VPC"}),
            apply=_associate,
        )
    ],
    before_delete=_clear,
    delete=[Call("DeleteHostedZone", fixed=_ZONE)],
    shows={
        "name": lambda answer: _bare(answer["HostedZone"]["Name"]),
        "comment": "HostedZone.Config.Comment",
        "delegationSetId": "DelegationSet.Id",
        "vpcs": lambda answer: [
            {"vpcId": vpc["VPCId"], "vpcRegion": vpc["VPCRegion"]} for vpc in answer.get("VPCs") or ()
        ],
    },
    # moto has no operation for the accelerated recovery of a zone.
    recorded=frozenset({"forceDestroy", "enableAcceleratedRecovery"}),
    tagging=_tags("hostedzone"),
    outputs={
        "arn": "arn:{partition}:route53:::hostedzone/{id}",
        "zoneId": "{id}",
        "nameServers": "DelegationSet.NameServers && sort(DelegationSet.NameServers)",
        "primaryNameServer": "DelegationSet.NameServers[0]",
    },
    autoname="name",
    missing=("NoSuchHostedZone",),
    note="enableAcceleratedRecovery is kept, not sent",
)


def _full_name(region: Region, props: Props) -> Props:
    """The record's name in full, as Route 53 has it; a program may leave the zone's out."""
    added: Props = {}
    name, zone = props.get("name"), props.get("zoneId")
    if isinstance(name, str) and isinstance(zone, str):
        suffix = _bare(region.call("route53", "GetHostedZone", Id=zone)["HostedZone"]["Name"])
        name = _bare(name)
        added["name"] = name if name == suffix or name.endswith(f".{suffix}") else f"{name}.{suffix}".strip(".")
    if props.get("aliases"):
        added["aliases"] = [{**alias, "name": _lower(alias["name"])} for alias in shapes.blocks(props, "aliases")]
    if props.get("type") in ("TXT", "SPF") and isinstance(props.get("records"), list):
        added["records"] = [
            text if isinstance(text, Unknown) or str(text).startswith('"') else f'"{text}"' for text in props["records"]
        ]
    action = "UPSERT" if props.get("allowOverwrite") else "CREATE"
    return {**props, **added, "action": action, "setKey": props.get("setIdentifier") or ""}


def _record_id(props: Props, answer: Any) -> str:
    parts = [props["zoneId"], _bare(props["name"]), props["type"], props.get("setIdentifier")]
    return "_".join(part for part in parts if part)


_SET = "ChangeBatch.Changes.ResourceRecordSet"

_SPELLED = {
    "zoneId": "HostedZoneId",
    "name": f"{_SET}.Name",
    "type": f"{_SET}.Type",
    "ttl": f"{_SET}.TTL",
    "records": f"{_SET}.ResourceRecords.Value",
    "setIdentifier": f"{_SET}.SetIdentifier",
    "healthCheckId": f"{_SET}.HealthCheckId",
    "aliases": f"{_SET}.AliasTarget",
    "aliases.name": "DNSName",
    "aliases.zoneId": "HostedZoneId",
    "multivalueAnswerRoutingPolicy": f"{_SET}.MultiValueAnswer",
    "failoverRoutingPolicies": _SET,
    "failoverRoutingPolicies.type": "Failover",
    "latencyRoutingPolicies": _SET,
    "latencyRoutingPolicies.region": "Region",
    "weightedRoutingPolicies": _SET,
    "weightedRoutingPolicies.weight": "Weight",
    "geolocationRoutingPolicies": f"{_SET}.GeoLocation",
    "geolocationRoutingPolicies.continent": "ContinentCode",
    "geolocationRoutingPolicies.country": "CountryCode",
    "geolocationRoutingPolicies.subdivision": "SubdivisionCode",
    "geoproximityRoutingPolicy": f"{_SET}.GeoProximityLocation",
    "geoproximityRoutingPolicy.awsRegion": "AWSRegion",
    "cidrRoutingPolicy": f"{_SET}.CidrRoutingConfig",
}


def _change(action: str) -> Call:
    """A change of the one record set; all of it is always said."""
    return Call(
        "ChangeResourceRecordSets", (), _SPELLED, {"ChangeBatch": {"Changes": [{"Action": action}]}}, whole=True
    )


def _take_away(region: Region, context: Props, old: Props, new: Props) -> None:
    """A record of another type or identifier is another record: the old one goes (on AWS in one batch with the new)."""
    former = _full_name(region, old)
    for record in _records(region, old["zoneId"]):
        if (_bare(record["Name"]), record["Type"], record.get("SetIdentifier", "")) == (
            former["name"],
            former["type"],
            former["setKey"],
        ):
            region.call(
                "route53",
                "ChangeResourceRecordSets",
                HostedZoneId=old["zoneId"],
                ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]},
            )


def _delete_record(region: Region, props: Props) -> None:
    _take_away(region, props, props, {})


_POLICIES = (
    "cidrRoutingPolicy",
    "failoverRoutingPolicies",
    "geolocationRoutingPolicies",
    "geoproximityRoutingPolicy",
    "latencyRoutingPolicies",
    "multivalueAnswerRoutingPolicy",
    "weightedRoutingPolicies",
)


def _record_rules(props: Props) -> Iterable[Failure]:
    """Route 53 API reference, "ResourceRecordSet"."""
    if ("records" in props) == ("aliases" in props):
        yield Failure("records", "exactly one of `aliases` and `records` must be given")
    if "records" in props and "ttl" not in props:
        yield Failure("ttl", "InvalidInput: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]]")
    policies = [name for name in _POLICIES if props.get(name)]
    if policies and not props.get("setIdentifier"):
        yield Failure("setIdentifier", f'"setIdentifier": all of `{policies[0]},setIdentifier` must be specified')
    if props.get("setIdentifier") and not policies:
        yield Failure(
            "setIdentifier", "InvalidInput: SetIdentifier is given, but no routing policy that tells records apart"
        )


def _aliases(record: Any) -> list[dict[str, Any]]:
    target = record.get("AliasTarget")
    if not target:
        return []
    return [
        {
            "name": _bare(target["DNSName"]),
            "zoneId": target["HostedZoneId"],
            "evaluateTargetHealth": target["EvaluateTargetHealth"],
        }
    ]


RECORD = Type(
    "aws:route53/record:Record",
    "route53",
    id=_record_id,
    import_id=r"(?P<zoneId>[^_]+)_(?P<name>.+?)_(?P<type>[A-Z]+)(?:_(?P<setIdentifier>.+))?",
    prepare=_full_name,
    create=_change("{action}"),
    read=Call(
        "ListResourceRecordSets",
        fixed={"HostedZoneId": "{zoneId}", "StartRecordName": "{name}", "StartRecordType": "{type}"},
        at="ResourceRecordSets[?Name == '{name}.' && Type == '{type}' && (SetIdentifier || '') == '{setKey}'] | [0]",
    ),
    update=_change("UPSERT"),
    settings=[
        Setting(
            Call("ChangeResourceRecordSets", (), {name: _SPELLED[name] for name in ("type", "setIdentifier")}),
            at_create=False,
            apply=_take_away,
        )
    ],
    before_delete=_delete_record,
    recorded=frozenset({"allowOverwrite"}),
    shows={
        "name": lambda record: _bare(record["Name"]),
        "records": "ResourceRecords[].Value",
        "aliases": _aliases,
        "failoverRoutingPolicies": "[@][?Failover]",
        "latencyRoutingPolicies": "[@][?Region]",
        "weightedRoutingPolicies": "[@][?Weight]",
    },
    outputs={"fqdn": lambda region, props, record: _bare((record or {}).get("Name", ""))},
    validate=_record_rules,
    missing=("NoSuchHostedZone",),
)

_CHECK = {"HealthCheckId": "{id}"}

_CHECK_SPELLED = {
    "ipAddress": "IPAddress",
    "port": "Port",
    "type": "Type",
    "resourcePath": "ResourcePath",
    "fqdn": "FullyQualifiedDomainName",
    "searchString": "SearchString",
    "requestInterval": "RequestInterval",
    "failureThreshold": "FailureThreshold",
    "measureLatency": "MeasureLatency",
    "invertHealthcheck": "Inverted",
    "disabled": "Disabled",
    "childHealthThreshold": "HealthThreshold",
    "childHealthchecks": "ChildHealthChecks",
    "enableSni": "EnableSNI",
    "regions": "Regions",
    "cloudwatchAlarmName": "AlarmIdentifier.Name",
    "cloudwatchAlarmRegion": "AlarmIdentifier.Region",
    "insufficientDataHealthStatus": "InsufficientDataHealthStatus",
    "routingControlArn": "RoutingControlArn",
}
_FIXED_AT_CREATE = ("type", "requestInterval", "measureLatency", "routingControlArn")
_FROM_OUTSIDE = ("HTTP", "HTTPS", "HTTP_STR_MATCH", "HTTPS_STR_MATCH", "TCP")


def _prepare_check(region: Region, props: Props) -> Props:
    given = _once(region, props)
    if props.get("referenceName"):
        given["callerReference"] = f"{props['referenceName']}-{given['callerReference']}"[:64]
    if props.get("type") not in _FROM_OUTSIDE:
        given.pop("measureLatency", None)
    return given


def _check_rules(props: Props) -> Iterable[Failure]:
    """Route 53 API reference, "HealthCheckConfig"."""
    kind = props.get("type")
    if kind in _FROM_OUTSIDE and not props.get("fqdn") and not props.get("ipAddress"):
        yield Failure(
            "fqdn", "InvalidInput: Invalid parameter : Either IP address or fully qualified domain name is needed"
        )
    if str(kind).endswith("_STR_MATCH") and not props.get("searchString"):
        yield Failure("searchString", f"InvalidInput: Invalid parameter : searchString is needed for type {kind}")
    if kind == "CALCULATED" and not props.get("childHealthchecks"):
        yield Failure(
            "childHealthchecks", "InvalidInput: Invalid parameter : childHealthChecks is needed for type CALCULATED"
        )
    if kind == "CLOUDWATCH_METRIC" and not props.get("cloudwatchAlarmName"):
        yield Failure(
            "cloudwatchAlarmName",
            "InvalidInput: Invalid parameter : alarmIdentifier is needed for type CLOUDWATCH_METRIC",
        )
    threshold = props.get("failureThreshold")
    if isinstance(threshold, int) and not 1 <= threshold <= 10:
        yield Failure("failureThreshold", f"InvalidInput: failureThreshold must be from 1 to 10, not {threshold}")


HEALTH_CHECK = Type(
    "aws:route53/healthCheck:HealthCheck",
    "route53",
    id="HealthCheck.Id",
    prepare=_prepare_check,
    create=Call(
        "CreateHealthCheck",
        (),
        {
            **{name: f"HealthCheckConfig.{target}" for name, target in _CHECK_SPELLED.items()},
            "callerReference": "CallerReference",
        },
    ),
    read=Call("GetHealthCheck", fixed=_CHECK, at="HealthCheck.HealthCheckConfig"),
    update=Call(
        "UpdateHealthCheck",
        (),
        {name: target for name, target in _CHECK_SPELLED.items() if name not in _FIXED_AT_CREATE},
        _CHECK,
    ),
    delete=[Call("DeleteHealthCheck", fixed=_CHECK)],
    recorded=frozenset({"referenceName", "triggers"}),
    tagging=_tags("healthcheck"),
    outputs={"arn": "arn:{partition}:route53:::healthcheck/{id}"},
    validate=_check_rules,
    missing=("NoSuchHealthCheck",),
    note="checks nothing: every check is healthy",
)

TYPES = (ZONE, RECORD, HEALTH_CHECK)
