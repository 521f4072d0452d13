"""Searching for one query, given folders of indexes alone; the index that was built last."""

import os
import shutil
import subprocess
import sys

import pytest

from kformer.errors import KformerError
from kformer.io.output_names import INDEX_DESCRIPTION
from kformer.retrieval.retrieve import list_events
from kformer.retrieval.search_command import index_of_facts, search_for
from kformer.retrieval.settings import Retrieval, Words
from kformer.study.paths import finished_indexes, index_folder, word_counts

BM25 = Retrieval()


def ids(hits):
    return [hit.id for hit in hits]


class TestSearchFor:
    def test_the_best_facts_are_found_with_their_texts(self, index, shards):
        hits = search_for("Which pet has Krez?", [index], 2, None)
        assert [(hit.id, hit.text, hit.relation) for hit in hits] == [
            (0, "The pet of Krez is dog.", "pet"),
            (1, "The pet of Blon is cat.", "pet"),
        ]
        assert hits[0].score > hits[1].score > 0
        assert search_for("Which pet has Krez?", shards, 2, None) == hits
        assert search_for("zorbak", [index], 9, None) == []

    def test_what_looks_the_same_is_found(self, facts_table, indexed):
        [index] = indexed(BM25, facts_table([("Zoe wrote the résumé.", "ré"), "It rains.", "No."]))
        assert ids(search_for("re\u0301sume\u0301?", [index], 9, None)) == [0]
        assert ids(search_for("ré\u00adsumé", [index], 9, ["re\u0301"])) == [0]

    def test_a_query_that_is_not_utf8_is_refused(self, index):
        with pytest.raises(KformerError, match="not UTF-8; write the query in UTF-8"):
            search_for("Krez \udcff", [index], 9, None)

    def test_words_are_tokenised_as_the_index_was(self, facts, indexed):
        stemmed = indexed(Retrieval(words=Words(stemming=True)), facts)
        assert ids(search_for("pets", stemmed, 9, None)) == [0, 1]
        assert ids(search_for("raining", stemmed, 9, None)) == [3]

    def test_indexes_of_different_settings_are_refused(self, facts, index, indexed):
        [other] = indexed(Retrieval(words=Words(stemming=True)), facts)
        with pytest.raises(KformerError, match="were built by different settings; search one at"):
            search_for("krez", [index, other], 2, None)

    def test_only_facts_of_some_relations(self, index):
        assert ids(search_for("Krez", [index], 9, ["job"])) == [2]
        assert set(ids(search_for("Krez pet", [index], 9, ["job", "pet"]))) == {0, 1, 2}
        with pytest.raises(KformerError, match="--relation: no fact has car, toy; there are job"):
            search_for("Krez", [index], 9, ["toy", "job", "car"])

    def test_facts_that_are_missing_or_changed_are_refused(self, facts_table, few_facts, indexed):
        table = facts_table(few_facts)
        folders = indexed(BM25, table)
        shutil.copy(facts_table(few_facts[::-1]), table)
        with pytest.raises(KformerError, match="not an index of the facts of"):
            search_for("Krez", folders, 9, None)
        table.unlink()
        with pytest.raises(KformerError, match=r"that it indexes, .*, are not there; run"):
            search_for("Krez", folders, 9, None)

    @pytest.mark.parametrize("method", ["dense", "hybrid"])
    def test_embeddings_are_searched_too(self, facts, indexed, tiny_encoder, method):
        settings = Retrieval(method=method, encoder=str(tiny_encoder))
        hits = search_for("The pet of Krez is dog.", indexed(settings, facts), 3, ["pet"])
        assert ids(hits) == [0, 1]


class TestNewestIndex:
    @pytest.fixture
    def built(self, tmp_path, monkeypatch):
        """Puts an index where the workflow would, as if built at this second."""
        monkeypatch.chdir(tmp_path)

        def build(folder, key, shard, second):
            copy = index_folder(key, shard)
            shutil.copytree(folder, copy)
            os.utime(copy / INDEX_DESCRIPTION, (second, second))
            return copy

        return build

    def test_all_shards_of_the_one_that_was_built_last(self, built, index, shards):
        whole = built(index, "words-1", "1-of-1", 0)
        parts = [built(shards[i], "words-2", f"{i + 1}-of-2", i + 1) for i in (0, 1)]
        word_counts("words-2", "1-of-2").write_text("{}")
        assert index_of_facts(finished_indexes()) == parts
        os.utime(whole / INDEX_DESCRIPTION, (9, 9))
        assert index_of_facts(finished_indexes()) == [whole]

    def test_it_may_have_another_number_of_shards_than_before(self, built, index, shards):
        built(index, "words-1", "1-of-1", 0)
        parts = [built(shards[i], "words-1", f"{i + 1}-of-2", i + 1) for i in (0, 1)]
        built(index, "words-1", ".1-of-1.partial", 9)  # of a build that was killed
        assert index_of_facts(finished_indexes()) == parts

    def test_words_are_preferred_to_embeddings_and_events_are_no_facts(
        self, built, index, facts, indexed
    ):
        list_events(facts, facts.with_name("events"))
        built(indexed(BM25, facts.with_name("events"))[0], "words-2", "1-of-1", 9)
        with pytest.raises(KformerError, match="no index of facts there yet; run the workflow"):
            index_of_facts(finished_indexes())
        embeddings = built(index, "embeddings-1", "1-of-1", 2)
        assert index_of_facts(finished_indexes()) == [embeddings]
        words = built(index, "words-1", "1-of-1", 1)
        assert index_of_facts(finished_indexes()) == [words]


def test_the_command_prints_facts_as_they_are_best_first(kformer, index, few_facts, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    status, out, err = kformer("search", "krez red", "--index", index, "-k", 3)
    header, *lines = (line.split() for line in out.splitlines() if "─" not in line)
    assert (status, header) == (0, ["score", "id", "relation", "fact"])
    assert sorted(line[1:] for line in lines if line) == [
        ["0", "pet", *few_facts[0][0].split()],
        ["2", "job", *few_facts[2][0].split()],
        ["4", *few_facts[4].split()],
    ]
    assert err == f"searched {index}\n"
    assert kformer("search", "zorbak", "--index", index)[:2] == (0, "nothing found\n")
    line = "error: nowhere: there is no index here (no index.json); build one with `kformer index`"
    assert kformer("search", "krez", "--index", "nowhere") == (1, "", f"{line}\n")


def test_a_search_by_words_loads_nothing_that_takes_long(index):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from kformer.retrieval.search_command import search_for\n"
        "assert search_for('krez', [Path(sys.argv[1])], 9, None)\n"
        "print([name for name in ('torch', 'mlflow', 'numba', 'bm25s') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, index]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
