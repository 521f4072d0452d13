"""Social IQA: the official files, our validation split, and types of questions."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from kformer.errors import KformerError
from kformer.questions.build import build_questions
from kformer.questions.social_iqa import SocialIqa, question_type


def question(context="Pat fed Mo's cat.", **changed):
    texts = {"question": "Why did Pat do this?", "answerA": "to help", "answerB": "to hurt"}
    return {"context": context, **texts, "answerC": "to sing", **changed}


@pytest.fixture
def archive(folder_of):
    """A folder laid out as the official archive; without other labels each is 1."""

    def write(train, dev=None, train_labels=None, dev_labels=None, more=None):
        dev = dev or [question()]
        files = {
            "official/train.jsonl": list(train),
            "official/train-labels.lst": list(train_labels or "1" * len(train)),
            "official/dev.jsonl": list(dev),
            "official/dev-labels.lst": list(dev_labels or "1" * len(dev)),
        }
        return folder_of(files | (more or {}))

    return write


def refused(folder, problem):
    with pytest.raises(KformerError, match=problem):
        list(SocialIqa().read(folder))


def test_rows(archive):
    train = question(context="  Zoë's  cat\nsat. ", answerA=" same", answerC="same ")
    rows = list(SocialIqa().read(archive([train], [question(), question(context="")], "2", "13")))
    assert [row["question_id"] for row in rows] == ["train-000000", "dev-000000", "dev-000001"]
    assert [row["context"] for row in rows] == ["Zoë's  cat\nsat.", "Pat fed Mo's cat.", ""]
    assert rows[0]["choices"] == ["same", "to hurt", "same"]
    assert [row["answer"] for row in rows] == [1, 0, 2]
    assert [row["split"] for row in rows][1:] == ["test", "test"]
    assert rows[1]["type"] == "xIntent"


def test_additional_files_of_macos_do_not_matter(archive):
    folder = archive([question()], more={"__MACOSX/._dev.jsonl": b"\x00\x05\x16\x07"})
    assert len(list(SocialIqa().read(folder))) == 2


@pytest.fixture
def many(archive):
    spellings = ("Pat saw {}.", " pat SAW {}. ", "Pat  saw\t{}.")
    return archive([question(text.format(i)) for i in range(300) for text in spellings])


def test_no_context_is_in_both_train_and_validation(many):
    contexts = {"train": set(), "validation": set(), "test": set()}
    for row in SocialIqa(validation_share=0.2).read(many):
        contexts[row["split"]].add(" ".join(row["context"].casefold().split()))
    assert len(contexts["train"]) + len(contexts["validation"]) == 300
    assert 40 < len(contexts["validation"]) < 80
    assert not contexts["train"] & contexts["validation"]


def test_the_split_depends_on_the_seed_and_on_nothing_else(many):
    def validation(**settings):
        rows = SocialIqa(**settings).read(many)
        return [row["question_id"] for row in rows if row["split"] == "validation"]

    assert validation() != validation(split_seed=1)
    assert set(validation()) < set(validation(validation_share=0.3))
    # The same on every machine and Python, so it can be written down.
    assert validation(validation_share=0.02)[::3] == [
        *("train-000444", "train-000633", "train-000732", "train-000837")
    ]


def contexts_by_split(reader, folder):
    contexts = {}
    for row in reader.read(folder):
        contexts.setdefault(row["split"], set()).add(" ".join(row["context"].casefold().split()))
    return contexts


@pytest.mark.parametrize("share", [0.01, 0.2, 0.333, 0.49])
def test_the_extra_test_has_its_share_of_the_train_contexts_and_no_other_split_has_one(many, share):
    before = contexts_by_split(SocialIqa(validation_share=0.3), many)
    contexts = contexts_by_split(SocialIqa(validation_share=0.3, extra_test_share=share), many)
    assert len(contexts["test_extra"]) == round(share * 300)
    assert contexts["validation"] == before["validation"]
    assert contexts["train"] == before["train"] - contexts["test_extra"]
    assert contexts["test_extra"] <= before["train"] and contexts["test"] == before["test"]


def test_a_larger_extra_test_has_the_smaller_one_and_another_seed_another(many):
    small, large, other = (
        contexts_by_split(SocialIqa(extra_test_share=share, split_seed=seed), many)["test_extra"]
        for share, seed in ((0.1, 0), (0.2, 0), (0.1, 1))
    )
    assert small < large and small != other


def test_without_an_extra_test_nothing_is_another(many):
    """Keys of results stand for what a section dumps."""
    plain, none = SocialIqa(), SocialIqa(extra_test_share=0)
    assert list(none.read(many)) == list(plain.read(many))
    assert none.model_dump(mode="json") == plain.model_dump(mode="json")
    assert "extra_test_share" not in plain.model_dump(mode="json")
    some = SocialIqa(extra_test_share=0.1)
    assert SocialIqa(**some.model_dump(mode="json")) == some != plain


def test_questions_of_the_extra_test_are_counted(many, tmp_path):
    counts = build_questions(SocialIqa(extra_test_share=0.1), many, tmp_path / "q")
    assert counts["test_extra_questions"] == 3 * 30
    assert counts["train_questions"] + counts["validation_questions"] == 3 * 270
    assert counts["test_extra_questions_in_train"] == 0
    assert not any(
        "extra" in name for name in build_questions(SocialIqa(), many, tmp_path / "other")
    )


@pytest.mark.parametrize("share", [-0.1, 0.5])
def test_an_extra_test_of_half_or_more_is_refused(share):
    with pytest.raises(ValidationError):
        SocialIqa(extra_test_share=share)


@pytest.mark.parametrize("share", [0, 0.5])
def test_impossible_shares(share):
    with pytest.raises(ValidationError):
        SocialIqa(validation_share=share)


WITHOUT_C = {key: text for key, text in question().items() if key != "answerC"}


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("{", "not valid JSON"),
        (WITHOUT_C, "no answerC"),
        *((question(**{key: 7}), f"{key} must be text") for key in ("context", "answerB")),
        *((question(**{key: " \t"}), f"{key} is empty") for key in ("question", "answerB")),
    ],
)
def test_a_malformed_question_is_refused_by_its_line(archive, bad, what):
    refused(archive([question(), bad]), rf"train\.jsonl:2: {what}")


@pytest.mark.parametrize("label", ["0", "4", "-1", "A", "1.0", "²", "1 2"])
def test_a_label_that_is_none_is_refused_by_its_line(archive, label):
    folder = archive([question()] * 2, train_labels=["1", label])
    refused(folder, r"train-labels\.lst:2: the label must be 1, 2 or 3")


@pytest.mark.parametrize(
    ("labels", "what"),
    [("1", r"train\.jsonl:2: more questions"), ("111", r"train-labels\.lst:3: more labels")],
)
def test_more_or_fewer_labels_than_questions_are_refused(archive, labels, what):
    refused(archive([question()] * 2, train_labels=labels), what)


@pytest.mark.parametrize("name", ["train.jsonl", "train-labels.lst", "dev.jsonl", "dev-labels.lst"])
def test_a_missing_file_or_a_second_copy_is_refused(archive, name):
    folder = archive([question()], more={f"official/copy/{name}": ""})
    refused(folder, rf"2 files called {name}")
    (folder / "official" / name).unlink()
    (folder / "official/copy" / name).unlink()
    refused(folder, rf"0 files called {name}")


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
def test_x_is_whom_the_context_names_first_and_never_others(context, x):
    assert question_type("How would Mo feel?", context) == ("xReact" if x else "oReact")
    others = context.replace("Mo", "Others")
    assert question_type("How would others feel?", others) == "oReact"


@pytest.mark.parametrize("word", ["is ", "happen to ", "after ", "what did pat need to do before "])
def test_a_text_of_any_length_has_its_type_at_once(word):
    assert question_type(word * 20_000, CONTEXT) is None
    assert question_type(f"Why did Pat {'x' * 200}?", CONTEXT) == "xIntent"
    assert question_type(f"Why did Pat {'x' * 300}?", CONTEXT) is None


@settings(max_examples=100, deadline=None)
@given(st.text(), st.text())
def test_any_wording_has_a_type_or_none(wording, context):
    kind = question_type(wording, context)
    assert kind is None or re.fullmatch("[xo](Intent|Attr|Need|React|Want|Effect)", kind)
