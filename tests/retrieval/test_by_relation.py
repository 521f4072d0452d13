"""Documents in the order of their relations."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.retrieval.by_relation import ByRelation

names = st.sampled_from([None, "a", "b", "c", ""])


def layout_of(relations, first_id=0):
    return ByRelation.of(pa.chunked_array([pa.array(relations, pa.string())]), first_id)


def documents_in(layout, relations):
    return [int(id) for start, end in layout.spans(relations) for id in layout.ids[start:end]]


def test_documents_are_sorted_by_relation_and_then_by_id():
    layout = layout_of(["b", None, "a", "b", None])
    assert layout.ids.tolist() == [1, 4, 2, 0, 3]
    assert layout.names == [None, "a", "b"]
    assert layout.bounds.tolist() == [0, 2, 3, 5]


@given(st.lists(names, max_size=12), st.frozensets(names), st.integers(0, 9))
def test_spans_have_the_documents_of_some_relations_and_no_others(relations, wanted, first_id):
    layout = layout_of(relations, first_id)
    expected = [i + first_id for i, name in enumerate(relations) if name in wanted]
    assert sorted(documents_in(layout, wanted)) == expected
    assert sorted(documents_in(layout, None)) == list(range(first_id, first_id + len(relations)))
    assert layout.first_id == (first_id if relations else 0)


@given(st.lists(names, max_size=12), st.frozensets(names))
def test_spans_are_in_order_with_gaps(relations, wanted):
    spans = layout_of(relations).spans(wanted)
    assert spans.shape[1] == 2
    assert (spans[:, 0] < spans[:, 1]).all()
    assert (spans[1:, 0] > spans[:-1, 1]).all()


def test_relations_that_no_document_has_have_no_spans():
    assert layout_of(["a"]).spans(frozenset({"b", None})).shape == (0, 2)


@pytest.mark.parametrize("relations", [[], ["b", None, "a", "b"], ['Ä "q"\n', "a"]])
def test_it_is_saved_and_opened(tmp_path, relations):
    layout = layout_of(relations, 5)
    layout.save(tmp_path)
    opened = ByRelation.open(tmp_path)
    assert opened.names == layout.names
    np.testing.assert_array_equal(opened.ids, layout.ids)
    np.testing.assert_array_equal(opened.bounds, layout.bounds)
