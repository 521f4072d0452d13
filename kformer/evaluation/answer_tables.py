"""An answer as tables for the terminal."""

from collections.abc import Iterator
from string import ascii_uppercase

from rich import box
from rich.table import Table
from rich.text import Text

from kformer.evaluation.asking import AskedAnswer, FactInAnswer
from kformer.io.formatting import on_one_line, percent


def render_answer(answer: AskedAnswer, plain: bool = False) -> Iterator[Table]:
    """The choices with their probabilities and, if facts were read, which of them for which choice.

    Args:
        plain: whether the terminal shows ASCII alone.
    """
    mark = ">" if plain else "▶"
    choices = _table()
    for header in ("", "", "%", "logit"):
        choices.add_column(header, justify="right", no_wrap=True)
    choices.add_column("choice", overflow="fold")
    for number, text in enumerate(answer.question["choices"]):
        is_chosen = number == answer.chosen
        choices.add_row(
            mark if is_chosen else "",
            ascii_uppercase[number],
            percent(answer.probabilities[number]),
            f"{answer.logits[number]:.2f}",
            Text(on_one_line(text)),
            style="bold" if is_chosen else None,
        )
    yield choices
    if any(answer.read):
        yield _table_of_facts(answer, "x" if plain else "×")


def _table_of_facts(answer: AskedAnswer, read_as_text: str) -> Table:
    """A row for each fact; under each choice that it was read for, how strongly it fired."""
    table = _table()
    for letter in ascii_uppercase[: len(answer.read)]:
        table.add_column(letter, justify="right", no_wrap=True)
    table.add_column("fact", overflow="fold")
    strengths: dict[str, dict[int, str]] = {}
    order = sorted(range(len(answer.read)), key=lambda choice: choice != answer.chosen)
    for choice in order:  # what was read for the chosen one comes first
        for read in answer.read[choice]:
            strengths.setdefault(read.fact.text, {})[choice] = _strength(read, read_as_text)
    for text, of_choices in strengths.items():
        cells = (of_choices.get(choice, "") for choice in range(len(answer.read)))
        table.add_row(*cells, Text(on_one_line(text)))
    return table


def _strength(read: FactInAnswer, read_as_text: str) -> str:
    return read_as_text if read.fired is None else f"{read.fired:.2f}"


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
