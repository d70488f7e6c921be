"""Cases: keys, roles, and what watches."""

from tests.infra.local.aws.case import GONE, Case, attribute
from tests.infra.local.aws.world import document

TRUST = document("sts:AssumeRole", Principal={"Service": "rds.amazonaws.com"})
OTHER_TRUST = document("sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})

KEYS_AND_ROLES = (
    Case(
        "aws:kms/key:Key",
        lambda place, world: {"description": "data", "multiRegion": True, "enableKeyRotation": True},
        change=lambda place, world: {"description": "all data", "tags": {"c": "d"}},
        behind=attribute("kms", "UpdateKeyDescription", KeyId="{}", Description="changed"),
        drifts="description",
    ),
    Case(
        "aws:kms/replicaKey:ReplicaKey",
        lambda place, world: {"primaryKeyArn": world.east.key, "description": "data"},
        change=lambda place, world: {"description": "all data"},
        behind=attribute("kms", "UpdateKeyDescription", KeyId="{}", Description="changed"),
        drifts="description",
        region="west",
    ),
    Case(
        "aws:kms/alias:Alias",
        lambda place, world: {"name": "alias/data", "targetKeyId": place.key.split("/")[-1]},
        change=lambda place, world: {"targetKeyId": place.call("kms", "CreateKey")["KeyMetadata"]["KeyId"]},
        behind=lambda place, state: place.call(
            "kms", "UpdateAlias", AliasName=state.id, TargetKeyId=place.key.split("/")[-1]
        ),
        drifts="targetKeyId",
    ),
    Case(
        "aws:iam/role:Role",
        lambda place, world: {"assumeRolePolicy": TRUST, "description": "one"},
        change=lambda place, world: {"assumeRolePolicy": OTHER_TRUST, "description": "two"},
        behind=attribute("iam", "UpdateRole", RoleName="{}", Description="changed", MaxSessionDuration=3600),
        drifts="description",
    ),
    Case(
        "aws:iam/rolePolicy:RolePolicy",
        lambda place, world: {
            "role": place.role.split("/")[-1],
            "name": "inline",
            "policy": document("s3:GetObject", Resource="*"),
        },
        change=lambda place, world: {"policy": document("s3:PutObject", Resource="*")},
        behind=lambda place, state: place.call(
            "iam",
            "PutRolePolicy",
            RoleName=place.role.split("/")[-1],
            PolicyName="inline",
            PolicyDocument=document("s3:*", Resource="*"),
        ),
        drifts="policy",
    ),
    Case(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        lambda place, world: {"role": place.role.split("/")[-1], "policyArn": place.policy},
        behind=lambda place, state: place.call(
            "iam", "DetachRolePolicy", RoleName=place.role.split("/")[-1], PolicyArn=place.policy
        ),
        drifts=GONE,
    ),
)

WATCH = (
    Case(
        "aws:cloudwatch/logGroup:LogGroup",
        lambda place, world: {"name": "/docsearch/api", "retentionInDays": 30},
        change=lambda place, world: {"retentionInDays": 365, "tags": {"c": "d"}},
        behind=attribute("logs", "PutRetentionPolicy", logGroupName="{}", retentionInDays=7),
        drifts="retentionInDays",
    ),
    Case(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        lambda place, world: {
            "name": "cpu",
            "namespace": "AWS/RDS",
            "metricName": "CPUUtilization",
            "dimensions": {"DBInstanceIdentifier": "db"},
            "statistic": "Average",
            "period": 60,
            "evaluationPeriods": 3,
            "threshold": 80,
            "comparisonOperator": "GreaterThanThreshold",
            "alarmActions": [place.topic],
        },
        change=lambda place, world: {"threshold": 90},
        behind=lambda place, state: place.call(
            "cloudwatch",
            "PutMetricAlarm",
            AlarmName="cpu",
            Namespace="AWS/RDS",
            MetricName="CPUUtilization",
            Statistic="Average",
            Period=60,
            EvaluationPeriods=3,
            Threshold=10,
            ComparisonOperator="GreaterThanThreshold",
        ),
        drifts="threshold",
    ),
    Case(
        "aws:sns/topic:Topic",
        lambda place, world: {"displayName": "one"},
        change=lambda place, world: {"displayName": "two", "tags": {"c": "d"}},
        behind=attribute(
            "sns", "SetTopicAttributes", TopicArn="{}", AttributeName="DisplayName", AttributeValue="changed"
        ),
        drifts="displayName",
    ),
    Case(
        "aws:sns/topicPolicy:TopicPolicy",
        lambda place, world: {"arn": place.topic, "policy": document("SNS:Publish", Principal="*", Resource="*")},
        change=lambda place, world: {"policy": document("SNS:Subscribe", Principal="*", Resource="*")},
        behind=lambda place, state: place.call(
            "sns",
            "SetTopicAttributes",
            TopicArn=place.topic,
            AttributeName="Policy",
            AttributeValue=document("SNS:*", Principal="*", Resource="*"),
        ),
        drifts="policy",
        remains=True,
    ),
    Case(
        "aws:sns/topicSubscription:TopicSubscription",
        lambda place, world: {"topic": place.topic, "protocol": "sqs", "endpoint": "arn:aws:sqs:us-east-1:1:q"},
        change=lambda place, world: {"rawMessageDelivery": True},
        behind=attribute(
            "sns",
            "SetSubscriptionAttributes",
            SubscriptionArn="{}",
            AttributeName="RawMessageDelivery",
            AttributeValue="false",
        ),
        drifts="rawMessageDelivery",
    ),
)
