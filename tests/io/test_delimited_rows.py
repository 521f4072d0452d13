"""Rows of tables in text: which quotes are text, and which are around text."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io.delimited_rows import csv_rows, tsv_rows

HEADER = "question\tA\tB\tanswer"


@pytest.fixture(scope="session")
def rows(folder_of):
    """The rows of a table by their lines; of a broken one what is wrong with it."""

    def read(content, name="q.tsv"):
        path = folder_of({name: content}) / name
        found = tsv_rows(path) if name.endswith(".tsv") else csv_rows(path)
        return {
            line: str(cells).removeprefix(f"{path}:{line}: ")
            if isinstance(cells, KformerError)
            else cells
            for line, cells in found
        }

    return read


@pytest.mark.parametrize(
    "lines",
    [
        ['"I am so tired.\tsleep\trun\tA', 'We go home."\tgo\tstay\tB'],
        ['He said "hi"\tx\ty\tA', '"Well," she said.\t"x"\ty\tA'],
        ['"Quoted as a whole."\tx\ty\tA', "Not quoted.\tx\ty\tA"],
        ['""Twice""\tx\ty\tA', '"\tx\ty\tA'],
        ['5" nails\t"x" or z\ty\tA', 'The "end\tx\ty"\tA', 'a ""b"" c\tx\ty\tA'],
        ['"Stop!\tx\ty\tA', "Who?\tx\ty\tA", 'He said: "Go!\tx\ty\tB', 'And so on."\tx\ty\tA'],
        ['"I am so tired.\tsleep\trun\tA', "", 'We go home."\tgo\tstay\tB'],
        ['"I am so tired.\tsleep\trun\tA', "Who?\tx\tA", "?", 'We go home."\tgo\tstay\tB'],
        ['"I am so tired.\tsleep\tA', "Who?\tx\ty\tA", 'We go home."\tgo\tstay\tB'],
    ],
)
def test_quotes_are_text_as_the_field_writes_tab_separated_values(rows, lines):
    found = rows("\n".join([HEADER, *lines]))
    assert list(found.values()) == [line.split("\t") for line in [HEADER, *lines] if line]


ROWS = {
    "a line end": [["I am tired.\nWe go home.", "x", "y", "A"], ["Who?", "x", "y", "B"]],
    "a line end in the last cell": [["Who?", "x", "y", "a\nb"], ["Who?", "x", "y", "B"]],
    "two paragraphs": [["I am tired.\n\nWe go home.", "x", "y", "A"], ["Who?", "x", "y", "B"]],
    "two line ends": [["Who?", "x\ny\nz", "y", "A"], ["Who?", "x", "y", "B"]],
    "a tab": [["Who?", "x\tz", "y", "A"], ["Who?", "x", "y", "B"]],
    "a quote": [['He said "hi".', "x", "y", "A"], ["Who?", "x", "y", "B"]],
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
def test_cells_that_a_spreadsheet_has_quoted_are_read(rows, name, quoting):
    table = [HEADER.split("\t"), *ROWS[name]]
    file = io.StringIO()
    csv.writer(file, delimiter="\t", quoting=quoting).writerows(table)
    assert list(rows(file.getvalue()).values()) == table


def test_cells_are_quoted_if_all_are_or_just_those_with_commas(rows):
    assert rows('"cat"\t"IsA"\t"pet"\t2.0\n"dog"\t"IsA"\t"pet"\t1e-3\n') == {
        1: ["cat", "IsA", "pet", "2.0"],
        2: ["dog", "IsA", "pet", "1e-3"],
    }
    assert rows('h\tr\tt\n"Well, no"\tIsA\tpet\ndog\tIsA\t"a, b"\n')[2] == [
        "Well, no",
        "IsA",
        "pet",
    ]
    assert rows('h\tr\tt\n"Well, no"\tIsA\ta, b\n')[2] == ['"Well, no"', "IsA", "a, b"]
    assert rows('"To be or not."\n"To be, then."\n')[1] == ['"To be or not."']


def test_quoted_cells_with_a_quote_that_is_not_doubled_are_refused(rows):
    content = '"cat"\t"IsA"\t"pet"\n"a \\"b\\""\t"IsA"\t"pet"\n"dog"\t"IsA"\t"pet"\n'
    with pytest.raises(KformerError, match=r"q\.tsv:2: the cells are in quotes, but a quote insi"):
        rows(content)


@pytest.mark.parametrize(
    ("count", "lines"),
    [
        (4, ['"I am tired.,sleep,run,A', 'We go home.",go,stay,B']),
        (4, ['"I am tired., sleep, run, A', 'We go home.", go, stay, B']),
        (4, ['x,"a,b,c', "1,2,3,4", '1,5",6,7']),
        (3, ['"cat,IsA,pet', 'dog",IsA,pet']),
        (2, ['"Rain is wet.,me', 'Sun is hot.",me']),
        (4, ['"I am tired.,sleep,run,A', "", 'We go home.",go,stay,B']),
        (4, ['"I am tired.,sleep,run,A', "Well, who?,x, z,y,A", "?", 'We go home.",go,stay,B']),
        (4, ['"I am tired.,sleep,A', "", "Who?,x,y,A", 'We go home.",go,stay,B']),
        (4, ['"I am tired., sleep, run, A', "", 'We go home.", go, stay, B']),
        (3, ['"Well, cat,IsA,pet', "", 'No, dog",IsA,pet']),
        (2, ['"Rain is wet.,me', "Wind.", "", 'Sun is hot.",me']),
        (4, ['"How many?,100,200,', "", 'How many?",300,400,']),
        (3, ['"cat, IsA, pet', "dog, IsA", 'cow", IsA, pet']),
    ],
)
def test_rows_of_a_csv_file_that_a_quote_may_have_joined_are_refused(rows, count, lines):
    header = ",".join("ABCD"[:count])
    found = rows("\n".join([header, *lines, header]), "q.csv")
    assert f"lines on, but these lines look like rows of {count} cells; double a" in found.pop(2)
    assert list(found.values()) == [header.split(",")] * 2


@pytest.mark.parametrize(
    "row",
    [
        ["I am tired.\nWe go, home.", "go", "stay", "B"],
        ["Apples, pears, figs\nare fruits.", "IsA", "me"],
        ["Rain, snow\nand hail", "me"],
        ["Who?", "a\nb", "c", "d\ne"],
        ["One\ntwo"],
        ["Para one.\n\nPara two?", "a", "b", "A"],
        ["In 2019 there were 1,000,000 of them.\nThen others.", "are", "people"],
        ["Some 1,000 came.\n\nThen they went.\n\nThat is all.", "me"],
        ["Some are small,others large.\n\nThen they grew.\n\nThey do, often.\nAlways.", "me"],
        ["Some, if small,are.\nThen, in time, they grew.\nThey do.", "me"],
        ["Roses are red,\nviolets are blue,\nand so on.", "poem"],
        ["Apples, pears, figs, nuts:\nlist them.\n\nWho?", "me", "you", "A"],
    ],
)
def test_cells_of_a_csv_file_may_have_line_ends(rows, row):
    file = io.StringIO()
    csv.writer(file).writerows([["question", *"ABC"][: len(row)], row])
    assert rows(file.getvalue(), "q.csv")[2] == row


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_quoted_cell_may_have_spaces_before_it(rows, separator):
    lines = [["head", "relation", "tail"], ['"cat"', '"IsA"', '"a, b; ""c"""']]
    content = "\n".join(map(f"{separator} ".join, lines))
    assert rows(content, "q.csv")[2] == ["cat", "IsA", 'a, b; "c"']


