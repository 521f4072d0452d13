"""The user's own data: where it is, and its records, each readable or a reason why not."""

import gzip
import re
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kformer.config_section import in_one_line
from kformer.errors import KformerError
from kformer.io.records import Record, csv_records, jsonl_records, parquet_records
from kformer.sources.user_data import UserData

SHA = "0" * 64


def records_of(read, path):
    """Line and content of each record, of a broken one what is wrong with it."""
    found = []
    for record in read(path):
        content = record.content
        if isinstance(content, KformerError):
            assert str(content).startswith(f"{path}")
            assert not {"\n", "\r"} & set(str(content))
            content = str(content).removeprefix(f"{path}").removeprefix(f":{record.line}: ")
        assert (record.file, record.where) == (path, f"{path}:{record.line}")
        found.append((record.line, content))
    return found


@pytest.fixture
def rows(folder_of):
    """The records of a table with some content, and some name."""

    def read(content, name="some.csv"):
        return records_of(csv_records, folder_of({name: content}) / name)

    return read


class TestWhereItIs:
    @pytest.mark.parametrize("given", [{"path": "a"}, {"url": "y", "sha256": SHA}])
    def test_at_a_path_or_at_an_address(self, given):
        override = UserData(**given).override
        url = override.url and override.url.get_secret_value()
        assert (url, override.sha256) == (given.get("url"), given.get("sha256"))

    @pytest.mark.parametrize(
        ("given", "what"),
        [
            ({}, "give either path (read in place) or url (fetched), or files (fetched"),
            ({"path": "a", "url": "b"}, "give either path (read in place) or url"),
            ({"path": "a", "files": {"a": "b"}}, "give either path"),
            ({"files": {}}, "files: "),
            ({"path": "a", "sha256": SHA}, "sha256: belongs to a url"),
            ({"url": "b", "sha256": "12"}, "sha256: "),
            ({"url": "b", "pth": "a"}, "pth: unknown key"),
        ],
    )
    def test_anything_else_is_refused(self, given, what):
        with pytest.raises(ValidationError) as caught:
            UserData(**given)
        assert what in in_one_line(caught.value)


class Pet(BaseModel):
    name: str
    legs: int


class TestRecord:
    def test_one_that_fits_becomes_a_model(self, tmp_path):
        record = Record(tmp_path / "f", 3, {"name": "Krez", "legs": 4, "more": None})
        assert record.parse(Pet) == Pet(name="Krez", legs=4)

    def test_one_that_does_not_fit_is_refused_with_all_its_problems_in_one_line(self, tmp_path):
        record = Record(tmp_path / "f", 3, {"name": 1})
        with pytest.raises(KformerError, match=r"f:3: name: .*\(not 1\); legs: Field req.*$"):
            record.parse(Pet)


def test_a_broken_json_line_does_not_end_the_reading(folder_of):
    content = b'\xef\xbb\xbf{"a": 1}\r\n\n{\n[]\n"\xff"\n  \n{"b": "\xc3\xa9"}'
    path = folder_of({"some.jsonl": content}) / "some.jsonl"
    first, *broken, last = records_of(jsonl_records, path)
    assert (first, last) == ((1, {"a": 1}), (7, {"b": "é"}))
    problems = [(line, problem.split(" (")[0].split(";")[0]) for line, problem in broken]
    assert problems == [(3, "not valid JSON"), (4, "not a JSON object"), (5, "not UTF-8")]
    with pytest.raises(KformerError, match=r"some\.jsonl:3: not valid JSON"):
        list(jsonl_records(path))[1].parse(Pet)


