"""Rows of alarm tables, and the topics that hear them."""

import json
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.alarms import MAX_MINUTES, Alarm, Alarms, AlarmsArgs, plan_topic_policy, watch
from components.errors import ArgsError
from components.kms import CustomerKey

ACCOUNT = "012345678901"
KEY = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/mrk-messages"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"


def args(**changes: Any) -> AlarmsArgs:
    key = CustomerKey(arn=pulumi.Output.from_input(KEY), id=pulumi.Output.from_input("mrk-messages"))
    fields: dict[str, Any] = {"account_id": ACCOUNT, "key": key}
    return AlarmsArgs(**(fields | changes))


def row(**changes: Any) -> Alarm:
    fields: dict[str, Any] = {"name": "cpu", "metric": "CPUUtilization", "threshold": 80, "because": "busy"}
    return Alarm(**(fields | changes))


class Owner(pulumi.ComponentResource):
    def __init__(self, *rows: Alarm, provider: aws.Provider | None = None) -> None:
        super().__init__("docsearch:test:Owner", "owner", None, None)
        watch(
            self,
            "database",
            rows,
            namespace="AWS/RDS",
            dimensions={"DBInstanceIdentifier": "db-1"},
            topics={"page": "arn:page", "ticket": "arn:ticket"},
            provider=provider,
        )


def test_a_row_becomes_an_alarm_that_tells_of_its_end_too(recorded: Any) -> None:
    alarm = recorded(lambda: Owner(row(minutes=15, of=10))).one(ALARM)
    assert alarm.name == "database-cpu"
    assert alarm.parent.endswith("::owner")
    assert alarm.inputs == {
        "alarmDescription": "busy",
        "namespace": "AWS/RDS",
        "metricName": "CPUUtilization",
        "dimensions": {"DBInstanceIdentifier": "db-1"},
        "statistic": "Average",
        "period": 60,
        "evaluationPeriods": 15,
        "datapointsToAlarm": 10,
        "threshold": 80,
        "comparisonOperator": "GreaterThanThreshold",
        "treatMissingData": "missing",
        "alarmActions": ["arn:ticket"],
        "okActions": ["arn:ticket"],
    }


def test_severity_chooses_the_topic_and_a_percentile_its_own_field(recorded: Any) -> None:
    inputs = recorded(lambda: Owner(row(severity="page", statistic="p95", above=False))).one(ALARM).inputs
    assert inputs["alarmActions"] == inputs["okActions"] == ["arn:page"]
    assert inputs["extendedStatistic"] == "p95"
    assert "statistic" not in inputs
    assert inputs["comparisonOperator"] == "LessThanThreshold"


def test_a_share_is_a_percentage_that_counts_silence_as_no_errors(recorded: Any) -> None:
    inputs = recorded(lambda: Owner(row(metric="Errors", share_of="Requests", statistic="Sum"))).one(ALARM).inputs
    assert not {"metricName", "namespace", "statistic", "period", "dimensions"} & inputs.keys()
    part, whole, share = inputs["metricQueries"]
    assert (part["metric"]["metricName"], whole["metric"]["metricName"]) == ("Errors", "Requests")
    assert part["metric"]["stat"] == whole["metric"]["stat"] == "Sum"
    assert share == {
        "id": "share",
        "expression": "100 * FILL(part, 0) / whole",
        "label": "cpu",
        "returnData": True,
    }


def test_alarms_can_live_in_another_region(recorded: Any) -> None:
    run = recorded(lambda: Owner(row(), provider=aws.Provider("peer", region="us-east-1")))
    assert "::peer::" in run.one(ALARM).provider


@given(minutes=st.integers(-5, MAX_MINUTES + 5), of=st.none() | st.integers(-5, MAX_MINUTES + 5))
def test_a_row_exists_only_if_it_can_fire(minutes: int, of: int | None) -> None:
    possible = 1 <= minutes <= MAX_MINUTES and (of is None or 1 <= of <= minutes)
    try:
        row(minutes=minutes, of=of)
    except ArgsError:
        assert not possible
    else:
        assert possible


def test_a_row_that_cannot_fire_says_why() -> None:
    with pytest.raises(ArgsError, match=r"^alarm cpu waits for 6 of 5 minutes: it never fires\.$"):
        row(of=6)
    with pytest.raises(ArgsError, match=r"^alarm cpu looks at 1441 minutes: CloudWatch looks at 1 to 1440\.$"):
        row(minutes=1441)


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(
        lambda: (
            Alarms("alarms", args(page=["pager@example.com"], ticket=["team@example.com", "ops@example.com"])).topics
        )
    )


def test_there_is_a_topic_per_severity_encrypted_and_locked(run: Any) -> None:
    topics = run.of("aws:sns/topic:Topic")
    assert [topic.name for topic in topics] == ["alarms-page", "alarms-ticket"]
    for topic in topics:
        assert topic.inputs == {"kmsMasterKeyId": KEY, "signatureVersion": 2}
        assert topic.protect


def test_a_topic_is_handed_out_once_its_policy_is_in_place(run: Any) -> None:
    assert run.result == {"page": "arn:aws:sns:::alarms-page", "ticket": "arn:aws:sns:::alarms-ticket"}
    for policy in run.of("aws:sns/topicPolicy:TopicPolicy"):
        arn = f"arn:aws:sns:::{policy.name}"
        assert policy.inputs["arn"] == arn
        assert json.loads(policy.inputs["policy"]) == plan_topic_policy(arn, account_id=ACCOUNT)


def test_only_services_of_this_account_publish_and_never_in_clear_text() -> None:
    allow, deny = plan_topic_policy("arn:topic", account_id=ACCOUNT)["Statement"]
    assert allow["Effect"] == "Allow"
    assert allow["Principal"] == {
        "Service": ["backup.amazonaws.com", "cloudwatch.amazonaws.com", "events.rds.amazonaws.com"]
    }
    assert (allow["Action"], allow["Resource"]) == ("sns:Publish", "arn:topic")
    assert allow["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}
    assert deny["Effect"] == "Deny"
    assert deny["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_each_address_subscribes_to_the_topic_of_its_severity(run: Any) -> None:
    found = {
        (subscription.inputs["topic"].rsplit(":", 1)[-1], subscription.inputs["endpoint"])
        for subscription in run.of("aws:sns/topicSubscription:TopicSubscription")
    }
    assert found == {
        ("alarms-page", "pager@example.com"),
        ("alarms-ticket", "team@example.com"),
        ("alarms-ticket", "ops@example.com"),
    }


def test_locks_are_released_on_purpose(recorded: Any) -> None:
    run = recorded(lambda: Alarms("alarms", args(locked=False)))
    assert not any(topic.protect for topic in run.of("aws:sns/topic:Topic"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"page": ["on call"]},
            (
                "alarms.page names 'on call': it is no e-mail address. "
                "Give one that the receiver can confirm a subscription from."
            ),
        ),
        (
            {"account_id": "12345678901"},
            (
                "account_id is '12345678901': an AWS account id is 12 digits. "
                "Quote it in the stack file, so that YAML keeps a leading zero."
            ),
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        args(**changes)
    assert str(error.value) == message
