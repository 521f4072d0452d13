"""Questions are read together with their results, and have to belong together."""

import pytest

from kformer.errors import KformerError
from kformer.retrieval.quality.question_results import read_results
from kformer.retrieval.settings import Retrieval


@pytest.fixture
def read(questions_table, retrieval_table):
    def run(ids, *found, query="question"):
        questions = questions_table(*({"question_id": each, "question": "Krez?"} for each in ids))
        return list(read_results(questions, retrieval_table(*found), Retrieval(query=query)))

    return run


def test_questions_get_the_rows_of_their_queries(read):
    [only] = read("a", ("a", None, [1]))
    assert (only.question["question_id"], only.query.texts) == ("a", ["Krez?"])
    assert [row["fact_ids"] for row in only.rows] == [[1]]
    found = [("ab"[i // 2], i % 2, [i]) for i in range(4)]
    one, other = read("ab", *found, query="choice")
    assert one.query.texts == ["Krez? dog", "Krez? pilot"]
    assert [row["fact_ids"] for row in (*one.rows, *other.rows)] == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("ids", "retrieved", "named"),
    [("ab", "a", "b"), ("a", "ab", "b"), ("ab", "b", "a"), ("ab", "ba", "a"), ("a", "", "a")],
)
def test_tables_of_different_questions_are_refused(read, ids, retrieved, named):
    with pytest.raises(KformerError, match=f"question '{named}' is in only one of"):
        read(ids, *((each, None, [1]) for each in retrieved))


@pytest.mark.parametrize("choices", [[0], [1, 0], [0, 1, 2], [None, None], [None, 0]])
@pytest.mark.parametrize(("kind", "count"), [("question", 1), ("choice", 2)])
def test_queries_that_do_not_fit_the_choices_are_refused(read, choices, kind, count):
    with pytest.raises(KformerError, match=f"question 'q' should have {count} queries, by"):
        read("q", *(("q", choice, [1]) for choice in choices), query=kind)
