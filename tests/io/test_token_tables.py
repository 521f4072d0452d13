"""Tables of tokens are mapped into memory, and damage anywhere in them is noticed."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io import token_tables
from kformer.io.ragged import RaggedBuilder
from kformer.io.token_tables import open_token_table, write_token_table

LISTS = [[5, 6], [], [7, 8, 9], [2**31 - 1]]


def write(path, lists=LISTS, made_of="0" * 64, tokenizer="1" * 64):
    builder = RaggedBuilder()
    builder.extend(lists)
    columns = {"text": builder.build().to_arrow()}
    write_token_table(path, "fact_tokens", columns, made_of, tokenizer)


@pytest.fixture
def table(tmp_path):
    write(tmp_path / "t.arrow", [[i, i + 1] for i in range(50)])
    open_token_table(tmp_path / "t.arrow", "fact_tokens")
    return tmp_path / "t.arrow"


def is_refused_in_one_line(path):
    with pytest.raises(KformerError) as caught:
        open_token_table(path, "fact_tokens")
    message = str(caught.value)
    return message.startswith(f"{path}: ") and message.isprintable()


@pytest.mark.parametrize("lists", [LISTS, [], [[]]])
def test_what_is_read_is_what_was_written(lists, tmp_path):
    write(tmp_path / "t", lists, made_of="table", tokenizer="tokenizer")
    found = open_token_table(tmp_path / "t", "fact_tokens")
    assert (len(found), found.made_of, found.tokenizer) == (len(lists), "table", "tokenizer")
    tokens = found.tokens("text")
    assert [tokens[row].tolist() for row in range(len(lists))] == lists
    assert found.value("text", 0) == lists[0] if lists else True


def test_tokens_are_in_the_file_itself(table):
    before = pa.total_allocated_bytes()
    tokens = open_token_table(table, "fact_tokens").tokens("text")
    assert pa.total_allocated_bytes() - before < tokens.values.nbytes
    assert not tokens.values.flags.owndata and not tokens.values.flags.writeable


def test_the_same_tokens_have_the_same_bytes(tmp_path):
    for name in ("one", "other"):
        write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_any_flipped_bit_is_noticed(table):
    """In values, the schema, the metadata, the checksum itself."""
    whole = table.read_bytes()
    for i in range(0, len(whole), 3):
        table.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        assert is_refused_in_one_line(table), i


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_any_other_damage_is_noticed(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        write(path)
        whole = path.read_bytes()
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
        damaged = whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:]
        path.write_bytes(damaged)
        assert damaged == whole or is_refused_in_one_line(path)


def test_a_table_without_its_checksum_is_refused(table):
    rows = pa.ipc.open_file(table).read_all()
    with pa.ipc.new_file(table, rows.schema) as writer:
        writer.write_table(rows)
    with pytest.raises(KformerError, match=r"damaged \(its checksum differs\); delete the file"):
        open_token_table(table, "fact_tokens")


def test_any_program_reads_a_table(table):
    assert pa.ipc.open_file(table).read_all().num_rows == 50


def test_what_is_no_such_table_is_refused(table, tiny_tables, tmp_path, monkeypatch):
    with pytest.raises(KformerError, match="holds fact_tokens, but a question_tokens table is"):
        open_token_table(table, "question_tokens")
    with pytest.raises(KformerError, match="not a readable Arrow file"):
        open_token_table(tiny_tables / "questions.parquet", "question_tokens")
    with pytest.raises(KformerError, match="there is no such file; expected a fact_tokens table"):
        open_token_table(tmp_path / "nothing", "fact_tokens")
    monkeypatch.setattr(token_tables, "_VERSION", "0")
    with pytest.raises(KformerError, match="version 1, but this program reads version 0; delete"):
        open_token_table(table, "fact_tokens")


@given(
    lists=st.lists(st.lists(st.integers(0, 99), max_size=4), min_size=1, max_size=6),
    longest=st.integers(0, 5),
    data=st.data(),
)
def test_the_first_tokens_of_some_lists(lists, longest, data):
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=8))
    builder = RaggedBuilder()
    builder.extend(lists)
    heads = builder.build().heads(np.array(rows, dtype=np.int64), longest)
    assert [heads[i].tolist() for i in range(len(heads))] == [lists[r][:longest] for r in rows]
    assert heads.longest == max((len(lists[r][:longest]) for r in rows), default=0)
