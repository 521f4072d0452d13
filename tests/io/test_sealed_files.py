"""Damage anywhere in a table is noticed, and other programs still read it."""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io.tables import (
    count_rows,
    provenance,
    read_rows,
    read_table,
    take_rows,
    write_table,
)

FACT = {"fact_id": 0, "text": "A fact.", "relation": None, "source": "demo", "origin": "here"}


def read_every_way(path):
    list(read_rows(path, "facts"))
    read_table(path, "facts")
    provenance(path, "facts")
    count_rows(path, "facts")
    take_rows(path, "facts", [0])


def is_refused_in_one_line(path):
    with pytest.raises(KformerError) as caught:
        read_every_way(path)
    message = str(caught.value)
    return message.startswith(f"{path}: ") and message.isprintable()


@pytest.fixture
def table(tmp_path):
    rows = [{**FACT, "fact_id": i, "text": f"text {i}"} for i in range(50)]
    write_table(tmp_path / "t", "facts", rows, {"read_from": "somewhere"})
    read_every_way(tmp_path / "t")
    return tmp_path / "t"


def test_any_flipped_bit_is_noticed(table):
    """In pages, their headers, the schema, the metadata, the checksum itself."""
    whole = table.read_bytes()
    for i in range(0, len(whole), 3):
        table.write_bytes(whole[:i] + bytes([whole[i] ^ (1 << i % 8)]) + whole[i + 1 :])
        assert is_refused_in_one_line(table), i


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_other_damage_is_noticed(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t"
        write_table(path, "facts", [FACT] * 20, {"read_from": "somewhere"})
        whole = path.read_bytes()
        cut = st.tuples(*[st.integers(0, len(whole))] * 2)
        start, end = sorted(data.draw(cut))
        damaged = whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:]
        path.write_bytes(damaged)
        assert damaged == whole or is_refused_in_one_line(path)


def test_a_table_without_its_checksum_is_refused(table):
    pq.write_table(pq.read_table(table), table)
    with pytest.raises(KformerError, match=r"damaged \(its checksum differs\); delete the file"):
        read_table(table, "facts")


def test_any_program_reads_a_table(table):
    assert pq.read_table(table).num_rows == 50
    assert pa.dataset.dataset(table).count_rows() == 50
