"""What the gate stops, what it lets pass, and what no waiver allows."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gate import Objection, judge, unknown_urns
from infra.plan import MASKED, UNKNOWN, Change, Op, Plan
from infra.stateful import CLOSED, GUARDS, LOCKS, POLICIES, STATEFUL, STATELESS
from policies.waivers import Waiver
from tests.regions import STACKS, plan, region

TODAY = date(2026, 6, 1)

INSTANCE = "aws:rds/instance:Instance"
BUCKET = "aws:s3/bucket:Bucket"
KEY = "aws:kms/key:Key"
GROUP = "aws:cloudwatch/logGroup:LogGroup"
VAULT = "aws:backup/vault:Vault"
LOCK = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
POLICY = "aws:s3/bucketPolicy:BucketPolicy"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
SUBNET = "aws:ec2/subnet:Subnet"


def urn(type_: str, name: str = "thing", parents: str = "docsearch:rds:Rds$") -> str:
    return f"urn:pulumi:prod::docsearch::{parents}{type_}::{name}"


def change(
    type_: str,
    op: Op,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    *,
    name: str = "thing",
    parents: str = "docsearch:rds:Rds$",
    by: tuple[str, ...] = (),
    protect: tuple[bool, bool] = (False, False),
) -> Change:
    """A change; `protect` is Pulumi's lock before and after."""
    return Change(
        urn=urn(type_, name, parents),
        type=type_,
        op=op,
        before=before or {},
        inputs=(before if op == "delete" else after) or {},
        replaced_by=by,
        protected_before=protect[0],
        protect=protect[1],
    )


def waiver(type_: str, name: str = "thing", *, expires: date = TODAY, waives: str = "destroy") -> Waiver:
    return Waiver(
        waives=waives,
        urn=urn(type_, name),
        reason="It moved to another stack",
        owner="ops@example.com",
        expires=expires,
    )


def judged(*changes: Change, waivers: tuple[Waiver, ...] = ()) -> tuple[Objection, ...]:
    return judge(Plan("prod", "us-east-1", "local", changes), waivers, today=TODAY)


def only(*changes: Change, waivers: tuple[Waiver, ...] = ()) -> Objection:
    (objection,) = judged(*changes, waivers=waivers)
    return objection


def what(*changes: Change) -> list[str]:
    return [objection.what for objection in judged(*changes)]


# Replaced and deleted


@pytest.mark.parametrize("type_", STATEFUL)
def test_nothing_stateful_is_deleted_or_replaced_in_passing(type_: str) -> None:
    assert what(change(type_, "delete")) == ["deleted"]
    assert what(change(type_, "replace", by=("name",))) == ["replaced by name"]
    assert what(change(type_, "create")) == []
    assert what(change(type_, "same")) == []


@pytest.mark.parametrize("type_", GUARDS)
def test_a_guard_is_not_deleted_in_passing(type_: str) -> None:
    assert what(change(type_, "delete")) == ["deleted"]


@pytest.mark.parametrize("type_", sorted(STATELESS))
def test_what_holds_nothing_comes_and_goes(type_: str) -> None:
    assert what(change(type_, "delete"), change(type_, "replace", by=("name",), name="other")) == []


def test_a_type_that_nobody_decided_on_is_stopped() -> None:
    objection = only(change("aws:neptune/cluster:Cluster", "delete"))
    assert "nobody has decided on" in objection.remedy


def test_components_are_judged_by_what_is_in_them() -> None:
    assert what(change("docsearch:rds:Rds", "delete", protect=(True, True))) == []


def test_a_replacement_names_each_property_and_its_values() -> None:
    objection = only(
        change(
            INSTANCE,
            "replace",
            {"storageEncrypted": True, "kmsKeyId": "key"},
            {"kmsKeyId": UNKNOWN},
            by=("storageEncrypted", "kmsKeyId"),
        )
    )
    assert objection.what == "replaced by storageEncrypted, kmsKeyId"
    assert "Put storageEncrypted (true -> absent), kmsKeyId (key -> not known yet) back as it was" in objection.remedy
    assert "build the new one beside it under a name of its own" in objection.remedy


