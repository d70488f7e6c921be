"""What regions share, against the SDK's mock engine: what one exports, another must be able to read."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import fields
from typing import Any

import pulumi
import pytest

from components.errors import ConfigError
from components.kms import DATA_CLASSES
from stacks.peer import CONTRACT, PLAIN, SECRET, NoPeer, Peer, PeerError, check_outputs

CANARY = "canary-5b1f"
SHOWN: dict[str, Any] = {
    PLAIN: {
        "contract": CONTRACT,
        "region": "us-east-1",
        "domain": "docsearch.example.com",
        "vpc_cidr": "10.0.0.0/16",
        "zone_id": "Z1",
        "database_arn": "arn:aws:rds:us-east-1:123456789012:db:head",
        "database_identifier": "head",
        "search_domain": "opensearch-1",
        "cache_global_id": "ldgnf-cache",
        "backup_vault": "backup",
        "key_arns": {name: f"arn:aws:kms:us-east-1:123456789012:key/mrk-{name}" for name in DATA_CLASSES},
        "bucket_names": {"documents": "documents-1", "snapshots": "snapshots-1"},
        "alarm_topics": {"page": "arn:aws:sns:us-east-1:123456789012:page", "ticket": "arn:t"},
    },
    SECRET: {"cursor-key": CANARY, "api-key-pepper": "p"},
}


class Stacks(pulumi.runtime.Mocks):
    """An engine that knows one other stack."""

    def __init__(self, outputs: Mapping[str, Any]) -> None:
        self.outputs = outputs
        self.asked: list[str] = []

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        assert args.typ == "pulumi:pulumi:StackReference"
        self.asked.append(args.inputs["name"])
        secret = [name for name in self.outputs if name == SECRET]
        return args.name, {"name": args.name, "outputs": self.outputs, "secretOutputNames": secret}

    def call(self, args: pulumi.runtime.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(args.token)


def resolved(program: Callable[[], Any], outputs: Mapping[str, Any] | None = None) -> tuple[Any, bool, Stacks]:
    """The value that a program returns, whether it is secret, and the engine that answered."""
    stacks = Stacks(SHOWN if outputs is None else outputs)
    pulumi.runtime.set_mocks(stacks, project="docsearch", stack="dr", organization="organization")
    kept: list[Any] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> pulumi.Output[None]:
        output = pulumi.Output.from_input(program())
        return pulumi.Output.all(output, output.is_secret()).apply(kept.extend)

    run()
    value, secret = kept
    return value, secret, stacks


def primary() -> Peer:
    plain = {k: v for k, v in SHOWN[PLAIN].items() if k != "contract"}
    given: Any = {
        name: {key: pulumi.Output.from_input(arn) for key, arn in value.items()}
        if isinstance(value, dict)
        else pulumi.Output.from_input(value)
        for name, value in plain.items()
    }
    return Peer(**given, secrets=pulumi.Output.from_input(SHOWN[SECRET]))


def values(peer: Peer) -> dict[str, Any]:
    return {field.name: getattr(peer, field.name) for field in fields(Peer)}


def test_a_primary_exports_what_a_standby_needs() -> None:
    value, _, _ = resolved(lambda: primary().exports())
    assert value == SHOWN
    check_outputs("prod", value)


def test_only_the_secrets_are_exported_as_a_secret() -> None:
    assert resolved(lambda: primary().exports()[SECRET])[1]
    assert not resolved(lambda: primary().exports()[PLAIN])[1]


def test_a_standby_reads_what_a_primary_exported() -> None:
    value, _, stacks = resolved(lambda: values(Peer.read("prod", region="us-east-1")))
    assert value == {**{k: v for k, v in SHOWN[PLAIN].items() if k != "contract"}, "secrets": SHOWN[SECRET]}
    assert stacks.asked == ["organization/docsearch/prod"]


@pytest.mark.parametrize("name", [field.name for field in fields(Peer)])
def test_reading_keeps_secrets_secret_and_nothing_else(name: str) -> None:
    assert resolved(lambda: values(Peer.read("prod", region="us-east-1"))[name])[1] == (name == "secrets")


def test_a_primary_without_a_peer_has_nothing_under_each_name() -> None:
    assert {field.name for field in fields(Peer)} == {name for name in vars(NoPeer) if not name.startswith("_")}
    assert [getattr(NoPeer(), field.name) for field in fields(Peer)] == [None] * len(fields(Peer))


def without(*path: str) -> dict[str, Any]:
    outputs = deepcopy(SHOWN)
    group = outputs
    for name in path[:-1]:
        group = group[name]
    del group[path[-1]]
    return outputs


LEAVES = [
    *((PLAIN, name) for name, value in SHOWN[PLAIN].items() if isinstance(value, str)),
    *((PLAIN, group, name) for group, value in SHOWN[PLAIN].items() if isinstance(value, dict) for name in value),
]


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_anything_that_is_missing_is_named(path: tuple[str, ...]) -> None:
    with pytest.raises(PeerError, match=rf"stack prod does not show {'.'.join(path[1:])}: ") as caught:
        check_outputs("prod", without(*path))
    assert caught.value.remedy == "Bring it up first: docsearch up prod"


def test_all_that_is_missing_is_named_at_once() -> None:
    outputs = without(PLAIN, "key_arns", "logs")
    del outputs[PLAIN]["zone_id"], outputs[PLAIN]["bucket_names"], outputs[SECRET]
    with pytest.raises(PeerError) as caught:
        check_outputs("prod", outputs)
    missing = "zone_id, key_arns.logs, bucket_names.documents, bucket_names.snapshots, peer_secrets"
    assert caught.value.what == f"stack prod does not show {missing}"


@pytest.mark.parametrize("outputs", [{}, {"peer": None}, {"peer": "x"}, {"read_host": "a"}])
def test_a_stack_that_was_never_up_is_brought_up_first(outputs: dict[str, Any]) -> None:
    with pytest.raises(PeerError) as caught:
        check_outputs("prod", outputs)
    assert str(caught.value) == (
        "stack prod shows no output `peer`: it was never brought up as a primary. Bring it up first: docsearch up prod."
    )


def with_contract(version: int) -> dict[str, Any]:
    return {**SHOWN, PLAIN: {**SHOWN[PLAIN], "contract": version}}


@pytest.mark.parametrize("outputs", [with_contract(CONTRACT - 1), without(PLAIN, "contract")])
def test_an_older_primary_is_brought_up_anew(outputs: dict[str, Any]) -> None:
    with pytest.raises(PeerError, match=f"needs version {CONTRACT}") as caught:
        check_outputs("prod", outputs)
    assert "docsearch up prod" in caught.value.remedy


def test_a_newer_primary_asks_for_a_newer_program() -> None:
    with pytest.raises(PeerError, match=f"shows version {CONTRACT + 1} ") as caught:
        check_outputs("prod", with_contract(CONTRACT + 1))
    assert caught.value.remedy == "Run a checkout that is at least as new"


@pytest.mark.parametrize("name", ["zone_id", "secrets"])
def test_every_output_fails_when_anything_is_missing(name: str) -> None:
    with pytest.raises(PeerError, match=r"does not show database_arn"):
        resolved(lambda: values(Peer.read("prod", region="us-east-1"))[name], without(PLAIN, "database_arn"))


def test_reading_a_stack_without_outputs_fails() -> None:
    with pytest.raises(PeerError, match="never brought up"):
        resolved(lambda: Peer.read("prod", region="us-east-1").zone_id, {})


def test_errors_end_a_program_without_a_traceback_and_hold_no_secret() -> None:
    assert issubclass(PeerError, pulumi.RunError)
    assert issubclass(PeerError, ConfigError)
    with pytest.raises(PeerError) as caught:
        check_outputs("prod", without(PLAIN, "zone_id"))
    assert CANARY not in str(caught.value)
