"""What brings the stores to the version of an image before any pod of it starts: a Job that runs its ``migrate``.

A Job is done once and never changed. So each image has one of its own name, and with that what was done is done: the
next run of the program finds the Job as it left it. It has no ``ttlSecondsAfterFinished``, by which it would be gone
then, and be made again. What it does can be done twice, so a new run for other settings does no harm.

The engine waits until it is done, and the update fails if it is not; the next one makes it again. The Deployments come
after it: until then the pods of the version before go on, which a migration has to allow for (`app/store/schema.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.batch.v1 import JobSpecArgsDict
from pulumi_kubernetes.core.v1 import EnvVarArgsDict
from pulumi_kubernetes.networking.v1 import NetworkPolicySpecArgsDict

from components.pods import container_security, pod_security, port
from components.rds_plan import MASTER_USER
from components.search_service_plan import CANDIDATE, CONFIG_MAP, STORE_PORTS, USER_ID, RoleSpec, release_labels

#: The service account, the network policies, and what the image is told to run.
NAME = "migrate"

#: What the Job does as the user of a role: to look whether there are documents, and in a standby whether there is a
#: schema.
DATABASE_USER = "docsearch_index"

#: It is given up after so long, s. What takes longer, such as an index over a terabyte, is done by hand before.
DEADLINE_SECONDS = 3600

#: Attempts after the first. Between them 10 s, 20 s, 40 s and so on, 6 minutes at most (Kubernetes, "Pod backoff
#: failure policy"): a replica that lags, or an endpoint whose name does not resolve yet, has 10 minutes.
RETRIES = 6

#: The provider by itself would give up after 10 minutes; the Job's own deadline comes first.
TIMEOUTS = pulumi.CustomTimeouts(create="70m", delete="10m")

#: Without it the next update would wait again for a Job that has failed for good (pulumi-kubernetes, "Job").
MADE_AGAIN = {"pulumi.com/replaceUnready": "true"}

#: Characters of an image's digest that tell it from others: 48 bits.
DIGEST_CHARACTERS = 12


@dataclass(frozen=True)
class Migration:
    """One run.

    Attributes:
        key: What logical names end with.
        image: Whose ``migrate`` it is, pinned by digest.
    """

    key: str
    image: str

    @property
    def name(self) -> str:
        """Of the Job: another image has another one."""
        return f"{self.key}-{self.image.rpartition(':')[2][:DIGEST_CHARACTERS]}"


def plan_migrations(image: str, roles: Sequence[RoleSpec]) -> tuple[Migration, ...]:
    """The runs: that of the service's image, and of each image that is tried beside it.

    Args:
        image: The service's.
        roles: The roles, with their candidates.
    """
    found = {image: Migration(NAME, image)}
    for role in roles:
        if role.candidate is not None:
            tried = role.candidate.image
            found.setdefault(tried, Migration(f"{NAME}-{role.name}-{CANDIDATE}", tried))
    return tuple(found.values())


def plan_environment(
    owner: pulumi.Input[str] | None, search_master: pulumi.Input[str], let_in: Mapping[str, pulumi.Input[str]]
) -> list[EnvVarArgsDict]:
    """What its process is told besides what every pod is.

    Args:
        owner: Secret with the login of the database's owner; None where the database is a replica.
        search_master: The role that administers OpenSearch; empty if there is none.
        let_in: By variable, the roles that it lets into OpenSearch.
    """
    told: dict[str, pulumi.Input[str]] = {"DATABASE_POOL_MIN": "0"}
    if owner is not None:
        told |= {"DATABASE_USER": MASTER_USER, "DATABASE_PASSWORD_ARN": owner}
    if search_master:
        told |= {"OPENSEARCH_ROLE_ARN": search_master, **let_in}
    return [{"name": name, "value": value} for name, value in told.items()]


def plan_let_in(roles: Sequence[RoleSpec]) -> dict[str, list[str]]:
    """By variable, the names of the roles that it lets into OpenSearch; see `search_service_rights` for theirs in AWS.

    Args:
        roles: The roles.
    """
    found = {
        "OPENSEARCH_READER_ARNS": [role.name for role in roles if "search" in role.needs and not role.indexes],
        "OPENSEARCH_WRITER_ARNS": [role.name for role in roles if role.indexes],
    }
    return {variable: names for variable, names in found.items() if names}


def plan_job(migration: Migration, environment: Sequence[EnvVarArgsDict], settings: Any) -> JobSpecArgsDict:
    """The Job of a run.

    Args:
        migration: The run.
        environment: See `plan_environment`.
        settings: Digest of all settings: with others it runs again.
    """
    return {
        "backoff_limit": RETRIES,
        "active_deadline_seconds": DEADLINE_SECONDS,
        "template": {
            "metadata": {"labels": release_labels(NAME), "annotations": {"docsearch/settings": settings}},
            "spec": {
                "service_account_name": NAME,
                "automount_service_account_token": False,
                "enable_service_links": False,
                # A new pod for each attempt: those that failed are kept, with what they said.
                "restart_policy": "Never",
                "security_context": {**pod_security(USER_ID), "fs_group": USER_ID},
                "containers": [
                    {
                        "name": NAME,
                        "image": migration.image,
                        "image_pull_policy": "IfNotPresent",
                        "args": [NAME],
                        "env": environment,
                        "env_from": [{"config_map_ref": {"name": CONFIG_MAP}}],
                        "resources": {
                            "requests": {"cpu": "250m", "memory": "512Mi", "ephemeral-storage": "64Mi"},
                            "limits": {"memory": "512Mi", "ephemeral-storage": "128Mi"},
                        },
                        "security_context": container_security(),
                        "volume_mounts": [{"name": "tmp", "mount_path": "/tmp"}],  # noqa: S108 - the container's own
                    }
                ],
                "volumes": [{"name": "tmp", "empty_dir": {"size_limit": "64Mi"}}],
            },
        },
    }


def plan_network_policy(cidr: str) -> NetworkPolicySpecArgsDict:
    """It opens connections to the database; HTTPS, for the rest, the namespace allows.

    Args:
        cidr: The VPC's addresses.
    """
    return {
        "pod_selector": {"match_labels": release_labels(NAME)},
        "policy_types": ["Ingress", "Egress"],
        "ingress": [],
        "egress": [{"to": [{"ip_block": {"cidr": cidr}}], "ports": [port(STORE_PORTS["database"])]}],
    }
