"""Logs that are kept and encrypted, and alarms that somebody hears."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final

from policies.keys import TOPIC
from policies.links import referring
from policies.rule import Bounds, Finding, Resource, Severity, Stack, Want, at_least, must, rule, stack_rule
from policies.wants import OWN_KEY, TEXTS

LOG_GROUP: Final = "aws:cloudwatch/logGroup:LogGroup"
ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE: Final = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
SUBSCRIPTION: Final = "aws:sns/topicSubscription:TopicSubscription"

LOGS: Final = "https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs"


@rule(
    "logs-kms",
    on=LOG_GROUP,
    severity=Severity.MEDIUM,
    why="Logs hold what users searched for; under AWS's own key their readers cannot be told apart",
    remedy="Pass the region's key for logs as kms_key_id of the log group",
    reference=f"{LOGS}/encrypt-log-data-kms.html",
)
def logs_kms(group: Resource) -> Iterator[Finding]:
    """Log groups are encrypted with a key of ours."""
    yield from must(group, "kmsKeyId", OWN_KEY)


@rule(
    "logs-retention",
    on=LOG_GROUP,
    severity=Severity.MEDIUM,
    why="Logs that are gone explain nothing, and logs that never go are paid for ever",
    remedy="Set retention_in_days of the log group to a year: the requirement, section 4",
    reference=f"{LOGS}/Working-with-log-groups-and-streams.html",
)
def logs_retention(group: Resource, *, days: Annotated[int, Bounds(1, 3653)] = 365) -> Iterator[Finding]:
    """Logs are kept for days, and not for ever, which is what 0 and nothing mean."""
    yield from must(group, "retentionInDays", at_least(days))


@rule(
    "alarms-actions",
    on=(ALARM, COMPOSITE),
    severity=Severity.HIGH,
    why="An alarm that tells nobody is seen when users complain",
    remedy="Pass alarms to the component, which gives the topic: components/alarms.py",
    reference="https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html",
)
def alarms_actions(alarm: Resource) -> Iterator[Finding]:
    """Every alarm tells somebody."""
    yield from must(alarm, "alarmActions", TEXTS)
    yield from must(alarm, "actionsEnabled", Want("true or absent", lambda value: value is None or value is True))


@stack_rule(
    "alarms-heard",
    on=(TOPIC, SUBSCRIPTION),
    severity=Severity.HIGH,
    why="A topic without a subscription is an alarm bell in an empty house",
    remedy="Name an address",
    key="alarms.page",
    reference="https://docs.aws.amazon.com/sns/latest/dg/sns-create-subscribe-endpoint-to-topic.html",
)
def alarms_heard(stack: Stack) -> Iterator[Finding]:
    """Somebody listens to every topic."""
    for topic in stack.of(TOPIC):
        found, maybe = referring(stack, "topic", topic, (SUBSCRIPTION,))
        if not found:
            yield Finding("", "has no subscription", verified=not maybe, urn=topic.urn)
