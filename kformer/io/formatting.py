"""How numbers and tables are written, in every report and in the terminal."""

import math
from collections.abc import Sequence


def percent(fraction: float) -> str:
    """A fraction in percent; nothing for an undefined one."""
    return "" if math.isnan(fraction) else f"{100 * fraction:.1f}"


def points(fraction: float) -> str:
    """A difference of fractions in percentage points, with its sign."""
    return f"{100 * fraction:+z.1f}"


def seconds(duration: float | None) -> str:
    """A duration in seconds; nothing for one that was not measured."""
    return "" if duration is None else f"{duration:.3f}"


def giga(count: float | None) -> str:
    """A count in thousands of millions; nothing for one that is not known."""
    return "" if count is None else f"{count / 1e9:.2f}"


def times(ratio: float | None) -> str:
    """How many times as much; nothing where that is not known."""
    return "" if ratio is None else f"{ratio:.1f}x"


def p_value(p: float | None) -> str:
    """A p-value; nothing where there is none."""
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose columns are aligned in plain text; the first to the left, numbers right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for first, *numbers in (header, rule, *rows):
        cells = [
            first.ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=True)),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def on_one_line(text: str) -> str:
    """Text of the data on one line, without characters that would control a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
