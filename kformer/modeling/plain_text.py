"""Tokens of texts of the data: what reads like a special token there is text, too."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from kformer.io.normal_form import normal_form

# Letters of several scripts in both cases, marks, digits, spaces, and what may be a special token:
# in how they take these apart, tokenizers of one vocabulary differ.
_PROBE = (
    "The Quick brown fox's naïve café, 1234.5 (x_1)  <s>[SEP]</s> isn't",
    "ΑΒΓ αβγ Ёлка привет שלום مرحبا नमस्ते 日本語カタカナ 한국어 ﬁﬀ e\u0301 ² ½ 🙂\n\tend",
)


class PlainText:
    """Tokenises texts without ever giving them a special token, such as that of ``[SEP]``.

    Only the token for the unknown, if there is one, may stand for a part of a text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        special = {number for number, token in added if token.special}
        self._special = special.union(tokenizer.all_special_ids) - {tokenizer.unk_token_id}

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, those of special tokens in it being tokens of their letters."""
        return self.tokens_of([text])[0]

    def tokens_of(self, texts: Sequence[str]) -> list[list[int]]:
        """The same for several texts, by all threads that the tokenizer has."""
        # Not verbose: it would warn of texts that are too long, which are cut later.
        tokenised: list[list[int]] = self._tokenizer(
            list(texts),
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]
        if not self._tokenizer.is_fast:
            return tokenised
        # A vocabulary with probabilities has special tokens among its words.
        return [
            ids if self._special.isdisjoint(ids) else self._in_parts(text)
            for text, ids in zip(texts, tokenised, strict=True)
        ]

    def tokens_in_table(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of texts as data has them: of their normal form; an empty one has none."""
        tokenised = self.tokens_of([normal_form(text) for text in texts])
        return [ids if text else [] for text, ids in zip(texts, tokenised, strict=True)]

    @cached_property
    def identity(self) -> str:
        """Stands for the tokens that texts get: a checksum of the vocabulary, and of what a few
        odd texts become.

        It is the same for a tokenizer and its copy in a trained model's folder, which has other
        files.
        """
        knows = {
            "vocabulary": self._tokenizer.get_vocab(),
            "special": sorted(self._special),
            "probe": self.tokens_of(_PROBE),
        }
        return hashlib.sha256(json.dumps(knows, sort_keys=True).encode()).hexdigest()

    def _in_parts(self, text: str) -> list[int]:
        """The same, each special token in the text tokenised in two parts."""
        backend = self._tokenizer.backend_tokenizer
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        pieces = [text]
        if backend.pre_tokenizer is not None:
            pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        parts = (part for piece in pieces for part in self._within_special.split(piece))
        return [token.id for part in parts for token in backend.model.tokenize(part)]

    @cached_property
    def _within_special(self) -> re.Pattern[str]:
        """Matches where a special token has been written to its first letter."""
        names = self._tokenizer.convert_ids_to_tokens(sorted(self._special))
        escaped = ((re.escape(name[0]), re.escape(name[1:])) for name in names if len(name) > 1)
        return re.compile("|".join(f"(?<={first})(?={rest})" for first, rest in escaped))
