"""ATOMIC v4 (Sap et al., AAAI 2019): what people mean by everyday events, and what follows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from kformer.errors import KformerError
from kformer.io.text_files import find_files, parse_json
from kformer.knowledge.reader import Fact
from kformer.knowledge.triples import Triples

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


ATOMIC_TEMPLATES = {
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


class Atomic(Triples):
    """The official archive, or as many of its train, dev and test files as are there."""

    source: Literal["atomic"] = "atomic"
    """Where the facts come from."""

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the facts; answers that say "none" are skipped.

        Raises:
            KformerError: none of the files is there, or one is malformed.
        """
        for path in find_files(folder, _FILES, "the official ATOMIC archive"):
            for event, relation, answer in _annotations(path):
                text = to_text(event, relation, answer, self)
                if text is None:
                    counts["none"] += 1
                else:
                    yield self.of_triple(text, relation, event)


def to_text(event: str, relation: str, answer: str, templates: Triples) -> str | None:
    """Writes an annotation as English, or returns None if event or answer say nothing.

    ``templates`` says how for relations that the user has given a template for, and for those
    that are not in `ATOMIC_TEMPLATES`.
    """
    event, answer = _tidy(event), _tidy(answer)
    if not event or answer.casefold() in ("", "none"):
        return None
    of_templates = relation not in ATOMIC_TEMPLATES or relation in templates.templates
    if of_templates or templates.written_as == "tail":
        return templates.text(_named(event), relation, _named(answer))
    answer = _FILLER.sub("", answer.lower() if answer.isupper() else answer[0].lower() + answer[1:])
    event = _named(event)
    link = ATOMIC_TEMPLATES[relation].link
    return f"{event[0].upper()}{event[1:]}{link} {_complete(relation, _named(answer))}."


