"""Keys of records: known ones in any case, and others that may be meant as one."""

import pytest

from kformer.errors import KformerError
from kformer.questions.user_files import CsvQuestions, JsonlQuestions, ParquetQuestions

READERS = {"jsonl": JsonlQuestions, "parquet": ParquetQuestions, "csv": CsvQuestions}
SPLITS = ["train"] * 6 + ["dev"] * 3 + ["test"] * 3


def rows_with(key, values=SPLITS, **more):
    asked = {"choices": ["yes", "no"], "answer": "B"} | more
    return [{"question": f"{i}?", key: value} | asked for i, value in enumerate(values)]


def as_table(rows):
    """Rows of JSON lines as a table."""
    cells = [{**row, "A": "yes", "B": "no"} for row in rows]
    for row in cells:
        row.pop("choices")
    lines = [cells[0].keys(), *(map(str, row.values()) for row in cells)]
    return "".join(",".join(line) + "\n" for line in lines)


@pytest.fixture
def read(folder_of):
    def read(rows, kind="jsonl", columns=None):
        folder = folder_of({f"q.{kind}": as_table(rows) if kind == "csv" else rows})
        return list(READERS[kind](path=".", columns=columns).read(folder))

    return read


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("columns", [None, {}, {"type": "note"}, {"split": "Split"}])
def test_a_known_key_may_be_in_any_case(read, kind, columns):
    rows = rows_with("Split", Context="c", note="n")
    if columns != {"split": "Split"}:
        rows = [{key.upper() if key == "Split" else key: row[key] for key in row} for row in rows]
    read_rows = read(rows, kind, columns)
    assert [row["split"] for row in read_rows] == [s.replace("dev", "validation") for s in SPLITS]
    assert {row["context"] for row in read_rows} == {"c"}


@pytest.mark.parametrize("kind", READERS)
def test_a_key_that_the_config_names_is_no_other(read, kind):
    rows = read(rows_with("Split", answer="A"), kind, {"type": "Split"})
    assert [row["type"] for row in rows] == SPLITS
    assert len({row["split"] for row in rows}) == 3


@pytest.mark.parametrize("kind", READERS)
def test_a_known_key_in_two_cases_is_refused(read, kind):
    with pytest.raises(KformerError, match=rf"q\.{kind}:1: the column 'split' is there twice; ren"):
        read(rows_with("Split", split="test"), kind)


def test_a_key_in_two_cases_that_is_not_read_is_fine(read):
    rows = rows_with("Answer", "abc", k=0)
    assert {row["answer"] for row in read(rows, columns={"answer": "k"})} == {0}


class TestAnUnreadKeyThatHoldsTheSplitOfEachQuestion:
    @pytest.mark.parametrize("kind", READERS)
    @pytest.mark.parametrize("key", ["splt", "Subset"])
    @pytest.mark.parametrize("values", [SPLITS, ["test"] * 3])
    def test_is_refused(self, read, kind, key, values):
        with pytest.raises(
            KformerError, match=rf"q\.{kind}:\d: has no split, but each question has"
        ):
            read(rows_with(key, values), kind)

    @pytest.mark.parametrize("kind", READERS)
    def test_may_be_read_or_not_as_the_config_says(self, read, kind):
        rows = read(rows_with("subset"), kind, {"split": "subset"})
        assert [row["split"] for row in rows].count("train") == 6
        rows = read(rows_with("subset"), kind, {"split": None})
        assert [row["split"] for row in rows].count("train") == 7

    @pytest.mark.parametrize("values", [["train", "test", "bus"], ["train", None, "test"]])
    def test_is_none_where_some_hold_something_else(self, read, values):
        assert len(read(rows_with("topic", values))) == 3

    def test_is_none_where_questions_have_a_split(self, read):
        assert {row["split"] for row in read(rows_with("subset", split="test"))} == {"test"}


@pytest.mark.parametrize("kind", READERS)
def test_keys_that_may_be_misspelt_are_told(read, caplog, kind):
    read(rows_with("contxt", "abc", note="y"), kind)
    (message,) = caplog.messages
    assert message.endswith(f"q.{kind}: not read: the key 'contxt' of 3 questions; is it context?")
