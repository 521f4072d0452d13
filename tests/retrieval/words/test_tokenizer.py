"""How texts are tokenised into words."""

import re
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.retrieval.settings import Language, Words
from kformer.retrieval.words.tokenizer import tokenizer

STOPS, STEMS, TWO = {"stop_words": True}, {"stemming": True}, {"ngrams": 2}


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
        ({}, "खून लाल क्यों है?", "खून लाल क्यों है"),
        ({}, "உயிர் எழுத்துகள்", "உயிர் எழுத்துகள்"),
        ({}, "العِلْمُ نُورٌ، عـــلم", "العلم نور علم"),
        ({}, "שָׁלוֹם עוֹלָם", "שלום עולם"),
        ({}, "น้ำ ที่นี่", "น้ำ ที่นี่"),
        ({}, "m̄ x̂y", "m̄ x̂y"),
        ({}, "𞤀𞥄𞤣𞤢 𑄌𑄋𑄴𑄟𑄳𑄦", "𞤢𞥄𞤣𞤢 𑄌𑄋𑄴𑄟𑄳𑄦"),
        ({}, "İstanbul'da", "istanbul da"),
        ({}, "می\u200cخواهم क्\u200dष", "میخواهم क्ष"),
        ({}, "Größe: 5 m², ½ naïve_1", "größe 5 m² ½ naïve_1"),
        ({}, "ភាសា\u200bខ្មែរ", "ភាសា ខ្មែរ"),
        (TWO, "胰岛素由胰腺分泌。", "胰岛 岛素 素由 由胰 胰腺 腺分 分泌"),
        (TWO, "酶，DNA检测2型", "酶 dna 检测 2 型"),
        (TWO, "インスリン は ok", "イン ンス スリ リン は ok"),
        (TWO, "น้ำดื่ม", "น้ำ ำดื่ ดื่ม"),
        (TWO, "खून लाल dogs Größe", "खून लाल dogs größe"),
        ({"ngrams": 3} | STEMS, "血红蛋白 dogs", "血红蛋 红蛋白 dog"),
        ({"ngrams": 1}, "血红", "血 红"),
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
@given(st.text(max_size=30), st.text(max_size=30), st.booleans(), st.booleans(), st.integers(1, 3))
def test_two_texts_have_the_words_of_both(one, other, stop_words, stemming, ngrams):
    tokenise = tokenizer(Words(stop_words=stop_words, stemming=stemming, ngrams=ngrams))
    assert tokenise(f"{one} {other}") == tokenise(one) + tokenise(other)


latin = st.characters(max_codepoint=0x2FF, exclude_characters="\u0130")


@given(st.text(latin | st.sampled_from("’“”–—…€™α²½")))
def test_words_of_latin_text_are_what_python_takes_for_words(text):
    for each in (Words(), Words(ngrams=2)):
        assert tokenizer(each)(text) == re.findall(r"\w+", text.lower())
