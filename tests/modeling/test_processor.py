"""From text to token ids: the exact sequence, what is cut, and the shapes of batches."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast

from kformer.errors import KformerError
from kformer.modeling import KformerConfig, KformerForMultipleChoice, KformerProcessor
from kformer.modeling.pretrained import load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return load_tokenizer(tiny_encoder)


@pytest.fixture(scope="module")
def make(tokenizer):
    def make_processor(injection="ffn", **config):
        return KformerProcessor(tokenizer, KformerConfig(injection=injection, **config))

    return make_processor


@pytest.fixture(scope="module")
def read(tokenizer):
    """Token ids as the text they stand for."""

    def as_text(ids):
        return " ".join(tokenizer.convert_ids_to_tokens(ids)).replace(" ##", "")

    return as_text


def spaced(letters: str) -> str:
    return " ".join(letters)


def test_a_choice_is_read_as_context_question_and_answer(make, read):
    features = make()(spaced("abc"), spaced("de"), ["f g", "h"], [])
    assert [read(ids) for ids in features.choices] == [
        "[CLS] a b c [SEP] q : d e [SEP] a : f g [SEP]",
        "[CLS] a b c [SEP] q : d e [SEP] a : h [SEP]",
    ]
    assert (features.cut, features.length) == (0, 15)


@pytest.mark.parametrize(
    ("facts", "tokenised"),
    [
        (["a b", "c d e f", ""], [["a b", "c d e", ""]]),
        ([["a", "b"], ["c"]], [["a", "b"], ["c"]]),
    ],
)
def test_facts_are_tokens_of_their_own_without_special_tokens(facts, tokenised, make, read):
    features = make(facts=1, max_fact_tokens=3)("", "d", ["f", "g"], facts)
    assert [[read(fact) for fact in each] for each in features.facts] == tokenised
    assert features.facts_per_choice == (len(tokenised) == 2)
    assert read(features.choices[0]) == "[CLS] q : d [SEP] a : f [SEP]"


@pytest.mark.parametrize(
    ("facts", "read_first"),
    [(["x y", "z", "w"], ["x y z [SEP] "] * 2), ([["x"], []], ["x [SEP] ", ""])],
)
def test_concat_puts_the_first_facts_before_everything_else(facts, read_first, make, read):
    processor = make("concat", facts=2)
    features = processor("c", "d", ["f", "g"], facts)
    assert [read(ids) for ids in features.choices] == [
        f"[CLS] {first}c [SEP] q : d [SEP] a : {choice} [SEP]"
        for first, choice in zip(read_first, "fg", strict=True)
    ]
    assert features.facts == []
    assert set(processor.collate([features])) == {"input_ids", "attention_mask"}


@pytest.mark.parametrize(
    ("room", "expected", "cut"),
    [
        (18, "[CLS] x y z [SEP] a b c [SEP] q : d e [SEP] a : f [SEP]", 0),
        (17, "[CLS] x y [SEP] a b c [SEP] q : d e [SEP] a : f [SEP]", 0),
        (16, "[CLS] x [SEP] a b c [SEP] q : d e [SEP] a : f [SEP]", 0),
        (15, "[CLS] a b c [SEP] q : d e [SEP] a : f [SEP]", 0),
        (13, "[CLS] b c [SEP] q : d e [SEP] a : f [SEP]", 1),
        (12, "[CLS] c [SEP] q : d e [SEP] a : f [SEP]", 1),
        (10, "[CLS] q : d e [SEP] a : f [SEP]", 1),
        (9, "[CLS] : d e [SEP] a : f [SEP]", 1),
        (7, "[CLS] e [SEP] a : f [SEP]", 1),
        (5, "[CLS] a : f [SEP]", 1),
    ],
)
def test_facts_are_cut_before_the_context_and_the_context_before_the_question(
    room, expected, cut, make, read
):
    features = make("concat", max_tokens=room)(spaced("abc"), spaced("de"), ["f"], ["x y z"])
    assert read(features.choices[0]) == expected
    assert features.cut == cut


def test_inputs_that_were_cut_are_counted(make):
    features = make(max_tokens=13)(spaced("abc"), spaced("d"), ["f", "f g", "f g h"], [])
    assert [len(ids) for ids in features.choices] == [13, 13, 13]
    assert features.cut == 2


letters = st.text("abcdefgh", max_size=9).map(spaced)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(context=letters, question=letters, choice=letters, fact=letters, room=st.integers(13, 45))
def test_nothing_is_cut_that_fits_and_nothing_is_too_long(
    context, question, choice, fact, room, make, read
):
    features = make("concat", max_tokens=room)(context, question, [choice, choice], [fact])
    without_fact = make("concat", max_tokens=room)(context, question, [choice, choice], [])
    parts = [part for part in (context, f"q : {question}", f"a : {choice}") if part]
    whole = f"[CLS] {' [SEP] '.join(parts)} [SEP]".split()
    text = read(features.choices[0]).split()
    assert features.length <= room
    assert " ".join(text).endswith(" ".join(f"a : {choice} [SEP]".split()))
    assert features.cut == without_fact.cut == (0 if len(whole) <= room else 2)
    if features.cut:  # then no fact fits, and the rest is filled to the last token but one
        assert features.choices == without_fact.choices
        assert features.length >= room - 1
    else:
        assert text[len(text) - len(whole) + 1 :] == whole[1:]


@pytest.mark.parametrize(
    ("longest", "advice"),
    [
        (96, r"set it to 11 or more \(up to 96\), or shorten the choice"),
        (10, "the encoder reads no more than 10, so shorten the choice"),
    ],
)
def test_a_choice_that_alone_is_too_long_is_an_error(make, longest, advice):
    processor = make(max_tokens=8, encoder=BertConfig(max_position_embeddings=longest))
    message = f"max_tokens: the choice 'f g h i j k l' alone needs 11 tokens, .* has 8; {advice}"
    with pytest.raises(KformerError, match=message):
        processor("", "d", ["f", spaced("fghijkl")], [])


@pytest.mark.parametrize(
    "facts",
    ["a fact", [["a"], "bc"], ["a", ["b"]], [None], None, [["a"]], [["a"]] * 3, [[], [], []]],
)
def test_facts_must_be_one_list_or_one_for_each_choice(facts, make):
    with pytest.raises(KformerError, match=r"^facts: "):
        make()("", "d", ["f", "g"], facts)


@pytest.mark.parametrize("choices", ["fg", [], [None, "f"]])
def test_choices_must_be_a_list_of_texts(choices, make):
    with pytest.raises(KformerError, match=r"^choices: "):
        make()("", "d", choices)


# --- encoders without tokens for a beginning and for separating


@pytest.mark.parametrize(
    ("special", "start", "end"),
    [
        ({"bos_token": "<s>", "eos_token": "</s>"}, "<s>", "</s>"),
        ({"eos_token": "</s>"}, "", "</s>"),
        ({}, "", "\n"),
    ],
)
def test_a_decoder_reads_lines_and_is_scored_at_the_end(special, start, end):
    vocabulary = {token: i for i, token in enumerate(["<s>", "</s>", "\n", *"abcdefghAQ:"])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, **special)
    processor = KformerProcessor(tokenizer, KformerConfig(injection="concat", facts=2))
    features = processor("ab", "c", ["d", "ef"], ["g", "h"])
    texts = ["".join(tokenizer.convert_ids_to_tokens(ids)) for ids in features.choices]
    spaced_question = "Q:ac"  # the space is unknown to it, and unknown is "a"
    assert texts[1] == f"{start}gh\nab\n{spaced_question}\nA:aef{end}"
    batch = processor.collate([features])  # with any id for padding, which it has none for
    assert batch["attention_mask"].sum(-1).tolist() == [[len(ids) for ids in features.choices]]


def test_a_tokenizer_that_is_only_a_sentencepiece_model_is_read(tmp_path):
    """As DeBERTa-v3 comes."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["Q: what is the pet of abc", "A: the pet of de is f"] * 9),
        model_prefix=str(tmp_path / "spm"),
        vocab_size=40,
        hard_vocab_limit=False,
        pad_id=0, bos_id=1, eos_id=2, unk_id=3,
        pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
        minloglevel=2,
    )  # fmt: skip
    (tmp_path / "config.json").write_text('{"model_type": "deberta-v2"}')
    processor = KformerProcessor(load_tokenizer(tmp_path), KformerConfig())
    (ids,) = processor("", "pet of abc", ["de"]).choices
    tokens = processor.tokenizer.convert_ids_to_tokens(ids)
    assert (tokens[0], tokens[-1], tokens.count("[SEP]")) == ("[CLS]", "[SEP]", 2)
    assert "".join(tokens).replace("▁", " ") == "[CLS] Q: pet of abc[SEP] A: de[SEP]"


