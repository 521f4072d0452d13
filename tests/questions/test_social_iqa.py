"""Social IQA: the official files, our validation split, and types of questions."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.io.tables import read_rows, write_table
from kformer.questions.social_iqa import SocialIqa, question_type


def question(context="Pat fed Mo's cat.", **changed):
    texts = {"question": "Why did Pat do this?", "answerA": "to help", "answerB": "to hurt"}
    return {"context": context, **texts, "answerC": "to sing", **changed}


def write_split(folder, name, questions, labels=None):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [q if isinstance(q, str) else json.dumps(q, ensure_ascii=False) for q in questions]
    labels = ["1"] * len(lines) if labels is None else labels
    (folder / f"{name}.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / f"{name}-labels.lst").write_text("\n".join(labels), "utf-8")


def write_archive(folder, train, dev, train_labels=None, dev_labels=None):
    write_split(folder / "official", "train", train, train_labels)
    write_split(folder / "official", "dev", dev, dev_labels)
    return folder


def test_rows(tmp_path):
    train = question(context="  Zoë's  cat\nsat. ", answerA=" same", answerC="same ")
    folder = write_archive(tmp_path, [train], [question(), question()], ["2"], ["1", "3"])
    rows = list(SocialIqa().read(folder))
    assert [row["question_id"] for row in rows] == ["train-000000", "dev-000000", "dev-000001"]
    assert rows[0]["context"] == "Zoë's  cat\nsat."
    assert rows[0]["choices"] == ["same", "to hurt", "same"]
    assert [row["answer"] for row in rows] == [1, 0, 2]
    assert [row["split"] for row in rows][1:] == ["test", "test"]
    assert rows[1]["type"] == "xIntent"
    assert write_table(tmp_path / "questions.parquet", "questions", rows) == 3
    assert list(read_rows(tmp_path / "questions.parquet", "questions")) == rows


def test_bom_crlf_and_missing_last_newlines(tmp_path):
    folder = write_archive(tmp_path, [question()], [question()])
    lines = "\r\n".join(json.dumps(question()) for _ in range(2))
    (folder / "official/dev.jsonl").write_bytes(b"\xef\xbb\xbf" + lines.encode())
    (folder / "official/dev-labels.lst").write_bytes(b"\xef\xbb\xbf2\r\n3")
    assert [row["answer"] for row in SocialIqa().read(folder)] == [0, 1, 2]


def test_additional_files_of_macos_do_not_matter(tmp_path):
    folder = write_archive(tmp_path, [question()], [question()])
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX/._dev.jsonl").write_bytes(b"\x00\x05\x16\x07")
    assert len(list(SocialIqa().read(folder))) == 2


def many(tmp_path):
    spellings = ("Pat saw {}.", " pat SAW {}. ", "Pat  saw\t{}.")
    train = [question(text.format(i)) for i in range(300) for text in spellings]
    return write_archive(tmp_path, train, [question()])


def test_no_context_is_in_both_train_and_validation(tmp_path):
    contexts = {"train": set(), "validation": set(), "test": set()}
    for row in SocialIqa(validation_share=0.2).read(many(tmp_path)):
        contexts[row["split"]].add(" ".join(row["context"].casefold().split()))
    assert len(contexts["train"]) + len(contexts["validation"]) == 300
    assert 40 < len(contexts["validation"]) < 80
    assert not contexts["train"] & contexts["validation"]


def test_the_split_depends_on_the_seed_and_on_nothing_else(tmp_path):
    folder = many(tmp_path)

    def validation(**settings):
        rows = SocialIqa(**settings).read(folder)
        return [row["question_id"] for row in rows if row["split"] == "validation"]

    assert validation() == validation()
    assert validation() != validation(split_seed=1)
    assert set(validation()) < set(validation(validation_share=0.3))
    # The same on every machine and Python, so it can be written down.
    assert validation(validation_share=0.02)[::3] == [
        *("train-000444", "train-000633", "train-000732", "train-000837")
    ]


@pytest.mark.parametrize("share", [0, 0.5, -1])
def test_impossible_shares(share):
    with pytest.raises(ValidationError):
        SocialIqa(validation_share=share)


WITHOUT_C = {key: text for key, text in question().items() if key != "answerC"}


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        (WITHOUT_C, "no answerC"),
        (question(answerB=7), "answerB must be text"),
        (question(context=None), "context must be text"),
        (question(answerB=" \t"), "answerB is empty"),
        (question(question=""), "question is empty"),
    ],
)
def test_bad_questions(tmp_path, bad, what):
    folder = write_archive(tmp_path, [question(), bad], [question()])
    with pytest.raises(KformerError, match=rf"train\.jsonl:2: {what}"):
        list(SocialIqa().read(folder))


def test_an_empty_context_is_fine(tmp_path):
    folder = write_archive(tmp_path, [question()], [question(context="")])
    assert [row["context"] for row in SocialIqa().read(folder)][1] == ""


@pytest.mark.parametrize("label", ["0", "4", "-1", "A", "1.0", "²", "1 2"])
def test_labels_out_of_range(tmp_path, label):
    folder = write_archive(tmp_path, [question()] * 2, [question()], ["1", label])
    with pytest.raises(KformerError, match=r"train-labels\.lst:2: the label must be 1, 2 or 3"):
        list(SocialIqa().read(folder))


@pytest.mark.parametrize(
    ("labels", "what"),
    [
        (["1"], r"train\.jsonl:2: more questions"),
        (["1"] * 3, r"train-labels\.lst:3: more labels"),
    ],
)
def test_more_or_fewer_labels_than_questions(tmp_path, labels, what):
    folder = write_archive(tmp_path, [question()] * 2, [question()], labels)
    with pytest.raises(KformerError, match=what):
        list(SocialIqa().read(folder))


@pytest.mark.parametrize("name", ["train.jsonl", "train-labels.lst", "dev.jsonl", "dev-labels.lst"])
def test_a_missing_file_is_refused(tmp_path, name):
    folder = write_archive(tmp_path, [question()], [question()])
    (folder / "official" / name).unlink()
    with pytest.raises(KformerError, match=rf"0 files called {name}"):
        list(SocialIqa().read(folder))


def test_a_second_copy_is_refused(tmp_path):
    folder = write_archive(tmp_path, [question()], [question()])
    write_split(folder / "copy", "train", [question()])
    with pytest.raises(KformerError, match=r"2 files called train\.jsonl"):
        list(SocialIqa().read(folder))


CONTEXT = "Pat drove Mo to the station."


@pytest.mark.parametrize(
    ("wording", "kind"),
    [
        ("Why did Pat do this?", "xIntent"),
        ("What does Pat need to do before this?", "xNeed"),
        ("What did Pat need to do before this?", "xNeed"),
        ("What would Pat have needed to do before this?", "xNeed"),
        ("How would you describe Pat?", "xAttr"),
        ("How would Pat feel afterwards?", "xReact"),
        ("  how would  PAT feel as a result? ", "xReact"),
        ("What will Pat want to do next?", "xWant"),
        ("What does Pat need to do after this?", "xWant"),
        ("What is Pat going to do next?", "xWant"),
        ("What will happen to Pat?", "xEffect"),
        ("What will happen to Pat next?", "xEffect"),
        ("How would Others feel as a result?", "oReact"),
        ("How would Mo feel afterwards?", "oReact"),
        ("How do you think Mo would feel?", "oReact"),
        ("What will Others want to do next?", "oWant"),
        ("The others will want to do what next?", "oWant"),
        ("What will Mo want to do next?", "oWant"),
        ("What will happen to Others?", "oEffect"),
        ("What will happen to the driver?", "oEffect"),
        ("How would she feel?", None),
        ("What did Pat do?", None),
        ("", None),
    ],
)
def test_types(wording, kind):
    assert question_type(wording, CONTEXT) == kind


@pytest.mark.parametrize(
    ("context", "x"),
    [
        ("After a long day, Mo met Pat.", True),
        ("mo met pat.", True),
        ("Mo's dog bit Pat.", True),
        ("Seeing no bus, Mo left.", True),
        ("Pat met Mo.", False),
        ("pat met mo.", False),
        ("After Pat left, Mo sang.", False),
        ("Momo met Pat.", False),
        ("", False),
    ],
)
def test_x_is_whom_the_context_names_first(context, x):
    assert question_type("How would Mo feel?", context) == ("xReact" if x else "oReact")


def test_others_are_never_x():
    assert question_type("What will happen to others?", "Others met Pat.") == "oEffect"


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text())
def test_any_wording_has_a_type_or_none(wording, context):
    assert question_type(wording, context) in {
        None,
        *(f"x{k}" for k in KINDS),
        *(f"o{k}" for k in KINDS),
    }


KINDS = ("Intent", "Attr", "Need", "React", "Want", "Effect")
