"""Runs a program against nothing, then tells what it registered: for tests of components and of whole regions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest


@dataclass(frozen=True)
class Registered:
    """One resource as the engine would have received it.

    Attributes:
        type: Its token, such as ``aws:ec2/vpc:Vpc``.
        name: Its logical name.
        inputs: Its inputs in camelCase, with every output resolved.
        parent: The URN of its parent.
        provider: ``<urn>::<id>`` of its explicit provider; empty when it inherits the default one.
        protect: Whether Pulumi's own lock is on.
        retain_on_delete: Whether deleting it only forgets it.
        depends_on_urns: The resources that must exist before it, by ``depends_on`` or by use of an output.
        ignore_changes: Paths left alone on update.
        replace_on_changes: Paths of which another value makes another resource.
        delete_before_replace: Whether the old one goes first then.
        links: By property: the URNs of the resources whose outputs it was made of.
    """

    type: str
    name: str
    urn: str
    inputs: Mapping[str, Any]
    parent: str = ""
    provider: str = ""
    protect: bool = False
    retain_on_delete: bool = False
    depends_on_urns: frozenset[str] = frozenset()
    ignore_changes: tuple[str, ...] = ()
    replace_on_changes: tuple[str, ...] = ()
    delete_before_replace: bool = False
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def depends_on(self) -> frozenset[str]:
        """The logical names of ``depends_on_urns``."""
        return frozenset(urn.rsplit("::", 1)[-1] for urn in self.depends_on_urns)


@dataclass
class Recording:
    """Everything that one program registered, and what it returned."""

    resources: list[Registered] = field(default_factory=list)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    result: Any = None

    def of(self, token: str) -> list[Registered]:
        """All resources of a type, sorted by name."""
        return sorted((r for r in self.resources if r.type == token), key=lambda r: r.name)

    def one(self, token: str, name: str | None = None) -> Registered:
        """The only resource of a type, or the only one with this name.

        Raises:
            LookupError: There is none, or more than one.
        """
        found = [r for r in self.of(token) if name in (None, r.name)]
        if len(found) != 1:
            raise LookupError(f"{len(found)} resources are {token} {name or ''}: {[r.name for r in self.of(token)]}")
        return found[0]

    @property
    def managed(self) -> list[Registered]:
        """The resources that live in a cloud: neither components nor providers."""
        return [r for r in self.resources if not r.type.startswith(("docsearch:", "pulumi:"))]


class _Answers(pulumi.runtime.Mocks):
    """A cloud that agrees to everything: outputs are the inputs, an id, an ARN, and what the test adds."""

    def __init__(self, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        self.outputs = outputs

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        service = args.typ.split(":")[1].split("/")[0]
        state = {"arn": f"arn:aws:{service}:::{args.name}", "name": args.name, **args.inputs}
        if args.typ == "aws:s3/bucket:Bucket":
            state.setdefault("bucket", args.name)
        return f"{args.name}-id", {**state, **self.outputs.get(args.typ, {})}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"a component called {args.token}; everything it needs comes in its arguments")


class _Monitor(pulumi.runtime.mocks.MockMonitor):
    """The SDK's mock engine, which also notes the resource options that mocks never see."""

    def __init__(self, mocks: pulumi.runtime.Mocks, recording: Recording) -> None:
        super().__init__(mocks)
        self.recording = recording

    def RegisterResource(self, request: Any) -> Any:
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if request.type != "pulumi:pulumi:Stack":
            self.recording.resources.append(
                Registered(
                    type=request.type,
                    name=request.name,
                    urn=response.urn,
                    inputs=pulumi.runtime.rpc.deserialize_properties(request.object),
                    parent=request.parent,
                    provider=request.provider,
                    protect=request.protect,
                    retain_on_delete=request.retainOnDelete,
                    depends_on_urns=frozenset(request.dependencies),
                    ignore_changes=tuple(request.ignoreChanges),
                    replace_on_changes=tuple(request.replaceOnChanges),
                    delete_before_replace=request.deleteBeforeReplace,
                    links={key: tuple(its.urns) for key, its in request.propertyDependencies.items()},
                )
            )
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:
        self.recording.outputs[request.urn] = pulumi.runtime.rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


def record(program: Callable[[], Any], *, outputs: Mapping[str, Mapping[str, Any]] | None = None) -> Recording:
    """Runs a program to its end against mocks.

    Args:
        program: Declares resources; every output in what it returns is resolved into ``Recording.result``.
        outputs: Output properties per type token, for a component that needs, say, an endpoint:
            ``{"aws:rds/instance:Instance": {"address": "db.internal"}}``.
    """
    recording = Recording()
    answers = _Answers(outputs or {})
    # The SDK keeps the root resource of the test before, and with it the transformations that were added to that.
    pulumi.runtime.settings.reset_options()
    pulumi.runtime.set_mocks(answers, project="docsearch", stack="test", monitor=_Monitor(answers, recording))

    def keep(value: Any) -> None:
        recording.result = value

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> pulumi.Output[None]:
        return pulumi.Output.from_input(program()).apply(keep)

    run()
    pulumi.runtime.settings.reset_options()
    return recording


@pytest.fixture(scope="session")
def recorded() -> Callable[..., Recording]:
    """``recording = recorded(lambda: Network("network", args))``: see `record`."""
    return record
