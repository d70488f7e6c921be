"""The real Pulumi engine at work on one stack, by the Automation API.

The program runs inside this process (an inline program); the engine is a child of it and shares its process group, so
that Ctrl-C reaches both: the engine then finishes the steps under way, saves its state and ends.
"""

from __future__ import annotations

import functools
import gc
import json
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pulumi.automation as auto
from semver import VersionInfo

from components.errors import DocsearchError
from infra import findings, packs
from infra import plan as plans
from infra.clouds import Cloud
from infra.engine import Engine
from infra.errors import (
    EngineError,
    InterruptedUpdateError,
    LockedStackError,
    PendingOperationsError,
    PolicyError,
    UpdateError,
)
from infra.findings import Finding
from infra.plan import Plan
from infra.program import run
from stacks.config import StackConfig

Listener = Callable[[auto.EngineEvent], None]
T = TypeVar("T")


class EngineCommand(auto.PulumiCommand):
    """The engine that was found, wherever it is; its version was checked there."""

    def __init__(self, engine: Engine) -> None:
        self.command = str(engine.command)
        self.version = VersionInfo.parse(engine.version)


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        plan: What happened, one change per resource.
        seconds: How long it took.
        outputs: The stack's outputs afterwards; secrets are masked.
        findings: What the policy pack said, if it ran.
    """

    plan: Plan
    seconds: float
    outputs: Mapping[str, Any]
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class Judged:
    """A plan, and what the policy pack says of it.

    Attributes:
        plan: What would happen.
        findings: What the rules say; a preview goes on to its end whatever they say.
        stopped: Whether Pulumi's protect stopped it: then it may not be whole, and no rule looked at the whole stack.
    """

    plan: Plan
    findings: tuple[Finding, ...]
    stopped: bool = False


@dataclass(frozen=True)
class _Run:
    """What came of one operation of the engine; `result` is the SDK's."""

    plan: Plan
    seconds: float
    result: Any
    findings: tuple[Finding, ...]
    stopped: bool


_STOPPED: Final = {"preview failed", "update failed"}
"""What the engine says after all else when rules stop it."""

_PROTECTED: Final = re.compile(r"because it is protected|currently marked for protection")
"""What it says of a protected resource that would be deleted or replaced."""


@dataclass(frozen=True)
class Pending:
    """An operation that an interrupted run left behind.

    Attributes:
        urn: The resource.
        type: Its type token.
        operation: `creating`, `updating`, `deleting`, `reading` or `importing`.
    """

    urn: str
    type: str
    operation: str


