"""The gate: a change that destroys or unlocks something stateful needs a waiver that somebody answers for.

It objects when something stateful is replaced or deleted, a lock comes off, something is kept for less long, or a
policy lets more people in. A waiver (`policies/waivers.yaml`, `waives: destroy`) that has not expired allows it, with
one exception: a lock is released in a change of its own. What goes in the same change in which its lock comes off is
refused, so that every loss takes two decisions. What cannot be compared is objected to, never passed.

What is stateful, locked or retained is told by the tables of `infra.stateful`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from typing import Any, Final, NamedTuple

from infra.access import UnreadableError, loosened
from infra.plan import UNKNOWN, Change, Plan, is_secret
from infra.stateful import (
    CLOSED,
    LOCKED_BY,
    LOCKS,
    POLICIES,
    RETENTION,
    Lock,
    UnjudgeableError,
    is_bookkeeping,
    known,
    loss,
)
from policies.rule import look
from policies.waivers import DESTROY, FILE, Waiver

PROTECT: Final = "protect"
"""The name of Pulumi's own lock."""

_GOES: Final = ("delete", "replace")
_WAIVE: Final = f"or waive it in policies/{FILE.name} (waives: {DESTROY}, urn, reason, owner, expires)"


@dataclass(frozen=True)
class Objection:
    """What the gate has against one change of a plan.

    Attributes:
        urn: The resource.
        type: Its type token.
        what: What is destroyed, unlocked, shortened or loosened.
        remedy: What to do instead.
        waiver: The waiver that allows it; None if nothing does.
        expired: The waiver that would have allowed it, and has expired.
    """

    urn: str
    type: str
    what: str
    remedy: str
    waiver: Waiver | None = None
    expired: Waiver | None = None

    @property
    def stops(self) -> bool:
        """Whether it stops the change."""
        return self.waiver is None

    def __str__(self) -> str:
        text = f"{self.urn}: {self.what}. {self.remedy}"
        if self.expired:
            text += f". Its waiver expired on {self.expired.expires} ({self.expired.owner})"
        if self.waiver:
            text += f". Waived until {self.waiver.expires} ({self.waiver.owner}): {self.waiver.reason}"
        return text

    def as_json(self) -> dict[str, Any]:
        """The form that `--json` prints."""

        def shown(waiver: Waiver | None) -> dict[str, str] | None:
            return waiver.model_dump(mode="json", include={"reason", "owner", "expires"}) if waiver else None

        return {
            "urn": self.urn,
            "type": self.type,
            "what": self.what,
            "remedy": self.remedy,
            "waiver": shown(self.waiver),
            "expired": shown(self.expired),
        }


class _Against(NamedTuple):
    what: str
    remedy: str
    final: bool = False
    """Whether no waiver allows it."""


def judge(plan: Plan, waivers: Sequence[Waiver], *, today: date) -> tuple[Objection, ...]:
    """All that the gate has against a plan, in the plan's order, waived or not.

    Args:
        plan: What is going to happen.
        waivers: All that there are, those for rules and those that have expired included.
        today: The day on which a waiver has to hold.
    """
    ours = {waiver.urn: waiver for waiver in waivers if waiver.waives == DESTROY}
    return tuple(
        _objection(change, against, ours.get(change.urn), today)
        for change in plan.changes
        if not is_bookkeeping(change.type)
        for against in (*_loss(change, plan.changes), *_unlocked(change), *_shortened(change), *_loosened(change))
    )


def unknown_urns(plans: Iterable[Plan], waivers: Sequence[Waiver]) -> tuple[str, ...]:
    """The URNs of waivers that no resource has; a waiver for a stack without a plan is left alone."""
    every = tuple(plans)
    stacks = {plan.stack for plan in every}
    urns = {change.urn for plan in every for change in plan.changes}
    named = dict.fromkeys(waiver.urn for waiver in waivers)
    return tuple(urn for urn in named if urn.split(":")[2] in stacks and urn not in urns)


def _objection(change: Change, against: _Against, waiver: Waiver | None, today: date) -> Objection:
    counts = waiver is not None and not against.final
    expired = waiver is not None and waiver.expired(today)
    return Objection(
        urn=change.urn,
        type=change.type,
        what=against.what,
        remedy=against.remedy,
        waiver=waiver if counts and not expired else None,
        expired=waiver if counts and expired else None,
    )


# Replaced or deleted


def _loss(change: Change, every: Sequence[Change]) -> Iterator[_Against]:
    if change.op not in _GOES:
        return
    by = f" by {', '.join(change.replaced_by)}" if change.replaced_by else ""
    what = "deleted" if change.op == "delete" else f"replaced{by}"
    lost = loss(change.type, replaced=change.op == "replace")
    if locks := ", ".join((*_on(change), *_locked_by(change, every))):
        yield _Against(
            f"{what} in one change with its lock: {locks}",
            f"{_instead(change, every)}. If it has to go, release {locks} in a change of its own first, with a waiver; "
            "no waiver allows both at once",
            final=True,
        )
    elif lost:
        yield _Against(what, f"It {lost}. {_instead(change, every)}, {_WAIVE}")


