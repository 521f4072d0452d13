"""How many questions each split has: a study needs some in each."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kformer.errors import KformerError
from kformer.io.table_schemas import ALL_SPLITS, SPLITS
from kformer.io.tables import Row
from kformer.questions.question_set import shared_text

_WHAT_TO_ADD = {
    "train": "add those to train on, such as in a file train.…",
    "validation": "add some to choose checkpoints by, such as in a file validation.…",
    "test": "add those to test on, such as in a file test.…",
}


def split_sizes(questions: Sequence[Row], path: Path) -> dict[str, int]:
    """How many questions are in train, validation and test, and in the extra test if there is one.

    Args:
        questions: rows of the questions table.
        path: where they were read from.

    Raises:
        KformerError: there are none in one of the first three.
    """
    counts = Counter(row["split"] for row in questions)
    sizes = {split: counts[split] for split in ALL_SPLITS if split in SPLITS or counts[split]}
    if not counts:
        raise KformerError(f"{path}: no questions in it; add some, or name another path")
    lacking = next((split for split in SPLITS if not sizes[split]), None)
    if lacking:
        there = ", ".join(f"{split} {size:,}" for split, size in sizes.items() if size)
        folder = ", and give the folder of all files" if path.is_file() else ""
        raise KformerError(
            f"{path}: the split {lacking} has no questions ({there}); {_WHAT_TO_ADD[lacking]}"
            f"{folder}; or, to have some of these dealt to each split, name none in questions nor "
            f"names of files and folders{_what_stays_together(questions)}"
        )
    return sizes


def _what_stays_together(questions: Sequence[Row]) -> str:
    """Why questions may not have been dealt to all splits, to be put behind the error."""
    for split in SPLITS:
        texts = [shared_text(row) for row in questions if row["split"] == split]
        if len(texts) > 1 == len(set(texts)):
            return (
                f"; those of {split} have all the same context or text, and where questions are "
                "dealt, such stay together"
            )
    return ""
