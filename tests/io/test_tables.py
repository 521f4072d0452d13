"""The tables between stages: what goes in comes out, and what does not fit stays out."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kformer.errors import KformerError
from kformer.io import tables
from kformer.io.table_schemas import SCHEMAS, TABLES_VERSION
from kformer.io.tables import (
    count_rows,
    read_column,
    read_columns,
    read_rows,
    read_table,
    rebatched,
    take_rows,
    write_batches,
    write_table,
)

QUESTION = {
    "question_id": "q0",
    "split": "train",
    "context": "",
    "question": "Which pet has Krez?",
    "choices": ["dog", "Käfer 🐞"],
    "answer": 1,
    "type": None,
    "gold_facts": ["The pet of Krez is Käfer 🐞."],
}
FACT = {
    "fact_id": 0,
    "text": "The pet of Krez is dog.",
    "relation": None,
    "source": "demo",
    "origin": "Krez | pet",
}
RETRIEVAL = {"question_id": "q0", "choice": None, "fact_ids": [2, 0], "scores": [1.5, 0.25]}
PREDICTION = {
    "question_id": "q0",
    "split": "test",
    "answer": None,
    "prediction": 1,
    "tied": False,
    "credit": None,
    "inputs_cut": 0,
    "logits": [0.5, -0.25],
    "fact_ids": [[2, 0], []],
}
USED_FACT = {
    "fact_id": 2,
    "margin_gain": -0.5,
    "prediction_without": 0,
    "is_gold": None,
    "activations": [1.5, 0.25],
}
USE_OF_FACTS = {
    "question_id": "q0",
    "split": "test",
    "answer": 1,
    "margin": 0.25,
    "prediction": 1,
    "margin_without_facts": -1.5,
    "prediction_without_facts": 0,
    "other_question_id": "q1",
    "margin_with_other_facts": 0.0,
    "prediction_with_other_facts": 1,
    "fact_ids": [[2], []],
    "facts": [USED_FACT, {**USED_FACT, "is_gold": True, "activations": []}],
}
EXAMPLES = {
    "questions": [QUESTION, {**QUESTION, "answer": None, "type": "easy", "gold_facts": None}],
    "facts": [FACT, {**FACT, "fact_id": 2**40, "relation": "pet"}],
    "retrieval": [RETRIEVAL, {**RETRIEVAL, "choice": 3, "fact_ids": [], "scores": []}],
    "predictions": [PREDICTION, {**PREDICTION, "answer": 0}],
    "use_of_facts": [USE_OF_FACTS, {**USE_OF_FACTS, "fact_ids": [[], []], "facts": []}],
}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("count", [2, 0])
def test_rows_come_back_as_they_were_written_from_a_file_that_says_what_it_is(
    tmp_path, name, count
):
    path, rows = tmp_path / "made" / "on_the_way" / "table.parquet", EXAMPLES[name][:count]
    assert write_table(path, name, rows) == count
    assert list(read_rows(path, name)) == rows
    assert read_table(path, name).to_pylist() == rows
    assert names_in(path.parent) == ["table.parquet"]
    schema = pq.read_schema(path)
    assert schema.metadata[b"kformer_table"] == name.encode()
    assert schema.metadata[b"kformer_version"] == TABLES_VERSION.encode()
    assert schema.equals(SCHEMAS[name])


def test_the_same_rows_give_the_same_bytes(tmp_path):
    rows = [{**FACT, "fact_id": i, "text": f"fact {i % 7}"} for i in range(1000)]
    write_table(tmp_path / "one", "facts", rows)
    write_table(tmp_path / "two", "facts", iter(rows))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    row_group = pq.ParquetFile(tmp_path / "one").metadata.row_group(0)
    assert {row_group.column(i).compression for i in range(row_group.num_columns)} == {"ZSTD"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        *(("questions", {"answer": answer}) for answer in (300, "one")),
        *(("questions", {"question_id": name}) for name in (3, None)),
        *(("questions", {"choices": choices}) for choices in (None, [1, 2])),
        ("questions", {"split": ["train"]}),
        *(("facts", {"fact_id": number}) for number in (2**63, None)),
        ("facts", {"text": None}),
        ("retrieval", {"scores": ["high"]}),
        ("predictions", {"fact_ids": [1, 2]}),
        ("predictions", {"prediction": None}),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_and_leaves_no_file(tmp_path, name, change):
    rows = [EXAMPLES[name][0], {**EXAMPLES[name][0], **change}]
    with pytest.raises(KformerError, match=rf"^{tmp_path}/table\.parquet: .+$"):
        write_table(tmp_path / "table.parquet", name, rows)
    assert names_in(tmp_path) == []


def test_an_error_says_between_which_rows_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 2)
    rows = [{**FACT, "text": 5 if i == 4 else "text"} for i in range(5)]
    with pytest.raises(KformerError, match="rows 4 to 5 do not fit"):
        write_table(tmp_path / "t", "facts", rows)


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("count", [0, 5])
def test_rows_that_break_off_leave_the_old_table_or_nothing(tmp_path, monkeypatch, old, count):
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 2)
    path = tmp_path / "table.parquet"
    if old:
        write_table(path, "facts", [FACT])
    before = path.read_bytes() if old else None

    def breaking():
        yield from ({**FACT, "fact_id": i} for i in range(count))
        raise RuntimeError("the reader broke")

    with pytest.raises(RuntimeError, match="the reader broke"):
        write_table(path, "facts", breaking())
    assert names_in(tmp_path) == [path.name] * old
    assert not old or path.read_bytes() == before


DAMAGED = [b"", b"not a table", b"PAR1" + bytes(20) + b"PAR1"]


def writes(content):
    return lambda path: path.write_bytes(content)


def of_another_version(path):
    with pytest.MonkeyPatch.context() as past:
        past.setattr(tables, "TABLES_VERSION", "0")
        write_table(path, "facts", [FACT])


def of_other_columns(path):
    metadata = {"kformer_table": "facts", "kformer_version": TABLES_VERSION}
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(metadata), path)


@pytest.mark.parametrize("read", [read_table, lambda path, name: list(read_rows(path, name))])
@pytest.mark.parametrize(
    ("write", "problem"),
    [
        (lambda path: None, "there is no such file; expected a facts table"),
        (lambda path: path.mkdir(), ""),
        *((writes(content), "not a readable Parquet file") for content in DAMAGED),
        (lambda path: write_table(path, "questions", [QUESTION]), "holds questions, but a facts"),
        (lambda path: pq.write_table(pa.table({"a": [1]}), path), "a facts table is needed"),
        (of_another_version, f"of version 0, .* reads version {TABLES_VERSION}; delete the file"),
        (of_other_columns, "facts table of version"),
    ],
)
def test_another_file_is_refused_by_its_name_in_one_line(tmp_path, read, write, problem):
    write(tmp_path / "t")
    with pytest.raises(KformerError, match=rf"^{tmp_path}/t: .*{problem}.*$"):
        read(tmp_path / "t", "facts")


def fact_table(*rows):
    return pa.Table.from_pylist(list(rows), schema=SCHEMAS["facts"])


def test_batches_with_a_value_that_is_missing_are_refused_and_leave_the_old_table(tmp_path):
    write_table(tmp_path / "t", "facts", [FACT])
    before = (tmp_path / "t").read_bytes()
    batches = [fact_table(FACT), fact_table({**FACT, "origin": None})]
    with pytest.raises(KformerError, match=rf"^{tmp_path}/t: column origin may not be empty$"):
        write_batches(tmp_path / "t", "facts", batches)
    assert (tmp_path / "t").read_bytes() == before
    assert names_in(tmp_path) == ["t"]


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """A facts table of 11 rows in row groups of 4, 4 and 3."""
    monkeypatch.setattr(tables, "ROWS_PER_BATCH", 4)
    rows = [{**FACT, "fact_id": i, "text": f"t{i}", "relation": "ab"[i % 2]} for i in range(11)]
    write_table(tmp_path / "t", "facts", rows)
    assert pq.ParquetFile(tmp_path / "t").num_row_groups == 3
    return tmp_path / "t", rows


class TestParts:
    """Some rows, some columns; in bounded memory."""

    @pytest.mark.parametrize("end", [*range(12), None])
    def test_rows_from_one_to_another(self, groups, end):
        path, rows = groups
        for start in range(12):
            assert list(read_rows(path, "facts", start, end)) == rows[start:end]
            column = read_column(path, "relation", start, end)
            assert column.type == pa.string()
            assert column.to_pylist() == [row["relation"] for row in rows[start:end]]

    def test_some_columns_batch_by_batch(self, groups):
        path, rows = groups
        batches = list(read_columns(path, "facts", ["relation", "text"], 3, 9))
        assert {tuple(sorted(batch.schema.names)) for batch in batches} == {("relation", "text")}
        texts = [text for batch in batches for text in batch["text"].to_pylist()]
        assert texts == [row["text"] for row in rows[3:9]]
        assert max(batch.num_rows for batch in batches) <= 4

    def test_rows_by_their_numbers_in_that_order(self, groups):
        path, rows = groups
        for numbers in ([], [0], [10, 0, 4, 3, 4], list(range(11))):
            assert take_rows(path, "facts", numbers) == [rows[number] for number in numbers]

    def test_a_table_has_as_many_rows_as_it_says_and_may_have_none(self, groups, tmp_path):
        assert count_rows(groups[0], "facts") == 11
        write_table(tmp_path / "t", "facts", [])
        assert count_rows(tmp_path / "t", "facts") == 0
        assert read_column(tmp_path / "t", "text").to_pylist() == []
        assert take_rows(tmp_path / "t", "facts", []) == []

    def test_another_table_has_none(self, groups):
        for read in (count_rows, lambda *of: take_rows(*of, [0])):
            with pytest.raises(KformerError, match="holds facts, but a questions table"):
                read(groups[0], "questions")


class TestRebatched:
    @pytest.mark.parametrize("sizes", [[], [0], [3], [4], [9], [1, 1, 1], [2, 0, 7, 4, 5], [13, 1]])
    def test_the_rows_are_the_same_in_batches_of_one_size(self, monkeypatch, sizes):
        monkeypatch.setattr(tables, "ROWS_PER_BATCH", 4)
        numbers = iter(range(sum(sizes)))
        parts = [fact_table(*({**FACT, "fact_id": next(numbers)} for _ in range(n))) for n in sizes]
        batches = list(rebatched(iter(parts)))
        found = [number for batch in batches for number in batch["fact_id"].to_pylist()]
        assert found == list(range(sum(sizes)))
        assert all(batch.num_rows == 4 for batch in batches[:-1])
        assert all(0 < batch.num_rows <= 4 for batch in batches)

    def test_the_bytes_depend_on_the_rows_alone(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tables, "ROWS_PER_BATCH", 4)
        rows = [{**RETRIEVAL, "question_id": f"q{i}", "fact_ids": [i] * (i % 3)} for i in range(10)]
        whole = pa.Table.from_pylist(rows, schema=SCHEMAS["retrieval"])
        for name, sizes in (("a", [10]), ("b", [1, 8, 1]), ("c", [5, 5])):
            starts = [sum(sizes[:i]) for i in range(len(sizes))]
            parts = [whole.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
            write_batches(tmp_path / name, "retrieval", rebatched(iter(parts)))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
        assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()
