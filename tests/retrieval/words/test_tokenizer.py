"""How texts are tokenised into words."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.settings import Language, Words
from kformer.retrieval.words.tokenizer import tokenizer

plain = tokenizer(Words())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The pet of Krez.", ["the", "pet", "of", "krez"]),
        ("PersonX's well-known 2nd café", ["personx", "s", "well", "known", "2nd", "café"]),
        ("dog dog\nDog", ["dog", "dog", "dog"]),
        ("", []),
        (" ?! ", []),
    ],
)
def test_words_are_lower_case_and_without_punctuation(text, expected):
    assert plain(text) == expected


def test_stop_words_are_left_out():
    tokenise = tokenizer(Words(stop_words=True))
    assert tokenise("The dogs of the house") == ["dogs", "house"]
    assert tokenise("the of a") == []


def test_words_become_their_stems():
    tokenise = tokenizer(Words(stemming=True))
    assert tokenise("She wanted what he wants") == ["she", "want", "what", "he", "want"]


def test_stop_words_are_left_out_before_stemming():
    tokenise = tokenizer(Words(stop_words=True, stemming=True))
    assert tokenise("The dogs wanted this") == ["dog", "want"]
    assert tokenise("its it") == ["it"]  # not a stop word, but its stem is one


@pytest.mark.parametrize("language", get_args(Language))
def test_every_language_has_stop_words_and_stems(language):
    stops = tokenizer(Words(language=language, stop_words=True))
    common = {"english": "the", "russian": "и", "turkish": "ve", "danish": "og", "dutch": "en"}
    common |= {"french": "et", "german": "und", "italian": "e", "norwegian": "og"}
    common |= {"portuguese": "e", "spanish": "y", "swedish": "och"}
    assert stops(f"zorbak {common[language]} zorbak") == ["zorbak", "zorbak"]
    stems = tokenizer(Words(language=language, stemming=True))
    assert len(stems("zorbak zorbaks zorbak")) == 3


@settings(max_examples=40)
@given(st.text(max_size=30), st.text(max_size=30), st.booleans(), st.booleans())
def test_two_texts_have_the_words_of_both(one, other, stop_words, stemming):
    tokenise = tokenizer(Words(stop_words=stop_words, stemming=stemming))
    assert tokenise(f"{one} {other}") == tokenise(one) + tokenise(other)
