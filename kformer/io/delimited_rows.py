"""The rows of tables in text: CSV with its quotes, and tab-separated values, mostly without."""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from kformer.errors import KformerError
from kformer.io.text_files import MAX_LINE, decoded, raw_lines

_QUOTED = re.compile(rb'"(?:[^"]|"")*"')
_IN_QUOTES_OR_NO_TEXT = re.compile(rb'".*"|[-+\d.eE]*|NA|NULL')
_IN_SINGLE_QUOTES_OR_NUMBER = re.compile(r"'.*'|[-+\d.eE]*", re.DOTALL)
_OF_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")

csv.field_size_limit(MAX_LINE)


class TableRow(NamedTuple):
    """A row of a table, or why it cannot be read."""

    line: int
    """From 1; of a row over several lines the first."""
    cells: list[str] | KformerError
    """Without the spaces around them."""


def csv_rows(path: Path) -> Iterator[TableRow]:
    """Streams the rows of a CSV file with commas, or with semicolons, as where commas are decimal.

    Rows of empty cells are left out. A quoted cell may hold separators and line ends, and there may
    be spaces before it. Where the line ends may as well come from a quote without its partner, the
    row is refused.

    Raises:
        KformerError: there are tabs in the first line, but neither commas nor semicolons.
    """
    return _quoted_rows(path, _separator(path))


