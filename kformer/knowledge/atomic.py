"""ATOMIC v4 (Sap et al., AAAI 2019): what people mean by everyday events, and what follows."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from kformer.errors import KformerError
from kformer.jsonl import parse_json
from kformer.section import Section
from kformer.tables import Row

# The archive also has `_all`, which is these three together, and `_all_agg`, the same once more
# with one row an event.
_FILES = ("v4_atomic_trn.csv", "v4_atomic_dev.csv", "v4_atomic_tst.csv")

# Names that Social IQA never uses, so that a fact is not found because of the name in it.
_NAMES = {"x": "Dana", "y": "Morgan", "z": "Terry"}


class Template(NamedTuple):
    """How an answer becomes a sentence: event, link, then one of the two, then the answer."""

    link: str
    before_state: str
    """For answers such as "tired", "a new car", "to go home"."""
    before_action: str
    """For answers such as "goes home"."""


TEMPLATES = {
    "oEffect": Template(". As a result,", "someone else", "someone else"),
    "oReact": Template(". As a result,", "others feel", "someone else"),
    "oWant": Template(". As a result,", "others want", "someone else"),
    "xAttr": Template(".", "Dana is seen as", "Dana"),
    "xEffect": Template(". As a result,", "Dana", "Dana"),
    "xIntent": Template(" because", "Dana wants", "Dana"),
    "xNeed": Template(". Before that,", "Dana needs", "Dana"),
    "xReact": Template(". As a result,", "Dana feels", "Dana"),
    "xWant": Template(". As a result,", "Dana wants", "Dana"),
}


class Atomic(Section):
    """The official archive, or as many of its train, dev and test files as are there."""

    source: Literal["atomic"] = "atomic"
    """Where the facts come from."""

    def read(self, folder: Path) -> Iterator[Row]:
        """Streams rows of the facts table but for their ids, one for each different sentence.

        Raises:
            KformerError: none of the files is there, or one is malformed.
        """
        paths = [path for name in _FILES for path in sorted(folder.rglob(name))]
        if not paths:
            raise KformerError(
                f"{folder}: no {_FILES[0]} below it, nor dev or tst; "
                "unpack the official ATOMIC archive there"
            )
        seen = set()
        for path in paths:
            for event, relation, answer in _annotations(path):
                text = to_sentence(event, relation, answer)
                if text is not None and text not in seen:
                    seen.add(text)
                    yield {
                        "text": text,
                        "relation": relation,
                        "source": self.source,
                        "origin": f"{event} | {relation}",
                    }


def to_sentence(event: str, relation: str, answer: str) -> str | None:
    """Writes an annotation as English, or returns None if the answer is "none"."""
    answer = _tidy(answer)
    if answer.casefold() in ("", "none"):
        return None
    event = _name_persons(_tidy(event))
    link = TEMPLATES[relation].link
    return f"{_capitalised(event)}{link} {_complete(relation, _lowered(answer))}."


def _annotations(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restval="", strict=True)
            missing = sorted({"event", *TEMPLATES} - set(rows.fieldnames or ()))
            if missing:
                raise KformerError(
                    f"{path}:1: no column {', '.join(missing)}; is it a file of ATOMIC v4?"
                )
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if not _tidy(row["event"]):
                    raise KformerError(f"{where}: the event is empty; write one or remove the row")
                for relation in TEMPLATES:
                    for answer in _answers(row[relation], f"{where}, column {relation}"):
                        yield row["event"], relation, answer
    except UnicodeDecodeError as error:
        raise KformerError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise KformerError(
            f"{path}:{rows.line_num}: not valid CSV ({error}); mend it or download it again"
        ) from None


def _answers(cell: str, where: str) -> list[str]:
    answers = parse_json(cell, where)
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise KformerError(f'{where}: expected a list of texts such as ["none"], not {cell!r:.60}')
    return answers


_EDGES = " \t.,;:!?`\"“”*"


def _tidy(text: str) -> str:
    text = " ".join(text.split()).strip(_EDGES)
    return re.sub(r" (?='(?:s|re|ve|ll|d|m)?\b|n't\b|[.,;:!?])", "", text)


_PERSON = re.compile(
    r"\b(?:p\w{0,3}r\w{0,2}s?\w{0,2}n ?(?P<full>[xyz])|(?<!-)(?P<bare>[xyz])(?!-))(?P<own>['’]?s\b)?"
    r"(?!\w)",
    re.IGNORECASE,
)


def _name_persons(text: str) -> str:
    def name(match: re.Match[str]) -> str:
        letter = match["full"] or match["bare"]
        return _NAMES[letter.lower()] + ("'s" if match["own"] else "")

    return _PERSON.sub(name, text)
