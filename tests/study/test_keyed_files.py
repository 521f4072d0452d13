"""Which conditions share kept states, and what their key depends on."""

import copy

import pytest

from kformer.study import paths, stage_versions
from kformer.study.experiment import load_experiment
from kformer.study.layout import Layout
from kformer.study.plans import _plan_of_run
from kformer.study.stage_versions import VERSIONS

from .conftest import STUDY

KEPT = {"encoder_layers": 2, "keep_states": True}
BASE = {
    **STUDY,
    "training": KEPT,
    "conditions": {
        "none": {},
        "full": {"training": {"encoder_layers": "all", "keep_states": False}},
        "ffn": {"model": {"injection": "ffn"}},
        "attention": {"model": {"injection": "attention", "facts": 3}},
        "concat": {"model": {"injection": "concat"}},
        "untrained": {"answer_by": "retrieval", "retrieval": {"query": "choice"}},
    },
}


def study(**changes) -> Layout:
    return Layout(load_experiment({**copy.deepcopy(BASE), **changes}))


def keys(found: Layout) -> dict[str, str]:
    return {name: states.key for name, states in found.states_of.items()}


def test_conditions_with_the_same_inputs_and_frozen_layers_share_states():
    found = keys(study())
    assert list(found) == ["none", "ffn", "attention", "concat"]
    assert found["ffn"] == found["attention"]
    assert len({found["none"], found["ffn"], found["concat"]}) == 3
    three = keys(study(training=KEPT | {"encoder_layers": 3}))
    assert three["none"] == three["ffn"] == found["ffn"]


def test_where_the_depth_is_known_what_counts_is_the_layer(tiny_encoder):
    model = {"encoder": str(tiny_encoder), "layers": [2, 3]}  # of four
    found = keys(study(model=model))
    assert found["none"] == found["ffn"]
    lower = keys(study(model=model | {"layers": [1, 3]}))
    assert lower["none"] == found["none"] != lower["ffn"]


def test_states_are_made_of_tokens_and_of_facts_only_where_these_are_text():
    found = study()
    assert list(found.states_of["ffn"].tables) == ["question_tokens"]
    assert list(found.states_of["concat"].tables) == ["question_tokens", "fact_tokens", "retrieval"]
    plain = found.tables_of_training("none")
    assert plain["states"] == paths.states_folder(found.states_of["none"].key)
    assert "states" not in found.tables_of_training("full")


def test_the_plan_of_a_run_names_its_states():
    found = study()
    run = found.run("ffn", 1)
    assert _plan_of_run(found, run)["tables"]["states"] == str(
        paths.states_folder(found.states_of["ffn"].key)
    )


@pytest.mark.parametrize(
    ("changes", "reached"),
    [
        ({"model": {"max_tokens": 64}}, {"none", "ffn", "attention", "concat"}),
        ({"model": {"max_fact_tokens": 9}}, {"concat"}),
        ({"model": {"facts": 4}}, {"concat"}),
        ({"model": {"layers": [1, 2]}}, {"ffn", "attention"}),
        ({"model": {"encoder": "somebody/tiny"}}, {"none", "ffn", "attention", "concat"}),
        ({"retrieval": {"top_k": 9}}, {"concat"}),
        ({"training": KEPT | {"encoder_layers": 1}}, {"none", "concat"}),
        ({"training": KEPT | {"precision": "fp32"}}, {"none", "ffn", "attention", "concat"}),
        ({"training": KEPT | {"max_train_questions": 9}}, {"none", "ffn", "attention", "concat"}),
        ({"training": KEPT | {"learning_rate": 1.0, "lora_rank": 2}}, set()),
        ({"seeds": [3]}, set()),
    ],
)
def test_a_change_reaches_just_the_states_that_depend_on_it(changes, reached):
    before, after = keys(study()), keys(study(**changes))
    assert {name for name in before if before[name] != after[name]} == reached


def test_another_version_of_the_stage_makes_other_states(monkeypatch):
    before = keys(study())
    monkeypatch.setitem(stage_versions.VERSIONS, "states", VERSIONS["states"] + 1)
    assert not {*before.values()} & {*keys(study()).values()}
