"""What an API server refuses although the schema allows it: names, labels, selectors, pods.

The rules that people run into, in the server's own words (`pkg/apis/*/validation` of Kubernetes 1.35). They are not all
of the server's rules: those of a real one hold in full once the provider is given a kubeconfig.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from infra.local.kubernetes_objects import Kind
from infra.local.resource import Failure, Props, Unknown, has_unknown

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_OLD_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")

_SAYS_LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character"
)
_SAYS_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character"
)
_SAYS_OLD_LABEL = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character"
)
_SAYS_QUALIFIED = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character"
)
_SAYS_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character"
)

_ANNOTATION_BYTES = 256 * 1024
_LABEL_CHARACTERS = 63
_SUBDOMAIN_CHARACTERS = 253

_TEMPLATES = {
    "CronJob.batch": "spec.jobTemplate.spec.template",
    "DaemonSet.apps": "spec.template",
    "Deployment.apps": "spec.template",
    "Job.batch": "spec.template",
    "Pod": "",
    "ReplicaSet.apps": "spec.template",
    "StatefulSet.apps": "spec.template",
}
"""Where each kind keeps its pod."""

_SELECTING = frozenset({"DaemonSet.apps", "Deployment.apps", "ReplicaSet.apps", "StatefulSet.apps"})
_BATCH = frozenset({"CronJob.batch", "Job.batch"})
_CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "Deployment.apps": {"spec.strategy.type": ("Recreate", "RollingUpdate")},
    "DaemonSet.apps": {"spec.updateStrategy.type": ("OnDelete", "RollingUpdate")},
    "StatefulSet.apps": {
        "spec.podManagementPolicy": ("OrderedReady", "Parallel"),
        "spec.updateStrategy.type": ("OnDelete", "RollingUpdate"),
    },
    "Service": {"spec.type": ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")},
}

_SUFFIXES = {
    **{
        suffix: Decimal(1000) ** power
        for power, suffix in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")


def quantity(text: str | float) -> Decimal | None:
    """The number that a Kubernetes quantity such as `1500m` or `2Gi` stands for; None when it is none."""
    if not (match := _QUANTITY.fullmatch(str(text))):
        return None
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]


def failures(kind: Kind, object: Props) -> Iterator[Failure]:
    """What is wrong with an object that fits its schema; nothing is said of values that are not known yet."""
    yield from _metadata(kind, _map(object.get("metadata")))
    for path, allowed in _CHOICES.get(kind.path, {}).items():
        yield from _choice(path, _at(object, path), allowed)
    if isinstance(replicas := _at(object, "spec.replicas"), int) and replicas < 0:
        yield Failure("spec.replicas", f"Invalid value: {replicas}: must be greater than or equal to 0")
    if kind.path in _SELECTING:
        yield from _selector(kind, object)
    if (template := _TEMPLATES.get(kind.path)) is not None:
        inside = f"{template}." if template else ""
        if template:
            yield from _labels(f"{inside}metadata.labels", _at(object, f"{inside}metadata.labels"))
        yield from _restart(kind, f"{inside}spec.restartPolicy", _at(object, f"{inside}spec.restartPolicy"))
        # The claims of a StatefulSet become volumes later, so the server does not look for what its mounts name.
        pod = _at(object, f"{inside}spec")
        if not isinstance(pod, Unknown):
            yield from _pod(f"{inside}spec", _map(pod), mounts=kind.path != "StatefulSet.apps")


def _metadata(kind: Kind, metadata: Mapping[str, Any]) -> Iterator[Failure]:
    if isinstance(name := metadata.get("name"), str):
        yield from _invalid("metadata.name", name, _name_problem(kind, name))
    if isinstance(namespace := metadata.get("namespace"), str):
        yield from _invalid("metadata.namespace", namespace, _label_problem(namespace))
    yield from _labels("metadata.labels", metadata.get("labels"))
    annotations = _map(metadata.get("annotations"))
    for key in annotations:
        yield from _invalid("metadata.annotations", key, _qualified_problem(key.lower()))
    size = sum(len(text.encode()) for pair in annotations.items() for text in pair if isinstance(text, str))
    if size > _ANNOTATION_BYTES:
        yield Failure("metadata.annotations", f"Too long: may not be more than {_ANNOTATION_BYTES} bytes")


def _name_problem(kind: Kind, name: str) -> str:
    if kind.group == "rbac.authorization.k8s.io":
        return "may not be '.' or '..', or contain '/' or '%'" if name in {".", ".."} or {"/", "%"} & {*name} else ""
    if kind.path == "Service":
        return _problem(_OLD_LABEL, name, _LABEL_CHARACTERS, _SAYS_OLD_LABEL)
    if kind.path in {"Namespace", "StatefulSet.apps"}:
        return _label_problem(name)
    return _problem(_SUBDOMAIN, name, _SUBDOMAIN_CHARACTERS, _SAYS_SUBDOMAIN)


def _label_problem(name: str) -> str:
    return _problem(_LABEL, name, _LABEL_CHARACTERS, _SAYS_LABEL)


def _problem(form: re.Pattern[str], text: str, longest: int, says: str) -> str:
    if len(text) > longest:
        return f"must be no more than {longest} characters"
    return "" if form.fullmatch(text) else says


def _qualified_problem(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if slash and (problem := _problem(_SUBDOMAIN, prefix, _SUBDOMAIN_CHARACTERS, _SAYS_SUBDOMAIN)):
        return f"prefix part {problem}"
    return _problem(_QUALIFIED, name, _LABEL_CHARACTERS, _SAYS_QUALIFIED)


def _labels(path: str, labels: Any) -> Iterator[Failure]:
    for key, value in _map(labels).items():
        yield from _invalid(path, key, _qualified_problem(key))
        if isinstance(value, str) and value:
            yield from _invalid(path, value, _problem(_QUALIFIED, value, _LABEL_CHARACTERS, _SAYS_VALUE))


def _selector(kind: Kind, object: Props) -> Iterator[Failure]:
    selector = _at(object, "spec.selector")
    if isinstance(selector, Unknown) or has_unknown(_at(object, "spec.template.metadata")):
        return
    selector = _map(selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield Failure("spec.selector", f"Invalid value: empty selector is invalid for {kind.name.lower()}")
        return
    labels = _map(_at(object, "spec.template.metadata.labels"))
    wanted = _map(selector.get("matchLabels"))
    met = all(isinstance(value, Unknown) or labels.get(key) == value for key, value in wanted.items())
    if not met or not all(_met(item, labels) for item in _maps(selector.get("matchExpressions"))):
        yield Failure(
            "spec.template.metadata.labels",
            f"Invalid value: {dict(labels)}: `selector` does not match template `labels`",
        )


def _met(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    if has_unknown(expression) or not expression:
        return True
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return True


def _restart(kind: Kind, path: str, policy: Any) -> Iterator[Failure]:
    if kind.path in _BATCH:
        if policy is None:
            yield Failure(path, 'Required value: valid values: "OnFailure", "Never"')
        yield from _choice(path, policy, ("Never", "OnFailure"))
    elif kind.path == "Pod":
        yield from _choice(path, policy, ("Always", "Never", "OnFailure"))
    else:
        yield from _choice(path, policy, ("Always",))


def _pod(path: str, spec: Mapping[str, Any], *, mounts: bool) -> Iterator[Failure]:
    volumes = {item.get("name") for item in _maps(spec.get("volumes"))} if mounts else None
    if has_unknown(spec.get("volumes")):
        volumes = None
    if not spec.get("containers"):
        yield Failure(f"{path}.containers", "Required value")
    seen: set[str] = set()
    for field in ("containers", "initContainers"):
        for index, container in enumerate(_maps(spec.get(field))):
            yield from _container(f"{path}.{field}[{index}]", container, seen, volumes)


def _container(path: str, container: Mapping[str, Any], seen: set[str], volumes: set[Any] | None) -> Iterator[Failure]:
    if isinstance(name := container.get("name"), str):
        yield from _invalid(f"{path}.name", name, _label_problem(name))
        if name in seen:
            yield Failure(f"{path}.name", f'Duplicate value: "{name}"')
        seen.add(name)
    if container and not container.get("image"):
        yield Failure(f"{path}.image", "Required value")
    yield from _choice(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), ("Always", "IfNotPresent", "Never"))
    for index, port in enumerate(_maps(container.get("ports"))):
        yield from _port(f"{path}.ports[{index}]", port)
    for index, mount in enumerate(_maps(container.get("volumeMounts"))):
        name = mount.get("name")
        if volumes is not None and isinstance(name, str) and name not in volumes:
            yield Failure(f"{path}.volumeMounts[{index}].name", f'Not found: "{name}"')
    yield from _resources(f"{path}.resources", _map(container.get("resources")))


def _port(path: str, port: Mapping[str, Any]) -> Iterator[Failure]:
    number = port.get("containerPort")
    if isinstance(number, int) and not 1 <= number <= 65535:
        yield Failure(f"{path}.containerPort", f"Invalid value: {number}: must be between 1 and 65535, inclusive")
    yield from _choice(f"{path}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _resources(path: str, resources: Mapping[str, Any]) -> Iterator[Failure]:
    limits = _map(resources.get("limits"))
    for name, asked in _map(resources.get("requests")).items():
        limit = limits.get(name)
        if limit is None or has_unknown([limit, asked]):
            continue
        least, most = quantity(asked), quantity(limit)
        if least is not None and most is not None and least > most:
            yield Failure(
                f"{path}.requests", f'Invalid value: "{asked}": must be less than or equal to {name} limit of {limit}'
            )


def _choice(path: str, value: Any, allowed: tuple[str, ...]) -> Iterator[Failure]:
    if isinstance(value, str) and value not in allowed:
        names = ", ".join(f'"{item}"' for item in allowed)
        yield Failure(path, f'Unsupported value: "{value}": supported values: {names}')


def _invalid(path: str, value: str, problem: str) -> Iterator[Failure]:
    if problem:
        yield Failure(path, f'Invalid value: "{value}": {problem}')


def _at(object: Mapping[str, Any], path: str) -> Any:
    """The value at a path: unknown where something on the way is, None where something is missing."""
    value: Any = object
    for part in path.split("."):
        if isinstance(value, Unknown):
            return value
        value = _map(value).get(part)
    return value


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: Any) -> list[Mapping[str, Any]]:
    """The items of a list of maps, an empty one in place of an unknown."""
    return [_map(item) for item in value] if isinstance(value, list) else []
