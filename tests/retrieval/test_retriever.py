"""A retriever from Python finds what the stage finds."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.retrieval import Retriever
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.settings import Retrieval

TEXTS = ["The pet of Krez is dog.", "The pet of Blon is cat.", "The job of Krez is pilot.", "Rain."]
RELATIONS = ["pet", "pet", "job", None]
QUERIES = ["the pet of Krez", "job", "zorbak"]


@pytest.mark.parametrize("method", ["bm25", "rank_bm25", "dense", "hybrid"])
def test_ids_and_scores_are_those_of_the_stage(
    method, facts_table, questions_table, indexed, tiny_encoder, tmp_path
):
    settings = {"method": method, "encoder": str(tiny_encoder), "top_k": 3, "fusion": "rerank"}
    settings["words"] = {"stemming": True}
    section = Retrieval(**settings)
    facts = facts_table(list(zip(TEXTS, RELATIONS, strict=True)))
    questions = questions_table(*({"question": query} for query in QUERIES))
    retrieve(section, questions, facts, indexed(section, facts), tmp_path / "table")
    rows = read_rows(tmp_path / "table", "retrieval")
    expected = [list(zip(row["fact_ids"], row["scores"], strict=True)) for row in rows]
    built = Retriever(**settings).index(TEXTS, RELATIONS, folder=tmp_path / "kept")
    for retriever in (built, Retriever.load(tmp_path / "kept")):
        found = retriever.search(QUERIES)
        assert [[(hit.id, hit.score) for hit in hits] for hits in found] == expected
        for hit in found[0]:
            assert (hit.text, hit.relation) == (TEXTS[hit.id], RELATIONS[hit.id])


def test_a_search_may_have_its_own_number_and_relations():
    retriever = Retriever().index(TEXTS, RELATIONS)
    assert [hit.id for hit in retriever.search(["pet of Krez"], top_k=1)[0]] == [0]
    assert [hit.id for hit in retriever.search(["pet of Krez"], relations=["job"])[0]] == [2]
    assert retriever.search([]) == []
    assert [hit.id for hit in retriever.index(["a", "Krez", "b"]).search(["Krez"])[0]] == [1]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Retriever(metod="bm25"), "metod: unknown key; did you mean method"),
        (lambda: Retriever(match={}), "match: for questions and facts in tables only"),
        (lambda: Retriever().search(["a"]), "call `index` first"),
        (lambda: Retriever().index("a text"), "texts: give a list, such as"),
        (lambda: Retriever().index(["a"]).search("a"), "queries: give a list, such as"),
        (lambda: Retriever().index(["a"], ["x", "y"]), "relations: 2 for 1 texts"),
        (lambda: Retriever().index(["a"]).search(["a"], top_k=0), "top_k: .*greater than 0"),
        (lambda: Retriever.load("nowhere"), "nowhere/settings.json: not readable"),
    ],
)
def test_mistakes_are_one_line(wrong, message):
    with pytest.raises(KformerError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    Retriever().index(TEXTS, folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(KformerError, match="this folder is not empty"):
        Retriever().index(["a"], folder=tmp_path)
    assert before == {path: path.read_bytes() for path in before}


def test_settings_are_imported_without_what_takes_long():
    code = (
        "import sys, kformer.retrieval, kformer.retrieval.settings\n"
        "print([name for name in ('torch', 'numba', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_new_method_that_a_page_shows_is_one_class_and_one_entry():
    page = (Path(__file__).parents[2] / "docs" / "extend.md").read_text("utf-8")
    [(searcher, entry)] = re.findall(r"(class ByLength.*?)```\s+(METHODS.*?\n)", page, re.DOTALL)
    code = [
        "from kformer.retrieval.methods import METHODS, SearchMethod",
        entry.replace("my_module", "__main__"),
        "import numpy as np\nfrom kformer.retrieval.query import best",
        searcher,
        "from kformer.retrieval import Retriever",
        "retriever = Retriever(method='length').index(['a', 'abc', 'ab'])",
        "print([hit.id for hit in retriever.search(['x'], top_k=2)[0]])",
    ]
    command = [sys.executable, "-c", "\n".join(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[1, 2]\n"
