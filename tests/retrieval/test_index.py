"""Indexes on disk: their shards, what is in them, and that there is never half of one."""

import json
import os
import subprocess
import sys
from itertools import chain

import bm25s
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.io.output_names import INDEX_DESCRIPTION
from kformer.retrieval.index import INDEX_VERSION, Shard, count_words, index_words, read_index
from kformer.retrieval.query import Query
from kformer.retrieval.retrieve import list_events
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval, Words

BM25 = Retrieval()


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class TestShard:
    @pytest.mark.parametrize("text", ["2/7", "2-of-7"])
    def test_is_read_as_a_person_or_snakemake_writes_it(self, text):
        assert Shard.parse(text) == Shard(2, 7)
        assert str(Shard.parse(text)) == "2/7"

    @pytest.mark.parametrize("text", ["", "3", "8/7", "0/7", "-1/7", "a/b", "1/2/3", "²/3", " 1/2"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(KformerError, match=r"^--shard: .* is not a shard; give one such as"):
            Shard.parse(text)

    @given(st.integers(0, 200), st.integers(1, 20))
    def test_shards_are_about_equal_and_make_up_the_whole(self, total, of):
        ranges = [Shard(number, of).range(total) for number in range(1, of + 1)]
        assert [i for start, end in ranges for i in range(start, end)] == list(range(total))
        sizes = [end - start for start, end in ranges]
        assert max(sizes) - min(sizes) <= 1


class TestIndexWords:
    def test_an_index_describes_itself(self, facts, tmp_path):
        metrics = index_words(BM25, facts, tmp_path / "index")
        size = sum(path.stat().st_size for path in (tmp_path / "index").iterdir())
        assert metrics == {"documents": 5, "megabytes": size / 1e6}
        found = read_index(tmp_path / "index")
        assert (found.kind, found.table) == ("words", facts)
        assert (found.number, found.shards) == (1, 1)
        assert found.settings == BM25.index_settings("words")

    def test_the_same_facts_give_the_same_bytes(self, index, facts, tmp_path):
        index_words(BM25, facts, tmp_path / "again")
        assert contents(tmp_path / "again") == contents(index)

    def test_bm25s_reads_it_and_its_scores_are_ours(self, facts_table, tmp_path):
        random = np.random.default_rng(3)
        words = [f"w{i}" for i in range(50)]
        texts = [" ".join(random.choice(words, random.integers(0, 9))) for _ in range(400)]
        table = facts_table([(text, random.choice(["a", "b"]), "o") for text in texts])
        index_words(BM25, table, tmp_path / "index")
        theirs = bm25s.BM25.load(tmp_path / "index", show_progress=False)
        ids = np.load(tmp_path / "index" / "ids.npy")
        searcher = open_searcher(BM25, table, [tmp_path / "index"])
        for _ in range(20):
            query = random.choice(words, 4).tolist()
            [[found]] = searcher.search([Query(" ".join(query))], len(texts))
            scores = np.zeros(len(texts), dtype=np.float32)
            scores[ids] = theirs.get_scores(query)
            assert set(found.ids.tolist()) == set(np.flatnonzero(scores > 0).tolist())
            np.testing.assert_allclose(found.scores, scores[found.ids], rtol=1e-5)

    @pytest.mark.parametrize("count", [0, 1, 5])
    def test_there_may_be_more_shards_than_facts(self, facts_table, few_facts, indexed, count):
        table = facts_table(few_facts[:count])
        queries = [Query("Which pet has Krez?"), Query("It", ("rains", "", "a dog"))]
        one, seven = (
            open_searcher(BM25, table, indexed(BM25, table, shards)).search(queries, 3)
            for shards in (1, 7)
        )
        for hits, other in zip(chain(*one), chain(*seven), strict=True):
            assert hits.ids.tolist() == other.ids.tolist()
            assert hits.scores.tolist() == other.scores.tolist()

    def test_a_folder_with_something_in_it_is_never_overwritten(self, index, facts):
        before = contents(index)
        with pytest.raises(KformerError, match="this folder is there already"):
            index_words(BM25, facts, index)
        assert contents(index) == before


class TestCounts:
    @pytest.mark.parametrize(
        ("stop_words", "counted"), [(False, {"krez": 1, "of": 1}), (True, {"krez": 1})]
    )
    def test_the_words_of_a_shard_are_counted(self, facts, tmp_path, stop_words, counted):
        settings = Retrieval(words=Words(stop_words=stop_words))
        metrics = count_words(settings, facts, Shard(2, 2), tmp_path / "counts.json")
        statistics = json.loads((tmp_path / "counts.json").read_text())["statistics"]
        with_word = statistics["documents_with"]
        assert metrics["documents"] == statistics["documents"] == 3
        assert metrics["different_words"] == len(with_word)
        assert {word: with_word[word] for word in ("krez", "of") if word in with_word} == counted

    def test_the_bytes_do_not_depend_on_the_process(self, facts, tmp_path):
        code = (
            "import sys\nfrom pathlib import Path\n"
            "from kformer.retrieval.index import WHOLE, count_words\n"
            "from kformer.retrieval.settings import Retrieval\n"
            "count_words(Retrieval(), Path(sys.argv[1]), WHOLE, Path(sys.argv[2]))"
        )
        for seed in ("1", "2"):
            environment = {**os.environ, "PYTHONHASHSEED": seed}
            arguments = [sys.executable, "-c", code, facts, tmp_path / seed]
            subprocess.run(arguments, env=environment, check=True, timeout=60)
        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()

    @pytest.fixture
    def counts(self, facts, tmp_path):
        """Counts the words of shards."""

        def count(settings=BM25, table=facts, of=2):
            paths = [tmp_path / f"{len(list(tmp_path.iterdir()))}-{i}.json" for i in range(of)]
            for number, path in enumerate(paths, start=1):
                count_words(settings, table, Shard(number, of), path)
            return paths

        return count

    @pytest.mark.parametrize("number", [1, 2])
    def test_texts_without_spaces_are_judged_over_all_shards(
        self, facts_table, counts, new_folder, number
    ):
        def indexed(texts, **words):
            table, settings = facts_table(texts), Retrieval(words=words)
            parts = counts(settings, table)
            index_words(settings, table, new_folder() / "i", Shard(number, 2), parts)

        english, chinese = ["Rain."] * 19, "胰岛素由胰腺分泌。"
        indexed([*english, chinese])  # a tenth of the second shard, not of all
        indexed([*english[1:], chinese, chinese], ngrams=2)
        with pytest.raises(KformerError, match="2 of 20 facts without spaces between words"):
            indexed([*english[1:], chinese, chinese])

    @pytest.fixture
    def refused(self, facts, tmp_path):
        """The line that refuses counts for the first of two shards; nothing is left."""

        def refuse(*counts):
            with pytest.raises(KformerError) as caught:
                index_words(BM25, facts, tmp_path / "index", Shard(1, 2), counts)
            assert not [path for path in tmp_path.iterdir() if "index" in path.name]
            return str(caught.value)

        return refuse

    def test_a_shard_needs_the_counts_of_each_shard_once(self, refused, counts):
        one, two = counts()
        line = "--counts: 0 files are given, for 0 of 2 shards; give one for each shard"
        assert refused() == line
        assert "1 files are given, for 1 of 2 shards" in refused(one)
        assert "2 files are given, for 1 of 2 shards" in refused(one, one)
        assert "3 files are given, for 2 of 2 shards" in refused(one, two, one)

    def test_counts_of_something_else_are_refused(self, refused, counts, facts, facts_table):
        list_events(facts, facts.with_name("events"))
        for other in (
            counts(table=facts_table(["a", "b", "c", "d", "e"])),
            counts(table=facts.with_name("events")),
            counts(settings=Retrieval(words=Words(stop_words=True))),
            counts(of=3),
        ):
            line = f"{other[0]}: counts of other facts, other shards or other settings"
            assert refused(*other).startswith(line)

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"documents": 1}', b"\xff\xfe"])
    def test_files_without_counts_are_refused(self, refused, counts, content):
        one, two = counts()
        two.write_bytes(content)
        assert f"{two}: not counts of words" in refused(one, two)


@pytest.mark.parametrize("folder", ["", "nowhere"])
def test_a_folder_without_an_index(tmp_path, folder):
    with pytest.raises(KformerError, match="there is no index here"):
        read_index(tmp_path / folder)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", "{}", '{"version": 2}', '{"version": 2, "table": 3}', '{"kind": 1}'],
)
def test_a_damaged_index(index, content):
    (index / INDEX_DESCRIPTION).write_text(content)
    with pytest.raises(KformerError, match=r"index\.json: damaged; delete .* build it anew$"):
        read_index(index)


def test_an_index_of_another_version(index):
    content = json.loads((index / INDEX_DESCRIPTION).read_text())
    content |= {"version": INDEX_VERSION + 1, "new": 1}
    (index / INDEX_DESCRIPTION).write_text(json.dumps(content))
    with pytest.raises(KformerError, match=f"an index of version {INDEX_VERSION + 1}, but this"):
        read_index(index)
