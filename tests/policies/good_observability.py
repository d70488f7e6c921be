"""Logs' and alarms' good settings."""

from typing import Final

from tests.policies.good import GONE, Good

LOG_GROUP: Final = "aws:cloudwatch/logGroup:LogGroup"
ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
SUBSCRIPTION: Final = "aws:sns/topicSubscription:TopicSubscription"

GOOD: Final = (
    Good(LOG_GROUP, "kmsKeyId", "logs-kms", ("", GONE)),
    Good(LOG_GROUP, "retentionInDays", "logs-retention", (0, 1, 30, GONE)),
    Good(ALARM, "alarmActions", "alarms-actions", ([], [""], GONE)),
    Good(SUBSCRIPTION, "", "alarms-heard"),
    Good(SUBSCRIPTION, "topic", "alarms-heard", unknown=False),
)
