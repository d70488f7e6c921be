"""Indexes are as the requirement has them."""

from fnmatch import fnmatch
from uuid import uuid4

from app.index.lifecycle import archive_template, mappings, policy, settings, template
from app.index.placement import SHARED, Place, Tier, index_name, layout_of


def test_settings_are_the_requirement_s() -> None:
    found = settings(6)
    assert (found["number_of_shards"], found["number_of_replicas"]) == (6, 2)
    assert (found["refresh_interval"], found["codec"], found["max_result_window"]) == (
        "30s",
        "best_compression",
        10_000,
    )
    content = mappings()["properties"]["content"]
    assert (content["type"], content["index_options"]) == ("text", "offsets")
    assert mappings()["dynamic"] == "strict"
    assert template()["index_patterns"] == ["docsearch-*"]


def test_the_policy_goes_from_hot_to_deleted_and_touches_no_index_that_is_changed() -> None:
    found = policy()["policy"]
    following = {state["name"]: state["transitions"] for state in found["states"]}
    assert [
        (one, to[0]["state_name"], to[0]["conditions"]["min_index_age"]) for one, to in following.items() if to
    ] == [
        ("hot", "warm", "30d"),
        ("warm", "cold", "90d"),
        ("cold", "delete", "730d"),
    ]
    (patterns,) = [one["index_patterns"] for one in found["ism_template"]]
    assert patterns == ["docsearch-archive-*"]


def test_the_policy_of_amazon_s_domain_uses_its_warm_and_cold_storage() -> None:
    states = {one["name"]: one["actions"] for one in policy(managed=True)["policy"]["states"]}
    assert states["hot"] == [{"rollover": {"min_size": "50gb", "min_index_age": "7d"}}]
    assert states["warm"] == [{"force_merge": {"max_num_segments": 1}}, {"warm_migration": {}}]
    (cold,) = states["cold"]
    # Cold storage is searched by time: the field has to be there, and be a date.
    assert mappings()["properties"][cold["cold_migration"]["timestamp_field"]] == {"type": "date"}
    assert states["delete"] == [{"cold_delete": {}}], "what is in cold storage is no index that can be deleted"


def test_no_index_of_a_tenant_ages_as_a_whole() -> None:
    tenant_id = uuid4()
    (pattern,) = archive_template()["index_patterns"]
    assert policy()["policy"]["ism_template"][0]["index_patterns"] == [pattern]
    for place, whose in ((Place(), SHARED), (Place(), tenant_id), (Place(Tier.LARGE, 12), tenant_id)):
        name = index_name(layout_of(place, whose).alias)
        assert not fnmatch(name, pattern)
        assert fnmatch(name, template()["index_patterns"][0])


def test_an_index_of_the_archive_has_nothing_to_shrink() -> None:
    found = archive_template()
    assert found["template"]["settings"]["number_of_shards"] == 1
    assert found["priority"] > template()["priority"]
    assert found["template"]["settings"]["plugins.index_state_management.rollover_alias"] == "docsearch-archive"
