"""Passages: of bounded length, ending with sentences, and nothing is lost between them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.io import text_files as text_files
from kformer.io.normal_form import normal_form
from kformer.knowledge import passages
from kformer.knowledge.passages import Passage, paragraphs_of
from kformer.knowledge.user_files import TxtFacts


def split(paragraphs, words=100, overlap=0):
    return list(TxtFacts(path=".", words=words, overlap=overlap).split(paragraphs))


def texts(paragraphs, words=100, overlap=0):
    return [passage.text for passage in split(paragraphs, words, overlap)]


class TestLength:
    def test_a_passage_takes_as_many_sentences_as_fit(self):
        paragraph = "One two. Three four five. Six. Seven eight."
        assert texts([paragraph], words=5) == ["One two. Three four five.", "Six. Seven eight."]
        assert texts([paragraph], words=6) == ["One two. Three four five. Six.", "Seven eight."]
        assert texts([paragraph], words=8) == [paragraph]

    def test_only_a_sentence_that_is_too_long_is_split_within(self):
        paragraph = "One. Two three four five six seven. Eight."
        parts = ["One.", "Two three four", "five six seven.", "Eight."]
        assert texts([paragraph], words=3) == parts
        assert texts(["One two three four five"], words=2) == ["One two", "three four", "five"]

    @pytest.mark.parametrize("size", [{"words": 0}, {"overlap": -1}, {"words": 20, "overlap": 20}])
    def test_impossible_sizes_are_refused(self, size):
        with pytest.raises(ValidationError):
            TxtFacts(path=".", **size)


class TestSentences:
    @pytest.mark.parametrize(
        "sentence",
        ["One.", "Really?", "No!", "Well…", "“Yes.”", "'No.'", '"Oh!"', "(See there.)", "[So.]"],
    )
    def test_end_with_these(self, sentence):
        assert texts([f"{sentence} Then more."], words=2) == [sentence, "Then more."]
        assert texts([f"{sentence} 3 more."], words=2) == [sentence, "3 more."]

    @pytest.mark.parametrize("part", ["One, Two", "One: Two", "One; Two", "One) Two", "E.g. this"])
    def test_do_not_end_with_these(self, part):
        assert texts([f"Then. {part} comes."], words=3) == ["Then.", f"{part} comes."]

    def test_end_where_paragraphs_end(self):
        assert texts(["One, two,", "three four,", "five."], words=3) == [
            *("One, two,", "three four, five.")
        ]


class TestOverlap:
    PARAGRAPH = "One two. Three. Four five. Six seven eight. Nine."

    def test_repeats_the_last_sentences_that_fit_in_it(self):
        assert texts([self.PARAGRAPH], words=5, overlap=3) == [
            "One two. Three. Four five.",
            "Four five. Six seven eight.",
            "Six seven eight. Nine.",
        ]

    def test_is_never_part_of_a_sentence(self):
        parts = ["One two. Three. Four five.", "Six seven eight. Nine."]
        assert texts([self.PARAGRAPH], words=5, overlap=1) == parts

    def test_is_shorter_where_the_next_sentence_would_not_fit(self):
        parts = ["One two.", "Three four five six. Seven."]
        assert texts(["One two. Three four five six. Seven."], words=5, overlap=4) == parts

    def test_reaches_across_paragraphs_but_not_headings(self):
        paragraphs = ["One two.", "Three four.", "Name", "Five six.", "Seven."]
        parts = ["One two.", "Three four.", "Name: Five six. Seven."]
        assert texts(paragraphs, words=3, overlap=2) == parts
        parts = ["One two. Three.", "Three. Four. Five."]
        assert texts(["One two. Three.", "Four. Five."], words=3, overlap=1) == parts


class TestHeadings:
    def test_are_in_front_of_each_passage_until_the_next_one(self):
        paragraphs = ["Before it.", "Gout", "One two. Three four.", "Five.", "Of Mice", "Six."]
        assert split(paragraphs, words=2) == [
            Passage("Before it.", 1, 1),
            Passage("Gout: One two.", 3, 3),
            Passage("Gout: Three four.", 3, 3),
            Passage("Gout: Five.", 4, 4),
            Passage("Of Mice: Six.", 6, 6),
        ]

    @pytest.mark.parametrize("heading", ["Gout", "1.2 Gout", "Éclairs (rare)", "A " * 11 + "b"])
    def test_are_short_lines_without_an_end_before_longer_text(self, heading):
        assert texts([heading, "It hurts."]) == [f"{heading}: It hurts."]

    @pytest.mark.parametrize(
        "line",
        [*("gout", "Gout.", "“Gout.”", "Gout:", "Gout,", "Gout;", "12", "—"), "A " * 12 + "b"],
    )
    def test_are_not_such_lines(self, line):
        assert texts([line, "It hurts."]) == [f"{line} It hurts."]

    def test_lists_of_short_lines_are_text(self):
        paragraphs = ["It has:", "Fever", "Cough", "Pain", "Nobody knows why."]
        assert texts(paragraphs) == ["It has: Fever Cough", "Pain: Nobody knows why."]
        assert texts(["Gout", "It has", "Fever", "12"]) == ["Gout It has", "Fever: 12"]

    def test_a_short_line_at_the_end_is_text(self):
        assert split(["One.", "The end"]) == [Passage("One. The end", 1, 2)]
        assert split(["The end"]) == [Passage("The end", 1, 1)]


def test_passages_say_from_which_paragraphs_they_are():
    paragraphs = ["One two.", "Three. Four.", "five,", "Six seven eight nine."]
    found = [passage[1:] for passage in split(paragraphs, words=3)]
    assert found == [(1, 2), (2, 3), (4, 4), (4, 4)]


def paragraphs_in(folder_of, content):
    return list(paragraphs_of(folder_of({"a.txt": content}) / "a.txt"))


class TestParagraphsOfAFile:
    def test_are_separated_by_blank_lines_and_have_single_spaces(self, folder_of):
        content = "\ufeff\n One\r\ntwo  three\tfour \n\n \t\r\nfive\n\u00a0\nsix"
        assert paragraphs_in(folder_of, content) == ["One two three four", "five", "six"]
        content = "a\u00a0b \u2003 c\u2028d\x0ce\x1ff\x0b\x85g\u3000\n"
        assert paragraphs_in(folder_of, content) == ["a b c d e f g"]

    def test_are_in_normal_form_with_broken_words_joined(self, folder_of):
        content = "inflam-\r\nmation of well-\nknown\n\nulcera\u00ad\ntion: ﬁrst re\u0301sume\u0301"
        paragraphs = ["inflammation of well-known", "ulceration: first résumé"]
        assert paragraphs_in(folder_of, content) == paragraphs

    def test_that_are_very_long_come_in_parts(self, folder_of, monkeypatch):
        monkeypatch.setattr(passages, "_LONGEST_PARAGRAPH", 5)
        monkeypatch.setattr(text_files, "_PIECE", 4)
        assert paragraphs_in(folder_of, "abc\ndef\nghi\n\njkl\n") == ["abc def", "ghi", "jkl"]

    @pytest.mark.parametrize("content", [b"a\n\xff\n", b"a\n\xc3", b"a\n\xe2\x82\n\n"])
    def test_that_are_not_utf8_are_refused_by_their_line(self, folder_of, content):
        with pytest.raises(KformerError, match=r"a\.txt:2: not UTF-8"):
            paragraphs_in(folder_of, content)


spaces = "\n\n\n \r\t\v\f\x1c\x85\u00a0\u2003\u2028\u3000"


@settings(max_examples=100, deadline=None)
@given(st.text(f"abé.{spaces}", max_size=40) | st.text(max_size=20), st.integers(1, 20))
def test_paragraphs_are_the_lines_between_blank_ones(folder_of, text, piece):
    # So that it is taken neither for a binary file nor for one of an old Mac.
    text = "\n" * (1 + text.count("\r")) + text.replace("\0", "0")
    blocks = [[]]
    for line in text.split("\n"):
        if line.strip():
            blocks[-1].append(line)
        else:
            blocks.append([])
    texts = (normal_form("\n".join(block).translate(passages._AS_SPACES)) for block in blocks)
    expected = [" ".join(text.split()) for text in texts if text.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_PIECE", piece)
        assert paragraphs_in(folder_of, text.encode()) == expected


@settings(max_examples=100, deadline=None)
@given(st.text("ab \n", max_size=60), st.integers(1, 9), st.integers(1, 9))
def test_no_word_is_lost_where_paragraphs_are_too_long(folder_of, text, piece, longest):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "_PIECE", piece)
        patch.setattr(passages, "_LONGEST_PARAGRAPH", longest)
        found = paragraphs_in(folder_of, text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(len(paragraph) <= longest + 2 * piece for paragraph in found)


sizes = st.tuples(st.integers(1, 12), st.integers(0, 11)).filter(lambda size: size[1] < size[0])
batches = st.sampled_from([1, 20, 100, 10**6])  # characters


def split_in_batches(paragraphs, size, batch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passages, "_BATCH", batch)
        return split(paragraphs, *size)


def sentences(paragraph):
    parts = re.split(r"""(?<=[.!?…]) (?![a-z])|(?<=[.!?…]["'”’)\]]) (?![a-z])""", paragraph)
    return [part.split(" ") for part in parts]


def sections(paragraphs):
    """Each heading with the numbered paragraphs below it."""
    found = [("", [])]
    is_heading = [passages._looks_like_heading(paragraph) for paragraph in paragraphs]
    for number, paragraph in enumerate(paragraphs, start=1):
        if is_heading[number - 1 : number + 1] == [True, False]:
            found.append((f"{paragraph}: ", []))
        else:
            found[-1][1].append((number, paragraph))
    return found


def slow_split(paragraphs, words, overlap):
    """What `Passages.split` promises, word by word and sentence by sentence."""
    found = []
    for heading, numbered in sections(paragraphs):
        parts = [(number, part) for number, text in numbered for part in sentences(text)]
        tokens = [(number, word) for number, part in parts for word in part]
        ends = [sum(len(part) for _, part in parts[: i + 1]) for i in range(len(parts))]
        start = done = 0
        while done < len(tokens):
            stop = len(tokens)
            if stop - start > words:
                stop = start + words
                stop = max((end for end in ends if start < end <= stop), default=stop)
            numbers = [number for number, _ in tokens[start:stop]]
            text = heading + " ".join(word for _, word in tokens[start:stop])
            found.append(Passage(text, numbers[0], numbers[-1]))
            start = done = stop
            following = min((end for end in ends if end > done), default=done)
            if following - done <= words:
                earliest = max(done - overlap, following - words)
                start = min((end for end in ends if earliest <= end <= done), default=done)
    return found


odd_words = st.sampled_from(["a", "Bb", "cc.", "Dd!", "e.”", "3", "F.g", "…", "Xy", ")", "”", "é."])
odd_paragraphs = st.lists(
    st.lists(odd_words, min_size=1, max_size=30).map(" ".join) | st.sampled_from(["Xy", "Bb a"]),
    max_size=12,
)


@settings(max_examples=100, deadline=None)
@given(odd_paragraphs, sizes, batches)
def test_passages_are_those_of_a_slow_and_simple_implementation(paragraphs, size, batch):
    assert split_in_batches(paragraphs, size, batch) == slow_split(paragraphs, *size)
