"""The AWS side of the local cloud: every type that it answers for, executed against moto or recorded."""

from __future__ import annotations

import json
from importlib.metadata import version

from infra.local.aws import (
    backup,
    delivery,
    ec2,
    ecr,
    eks,
    elasticache,
    iam,
    kms,
    mq,
    opensearch,
    rds,
    route53,
    s3,
    secretsmanager,
    waf,
    watch,
)
from infra.local.aws.cloud import Clients, Region
from infra.local.aws.model import Type
from infra.local.aws.plan import Plan
from infra.local.aws.session import AwsSession
from infra.local.resource import Coverage, Props, ProviderError, has_unknown
from infra.local.store import Store

TYPES: tuple[Type, ...] = (
    *ec2.TYPES,
    *iam.TYPES,
    *kms.TYPES,
    *s3.TYPES,
    *secretsmanager.TYPES,
    *rds.TYPES,
    *eks.TYPES,
    *elasticache.TYPES,
    *mq.TYPES,
    *opensearch.TYPES,
    *route53.TYPES,
    *delivery.TYPES,
    *watch.TYPES,
    *backup.TYPES,
    *ecr.TYPES,
    *waf.TYPES,
)


class AwsPackage:
    """The `aws` provider.

    Args:
        endpoint: URL that answers AWS's API.
        store: Where recorded types are kept.
    """

    name = "aws"
    version = version("pulumi-aws")

    def __init__(self, endpoint: str, store: Store) -> None:
        self._clients = Clients(endpoint)
        self._store = store
        self._plans = {type_.token: Plan(type_) for type_ in TYPES}

    def configure(self, config: Props) -> AwsSession:
        """Open a session for one `aws.Provider` of the program."""
        settings: Props = {key: _decoded(value) for key, value in config.items()}
        region = settings.get("region")
        if not region or has_unknown(region):
            raise ProviderError("the aws provider needs a region: give `region=` to aws.Provider")
        session = AwsSession(
            Region(str(region), self._clients),
            (settings.get("defaultTags") or {}).get("tags") or {},
            self._plans,
            self._store,
        )
        allowed = settings.get("allowedAccountIds") or []
        if allowed and session.region.account not in allowed:
            raise ProviderError(
                f"AWS account ID not allowed: {session.region.account} (allowed: {', '.join(allowed)}): "
                "account_id of the stack file is not the account of these credentials"
            )
        return session

    def close(self) -> None:
        """Close all connections to the cloud."""
        self._clients.close()


def coverage() -> list[Coverage]:
    """Which types are executed against moto and which are only recorded."""
    return [
        Coverage(type_.token, "executed" if type_.executed else "recorded", type_.note)
        for type_ in sorted(TYPES, key=lambda type_: type_.token)
    ]


def _decoded(value: object) -> object:
    """Provider inputs reach the provider as JSON text, unless they are strings."""
    if isinstance(value, str) and value[:1] in "[{":
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
