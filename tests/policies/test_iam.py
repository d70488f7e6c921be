import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.iam import MANAGED, wide
from policies.rule import UNKNOWN, Finding, Resource, Stack
from tests.policies.plans import RULES, broken, everything, judge, of, resources
from tests.policies.test_pods import VALUES

ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
OURS = ("iam-wildcard", "iam-lint", "iam-trust", "iam-escalation", "iam-managed", "iam-users")


def policy(*statements: Any) -> Resource:
    """A policy of a role that allows this."""
    written = [{"Effect": "Allow", **one} for one in statements]
    document = json.dumps({"Version": "2012-10-17", "Statement": written})
    return broken(of("prod", ROLE_POLICY)[0], "policy", document)


def role(**statement: Any) -> Resource:
    """A role that trusts so."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", **statement}]}
    return broken(of("prod", ROLE)[0], "assumeRolePolicy", json.dumps(document))


def said(rule: str, subject: Resource) -> list[tuple[str, str]]:
    return [(one.path, one.message) for one in judge(rule, subject)]


@pytest.mark.parametrize("rule", OURS)
def test_the_plans_hold_every_rule(rule: str) -> None:
    assert not list(everything(rule))


@pytest.mark.parametrize(
    ("pattern", "is_wide"),
    [
        ("*", True),
        ("**", True),
        ("arn:aws:s3:::*", True),
        ("arn:aws:s3:::*/*", True),
        ("arn:aws:kms:*:*:key/*", True),
        ("arn:aws:kms:us-east-1:123456789012:key/*", True),
        ("arn:aws:rds:us-east-1:123456789012:pg:*", False),
        ("arn:aws:s3:::one/*", False),
        ("arn:aws:es:us-east-1:123456789012:domain/opensearch-*/*", False),
        ("something", False),
    ],
)
def test_a_pattern_is_wide_when_it_names_nothing(pattern: str, is_wide: bool) -> None:
    assert wide(pattern) is is_wide


def test_a_whole_service_is_never_allowed() -> None:
    found = said("iam-wildcard", policy({"Action": "s3:*", "Resource": "arn:aws:s3:::one/*"}))
    assert found == [("policy.Statement[0].Action", "allows s3:*, must name actions")]


def test_an_open_resource_needs_a_reason() -> None:
    action = {"Action": "s3:GetObject", "Resource": "*"}
    text = "is *, and s3:GetObject can be limited to some"
    assert said("iam-wildcard", policy(action)) == [("policy.Statement[0].Resource", text)]
    tagged = {"StringEquals": {"s3:ExistingObjectTag/team": "search"}}
    assert said("iam-wildcard", policy({**action, "Condition": tagged})) == []
    listing = {"Action": ["ec2:DescribeInstances", "cloudwatch:GetMetricData"], "Resource": "*"}
    assert said("iam-wildcard", policy(listing)) == []


def test_what_denies_may_be_as_wide_as_it_likes() -> None:
    deny = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}}
    assert said("iam-wildcard", policy(deny)) == []
    assert said("iam-lint", policy(deny)) == []


def test_misspelt_names_are_found() -> None:
    found = said("iam-lint", policy({"Action": ["s3:GetObjct", "s4:*"], "Resource": "arn:aws:s3:::one/*"}))
    assert found == [
        ("policy.Statement[0].Action", "names s3:GetObjct, and its service has no such action"),
        ("policy.Statement[0].Action", "names s4:*, and IAM knows no such service"),
    ]


def test_a_condition_that_no_action_knows_is_found() -> None:
    one = {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::one/*"}
    found = said("iam-lint", policy({**one, "Condition": {"StringEquals": {"s3:prefix": "one"}}}))
    text = "is a key that none of the actions knows"
    assert found == [("policy.Statement[0].Condition.StringEquals.s3:prefix", text)]


def test_unknown_documents_are_not_verified_and_hide_nothing() -> None:
    path = "policy"
    hidden = broken(of("prod", ROLE_POLICY)[0], path, UNKNOWN)
    for rule in ("iam-lint", "iam-wildcard"):
        assert judge(rule, hidden) == [Finding(path, "is not known before the update", verified=False)]
    inline = broken(of("prod", ROLE)[0], "inlinePolicies", [{"policy": UNKNOWN}, {"policy": "{"}])
    assert [(one.path, one.verified) for one in judge("iam-lint", inline)] == [
        ("inlinePolicies[0].policy", False),
        ("inlinePolicies[1].policy", True),
    ]


def test_everybody_is_never_trusted() -> None:
    found = said("iam-trust", role(Principal={"AWS": "*"}))
    assert found == [("assumeRolePolicy.Statement[0].Principal", "lets everybody in")]


def test_a_service_acts_for_our_account_alone() -> None:
    service = {"Service": "lambda.amazonaws.com"}
    text = "lets lambda.amazonaws.com act for any account, must name ours in aws:SourceAccount"
    assert said("iam-trust", role(Principal=service)) == [("assumeRolePolicy.Statement[0].Condition", text)]
    ours = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    assert said("iam-trust", role(Principal=service, Condition=ours)) == []
    assert said("iam-trust", role(Principal={"Service": "ec2.amazonaws.com"})) == []


def test_a_token_has_its_subject() -> None:
    host = "oidc.eks.us-east-1.amazonaws.com/id/A"
    who = {"Federated": f"arn:aws:iam::123456789012:oidc-provider/{host}"}
    conditions = {f"{host}:aud": "sts.amazonaws.com", f"{host}:sub": "system:serviceaccount:docsearch:search"}
    take = {"Action": "sts:AssumeRoleWithWebIdentity", "Principal": who}
    assert said("iam-trust", role(**take, Condition={"StringEquals": conditions})) == []
    loose = {**conditions, f"{host}:sub": "system:serviceaccount:docsearch:*"}
    assert len(said("iam-trust", role(**take, Condition={"StringLike": loose}))) == 1


def test_whose_account_it_is_cannot_be_judged_without_the_provider() -> None:
    lone = replace(role(Principal={"AWS": "999999999999"}), provider={})
    assert [one.verified for one in judge("iam-trust", lone)] == [False]
    text = "lets account 999999999999 in, which is not ours, without sts:ExternalId"
    assert said("iam-trust", role(Principal={"AWS": "999999999999"})) == [
        ("assumeRolePolicy.Statement[0].Principal", text)
    ]


def test_rights_of_one_role_are_added_up() -> None:
    first, second = of("prod", ROLE_POLICY)[:2]
    passing = policy({"Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/app-*"})
    running = policy({"Action": "ec2:RunInstances", "Resource": "*"})
    rest = [one for one in resources("prod") if one.urn not in (first.urn, second.urn)]
    apart = [
        passing,
        replace(running, urn=second.urn, props={**second.props, "policy": running.get("policy")}, links=second.links),
    ]
    assert judge("iam-escalation", Stack([*rest, *apart])) == []
    together = [passing, replace(running, urn=second.urn, links=first.links)]
    found = judge("iam-escalation", Stack([*rest, *together]))
    assert [(one.urn, one.path) for one in found] == [(first.urn, "policy.Statement[0].Action")]
    assert "iam:PassRole with ec2:RunInstances" in found[0].message


def test_a_policy_counts_for_the_role_that_it_is_attached_to() -> None:
    holder = Resource(
        "urn:pulumi:s::p::aws:iam/policy:Policy::own",
        "aws:iam/policy:Policy",
        {
            "arn": "arn:aws:iam::123456789012:policy/own",
            "policy": policy({"Action": "iam:PutRolePolicy", "Resource": "*"}).get("policy"),
        },
    )
    found = judge("iam-escalation", Stack([*resources("prod"), holder]))
    assert [one.urn for one in found] == [holder.urn]


@pytest.mark.parametrize("name", ["AdministratorAccess", "AmazonS3FullAccess", "job-function/Billing"])
def test_policies_of_aws_that_nobody_looked_at_are_refused(name: str) -> None:
    attachment = broken(of("prod", ATTACHMENT)[0], "policyArn", f"arn:aws:iam::aws:policy/{name}")
    assert [one.path for one in judge("iam-managed", attachment)] == ["policyArn"]


def test_every_explained_policy_of_aws_is_used() -> None:
    used = {one.get("policyArn").partition(":policy/")[2] for one in of("prod", ATTACHMENT)}
    assert used == set(MANAGED)


@pytest.mark.parametrize("type_", RULES["iam-users"].types)
def test_people_and_keys_are_refused(type_: str) -> None:
    assert len(judge("iam-users", Resource("urn:a::b::c::d", type_, {}))) == 1


PATHS = ("assumeRolePolicy", "inlinePolicies", "managedPolicyArns", "policy", "policyArn", "role")
MEMBERS = ("Sid", "Effect", "Action", "NotAction", "Resource", "Principal", "NotPrincipal", "Condition", "Statement")


@given(st.data())
def test_no_value_anywhere_makes_a_rule_fail(data: st.DataObject) -> None:
    rule = RULES[data.draw(st.sampled_from(OURS))]
    of_it = [one for type_ in rule.types for one in of("prod", type_)] or [
        Resource("urn:a::b::c::d", rule.types[0], {})
    ]
    value = data.draw(VALUES)
    shape = data.draw(st.sampled_from(("bare", "document", "statement", "text")))
    if shape != "bare":
        statement: dict[str, Any] = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
        statement[data.draw(st.sampled_from(MEMBERS))] = value
        value = {"Statement": value if shape == "document" else [statement]}
    if shape == "text":
        value = json.dumps(value, default=repr)
    mutant = broken(data.draw(st.sampled_from(of_it)), data.draw(st.sampled_from(PATHS)), value)
    rest = [one for one in of_it if one.urn != mutant.urn]
    assert isinstance(rule.judge(Stack([mutant, *rest]) if rule.whole else mutant), list)
