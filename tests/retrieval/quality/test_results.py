"""Questions are read together with their results, and have to belong together."""

import pytest

from kformer.errors import KformerError
from kformer.io.tables import write_table
from kformer.retrieval.quality.results import read_results
from kformer.retrieval.settings import Retrieval


def question(question_id="q"):
    return {
        "question_id": question_id,
        "split": "train",
        "context": "",
        "question": "the pet of Krez",
        "choices": ["a dog", "a cat"],
        "answer": 0,
        "type": None,
        "gold_facts": None,
    }


def query(fact_ids, choice=None, question_id="q"):
    scores = [1.0] * len(fact_ids)
    return {"question_id": question_id, "choice": choice, "fact_ids": fact_ids, "scores": scores}


@pytest.fixture
def read(tmp_path):
    def run(questions, queries, query="question"):
        write_table(tmp_path / "questions", "questions", questions)
        write_table(tmp_path / "retrieval", "retrieval", queries)
        tables = tmp_path / "questions", tmp_path / "retrieval"
        return list(read_results(*tables, Retrieval(query=query)))

    return run


def test_questions_get_the_rows_of_their_queries(read):
    [only] = read([question("a")], [query([1], None, "a")])
    assert (only.question, only.query.texts) == (question("a"), ["the pet of Krez"])
    assert [row["fact_ids"] for row in only.rows] == [[1]]
    queries = [query([i], i % 2, "ab"[i // 2]) for i in range(4)]
    one, other = read([question("a"), question("b")], queries, "choice")
    assert one.query.texts == ["the pet of Krez a dog", "the pet of Krez a cat"]
    assert [row["fact_ids"] for row in one.rows + other.rows] == [[0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("ids", "retrieved", "named"),
    [("ab", "a", "b"), ("a", "ab", "b"), ("ab", "b", "a"), ("ab", "ba", "a"), ("a", "", "a")],
)
def test_tables_of_different_questions_are_refused(read, ids, retrieved, named):
    queries = [query([1], question_id=question_id) for question_id in retrieved]
    with pytest.raises(KformerError, match=f"question '{named}' is in only one of") as caught:
        read([question(question_id) for question_id in ids], queries)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("choices", [[0], [1, 0], [0, 1, 2], [None, None], [None, 0]])
@pytest.mark.parametrize(("kind", "count"), [("question", 1), ("choice", 2)])
def test_queries_that_do_not_fit_the_choices_are_refused(read, choices, kind, count):
    with pytest.raises(KformerError, match=f"question 'q' should have {count} queries, by"):
        read([question()], [query([1], choice) for choice in choices], kind)
