"""The state service under the real engine: Automation API, inline programs, a provider that does nothing."""

import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
import pytest
from pulumi import automation as auto

from infra.engine import ensure_engine
from infra.local.state import StateServer, access, client_env, serve
from infra.local.state.__main__ import main

pytestmark = [
    pytest.mark.engine,
    # The Automation API leaves the event loop of each inline program to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

PROJECT = "docsearch"
CANARY = "canary-9f1c77"
Program = Callable[[], None]


class Thing(pulumi.CustomResource):
    """A resource of `thing_provider.py`; its inputs come back as outputs."""

    value: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None, **inputs: Any) -> None:
        super().__init__("thing:index:Thing", name, {"value": "", **inputs}, opts)


@pytest.fixture(scope="module", autouse=True)
def engine_on_path() -> Iterator[None]:
    """The Automation API takes the first engine on PATH."""
    folder = str(ensure_engine(print).command.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", folder, prepend=os.pathsep)
        yield


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Port of a provider that does nothing."""
    command = [sys.executable, str(Path(__file__).with_name("thing_provider.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()


@dataclass
class Bench:
    """Everything that a stack needs, on one state service."""

    server: StateServer
    folder: Path
    provider: str

    def env(self, **more: str) -> dict[str, str]:
        return {
            **client_env(self.server),
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_DEBUG_PROVIDERS": f"thing:{self.provider}",
            **more,
        }

    def stack(self, program: Program = lambda: None, name: str = "prod", **env: str) -> auto.Stack:
        options = auto.LocalWorkspaceOptions(work_dir=str(self.work_dir()), env_vars=self.env(**env))
        return auto.create_or_select_stack(f"organization/{PROJECT}/{name}", PROJECT, program, opts=options)

    def cli(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["pulumi", *arguments, "--non-interactive", "--color", "never"]
        env = {**os.environ, **self.env(**env)}
        return subprocess.run(command, env=env, cwd=self.work_dir(), text=True, capture_output=True, check=False)

    def work_dir(self) -> Path:
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        (work / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
        return work


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collects what a test leaves behind while the filter above still holds."""
    yield
    gc.collect()


@pytest.fixture
def bench(tmp_path: Path, provider: str) -> Iterator[Bench]:
    server = serve(tmp_path / "state", grace_s=1)
    server.start()
    yield Bench(server, tmp_path, provider)
    server.stop()


def deployment(stack: auto.Stack) -> dict[str, Any]:
    return dict(stack.export_stack().deployment or {})


def resources(stack: auto.Stack) -> list[str]:
    return [state["urn"].rpartition("::")[2] for state in deployment(stack).get("resources", [])]


def pending(stack: auto.Stack) -> list[tuple[str, str]]:
    operations = deployment(stack).get("pending_operations", [])
    return [(op["type"], op["resource"]["urn"].rpartition("::")[2]) for op in operations]


def changes(summary: auto.UpdateSummary) -> dict[str, int]:
    return {str(kind): count for kind, count in (summary.resource_changes or {}).items()}


def three_things() -> None:
    first = Thing("first", value="1")
    Thing("second", value=first.value)
    Thing("third", pulumi.ResourceOptions(depends_on=[first]))
    pulumi.export("first", first.value)


def test_life_of_a_stack(bench: Bench) -> None:
    stack = bench.stack(three_things)
    assert stack.preview().change_summary == {"create": 4}
    assert changes(stack.up().summary) == {"create": 4}
    again = stack.up()
    assert changes(again.summary) == {"same": 4}
    assert again.outputs["first"].value == "1"
    assert changes(stack.refresh().summary) == {"same": 4}
    assert [summary.version for summary in stack.history()] == [3, 2, 1]
    assert [listed.name for listed in stack.workspace.list_stacks()] == ["prod"]
    stack.set_tag("owner", "search")
    assert stack.get_tag("owner") == "search"

    exported = stack.export_stack()
    stack.import_stack(exported)
    assert deployment(stack)["resources"] == (exported.deployment or {})["resources"]
    assert changes(stack.up().summary) == {"same": 4}

    with pytest.raises(auto.CommandError, match="still has resources"):
        stack.workspace.remove_stack(f"organization/{PROJECT}/prod")
    stack.destroy()
    assert resources(stack) == []
    stack.workspace.remove_stack(f"organization/{PROJECT}/prod")
    assert stack.workspace.list_stacks() == []


def changing(generation: int) -> Program:
    """Creates, updates, replaces both ways, deletes, renames with an alias; then things drift and vanish."""

    def program() -> None:
        component = pulumi.ComponentResource("docsearch:test:Group", f"group{generation}", None, alias_of("group"))
        child = pulumi.ResourceOptions(parent=component)
        kept = Thing("kept", child, value="same", drifts="no")
        Thing("changed", child, value=str(generation), needs=kept.value)
        Thing("replaced", child, kind=str(generation))
        Thing("replaced-first", child, kind=str(generation), first=True)
        Thing(f"renamed{generation}", alias_of("renamed"), value=kept.value)
        Thing("secret", child, value=pulumi.Output.secret(CANARY))
        if generation == 1:
            vanishing = Thing("vanishing", child, vanishes=True)
            Thing("orphan", pulumi.ResourceOptions(depends_on=[vanishing], parent=component))
            Thing("dropped")
        pulumi.export("generation", generation)

    def alias_of(name: str) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(aliases=[pulumi.Alias(name=f"{name}1")] if generation > 1 else None)

    return program


def comparable(stack: auto.Stack) -> list[str]:
    """The state without what differs from run to run: times, ciphertexts, random ids, the order of equals."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "uuid", json.dumps(deployment(stack)))
    content = json.loads(text, object_hook=without_volatile)
    return sorted(json.dumps(item, sort_keys=True) for part in _COMPARED for item in content.get(part, []))


def without_volatile(item: dict[str, Any]) -> dict[str, Any]:
    # Properties that depend on nothing are listed by the engine's snapshots, and dropped by its replay of a refresh.
    by_property = {key: urns for key, urns in item.pop("propertyDependencies", {}).items() if urns}
    kept = {key: value for key, value in item.items() if key not in _VOLATILE}
    return {**kept, "propertyDependencies": by_property} if by_property else kept


_VOLATILE = {"created", "modified", "ciphertext", "sourcePosition", "stackTrace"}
_COMPARED = ("resources", "pending_operations")


def test_journal_gives_the_state_that_the_engine_would_write_itself(tmp_path: Path, bench: Bench) -> None:
    other = serve(tmp_path / "other")
    other.start()
    try:
        journaled = bench.stack()
        itself = Bench(other, tmp_path / "state", bench.provider).stack(PULUMI_DISABLE_JOURNALING="true")
        steps: list[Callable[[auto.Stack], object]] = [
            lambda stack: stack.up(program=changing(1)),
            lambda stack: stack.refresh(),
            lambda stack: stack.up(program=changing(2)),
            lambda stack: stack.up(program=changing(2)),
            lambda stack: stack.up(program=changing(3), refresh=True),
            lambda stack: stack.destroy(),
        ]
        for step in steps:
            step(journaled)
            step(itself)
            assert comparable(journaled) == comparable(itself)
        journal = bench.server.root / f"organization/{PROJECT}/prod/last.journal"
        assert b'"entries"' in journal.read_bytes()
        assert b'"entries"' not in (other.root / f"organization/{PROJECT}/prod/last.journal").read_bytes()
    finally:
        other.stop()


def test_failed_step_leaves_the_others_and_no_pending_operation(bench: Bench) -> None:
    def program() -> None:
        Thing("good")
        Thing("bad", fail=True)

    stack = bench.stack(program)
    with pytest.raises(auto.CommandError, match="told to fail"):
        stack.up()
    assert "good" in resources(stack)
    assert pending(stack) == []
    assert stack.history()[0].result == "failed"


def test_no_secret_is_readable_in_any_file(bench: Bench) -> None:
    def program() -> None:
        config = pulumi.Config()
        thing = Thing("thing", value=pulumi.Output.secret(CANARY), other=config.require_secret("password"))
        pulumi.export("secret", thing.value)

    stack = bench.stack(program)
    stack.set_config("password", auto.ConfigValue(f"{CANARY}-2", secret=True))
    outputs = stack.up().outputs
    assert (outputs["secret"].value, outputs["secret"].secret) == (CANARY, True)
    assert changes(stack.up().summary) == {"same": 2}
    stack.history()
    for path in bench.folder.rglob("*"):
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path


def test_secrets_survive_a_restart_on_another_port(bench: Bench) -> None:
    def program() -> None:
        pulumi.export("secret", Thing("thing", value=pulumi.Output.secret(CANARY)).value)

    bench.stack(program).up()
    port = bench.server.port
    bench.server.stop()
    bench.server = serve(bench.server.root)
    assert bench.server.port != port
    bench.server.start()
    stack = bench.stack(program)
    assert changes(stack.up().summary) == {"same": 2}
    assert stack.outputs()["secret"].value == CANARY


def test_stack_reads_the_outputs_of_another(bench: Bench) -> None:
    def prod() -> None:
        pulumi.export("plain", "p")
        pulumi.export("secret", pulumi.Output.secret(CANARY))

    def dr() -> None:
        peer = pulumi.StackReference(f"{pulumi.get_organization()}/{PROJECT}/prod")
        pulumi.export("plain", peer.require_output("plain"))
        pulumi.export("secret", peer.require_output("secret"))

    bench.stack(prod).up()
    outputs = bench.stack(dr, "dr").up().outputs
    assert outputs["plain"].value == "p"
    assert (outputs["secret"].value, outputs["secret"].secret) == (CANARY, True)


class Background:
    """An `up` on another thread, whose engine can be killed."""

    def __init__(self, stack: auto.Stack) -> None:
        self._before = engines()
        self.error: auto.CommandError | None = None
        self._thread = threading.Thread(target=self._run, args=(stack,))
        self._thread.start()

    def _run(self, stack: auto.Stack) -> None:
        try:
            stack.up()
        except auto.CommandError as error:
            self.error = error

    def kill(self) -> None:
        for engine in engines() - self._before:
            os.kill(engine, signal.SIGKILL)
        self._thread.join(timeout=30)
        assert isinstance(self.error, auto.CommandError)

    def finish(self) -> None:
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()
        if self.error:
            raise self.error


def engines() -> set[int]:
    """Engine processes that this process started."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "pulumi" and int(rest.split()[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing happened for 30 s"
        time.sleep(0.05)


def slow(seconds: float, *, named: str = "slow") -> Program:
    def program() -> None:
        quick = Thing("quick")
        Thing(named, pulumi.ResourceOptions(depends_on=[quick]), wait=seconds)

    return program


def journal_has(bench: Bench, text: bytes) -> Callable[[], bool]:
    journal = bench.server.root / f"organization/{PROJECT}/prod/update.journal"
    return lambda: journal.exists() and text in journal.read_bytes()


def test_killed_update_leaves_its_pending_operation_and_frees_the_stack(bench: Bench) -> None:
    stack = bench.stack(slow(60))
    update = Background(stack)
    wait_for(journal_has(bench, b"Thing::slow"))
    assert pending(stack) == [("creating", "slow")]
    update.kill()
    assert pending(stack) == [("creating", "slow")]
    assert "quick" in resources(stack)
    time.sleep(1.2)
    bench.stack(slow(0, named="later")).up()
    assert {"quick", "later"} <= set(resources(stack))
    assert pending(stack) == [("creating", "slow")]
    assert [summary.result for summary in stack.history()] == ["succeeded", "failed"]
    refreshed = bench.cli("refresh", "--yes", "--clear-pending-creates", "--stack", f"organization/{PROJECT}/prod")
    assert refreshed.returncode == 0, refreshed.stderr
    assert pending(stack) == []


def test_killed_update_can_be_cancelled_at_once(bench: Bench) -> None:
    stack = bench.stack(slow(60))
    update = Background(stack)
    wait_for(journal_has(bench, b"Thing::slow"))
    update.kill()
    stack.cancel()
    assert stack.history()[0].result == "failed"
    assert pending(stack) == [("creating", "slow")]
    with pytest.raises(auto.CommandError, match="already completed"):
        stack.cancel()


def test_second_update_is_refused_while_the_first_runs(bench: Bench) -> None:
    stack = bench.stack(slow(6))
    update = Background(stack)
    wait_for(journal_has(bench, b"Thing::slow"))
    with pytest.raises(auto.ConcurrentUpdateError):
        bench.stack(slow(0)).up()
    assert bench.stack(slow(0)).preview().change_summary
    update.finish()
    assert pending(stack) == []
    assert {"quick", "slow"} <= set(resources(stack))


def test_update_goes_on_when_the_service_is_killed_and_comes_back(tmp_path: Path, bench: Bench) -> None:
    root, port = tmp_path / "process", 0

    def service() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "infra.local.state", "--root", str(root), "--port", str(port)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    with service() as first:
        assert first.stdout
        port = int(first.stdout.readline().rpartition(":")[2])
        away = client_env_of(root, port)
        stack = bench.stack(slow(3), **away)
        update = Background(stack)
        journal = root / f"organization/{PROJECT}/prod/update.journal"
        wait_for(lambda: journal.exists() and b"Thing::slow" in journal.read_bytes())
        first.kill()
    with service() as second:
        assert second.stdout
        second.stdout.readline()
        update.finish()
        assert {"quick", "slow"} <= set(resources(stack))
        assert pending(stack) == []
        assert stack.history()[0].result == "succeeded"
        second.terminate()


def client_env_of(root: Path, port: int) -> dict[str, str]:
    return client_env(access(root, port))


def test_wrong_token_is_told_by_the_engine(bench: Bench) -> None:
    answer = bench.cli("stack", "ls", PULUMI_ACCESS_TOKEN="wrong")
    assert answer.returncode != 0
    assert "Unauthorized" in answer.stderr


def test_plain_command_line_works(bench: Bench) -> None:
    bench.stack(three_things).up()
    stack = f"organization/{PROJECT}/prod"
    for arguments, told in (
        (("whoami",), "docsearch"),
        (("stack", "ls"), "prod"),
        (("stack", "output", "first", "--stack", stack), "1"),
        (("stack", "export", "--version", "1", "--stack", stack), "Thing::first"),
        (("stack", "history", "--stack", stack), "Version: 1"),
        (("destroy", "--yes", "--stack", stack), "4 deleted"),
        (("stack", "rm", "--yes", stack), "has been removed"),
    ):
        answer = bench.cli(*arguments)
        assert answer.returncode == 0, answer.stderr
        assert told in answer.stdout, answer.stdout


def test_corrupt_state_is_told_by_the_engine_and_restored(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    stack = bench.stack(three_things)
    stack.up()
    stack.up(program=slow(0))
    before = deployment(stack)
    state = bench.server.root / f"organization/{PROJECT}/prod/state.json"
    state.write_bytes(state.read_bytes().replace(b"Thing::quick", b"Thing::quack"))
    with pytest.raises(auto.CommandError) as caught:
        stack.up(program=slow(0))
    told = str(caught.value)
    assert f"state file {state} is corrupt" in told
    assert f"--restore organization/{PROJECT}/prod" in told

    bench.server.stop()
    assert main(["--root", str(bench.server.root), "--restore", f"organization/{PROJECT}/prod"]) == 0
    assert "version 2" in capsys.readouterr().out
    bench.server = serve(bench.server.root, bench.server.port)
    bench.server.start()
    stack = bench.stack(slow(0))
    assert deployment(stack) == before
    assert changes(stack.up().summary) == {"same": 3}
