"""A page of examples: some questions and the facts that were found for them."""

import random
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, Literal, NamedTuple

from kformer.io.pages import page_template
from kformer.io.table_schemas import ALL_SPLITS
from kformer.io.tables import Row, read_rows
from kformer.retrieval.matching_relations import Relations
from kformer.retrieval.quality.corpus import Corpus
from kformer.retrieval.quality.question_results import QuestionResults
from kformer.retrieval.settings import Retrieval
from kformer.retrieval.words.tokenizer import (
    letters_of,
    marked_words,
    ngrams,
    parts_by_script,
    tokenizer,
    tokenizer_without_stop_words,
)

QUESTIONS = 20
FACTS = 10  # shown of a query
LONGEST = 1200  # characters of a text

_RNG_SEED = 0
# Control characters, also those that change the direction of the text after them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_LONGEST_WORD = 20  # characters; where a text is cut, shorter words are left out whole


def short(text: str, longest: int = LONGEST) -> str:
    """Text of the data for display: on one line, without control characters, and cut."""
    text = _CONTROL.sub("", " ".join(text.split()))
    if len(text) <= longest:
        return text
    end = text.rfind(" ", longest - _LONGEST_WORD, longest + 1)
    return f"{text[: end if end > 0 else longest]} …"


def names_of(relations: Relations | None) -> str:
    """The names of relations; None = any."""
    return "any" if relations is None else ", ".join(sorted(map(str, relations)))


def draw(questions: Path) -> frozenset[int]:
    """Draws up to `QUESTIONS` rows of the questions table, the same for every retrieval.

    All splits give the same number, if they have so many; within a split labelled questions go
    first.
    """
    rows: dict[str, tuple[list[int], list[int]]] = {split: ([], []) for split in ALL_SPLITS}
    for row, question in enumerate(read_rows(questions, "questions")):
        rows[question["split"]][question["answer"] is None].append(row)
    rng = random.Random(_RNG_SEED)
    queues = [
        rng.sample(labelled, len(labelled)) + rng.sample(unlabelled, len(unlabelled))
        for labelled, unlabelled in rows.values()
    ]
    in_turn = [row for turn in zip_longest(*queues) for row in turn if row is not None]
    return frozenset(in_turn[:QUESTIONS])


def render_sample(
    sample: Sequence[QuestionResults],
    corpus: Corpus,
    settings: Retrieval,
    gold: Mapping[str, Sequence[int]],
) -> str:
    """The page as HTML, self-contained; all data are shown as text, `short`.

    Args:
        sample: the questions to show, with their results.
        corpus: the facts that were searched.
        settings: of the retrieval.
        gold: the ids of gold facts by their texts, of those that are in the corpus.
    """
    template = page_template("kformer.retrieval.quality", "sample.html", short=short)
    shown = (row["fact_ids"][:FACTS] for results in sample for row in results.rows)
    ids = sorted({fact_id for fact_ids in shown for fact_id in fact_ids})
    facts = dict(zip(ids, corpus.rows(ids), strict=True))
    renderer = _Renderer(facts, settings, gold)
    return template.render(questions=[renderer.question(results) for results in sample])


class Piece(NamedTuple):
    """A part of a fact's text; all together are the text."""

    text: str
    kind: Literal["word", "stop word", "other"]
    """Whether the query has that word."""


class _Renderer:
    """Turns questions into what the template needs."""

    def __init__(
        self, facts: Mapping[int, Row], settings: Retrieval, gold: Mapping[str, Sequence[int]]
    ) -> None:
        """Takes the facts to show by their ids, and the ids of gold facts by their texts."""
        self._facts, self._gold = facts, gold
        self._match, self._ngrams = settings.match is not None, settings.words.ngrams
        self._tokenise = tokenizer(settings.words)
        self._tokenise_without_stop_words = tokenizer_without_stop_words(settings.words)

    def question(self, results: QuestionResults) -> dict[str, Any]:
        gold_texts = results.question["gold_facts"] or []
        return {
            **results.question,
            "gold": [{"text": text, "rank": self._rank(text, results)} for text in gold_texts],
            "relations": names_of(results.query.relations) if self._match else None,
            "queries": list(self._queries(results, set(gold_texts))),
        }

    def _rank(self, text: str, results: QuestionResults) -> str:
        """At which rank a gold fact was found, by the query for the right choice."""
        if text not in self._gold:
            return "not among the facts"
        answer = results.question["answer"]
        if results.per_choice and answer is None:
            return "among the facts"
        fact_ids = results.rows[results.row_number(answer)]["fact_ids"]
        ranks = [rank for rank, fact in enumerate(fact_ids, 1) if fact in self._gold[text]]
        if not ranks:
            return "not found"
        return f"found at rank {ranks[0]}"

    def _queries(self, results: QuestionResults, gold_texts: Set[str]) -> Iterator[dict[str, Any]]:
        answer, choices = results.question["answer"], results.question["choices"]
        for row, text in zip(results.rows, results.query.texts, strict=True):
            choice = row["choice"]
            is_right = choice is not None and choice == answer
            title = "Facts"
            if choice is not None:
                title = f"Facts for {chr(ord('A') + choice)}: {choices[choice]}"
            words = set(self._tokenise(text))
            yield {
                "title": title,
                "is_right": is_right,
                "is_open": choice is None or is_right,
                "facts": [
                    self._fact(self._facts[fact_id], score, words, gold_texts)
                    for fact_id, score in zip(row["fact_ids"][:FACTS], row["scores"], strict=False)
                ],
                "more": len(row["fact_ids"][FACTS:]),
            }

    def _fact(
        self, fact: Row, score: float, words: Set[str], gold_texts: Set[str]
    ) -> dict[str, Any]:
        notes = (fact["relation"], fact["source"], fact["origin"])
        return {
            "score": score,
            "pieces": self._pieces(short(fact["text"]), words),
            "is_gold": fact["text"] in gold_texts,
            "notes": [note for note in notes if note],
        }

    def _pieces(self, text: str, words: Set[str]) -> list[Piece]:
        pieces: list[Piece] = []
        for part, kind in self._parts(text, words):
            if kind == "other" and pieces and pieces[-1].kind == "other":
                pieces[-1] = Piece(pieces[-1].text + part, kind)
            else:
                pieces.append(Piece(part, kind))
        return pieces

    def _parts(self, text: str, words: Set[str]) -> Iterator[Piece]:
        """Words and what is between them; of n-grams those parts that the query shares."""
        for part in re.findall(rf"{marked_words().pattern}|.", text):
            if not self._ngrams or part.isascii():
                yield Piece(part, self._kind(part, words))
                continue
            for letters in map(letters_of, parts_by_script(part)):
                if len(letters) == 1:
                    yield Piece(letters[0], self._kind(letters[0], words))
                    continue
                shared: set[int] = set()
                for i, ngram in enumerate(ngrams(letters, self._ngrams)):
                    if not words.isdisjoint(self._tokenise(ngram)):
                        shared.update(range(i, i + self._ngrams))
                for is_shared, run in groupby(range(len(letters)), shared.__contains__):
                    yield Piece("".join(letters[i] for i in run), "word" if is_shared else "other")

    def _kind(self, part: str, words: Set[str]) -> Literal["word", "stop word", "other"]:
        if words.isdisjoint(self._tokenise(part)):
            return "other"
        return "word" if self._tokenise_without_stop_words(part) else "stop word"
