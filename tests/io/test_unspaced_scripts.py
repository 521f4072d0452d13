"""Texts without spaces between words are known by their script and by how they are written."""

import pytest

from kformer.io.unspaced_scripts import UnspacedTexts, is_unspaced

UNSPACED = {
    "Han": "胰岛素由胰腺分泌。",
    "Japanese": "インスリンはすいぞうでつくられる",
    "Thai": "ตับอ่อนสร้างอินซูลิน",
    "Lao": "ພາສາລາວເປັນພາສາທາງການ",
    "Burmese": "မြန်မာဘာသာစကားသည်တရားဝင်ဘာသာဖြစ်သည်",
    "Khmer": "ភាសាខ្មែរជាភាសាផ្លូវការ",
}


def described(texts):
    counted = UnspacedTexts()
    assert list(counted.counting(texts)) == texts
    halves = [UnspacedTexts(), UnspacedTexts()]
    for half, part in zip(halves, (texts[:1], texts[1:]), strict=True):
        list(half.counting(part))
    assert UnspacedTexts.total(halves) == counted
    return counted.described("facts")


@pytest.mark.parametrize(("script", "text"), UNSPACED.items(), ids=list(UNSPACED))
def test_texts_without_spaces_are_described(script, text):
    assert described([text, "Rain.", f"1. {text}"]) == (
        f"2 of 3 facts without spaces between words ({script}: {text!r})"
    )


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
    assert described([text]) is None


def test_a_few_such_texts_among_many_are_not():
    texts = [UNSPACED["Han"], *["Rain."] * 10]
    assert described(texts) is None
    assert described(texts[:10]).startswith("1 of 10 facts")
