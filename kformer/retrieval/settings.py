"""How facts are found: the `retrieval` section of the config."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from kformer.encoders import BUNDLED
from kformer.section import Section, Text

Count = Annotated[int, Field(strict=True, gt=0)]  # `true` is none

IndexKind = Literal["words", "embeddings"]
Method = Literal["bm25", "rank_bm25", "dense", "hybrid"]
# What each kind of index, or of method, reads of the settings.
_OF_INDEX: dict[IndexKind, set[str]] = {
    "words": {"words"},
    "embeddings": {"encoder", "nearest"},
}
_KINDS: dict[Method, tuple[IndexKind, ...]] = {
    "bm25": ("words",),
    "rank_bm25": (),
    "dense": ("embeddings",),
    "hybrid": ("words", "embeddings"),
}
_OF_METHOD: dict[Method, set[str]] = {
    "bm25": {"words"},
    "rank_bm25": {"words"},
    "dense": {"encoder", "nearest"},
    "hybrid": {"words", "encoder", "nearest", "fusion", "candidates"},
}

Language = Literal[
    "danish",
    "dutch",
    "english",
    "french",
    "german",
    "italian",
    "norwegian",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
    "turkish",
]


class Words(Section):
    """How text is taken apart into words, for facts and queries alike; always lower-cased."""

    language: Language = "english"
    """Of the stop words and the stemmer."""
    stop_words: bool = False
    """Leave out words such as "the" and "of"."""
    stemming: bool = False
    """Reduce words to their stems, by the Snowball stemmer: "wanted" and "wants" to "want"."""


class Match(Section):
    """Which facts may answer which question: by the question's type and the fact's relation."""

    relations: (
        Literal["atomic"]
        | Annotated[dict[Text, Annotated[list[Text], Field(min_length=1)]], Field(min_length=1)]
    ) = "atomic"
    """For each type of question the relations of facts that may answer it; a type that is not
    named, or a question without one, may have any. `atomic`: the table for Social IQA's types."""
    mode: Literal["filter", "boost"] = "filter"
    """`filter`: only matching facts are found; `boost`: their scores are multiplied."""
    boost: Annotated[float, Field(gt=1, le=1000)] = 2.0
    """By how much, with `mode: boost`."""


class RetrievalChange(Section):
    """The keys of `Retrieval`: what a condition changes, whose whole is checked once it is laid
    over the experiment's."""

    method: Method = "bm25"
    """`bm25`: by shared words, fast; `rank_bm25`: the same by the reference implementation;
    `dense`: by nearness of sentence embeddings; `hybrid`: by both."""
    top_k: Count = 30
    """M, how many facts are retrieved per query."""
    query: Literal["question", "choice", "context"] = "question"
    """One query per question (context + question), or one per choice (that + choice); `context`:
    one per question, of its context alone where it has one, for when `match` says what is asked."""
    words: Words = Words()
    """How text is taken apart, for all methods but `dense`."""
    encoder: Text = BUNDLED
    """The sentence encoder of `dense` and `hybrid`: a Hugging Face id, a local folder, or
    `bundled/all-MiniLM-L6-v2`."""
    nearest: Literal["exact", "faiss"] = "exact"
    """How the nearest embeddings are found: `exact`, or by an approximate index of FAISS, for
    corpora of many millions (needs the `faiss` extra)."""
    fusion: Literal["ranks", "rerank"] = "ranks"
    """With `hybrid`: `ranks` adds up reciprocal ranks in both lists; `rerank` orders what BM25
    found by nearness of embeddings."""
    candidates: Count = 100
    """With `hybrid`: how many facts are taken from each list."""
    match: Match | None = None
    """Which facts may answer which type of question; null = all may."""
    events: Count | None = None
    """Two steps: first the so many nearest events (distinct origins), then their facts; null =
    facts are looked for directly."""
    control: Literal["shuffle"] | None = None
    """`shuffle`: each question gets the facts of another question of its split."""


class Retrieval(RetrievalChange):
    """How facts are found for a question."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.method == "hybrid" and self.candidates < (self.events or self.top_k):
            wanted = "events" if self.events else "top_k"
            raise ValueError(f"candidates: {self.candidates} is less than {wanted}; make it larger")
        return self

    @model_validator(mode="after")
    def _can_boost(self) -> Self:
        boosts = self.match is not None and self.match.mode == "boost"
        if boosts and self.method == "hybrid" and self.fusion == "rerank" and not self.events:
            raise ValueError(
                "match.mode: boost does nothing to fusion: rerank, which orders by nearness "
                "alone; take mode: filter or fusion: ranks"
            )
        return self

    @model_validator(mode="after")
    def _can_be_approximate(self) -> Self:
        if self.nearest == "faiss" and self.method == "hybrid" and self.fusion == "rerank":
            raise ValueError(
                "nearest: faiss does nothing to fusion: rerank, which looks at candidates alone; "
                "take nearest: exact or fusion: ranks"
            )
        return self

    @property
    def index_kinds(self) -> tuple[IndexKind, ...]:
        """The indexes that the method searches."""
        return _KINDS[self.method]

    def index_settings(self, kind: IndexKind) -> dict[str, Any]:
        """What of the settings an index depends on."""
        return {key: value for key, value in self._read().items() if key in _OF_INDEX[kind]}

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that searching reads: another value of the others changes nothing."""
        unread = set[str]().union(*_OF_METHOD.values()) - _OF_METHOD[self.method]
        return {key: value for key, value in self._read().items() if key not in unread}

    def _read(self) -> dict[str, Any]:
        """All settings but those that others leave nothing to say."""
        read = self.model_dump(mode="json", exclude={"control"})
        if self.match and self.match.mode == "filter":
            del read["match"]["boost"]
        if not self.words.stop_words and not self.words.stemming:
            del read["words"]["language"]
        return read