class Deployment:
    """One stack on one cloud.

    Args:
        stack: Name of the stack.
        config: What its stack file says.
        cloud: Which cloud answers.
        engine: The engine.
        listener: Gets every event of the engine while it runs.
    """

    def __init__(
        self,
        stack: str,
        config: StackConfig,
        cloud: Cloud,
        engine: Engine,
        *,
        listener: Listener = lambda event: None,
    ) -> None:
        self.stack = stack
        self.config = config
        self.cloud = cloud
        self._listener = listener
        self._failure: DocsearchError | None = None
        self._command = EngineCommand(engine)
        options = auto.LocalWorkspaceOptions(
            work_dir=str(cloud.work_dir),
            env_vars={**cloud.env, **packs.environment()},
            pulumi_command=self._command,
        )
        try:
            self._stack = auto.create_or_select_stack(
                stack, project_name="docsearch", program=self._program, opts=options
            )
        except auto.CommandError as error:
            raise EngineError(
                f"stack {stack} cannot be opened",
                why=str(error).strip().splitlines()[-1].strip().removeprefix("stderr: ").removeprefix("error: "),
                remedy="Log in to the state backend (docs/going-to-aws.md)"
                if cloud.name == "aws"
                else "See whether the local cloud is well: docsearch local status",
            ) from None

    def _program(self) -> None:
        try:
            run(self.stack, self.config)
        except DocsearchError as error:
            # The engine would print it as the program's traceback; it is an answer, not a crash.
            self._failure = error
            raise

    # What there is

    def state(self) -> dict[str, Any]:
        """The deployment as the state backend has it: `resources`, `pending_operations`. Secrets stay encrypted."""
        # Not by the Automation API, which always exports secrets in clear.
        arguments = ["stack", "export", "--stack", self.stack, "--non-interactive"]
        done = self._command.run(arguments, str(self.cloud.work_dir), dict(self.cloud.env))
        return dict(json.loads(done.stdout).get("deployment") or {})

    def replace_state(self, deployment: Mapping[str, Any]) -> None:
        """Put another deployment in its place."""
        self._stack.import_stack(auto.Deployment(version=3, deployment=dict(deployment)))

    def outputs(self, *, secrets: bool = False) -> dict[str, Any]:
        """The stack's outputs; secrets are masked unless asked for."""
        return _shown(self._stack.outputs(), secrets=secrets)

    def pending(self) -> list[Pending]:
        """What an interrupted run left behind."""
        return [
            Pending(entry["resource"]["urn"], entry["resource"]["type"], entry["type"])
            for entry in self.state().get("pending_operations") or ()
        ]

    def unlock(self) -> None:
        """Release the lock that a killed run left; a run that lives keeps working and then fails."""
        try:
            self._stack.cancel()
        except auto.CommandError as error:
            # A run that ended by itself left no lock to release.
            if "409" not in str(error) and "no update" not in str(error).lower():
                raise

    # What can be done

    def preview(self) -> Plan:
        """What `up` would do."""
        return self._run(self._stack.preview).plan

    def judged(self) -> Judged:
        """What `up` would do, and what the policy pack says of it, to its end whatever it says."""
        run = self._run(functools.partial(self._stack.preview, **packs.arguments(self.stack)), goes_on=True)
        return Judged(run.plan, run.findings, run.stopped)

    def unprotect(self) -> frozenset[str]:
        """Take Pulumi's protect off everything, in a state that is thrown away.

        Returns:
            The URNs of what was protected.
        """
        if self.cloud.name != "local":
            raise UpdateError(f"{self.stack} is not unprotected", why="its state is not one that is thrown away")
        protected = frozenset(item["urn"] for item in self.state().get("resources") or () if item.get("protect"))
        arguments = ["state", "unprotect", "--all", "--yes", "--stack", self.stack]
        self._command.run(arguments, str(self.cloud.work_dir), dict(self.cloud.env))
        return protected

    def up(self, *, judged: bool = False) -> Outcome:
        """Bring the region up.

        Args:
            judged: Whether the policy pack runs with it: what breaks a rule then is not made.

        Raises:
            PendingOperationsError: An interrupted run left operations open.
            PolicyError: A rule stopped it.
        """
        self._refuse_pending()
        run = self._run(functools.partial(self._stack.up, **(packs.arguments(self.stack) if judged else {})))
        return Outcome(run.plan, run.seconds, _shown(run.result.outputs), run.findings)

    def verify(self) -> tuple[Finding, ...]:
        """What the policy pack says of what is up: the same rules over the state, where every value is known.

        Raises:
            UpdateError: The engine could not look at it.
        """
        lines: list[str] = []
        said = packs.arguments(self.stack)
        options = [f"--policy-pack={pack}" for pack in said["policy_packs"]]
        options += [f"--policy-pack-config={file}" for file in said.get("policy_pack_configs", ())]
        try:
            self._command.run(
                ["policy", "analyze", "--stack", self.stack, "--json", *options],
                str(self.cloud.work_dir),
                {**self.cloud.env, **packs.environment()},
                on_output=lines.append,
            )
        except auto.CommandError as error:
            # It fails where there are findings, too, and then says that it came to its end.
            if not any('"summaryEvent"' in line for line in lines):
                raise UpdateError(f"{self.stack} cannot be verified", why=str(error)) from None
        events = [auto.EngineEvent.from_json(json.loads(line)) for line in lines if line.startswith("{")]
        return findings.read(events, stack=self.stack)

    def refresh(self, *, save: bool = True) -> Plan:
        """What differs between the cloud and the state; with `save` the state then says what the cloud says."""
        return self._run(self._stack.refresh if save else self._stack.preview_refresh).plan

    def destroy(self) -> Outcome:
        """Delete everything of the stack; nothing at all while anything of it is protected.

        Raises:
            UpdateError: Something is protected. The engine alone would delete what is not, and stop half-way.
        """
        self._refuse_pending()
        protected = [
            item["urn"].split("::", 3)[-1] for item in self.state().get("resources") or () if item.get("protect")
        ]
        if protected:
            raise UpdateError(
                f"{self.stack} holds {len(protected)} protected resources ({', '.join(protected[:3])}, ...)",
                why="Pulumi's protect refuses to delete them, and nothing was deleted",
                remedy="Release the locks first, on purpose: `locked: false` in the stack file, or --release-locks",
            )
        run = self._run(self._stack.destroy)
        return Outcome(run.plan, run.seconds, {})

    def destroy_only(self, urns: list[str]) -> None:
        """Delete these resources and nothing else."""
        if urns:
            self._run(functools.partial(self._stack.destroy, target=urns))

    def _refuse_pending(self) -> None:
        pending = self.pending()
        if pending:
            first = ", ".join(f"{item.operation} {item.urn.split('::', 3)[-1]}" for item in pending[:3])
            raise PendingOperationsError(
                f"{self.stack} has {len(pending)} pending operations ({first}{', ...' if len(pending) > 3 else ''})",
                why="a run was interrupted, and going on could create things twice",
                remedy=f"Look at them and settle them: docsearch reconcile {self.stack}"
                + (" --local" if self.cloud.name == "local" else ""),
            )

    def _run(self, operation: Callable[..., Any], *, goes_on: bool = False) -> _Run:
        """Runs an operation of the engine; `goes_on` when rules that stop it are the caller's to judge."""
        events: list[auto.EngineEvent] = []
        errors: list[str] = []
        self._failure = None

        def hear(event: auto.EngineEvent) -> None:
            events.append(event)
            diagnostic = event.diagnostic_event
            if diagnostic is not None and diagnostic.severity == "error":
                errors.append(diagnostic.message.strip())
            self._listener(event)

        started = time.monotonic()
        result = None
        refused: set[str] = set()
        try:
            with uncollected():
                result = interruptible(lambda: operation(on_event=hear, color="never", suppress_progress=True))
        except auto.ConcurrentUpdateError as error:
            raise LockedStackError(
                f"{self.stack} is locked by another run",
                why=str(error).strip().splitlines()[-1],
                remedy=f"Wait for it; if it was killed: docsearch reconcile {self.stack}",
            ) from None
        except auto.CommandError as error:
            if self._failure is not None:
                raise self._failure from None
            stopping = [finding for finding in findings.read(events, stack=self.stack) if finding.blocks]
            # What is protected stops a preview, too; there the gate says so, with the remedy.
            refused = {error for error in errors if _PROTECTED.search(error)}
            if not (stopping or (goes_on and refused)) or set(errors) - _STOPPED - refused:
                raise UpdateError(
                    f"{_name(operation)} of {self.stack} failed",
                    why="\n".join(dict.fromkeys(errors)) or str(error),
                    remedy="What was done is in the state; mend the cause and run it again",
                ) from None
            if not goes_on:
                raise PolicyError(
                    f"{self.stack} was stopped by {len(stopping)} findings",
                    why="\n".join(f"{one.rule}: {one.resource}: {one.path} {one.message}" for one in stopping),
                    remedy=f"{stopping[0].place}: {stopping[0].remedy}",
                ) from None
        return _Run(
            plans.read(events, stack=self.stack, region=self.config.region, cloud=self.cloud.name),
            time.monotonic() - started,
            result,
            findings.read(events, stack=self.stack),
            bool(refused),
        )


