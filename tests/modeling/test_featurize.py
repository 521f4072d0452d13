"""Tables of tokens hold exactly the tokens of the texts, by tokenizers of every kind."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertTokenizer, ByT5Tokenizer

from kformer import progress
from kformer.errors import KformerError
from kformer.io.file_writing import sha256_of
from kformer.io.normal_form import normal_form
from kformer.io.ragged import Ragged
from kformer.io.tables import count_rows, write_table
from kformer.io.token_tables import open_token_table
from kformer.modeling import featurize as stage
from kformer.modeling.featurize import featurize
from kformer.modeling.plain_text import PlainText
from kformer.modeling.pretrained import load_tokenizer

from .conftest import properties
from .test_plain_text import KINDS, SPECIAL

ALL_KINDS = KINDS | {"slow": ByT5Tokenizer}  # of which there is none in Rust
parts = [*SPECIAL, " ", "the", "fox ", "<", "s>", "[", "ﬁne", "é", "\xad", "\n", "?"]
texts = st.lists(st.sampled_from(parts), max_size=6).map("".join)


@pytest.fixture(scope="module", params=ALL_KINDS)
def tokenizer(request):
    return ALL_KINDS[request.param]()


@pytest.fixture
def write(tokenizer, monkeypatch, tmp_path):
    """Tokenises rows; returns the table of tokens."""
    monkeypatch.setattr(stage, "load_tokenizer", lambda _: tokenizer)

    def start(name, rows):
        table, out = tmp_path / "table.parquet", tmp_path / "tokens.arrow"
        write_table(table, name, rows)
        featurize(table, "an encoder", out)
        return open_token_table(out, {"questions": "question_tokens", "facts": "fact_tokens"}[name])

    return start


def as_lists(tokens: Ragged) -> list[list[int]]:
    return [tokens[row].tolist() for row in range(len(tokens))]


def one_by_one(tokenizer, given) -> list[list[int]]:
    plain = PlainText(tokenizer)
    return [plain.tokens(normal_form(text)) if text else [] for text in given]


@properties(max_examples=25)
@given(st.lists(texts, max_size=6))
def test_facts_have_the_tokens_of_their_texts(tokenizer, write, given):
    common = {"source": "test", "origin": ""}
    rows = [{"fact_id": i, "text": text, **common} for i, text in enumerate(given)]
    assert as_lists(write("facts", rows).tokens("text")) == one_by_one(tokenizer, given)


questions = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["train", "validation", "test"]),
        "context": texts,
        "question": texts,
        "choices": st.lists(texts, min_size=2, max_size=4),
        "answer": st.sampled_from([0, 1, None]),
    }
)


@properties(max_examples=25)
@given(st.lists(questions, max_size=4))
def test_questions_have_the_tokens_of_all_their_texts(tokenizer, write, given):
    rows = [{"question_id": f"q-{number}", **row} for number, row in enumerate(given)]
    table = write("questions", rows)
    for name in ("question_id", "split", "answer", "choices"):
        assert table.columns[name].to_pylist() == [row[name] for row in rows]
    contexts = [row["context"] for row in rows]
    assert as_lists(table.tokens("context")) == one_by_one(tokenizer, contexts)
    asked = [f"Q: {row['question']}" for row in rows]
    assert as_lists(table.tokens("question")) == one_by_one(tokenizer, asked)
    answers = [[f"A: {choice}" for choice in row["choices"]] for row in rows]
    assert table.columns["choice_tokens"].to_pylist() == [
        one_by_one(tokenizer, choices) for choices in answers
    ]


def test_a_tokenizer_and_its_copy_have_one_identity_and_others_another(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    copy = AutoTokenizer.from_pretrained(tmp_path)
    identity = PlainText(tokenizer).identity
    assert PlainText(copy).identity == identity
    others = [PlainText(make()).identity for make in ALL_KINDS.values()]
    assert others.count(identity) == 1


def test_tokenizers_of_one_vocabulary_that_split_otherwise_have_different_identities():
    words = {
        word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the"])
    }
    as_written, lower = (BertTokenizer(vocab=words, do_lower_case=lower) for lower in (False, True))
    assert PlainText(as_written).identity != PlainText(lower).identity


def test_a_table_of_tokens_says_what_it_was_made_of(tiny_tables, tiny_encoder, tmp_path):
    for name in ("questions", "facts"):
        table = tiny_tables / f"{name}.parquet"
        metrics = featurize(table, str(tiny_encoder), tmp_path / name)
        tokens = open_token_table(tmp_path / name, f"{name.removesuffix('s')}_tokens")
        assert len(tokens) == count_rows(table, name)
        assert tokens.made_of == sha256_of(table)
        assert tokens.tokenizer == PlainText(load_tokenizer(tiny_encoder)).identity
        assert metrics["texts"] >= len(tokens) and metrics["tokens"] > metrics["texts"]


def test_batches_and_their_progress(tiny_tables, tiny_encoder, tmp_path, monkeypatch, capsys):
    facts = tiny_tables / "facts.parquet"
    featurize(facts, str(tiny_encoder), tmp_path / "whole")
    monkeypatch.setattr(stage, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    featurize(facts, str(tiny_encoder), tmp_path / "batches")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "batches").read_bytes()
    assert "tokenising" in capsys.readouterr().err


@pytest.mark.parametrize("made", ["nothing", "question.parquet"])
def test_what_is_neither_questions_nor_facts_is_refused(made, tiny_tables, tiny_encoder, tmp_path):
    table = tiny_tables / made
    with pytest.raises(KformerError, match=rf"^{table}: .*questions table"):
        featurize(table, str(tiny_encoder), tmp_path / "out")
    assert not (tmp_path / "out").exists()
