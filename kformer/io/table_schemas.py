"""The tables that pass between stages: their columns. This is the contract between the stages."""

from typing import Literal

import pyarrow as pa

TableName = Literal["questions", "facts", "retrieval", "predictions"]

TABLES_VERSION = "2"
SPLITS = ("train", "validation", "test")


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


SCHEMAS: dict[TableName, pa.Schema] = {
    "questions": pa.schema(
        [
            _required("question_id", pa.string()),
            _required("split", pa.string()),
            _required("context", pa.string()),
            _required("question", pa.string()),
            _required("choices", pa.list_(pa.string())),
            pa.field("answer", pa.int8()),  # 0-based; null = unlabelled
            pa.field("type", pa.string()),  # what kind of question; null = unknown
            # Facts that are known to answer the question, by text; null = unknown.
            pa.field("gold_facts", pa.list_(pa.string())),
        ]
    ),
    "facts": pa.schema(
        [
            _required("fact_id", pa.int64()),  # 0…n−1, the row number
            _required("text", pa.string()),
            pa.field("relation", pa.string()),
            _required("source", pa.string()),
            _required("origin", pa.string()),  # where in the source
        ]
    ),
    "retrieval": pa.schema(
        [
            _required("question_id", pa.string()),
            pa.field("choice", pa.int8()),  # null = one query for the whole question
            _required("fact_ids", pa.list_(pa.int64())),  # best first, ties by fact_id
            _required("scores", pa.list_(pa.float32())),
        ]
    ),
    "predictions": pa.schema(
        [
            _required("question_id", pa.string()),
            _required("split", pa.string()),
            pa.field("answer", pa.int8()),
            _required("prediction", pa.int8()),
            _required("tied", pa.bool_()),  # drawn among different choices with the best logit
            _required("logits", pa.list_(pa.float32())),
            _required("fact_ids", pa.list_(pa.list_(pa.int64()))),  # injected, per choice
        ]
    ),
}
