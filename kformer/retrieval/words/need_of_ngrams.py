"""Refusing to search by words where texts have no spaces between them."""

from collections.abc import Iterable, Iterator

from kformer.errors import KformerError
from kformer.io.unspaced_scripts import UnspacedTexts
from kformer.retrieval.settings import Words


def check_unspaced(counted: UnspacedTexts, what: str, words: Words) -> None:
    """Raises KformerError if many texts have no spaces, and the settings ask for no n-grams.

    Args:
        counted: the texts.
        what: they are, such as "facts", for the message.
        words: the settings.
    """
    described = counted.described(what)
    if described and not words.ngrams:
        raise KformerError(
            f"retrieval.words: {described}, so that a sentence would be one word; set "
            "retrieval.words.ngrams: 2, or use retrieval.method: dense with a sentence encoder of "
            "that language"
        )


def refusing_unspaced(texts: Iterable[str], what: str, words: Words) -> Iterator[str]:
    """The same texts, checked after the last one as `check_unspaced` does."""
    counted = UnspacedTexts()
    yield from counted.counting(texts)
    check_unspaced(counted, what, words)
