"""How texts are tokenised into words."""

import re
from collections.abc import Callable

from kformer.retrieval.settings import Words

_WORD = re.compile(r"\w+")
Tokenizer = Callable[[str], list[str]]


def tokenizer(settings: Words) -> Tokenizer:
    """A function that returns the words of a text, lower-cased, in their order."""
    if not settings.stop_words and not settings.stemming:
        return _words
    stop_words = frozenset(_stop_words(settings.language)) if settings.stop_words else frozenset()
    if not settings.stemming:
        return lambda text: [word for word in _words(text) if word not in stop_words]

    from Stemmer import Stemmer

    stem = Stemmer(settings.language).stemWord
    stems: dict[str, str] = {}  # so that each word is stemmed once

    def tokenise(text: str) -> list[str]:
        words = [word for word in _words(text) if word not in stop_words]
        for word in words:
            if word not in stems:
                stems[word] = stem(word)
        return [stems[word] for word in words]

    return tokenise


def tokenizer_without_stop_words(settings: Words) -> Tokenizer:
    """The same as `tokenizer`, but it always leaves out stop words."""
    return tokenizer(settings.model_copy(update={"stop_words": True}))


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _stop_words(language: str) -> tuple[str, ...]:
    from bm25s import stopwords

    name = "EN" if language == "english" else language.upper()
    return getattr(stopwords, f"STOPWORDS_{name}")
