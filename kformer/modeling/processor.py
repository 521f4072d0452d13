"""From a question, its choices and its facts to the tensors that the model reads.

What an input is made of, and what of it is cut, is in `kformer.modeling.input_form`. What reads
like a special token in a text is text.

Shapes: B batch, C choices, L tokens, M facts, T fact tokens, U distinct facts of a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoConfig, PreTrainedTokenizerBase

from kformer.encoder_weights import check_vocabulary, loading
from kformer.errors import KformerError
from kformer.io.checksums import check_saved
from kformer.io.ragged import Ragged
from kformer.modeling.configuration import KformerConfig
from kformer.modeling.injections import find_injection
from kformer.modeling.input_form import InputForm, Parts, Tokens, choice_part, joined, question_part
from kformer.modeling.plain_text import PlainText
from kformer.modeling.pretrained import load_tokenizer

Facts = Sequence[Tokens] | Ragged
Scores = Sequence[float] | NDArray[np.float32]

_TOKEN = np.dtype(np.int32)


@dataclass(frozen=True)
class Features:
    """One question, tokenised.

    Attributes:
        choices: token ids of each choice's input, C of them: lists where texts were tokenised,
            arrays where their tokens were read from tables.
        facts: token ids of each fact, in lists or as `Ragged`: M for facts per question, or C times
            M.
        facts_per_choice: which of the two it is.
        cut: how many of the C inputs lost a part of their question or context.
        scores: of each fact, in lists as ``facts`` are; none where the model reads none.
    """

    choices: Sequence[Tokens]
    facts: Sequence[Facts]
    facts_per_choice: bool
    cut: int
    scores: Sequence[Scores] = ()

    @property
    def length(self) -> int:
        """Tokens of the longest choice."""
        return max(len(choice) for choice in self.choices)


class KformerProcessor:
    """Tokenises questions for one model.

    Attributes:
        plain: tokenises texts.
        form: makes inputs of their tokens.
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
        self.plain = PlainText(tokenizer)
        self.form = InputForm(tokenizer, config)
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
        scores: Sequence[float] | Sequence[Sequence[float]] = (),
    ) -> Features:
        """Tokenises one question.

        Args:
            context: may be empty.
            question: the question.
            choices: C of them.
            facts: the facts for the whole question, or C lists of them, one per choice; best
                first.
            scores: those that retrieval gave the facts, in lists alike; only read by a model with
                ``scores_in_keys``.

        Raises:
            KformerError: a choice alone is longer than ``max_tokens``, choices are no list of
                strings, facts are neither such a list nor one for each choice, or the model reads
                scores and there is not one for each fact.
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
        scored = self._scores(given, scores if per_choice else [scores])
        heads: list[Tokens] = [[]] * len(given)
        if self.facts_as_text:
            heads = [joined(self._facts(each[: self.config.facts])) for each in given]
            facts_apart = []
        else:
            facts_apart = [self._facts(each) for each in given]
        texts = heads if per_choice else heads * len(choices)
        context_ids, question_ids = self.plain.tokens_in_table([context, question_part(question)])
        choice_ids = self._choices(choices)
        parts = Parts(_lengths(texts), len(context_ids), len(question_ids))
        kept = self.form.kept(parts, _lengths(choice_ids))
        inputs = self.form.inputs(texts, context_ids, question_ids, choice_ids, kept)
        cut = int(self.form.is_cut(parts, kept).sum())
        return Features([ids.tolist() for ids in inputs], facts_apart, per_choice, cut, scored)

    def collate(self, batch: Sequence[Features], labels: Sequence[int] | None = None) -> Any:
        """Pads questions to one batch: the keyword arguments of the model's ``forward``.

        Each of the U distinct facts is there once: ``fact_input_ids`` and ``fact_attention_mask``
        are (U, T), and ``fact_positions``, (B, M) or (B, C, M), says which of them each candidate
        is, -1 for none; ``fact_scores`` are the scores of these. ``choice_rows`` are the rows of
        choices, where some are padding.
        """
        choices = max(len(each.choices) for each in batch)
        rows = [ids for each in batch for ids in _filled(each.choices, choices)]
        ids, mask = self._padded(Ragged.of_lists(rows))
        shape = (len(batch), choices, -1)
        tensors = {"input_ids": ids.view(shape), "attention_mask": mask.view(shape)}
        is_choice = torch.tensor([len(row) > 0 for row in rows])
        if not is_choice.all():
            tensors["choice_rows"] = is_choice.nonzero().flatten()
        facts, positions = _distinct(_lists_of([each.facts for each in batch], batch, choices))
        if len(facts):
            if self.config.fact_encoder == "layers":
                facts = Ragged.of_lists([self.form.alone(fact) for fact in facts])
            tensors["fact_input_ids"], tensors["fact_attention_mask"] = self._padded(facts)
            per_choice = any(each.facts_per_choice for each in batch)
            of_each = shape if per_choice else shape[::2]
            tensors["fact_positions"] = torch.from_numpy(positions).view(of_each)
            if self.config.scores_in_keys:
                scores = _lists_of([each.scores for each in batch], batch, choices)
                padded = torch.zeros(positions.shape)
                for row, of_row in zip(padded, scores, strict=True):
                    row[: len(of_row)] = torch.as_tensor(of_row)
                tensors["fact_scores"] = padded.view(of_each)
        if labels is not None:
            tensors["labels"] = torch.tensor(labels)
        return tensors

    def _choices(self, texts: Sequence[str]) -> list[list[int]]:
        tokenised = self.plain.tokens_in_table([choice_part(text) for text in texts])
        for text, ids in zip(texts, tokenised, strict=True):
            if self.form.too_long(len(ids)):
                raise self.form.choice_error(text, len(ids))
        return tokenised

    def _facts(self, texts: Sequence[str]) -> list[list[int]]:
        new = [text for text in dict.fromkeys(texts) if text not in self._fact_tokens]
        if new:
            for text, ids in zip(new, self.plain.tokens_in_table(new), strict=True):
                self._fact_tokens[text] = ids[: self.config.max_fact_tokens]
        return [self._fact_tokens[text] for text in texts]

    def _scores(self, facts: Sequence[Any], scores: Sequence[Any]) -> Sequence[Scores]:
        """The scores of lists of facts, which the model reads."""
        if not self.config.scores_in_keys:
            return ()
        if [*map(len, scores)] != [*map(len, facts)]:
            raise KformerError(
                "scores: this model reads them; give one for each fact, in lists alike"
            )
        return scores

    def _padded(self, rows: Ragged) -> tuple[Tensor, Tensor]:
        """Token ids and mask (R, longest) of R lists."""
        mask = np.arange(rows.longest) < rows.lengths[:, None]
        # Decoders have no padding: any id will do, it is masked.
        ids = np.full(mask.shape, self.tokenizer.pad_token_id or 0)
        ids[mask] = rows.values
        return torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64))


def _lists_of(of_each: Sequence[Any], batch: Sequence[Features], choices: int) -> list[Any]:
    """What candidates have, for each question, or each choice where those of one question differ.

    Args:
        of_each: of each question of the batch, one list or one for each choice.
    """
    if not any(each.facts_per_choice for each in batch):
        return [values for lists in of_each for values in lists]
    found: list[Any] = []
    for lists, each in zip(of_each, batch, strict=True):
        given = lists if each.facts_per_choice else [*lists] * len(each.choices)
        found += _filled(given, choices)
    return found


def _distinct(lists: Sequence[Facts]) -> tuple[Ragged, NDArray[np.int64]]:
    """The U distinct facts of some lists, and which of them each is, (lists, M), -1 for none."""
    positions = np.full((len(lists), max(map(len, lists), default=0)), -1)
    numbers: dict[bytes, int] = {}  # of facts, by their tokens
    for row, facts in enumerate(lists):
        ragged = facts if isinstance(facts, Ragged) else Ragged.of_lists(facts)
        tokens = ragged.values.astype(_TOKEN, copy=False).tobytes()
        bounds = (_TOKEN.itemsize * ragged.offsets).tolist()
        for column, (start, end) in enumerate(pairwise(bounds)):
            if start < end:
                positions[row, column] = numbers.setdefault(tokens[start:end], len(numbers))
    sizes = np.array([0, *map(len, numbers)]) // _TOKEN.itemsize
    return Ragged(np.frombuffer(b"".join(numbers), _TOKEN), sizes.cumsum()), positions


def _are_texts(texts: Any) -> bool:
    """Whether these are strings in a list or the like."""
    is_list = isinstance(texts, Sequence) and not isinstance(texts, str)
    return is_list and all(isinstance(text, str) for text in texts)


def _lengths(rows: Sequence[Tokens]) -> NDArray[np.int64]:
    return np.array([len(row) for row in rows])


def _filled(rows: Sequence[Any], count: int) -> list[Any]:
    return [*rows, *([[]] * (count - len(rows)))]
