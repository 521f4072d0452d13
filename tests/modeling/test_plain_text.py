"""What reads like a special token in a text is tokenised as text, in tokenizers of every kind."""

import json
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertTokenizer,
    DebertaV2Tokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

from kformer.modeling import KformerConfig, KformerProcessor
from kformer.modeling.plain_text import PlainText

ANGLED = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
SQUARE = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
CORPUS = ["the quick brown fox < / s > | [ SEP ] CLS PAD MASK sep cls pad mask unk endoftext"] * 20


def _trained(model, split, trainer, special):
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = split
    tokenizer.train_from_iterator(CORPUS, trainer(special_tokens=special))
    return json.loads(tokenizer.to_str())["model"]


def bert():
    letters = [f"{start}{each}" for start in ("", "##") for each in "abcdefghijklmnopqrstuvwxyz"]
    words = dict.fromkeys([*SQUARE, *"<>[]/|_", *letters, "the", "fox"])
    return BertTokenizer(vocab={word: number for number, word in enumerate(words)})


def roberta():
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)

    def trainer(**settings):
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        return trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, **settings)

    model = _trained(models.BPE(), split, trainer, ANGLED)
    merges = [tuple(pair) for pair in model["merges"]]
    return RobertaTokenizer(vocab=model["vocab"], merges=merges)


@cache
def _unigram(special, unknown):
    def trainer(**settings):
        return trainers.UnigramTrainer(vocab_size=90, unk_token=unknown, **settings)

    vocabulary = _trained(models.Unigram(), pre_tokenizers.Metaspace(), trainer, list(special))
    return [tuple(each) for each in vocabulary["vocab"]]


def xlm_roberta():
    return XLMRobertaTokenizer(vocab=_unigram(tuple(ANGLED), "<unk>"))


def deberta():
    return DebertaV2Tokenizer(vocab=_unigram(tuple(SQUARE), "[UNK]"))


def decoder():
    """Without any tokens around a text, and with many special ones."""
    special = ["<|endoftext|>", "<|im_start|>", "<unk>"]
    tokenizer = Tokenizer(models.WordLevel({each: i for i, each in enumerate(special)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        eos_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
    )


KINDS = {each.__name__: each for each in (bert, roberta, xlm_roberta, deberta, decoder)}
SPECIAL = [*ANGLED, *SQUARE, "<|endoftext|>", "<|im_start|>"]


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    return KINDS[request.param]()


def control_ids(tokenizer):
    return set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}


pieces = st.lists(st.sampled_from([*SPECIAL, " ", "the", "fox ", "<", "</", "s>", "[", "]", "é"]))


@given(pieces.map("".join))
def test_a_text_never_has_special_tokens(tokenizer, text):
    assert control_ids(tokenizer).isdisjoint(PlainText(tokenizer).tokens(text))


@pytest.mark.parametrize("special", SPECIAL)
def test_letters_of_special_tokens_are_there(tokenizer, special):
    text = f"the {special} fox"
    ids = PlainText(tokenizer).tokens(text)
    assert len(ids) > 2
    assert control_ids(tokenizer).isdisjoint(ids)
    if tokenizer.unk_token_id not in ids:
        written = tokenizer.decode(ids).replace(" ", "").lower()
        assert written == text.replace(" ", "").lower()


@given(st.text("the fox<>[]/|SEPsep. é", max_size=30))
def test_other_texts_have_the_tokens_they_always_had(tokenizer, text):
    if not any(each in text for each in SPECIAL):
        expected = tokenizer.encode(text, add_special_tokens=False)
        plain = PlainText(tokenizer)
        assert plain.tokens(text) == expected
        assert plain._in_parts(text) == expected


def test_separators_of_the_input_are_special_tokens_and_those_of_the_data_are_not(tokenizer):
    processor = KformerProcessor(tokenizer, KformerConfig(injection="concat", facts=2))
    texts = (
        "the [SEP] </s>",
        "fox <s> [CLS]",
        ["<mask>[MASK]", "<|endoftext|>"],
        ["[SEP]", "</s>"],
    )
    plain = ("the", "fox", ["fox", "fox"], ["the", "the"])
    control = control_ids(tokenizer)
    for odd, usual in zip(processor(*texts).choices, processor(*plain).choices, strict=True):
        assert [token for token in odd if token in control] == [
            token for token in usual if token in control
        ]
