"""OpenSearch Service: domains and the connections between them, and what a domain needs of IAM and CloudWatch Logs."""

from __future__ import annotations

from typing import Any

from infra.local.aws import shapes
from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.aws.opensearch_rules import connection_rules, domain_replaces, domain_rules, log_policy_rules
from infra.local.resource import Props

_DOMAIN = {"DomainName": "{domainName}"}
_ARN = {"ARN": "{arn}"}

_FIELDS = (
    "accessPolicies",
    "advancedOptions",
    "advancedSecurityOptions",
    "clusterConfig",
    "cognitoOptions",
    "domainEndpointOptions",
    "ebsOptions",
    "offPeakWindowOptions",
    "snapshotOptions",
    "softwareUpdateOptions",
    "vpcOptions",
)
_SPELLED = {"encryptAtRest": "EncryptionAtRestOptions", "nodeToNodeEncryption": "NodeToNodeEncryptionOptions"}


def _publish_logs(region: Region, context: Props, old: Props, new: Props) -> None:
    """Pulumi lists logs with their type, AWS maps the type to the rest; what is no longer listed is switched off."""
    before, after = ({item["logType"]: item for item in shapes.blocks(props, _LOGS)} for props in (old, new))
    options = {
        kind: {
            "CloudWatchLogsLogGroupArn": item.get("cloudwatchLogGroupArn"),
            "Enabled": kind in after and bool(item.get("enabled", True)),
        }
        for kind, item in {**before, **after}.items()
    }
    region.call("opensearch", "UpdateDomainConfig", DomainName=new["domainName"], LogPublishingOptions=options)


_LOGS = "logPublishingOptions"


def _published(description: Any) -> list[dict[str, Any]]:
    """Logs as Pulumi lists them; one that is switched off is as good as not there."""
    return [
        {"logType": kind, "cloudwatchLogGroupArn": item["CloudWatchLogsLogGroupArn"], "enabled": True}
        for kind, item in (description.get("LogPublishingOptions") or {}).items()
        if item.get("Enabled")
    ]


def _endpoint(region: Region, props: Props, description: Any) -> Any:
    """A domain in a VPC has its endpoint elsewhere than a public one."""
    return (description.get("Endpoints") or {}).get("vpc") or description.get("Endpoint")


def _dashboard(region: Region, props: Props, description: Any) -> Any:
    endpoint = _endpoint(region, props, description)
    return f"{endpoint}/_dashboards" if endpoint else None


DOMAIN = Type(
    "aws:opensearch/domain:Domain",
    "opensearch",
    id="DomainStatus.ARN",
    import_id="(arn:[^/]+/)?(?P<domainName>[^/]+)",
    create=Call("CreateDomain", ("domainName", "engineVersion", *_FIELDS), _SPELLED, at="DomainStatus"),
    read=Call("DescribeDomain", fixed=_DOMAIN, at="DomainStatus"),
    update=Call("UpdateDomainConfig", _FIELDS, _SPELLED, _DOMAIN),
    settings=[
        Setting(Call("UpdateDomainConfig", (), {_LOGS: "LogPublishingOptions"}, _DOMAIN), apply=_publish_logs),
        # Its way back is no part of CreateDomain: like the provider, in a second call.
        Setting(Call("UpdateDomainConfig", ("autoTuneOptions",), fixed=_DOMAIN)),
        Setting(Call("UpgradeDomain", (), {"engineVersion": "TargetVersion"}, _DOMAIN), at_create=False),
    ],
    delete=[Call("DeleteDomain", fixed=_DOMAIN)],
    shows={_LOGS: _published},
    tagging=Tagging(
        create="TagList",
        add=Call("AddTags", (), fixed=_ARN),
        remove=Call("RemoveTags", (), fixed=_ARN),
        get=Call("ListTags", (), fixed=_ARN, at="TagList"),
        add_tags="TagList",
    ),
    outputs={
        "arn": "ARN",
        "domainId": "DomainId",
        "endpoint": _endpoint,
        "dashboardEndpoint": _dashboard,
        # moto has the older kind of endpoint only.
        **dict.fromkeys(("endpointV2", "dashboardEndpointV2", "domainEndpointV2HostedZoneId"), lambda *_: None),
    },
    autoname="domainName",
    # What the provider itself allows, although AWS takes 28: a name that is too long is refused, not cut.
    autoname_limit=255,
    replaces=domain_replaces,
    validate=domain_rules,
    missing=("ResourceNotFoundException",),
    note="a change is made at once, and no data is moved; nothing is indexed, saved or replicated",
)

OUTBOUND_CONNECTION = Type(
    "aws:opensearch/outboundConnection:OutboundConnection",
    "opensearch",
    id="c{hex}",
    checked=Call(
        "CreateOutboundConnection",
        ("connectionAlias", "connectionMode", "connectionProperties"),
        {
            "localDomainInfo": "LocalDomainInfo.AWSDomainInformation",
            "remoteDomainInfo": "RemoteDomainInfo.AWSDomainInformation",
        },
    ),
    recorded=frozenset({"acceptConnection"}),
    outputs={"connectionStatus": lambda *_: "PENDING_ACCEPTANCE"},
    validate=connection_rules,
    note="moto has no connections between domains",
)

INBOUND_CONNECTION_ACCEPTER = Type(
    "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter",
    "opensearch",
    id="{connectionId}",
    checked=Call("AcceptInboundConnection", ("connectionId",)),
    outputs={"connectionStatus": lambda *_: "ACTIVE"},
    note="moto has no connections between domains",
)

_LINKED = {"RoleName": "{name}"}

SERVICE_LINKED_ROLE = Type(
    "aws:iam/serviceLinkedRole:ServiceLinkedRole",
    "iam",
    id="Role.Arn",
    import_id="arn:[^/]+/aws-service-role/(?P<awsServiceName>[^/]+)/(?P<name>[^/]+)",
    create=Call("CreateServiceLinkedRole", ("awsServiceName", "description", "customSuffix"), at="Role"),
    read=Call(
        "ListRoles",
        fixed={"PathPrefix": "/aws-service-role/{awsServiceName}/"},
        at="Roles[?Arn == '{id}'] | [0]",
    ),
    settings=[Setting(Call("UpdateRole", ("description",), fixed=_LINKED), at_create=False)],
    delete=[Call("DeleteServiceLinkedRole", fixed=_LINKED)],
    tagging=Tagging(
        add=Call("TagRole", (), fixed=_LINKED),
        remove=Call("UntagRole", (), fixed=_LINKED),
        get=Call("ListRoleTags", (), fixed=_LINKED, at="Tags"),
    ),
    outputs={"name": "RoleName", "uniqueId": "RoleId", "createDate": "CreateDate"},
    missing=("NoSuchEntity",),
)

LOG_RESOURCE_POLICY = Type(
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy",
    "logs",
    id="{policyName}",
    create=Call("PutResourcePolicy", ("policyName", "policyDocument")),
    upsert=True,
    read=Call("DescribeResourcePolicies", at="resourcePolicies[?policyName == '{id}'] | [0]"),
    delete=[Call("DeleteResourcePolicy", fixed={"policyName": "{id}"})],
    validate=log_policy_rules,
    missing=("ResourceNotFoundException",),
)

TYPES = (DOMAIN, OUTBOUND_CONNECTION, INBOUND_CONNECTION_ACCEPTER, SERVICE_LINKED_ROLE, LOG_RESOURCE_POLICY)
