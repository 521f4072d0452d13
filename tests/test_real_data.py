"""The readers on the real data sets, against numbers counted without them.

The data is in ../shared on developers' machines and on CI; elsewhere these tests are skipped.
"""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from kformer.io.normal_form import in_normal_form
from kformer.io.table_schemas import SPLITS
from kformer.io.tables import read_rows, read_table
from kformer.knowledge.atomic import ATOMIC_TEMPLATES, Atomic
from kformer.knowledge.build import build_facts
from kformer.knowledge.medquad import MedQuad
from kformer.knowledge.open_book import OpenBook
from kformer.knowledge.qasc_facts import QascFacts
from kformer.knowledge.user_files import TsvFacts
from kformer.questions.build import build_questions
from kformer.questions.med_qa import MedQa
from kformer.questions.open_book_qa import OpenBookQa
from kformer.questions.qasc import Qasc
from kformer.questions.social_iqa import SocialIqa
from kformer.questions.user_files import JsonlQuestions

DATA = Path(__file__).parents[1] / "../shared/data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason="no real data at ../shared/data"),
]


@pytest.fixture
def unpacked(tmp_path):
    def unpack(archive):
        shutil.unpack_archive(DATA / archive, tmp_path / "unpacked")
        return tmp_path / "unpacked"

    return unpack


def test_social_iqa(unpacked, tmp_path):
    folder, out = unpacked("social_iqa/socialiqa-train-dev.zip"), tmp_path / "questions.parquet"
    counts = build_questions(SocialIqa(), folder, out)
    assert counts["train_questions"] + counts["validation_questions"] == 33_410
    assert counts["test_questions"] == 1_954
    assert 0.04 < counts["validation_questions"] / 33_410 < 0.06
    rows = list(read_rows(out, "questions"))
    assert {len(row["choices"]) for row in rows} == {3}
    for answer in range(3):
        assert 0.31 < sum(row["answer"] == answer for row in rows) / len(rows) < 0.36
    assert sum(row["type"] is None for row in rows) / len(rows) < 0.03
    contexts = {split: set() for split in ("train", "validation")}
    for row in rows:
        contexts.get(row["split"], set()).add(" ".join(row["context"].split()).casefold())
    assert not contexts["train"] & contexts["validation"]


def test_social_iqa_with_an_extra_test(unpacked, tmp_path):
    folder, out = unpacked("social_iqa/socialiqa-train-dev.zip"), tmp_path / "questions.parquet"
    counts = build_questions(SocialIqa(extra_test_share=0.2), folder, out)
    assert counts["test_questions"] == 1_954
    assert 0.19 < counts["test_extra_questions"] / 33_410 < 0.21
    assert counts["test_extra_questions_in_train"] == counts["test_questions_in_test_extra"] == 0


def test_med_qa(unpacked, tmp_path):
    folder, out = unpacked("med_qa/med_qa_sample.zip"), tmp_path / "questions.parquet"
    sizes = {"train_questions": 2_208, "validation_questions": 1_272, "test_questions": 400}
    assert sizes.items() <= build_questions(MedQa(), folder, out).items()
    rows = list(read_rows(out, "questions"))
    types = Counter(row["type"] for row in rows)
    assert types == {None: 230 + 1_348, "step1": 701 + 105 + 484, "step2&3": 571 + 65 + 376}
    assert {len(row["choices"]) for row in rows} == {4}


def test_open_book_qa(unpacked, tmp_path):
    folder = unpacked("open_book_qa/OpenBookQA-V1-Sep2018.zip")
    out, facts = tmp_path / "questions.parquet", tmp_path / "facts.parquet"
    counts = build_questions(OpenBookQa(), folder, out)
    sizes = {"train_questions": 4_957, "validation_questions": 500, "test_questions": 500}
    assert sizes.items() <= counts.items()
    assert counts["test_gold_facts_in_train"] == pytest.approx(0.954)
    counts = build_facts([OpenBook()], [folder], facts)
    assert counts["open_book_read"] == 1_326 + 5_167 - 1  # a line is empty
    texts = set(read_table(facts, "facts")["text"].to_pylist())
    assert {fact for row in read_rows(out, "questions") for fact in row["gold_facts"]} <= texts


def test_qasc(unpacked, tmp_path):
    folder = unpacked("qasc/qasc_dataset.tar.gz")
    out, facts = tmp_path / "questions.parquet", tmp_path / "facts.parquet"
    counts = build_questions(Qasc(), folder, out)
    assert counts["train_questions"] + counts["validation_questions"] == 8_134
    assert 780 < counts["validation_questions"] <= 813
    assert counts["test_questions"] == 926
    # 86 test questions share a fact with an official train question, 79 with one that is left.
    assert counts["test_gold_facts_in_train"] == pytest.approx(79 / 926)
    rows = list(read_rows(out, "questions"))
    assert {len(row["choices"]) for row in rows} == {8}
    gold = {split: set() for split in SPLITS}
    for row in rows:
        gold[row["split"]].update(row["gold_facts"])
    assert not gold["train"] & gold["validation"]
    counts = build_facts([QascFacts()], [folder], facts)
    assert counts["qasc_facts_read"] == 2 * (8_134 + 926)
    texts = set(read_table(facts, "facts")["text"].to_pylist())
    assert gold["train"] | gold["validation"] | gold["test"] <= texts


