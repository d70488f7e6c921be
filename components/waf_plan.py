"""What a web firewall lets through, decided before anything is built.

Rules are asked in their order and the first that decides ends it. Three things are particular to a service that takes
documents:

- The firewall sees the first 8 KiB of a body and no more: for a load balancer AWS has no other setting (WAF API,
  AssociationConfig). So the size of an upload is told by its header ``Content-Length``; what comes without one, in
  chunks, only the application can measure.
- How long a query and its cursor may be the service says, with a reason that a program can read (docs/api.md). AWS's
  rules on sizes are stricter and answer a bare 403, so they only count: the service reads no more of a body than it
  takes, and the load balancer no more than 16 KB of a request line (Elastic Load Balancing guide, "Quotas").
- A document may be *about* an attack. AWS's rules on bodies therefore only put a label on a request, and a rule of ours
  blocks by the label wherever no documents are taken.

"Guide" is the AWS WAF developer guide, "API" the AWS WAFV2 API reference.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.errors import ArgsError

#: Capacity that the price of a web ACL includes, WCU; every further 500 are paid per request. AWS refuses more than
#: 5,000 (guide, "AWS WAF quotas").
CAPACITY_WCU = 1500

#: Of requests, before an address is refused; 10 is AWS's least (API, RateBasedStatement).
RATE_LIMITS = range(10, 2_000_000_001)
#: Over which a rate is measured, s (API, EvaluationWindowSec).
RATE_SECONDS = 300

#: The longest regular expression (API, RegexMatchStatement).
REGEX_LENGTH = 512

#: AWS's groups by our name: its name, WCU (guide, "AWS Managed Rules rule groups list"), the name of its labels, and
#: its rules on bodies with the label of each.
GROUPS: Mapping[str, tuple[str, int, str, Mapping[str, str]]] = {
    "reputation": ("AWSManagedRulesAmazonIpReputationList", 25, "amazon-ip-list", {}),
    "known-bad": (
        "AWSManagedRulesKnownBadInputsRuleSet",
        200,
        "known-bad-inputs",
        {
            "JavaDeserializationRCE_BODY": "JavaDeserializationRCE_Body",
            "Log4JRCE_BODY": "Log4JRCE_Body",
            "ReactJSRCE_BODY": "ReactJSRCE_Body",
        },
    ),
    "common": (
        "AWSManagedRulesCommonRuleSet",
        700,
        "core-rule-set",
        {
            "EC2MetaDataSSRF_BODY": "EC2MetaDataSSRF_Body",
            "GenericLFI_BODY": "GenericLFI_Body",
            "GenericRFI_BODY": "GenericRFI_Body",
            "CrossSiteScripting_BODY": "CrossSiteScripting_Body",
        },
    ),
}

#: Rules on sizes of the group "common", which only count: bodies over 8,192 bytes and query strings over 2,048 (guide,
#: "Core rule set").
SIZES = ("SizeRestrictions_BODY", "SizeRestrictions_QUERYSTRING")

#: What a client that is refused for its rate is told to wait, s. A fifth of the window has passed then.
RETRY_SECONDS = 60


@dataclass(frozen=True)
class Rule:
    """One rule of a web ACL.

    Attributes:
        name: Unique in the web ACL; ends the name of its metric.
        statement: What it looks for, as argument of ``aws.wafv2.WebAcl``.
        wcu: What it takes of the capacity, at most.
        status: What a blocked request is answered; ``None`` for a group of AWS's, which decides by its own actions.
        headers: What the answer to a blocked request says besides.
    """

    name: str
    statement: dict[str, Any]
    wcu: int
    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)

    def inputs(self, priority: int, metric: str) -> dict[str, Any]:
        """The rule as argument of ``aws.wafv2.WebAcl``."""
        response: dict[str, Any] = {"response_code": self.status}
        if self.headers:
            response["response_headers"] = [{"name": name, "value": value} for name, value in self.headers.items()]
        refused = {"action": {"block": {"custom_response": response}}}
        return {
            "name": self.name,
            "priority": priority,
            "statement": self.statement,
            **({"override_action": {"none": {}}} if self.status is None else refused),
            "visibility_config": visibility(f"{metric}-{self.name}"),
        }


def visibility(metric: str) -> dict[str, Any]:
    """What is shown of a rule: its metric, and a sample of what matched it."""
    return {"metric_name": metric, "cloudwatch_metrics_enabled": True, "sampled_requests_enabled": True}


def plan_rules(*, rate: int, upload_mib: int, upload_paths: Sequence[str]) -> tuple[Rule, ...]:
    """The rules, in the order in which they are asked.

    Args:
        rate: Requests that one address may send in ``RATE_SECONDS``.
        upload_mib: The largest body, MiB.
        upload_paths: Where documents are taken, with all that is below.

    Returns:
        Cheap rules first: what they refuse is not measured against the expensive ones.

    Raises:
        ArgsError: AWS would refuse a rule, or bill for their capacity.
    """
    if rate not in RATE_LIMITS:
        raise ArgsError(
            f"requests_per_address is {rate}", why=f"AWS WAF takes {RATE_LIMITS.start} to {RATE_LIMITS.stop - 1:,}"
        )
    if not 1 <= upload_mib <= 1024:
        raise ArgsError(f"upload_mib is {upload_mib}", why="an upload is 1 MiB to 1 GiB: the service reads it whole")
    reputation, known_bad, common = (_group(name) for name in GROUPS)
    rules = (
        reputation,
        Rule(
            "rate",
            {
                "rate_based_statement": {
                    "limit": rate,
                    "aggregate_key_type": "IP",
                    "evaluation_window_sec": RATE_SECONDS,
                }
            },
            wcu=2,
            status=429,
            headers={"Retry-After": str(RETRY_SECONDS)},
        ),
        Rule("size", _matches({"single_header": {"name": "content-length"}}, plan_longer(upload_mib << 20)), 13, 413),
        known_bad,
        common,
        _bodies(upload_paths),
    )
    capacity = sum(rule.wcu for rule in rules)
    if capacity > CAPACITY_WCU:
        raise ArgsError(f"the rules take {capacity} WCU", why=f"a web ACL includes {CAPACITY_WCU}")
    return rules


def _group(name: str) -> Rule:
    """One of AWS's groups, which it keeps up to date itself; rules on bodies only label, and those on sizes count."""
    group, wcu, _, bodies = GROUPS[name]
    statement: dict[str, Any] = {"vendor_name": "AWS", "name": group}
    counted = [*bodies, *(SIZES if name == "common" else ())]
    if counted:
        statement["rule_action_overrides"] = [{"name": rule, "action_to_use": {"count": {}}} for rule in counted]
    return Rule(name, {"managed_rule_group_statement": statement}, wcu, None)


