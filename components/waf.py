"""The web firewall in front of a region's load balancer.

What it refuses is decided in `components.waf_plan`. It does not look for SQL in requests: people search for it, and the
service binds every value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.alarms import Alarm, Alarms, watch
from components.ingress import Ingress
from components.kms import Kms
from components.network import check_retention
from components.waf_plan import Rule, plan_rules, visibility

#: Without it AWS refuses a log group as a firewall's log (WAF developer guide, "Logging destinations").
LOG_PREFIX = "aws-waf-logs-"

#: What would let a reader of the log act as the user. A value is kept out of a log only field by field.
REDACTED = ("authorization", "cookie", "x-api-key")

#: What is logged: what was refused, and what only counted. Everything else is in the load balancer's own log.
LOGGED = ("BLOCK", "COUNT", "EXCLUDED_AS_COUNT")


@dataclass(frozen=True, kw_only=True)
class WafArgs:
    """What the firewall of a region needs.

    Attributes:
        region: Where it is; its metrics carry the name.
        ingress: The load balancer that it stands in front of.
        keys: Class ``logs`` encrypts its log.
        alarms: Hears that much is refused.
        requests_per_address: What one address may ask in 5 minutes; more is answered 429. A customer's servers come
            from one address: 30,000 are the 6,000 a minute that the service grants one key.
        upload_mib: The largest body, MiB; a longer one is answered 413. Documents have up to 10 MB, and a form
            adds some to that.
        upload_paths: Where documents are taken, with all that is below: only there may a body look like an attack.
        log_retention_days: The requirement keeps logs for a year (section 4).
        locked: AWS's deletion protection and Pulumi's ``protect`` on the log.

    Raises:
        ArgsError: A plain value cannot work.
    """

    region: str
    ingress: Ingress
    keys: Kms
    alarms: Alarms
    requests_per_address: int = 30_000
    upload_mib: int = 11
    upload_paths: Sequence[str] = ("/v1/documents",)
    log_retention_days: int = 365
    locked: bool = True

    def __post_init__(self) -> None:
        check_retention("log_retention_days", self.log_retention_days)
        self.rules()

    def rules(self) -> tuple[Rule, ...]:
        """The rules, in their order.

        Raises:
            ArgsError: AWS would refuse one.
        """
        return plan_rules(
            rate=self.requests_per_address, upload_mib=self.upload_mib, upload_paths=tuple(self.upload_paths)
        )


class Waf(pulumi.ComponentResource):
    """The web firewall of one region.

    Attributes:
        arn: The web ACL, available once it stands in front of the load balancer.
    """

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: WafArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:waf:Waf", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        rules: Any = [rule.inputs(priority, name) for priority, rule in enumerate(args.rules())]
        shown: Any = visibility(name)
        acl = aws.wafv2.WebAcl(
            name,
            scope="REGIONAL",
            description="docsearch - public load balancer",
            default_action={"allow": {}},
            rules=rules,
            visibility_config=shown,
            opts=child,
        )
        self._log(name, acl, args)
        attached = aws.wafv2.WebAclAssociation(name, resource_arn=args.ingress.arn, web_acl_arn=acl.arn, opts=child)
        self.arn = attached.web_acl_arn
        self._watch(name, args)
        self.register_outputs({"arn": self.arn})

    def _log(self, name: str, acl: aws.wafv2.WebAcl, args: WafArgs) -> None:
        """What was refused, for a year, without what would let a reader act as the user."""
        child = pulumi.ResourceOptions(parent=self)
        suffix = random.RandomId(f"{name}-suffix", byte_length=4, opts=child)
        group = aws.cloudwatch.LogGroup(
            name,
            name=pulumi.Output.concat(LOG_PREFIX, name, "-", suffix.hex),
            kms_key_id=args.keys["logs"].arn,
            retention_in_days=args.log_retention_days,
            deletion_protection_enabled=args.locked,
            opts=pulumi.ResourceOptions(parent=self, protect=args.locked),
        )
        kept: Any = {
            "behavior": "KEEP",
            "requirement": "MEETS_ANY",
            "conditions": [{"action_condition": {"action": action}} for action in LOGGED],
        }
        aws.wafv2.WebAclLoggingConfiguration(
            name,
            resource_arn=acl.arn,
            log_destination_configs=[group.arn],
            logging_filter={"default_behavior": "DROP", "filters": [kept]},
            redacted_fields=[{"single_header": {"name": header}} for header in REDACTED],
            opts=child,
        )

    def _watch(self, name: str, args: WafArgs) -> None:
        for rows, rule in ((ALARMS, "ALL"), (RATE_ALARMS, f"{name}-rate")):
            watch(
                self,
                name,
                rows,
                namespace="AWS/WAFV2",
                # By the names of the metrics, not of what they are about (WAF developer guide, "AWS WAF metrics and
                # dimensions").
                dimensions={"WebACL": name, "Region": args.region, "Rule": rule},
                topics=args.alarms.topics,
            )


ALARMS = (
    Alarm(
        name="blocked",
        metric="BlockedRequests",
        threshold=1000,
        statistic="Sum",
        minutes=10,
        missing="notBreaching",
        because="More than 1,000 requests a minute are refused: the log of the firewall says which rule refuses whom",
    ),
    Alarm(
        name="mostly-blocked",
        metric="BlockedRequests",
        share_of="AllowedRequests",
        threshold=100,
        statistic="Sum",
        minutes=10,
        missing="notBreaching",
        severity="page",
        because="More requests are refused than let through: an attack, or a rule of AWS's that now hits our users",
    ),
)

RATE_ALARMS = (
    Alarm(
        name="throttled",
        metric="BlockedRequests",
        threshold=100,
        statistic="Sum",
        minutes=10,
        missing="notBreaching",
        because="An address asks more than it may: a client in a loop, or a customer that has outgrown the limit",
    ),
)
