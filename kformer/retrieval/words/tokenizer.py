"""How text is taken apart into words."""

import re
from collections.abc import Callable

from kformer.retrieval.settings import Words

_WORD = re.compile(r"\w+")
Tokenizer = Callable[[str], list[str]]


def tokenizer(settings: Words) -> Tokenizer:
    """A function that takes a text apart into its words, lower-cased, in their order."""
    if not settings.stop_words and not settings.stemming:
        return _split
    stop_words = frozenset(_stop_words(settings.language)) if settings.stop_words else frozenset()
    known: dict[str, str] = {}  # the stem of a word, so that each is stemmed once

    if not settings.stemming:
        return lambda text: [word for word in _split(text) if word not in stop_words]

    from Stemmer import Stemmer

    stem = Stemmer(settings.language).stemWord

    def split(text: str) -> list[str]:
        words = [word for word in _split(text) if word not in stop_words]
        for word in words:
            if word not in known:
                known[word] = stem(word)
        return [known[word] for word in words]

    return split


def _split(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _stop_words(language: str) -> tuple[str, ...]:
    from bm25s import stopwords

    name = "EN" if language == "english" else language.upper()
    return getattr(stopwords, f"STOPWORDS_{name}")
