"""Which of a batch's slots each row reads."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from kformer.modeling.batch_facts import RowSlots


def lists_of_slots(of_rows):
    """Of each row, (slot, whose it is) of those that are slots."""
    rows = zip(of_rows.slots.tolist(), of_rows.facts.tolist(), of_rows.mask.tolist(), strict=True)
    return [
        [(slot, fact) for slot, fact, is_slot in zip(*row, strict=True) if is_slot] for row in rows
    ]


@given(st.data())
def test_a_row_has_all_slots_of_the_facts_that_it_keeps_and_no_others(data):
    counts = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5))
    number = data.draw(st.integers(1, 4))
    fact = st.one_of(st.none(), st.integers(0, len(counts) - 1))
    rows = data.draw(
        st.lists(st.lists(fact, min_size=number, max_size=number), min_size=1, max_size=4)
    )
    kept = torch.tensor([[each or 0 for each in row] for row in rows])
    mask = torch.tensor([[each is not None for each in row] for row in rows])
    found = RowSlots.several(kept, mask, torch.tensor(counts))
    expected = [
        [
            (sum(counts[:each]) + place, position)
            for position, each in enumerate(row)
            if each is not None
            for place in range(counts[each])
        ]
        for row in rows
    ]
    assert lists_of_slots(found) == expected
    assert found.slots.shape[1] == max(1, *map(len, expected), 1)
    assert found.slots.max() < max(1, sum(counts)) and found.facts.max() < number


def test_facts_with_a_slot_each_are_their_own_slots():
    kept, mask = torch.tensor([[2, 0], [1, 0]]), torch.tensor([[True, True], [True, False]])
    found = RowSlots.one_each(kept, mask)
    assert lists_of_slots(found) == [[(2, 0), (0, 1)], [(1, 0)]]
