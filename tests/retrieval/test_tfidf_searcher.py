"""A search method of somebody's own: that it works, and that docs/extend.md says how long it is."""

import math
import re
import runpy
from pathlib import Path

import pytest

from kformer.retrieval.query import Query
from kformer.retrieval.searched_documents import Documents
from kformer.retrieval.settings import Retrieval

FILE = Path(__file__).with_name("tfidf_searcher.py")
FACTS = [("dog dog cat", "pet"), ("cat", "pet"), ("dog rain", None), ("snow", None)]


@pytest.fixture
def search(facts_table):
    searcher = runpy.run_path(str(FILE))["TfIdf"](Retrieval(), Documents(facts_table(FACTS)))

    def run(*texts, top_k=9, relations=None):
        [hits] = searcher.search([Query("", texts, relations)], top_k)
        return [list(zip(each.ids.tolist(), each.scores.tolist(), strict=True)) for each in hits]

    return run


def test_scores_are_cosines_of_weights_by_hand(search):
    # idf: log 2 of dog and cat, each in two of four; log 4 = 2 log 2 of rain and snow. So the
    # directions are dog dog cat: (2, 1), cat: (0, 1), dog rain: (1, 2 of rain).
    dog, cat, unknown = search("dog", "Cat!", "zorbak")
    assert dog == [(0, pytest.approx(2 / math.sqrt(5))), (2, pytest.approx(1 / math.sqrt(5)))]
    assert cat == [(1, pytest.approx(1)), (0, pytest.approx(1 / math.sqrt(5)))]
    assert unknown == []


def test_only_some_documents_are_asked_for(search):
    assert [fact_id for fact_id, _ in search("dog", relations=frozenset({None}))[0]] == [2]
    assert [fact_id for fact_id, _ in search("dog", top_k=1)[0]] == [0]


def test_the_page_says_how_long_it_is():
    page = (Path(__file__).parents[2] / "docs" / "extend.md").read_text("utf-8")
    [said] = re.findall(r"TF-IDF: (\d+)", page)
    assert int(said) == len(FILE.read_text("utf-8").splitlines())