def test_a_replacement_without_a_property_is_one_all_the_same() -> None:
    assert what(change(INSTANCE, "replace")) == ["replaced"]


@pytest.mark.parametrize("value", [MASKED, {"4dabf18193072939515e22adb298388d": "1b47", "ciphertext": MASKED}])
def test_a_secret_is_called_one(value: Any) -> None:
    version = "aws:secretsmanager/secretVersion:SecretVersion"
    objection = only(
        change(version, "replace", {"secretString": value}, {"secretString": MASKED}, by=("secretString",))
    )
    assert "secretString (secret -> secret)" in objection.remedy


def test_a_long_value_is_cut() -> None:
    objection = only(change(INSTANCE, "replace", {"a": "x" * 200}, {"a": "y"}, by=("a",)))
    assert f"({'x' * 77}... -> y)" in objection.remedy


# Renamed


def test_a_rename_is_told_the_alias_that_keeps_the_resource() -> None:
    changes = (change(INSTANCE, "delete", name="old-name"), change(INSTANCE, "create", name="new-name"))
    remedy = only(*changes).remedy
    assert 'pulumi.Alias(name="old-name")' in remedy
    assert urn(INSTANCE, "new-name") in remedy


def test_so_is_a_rename_of_what_is_locked() -> None:
    gone = change(INSTANCE, "delete", {"deletionProtection": True}, name="old-name", protect=(True, True))
    objection = only(gone, change(INSTANCE, "create", name="new-name"))
    assert objection.what == "deleted in one change with its lock: protect, deletionProtection"
    assert 'pulumi.Alias(name="old-name")' in objection.remedy


def test_a_replacement_of_what_is_locked_names_its_properties() -> None:
    objection = only(
        change(INSTANCE, "replace", {"engine": "a"}, {"engine": "b"}, by=("engine",), protect=(True, True))
    )
    assert objection.what == "replaced by engine in one change with its lock: protect"
    assert "Put engine (a -> b) back as it was" in objection.remedy


def family(name: str, op: Op) -> tuple[Change, Change]:
    """A component and the database in it, both of that name."""
    component = replace(change("docsearch:rds:Rds", op, name=name, parents=""), parent="urn:stack")
    database = replace(change(INSTANCE, op, name=f"{name}-replica-1"), parent=component.urn)
    return component, database


def test_a_renamed_component_is_told_the_one_alias_that_keeps_all_of_it() -> None:
    gone, come = family("database", "delete"), family("store", "create")
    assert f'give {come[0].urn} opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="database")])' in (
        only(*gone, *come).remedy
    )


def test_a_child_that_would_not_inherit_the_alias_is_told_its_own() -> None:
    component, database = family("database", "delete")
    moved, come = family("store", "create")
    come = replace(come, urn=urn(INSTANCE, "copy-1"))
    remedy = only(component, database, moved, come).remedy
    assert f'give {come.urn} opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="database-replica-1")])' in remedy


def test_a_move_to_another_parent_is_told_the_whole_urn() -> None:
    gone = change(INSTANCE, "delete")
    remedy = only(gone, change(INSTANCE, "create", parents="docsearch:store:Store$")).remedy
    assert f'aliases=["{gone.urn}"]' in remedy


def test_the_most_similar_name_is_the_one_that_was_renamed() -> None:
    changes = [change(INSTANCE, "delete", name=f"database-{n}") for n in "12"]
    changes += [change(INSTANCE, "create", name=f"db-{n}") for n in "12"]
    remedies = [objection.remedy for objection in judged(*changes)]
    assert [urn(INSTANCE, f"db-{n}") in remedy for n, remedy in zip("12", remedies, strict=True)] == [True, True]


def test_something_else_that_comes_is_no_rename() -> None:
    assert "Alias" not in only(change(INSTANCE, "delete"), change(BUCKET, "create")).remedy


# Locks


