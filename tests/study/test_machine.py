"""Cores and memory are divided among trainings so that a study takes the least time."""

import pytest

from kformer.study.machine import memory_of_this_machine, threads_of_a_training


@pytest.mark.parametrize(
    ("trainings", "cores", "memory", "needed", "threads"),
    [
        (12, 2, 24_000, 4_000, 1),  # one core each
        (12, 2, 24_000, 16_000, 2),  # memory for one alone
        (1, 8, 64_000, 4_000, 8),  # one alone
        (6, 8, 64_000, 4_000, 1),  # two cores are left for other jobs
        (12, 8, 64_000, 4_000, 2),  # three turns of four, not one of eight and one of four
        (12, 64, 256_000, 4_000, 5),  # all at once
        (3, 2, 1_000, 4_000, 2),  # too little for any: one after the other
    ],
)
def test_trainings_share_cores_as_memory_allows(trainings, cores, memory, needed, threads):
    assert threads_of_a_training(trainings, cores, memory, needed) == threads


def test_no_training_has_more_threads_than_there_are_cores():
    for trainings in (1, 2, 7, 21):
        for cores in (1, 2, 8, 64):
            for memory in (3_000, 24_000, 500_000):
                assert 1 <= threads_of_a_training(trainings, cores, memory, 4_000) <= cores


def test_the_memory_of_this_machine_is_known():
    assert 500 < memory_of_this_machine() < 10**8