def _shown(outputs: Mapping[str, auto.OutputValue], *, secrets: bool = False) -> dict[str, Any]:
    """Outputs by name, secrets masked unless asked for."""
    return {name: value.value if secrets or not value.secret else "[secret]" for name, value in outputs.items()}


def _name(operation: Callable[..., Any]) -> str:
    inner = operation.func if isinstance(operation, functools.partial) else operation
    return str(inner.__name__).replace("_", " ")


@contextmanager
def uncollected() -> Iterator[None]:
    """Without garbage collection: a program makes tens of thousands of tasks that live until it ends.

    Looking through all of them again and again took 40% of a preview.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def interruptible(work: Callable[[], T]) -> T:
    """Run to the end, whatever Ctrl-C says: the engine hears it, too, and ends in good order.

    Raises:
        InterruptedUpdateError: After the work ended, when it was interrupted and therefore failed.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    result: list[T] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            failure.append(error)

    interrupted = False

    def note(number: int, frame: object) -> None:
        nonlocal interrupted
        interrupted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        worker = threading.Thread(target=target, name="engine", daemon=True)
        worker.start()
        while worker.is_alive():
            worker.join(0.1)
    finally:
        signal.signal(signal.SIGINT, before)
    if failure and interrupted:
        raise InterruptedUpdateError(
            "interrupted",
            why="the engine finished the steps that were under way and saved its state",
            remedy="Run it again to go on",
        ) from failure[0]
    if failure:
        raise failure[0]
    return result[0]
