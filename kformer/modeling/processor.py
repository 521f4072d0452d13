"""From a question, its choices and its facts to the tensors that the model reads.

The input of one choice is ``[CLS] context [SEP] Q: question [SEP] A: choice [SEP]`` with the
encoder's own special tokens, single separators as in the released Kformer, and empty parts left
out. Where an encoder has no such tokens, as decoders have not, the input starts with the token for
the beginning of a text, line breaks separate the parts, and the token for the end of a text comes
last; its state is scored. Facts that are given as text come first, as one more part. What reads
like a special token in a text is text.
What does not fit is cut in this order: facts from the end, then the context from its start, then
the question from its start; the choice is never cut.

Shapes: B batch, C choices, L tokens, M facts, T fact tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, PreTrainedTokenizerBase

from kformer.encoder_weights import check_vocabulary, loading
from kformer.errors import KformerError
from kformer.io.checksums import check_saved
from kformer.io.normal_form import normal_form
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.injections import find_injection
from kformer.modeling.plain_text import PlainText
from kformer.modeling.pretrained import load_tokenizer, longest_input


@dataclass(frozen=True)
class Features:
    """One question, tokenised.

    Attributes:
        choices: token ids of each choice's input, C lists.
        facts: token ids of each fact: M lists for facts per question, or C times M.
        facts_per_choice: which of the two it is.
        cut: how many of the C inputs lost a part of their question or context.
    """

    choices: list[list[int]]
    facts: list[list[list[int]]]
    facts_per_choice: bool
    cut: int

    @property
    def length(self) -> int:
        """Tokens of the longest choice."""
        return max(len(choice) for choice in self.choices)


class KformerProcessor:
    """Tokenises questions for one model.

    Attributes:
        reads_facts: whether the model reads facts at all.
        facts_as_text: whether it reads them as a part of its input.

    Raises:
        KformerError: the tokenizer has more tokens than the model embeds.

    Example:
        >>> processor = KformerProcessor.from_pretrained("results/demo/runs/kformer/seed-1/model")
        >>> features = processor("", "What is the pet of Zorbak?", ["cat", "dog"], ["..."])
        >>> model(**processor.collate([features]), output_facts=True)
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, config: KformerConfig) -> None:
        rows = config.encoder.vocab_size
        check_vocabulary(tokenizer, rows, "model.encoder", tokenizer.name_or_path)
        self.tokenizer = tokenizer
        self.config = config
        self._plain = PlainText(tokenizer)
        self._start = _first_known(tokenizer.cls_token_id, tokenizer.bos_token_id)
        self._separator = _first_known(tokenizer.sep_token_id) or self._tokens("\n")
        self._end = _first_known(tokenizer.sep_token_id, tokenizer.eos_token_id) or self._separator
        fact_input = find_injection(config.injection).fact_input
        self.reads_facts, self.facts_as_text = fact_input != "none", fact_input == "text"
        self._fact_tokens: dict[str, list[int]] = {}  # a fact is offered to many questions

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> "KformerProcessor":
        """The processor of a saved model.

        Raises:
            KformerError: this is no folder of a Kformer model, or it has no tokenizer, or a file
                of a run's model is not what training wrote.
        """
        check_saved(folder)
        if Path(folder).is_dir() and not (Path(folder) / "tokenizer_config.json").is_file():
            # transformers would make up a tokenizer without the tokens around each part.
            raise KformerError(f"{folder}: its tokenizer_config.json is missing; train it again")
        tokenizer = load_tokenizer(folder)
        with loading(folder, "model"):
            config = AutoConfig.from_pretrained(folder)
        if not isinstance(config, KformerConfig):
            raise KformerError(f"{folder}: this is a {config.model_type} model, not a kformer one")
        return cls(tokenizer, config)

    def save_pretrained(self, folder: str | Path) -> None:
        """Saves the tokenizer into the folder of a saved model, whose config holds the rest."""
        self.tokenizer.save_pretrained(folder)

    def __call__(
        self,
        context: str,
        question: str,
        choices: Sequence[str],
        facts: Sequence[str] | Sequence[Sequence[str]] = (),
    ) -> Features:
        """Tokenises one question.

        Args:
            context: may be empty.
            question: the question.
            choices: C of them.
            facts: the facts for the whole question, or C lists of them, one per choice; best
                first.

        Raises:
            KformerError: a choice alone is longer than ``max_tokens``, choices are no list of
                strings, or facts are neither such a list nor one for each choice.
        """
        if not choices or not _are_texts(choices):
            raise KformerError("choices: give a list of strings")
        lists = facts if isinstance(facts, Sequence) and not isinstance(facts, str) else [None]
        if not _are_texts(facts) and not all(_are_texts(each) for each in lists):
            raise KformerError("facts: give a list of strings, or such a list for each choice")
        per_choice = len(facts) > 0 and not isinstance(facts[0], str)
        if per_choice and len(facts) != len(choices):
            raise KformerError(
                f"facts: {len(facts)} lists for {len(choices)} choices; give a list per choice, "
                "or one flat list for the question"
            )
        given: Any = facts if per_choice else [facts]
        texts = [list(each) for each in given]
        heads = [self._as_text(each) if self.facts_as_text else [] for each in texts]
        context_ids, question_ids = self._tokens(context), self._tokens(f"Q: {question}")
        inputs, cut = [], 0
        for position, choice in enumerate(choices):
            head = heads[position if per_choice else 0]
            choice_ids = self._tokens(f"A: {choice}")
            self._check_length(choice, len(self._start) + len(choice_ids) + len(self._end))
            ids, was_cut = self._input(head, context_ids, question_ids, choice_ids)
            inputs.append(ids)
            cut += was_cut
        fact_ids = [] if self.facts_as_text else [self._facts(each) for each in texts]
        return Features(inputs, fact_ids, per_choice, cut)

    def collate(self, batch: Sequence[Features], labels: Sequence[int] | None = None) -> Any:
        """Pads questions to one batch: the keyword arguments of the model's ``forward``."""
        choices = max(len(each.choices) for each in batch)
        input_ids = self._pad([_filled(each.choices, choices) for each in batch])
        tensors = {"input_ids": input_ids[0], "attention_mask": input_ids[1]}
        if any(fact for each in batch for facts in each.facts for fact in facts):
            if any(each.facts_per_choice for each in batch):
                facts, mask = self._pad_per_choice(batch, choices)
            else:
                facts, mask = self._pad_facts([each.facts[0] for each in batch])
            tensors |= {"fact_input_ids": facts, "fact_attention_mask": mask}
        if labels is not None:
            tensors["labels"] = torch.tensor(labels)
        return tensors

    def _tokens(self, text: str) -> list[int]:
        return self._plain.tokens(normal_form(text)) if text else []

    def _as_text(self, texts: Sequence[str]) -> list[int]:
        """The tokens of the first N facts in one list, each fact cut to ``max_fact_tokens``."""
        return [token for fact in self._facts(texts[: self.config.facts]) for token in fact]

    def _facts(self, texts: Sequence[str]) -> list[list[int]]:
        for text in texts:
            if text not in self._fact_tokens:
                self._fact_tokens[text] = self._tokens(text)[: self.config.max_fact_tokens]
        return [self._fact_tokens[text] for text in texts]

    def _input(
        self, facts: list[int], context: list[int], question: list[int], choice: list[int]
    ) -> tuple[list[int], bool]:
        """One choice's token ids, cut to fit, and whether context or question was cut."""
        room = self.config.max_tokens - len(self._start) - len(choice) - len(self._end)
        kept_parts = []
        for part, keep_end in ((question, True), (context, True), (facts, False)):
            fits = min(len(part), max(room - len(self._separator), 0))
            kept_parts.append(part[len(part) - fits :] if keep_end else part[:fits])
            room -= fits + len(self._separator) if fits else 0
        kept_question, kept_context, kept_facts = kept_parts
        ids = list(self._start)
        for part in (kept_facts, kept_context, kept_question):
            if part:
                ids += part + self._separator
        ids += choice + self._end
        was_cut = len(kept_question) < len(question) or len(kept_context) < len(context)
        return ids, was_cut

    def _check_length(self, choice: str, needed: int) -> None:
        if needed <= self.config.max_tokens:
            return
        longest = longest_input(self.config.encoder)
        advice = f"set it to {needed} or more (up to {longest}), or shorten the choice"
        if needed > longest:
            advice = f"the encoder reads no more than {longest}, so shorten the choice"
        raise KformerError(
            f"model.max_tokens: the choice {choice!r:.60} alone needs {needed} tokens, and an "
            f"input has {self.config.max_tokens}; {advice}"
        )

    def _pad(self, batch: list[list[list[int]]]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (B, K, longest) of K lists a question."""
        padding = (
            self.tokenizer.pad_token_id or 0
        )  # decoders have none: any id will do, it is masked
        width = max((len(ids) for row in batch for ids in row), default=0)
        ids = [[each + [padding] * (width - len(each)) for each in row] for row in batch]
        mask = [[[1] * len(each) + [0] * (width - len(each)) for each in row] for row in batch]
        return torch.tensor(ids), torch.tensor(mask)

    def _pad_facts(self, batch: list[list[list[int]]]) -> tuple[Tensor, Tensor]:
        most = max(len(row) for row in batch)
        return self._pad([_filled(row, most) for row in batch])

    def _pad_per_choice(self, batch: Sequence[Features], choices: int) -> tuple[Tensor, Tensor]:
        rows = []
        for each in batch:
            given = each.facts if each.facts_per_choice else each.facts * len(each.choices)
            rows += [*given, *([[]] * (choices - len(given)))]
        ids, mask = self._pad_facts(rows)
        shape = (len(batch), choices, *ids.shape[1:])
        return ids.view(shape), mask.view(shape)


def _are_texts(texts: Any) -> bool:
    """Whether these are strings in a list or the like."""
    is_list = isinstance(texts, Sequence) and not isinstance(texts, str)
    return is_list and all(isinstance(text, str) for text in texts)


def _first_known(*tokens: int | None) -> list[int]:
    return [token for token in tokens if token is not None][:1]


def _filled(rows: list[list[int]], count: int) -> list[list[int]]:
    return rows + [[]] * (count - len(rows))
