"""The stage that tokenises a table once, for all runs whose encoder has this tokenizer."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from kformer.io.file_writing import sha256_of
from kformer.io.ragged import Ragged, RaggedBuilder
from kformer.io.table_schemas import TableName
from kformer.io.tables import count_rows, name_of_table, read_columns, read_table
from kformer.io.token_tables import SCHEMAS, TokenTableName, write_token_table
from kformer.modeling.input_form import choice_part, question_part
from kformer.modeling.plain_text import PlainText
from kformer.modeling.pretrained import load_tokenizer
from kformer.progress import track

_ROWS_AT_ONCE = 1_000  # enough to occupy all threads of a tokenizer


def featurize(table: Path, encoder: str, out: Path) -> dict[str, float]:
    """Writes the tokens of all texts of a questions or of a facts table.

    Nothing is cut, and inputs are not assembled: the result serves all models of an encoder.
    Tokenizers that are written in Rust use as many threads as RAYON_NUM_THREADS says, by default
    one a core.

    Args:
        table: the questions or the facts table.
        encoder: a Hugging Face id or a local folder; its tokenizer is used.
        out: the table of tokens to write.

    Returns:
        how many texts there were, and how many tokens.

    Raises:
        KformerError: no such table or encoder, or an encoder without a tokenizer.
    """
    plain = PlainText(load_tokenizer(encoder))
    name: TokenTableName
    columns: Mapping[str, pa.Array]
    if name_of_table(table) == "facts":
        name, tokens = "fact_tokens", _tokens_of_facts(table, plain)
        columns = {"text": tokens["text"].to_arrow()}
    else:
        name, tokens = "question_tokens", _tokens_of_questions(table, plain)
        columns = _columns_of_questions(table, tokens)
    write_token_table(out, name, columns, sha256_of(table), plain.identity)
    return {
        "texts": sum(len(each) for each in tokens.values()),
        "tokens": sum(len(each.values) for each in tokens.values()),
    }


def _tokens_of_facts(table: Path, plain: PlainText) -> Mapping[str, Ragged]:
    facts = RaggedBuilder()
    for batch in _batches(table, "facts", ["text"]):
        facts.extend(plain.tokens_in_table(batch["text"].to_pylist()))
    return {"text": facts.build()}


def _tokens_of_questions(table: Path, plain: PlainText) -> Mapping[str, Ragged]:
    """Of contexts, of questions, and of the choices of all questions in a row."""
    contexts, questions, choices = RaggedBuilder(), RaggedBuilder(), RaggedBuilder()
    for batch in _batches(table, "questions", ["context", "question", "choices"]):
        rows = batch.to_pylist()
        contexts.extend(plain.tokens_in_table([row["context"] for row in rows]))
        asked = [question_part(row["question"]) for row in rows]
        questions.extend(plain.tokens_in_table(asked))
        given = [choice_part(choice) for row in rows for choice in row["choices"]]
        choices.extend(plain.tokens_in_table(given))
    return {
        "context": contexts.build(),
        "question": questions.build(),
        "choice_tokens": choices.build(),
    }


def _columns_of_questions(table: Path, tokens: Mapping[str, Ragged]) -> Mapping[str, pa.Array]:
    rows = read_table(table, "questions")
    columns = {
        field.name: rows[field.name].cast(field.type).combine_chunks()
        for field in SCHEMAS["question_tokens"]
        if field.name not in tokens
    }
    columns |= {name: each.to_arrow() for name, each in tokens.items()}
    choices_of_question = columns["choices"].offsets
    columns["choice_tokens"] = pa.LargeListArray.from_arrays(
        choices_of_question, columns["choice_tokens"]
    )
    return columns


def _batches(table: Path, name: TableName, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    batches = (
        batch.slice(start, _ROWS_AT_ONCE)
        for batch in read_columns(table, name, columns)
        for start in range(0, batch.num_rows, _ROWS_AT_ONCE)
    )
    total = math.ceil(count_rows(table, name) / _ROWS_AT_ONCE)
    return track(batches, f"tokenising thousands of {name}", total)
