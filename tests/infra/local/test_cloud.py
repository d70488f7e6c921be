"""The moto process: what it did survives it, with the same ids, dates and answers."""

import errno
import http.client
import json
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from moto.core.base_backend import BackendDict

from infra.errors import LocalCloudError
from infra.local.chance import Chance
from infra.local.cloud import _SLOW, _WARM
from infra.local.daemon import DEFAULT_ACCOUNT
from infra.local.journal import Entry, Journal
from infra.local.wsgi import Moto, Server

NewCloud = Callable[..., Any]


def entries(folder: Path) -> list[Entry]:
    journal = Journal(folder / "moto", DEFAULT_ACCOUNT)
    try:
        return list(journal.entries())
    finally:
        journal.close()


def test_everything_is_the_same_after_a_restart(
    new_cloud: NewCloud, make_everything: Callable[[Any], None], describe_everything: Callable[[Any], dict[str, Any]]
) -> None:
    first = new_cloud()
    make_everything(first.client)
    before, done = describe_everything(first.client), first.journal.sequence
    second = new_cloud()
    assert second.health["replayed"] == done > 40
    assert second.told == []
    after = describe_everything(second.client)
    for question, answer in before.items():
        assert after[question] == answer, question


def test_nobody_is_answered_before_the_replay_is_done(new_cloud: NewCloud) -> None:
    made = new_cloud().client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    again = new_cloud(replayed=False)
    found: dict[str, Any] = {}

    def look() -> None:
        found["vpcs"] = [one["VpcId"] for one in again.client("ec2").describe_vpcs()["Vpcs"]]

    def make() -> None:
        found["key"] = again.client("kms").create_key()["KeyMetadata"]["KeyId"]

    threads = [threading.Thread(target=one, daemon=True) for one in (look, make)]
    for one in threads:
        one.start()
    threads[0].join(0.3)
    assert not found
    assert again.http.get("/docsearch/health").get_json()["ready"] is False
    again.cloud.replay(again.told.append)
    for one in threads:
        one.join(30)
    assert made in found["vpcs"]
    assert found["key"]
    assert again.journal.sequence == 2
    assert again.failures == []


def test_the_next_id_does_not_depend_on_a_restart_or_on_reads(new_cloud: NewCloud) -> None:
    def next_ids(cloud: Any) -> list[str]:
        return [cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(2)]

    first = new_cloud()
    made = next_ids(first)
    first.client("ec2", "us-west-2").describe_vpcs()
    first.client("iam").list_roles()
    made += next_ids(first)
    second = new_cloud()
    vpcs = second.client("ec2").describe_vpcs()["Vpcs"]
    assert [vpc["VpcId"] for vpc in vpcs if not vpc["IsDefault"]] == made
    assert len(set(made)) == 4
    assert not set(next_ids(second)) & set(made)


def test_reads_are_not_journalled_but_what_they_make_is(new_cloud: NewCloud) -> None:
    cloud = new_cloud()
    kms = cloud.client("kms")
    for _ in range(2):
        kms.list_keys()
        cloud.client("ec2").describe_vpcs()
        cloud.client("sts").get_caller_identity()
        cloud.client("s3").list_buckets()
    assert cloud.journal.sequence == 0
    key = kms.describe_key(KeyId="alias/aws/rds")["KeyMetadata"]
    assert cloud.journal.sequence == 1
    kms.describe_key(KeyId="alias/aws/rds")
    assert cloud.journal.sequence == 1
    assert new_cloud().client("kms").describe_key(KeyId="alias/aws/rds")["KeyMetadata"] == key


def test_secrets_can_still_be_decrypted_after_a_restart_and_lie_nowhere_in_the_open(
    new_cloud: NewCloud, tmp_path: Path
) -> None:
    cloud = new_cloud()
    key = cloud.client("kms").create_key()["KeyMetadata"]["KeyId"]
    blob = cloud.client("kms").encrypt(KeyId=key, Plaintext=b"canary-plaintext")["CiphertextBlob"]
    cloud.client("secretsmanager").create_secret(Name="s", SecretString="canary-secret")
    cloud = new_cloud()
    assert cloud.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"canary-plaintext"
    assert cloud.client("secretsmanager").get_secret_value(SecretId="s")["SecretString"] == "canary-secret"
    for path in (tmp_path / "moto").iterdir():
        assert b"canary" not in path.read_bytes()


