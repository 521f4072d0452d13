"""How texts are tokenised into words."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from unicodedata import category

from kformer.io.unspaced_scripts import UNSPACED
from kformer.retrieval.settings import Words

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(f"[{UNSPACED}]+")
_UNSPACED_OR_NOT = re.compile(f"[{UNSPACED}]+|[^{UNSPACED}]+")
# Joiners, variation selectors and the Arabic tatweel: how the same letters are drawn. Points of
# Hebrew and Arabic: vowels that the reader knows, which one text writes and another does not.
_LEFT_OUT = re.compile(
    r"[\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"
    r"\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    r"\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]"
)
_SYMBOLS = 0x1F000  # from here on there are symbols and ideographs, and no marks
Tokenizer = Callable[[str], list[str]]


def tokenizer(settings: Words) -> Tokenizer:
    """A function that returns the words of a text, lower-cased, in their order.

    A letter keeps its marks, such as vowel signs of Hindi, Tamil or Thai, but for the vowel points
    of Arabic and Hebrew, which most texts leave out.
    """
    words = _words_and_ngrams(settings.ngrams) if settings.ngrams else _words
    if not settings.stop_words and not settings.stemming:
        return words
    stop_words = frozenset(_stop_words(settings.language)) if settings.stop_words else frozenset()
    if not settings.stemming:
        return lambda text: [word for word in words(text) if word not in stop_words]

    from Stemmer import Stemmer

    stem = Stemmer(settings.language).stemWord
    stems: dict[str, str] = {}  # so that each word is stemmed once

    def tokenise(text: str) -> list[str]:
        kept = [word for word in words(text) if word not in stop_words]
        for word in kept:
            if word not in stems:
                stems[word] = stem(word)
        return [stems[word] for word in kept]

    return tokenise


def tokenizer_without_stop_words(settings: Words) -> Tokenizer:
    """The same as `tokenizer`, but it always leaves out stop words."""
    return tokenizer(settings.model_copy(update={"stop_words": True}))


def _words(text: str) -> list[str]:
    if text.isascii():
        return _WORD.findall(text.lower())
    # The small letter of "İ" is "i" with another dot.
    words: list[str] = marked_words().findall(text.lower().replace("i\u0307", "i"))
    if not _LEFT_OUT.search(text):
        return words
    return [left for word in words if (left := _LEFT_OUT.sub("", word))]


@cache
def marked_words() -> re.Pattern[str]:
    """A pattern of words, each letter with its marks and joiners, which ``\\w`` does not know."""
    marks = [chr(code) for code in range(_SYMBOLS) if category(chr(code))[0] == "M"]
    frequent = "\u200c\u200d" + "".join(mark for mark in marks if mark < "\U00010000")
    others = "".join(mark for mark in marks if mark >= "\U00010000")
    # Looking for the others is slow, so it is first seen whether there may be one.
    more = rf"(?=[\U00010000-\U000e01ef])[{others}\U000e0100-\U000e01ef][\w{frequent}]*"
    return re.compile(rf"\w[\w{frequent}]*(?:{more})*")


def _words_and_ngrams(n: int) -> Tokenizer:
    """Words as they are, but n-grams of what is written in scripts without spaces.

    A letter with its marks counts as one character. What is shorter than n is one word.
    """

    def tokenise(text: str) -> list[str]:
        if text.isascii():
            return _words(text)
        parts = (part for word in _words(text) for part in parts_by_script(word))
        return [word for part in parts for word in ngrams(letters_of(part), n)]

    return tokenise


def parts_by_script(word: str) -> list[str]:
    """The parts of a word that are in scripts without spaces, and those that are not."""
    return _UNSPACED_OR_NOT.findall(word)


def letters_of(part: str) -> list[str]:
    """The letters of a part in a script without spaces, with their marks; another part whole."""
    if not _UNSPACED.match(part):
        return [part]
    letters: list[str] = []
    for character in part:
        if letters and category(character)[0] == "M":
            letters[-1] += character
        else:
            letters.append(character)
    return letters


def ngrams(letters: Sequence[str], n: int) -> list[str]:
    """All n letters in a row; all together, if there are fewer."""
    return ["".join(letters[i : i + n]) for i in range(max(len(letters) - n, 0) + 1)]


def _stop_words(language: str) -> tuple[str, ...]:
    from bm25s import stopwords

    name = "EN" if language == "english" else language.upper()
    return getattr(stopwords, f"STOPWORDS_{name}")
