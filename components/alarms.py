"""Alarms of managed services: one shape for a row of a component's table, and the two topics that hear them.

A ``page`` wakes somebody, because users are hurt or soon will be; a ``ticket`` waits for the morning. Each component
keeps its own table of `Alarm` rows beside its planner and turns it into resources with `watch`.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import pulumi
import pulumi_aws as aws

from components.errors import ArgsError
from components.kms import CustomerKey, check_account_id

Severity = Literal["page", "ticket"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)

#: CloudWatch looks back one day at most while a metric is read every minute (PutMetricAlarm, EvaluationPeriods).
MAX_MINUTES = 24 * 60

#: The services that publish here on their own. RDS reports fail-overs, AWS Backup single jobs: no metric shows them.
PUBLISHERS = ("backup.amazonaws.com", "cloudwatch.amazonaws.com", "events.rds.amazonaws.com")


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One row of a component's table of alarms.

    Attributes:
        name: Unique in its table; ends the logical name of the resource.
        metric: The CloudWatch metric, read once a minute.
        threshold: In the unit of the metric; percent when ``share_of`` is given.
        because: What it means and where to look, for whoever is woken.
        severity: ``page`` or ``ticket``.
        minutes: How many minutes are looked at.
        of: How many of those must breach; ``None`` for all.
        statistic: ``Average``, ``Sum``, ``Minimum``, ``Maximum``, or a percentile such as ``p95``.
        above: Whether more than the threshold is bad; otherwise less is.
        missing: How a minute without data counts, in CloudWatch's own words.
        share_of: A second metric: the alarm looks at ``metric`` as a percentage of it.

    Raises:
        ArgsError: CloudWatch would refuse the row.
    """

    name: str
    metric: str
    threshold: float
    because: str
    severity: Severity = "ticket"
    minutes: int = 5
    of: int | None = None
    statistic: str = "Average"
    above: bool = True
    missing: Literal["missing", "ignore", "breaching", "notBreaching"] = "missing"
    share_of: str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.minutes <= MAX_MINUTES:
            raise ArgsError(
                f"alarm {self.name} looks at {self.minutes} minutes",
                why=f"CloudWatch looks at 1 to {MAX_MINUTES}",
            )
        if self.of is not None and not 1 <= self.of <= self.minutes:
            raise ArgsError(f"alarm {self.name} waits for {self.of} of {self.minutes} minutes", why="it never fires")

    def inputs(self, namespace: str, dimensions: Mapping[str, pulumi.Input[str]]) -> dict[str, Any]:
        """The row as arguments of ``aws.cloudwatch.MetricAlarm``, all but its actions."""
        common: dict[str, Any] = {
            "alarm_description": self.because,
            "comparison_operator": "GreaterThanThreshold" if self.above else "LessThanThreshold",
            "threshold": self.threshold,
            "evaluation_periods": self.minutes,
            "datapoints_to_alarm": self.of or self.minutes,
            "treat_missing_data": self.missing,
        }
        percentile = re.fullmatch(r"p\d+(\.\d+)?", self.statistic) is not None
        if self.share_of is None:
            key = "extended_statistic" if percentile else "statistic"
            return common | {
                "namespace": namespace,
                "metric_name": self.metric,
                "dimensions": dict(dimensions),
                "period": 60,
                key: self.statistic,
            }
        parts = {"part": self.metric, "whole": self.share_of}
        queries: list[dict[str, Any]] = [
            {
                "id": id,
                "metric": {
                    "namespace": namespace,
                    "metric_name": metric,
                    "dimensions": dict(dimensions),
                    "period": 60,
                    "stat": self.statistic,
                },
            }
            for id, metric in parts.items()
        ]
        # A metric that counts errors says nothing while there are none.
        share = {"id": "share", "expression": "100 * FILL(part, 0) / whole", "label": self.name, "return_data": True}
        return common | {"metric_queries": [*queries, share]}


