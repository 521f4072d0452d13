"""The normal form: what looks the same is the same text, and plain text stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kformer.io.normal_form import in_normal_form, normal_form


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("re\u0301sume\u0301 of Jose\u0301", "résumé of José"),
        ("\u1112\u1161\u11ab\u1100\u1173\u11af", "한글"),
        ("\u212b \u2126", "Å Ω"),
        ("e\u200b\u0301", "é"),
        ("ﬁrst ﬂow oﬀ oﬃce waﬄe ﬆop ĳs", "first flow off office waffle stop ijs"),
        ("ＤＮＡ１２ ｶﾞﾝ", "DNA12 ガン"),
        ("\ufedb\ufe98\ufe8e\ufe8f", "كتاب"),
        ("a\u00a0b\u202fc\u2009d\u3000e", "a b c d e"),
        ("COVID\u201119", "COVID-19"),
        ("ulcera\u00adtion", "ulceration"),
        ("\ufeffz\u200be\u2060r\u200eo\x00\x1b\x9f", "zero"),
        ("one\u2028two\x85three\x0cfour", "one\ntwo\nthree\nfour"),
    ],
)
def test_what_looks_the_same_is_the_same(text, expected):
    assert normal_form(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "5 m² ½ ™ ﷼ … „quoted“ — a–b",
        "“what’s” æ œ ß ł İ",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # a word with a joiner
        "👩\u200d🔬 ❤\ufe0f",
        "ភាសា\u200bខ្មែរ",  # two words
        "हीमोग्लोबिन से खून लाल होता है।",
        "胰岛素，由胰腺分泌。",
        "two\r\nlines\tand a - \ndash",
        "- one\n- two",
        "over-\n",
    ],
)
def test_what_means_something_stays(text):
    assert normal_form(text) == text


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("inflam-\nmation", "inflammation"),
        ("inflam- \r\n   mation", "inflammation"),
        ("in-\nflam-\nmation", "inflammation"),
        ("inflam\u2010\nmation", "inflammation"),
        ("inflam\u00ad\nmation", "inflammation"),
        ("inflam\x02\nmation", "inflammation"),
        ("Entzün-\ndung", "Entzündung"),
        ("ill-\nness", "illness"),
        ("well-\nknown", "well-known"),
        ("x-\nray", "x-ray"),
        ("Epstein-\nBarr", "Epstein-Barr"),
        ("IL-\n6", "IL-6"),
        ("state-of-\nthe-art", "state-of-the-art"),
        ("up-\nto-date", "up-to-date"),
        ("pre-\nand postnatal", "pre- and postnatal"),
        ("inflam-\n\nmation", "inflam-\n\nmation"),
        ("it is -\nwhat", "it is -\nwhat"),
    ],
)
def test_words_broken_at_a_lines_end_are_joined(broken, whole):
    assert normal_form(f"An {broken} it is.") == f"An {whole} it is."
    assert normal_form(broken) == whole


odd = st.sampled_from("-\n\r\v aé\u0301\u00ad\u200b\u2010\u2028ﬁｶﾞกក가\u1100\u1161\ufeff\x02")
texts = st.text(st.characters(exclude_categories=["Cs"]) | odd)


@given(texts)
def test_the_normal_form_of_a_normal_form_is_the_same(text):
    assert normal_form(normal_form(text)) == normal_form(text)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\t\r\n")))
def test_plain_ascii_stays_but_for_hyphens_at_a_lines_end(text):
    assert normal_form(text) == text or "-" in text.replace("\r", "").replace("\t", "")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_line_of_ascii_stays(text):
    assert normal_form(text) is text


def test_data_are_normal_with_all_their_keys():
    assert in_normal_form({"pre\u0301nom": ["ﬁ", {"a": None, "b": 1}]}) == {
        "prénom": ["fi", {"a": None, "b": 1}]
    }


def test_two_keys_that_look_the_same_are_refused():
    with pytest.raises(ValueError, match="the key 'é' is there twice"):
        in_normal_form({"é": 1, "e\u0301": 2})


def test_data_that_are_nested_too_deeply_are_refused():
    nested: list = []
    for _ in range(10_000):
        nested = [nested]
    with pytest.raises(ValueError, match="nested too deeply"):
        in_normal_form({"a": nested})
