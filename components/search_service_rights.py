"""What the pods of each role may do in AWS: one IAM role per service role, given out by EKS Pod Identity.

Everything is named by its ARN; the one exception, a login to the database, is bound to the name of its user. Keys can
be used through one service each, never by the pods themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.kms import Policy
from components.search_service_plan import RoleSpec

Statement = dict[str, Any]

#: A query by POST, and what a client asks first. The index role writes, too.
READ_SEARCH = ("es:ESHttpGet", "es:ESHttpHead", "es:ESHttpPost")
WRITE_SEARCH = (*READ_SEARCH, "es:ESHttpDelete", "es:ESHttpPatch", "es:ESHttpPut")

#: The one thing that a search deletes: the point in time that its pages were read from.
POINT_IN_TIME = "_search/point_in_time*"


@dataclass(frozen=True, kw_only=True)
class Things:
    """The ARNs that rights are about, all known.

    Attributes:
        account_id: The account, 12 digits.
        region: The region of all of them.
        secrets: ARN by environment variable.
        secrets_key: The key of the secrets.
        data_key: The key of the ledger.
        search: The OpenSearch domain; empty if there is none.
        cache: The cache and its user; empty if there is none.
        ledger: Where erasures are noted: a bucket and a prefix, ``arn:aws:s3:::BUCKET/PREFIX``; empty if nowhere.
        database_owner: The secret of the database's owner; empty where the database is a replica.
        search_master: The role that administers OpenSearch; empty if there is none.
    """

    account_id: str
    region: str
    secrets: Mapping[str, str]
    secrets_key: str
    data_key: str
    search: str = ""
    cache: Sequence[str] = ()
    ledger: str = ""
    database_owner: str = ""
    search_master: str = ""


def database_user(role: RoleSpec) -> str:
    """Whom a role logs in to PostgreSQL as, with a token instead of a password: ``docsearch_search``."""
    return f"docsearch_{role.name}".replace("-", "_")


def plan_rights(role: RoleSpec, things: Things) -> Policy:
    """What the pods of a role may do: what it needs, and nothing of what another one does."""
    found = [*_secrets(role, things)]
    if "search" in role.needs and things.search:
        found += _search(role, things)
    if "cache" in role.needs and things.cache:
        # Both are asked for: the cache, and the user that the login is for (ElastiCache user guide, "IAM").
        found.append(_allow("ConnectToCache", ["elasticache:Connect"], list(things.cache)))
    if "database" in role.needs and things.ledger:
        found += _ledger(role, things)
    if "database" in role.needs:
        found.append(_connect(database_user(role), things))
    return {"Version": "2012-10-17", "Statement": found}


def plan_migration_rights(user: str, things: Things) -> Policy:
    """What a run of ``migrate`` may do: be the owner of the database, and the master of OpenSearch, for as long.

    EKS Pod Identity puts tags on a session that stay on the next one, so taking a role takes both actions (EKS user
    guide, "Grant Pods access to AWS resources based on tags").

    Args:
        user: Whom it logs in to PostgreSQL as besides, with a token.
        things: What the rights are about.
    """
    found = [*_read([things.database_owner] if things.database_owner else [], things), _connect(user, things)]
    if things.search_master:
        found.append(_allow("BecomeMasterOfSearch", ["sts:AssumeRole", "sts:TagSession"], [things.search_master]))
    return {"Version": "2012-10-17", "Statement": found}


def _connect(user: str, things: Things) -> Statement:
    # By name of the user: replicas come and go, each with an id of its own, and this user exists in ours only.
    arn = f"arn:aws:rds-db:{things.region}:{things.account_id}:dbuser:*/{user}"
    return _allow("ConnectToDatabase", ["rds-db:connect"], [arn])


def _secrets(role: RoleSpec, things: Things) -> list[Statement]:
    names = things.secrets.keys() if role.secrets is None else role.secrets
    return _read([things.secrets[name] for name in names], things)


def _read(secrets: Sequence[str], things: Things) -> list[Statement]:
    arns = sorted(secrets)
    if not arns:
        return []
    return [
        _allow("ReadSecrets", ["secretsmanager:GetSecretValue"], arns),
        _key("DecryptSecrets", ["kms:Decrypt"], things.secrets_key, f"secretsmanager.{things.region}.amazonaws.com"),
    ]


def _ledger(role: RoleSpec, things: Things) -> list[Statement]:
    """Whoever serves a database looks first whether it lacks an erasure; who carries erasures out notes them.

    Nobody may delete one or write over it: the bucket refuses that to everybody (`components.storage_plan`).
    """
    bucket, _, prefix = things.ledger.partition("/")
    found = [
        _allow("ListErasures", ["s3:ListBucket"], [bucket])
        | {"Condition": {"StringLike": {"s3:prefix": [f"{prefix}/*"]}}}
    ]
    if "broker" in role.needs:
        use = ["kms:Decrypt", "kms:GenerateDataKey"]
        found += [
            _allow("NoteErasures", ["s3:GetObject", "s3:PutObject"], [f"{things.ledger}/*"]),
            _key("UseKeyOfErasures", use, things.data_key, f"s3.{things.region}.amazonaws.com"),
        ]
    return found


def _search(role: RoleSpec, things: Things) -> list[Statement]:
    found = [_allow("UseSearch", list(WRITE_SEARCH if role.indexes else READ_SEARCH), [f"{things.search}/*"])]
    if not role.indexes:
        found.append(_allow("EndPointInTime", ["es:ESHttpDelete"], [f"{things.search}/{POINT_IN_TIME}"]))
    return found


def _allow(name: str, actions: list[str], resources: list[str]) -> Statement:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources}


def _key(name: str, actions: list[str], key: str, service: str) -> Statement:
    """Through one service only: whoever has the role cannot decrypt anything by itself."""
    return _allow(name, actions, [key]) | {"Condition": {"StringEquals": {"kms:ViaService": service}}}
