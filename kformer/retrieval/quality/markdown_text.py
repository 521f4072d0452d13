"""How the page writes text and measures."""

import math
import re
import textwrap
from collections.abc import Iterator, Sequence

from kformer.io.formatting import markdown_table, percent, points
from kformer.retrieval.quality.measures import Mean
from kformer.retrieval.quality.sample_page import short

NAME_CHARACTERS = 28  # of a name in a table with several

_FACT_CHARACTERS = 64  # of a fact in a table
_MOST_ROWS = 20  # of a table whose rows the data name
# Underscores inside of words mean nothing in Markdown.
_MARKUP = re.compile(r"([\\`*\[\]<>&|~$]|(?<!\w)_|_(?!\w))")


def wrapped(text: str) -> str:
    """A paragraph."""
    return textwrap.fill(text, 100)


def bullets(items: Sequence[str]) -> str:
    """A list."""
    return "\n".join(
        textwrap.fill(item, 100, initial_indent="- ", subsequent_indent="  ") for item in items
    )


def top_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table of the first rows, and how many more there are."""
    yield markdown_table(header, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        yield f"… and {len(rows) - _MOST_ROWS:,} more."


def cell(text: str, longest: int = _FACT_CHARACTERS) -> str:
    """Text of the data on one short line, which Markdown shows as it is."""
    return _MARKUP.sub(r"\\\1", short(text, longest))


def number(value: float) -> str:
    """A number with two decimals; nothing for an undefined one."""
    return "" if math.isnan(value) else f"{value:.2f}"


def points_with_margin(mean: Mean) -> str:
    """A mean difference in percentage points, with its margin; nothing without values."""
    if not mean.count:
        return ""
    margin = "" if mean.margin is None else f" ± {percent(mean.margin)}"
    return points(mean.value) + margin
