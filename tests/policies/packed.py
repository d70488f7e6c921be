"""The real pack, served as the engine is served by it, without an engine."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi_policy import EnforcementLevel

from policies.catalogue import every_rule
from policies.pack import NAME, UNVERIFIED, WAIVED, policies, server
from policies.rule import UNKNOWN, Resource
from policies.waivers import Waiver

UNKNOWN_TEXT: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How the engine writes a value that is not known (pulumi sdk, `plugin.UnknownStringValue`)."""

TODAY: Final = date(2026, 11, 23)


@dataclass(frozen=True)
class Said:
    """What the pack said of a resource or a stack."""

    rule: str
    kind: str
    urn: str
    text: str


class Pack:
    """The pack's server.

    Args:
        waivers: What is waived.
        limits: Thresholds by rule.
        today: The day by which waivers are judged.
    """

    def __init__(
        self,
        waivers: Sequence[Waiver] = (),
        *,
        limits: Mapping[str, Mapping[str, int]] | None = None,
        today: date = TODAY,
    ) -> None:
        rules = every_rule()
        self.rules = {rule.id: rule for rule in rules}
        made = policies(rules, waivers, today=today)
        self.server = server(rules)(NAME, "1.0.0", made, EnforcementLevel.MANDATORY)
        configured = {}
        for id_, its in (limits or {}).items():
            properties = Struct()
            properties.update(its)
            level = proto.MANDATORY if self.rules[id_].severity.blocks else proto.ADVISORY
            configured[id_] = proto.PolicyConfig(enforcementLevel=level, properties=properties)
        self.server.Configure(proto.ConfigureAnalyzerRequest(policyConfig=configured), None)

    def of(self, resource: Resource) -> list[Said]:
        """What resource rules say."""
        return _said(self.server.Analyze(request(resource), None))

    def of_stack(self, resources: Iterable[proto.AnalyzerResource], *, type_: str = "") -> list[Said]:
        """What stack rules say; with a type only those that look at it."""
        every = list(resources)
        if not type_:
            return _said(self.server.AnalyzeStack(proto.AnalyzeStackRequest(resources=every), None))
        answer = []
        for id_, its in self.server.of_stack.items():
            if type_ in self.rules[id_].types:
                some = [one for one in every if one.type in self.rules[id_].types]
                answer += _said(its.AnalyzeStack(proto.AnalyzeStackRequest(resources=some), None))
        return answer


def request(resource: Resource) -> proto.AnalyzeRequest:
    """A resource as the engine sends it to be looked at alone."""
    return proto.AnalyzeRequest(
        urn=resource.urn,
        type=resource.type,
        name=resource.name,
        properties=_struct(resource.props),
        options=proto.AnalyzerResourceOptions(protect=resource.protect),
        provider=proto.AnalyzerProviderResource(type="pulumi:providers:aws", properties=_struct(resource.provider)),
    )


def of_stack(resource: Resource) -> proto.AnalyzerResource:
    """A resource as the engine sends it with all others."""
    return proto.AnalyzerResource(
        urn=resource.urn,
        type=resource.type,
        name=resource.name,
        properties=_struct(resource.props),
        options=proto.AnalyzerResourceOptions(protect=resource.protect),
        provider=proto.AnalyzerProviderResource(type="pulumi:providers:aws", properties=_struct(resource.provider)),
        propertyDependencies={
            path: proto.AnalyzerPropertyDependencies(urns=list(urns)) for path, urns in resource.links.items()
        },
    )


def _struct(props: Mapping[str, Any]) -> Struct:
    found = Struct()
    found.update(_plain(props))
    return found


def _plain(value: Any) -> Any:
    if value is UNKNOWN:
        return UNKNOWN_TEXT
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _said(answer: Any) -> list[Said]:
    found = []
    for one in answer.diagnostics:
        for line in one.message.splitlines():
            word = line.rpartition("during preview: ")[2].split(" ")[0]
            if word in (UNVERIFIED, WAIVED):
                found.append(Said(one.policyName, word, one.urn, line))
        if not any(word in one.message for word in (f"{UNVERIFIED} ", f"{WAIVED} ")):
            found.append(Said(one.policyName, "violation", one.urn, one.message))
    return found
