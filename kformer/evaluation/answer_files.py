"""Answers as a file to work on with: JSON lines, CSV or Parquet, by its suffix."""

import csv
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from kformer.errors import KformerError
from kformer.io.file_writing import replacing
from kformer.io.table_schemas import required
from kformer.io.tables import ROWS_PER_BATCH

if TYPE_CHECKING:  # which takes seconds to import, and names of files are checked before
    from kformer.evaluation.asking import AskedAnswer

_FACT = pa.struct(
    [
        pa.field("id", pa.int64()),  # in the facts table; null = it was given
        required("text", pa.string()),
        pa.field("fired", pa.float64()),  # mean over layers; null = read as text
    ]
)
_SCHEMA = pa.schema(
    [
        required("question_id", pa.string()),
        required("prediction", pa.int8()),  # the index of the chosen choice
        required("prediction_text", pa.string()),
        required("tied", pa.bool_()),  # drawn among different choices with the best logit
        pa.field("answer", pa.int8()),  # the right one; null = not known
        required("probabilities", pa.list_(pa.float64())),
        required("logits", pa.list_(pa.float64())),
        required("facts", pa.list_(pa.list_(_FACT))),  # read, for each choice
    ]
)
_SUFFIXES = (".csv", ".jsonl", ".parquet")


def check_answer_file(path: Path) -> None:
    """Raises KformerError for the name of a file that `write_answers` cannot write."""
    if path.suffix.lower() not in _SUFFIXES:
        raise KformerError(
            f"{path}: unknown suffix; name a file that ends in {', '.join(_SUFFIXES)}"
        )


def write_answers(path: Path, answers: Iterable["AskedAnswer"]) -> None:
    """Streams answers into a file, whole or not at all; in CSV, lists are JSON in a cell.

    Raises:
        KformerError: its suffix is unknown.
    """
    check_answer_file(path)
    write = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
    with replacing(path) as partial:
        write[path.suffix.lower()](partial, map(_row, answers))


def _row(answer: "AskedAnswer") -> dict[str, Any]:
    question = answer.question
    return {
        "question_id": question["question_id"],
        "prediction": answer.chosen,
        "prediction_text": question["choices"][answer.chosen],
        "tied": answer.tied,
        "answer": question["answer"],
        "probabilities": answer.probabilities,
        "logits": answer.logits,
        "facts": [
            [{"id": read.fact.id, "text": read.fact.text, "fired": read.fired} for read in facts]
            for facts in answer.read
        ],
    }


def _write_jsonl(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{_as_json(row)}\n" for row in rows)


def _write_csv(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _SCHEMA.names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            cells = {
                name: _as_json(value) if isinstance(value, list | bool) else value
                for name, value in row.items()
            }
            writer.writerow(cells)


def _write_parquet(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    # Into an open file, whose errors name it, while Arrow's do not.
    with path.open("wb") as file, pq.ParquetWriter(file, _SCHEMA, compression="zstd") as writer:
        while batch := list(islice(rows, ROWS_PER_BATCH)):
            writer.write_table(pa.Table.from_pylist(batch, schema=_SCHEMA))


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
