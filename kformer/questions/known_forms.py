"""Forms in which well-known data sets come, to say which ``columns:`` read them."""

import json
from functools import cache
from typing import Any

from pydantic import BaseModel

from kformer.errors import KformerError
from kformer.io.records import Record
from kformer.questions.columns import QuestionColumns

_LISTS = {"choices": "choices.text", "labels": "choices.label"}
_KNOWN: dict[str, dict[str, Any]] = {
    "CommonsenseQA and ARC on the Hugging Face hub": _LISTS | {"answer": "answerKey"},
    "choices with labels": _LISTS,
    "OpenBookQA on the Hugging Face hub": (
        {"question": "question_stem"} | _LISTS | {"answer": "answerKey"}
    ),
    "CommonsenseQA, ARC, OpenBookQA and QASC": {
        "question": "question.stem",
        "choices": "question.choices.text",
        "labels": "question.choices.label",
        "answer": "answerKey",
    },
    "Social IQA": {
        "choices": ["answerA", "answerB", "answerC"],
        "answer": "label",
        "answer_is": "index_from_1",
    },
    "MedQA": {"choices": "options", "answer": "answer_idx"},
    "MedMCQA": {
        "choices": ["opa", "opb", "opc", "opd"],
        "answer": "cop",
        "answer_is": "index_from_0",
    },
}


def columns_for(record: Record, question: type[BaseModel]) -> str | None:
    """A sentence with the ``columns:`` of a known form that makes a record a question, if any does.

    Args:
        record: as it is in the file.
        question: what it must become.
    """
    for name, columns in _KNOWN.items():
        try:
            (read,) = _columns(name).apply([record])
            read.parse(question)
        except (KformerError, ValueError):
            continue
        return f"this is the form of {name}, to be read with columns: {json.dumps(columns)}"
    return None


@cache
def _columns(name: str) -> QuestionColumns:
    return QuestionColumns.model_validate(_KNOWN[name])
