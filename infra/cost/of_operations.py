"""What keeping watch costs: logs, metrics, alarms, keys, secrets, notifications."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from infra.cost.model import HOURS, Charge, Range
from infra.cost.pricing import Around, Charges, NoFigureError, Resource, plain, prices

CLOUDWATCH: Final = "AmazonCloudWatch"
KMS: Final = "awskms"

LOG_GROUP: Final = "aws:cloudwatch/logGroup:LogGroup"
FLOW_LOG: Final = "aws:ec2/flowLog:FlowLog"
ALARM: Final = "aws:cloudwatch/metricAlarm:MetricAlarm"
KEY: Final = "aws:kms/key:Key"
REPLICA_KEY: Final = "aws:kms/replicaKey:ReplicaKey"
SECRET: Final = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type token
TOPIC: Final = "aws:sns/topic:Topic"

DAYS: Final = HOURS / 24
FOREVER_DAYS: Final = Decimal(3653)
"""How long logs without a retention are counted: the longest that CloudWatch takes, ten years."""

ROTATIONS: Final = 2
"""Each rotation of a key adds the price of a key, up to the second (AWS KMS pricing)."""

STANDARD_SECONDS: Final = 60
"""An alarm that looks more often than that is one of high resolution (CloudWatch pricing)."""


@prices(LOG_GROUP, "ingestion")
def ingestion(group: Resource, around: Around) -> Charges:
    """What is written. What services of AWS deliver becomes cheaper by volume."""
    class_ = group.text("logGroupClass", "STANDARD")
    if class_ == "INFREQUENT_ACCESS":
        sku = "logs:ingest:infrequent-access"
    else:
        sku = "logs:vended" if _is_vended(group, around) else "logs:ingest:standard"
    yield Charge("logs written", CLOUDWATCH, sku, _ingested(group, around), f"logs.ingested_gb.{group.name}")


@prices(LOG_GROUP, "storage")
def kept_logs(group: Resource, around: Around) -> Charges:
    """What is kept, compressed, once the retention is full."""
    days = group.number("retentionInDays", 0) or FOREVER_DAYS
    stored = _ingested(group, around) * (around.figures.logs.stored_share * days / DAYS)
    key = f"logs.ingested_gb.{group.name}"
    yield Charge(f"logs kept for {plain(days)} days", CLOUDWATCH, "logs:storage", stored, key)


def _ingested(group: Resource, around: Around) -> Range:
    found = around.figures.logs.of(group.name)
    if found is None:
        raise NoFigureError(f"logs.ingested_gb.{group.name}", "is missing in the usage file")
    return found


def _is_vended(group: Resource, around: Around) -> bool:
    """Whether a service of AWS delivers into it: by the name that the service asks for, or as a flow log's own."""
    name = group.props.get("name")
    called = name if isinstance(name, str) else ""
    return called.startswith(("/aws/vendedlogs/", "aws-waf-logs-")) or around.beside(group, FLOW_LOG) is not None


# Alarms and metrics


@prices(ALARM, "alarm")
def alarm(resource: Resource, around: Around) -> Charges:
    """Each metric that the alarm looks at; looking for an anomaly counts three."""
    queries = resource.each("metricQueries")
    metrics = [at for at in queries if resource.has(f"{at}.metric")]
    periods = [resource.number(f"{at}.metric.period") for at in metrics] or [
        resource.number("period", STANDARD_SECONDS)
    ]
    if resource.has("thresholdMetricId"):
        yield Charge("alarm on an anomaly", CLOUDWATCH, "alarm:anomaly-detection:standard", Range.of(1))
        return
    if queries and not metrics:
        raise NoFigureError("metricQueries", "ask for metrics that are known only when they are looked at")
    count = max(1, len(metrics))
    sku = "alarm:high-resolution" if min(periods) < STANDARD_SECONDS else "alarm:standard"
    yield Charge(f"alarm on {count} metrics" if count > 1 else "alarm", CLOUDWATCH, sku, Range.of(count))


@prices("aws:cloudwatch/compositeAlarm:CompositeAlarm", "alarm")
def composite_alarm(resource: Resource, around: Around) -> Charges:
    """An alarm on alarms."""
    yield Charge("composite alarm", CLOUDWATCH, "alarm:composite", Range.of(1))


@prices("aws:cloudwatch/dashboard:Dashboard", "dashboard")
def dashboard(resource: Resource, around: Around) -> Charges:
    """A dashboard."""
    yield Charge("dashboard", CLOUDWATCH, "dashboard", Range.of(1))


# Keys and secrets


@prices(KEY, "key")
def key(resource: Resource, around: Around) -> Charges:
    """The key."""
    yield Charge("key", KMS, "key:customer-managed", Range.of(1))


@prices(KEY, "rotation")
def rotation(resource: Resource, around: Around) -> Charges:
    """Nothing in the first year of a key that is rotated, one more key in the second, two from the third on."""
    if resource.flag("enableKeyRotation"):
        yield Charge(
            "rotated key material", KMS, "key:rotation", Range(Decimal(0), Decimal(ROTATIONS), Decimal(ROTATIONS))
        )


@prices(REPLICA_KEY, "key")
def replica_key(resource: Resource, around: Around) -> Charges:
    """A replica is a key of its own."""
    yield Charge("replica of a key", KMS, "key:customer-managed", Range.of(1))


@prices(REPLICA_KEY, "rotation")
def replica_rotation(resource: Resource, around: Around) -> Charges:
    """Whether the key is rotated that it is a replica of, and whether that is billed here again, no plan says."""
    yield Charge("rotated key material", KMS, "key:rotation", Range(Decimal(0), Decimal(0), Decimal(ROTATIONS)))


@prices(KEY, "requests")
@prices(REPLICA_KEY, "requests")
def key_requests(resource: Resource, around: Around) -> Charges:
    """Requests, spread evenly over the keys."""
    count = len(around.all(KEY)) + len(around.all(REPLICA_KEY))
    asked = around.figures.requests.kms_thousands.each(lambda whole: whole / 10 / count)
    yield Charge("requests", KMS, "requests:symmetric", asked, "requests.kms_thousands")


@prices(SECRET, "secret")
def secret(resource: Resource, around: Around) -> Charges:
    """The secret, and each replica of it."""
    copies = 1 + len(resource.each("replicas"))
    yield Charge("secret", "AWSSecretsManager", "secret", Range.of(copies))


@prices(SECRET, "requests")
def secret_requests(resource: Resource, around: Around) -> Charges:
    """Requests, spread evenly over the secrets."""
    asked = around.share(around.figures.requests.secrets_thousands, SECRET).each(lambda thousands: thousands / 10)
    yield Charge("requests", "AWSSecretsManager", "api-requests", asked, "requests.secrets_thousands")


@prices(TOPIC, "requests")
def topic(resource: Resource, around: Around) -> Charges:
    """What is published, spread evenly over the topics."""
    sent = around.share(around.figures.requests.notifications_thousands, TOPIC).each(lambda thousands: thousands / 1000)
    yield Charge("notifications", "AmazonSNS", "api-requests:standard", sent, "requests.notifications_thousands")


@prices(TOPIC, "e-mail")
def emails(resource: Resource, around: Around) -> Charges:
    """What is sent to people, spread evenly over the topics."""
    sent = around.share(around.figures.requests.emails_thousands, TOPIC).each(lambda thousands: thousands / 100)
    yield Charge("e-mails", "AmazonSNS", "notifications:email", sent, "requests.emails_thousands")
