"""How the tokens of a question, its choices and its facts become inputs, and what is cut.

The input of one choice is ``[CLS] context [SEP] Q: question [SEP] A: choice [SEP]`` with the
encoder's own special tokens, single separators as in the released Kformer, and empty parts left
out. Where an encoder has no such tokens, as decoders have not, the input starts with the token for
the beginning of a text, line breaks separate the parts, and the token for the end of a text comes
last; its state is scored. Facts that are given as text come first, as one more part.
What does not fit is cut in this order: facts from the end, then the context from its start, then
the question from its start; the choice is never cut.

All lengths may be single numbers or arrays, so that the inputs of a whole table are measured as
that of one question is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from kformer.errors import KformerError
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.plain_text import PlainText
from kformer.modeling.pretrained import longest_input

Tokens = Sequence[int] | NDArray[np.integer[Any]]
"""The ids of the tokens of a text: a list, or a part of a table that is mapped into memory."""
_NOTHING = np.zeros(0, np.int64)
Lengths = Any  # an int, or an array of integers; numpy computes with both


def question_part(question: str) -> str:
    """The text of a question in an input."""
    return f"Q: {question}"


def choice_part(choice: str) -> str:
    """The text of a choice in an input."""
    return f"A: {choice}"


class Parts(NamedTuple):
    """How many tokens of an input's parts there are, or are kept."""

    facts: Lengths
    context: Lengths
    question: Lengths


class InputForm:
    """Assembles the inputs of one model."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: KformerConfig) -> None:
        self._config = config
        start = _first_known(tokenizer.cls_token_id, tokenizer.bos_token_id)
        separator = _first_known(tokenizer.sep_token_id)
        separator = separator or PlainText(tokenizer).tokens_in_table(["\n"])[0]
        end = _first_known(tokenizer.sep_token_id, tokenizer.eos_token_id) or separator
        self._start, self._separator, self._end = map(joined, ([start], [separator], [end]))

    @property
    def own_tokens(self) -> set[int]:
        """The tokens around the parts of every input."""
        return set(joined([self._start, self._separator, self._end]).tolist())

    def needed(self, choice: Lengths) -> Lengths:
        """The tokens of an input that is nothing but a choice of this length."""
        return len(self._start) + choice + len(self._end)

    def too_long(self, choice: Lengths) -> Lengths:
        """Whether a choice of this length is longer than any input."""
        return self.needed(choice) > self._config.max_tokens

    def choice_error(self, text: str, choice: int) -> KformerError:
        """What is wrong with a choice that is too long, and what to do."""
        needed, longest = self.needed(choice), longest_input(self._config.encoder)
        advice = f"set it to {needed} or more (up to {longest}), or shorten the choice"
        if needed > longest:
            advice = f"the encoder reads no more than {longest}, so shorten the choice"
        return KformerError(
            f"model.max_tokens: the choice {text!r:.60} alone needs {needed} tokens, and an "
            f"input has {self._config.max_tokens}; {advice}"
        )

    def kept(self, parts: Parts, choice: Lengths) -> Parts:
        """How much of each part fits into an input beside a choice of this length."""
        room = self._config.max_tokens - self.needed(choice)
        kept = []
        for part in (parts.question, parts.context, parts.facts):
            fits = np.minimum(part, np.maximum(room - len(self._separator), 0))
            kept.append(fits)
            room = room - self._with_separator(fits)
        question, context, facts = kept
        return Parts(facts, context, question)

    def is_cut(self, parts: Parts, kept: Parts) -> Lengths:
        """Whether an input has lost a part of its question or context."""
        return (kept.question < parts.question) | (kept.context < parts.context)

    def length(self, kept: Parts, choice: Lengths) -> Lengths:
        """The tokens of an input."""
        return self.needed(choice) + sum(map(self._with_separator, kept))

    def inputs(
        self,
        facts: Sequence[Tokens],
        context: Tokens,
        question: Tokens,
        choices: Sequence[Tokens],
        kept: Parts,
    ) -> list[NDArray[np.int64]]:
        """The inputs of one question.

        Args:
            facts: those that are read as text, for each of the C choices.
            context: cut from its start.
            question: cut from its start.
            choices: C of them, none too long.
            kept: how much of the other parts is, C numbers each.
        """
        inputs = []
        for text, choice, *left in zip(facts, choices, *kept, strict=True):
            of_facts, of_context, of_question = left
            pieces: list[Tokens] = [self._start]
            for part in text[:of_facts], _end(context, of_context), _end(question, of_question):
                pieces += [part, self._separator] if len(part) else []
            inputs.append(joined([*pieces, choice, self._end]))
        return inputs

    def alone(self, text: Tokens) -> NDArray[np.int64]:
        """An input that is nothing but these tokens."""
        return joined([self._start, text, self._end])

    def _with_separator(self, part: Lengths) -> Lengths:
        return (part + len(self._separator)) * (part > 0)


def joined(parts: Sequence[Tokens]) -> NDArray[np.int64]:
    """The tokens of all parts in a row."""
    # Beside an empty list, which would be one of floats, there has to be something of integers.
    return np.concatenate([_NOTHING, *parts], dtype=np.int64, casting="unsafe")


def _end(tokens: Tokens, length: int) -> Tokens:
    return tokens[len(tokens) - length :]


def _first_known(*tokens: int | None) -> list[int]:
    return [token for token in tokens if token is not None][:1]
