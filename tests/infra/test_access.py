"""When a policy document is looser than another: by meaning, not by text."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.access import UnreadableError, loosened

Statement = dict[str, Any]

ROLE = "arn:aws:iam::123456789012:role/search"
BUCKET = "arn:aws:s3:::documents"


def allow(action: Any = "s3:GetObject", resource: Any = f"{BUCKET}/a", principal: Any = None, **more: Any) -> Statement:
    return {
        "Effect": "Allow",
        "Principal": principal or {"AWS": ROLE},
        "Action": action,
        "Resource": resource,
        **more,
    }


def deny(**more: Any) -> Statement:
    return {**allow("s3:*", "*", "*"), "Effect": "Deny", **more}


def policy(*statements: Statement) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


INSECURE = {"Bool": {"aws:SecureTransport": "false"}}

LOOSER = {
    "a new Allow": (policy(), policy(allow())),
    "another action": (policy(allow()), policy(allow(["s3:GetObject", "s3:PutObject"]))),
    "a wider action": (policy(allow("s3:GetObject")), policy(allow("s3:Get*"))),
    "a wider resource": (policy(allow(resource=f"{BUCKET}/a")), policy(allow(resource=f"{BUCKET}/*"))),
    "another principal": (policy(allow()), policy(allow(principal={"AWS": [ROLE, f"{ROLE}-2"]}))),
    "everyone": (policy(allow()), policy(allow(principal="*"))),
    "everyone, the other way": (policy(allow()), policy(allow(principal={"AWS": "*"}))),
    "the account for the role": (policy(allow()), policy(allow(principal={"AWS": "123456789012"}))),
    "a condition less": (
        policy(allow(Condition={"StringEquals": {"aws:SourceAccount": "1"}})),
        policy(allow()),
    ),
    "another value of a condition": (
        policy(allow(Condition={"StringEquals": {"aws:SourceAccount": "1"}})),
        policy(allow(Condition={"StringEquals": {"aws:SourceAccount": ["1", "2"]}})),
    ),
    "a value less of a negated condition": (
        policy(allow(Condition={"StringNotEquals": {"aws:SourceAccount": ["1", "2"]}})),
        policy(allow(Condition={"StringNotEquals": {"aws:SourceAccount": "1"}})),
    ),
    "a condition that absence passes": (
        policy(allow(Condition={"StringEquals": {"aws:SourceVpce": "1"}})),
        policy(allow(Condition={"StringEqualsIfExists": {"aws:SourceVpce": "1"}})),
    ),
    "no Deny": (policy(deny(), allow()), policy(allow())),
    "a Deny under a condition": (policy(deny()), policy(deny(Condition=INSECURE))),
    "a narrower Deny": (policy(deny()), policy(deny(Action="s3:Delete*"))),
    "a Deny that leaves one more out": (
        policy({"Effect": "Deny", "NotPrincipal": {"AWS": ROLE}, "Action": "s3:*", "Resource": "*"}),
        policy({"Effect": "Deny", "NotPrincipal": {"AWS": [ROLE, f"{ROLE}-2"]}, "Action": "s3:*", "Resource": "*"}),
    ),
    "an Allow that leaves less out": (
        policy({"Effect": "Allow", "Principal": "*", "NotAction": ["s3:A", "s3:B"], "Resource": "*"}),
        policy({"Effect": "Allow", "Principal": "*", "NotAction": "s3:A", "Resource": "*"}),
    ),
    "all but one, for one": (
        policy(allow("s3:GetObject")),
        policy({"Effect": "Allow", "Principal": {"AWS": ROLE}, "NotAction": "s3:Put", "Resource": f"{BUCKET}/a"}),
    ),
    "two half grants are no whole one": (
        policy(allow("s3:A", "x"), allow("s3:B", "y")),
        policy(allow(["s3:A", "s3:B"], ["x", "y"])),
    ),
    "a pattern for a pattern of one character": (policy(allow("s3:A?")), policy(allow("s3:A*"))),
}

AS_TIGHT = {
    "the same": (policy(allow(), deny()), policy(allow(), deny())),
    "an Allow less": (policy(allow(), allow("s3:PutObject")), policy(allow())),
    "a new Deny": (policy(allow()), policy(allow(), deny())),
    "no policy any more": (policy(allow()), None),
    "another condition": (policy(allow()), policy(allow(Condition=INSECURE))),
    "split": (policy(allow(["s3:A", "s3:B"])), policy(allow("s3:A"), allow("s3:B"))),
    "joined": (policy(allow("s3:A"), allow("s3:B")), policy(allow(["s3:A", "s3:B"]))),
    "named": (policy(allow()), policy(allow(Sid="Readers"))),
    "in other letters": (policy(allow("s3:GetObject")), policy(allow("S3:getobject"))),
    "everyone in other words": (policy(allow(principal="*")), policy(allow(principal={"AWS": "*"}))),
    "an account in other words": (
        policy(allow(principal={"AWS": "123456789012"})),
        policy(allow(principal={"AWS": "arn:aws:iam::123456789012:root"})),
    ),
    "a statement without its list": (policy(allow()), json.dumps({"Version": "2012-10-17", "Statement": allow()})),
    "one in place of everyone": (policy(allow(principal="*")), policy(allow())),
    "a narrower pattern": (policy(allow("s3:Get*")), policy(allow("s3:GetObj*"))),
    "one character for many": (policy(allow("s3:A*")), policy(allow("s3:A?"))),
    "a wider Deny": (policy(deny(Condition=INSECURE)), policy(deny())),
    "a value less of a condition": (
        policy(allow(Condition={"StringLike": {"aws:SourceAccount": ["1", "2"]}})),
        policy(allow(Condition={"StringLike": {"AWS:SourceAccount": "1"}})),
    ),
    "true in other words": (
        policy(allow(Condition={"Bool": {"aws:SecureTransport": True}})),
        policy(allow(Condition={"Bool": {"aws:SecureTransport": "true"}})),
    ),
}


@pytest.mark.parametrize("what", LOOSER)
def test_looser(what: str) -> None:
    assert loosened(*LOOSER[what]) != []


@pytest.mark.parametrize("what", AS_TIGHT)
def test_as_tight(what: str) -> None:
    assert loosened(*AS_TIGHT[what]) == []


def test_it_says_what_is_new() -> None:
    condition = {"ArnLike": {"aws:SourceArn": "b"}, "StringEquals": {"aws:SourceAccount": "a"}}
    assert loosened(
        policy(deny()), policy(allow("s3:*", "*", {"Service": "logs.amazonaws.com"}, Condition=condition))
    ) == [
        "allows s3:* on * for Service logs.amazonaws.com under conditions on aws:sourceaccount, aws:sourcearn",
        "no longer denies s3:* on * for *",
    ]


def test_a_policy_of_a_repository_names_no_resource() -> None:
    statement = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "ecr:Get*"}
    assert loosened(policy(statement), policy(statement)) == []
    assert loosened(policy(), policy(statement)) == ["allows ecr:get* for Service lambda.amazonaws.com"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("04da6b54-80e4-46f7-96ec-b56ff0331ba9", "it is not JSON"),
        ("[secret]", "it is not JSON"),
        ("[]", "it is no JSON object"),
        ("3", "it is no JSON object"),
        ('{"Version": "2012-10-17"}', "it has no list of statements"),
        ('{"Statement": "all"}', "it has no list of statements"),
        ('{"Statement": ["all"]}', "it has no list of statements"),
        ('{"Statement": [{}]}', "a statement has the effect None"),
        (policy({**allow(), "Effect": "allow"}), "a statement has the effect 'allow'"),
        (policy({**allow(), "Where": "here"}), "a statement has Where"),
        (policy(allow(principal="someone")), "a principal is neither * nor of a kind"),
        (policy(allow({"s3": "*"})), "a statement holds what is no text"),
        (policy(allow(Condition=["a"])), "a statement has conditions that are no objects"),
        (policy(allow(Condition={"Bool": "a"})), "a statement has conditions that are no objects"),
        (policy(allow(Condition={"Bool": {"a": "1", "A": "2"}})), "a statement has one condition twice"),
    ],
)
def test_what_cannot_be_read_is_refused_on_either_side(text: str, why: str) -> None:
    with pytest.raises(UnreadableError) as before:
        loosened(text, policy())
    with pytest.raises(UnreadableError) as after:
        loosened(policy(), text)
    assert (str(before.value), str(after.value)) == (why, why)


def test_variables_mean_nothing_in_the_old_language() -> None:
    own = [allow(resource=f"{BUCKET}/${{aws:PrincipalTag/tenant}}/*")]
    with pytest.raises(UnreadableError, match="its version decides"):
        loosened(policy(*own), json.dumps({"Version": "2008-10-17", "Statement": own}))
    assert loosened(policy(*own), policy(*own)) == []


# Properties

few = st.sampled_from
lists = st.lists
CONDITIONS: list[Mapping[str, Any]] = [
    {},
    INSECURE,
    {"StringEquals": {"aws:SourceAccount": ["1", "2"]}},
    {"StringNotEquals": {"aws:SourceVpce": ["1", "2"]}, **INSECURE},
]
grants = st.fixed_dictionaries(
    {
        "Principal": few(["*", {"AWS": ROLE}, {"AWS": [ROLE, f"{ROLE}-2"], "Service": "logs.amazonaws.com"}]),
        "Action": lists(few(["s3:GetObject", "s3:Get*", "s3:PutObject", "s3:*"]), min_size=1, max_size=3),
        "Resource": lists(few([BUCKET, f"{BUCKET}/*", f"{BUCKET}/a/*", "*"]), min_size=1, max_size=2),
    },
    optional={"Condition": few(CONDITIONS[1:])},
)
statements = st.builds(lambda grant, effect: {**grant, "Effect": effect}, grants, few(["Allow", "Deny"]))
documents = lists(statements, max_size=5)

STRANGER = {"AWS": "arn:aws:iam::999999999999:role/stranger"}


@given(documents)
def test_a_document_is_as_tight_as_itself(document: list[Statement]) -> None:
    assert loosened(policy(*document), policy(*document)) == []


@given(documents, st.randoms(use_true_random=False))
def test_order_changes_nothing(document: list[Statement], random: Any) -> None:
    mixed = [{**one, "Action": random.sample(one["Action"], len(one["Action"]))} for one in document]
    random.shuffle(mixed)
    assert loosened(policy(*document), policy(*mixed)) == []


@given(documents, grants)
def test_an_allow_for_somebody_new_loosens(document: list[Statement], grant: Statement) -> None:
    before = [one for one in document if one["Effect"] == "Deny" or one["Principal"] != "*"]
    new = {**grant, "Effect": "Allow", "Principal": STRANGER}
    assert loosened(policy(*before), policy(*before, new)) != []
    assert loosened(policy(*before, new), policy(*before)) == []


@given(documents, grants)
def test_a_deny_for_somebody_else_tightens_and_its_loss_loosens(document: list[Statement], grant: Statement) -> None:
    before = [one for one in document if one["Effect"] == "Allow" or one["Principal"] != "*"]
    new = {**grant, "Effect": "Deny", "Principal": STRANGER}
    assert loosened(policy(*before), policy(*before, new)) == []
    assert loosened(policy(*before, new), policy(*before)) != []


@given(grants, few(CONDITIONS[1:]))
def test_the_loss_of_a_condition_loosens_an_allow_and_tightens_a_deny(grant: Statement, condition: Any) -> None:
    bare = {key: value for key, value in grant.items() if key != "Condition"}
    for effect, looser in (("Allow", True), ("Deny", False)):
        under, free = {**bare, "Effect": effect, "Condition": condition}, {**bare, "Effect": effect}
        assert bool(loosened(policy(under), policy(free))) is looser
        assert bool(loosened(policy(free), policy(under))) is not looser


@given(documents, documents, documents)
def test_two_steps_that_do_not_loosen_are_one_that_does_not(
    one: list[Statement], two: list[Statement], three: list[Statement]
) -> None:
    if not loosened(policy(*one), policy(*two)) and not loosened(policy(*two), policy(*three)):
        assert loosened(policy(*one), policy(*three)) == []


@given(documents, documents)
def test_what_is_looser_one_way_is_said_grant_by_grant(before: list[Statement], after: list[Statement]) -> None:
    for line in loosened(policy(*before), policy(*after)):
        assert line.startswith(("allows s3:", "no longer denies s3:"))
