"""Networks, names, the firewall, and what keeps watch."""

from __future__ import annotations

from tests.infra.cost.golden import Case
from tests.infra.cost.priced import figures, made

NAT = "aws:ec2/natGateway:NatGateway"
EIP = "aws:ec2/eip:Eip"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
ALB = "aws:lb/loadBalancer:LoadBalancer"
ZONE = "aws:route53/zone:Zone"
CHECK = "aws:route53/healthCheck:HealthCheck"
RECORD = "aws:route53/record:Record"
ACL = "aws:wafv2/webAcl:WebAcl"
KEY = "aws:kms/key:Key"
REPLICA_KEY = "aws:kms/replicaKey:ReplicaKey"
SECRET = "aws:secretsmanager/secret:Secret"
LOGS = "aws:cloudwatch/logGroup:LogGroup"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
TOPIC = "aws:sns/topic:Topic"
VPC_PRICES = "aws.amazon.com/vpc/pricing"
ELB_PRICES = "aws.amazon.com/elasticloadbalancing/pricing"
WATCH_PRICES = "aws.amazon.com/cloudwatch/pricing"
DNS_PRICES = "aws.amazon.com/route53/pricing"
KMS_PRICES = "aws.amazon.com/kms/pricing"


CASES = [
    # Networks
    Case(
        "a NAT gateway, its data, and its public address (Infracost: address in use not priced)",
        "730 * 0.045 + 100 * 0.045 + 730 * 0.005",
        "41.00",
        f"{VPC_PRICES}; Infracost golden nat_gateway 32.85 for the hours",
        (made(EIP, domain="vpc"), made(NAT, connectivityType="public", allocationId="eipalloc-1")),
        {"traffic__nat_gb": 100},
    ),
    Case(
        "an interface endpoint in three zones, and its data; a gateway endpoint is free",
        "3 * 730 * 0.01 + 1000 * 0.01",
        "31.90",
        "aws.amazon.com/privatelink/pricing; Infracost golden vpc_endpoint 7.30 for a zone",
        (
            made(ENDPOINT, "logs", vpcEndpointType="Interface", subnetIds=["a", "b", "c"]),
            made(ENDPOINT, "s3", vpcEndpointType="Gateway"),
        ),
        {"traffic__endpoints_gb": 1000},
    ),
    Case(
        "a public load balancer in two zones, with as many units as its bytes need",
        "730 * 0.0225 + 2 * 730 * 0.005 + 3 * 730 * 0.008 + 3 * 730 * 0.09",
        "238.345",
        f"{ELB_PRICES}, {VPC_PRICES}; Infracost golden lb 16.43 for the hours, 5.84 for a unit",
        (made(ALB, loadBalancerType="application", subnets=["a", "b"]),),
        {"traffic__internet_out_gb": 3 * 730},
    ),
    Case(
        "a load balancer whose units are counted from new connections",
        "730 * 0.0225 + 4 * 730 * 0.008",
        "39.785",
        ELB_PRICES,
        (made(ALB, loadBalancerType="application", internal=True, subnets=["a", "b"]),),
        {"load_balancer__connections_per_second": 100, "load_balancer__connections": 3000},
    ),
    Case(
        "60 TB to the internet, by tier",
        "730 * 0.0225 + 730 * 0.005 + 61440 * 0.008 + 10240 * 0.09 + 40960 * 0.085 + 10240 * 0.07",
        "5631.595",
        f"{ELB_PRICES}; aws.amazon.com/ec2/pricing/on-demand; Infracost golden data_transfer 921.60, 3,481.60, 0.07",
        (made(ALB, loadBalancerType="application", subnets=["a"]),),
        {"traffic__internet_out_gb": 61440},
    ),
    # Names and firewall
    Case(
        "a hosted zone and five million questions",
        "0.50 + 5 * 0.40",
        "2.50",
        DNS_PRICES,
        (made(ZONE, name="example.com"),),
        {"dns__queries_thousands": 5000},
    ),
    Case(
        "a health check of AWS's own endpoint with HTTPS, every 10 s, with latency",
        "0.50 + 3 * 1.00",
        "3.50",
        f"{DNS_PRICES}; Infracost golden route53_health_check",
        (
            made(RECORD, name="a.example.com", aliases=[{"name": "lb"}]),
            made(CHECK, type="HTTPS", fqdn="a.example.com", requestInterval=10, measureLatency=True),
        ),
    ),
    Case(
        "a health check of somebody else's endpoint, with a text to look for",
        "0.75 + 2 * 2.00",
        "4.75",
        f"{DNS_PRICES}; Infracost golden route53_health_check",
        (made(CHECK, type="HTTPS_STR_MATCH", fqdn="a.example.org"),),
    ),
    Case(
        "a web ACL with two rules, and 100 searches a second",
        "5 + 2 * 1 + 100 * 730 * 3600 / 1000000 * 0.60",
        "164.68",
        "aws.amazon.com/waf/pricing; Infracost golden wafv2_web_acl",
        (made(ACL, rules=[{"name": "a", "statement": {}}, {"name": "b", "statement": {}}]),),
        {"load__searches_per_second": 100},
    ),
    # Keys, secrets, logs, alarms
    Case(
        "a key that is rotated: two more from its third year on (Infracost: not priced)",
        "1 + 2 * 1",
        "3.00",
        f"{KMS_PRICES}; Infracost golden kms_key 1.00",
        (made(KEY, enableKeyRotation=True),),
        least="1",
    ),
    Case(
        "the key of another region, and a million requests",
        "1 + 100 * 0.03",
        "4.00",
        KMS_PRICES,
        (made(REPLICA_KEY),),
        {"requests__kms_thousands": 1000},
        most="1 + 2 * 1 + 100 * 0.03",
    ),
    Case(
        "a secret with a replica, and requests",
        "2 * 0.40 + 10 * 0.05",
        "1.30",
        "aws.amazon.com/secrets-manager/pricing",
        (made(SECRET, replicas=[{"region": "us-west-2"}]),),
        {"requests__secrets_thousands": 100},
    ),
    Case(
        "logs that are kept for a year, at 0.15 of their size",
        "1000 * 0.50 + 1000 * 0.15 * 365 / (730 / 24) * 0.03",
        "554.00",
        f"{WATCH_PRICES}; Infracost golden cloudwatch_log_group",
        (made(LOGS, "app", retentionInDays=365),),
        {"logs__ingested_gb": {"app": figures(traffic__nat_gb=1000).traffic.nat_gb}},
    ),
    Case(
        "15 TB of logs that AWS delivers, by tier",
        "10240 * 0.50 + 5120 * 0.25 + 15360 * 0.15 * 30 / (730 / 24) * 0.03",
        "6468.18",
        WATCH_PRICES,
        (made(LOGS, "waf", name="aws-waf-logs-it", retentionInDays=30),),
        {"logs__ingested_gb": {"waf": figures(traffic__nat_gb=15360).traffic.nat_gb}},
    ),
    Case(
        "alarms: plain, of high resolution, on two metrics, on an anomaly, on alarms",
        "0.10 + 0.30 + 2 * 0.10 + 3 * 0.10 + 0.50",
        "1.40",
        f"{WATCH_PRICES}; Infracost golden cloudwatch_metric_alarm",
        (
            made(ALARM, "plain", period=60),
            made(ALARM, "fast", period=10),
            made(
                ALARM,
                "two",
                metricQueries=[
                    {"id": "a", "metric": {"period": 60}},
                    {"id": "b", "metric": {"period": 60}},
                    {"id": "c", "expression": "a/b"},
                ],
            ),
            made(
                ALARM,
                "anomaly",
                thresholdMetricId="band",
                metricQueries=[
                    {"id": "a", "metric": {"period": 60}},
                    {"id": "band", "expression": "ANOMALY_DETECTION_BAND(a)"},
                ],
            ),
            made(COMPOSITE, "both"),
        ),
    ),
    Case(
        "a topic, with two million messages and 50,000 e-mails",
        "2 * 0.50 + 50 / 100 * 2.00",
        "2.00",
        "aws.amazon.com/sns/pricing",
        (made(TOPIC),),
        {"requests__notifications_thousands": 2000, "requests__emails_thousands": 50},
    ),
]
