"""The comparison as a Markdown page and as tables for the terminal."""

from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from kformer.evaluation.breakdowns import breakdown_header, breakdown_rows
from kformer.evaluation.condition_report import COLUMNS, HOW_TO_READ, finding, on_single_seeds
from kformer.evaluation.ladder import have_steps
from kformer.evaluation.ladder_report import (
    HOW_TO_READ_LADDERS,
    in_one_line,
    ladder_cells,
    ladder_findings,
    ladder_header,
    ladder_texts,
)
from kformer.evaluation.results import Comparison, ConditionResult, SplitComparison
from kformer.evaluation.use_of_facts_report import (
    HOW_TO_READ_USE,
    statement_on_use,
    use_cells,
    use_header,
)
from kformer.io.formatting import markdown_table, percent


def render_tables(comparison: Comparison, plain: bool = False) -> Iterator[Table]:
    """The comparison as tables that fit a terminal of 80 columns: for each split one of the
    conditions and, where there are any, of their use of facts, of ladders, and of types.

    Args:
        plain: whether the terminal shows ASCII alone.
    """
    delta = "delta" if plain else "Δ"
    columns = [column for column in COLUMNS if column.on_terminal]
    for split in comparison.splits:
        title = f"{comparison.experiment}: {_statement(split, comparison.baseline)}"
        header = [column.header.replace("Δ", delta) for column in columns]
        rows = [[column.cell(result) for column in columns] for result in split.conditions]
        yield _terminal_table(title.replace("Δ", delta), header, rows)
        if split.use_of_facts:
            rows = [["\n".join(cell) for cell in cells] for cells in use_cells(split)]
            title = f"{statement_on_use(split)} Below: 95 % CI."
            yield _terminal_table(title, use_header(split), rows)
        if have_steps(split.ladders):
            header = ladder_header(split)
            rows = [
                ["\n".join(cell) for cell in ladder_cells(ladder, split)]
                for ladder in split.ladders
            ]
            title = f"{_statement_on_ladders(split, comparison.baseline)} Below: 95 % CI."
            yield _terminal_table(title, header, rows)
        for each in split.breakdowns:
            if each.by != "type":
                continue  # the page has the others
            title = f"By type of question, on {split.split}."
            yield _terminal_table(title, breakdown_header(each), breakdown_rows(each, split.names))


def render_markdown(comparison: Comparison, figure: str, ladder_figure: str) -> str:
    """The comparison as a Markdown page, readable as plain text, too.

    Args:
        figure: the address of the figure of accuracies, as seen from the page.
        ladder_figure: that of the figure of ladders, which is there if some have several steps.
    """
    versions = (f"{name} {version}" for name, version in comparison.versions.items())
    has_ladders = have_steps(comparison.ladders)
    figures = [f"![The accuracy of each condition with its 95 % interval]({figure})"]
    if has_ladders:
        figures.append(f"![The accuracy of each method on other facts]({ladder_figure})")
    how_to_read = [HOW_TO_READ] + [HOW_TO_READ_LADDERS] * has_ladders
    how_to_read += [HOW_TO_READ_USE] * bool(comparison.use_of_facts)
    first, *others = comparison.splits
    parts = [
        f"# {comparison.experiment}",
        *_sections(first, comparison.baseline),
        *figures,
        *(
            part
            for split in others
            for part in (f"## On {split.split}", *_sections(split, comparison.baseline))
        ),
        "## How to read this",
        "\n".join(how_to_read).format(baseline=comparison.baseline),
        ", ".join(versions),
    ]
    return "\n\n".join(parts) + "\n"


def _sections(split: SplitComparison, baseline: str) -> Iterator[str]:
    """What the page says of one split."""
    yield f"{_statement(split, baseline)} {_seeds(split.conditions)}"
    header = [column.header.replace("\n", " ") for column in COLUMNS]
    rows = [[column.cell(result) for column in COLUMNS] for result in split.conditions]
    yield markdown_table(header, rows)
    if split.use_of_facts:
        yield statement_on_use(split)
        header = [name.replace("\n", " ") for name in use_header(split)]
        rows = [[in_one_line(cell) for cell in cells] for cells in use_cells(split)]
        yield markdown_table(header, rows)
    yield "\n".join(f"- {finding(result, baseline)}" for result in split.conditions)
    if have_steps(split.ladders):
        yield _statement_on_ladders(split, baseline)
        yield markdown_table(*ladder_texts(split))
        yield "\n".join(f"- {each}" for each in ladder_findings(split, baseline))
    for each in split.breakdowns:
        yield f"By {each.by} (how many questions):"
        header = [name.replace("\n", " ") for name in breakdown_header(each)]
        yield markdown_table(header, breakdown_rows(each, split.names))


def _statement(split: SplitComparison, baseline: str) -> str:
    guessing = split.guessing
    single = on_single_seeds(split.conditions)
    return (
        f"{single} "
        * bool(single)
        + f"{len(split.conditions)} conditions answered the same {split.questions:,} "
        f"{split.split} questions; guessing gets {percent(guessing.evenly)} % right, always the "
        f"same choice up to {percent(guessing.best_constant_accuracy)} %. "
        f"Δ is the difference from {baseline}, question by question; 4 of 5 such studies would see "
        "one of 'seen from' points."
    )


def _statement_on_ladders(split: SplitComparison, baseline: str) -> str:
    (accuracy,) = (each.accuracy_mean for each in split.conditions if each.condition == baseline)
    return (
        f"Accuracy in % of each method on other facts; {baseline} gets {percent(accuracy)}. Its "
        "gain in points over that; how much of it is due to knowledge, above the control; how much "
        "of what gold facts give it and its control get, where there are gold facts."
    )


def _seeds(results: Iterable[ConditionResult]) -> str:
    groups: dict[tuple[int, ...], list[str]] = {}
    for result in results:
        groups.setdefault(tuple(result.seeds), []).append(f"`{result.condition}`")
    sentences = [
        f"{_trained_with(seeds)}: {', '.join(conditions)}." for seeds, conditions in groups.items()
    ]
    return " ".join(sentences)


def _trained_with(seeds: tuple[int, ...]) -> str:
    if not seeds:
        return "Untrained"
    return f"Trained with seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def _terminal_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    name, *numbers = header
    table.add_column(name, overflow="fold")
    for each in numbers:
        table.add_column(Text(each, justify="right"), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    return table
