"""The ledger of erasures in a bucket: whole, of this deployment, and noted once, whoever writes at the same time."""

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from app import compliance, logbook
from app.errors import SettingsError, UnavailableError
from app.housekeeping import Housekeeping
from app.ledger import BucketLedger, FileLedger, Ledger, ledger_at, ledger_of
from app.resilience.deadline import retrying
from app.runtime import open_service, open_worker
from app.search.model import NoCache
from app.settings import load
from app.store import erasures
from tests.app.aws.cloud import REGION, client
from tests.app.household import erase, of
from tests.app.world import World

pytestmark = [pytest.mark.services, pytest.mark.anyio]

MINE, THEIRS = uuid4(), uuid4()
PLACE = "s3://kept/erasures"


def entry(number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "erasure_id": str(uuid4()),
        "tenant_id": str(uuid4()),
        "field": erasures.FIELD,
        "subject": "0a" * 32,
        "key": "0" * 16,
        "asked_at": f"2026-11-28T05:{number:02}:00+00:00",
        **more,
    }


@pytest.fixture
def s3(aws: str) -> Any:
    its = client("s3", aws)
    its.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
    return its


def ledger() -> Ledger:
    return ledger_at(PLACE, load(aws_region=REGION))


def put(s3: Any, name: str, body: bytes) -> str:
    s3.put_object(Bucket="kept", Key=f"erasures/{name}", Body=body)
    return f"{PLACE}/{name}"


def name_of(one: dict[str, Any], deployment: UUID = MINE) -> str:
    return f"{deployment}/{one['erasure_id']}.json"


@pytest.mark.parametrize("kind", ["file", "bucket"])
async def test_what_is_added_is_read_in_order_and_added_once(kind: str, s3: Any, tmp_path: Path) -> None:
    its = FileLedger(tmp_path / "ledger") if kind == "file" else ledger()
    entries = [entry(number) for number in range(20)]
    assert await its.add(MINE, entries[:12]) == 12
    assert await its.add(MINE, entries) == 8
    assert await its.add(MINE, entries) == 0
    again = FileLedger(tmp_path / "ledger") if kind == "file" else ledger()
    assert await again.add(MINE, entries[3:7]) == 0
    assert {*await again.ids(MINE)} == {UUID(one["erasure_id"]) for one in entries}
    assert [one["asked_at"] for one in await again.read(MINE)] == [one["asked_at"] for one in entries]


async def test_an_empty_prefix_is_a_ledger_in_which_nothing_is_noted(s3: Any) -> None:
    assert await ledger().ids(MINE) == await ledger().read(MINE) == []


