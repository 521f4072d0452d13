"""Which conditions belong together, as the config alone tells."""

import copy
from typing import Any

import pytest

from kformer.evaluation.ladder import have_steps
from kformer.study.experiment import load_experiment
from kformer.study.ladders import ladders_of

from .conftest import STUDY

FFN = {"model": {"injection": "ffn"}}
CONCAT = {"model": {"injection": "concat"}}
GOLD = {"method": "gold"}
AMONG_OTHERS = {"method": "gold", "distractors": 8}


def ladders(**conditions: Any):
    config = {**copy.deepcopy(STUDY), "conditions": {"none": {}, **conditions}}
    experiment = load_experiment(config)
    return ladders_of({name: experiment.condition(name) for name in experiment.conditions})


def rungs(ladder):
    return [(rung.kind, rung.condition, rung.controls) for rung in ladder.rungs]


def using(reader, **retrieval):
    return {**reader, "retrieval": retrieval}


def test_a_whole_ladder_from_gold_facts_down_whatever_the_order_of_the_config():
    (ladder,) = ladders(
        shuffled=using(FFN, control="shuffle"),
        found=FFN,
        among=using(FFN, **AMONG_OTHERS),
        gold=using(FFN, **GOLD),
    )
    assert ladder.name == "found"
    assert rungs(ladder) == [
        ("gold", "gold", {}),
        ("gold_among_others", "among", {}),
        ("retrieved", "found", {"shuffle": "shuffled"}),
    ]


def test_every_rung_has_its_own_control():
    (ladder,) = ladders(
        found=FFN,
        gold=using(FFN, **GOLD),
        shuffled=using(FFN, control="shuffle"),
        shuffled_gold=using(FFN, **GOLD, control="shuffle"),
    )
    assert [rung.controls for rung in ladder.rungs] == [
        {"shuffle": "shuffled_gold"},
        {"shuffle": "shuffled"},
    ]


def test_each_method_is_a_ladder_and_so_is_each_of_its_retrievals_on_the_same_gold_facts():
    found = ladders(
        concat=CONCAT,
        few=using(FFN, top_k=9),
        many=using(FFN, top_k=20),
        gold=using(FFN, **GOLD),
        few_shuffled=using(FFN, top_k=9, control="shuffle"),
    )
    assert {ladder.name: [name for _, name, _ in rungs(ladder)] for ladder in found} == {
        "concat": ["concat"],
        "few": ["gold", "few"],
        "many": ["gold", "many"],
    }
    assert [ladder.rungs[-1].controls for ladder in found] == [
        {},
        {"shuffle": "few_shuffled"},
        {},
    ]


def test_gold_facts_among_others_may_be_more_and_a_control_reads_as_many_as_its_condition():
    more = {"model": {"injection": "ffn", "facts": 9}}
    (ladder,) = ladders(
        gold=using(FFN, **GOLD),
        among=using(more, **AMONG_OTHERS),
        found=FFN,
        shuffled=using(FFN, control="shuffle"),
        more_shuffled=using(more, control="shuffle"),
    )
    assert rungs(ladder) == [
        ("gold", "gold", {}),
        ("gold_among_others", "among", {}),
        ("retrieved", "found", {"shuffle": "shuffled"}),
    ]


def test_without_retrieved_facts_a_ladder_is_named_after_its_highest_rung():
    (ladder,) = ladders(among=using(FFN, **AMONG_OTHERS), gold=using(FFN, **GOLD))
    assert ladder.name == "gold"


@pytest.mark.parametrize(
    "apart",
    [
        {"model": {"injection": "ffn", "key_init": "identity"}},
        {**FFN, "training": {"learning_rate": 1e-3}},
    ],
)
def test_what_differs_in_more_than_the_facts_is_another_method(apart):
    found = ladders(plain=FFN, other=using(apart, **GOLD), control=using(apart, control="shuffle"))
    assert [rungs(ladder) for ladder in found] == [
        [("retrieved", "plain", {})],
        [("gold", "other", {})],  # the control is none of it: its facts would be retrieved ones
    ]


def test_what_uses_no_facts_or_trains_nothing_is_in_no_ladder():
    found = ladders(
        static={"model": {"injection": "static"}},
        untrained={"answer_by": "retrieval", "retrieval": {"query": "choice"}},
    )
    assert found == []


def test_only_ladders_of_several_conditions_have_steps():
    concat, ffn = ladders(concat=CONCAT, ffn=FFN, shuffled=using(FFN, control="shuffle"))
    assert (have_steps([concat]), have_steps([concat, ffn]), have_steps([])) == (False, True, False)
