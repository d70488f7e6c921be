"""Load balancers, target groups, listeners and certificates."""

from typing import Any

import pytest

from infra.local.aws.cloud import AwsError
from infra.local.resource import Props
from tests.infra.local.aws.world import World, checked, make, ref

pytestmark = pytest.mark.engine

BALANCER, GROUP = "aws:lb/loadBalancer:LoadBalancer", "aws:lb/targetGroup:TargetGroup"
LISTENER, CERTIFICATE = "aws:lb/listener:Listener", "aws:acm/certificate:Certificate"
RULE = "aws:lb/listenerRule:ListenerRule"


def attributes(world: World, arn: str) -> dict[str, str]:
    found = world.east.call("elbv2", "DescribeLoadBalancerAttributes", LoadBalancerArn=arn)["Attributes"]
    return {attribute["Key"]: attribute["Value"] for attribute in found}


def test_protected_load_balancer_is_not_deleted(world: World) -> None:
    about, session = ref(BALANCER, "locked"), world.east.session
    said: Props = {"subnets": world.east.subnets, "enableDeletionProtection": True}
    id, inputs, outputs = make(world.east, about, said)
    with pytest.raises(AwsError, match="OperationNotPermitted"):
        session.delete(about, id, inputs, outputs)
    new = checked(world.east, about, {**said, "enableDeletionProtection": False}, inputs)
    outputs = session.update(about, id, inputs, outputs, new, False)
    session.delete(about, id, new, outputs)
    assert session.read(about, id, new, outputs) is None


def test_attributes_are_those_of_the_kind(world: World) -> None:
    network: Props = {"loadBalancerType": "network", "internal": True, "subnets": world.east.subnets}
    id, _, outputs = make(world.east, ref(BALANCER, "network"), network)
    assert outputs["internal"] is True
    assert not [key for key in attributes(world, id) if key.startswith(("routing.", "idle_timeout"))]
    id, _, _ = make(world.east, ref(BALANCER, "application"), {"subnets": world.east.subnets})
    assert "dns_record.client_routing_policy" not in attributes(world, id)
    assert attributes(world, id)["idle_timeout.timeout_seconds"] == "60"


def test_log_prefix_that_a_program_drops_is_emptied(world: World) -> None:
    about = ref(BALANCER, "logged")
    logs = {"enabled": True, "bucket": "logs"}
    said: Props = {"subnets": world.east.subnets, "accessLogs": {**logs, "prefix": "one"}}
    id, inputs, outputs = make(world.east, about, said)
    new = checked(world.east, about, {**said, "accessLogs": logs}, inputs)
    world.east.session.update(about, id, inputs, outputs, new, False)
    assert attributes(world, id)["access_logs.s3.prefix"] == ""


def test_names_by_which_metrics_know_them(world: World) -> None:
    _, _, balancer = make(world.east, ref(BALANCER, "public"), {"subnets": world.east.subnets, "name": "public"})
    assert balancer["arnSuffix"].startswith("app/public/")
    said = {"name": "api", "port": 80, "protocol": "HTTP", "vpcId": world.east.vpc}
    _, _, group = make(world.east, ref(GROUP, "api"), said)
    assert group["arnSuffix"].startswith("targetgroup/api/")


def test_target_group_in_use_stays(world: World) -> None:
    place, about = world.east, ref(LISTENER, "http")
    group = make(place, ref(GROUP, "used"), {"port": 80, "protocol": "HTTP", "vpcId": place.vpc})
    said: Props = {
        "loadBalancerArn": place.balancer,
        "port": 80,
        "protocol": "HTTP",
        "defaultActions": [{"type": "forward", "targetGroupArn": group[0]}],
    }
    listener = make(place, about, said)
    with pytest.raises(AwsError, match="currently in use"):
        place.session.delete(ref(GROUP, "used"), *group)
    place.session.delete(about, *listener)
    place.session.delete(ref(GROUP, "used"), *group)


def test_rules_of_a_listener_have_priorities_of_their_own(world: World) -> None:
    place, group = world.east, {"type": "forward", "targetGroupArn": world.east.target_group}
    said: Props = {"loadBalancerArn": place.balancer, "port": 82, "protocol": "HTTP", "defaultActions": [group]}
    listener = make(place, ref(LISTENER, "ruled"), said)[0]
    said = {"listenerArn": listener, "conditions": [{"pathPattern": {"values": ["/a"]}}], "actions": [group]}
    id, inputs, outputs = make(place, ref(RULE, "one"), {**said, "priority": 7})
    with pytest.raises(AwsError, match="PriorityInUse"):
        make(place, ref(RULE, "two"), {**said, "priority": 7})
    # Without one it comes behind the last, and stays there.
    last, last_inputs, last_outputs = make(place, ref(RULE, "three"), said)
    assert last_outputs["priority"] == 8
    changed = checked(place, ref(RULE, "three"), {**said, "conditions": [{"pathPattern": {"values": ["/b"]}}]}, {})
    assert place.session.update(ref(RULE, "three"), last, last_inputs, last_outputs, changed, False)["priority"] == 8
    # They go with their listener.
    place.call("elbv2", "DeleteListener", ListenerArn=listener)
    assert place.session.read(ref(RULE, "one"), id, inputs, outputs) is None


