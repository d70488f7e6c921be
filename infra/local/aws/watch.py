"""What watches: CloudWatch alarms, log groups, and the topics that alarms go to."""

from __future__ import annotations

import json
from typing import Any

from infra.local.aws.cloud import Region
from infra.local.aws.model import Call, Setting, Tagging, Type
from infra.local.resource import Props

_GROUP = {"logGroupName": "{id}"}


def _group_arn(region: Region, props: Props, description: Any) -> str:
    return f"arn:aws:logs:{region.name}:{region.account}:log-group:{props['id']}"


LOG_GROUP = Type(
    "aws:cloudwatch/logGroup:LogGroup",
    "logs",
    id="{name}",
    create=Call("CreateLogGroup", ("kmsKeyId", "logGroupClass"), {"name": "logGroupName"}),
    read=Call("DescribeLogGroups", fixed={"logGroupNamePrefix": "{id}"}, at="logGroups[?logGroupName == '{id}'] | [0]"),
    delete=[Call("DeleteLogGroup", fixed=_GROUP)],
    settings=[
        Setting(
            Call("PutRetentionPolicy", ("retentionInDays",), fixed=_GROUP),
            unset=Call("DeleteRetentionPolicy", (), fixed=_GROUP),
        ),
        Setting(
            Call("AssociateKmsKey", ("kmsKeyId",), fixed=_GROUP),
            unset=Call("DisassociateKmsKey", (), fixed=_GROUP),
            at_create=False,
        ),
    ],
    # moto has no deletion protection of log groups: it is kept, and the destroy order rests on Pulumi's protect.
    recorded=frozenset({"skipDestroy", "deletionProtectionEnabled"}),
    tagging=Tagging(
        create="tags",
        add=Call("TagResource", (), fixed={"resourceArn": "{arn}"}),
        remove=Call("UntagResource", (), fixed={"resourceArn": "{arn}"}),
        get=Call("ListTagsForResource", (), fixed={"resourceArn": "{arn}"}, at="tags"),
        add_tags="tags",
        remove_keys="tagKeys",
        key="",
    ),
    outputs={"arn": _group_arn},
    autoname="name",
    autoname_limit=512,
    missing=("ResourceNotFoundException",),
    note="deletionProtectionEnabled is kept, not enforced",
)

_ALARM_TAGS = {"ResourceARN": "{arn}"}

METRIC_ALARM = Type(
    "aws:cloudwatch/metricAlarm:MetricAlarm",
    "cloudwatch",
    id="{name}",
    create=Call(
        "PutMetricAlarm",
        None,
        {
            "name": "AlarmName",
            "metricQueries": "Metrics",
            "metricQueries.metric": "MetricStat",
            "metricQueries.metric.metricName": "Metric.MetricName",
            "metricQueries.metric.namespace": "Metric.Namespace",
            "metricQueries.metric.dimensions": "Metric.Dimensions",
            "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
        },
    ),
    upsert=True,
    read=Call("DescribeAlarms", fixed={"AlarmNames": ["{id}"]}, at="MetricAlarms[0]"),
    delete=[Call("DeleteAlarms", fixed={"AlarmNames": ["{id}"]})],
    tagging=Tagging(
        create="Tags",
        add=Call("TagResource", (), fixed=_ALARM_TAGS),
        remove=Call("UntagResource", (), fixed=_ALARM_TAGS),
        get=Call("ListTagsForResource", (), fixed=_ALARM_TAGS, at="Tags"),
    ),
    outputs={"arn": "AlarmArn"},
    autoname="name",
    missing=("ResourceNotFound", "ResourceNotFoundException"),
)

_TOPIC = {"TopicArn": "{id}"}


def _topic_attribute(name: str) -> Setting:
    attribute = f"{name[0].upper()}{name[1:]}"
    return Setting(
        Call("SetTopicAttributes", (), {name: "AttributeValue"}, {**_TOPIC, "AttributeName": attribute}),
        at_create=False,
    )