def watch(
    parent: pulumi.Resource,
    prefix: str,
    rows: Iterable[Alarm],
    *,
    namespace: str,
    dimensions: Mapping[str, pulumi.Input[str]],
    topics: Mapping[Severity, pulumi.Input[str]],
    provider: pulumi.ProviderResource | None = None,
) -> list[aws.cloudwatch.MetricAlarm]:
    """Turns a table of alarms into resources.

    Args:
        parent: The component that owns them.
        prefix: Starts their logical names.
        rows: The table.
        namespace: Of every metric in the table, such as ``AWS/RDS``.
        dimensions: What every metric in the table is about.
        topics: ARN of the topic per severity, in the region of the alarms.
        provider: Another region's provider; by default the parent's.

    Returns:
        The alarms, in the order of the table.
    """
    return [
        aws.cloudwatch.MetricAlarm(
            f"{prefix}-{row.name}",
            **row.inputs(namespace, dimensions),
            alarm_actions=[topics[row.severity]],
            # The end of it is news too: a pager closes the incident by it.
            ok_actions=[topics[row.severity]],
            opts=pulumi.ResourceOptions(parent=parent, provider=provider),
        )
        for row in rows
    ]


@dataclass(frozen=True, kw_only=True)
class AlarmsArgs:
    """What the topics of a region need.

    Attributes:
        account_id: The account, 12 digits; nobody else's alarms are accepted.
        key: Encrypts messages at rest (class ``messages``, whose policy lets the publishers use it).
        page: E-mail addresses woken by a page: usually the address of a paging service. May be empty while one
            subscribes itself.
        ticket: E-mail addresses that get tickets.
        locked: Pulumi's ``protect`` on the topics: a new topic would have no confirmed subscriber.

    Raises:
        ArgsError: The account id or an address is malformed.
    """

    account_id: str
    key: CustomerKey
    page: Sequence[str] = ()
    ticket: Sequence[str] = ()
    locked: bool = True

    def __post_init__(self) -> None:
        check_account_id(self.account_id)
        for severity in SEVERITIES:
            for address in self.addresses(severity):
                if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address):
                    raise ArgsError(
                        f"alarms.{severity} names {address!r}",
                        why="it is no e-mail address",
                        remedy="Give one that the receiver can confirm a subscription from",
                    )

    def addresses(self, severity: Severity) -> Sequence[str]:
        """Who hears alarms of this severity."""
        return {"page": self.page, "ticket": self.ticket}[severity]


class Alarms(pulumi.ComponentResource):
    """The topics that a region's alarms go to.

    Attributes:
        topics: ARN by severity, available once its policy lets the publishers in.
    """

    topics: Mapping[Severity, pulumi.Output[str]]

    def __init__(self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:alarms:Alarms", name, None, opts)
        self.topics = {severity: self._topic(f"{name}-{severity}", severity, args) for severity in SEVERITIES}
        self.register_outputs({"topics": self.topics})

    def __getitem__(self, severity: Severity) -> pulumi.Output[str]:
        return self.topics[severity]

    def _topic(self, name: str, severity: Severity, args: AlarmsArgs) -> pulumi.Output[str]:
        child = pulumi.ResourceOptions(parent=self)
        topic = aws.sns.Topic(
            name,
            kms_master_key_id=args.key.arn,
            # Version 2 signs messages with SHA-256, version 1 with SHA-1 (SNS developer guide, "Verifying signatures").
            signature_version=2,
            opts=pulumi.ResourceOptions(parent=self, protect=args.locked),
        )
        policy = aws.sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=topic.arn.apply(
                lambda arn: json.dumps(plan_topic_policy(arn, account_id=args.account_id), sort_keys=True)
            ),
            opts=child,
        )
        for address in args.addresses(severity):
            subscriber = f"{name}-{re.sub(r'[^a-z0-9]+', '-', address.lower())}"
            aws.sns.TopicSubscription(subscriber, topic=topic.arn, protocol="email", endpoint=address, opts=child)
        return policy.arn


def plan_topic_policy(topic: str, *, account_id: str) -> dict[str, Any]:
    """Who may publish: the services that raise alarms, for this account only, and nobody in clear text.

    Source: SNS developer guide, "Example cases for access control"; RDS user guide, "Granting permissions to publish
    notifications to a topic".
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "AlarmsOfThisAccount",
                "Effect": "Allow",
                "Principal": {"Service": sorted(PUBLISHERS)},
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
            },
            {
                "Sid": "NobodyInClearText",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sns:Publish",
                "Resource": topic,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }
