"""MedQuAD (Ben Abacha & Demner-Fushman, 2019): questions and answers from sites of the NIH."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from kformer.errors import KformerError
from kformer.io.normal_form import normal_form
from kformer.io.visible_files import visible_files
from kformer.knowledge.passages import Passages
from kformer.knowledge.reader import Fact
from kformer.knowledge.triples import naming

# A document type may define entities that expand without bound; MedQuAD has none.
_DOCTYPE = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)

_QUESTION_MARKS = re.compile(r"(?<![\s?])[\s?]*\?$")  # "What causes gout? ?"


class _Markup(NamedTuple):
    pair: str
    question: str
    answer: str


_MARKUP = _Markup("QAPair", "Question", "Answer")
_OLD_MARKUP = _Markup("pair", "question", "answer")  # of four documents


class MedQuad(Passages):
    """The official archive: a document a file, a few questions and answers in each.

    Answers are split into passages, each with its question in front. Three of the twelve
    collections have had their answers removed for copyright.
    """

    source: Literal["medquad"] = "medquad"
    template: Annotated[str, naming("question", "answer")] = "{question} {answer}"
    """How a question and a passage of its answer become a fact."""

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the facts; their relation is the type of the question.

        ``counts`` also takes what was read: ``answers``, and ``answers_in_old_markup``.

        Raises:
            KformerError: there are no documents, or one is malformed.
        """
        paths = visible_files(folder, "*.xml")
        if not paths:
            raise KformerError(
                f"{folder}: no XML documents below it; unpack the official MedQuAD archive there"
            )
        for path in paths:
            document = _parse(path)
            address = document.get("url") or path.stem
            facts = [
                *self._facts(document, _MARKUP, address, counts, "answers"),
                *self._facts(document, _OLD_MARKUP, address, counts, "answers_in_old_markup"),
            ]
            if not facts:
                counts["documents_without_answers"] += 1
            yield from facts

    def _facts(
        self,
        document: ET.Element,
        markup: _Markup,
        address: str,
        counts: Counter[str],
        counted_as: str,
    ) -> Iterator[Fact]:
        for pair in document.iter(markup.pair):
            asked, answer = pair.find(markup.question), _text(pair.find(markup.answer))
            if not answer:
                counts["questions_without_answers"] += 1
                continue
            counts[counted_as] += 1
            question = _QUESTION_MARKS.sub("?", _text(asked))
            kind, number = (asked.get("qtype"), asked.get("qid")) if asked is not None else ("", "")
            for passage in self.split([answer]):
                text = self.template.format(question=question, answer=passage.text)
                yield Fact(text, kind or None, f"{address} {number or ''}".strip())


def _parse(path: Path) -> ET.Element:
    content = path.read_bytes()
    if _DOCTYPE.search(content.replace(b"\0", b"")):  # also in UTF-16 or UTF-32
        raise KformerError(f"{path}: declares a document type, as MedQuAD never does; refused")
    try:
        return ET.fromstring(content)
    except (ET.ParseError, ValueError, LookupError) as error:
        raise KformerError(f"{path}: not valid XML ({error}); get the archive again") from None


def _text(element: ET.Element | None) -> str:
    return " ".join(normal_form("".join(element.itertext())).split()) if element is not None else ""
