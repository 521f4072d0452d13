"""The tables that pass between stages: their columns. This is the contract between the stages."""

from typing import Literal

import pyarrow as pa

TableName = Literal["questions", "facts", "retrieval", "predictions", "use_of_facts"]

TABLES_VERSION = "2"
SPLITS = ("train", "validation", "test")  # a study has questions in each
TEST_SPLITS = ("test", "test_extra")  # those that are answered; the second where it is set aside
ALL_SPLITS = (*SPLITS, "test_extra")


def required(name: str, kind: pa.DataType) -> pa.Field:
    """A column that has a value in every row."""
    return pa.field(name, kind, nullable=False)


_USED_FACT = pa.struct(
    [
        required("fact_id", pa.int64()),
        required("margin_gain", pa.float32()),  # the margin minus that without this fact
        required("prediction_without", pa.int8()),
        pa.field("is_gold", pa.bool_()),  # null = unknown
        # How strongly it fired in each injected layer, the mean over the choices that read it;
        # empty where facts are read as text.
        required("activations", pa.list_(pa.float32())),
    ]
)

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
    # A margin is the logit of the right choice minus the best other one.
    "use_of_facts": pa.schema(
        [
            required("question_id", pa.string()),
            required("split", pa.string()),
            required("answer", pa.int8()),
            required("margin", pa.float32()),
            required("prediction", pa.int8()),
            required("margin_without_facts", pa.float32()),
            required("prediction_without_facts", pa.int8()),
            required("other_question_id", pa.string()),  # whose facts it was given
            required("margin_with_other_facts", pa.float32()),
            required("prediction_with_other_facts", pa.int8()),
            required("fact_ids", pa.list_(pa.list_(pa.int64()))),  # read, per choice
            required("facts", pa.list_(_USED_FACT)),  # each of these once
        ]
    ),
}
