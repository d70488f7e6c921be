"""One row per executed type, beside the shared life-cycle test. A new type is a new row in one of these modules."""

from tests.infra.local.aws.cases_access import KEYS_AND_ROLES, WATCH
from tests.infra.local.aws.cases_backup import BACKUP, FIREWALL, REGISTRY
from tests.infra.local.aws.cases_database import DATABASE
from tests.infra.local.aws.cases_delivery import DELIVERY, DNS
from tests.infra.local.aws.cases_eks import EKS
from tests.infra.local.aws.cases_elasticache import CACHES
from tests.infra.local.aws.cases_mq import MQ
from tests.infra.local.aws.cases_network import NETWORK
from tests.infra.local.aws.cases_opensearch import OPENSEARCH
from tests.infra.local.aws.cases_storage import STORAGE

CASES = (
    *NETWORK,
    *KEYS_AND_ROLES,
    *WATCH,
    *STORAGE,
    *DATABASE,
    *EKS,
    *CACHES,
    *MQ,
    *OPENSEARCH,
    *DNS,
    *DELIVERY,
    *BACKUP,
    *REGISTRY,
    *FIREWALL,
)
