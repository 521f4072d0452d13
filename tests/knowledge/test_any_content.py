"""Whatever a folder holds, a reader gives facts or one error that the user can correct."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.knowledge.atomic import ATOMIC_TEMPLATES, Atomic
from kformer.knowledge.atomic2020 import Atomic2020
from kformer.knowledge.conceptnet import ConceptNet
from kformer.knowledge.demo import DemoFacts
from kformer.knowledge.medquad import MedQuad
from kformer.knowledge.textbooks import Textbooks
from kformer.knowledge.user_files import CsvFacts, JsonlFacts, TsvFacts, TxtFacts

KEYS = ["text", "head", "relation", "tail", "origin"]
COLUMNS = {"text": "a.b", "head": "h", "relation": None}
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain)
objects = st.dictionaries(st.sampled_from([*KEYS, "a", "h"]), st.text(max_size=5) | values)
lines_of_json = st.lists(objects.map(json.dumps) | st.text(max_size=5), max_size=4).map("\n".join)


def tables(separator, *cells):
    """Rows of odd cells, and of these."""
    row = st.lists(st.sampled_from(cells) | st.text(max_size=8), min_size=1, max_size=5)
    return st.lists(row.map(separator.join), max_size=5).map("\n".join)


atomic_header = ",".join(["event", *ATOMIC_TEMPLATES]) + "\n"
atomic_row = 'PersonX feeds the ___,"[""none"", ""to to eat""]"' + ',"[""x\'s""]"' * 8
tags = [f"<{end}{name}>" for name in ("QAPair", "Question", "Answer", "pair") for end in ("", "/")]
READERS = {
    "atomic": (
        Atomic(),
        "v4_atomic_dev.csv",
        tables(",", atomic_row, "[]", "[").map(atomic_header.__add__),
    ),
    "atomic2020": (
        Atomic2020(),
        "train.tsv",
        tables("\t", "xNeed", "IsA", "PersonX", "none", "___", "to to"),
    ),
    "conceptnet": (
        ConceptNet(),
        "a.csv",
        tables("\t", *("/c/en/a_b/n", "/c/en", "/c/en/_", "/c/fr/b", "http://a", "/r/", "/a/[x]")),
    ),
    "csv": (CsvFacts(path="."), "a.csv", tables(",", *KEYS, '"')),
    "demo": (DemoFacts(), "facts.jsonl", lines_of_json),
    "jsonl": (JsonlFacts(path="."), "a.jsonl", lines_of_json),
    "columns": (JsonlFacts(path=".", columns=COLUMNS), "a.jsonl", lines_of_json),
    "lines": (TxtFacts(path=".", unit="line"), "a.txt", st.text(max_size=40)),
    "medquad": (MedQuad(words=3, overlap=1), "a.xml", tables("", *tags, "&amp;", "&a;", "One.")),
    "textbooks": (Textbooks(words=2, overlap=1), "textbooks/en/a.txt", st.text(max_size=80)),
    "tsv": (TsvFacts(path="."), "a.tsv", tables("\t", *KEYS)),
}


@pytest.mark.parametrize(
    ("reader", "other", "problem"),
    [
        (Atomic(), "v4_atomic_all.csv", r"no v4_atomic_trn\.csv or .* below it; unpack the offi"),
        (Atomic2020(), "all.tsv", r"no train\.tsv or dev\.tsv or test\.tsv below it; unpack the"),
        (ConceptNet(), "a.json", r"no \.csv or \.tsv or \.txt file below it; name a"),
        (MedQuad(), "a.txt", "no XML documents below it; unpack the"),
        (Textbooks(), "textbooks/zh/a.txt", r"no textbooks/en/\*\.txt .*; unpack MedQA's"),
    ],
)
def test_a_folder_without_the_files_of_a_source_is_refused(
    folder_of, build, reader, other, problem
):
    with pytest.raises(KformerError, match=f": {problem}"):
        build(reader, folder_of({other: "Text."}))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_content_gives_facts_or_our_error(folder_of, build, name, data):
    reader, file, contents = READERS[name]
    content = data.draw(
        st.binary(max_size=60) | contents.map(lambda text: text.encode(errors="surrogatepass"))
    )
    with suppress(KformerError):
        build(reader, folder_of({file: content}))