TOPIC = Type(
    "aws:sns/topic:Topic",
    "sns",
    id="TopicArn",
    create=Call(
        "CreateTopic",
        (),
        {
            "name": "Name",
            "displayName": "Attributes.DisplayName",
            "kmsMasterKeyId": "Attributes.KmsMasterKeyId",
            "deliveryPolicy": "Attributes.DeliveryPolicy",
            "policy": "Attributes.Policy",
            "signatureVersion": "Attributes.SignatureVersion",
            "tracingConfig": "Attributes.TracingConfig",
            "fifoTopic": "Attributes.FifoTopic",
            "contentBasedDeduplication": "Attributes.ContentBasedDeduplication",
        },
    ),
    read=Call("GetTopicAttributes", fixed=_TOPIC, at="Attributes"),
    delete=[Call("DeleteTopic", fixed=_TOPIC)],
    settings=[
        _topic_attribute(name)
        for name in (
            "displayName",
            "kmsMasterKeyId",
            "deliveryPolicy",
            "policy",
            "signatureVersion",
            "tracingConfig",
            "contentBasedDeduplication",
        )
    ],
    tagging=Tagging(
        create="Tags",
        add=Call("TagResource", (), fixed={"ResourceArn": "{id}"}),
        remove=Call("UntagResource", (), fixed={"ResourceArn": "{id}"}),
        get=Call("ListTagsForResource", (), fixed={"ResourceArn": "{id}"}, at="Tags"),
    ),
    shows={"name": lambda attributes: attributes["TopicArn"].split(":")[-1]},
    outputs={"arn": "{id}", "owner": "Owner", "policy": lambda *_: None},
    autoname="name",
    autoname_limit=256,
    missing=("NotFound", "NotFoundException"),
)


def _owner_only(region: Region, props: Props) -> None:
    """Taking a topic's policy away puts AWS's default in its place: the owner, nobody else."""
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{region.account}:root"},
        "Action": "SNS:Publish",
        "Resource": props["arn"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    region.call("sns", "SetTopicAttributes", TopicArn=props["arn"], AttributeName="Policy", AttributeValue=policy)


TOPIC_POLICY = Type(
    "aws:sns/topicPolicy:TopicPolicy",
    "sns",
    id="{arn}",
    create=Call("SetTopicAttributes", (), {"arn": "TopicArn", "policy": "AttributeValue"}, {"AttributeName": "Policy"}),
    upsert=True,
    read=Call("GetTopicAttributes", fixed={"TopicArn": "{arn}"}, at="Attributes"),
    shows={"policy": "Policy"},
    before_delete=_owner_only,
    outputs={"owner": "Owner"},
    missing=("NotFound", "NotFoundException"),
)

_SUBSCRIPTION = {"SubscriptionArn": "{id}"}

TOPIC_SUBSCRIPTION = Type(
    "aws:sns/topicSubscription:TopicSubscription",
    "sns",
    id="SubscriptionArn",
    create=Call(
        "Subscribe",
        ("protocol", "endpoint"),
        {
            "topic": "TopicArn",
            "rawMessageDelivery": "Attributes.RawMessageDelivery",
            "filterPolicy": "Attributes.FilterPolicy",
        },
        {"ReturnSubscriptionArn": True},
    ),
    read=Call("GetSubscriptionAttributes", fixed=_SUBSCRIPTION, at="Attributes"),
    delete=[Call("Unsubscribe", fixed=_SUBSCRIPTION)],
    settings=[
        Setting(
            Call(
                "SetSubscriptionAttributes",
                (),
                {name: "AttributeValue"},
                {**_SUBSCRIPTION, "AttributeName": f"{name[0].upper()}{name[1:]}"},
            ),
            at_create=False,
        )
        for name in ("rawMessageDelivery", "filterPolicy")
    ],
    recorded=frozenset({"confirmationTimeoutInMinutes", "endpointAutoConfirms"}),
    outputs={"arn": "{id}", "ownerId": "Owner"},
    missing=("NotFound", "NotFoundException"),
)

TYPES = (LOG_GROUP, METRIC_ALARM, TOPIC, TOPIC_POLICY, TOPIC_SUBSCRIPTION)
