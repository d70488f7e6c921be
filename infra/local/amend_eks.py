"""What moto gets wrong about EKS, put right when it is loaded: see `infra.local.amend`.

moto forgets half of what a cluster or a node group is created with, knows no new versions of them, and deletes what is
protected. The address of its API servers looks real; here it ends in `.invalid`, a name that never resolves (RFC 2606),
so that nothing is ever sent to it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

CLUSTER_CONFIG = {
    "accessConfig": "access_config",
    "controlPlaneScalingConfig": "control_plane_scaling_config",
    "deletionProtection": "deletion_protection",
    "kubernetesNetworkConfig": "kubernetes_network_config",
    "upgradePolicy": "upgrade_policy",
    "zonalShiftConfig": "zonal_shift_config",
}
"""What a cluster takes and tells again, by moto's spelling."""


def eks(models: Any) -> None:
    """Correct the service, given its models."""
    responses = import_module("moto.eks.responses").EKSResponse
    _clusters(models, responses)
    _versions(models, responses)
    _node_groups(models, responses)
    _tags(models)


def _around(owner: type, name: str, around: Callable[..., Any]) -> None:
    original = getattr(owner, name)

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(original, self, *args, **kwargs)

    setattr(owner, name, method)


def _ec2(backend: Any) -> Any:
    return import_module("moto.ec2.models").ec2_backends[backend.account_id][backend.region_name]


def _result(value: Mapping[str, Any]) -> Any:
    return import_module("moto.core.responses").ActionResult(value)


def _clusters(models: Any, responses: Any) -> None:
    # moto: drops what it does not know; a cluster gets no security group, and an address in AWS's own domain.
    def create(original: Any, self: Any) -> Any:
        answer = original(self)
        cluster = self.eks_backend.clusters[self._get_param("name")]
        for parameter, attribute in CLUSTER_CONFIG.items():
            given = self._get_param(parameter)
            if given is not None:
                setattr(cluster, attribute, {**given} if isinstance(given, Mapping) else given)
        # Which AWS takes and never tells.
        getattr(cluster, "access_config", {}).pop("bootstrapClusterCreatorAdminPermissions", None)
        digest = hashlib.sha256(cluster.arn.encode()).hexdigest()[:32].upper()
        cluster.endpoint = f"https://{digest}.{self.region}.eks.invalid"
        _own_group(models, self.eks_backend, cluster)
        return answer

    # moto: takes a change of a part for the whole, and forgets the parts that it does not know.
    def update(original: Any, self: Any) -> Any:
        name = self._get_param("name")
        cluster = self.eks_backend.describe_cluster(name=name)
        for parameter, attribute in CLUSTER_CONFIG.items():
            given = self._get_param(parameter)
            if isinstance(given, Mapping):
                setattr(cluster, attribute, {**(getattr(cluster, attribute, None) or {}), **given})
            elif given is not None:
                setattr(cluster, attribute, given)
        network = self._get_param("resourcesVpcConfig")
        if network:
            cluster.resources_vpc_config = {**cluster.resources_vpc_config, **network}
        logging = self._get_param("logging")
        if logging:
            cluster.logging = logging
        return _done("ConfigUpdate", name)

    def delete(original: Any, self: Any, name: str) -> Any:
        cluster = self.clusters.get(name)
        if cluster is not None and getattr(cluster, "deletion_protection", False):
            raise models.InvalidRequestException(
                clusterName=name,
                message=f"Cluster {name} cannot be deleted because deletion protection is enabled",
            )
        gone = original(self, name)
        group = gone.resources_vpc_config.get("clusterSecurityGroupId")
        if group:
            _ec2(self).delete_security_group(group_id=group)
        return gone

    _around(responses, "create_cluster", create)
    _around(responses, "update_cluster_config", update)
    _around(models.EKSBackend, "delete_cluster", delete)


def _own_group(models: Any, backend: Any, cluster: Any) -> None:
    """The group that EKS makes for a cluster, in the VPC of its subnets."""
    network = cluster.resources_vpc_config
    ec2 = _ec2(backend)
    try:
        subnets = [ec2.get_subnet(id) for id in network.get("subnetIds", [])]
    except import_module("moto.ec2.exceptions").InvalidSubnetIdError as error:
        del backend.clusters[cluster.name]
        raise models.InvalidParameterException(message=f"The subnet ID does not exist: {error}") from error
    if len({subnet.availability_zone for subnet in subnets}) < 2:
        del backend.clusters[cluster.name]
        raise models.InvalidParameterException(message="Subnets specified must be in at least two different AZs")
    network["vpcId"] = subnets[0].vpc_id
    group = ec2.create_security_group(
        f"eks-cluster-sg-{cluster.name}", "EKS created security group", vpc_id=subnets[0].vpc_id
    )
    network["clusterSecurityGroupId"] = group.id


def _done(kind: str, seed: str) -> Any:
    id = hashlib.sha256(f"{kind}{seed}".encode()).hexdigest()[:32]
    return _result({"update": {"id": id, "status": "Successful", "type": kind}})


