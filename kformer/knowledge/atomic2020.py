"""ATOMIC-2020 (Hwang et al., AAAI 2021): everyday events, things, and what connects them."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from kformer.errors import KformerError
from kformer.io.text_files import find_files, read_lines
from kformer.knowledge.atomic import to_text
from kformer.knowledge.reader import Fact
from kformer.knowledge.triple_columns import refuse_other_order
from kformer.knowledge.triples import Triples

_FILES = ("train.tsv", "dev.tsv", "test.tsv")


class Atomic2020(Triples):
    """The official archive: head, relation and tail in tab-separated files."""

    source: Literal["atomic2020"] = "atomic2020"

    def read(self, folder: Path, counts: Counter[str]) -> Iterator[Fact]:
        """Streams the facts, of the train file first; tails that say "none" are skipped.

        Raises:
            KformerError: none of the files is there, one has another order of columns or a header,
                or a line is malformed.
        """
        for path in find_files(folder, _FILES, "the official ATOMIC-2020 archive"):
            rows = (line.split("\t") for _, line in read_lines(path))
            refuse_other_order(path, rows, 1, self.known_relations)
            for number, line in read_lines(path):
                cells = [cell.strip() for cell in line.split("\t")]
                if len(cells) == 2:  # the tail is empty, and the line was stripped
                    cells.append("")
                if len(cells) != 3 or not cells[1]:
                    raise KformerError(
                        f"{path}:{number}: expected head, relation and tail with tabs between "
                        f"them, not {line!r:.60}"
                    )
                head, relation, tail = cells
                text = to_text(head, relation, tail, self)
                if text is None:
                    counts["none"] += 1
                else:
                    yield self.of_triple(text, relation, head)
