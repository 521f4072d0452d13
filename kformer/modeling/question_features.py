"""Questions with their candidate facts, from tables of tokens that are mapped into memory.

Nothing is tokenised here. Of each question a few numbers are held; its inputs are assembled when
it is asked for.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from torch.utils.data import Dataset

from kformer.errors import KformerError
from kformer.io.ragged import NO_LISTS, Integers, Ragged, ranges
from kformer.io.token_tables import TokenTable, open_token_table
from kformer.modeling import Features, KformerProcessor
from kformer.modeling.candidate_facts import CandidateFacts
from kformer.modeling.input_form import Parts, Tokens
from kformer.modeling.processor import Scores

_REPORTED = ("question_id", "split", "choices", "answer")  # columns that an example has as they are


@dataclass(frozen=True)
class Example:
    """One tokenised question, with what its predictions are reported by.

    Attributes:
        choices: their texts.
        answer: the index of the right one; None where it is not known.
        candidates: the ids of its candidate facts: one list, or one per choice.
    """

    question_id: str
    split: str
    choices: Sequence[str]
    answer: int | None
    features: Features
    candidates: list[list[int]]


class TokenisedQuestions:
    """All questions of a table."""

    def __init__(
        self, processor: KformerProcessor, questions: Path, knowledge: tuple[Path, Path] | None
    ) -> None:
        """Opens the tables.

        Args:
            processor: of the model that will read them.
            questions: their tokens.
            knowledge: the tokens of the facts, and the retrieval table; None when the model reads
                no facts.

        Raises:
            KformerError: the model reads facts and is given none, its tokenizer is another one, or
                the tables do not belong together.
        """
        if processor.reads_facts and knowledge is None:
            raise KformerError(
                f"{questions}: a model with injection {processor.config.injection} reads facts; "
                "give the tokens of the facts and the retrieval table for these questions, too"
            )
        self.processor = processor
        self.table = open_token_table(questions, "question_tokens")
        self._check_tokenizer(self.table)
        self.context, self.question = self.table.tokens("context"), self.table.tokens("question")
        of_all = self.table.columns["choice_tokens"]
        self.choices = Ragged.of(of_all.values)
        self.first_choices: Integers = of_all.offsets.to_numpy()
        self._reported = {name: self.table.columns[name] for name in _REPORTED}
        self.facts: CandidateFacts | None = None
        if knowledge is not None:
            longest = processor.config.max_fact_tokens
            self.facts = CandidateFacts(self.table, *knowledge, longest)
            self._check_tokenizer(self.facts.table)

    def has(self, split: str) -> bool:
        """Whether there is a question of a split."""
        return bool(pc.any(pc.equal(self.table.columns["split"], split)).as_py())

    def split(self, name: str, limit: int | None = None) -> "Examples":
        """The questions of a split.

        Args:
            name: which questions.
            limit: at most so many; the draw is fixed, the same for every condition and seed.

        Raises:
            KformerError: an input cannot be made, or nothing was retrieved for a question.
        """
        rows = np.flatnonzero(pc.equal(self.table.columns["split"], name).to_numpy(False))
        if limit is not None and limit < len(rows):
            rows = rows[sorted(random.Random(0).sample(range(len(rows)), limit))]
        return Examples(self, rows)

    def answered(self, name: str, limit: int | None = None) -> "Examples":
        """The questions of a split, of which there is at least one, each with its right choice.

        Raises:
            KformerError: there is none, one has no answer, or as `split` raises it.
        """
        examples = self.split(name, limit)
        if len(examples) == 0:
            raise KformerError(
                f"{self.table.path}: there is no question of split {name!r}; give a table that has "
                "questions for train, validation and test"
            )
        answers = self.table.columns["answer"].take(examples.rows)
        for number in np.flatnonzero(answers.is_null().to_numpy(zero_copy_only=False))[:1]:
            raise KformerError(
                f"{self.table.path}: question {examples.question_ids[number]!r} of split {name!r} "
                "has no answer; give it one, or leave the question out"
            )
        return examples

    def example(self, row: int, kept: Parts, cut: int) -> Example:
        """The question in a row, of whose inputs so much is kept and so many were cut."""
        candidates = self.facts.of_question(row) if self.facts else []
        return Example(
            **{name: column[row].as_py() for name, column in self._reported.items()},
            features=self.features(row, candidates, self._scores(row), kept, cut),
            candidates=[ids.tolist() for ids in candidates],
        )

    def features(
        self,
        row: int,
        candidates: Sequence[Integers],
        scores: Sequence[Scores],
        kept: Parts,
        cut: int = 0,
    ) -> Features:
        """The inputs of a question with some facts: one list, or one for each choice."""
        first, end = self.first_choices[row : row + 2].tolist()
        choices = [self.choices[each] for each in range(first, end)]
        as_text = self.processor.facts_as_text
        most = self.processor.config.facts if as_text else None
        facts = [self.facts.tokens(ids[:most]) for ids in candidates] if self.facts else [NO_LISTS]
        texts: list[Tokens] = [each.values if as_text else [] for each in facts]
        texts = texts if len(texts) > 1 else texts * len(choices)
        question = self.context[row], self.question[row]
        inputs = self.processor.form.inputs(texts, *question, choices, kept)
        return Features(inputs, [] if as_text else facts, len(candidates) > 1, cut, scores)

    def _scores(self, row: int) -> Sequence[Scores]:
        """Those of its candidate facts, where the model reads them."""
        if self.facts is None or not self.processor.config.scores_in_keys:
            return ()
        return self.facts.scores_of_question(row)

    def _check_tokenizer(self, table: TokenTable) -> None:
        if table.tokenizer != self.processor.plain.identity:
            raise KformerError(
                f"{table.path}: made with another tokenizer than that of the model's encoder; run "
                "`kformer featurize` with this encoder"
            )


class Examples(Dataset[Example]):
    """Some of the questions of a table, measured but not yet assembled.

    Attributes:
        rows: where the questions are in their table.
        lengths: tokens of each question's longest choice.
        inputs_cut: how many inputs lost a part of their question or context.
    """

    def __init__(self, questions: TokenisedQuestions, rows: Integers) -> None:
        """Measures the inputs of the questions in these rows of their table.

        Raises:
            KformerError: a choice does not fit into an input, or retrieval has not found one list
                of facts for each question or each choice.
        """
        self._questions, self.rows = questions, rows
        form = questions.processor.form
        first = questions.first_choices[rows]
        counts = questions.first_choices[rows + 1] - first
        asked = np.repeat(np.arange(len(rows)), counts)  # by each of the R inputs
        inputs = ranges(first, counts)
        choices = questions.choices.lengths[inputs]
        self._check_choices(rows[asked], inputs, choices)
        parts = Parts(
            self._text_lengths(rows, counts),
            questions.context.lengths[rows][asked],
            questions.question.lengths[rows][asked],
        )
        kept = form.kept(parts, choices)
        self._kept, self._is_cut = kept, form.is_cut(parts, kept)
        # Of each question's inputs among the R, and where the last ones end.
        self._starts: Integers = np.concatenate([[0], counts.cumsum()])
        lengths = form.length(kept, choices)
        longest = np.maximum.reduceat(lengths, self._starts[:-1]) if len(rows) else lengths
        self.lengths: list[int] = longest.tolist()
        self.inputs_cut = int(self._is_cut.sum())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Example:
        row = int(self.rows[index])
        start, end = self._starts[index : index + 2]
        kept = Parts(*(part[start:end].tolist() for part in self._kept))
        return self._questions.example(row, kept, int(self._is_cut[start:end].sum()))

    @property
    def longest_first(self) -> list[int]:
        """The numbers of the questions, by their lengths."""
        return sorted(range(len(self)), key=lambda number: -self.lengths[number])

    @property
    def question_ids(self) -> list[str]:
        """The ids of the questions."""
        return self._questions.table.columns["question_id"].take(self.rows).to_pylist()

    @property
    def input_tokens(self) -> set[int]:
        """All tokens that can occur in an input: those of texts before they are cut, too."""
        questions, rows = self._questions, self.rows
        first = questions.first_choices
        inputs = ranges(first[rows], first[rows + 1] - first[rows])
        tables = (
            (questions.context, rows),
            (questions.question, rows),
            (questions.choices, inputs),
        )
        tokens = [table.heads(chosen, table.longest).values for table, chosen in tables]
        if questions.processor.facts_as_text:
            tokens.append(self._tokens_of_facts())
        return set(np.unique(np.concatenate(tokens)).tolist()) | questions.processor.form.own_tokens

    @property
    def fact_tokens(self) -> set[int]:
        """All tokens of all candidate facts that are read apart from the input."""
        if self._questions.processor.facts_as_text:
            return set()
        return set(self._tokens_of_facts().tolist())

    @property
    def scores(self) -> NDArray[np.float32]:
        """Those of all candidate facts."""
        facts = self._questions.facts
        return np.zeros(0, np.float32) if facts is None else facts.scores(self._lists(facts))

    def _tokens_of_facts(self) -> Integers:
        """All tokens of all candidate facts."""
        facts = self._questions.facts
        return np.zeros(0, np.int64) if facts is None else facts.tokens_of(self._lists(facts))

    def _lists(self, facts: CandidateFacts) -> Integers:
        """Which lists of facts belong to the questions."""
        first = facts.lists[self.rows]
        return ranges(first, facts.lists[self.rows + 1] - first)

    def _text_lengths(self, rows: Integers, counts: Integers) -> Integers:
        """How many tokens of facts are read as text in each of the R inputs."""
        facts, processor = self._questions.facts, self._questions.processor
        if facts is None:
            return np.zeros(counts.sum(), np.int64)
        first = facts.lists[rows]
        given = facts.lists[rows + 1] - first
        self._check_lists(rows, counts, given)
        if not processor.facts_as_text:
            return np.zeros(counts.sum(), np.int64)
        of_choice = np.where(given > 1, 1, 0)  # else all choices share a list
        lists = np.repeat(first, counts) + ranges(0 * first, counts) * np.repeat(of_choice, counts)
        return facts.joined_lengths(lists, processor.config.facts)

    def _id(self, row: int) -> str:
        return repr(self._questions.table.value("question_id", row))

    def _check_choices(self, rows: Integers, inputs: Integers, choices: Integers) -> None:
        form = self._questions.processor.form
        for long in np.flatnonzero(form.too_long(choices))[:1]:
            number = inputs[long] - self._questions.first_choices[rows[long]]
            text = self._questions.table.value("choices", rows[long])[number]
            error = form.choice_error(text, int(choices[long]))
            raise KformerError(f"question {self._id(rows[long])}: {error}")

    def _check_lists(self, rows: Integers, counts: Integers, given: Integers) -> None:
        for number in np.flatnonzero(given == 0)[:1]:
            raise KformerError(
                f"question {self._id(rows[number])} is not in the retrieval "
                "table; it belongs to other questions"
            )
        for number in np.flatnonzero((given > 1) & (given != counts))[:1]:
            raise KformerError(
                f"question {self._id(rows[number])}: facts: {given[number]} "
                f"lists for {counts[number]} choices; retrieve again"
            )
