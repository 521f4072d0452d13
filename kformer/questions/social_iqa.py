"""Social IQA (Sap et al., EMNLP 2019): commonsense questions about people, three choices each."""

import re
from collections.abc import Iterable, Iterator, Set
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from kformer.errors import KformerError, listed
from kformer.io.tables import Row
from kformer.io.text_files import find_file, read_jsonl, read_lines
from kformer.questions.reader import QuestionReader, hash_fraction

_ARCHIVE = "the official Social IQA archive"
_CHOICES = ("answerA", "answerB", "answerC")
_LABELS = {"1": 0, "2": 1, "3": 2}


class SocialIqa(QuestionReader):
    """The official archive: the official dev set is our test split, the official test is hidden."""

    dataset: Literal["social_iqa"] = "social_iqa"
    """Which data set to answer."""
    validation_share: float = Field(default=0.05, gt=0, lt=0.5)
    """About which share of the train contexts goes to validation, where checkpoints are chosen."""
    # Left out where it is none, so that keys and results are those of before it was there.
    extra_test_share: float = Field(default=0, ge=0, lt=0.5, exclude_if=lambda share: share == 0)
    """Share of the train contexts that is set aside as a second test set, the split `test_extra`:
    its answers are reported beside those of the official one, and training never reads it."""
    split_seed: int = 0
    """Chooses which contexts go to validation and to the extra test."""

    def read(self, folder: Path) -> Iterator[Row]:
        """Streams rows of the questions table: the official train file, then the dev file.

        Raises:
            KformerError: a file is missing, a line is malformed, or questions and labels differ
                in number.
        """
        files = {name: find_file(folder, f"{name}.jsonl", _ARCHIVE) for name in ("train", "dev")}
        extra = self._extra_test(question["context"] for question, _ in _labelled(files["train"]))
        for name, path in files.items():
            for row, (question, answer) in enumerate(_labelled(path)):
                context = question["context"]
                yield {
                    "question_id": f"{name}-{row:06d}",
                    "split": "test" if name == "dev" else self._split_of(context, extra),
                    "context": context,
                    "question": question["question"],
                    "choices": [question[key] for key in _CHOICES],
                    "answer": answer,
                    "type": question_type(question["question"], context),
                    "gold_facts": None,
                }

    def _split_of(self, context: str, extra_test: Set[str]) -> str:
        # By context, since several questions share one.
        if self._in_validation(context):
            return "validation"
        return "test_extra" if _normalised(context) in extra_test else "train"

    def _in_validation(self, context: str) -> bool:
        return hash_fraction(context, self.split_seed) < self.validation_share

    def _extra_test(self, contexts: Iterable[str]) -> Set[str]:
        """The contexts of the extra test, `_normalised`: those farthest from validation."""
        if not self.extra_test_share:
            return frozenset()
        distinct = {_normalised(context) for context in contexts}
        others = sorted(
            (context for context in distinct if not self._in_validation(context)),
            key=lambda context: hash_fraction(context, self.split_seed),
            reverse=True,
        )
        return frozenset(others[: round(self.extra_test_share * len(distinct))])


def _labelled(path: Path) -> Iterator[tuple[dict[str, str], int]]:
    labels_path = find_file(path.parent, f"{path.stem}-labels.lst", _ARCHIVE)
    for question, label in zip_longest(read_jsonl(path), read_lines(labels_path)):
        if question is None:
            raise KformerError(f"{labels_path}:{label[0]}: more labels than {path} has questions")
        if label is None:
            raise KformerError(
                f"{path}:{question[0]}: more questions than {labels_path} has labels"
            )
        if label[1] not in _LABELS:
            raise KformerError(
                f"{labels_path}:{label[0]}: the label must be 1, 2 or 3: {label[1]!r}"
            )
        yield _texts(question[1], f"{path}:{question[0]}"), _LABELS[label[1]]


def _texts(question: dict[str, Any], where: str) -> dict[str, str]:
    texts = {}
    for key in ("context", "question", *_CHOICES):
        if key not in question:
            raise KformerError(
                f"{where}: no {key}, only {listed(question)}; expected the keys of the official "
                "Social IQA (files with other keys are read with dataset: jsonl and columns)"
            )
        if not isinstance(question[key], str):
            raise KformerError(f"{where}: {key} must be text, not {question[key]!r:.40}")
        texts[key] = question[key].strip()
        if not texts[key] and key != "context":
            raise KformerError(f"{where}: {key} is empty; write a text or remove the question")
    return texts


def _normalised(text: str) -> str:
    return " ".join(text.split()).casefold()


# The wordings of the kinds of questions; the first that matches counts. Crowd workers reworded some
# of the templates, and a question that matches none has no type. ``who`` is the person asked about.
_ASKED = r"(?:.*\b(?:will|would|does|do|did|might|should|is|are|this make|think) )?(?P<who>.+?)"
_WORDINGS = {
    "Intent": r"why (?:did|does|do|would|will|is|was)\b|what made\b|.*\bfor what reason",
    "Attr": r".*\bdescribe|.*\bwhat kind of person",
    "Need": r".*\b(?:needs?|needed|have|had)\b.*\bbefore|before .*\bneed|.*\bdo before th"
    r"|.*\bneed to do\?",
    "React": rf"{_ASKED} (?:likely )?feel",
    "Want": rf"(?!.*\bbefore\b){_ASKED} (?:likely |will )?(?:wants? to\b|going to do\b"
    r"|(?:needs? to |have to |going to |to )?do (?:next|after|now|then))",
    "Effect": r".*\bhappen(?:s|ed)? (?:to|with) (?P<who>.+?)(?: next| now| after.*| as a result)?"
    r"\W*$",
}
_PRONOUN = re.compile(r"(?:you|i|he|she|they|we|it|him|her|them)")
# Matching takes time that grows faster than the text. No question of Social IQA has 100 characters.
_LONGEST_QUESTION = 300
# Capitalised words at the start of a sentence that are nobody's name.
_OPENING = re.compile(
    r"\b(?:(?:A|An|The|It|I|In|On|At|As|By|For|To|With|After|Before|When|While|Whenever|During"
    r"|Since|Because|Once|Even|Although|Though|Despite|Due|There|That|This|He|She|They|We|His|Her"
    r"|Their|My|Every|Everyone|Everybody|Someone|Some|Many|All|One|No|Not|If)\b|[A-Z]\w+ing\b)"
)


def question_type(question: str, context: str) -> str | None:
    """The ATOMIC dimension that a question asks for, such as ``xWant``, or None if it is unclear,
    or the question is longer than any of Social IQA.

    ATOMIC asks for intents, needs and attributes only of X, the person that the event is about;
    reactions, wants and effects are also asked of others.
    """
    wording = _normalised(question)
    if len(wording) > _LONGEST_QUESTION:
        return None
    for kind, pattern in _WORDINGS.items():
        if match := re.match(pattern, wording):
            who = match.groupdict().get("who")
            if who is None:
                return f"x{kind}"
            if _PRONOUN.fullmatch(who):
                return None
            of_x = "others" not in who and _comes_first(who, context)
            return f"{'x' if of_x else 'o'}{kind}"
    return None


def _comes_first(who: str, context: str) -> bool:
    """Whether ``who`` is named, and nobody else before."""
    mention = re.search(rf"\b{re.escape(who)}\b", context, re.IGNORECASE)
    if mention is None:
        return False
    # Some contexts are all in lower case, and most contexts begin with a name.
    before = (context[0].upper() + context[1:])[: mention.start()]
    return not re.search(r"\b[A-Z]", _OPENING.sub("", before))