def test_atomic(unpacked, tmp_path):
    folder, out = unpacked("atomic/atomic_dev_tst.tgz"), tmp_path / "facts.parquet"
    counts = build_facts([Atomic()], [folder], out)
    assert counts["atomic_read"] + counts["atomic_none"] == 79_600 + 87_481  # annotations
    assert counts["atomic_facts"] == counts["atomic_read"] - counts["atomic_duplicates"]
    facts = read_table(out, "facts")
    assert facts["fact_id"].to_pylist() == list(range(int(counts["facts"])))
    assert set(facts["relation"].to_pylist()) == set(ATOMIC_TEMPLATES)
    events = 2_204 + 2_413  # a few have no other answer than none
    assert len(facts["origin"].unique()) > 0.99 * events
    assert not {character for text in facts["text"].to_pylist() for character in text} & set("_\n")


def test_triples_of_atomic_as_the_users_own_knowledge(tmp_path):
    folder, out = DATA / "atomic/atomic_triples.tsv.gz", tmp_path / "facts.parquet"
    counts = build_facts([TsvFacts(path=str(folder))], [folder], out)
    assert counts["tsv_read"] == 337_981
    assert counts["facts"] == 337_981 - counts["duplicates_dropped"]
    first = next(read_rows(out, "facts"))
    assert (first["relation"], first["origin"]) == ("xNeed", "amuse baby")
    assert first["text"] == "Amuse baby. Before that, they needed play peek boo."


def test_medquad(unpacked, tmp_path):
    folder, out = unpacked("medquad/MedQuAD.zip"), tmp_path / "facts.parquet"
    counts = build_facts([MedQuad()], [folder], out)
    assert counts["medquad_answers"] == 16_407
    assert counts["medquad_answers_in_old_markup"] == 16
    assert counts["medquad_facts"] == counts["medquad_read"] - counts["medquad_duplicates"]
    texts = read_table(out, "facts")["text"].to_pylist()
    assert len(set(texts)) == len(texts) == counts["facts"]


@pytest.fixture
def with_columns(unpacked, tmp_path):
    """The questions of an archive's files, called as their splits, read with columns."""

    def read(archive, files, columns):
        folder = tmp_path / "files"
        folder.mkdir()
        for split, name in files.items():
            (file,) = unpacked(archive).rglob(name)
            shutil.copy(file, folder / f"{split}.jsonl")
        return list(JsonlQuestions(path=".", columns=columns).read(folder))

    return read


ARC = {
    "question": "question.stem",
    "choices": "question.choices.text",
    "labels": "question.choices.label",
    "answer": "answerKey",
}
OPEN_BOOK_QA = {name: f"Additional/{name}_complete.jsonl" for name in ("train", "dev", "test")}
QASC = {"train": "train.jsonl", "test": "dev.jsonl"}


@pytest.mark.parametrize(
    ("archive", "files", "facts", "sizes"),
    [
        ("open_book_qa/OpenBookQA-V1-Sep2018.zip", OPEN_BOOK_QA, ["fact1"], [4_957, 500, 500]),
        ("qasc/qasc_dataset.tar.gz", QASC, ["fact1", "fact2"], [7_312, 822, 926]),
    ],
)
def test_columns_read_the_official_files(with_columns, archive, files, facts, sizes):
    rows = with_columns(archive, files, ARC | {"gold_facts": facts})
    counts = Counter(row["split"] for row in rows)
    assert [counts[split] for split in SPLITS] == sizes
    assert {len(row["gold_facts"]) for row in rows} == {len(facts)}


def test_columns_read_med_qa_as_its_reader_does(with_columns, unpacked):
    archive = "med_qa/med_qa_sample.zip"
    files = {name: f"phrases_no_exclude_{name}.jsonl" for name in ("train", "dev", "test")}
    columns = {"choices": "options", "answer": "answer_idx", "type": "meta_info"}
    keys = ("split", "context", "question", "choices", "answer", "type", "gold_facts")
    found = sorted(str([row[key] for key in keys]) for row in with_columns(archive, files, columns))
    official = map(in_normal_form, MedQa().read(unpacked(archive)))  # as the stage does
    assert found == sorted(str([row[key] for key in keys]) for row in official)


def test_columns_read_the_fields_of_social_iqa(unpacked, folder_of):
    """With the labels in the file, as exports of the data set have them."""
    folder = unpacked("social_iqa/socialiqa-train-dev.zip") / "socialiqa-train-dev"
    files = {}
    for name, split in (("train", "train"), ("dev", "test")):
        rows = (folder / f"{name}.jsonl").read_text("utf-8").splitlines()
        labels = (folder / f"{name}-labels.lst").read_text("utf-8").split()
        labelled = zip(rows, labels, strict=True)
        files[f"{split}.jsonl"] = [json.loads(row) | {"label": label} for row, label in labelled]
    choices = [f"answer{letter}" for letter in "ABC"]
    columns = {"choices": choices, "answer": "label", "answer_is": "index_from_1"}
    rows = JsonlQuestions(path=".", columns=columns).read(folder_of(files))
    keys = ("context", "question", "choices", "answer")
    found = sorted(str([row[key] for key in keys]) for row in rows)
    official = SocialIqa().read(folder)
    assert found == sorted(str([row[key] for key in keys]) for row in official)
