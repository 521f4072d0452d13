"""A page to look at: some questions and the facts that were found for them."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

from jinja2 import Environment, StrictUndefined

from kformer.io.tables import SPLITS, Row, read_rows
from kformer.retrieval.quality.results import Corpus, QuestionResults
from kformer.retrieval.query import Relations
from kformer.retrieval.settings import Retrieval, Words
from kformer.retrieval.words.tokenizer import Tokenizer, tokenizer

QUESTIONS = 20
FACTS = 10  # shown of a query
LONGEST = 1200  # characters of a text

_RNG_SEED = 0
_WORD_OR_NOT = re.compile(r"\w+|\W+")
# Also those that turn the direction of what comes after them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_Facts = Mapping[int, Row]  # by their ids
_LONGEST_WORD = 20  # that is left out whole rather than cut


class Piece(NamedTuple):
    """A part of a fact's text; all together are the text."""

    text: str
    kind: Literal["word", "stop word", "other"]
    """Whether the query has that word."""


def short(text: str, longest: int = LONGEST) -> str:
    """Text of the data as it can be shown: on one line, without control characters, and cut."""
    text = _CONTROL.sub("", " ".join(text.split()))
    if len(text) <= longest:
        return text
    end = text.rfind(" ", longest - _LONGEST_WORD, longest + 1)
    return f"{text[: end if end > 0 else longest]} …"


def asked_for(relations: Relations | None) -> str:
    """Names the relations that were asked for; None = any."""
    return "any" if relations is None else ", ".join(sorted(map(str, relations)))


def draw(questions: Path) -> frozenset[int]:
    """The places of up to `QUESTIONS` questions of the table, the same for every retrieval.

    All splits give equally many, as far as they can; within a split labelled questions go first.
    """
    places: dict[str, tuple[list[int], list[int]]] = {split: ([], []) for split in SPLITS}
    for place, question in enumerate(read_rows(questions, "questions")):
        places[question["split"]][question["answer"] is None].append(place)
    rng = random.Random(_RNG_SEED)
    queues = [
        rng.sample(labelled, len(labelled)) + rng.sample(unlabelled, len(unlabelled))
        for labelled, unlabelled in places.values()
    ]
    in_turn = [place for turn in zip_longest(*queues) for place in turn if place is not None]
    return frozenset(in_turn[:QUESTIONS])


def render_sample(
    sample: Sequence[QuestionResults], corpus: Corpus, settings: Retrieval, gold: Mapping[str, int]
) -> str:
    """The page, self-contained; whatever is in the data is shown as text, `short`.

    Args:
        sample: the questions to show, with their queries.
        corpus: what was searched.
        settings: of the retrieval.
        gold: the ids of gold facts by their texts, those that are in the corpus.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["short"] = short
    template = environment.from_string(
        files("kformer.retrieval.quality").joinpath("sample.html").read_text("utf-8")
    )
    pieces = _Pieces(settings.words)
    queries = (row for asked in sample for row in asked.queries)
    ids = sorted({fact_id for row in queries for fact_id in row["fact_ids"][:FACTS]})
    facts = dict(zip(ids, corpus.rows(ids), strict=True))
    return template.render(
        questions=[_shown(asked, facts, settings, pieces, gold) for asked in sample]
    )


class _Pieces:
    """Takes facts apart into what a query has of them and what not."""

    def __init__(self, words: Words) -> None:
        self.split: Tokenizer = tokenizer(words)
        self._split_telling = tokenizer(words.model_copy(update={"stop_words": True}))

    def of(self, text: str, wanted: Set[str]) -> list[Piece]:
        pieces: list[Piece] = []
        for part in _WORD_OR_NOT.findall(text):
            kind = self._kind(part, wanted)
            if kind == "other" and pieces and pieces[-1].kind == "other":
                pieces[-1] = Piece(pieces[-1].text + part, kind)
            else:
                pieces.append(Piece(part, kind))
        return pieces

    def _kind(self, part: str, wanted: Set[str]) -> Literal["word", "stop word", "other"]:
        if wanted.isdisjoint(self.split(part)):
            return "other"
        return "word" if self._split_telling(part) else "stop word"


def _shown(
    asked: QuestionResults,
    facts: _Facts,
    settings: Retrieval,
    pieces: _Pieces,
    gold: Mapping[str, int],
) -> dict[str, Any]:
    gold_texts = asked.question["gold_facts"] or []
    return {
        **asked.question,
        "gold": [{"text": text, "where": _where(text, asked, gold)} for text in gold_texts],
        "asked_for": asked_for(asked.relations(settings)) if settings.match else None,
        "queries": list(_shown_queries(asked, facts, settings, pieces, set(gold_texts))),
    }


def _where(text: str, asked: QuestionResults, gold: Mapping[str, int]) -> str:
    """Where a gold fact was found, by the query that is for the right choice."""
    if text not in gold:
        return "not among the facts"
    if asked.per_choice and asked.question["answer"] is None:
        return "among the facts"
    fact_ids = asked.queries[asked.place_of_query(asked.question["answer"])]["fact_ids"]
    if gold[text] not in fact_ids:
        return "not found"
    return f"found at place {fact_ids.index(gold[text]) + 1}"


def _shown_queries(
    asked: QuestionResults,
    facts: _Facts,
    settings: Retrieval,
    pieces: _Pieces,
    gold_texts: Set[str],
) -> Iterator[dict[str, Any]]:
    answer = asked.question["answer"]
    for row, text in zip(asked.queries, asked.query_texts(settings), strict=True):
        choice = row["choice"]
        ending = "" if choice is None else asked.question["choices"][choice]
        wanted = set(pieces.split(text))
        is_right = choice is not None and choice == answer
        shown = zip(row["fact_ids"][:FACTS], row["scores"], strict=False)
        yield {
            "title": "Facts" if choice is None else f"Facts for {chr(ord('A') + choice)}: {ending}",
            "is_right": is_right,
            "is_open": choice is None or is_right,
            "facts": [
                _shown_fact(facts[fact_id], score, pieces, wanted, gold_texts)
                for fact_id, score in shown
            ],
            "unshown": len(row["fact_ids"][FACTS:]),
        }


def _shown_fact(
    fact: Mapping[str, Any],
    score: float,
    pieces: _Pieces,
    wanted: Set[str],
    gold_texts: Set[str],
) -> dict[str, Any]:
    notes = (fact["relation"], fact["source"], fact["origin"])
    return {
        "score": score,
        "pieces": pieces.of(short(fact["text"]), wanted),
        "is_gold": fact["text"] in gold_texts,
        "notes": [note for note in notes if note],
    }