def test_weights_of_a_candidate_change_in_place(world: World) -> None:
    place, about = world.east, ref(LISTENER, "weighted")
    one, two = (make(place, ref(GROUP, name), {"port": 80, "protocol": "HTTP", "vpcId": place.vpc})[0] for name in "ab")

    def said(*weights: int) -> Props:
        groups = [{"arn": arn, "weight": weight} for arn, weight in zip((one, two), weights, strict=True)]
        action = {"type": "forward", "forward": {"targetGroups": groups}}
        return {"loadBalancerArn": place.balancer, "port": 83, "protocol": "HTTP", "defaultActions": [action]}

    alone: Props = {**said(90, 10), "defaultActions": [{"type": "forward", "targetGroupArn": one}]}
    id, inputs, outputs = make(place, about, alone)
    for program in (said(100, 0), said(90, 10), said(0, 100), alone):
        new = checked(place, about, program, inputs)
        diff = place.session.diff(about, id, inputs, outputs, new)
        assert diff.changes
        assert not diff.replaces
        outputs, inputs = place.session.update(about, id, inputs, outputs, new, False), new
        state = place.session.read(about, id, inputs, outputs)
        assert state is not None
        assert state.inputs == inputs


@pytest.mark.parametrize("kind", ["lb_cookie", "app_cookie"])
def test_stickiness_lasts_as_long_as_its_kind_of_cookie(world: World, kind: str) -> None:
    sticky = {"type": kind, "cookieDuration": 90, **({"cookieName": "sid"} if kind == "app_cookie" else {})}
    said: Props = {"port": 80, "protocol": "HTTP", "vpcId": world.east.vpc, "stickiness": sticky}
    id, _, _ = make(world.east, ref(GROUP, kind.replace("_", "-")), said)
    found = world.east.call("elbv2", "DescribeTargetGroupAttributes", TargetGroupArn=id)["Attributes"]
    keys = {attribute["Key"]: attribute["Value"] for attribute in found}
    assert keys[f"stickiness.{kind}.duration_seconds"] == "90"


def test_redirect_keeps_what_it_does_not_change(world: World) -> None:
    about, place = ref(LISTENER, "redirect"), world.east
    action: dict[str, Any] = {
        "type": "redirect",
        "redirect": {"protocol": "HTTPS", "port": "443", "statusCode": "HTTP_301"},
    }
    said: Props = {"loadBalancerArn": place.balancer, "port": 81, "protocol": "HTTP", "defaultActions": [action]}
    id, inputs, outputs = make(place, about, said)
    found = place.call("elbv2", "DescribeListeners", ListenerArns=[id])["Listeners"][0]["DefaultActions"][0]
    assert found["RedirectConfig"]["Host"] == "#{host}"
    assert found["RedirectConfig"]["Path"] == "/#{path}"
    state = place.session.read(about, id, inputs, outputs)
    assert state is not None
    assert state.inputs == inputs


def test_new_certificate_of_a_listener_shows(world: World) -> None:
    about, place = ref(LISTENER, "https"), world.east
    said: Props = {
        "loadBalancerArn": place.balancer,
        "port": 8443,
        "protocol": "HTTPS",
        "certificateArn": place.certificate,
        "defaultActions": [
            {"type": "fixed-response", "fixedResponse": {"contentType": "text/plain", "statusCode": "404"}}
        ],
    }
    id, inputs, outputs = make(place, about, said)
    other = place.call("acm", "RequestCertificate", DomainName="other.example.com")["CertificateArn"]
    place.call("elbv2", "ModifyListener", ListenerArn=id, Certificates=[{"CertificateArn": other}])
    state = place.session.read(about, id, inputs, outputs)
    assert state is not None
    assert state.inputs["certificateArn"] == other


def test_certificate_asks_for_one_record_per_name(world: World) -> None:
    names = ["read.example.com", "write.example.com", "east.example.com"]
    said: Props = {"domainName": names[0], "subjectAlternativeNames": names[1:], "validationMethod": "DNS"}
    _, _, outputs = make(world.east, ref(CERTIFICATE), said)
    options = outputs["domainValidationOptions"]
    assert [option["domainName"] for option in options] == sorted(names)
    assert {option["resourceRecordType"] for option in options} == {"CNAME"}
    assert all(option["resourceRecordName"].endswith(f".{option['domainName']}.") for option in options)


def test_domain_among_its_alternative_names_is_no_drift(world: World) -> None:
    about = ref(CERTIFICATE, "both")
    said: Props = {
        "domainName": "a.example.com",
        "subjectAlternativeNames": ["a.example.com", "b.example.com"],
        "validationMethod": "DNS",
    }
    id, inputs, outputs = make(world.east, about, said)
    state = world.east.session.read(about, id, inputs, outputs)
    assert state is not None
    assert world.east.session.diff(about, id, state.inputs, state.outputs, inputs).changes == ()