@pytest.mark.parametrize("op", ["same", "update"])
@pytest.mark.parametrize("type_", [INSTANCE, SUBNET])
def test_pulumis_lock_does_not_come_off_in_passing(type_: str, op: Op) -> None:
    """The engine shows a resource of which only the protection changed as the same."""
    assert what(change(type_, op, protect=(True, False))) == ["lock removed: protect"]
    assert what(change(type_, op, protect=(True, True))) == []
    assert what(change(type_, op, protect=(False, True))) == []


EVERY_LOCK = [(type_, lock.path) for type_, locks in LOCKS.items() for lock in locks]


def at(path: str, value: Any) -> dict[str, Any]:
    for step in reversed(path.split(".")):
        value = {step: value}
    return dict(value)


@pytest.mark.parametrize(("type_", "path"), EVERY_LOCK)
def test_no_other_lock_comes_off_in_passing(type_: str, path: str) -> None:
    (lock,) = (lock for lock in LOCKS[type_] if lock.path == path)
    on = at(path, lock.on)
    for off in (
        at(path, "other" if isinstance(lock.on, str) else not lock.on),
        *([{}] if lock.default != lock.on else []),
    ):
        assert what(change(type_, "update", on, off)) == [f"lock removed: {path}"]
        assert what(change(type_, "update", off, on)) == []
    assert what(change(type_, "update", on, on)) == []
    assert what(change(type_, "update", on, at(path, UNKNOWN))) == [
        f"lock removed: perhaps {path} is not known before the update"
    ]


REFUSING = [(type_, lock) for type_, locks in LOCKS.items() for lock in locks if lock.refuses]


@pytest.mark.parametrize("op", ["delete", "replace"])
@pytest.mark.parametrize(("type_", "lock"), REFUSING)
def test_what_goes_in_one_change_with_its_lock_is_refused_with_a_waiver_too(type_: str, lock: Any, op: Op) -> None:
    for before in (at(lock.path, lock.on), at(lock.path, UNKNOWN)):
        objection = only(change(type_, op, before), waivers=(waiver(type_),))
        assert objection.stops
        assert objection.what.endswith(f" in one change with its lock: {lock.path}")
        assert "no waiver allows both at once" in objection.remedy


@pytest.mark.parametrize("op", ["delete", "replace"])
@pytest.mark.parametrize("after", [True, False])
@pytest.mark.parametrize("type_", [INSTANCE, SUBNET])
def test_so_is_what_goes_with_pulumis_lock(type_: str, op: Op, after: bool) -> None:
    objection = only(change(type_, op, protect=(True, after)), waivers=(waiver(type_),))
    assert objection.stops
    assert objection.what.endswith("in one change with its lock: protect")


def test_two_changes_release_and_delete() -> None:
    allowed = (waiver(INSTANCE),)
    locked, open_ = {"deletionProtection": True}, {"deletionProtection": False}
    release = judged(change(INSTANCE, "update", locked, open_, protect=(True, False)), waivers=allowed)
    assert [objection.what for objection in release] == ["lock removed: protect", "lock removed: deletionProtection"]
    assert not any(objection.stops for objection in release)
    assert not only(change(INSTANCE, "delete", open_), waivers=allowed).stops


def test_a_vault_does_not_go_with_its_lock() -> None:
    vault = change(VAULT, "delete", {"name": "backup"})
    allowed = (waiver(VAULT), waiver(LOCK, "lock"))
    ways: list[tuple[Op, str]] = [("delete", "backup"), ("delete", UNKNOWN), ("replace", "backup")]
    for op, name in ways:
        lock = change(LOCK, op, {"backupVaultName": name}, {"backupVaultName": name}, name="lock")
        first, second = judged(vault, lock, waivers=allowed)
        assert first.what == "deleted in one change with its lock: lock"
        assert first.stops
        assert not second.stops
    other = change(LOCK, "delete", {"backupVaultName": "another"}, name="lock")
    assert not any(objection.stops for objection in judged(vault, other, waivers=allowed))
    kept = change(LOCK, "same", {"backupVaultName": "backup"}, name="lock")
    assert only(vault, kept, waivers=allowed).what == "deleted"


# Retention and policies


