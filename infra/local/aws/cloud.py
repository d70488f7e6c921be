"""Calls to AWS (here: moto) for one region, and the templates that calls are described with."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from infra.local.resource import Props, ProviderError

ATTEMPTS = 8
"""Tries of one call; enough for an injected throttling rate of one half to converge."""

_TEMPLATE = re.compile(r"\{(\w+)\}")


class AwsError(ProviderError):
    """AWS refused a call; `code` is its error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Clients:
    """One botocore client per service and region, made once: making one costs more than most calls."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._session = botocore.session.Session()
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], BaseClient] = {}

    def client(self, service: str, region: str) -> BaseClient:
        """The client of a service in a region."""
        with self._lock:
            if (service, region) not in self._clients:
                self._clients[service, region] = self._session.create_client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoint,
                    aws_access_key_id="local",
                    aws_secret_access_key="local",  # noqa: S106 - moto asks nobody who they are
                    config=Config(
                        max_pool_connections=64,
                        retries={"mode": "standard", "max_attempts": ATTEMPTS},
                        s3={"addressing_style": "path"},
                        inject_host_prefix=False,
                    ),
                )
            return self._clients[service, region]

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()


class Region:
    """One region of the cloud.

    Attributes:
        name: For example `us-east-1`.
        account: The account id that the cloud answers with.
    """

    def __init__(self, name: str, clients: Clients, account: str = "") -> None:
        self.name = name
        self._clients = clients
        self.account = account or self.call("sts", "GetCallerIdentity")["Account"]

    def peer(self, name: str) -> Region:
        """Another region of the same cloud."""
        return Region(name, self._clients, self.account)

    def call(self, service: str, operation: str, **params: Any) -> dict[str, Any]:
        """Make one call. Raises `AwsError` with AWS's own words."""
        client = self._clients.client(service, self.name)
        try:
            answer: dict[str, Any] = getattr(client, xform_name(operation))(**params)
        except ClientError as error:
            raise AwsError(error.response.get("Error", {}).get("Code", ""), str(error)) from None
        except ParamValidationError as error:
            raise AwsError("ParamValidation", f"{operation}: {error}") from None
        except BotoCoreError as error:
            raise ProviderError(f"{operation} in {self.name}: {error}") from None
        return answer


def render(template: Any, context: Mapping[str, Any]) -> Any:
    """Fill in a template: `{name}` alone becomes the value itself, inside a text its text.

    Raises `ProviderError` for a name that the resource does not have.
    """
    if isinstance(template, Mapping):
        return {key: render(item, context) for key, item in template.items()}
    if isinstance(template, list | tuple):
        return [render(item, context) for item in template]
    if not isinstance(template, str):
        return template
    whole = _TEMPLATE.fullmatch(template)
    if whole:
        return _value(whole[1], context)
    return _TEMPLATE.sub(lambda match: str(_value(match[1], context)), template)


def names_in(template: Any) -> set[str]:
    """The names that a template refers to."""
    if isinstance(template, Mapping):
        return set().union(*map(names_in, template.values())) if template else set()
    if isinstance(template, list | tuple):
        return set().union(*map(names_in, template)) if template else set()
    return set(_TEMPLATE.findall(template)) if isinstance(template, str) else set()


def _value(name: str, context: Mapping[str, Any]) -> Any:
    if context.get(name) is None:
        raise ProviderError(f"the resource has no {name}, which the call needs")
    return context[name]


def context_of(region: Region, id: str, *properties: Props) -> dict[str, Any]:
    """What templates can refer to: the resource's properties, its id, and where it is."""
    context: dict[str, Any] = {}
    for props in properties:
        context.update({name: value for name, value in props.items() if value is not None})
    partition = "aws-us-gov" if region.name.startswith("us-gov-") else "aws"
    return {**context, "id": id or None, "region": region.name, "account": region.account, "partition": partition}