def _annotations(path: Path) -> Iterator[tuple[str, str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restval="", strict=True)
            missing = sorted({"event", *ATOMIC_TEMPLATES} - set(rows.fieldnames or ()))
            if missing:
                raise KformerError(
                    f"{path}:1: no column {', '.join(missing)}; is it a file of ATOMIC v4?"
                )
            for row in rows:
                where = f"{path}:{rows.line_num}"
                if not _tidy(row["event"]):
                    raise KformerError(f"{where}: the event is empty; write one or remove the row")
                for relation in ATOMIC_TEMPLATES:
                    for answer in _answers(row[relation], f"{where}, column {relation}"):
                        yield row["event"], relation, answer
    except UnicodeDecodeError as error:
        raise KformerError(f"{path}: not UTF-8 ({error.reason}); save it as UTF-8") from None
    except csv.Error as error:
        raise KformerError(
            f"{path}:{rows.line_num}: not valid CSV ({error}); correct it or download it again"
        ) from None


def _answers(cell: str, where: str) -> list[str]:
    answers = parse_json(cell, where)
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise KformerError(f'{where}: expected a list of texts such as ["none"], not {cell!r:.60}')
    return answers


def _tidy(text: str) -> str:
    text = re.sub(r'["“”`*]+', "", text.replace("\u2019", "'"))
    text = " ".join(text.split()).strip(" .,;:!?")
    text = re.sub(r" (?='(?:s|re|ve|ll|d|m)\b|n't\b|[.,;:!?])", "", text)  # "one 's own , is n't"
    return re.sub(r"(underst|comm)(?=Person[XYZ])", r"\1and ", text)  # a typo in ATOMIC


# PersonX, person y's, personZs, X's; also perosnx, pesony and the like, but not the X of x-ray.
_PERSON = re.compile(
    r"(?<![-\w])(?:p[aerso]{2,5}n+ ?)?(?P<letter>[xyz])(?P<own>'?s)?(?![-\w])", re.IGNORECASE
)
_BLANK_OF_A_KIND = re.compile(
    r"((?:\b(?:the|this|that|every|some|another|any|no|his|her|their|my|your)|'s) )_+",
    re.IGNORECASE,
)
_BLANK = re.compile(r"(?:\ban? )?_+", re.IGNORECASE)


def _named(text: str) -> str:
    """Replaces the persons by names and the blanks by "something"."""
    text = _PERSON.sub(lambda m: _NAMES[m["letter"].lower()] + ("'s" if m["own"] else ""), text)
    return _BLANK.sub("something", _BLANK_OF_A_KIND.sub(r"\1thing", text))


# The verbs that answers most often begin with.
_VERBS = """
    accept achieve acquire admire agree answer apologize apply appreciate approach argue arrange
    arrive ask attend avoid bake be beat become borrow break bring brush build buy call carry catch
    celebrate change chat check cheer choose clean close collect come comfort communicate compete
    complain complete compliment confront congratulate consider continue cook create cry cut dance
    decide defend determine develop discuss do donate drink drive drop earn eat encourage end enjoy
    enroll enter escape evaluate examine exchange explain explore express fall feed feel fight
    figure fill find finish fix follow forget gain gather get give go grab graduate greet grow hang
    have hear help hide hire hit hold hug ignore impress improve inform interact introduce invite
    join jump keep kiss know laugh lay learn leave let lift listen live locate look lose maintain
    make marry meet move need observe obtain offer open order own pack participate pass pay perform
    pick place plan play post pour practice praise pray prepare protect prove provide pull purchase
    punish push put raise reach read receive relax remain remember remove repay research respond
    return reward ride run save say scream search see sell send serve share show sing sit sleep
    smile socialize solve speak spend stand start stay steal stop study support take talk teach tell
    thank think throw touch train travel try turn understand use visit wait wake walk want wash
    watch wear win work write yell
"""


def _third_person(verb: str) -> str:
    if re.search(r"[^aeou]y$", verb):
        return f"{verb[:-1]}ies"
    return verb + ("es" if re.search(r"(?:[sxzo]|ch|sh)$", verb) else "s")


_THIRD_PERSON = {verb: _third_person(verb) for verb in _VERBS.split()} | {
    "be": "is",
    "are": "is",
    "have": "has",
}
_AUXILIARIES = """
    was had did felt got went made wanted needed will would can could cannot must may can't couldn't
    didn't doesn't don't isn't wasn't
"""
_FINITE = {*_THIRD_PERSON.values(), *_AUXILIARIES.split()}
# An answer that begins with one of these, followed by more, is already a sentence ...
_SUBJECT = re.compile(r"(?:he|she|they|it|we|i|you|dana|morgan|terry)\b(?!'s\b) (?!to\b|and\b)")
# ... and where an effect is asked for, so is one that begins with one of these.
_SUBJECT_OF_EFFECT = re.compile(
    r"(?:the|a|an|his|her|their|its|my|other|others|people|everyone|everybody|someone|no one|nobody"
    r"|person|dana's|morgan's|terry's)\b ",
)
_FILLER = re.compile(r"^(?:(?:and|also|then|because|so)\b,? )+(?=\w)|\bto (?=to\b)")


def _complete(relation: str, answer: str) -> str:
    """Adds the subject and the verb that an answer lacks."""
    template = ATOMIC_TEMPLATES[relation]
    is_effect = relation.endswith("Effect")
    is_state = relation.endswith(("React", "Attr"))
    folded = answer.lower()
    first = folded.split(" ")[0]
    if _SUBJECT.match(folded) or (is_effect and _SUBJECT_OF_EFFECT.match(folded)):
        return answer
    if first in _FINITE:
        return f"{template.before_action} {answer}"
    if is_effect and first == "to":
        return f"{template.before_action} goes on {answer}"
    if is_effect and first.endswith("ing"):
        return f"{template.before_action} is {answer}"
    if is_effect and first in _THIRD_PERSON:
        return f"{template.before_action} {_THIRD_PERSON[first]}{answer[len(first) :]}"
    if first in _THIRD_PERSON and not is_state:
        return f"{template.before_state} to {answer}"
    return f"{template.before_state} {answer}"
