"""What a report is told of a study: which conditions differ in one number alone."""

import copy
from typing import Any

from kformer.study.experiment import load_experiment
from kformer.study.layout import Layout
from kformer.study.report_inputs import about_report

from .conftest import STUDY

FFN = {"model": {"injection": "ffn"}}


def about(**conditions: Any):
    config = {**copy.deepcopy(STUDY), "conditions": {"none": {}, **conditions}}
    return about_report(Layout(load_experiment(config)))


def ffn(**model: Any):
    return {"model": {"injection": "ffn", **model}}


def varied(**conditions: Any):
    return {each.setting: dict(each.values) for each in about(**conditions).varied}


def test_a_number_in_which_conditions_differ_alone():
    found = varied(one=ffn(facts=1), three=ffn(facts=3), five=ffn(facts=5))
    assert found == {"model.facts": {"one": 1, "three": 3, "five": 5}}


def test_conditions_that_differ_in_more_show_nothing_of_either():
    two_numbers = ffn(facts=3, max_fact_tokens=9)
    assert varied(one=ffn(facts=1), other=two_numbers) == {}
    shuffled = {**ffn(facts=3), "retrieval": {"control": "shuffle"}}
    assert varied(one=ffn(facts=1), control=shuffled) == {}


def test_a_number_of_training_counts_too():
    few = {**FFN, "training": {"max_train_questions": 100}}
    many = {**FFN, "training": {"max_train_questions": 200}}
    assert varied(few=few, many=many) == {"training.max_train_questions": {"few": 100, "many": 200}}


def test_facts_and_retrievals_of_conditions():
    found = about(plain=FFN, shuffled={**FFN, "retrieval": {"control": "shuffle"}})
    assert set(found.facts) == {"plain", "shuffled"}
    assert len(set(found.facts.values())) == 1
    (retrieval,) = found.retrievals  # a control reads what was retrieved for its method
    assert retrieval.conditions == ["plain", "shuffled"]
    assert retrieval.numbers.name == "retrieval.json"
    assert found.dataset == STUDY["questions"]["dataset"]