def _quoted_rows(path: Path, separator: str) -> Iterator[TableRow]:
    read: list[bytes] = []  # the lines of the row

    def lines() -> Iterator[str]:
        for _, line in raw_lines(path):
            read.append(line)
            # Bytes that are not UTF-8 are an error of their row, so they must pass the parser.
            yield line.decode(errors="surrogateescape")

    rows = csv.reader(lines(), delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        read.clear()
        line = rows.line_num + 1
        where = f"{path}:{line}"
        try:
            cells = [cell.strip() for cell in next(rows)]
            decoded(separator.join(cells).encode(errors="surrogateescape"), where)
            _refuse_joined_rows(read, len(cells), separator, where)
            _refuse_single_quotes(cells, where)
        except StopIteration:
            return
        except csv.Error as error:
            yield TableRow(line, _not_csv(error, path, line, len(read)))
        except KformerError as error:
            yield TableRow(line, error)
        else:
            if any(cells):
                yield TableRow(line, cells)


def tsv_rows(path: Path) -> Iterator[TableRow]:
    """Streams the rows of a file of tab-separated values; those of empty cells are left out.

    A quote is a character like any other, as GLUE and most data sets of the field have it, unless
    the file is one whose cells a spreadsheet has quoted, see `has_quoted_cells`.
    """
    if has_quoted_cells(path):
        yield from _quoted_rows(path, "\t")
        return
    for number, line in raw_lines(path):
        if line.strip():
            try:
                text = decoded(line, f"{path}:{number}")
                yield TableRow(number, [cell.strip() for cell in text.split("\t")])
            except KformerError as error:
                yield TableRow(number, error)


def _separator(path: Path) -> str:
    header = next((line for _, line in raw_lines(path) if line.strip()), b"")
    if b"," in header or not header.strip():
        return ","
    if b"\t" in header:
        raise KformerError(
            f"{path}:1: tabs separate its columns, not commas; give it the suffix .tsv"
        )
    return ";" if b";" in header else ","


def has_quoted_cells(path: Path) -> bool:
    """Whether the quotes of a tab-separated file are not text, but around the text of cells.

    That is so if nothing contradicts it: each cell with a quote begins and ends with one and
    doubles those inside. And if there are quotes for a reason: one is doubled, a cell goes over
    tabs or line ends, all cells that are no numbers are quoted, or just those with commas, as
    spreadsheets do.

    Raises:
        KformerError: the cells are quoted, but a quote inside one is not doubled.
    """
    count = rows = rows_in_quotes = 0
    has_reason = has_quotes = has_quoted_header = False
    all_quoted = just_commas = True
    numbered = raw_lines(path)
    for number, line in numbered:
        if not line.strip():
            continue
        cells = _cells(line)
        quoted = [cell for cell in cells if b'"' in cell]
        in_quotes = all(map(_IN_QUOTES_OR_NO_TEXT.fullmatch, cells))
        rows, rows_in_quotes = rows + 1, rows_in_quotes + (in_quotes and bool(quoted))
        count, has_quoted_header = count or len(cells), has_quoted_header or rows_in_quotes == rows
        all_quoted &= in_quotes or rows == 1
        just_commas &= all((b"," in cell) == (b'"' in cell) for cell in cells)
        if quoted and (len(cells) != count or not all(map(_QUOTED.fullmatch, quoted))):
            has_reason = _joins_to_a_row(line, (more for _, more in numbered), count)
            if not has_reason and count > 1 and (has_quoted_header or (all_quoted and rows > 2)):
                raise KformerError(
                    f"{path}:{number}: the cells are in quotes, but a quote inside one is not "
                    "doubled, or it has both tabs and line ends; correct it"
                )
            if not has_reason:
                return False
        has_quotes |= bool(quoted) and rows > 1
        has_reason |= any(b'""' in cell[1:-1] for cell in quoted)
    return has_reason or (has_quotes and count > 1 and (all_quoted or just_commas))


def _joins_to_a_row(line: bytes, following: Iterator[bytes], count: int) -> bool:
    """Whether a line is a row of so many cells, if need be with some of those that follow."""
    read = []

    def lines() -> Iterator[str]:
        for each in chain([line], following):
            read.append(each)
            yield each.decode(errors="surrogateescape")

    try:
        row = next(csv.reader(lines(), delimiter="\t", strict=True))
    except csv.Error:
        return False
    return len(row) == count and not _look_like_rows(read, count, "\t")


def _cells(line: bytes) -> list[bytes]:
    return line.rstrip(b"\r\n").split(b"\t")


def _refuse_joined_rows(lines: list[bytes], count: int, separator: str, where: str) -> None:
    """Raises KformerError for a row over several lines that look like rows themselves."""
    if len(lines) > 1 and count > 1 and _look_like_rows(lines, count, separator):
        raise KformerError(
            f"{where}: a quote opens here and closes {len(lines) - 1} lines on, but these lines "
            f"look like rows of {count} cells; double a quote that is text, and write a line end "
            "within a cell as a space"
        )


def _look_like_rows(lines: Sequence[bytes], count: int, separator: str) -> bool:
    """Whether lines that a quote joins to one row look like rows: first and last, or most of them.

    Between the first and the last may be broken rows. Blank lines count for nothing: they are also
    between paragraphs. Of two cells these must be all that commas separate, and most of the lines
    rows: long texts have a line now and then with one comma that has no space behind it.
    """
    texts = [line.rstrip(b"\r\n").decode(errors="replace") for line in lines if line.strip()]
    before, behind = texts[0].partition('"')[0], texts[-1].rpartition('"')[2]
    separators = _separators_like(f'{before}"{behind}', separator)

    def looks_like_row(text: str) -> bool:
        found = len(separators.findall(text))
        of_text = text.count(separator) - found if count == 2 else 0
        is_number = found and found == len(_OF_THOUSANDS.findall(text))
        return found == count - 1 and not of_text and not is_number

    rows = [looks_like_row(text) for text in texts]
    return (rows[0] and rows[-1] and count > 2) or 2 * sum(rows) > len(rows)


def _separators_like(outside: str, separator: str) -> re.Pattern[str]:
    """What separates cells as it does in the part of a row that is not in quotes.

    Commas that are text have a space or a line end behind them, so those between cells are told by
    that, unless they have one themselves.
    """
    in_text = [] if separator == "\t" else [" ", "$"]
    not_behind = [each for each in in_text if not re.search(separator + each, outside)]
    return re.compile(separator + "".join(f"(?!{each})" for each in not_behind))


def _refuse_single_quotes(cells: list[str], where: str) -> None:
    """Raises KformerError for a row whose texts are all in single quotes, which would be text."""
    in_quotes = sum(cell.startswith("'") for cell in cells)
    if in_quotes > 1 and all(map(_IN_SINGLE_QUOTES_OR_NUMBER.fullmatch, cells)):
        raise KformerError(f"{where}: its cells are in single quotes; put them in double quotes")


def _not_csv(error: csv.Error, path: Path, line: int, lines: int) -> KformerError:
    reason = str(error).partition(" - ")[0].replace("new-line character", "a line end (CR)")
    until = f"; the quote is open up to line {line + lines - 1}" if lines > 1 else ""
    return KformerError(f"{path}:{line}: not valid CSV ({reason}{until}); correct the quotes")
