"""Gold facts: given to the questions that have them, alone or among distractors."""

from collections import Counter

import pytest
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.io.tables import read_rows, write_table
from kformer.retrieval.index import index_words
from kformer.retrieval.query import query_of
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.retriever import Retriever
from kformer.retrieval.settings import Retrieval

FACTS = [f"{animal} eats {food}" for animal in ("cat", "dog", "cow") for food in ("hay", "fish")]
FACTS += [f"stone {number} is hard" for number in range(20)]


def question(name, gold, text="what eats fish?", split="train"):
    choices = ["cat", "dog"]
    row = {"question_id": name, "split": split, "context": "", "question": text}
    return row | {"choices": choices, "answer": 0, "gold_facts": gold}


@pytest.fixture
def found(tmp_path):
    """Retrieves for questions; returns the ids of the facts of each of their rows."""

    def run(questions, texts=FACTS, **settings):
        section = Retrieval(method="gold", max_without_facts=1.0, **{"top_k": 6} | settings)
        facts, asked, out = (tmp_path / f"{name}.parquet" for name in ("facts", "asked", "out"))
        rows = [
            {"fact_id": i, "text": text, "relation": None, "source": "test", "origin": ""}
            for i, text in enumerate(texts)
        ]
        write_table(facts, "facts", rows)
        write_table(asked, "questions", questions)
        if not (index := tmp_path / "index").exists():
            index_words(section, facts, index)
        retrieve(section, asked, facts, [index], out)
        table = list(read_rows(out, "retrieval"))
        assert all(row["scores"] == sorted(row["scores"], reverse=True) for row in table)
        return [row["fact_ids"] for row in table]

    return run


def test_the_gold_facts_alone(found):
    asked = [question("one", [FACTS[3]]), question("two", [FACTS[5], FACTS[0]])]
    assert [sorted(ids) for ids in found(asked)] == [[3], [0, 5]]


@pytest.mark.parametrize("gold", [None, ["unknown"]])
@pytest.mark.parametrize("distractors", [0, 2])
def test_a_question_without_a_gold_fact_gets_nothing(gold, distractors, found):
    asked = [question("one", gold), question("two", [FACTS[1], "unknown"])]
    first, second = found(asked, distractors=distractors)
    assert first == [] and 1 in second and len(second) == 1 + distractors


def test_distractors_are_the_best_other_facts(found):
    (ids,) = found([question("one", [FACTS[1]])], distractors=2)
    assert sorted(ids) == [1, 3, 5]  # all that have the word "fish"


def test_a_fact_that_reads_like_the_gold_one_is_no_distractor(found):
    asked = [question("one", [FACTS[1]])]
    (ids,) = found(asked, [*FACTS, FACTS[1], FACTS[1]], distractors=2, top_k=9)
    assert sorted(ids) == [1, 3, 5]


def test_every_choice_has_the_gold_facts_and_distractors_of_its_own(found):
    of_cat, of_dog = found([question("one", [FACTS[4]])], distractors=1, query="choice")
    assert sorted(of_cat) == [1, 4] and sorted(of_dog) == [3, 4]


def test_the_place_of_a_gold_fact_says_nothing(found):
    asked = [question(str(n), [FACTS[1]], f"what eats fish {n}?") for n in range(300)]
    places = Counter(ids.index(1) for ids in found(asked, distractors=2))
    assert set(places) == {0, 1, 2} and min(places.values()) > 70
    assert found(asked, distractors=2) == found(asked, distractors=2)


def test_too_few_places_are_an_error(found):
    asked = [question("one", FACTS[:2])]
    with pytest.raises(KformerError, match=r"top_k: 3 is less than 2 gold facts and 2 distractors"):
        found(asked, distractors=2, top_k=3)


def test_no_other_method_sees_gold_facts():
    row = question("one", [FACTS[0]]) | {"type": None}
    assert query_of(row, Retrieval()).gold_facts == ()
    assert query_of(row, Retrieval(method="gold")).gold_facts == (FACTS[0],)


def test_what_gold_facts_cannot_be_used_for():
    with pytest.raises(ValidationError, match="events: gold facts are given without a search"):
        Retrieval(method="gold", events=5)
    with pytest.raises(KformerError, match="gold facts are those of questions in a table"):
        Retriever(method="gold")


def test_only_distractors_change_a_table_of_gold_facts():
    plain = Retrieval(method="gold").relevant_settings()
    assert Retrieval(method="gold", encoder="other").relevant_settings() == plain
    assert Retrieval(method="gold", distractors=2).relevant_settings() != plain
    bm25 = Retrieval(method="bm25")
    assert Retrieval(distractors=2).relevant_settings() == bm25.relevant_settings()