async def test_of_two_who_note_at_once_one_does_and_the_other_is_content(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [entry(number) for number in range(3)]
    late = ledger()
    assert isinstance(late, BucketLedger)

    async def nothing() -> list[str]:
        return []

    # It has looked before the other one wrote.
    monkeypatch.setattr(late._bucket, "names", nothing)
    assert await ledger().add(MINE, entries[:2]) == 2
    assert await late.add(MINE, entries) == 1
    assert len(await ledger().read(MINE)) == 3


async def test_who_was_first_is_not_taken_at_its_word_if_that_cannot_be_read(
    s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, one = ledger(), entry()
    assert isinstance(late, BucketLedger)

    async def nothing() -> list[str]:
        return []

    monkeypatch.setattr(late._bucket, "names", nothing)
    place = put(s3, name_of(one), b"garbage")
    for _ in range(2):
        with pytest.raises(SettingsError, match=f"line 1 of {place} is broken"):
            await late.add(MINE, [one])


async def test_an_object_that_is_broken_is_named(s3: Any) -> None:
    good, other = entry(), entry()
    await ledger().add(MINE, [good])
    whole = logbook.first_line("erasures", MINE, other)
    for body, why in {
        b"": "it has 0 entries and not one",
        b"{": "line 1 of .* it is cut off",
        b"no JSON\n": "it is no JSON",
        b"[]\n": "it is no entry of a logbook",
        whole.replace(b"metadata", b"Metadata"): "it does not follow",
        whole + logbook.first_line("erasures", MINE, good): "line 2 of .* it does not follow",
        logbook.first_line("audit", MINE, other): "holds 'audit': erasures was expected",
        logbook.first_line("erasures", THEIRS, other): "is of the deployment",
        logbook.first_line("erasures", MINE, good): f"it is about {good['erasure_id']}",
        logbook.first_line("erasures", MINE, other | {"subject": "no hash"}): "it is no erasure",
        logbook.first_line("erasures", MINE, other | {"asked_at": 5}): r"it is no erasure.*\$.asked_at",
        logbook.first_line("erasures", MINE, {"erasure_id": other["erasure_id"]}): "it is no erasure",
    }.items():
        place = put(s3, name_of(other), body)
        with pytest.raises(SettingsError, match=why) as refused:
            await ledger().read(MINE)
        assert place in str(refused.value)


@pytest.mark.parametrize("name", ["README", "x/y.json", f"{MINE}/{uuid4()}", f"{MINE}/{str(uuid4()).upper()}.json"])
async def test_what_is_no_entry_by_its_name_is_named(name: str, s3: Any) -> None:
    place = put(s3, name, b"")
    for call in (ledger().ids, ledger().read):
        with pytest.raises(SettingsError, match="it is no entry of a ledger, by its name") as refused:
            await call(MINE)
        assert place in str(refused.value)


async def test_another_deployments_ledger_is_refused(s3: Any) -> None:
    await ledger().add(THEIRS, [entry()])
    for call in (ledger().ids(MINE), ledger().read(MINE), ledger().add(MINE, [entry()])):
        with pytest.raises(SettingsError, match=f"is of the deployment {THEIRS}: this is {MINE}"):
            await call


def test_a_ledger_is_a_file_or_a_place_in_s3(tmp_path: Path) -> None:
    assert ledger_of(load()) is None
    assert str(ledger_at(str(tmp_path / "a"), load())) == str(tmp_path / "a")
    assert str(ledger_at(PLACE, load(aws_region=REGION))) == f"{PLACE}/"
    with pytest.raises(SettingsError, match="DOCSEARCH_ERASURE_LEDGER is 'gs://kept/erasures'"):
        ledger_at("gs://kept/erasures", load())
    with pytest.raises(SettingsError, match="AWS_REGION is not set"):
        ledger_at(PLACE, load())


async def test_pods_note_before_the_deed_and_serve_no_older_database(
    world: World, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = world.settings.model_copy(update={"erasure_ledger": PLACE, "aws_region": REGION})
    scope = await world.tenant("a")
    await world.put(scope, of("grace"))
    asked = await erase(world, scope, "grace")

    def house(place: str) -> Housekeeping:
        its = ledger_of(settings.model_copy(update={"erasure_ledger": place}))
        return Housekeeping(world.work, (world.index,), NoCache(), ledger=its, settle_seconds=0)

    with pytest.raises(SettingsError, match="s3://nowhere/erasures/ cannot be listed: there is no such bucket"):
        await house("s3://nowhere/erasures").step()
    assert (await world.admin("SELECT status FROM documents"))[0][0] == "PENDING"
    await house(PLACE).step()
    (found,) = s3.list_objects_v2(Bucket="kept")["Contents"]
    assert found["Key"].endswith(f"/{asked.erasure_id}.json")
    assert b"grace" not in s3.get_object(Bucket="kept", Key=found["Key"])["Body"].read()
    async with open_service(settings, with_worker=True):
        pass
    await world.admin("DELETE FROM erasures")
    for opened in (open_service(settings, with_worker=False), open_worker(settings)):
        with pytest.raises(SettingsError, match=f"knows nothing of 1 of 1 erasures.*replay {PLACE}, then"):
            async with opened:
                pass
    hashed = settings.model_copy(update={"api_key_pepper_previous": SecretStr("k" * 32)})
    assert await compliance.replay(hashed, PLACE, print) == 1
    async with open_service(settings, with_worker=False):
        pass
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setattr("app.aws.bucket.retrying", partial(retrying, first=0.0))
    with pytest.raises(UnavailableError, match="S3 does not answer"):
        async with open_service(settings, with_worker=False):
            pass


async def test_a_ledger_that_lacks_something_has_it_after_the_night(world: World, s3: Any) -> None:
    """After a failover the bucket of the region that takes over is another one."""
    settings = world.settings.model_copy(update={"erasure_ledger": PLACE, "aws_region": REGION})
    scope = await world.tenant("a")
    await erase(world, scope, "grace")
    await Housekeeping(world.work, (world.index,), NoCache(), settle_seconds=0).step()
    assert await world.admin("SELECT * FROM erasures WHERE finished_at IS NULL") == []
    its = ledger_of(settings)
    await Housekeeping(world.work, (world.index,), NoCache(), ledger=its, settle_seconds=0).step()
    assert s3.list_objects_v2(Bucket="kept")["KeyCount"] == 1
    assert await compliance.export(settings, PLACE) == 0
