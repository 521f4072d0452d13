"""Questions and their queries are read side by side, and have to belong together."""

import pytest

from kformer.errors import KformerError
from kformer.io.tables import write_table
from kformer.retrieval.quality.results import read_results


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
    scores = [float(10 - place) for place in range(len(fact_ids))]
    return {"question_id": question_id, "choice": choice, "fact_ids": fact_ids, "scores": scores}


class TestQuestionsAndTheirQueries:
    @pytest.fixture
    def join(self, tmp_path):
        def run(questions, queries):
            write_table(tmp_path / "questions", "questions", questions)
            write_table(tmp_path / "retrieval", "retrieval", queries)
            return list(read_results(tmp_path / "questions", tmp_path / "retrieval"))

        return run

    def test_questions_get_their_queries(self, join):
        questions = [question("a"), question("b")]
        joined = join(
            questions,
            [query([1], question_id="a"), query([2], 0, "b"), query([3], 1, "b")],
        )
        assert [one.question for one in joined] == questions
        assert [[row["fact_ids"] for row in one.queries] for one in joined] == [[[1]], [[2], [3]]]

    @pytest.mark.parametrize(
        ("asked_ids", "found_ids", "named"),
        [("ab", "a", "b"), ("a", "ab", "b"), ("ab", "b", "a"), ("ab", "ba", "a"), ("a", "", "a")],
    )
    def test_a_question_in_one_table_only_is_an_error(self, join, asked_ids, found_ids, named):
        queries = [query([1], question_id=question_id) for question_id in found_ids]
        with pytest.raises(KformerError, match=f"question '{named}' is in only one of") as caught:
            join([question(question_id) for question_id in asked_ids], queries)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("choices", [[0], [1, 0], [0, 1, 2], [None, None], [None, 0]])
    def test_queries_that_do_not_fit_the_choices_are_an_error(self, join, choices):
        with pytest.raises(KformerError, match="one query, or one for each of its 2 choices"):
            join([question()], [query([1], choice) for choice in choices])