def _versions(models: Any, responses: Any) -> None:
    # moto: has no upgrades at all. EKS goes one minor version at a time, and never back.
    def update_cluster_version(self: Any) -> Any:
        name, version = self._get_param("name"), self._get_param("version")
        cluster = self.eks_backend.describe_cluster(name=name)
        step = int(version.split(".")[1]) - int(cluster.version.split(".")[1])
        if step not in (0, 1):
            raise models.InvalidParameterException(
                clusterName=name,
                message=f"Unsupported Kubernetes minor version update from {cluster.version} to {version}",
            )
        cluster.version = version
        return _done("VersionUpdate", name)

    def update_nodegroup_version(self: Any) -> Any:
        name, group = self._get_param("name"), self._get_param("nodegroupName")
        cluster = self.eks_backend.describe_cluster(name=name)
        nodes = self.eks_backend.describe_nodegroup(cluster_name=name, nodegroup_name=group)
        version = self._get_param("version") or cluster.version
        if int(version.split(".")[1]) > int(cluster.version.split(".")[1]):
            raise models.InvalidParameterException(
                clusterName=name,
                nodegroupName=group,
                message=f"Requested Nodegroup Kubernetes version {version} is above the cluster's {cluster.version}",
            )
        template = self._get_param("launchTemplate")
        if (
            template
            and nodes.launch_template
            and template.get("id", nodes.launch_template["id"]) != (nodes.launch_template["id"])
        ):
            raise models.InvalidParameterException(
                clusterName=name, nodegroupName=group, message="The launch template of a node group cannot change"
            )
        if template:
            nodes.launch_template = {**(nodes.launch_template or {}), **template}
        nodes.version, nodes.release_version = version, self._get_param("releaseVersion") or _release(version)
        return _done("VersionUpdate", f"{name}/{group}")

    def associate_encryption_config(self: Any) -> Any:
        name = self._get_param("name")
        self.eks_backend.describe_cluster(name=name).encryption_config = self._get_param("encryptionConfig")
        return _done("AssociateEncryptionConfig", name)

    responses.update_cluster_version = update_cluster_version
    responses.update_nodegroup_version = update_nodegroup_version
    responses.associate_encryption_config = associate_encryption_config
    urls = import_module("moto.eks.urls")
    for path in (
        "/clusters/(?P<name>[^/]+)/updates$",
        "/clusters/(?P<name>[^/]+)/encryption-config/associate$",
        "/clusters/(?P<name>[^/]+)/node-groups/(?P<nodegroupName>[^/]+)/update-version$",
    ):
        urls.url_paths["{0}" + path] = urls.response.dispatch


def _release(version: str) -> str:
    """An image of that version."""
    return f"{version}.1-20261001"


def _node_groups(models: Any, responses: Any) -> None:
    # moto: drops how a group is updated and repaired, gives it a key for SSH that nobody asked for, a disk that its
    # template decides on, and versions of 2021.
    def create(original: Any, self: Any) -> Any:
        answer = original(self)
        name, group = self._get_param("name"), self._get_param("nodegroupName")
        nodes = self.eks_backend.describe_nodegroup(cluster_name=name, nodegroup_name=group)
        nodes.update_config = self._get_param("updateConfig") or {"maxUnavailable": 1}
        nodes.node_repair_config = self._get_param("nodeRepairConfig") or {"enabled": False}
        nodes.remote_access = self._get_param("remoteAccess")
        if nodes.launch_template:
            nodes.disk_size = None
        nodes.ami_type = self._get_param("amiType") or "AL2023_x86_64_STANDARD"
        nodes.version = self._get_param("version") or self.eks_backend.describe_cluster(name=name).version
        nodes.release_version = self._get_param("releaseVersion") or _release(nodes.version)
        return answer

    _around(responses, "create_nodegroup", create)


def _tags(models: Any) -> None:
    # moto: tags clusters only.
    def owner(backend: Any, arn: str) -> Any:
        return next(
            (
                nodes
                for cluster in backend.clusters.values()
                for nodes in cluster.nodegroups.values()
                if nodes.arn == arn
            ),
            None,
        )

    def tag(original: Any, self: Any, resource_arn: str, tags: Mapping[str, str]) -> None:
        nodes = owner(self, resource_arn)
        if nodes is None:
            original(self, resource_arn, tags)
        else:
            nodes.tags.update(tags)

    def untag(original: Any, self: Any, resource_arn: str, tag_keys: Any) -> None:
        nodes = owner(self, resource_arn)
        if nodes is None:
            original(self, resource_arn, tag_keys)
            return
        for key in tag_keys if isinstance(tag_keys, list) else [tag_keys]:
            nodes.tags.pop(key, None)

    def listed(original: Any, self: Any, resource_arn: str) -> Any:
        nodes = owner(self, resource_arn)
        return original(self, resource_arn) if nodes is None else nodes.tags

    _around(models.EKSBackend, "tag_resource", tag)
    _around(models.EKSBackend, "untag_resource", untag)
    _around(models.EKSBackend, "list_tags_for_resource", listed)
