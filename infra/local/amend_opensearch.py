"""What moto gets wrong about OpenSearch domains, and about the service-linked role that they need.

Each correction makes an operation do what AWS says that it does; one (upgrading) moto does not have at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Any

SERVICE = "opensearchservice.amazonaws.com"
"""Whose role lets domains into a VPC (developer guide, "Using service-linked roles")."""


def amend_es(_: Any) -> None:
    """Domains. moto answers for OpenSearch under the name that the service had before."""
    models = import_module("moto.opensearch.models")
    responses = import_module("moto.opensearch.responses")
    backend = models.OpenSearchServiceBackend
    create, update = backend.create_domain, backend.update_domain_config

    # moto: puts a new domain in the place of one with the same name, wherever it may and whatever it may do.
    def create_domain(self: Any, domain_name: str, **given: Any) -> Any:
        if domain_name in self.domains:
            raise _error("ResourceAlreadyExistsException", f"Domain already exists: {domain_name}", 409)
        if given.get("vpc_options"):
            _check_role(self.account_id)
        _check_logs(self, given.get("log_publishing_options"))
        domain = create(self, domain_name=domain_name, **given)
        _place(self, domain)
        return domain

    # moto: fails on a domain that is not there, and forgets what it made of the subnets.
    def update_domain_config(self: Any, domain_name: str, **given: Any) -> Any:
        domain = self.describe_domain(domain_name)
        _check_logs(self, given.get("log_publishing_options"))
        logs = {**(domain.log_publishing_options or {}), **(given.get("log_publishing_options") or {})}
        update(self, domain_name=domain_name, **given)
        domain.log_publishing_options = logs or None
        _place(self, domain)
        return domain

    def upgrade_domain(self: Any) -> str:
        name, version = self._get_param("DomainName"), self._get_param("TargetVersion")
        self.opensearch_backend.describe_domain(name).engine_version.options = version
        return json.dumps({"DomainName": name, "TargetVersion": version, "PerformCheckOnly": False})

    backend.create_domain, backend.update_domain_config = create_domain, update_domain_config
    responses.OpenSearchServiceResponse.upgrade_domain = upgrade_domain
    urls = import_module("moto.es.urls").url_paths
    urls["{0}/2021-01-01/opensearch/upgradeDomain$"] = responses.OpenSearchServiceResponse.dispatch


def _error(code: str, message: str, status: int = 400) -> Exception:
    error = import_module("moto.core.exceptions").JsonRESTError(code, message)
    error.code = status
    found: Exception = error
    return found


def _check_role(account: str) -> None:
    roles = import_module("moto.iam.models").iam_backends[account]["aws"].roles.values()
    if not any(f"/aws-service-role/{SERVICE}/" in role.arn for role in roles):
        raise _error(
            "ValidationException",
            "Before you can proceed, you must enable a service-linked role to give Amazon OpenSearch Service "
            "permissions to access your VPC.",
        )


def _check_logs(backend: Any, options: Mapping[str, Any] | None) -> None:
    """OpenSearch writes into each log group when it is told of it, and says when it may not."""
    logs = import_module("moto.logs.models").logs_backends[backend.account_id][backend.region_name]
    for option in (options or {}).values():
        arn = str(option.get("CloudWatchLogsLogGroupArn") or "").removesuffix(":*")
        name = arn.partition(":log-group:")[2]
        if not option.get("Enabled", True):
            continue
        if name not in logs.groups or not any(fnmatchcase(f"{arn}:*", pattern) for pattern in _granted(logs)):
            raise _error(
                "ValidationException",
                f"The Resource Access Policy specified for the CloudWatch Logs log group {name} does not grant "
                "sufficient permissions for Amazon OpenSearch Service to create a log stream. Please check the "
                "Resource Access Policy.",
            )


def _granted(logs: Any) -> Iterator[str]:
    """What OpenSearch may write to."""
    for policy in logs.resource_policies.values():
        for statement in json.loads(policy.policy_document).get("Statement", ()):
            principal = statement.get("Principal")
            services = principal.get("Service", []) if isinstance(principal, dict) else []
            if statement.get("Effect") == "Allow" and "es.amazonaws.com" in _listed(services):
                yield from _listed(statement.get("Resource", []))


def _listed(value: Any) -> list[Any]:
    """IAM writes one of something without a list."""
    return value if isinstance(value, list) else [value]


def _place(backend: Any, domain: Any) -> None:
    """moto: one and the same kind of address for all domains, and no word of where in the VPC they are."""
    name, region = domain.domain_name, backend.region_name
    digest = base64.b32encode(hashlib.sha256(domain.arn.encode()).digest()).decode().lower()[:26]
    if not domain.vpc_options:
        domain.endpoint, domain.endpoints = f"search-{name}-{digest}.{region}.es.amazonaws.com", None
        return
    domain.endpoint, domain.endpoints = None, {"vpc": f"vpc-{name}-{digest}.{region}.es.amazonaws.com"}
    known = import_module("moto.ec2.models").ec2_backends[backend.account_id][region]
    subnets = [subnet for zone in known.subnets.values() for subnet in zone.values()]
    ours = [subnet for subnet in subnets if subnet.id in domain.vpc_options.get("SubnetIds", ())]
    if ours:
        zones = sorted({subnet.availability_zone for subnet in ours})
        domain.vpc_options = {**domain.vpc_options, "VPCId": ours[0].vpc_id, "AvailabilityZones": zones}


def amend_iam(models: Any) -> None:
    """Service-linked roles: named by the service's full name, one of a service, and kept while they are needed."""
    models.SERVICE_NAME_CONVERSION["opensearchservice"] = "AmazonOpenSearchService"
    backend, exceptions = models.IAMBackend, import_module("moto.iam.exceptions")
    create, delete = backend.create_service_linked_role, backend.delete_service_linked_role

    # moto: says that an entity exists, where AWS speaks of the name.
    def create_role(self: Any, service_name: str, description: str, suffix: str) -> Any:
        taken = [role.name for role in self.roles.values() if f"/aws-service-role/{service_name}/" in role.arn]
        if taken and not suffix:
            error = exceptions.IAMException(
                f"Service role name {taken[0]} has been taken in this account, please try a different suffix."
            )
            error.code = "InvalidInput"
            raise error
        return create(self, service_name, description, suffix)

    # moto: lets a role go that domains use.
    def delete_role(self: Any, role_name: str) -> Any:
        role = self.get_role(role_name)
        regions = import_module("moto.opensearch.models").opensearch_backends[self.account_id]
        if f"/aws-service-role/{SERVICE}/" in role.arn and any(
            domain.vpc_options for region in regions.values() for domain in region.domains.values()
        ):
            raise exceptions.DeleteConflictException(f"Cannot delete role {role_name}: domains use it")
        return delete(self, role_name)

    backend.create_service_linked_role, backend.delete_service_linked_role = create_role, delete_role
