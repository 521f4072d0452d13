"""The one normal form of all texts that are read: what looks the same is the same text.

- Letters and their marks are composed (Unicode's NFC): "é" is one character.
- Ligatures and other forms of letters that only typesetting needs become the letters: "ﬁ" is "fi",
  full-width "Ａ" is "A", the joined forms of Arabic letters are the letters. What means something
  else than its letters stays, such as m², ½ or ™ (so this is not NFKC).
- Spaces of any width, and those that forbid a line break, become the common one; hyphens that
  forbid it, too; separators of lines and pages become line ends.
- What cannot be seen is removed: soft hyphens, control characters, byte-order marks, marks of the
  direction of writing. Joiners stay, which Persian and Indian words are written with, and
  zero-width spaces in scripts where they end words, such as Khmer.
- A word that was broken by a hyphen at a line's end is joined, see `_joined`.
"""

import re
from collections.abc import Iterator
from typing import Any
from unicodedata import normalize

_LINE_ENDS = r"\n\r\v\f\x85\u2028\u2029"
_SPACES = rf"[^\S{_LINE_ENDS}]*"
_LINE_END = rf"{_SPACES}(?:\r\n|[{_LINE_ENDS}]){_SPACES}(?![\s])"  # before another line of text
# Some programs that extract the text of PDFs write the last two for a hyphen at a line's end.
_SOFT_HYPHENS = r"\xad\x02\ufffe"
# Thai, Lao, Burmese, Khmer, Tai: a zero-width space may be between two of their words.
_SPACED_INVISIBLY = r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf]"
_INVISIBLE = (
    r"\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u2064\u2066-\u206f\ufeff\ufffe\uffff"
)
_ODD_SPACES = r"\x1c-\x1f\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
_ODD_LINE_ENDS = r"\v\f\x85\u2028\u2029"
_HYPHENS = r"\u2010\u2011"
_LONGEST_WORD = 40  # characters, of those beside a hyphen that are looked at


def _forms_of_letters() -> Iterator[tuple[str, str]]:
    """Forms of letters, each with the letters."""
    # Ligatures, Arabic forms, full-width letters and digits, half-width kana.
    ranges = "ĳ-ĳ Ĳ-Ĳ ﬀ-\ufdfb \ufe70-\ufefc ０-９ Ａ-Ｚ ａ-ｚ ･-ﾟ".split()
    for first, last in (each.split("-") for each in ranges):
        for form in map(chr, range(ord(first), ord(last) + 1)):
            letters = normalize("NFKC", form)
            if letters != form and not letters.startswith(" "):  # a mark on no letter
                yield form, letters


_LETTERS_OF = dict(_forms_of_letters())
_FORMS = "".join(_LETTERS_OF)
_IS_ODD = re.compile(f"[{_INVISIBLE}{_ODD_SPACES}{_ODD_LINE_ENDS}{_HYPHENS}{_FORMS}]")
_ODD = re.compile(
    rf"(?P<nothing>[{_SOFT_HYPHENS}]{_LINE_END})"
    rf"|(?P<word_end>(?<={_SPACED_INVISIBLY})\u200b+(?={_SPACED_INVISIBLY}))"
    rf"|(?P<invisible>[{_INVISIBLE}])"
    rf"|(?P<space>[{_ODD_SPACES}])|(?P<line_end>[{_ODD_LINE_ENDS}])|(?P<hyphen>[{_HYPHENS}])"
    rf"|(?P<letters>[{_FORMS}])"
)
_INSTEAD = {"word_end": "\u200b", "space": " ", "line_end": "\n", "hyphen": "-"}
_HYPHEN_AT_LINE_END = re.compile(rf"-{_LINE_END}(?=[^\W_])")
_LAST_WORD = re.compile(r"[\w-]*\Z")
_FIRST_WORD = re.compile(r"[\w-]*")
# First parts of compounds that are written with a hyphen, and what follows them without one.
_FIRST_PARTS = frozenset(
    "well self half ill long short high low full two three four five six seven eight nine".split()
)
_ENDINGS = frozenset("age ed en er est ful ing ish land less light ly ness teen ty way y".split())
_CONJUNCTIONS = frozenset("and or und oder bzw et ou".split())


def normal_form(text: str) -> str:
    """A text in its normal form, of which the normal form is the same.

    Texts of printable ASCII characters are returned as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    if _IS_ODD.search(text):  # ten times as fast as to replace what is not there
        text = _ODD.sub(_instead, text)
    return _HYPHEN_AT_LINE_END.sub(_joined, normalize("NFC", text))


def in_normal_form(value: Any) -> Any:
    """Data as JSON has it with all texts in normal form, also those that are keys.

    Raises:
        ValueError: two keys of an object have the same normal form, or it is nested too deeply.
    """
    try:
        return _in_normal_form(value)
    except RecursionError:
        raise ValueError("nested too deeply; flatten it") from None


def _in_normal_form(value: Any) -> Any:
    if isinstance(value, str):
        return normal_form(value)
    if isinstance(value, list):
        return [_in_normal_form(each) for each in value]
    if isinstance(value, dict):
        content = {_in_normal_form(key): _in_normal_form(each) for key, each in value.items()}
        if len(content) < len(value):
            twice = next(key for key in value if key != _in_normal_form(key))
            raise ValueError(f"the key {normal_form(twice)!r} is there twice; rename one")
        return content
    return value


def _instead(match: re.Match[str]) -> str:
    kind = match.lastgroup or ""
    return _LETTERS_OF[match[0]] if kind == "letters" else _INSTEAD.get(kind, "")


def _joined(match: re.Match[str]) -> str:
    """What takes the place of a hyphen and the line end after it: the hyphen, or nothing.

    The hyphen belongs to the word, and only the line end goes, where a letter beside it is no
    small one (Epstein-Barr, IL-6), where one of its sides is a single letter (x-ray), where the
    word has another hyphen (state-of-the-art), and after some first parts of compounds
    (well-known). Where the second word is "and" or the like, the hyphen stands for the rest of a
    word (pre- and postnatal). All other words are taken for broken ones (inflammation).
    """
    text = match.string
    before = _LAST_WORD.search(text, max(match.start() - _LONGEST_WORD, 0), match.start())
    after = _FIRST_WORD.match(text, match.end(), match.end() + _LONGEST_WORD)
    first, second = (found[0] if found else "" for found in (before, after))
    second = second.rstrip("-")  # which is at a line's end, too
    if not first[-1:].isalnum():
        return match[0]  # a dash
    if second in _CONJUNCTIONS:
        return "- "
    is_broken = (
        first[-1].islower()
        and second[:1].islower()
        and len(first) > 1
        and len(second) > 1
        and "-" not in first
        and "-" not in second
        and (first.lower() not in _FIRST_PARTS or second in _ENDINGS)
    )
    return "" if is_broken else "-"
