"""MedQA-USMLE (Jin et al., 2021): questions of the US medical licensing examination."""

from collections.abc import Iterator
from pathlib import Path
from string import ascii_uppercase
from typing import Annotated, Any, Literal

from kformer.config_section import or_its_text
from kformer.errors import KformerError
from kformer.io.tables import Row
from kformer.io.text_files import find_file, read_jsonl
from kformer.questions.reader import QuestionReader

_FOLDER = Path("questions", "US")
_FILES = {
    4: Path("4_options", "phrases_no_exclude_{}.jsonl"),
    5: Path("{}.jsonl"),
}
_SPLITS = {"train": "train", "dev": "validation", "test": "test"}


class MedQa(QuestionReader):
    """The official archive and its splits; dev is our validation split."""

    dataset: Literal["med_qa"] = "med_qa"
    options: Annotated[Literal[4, 5], or_its_text(Literal[4, 5])] = 4
    """How many choices each question has."""

    def read(self, folder: Path) -> Iterator[Row]:
        """Streams rows of the questions table: the train, the dev, then the test file.

        A question is a case history that ends in the question proper, so it has no context: if it
        is too long for an encoder, its start is cut.

        Raises:
            KformerError: a file is missing, or a line is malformed.
        """
        for name, split in _SPLITS.items():
            file = str(_FOLDER / str(_FILES[self.options]).format(name))
            path = find_file(folder, file, "MedQA's data_clean.zip")
            for row, (number, question) in enumerate(read_jsonl(path)):
                yield {
                    "question_id": f"{name}-{row:06d}",
                    "split": split,
                    "context": "",
                    **_question_columns(question, self.options, f"{path}:{number}"),
                    "type": question.get("meta_info"),
                    "gold_facts": None,
                }


def _question_columns(question: dict[str, Any], options: int, where: str) -> Row:
    """The columns question, choices and answer."""
    letters = ascii_uppercase[:options]
    given = question.get("options")
    if not isinstance(given, dict) or sorted(given) != list(letters):
        raise KformerError(
            f"{where}: options must be an object with the keys {', '.join(letters)}; "
            "is it a file of MedQA-USMLE?"
        )
    texts = [question.get("question"), *(given[letter] for letter in letters)]
    if not all(isinstance(text, str) and text.strip() for text in texts):
        raise KformerError(f"{where}: the question and each option must be text, none empty")
    answer = question.get("answer_idx")
    if not isinstance(answer, str) or answer not in given:
        raise KformerError(f"{where}: answer_idx must be one of {', '.join(letters)}: {answer!r}")
    asked, *choices = (text.strip() for text in texts)
    return {"question": asked, "choices": choices, "answer": letters.index(answer)}
