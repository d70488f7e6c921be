"""Whole regions of the real stack files, recorded against mocks; each is built once per test run."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pulumi

from components.alarms import SEVERITIES
from components.domain import plan_hosts
from components.kms import DATA_CLASSES
from components.secrets import APPLICATION_SECRETS
from components.storage_plan import REPLICATED
from infra.plan import Change, Plan
from stacks.config import StackConfig
from stacks.fleet import read_fleet
from stacks.peer import AnyPeer, NoPeer, Peer
from stacks.region import build
from tests.recording import Recording, record

PROJECT = Path(__file__).resolve().parents[1]
STACKS = ("prod", "dr")


@cache
def region(stack: str, *, locked: bool = True, **changes: Any) -> Recording:
    """What a stack's program registers; `locked` and other changes go over what its file says."""
    fleet = read_fleet(PROJECT)
    config = fleet[stack].model_copy(update={"locked": locked, **changes})
    return record(lambda: build(config, _peer(fleet, config), stack=stack), outputs=_answers(config))


def _peer(fleet: Mapping[str, StackConfig], config: StackConfig) -> AnyPeer:
    """What a standby would read of its primary."""
    if config.peer is None:
        return NoPeer()
    its = fleet[config.peer]

    def shown(value: str) -> pulumi.Output[str]:
        return pulumi.Output.from_input(value)

    return Peer(
        region=its.region,
        domain=shown(its.domain),
        vpc_cidr=shown(str(its.network.cidr)),
        zone_id=shown("Z1"),
        database_arn=shown(f"arn:aws:rds:{its.region}:{its.account_id}:db:head"),
        database_identifier=shown("head"),
        search_domain=shown("opensearch-0badcafe"),
        cache_global_id=shown("ldgnf-cache"),
        backup_vault=shown("backup"),
        key_arns={name: shown(f"arn:aws:kms:{its.region}:{its.account_id}:key/mrk-{name}") for name in DATA_CLASSES},
        bucket_names={kind: shown(f"{kind}-1") for kind in REPLICATED},
        alarm_topics={
            severity: shown(f"arn:aws:sns:{its.region}:{its.account_id}:{severity}") for severity in SEVERITIES
        },
        secrets=pulumi.Output.secret({spec.name: "v" * 64 for spec in APPLICATION_SECRETS}),
    )


def _answers(config: StackConfig) -> dict[str, dict[str, Any]]:
    """What AWS would make up."""
    hosts = plan_hosts(config.domain, config.region)
    proofs = [
        {"domainName": host, "resourceRecordName": f"_p.{host}", "resourceRecordValue": "_v"}
        for host in (hosts.regional, *hosts.shared)
    ]
    return {
        "aws:acm/certificate:Certificate": {"domainValidationOptions": proofs},
        "aws:ec2/eip:Eip": {"publicIp": "192.0.2.1"},
        "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
        "aws:ecr/repository:Repository": {"repositoryUrl": "registry/docsearch"},
        "aws:eks/cluster:Cluster": {"endpoint": f"https://api.{config.role}", "certificateAuthority": {"data": "Y2E="}},
        "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup": {"globalReplicationGroupId": "ldgnf-cache"},
        "aws:elasticache/replicationGroup:ReplicationGroup": {"configurationEndpointAddress": f"cache.{config.role}"},
        "aws:mq/broker:Broker": {"instances": [{"endpoints": ["amqps://b-1.mq.on.aws:5671"]}], "brokerName": "queue-1"},
        "aws:mq/configuration:Configuration": {"latestRevision": 1},
        "aws:opensearch/domain:Domain": {"endpoint": f"index.{config.role}", "domainName": "opensearch-0badcafe"},
        "aws:kms/key:Key": {"keyId": "mrk-1"},
        "aws:kms/replicaKey:ReplicaKey": {"keyId": "mrk-1"},
        "aws:lb/loadBalancer:LoadBalancer": {"dnsName": "lb.example.net", "zoneId": "ZELB", "arnSuffix": "app/1"},
        "aws:lb/targetGroup:TargetGroup": {"arnSuffix": "targetgroup/1"},
        "aws:rds/instance:Instance": {
            "address": "db.example.net",
            "resourceId": "db-1",
        },
        "aws:route53/zone:Zone": {"zoneId": "Z1", "nameServers": ["ns.example.net"]},
        "random:index/randomId:RandomId": {"hex": "0badcafe"},
        "random:index/randomPassword:RandomPassword": {"result": "v" * 64},
    }


def plan(stack: str) -> Plan:
    """The same as a plan: every resource is new."""
    changes = (
        Change(urn=resource.urn, type=resource.type, op="create", inputs=resource.inputs, parent=resource.parent)
        for resource in region(stack).resources
    )
    return Plan(stack, read_fleet(PROJECT)[stack].region, "mocks", tuple(changes))
