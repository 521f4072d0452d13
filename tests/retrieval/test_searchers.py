"""Searchers from indexes on disk: what fits together, and what is refused; asking as a person."""

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.retrieval.index import read_index
from kformer.retrieval.query import Query
from kformer.retrieval.searchers import newest_index, open_searcher, search_for
from kformer.retrieval.settings import Retrieval, Words
from kformer.retrieval.stages import list_events

FACTS = [
    ("The pet of Krez is dog.", "pet", "Krez"),
    ("The pet of Blon is cat.", "pet", "Blon"),
    ("The job of Krez is pilot.", "job", "Krez"),
    ("It rains.", None, "o"),
    ("It is a [red] day.", None, "o"),
]
BM25 = Retrieval()


@pytest.fixture(scope="module")
def facts(facts_table):
    return facts_table(FACTS)


@pytest.fixture(scope="module")
def shards(facts, indexed):
    """The folders of two shards."""
    return indexed(BM25, facts, 2)


@pytest.fixture
def index(facts, indexed):
    [folder] = indexed(BM25, facts)
    return folder


@pytest.fixture
def refused(facts):
    """The line that refuses indexes."""

    def refuse(*indexes, settings=BM25, of=facts):
        with pytest.raises(KformerError) as caught:
            open_searcher(settings, of, indexes)
        line = str(caught.value)
        assert "\n" not in line
        return line

    return refuse


class TestOpening:
    @pytest.mark.parametrize("method", ["bm25", "dense", "hybrid"])
    def test_without_the_index_that_the_method_needs(self, refused, tiny_encoder, method):
        settings = Retrieval(method=method, encoder=str(tiny_encoder))
        kind = "embeddings" if method == "dense" else "words"
        assert refused(settings=settings) == (
            f"--index: retrieval.method: {method} needs an index of {kind}"
        )

    def test_with_one_of_its_two_indexes_only(self, refused, index, tiny_encoder):
        settings = Retrieval(method="hybrid", encoder=str(tiny_encoder))
        assert "hybrid needs an index of embeddings" in refused(index, settings=settings)

    def test_the_reference_needs_none(self, facts, index):
        searcher = open_searcher(Retrieval(method="rank_bm25"), facts, [])
        assert searcher.relations == open_searcher(BM25, facts, [index]).relations

    @pytest.mark.parametrize("method", ["rank_bm25", "dense"])
    def test_an_index_that_the_method_does_not_search(self, refused, index, method):
        assert refused(index, settings=Retrieval(method=method)) == (
            f"{index}: retrieval.method: {method} searches no index of words; leave it out"
        )

    def test_an_index_of_other_settings(self, refused, index):
        line = refused(index, settings=Retrieval(words=Words(stemming=True)))
        assert f"{index}: built with " in line
        assert "but the settings say " in line

    def test_an_index_of_other_facts(self, refused, index, facts_table):
        other = facts_table(["a", "b"])
        line = refused(index, of=other)
        assert f"{index}: not an index of the facts of {other}; give the one that is, or" in line
        alike = facts_table([("A pet of Krez is dog.", "pet", "Krez"), *FACTS[1:]])
        assert "not an index of the facts of" in refused(index, of=alike)

    def test_an_index_of_facts_where_events_are_searched(self, refused, index, facts):
        line = refused(index, settings=Retrieval(events=3))
        assert f"{index}: not an index of the events of {facts}; give the one that is" in line

    def test_an_index_of_events_where_facts_are_searched(self, refused, facts, indexed, tmp_path):
        list_events(facts, tmp_path / "events")
        [events] = indexed(BM25, tmp_path / "events")
        assert f"{events}: not an index of the facts of {facts}" in refused(events)
        open_searcher(Retrieval(events=3), facts, [events])

    def test_events_where_facts_are_wanted(self, refused, index, facts, tmp_path):
        list_events(facts, tmp_path / "events")
        line = refused(index, of=tmp_path / "events")
        assert line == f"{tmp_path / 'events'}: holds events; give the facts that they are of"

    def test_a_missing_shard(self, refused, shards):
        for shard in shards:
            line = refused(shard)
            assert line == (
                f"--index: 1 folders with words are given, but {shard} is one of 2 shards; "
                "give each of them once"
            )

    def test_a_shard_that_is_given_twice(self, refused, shards):
        assert "give each of them once" in refused(shards[0], shards[0])
        assert "give each of them once" in refused(*shards, shards[1])

    def test_shards_of_different_divisions(self, refused, shards, facts, indexed):
        assert "give each of them once" in refused(shards[0], indexed(BM25, facts, 3)[1])
        assert "give each of them once" in refused(shards[0], *indexed(BM25, facts, 3)[1:])

    def test_the_order_of_shards_does_not_matter(self, facts, shards):
        one, other = (
            open_searcher(BM25, facts, each).search([Query("pet of Krez")], 5)
            for each in (shards, shards[::-1])
        )
        assert one[0][0].ids.tolist() == other[0][0].ids.tolist() == [0, 1, 2]

    def test_no_index(self, refused, tmp_path):
        assert "there is no index here" in refused(tmp_path)

    def test_a_missing_file(self, refused, index):
        for file in sorted(set(index.iterdir()) - {index / "index.json"}):
            content = file.read_bytes()
            file.unlink()
            assert refused(index) == f"{file}: missing; delete {index} and build it anew"
            file.write_bytes(content)
        open_searcher(BM25, read_index(index).table, [index])

    @given(st.data())
    def test_any_damage_is_noticed(self, shards, facts, data):
        """Compiled loops would go wherever damaged numbers send them."""
        file = data.draw(
            st.sampled_from(sorted(set(shards[0].iterdir()) - {shards[0] / "index.json"}))
        )
        content = file.read_bytes()
        place = data.draw(st.integers(0, len(content) - 1))
        changed = bytearray(content)
        changed[place] ^= 1 << data.draw(st.integers(0, 7))
        file.write_bytes(data.draw(st.sampled_from([changed, content[:place]])))
        try:
            with pytest.raises(KformerError):
                open_searcher(BM25, facts, shards)
        finally:
            file.write_bytes(content)


