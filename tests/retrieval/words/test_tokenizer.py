"""How texts are tokenised into words."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.settings import Language, Words
from kformer.retrieval.words.tokenizer import tokenizer

STOPS, STEMS = {"stop_words": True}, {"stemming": True}


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ({}, "The pet of Krez.", "the pet of krez"),
        ({}, "PersonX's well-known 2nd café", "personx s well known 2nd café"),
        ({}, "dog dog\nDog", "dog dog dog"),
        ({}, "", ""),
        ({}, " ?! ", ""),
        (STOPS, "The dogs of the house", "dogs house"),
        (STOPS, "the of a", ""),
        (STEMS, "She wanted what he wants", "she want what he want"),
        (STOPS | STEMS, "The dogs wanted this", "dog want"),
        (STOPS | STEMS, "its it", "it"),  # "its" is not a stop word, but its stem is one
    ],
)
def test_words_of_a_text(settings, text, expected):
    assert tokenizer(Words(**settings))(text) == expected.split()


@pytest.mark.parametrize(
    ("language", "stop_word"),
    list(zip(get_args(Language), "og en the et und e og e и y och ve".split(), strict=True)),
)
def test_every_language_has_stop_words_and_stems(language, stop_word):
    stops = tokenizer(Words(language=language, stop_words=True))
    assert stops(f"zorbak {stop_word} zorbak") == ["zorbak", "zorbak"]
    stems = tokenizer(Words(language=language, stemming=True))
    assert len(stems("zorbak zorbaks zorbak")) == 3


@settings(max_examples=40)
@given(st.text(max_size=30), st.text(max_size=30), st.booleans(), st.booleans())
def test_two_texts_have_the_words_of_both(one, other, stop_words, stemming):
    tokenise = tokenizer(Words(stop_words=stop_words, stemming=stemming))
    assert tokenise(f"{one} {other}") == tokenise(one) + tokenise(other)