def test_shorter_retention_is_stopped() -> None:
    days = [{"backupRetentionPeriod": days} for days in (35, 7)]
    assert what(change(INSTANCE, "update", *days)) == ["retention shortened: backupRetentionPeriod 35 -> 7"]
    assert what(change(INSTANCE, "update", *days[::-1])) == []


def test_so_is_retention_that_is_not_known() -> None:
    assert what(change(GROUP, "update", {"retentionInDays": 30}, {"retentionInDays": UNKNOWN})) == [
        "retention shortened: perhaps, retentionInDays is not known before the update"
    ]


def document(*actions: str) -> str:
    allowed = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:role/a"}, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**allowed, "Action": list(actions)}]})


@pytest.mark.parametrize("type_", POLICIES)
def test_a_looser_policy_is_stopped_and_a_tighter_one_is_not(type_: str) -> None:
    path = POLICIES[type_]
    tight, loose = {path: document("a:Read")}, {path: document("a:Read", "a:Write")}
    assert what(change(type_, "update", tight, loose)) == [
        "policy loosened: allows a:write on * for AWS arn:aws:iam::123456789012:role/a"
    ]
    assert what(change(type_, "update", loose, tight)) == []
    assert what(change(type_, "update", loose, loose)) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [(UNKNOWN, "policy is not known before the update"), (MASKED, "policy is secret"), ("{", "it is not JSON")],
)
def test_a_policy_that_cannot_be_read_is_stopped(text: str, why: str) -> None:
    readable = {"policy": document("s3:GetObject")}
    for pair in ((readable, {"policy": text}), ({"policy": text}, readable)):
        assert what(change(POLICY, "update", *pair)) == [f"policy loosened: perhaps, policy cannot be compared: {why}"]


@pytest.mark.parametrize("name", [lock.path for lock in CLOSED[BLOCK]])
def test_public_access_is_not_opened_in_passing(name: str) -> None:
    for after in ({name: False}, {}):
        assert what(change(BLOCK, "update", {name: True}, after)) == [f"policy loosened: {name}"]
    assert what(change(BLOCK, "update", {name: False}, {name: True})) == []


def test_one_change_may_be_stopped_for_more_than_one_reason() -> None:
    before = {"policy": document("kms:Sign"), "deletionWindowInDays": 30, "multiRegion": True}
    after = {"policy": document("kms:*"), "deletionWindowInDays": 7, "multiRegion": False}
    assert what(change(KEY, "replace", before, after, by=("multiRegion",))) == [
        "replaced by multiRegion",
        "retention shortened: deletionWindowInDays 30 -> 7",
        "policy loosened: allows kms:* on * for AWS arn:aws:iam::123456789012:role/a",
    ]


# Waivers


def test_a_waiver_allows_what_is_said_of_its_resource() -> None:
    allowed = waiver(INSTANCE)
    objection = only(change(INSTANCE, "delete"), waivers=(allowed,))
    assert objection.waiver == allowed
    assert not objection.stops
    assert "Waived until 2026-06-01 (ops@example.com): It moved to another stack" in str(objection)


@pytest.mark.parametrize(
    "other", [waiver(INSTANCE, "other"), waiver(INSTANCE, waives="rds-backups")], ids=["urn", "rule"]
)
def test_a_waiver_of_something_else_allows_nothing(other: Waiver) -> None:
    objection = only(change(INSTANCE, "delete"), waivers=(other,))
    assert objection.stops
    assert objection.expired is None


def test_an_expired_waiver_allows_nothing_and_is_named() -> None:
    old = waiver(INSTANCE, expires=date(2026, 5, 31))
    objection = only(change(INSTANCE, "delete"), waivers=(old,))
    assert objection.stops
    assert objection.expired == old
    assert str(objection).endswith("Its waiver expired on 2026-05-31 (ops@example.com)")


def test_the_remedy_says_how_to_waive() -> None:
    assert (
        "policies/waivers.yaml (waives: destroy, urn, reason, owner, expires)"
        in only(change(INSTANCE, "delete")).remedy
    )


