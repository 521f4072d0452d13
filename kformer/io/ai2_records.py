"""Questions as the Allen Institute for AI publishes some: a stem, labelled choices, gold facts."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kformer.errors import KformerError
from kformer.io.tables import Row
from kformer.io.text_files import read_jsonl


def ai2_questions(path: Path, letters: str, fact_keys: Sequence[str]) -> Iterator[Row]:
    """Streams the questions of a file, rows of the questions table but for their split.

    Args:
        path: a line of JSON for each question.
        letters: the labels of the choices, in their order.
        fact_keys: the fields with the gold facts.

    Raises:
        KformerError: a line is malformed.
    """
    for number, record in read_jsonl(path):
        yield _row(record, letters, fact_keys, f"{path}:{number}")


def text_of(record: dict[str, Any], key: str, where: str) -> str:
    """A field of a record; raises KformerError unless it is text that is not empty."""
    text = record.get(key)
    if not isinstance(text, str) or not text.strip():
        raise KformerError(f"{where}: {key} must be text that is not empty: {text!r:.40}")
    return text.strip()


def _row(record: dict[str, Any], letters: str, fact_keys: Sequence[str], where: str) -> Row:
    asked = record.get("question")
    asked = asked if isinstance(asked, dict) else {}
    choices = asked.get("choices")
    choices = choices if isinstance(choices, list) else []
    are_objects = all(isinstance(each, dict) for each in choices)
    if not are_objects or [each.get("label") for each in choices] != list(letters):
        raise KformerError(
            f"{where}: question.choices must be a list with the labels {', '.join(letters)}"
        )
    answer = record.get("answerKey")
    if not isinstance(answer, str) or len(answer) != 1 or answer not in letters:
        raise KformerError(f"{where}: answerKey must be one of {', '.join(letters)}: {answer!r}")
    return {
        "question_id": text_of(record, "id", where),
        "context": "",
        "question": text_of(asked, "stem", f"{where}: question"),
        "choices": [text_of(each, "text", f"{where}: choice {each['label']}") for each in choices],
        "answer": letters.index(answer),
        "type": None,
        "gold_facts": [text_of(record, key, where) for key in fact_keys],
    }
