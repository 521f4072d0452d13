"""The words of file names that say a split, and those that only sound so."""

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from kformer.io.table_schemas import SPLITS

# What the splits are called, here and elsewhere.
SPLIT_OF = {name: name for name in SPLITS} | dict.fromkeys(("dev", "val", "valid"), "validation")
# Words that may also be topics: there are notes on training, too.
TOPICS = {"training": "train", "development": "validation", "testing": "test"}
# Words that say it where they are all of a name, or where another name says another split so.
ALONE = TOPICS | {"tests": "test"}
# Too short to say it, but for ``tr`` beside ``te``: both are languages, too.
SHORT = {"tr": "train", "te": "test", "va": "validation", "vl": "validation"}

_CONTENTS = ("set", "sets", "split", "data", "dataset", "questions", "qs", "examples", "items")
_SETS = ("set", "split", "data", "dataset")
# Words that say the split, whatever else is in the name.
PLAIN = (
    SPLIT_OF
    | {"trn": "train", "tst": "test"}
    | {f"{word}{more}": split for word, split in (SPLIT_OF | TOPICS).items() for more in _CONTENTS}
)

# Held out from training for validation, or for the test: nobody but the user knows.
_UNCLEAR = re.compile(rf"\b(?:h[eo]ld ?out|eval(?:uation)?)(?: ?(?:{'|'.join(_CONTENTS)})|s)?\b")

_WORD = re.compile(r"[^\W\d_]+")
_CASE_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z])(?!Ops)")  # but not in DevOps
_SOUND = r"(?:train(?:ing)?|test(?:ing)?|dev(?:elopment)?|valid(?:ation)?)"
_SOUNDS_LIKE = re.compile(rf"{_SOUND}.*|.*{_SOUND}(?:{'|'.join(_CONTENTS)}|s)?")
_OTHER_WORDS = re.compile(
    r"train(?:ers?|ees?|ed|able)"
    r"|test(?:ers?|ed|able|es|is|y|ament\w*|icle\w*|icular|if\w*|imon\w*|osterone\w*)"
    r"|valid(?:ity|ly|at(?:e|es|ed|ing|or|ors))|invalid"
    # developer, device, devil, devotion, DevOps
    r"|dev(?!elopment\Z)(?:el|ic|ia|il|io|is|o|al|an|as)\w*|redevelopment|(?:web|game)dev"
    r"|(?:re|con|over|di)?strain(?:s|ing)?|quatrains?"
    # contest, protest, and the superlatives of adjectives that end with t
    r"|(?:at|con|de|pro|blun|brigh|comple|cu|fain|fas|fat|fit|flat|grea|hot|la|ligh|mu|nea|poli"
    r"|quain|quie|remo|shor|sligh|smar|sof|stou|stric|swee|tigh|wet|whi)test(?:s|ing)?"
)


def words_of(part: str) -> list[str]:
    """The words of a file's or folder's name, in lower case: also ``["train", "questions"]`` for
    ``trainQuestions``."""
    return [word.lower() for word in _WORD.findall(_CASE_CHANGE.sub(" ", part))]


def plain_splits(words: list[str]) -> set[str]:
    """The splits that the words of a name say by themselves."""
    if len(words) == 1 and words[0] in ALONE:
        return {ALONE[words[0]]}
    found = {PLAIN[word] for word in words if word in PLAIN}
    before_set = {word for word, after in pairwise(words) if after in _SETS}
    return found | {TOPICS[word] for word in before_set if word in TOPICS}


def is_unclear(words: list[str]) -> bool:
    """Whether a name says that questions are held out, but not for what."""
    return bool(_UNCLEAR.search(" ".join(words)))


def is_test_alone(words: list[str]) -> bool:
    """Whether a name says test and nothing else, as ``test_set`` does."""
    return plain_splits(words) == {"test"} and all(
        word in PLAIN or word in ALONE or word in _CONTENTS for word in words
    )


def splits_in_like_names(names: Iterable[tuple[str, ...]]) -> Mapping[tuple[str, ...], str]:
    """The splits of names that differ from another one in a word for a split alone.

    As ``dataset_training`` beside ``dataset_dev``, and ``tr`` beside ``te``.

    Args:
        names: the words of each.
    """
    found: dict[tuple[str, ...], str] = {}
    for meanings in (PLAIN | ALONE, SHORT):
        alike: dict[tuple[str, ...], dict[tuple[str, ...], str]] = {}
        for words in names:
            for place, word in enumerate(words):
                if split := meanings.get(word):
                    others = (*words[:place], "*", *words[place + 1 :])
                    alike.setdefault(others, {})[words] = split
        for like in alike.values():
            if len(set(like.values())) > 1:
                found |= like
    return found


def sounding_like_split(words: list[str]) -> str | None:
    """A word that may be meant as a split's, with a split at its start or end: ``medqatest``.

    Not ``latest``, and not ``training`` before what it is about.
    """
    for word, after in pairwise([*words, ""]):
        is_topic = word in TOPICS and after and after not in _CONTENTS
        if not is_topic and _SOUNDS_LIKE.fullmatch(word) and not _OTHER_WORDS.fullmatch(word):
            return word
    return None