def test_the_json_form() -> None:
    objection = only(change(INSTANCE, "delete"), waivers=(waiver(INSTANCE),))
    assert objection.as_json() == {
        "urn": urn(INSTANCE),
        "type": INSTANCE,
        "what": "deleted",
        "remedy": objection.remedy,
        "waiver": {"reason": "It moved to another stack", "owner": "ops@example.com", "expires": "2026-06-01"},
        "expired": None,
    }


def test_waivers_that_name_nothing_are_found() -> None:
    plans = [Plan("prod", "us-east-1", "local", (change(INSTANCE, "delete"),))]
    elsewhere = waiver(INSTANCE, "other").model_copy(update={"urn": "urn:pulumi:dr::docsearch::a::b"})
    waivers = [waiver(INSTANCE), waiver(INSTANCE, "nobody"), waiver(INSTANCE, "nobody", waives="rule"), elsewhere]
    assert unknown_urns(plans, waivers) == (urn(INSTANCE, "nobody"),)


# Whole regions


@pytest.mark.parametrize("stack", STACKS)
def test_a_region_that_comes_or_stays_meets_no_objection(stack: str) -> None:
    new = plan(stack)
    same = tuple(replace(one, op="same", before=one.inputs) for one in new.changes)
    assert judge(new, (), today=TODAY) == ()
    assert judge(replace(new, changes=same), (), today=TODAY) == ()


@pytest.mark.parametrize("stack", STACKS)
def test_an_update_that_changes_nothing_meets_no_objection(stack: str) -> None:
    """Policies, locks and retention of every resource can be read."""
    new = plan(stack)
    changes = tuple(replace(one, op="update", before=one.inputs) for one in new.changes)
    assert judge(replace(new, changes=changes), (), today=TODAY) == ()


@pytest.mark.parametrize("stack", STACKS)
def test_a_region_that_goes_with_its_locks_is_refused_whatever_is_waived(stack: str) -> None:
    protected = {one.urn: one.protect for one in region(stack).resources}
    gone = tuple(
        replace(one, op="delete", before=one.inputs, protected_before=protected[one.urn]) for one in plan(stack).changes
    )
    waivers = [
        Waiver(waives="destroy", urn=one.urn, reason="We close the region", owner="ops@example.com", expires=TODAY)
        for one in gone
    ]
    objections = judge(replace(plan(stack), changes=gone), waivers, today=TODAY)
    stopped = {objection.urn for objection in objections if objection.stops}
    assert stopped >= {one.urn for one in gone if protected[one.urn] and not one.type.startswith("docsearch:")}
    assert all("in one change with its lock" in objection.what for objection in objections if objection.stops)


ops = st.sampled_from(["create", "update", "replace", "delete", "same"])
types = st.sampled_from([INSTANCE, BUCKET, KEY, VAULT, LOCK, POLICY, SUBNET, "docsearch:rds:Rds"])
values: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["deletionProtection", "policy", "name", "deletionWindowInDays", "backupVaultName"]),
    st.sampled_from([True, False, None, 7, UNKNOWN, MASKED, "{}", "x", [], {}]),
)
changes = st.builds(
    lambda type_, op, before, after, name, protect: change(type_, op, before, after, name=name, protect=protect),
    types,
    ops,
    values,
    values,
    st.sampled_from("abc"),
    st.tuples(st.booleans(), st.booleans()),
)


@given(st.lists(changes, max_size=6))
def test_a_waiver_for_everything_leaves_only_what_goes_with_its_lock(some: list[Change]) -> None:
    every = tuple(waiver(type_, name) for type_ in {one.type for one in some} for name in "abc")
    for objection in judged(*some, waivers=every):
        assert objection.stops is ("in one change with its lock" in objection.what)


@given(st.lists(changes, max_size=6))
def test_waivers_change_nothing_of_what_is_found(some: list[Change]) -> None:
    every = tuple(waiver(type_, name) for type_ in {one.type for one in some} for name in "abc")
    assert [(its.urn, its.what, its.remedy) for its in judged(*some)] == [
        (its.urn, its.what, its.remedy) for its in judged(*some, waivers=every)
    ]
