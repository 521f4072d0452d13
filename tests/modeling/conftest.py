"""Tiny models with random, large weights, and ragged lists of tokens as padded tensors."""

from contextlib import suppress
from functools import partial, reduce
from operator import getitem

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import Tensor
from transformers import AutoConfig

from kformer.modeling import KformerConfig, KformerForMultipleChoice

VOCABULARY = 60
_BERT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1, "pad_token_id": 0}
_DECODER = {"num_key_value_heads": 2, "attention_dropout": 0.1, "pad_token_id": None}
_MODERNBERT_DROPOUT = {"mlp_dropout": 0.1, "attention_dropout": 0.1}
_DEBERTA_V3 = {
    "relative_attention": True,
    "position_buckets": 4,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
FAMILIES = {
    "bert": _BERT,
    "roberta": _BERT | {"pad_token_id": 1},
    "xlm-roberta": _BERT | {"pad_token_id": 1},
    "electra": _BERT | {"embedding_size": 8},
    "deberta-v2": _BERT | _DEBERTA_V3,
    "mpnet": _BERT | {"pad_token_id": 1},
    "modernbert": {"pad_token_id": 0, "local_attention": 4} | _MODERNBERT_DROPOUT,
    "llama": _DECODER,
    "mistral": _DECODER | {"sliding_window": 4},
    "qwen2": _DECODER,
    "qwen3": _DECODER | {"head_dim": 6},
}


VARIANTS = {
    "cosine": {"injection": "ffn", "match": "cosine"},
    "contextual": {"injection": "ffn", "match": "cosine", "fact_encoder": "layers"},
    "contextual attention": {"injection": "attention", "fact_encoder": "layers"},
    "first found": {"injection": "ffn", "filter": "retrieval"},
    "scored": {"injection": "ffn", "scores_in_keys": True},
}
"""Injections with other settings than those as released, by names for tests."""

INPUTS = [
    [[2, 11, 12, 13, 3], [2, 14, 3], [2, 15, 16, 17, 18, 19, 3]],
    [[2, 21, 3], [2, 22, 23, 24, 3], [2, 25, 26, 3]],
]
FACTS = [[[31, 32, 33], [34], [35, 36], [37, 38, 39], [40, 41]], [[44, 45], [46]]]
PADDING = ("wider", "more_choices", "more_facts", "longer_facts")
properties = partial(
    settings,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
"""How properties are tested: the same examples each time, with fixtures that none changes."""


def close(actual, expected, atol=1e-5):
    on_cpu = torch.get_default_device().type == "cpu"
    # A GPU's kernels add up in another order for every shape.
    atol, rtol = (atol, 1e-5) if on_cpu else (10 * atol, 1e-4)
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol)


def logits(model, tensors):
    with torch.no_grad():
        return model(**tensors).logits


@pytest.fixture(autouse=True)
def always_one_thread(one_thread):
    """Computing twice gives the same bits."""


@pytest.fixture
def device(request):
    """Where models and tensors of a test are."""
    return request.config.getoption("--device")


@pytest.fixture(autouse=True)
def on_the_device(device):
    if device == "cpu":
        yield
        return
    torch.set_default_device(device)
    yield
    torch.set_default_device(None)


def encoder_config(family: str = "bert", **settings):
    """A tiny encoder of a family; token 0 or 1 is its padding, if it has one."""
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 24,
        "max_position_embeddings": 40,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    return AutoConfig.for_model(family, **sizes | FAMILIES[family] | settings)


def without_dropout(family: str) -> dict[str, float]:
    return {name: 0.0 for name in FAMILIES[family] if "dropout" in name}


def make_model(injection, family="bert", lively=True, **settings):
    """A model in eval mode; ``lively`` weights are so large that everything matters."""
    encoder = encoder_config(family, **settings.pop("encoder", {}))
    torch.manual_seed(0)
    variant = VARIANTS.get(injection, {"injection": injection})
    settings = {"injection_layers": (1, 3), "facts": 3} | variant | settings
    config = KformerConfig(encoder=encoder, **settings)
    model = KformerForMultipleChoice(config)
    if lively:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.4)
            for name, parameter in model.named_parameters():
                if name.endswith("cosine.threshold"):
                    parameter.fill_(-0.2)  # no random key would exceed it as it starts
    return model.eval()


def to_tensors(inputs, facts=None, per_choice=False, filler=0, **padding):
    """Pads ragged lists of token ids to the keyword arguments of the model.

    ``inputs`` are B lists of C inputs; ``facts`` B lists of M facts, or B lists of C lists of M.
    ``padding`` says how much more than needed is padded, by the names in PADDING, and ``filler``
    is the id of padding. The score of a fact is made of its tokens, wherever it stands.
    """
    assert padding.keys() <= {*PADDING}
    wider, choices, more_facts, longer_facts = (padding.get(name, 0) for name in PADDING)
    ids, mask = _padded(inputs, (0, choices, wider), filler)
    tensors = {"input_ids": ids, "attention_mask": mask}
    if facts is not None:
        extra = (0, choices, more_facts, longer_facts)
        extra = extra if per_choice else (0, more_facts, longer_facts)
        ids, mask = _padded(facts, extra, filler)
        tensors |= {"fact_input_ids": ids, "fact_attention_mask": mask}
        tensors["fact_scores"] = (ids * mask).sum(-1) / 30
    return tensors


def _padded(nested, extra: tuple[int, ...], filler: int) -> tuple[Tensor, Tensor]:
    levels, level = [], [nested]
    for _ in extra:
        levels.append(max((len(each) for each in level), default=0))
        level = [inner for each in level for inner in each]
    shape = [size + more for size, more in zip(levels, extra, strict=True)]
    ids, mask = np.full(shape, filler), np.zeros(shape, int)

    for index in np.ndindex(*shape[:-1]):
        with suppress(IndexError):  # where there is only padding
            tokens = reduce(getitem, index, nested)
            ids[index][: len(tokens)], mask[index][: len(tokens)] = tokens, 1
    return torch.tensor(ids), torch.tensor(mask)
