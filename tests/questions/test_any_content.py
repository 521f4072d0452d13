"""Whatever a file holds, a reader gives questions or one error that the user can correct."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kformer.errors import KformerError
from kformer.questions.demo import DemoQuestions
from kformer.questions.med_qa import MedQa
from kformer.questions.social_iqa import SocialIqa
from kformer.questions.user_files import CsvQuestions, JsonlQuestions

KEYS = [
    *("question", "choices", "answer", "context", "id", "split", "type", "gold_facts"),
    *("question_id", "q", "options", "answer_idx", "meta_info", "answerA"),
]
GOOD_MED_QA = {"question": "?", "options": dict.fromkeys("ABCD", "x"), "answer_idx": "A"}
GOOD_SOCIAL_IQA = dict.fromkeys(["context", "question", "answerA", "answerB", "answerC"], "x")
MED_QA = "questions/US/4_options/phrases_no_exclude_{}.jsonl"
COLUMNS = {"question": "q.stem", "choices": "q.choices.text", "labels": "q.choices.label"}
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=3), plain)
texts = st.text(min_size=1, max_size=6)
by_letter = st.fixed_dictionaries(dict.fromkeys("ABCD", texts))


def lines_of_json(whole):
    """Good records only, or those mixed with broken ones."""
    broken = st.dictionaries(st.sampled_from(KEYS), values | by_letter, max_size=6)
    mixed = (whole | broken).map(json.dumps) | st.text(max_size=9)
    good = st.lists(whole.map(json.dumps), min_size=3, max_size=9)
    return (st.lists(mixed, max_size=5) | good).map("\n".join)


questions = st.fixed_dictionaries(
    {
        "question": texts,
        "choices": st.lists(texts, min_size=2, max_size=4) | by_letter,
        "answer": st.integers(0, 1) | st.sampled_from("AB"),
    },
    optional={"context": texts, "id": texts | st.integers()},
)
objects = st.fixed_dictionaries({"text": texts, "label": st.sampled_from("ABCD")})
nested = st.fixed_dictionaries(
    {
        "q": st.fixed_dictionaries({"stem": texts, "choices": st.lists(objects, max_size=3)}),
        "answer": st.sampled_from("AB"),
    }
)
of_demo = questions.flatmap(
    lambda row: st.sampled_from(["train", "validation", "test"]).map(
        lambda split: row | {"split": split, "question_id": str(row.get("id", 1))}
    )
)
of_med_qa = st.fixed_dictionaries(
    {"question": texts, "options": by_letter, "answer_idx": st.sampled_from("ABCD")}
)
of_social_iqa = st.fixed_dictionaries(dict.fromkeys(GOOD_SOCIAL_IQA, texts))
cells = st.sampled_from(["question", "A", "B", "answer", "id", "split", "0", "train", '"'])
rows = st.lists(st.lists(cells | texts, max_size=6).map(",".join), max_size=6)
tables = rows.map(lambda rows: "\n".join(["question,A,B,answer", *rows]))

READERS = {
    "csv": (CsvQuestions(path="."), "q.csv", tables, {}),
    "demo": (DemoQuestions(), "questions.jsonl", lines_of_json(of_demo), {}),
    "jsonl": (JsonlQuestions(path="."), "q.jsonl", lines_of_json(questions), {}),
    "columns": (JsonlQuestions(path=".", columns=COLUMNS), "q.jsonl", lines_of_json(nested), {}),
    "med_qa": (
        MedQa(),
        MED_QA.format("train"),
        lines_of_json(of_med_qa),
        {MED_QA.format(name): [GOOD_MED_QA] for name in ("dev", "test")},
    ),
    "social_iqa": (
        SocialIqa(validation_share=0.4, extra_test_share=0.2),
        "train.jsonl",
        lines_of_json(of_social_iqa),
        {
            **{"train-labels.lst": "1\n2\n3\n1\n2"},
            **{"dev.jsonl": [GOOD_SOCIAL_IQA], "dev-labels.lst": "1"},
        },
    ),
}


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_content_gives_questions_or_our_error(folder_of, build, name, data):
    reader, file, contents, others = READERS[name]
    content = data.draw(
        st.binary(max_size=60) | contents.map(lambda text: text.encode(errors="surrogatepass"))
    )
    with suppress(KformerError):
        build(reader, folder_of(others | {file: content}))