def test_refused_calls_are_refused_again(new_cloud: NewCloud) -> None:
    cloud = new_cloud()
    cloud.client("s3").create_bucket(Bucket="documents")
    for _ in range(2):
        with pytest.raises(ClientError, match="InvalidVpcID"):
            cloud.client("ec2").create_subnet(VpcId="vpc-0", CidrBlock="10.0.0.0/24")
    again = new_cloud()
    assert again.health["replayed"] == 3
    assert again.told == []


def test_what_is_deleted_stays_deleted(new_cloud: NewCloud) -> None:
    ec2 = new_cloud().client("ec2")
    vpcs = [ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"] for _ in range(3)]
    ec2.delete_vpc(VpcId=vpcs[1])
    found = new_cloud().client("ec2").describe_vpcs()["Vpcs"]
    assert [vpc["VpcId"] for vpc in found if not vpc["IsDefault"]] == [vpcs[0], vpcs[2]]


def test_parallel_changes_replay_in_the_order_in_which_they_happened(new_cloud: NewCloud) -> None:
    cloud = new_cloud()
    clients = [cloud.client(service) for service in ("ec2", "kms")]
    made: list[str] = []

    def work(ec2: Any, kms: Any) -> None:
        for _ in range(5):
            made.append(ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"])
            made.append(kms.create_key()["KeyMetadata"]["KeyId"])
            ec2.describe_vpcs()

    threads = [threading.Thread(target=work, args=clients) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 60
    again = new_cloud()
    assert again.told == []
    found = [vpc["VpcId"] for vpc in again.client("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]]
    found += [key["KeyId"] for key in again.client("kms").list_keys()["Keys"]]
    assert set(found) == set(made)


def test_two_clouds_have_different_ids(new_cloud: NewCloud, tmp_path: Path) -> None:
    def first_id() -> str:
        vpc: str = new_cloud().client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        return vpc

    one = first_id()
    for path in (tmp_path / "moto").iterdir():
        path.unlink()
    assert first_id() != one


def rewrite(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Alters every entry of a journal, as another version might have written it."""
    altered = entries(folder)
    path = folder / "moto" / "journal"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    journal = Journal(folder / "moto", DEFAULT_ACCOUNT)
    assert list(journal.entries()) == []
    for entry in altered:
        fields = dict(vars(entry))
        change(fields)
        journal.append(Entry(**fields))
    journal.close()


def test_a_replay_that_goes_another_way_stops(new_cloud: NewCloud, tmp_path: Path) -> None:
    cloud = new_cloud()
    cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    cloud.close()
    rewrite(tmp_path, lambda fields: fields.update(status=418))
    with pytest.raises(LocalCloudError) as raised:
        new_cloud()
    assert "request 1 (ec2:CreateVpc) was answered with 418, now with 200" in str(raised.value)
    assert "docsearch local reset" in raised.value.remedy


def test_a_replay_with_other_answers_is_told(new_cloud: NewCloud, tmp_path: Path) -> None:
    cloud = new_cloud()
    cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    cloud.close()
    rewrite(tmp_path, lambda fields: fields.update(digest="other"))
    again = new_cloud()
    assert again.told == ["request 1 (ec2:CreateVpc) is answered differently than at first"]
    assert again.health["differences"] == 1
    assert again.health["ready"]


def test_a_long_replay_tells_how_far_it_is(new_cloud: NewCloud) -> None:
    for _ in range(3):
        cloud = new_cloud()
        cloud.client("sns").create_topic(Name="a")
    told: list[str] = []
    cloud.close()
    cloud = type(cloud)(cloud.journal.path.parent)
    cloud.cloud.replay(told.append, every_s=0)
    cloud.close()
    assert told == [f"replayed {number} of 3 requests" for number in (1, 2, 3)]


def test_an_unfinished_last_line_is_told(new_cloud: NewCloud, tmp_path: Path) -> None:
    cloud = new_cloud()
    cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")
    cloud.close()
    with (tmp_path / "moto" / "journal").open("ab") as file:
        file.write(b"gAAAA")
    assert new_cloud().told == ["dropped an unfinished last line of 5 bytes"]


def test_an_action_that_moto_lacks_is_an_error_that_names_it_and_is_not_retried(new_cloud: NewCloud) -> None:
    cloud = new_cloud()
    with pytest.raises(ClientError) as raised:
        cloud.client("ec2", attempts=4).create_verified_access_group(VerifiedAccessInstanceId="vai-1")
    error = raised.value.response
    assert error["Error"]["Code"] == "NotImplementedByLocalCloud"
    assert "ec2:CreateVerifiedAccessGroup" in error["Error"]["Message"]
    assert error["ResponseMetadata"]["RetryAttempts"] == 0
    assert new_cloud().told == []


def test_a_crash_of_moto_tells_the_place_but_no_value(
    new_cloud: NewCloud, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def crash(*arguments: object, **named: object) -> None:
        raise KeyError("canary-value")

    monkeypatch.setattr("moto.kms.models.KmsBackend.create_key", crash)
    with pytest.raises(ClientError) as raised:
        new_cloud().client("kms").create_key()
    assert "moto cannot answer kms:CreateKey: KeyError in local/test_cloud.py" in str(raised.value)
    assert "canary" not in str(raised.value)
    assert "canary" not in capsys.readouterr().err


def test_a_change_that_cannot_be_written_down_ends_the_process(
    new_cloud: NewCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = new_cloud()
    cloud.client("ec2").create_vpc(CidrBlock="10.0.0.0/16")

    def refuse(entry: Entry) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cloud.journal, "append", refuse)
    with pytest.raises(OSError, match="No space left"):
        cloud.client("ec2").create_vpc(CidrBlock="10.1.0.0/16")
    assert [error.errno for error in cloud.failures] == [errno.ENOSPC]
    assert new_cloud().health["replayed"] == 1


def test_other_addresses_of_ours_are_unknown(new_cloud: NewCloud) -> None:
    answer = new_cloud().http.get("/docsearch/nonsense")
    assert (answer.status_code, answer.get_json()) == (404, {"error": "GET /docsearch/nonsense is not known here"})


@pytest.fixture
def apart() -> Iterator[Chance]:
    chance = Chance(b"salt", 0.0)
    with chance.installed():
        yield chance
    BackendDict.reset()


def test_a_request_draws_the_same_whether_or_not_it_has_to_load_a_service(apart: Chance) -> None:
    moto = Moto(apart)
    for name in (_SLOW, *_WARM):
        with apart.at("import", 0.0) as drew:
            moto.load(name)
            assert not drew(), name


def test_what_is_warmed_is_what_requests_ask_for(apart: Chance) -> None:
    moto = Moto(apart)
    for name in (_SLOW, *_WARM):
        moto.load(name)
        known = set(moto.app_instances)
        scope = f"AWS4-HMAC-SHA256 Credential=A/20260101/us-west-2/{name}/aws4_request, x"
        moto.get_application({"PATH_INFO": "/", "HTTP_AUTHORIZATION": scope, "HTTP_HOST": "127.0.0.1:1"})
        assert set(moto.app_instances) == known, name


def test_symmetric_keys_do_without_an_rsa_key(apart: Chance) -> None:
    Moto(apart)
    kms = import_module("moto.kms.models")
    with apart.at("1", 0.0):
        assert kms.generate_private_key("SYMMETRIC_DEFAULT") is None
        assert kms.generate_private_key("ECC_NIST_P256").public_key()


@pytest.mark.engine
def test_a_killed_process_comes_back_with_everything(
    moto_process: Callable[..., Any],
    make_everything: Callable[[Any], None],
    describe_everything: Callable[[Any], dict[str, Any]],
) -> None:
    first = moto_process()
    make_everything(first.client)
    before, sequence = describe_everything(first.client), first.get("/docsearch/health")["sequence"]
    second = moto_process()
    health = second.get("/docsearch/health")
    assert health["pid"] == second.process.pid != first.process.pid
    assert (health["replayed"], health["differences"]) == (sequence, 0)
    after = describe_everything(second.client)
    for question, answer in before.items():
        assert after[question] == answer, question
    make = second.client("iam").attach_role_policy
    make(RoleName="nodes", PolicyArn="arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy")


@pytest.mark.engine
def test_nothing_that_was_answered_is_lost_in_kills_at_any_moment(moto_process: Callable[..., Any]) -> None:
    moments = random.Random(20)
    moto = moto_process()
    known: set[str] = set()
    for _ in range(4):
        answered: list[str] = []
        client = moto.client("kms")

        def work(client: Any = client, answered: list[str] = answered) -> None:
            with suppress(BotoCoreError, ClientError):
                while True:
                    answered.append(client.create_key(Description="x" * 500)["KeyMetadata"]["KeyId"])

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(answered) < 5:
            time.sleep(0.01)
        time.sleep(moments.random() * 0.3)
        moto.process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join()
        moto = moto_process()
        pages = moto.client("kms").get_paginator("list_keys").paginate()
        found = {key["KeyId"] for page in pages for key in page["Keys"]}
        assert known | set(answered) <= found
        assert len(found - known - set(answered)) <= len(threads)
        known = found


@pytest.mark.engine
def test_a_terminated_process_ends_well_and_a_restart_finds_all(moto_process: Callable[..., Any]) -> None:
    moto = moto_process("--account", "210987654321")
    arn = moto.client("sns").create_topic(Name="alarms")["TopicArn"]
    assert arn == "arn:aws:sns:us-east-1:210987654321:alarms"
    printed = moto.end(signal.SIGTERM)
    assert (moto.process.returncode, printed) == (0, "")
    again = moto_process("--account", "210987654321")
    assert [topic["TopicArn"] for topic in again.client("sns").list_topics()["Topics"]] == [arn]


@pytest.mark.engine
def test_a_damaged_journal_ends_the_process_with_reason_and_remedy(
    moto_process: Callable[..., Any], tmp_path: Path
) -> None:
    moto = moto_process()
    for name in "abc":
        moto.client("sns").create_topic(Name=name)
    moto.end(signal.SIGTERM)
    path = tmp_path / "moto" / "journal"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AssertionError) as raised:
        moto_process()
    assert f"{path} is damaged (line" in str(raised.value)
    assert "docsearch local reset" in str(raised.value)
    assert path.read_bytes() == bytes(content)


@pytest.mark.engine
def test_connections_stay_open_and_large_bodies_pass(moto_process: Callable[..., Any]) -> None:
    moto = moto_process()
    s3 = moto.client("s3")
    s3.create_bucket(Bucket="documents")
    body = random.Random(1).randbytes(3_000_000)
    s3.put_object(Bucket="documents", Key="ü/large", Body=body, Metadata={"my_key": "v"})
    answer = s3.get_object(Bucket="documents", Key="ü/large")
    assert answer["Body"].read() == body
    assert answer["Metadata"] == {"my_key": "v"}
    assert s3.head_object(Bucket="documents", Key="ü/large")["ContentLength"] == len(body)
    s3.delete_object(Bucket="documents", Key="ü/large")
    connection = http.client.HTTPConnection("127.0.0.1", moto.port)
    for method, path, length in (
        ("GET", "/docsearch/health", None),
        ("HEAD", "/documents/none", 0),
        ("PUT", "/new", None),
    ):
        connection.request(method, path, body=b"" if method == "PUT" else None)
        before = connection.sock
        answer = connection.getresponse()
        assert length is None or len(answer.read()) == length
        answer.read()
        assert connection.sock is before is not None
    connection.close()


@pytest.mark.engine
def test_a_taken_port_is_an_error_that_names_it() -> None:
    with (
        Server(0) as server,
        pytest.raises(LocalCloudError, match=f"port {server.port} cannot be used: Address already"),
    ):
        Server(server.port)


def test_the_health_is_json(new_cloud: NewCloud) -> None:
    health = json.loads(new_cloud().http.get("/docsearch/health").data)
    assert set(health) == {"ready", "replayed", "entries", "differences", "replay_seconds", "pid", "sequence"}
