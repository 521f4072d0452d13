"""How facts are found: the `retrieval` section of the config."""

from collections.abc import Set
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from kformer.config_section import Reference, Section, Text, or_its_text
from kformer.encoder_lookup import BUNDLED
from kformer.io.normal_form import in_normal_form
from kformer.retrieval.methods import INDEX_SETTINGS, METHOD_SETTINGS, METHODS, IndexKind

Count = Annotated[
    int, Field(strict=True, gt=0), or_its_text(Annotated[int, Field(gt=0)])
]  # strict: `true` is no number

if TYPE_CHECKING:
    Method = str
else:
    Method = Literal[tuple(METHODS)]

Control = Literal["shuffle", "random"]

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
    """How texts are tokenised, facts and queries alike: into words, always lower-cased."""

    language: Language = "english"
    """Of the stop words and the stemmer."""
    stop_words: bool = False
    """Leave out words such as "the" and "of"."""
    stemming: bool = False
    """Reduce words to their stems, by the Snowball stemmer: "wanted" and "wants" to "want"."""
    ngrams: Annotated[int, Field(strict=True, ge=1, le=8)] | None = None
    """For scripts without spaces between words, such as Chinese, Japanese or Thai: so many
    characters in a row are a word, 2 being usual; null = the run stops where many texts are
    written so."""

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that words depend on: another value of the others changes nothing."""
        content = self.model_dump(mode="json", exclude_none=True)
        if not self.stop_words and not self.stemming:
            del content["language"]
        return content


class Match(Section):
    """Which facts may answer which question: by the question's type and the fact's relation."""

    relations: Annotated[
        Literal["atomic"]
        | Annotated[dict[Text, Annotated[list[Text], Field(min_length=1)]], Field(min_length=1)],
        BeforeValidator(in_normal_form),  # as types and relations are in the tables
    ] = "atomic"
    """For each type of question the relations of facts that may answer it; a question of another
    type, or of none, may have any fact. `atomic`: the table for Social IQA's types."""
    mode: Literal["filter", "boost"] = "filter"
    """`filter`: only matching facts are found; `boost`: their scores are multiplied."""
    boost: Annotated[float, Field(gt=1, le=1000)] = 2.0
    """By how much, with `mode: boost`."""


class RetrievalChange(Section):
    """The keys of `Retrieval`, as a condition may change some of them; whether they go together
    is checked after they are merged with the experiment's."""

    method: Method = Field(
        default="bm25",
        description="; ".join(f"`{name}`: {method.about}" for name, method in METHODS.items()),
    )
    top_k: Count = 30
    """M, how many facts are retrieved per query."""
    query: Literal["question", "choice", "context"] = "question"
    """One query per question (context + question), or one per choice (that + choice); `context`:
    one per question, of its context alone if it has one, for use with a `match` by types."""
    words: Words = Words()
    """How texts are tokenised, for all methods but `dense`."""
    encoder: Reference = BUNDLED
    """The sentence encoder of `dense` and `hybrid`: a Hugging Face id, a local folder, or
    `bundled/all-MiniLM-L6-v2`."""
    nearest: Literal["exact", "faiss"] = "exact"
    """How the nearest embeddings are found: `exact`, or `faiss`: by an approximate index, for
    corpora of many millions (needs the `faiss` extra)."""
    fusion: Literal["ranks", "rerank"] = "ranks"
    """With `hybrid`: `ranks` adds up reciprocal ranks in both lists; `rerank` orders the hits of
    BM25 by nearness of embeddings."""
    candidates: Count = 100
    """With `hybrid`: how many facts are taken from each list."""
    distractors: Annotated[
        int, Field(strict=True, ge=0), or_its_text(Annotated[int, Field(ge=0)])
    ] = 0
    """With `gold`: among how many other facts, the best of BM25, the gold facts are shuffled."""
    match: Match | None = None
    """Which facts may answer which type of question; null = all may."""
    events: Count | None = None
    """Search in two steps: first for so many events (distinct origins of facts), then among their
    facts; null = facts are searched directly."""
    max_without_facts: Annotated[float, Field(ge=0, le=1)] = 0.5
    """The run stops if a larger share of the queries finds no fact: it would compare conditions
    that have none."""
    control: Control | None = None
    """`shuffle`: each question gets the facts of another question of its split; `random`: as many
    as were found, drawn from all other facts. None of them is gold for it."""


class Retrieval(RetrievalChange):
    """How facts are found for a question."""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.method == "hybrid" and self.candidates < (self.events or self.top_k):
            wanted = "events" if self.events else "top_k"
            raise ValueError(f"candidates: {self.candidates} is less than {wanted}; make it larger")
        return self

    @model_validator(mode="after")
    def _can_be_gold(self) -> Self:
        if self.method == "gold" and self.events:
            raise ValueError("events: gold facts are given without a search; leave it out")
        return self

    @model_validator(mode="after")
    def _can_boost(self) -> Self:
        if self.boost and self.method == "hybrid" and self.fusion == "rerank" and not self.events:
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
        return METHODS[self.method].indexes

    @property
    def boost(self) -> float | None:
        """By how much the scores of matching facts are multiplied; None = they are not."""
        return self.match.boost if self.match and self.match.mode == "boost" else None

    def index_settings(self, kind: IndexKind) -> dict[str, Any]:
        """The settings that an index depends on."""
        return self._dump(INDEX_SETTINGS[kind])

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that a table depends on: another value of the others changes nothing.

        A control is made from the table. Whether there is a table at all depends on
        ``max_without_facts``, so who allows less does not find the table of who allowed more.
        """
        unread = METHOD_SETTINGS - METHODS[self.method].settings
        return self._dump(type(self).model_fields.keys() - unread - {"control"})

    def _dump(self, keys: Set[str]) -> dict[str, Any]:
        """Some keys with their values, without those within that other values make irrelevant."""
        content = self.model_dump(mode="json", include=set(keys))
        if "match" in content and self.match and self.match.mode == "filter":
            del content["match"]["boost"]
        if "words" in content:
            content["words"] = self.words.relevant_settings()
        return content
