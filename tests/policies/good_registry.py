"""The registry's good settings."""

import json
from typing import Any, Final

from tests.policies.good import GONE, Good

REPOSITORY: Final = "aws:ecr/repository:Repository"
SCANNING: Final = "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration"
LIFECYCLE: Final = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
REPLICATION: Final = "aws:ecr/replicationConfiguration:ReplicationConfiguration"


def shorter(some: list[Any]) -> list[Any]:
    return some[:-1]


def counting(number: int, index: int) -> Any:
    """Another number in a rule of a lifecycle policy."""

    def change(text: str) -> str:
        rules = json.loads(text)["rules"]
        rules[index]["selection"]["countNumber"] = number
        return json.dumps({"rules": rules})

    return change


GOOD: Final = (
    Good(REPOSITORY, "imageTagMutability", "ecr-immutable", ("MUTABLE", "MUTABLE_WITH_EXCLUSION", GONE)),
    Good(REPOSITORY, "imageScanningConfiguration", "ecr-scan"),
    Good(REPOSITORY, "imageScanningConfiguration.scanOnPush", "ecr-scan", (False, GONE)),
    Good(SCANNING, "rules[*].scanFrequency", "ecr-scan", ("MANUAL", GONE)),
    Good(SCANNING, "rules", "ecr-scan-all", ([], GONE), unknown=False),
    Good(SCANNING, "rules[*].repositoryFilters", "ecr-scan-all", (shorter, [])),
    Good(REPOSITORY, "encryptionConfigurations", "ecr-kms", ([], GONE)),
    Good(REPOSITORY, "encryptionConfigurations[*].encryptionType", "ecr-kms", ("AES256", GONE)),
    Good(REPOSITORY, "encryptionConfigurations[*].kmsKey", "ecr-kms", ("", GONE)),
    Good(LIFECYCLE, "", "ecr-lifecycle"),
    Good(LIFECYCLE, "policy", "ecr-retention", (counting(1, 0), counting(1, 1), "not JSON", GONE)),
    Good(
        REPLICATION,
        "replicationConfiguration.rules[*].repositoryFilters",
        "ecr-replication",
        (shorter,),
    ),
)