class TestTables:
    def test_cells_are_stripped_and_empty_ones_left_out(self, rows):
        content = "\ufeffa, b ,c\r\n 1 ,,\u00a0é\u00a0\r\n\r\n , ,\r\n2,,\r\n3,4,5"
        assert rows(content) == [
            (2, {"a": "1", "c": "é"}),
            (5, {"a": "2"}),
            (6, {"a": "3", "b": "4", "c": "5"}),
        ]

    def test_quoted_cells_hold_commas_quotes_and_line_ends(self, rows):
        content = 'a,b\n"x, y","say ""hi"""\n"1\r\n2\n3",4\nlast,5\n'
        assert rows(content) == [
            (2, {"a": "x, y", "b": 'say "hi"'}),
            (3, {"a": "1\r\n2\n3", "b": "4"}),
            (6, {"a": "last", "b": "5"}),
        ]

    def test_the_header_may_be_quoted_lack_names_and_come_after_a_byte_order_mark(self, rows):
        assert rows('\ufeff"a","b"\n1,2\n') == [(2, {"a": "1", "b": "2"})]
        assert rows("\n \n,\na,b\n1,2\n") == [(5, {"a": "1", "b": "2"})]
        assert rows("a,,\n1,2,3\n") == [(2, {"a": "1", "": "3"})]

    @pytest.mark.parametrize("name", ["some.tsv", "some.tsv.gz", "some.v2.tsv"])
    def test_tabs_separate_in_a_tsv_file(self, rows, name):
        assert rows("a\tb\n1, 2\t3\n", name) == [(2, {"a": "1, 2", "b": "3"})]
        assert rows(gzip.compress(b"a\tb\n1\t3\n"), name) == [(2, {"a": "1", "b": "3"})]

    @pytest.mark.parametrize(("name", "separator"), [("some.csv", ","), ("some.tsv", "\t")])
    def test_rows_with_another_number_of_cells_are_refused(self, rows, name, separator):
        problem = "cells, but the header names 2 columns; correct the row (columns: 'a | b')"
        assert rows("a,b\n1,2,3\n4\n5,6\n".replace(",", separator), name) == [
            *((2, f"3 {problem}"), (3, f"1 {problem}"), (4, {"a": "5", "b": "6"}))
        ]

    def test_semicolons_may_separate(self, rows):
        content = '"a";b\n1,5;"x; y"\n'
        assert rows(content) == [(2, {"a": "1,5", "b": "x; y"})]
        assert rows("a,b;c\n1,2\n") == [(2, {"a": "1", "b;c": "2"})]

    @pytest.mark.parametrize(
        ("name", "header", "problem"),
        [
            ("q.csv", "a\tb", "tabs separate its columns, not commas; give it the suffix .tsv"),
            (
                "q.csv.gz",
                "a\tb;c",
                "tabs separate its columns, not commas; give it the suffix .tsv",
            ),
            *(
                ("q.tsv", header, "commas or semicolons separate its columns, not tabs; give it t")
                for header in ("a,b", "a;b")
            ),
        ],
    )
    def test_a_table_under_the_suffix_of_the_other_kind_is_refused(
        self, folder_of, name, header, problem
    ):
        path = folder_of({name: f"{header}\nWho?,x\n"}) / name
        with pytest.raises(KformerError, match=rf"^{path}:1: {problem}"):
            list(csv_records(path))

    @pytest.mark.parametrize("bad", ['"x"y,2', "x\ry,2"])
    def test_a_row_that_is_no_csv_is_refused_and_the_next_one_read(self, rows, bad):
        (line, problem), good = rows(f"a,b\n{bad}\n3,4\n")
        assert line == 2
        assert re.fullmatch(r"not valid CSV \(.*\); correct the quotes", problem)
        assert good == (3, {"a": "3", "b": "4"})

    def test_a_quote_that_is_never_closed_is_refused(self, rows):
        ((line, problem),) = rows('a,b\n"1,2\n3,4\n')
        assert line == 2
        assert "not valid CSV (unexpected end of data; the quote is open up to line 3)" in problem

    def test_a_cell_may_be_long(self, rows):
        ((_, content),) = rows(f"a,b\n{'x' * 140_000},2\n")
        assert len(content["a"]) == 140_000

    @pytest.mark.parametrize(
        ("problem", "headers"),
        [
            (
                ":1: no column question.* in the h",
                ["questoin;A;answer", "q,A,answer", "Who?,x"],
            ),
            (
                ":1: the column 'a' is there twice",
                ["question,a, a ", "question,a,A"],
            ),
            (": empty; the first line must name", ["", "\ufeff", "\n\n", ",,\n , "]),
        ],
    )
    def test_a_header_that_cannot_be_used_is_refused_once(self, folder_of, problem, headers):
        for header in headers:
            rows = "\nWho?,x,y,A\nWho?,x,y,A\n" if header.strip("\ufeff\n ,") else ""
            path = folder_of({"q.csv": header + rows}) / "q.csv"
            with pytest.raises(KformerError, match=rf"q\.csv{problem}"):
                list(csv_records(path, ("question",)))

    def test_a_column_that_is_misspelt_is_named(self, folder_of):
        path = folder_of({"q.csv": "question,A,B,Anwser\nWho?,x,y,A\n"}) / "q.csv"
        with pytest.raises(KformerError, match=r"no column answer in .*; is 'anwser' meant as ans"):
            list(csv_records(path, ("question", "answer", "a", "b")))

    def test_a_row_that_is_not_utf8_is_refused_and_the_next_one_read(self, rows):
        assert rows(b"a,b\n1,\xff\n3,4\n\xed\xa0\x80,5\n") == [
            (2, "not UTF-8 (invalid start byte); save the file as UTF-8"),
            (3, {"a": "3", "b": "4"}),
            (4, "not UTF-8 (invalid continuation byte); save the file as UTF-8"),
        ]
        ((line, problem),) = rows(b"a,b\n\xc3,\xa9\n")  # a character cut in two by a comma
        assert (line, problem[:9]) == (2, "not UTF-8")

    def test_damage_of_the_file_is_reported_once_and_ends_it(self, rows):
        content = gzip.compress(b"a,b\n" + b"1,2\n" * 9)[:-9]
        *good, (_, problem) = rows(content)
        assert all(row == {"a": "1", "b": "2"} for _, row in good)
        assert ": damaged after line " in problem


