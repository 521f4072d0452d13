"""What a training needs grows with its encoder, its batches and its inputs."""

import json

import pytest

from kformer.modeling.settings import Model
from kformer.study.experiment import load_experiment
from kformer.study.layout import Layout
from kformer.study.training_memory import (
    UNKNOWN_MB,
    Inputs,
    largest_inputs,
    memory_mb,
    threads_of_trainings,
    usual_inputs,
)
from kformer.training.settings import Training

from .conftest import STUDY

BASE = {
    "model_type": "roberta",
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "vocab_size": 50265,
    "max_position_embeddings": 514,
}


@pytest.fixture
def base(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(BASE))
    return Model(encoder=str(tmp_path))


def test_a_larger_batch_or_longer_inputs_need_more(base):
    needed = [memory_mb(base, Training(), Inputs(*each)) for each in ((8, 32), (64, 32), (64, 128))]
    assert 3_000 < needed[0] < needed[1] < needed[2] < 40_000


def test_a_limit_on_the_tokens_of_a_pass_limits_the_memory(base):
    limited = Training(max_tokens_per_pass=2048)
    whole, in_passes = (memory_mb(base, each, Inputs(64, 128)) for each in (Training(), limited))
    assert in_passes < whole
    assert in_passes == memory_mb(base, Training(), Inputs(16, 128))
    longer = memory_mb(base, limited, Inputs(64, 4000))  # a single input is always computed
    assert longer == memory_mb(base, Training(), Inputs(1, 4000))


def test_embeddings_of_facts_are_parameters_too(base):
    with_facts = base.model_copy(update={"injection": "ffn"})
    inputs = usual_inputs(base, Training())
    assert memory_mb(with_facts, Training(), inputs) > memory_mb(base, Training(), inputs) + 500


@pytest.mark.parametrize("injection", ["ffn", "attention"])
def test_facts_whose_tokens_are_read_take_more_the_longer_they_are(base, injection):
    inputs = Inputs(64, 128)
    words, short, long = (
        memory_mb(base.model_copy(update={"injection": injection} | change), Training(), inputs)
        for change in ({}, *({"fact_encoder": "layers", "max_fact_tokens": n} for n in (45, 256)))
    )
    embeddings = 20 * BASE["vocab_size"] * 768 / 2**20  # of facts, which such a model has not
    assert words - embeddings < short < long - 3_000


def test_what_needs_much_memory_gets_the_cores_that_fewer_trainings_leave(base):
    concat = {"model": {"encoder": base.encoder, "injection": "concat", "max_fact_tokens": 90}}
    conditions = {"none": {"model": {"encoder": base.encoder}}, "concat": concat}
    study = Layout(load_experiment({**STUDY, "conditions": conditions}))
    small, large = (
        memory_mb(each.model, each.training, usual_inputs(each.model, each.training))
        for each in study.conditions.values()
    )
    assert 3 * small < large
    assert threads_of_trainings(study, cores=4, memory=large + small) == {"none": 1, "concat": 4}
    assert threads_of_trainings(study, cores=4, memory=4 * large) == {"none": 1, "concat": 1}


def test_nothing_is_known_of_an_encoder_that_has_yet_to_be_downloaded():
    assert memory_mb(Model(encoder="nobody/nothing"), Training(), Inputs(1, 1)) == UNKNOWN_MB


@pytest.mark.parametrize(("injection", "facts"), [("none", 0), ("concat", 2 * 9)])
def test_the_largest_batch_is_read_from_the_tokens(injection, facts, tiny_tokens, tiny_encoder):
    model = Model(encoder=str(tiny_encoder), injection=injection, facts=2, max_fact_tokens=9)
    inputs = largest_inputs(tiny_tokens[0], model, Training(batch_size=3))
    assert inputs.rows == 3 * 4
    assert 10 < inputs.tokens - facts < 60
    short = model.model_copy(update={"max_tokens": 12})
    assert largest_inputs(tiny_tokens[0], short, Training()).tokens == 12
