"""AWS WAF: web ACLs, what they are attached to, and where they log."""

from __future__ import annotations

from infra.local.aws import shapes
from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.aws.plan import operation
from infra.local.aws.waf_rules import acl_rules, logging_rules
from infra.local.resource import Props

_MISSING = ("WAFNonexistentItemException",)
_ACL = {"Name": "{name}", "Scope": "{scope}", "Id": "{id}"}
_ARN = {"ResourceARN": "{arn}"}

_CHANGEABLE = ("defaultAction", "description", "rules", "visibilityConfig", "captchaConfig", "challengeConfig")
_WORDS = {"tokenDomains": "TokenDomains"}


def _token(region: Region, props: Props) -> None:
    """A change needs the token of what it changes, and somebody else may have changed that since it was read."""
    found = region.call("wafv2", "GetWebACL", Name=props["name"], Scope=props["scope"], Id=props["id"])
    props["lockToken"] = found["LockToken"]


def _change(region: Region, context: Props, old: Props, given: Props) -> None:
    """The whole web ACL anew."""
    _token(region, context)
    shape = operation(WEB_ACL.settings[0].set, WEB_ACL).input_shape
    chosen = {name: given[name] for name in (*_CHANGEABLE, *_WORDS) if name in given}
    region.call(
        "wafv2",
        "UpdateWebACL",
        Name=context["name"],
        Scope=context["scope"],
        Id=context["id"],
        LockToken=context["lockToken"],
        **shapes.Mapper(shape, _WORDS).params(chosen),
    )


WEB_ACL = Type(
    "aws:wafv2/webAcl:WebAcl",
    "wafv2",
    id="Summary.Id",
    create=Call("CreateWebACL", ("name", "scope", *_CHANGEABLE), _WORDS),
    settings=[Setting(Call("UpdateWebACL", _CHANGEABLE, _WORDS), at_create=False, apply=_change)],
    read=Call("GetWebACL", fixed=_ACL, at="merge(WebACL, {LockToken: LockToken})"),
    before_delete=_token,
    delete=[Call("DeleteWebACL", fixed={**_ACL, "LockToken": "{lockToken}"})],
    tagging=Tagging(
        create="Tags",
        add=Call("TagResource", (), fixed=_ARN),
        remove=Call("UntagResource", (), fixed=_ARN),
        get=Call("ListTagsForResource", (), fixed=_ARN, at="TagInfoForResource.TagList"),
    ),
    outputs={"arn": "ARN", "capacity": "Capacity", "lockToken": "LockToken"},
    validate=acl_rules,
    missing=_MISSING,
    autoname="name",
    autoname_limit=128,
    note="moto looks at no requests, and counts a capacity of 3 for every web ACL",
)

ASSOCIATION = Type(
    "aws:wafv2/webAclAssociation:WebAclAssociation",
    "wafv2",
    id="{webAclArn},{resourceArn}",
    import_id=r"(?P<webAclArn>[^,]+),(?P<resourceArn>.+)",
    create=Call("AssociateWebACL", (), {"resourceArn": "ResourceArn", "webAclArn": "WebACLArn"}),
    read=Call("GetWebACLForResource", fixed={"ResourceArn": "{resourceArn}"}, at="[WebACL][?ARN=='{webAclArn}'] | [0]"),
    delete=[Call("DisassociateWebACL", fixed={"ResourceArn": "{resourceArn}"})],
    missing=_MISSING,
)

_LOGGED = {"ResourceArn": "{id}"}
_LOGGING = {
    name: f"LoggingConfiguration.{name[0].upper()}{name[1:]}"
    for name in ("resourceArn", "logDestinationConfigs", "redactedFields", "loggingFilter")
}

LOGGING = Type(
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration",
    "wafv2",
    id="{resourceArn}",
    create=Call("PutLoggingConfiguration", (), _LOGGING),
    upsert=True,
    read=Call("GetLoggingConfiguration", fixed=_LOGGED),
    delete=[Call("DeleteLoggingConfiguration", fixed=_LOGGED)],
    # What was taken away is not in the answer at all.
    shows={"redactedFields": "LoggingConfiguration.RedactedFields || `[]`"},
    validate=logging_rules,
    missing=_MISSING,
    note="moto writes no logs",
)

TYPES = (WEB_ACL, ASSOCIATION, LOGGING)