def _bodies(paths: Sequence[str]) -> Rule:
    labels = [
        {"label_match_statement": {"scope": "LABEL", "key": f"awswaf:managed:aws:{namespace}:{label}"}}
        for _, _, namespace, bodies in GROUPS.values()
        for label in bodies.values()
    ]
    suspect: dict[str, Any] = {"or_statement": {"statements": labels}}
    if not paths:
        return Rule("bodies", suspect, len(labels), 403)
    # Decoded and normalized, or /v1/documents/../admin would be let through as an upload.
    taken = _matches({"uri_path": {}}, plan_below(paths), "URL_DECODE", "NORMALIZE_PATH")
    elsewhere = {"not_statement": {"statement": taken}}
    return Rule("bodies", {"and_statement": {"statements": [suspect, elsewhere]}}, len(labels) + 23, 403)


def _matches(part: dict[str, Any], regex: str, *transformations: str) -> dict[str, Any]:
    return {
        "regex_match_statement": {
            "field_to_match": part,
            "regex_string": regex,
            "text_transformations": [
                {"priority": priority, "type": type_} for priority, type_ in enumerate(transformations or ("NONE",))
            ],
        }
    }


def plan_longer(most: int) -> str:
    """A regular expression for every decimal number that is greater than ``most``, as WAF cannot compare numbers."""
    digits = str(most)
    greater = [
        f"{digits[:place]}[{int(digit) + 1}-9]{_any(len(digits) - place - 1)}"
        for place, digit in enumerate(digits)
        if digit != "9"
    ]
    return f"^0*({'|'.join([*greater, f'[1-9][0-9]{{{len(digits)},}}'])})$"


def _any(count: int) -> str:
    return f"[0-9]{{{count}}}" if count else ""


def plan_below(paths: Sequence[str]) -> str:
    """A regular expression for paths and all that is below them.

    Raises:
        ArgsError: A path is malformed, or they are too long for one expression.
    """
    for path in paths:
        if not re.fullmatch(r"(/[A-Za-z0-9_.-]+)+", path):
            raise ArgsError(
                f"upload path is {path!r}",
                why="it is /a/b, of letters, digits and _.-, without a slash at its end",
            )
    regex = f"^({'|'.join(path.replace('.', '[.]') for path in paths)})(/|$)"
    if len(regex) > REGEX_LENGTH:
        raise ArgsError(
            f"{len(paths)} upload paths make a regular expression of {len(regex)} characters",
            why=f"AWS WAF takes {REGEX_LENGTH}",
            remedy="Name a path that they have in common",
        )
    return regex
