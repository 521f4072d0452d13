"""The readers on the real data sets, against numbers counted without them.

The data lies beside a developer's checkout and on CI, and nowhere else.
"""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from kformer.io.tables import read_rows, read_table
from kformer.knowledge.atomic import TEMPLATES, Atomic
from kformer.knowledge.build import build_facts
from kformer.knowledge.medquad import MedQuad
from kformer.knowledge.user_files import TsvFacts
from kformer.questions.build import build_questions
from kformer.questions.med_qa import MedQa
from kformer.questions.social_iqa import SocialIqa

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
    place, out = unpacked("social_iqa/socialiqa-train-dev.zip"), tmp_path / "questions.parquet"
    counts = build_questions(SocialIqa(), place, out)
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


def test_med_qa(unpacked, tmp_path):
    place, out = unpacked("med_qa/med_qa_sample.zip"), tmp_path / "questions.parquet"
    assert build_questions(MedQa(), place, out) == {
        "train_questions": 2_208,
        "validation_questions": 1_272,
        "test_questions": 400,
    }
    rows = list(read_rows(out, "questions"))
    types = Counter(row["type"] for row in rows)
    assert types == {None: 230 + 1_348, "step1": 701 + 105 + 484, "step2&3": 571 + 65 + 376}
    assert {len(row["choices"]) for row in rows} == {4}


def test_atomic(unpacked, tmp_path):
    place, out = unpacked("atomic/atomic_dev_tst.tgz"), tmp_path / "facts.parquet"
    counts = build_facts([Atomic()], [place], out)
    assert counts["atomic_read"] + counts["atomic_none"] == 79_600 + 87_481  # annotations
    assert counts["atomic_facts"] == counts["atomic_read"] - counts["atomic_duplicates"]
    facts = read_table(out, "facts")
    assert facts["fact_id"].to_pylist() == list(range(int(counts["facts"])))
    assert set(facts["relation"].to_pylist()) == set(TEMPLATES)
    assert len(facts["origin"].unique()) > 0.99 * (
        2_204 + 2_413
    )  # a few events have no other answer than none
    assert not {character for text in facts["text"].to_pylist() for character in text} & set("_\n")


def test_triples_of_atomic_as_knowledge_of_ones_own(tmp_path):
    place, out = DATA / "atomic/atomic_triples.tsv.gz", tmp_path / "facts.parquet"
    counts = build_facts([TsvFacts(path=str(place))], [place], out)
    assert counts["tsv_read"] == 337_981
    assert counts["facts"] == 337_981 - counts["duplicates_dropped"]
    first = next(read_rows(out, "facts"))
    assert (first["relation"], first["origin"]) == ("xNeed", "amuse baby")
    assert first["text"] == "Amuse baby. Before that, they needed play peek boo."


def test_medquad(unpacked, tmp_path):
    place, out = unpacked("medquad/MedQuAD.zip"), tmp_path / "facts.parquet"
    counts = build_facts([MedQuad()], [place], out)
    assert counts["medquad_answers"] == 16_407
    assert counts["medquad_answers_in_old_markup"] == 16
    assert counts["medquad_facts"] == counts["medquad_read"] - counts["medquad_duplicates"]
    texts = read_table(out, "facts")["text"].to_pylist()
    assert len(set(texts)) == len(texts) == counts["facts"]
