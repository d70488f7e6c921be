from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.local.state.journal import StateError
from infra.local.state.service import (
    GRACE_S,
    IDLE_CLOSE_S,
    ORGANIZATION,
    PROPOSALS_KEPT,
    TERM_S,
    Proposal,
    RefusedError,
    Service,
    StackName,
)

PROD = StackName(ORGANIZATION, "docsearch", "prod")
ENTRY = (
    b'{"entries":[{"kind":0,"sequenceID":1,"operationID":1,"operation":{"type":"creating","resource":{"urn":"u"}}}]}'
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(tmp_path: Path, clock: Clock) -> Iterator[Service]:
    service = Service(tmp_path / "state", clock=clock, monotonic=clock)
    service.create(PROD, tags={}, state=None)
    yield service
    service.close()


def propose(service: Service, kind: str = "update", *, dry_run: bool = False) -> str:
    return service.propose(Proposal(name=PROD, kind=kind, dry_run=dry_run, about={}))


def start(service: Service, connection: int = 1) -> tuple[str, str]:
    update = propose(service)
    _, token = service.start(update, tags=None, engine="v3.250.0", connection=connection)
    return update, token


def test_second_update_is_refused_while_the_first_client_is_there(service: Service, clock: Clock) -> None:
    start(service)
    clock.now += 10 * TERM_S
    with pytest.raises(RefusedError, match=r"^Conflict: Another update is currently in progress\.") as caught:
        start(service, connection=2)
    assert caught.value.code == 409
    assert "3000 s ago" in str(caught.value)
    assert "pulumi cancel" in str(caught.value)


def test_update_of_a_killed_client_is_free_after_the_grace(service: Service, clock: Clock) -> None:
    update, token = start(service)
    ledger = service.hold(PROD, update, token, 2)
    assert ledger
    ledger.append(ENTRY)
    for connection in (1, 2):
        service.disconnected(connection, idle_s=0.1)
    clock.now += GRACE_S - 0.1
    with pytest.raises(RefusedError, match="Another update"):
        start(service, connection=3)
    clock.now += 0.2
    start(service, connection=3)
    assert b"creating" in service.stack(PROD).export().body
    with pytest.raises(RefusedError, match="does not hold update") as caught:
        service.hold(PROD, update, token, 1)
    assert caught.value.code == 403


def test_one_of_two_connections_closing_means_nothing(service: Service, clock: Clock) -> None:
    update, token = start(service, connection=1)
    service.hold(PROD, update, token, 2)
    service.disconnected(1, idle_s=0.1)
    clock.now += TERM_S
    assert service.busy(service.stack(PROD))


def test_client_that_is_silent_during_a_long_step_keeps_its_update(service: Service, clock: Clock) -> None:
    update, token = start(service)
    clock.now += 90
    service.disconnected(1, idle_s=IDLE_CLOSE_S + 5)
    clock.now += TERM_S - 1
    assert service.busy(service.stack(PROD))
    service.hold(PROD, update, token, 2)
    clock.now += 10 * TERM_S
    assert service.busy(service.stack(PROD))


def test_client_that_comes_back_before_anyone_else_goes_on(service: Service, clock: Clock) -> None:
    update, token = start(service)
    service.disconnected(1, idle_s=0.1)
    clock.now += 100 * GRACE_S
    assert service.busy(service.stack(PROD)) is None
    assert service.hold(PROD, update, token, 2)
    assert service.busy(service.stack(PROD))


def test_cancel_frees_the_stack_at_once_and_keeps_what_was_reported(service: Service) -> None:
    update, token = start(service)
    ledger = service.hold(PROD, update, token, 1)
    assert ledger
    ledger.append(ENTRY)
    service.cancel(PROD, update)
    assert b"creating" in ledger.export().body
    assert ledger.history()[0]["result"] == "failed"
    with pytest.raises(RefusedError, match="does not hold"):
        service.hold(PROD, update, token, 1)
    with pytest.raises(RefusedError, match="already completed"):
        service.cancel(PROD, update)
    start(service)


def test_completed_update_frees_the_stack(service: Service) -> None:
    update, token = start(service)
    service.hold(PROD, update, token, 1)
    service.complete(PROD, update, succeeded=True)
    assert service.stack(PROD).history()[0]["result"] == "succeeded"
    start(service)


def test_client_goes_on_after_the_service_was_restarted(service: Service, clock: Clock, tmp_path: Path) -> None:
    update, token = start(service)
    service.close()
    again = Service(tmp_path / "state", clock=clock, monotonic=clock)
    assert again.busy(again.stack(PROD))
    assert again.hold(PROD, update, token, 7)
    clock.now += 100 * GRACE_S
    assert again.busy(again.stack(PROD))
    again.complete(PROD, update, succeeded=True)
    again.close()


def test_update_whose_client_died_with_the_service_is_free_after_the_grace(
    service: Service, clock: Clock, tmp_path: Path
) -> None:
    start(service)
    service.close()
    again = Service(tmp_path / "state", clock=clock, monotonic=clock)
    with pytest.raises(RefusedError, match="Another update"):
        start(again)
    clock.now += GRACE_S + 0.1
    start(again)
    again.close()


def test_previews_need_no_lease_and_leave_no_history(service: Service) -> None:
    start(service)
    preview = propose(service, "preview", dry_run=True)
    version, token = service.start(preview, tags=None, engine="", connection=5)
    assert version == 1
    assert service.hold(PROD, preview, token, 5) is None
    service.complete(PROD, preview, succeeded=True)
    assert len(service.stack(PROD).history()) == 1
    with pytest.raises(RefusedError, match="does not hold"):
        service.hold(PROD, preview, token, 5)


def test_previews_that_never_end_do_not_pile_up(service: Service) -> None:
    first = propose(service, "preview", dry_run=True)
    service.start(first, tags=None, engine="", connection=5)
    for _ in range(PROPOSALS_KEPT):
        propose(service, "preview", dry_run=True)
    with pytest.raises(RefusedError, match="no update") as caught:
        service.start(first, tags=None, engine="", connection=5)
    assert caught.value.code == 404


@pytest.mark.parametrize("token", ["", "wrong", "ü"])
def test_wrong_lease_token_is_refused(service: Service, token: str) -> None:
    update, _ = start(service)
    with pytest.raises(RefusedError, match="does not hold") as caught:
        service.hold(PROD, update, token, 1)
    assert caught.value.code == 403


def test_stacks_are_created_listed_and_deleted(service: Service) -> None:
    dr = PROD._replace(stack="dr")
    service.create(dr, tags={}, state=None)
    assert service.names() == [dr, PROD]
    with pytest.raises(RefusedError, match="already exists") as caught:
        service.create(dr, tags={}, state=None)
    assert caught.value.code == 409
    service.delete(dr, force=False)
    assert service.names() == [PROD]
    with pytest.raises(RefusedError, match="Stack 'organization/docsearch/dr' not found") as caught:
        service.stack(dr)
    assert caught.value.code == 404


def test_stack_with_resources_is_deleted_only_by_force(service: Service) -> None:
    service.overwrite(PROD, {"version": 3, "deployment": {"resources": [{"urn": "u"}]}})
    with pytest.raises(RefusedError) as caught:
        service.delete(PROD, force=False)
    assert (caught.value.code, caught.value.what) == (400, "Bad Request: Stack still contains resources.")
    service.delete(PROD, force=True)
    assert service.names() == []


def test_busy_stack_is_neither_deleted_nor_overwritten(service: Service) -> None:
    start(service)
    with pytest.raises(RefusedError, match="Another update"):
        service.delete(PROD, force=True)
    with pytest.raises(RefusedError, match="Another update"):
        service.overwrite(PROD, {"version": 3, "deployment": {}})


@pytest.mark.parametrize("part", ["..", ".", "", "a/b", "a\0b", ".token", "a" * 101])
def test_names_cannot_leave_the_folder(service: Service, part: str) -> None:
    for name in (StackName(part, "p", "s"), StackName("o", part, "s"), StackName("o", "p", part)):
        with pytest.raises(RefusedError, match="cannot name") as caught:
            service.create(name, tags={}, state=None)
        assert caught.value.code == 400


def test_secrets_come_back_and_are_not_readable_meanwhile(service: Service) -> None:
    ciphertext = service.encrypt(b"canary-42")
    assert b"canary" not in ciphertext
    assert service.decrypt(ciphertext) == b"canary-42"
    with pytest.raises(RefusedError, match=r"cannot be decrypted.*not encrypted with") as caught:
        service.decrypt(b"something else")
    assert caught.value.code == 400


def test_token_and_key_stay_the_same_over_restarts(service: Service, tmp_path: Path) -> None:
    ciphertext, token = service.encrypt(b"canary-42"), service.token
    service.close()
    again = Service(tmp_path / "state")
    assert (again.decrypt(ciphertext), again.token) == (b"canary-42", token)
    again.close()


def test_lost_key_is_not_replaced_under_secrets_that_need_it(service: Service, tmp_path: Path) -> None:
    service.close()
    (tmp_path / "state" / ".key").unlink()
    with pytest.raises(StateError, match=r"\.key is missing: the secrets in the state.*Put it back"):
        Service(tmp_path / "state")
    assert not (tmp_path / "state" / ".key").exists()
    (tmp_path / "state" / PROD.org).rename(tmp_path / "moved away")
    Service(tmp_path / "state").close()


def test_two_services_cannot_share_a_folder(service: Service, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="is in use"):
        Service(tmp_path / "state")


def test_folder_is_for_its_owner_only(service: Service) -> None:
    assert service.root.stat().st_mode & 0o777 == 0o700
