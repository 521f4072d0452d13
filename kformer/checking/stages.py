"""What a stage makes of the user's files: whether it takes them, and how it reads them."""

from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from kformer.checking.kinds import UserReader
from kformer.io.tables import Row, read_rows
from kformer.knowledge.build import build_facts
from kformer.questions.build import build_questions
from kformer.questions.user_files import UserQuestions

_ROWS = 3
_LONGEST = 200  # characters of a text that are shown


def rows_as_read(reader: UserReader, path: Path) -> list[str]:
    """Runs the stage of questions or facts; returns the first rows of its table, a line each.

    Raises:
        KformerError: as the stage does.
    """
    with TemporaryDirectory() as folder:
        table = Path(folder) / "table.parquet"
        if isinstance(reader, UserQuestions):
            build_questions(reader, path, table)
            return [_question(row) for row in islice(read_rows(table, "questions"), _ROWS)]
        build_facts([reader], [path], table)
        return [_fact(row) for row in islice(read_rows(table, "facts"), _ROWS)]


def _question(row: Row) -> str:
    choices = row["choices"]
    answer = "none" if row["answer"] is None else choices[row["answer"]]
    read = {"context": row["context"], "question": row["question"]}
    return _line(read | {"choices": " | ".join(choices), "answer": answer, "split": row["split"]})


def _fact(row: Row) -> str:
    return _line({"text": row["text"], "relation": row["relation"], "origin": row["origin"]})


def _line(values: dict[str, str | None]) -> str:
    shown = {key: " ".join(text.split()) for key, text in values.items() if text}
    return "read as " + "; ".join(f"{key}: {_cut(text)}" for key, text in shown.items())


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
