"""Snakemake computes the states of frozen layers once, and all runs that need them share them."""

import json

import pytest

from .tiny_study import planned, snakemake, tiny_config

pytestmark = pytest.mark.slow

RECIPE = {"encoder_layers": 1, "keep_states": True, "max_steps": 4, "evaluations": 1}
LAYERS = {"layers": [3, 4]}
CONDITIONS = {
    "none": {},
    "kformer": {"model": {"injection": "ffn"}},
    "attention": {"model": {"injection": "attention"}},
    "lora": {"training": {"lora_rank": 2}},
    "whole": {"training": {"encoder_layers": "all", "keep_states": False}},
}


def config(encoder, **changes):
    model = {"encoder": str(encoder), "facts": 3, **LAYERS}
    return tiny_config(encoder, model=model, training=RECIPE, conditions=CONDITIONS) | changes


def test_states_are_computed_once_and_shared(tmp_path, tiny_encoder):
    done = snakemake(tmp_path, config(tiny_encoder), "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list((tmp_path / "results/shared/states").glob("[!.]*"))) == 1
    trained = {}
    for name in CONDITIONS:
        run = tmp_path / "results/tiny/runs" / name / "seed-1"
        trained[name] = json.loads((run / "training.json").read_text())["states"]
    assert len({trained[name] for name in CONDITIONS if name != "whole"}) == 1
    assert trained["none"] and not trained["whole"]
    assert planned(tmp_path, config(tiny_encoder)) == set()
    seeds = planned(tmp_path, config(tiny_encoder, seeds=[1, 2]))
    assert "train_model lora 2" in seeds and "compute_states" not in seeds
    deeper = planned(tmp_path, config(tiny_encoder, training=RECIPE | {"encoder_layers": 2}))
    assert "compute_states" in deeper and "train_model whole 1" not in deeper
