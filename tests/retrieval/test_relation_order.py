"""Documents in the order of their relations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.retrieval.relation_order import ByRelation

names = st.sampled_from([None, "a", "b", "c", ""])


def test_documents_are_sorted_by_relation_and_then_by_id(layout_of):
    layout = layout_of(["b", None, "a", "b", None])
    assert layout.ids.tolist() == [1, 4, 2, 0, 3]
    assert layout.names == [None, "a", "b"]
    assert layout.bounds.tolist() == [0, 2, 3, 5]


@given(st.lists(names, max_size=12), st.none() | st.frozensets(names), st.integers(0, 9))
def test_spans_have_the_documents_of_some_relations_in_order_with_gaps(
    layout_of, relations, wanted, first_id
):
    layout = layout_of(relations, first_id)
    spans = layout.spans(wanted)
    found = [int(id) for start, end in spans for id in layout.ids[start:end]]
    ids = enumerate(relations, start=first_id)
    assert sorted(found) == [id for id, name in ids if wanted is None or name in wanted]
    assert layout.first_id == (first_id if relations else 0)
    assert spans.shape[1] == 2
    assert wanted is None or (spans[:, 0] < spans[:, 1]).all()
    assert (spans[1:, 0] > spans[:-1, 1]).all()


@pytest.mark.parametrize("relations", [[], ["b", None, "a", "b"], ['Ä "q"\n', "a"]])
def test_it_is_saved_and_opened(layout_of, tmp_path, relations):
    layout = layout_of(relations, 5)
    layout.save(tmp_path)
    opened = ByRelation.open(tmp_path)
    assert opened.names == layout.names
    np.testing.assert_array_equal(opened.ids, layout.ids)
    np.testing.assert_array_equal(opened.bounds, layout.bounds)
