"""The rules as a policy pack: what the engine runs in every preview and update.

Pulumi's server of policy packs hands every resource to every policy and reads it anew each time, which makes a preview
of 500 resources half as long again. Here each rule says which types it looks at, and `server` hands it no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

import pulumi_policy
from google.protobuf.struct_pb2 import Struct, Value
from pulumi.runtime.proto import analyzer_pb2 as proto
from pulumi_policy import EnforcementLevel, PolicyConfigSchema, ReportViolation, policy
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError

from policies.rule import ANY, UNKNOWN, Finding, Resource, Rule, Severity, Stack
from policies.waivers import Waiver

NAME: Final = "docsearch"

UNVERIFIED: Final = "unverified"
WAIVED: Final = "waived"

MASKED: Final = "[secret]"
"""What rules see of a secret text."""

_SIGNATURE: Final = "4dabf18193072939515e22adb298388d"
_SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a mark, not a secret
"""How the engine marks a secret (pulumi sdk, go/common/resource/sig)."""

_SEVERITY: Final = {
    Severity.CRITICAL: pulumi_policy.Severity.CRITICAL,
    Severity.HIGH: pulumi_policy.Severity.HIGH,
    Severity.MEDIUM: pulumi_policy.Severity.MEDIUM,
}


class Advice(UnknownValueError):  # noqa: N818 - it is no error
    """A rule met values that are not known yet, or violations that are waived: the engine shows both as advice.

    It is the SDK's own way to say that a policy could not pass.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__(UNKNOWN_STRING_VALUE, [])
        self.message = "\n".join(lines)


def start(rules: Iterable[Rule], waivers: Sequence[Waiver], *, today: date) -> None:
    """Serve the pack until the engine ends it."""
    every = list(rules)
    # The one place where the SDK can be told how to hand resources to policies.
    vars(policy)["_PolicyAnalyzerServicer"] = server(every)
    pulumi_policy.PolicyPack(NAME, policies=policies(every, waivers, today=today))


def policies(rules: Iterable[Rule], waivers: Sequence[Waiver] = (), *, today: date) -> list[pulumi_policy.Policy]:
    """One policy for each rule; it passes over what a waiver that has not expired names."""
    held = [waiver for waiver in waivers if not waiver.expired(today)]
    return [_policy(rule, {waiver.urn: waiver for waiver in held if waiver.waives == rule.id}) for rule in rules]


def _policy(rule: Rule, waived: Mapping[str, Waiver]) -> pulumi_policy.Policy:
    def of_resource(args: pulumi_policy.ResourceValidationArgs, report: ReportViolation) -> None:
        found = rule.judge(_resource(args), args.get_config())
        tell([replace(finding, urn=finding.urn or args.urn) for finding in found], report)

    def of_stack(args: pulumi_policy.StackValidationArgs, report: ReportViolation) -> None:
        tell(rule.judge(Stack([_linked(one) for one in args.resources]), args.get_config()), report)

    def tell(findings: Iterable[Finding], report: ReportViolation) -> None:
        advice = []
        for finding in findings:
            if not finding.verified:
                advice.append(f"{UNVERIFIED} {finding.urn} {finding.path or 'it'}")
            elif waiver := waived.get(finding.urn):
                advice.append(
                    f"{WAIVED} {finding.urn} {finding.path or 'it'} {finding.message} "
                    f"(until {waiver.expires}, {waiver.owner}: {' '.join(waiver.reason.split())})"
                )
            else:
                report(f"{finding.path or 'it'} {finding.message}\n{rule.remedy}", finding.urn)
        if advice:
            raise Advice(advice)

    # One call each: the SDK's two classes take differently typed functions.
    shared: dict[str, Any] = {
        "enforcement_level": EnforcementLevel.MANDATORY if rule.severity.blocks else EnforcementLevel.ADVISORY,
        "config_schema": PolicyConfigSchema({name: dict(its) for name, its in rule.schema.items()})
        if rule.schema
        else None,
        "severity": _SEVERITY[rule.severity],
        "remediation_steps": rule.remedy,
        "url": rule.reference,
    }
    if rule.whole:
        return pulumi_policy.StackValidationPolicy(rule.id, rule.why, of_stack, **shared)
    return pulumi_policy.ResourceValidationPolicy(rule.id, rule.why, of_resource, **shared)


