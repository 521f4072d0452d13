"""Scripts that put no spaces between words, in which a sentence would be taken for one word."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self
from unicodedata import category

_SCRIPTS = {
    "Han": "々〇〡-〩㐀-䶿一-鿿豈-\ufaff\U00020000-\U000323af",
    "Japanese": "ぁ-ゟ゠-ヺー-ヿㇰ-ㇿ\U0001b000-\U0001b16f",
    "Thai": "\u0e01-\u0e4f",
    "Lao": "\u0e80-\u0ecf\u0edc-\u0edf",
    "Burmese": "\u1000-\u103f\u104c-\u108f\u109a-\u109f\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f",
    "Khmer": "\u1780-\u17d3\u17d7\u17dc\u17dd",
    "Tai": "\u1950-\u1974\u1980-\u19c9\u1a20-\u1a7c\uaa80-\uaac2",
    "Javanese": "\ua980-\ua9c0",
    "Balinese": "\u1b00-\u1b4c",
}
UNSPACED = "".join(_SCRIPTS.values())
"""Their letters, to be used in a class of characters of a regular expression."""

_RUN = re.compile(f"[{UNSPACED}]+")
_NAMES = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_LONG_RUN = 5  # letters on average: longer than words between which someone has put spaces
_FEW = 0.1  # a smaller share of the texts may be so
_EXAMPLE = 40  # characters


@dataclass
class UnspacedTexts:
    """How many texts are in scripts without spaces between words, and are written so.

    Attributes:
        texts: how many there are in all.
        unspaced: how many of them are so.
        example: the first that is.
    """

    texts: int = 0
    unspaced: int = 0
    example: str = ""

    def counting(self, texts: Iterable[str]) -> Iterator[str]:
        """The same texts, counted."""
        for text in texts:
            self.texts += 1
            if not text.isascii() and is_unspaced(text):
                self.unspaced += 1
                self.example = self.example or text
            yield text

    @classmethod
    def total(cls, parts: Iterable["UnspacedTexts"]) -> Self:
        """Those of several shards together."""
        counted = list(parts)
        return cls(
            sum(each.texts for each in counted),
            sum(each.unspaced for each in counted),
            next((each.example for each in counted if each.example), ""),
        )

    def described(self, what: str) -> str | None:
        """Says so if at least a tenth is so; None otherwise.

        Args:
            what: the texts are, such as "facts".
        """
        if not self.unspaced or self.unspaced < _FEW * self.texts:
            return None
        short = " ".join(self.example.split())[:_EXAMPLE]
        return (
            f"{self.unspaced:,} of {self.texts:,} {what} without spaces between words "
            f"({_name_of_script(self.example)}: {short!r})"
        )


def is_unspaced(text: str) -> bool:
    """Whether a text is mostly in scripts without spaces, and nobody has put spaces into it."""
    runs = _RUN.findall(text)
    letters = sum(category(letter)[0] != "M" for run in runs for letter in run)
    return 2 * sum(map(len, runs)) > len(text) and letters >= _LONG_RUN * len(runs)


def _name_of_script(text: str) -> str:
    return max(_NAMES, key=lambda name: len(_NAMES[name].findall(text)))
