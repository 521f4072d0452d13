"""Facts for questions outside of a study: those that the stage of retrieval finds."""

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.retrieval.find_facts import FactFinder
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Retrieval


@pytest.mark.parametrize(
    "settings",
    [
        Retrieval(top_k=6),
        Retrieval(top_k=4, query="choice"),
        Retrieval(method="gold", top_k=6, distractors=2),
    ],
    ids=["question", "choice", "gold"],
)
def test_they_are_those_that_the_stage_finds(settings, tiny_tables, tmp_path):
    questions, facts = tiny_tables / "questions.parquet", tiny_tables / "facts.parquet"
    retrieve(settings, questions, facts, [tiny_tables / "index"], tmp_path / "r.parquet")
    rows = [row for row in read_rows(questions, "questions") if row["gold_facts"]]
    assert rows
    found = FactFinder(settings, facts, [tiny_tables / "index"]).find(rows)
    texts = {row["fact_id"]: row["text"] for row in read_rows(facts, "facts")}
    expected = {}
    for row in read_rows(tmp_path / "r.parquet", "retrieval"):
        hits = list(zip(row["fact_ids"], row["scores"], strict=True))
        expected.setdefault(row["question_id"], []).append(hits)
    for row, lists in zip(rows, found, strict=True):
        ids_and_scores = [[(hit.id, hit.score) for hit in hits] for hits in lists]
        assert ids_and_scores == expected[row["question_id"]]
        assert all(hit.text == texts[hit.id] for hits in lists for hit in hits)


def test_without_questions_nothing_is_found(tiny_tables):
    finder = FactFinder(Retrieval(), tiny_tables / "facts.parquet", [tiny_tables / "index"])
    assert finder.find([]) == []


def test_a_control_finds_nothing_for_a_new_question(tiny_tables):
    with pytest.raises(KformerError, match="a control reads facts that were not found"):
        FactFinder(Retrieval(control="shuffle"), tiny_tables / "facts.parquet", [])


def test_gold_facts_are_those_of_a_question_that_has_some(tiny_tables):
    settings = Retrieval(method="gold")
    finder = FactFinder(settings, tiny_tables / "facts.parquet", [tiny_tables / "index"])
    rows = list(read_rows(tiny_tables / "questions.parquet", "questions"))[:2]
    with pytest.raises(KformerError, match=r"question '.*': has no gold facts"):
        finder.find([rows[0], rows[1] | {"gold_facts": None}])
