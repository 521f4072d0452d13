"""What a record of the user's own questions must be."""

from string import ascii_uppercase
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    model_validator,
)

from kformer.config_section import Text
from kformer.io.choices import plain_choice
from kformer.questions.columns import Index, in_order_of_letters
from kformer.questions.split_words import SPLIT_OF

_AnySplit = Literal["train", "validation", "dev", "val", "valid", "test"]


def _as_split(value: Any) -> Any:
    return SPLIT_OF.get(value.lower(), value) if isinstance(value, str) else value


def _as_list(choices: Any) -> Any:
    """Choices by letter as a list."""
    return in_order_of_letters(choices) if isinstance(choices, dict) else choices


_ListOrLetters = (
    Annotated[list[Text], Field(min_length=2, max_length=26)]
    | Annotated[dict[str, Text], Field(min_length=2, max_length=26)]
)


def _number_or_text(answer: Any) -> Any:
    if isinstance(answer, bool) or not isinstance(answer, int | str):
        raise ValueError(f"must be an index from 0, a letter or a text (not {answer!r:.60})")
    if isinstance(answer, str) and not answer.strip():
        raise ValueError("must not be empty")
    return answer


def _are_one_number(whole: str, other: str) -> bool:
    """Whether a text is that of a whole number, and another one that of the same: ``2.0``."""
    try:
        return float(whole) == float(other) and whole.isdecimal()
    except ValueError:
        return False


class QuestionRow(BaseModel):
    """One of your own questions: a line of a JSON-lines file. Other keys are not read."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, title="Question")

    question: Text
    """What is asked."""
    choices: Annotated[
        list[Text],
        Field(min_length=2, max_length=26),
        BeforeValidator(_as_list, json_schema_input_type=_ListOrLetters),
    ]
    """The possible answers, as a list, or as an object with the letters A, B, … as keys."""
    answer: Annotated[
        int | str, PlainValidator(_number_or_text, json_schema_input_type=StrictInt | Text)
    ]
    """The right one: its index from 0, its letter, or its text."""
    context: str | None = None
    """What comes before the question; cut first where an input is too long."""
    id: StrictInt | Text | None = None
    """A name that no other question has; without one, file and line are the name."""
    split: Annotated[
        Literal["train", "validation", "test"] | None,
        BeforeValidator(_as_split, json_schema_input_type=_AnySplit | None),
    ] = None
    """Also `dev`, `val`, `valid`; without one, the file's name or `test_share` and
    `validation_share` of the config decide."""
    type: str | None = None
    """What kind of question this is."""
    gold_facts: list[Text] | None = None
    """Facts that answer it, word for word as in the knowledge, if they are known."""

    @model_validator(mode="after")
    def _has_one_answer(self) -> Self:
        _ = self.answer_index
        return self

    @property
    def answer_index(self) -> int:
        """The right choice, from 0; raises ValueError if the answer means none, or several."""
        last = len(self.choices) - 1
        if isinstance(self.answer, int) and not 0 <= self.answer <= last:
            raise ValueError(f"answer: {self.answer} is out of range 0 to {last}")
        if isinstance(self.answer, Index):
            return self.answer
        given = plain_choice(str(self.answer))
        meanings = {
            index
            for index, choice in enumerate(self.choices)
            if given in (plain_choice(choice), ascii_uppercase[index], str(index))
        }
        if meanings:
            meanings |= {
                i for i, choice in enumerate(self.choices) if _are_one_number(given, choice)
            }
        if not meanings:
            raise ValueError(
                f"answer: {given!r:.60} is neither a choice, nor a letter A to "
                f"{ascii_uppercase[last]}, nor an index 0 to {last}"
            )
        if len(meanings) > 1:
            named = " or ".join(str(each) for each in sorted(meanings))
            raise ValueError(
                f"answer: {given!r:.60} may mean choice {named}; write it another way (index from "
                "0, letter or text), or say what it is with columns: answer_is"
            )
        return meanings.pop()
