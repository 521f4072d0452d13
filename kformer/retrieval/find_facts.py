"""Facts for questions that are asked outside of a study, found as its settings say."""

from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

from kformer.errors import KformerError
from kformer.io.tables import Row
from kformer.retrieval.query import FactHit, query_of, read_fact_hits
from kformer.retrieval.searchers import open_searcher
from kformer.retrieval.settings import Retrieval


class FactFinder:
    """Finds facts for questions, the same ones that `retrieve` writes for them."""

    def __init__(
        self, settings: Retrieval, facts: Path, indexes: Sequence[Path], threads: int = 1
    ) -> None:
        """Opens the indexes.

        Args:
            settings: of the retrieval.
            facts: the facts table.
            indexes: folders of the indexes that the method searches, all shards of each.
            threads: how many threads may search at once.

        Raises:
            KformerError: the settings are those of a control, whose facts are not found for a
                question; or as `open_searcher` raises it.
        """
        if settings.control:
            raise KformerError(
                f"retrieval.control: {settings.control}: a control reads facts that were not found "
                "for its questions, so none can be found for a new one"
            )
        self._settings, self._facts = settings, facts
        self._searcher = open_searcher(settings, facts, indexes, threads)

    def find(self, questions: Sequence[Row]) -> list[list[list[FactHit]]]:
        """For each question one list of facts, or one for each choice; best first.

        Args:
            questions: rows of the questions table.

        Raises:
            KformerError: gold facts are asked for, and a question has none.
        """
        if self._settings.method == "gold":
            for question in questions:
                if not question["gold_facts"]:
                    raise KformerError(
                        f"question {question['question_id']!r}: has no gold facts, which this "
                        "condition reads"
                    )
        queries = [query_of(question, self._settings) for question in questions]
        distinct = list(dict.fromkeys(queries))
        found = self._searcher.search(distinct, self._settings.top_k)
        hits = dict(zip(distinct, found, strict=True))
        lists = [hits[query] for query in queries]
        facts: Iterator[list[FactHit]] = iter(
            read_fact_hits(self._facts, list(chain.from_iterable(lists)))
        )
        return [list(islice(facts, len(each))) for each in lists]
