"""ConceptNet 5 (Speer et al., AAAI 2017): common knowledge about words and what they stand for."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.errors import KformerError
from kformer.io.text_files import files_below, read_lines
from kformer.knowledge.reader import Fact
from kformer.knowledge.triple_columns import is_number, refuse_other_order
from kformer.knowledge.triples import Triples


class ConceptNet(Triples):
    """The English part of the official assertions, or of files with relation, head and tail.

    A line of the assertions has five columns: the assertion's address, relation, start, end, and
    JSON with its sources. A line of the other files starts with relation, head and tail; of what
    follows only a weight is read: a triple whose weight is not above 0 is not true, and skipped.
    Addresses (`/r/IsA`, `/c/en/car/n`) and plain words (`IsA`, `car`) may stand in either.
    """

    source: Literal["conceptnet"] = "conceptnet"

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the facts; assertions about words of other languages are skipped.

        Raises:
            KformerError: there is no file, one has another order of columns or a header, or a line
                has too few columns.
        """
        for path in files_below(folder, (".csv", ".tsv", ".txt")):
            refuse_other_order(path, (row for _, row in _rows(path)), 0, self.known_relations)
            for number, cells in _rows(path):
                if len(cells) < 3:
                    raise KformerError(
                        f"{path}:{number}: {len(cells)} columns, expected relation, head and tail "
                        "with tabs between them, or a line of ConceptNet's assertions"
                    )
                relation, head, tail = cells[0].removeprefix("/r/"), *map(_term, cells[1:3])
                if head is None or tail is None:
                    counts["not_english"] += 1
                elif not (relation and head and tail):
                    counts["empty"] += 1
                elif len(cells) > 3 and is_number(cells[3]) and float(cells[3]) <= 0:
                    counts["not_true"] += 1
                else:
                    yield self.of_triple(self.text(head, relation, tail), relation, head)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The cells of each line, without the address of an assertion."""
    for number, line in read_lines(path):
        cells = [cell.strip() for cell in line.split("\t")]
        yield number, cells[1:] if cells[0].startswith("/a/") else cells


def _term(address: str) -> str | None:
    """The words of a term, or None if they are not English: ``/c/en/hot_dog/n`` is "hot dog"."""
    if address.startswith("/c/"):
        language, _, rest = address[3:].partition("/")
        address = rest.split("/")[0]
        if language != "en":
            return None
    elif "://" in address:  # a link into another knowledge base
        return None
    return address.replace("_", " ").strip()