# --- batches


def test_questions_with_facts_each_are_padded_to_one_batch(make, tokenizer):
    processor = make()
    first = processor("", "d", ["f", "g h"], ["a b c", "d"])
    second = processor("a", "d", ["f", "g"], ["e"])
    batch = processor.collate([first, second], labels=[1, 0])
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 2, 11)
    assert batch["fact_input_ids"].shape == batch["fact_attention_mask"].shape == (3, 3)
    assert batch["fact_attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [1, 0, 0]]
    assert batch["fact_positions"].tolist() == [[0, 1], [2, -1]]
    assert batch["labels"].tolist() == [1, 0]
    assert batch["input_ids"][0, 1, : len(first.choices[1])].tolist() == first.choices[1]
    for ids, mask in (("input_ids", "attention_mask"), ("fact_input_ids", "fact_attention_mask")):
        assert (batch[ids][batch[mask] == 0] == tokenizer.pad_token_id).all()


def test_facts_per_question_and_per_choice_go_into_one_batch(make):
    processor = make()
    per_choice = processor("", "d", ["f", "g", "h"], [["a"], ["b", "c"], []])
    per_question = processor("", "d", ["f", "g"], ["d e"])
    batch = processor.collate([per_choice, per_question])
    assert batch["attention_mask"].any(-1).tolist() == [[True] * 3, [True, True, False]]
    assert batch["fact_attention_mask"].sum(-1).tolist() == [1, 1, 1, 2]
    assert batch["fact_positions"].tolist() == [
        [[0, -1], [1, 2], [-1, -1]],
        [[3, -1], [3, -1], [-1, -1]],
    ]


def test_a_fact_of_several_questions_is_passed_once(make):
    processor = make(max_fact_tokens=2)
    first = processor("", "d", ["f", "g"], ["a b", "c", "", "a b"])
    second = processor("", "d", ["f", "g"], ["c", "a b h"])  # cut to "a b"
    batch = processor.collate([first, second])
    assert batch["fact_positions"].tolist() == [[0, 1, -1, 0], [1, 0, -1, -1]]
    ids, mask = batch["fact_input_ids"], batch["fact_attention_mask"]
    assert [row[kept == 1].tolist() for row, kept in zip(ids, mask, strict=True)] == [
        first.facts[0][0],
        first.facts[0][1],
    ]


@pytest.mark.parametrize("facts", [[], [[], []], ["", ""], [["", ""], []]])
def test_a_batch_without_facts_has_no_fact_tensors(facts, make):
    processor = make()
    batch = processor.collate([processor("", "d", ["f", "g"], facts)])
    assert set(batch) == {"input_ids", "attention_mask"}


def test_a_saved_processor_reads_the_same(make, tiny_encoder, tmp_path):
    settings = {"injection": "concat", "max_tokens": 14, "facts": 1}
    model = KformerForMultipleChoice.from_encoder(tiny_encoder, **settings)
    processor = KformerProcessor(load_tokenizer(tiny_encoder), model.config)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    question = (spaced("abc"), spaced("de"), ["f", "g"], ["x y z", "w"])
    again = KformerProcessor.from_pretrained(tmp_path)
    assert again(*question) == processor(*question)
    assert again.config.injection == "concat" and again.config.max_tokens == 14


def test_a_folder_of_another_model_is_refused(tiny_encoder):
    with pytest.raises(KformerError, match="this is a bert model, not a kformer one"):
        KformerProcessor.from_pretrained(tiny_encoder)


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer_config.json", "config.json"])
def test_a_saved_model_that_lacks_a_file_has_no_processor(file, make, tmp_path):
    processor = make()
    processor.config.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(KformerError, match=str(tmp_path)) as error:
        KformerProcessor.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)
