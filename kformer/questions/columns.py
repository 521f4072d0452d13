"""Which fields of the user's files hold a question, its choices and its answer."""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kformer.config_section import Text
from kformer.errors import listed
from kformer.io.choices import plain_choice
from kformer.io.columns import Columns

AnswerForm = Literal["letter", "text", "index_from_0", "index_from_1"]
LETTERS = frozenset(ascii_uppercase)
_Several = Annotated[list[Text], Field(min_length=1)]


class Index(int):
    """The index of the right choice from 0, where the config says how answers name it: a number
    of the file's own may be the text of another choice."""


class QuestionColumns(Columns):
    """Which field of a record is what. A dot leads into an object, or into each object of a list:
    `question.stem`, `choices.text`. Null = not read."""

    question: Text = "question"
    """What is asked."""
    choices: Text | Annotated[list[Text], Field(min_length=2, max_length=26)] = "choices"
    """A field with the choices (a list of texts, or an object with the letters A, B, … as keys),
    or a list of fields with a choice each. In `csv` files the default is the columns A, B, …"""
    labels: Text | None = None
    """A field with the list of the choices' labels, such as `choices.label`; the answer is then
    one of these labels."""
    answer: Text = "answer"
    """The right choice."""
    answer_is: AnswerForm | None = None
    """How `answer` names the right choice. Without it: by its letter, its index from 0 or its
    text, and what could mean two of them is refused."""
    context: Text | None = "context"
    """What comes before the question."""
    id: Text | None = "id"
    """A name that no other question has."""
    split: Text | None = "split"
    """`train`, `validation` (`dev`, `val`, `valid`) or `test`."""
    type: Text | None = "type"
    """What kind of question it is."""
    gold_facts: Text | _Several | None = "gold_facts"
    """A field with the facts that answer the question (a text or a list of texts), or a list of
    such fields."""

    @model_validator(mode="after")
    def _names_answers_one_way(self) -> Self:
        if self.labels and self.answer_is:
            raise ValueError("answer_is: with labels an answer is a label; leave one of them out")
        return self

    @property
    def paths(self) -> dict[str, str | Sequence[str]]:
        return {key: path for key, path in super().paths.items() if key != "answer_is"}

    def in_header(self, header: Sequence[str]) -> Self:
        columns = super().in_header(header)
        if self.choices != "choices":
            return columns
        # A cell holds no list, so not even a column with the usual name holds the choices.
        letters = {
            name.upper(): name
            for name in header
            if name.upper() in LETTERS and name not in self._named
        }
        count = max(2, *(ascii_uppercase.index(letter) + 1 for letter in ("A", *letters)))
        choices = [letters.get(letter, letter) for letter in ascii_uppercase[:count]]
        return columns.model_copy(update={"choices": choices})

    def is_required(self, key: str, position: int) -> bool:
        return key in ("question", "choices", "labels", "answer") and position < 2

    def content_of(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        choices, answer, labels = (
            _choices(fields["choices"]),
            fields["answer"],
            fields.get("labels"),
        )
        if answer is not None and isinstance(choices, list):
            if isinstance(labels, list) and len(labels) == len(fields["choices"]):
                labels = labels[: len(choices)]  # those of empty choices are left out, too
            answer = self._index_or_answer(answer, choices, labels)
        optional = {
            key: _unless_blank(fields.get(key)) for key in ("context", "id", "split", "type")
        }
        return {
            "question": fields["question"],
            "choices": choices,
            "answer": answer,
            "gold_facts": _texts(fields.get("gold_facts")) or None,
            **optional,
        }

    def _index_or_answer(self, answer: Any, choices: list[Any], labels: Any) -> Any:
        """The index of the right choice, or the answer itself where any form is allowed."""
        if self.labels:
            if not isinstance(labels, list) or len(labels) != len(choices):
                raise ValueError(
                    f"labels: must be a list with one for each of the {len(choices)} choices "
                    f"(not {labels!r:.60})"
                )
            return _only_index(answer, labels, "label")
        match self.answer_is:
            case "text":
                return _only_index(answer, choices, "choice")
            case "letter":
                return _only_index(str(answer).upper(), ascii_uppercase[: len(choices)], "letter")
            case "index_from_0" | "index_from_1":
                first = int(self.answer_is[-1])
                return _only_index(answer, range(first, first + len(choices)), "index")
            case None:
                return answer


def in_order_of_letters(choices: Mapping[str, Any]) -> list[Any]:
    """Choices that are given by the letters A, B, … as a list; raises ValueError for other keys."""
    letters = ascii_uppercase[: len(choices)]
    if sorted(choices) != list(letters):
        raise ValueError(
            f"the letters of {len(choices)} choices must be {', '.join(letters)} (there are: "
            f"{listed(map(str, choices), 5):.60}); choices are a list of texts, or an object with "
            "a text for each letter"
        )
    return [choices[letter] for letter in letters]


def _only_index(answer: Any, names: Sequence[Any], what: str) -> Index | None:
    """The index of the one choice whose name is the answer; None for what stands for no answer.

    Raises:
        ValueError: no choice has that name, or several.
    """
    given = plain_choice(str(answer))
    matches = [index for index, name in enumerate(names) if plain_choice(str(name)) == given]
    if len(matches) != 1:
        if not matches and given in ("", "-1"):  # -1: as on the Hugging Face hub
            return None
        count = "is no" if not matches else "is more than one"
        known = ", ".join(plain_choice(str(name)) for name in names)
        raise ValueError(f"answer: {given!r:.60} {count} {what}; there are {known:.200}")
    return Index(matches[0])


def _choices(value: Any) -> Any:
    """Choices as a list, without the empty ones at the end, which records with fewer have.

    Raises:
        ValueError: they are an object with other keys than the letters A, B, …
    """
    if isinstance(value, dict):
        given = {key: text for key, text in value.items() if _unless_blank(text) is not None}
        try:
            return in_order_of_letters(given)
        except ValueError as error:
            raise ValueError(f"choices: {error}") from None
    if not isinstance(value, list):
        return value
    count = len(value)
    while count and _unless_blank(value[count - 1]) is None:
        count -= 1
    return value[:count]


def _texts(value: Any) -> Any:
    """A text, a list of texts, or a list of both as one list, without the empty ones."""
    values = value if isinstance(value, list) else [value]
    flat = [text for each in values for text in (each if isinstance(each, list) else [each])]
    return [text for text in flat if _unless_blank(text) is not None]


def _unless_blank(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value
