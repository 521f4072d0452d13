"""The tables that pass between stages: their columns. This is the contract between the stages."""

from typing import Literal

import pyarrow as pa

TableName = Literal["questions", "facts", "retrieval", "predictions"]

TABLES_VERSION = "2"
SPLITS = ("train", "validation", "test")  # a study has questions in each
TEST_SPLITS = ("test", "test_extra")  # those that are answered; the second where it is set aside
ALL_SPLITS = (*SPLITS, "test_extra")


def required(name: str, kind: pa.DataType) -> pa.Field:
    """A column that has a value in every row."""
    return pa.field(name, kind, nullable=False)


SCHEMAS: dict[TableName, pa.Schema] = {
    "questions": pa.schema(
        [
            required("question_id", pa.string()),
            required("split", pa.string()),
            required("context", pa.string()),
            required("question", pa.string()),
            required("choices", pa.list_(pa.string())),
            pa.field("answer", pa.int8()),  # 0-based; null = unlabelled
            pa.field("type", pa.string()),  # what kind of question; null = unknown
            # Facts that are known to answer the question, by text; null = unknown.
            pa.field("gold_facts", pa.list_(pa.string())),
        ]
    ),
    "facts": pa.schema(
        [
            required("fact_id", pa.int64()),  # 0…n−1, the row number
            required("text", pa.string()),
            pa.field("relation", pa.string()),
            required("source", pa.string()),
            required("origin", pa.string()),  # where in the source
        ]
    ),
    "retrieval": pa.schema(
        [
            required("question_id", pa.string()),
            pa.field("choice", pa.int8()),  # null = one query for the whole question
            required("fact_ids", pa.list_(pa.int64())),  # best first, ties by fact_id
            required("scores", pa.list_(pa.float32())),
        ]
    ),
    "predictions": pa.schema(
        [
            required("question_id", pa.string()),
            required("split", pa.string()),
            pa.field("answer", pa.int8()),
            required("prediction", pa.int8()),
            required("tied", pa.bool_()),  # drawn among different choices with the best logit
            # 1 = right, 0 = wrong, 1/k = the right one is among k that tie; null = unlabelled.
            pa.field("credit", pa.float64()),
            required("inputs_cut", pa.int8()),  # of how many choices the input was too long
            required("logits", pa.list_(pa.float32())),
            required("fact_ids", pa.list_(pa.list_(pa.int64()))),  # injected, per choice
        ]
    ),
}
