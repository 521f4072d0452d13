"""What is said of questions without an answer, such as those of a hidden test set."""

from collections.abc import Iterable
from contextlib import suppress

from pydantic import BaseModel

from kformer.errors import KformerError, listed
from kformer.io.records import Record, misspelt
from kformer.questions.columns import Index
from kformer.questions.known_forms import columns_for
from kformer.questions.split_names import SplitNames
from kformer.questions.split_words import SPLIT_OF

UNLABELLED = "unlabelled questions can neither train nor be scored"


class NoAnswer(KformerError):
    """A question has no answer, and is fine but for that."""

    def __init__(self, record: Record, names: SplitNames) -> None:
        super().__init__(
            f"{record.where}: has no answer; {UNLABELLED}; leave it out, or give its answer"
            f"{instead_of(record, names)}"
        )


def is_unlabelled(record: Record, question: type[BaseModel], has_columns: bool) -> bool:
    """Whether a record would be a question if it had an answer, which no other key seems to hold.

    Args:
        record: under the names that are known.
        question: what it must become.
        has_columns: whether the config says which field is what.
    """
    content = record.content
    if isinstance(content, KformerError):
        return False
    answer = content.get("answer")
    if answer is not None and str(answer).strip() not in ("", "-1"):  # -1: as on the HF hub
        return False
    if "answer" in misspelt(content, question).values():
        return False
    if not has_columns and columns_for(record, question):
        return False
    try:
        record._replace(content=content | {"answer": Index(0)}).parse(question)
    except KformerError:
        return False
    return True


def all_unlabelled(
    records: Iterable[Record], question: type[BaseModel], has_columns: bool, names: SplitNames
) -> KformerError | None:
    """What is wrong with a file none of whose questions has an answer; None if one may have it.

    Args:
        records: all of the file, as `is_unlabelled` takes them.
        question: what they must become.
        has_columns: whether the config says which field is what.
        names: of all files that are read.
    """
    count, first = 0, None
    for record in records:
        if not is_unlabelled(record, question, has_columns):
            return None
        first, count = first or record, count + 1
    if first is None or isinstance(first.content, KformerError):
        return None
    has_key = has_columns or "answer" in {*first.content, *map(str.lower, first.columns or ())}
    there = "" if has_key else f" (there are: {listed(first.content)})"
    questions = f"{count:,} questions have" if count > 1 else "question has"
    return KformerError(
        f"{first.file}: its {questions} no answer{there}; {UNLABELLED}; leave the file out"
        f"{instead_of(first, names)}"
    )


def instead_of(record: Record, names: SplitNames) -> str:
    """What to do without a question that has no answer, if it is of the test split."""
    content = record.content if isinstance(record.content, dict) else {}
    with suppress(KformerError):  # it is not plain which split the file holds
        split = SPLIT_OF.get(str(content.get("split")).lower()) or names.split_of(record.file)
        if split == "test":
            return ", and take the validation file as test"
    return ""