def test_cells_in_single_quotes_are_refused_if_all_texts_of_a_row_are(rows):
    found = rows("h,r,t,w\n'cat', 'IsA', 'it''s', 1\n'tis,IsA,'a',1\n'a','','','x'\n", "q.csv")
    assert found[2] == found[4] == "its cells are in single quotes; put them in double quotes"
    assert found[3] == ["'tis", "IsA", "'a'", "1"]


cells = st.text(st.sampled_from('ab",\t\n .'), max_size=6).map(str.strip)
rows_of_cells = st.lists(cells, min_size=3, max_size=3).map(lambda row: [*row, "A"])
tables = st.lists(rows_of_cells, min_size=1, max_size=5)


@settings(max_examples=300, deadline=None)
@given(tables)
def test_no_two_lines_become_one_row_if_each_is_a_row(rows, table):
    """Written without any quoting, cells without tabs and line ends are read as they are, or as a
    spreadsheet would have written them; but never are there fewer rows."""
    plain = [[" ".join(cell.split()) for cell in row] for row in table]
    lines = [HEADER, *map("\t".join, plain)]
    try:
        found = list(rows("\n".join(lines)).values())
    except KformerError:
        return
    assert len(found) == len(lines)
    for row, line in zip(found, lines, strict=True):
        written = line.split("\t")
        unquoted = [cell[1:-1].replace('""', '"').strip() for cell in written]
        assert isinstance(row, str) or all(
            cell in pair for cell, *pair in zip(row, written, unquoted, strict=True)
        )


@settings(max_examples=300, deadline=None)
@given(tables)
def test_what_python_writes_with_quotes_is_read_or_refused_but_never_otherwise(rows, table):
    file = io.StringIO()
    csv.writer(file, delimiter="\t", quoting=csv.QUOTE_ALL).writerows([HEADER.split("\t"), *table])
    try:
        found = list(rows(file.getvalue()).values())
    except KformerError:
        return
    assert any(isinstance(row, str) for row in found) or found == [HEADER.split("\t"), *table]