class TestFields:
    RECORD = Record(
        Path("f"), 3, {"q": {"stem": "?"}, "c": [{"t": "x"}, {"t": None}], "a.b": 1, "n": None}
    )

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            *(("q.stem", "?"), ("c.t", ["x", None]), ("a.b", 1), ("n", None), ("n.more", None)),
            ("q", {"stem": "?"}),
        ],
    )
    def test_are_found_by_their_path(self, path, value):
        assert self.RECORD.field(path) == value

    @pytest.mark.parametrize(
        ("path", "there"),
        [
            *(("x", "a.b, c, n, q"), ("q.x", "q.stem"), ("c.x", "c.t"), ("q.stem.x", "q.stem")),
            *(("c.t.x", "c.t"), ("a.c", "a.b, c, n, q"), ("", "a.b, c, n, q")),
        ],
    )
    def test_that_are_missing_are_named_with_those_that_there_are(self, path, there):
        with pytest.raises(KformerError, match=rf"^f:3: no column '{path}'; there are: {there}$"):
            self.RECORD.field(path)

    def test_of_a_table_may_be_empty(self):
        record = Record(Path("f"), 3, {"a": "1"}, ("a", "b"))
        assert (record.field("a"), record.field("b")) == ("1", None)
        with pytest.raises(KformerError, match=r"there are: a, b$"):
            record.field("c")


class TestParquet:
    def test_rows_are_numbered_and_name_the_columns(self, tmp_path):
        rows = [{"a": i, "b": {"c": [None, f"{i}"]}} for i in range(2_500)]
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t", row_group_size=700)
        records = list(parquet_records(tmp_path / "t"))
        assert [record.content for record in records] == rows
        assert [record.line for record in records] == list(range(1, 2_501))
        assert records[0].columns == ("a", "b")

    @pytest.mark.parametrize(
        ("column", "twice"), [("a", "a"), ("b", "b.x"), ("c", "c.x"), ("A", None)]
    )
    def test_a_column_that_is_there_twice_is_refused(self, tmp_path, column, twice):
        one = pa.array([1])
        objects = pa.StructArray.from_arrays([one, one], names=["x", "x" if twice else "y"])
        lists = pa.ListArray.from_arrays(pa.array([0, 1]), objects)
        arrays = {"a": one, "b": objects, "c": lists, "A": one}
        table = pa.table([one, arrays[column]], names=["a", column])
        pq.write_table(table, tmp_path / "t")
        if twice is None:
            assert len(list(parquet_records(tmp_path / "t"))) == 1
            return
        with pytest.raises(KformerError, match=rf"t: the column '{twice}' is there twice; rename"):
            list(parquet_records(tmp_path / "t"))

    def test_damage_of_the_file_is_refused_by_its_name(self, folder_of):
        path = folder_of({"t.parquet": b"PAR1"}) / "t.parquet"
        with pytest.raises(KformerError, match=f"{path}: not a readable Parquet file"):
            list(parquet_records(path))


cells = st.lists(st.text(max_size=8) | st.sampled_from(['"', "a\nb", '"a,b"', "\t"]), max_size=4)
contents = st.binary(max_size=60) | st.lists(cells.map(",".join), max_size=5).map(
    lambda lines: "\n".join(lines).encode(errors="surrogatepass")
)


@settings(max_examples=100, deadline=None)
@given(contents, st.sampled_from(["some.csv", "some.tsv"]))
def test_any_content_of_a_table_gives_records_or_our_error(folder_of, content, name):
    path = folder_of({name: content}) / name
    with suppress(KformerError):
        for _, content in records_of(csv_records, path):
            assert isinstance(content, str) or all(
                cell and cell == cell.strip() for cell in content.values()
            )
