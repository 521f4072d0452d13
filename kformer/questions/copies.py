"""Questions that are there twice: in two splits they test memory, in one they count twice."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from kformer.errors import first_few
from kformer.io.table_schemas import ALL_SPLITS, SPLITS
from kformer.io.tables import Row

# Of each pair, copies are taken from the second split where they are not wanted.
_PAIRS = (("test", "train"), ("test", "validation"), ("validation", "train"))
_PAIRS_OF_EXTRA = (("test", "test_extra"), ("test_extra", "train"), ("test_extra", "validation"))
_SENTENCE_ENDS = ".,;:!?…。．，、；：！？؟،؛।॥"
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


class Copy(NamedTuple):
    """A question, and the first one of another split, or of its own, that is the same."""

    question_id: str
    of: str


@dataclass(frozen=True)
class Copies:
    """The questions that are there twice, in the order of the questions."""

    found: Mapping[tuple[str, str], Sequence[Copy]]
    """those of a split that are in another one too, by both, such as ``("test", "train")``; and
    those that are in it already, such as by ``("test", "test")``"""
    unwanted: frozenset[str]
    """ids of the questions of train and validation that are in a test split (or of train, in
    validation; or of the extra test, in the test) too"""

    @property
    def counts(self) -> dict[str, float]:
        """Metrics: ``test_questions_in_train``, ``test_questions_repeated`` and so on."""
        return {
            f"{split}_questions_{'repeated' if split == other else f'in_{other}'}": len(copies)
            for (split, other), copies in self.found.items()
        }

    def lines(self) -> list[str]:
        """What was found in words: how many, and the first few."""
        return [
            f"{_counted(len(copies), split)} in {other} {'already' if split == other else 'too'}: "
            + first_few([f"{copy.question_id} ({copy.of})" for copy in copies])
            for (split, other), copies in self.found.items()
            if copies
        ]


def find_copies(questions: Iterable[Row]) -> Copies:
    """Finds the questions that are there twice, in linear time.

    Questions are the same if context, question and choices are, in the `comparison_form`; choices
    may be in any order. Questions that share no more than their text have different choices on
    purpose ("Which of these is true?"), so they are not the same.

    Args:
        questions: rows of the questions table, each with its split.
    """
    keyed = [(row["question_id"], row["split"], _key(row)) for row in questions]
    first: dict[str, dict[bytes, str]] = {}
    for name, split, key in keyed:
        first.setdefault(split, {}).setdefault(key, name)

    def between(split: str, other: str) -> list[Copy]:
        others = first.get(other, {})
        copies = (
            Copy(name, others[key]) for name, of, key in keyed if of == split and key in others
        )
        return [copy for copy in copies if copy.question_id != copy.of]

    splits = [split for split in ALL_SPLITS if split in SPLITS or split in first]
    pairs = [pair for pair in (*_PAIRS, *_PAIRS_OF_EXTRA) if set(pair) <= set(splits)]
    return Copies(
        found={pair: between(*pair) for pair in (*pairs, *zip(splits, splits, strict=True))},
        unwanted=frozenset(
            copy.question_id for split, other in pairs for copy in between(other, split)
        ),
    )


def comparison_form(text: str) -> str:
    """A text without what does not change a question: case, spaces, invisible characters, the
    Unicode form, and punctuation at the end."""
    folded = unicodedata.normalize("NFC", text).casefold().translate(_INVISIBLE)
    plain = " ".join(unicodedata.normalize("NFC", folded).split())
    return plain.rstrip(f"{_SENTENCE_ENDS} ") or plain


def _key(row: Row) -> bytes:
    choices = sorted(map(comparison_form, row["choices"]))
    parts = [comparison_form(row["context"]), comparison_form(row["question"]), *choices]
    return blake2b("\0".join(parts).encode(), digest_size=16).digest()


def _counted(count: int, split: str) -> str:
    return f"{count:,} {split} {'question is' if count == 1 else 'questions are'}"
