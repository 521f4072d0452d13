"""Texts without spaces between words are known by their script and by how they are written."""

import pytest

from kformer.errors import KformerError
from kformer.retrieval.settings import Words
from kformer.retrieval.words.unspaced_scripts import is_unspaced, refusing_unspaced

UNSPACED = {
    "Han": "胰岛素由胰腺分泌。",
    "Japanese": "インスリンはすいぞうでつくられる",
    "Thai": "ตับอ่อนสร้างอินซูลิน",
    "Lao": "ພາສາລາວເປັນພາສາທາງການ",
    "Burmese": "မြန်မာဘာသာစကားသည်တရားဝင်ဘာသာဖြစ်သည်",
    "Khmer": "ភាសាខ្មែរជាភាសាផ្លូវការ",
}


@pytest.mark.parametrize(("script", "text"), UNSPACED.items(), ids=list(UNSPACED))
def test_texts_without_spaces_are_refused(script, text):
    given = [text, "Rain.", f"1. {text}"]
    with pytest.raises(KformerError, match=rf"2 of 3 facts .* \({script}: '{text}"):
        list(refusing_unspaced(given, "facts", Words()))
    assert list(refusing_unspaced(given, "facts", Words(ngrams=2))) == given


@pytest.mark.parametrize(
    "text",
    [
        "The pet of Krez is dog.",
        "“Größe” naïve – 5 µm",
        "혈액은 왜 빨간가요?",
        "खून लाल क्यों है?",
        "胰岛素 由 胰腺 分泌 。",  # somebody has put spaces between the words
        "ภาษา ไทย เป็น ภาษา ราชการ",
        "ភាសា\u200bខ្មែរ\u200bជា\u200bភាសា",
        "The Chinese word for insulin is 胰岛素.",
        "",
    ],
)
def test_texts_with_words_between_spaces_are_not(text):
    assert not is_unspaced(text)
    assert list(refusing_unspaced([text], "facts", Words())) == [text]


def test_a_few_such_texts_among_many_are_not():
    texts = [UNSPACED["Han"], *["Rain."] * 10]
    assert list(refusing_unspaced(texts, "facts", Words())) == texts
    with pytest.raises(KformerError, match="1 of 10 facts"):
        list(refusing_unspaced(texts[:10], "facts", Words()))
