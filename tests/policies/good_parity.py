"""What ties the two regions together in both plans."""

from typing import Final

from tests.policies.good import GONE, Good
from tests.policies.good_rds import follows_afar

INSTANCE: Final = "aws:rds/instance:Instance"
BACKUPS: Final = "aws:rds/instanceAutomatedBackupsReplication:InstanceAutomatedBackupsReplication"
GLOBAL: Final = "aws:elasticache/globalReplicationGroup:GlobalReplicationGroup"
REPLICA_KEY: Final = "aws:kms/replicaKey:ReplicaKey"
OUTBOUND: Final = "aws:opensearch/outboundConnection:OutboundConnection"
ACCEPTER: Final = "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter"

HERE: Final = "us-west-2"

GOOD: tuple[Good, ...] = (
    Good(GLOBAL, "", "dr-parity"),
    Good(GLOBAL, "primaryReplicationGroupId", "dr-parity", (GONE, "")),
    Good(
        INSTANCE,
        "replicateSourceDb",
        "dr-parity",
        (f"arn:aws:rds:{HERE}:123456789012:db:head",),
        unknown=False,
        where=follows_afar,
    ),
    Good(BACKUPS, "", "dr-parity"),
    Good(BACKUPS, "sourceDbInstanceArn", "dr-parity", (GONE, f"arn:aws:rds:{HERE}:123456789012:db:head")),
    Good(REPLICA_KEY, "primaryKeyArn", "dr-parity", (GONE, f"arn:aws:kms:{HERE}:123456789012:key/mrk-data")),
    Good(OUTBOUND, "", "dr-parity"),
    Good(OUTBOUND, "remoteDomainInfo.region", "dr-parity", (GONE, HERE)),
    Good(ACCEPTER, "", "dr-parity"),
)
