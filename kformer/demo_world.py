"""A generated world in which a question can only be answered with its fact.

Invented people have attributes, each stated in one sentence, for example "The pet of Krez is
rabbit." People come in blocks of four who share no value of any attribute. For each block and
attribute there are four questions, one per person, all with the block's four values as choices.
So within such a group every choice is right exactly once, and a model that does not read the
facts cannot beat chance, whatever it knows about words: 25 % by construction. The people of
train, validation and test are different people.

For an easy question the fact has the word of the right choice, so retrieval by words has the
answer already: of the four choices only that one stands in a fact about the person. For a hard
question the fact says it in another word, as "The pet of Krez is bunny." for the choice rabbit.
Retrieval still finds the fact by person and attribute, but it speaks for no choice; whoever reads
it can answer.

The idea follows the synthetic experiments on knowledge injection: what is learned can only be
how to use facts, never the facts themselves.
"""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from kformer.config_section import Section
from kformer.io.file_writing import replacing

# Each value with another word for it, or for one of its kind.
ATTRIBUTES: dict[str, Mapping[str, str]] = {
    "food": {
        **{"bread": "toast", "meat": "steak", "soup": "broth", "pasta": "spaghetti"},
        **{"cake": "pastry", "corn": "maize", "ham": "bacon", "fish": "tuna"},
        **{"cheese": "cheddar", "fruit": "apple", "nuts": "almonds", "candy": "sweets"},
    },
    "colour": {
        **{"red": "scarlet", "blue": "azure", "green": "emerald", "yellow": "lemon"},
        **{"purple": "violet", "white": "ivory", "black": "ebony", "brown": "chestnut"},
        **{"pink": "rose", "orange": "amber", "gold": "golden", "grey": "gray"},
    },
    "job": {
        **{"doctor": "physician", "teacher": "tutor", "lawyer": "attorney", "cook": "chef"},
        **{"singer": "vocalist", "writer": "author", "actor": "performer", "priest": "pastor"},
        **{"soldier": "trooper", "painter": "artist", "trader": "merchant", "judge": "magistrate"},
    },
    "pet": {
        **{"dog": "puppy", "cat": "kitten", "horse": "pony", "rabbit": "bunny"},
        **{"mouse": "rat", "sheep": "lamb", "chicken": "hen", "snake": "python"},
        **{"frog": "toad", "turtle": "tortoise", "bird": "parrot", "pig": "boar"},
    },
    "instrument": {
        **{"violin": "fiddle", "piano": "keyboard", "drum": "percussion", "horn": "bugle"},
        **{"harp": "lyre", "bell": "chime", "flute": "pipe", "guitar": "banjo"},
    },
    "vehicle": {
        **{"car": "automobile", "ship": "vessel", "plane": "aircraft", "bike": "bicycle"},
        **{"truck": "lorry", "bus": "coach", "wagon": "cart", "canoe": "kayak"},
    },
}
_BLOCK = 4  # people that share no value, and so choices per question
# One-syllable names, so that a question stays short and the demo fast; sounds that few words have.
_ONSETS = "bl br dr fl fr gl gr kl kr kv pl pr sk sm sn sp tr vl vr zh zl zr zv".split()
_VOWELS = "a e i o u".split()
_CODAS = "b f g k l m n p r v x z".split()


class DemoWorld(Section):
    """How large the generated world is, and how hard."""

    seed: int = 7
    """Seed of all random choices; the same seed gives the same bytes."""
    train_questions: int = Field(default=960, gt=0, multiple_of=24)
    """Number of training questions, a multiple of 24: four people times six attributes."""
    validation_questions: int = Field(default=96, gt=0, multiple_of=24)
    """Number of validation questions, a multiple of 24."""
    test_questions: int = Field(default=288, gt=0, multiple_of=24)
    """Number of test questions, a multiple of 24."""
    hard_share: float = Field(default=0.5, ge=0, le=1)
    """Share of questions whose fact says the right choice in another word: retrieval by words finds
    the fact, and not which choice it speaks for."""

    @model_validator(mode="after")
    def _has_names_for_all(self) -> Self:
        questions = self.train_questions + self.validation_questions + self.test_questions
        names = len(_ONSETS) * len(_VOWELS) * len(_CODAS)
        if questions > names * len(ATTRIBUTES):
            raise ValueError(
                f"there are names for {names} people and so for {names * len(ATTRIBUTES)} "
                f"questions, not for {questions}; make the splits smaller"
            )
        return self


def write_world(world: DemoWorld, out: Path) -> dict[str, float]:
    """Writes ``questions.jsonl`` and ``facts.jsonl`` into the folder ``out``; returns their sizes.

    Rows have the columns of the questions and facts tables (facts without their ids).
    """
    rng = random.Random(world.seed)
    names = _invented_names(rng)
    questions: list[dict[str, Any]] = []
    facts: list[dict[str, Any]] = []
    for split, wanted in (
        ("train", world.train_questions),
        ("validation", world.validation_questions),
        ("test", world.test_questions),
    ):
        of_split: list[dict[str, Any]] = []
        while len(of_split) < wanted:
            people = [names.pop() for _ in range(_BLOCK)]
            block_questions, block_facts = _block(people, split, world.hard_share, rng)
            of_split += block_questions
            facts += block_facts
        questions += of_split
    for number, question in enumerate(questions):
        question["question_id"] = f"demo-{number:06d}"
    rng.shuffle(facts)  # so that a fact's position says nothing about its person
    with replacing(out) as folder:
        folder.mkdir()
        _write_lines(folder / "questions.jsonl", questions)
        _write_lines(folder / "facts.jsonl", facts)
    return {"questions": len(questions), "facts": len(facts)}


def _block(
    people: Sequence[str], split: str, hard_share: float, rng: random.Random
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    questions, facts = [], []
    for attribute, other_word in ATTRIBUTES.items():
        values = rng.sample(list(other_word), _BLOCK)
        for person, value in zip(people, values, strict=True):
            choices = rng.sample(values, _BLOCK)
            hard = rng.random() < hard_share
            stated = other_word[value] if hard else value
            sentence = f"The {attribute} of {person} is {stated}."
            questions.append(
                {
                    "split": split,
                    "context": "",
                    "question": f"Which {attribute} has {person}?",
                    "choices": choices,
                    "answer": choices.index(value),
                    "type": "hard" if hard else "easy",
                    "gold_facts": [sentence],
                }
            )
            facts.append(
                {"text": sentence, "relation": attribute, "source": "demo", "origin": person}
            )
    return questions, facts


def _invented_names(rng: random.Random) -> list[str]:
    names = [
        f"{onset}{vowel}{coda}".capitalize()
        for onset in _ONSETS
        for vowel in _VOWELS
        for coda in _CODAS
    ]
    rng.shuffle(names)
    return names


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