class TestAsking:
    def test_the_best_facts_are_found_with_all_that_a_person_wants_to_know(self, index):
        found = search_for("Which pet has Krez?", [index], 2, None)
        assert [(each.fact_id, each.text, each.relation) for each in found] == [
            (0, "The pet of Krez is dog.", "pet"),
            (1, "The pet of Blon is cat.", "pet"),
        ]
        assert found[0].score > found[1].score > 0

    def test_shards_find_the_same(self, index, shards):
        assert search_for("pet of Krez", shards, 9, None) == search_for(
            "pet of Krez", [index], 9, None
        )

    def test_an_index_of_other_words_is_asked_by_them(self, facts, indexed):
        settings = Retrieval(words=Words(stemming=True))
        found = search_for("pets", indexed(settings, facts), 9, None)
        assert [each.fact_id for each in found] == [0, 1]

    def test_indexes_of_different_words_are_asked_one_at_a_time(self, facts, index, indexed):
        [other] = indexed(Retrieval(words=Words(stemming=True)), facts)
        with pytest.raises(KformerError, match="were built by different settings; ask one at a"):
            search_for("krez", [index, other], 2, None)

    def test_only_facts_of_some_relations(self, index):
        assert [each.fact_id for each in search_for("Krez", [index], 9, ["job"])] == [2]
        assert {each.fact_id for each in search_for("Krez pet", [index], 9, ["job", "pet"])} == {
            0,
            1,
            2,
        }

    def test_relations_that_no_fact_has_are_a_mistake(self, index):
        with pytest.raises(KformerError) as caught:
            search_for("Krez", [index], 9, ["toy", "job", "car"])
        assert str(caught.value) == "--relation: no fact has car, toy; there are job, pet"

    def test_facts_that_have_moved_are_a_mistake(self, facts_table, indexed):
        table = facts_table(FACTS)
        folders = indexed(BM25, table)
        table.unlink()
        with pytest.raises(KformerError, match=r"that it indexes, .*, are not there; run"):
            search_for("Krez", folders, 9, None)

    def test_facts_that_have_changed_are_a_mistake(self, facts_table, indexed):
        table = facts_table(FACTS)
        folders = indexed(BM25, table)
        shutil.copy(facts_table(FACTS[::-1]), table)
        with pytest.raises(KformerError, match="not an index of the facts of"):
            search_for("Krez", folders, 9, None)

    @pytest.mark.parametrize("method", ["dense", "hybrid"])
    def test_embeddings_are_asked_too(self, facts, indexed, tiny_encoder, method):
        settings = Retrieval(method=method, encoder=str(tiny_encoder))
        found = search_for("The pet of Krez is dog.", indexed(settings, facts), 3, ["pet"])
        assert [each.fact_id for each in found] == [0, 1]

    def test_what_has_no_answer_finds_nothing(self, index):
        assert search_for("zorbak", [index], 9, None) == []


