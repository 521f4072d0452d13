"""The tables of a report: on its page, and as CSV, LaTeX and Markdown beside it."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd

from kformer.evaluation.breakdowns import breakdown_header, breakdown_rows
from kformer.evaluation.condition_report import COLUMNS
from kformer.evaluation.ladder import have_steps
from kformer.evaluation.ladder_report import in_one_line, ladder_texts
from kformer.evaluation.results import SplitComparison
from kformer.evaluation.use_of_facts_report import statement_on_use, use_cells, use_header
from kformer.io.file_writing import replacing
from kformer.io.formatting import markdown_table, p_value, percent, points

AnySplit = TypeVar("AnySplit", bound=SplitComparison)

# What LaTeX would not print; texts are escaped before.
_IN_LATEX = {"Δ": r"$\Delta$", "±": r"$\pm$", "×": r"$\times$", "<": r"$<$", "−": r"$-$"}


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column names what a row is about.

    Attributes:
        name: of its files.
        title: what it shows, in a sentence.
    """

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of(split: SplitComparison, baseline: str) -> list[Table]:
    """What is known of the answers to a split, its conditions sorted by accuracy."""
    split = by_accuracy(split)
    tables = [_of_conditions(split, baseline)]
    if split.use_of_facts:
        tables.append(_of_use(split))
    if have_steps(split.ladders):
        tables.append(_of_ladders(split))
    if len(split.conditions) > 2:
        tables.append(_of_pairs(split))
    tables += [
        Table(
            f"by_{each.by}",
            f"Accuracy in % by {each.by} (how many questions).",
            ["condition", *map(_in_one_line, breakdown_header(each)[1:])],
            breakdown_rows(each, split.names),
        )
        for each in split.breakdowns
    ]
    return [*tables, _of_answers(split), _of_calibration(split)]


def by_accuracy(split: AnySplit) -> AnySplit:
    """The same with its conditions in another order, the most accurate first."""
    best_first = sorted(split.conditions, key=lambda result: -result.accuracy_mean)
    return split.model_copy(update={"conditions": best_first})


def write_tables(tables: Iterable[Table], folder: Path) -> None:
    """Writes each table as ``<name>.csv``, ``.tex`` (booktabs) and ``.md`` into a folder."""
    for table in tables:
        frame = pd.DataFrame([list(row) for row in table.rows], columns=list(table.header))
        texts = {
            "csv": frame.to_csv(index=False),
            "tex": _latex(table, frame),
            "md": f"{table.title}\n\n{markdown_table(table.header, table.rows)}\n",
        }
        for ending, text in texts.items():
            with replacing(folder / f"{table.name}.{ending}") as partial:
                partial.write_text(text, "utf-8")


def _latex(table: Table, frame: pd.DataFrame) -> str:
    escaped = frame.to_latex(
        index=False,
        escape=True,
        column_format="l" + "r" * (len(table.header) - 1),
        caption=re.sub(r"([%_&#$])", r"\\\1", table.title),
        label=f"tab:{table.name}",
    )
    for sign, command in _IN_LATEX.items():
        escaped = escaped.replace(sign, command)
    return f"% needs \\usepackage{{booktabs}}\n{escaped}"


def _of_conditions(split: SplitComparison, baseline: str) -> Table:
    known = [column for column in COLUMNS if any(map(column.cell, split.conditions))]
    return Table(
        "conditions",
        f"Each condition on {split.questions:,} {split.split} questions; Δ is the difference from "
        f"{baseline}.",
        [_in_one_line(column.header) for column in known],
        [[column.cell(result) for column in known] for result in split.conditions],
    )


def _of_use(split: SplitComparison) -> Table:
    return Table(
        "use_of_facts",
        statement_on_use(split),
        [_in_one_line(name) for name in use_header(split)],
        [[in_one_line(cell) for cell in cells] for cells in use_cells(split)],
    )


def _of_ladders(split: SplitComparison) -> Table:
    return Table(
        "ladders",
        "Accuracy in % of each method on other facts, its gain in points, what of it is due to "
        "knowledge, and how much of what gold facts give.",
        *ladder_texts(split),
    )


def _of_pairs(split: SplitComparison) -> Table:
    """Every two conditions, one above the other."""
    names = split.names
    pairs = {(each.condition, each.other): each for each in split.pairs}

    def cell(row: str, column: str) -> str:
        if row == column:
            return ""
        sign, pair = 1, pairs.get((row, column))
        if pair is None:
            sign, pair = -1, pairs[column, row]
        return f"{points(sign * pair.delta)} (p {p_value(pair.p_holm)})"

    return Table(
        "pairs",
        "Points by which the condition of a row is above that of a column, with p-values after "
        "Holm's correction for all pairs.",
        ["condition", *names],
        [[name, *(cell(name, other) for other in names)] for name in names],
    )


def _of_answers(split: SplitComparison) -> Table:
    letters = [chr(ord("A") + position) for position in range(len(split.guessing.key))]
    key = ["(right answers)", "", *map(percent, split.guessing.key)]
    return Table(
        "answers",
        "Macro-F1 in %, and how often each choice is chosen, in %, beside how often it is right.",
        ["condition", "macro-F1", *letters],
        [
            key,
            *(
                [each.condition, percent(each.macro_f1), *map(percent, each.answers)]
                for each in split.conditions
            ),
        ],
    )


def _of_calibration(split: SplitComparison) -> Table:
    return Table(
        "calibration",
        "Mean confidence beside accuracy, and the expected calibration error, in %.",
        ["condition", "confidence", "accuracy", "calibration error"],
        [
            [
                each.condition,
                percent(each.calibration.confidence),
                percent(each.accuracy_mean),
                percent(each.calibration.error),
            ]
            for each in split.conditions
            if each.calibration
        ],
    )


def _in_one_line(header: str) -> str:
    return header.replace("\n", " ")
