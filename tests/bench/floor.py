"""The engine's floor: a provider that does nothing, in its own process, and a program of as many resources."""

from __future__ import annotations

import sys

import pulumi

from infra.local.resource import Change, Diff, Failure, Props, Ref, State, Tree
from infra.local.server import serve

TOKEN = "floor:index:Thing"


class Floor:
    """Answers everything at once and keeps nothing."""

    name = "floor"
    version = "1.0.0"

    def configure(self, config: Props) -> Floor:
        return self

    def check(self, ref: Ref, old: Props, new: Props) -> tuple[Props, list[Failure]]:
        return new, []

    def diff(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props) -> Diff:
        return Diff(tuple(Change(path, kind) for path, kind in Tree().changes(old_inputs, new)))

    def create(self, ref: Ref, inputs: Props, preview: bool) -> tuple[str, Props]:
        return ("" if preview else ref.name), inputs

    def read(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> State | None:
        return State(id, inputs, outputs)

    def update(self, ref: Ref, id: str, old_inputs: Props, old_outputs: Props, new: Props, preview: bool) -> Props:
        return new

    def delete(self, ref: Ref, id: str, inputs: Props, outputs: Props) -> None:
        return None


def program(count: int) -> None:
    """Register so many resources, each of them depending on the one ten before it."""
    made: list[pulumi.CustomResource] = []
    for index in range(count):
        after = [made[index - 10]] if index >= 10 else []
        made.append(
            pulumi.CustomResource(
                TOKEN,
                f"thing-{index}",
                {"value": f"value {index}", "tags": {"Name": f"thing-{index}", "owner": "bench"}},
                pulumi.ResourceOptions(depends_on=after),
            )
        )


if __name__ == "__main__":
    # Held: a server that nobody refers to stops.
    serve(Floor(), int(sys.argv[1])).wait_for_termination()
