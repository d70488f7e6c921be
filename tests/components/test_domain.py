"""Zone, host names and certificate, as the engine receives them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.domain import Domain, DomainArgs, plan_hosts
from components.errors import ArgsError

DOMAIN = "search.example.com"
CERTIFICATE = "aws:acm/certificate:Certificate"
RECORD = "aws:route53/record:Record"
VALIDATION = "aws:acm/certificateValidation:CertificateValidation"
ZONE = "aws:route53/zone:Zone"


def args(**changes: Any) -> DomainArgs:
    return DomainArgs(**({"name": DOMAIN, "region": "us-east-1", "role": "primary"} | changes))


def answers(region: str) -> dict[str, dict[str, Any]]:
    hosts = plan_hosts(DOMAIN, region)
    options = [
        {
            "domainName": host,
            "resourceRecordName": f"_proof.{host}.",
            "resourceRecordType": "CNAME",
            "resourceRecordValue": f"_{host}.acm-validations.aws.",
        }
        for host in (hosts.regional, hosts.write, hosts.read)
    ]
    return {
        CERTIFICATE: {"domainValidationOptions": options},
        ZONE: {"zoneId": "Z123", "nameServers": ["ns-1.example.net", "ns-2.example.net"]},
    }


def outputs(domain: Domain) -> dict[str, Any]:
    return {name: getattr(domain, name) for name in ("zone_id", "name_servers", "certificate_arn")}


@pytest.fixture(scope="module")
def run(recorded: Any) -> Any:
    return recorded(lambda: outputs(Domain("domain", args())), outputs=answers("us-east-1"))


@pytest.fixture(scope="module")
def follower(recorded: Any) -> Any:
    def program() -> dict[str, Any]:
        return outputs(Domain("domain", args(region="us-west-2", role="standby", zone_id="Z123")))

    return recorded(program, outputs=answers("us-west-2"))


def test_the_primary_makes_the_zone_and_keeps_it(run: Any) -> None:
    zone = run.one(ZONE)
    assert zone.inputs == {
        "name": DOMAIN,
        "comment": "docsearch",
        "enableAcceleratedRecovery": True,
        "forceDestroy": False,
    }
    assert zone.protect
    assert run.result == {
        "zone_id": "Z123",
        "name_servers": ["ns-1.example.net", "ns-2.example.net"],
        "certificate_arn": "arn:aws:acm:::domain",
    }


def test_only_amazon_may_issue_certificates_for_it(run: Any) -> None:
    record = run.one(RECORD, "domain-authority").inputs
    assert (record["type"], record["name"], record["records"]) == ("CAA", DOMAIN, ['0 issue "amazon.com"'])


def test_a_standby_adds_to_the_zone_of_the_primary(follower: Any) -> None:
    assert follower.of(ZONE) == []
    assert follower.result == {"zone_id": "Z123", "name_servers": [], "certificate_arn": "arn:aws:acm:::domain"}
    assert {record.inputs["zoneId"] for record in follower.of(RECORD)} == {"Z123"}


@pytest.mark.parametrize(("which", "region"), [("run", "us-east-1"), ("follower", "us-west-2")])
def test_each_regions_certificate_covers_the_shared_names_and_its_own(
    which: str, region: str, request: pytest.FixtureRequest
) -> None:
    certificate = request.getfixturevalue(which).one(CERTIFICATE)
    assert certificate.inputs == {
        "domainName": f"api.{DOMAIN}",
        "subjectAlternativeNames": [f"write.{DOMAIN}", f"{region}.{DOMAIN}"],
        "validationMethod": "DNS",
        "keyAlgorithm": "EC_prime256v1",
    }


def test_proofs_of_shared_names_belong_to_the_primary_alone(run: Any, follower: Any) -> None:
    def proofs(which: Any) -> dict[str, str]:
        return {
            record.inputs["name"]: record.inputs["records"][0]
            for record in which.of(RECORD)
            if record.inputs["type"] == "CNAME"
        }

    assert proofs(run) == {
        f"_proof.{host}.": f"_{host}.acm-validations.aws."
        for host in (f"api.{DOMAIN}", f"write.{DOMAIN}", f"us-east-1.{DOMAIN}")
    }
    assert list(proofs(follower)) == [f"_proof.us-west-2.{DOMAIN}."]
    assert not proofs(run).keys() & proofs(follower).keys()


def test_the_certificate_is_handed_out_once_it_is_issued(run: Any) -> None:
    validation = run.one(VALIDATION)
    assert validation.inputs == {"certificateArn": "arn:aws:acm:::domain"}
    assert {"domain-proof-read", "domain-proof-write", "domain-proof-regional"} <= validation.depends_on


def test_locks_are_released_on_purpose(recorded: Any) -> None:
    zone = recorded(lambda: Domain("domain", args(locked=False)), outputs=answers("us-east-1")).one(ZONE)
    assert not zone.protect
    assert zone.inputs["forceDestroy"] is True


label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@given(domain=st.lists(label, min_size=2, max_size=4).map(".".join))
def test_hosts_of_any_domain_that_is_taken_fit_a_certificate(domain: str) -> None:
    try:
        hosts = plan_hosts(domain, "ap-southeast-2")
    except ArgsError:
        assert len(f"api.{domain}") > 64
        return
    assert hosts.shared == (f"api.{domain}", f"write.{domain}")
    assert len(hosts.read) <= 64
    assert all(len(host) <= 253 and host.endswith(f".{domain}") for host in (*hosts.shared, hosts.regional))
    assert len({*hosts.shared, hosts.regional}) == 3


@pytest.mark.parametrize(
    "domain", ["localhost", "Search.example.com", "search.example.com.", "-a.example.com", "a..b", ""]
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ArgsError) as error:
        args(name=domain)
    assert str(error.value) == (
        f"domain is {domain!r}: it must be two or more lower-case labels of at most 63 letters, digits and inner "
        "hyphens. Write it like search.example.com."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"name": f"{'a' * 50}.example.com"},
            (
                f"domain is {'a' * 50}.example.com: api.{'a' * 50}.example.com has 66 characters, and the first name "
                "of a certificate at most 64. Take a shorter one."
            ),
        ),
        (
            {"zone_id": "Z123"},
            "zone_id is given to a primary region: it makes the zone. Set role to standby, or leave zone_id out.",
        ),
        (
            {"role": "standby"},
            (
                "zone_id is not given to a standby region: all regions answer in one zone. "
                "Bring the primary region up first."
            ),
        ),
    ],
)
def test_bad_input_is_refused_with_its_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgsError) as error:
        args(**changes)
    assert str(error.value) == message