# Handing over


def server(rules: Iterable[Rule]) -> type[Any]:
    """The SDK's server, behind a switch: a resource reaches only the policies that look at its type.

    For each type there is a server with the policies of that type, and for each stack policy one with it alone. What
    they answer is put together; how a policy is called, and what becomes of what it says, is left to the SDK.
    """
    by_id = {rule.id: rule for rule in rules}
    looked_at = {type_ for rule in by_id.values() for type_ in rule.types}
    stock: Any = policy._PolicyAnalyzerServicer

    class Switch(stock):  # type: ignore[misc]
        """Stands where the SDK expects its own server."""

        def __init__(self, name: str, version: str, every: list[pulumi_policy.Policy], *rest: Any) -> None:
            super().__init__(name, version, every, *rest)
            matching: dict[str, list[pulumi_policy.Policy]] = {}
            for one in every:
                if not by_id[one.name].whole:
                    for type_ in by_id[one.name].types:
                        matching.setdefault(type_, []).append(one)
            self.of_type = {type_: stock(name, version, some, *rest) for type_, some in matching.items()}
            self.of_stack = {one.name: stock(name, version, [one], *rest) for one in every if by_id[one.name].whole}
            self.inputs: dict[str, Struct] = {}

        def Analyze(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
            mask(request.properties)
            self.inputs[request.urn] = request.properties
            its = self.of_type.get(request.type if request.type in looked_at else ANY)
            if its is None:
                return proto.AnalyzeResponse()
            return its.Analyze(request, context)

        def AnalyzeStack(self, request: Any, context: Any) -> Any:  # noqa: N802
            answer = proto.AnalyzeResponse()
            for resource in request.resources:
                # The engine shows outputs here: before the first update they are not known, and behind a cluster that
                # is not there yet they are empty. What the program says it has shown before, resource by resource.
                if resource.urn in self.inputs:
                    resource.properties.CopyFrom(self.inputs[resource.urn])
                else:
                    mask(resource.properties)
            for id_, its in self.of_stack.items():
                some = [one for one in request.resources if one.type in by_id[id_].types]
                answer.MergeFrom(its.AnalyzeStack(proto.AnalyzeStackRequest(resources=some), context))
            return answer

        def Remediate(self, request: Any, context: Any) -> Any:  # noqa: N802
            # No rule rewrites what the program says: a plan is what the code says.
            return proto.RemediateResponse()

        def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
            for its in (*self.of_type.values(), *self.of_stack.values()):
                its.Configure(request, context)
            return super().Configure(request, context)

    return Switch


def mask(properties: Struct) -> None:
    """Puts `[secret]` where a text is secret, so that no rule can show it; what is no text stays."""
    for value in properties.fields.values():
        _mask(value)


def _mask(value: Value) -> None:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        fields = value.struct_value.fields
        if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET and "value" in fields:
            _mask_all(fields["value"])
        else:
            mask(value.struct_value)
    elif kind == "list_value":
        for item in value.list_value.values:
            _mask(item)


def _mask_all(value: Value) -> None:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        value.string_value = MASKED
    elif kind == "struct_value":
        for inner in value.struct_value.fields.values():
            _mask_all(inner)
    elif kind == "list_value":
        for inner in value.list_value.values:
            _mask_all(inner)


def _resource(args: pulumi_policy.ResourceValidationArgs | pulumi_policy.PolicyResource) -> Resource:
    return Resource(
        urn=args.urn,
        type=args.resource_type,
        props=plain(args.props),
        protect=bool(args.opts.protect),
        provider=plain(args.provider.props) if args.provider else {},
    )


def _linked(resource: pulumi_policy.PolicyResource) -> Resource:
    links = {path: [other.urn for other in others] for path, others in resource.property_dependencies.items()}
    return replace(_resource(resource), links=links)


def plain(proxy: Any) -> Any:
    """The SDK's guarded properties as plain values, with `UNKNOWN` where it would raise."""
    if isinstance(proxy, Mapping):
        return {key: _read(proxy, key) for key in proxy}
    if isinstance(proxy, Sequence) and not isinstance(proxy, str):
        return [_read(proxy, index) for index in range(len(proxy))]
    return proxy


def _read(proxy: Any, key: Any) -> Any:
    try:
        return plain(proxy[key])
    except UnknownValueError:
        return UNKNOWN
