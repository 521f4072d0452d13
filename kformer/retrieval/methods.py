"""The methods of search, by their names in the config, and the kinds of indexes.

A new method is one class with the interface of `kformer.retrieval.query.Searcher` in a file of its
own, and one entry in `METHODS`. Nothing here imports a method: that happens when it is opened.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

IndexKind = Literal["words", "embeddings"]

# The keys of `Retrieval` that an index of each kind depends on.
INDEX_SETTINGS: Mapping[IndexKind, frozenset[str]] = {
    "words": frozenset({"words"}),
    "embeddings": frozenset({"encoder", "nearest"}),
}


class SearchMethod(NamedTuple):
    """What is known of a method without importing it.

    Attributes:
        about: what it does, for the config's reference.
        opened_by: ``module:name`` of what opens it: a function, or a class itself, that takes the
            settings (`Retrieval`) and the documents (`Documents`) and returns a `Searcher`.
        indexes: the kinds of indexes that it searches.
        own_settings: the keys of `Retrieval` that it reads besides those of its indexes; keys that
            no index and no method lists are read whatever the method.
        boosts: whether it boosts matching facts itself, rather than `open_searcher` its results.
    """

    about: str
    opened_by: str
    indexes: tuple[IndexKind, ...] = ()
    own_settings: frozenset[str] = frozenset()
    boosts: bool = False

    @property
    def settings(self) -> frozenset[str]:
        """The keys of `Retrieval` that it reads and another method may not."""
        return self.own_settings.union(*(INDEX_SETTINGS[kind] for kind in self.indexes))


METHODS: Mapping[str, SearchMethod] = {
    "bm25": SearchMethod(
        "by shared words, fast",
        "kformer.retrieval.words.bm25:open_bm25",
        indexes=("words",),
    ),
    "rank_bm25": SearchMethod(
        "the same by the reference implementation",
        "kformer.retrieval.words.rank_bm25_reference:RankBm25.open",
        own_settings=frozenset({"words"}),
    ),
    "dense": SearchMethod(
        "by nearness of sentence embeddings",
        "kformer.retrieval.embeddings.dense_search:open_dense",
        indexes=("embeddings",),
    ),
    "hybrid": SearchMethod(
        "by both",
        "kformer.retrieval.combined.hybrid:open_hybrid",
        indexes=("words", "embeddings"),
        own_settings=frozenset({"fusion", "candidates"}),
        boosts=True,
    ),
    "gold": SearchMethod(
        "the gold facts of questions that have them, a yardstick",
        "kformer.retrieval.gold:open_gold",
        indexes=("words",),
        own_settings=frozenset({"distractors"}),
        boosts=True,
    ),
}

# The settings that some methods read and others do not.
METHOD_SETTINGS = frozenset().union(*(method.settings for method in METHODS.values()))
