"""Encoders of every family, as they are released: with heads, some without a pooler."""

import json

import pytest
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
)

from kformer.errors import KformerError
from kformer.modeling.pretrained import load_encoder

from .conftest import FAMILIES, encoder_config

DECODERS = ("llama", "mistral", "qwen2", "qwen3")
RELEASED = [(family, AutoModelForCausalLM) for family in DECODERS]
RELEASED += [(family, AutoModelForMaskedLM) for family in FAMILIES if family not in DECODERS]
RELEASED += [("bert", AutoModelForPreTraining), ("electra", AutoModelForPreTraining)]
RELEASED += [(family, AutoModelForSequenceClassification) for family in FAMILIES]


@pytest.mark.parametrize("family", DECODERS)
def test_a_decoder_may_call_itself_one(family, tmp_path):
    AutoModelForCausalLM.from_config(encoder_config(family)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"is_decoder": True}))
    load_encoder(tmp_path)


@pytest.mark.parametrize(("family", "kind"), RELEASED)
def test_a_head_may_be_left_over_but_no_layer(family, kind, tmp_path):
    kind.from_config(encoder_config(family)).save_pretrained(tmp_path)
    load_encoder(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for layers, said in ((3, "have no place in the model"), (5, "weights are missing")):
        changed = config | {"num_hidden_layers": layers, "layer_types": None}
        (tmp_path / "config.json").write_text(json.dumps(changed))
        with pytest.raises(KformerError, match=said):
            load_encoder(tmp_path)