class TestNewestIndex:
    def test_no_index_yet(self, tmp_path):
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(KformerError, match="no index of facts there yet; run the workf"):
                newest_index(folder)

    def test_all_shards_of_the_one_that_was_built_last(self, tmp_path, index, shards):
        places = {
            tmp_path / "words-1" / "1-of-1": index,
            tmp_path / "words-2" / "1-of-2": shards[0],
            tmp_path / "words-2" / "2-of-2": shards[1],
        }
        for second, (place, folder) in enumerate(places.items()):
            shutil.copytree(folder, place)
            os.utime(place / "index.json", (second, second))
        (tmp_path / "words-2" / "1-of-2.words.json").write_text("{}")
        assert newest_index(tmp_path) == list(places)[1:]
        os.utime(tmp_path / "words-1" / "1-of-1" / "index.json", (9, 9))
        assert newest_index(tmp_path) == list(places)[:1]

    def test_shards_of_another_division_beside_them_are_left_alone(self, tmp_path, index, shards):
        places = [tmp_path / "words-1" / name for name in ("1-of-1", "1-of-2", "2-of-2")]
        for second, (place, folder) in enumerate(zip(places, (index, *shards), strict=True)):
            shutil.copytree(folder, place)
            os.utime(place / "index.json", (second, second))
        shutil.copytree(index, tmp_path / "words-1" / ".1-of-1.partial")  # a killed build's
        assert newest_index(tmp_path) == places[1:]

    def test_words_answer_where_there_are_embeddings_too(self, tmp_path, index):
        for name, second in (("words-1", 1), ("embeddings-1", 2)):
            shutil.copytree(index, tmp_path / name / "1-of-1")
            os.utime(tmp_path / name / "1-of-1" / "index.json", (second, second))
        assert newest_index(tmp_path) == [tmp_path / "words-1" / "1-of-1"]

    def test_events_are_no_facts(self, tmp_path, index, facts, indexed):
        list_events(facts, tmp_path / "events")
        [events] = indexed(BM25, tmp_path / "events")
        shutil.copytree(events, tmp_path / "words-2" / "1-of-1")
        with pytest.raises(KformerError, match="no index of facts there yet"):
            newest_index(tmp_path)
        shutil.copytree(index, tmp_path / "words-1" / "1-of-1")
        os.utime(tmp_path / "words-1" / "1-of-1" / "index.json", (9, 9))
        assert newest_index(tmp_path) == [tmp_path / "words-1" / "1-of-1"]


class TestCommand:
    @pytest.fixture(autouse=True)
    def workplace(self, monkeypatch, tmp_path, facts):
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.chdir(tmp_path)
        shutil.copy(facts, tmp_path / "f")

    @pytest.fixture
    def search(self, kformer):
        def run(*arguments):
            status, out, err = kformer("search", *arguments)
            assert status == 0
            assert err.startswith("asked ")
            assert err.count("\n") == 1
            header, *lines = (line.split() for line in out.splitlines())
            assert header == ["score", "id", "relation", "fact"]
            return [line for line in lines if line and "─" not in line[0]]

        return run

    def test_it_prints_facts_best_first(self, search, index):
        first, second = search("which pet has krez", "--index", index, "-k", 2)
        assert first[1:] == ["0", "pet", *FACTS[0][0].split()]
        assert second[1:] == ["1", "pet", *FACTS[1][0].split()]
        assert float(first[0]) > float(second[0])

    def test_it_prints_facts_as_they_are(self, search, index):
        [line] = search("red day", "--index", index)
        assert line[1:] == ["4", "It", "is", "a", "[red]", "day."]

    def test_it_prints_facts_of_some_relations_only(self, search, index):
        lines = search("krez", "--index", index, "--relation", "job")
        assert [line[1] for line in lines] == ["2"]
        lines = search("pet krez", "--index", index, "--relation", "job", "--relation", "pet")
        assert [line[1] for line in lines] == ["0", "1", "2"]

    def test_it_asks_all_shards(self, search, shards):
        indexes = [part for shard in shards for part in ("--index", shard)]
        assert [line[1] for line in search("pet of Krez", *indexes)] == ["0", "1", "2"]

    def test_without_a_folder_it_asks_the_newest_index(self, kformer, search):
        for number, words in enumerate(["{}", '{"words": {"stemming": true}}']):
            out = f"results/shared/index/words-{number}/1-of-1"
            status, _, err = kformer(
                *("index", "words", "--facts", "f", "--out", out, "--settings", words)
            )
            assert status == 0, err
            os.utime(f"{out}/index.json", (number, number))
        assert [line[1] for line in search("pets")] == ["0", "1"]

    def test_nothing_found_is_no_mistake(self, kformer, index):
        assert kformer("search", "zorbak", "--index", index)[:2] == (0, "nothing found\n")

    @pytest.mark.parametrize(
        ("arguments", "what"),
        [
            (("--relation", "toy"), "--relation: no fact has toy; there are job, pet"),
            (("--index", "nowhere"), "nowhere: there is no index here"),
        ],
    )
    def test_mistakes_are_one_line(self, kformer, index, arguments, what):
        if "--index" not in arguments:
            arguments = (*arguments, "--index", index)
        status, out, err = kformer("search", "krez", *arguments)
        assert (status, out) == (1, "")
        assert what in err
        assert err.startswith("error: ") and err.count("\n") == 1

    def test_without_any_index_it_says_how_to_get_one(self, kformer):
        status, out, err = kformer("search", "krez")
        assert (status, out) == (1, "")
        assert err.startswith("error: results/shared/index: no index of facts there yet; run the")
        assert err.count("\n") == 1

    def test_it_starts_without_what_takes_long_to_load(self, index):
        import subprocess
        import sys

        code = (
            "import sys\nfrom kformer import cli\n"
            f"sys.argv = ['kformer', 'search', 'krez', '--index', {str(index)!r}]\n"
            "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
            "print([name for name in ('torch', 'mlflow', 'numba', 'bm25s') if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stdout.splitlines()[-1] == "[]"
