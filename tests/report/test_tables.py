"""The tables of a report."""

import csv

import pytest

from kformer.report.tables import Table, tables_of, write_tables


def by_name(comparison):
    return {table.name: table for table in tables_of(comparison, comparison.baseline)}


def test_the_most_accurate_condition_comes_first(compared):
    tables = by_name(compared())
    order = ["kformer", "retrieval-only", "none", "kformer-shuffled"]
    for name in ("conditions", "pairs"):
        assert [row[0] for row in tables[name].rows] == order
    assert [row[0] for row in tables["by_type"].rows] == ["guessing", *order]
    assert [row[0] for row in tables["answers"].rows] == ["(right answers)", *order]
    assert [row[0] for row in tables["calibration"].rows] == [
        name for name in order if name != "retrieval-only"
    ]


def test_every_two_conditions_are_compared_both_ways(compared):
    _, *names = by_name(compared())["pairs"].header
    rows = {
        row[0]: dict(zip(names, row[1:], strict=True)) for row in by_name(compared())["pairs"].rows
    }
    assert rows["kformer"]["kformer"] == ""
    assert rows["kformer"]["none"].startswith("+65.0 (p ")
    assert rows["none"]["kformer"].startswith("-65.0 (p ")


def test_each_table_is_written_as_csv_latex_and_markdown(tmp_path):
    rows = [["a_b & c", "+1.0 ±2"], ["x", "<0.001"]]
    table = Table("some", "50 % of all.", ["name", "Δ %"], rows)
    write_tables([table], tmp_path / "tables")
    with (tmp_path / "tables/some.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["name", "Δ %"], *rows]
    latex = (tmp_path / "tables/some.tex").read_text()
    for part in (
        r"\toprule",
        r"a\_b \& c",
        r"$\Delta$ \%",
        r"$\pm$2",
        "$<$0.001",
        r"50 \% of all.",
    ):
        assert part in latex
    assert "| a_b & c | +1.0 ±2 |" in (tmp_path / "tables/some.md").read_text()


@pytest.mark.parametrize("name", ["conditions", "pairs", "ladders"])
def test_rows_are_as_long_as_their_header(compared, name):
    table = by_name(compared())[name]
    assert {len(row) for row in table.rows} == {len(table.header)}
