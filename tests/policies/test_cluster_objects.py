import pytest

from policies.pack import MASKED
from policies.rule import UNKNOWN, Finding, Resource
from tests.policies.plans import broken, judge, of

RBAC = "kubernetes:rbac.authorization.k8s.io/v1"


def test_a_namespace_enforces_the_standard() -> None:
    namespace = of("prod", "kubernetes:core/v1:Namespace")[0]
    path = "metadata.labels.pod-security.kubernetes.io/enforce"
    found = judge("k8s-namespace-psa", broken(namespace, "metadata.labels", {}))
    assert found == [Finding(path, "is absent, must be restricted")]
    found = judge("k8s-namespace-psa", broken(namespace, "metadata.labels", UNKNOWN))
    assert found == [Finding("metadata.labels", "is not known before the update", verified=False)]


def test_rights_over_secrets_hold_in_one_namespace_or_for_named_ones() -> None:
    role = of("prod", f"{RBAC}:ClusterRole")[0]
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    found = judge("k8s-rbac", broken(role, "rules", [rule]))
    assert found == [Finding("rules[0].resources", "lets secrets be used in every namespace (get)")]
    assert judge("k8s-rbac", broken(role, "rules", [{**rule, "resourceNames": ["one"]}])) == []
    namespaced = of("prod", f"{RBAC}:Role")[0]
    assert judge("k8s-rbac", broken(namespaced, "rules", [rule])) == []


def test_a_role_gathers_no_rights_of_others() -> None:
    role = broken(of("prod", f"{RBAC}:ClusterRole")[0], "aggregationRule", {"clusterRoleSelectors": [{}]})
    assert [one.path for one in judge("k8s-rbac", role)] == ["aggregationRule"]


def test_an_unknown_verb_hides_no_wildcard() -> None:
    role = broken(of("prod", f"{RBAC}:Role")[0], "rules[0].verbs", [UNKNOWN, "*"])
    found = judge("k8s-rbac", role)
    assert [(one.path, one.verified) for one in found] == [("rules[0].verbs[0]", False), ("rules[0].verbs[1]", True)]


def test_no_ingress_opens_a_way_of_its_own() -> None:
    type_ = "kubernetes:networking.k8s.io/v1:Ingress"
    assert len(judge("k8s-service-exposure", Resource("urn:a::b::c::d", type_, {}))) == 1


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0"])
def test_nobody_comes_in_from_everywhere(cidr: str) -> None:
    policies = of("prod", "kubernetes:networking.k8s.io/v1:NetworkPolicy")
    policy = next(one for one in policies if one.name == "search-allow-search")
    path = "spec.ingress[0].from[0].ipBlock.cidr"
    assert judge("k8s-network-open", broken(policy, path, cidr)) == [Finding(path, "is every address")]


def test_secrets_are_masked_and_their_text_is_not_told() -> None:
    def secret(value: object) -> list[Finding]:
        props = {"stringData": {"tls.key": value}}
        return judge("k8s-secret-plain", Resource("urn:a::b::c::d", "kubernetes:core/v1:Secret", props))

    assert secret(MASKED) == []
    assert secret("hunter2") == [Finding("stringData.tls.key", "is plain text, must be secret")]
    assert secret(UNKNOWN) == [Finding("stringData.tls.key", "is not known before the update", verified=False)]


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("DATABASE_PASSWORD", "hunter2", True),
        ("api-key", "hunter2", True),
        ("note", "AKIAABCDEFGHIJKLMNOP", True),
        ("note", MASKED, True),
        ("TENANT_TOKEN_KEY_ARN", "arn:aws:secretsmanager:us-east-1:123456789012:secret:one", False),
        ("TOKEN_TTL", "300", False),
    ],
)
def test_what_looks_like_a_secret_is_in_no_config_map(name: str, value: str, found: bool) -> None:
    props = {"data": {name: value}}
    said = judge("k8s-secret-plain", Resource("urn:a::b::c::d", "kubernetes:core/v1:ConfigMap", props))
    assert bool(said) is found
    assert value not in str(said)
