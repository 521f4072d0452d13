"""Tokens of texts of the data: what reads like a special token there is text, too."""

import re
from functools import cached_property

from transformers import PreTrainedTokenizerBase


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
        # Not verbose: it would warn of texts that are too long, which are cut later.
        ids: list[int] = self._tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=True, verbose=False
        )
        # A vocabulary with probabilities has special tokens among its words.
        is_plain = self._special.isdisjoint(ids) or not self._tokenizer.is_fast
        return ids if is_plain else self._in_parts(text)

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
