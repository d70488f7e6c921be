"""Indexes are as the requirement has them."""

from app.index.lifecycle import mappings, policy, settings, template


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