def _on(change: Change) -> Iterator[str]:
    """The locks that were on, or cannot be said to have been off, and keep a resource from being deleted."""
    if change.protected_before:
        yield PROTECT
    for lock in LOCKS.get(change.type, ()):
        try:
            if lock.refuses and lock.holds(change.before):
                yield lock.path
        except UnjudgeableError:
            yield lock.path


def _locked_by(change: Change, every: Sequence[Change]) -> Iterator[str]:
    """Locks that are resources of their own and go in the same change."""
    for type_, path, name in LOCKED_BY.get(change.type, ()):
        for other in every:
            if other.type == type_ and other.op in _GOES:
                names, mine = other.before.get(path), change.before.get(name)
                # A name that is not known may be this one.
                if names == mine or any(one in (None, UNKNOWN) or is_secret(one) for one in (names, mine)):
                    yield other.name


def _instead(change: Change, every: Sequence[Change]) -> str:
    if change.op == "replace":
        differ = ", ".join(f"{path} ({_before_and_after(change, path)})" for path in change.replaced_by)
        return (
            f"Put {differ or 'what forces it'} back as it was, or build the new one beside it under a name of its own, "
            "move what it holds and delete this one in a change of its own"
        )
    renamed = _renamed(change, every)
    if renamed is None:
        return "Put it back, or move what it holds first"
    change, renamed = _outermost(change, renamed, every)
    # The same parents under another name: the short form of an alias does.
    same_parents = change.urn.rpartition("::")[0] == renamed.urn.rpartition("::")[0]
    alias = f'pulumi.Alias(name="{change.name}")' if same_parents else f'"{change.urn}"'
    return (
        f"If it was renamed, keep it: give {renamed.urn} opts=pulumi.ResourceOptions(aliases=[{alias}]); or put it back"
    )


def _renamed(change: Change, every: Sequence[Change]) -> Change | None:
    """What may be the same resource under another name: of those that come, the one with the most similar name."""
    come = [other for other in every if other.op == "create" and other.type == change.type]
    return max(come, key=lambda other: SequenceMatcher(None, change.name, other.name).ratio(), default=None)


def _outermost(old: Change, new: Change, every: Sequence[Change]) -> tuple[Change, Change]:
    """The outermost parents that were renamed with a resource: one alias there keeps all that they hold.

    Pulumi gives a child its parent's alias where the child's name begins with the parent's.
    """
    by_urn = {change.urn: change for change in every}
    while True:
        from_, to = by_urn.get(old.parent), by_urn.get(new.parent)
        if from_ is None or to is None or (from_.op, to.op, from_.type) != ("delete", "create", to.type):
            return old, new
        if not old.name.startswith(from_.name) or new.name != to.name + old.name.removeprefix(from_.name):
            return old, new
        old, new = from_, to


def _before_and_after(change: Change, path: str) -> str:
    return f"{_shown(look(change.before, path))} -> {_shown(look(change.inputs, path))}"


def _shown(value: Any) -> str:
    if value is None:
        return "absent"
    if value == UNKNOWN:
        return "not known yet"
    if is_secret(value):
        return "secret"
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


# Unlocked, kept for less long, opened


def _unlocked(change: Change) -> Iterator[_Against]:
    # The engine shows a resource of which only the protection changed as the same.
    if change.protected_before and not change.protect and change.op not in _GOES:
        yield _Against(
            f"lock removed: {PROTECT}",
            f"Keep it (`locked: true` in the stack file, `protect` in its options), {_WAIVE}",
        )
    if change.op not in ("update", "replace"):
        return
    for lock in LOCKS.get(change.type, ()):
        if lock.refuses and change.op == "replace":
            continue
        yield from _off(change, "lock removed", lock)


def _off(change: Change, what: str, lock: Lock) -> Iterator[_Against]:
    try:
        if not lock.holds(change.before) or lock.holds(change.inputs):
            return
        which = lock.path
    except UnjudgeableError as error:
        which = f"perhaps {error}"
    yield _Against(f"{what}: {which}", f"Keep {lock.path} at {_shown(lock.on)}, {_WAIVE}")


def _shortened(change: Change) -> Iterator[_Against]:
    retention = RETENTION.get(change.type)
    if retention is None or change.op not in ("update", "replace"):
        return
    try:
        found = retention.shortened(change.before, change.inputs)
    except UnjudgeableError as error:
        found = [f"perhaps, {error}"]
    for text in found:
        yield _Against(f"retention shortened: {text}", f"Keep it as long as before, {_WAIVE}")


def _loosened(change: Change) -> Iterator[_Against]:
    if change.op not in ("update", "replace"):
        return
    for lock in CLOSED.get(change.type, ()):
        yield from _off(change, "policy loosened", lock)
    path = POLICIES.get(change.type)
    if path is None:
        return
    try:
        before, after = known(change.before, path), known(change.inputs, path)
        if before == after:
            return
        found = loosened(before, after)
    except (UnjudgeableError, UnreadableError) as error:
        found = [f"perhaps, {path} cannot be compared: {error}"]
    for text in found:
        yield _Against(f"policy loosened: {text}", f"Take that out of {path} again, {_WAIVE}")
