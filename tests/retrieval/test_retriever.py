"""A retriever from Python finds what the stage finds."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from kformer.errors import KformerError
from kformer.io.tables import read_rows
from kformer.retrieval import Retriever
from kformer.retrieval.retrieve import retrieve
from kformer.retrieval.search_command import search_for
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


def test_what_looks_the_same_is_found():
    retriever = Retriever().index(["Zoe wrote the re\u0301sume\u0301.", "It rains.", "ﬁve"])
    assert [hit.text for hit in retriever.search(["résumé?"])[0]] == ["Zoe wrote the résumé."]
    assert [hit.text for hit in retriever.search(["fi\u00adve"])[0]] == ["five"]


def some_of(relations):
    return Retriever().index(TEXTS, RELATIONS).search(["pet"], relations=relations)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Retriever(metod="bm25"), "metod: unknown key; did you mean method"),
        (lambda: Retriever(match={}), "match: for questions and facts in tables only"),
        (lambda: Retriever().search(["a"]), "call `index` first"),
        (lambda: Retriever().index("a text"), "texts: give a list, such as"),
        (lambda: Retriever().index(["a"]).search("a"), "queries: give a list, such as"),
        (lambda: Retriever().index(["a"], ["x", "y"]), "relations: 2 for 1 texts"),
        (lambda: Retriever().index(None), "texts: give a list of strings.*NoneType is none"),
        (lambda: Retriever().index(text for text in "ab"), "texts: give a list.*generator is none"),
        (lambda: Retriever().index(["a", 3]), r"index: texts\[1\]: int is no string"),
        (lambda: Retriever().index(["a", "\ud800"]), r"texts\[1\]: not valid Unicode"),
        (lambda: Retriever().index(["a"], [3]), r"index: relations\[0\]: int is no string"),
        (lambda: Retriever().index(["a"]).search([None]), r"queries\[0\]: NoneType is no string"),
        (lambda: Retriever().index(["a"]).search(["\ud800"]), r"queries\[0\]: not valid Unicode"),
        (lambda: some_of("xy"), r"search: relations: give a list, such as \['xy'\]"),
        (lambda: some_of(["toy", "job"]), "no text has toy; there are None, job, pet"),
        (lambda: Retriever().index(["a"], folder=__file__), "test_retriever.py: is a file"),
        (lambda: Retriever().index(["a"], folder=f"{__file__}/a"), "test_retriever.py/a: not writ"),
        (lambda: Retriever().index(["a"]).search(["a"], top_k=0), "top_k: .*greater than 0"),
        (lambda: Retriever.load("nowhere"), "nowhere/settings.json: not readable"),
    ],
)
def test_mistakes_are_one_line(wrong, message, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # the checkout may lie in that of all
    with pytest.raises(KformerError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)
    assert tempfile.gettempdir() not in str(caught.value)


def test_only_keys_that_may_be_given_are_offered_for_an_unknown_one():
    with pytest.raises(KformerError, match="querry: unknown key") as caught:
        Retriever(querry="choice")
    allowed = str(caught.value).partition("allowed here: ")[2].split(", ")
    of_tables = {"query", "match", "events", "max_without_facts", "control"}
    assert set(allowed) == Retrieval.model_fields.keys() - of_tables


@pytest.mark.parametrize("kept", [True, False])
def test_what_was_indexed_stays_when_indexing_fails(kept, tmp_path):
    retriever = Retriever().index(TEXTS, folder=tmp_path / "old" if kept else None)
    before = retriever.search(QUERIES)
    for texts, folder in (([3], None), (TEXTS, __file__)):
        with pytest.raises(KformerError):
            retriever.index(texts, folder=folder)
        assert retriever.search(QUERIES) == before


def test_a_folder_appears_whole_or_not_at_all(tiny_encoder, tmp_path):
    with pytest.raises(KformerError, match="/nope"):
        Retriever(method="dense", encoder="/nope").index(["a"], folder=tmp_path / "new")
    assert not list(tmp_path.iterdir())
    Retriever(method="dense", encoder=str(tiny_encoder)).index(["a"], folder=tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_an_index_that_cannot_be_opened_is_not_left(tmp_path, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("kformer.retrieval.retriever.open_searcher", fail)
    with pytest.raises(MemoryError):
        Retriever().index(TEXTS, folder=tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_an_index_in_a_folder_can_be_searched_from_the_command_line(tmp_path):
    Retriever().index(TEXTS, folder=tmp_path / "kept")
    assert search_for("job", [tmp_path / "kept" / "words"], 9, None)[0].text == TEXTS[2]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    Retriever().index(TEXTS, folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(KformerError, match="this folder is there already"):
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
    (searcher,) = (
        code for code in re.findall(r"```python\n(.*?)```", page, re.S) if "ByLength:" in code
    )
    (entry,) = re.findall(r'"length": (SearchMethod.*),\n', page)
    code = [
        "from kformer.retrieval.methods import METHODS, SearchMethod",
        f"METHODS['length'] = {entry.replace('kformer.retrieval.by_length', '__main__')}",
        searcher,
        "from kformer.retrieval import Retriever",
        "retriever = Retriever(method='length').index(['a', 'abc', 'ab'])",
        "print([hit.id for hit in retriever.search(['x'], top_k=2)[0]])",
    ]
    command = [sys.executable, "-c", "\n".join(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[1, 2]\n"
